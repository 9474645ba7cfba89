// SPDX-License-Identifier: BSD-3-Clause
//
// What happens to an authenticated packet, on the owner of its peer and in the order of arrival there:
// replay window, roaming, promotion of `next`, rekey, counters, and the checks of the inner packet. The
// order is WireGuard's.
#include "../stage.h"
#include "../tables/iface.h"
#include "../tables/lpm.h"
#include "../tables/peer.h"
#include "../trace.h"
#include "checksum.h"
#include "header.h"
#include "mss.h"
#include "slots.h"
#include "staging.h"
#include "tuple.h"
#include "wg.h"

// A peer goes to the lcore that sent this many of its packets in a row.
#define OWNER_MOVE_RUN 1024
// At most one ENDPOINT_SEEN per peer in 1/20 s, and the same one again after 1 s.
#define SEEN_PER_SECOND 20

// False: told already, or too much to tell.
static bool report_tuple(
	struct lcore *lc, struct peer *peer, struct rte_mbuf *m, const struct rte_udp_hdr *udp)
{
	struct lcore_event ev = {
		.event = ST_EV_ENDPOINT_SEEN,
		.peer_id = peer->id,
		.if_id = packet_of(m)->iif,
		.remote_port_be = udp->src_port,
		.local_port_be = udp->dst_port,
	};
	uint64_t age = lc->now - peer->seen_stamp;
	bool same;

	packet_addrs(m, &ev.remote, &ev.local);
	same = peer->seen_port_be == ev.remote_port_be &&
	       addr_equal(&peer->seen_remote, &ev.remote) &&
	       addr_equal(&peer->seen_local, &ev.local);
	if (peer->seen_stamp != 0 && (same ? age < lc->hz : age * SEEN_PER_SECOND < lc->hz))
		return false;
	if (!lcore_event_push(lc, &ev))
		return false;
	peer->seen_remote = ev.remote;
	peer->seen_local = ev.local;
	peer->seen_port_be = ev.remote_port_be;
	peer->seen_stamp = lc->now;
	return true;
}

static bool is_listened(struct peer *peer, struct rte_mbuf *m, const struct rte_udp_hdr *udp)
{
	for (unsigned int i = 0; i < RTE_DIM(peer->listened); i++) {
		const struct endpoint *ep =
			atomic_load_explicit(&peer->listened[i], memory_order_acquire);

		if (ep != NULL && came_from(ep, m, udp))
			return true;
	}
	return false;
}

static void note_selected(struct lcore *lc, struct peer *peer, const struct endpoint *ep)
{
	atomic_store_explicit(&peer->selected_stamp, lc->now, memory_order_relaxed);
	if (unlikely(atomic_load_explicit(&peer->selected_tuple, memory_order_relaxed) != ep->tuple))
		atomic_store_explicit(&peer->selected_tuple, ep->tuple, memory_order_release);
}

// Answers go to where the peer is, and come from the address of ours that it uses (sticky source), from this
// packet on, when the way there can be the same: it came in by the same port of the box and in the same
// family. All else has to wait until straitd has asked the kernel. Where ICE chose the tuple, only ICE
// changes it.
static void follow(struct lcore *lc, struct peer *peer, const struct endpoint *ep,
	struct rte_mbuf *m, const struct rte_udp_hdr *udp)
{
	struct st_addr remote, local;

	if (ep->ep.kind != ST_ENDPOINT_DIRECT || (ep->ep.flags & ST_ENDPOINT_F_NOMINATED) != 0 ||
		packet_of(m)->iif != ep->ep.if_id || udp->dst_port != ep->ep.local_port_be ||
		packet_is_ipv6(packet_of(m)) != ep->ipv6 || udp->src_port == 0)
		return;
	packet_addrs(m, &remote, &local);
	ep = endpoint_move(peer, ep, &local, &remote, udp->src_port);
	if (ep != NULL)
		note_selected(lc, peer, ep);
}

// Any authenticated packet shows where the peer is, and to which address of ours it sends. What came by a
// TURN server shows where that is, which nobody needs to be told.
static void note_tuple(struct lcore *lc, struct peer *peer, struct rte_mbuf *m)
{
	const struct endpoint *ep = atomic_load_explicit(&peer->endpoint, memory_order_acquire);
	const struct packet *p = packet_of(m);
	const struct rte_udp_hdr *udp =
		rte_pktmbuf_mtod_offset(m, const struct rte_udp_hdr *, p->l4_off);

	if (likely(ep != NULL && came_from(ep, m, udp))) {
		note_selected(lc, peer, ep);
		if (unlikely(ep->moved))
			(void)report_tuple(lc, peer, m, udp);
		return;
	}
	if ((p->flags & PACKET_F_VIA_TURN) || is_listened(peer, m, udp))
		return;
	if (report_tuple(lc, peer, m, udp) && ep != NULL)
		follow(lc, peer, ep, m, udp);
}

static void confirm(struct lcore *lc, struct peer *peer, const struct keypair *kp)
{
	struct lcore_event ev = {
		.event = ST_EV_KEY_CONFIRMED, .peer_id = peer->id, .index = kp->index};

	slots_promote(lc, peer);
	lcore_event_push(lc, &ev);
	staging_flush(lc, peer);
}

// An initiator about to lose its session while it only receives.
static void keep_key_fresh(struct lcore *lc, struct peer *peer)
{
	struct keypair *kp = slot_get(peer, ST_SLOT_CURRENT);
	struct lcore_event ev = {.event = ST_EV_REKEY_DUE, .peer_id = peer->id};

	if (kp == NULL || kp->rekey_rx_at > lc->now || kp->rekey_rx_asked)
		return;
	ev.index = kp->index;
	kp->rekey_rx_asked = lcore_event_push(lc, &ev);
}

// Long runs from one and the same lcore mean that the peer's flow is received there.
static void note_source(struct lcore *lc, struct peer *peer, const struct packet *p)
{
	if (likely(!(p->flags & PACKET_F_BY_HANDOFF)) || p->from == lc->id) {
		peer->handoff_run = 0;
		return;
	}
	if (peer->handoff_from != p->from) {
		peer->handoff_from = p->from;
		peer->handoff_run = 0;
	}
	if (++peer->handoff_run < OWNER_MOVE_RUN || lc->give_peer != NULL || peer->staged_head != NULL)
		return;
	peer->handoff_run = 0;
	lc->give_peer = peer;
	lc->give_to = p->from;
}

static void set_ecn_ipv4(struct rte_ipv4_hdr *h, uint8_t ecn)
{
	uint16_t from, to;

	memcpy(&from, h, 2);
	h->type_of_service = (uint8_t)((h->type_of_service & ~3) | ecn);
	memcpy(&to, h, 2);
	h->hdr_checksum = checksum_adjust(h->hdr_checksum, from, to);
}

static void set_ecn(struct rte_mbuf *m, uint8_t ecn)
{
	struct rte_ipv6_hdr *h;

	if (!packet_is_ipv6(packet_of(m))) {
		set_ecn_ipv4(packet_ipv4(m), ecn);
		return;
	}
	h = packet_ipv6(m);
	h->vtc_flow = (h->vtc_flow & ~RTE_BE32(3U << 20)) | rte_cpu_to_be_32((uint32_t)ecn << 20);
}

#define ECN_NOT_ECT 0
#define ECN_ECT_1   1
#define ECN_ECT_0   2
#define ECN_CE      3

// RFC 6040 figure 4, but CE over a packet that is not ECN-capable passes unmarked, as with Linux.
static void decapsulate_ecn(struct rte_mbuf *m, uint8_t outer)
{
	uint8_t inner = packet_ecn(m);

	if (inner == ECN_NOT_ECT || inner == ECN_CE)
		return;
	if (outer == ECN_CE)
		set_ecn(m, ECN_CE);
	else if (outer == ECN_ECT_1 && inner == ECN_ECT_0)
		set_ecn(m, ECN_ECT_1);
}

static bool source_allowed(struct rte_mbuf *m, const struct iface *wg, const struct peer *peer)
{
	bool ipv6 = packet_is_ipv6(packet_of(m));
	struct st_addr src;

	if (ipv6)
		memcpy(src.b, packet_ipv6(m)->src_addr, 16);
	else
		addr_from_ipv4(&src, packet_ipv4(m)->src_addr);
	return lpm_lookup(wg->allowed_ips, ipv6, &src) == peer;
}

// From the mbuf's start on there is the inner packet now.
static void strip(struct rte_mbuf *m, struct packet *p)
{
	mbuf_trim_to(m, m->pkt_len - AEAD_TAG_LEN);
	rte_pktmbuf_adj(m, (uint16_t)(p->wg_off + sizeof(struct message_data)));
	p->l3_off = p->l4_off = p->wg_off = 0;
	p->keypair = NULL; // it may wait now for longer than the keypair lives
	// The others are of the datagram, which this box may have made itself.
	p->flags &= PACKET_F_TRACED;
	m->ol_flags = 0;
	m->packet_type = 0;
}

static void deliver(struct lcore *lc, struct peer *peer, const struct iface *wg, struct rte_mbuf *m,
	uint32_t len)
{
	struct peer_counts *c = &peer->counts[lc->id];
	struct packet *p = packet_of(m);
	struct iface_counts *ic = &lc->counts[wg->if_id];

	if (wg->mss_clamp)
		mss_clamp(m, wg->mtu);
	c->rx_bytes += len;
	c->rx_packets++;
	ic->rx_packets++;
	ic->rx_bytes += m->pkt_len;
	p->iif = wg->if_id;
	if (unlikely(atomic_load_explicit(&trace_flags, memory_order_relaxed) & CAPTURE_ON))
		capture_packets(lc, wg->if_id, peer->id, &m, 1, true);
	stage_push(lc, ST_STAGE_route, m);
}

// The decrypted packet; len is what came in the datagram, which is what WireGuard counts.
static void take_inner(struct lcore *lc, struct peer *peer, struct rte_mbuf *m, uint32_t len)
{
	static const uint8_t drops[] = {
		[HEADER_BAD_VERSION] = ST_DROP_wg_inner_version,
		[HEADER_BAD_LENGTH] = ST_DROP_wg_inner_length,
		[HEADER_BAD_CHECKSUM] = ST_DROP_rx_bad_ip,
	};
	const struct iface *wg = iface_get(peer->if_id);
	struct packet *p = packet_of(m);
	enum header_error err = packet_parse_ip(m);

	if (unlikely(err != HEADER_OK)) {
		stage_drop(lc, m, drops[err]);
		return;
	}
	decapsulate_ecn(m, p->ecn);
	if (unlikely(wg == NULL))
		stage_drop(lc, m, ST_DROP_iface_down);
	else if (unlikely(!source_allowed(m, wg, peer)))
		stage_drop(lc, m, ST_DROP_wg_not_allowed);
	else
		deliver(lc, peer, wg, m, len);
}

static void accept_packet(struct lcore *lc, struct peer *peer, struct rte_mbuf *m)
{
	struct packet *p = packet_of(m);
	struct keypair *kp = p->keypair;
	struct peer_counts *c = &peer->counts[lc->id];
	uint32_t len = m->pkt_len - p->wg_off;

	// Its id may be another peer's by now, and nothing of this one may be told under it.
	if (unlikely(atomic_load_explicit(&peer->dead, memory_order_acquire))) {
		stage_drop(lc, m, ST_DROP_wg_peer_removed);
		return;
	}
	if (unlikely(!slots_hold(peer, kp))) { // displaced a moment ago
		stage_drop(lc, m, ST_DROP_wg_no_session);
		return;
	}
	if (unlikely(!replay_check(&kp->replay, p->counter))) {
		stage_drop(lc, m, ST_DROP_wg_replay);
		return;
	}
	note_source(lc, peer, p);
	note_tuple(lc, peer, m);
	if (unlikely(kp == slot_get(peer, ST_SLOT_NEXT)))
		confirm(lc, peer, kp);
	keep_key_fresh(lc, peer);
	strip(m, p);
	// Stamps first, then the report: main may read them at once, and no second report follows.
	c->any_received = lc->now;
	if (m->pkt_len != 0)
		c->data_received = lc->now;
	wg_report_activity(lc, peer);
	if (m->pkt_len == 0) { // keepalive
		c->rx_bytes += len;
		c->rx_packets++;
		packet_consumed(lc, m);
		return;
	}
	take_inner(lc, peer, m, len);
}

void wg_accept_run(struct lcore *lc, struct vec *in)
{
	for (uint32_t i = 0; i < in->n; i++) {
		struct rte_mbuf *m = in->m[i];
		struct peer *peer = packet_of(m)->keypair->peer;
		uint16_t owner = atomic_load_explicit(&peer->owner, memory_order_acquire);

		if (unlikely(owner != lc->id))
			lcore_handoff(lc, owner, m, ST_STAGE_wg_accept);
		else
			accept_packet(lc, peer, m);
	}
}
