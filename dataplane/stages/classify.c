// SPDX-License-Identifier: BSD-3-Clause
//
// Finds among the IP packets those for an (address, port) of the port map: WireGuard data, which begins
// with the LE32 4 or stands in what a TURN server relayed to a client port of ours (all else on such a port
// goes up to straitd's socket), and what clients and peers send to the TURN server. The rest goes to route.
#include "../stage.h"
#include "../tables/iface.h"
#include "../tables/peer.h"
#include "../tables/portmap.h"
#include "header.h"
#include "tuple.h"
#include "turn_client.h"

#include <rte_prefetch.h>
#include <rte_udp.h>

// WireGuard data whose keypairs are looked up together.
#define BATCH 64

// Runs of packets of one session, which are the rule, take one look-up.
struct batch {
	uint32_t n;
	uint32_t sessions;
	uint32_t index[BATCH];     // by session
	struct keypair *kp[BATCH]; // likewise
	struct rte_mbuf *m[BATCH];
	uint8_t session[BATCH]; // of m
};

// Owner of the port that the packet before was for. Valid within one run, in which the map is the same.
struct last {
	bool valid;
	uint8_t owner;
	uint16_t iif;
	uint16_t port_be;
	struct st_addr addr;
};

static const struct rte_udp_hdr *udp_of(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod_offset(m, const struct rte_udp_hdr *, packet_of(m)->l4_off);
}

static const struct message_data *data_of(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod_offset(m, const struct message_data *, packet_of(m)->wg_off);
}

// Sets l4_off when the packet is UDP with a whole header.
static bool find_udp(struct rte_mbuf *m, struct packet *p)
{
	uint32_t off = p->l3_off;

	if (packet_is_ipv6(p)) {
		if (packet_ipv6(m)->proto != IPPROTO_UDP)
			return false;
		off += sizeof(struct rte_ipv6_hdr);
	} else {
		const struct rte_ipv4_hdr *h = packet_ipv4(m);

		if (h->next_proto_id != IPPROTO_UDP)
			return false;
		off += (h->version_ihl & 0xfU) * 4;
	}
	if (p->flags & PACKET_F_FRAGMENT || !mbuf_pull(m, off + sizeof(struct rte_udp_hdr)))
		return false;
	p->l4_off = (uint16_t)off;
	return true;
}

static uint8_t port_owner(struct last *last, struct rte_mbuf *m, const struct packet *p)
{
	uint16_t port_be = udp_of(m)->dst_port;
	struct st_addr dst;

	if (packet_is_ipv6(p))
		memcpy(dst.b, packet_ipv6(m)->dst_addr, 16);
	else
		addr_from_ipv4(&dst, packet_ipv4(m)->dst_addr);
	if (last->valid && last->port_be == port_be && last->iif == p->iif &&
		addr_equal(&last->addr, &dst))
		return last->owner;
	*last = (struct last){.valid = true,
		.owner = portmap_lookup(&dst, p->iif, port_be),
		.iif = p->iif,
		.port_be = port_be,
		.addr = dst};
	return last->owner;
}

static bool is_data(struct rte_mbuf *m, uint32_t off, uint32_t len)
{
	static const uint8_t type[4] = {MESSAGE_DATA};
	uint8_t buf[4];
	const void *at;

	if (len < sizeof(type))
		return false;
	at = rte_pktmbuf_read(m, off, sizeof(type), buf);
	return at != NULL && memcmp(at, type, sizeof(type)) == 0;
}

// The data message of len bytes at off, in a datagram whose checksum has not been looked at.
static void take_data(
	struct lcore *lc, struct batch *b, struct rte_mbuf *m, uint32_t off, uint32_t len)
{
	struct packet *p = packet_of(m);
	const struct message_data *d;
	uint32_t index;

	if (unlikely(len < MESSAGE_DATA_MIN || !mbuf_pull(m, off + sizeof(struct message_data)))) {
		stage_drop(lc, m, ST_DROP_wg_malformed);
		return;
	}
	p->wg_off = (uint16_t)off;
	p->wg_len = (uint16_t)len;
	p->ecn = packet_ecn(m);
	d = data_of(m);
	memcpy(&index, d->receiver, 4); // little endian, as this machine
	memcpy(&p->counter, d->counter, 8);
	if (b->sessions == 0 || b->index[b->sessions - 1] != index)
		b->index[b->sessions++] = index;
	b->session[b->n] = (uint8_t)(b->sessions - 1);
	b->m[b->n++] = m;
}

// A datagram to a port that carries WireGuard.
static void take_wireguard(
	struct lcore *lc, struct batch *b, struct rte_mbuf *m, uint32_t off, uint32_t len)
{
	if (is_data(m, off, len))
		take_data(lc, b, m, off, len);
	else
		stage_push(lc, ST_STAGE_punt, m);
}

// A datagram to a port from which straitd talks to a TURN server.
static void take_relayed(
	struct lcore *lc, struct batch *b, struct rte_mbuf *m, uint32_t off, uint32_t len)
{
	struct packet *p = packet_of(m);
	struct turn_payload t;

	if (!turn_client_parse(m, off, len, &t) || !is_data(m, t.off, t.len)) {
		stage_push(lc, ST_STAGE_punt, m);
		return;
	}
	p->flags |= PACKET_F_VIA_TURN;
	p->via_channel = t.channel;
	p->via_peer = t.peer;
	p->via_peer_port_be = t.peer_port_be;
	take_data(lc, b, m, t.off, t.len);
}

static void take_datagram(struct lcore *lc, struct batch *b, struct rte_mbuf *m, uint8_t owner)
{
	uint32_t off = packet_of(m)->l4_off + (uint32_t)sizeof(struct rte_udp_hdr);
	uint32_t udp_len = rte_be_to_cpu_16(udp_of(m)->dgram_len);
	uint32_t len = udp_len - (uint32_t)sizeof(struct rte_udp_hdr);

	if (unlikely(udp_len < sizeof(struct rte_udp_hdr) || len > m->pkt_len - off)) {
		stage_drop(lc, m, ST_DROP_udp_bad_length);
		return;
	}
	if (unlikely(owner == ST_OWNER_PEER))
		packet_of(m)->flags |= PACKET_F_PEER_PORT;
	if (likely(owner != ST_OWNER_TURN_CLIENT))
		take_wireguard(lc, b, m, off, len);
	else
		take_relayed(lc, b, m, off, len);
}

_Static_assert(
	__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "indices and counters are read as they are");

// A datagram to the TURN server or to a relayed address. Its checksum is not looked at: the relay hands on
// what it says, wrong or not, unless the device has already found it wrong or IPv6 has none.
static void take_turn(struct lcore *lc, struct rte_mbuf *m, enum st_stage stage)
{
	struct packet *p = packet_of(m);
	const struct rte_udp_hdr *udp = udp_of(m);
	uint32_t udp_len = rte_be_to_cpu_16(udp->dgram_len);

	if (unlikely(udp_len < sizeof(*udp) || udp_len > m->pkt_len - p->l4_off)) {
		stage_drop(lc, m, ST_DROP_udp_bad_length);
		return;
	}
	if (unlikely((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_BAD ||
		     (udp->dgram_cksum == 0 && packet_is_ipv6(p)))) {
		stage_drop(lc, m, ST_DROP_udp_bad_checksum);
		return;
	}
	if (unlikely(m->pkt_len > p->l4_off + udp_len))
		mbuf_trim_to(m, p->l4_off + udp_len);
	stage_push(lc, stage, m);
}

// All that a datagram's checksum covers is known to be right where the packet comes from its peer's endpoint and
// the AEAD accepts it; of what it covers elsewhere, the addresses and ports would be taken over unseen.
static bool intact(struct rte_mbuf *m, struct peer *peer)
{
	const struct endpoint *ep = atomic_load_explicit(&peer->endpoint, memory_order_acquire);

	return likely(ep != NULL && came_from(ep, m, udp_of(m))) || packet_udp_checksum_ok(m);
}

// The keypair must belong to an interface that listens on the port the packet came to; a port towards a
// TURN server is every interface's, and so is one of a peer.
static void take_keypair(struct lcore *lc, struct rte_mbuf *m, struct keypair *kp)
{
	struct packet *p = packet_of(m);
	const struct iface *wg = kp != NULL ? iface_get(kp->peer->if_id) : NULL;

	if (unlikely(wg == NULL || (wg->listen_port_be != udp_of(m)->dst_port &&
					   !(p->flags & (PACKET_F_VIA_TURN | PACKET_F_PEER_PORT))))) {
		stage_drop(lc, m, ST_DROP_wg_no_session);
	} else if (unlikely(kp->expiry <= lc->now)) {
		stage_drop(lc, m, ST_DROP_wg_expired);
	} else if (unlikely(!intact(m, kp->peer))) {
		stage_drop(lc, m, ST_DROP_udp_bad_checksum);
	} else {
		uint32_t end = (uint32_t)p->wg_off + p->wg_len;

		if (unlikely(m->pkt_len > end))
			mbuf_trim_to(m, end);
		p->keypair = kp;
		stage_push(lc, ST_STAGE_wg_open, m);
	}
}

static void look_up(struct lcore *lc, struct batch *b)
{
	if (b->n == 0)
		return;
	keypair_lookup_bulk(b->index, b->sessions, b->kp);
	for (uint32_t i = 0; i < b->n; i++)
		take_keypair(lc, b->m[i], b->kp[b->session[i]]);
	b->n = b->sessions = 0;
}

static void take(struct lcore *lc, struct batch *b, struct rte_mbuf *m, uint8_t owner)
{
	switch (owner) {
	case ST_OWNER_WIREGUARD:
	case ST_OWNER_PEER:
	case ST_OWNER_TURN_CLIENT:
		take_datagram(lc, b, m, owner);
		break;
	case ST_OWNER_TURN_LISTEN:
		take_turn(lc, m, ST_STAGE_turn_to_peer);
		break;
	case ST_OWNER_RELAY:
		take_turn(lc, m, ST_STAGE_turn_to_client);
		break;
	default:
		stage_push(lc, ST_STAGE_route, m);
	}
}

void classify_run(struct lcore *lc, struct vec *in)
{
	struct last last = {.valid = false};
	struct batch b;

	b.n = b.sessions = 0;
	for (uint32_t i = 0; i < in->n; i++) {
		struct rte_mbuf *m = in->m[i];
		struct packet *p = packet_of(m);

		take(lc, &b, m, find_udp(m, p) ? port_owner(&last, m, p) : ST_OWNER_KERNEL);
		if (b.n == BATCH)
			look_up(lc, &b);
	}
	look_up(lc, &b);
}
