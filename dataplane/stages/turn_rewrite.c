// SPDX-License-Identifier: BSD-3-Clause
//
// A relayed datagram gets its new headers in place. The payload is neither read nor copied: its sum is
// what the old checksum says less everything that goes (RFC 1624), so that damage on the way in is still
// seen by the receiver. Header fields by RFC 8656 sections 13 and 14: TTL - 1, DSCP and ECN copied, DF.
#include "../stage.h"
#include "../tables/iface.h"
#include "../tables/portmap.h"
#include "checksum.h"
#include "header.h"
#include "icmp.h"
#include "turn.h"
#include "wg.h"

#define IPV4_LEN      20
#define IPV6_LEN      40
#define UDP_LEN       8
#define DF_BE         RTE_BE16(RTE_IPV4_HDR_DF_FLAG)
#define DF_ABOVE      1260 // RFC 7915 section 5.1: a packet translated from IPv6 has DF if it is larger
#define DATA_OVERHEAD 48 // RFC 8656 section 13.2: what an MTU told to a peer leaves free

struct received {
	uint8_t ttl, tos;
	bool ipv6, df;
	uint32_t head; // of the IP header
	uint16_t csum; // of UDP
};

static struct received read_headers(struct rte_mbuf *m)
{
	const struct packet *p = packet_of(m);
	struct received r = {.ipv6 = packet_is_ipv6(p), .head = p->l4_off - p->l3_off};

	if (r.ipv6) {
		r.ttl = packet_ipv6(m)->hop_limits;
		r.tos = ipv6_traffic_class(packet_ipv6(m));
	} else {
		const struct rte_ipv4_hdr *h = packet_ipv4(m);

		r.ttl = h->time_to_live;
		r.tos = h->type_of_service;
		r.df = h->fragment_offset & DF_BE;
	}
	r.csum = rte_pktmbuf_mtod_offset(m, const struct rte_udp_hdr *, p->l4_off)->dgram_cksum;
	return r;
}

// Addresses and ports. The v4-mapped form adds 0xffff, which is 0 in this arithmetic.
static uint64_t key_sum(const struct turn_key *k)
{
	uint64_t sum = (uint32_t)k->w[4];

	for (unsigned int i = 0; i < 4; i++)
		sum += (uint32_t)k->w[i] + (k->w[i] >> 32);
	return sum;
}

// len bytes at off, which need not be at an even place of the datagram that begins at base.
static uint64_t part_sum(struct rte_mbuf *m, uint32_t off, uint32_t len, uint32_t base)
{
	uint16_t sum = sum_fold(sum_mbuf(0, m, off, len));

	return (off - base) & 1 ? (uint16_t)(sum << 8 | sum >> 8) : sum;
}

static uint64_t payload_sum(struct rte_mbuf *m, const struct received *r, const struct turn_from *from)
{
	uint16_t udp_len = rte_cpu_to_be_16((uint16_t)(from->end - from->begin + UDP_LEN));
	uint64_t gone = key_sum(from->key) + RTE_BE16(IPPROTO_UDP) + 2ULL * udp_len;
	uint32_t tail = from->off + from->len;

	if (from->off - from->begin == 4) {
		uint32_t w;

		memcpy(&w, rte_pktmbuf_mtod_offset(m, const uint8_t *, from->begin), 4);
		gone += w;
	} else if (from->off > from->begin) {
		gone += part_sum(m, from->begin, from->off - from->begin, from->begin);
	}
	if (unlikely(tail < from->end))
		gone += part_sum(m, tail, from->end - tail, from->begin);
	return (uint64_t)(uint16_t)~r->csum + (uint16_t)~sum_fold(gone);
}

struct plan {
	bool ipv6, df;
	const struct st_addr *src, *dst;
	uint16_t sport_be, dport_be;
	uint32_t head; // IP and UDP
	uint32_t len;  // of the whole IP packet
};

static struct plan make_plan(
	const struct received *r, const struct turn_from *from, const struct turn_to *to)
{
	const struct st_addr *first = turn_key_first(to->key), *second = turn_key_second(to->key);
	uint16_t port1 = (uint16_t)to->key->w[4], port2 = (uint16_t)(to->key->w[4] >> 16);
	struct plan pl = {.ipv6 = !turn_addr_is_ipv4(first),
		.src = to->to_first ? second : first,
		.dst = to->to_first ? first : second,
		.sport_be = to->to_first ? port2 : port1,
		.dport_be = to->to_first ? port1 : port2};

	pl.head = (pl.ipv6 ? IPV6_LEN : IPV4_LEN) + UDP_LEN;
	pl.len = pl.head + to->prefix_len + from->len + to->pad;
	pl.df = !to->copy_df ? to->df : r->ipv6 ? pl.len > DF_ABOVE : r->df;
	return pl;
}

static void write_ipv4(uint32_t *at, const struct plan *pl, const struct received *r, uint16_t ip_id)
{
	uint32_t src = addr_to_ipv4(pl->src), dst = addr_to_ipv4(pl->dst);
	uint32_t w0 =
		0x45 | (uint32_t)r->tos << 8 | (uint32_t)rte_cpu_to_be_16((uint16_t)pl->len) << 16;
	uint32_t w1 = ip_id | (pl->df ? (uint32_t)DF_BE << 16 : 0);
	uint32_t w2 = (uint32_t)(r->ttl - 1) | IPPROTO_UDP << 8;
	uint64_t sum = (uint64_t)w0 + w1 + w2 + src + dst;
	// In whole words: what is read back as words would stall behind narrower stores.
	const uint32_t w[5] = {w0, w1, w2 | (uint32_t)(uint16_t)~sum_fold(sum) << 16, src, dst};

	memcpy(at, w, sizeof(w));
}

static void write_ipv6(uint8_t *at, const struct plan *pl, const struct received *r)
{
	const uint32_t w[2] = {rte_cpu_to_be_32(6U << 28 | (uint32_t)r->tos << 20),
		rte_cpu_to_be_16((uint16_t)(pl->len - IPV6_LEN)) | IPPROTO_UDP << 16 |
			(uint32_t)(r->ttl - 1) << 24};

	memcpy(at, w, sizeof(w));
	memcpy(at + 8, pl->src, 16);
	memcpy(at + 24, pl->dst, 16);
}

// Of a channel's four bytes, or none, without a call.
static uint64_t prefix_sum(const struct turn_to *to)
{
	uint32_t w;

	if (to->prefix_len == 0)
		return 0;
	if (unlikely(to->prefix_len != sizeof(w)))
		return sum_bytes(0, to->prefix, to->prefix_len);
	memcpy(&w, to->prefix, sizeof(w));
	return w;
}

static void write_prefix(uint8_t *at, const struct turn_to *to)
{
	if (to->prefix_len == 0)
		return;
	if (likely(to->prefix_len == 4))
		memcpy(at, to->prefix, 4);
	else
		memcpy(at, to->prefix, to->prefix_len);
}

// The checksum of the new datagram. One that came without keeps having none over IPv4.
static uint16_t new_checksum(struct rte_mbuf *m, const struct received *r, const struct plan *pl,
	const struct turn_from *from, const struct turn_to *to)
{
	uint16_t udp_len =
		rte_cpu_to_be_16((uint16_t)(UDP_LEN + to->prefix_len + from->len + to->pad));
	uint64_t sum = key_sum(to->key) + RTE_BE16(IPPROTO_UDP) + 2ULL * udp_len;
	uint16_t csum;

	if (unlikely(r->csum == 0)) {
		if (!pl->ipv6)
			return 0;
		sum = sum_mbuf(sum, m, from->off, from->len);
	} else {
		sum += payload_sum(m, r, from);
	}
	csum = (uint16_t)~sum_fold(sum + prefix_sum(to));
	return csum != 0 ? csum : 0xffff;
}

// NULL: no mbuf; m is the caller's still. The IP header is at data_off afterwards.
static struct rte_mbuf *rewrite(struct lcore *lc, struct rte_mbuf *m, const struct received *r,
	const struct plan *pl, const struct turn_from *from, const struct turn_to *to)
{
	uint16_t csum = new_checksum(m, r, pl, from, to);
	uint32_t u[2];
	uint8_t *at;

	if (unlikely(m->pkt_len > from->off + from->len))
		mbuf_trim_to(m, from->off + from->len);
	if (unlikely(to->pad > 0)) {
		at = mbuf_append(lc->pool, m, to->pad);
		if (at == NULL)
			return NULL;
		memset(at, 0, to->pad);
	}
	rte_pktmbuf_adj(m, (uint16_t)from->off);
	at = mbuf_push(lc->pool, &m, (uint16_t)(pl->head + to->prefix_len));
	if (unlikely(at == NULL))
		return NULL;
	if (pl->ipv6)
		write_ipv6(at, pl, r);
	else
		write_ipv4((uint32_t *)at, pl, r, rte_cpu_to_be_16(lc->ip_id++));
	u[0] = pl->sport_be | (uint32_t)pl->dport_be << 16;
	u[1] = rte_cpu_to_be_16((uint16_t)(pl->len - pl->head + UDP_LEN)) | (uint32_t)csum << 16;
	memcpy(at + pl->head - UDP_LEN, u, UDP_LEN);
	write_prefix(at + pl->head, to);
	return m;
}

// ---- where it goes ---------------------------------------------------------------------------------

static bool is_wireguard_data(struct rte_mbuf *m)
{
	static const uint8_t type[4] = {4};
	uint8_t buf[4];
	const void *at = rte_pktmbuf_read(m, packet_of(m)->l4_off + UDP_LEN, sizeof(type), buf);

	return at != NULL && memcmp(at, type, sizeof(type)) == 0;
}

// From a relayed address of this box to this box itself, which nothing outside would bring back. Another
// relayed address: on to turn_to_client, once. WireGuard and ICE of this box: data as from the wire, the
// rest to straitd, because the kernel takes nothing from its own addresses.
static void to_own_peer(struct lcore *lc, struct rte_mbuf *m, const struct plan *pl)
{
	struct packet *p = packet_of(m);

	switch (portmap_lookup(pl->dst, 0, pl->dport_be)) {
	case ST_OWNER_RELAY:
		lc->turn->counts.hairpin++;
		stage_push(lc, ST_STAGE_turn_to_client, m);
		return;
	case ST_OWNER_WIREGUARD:
	case ST_OWNER_PEER:
		lc->turn->counts.hairpin++;
		if (!is_wireguard_data(m))
			lcore_to_main(lc, m, ST_NO_PEER);
		else if (++p->passes > WG_PASSES_MAX)
			stage_drop(lc, m, ST_DROP_loop);
		else
			lcore_again(lc, m, ST_STAGE_classify);
		return;
	case ST_OWNER_TURN_LISTEN:
		stage_drop(lc, m, ST_DROP_turn_hairpin);
		return;
	default: // what listens on this box is not for peers
		stage_drop(lc, m, ST_DROP_route_martian);
	}
}

// A client on this box, or one that the kernel reaches by an interface that is not ours: straitd sends.
static void to_own_client(struct lcore *lc, struct rte_mbuf *m, const struct plan *pl)
{
	uint8_t owner = portmap_lookup(pl->dst, 0, pl->dport_be);

	if (owner == ST_OWNER_RELAY || owner == ST_OWNER_TURN_LISTEN)
		stage_drop(lc, m, ST_DROP_turn_hairpin);
	else
		lcore_to_main(lc, m, ST_NO_PEER);
}

static void leave(struct lcore *lc, struct rte_mbuf *m, const struct turn_way *way,
	const struct plan *pl, const struct turn_to *to)
{
	struct packet *p = packet_of(m);
	const struct iface *oif;

	p->flags = (p->flags & PACKET_F_TRACED) | PACKET_F_OURS | PACKET_F_RELAYED |
		   (pl->ipv6 ? PACKET_F_IPV6 : 0);
	p->l3_off = 0;
	p->l4_off = (uint16_t)(pl->head - UDP_LEN);
	m->ol_flags = 0;
	if (unlikely(way->action != ST_ROUTE_UNICAST || way->if_id == 0)) {
		if (to->direction == ST_TURN_TO_PEER)
			to_own_peer(lc, m, pl);
		else
			to_own_client(lc, m, pl);
		return;
	}
	p->oif = way->if_id;
	p->mtu = way->mtu;
	p->nexthop = way->on_link ? *pl->dst : way->gateway;
	oif = iface_get(way->if_id);
	if (likely(oif == NULL || !oif->is_wg)) // l2out names a missing interface
		stage_push(lc, ST_STAGE_l2out, m);
	else if (to->direction == ST_TURN_TO_PEER)
		stage_push(lc, ST_STAGE_wg_encrypt, m);
	else if (++p->passes > WG_PASSES_MAX)
		stage_drop(lc, m, ST_DROP_loop);
	else
		lcore_again(lc, m, ST_STAGE_wg_encrypt);
}

// ST_DROP_COUNT: it may go there.
static enum st_drop way_refuses(const struct turn_way *way, uint8_t direction)
{
	if (likely(way->action == ST_ROUTE_UNICAST))
		return way->if_id != 0 || direction == ST_TURN_TO_CLIENT ? ST_DROP_COUNT
									 : ST_DROP_no_route;
	if (way->action == ST_ROUTE_LOCAL)
		return ST_DROP_COUNT;
	if (way->action == ST_ROUTE_BROADCAST)
		return ST_DROP_route_martian;
	return way->action == 0 && way->why == 0 ? ST_DROP_no_route : way->why;
}

// The MTU to tell a sender, whose packets have other headers than those that leave.
static uint32_t mtu_for_sender(const struct received *r, const struct plan *pl,
	const struct turn_from *from, const struct turn_to *to, uint16_t mtu)
{
	uint32_t in = r->head + UDP_LEN + (from->end - from->begin);
	uint32_t fits = mtu + in > pl->len ? mtu + in - pl->len : 0;
	uint32_t most = to->direction == ST_TURN_TO_CLIENT ? mtu - (uint32_t)DATA_OVERHEAD : mtu;

	return RTE_MIN(fits, most);
}

static bool fits(struct lcore *lc, struct rte_mbuf *m, const struct received *r,
	const struct plan *pl, const struct turn_from *from, const struct turn_to *to,
	const struct turn_way *way)
{
	if (likely(pl->len <= way->mtu) || way->action != ST_ROUTE_UNICAST || way->if_id == 0)
		return true;
	if (!pl->ipv6 && !pl->df) // l2out cuts it
		return true;
	icmp_error(lc, m, ICMP_KIND_TOO_BIG, mtu_for_sender(r, pl, from, to, way->mtu));
	stage_drop(lc, m, ST_DROP_mtu_exceeded);
	return false;
}

// What is put around a datagram of almost 64 kB may make it longer than its IP header can say.
static bool too_long(const struct plan *pl)
{
	return pl->len - (pl->ipv6 ? IPV6_LEN : 0) > UINT16_MAX;
}

static void count(struct lcore *lc, const struct turn_to *to, uint32_t len)
{
	struct turn_relay_counts *c = &to->relay->counts[lc->id];

	c->packets[to->direction]++;
	c->bytes[to->direction] += len;
	c->stamp = lc->now;
	lc->turn->counts.packets[to->direction]++;
	lc->turn->counts.bytes[to->direction] += len;
}

void turn_forward(struct lcore *lc, struct rte_mbuf *m, const struct turn_from *from,
	const struct turn_to *to)
{
	struct turn_relay_counts *c = &to->relay->counts[lc->id];
	struct received r = read_headers(m);
	struct plan pl = make_plan(&r, from, to);
	const struct turn_way *way;
	struct rte_mbuf *out;
	enum st_drop why;

	if (unlikely(r.ttl <= 1)) {
		icmp_error(lc, m, ICMP_KIND_TTL, 0);
		stage_drop(lc, m, ST_DROP_ttl_exceeded);
		return;
	}
	way = turn_way_find(lc, to->way, pl.src, pl.dst, r.tos);
	why = way_refuses(way, to->direction);
	if (unlikely(why != ST_DROP_COUNT)) {
		stage_drop(lc, m, why);
		return;
	}
	if (unlikely(too_long(&pl))) { // no ICMP: its sender cut it already
		stage_drop(lc, m, ST_DROP_mtu_exceeded);
		return;
	}
	if (unlikely(!fits(lc, m, &r, &pl, from, to, way)))
		return;
	if (unlikely(atomic_load_explicit(&c->limited, memory_order_relaxed)) &&
		!turn_police(to->relay, lc->now, from->len)) {
		c->dropped[to->direction]++;
		stage_drop(lc, m, ST_DROP_turn_policed);
		return;
	}
	out = rewrite(lc, m, &r, &pl, from, to);
	if (unlikely(out == NULL)) {
		stage_drop(lc, m, ST_DROP_no_mbuf);
		return;
	}
	count(lc, to, from->len);
	leave(lc, out, way, &pl, to);
}
