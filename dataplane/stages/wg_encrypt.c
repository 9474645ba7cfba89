// SPDX-License-Identifier: BSD-3-Clause
//
// Into a tunnel: the allowed IPs choose the peer, and any lcore seals. Counters are taken right before the
// AEAD of a burst, so that they leave nearly in order. Packets without a session wait with the owner.
#include "../stage.h"
#include "../tables/iface.h"
#include "../tables/lpm.h"
#include "../tables/peer.h"
#include "../tables/portmap.h"
#include "../tables/route.h"
#include "../trace.h"
#include "checksum.h"
#include "crypt.h"
#include "fragment.h"
#include "header.h"
#include "icmp.h"
#include "mss.h"
#include "slots.h"
#include "staging.h"
#include "turn.h"
#include "turn_client.h"
#include "wg.h"

#include <rte_ethdev.h>
#include <rte_prefetch.h>

#include <errno.h>

#define PREFETCH_AHEAD 4

struct batch {
	bool synced; // route_is_synced()
	uint32_t n;
	struct rte_mbuf *m[CRYPT_BURST];
};

// ---- sealing a batch -------------------------------------------------------------------------------

// Counters of one keypair's packets in a batch: reserved by one fetch_add.
struct reservation {
	struct keypair *kp;
	uint64_t next;
	uint32_t n;
};

static void check_rekey(struct lcore *lc, struct keypair *kp, uint64_t counter)
{
	struct lcore_event ev = {.event = ST_EV_REKEY_DUE, .index = kp->index};

	if (likely(lc->now < kp->rekey_at && counter <= REKEY_AFTER_MESSAGES))
		return;
	if (atomic_exchange_explicit(&kp->rekey_asked, true, memory_order_relaxed))
		return;
	ev.peer_id = kp->peer->id;
	if (!lcore_event_push(lc, &ev))
		atomic_store_explicit(&kp->rekey_asked, false, memory_order_relaxed);
}

static void reserve_counters(struct lcore *lc, struct batch *b)
{
	struct reservation r[CRYPT_BURST];
	uint8_t which[CRYPT_BURST];
	uint32_t nr = 0, k = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		struct keypair *kp = packet_of(b->m[i])->keypair;

		if (nr == 0 || r[k].kp != kp)
			for (k = 0; k < nr && r[k].kp != kp; k++)
				;
		if (k == nr)
			r[nr++] = (struct reservation){.kp = kp};
		r[k].n++;
		which[i] = (uint8_t)k;
	}
	for (k = 0; k < nr; k++) {
		r[k].next = atomic_fetch_add_explicit(
			&r[k].kp->send_counter, r[k].n, memory_order_relaxed);
		check_rekey(lc, r[k].kp, r[k].next + r[k].n - 1);
	}
	for (uint32_t i = 0; i < b->n; i++)
		// cppcheck-suppress uninitvar ; the first loop ran over the same packets
		packet_of(b->m[i])->counter = r[which[i]].next++;
}

// Pads with zeros to 16, not beyond the MTU, and makes room for the tag.
static bool pad(struct lcore *lc, struct rte_mbuf *m, const struct iface *wg)
{
	uint32_t len = m->pkt_len;
	uint32_t limit = wg->mtu > len ? wg->mtu : len;
	uint32_t padded = RTE_ALIGN_CEIL(len, MESSAGE_PADDING);
	uint16_t extra = (uint16_t)(RTE_MIN(padded, limit) - len + AEAD_TAG_LEN);
	void *tail = mbuf_append(lc->pool, m, extra);

	if (unlikely(tail == NULL))
		return false;
	// The tag's place is written by the AEAD.
	for (uint16_t i = 0; i < extra - AEAD_TAG_LEN; i++)
		((uint8_t *)tail)[i] = 0;
	return true;
}

// The outer ECN field for an inner one, as Linux's ip_tunnel_ecn_encap: CE becomes ECT(0).
static uint8_t encapsulate_ecn(uint8_t inner)
{
	return inner == 3 ? 2 : inner;
}

static void write_ipv4(struct lcore *lc, struct rte_ipv4_hdr *h, const struct endpoint *ep,
	uint8_t ecn, uint16_t len)
{
	uint64_t sum = ep->ip_csum_base;

	h->type_of_service = ecn;
	h->total_length = rte_cpu_to_be_16(len);
	h->packet_id = lc->ip_id;
	lc->ip_id++;
	sum += (uint64_t)ecn << 8; // second byte of a word in memory order
	sum += h->total_length;
	sum += h->packet_id;
	h->hdr_checksum = (uint16_t)~sum_fold(sum);
}

static void write_ipv6(struct rte_ipv6_hdr *h, uint8_t ecn, uint16_t len)
{
	h->vtc_flow |= rte_cpu_to_be_32((uint32_t)ecn << 20);
	h->payload_len = rte_cpu_to_be_16((uint16_t)(len - sizeof(*h)));
}

// Of a DATA attribute's value of so many bytes. ChannelData over UDP has none (RFC 8656 section 12.5).
static uint32_t turn_padding(const struct endpoint *ep, uint32_t len)
{
	return ep->turn_len > TURN_CHANNEL_HEADER ? -len & 3 : 0;
}

static void write_turn(uint8_t *at, const struct endpoint *ep, uint16_t len, uint16_t padding)
{
	uint16_t len_be = rte_cpu_to_be_16(len);

	memcpy(at, ep->turn, ep->turn_len);
	if (ep->turn_len > TURN_CHANNEL_HEADER) {
		uint16_t all_be =
			rte_cpu_to_be_16((uint16_t)(ep->turn_len - STUN_HEADER_LEN + len + padding));

		memcpy(at + 2, &all_be, sizeof(all_be));
	}
	// Last of either header.
	memcpy(at + ep->turn_len - sizeof(len_be), &len_be, sizeof(len_be));
}

// Outer headers and the data header in front of the padded plaintext. NULL when there is no mbuf.
static struct rte_mbuf *encapsulate(struct lcore *lc, struct rte_mbuf *m)
{
	struct packet *p = packet_of(m);
	const struct endpoint *ep = p->endpoint;
	const struct keypair *kp = p->keypair;
	uint16_t head = (uint16_t)(ep->header_len + sizeof(struct message_data));
	uint16_t len = (uint16_t)(m->pkt_len + sizeof(struct message_data)); // of WireGuard's message
	uint16_t padding = (uint16_t)turn_padding(ep, len);
	uint16_t all = (uint16_t)(ep->header_len + len + padding);
	uint8_t *at = mbuf_push(lc->pool, &m, head);
	struct message_data *d;
	struct rte_udp_hdr *udp;

	if (unlikely(at == NULL))
		return NULL;
	if (ep->ipv6) {
		memcpy(at, ep->header, 48);
		write_ipv6((void *)at, p->ecn, all);
	} else {
		memcpy(at, ep->header, 28);
		write_ipv4(lc, (void *)at, ep, p->ecn, all);
	}
	udp = (void *)(at + ep->udp_off);
	udp->dgram_len = rte_cpu_to_be_16((uint16_t)(all - ep->udp_off));
	if (unlikely(ep->turn_len != 0))
		write_turn(at + ep->header_len - ep->turn_len, ep, len, padding);
	d = (void *)(at + ep->header_len);
	memcpy(d->type, &(uint32_t){MESSAGE_DATA}, 4);
	memcpy(d->receiver, &kp->remote_index, 4);
	memcpy(d->counter, &p->counter, 8);
	return m;
}

// The UDP checksum: by the device if it does and the datagram stays whole, else here.
static void finish_udp(struct rte_mbuf *m, const struct endpoint *ep, const struct iface *oif)
{
	uint32_t udp_off = ep->udp_off, off = udp_off + (uint32_t)sizeof(struct rte_udp_hdr);
	struct rte_udp_hdr *udp = rte_pktmbuf_mtod_offset(m, struct rte_udp_hdr *, udp_off);
	uint64_t sum = (uint64_t)ep->udp_csum_base + udp->dgram_len;
	uint16_t csum;

	m->ol_flags = 0;
	if (oif != NULL && !oif->is_wg && (oif->tx_offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) &&
		m->pkt_len <= ep->ep.path_mtu) {
		// The device wants the sum of the pseudo header alone.
		sum += (uint16_t)~udp->src_port;
		sum += (uint16_t)~udp->dst_port;
		udp->dgram_cksum = sum_fold(sum);
		m->ol_flags = RTE_MBUF_F_TX_UDP_CKSUM |
			      (ep->ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
		m->l3_len = udp_off;
		return;
	}
	sum += udp->dgram_len;
	sum = sum_mbuf(sum, m, off, m->pkt_len - off);
	csum = (uint16_t)~sum_fold(sum);
	udp->dgram_cksum = csum != 0 ? csum : 0xffff;
}

static void count_sent(struct lcore *lc, const struct packet *p, uint32_t datagram)
{
	struct peer_counts *c = &p->peer->counts[lc->id];

	c->tx_bytes += datagram;
	c->tx_packets++;
	c->any_sent = lc->now;
	if (!(p->flags & PACKET_F_KEEPALIVE))
		c->data_sent = lc->now;
	wg_report_activity(lc, p->peer);
}

// The kernel's way to a relayed address of this very box is no port of ours, and leads nowhere.
static void to_control(struct lcore *lc, struct rte_mbuf *m)
{
	const struct st_endpoint *ep = &packet_of(m)->endpoint->ep;

	if (portmap_lookup(&ep->remote, (uint16_t)ep->if_id, ep->remote_port_be) == ST_OWNER_RELAY)
		stage_push(lc, ST_STAGE_turn_to_client, m);
	else
		lcore_to_main(lc, m, packet_of(m)->peer->id);
}

// Behind the tag, because the AEAD ends at the end of the packet.
static bool pad_turn(struct lcore *lc, struct rte_mbuf *m, uint32_t padding)
{
	void *tail = mbuf_append(lc->pool, m, (uint16_t)padding);

	if (unlikely(tail == NULL))
		return false;
	memset(tail, 0, padding);
	return true;
}

static void send_sealed(struct lcore *lc, struct rte_mbuf *m)
{
	struct packet *p = packet_of(m);
	const struct endpoint *ep = p->endpoint;
	const struct iface *oif = iface_get((uint16_t)ep->ep.if_id);
	uint32_t len = m->pkt_len - ep->header_len, padding = turn_padding(ep, len);

	if (unlikely(padding != 0 && !pad_turn(lc, m, padding))) {
		stage_drop(lc, m, ST_DROP_no_mbuf);
		return;
	}
	finish_udp(m, ep, oif);
	count_sent(lc, p, len);
	if (unlikely(p->flags & PACKET_F_TRACED))
		p->trace->ev.peer_id = p->peer->id;
	p->keypair = NULL; // it may wait now for longer than the keypair lives
	p->flags = (p->flags & PACKET_F_TRACED) | PACKET_F_OURS | (ep->ipv6 ? PACKET_F_IPV6 : 0);
	p->l3_off = 0;
	p->l4_off = ep->udp_off;
	p->oif = (uint16_t)ep->ep.if_id;
	p->mtu = ep->ep.path_mtu;
	p->nexthop = ep->ep.nexthop;
	if (unlikely(ep->ep.kind == ST_ENDPOINT_CONTROL))
		to_control(lc, m);
	else if (likely(oif == NULL || !oif->is_wg)) // l2out names a missing interface
		stage_push(lc, ST_STAGE_l2out, m);
	else if (++p->passes > WG_PASSES_MAX)
		stage_drop(lc, m, ST_DROP_loop);
	else
		lcore_again(lc, m, ST_STAGE_wg_encrypt);
}

static void finish(struct lcore *lc)
{
	struct aead_scratch *s = lc->sealing;

	if (s->n == 0)
		return;
	crypt_seal(lc, s);
	for (uint32_t i = 0; i < s->n; i++)
		send_sealed(lc, s->m[i]);
	s->n = s->segs_used = 0;
}

static void seal_one(struct lcore *lc, struct rte_mbuf *m)
{
	struct aead_scratch *s = lc->sealing;
	const struct packet *p = packet_of(m);
	struct rte_mbuf *sealed;

	if (unlikely(p->counter >= REJECT_AFTER_MESSAGES)) {
		stage_drop(lc, m, ST_DROP_wg_nonce_limit);
		return;
	}
	sealed = encapsulate(lc, m);
	if (unlikely(sealed == NULL)) {
		stage_drop(lc, m, ST_DROP_no_mbuf);
		return;
	}
	p = packet_of(sealed);
	if (unlikely(!crypt_add(s, sealed,
		    (uint32_t)(p->endpoint->header_len + sizeof(struct message_data)),
		    p->keypair->send_key, p->counter))) {
		stage_drop(lc, sealed, ST_DROP_frag_failed);
		return;
	}
	if (crypt_full(s))
		finish(lc);
}

static void seal(struct lcore *lc, struct batch *b)
{
	if (b->n == 0)
		return;
	reserve_counters(lc, b);
	for (uint32_t i = 0; i < b->n; i++)
		seal_one(lc, b->m[i]);
	finish(lc);
	b->n = 0;
}

// ---- which peer, and may it be sent now ------------------------------------------------------------

static void refuse(struct lcore *lc, struct rte_mbuf *m, enum st_drop why)
{
	icmp_error(lc, m, ICMP_KIND_HOST_UNREACHABLE, 0);
	stage_drop(lc, m, why);
}

static void wait_for_session(struct lcore *lc, struct peer *peer, struct rte_mbuf *m)
{
	uint16_t owner = atomic_load_explicit(&peer->owner, memory_order_acquire);

	if (owner != lc->id)
		lcore_handoff(lc, owner, m, ST_STAGE_wg_encrypt);
	else
		staging_add(lc, peer, m);
}

// straitd hears of the packet: a peer that went idle is woken by it, and then there is a way.
static void no_endpoint(struct lcore *lc, struct peer *peer, struct rte_mbuf *m)
{
	uint16_t owner = atomic_load_explicit(&peer->owner, memory_order_acquire);

	if (owner != lc->id) {
		lcore_handoff(lc, owner, m, ST_STAGE_wg_encrypt);
		return;
	}
	staging_ask(lc, peer);
	refuse(lc, m, ST_DROP_wg_no_endpoint);
}

static struct peer *find_peer(struct rte_mbuf *m, const struct iface *wg)
{
	struct packet *p = packet_of(m);
	bool ipv6 = packet_is_ipv6(p);
	struct st_addr dst;

	if (p->flags & PACKET_F_KEEPALIVE)
		return p->peer;
	if (ipv6)
		memcpy(dst.b, packet_ipv6(m)->dst_addr, 16);
	else
		addr_from_ipv4(&dst, packet_ipv4(m)->dst_addr);
	return lpm_lookup(wg->allowed_ips, ipv6, &dst);
}

static void count_inner(
	struct lcore *lc, const struct iface *wg, struct peer *peer, struct rte_mbuf *m)
{
	struct iface_counts *c = &lc->counts[wg->if_id];

	c->tx_packets++;
	c->tx_bytes += m->pkt_len;
	if (unlikely(atomic_load_explicit(&trace_flags, memory_order_relaxed) & CAPTURE_ON))
		capture_packets(lc, wg->if_id, peer->id, &m, 1, false);
}

static void admit(struct lcore *lc, struct batch *b, const struct iface *wg, struct rte_mbuf *m)
{
	struct packet *p = packet_of(m);
	struct peer *peer = find_peer(m, wg);
	const struct endpoint *ep;
	struct keypair *kp;

	if (unlikely(peer == NULL)) {
		refuse(lc, m, ST_DROP_wg_no_peer);
		return;
	}
	ep = atomic_load_explicit(&peer->endpoint, memory_order_acquire);
	if (unlikely(ep == NULL)) {
		no_endpoint(lc, peer, m);
		return;
	}
	kp = slots_sending(peer, lc->now);
	p->peer = peer;
	if (unlikely(kp == NULL)) {
		wait_for_session(lc, peer, m);
		return;
	}
	p->keypair = kp;
	p->endpoint = ep;
	rte_prefetch0(kp);
	if (likely(!(p->flags & PACKET_F_KEEPALIVE))) {
		p->ecn = encapsulate_ecn(packet_ecn(m));
		count_inner(lc, wg, peer, m);
	} else {
		p->ecn = 0;
	}
	if (unlikely(!pad(lc, m, wg))) {
		stage_drop(lc, m, ST_DROP_no_mbuf);
		return;
	}
	b->m[b->n++] = m;
	if (b->n == CRYPT_BURST)
		seal(lc, b);
}

// ---- size --------------------------------------------------------------------------------------------

static void admit_fragments(
	struct lcore *lc, struct batch *b, const struct iface *wg, struct rte_mbuf *m, uint16_t mtu)
{
	struct rte_mbuf *out[FRAGMENT_MAX];
	int n;

	if (!fragment_allowed(m)) {
		icmp_error(lc, m, ICMP_KIND_TOO_BIG, mtu);
		stage_drop(lc, m, ST_DROP_mtu_exceeded);
		return;
	}
	n = fragment_packet(lc->pool, m, mtu, (uint32_t)lc->now ^ lc->ip_id++, out);
	if (n < 0) {
		stage_drop(lc, m, n == -ENOMEM ? ST_DROP_no_mbuf : ST_DROP_frag_failed);
		return;
	}
	for (int i = 0; i < n; i++)
		admit(lc, b, wg, out[i]);
	packet_consumed(lc, m);
}

static void take(struct lcore *lc, struct batch *b, struct rte_mbuf *m)
{
	struct packet *p = packet_of(m);
	const struct iface *wg = iface_get(p->oif);
	uint16_t mtu;

	if (unlikely(wg == NULL || !wg->is_wg)) {
		stage_drop(lc, m, ST_DROP_iface_down);
		return;
	}
	// A packet of the box itself: of allowed IPs that come one by one it might go to the wrong peer.
	if (unlikely(!b->synced && !(p->flags & PACKET_F_KEEPALIVE))) {
		stage_drop(lc, m, ST_DROP_not_synced);
		return;
	}
	mtu = p->mtu != 0 ? RTE_MIN(p->mtu, wg->mtu) : wg->mtu;
	if (unlikely(m->pkt_len > mtu)) {
		admit_fragments(lc, b, wg, m, mtu);
		return;
	}
	if (wg->mss_clamp && !(p->flags & PACKET_F_KEEPALIVE))
		mss_clamp(m, mtu);
	admit(lc, b, wg, m);
}

void wg_encrypt_run(struct lcore *lc, struct vec *in)
{
	struct batch b = {.synced = route_is_synced()};

	lc->sealing->n = lc->sealing->segs_used = 0;
	for (uint32_t i = 0; i < in->n; i++)
		take(lc, &b, in->m[i]);
	seal(lc, &b);
}

void wg_keepalive(struct lcore *lc, struct peer *peer)
{
	struct rte_mbuf *m;
	struct packet *p;

	if (peer->staged_head != NULL) // these will do, as soon as there is a session
		return;
	m = rte_pktmbuf_alloc(lc->pool);
	if (m == NULL) {
		lc->drops[ST_DROP_no_mbuf]++;
		return;
	}
	p = packet_of(m);
	memset(p, 0, sizeof(*p));
	p->flags = PACKET_F_OURS | PACKET_F_KEEPALIVE;
	p->oif = peer->if_id;
	p->peer = peer;
	p->stamp = lc->now;
	stage_push(lc, ST_STAGE_wg_encrypt, m);
}
