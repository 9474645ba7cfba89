// SPDX-License-Identifier: BSD-3-Clause
//
// Routing by the mirrored rules and tables, for packets that came out of a tunnel, transit packets, and
// ICMP errors made here. Also decides what is for the box itself and what must not be forwarded at all.
#include "../tables/route.h"

#include "../stage.h"
#include "../tables/iface.h"
#include "../tables/portmap.h"
#include "checksum.h"
#include "header.h"
#include "icmp.h"
#include "wg.h"

#include <rte_hash_crc.h>
#include <rte_udp.h>

enum scope {
	SCOPE_FORWARD, // may be forwarded
	SCOPE_HOST,    // for the box whatever the tables say: multicast, link-local
	SCOPE_LOCAL,   // only if it is for the box
	SCOPE_MARTIAN, // never
};

// The result of the packet before. Valid within one run, in which the tables are the same.
struct last {
	bool valid;
	bool wants_ports[2]; // by family
	struct route_flow flow;
	struct route_result result;
};

static enum scope scope_ipv4(const struct rte_ipv4_hdr *h)
{
	uint32_t src = rte_be_to_cpu_32(h->src_addr);
	uint32_t dst = rte_be_to_cpu_32(h->dst_addr);

	if (src >> 24 == 127 || dst >> 24 == 127 || dst >> 24 == 0)
		return SCOPE_MARTIAN;
	if (src >> 24 == 0) // unspecified: DHCP clients
		return dst == UINT32_MAX ? SCOPE_HOST : SCOPE_MARTIAN;
	if (src >= 0xe0000000)
		return SCOPE_MARTIAN;
	if (dst >= 0xe0000000 || dst >> 16 == 0xa9fe)
		return SCOPE_HOST;
	return src >> 16 == 0xa9fe ? SCOPE_LOCAL : SCOPE_FORWARD;
}

static enum scope scope_ipv6(const struct rte_ipv6_hdr *h)
{
	static const uint8_t loopback[16] = {[15] = 1};
	static const uint8_t zero[16];
	const uint8_t *src = h->src_addr;
	const uint8_t *dst = h->dst_addr;

	if (src[0] == 0xff || memcmp(src, loopback, 16) == 0 || memcmp(dst, loopback, 16) == 0 ||
		memcmp(dst, zero, 16) == 0)
		return SCOPE_MARTIAN;
	if (dst[0] == 0xff || (dst[0] == 0xfe && (dst[1] & 0xc0) == 0x80))
		return SCOPE_HOST;
	if ((src[0] == 0xfe && (src[1] & 0xc0) == 0x80) || memcmp(src, zero, 16) == 0)
		return SCOPE_LOCAL;
	return SCOPE_FORWARD;
}

static bool same_flow(const struct route_flow *a, const struct route_flow *b)
{
	return addr_equal(&a->dst, &b->dst) && addr_equal(&a->src, &b->src) && a->iif == b->iif &&
	       a->ip_proto == b->ip_proto && a->tos == b->tos && a->ipv6 == b->ipv6 &&
	       a->has_ports == b->has_ports && a->sport_be == b->sport_be &&
	       a->dport_be == b->dport_be;
}

static bool protocol_has_ports(uint8_t proto)
{
	return proto == IPPROTO_UDP || proto == IPPROTO_TCP || proto == IPPROTO_SCTP ||
	       proto == IPPROTO_DCCP;
}

static void take_ports(struct rte_mbuf *m, uint32_t off, struct route_flow *f)
{
	uint16_t buf[2];
	const void *at;

	if (!protocol_has_ports(f->ip_proto) || m->pkt_len < off + sizeof(buf))
		return;
	at = rte_pktmbuf_read(m, off, sizeof(buf), buf);
	memcpy(&f->sport_be, at, 2);
	memcpy(&f->dport_be, (const uint8_t *)at + 2, 2);
	f->has_ports = true;
}

// Protocol and ports of a packet whose IPv6 header is followed by a fragment header.
static void take_fragment(struct rte_mbuf *m, uint32_t off, bool ports, struct route_flow *f)
{
	struct header_ipv6_frag fh;

	memcpy(&fh, rte_pktmbuf_mtod_offset(m, const void *, off), sizeof(fh));
	f->ip_proto = fh.next;
	if (ports && (fh.offset & RTE_BE16(0xfff8)) == 0)
		take_ports(m, off + (uint32_t)sizeof(fh), f);
}

static void flow_ipv6(struct rte_mbuf *m, const struct packet *p, bool ports, struct route_flow *f)
{
	const struct rte_ipv6_hdr *h = packet_ipv6(m);
	uint32_t off = p->l3_off + (uint32_t)sizeof(*h);

	f->ip_proto = h->proto;
	f->tos = ipv6_traffic_class(h);
	if (unlikely(h->proto == IPPROTO_FRAGMENT))
		take_fragment(m, off, ports, f);
	else if (unlikely(ports))
		take_ports(m, off, f);
}

static void flow_ipv4(struct rte_mbuf *m, const struct packet *p, bool ports, struct route_flow *f)
{
	const struct rte_ipv4_hdr *h = packet_ipv4(m);

	f->ip_proto = h->next_proto_id;
	f->tos = h->type_of_service;
	if (unlikely(ports) && (h->fragment_offset & RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK)) == 0)
		take_ports(m, p->l3_off + (h->version_ihl & 0xfU) * 4, f);
}

static void make_flow(
	struct rte_mbuf *m, const struct packet *p, const bool *wants_ports, struct route_flow *f)
{
	packet_addrs(m, &f->src, &f->dst);
	f->has_ports = false;
	f->sport_be = f->dport_be = 0;
	f->ipv6 = packet_is_ipv6(p);
	// What the box made itself did not come in anywhere.
	f->iif = p->flags & PACKET_F_OURS ? 0 : p->iif;
	if (f->ipv6)
		flow_ipv6(m, p, wants_ports[1], f);
	else
		flow_ipv4(m, p, wants_ports[0], f);
	f->tos &= (uint8_t)~3;
}

// Addresses and protocol choose among equal-cost next hops, so that a flow stays on one path.
static const struct route_result *look_up(
	struct last *last, struct rte_mbuf *m, const struct packet *p)
{
	struct route_flow f;

	make_flow(m, p, last->wants_ports, &f);
	if (last->valid && same_flow(&f, &last->flow))
		return &last->result;
	f.hash = rte_hash_crc(&f.src, 32, f.ip_proto);
	last->flow = f;
	last->valid = true;
	route_lookup(&f, &last->result);
	return &last->result;
}

static void decrement_ttl(struct rte_mbuf *m, const struct packet *p)
{
	struct rte_ipv4_hdr *h;
	uint16_t from, to;

	if (packet_is_ipv6(p)) {
		packet_ipv6(m)->hop_limits--;
		return;
	}
	h = packet_ipv4(m);
	memcpy(&from, &h->time_to_live, 2);
	h->time_to_live--;
	memcpy(&to, &h->time_to_live, 2);
	h->hdr_checksum = checksum_adjust(h->hdr_checksum, from, to);
}

static uint8_t ttl_of(struct rte_mbuf *m, const struct packet *p)
{
	return packet_is_ipv6(p) ? packet_ipv6(m)->hop_limits : packet_ipv4(m)->time_to_live;
}

static void refuse(struct lcore *lc, struct rte_mbuf *m, enum icmp_kind kind, enum st_drop why)
{
	icmp_error(lc, m, kind, 0);
	stage_drop(lc, m, why);
}

static void forward(struct lcore *lc, struct rte_mbuf *m, const struct route_result *r)
{
	struct packet *p = packet_of(m);
	const struct iface *oif = iface_get(r->if_id);

	if (unlikely(r->if_id == 0)) {
		// The kernel's way leaves by an interface that is not ours.
		refuse(lc, m, ICMP_KIND_NET_UNREACHABLE, ST_DROP_no_route);
		return;
	}
	if (unlikely(oif == NULL)) {
		stage_drop(lc, m, ST_DROP_iface_down);
		return;
	}
	if (likely(!(p->flags & PACKET_F_OURS))) {
		if (unlikely(ttl_of(m, p) <= 1)) {
			refuse(lc, m, ICMP_KIND_TTL, ST_DROP_ttl_exceeded);
			return;
		}
		decrement_ttl(m, p);
	}
	p->oif = oif->if_id;
	p->mtu = r->mtu != 0 ? RTE_MIN(r->mtu, oif->mtu) : oif->mtu;
	p->nexthop = r->gateway;
	if (addr_is_zero(&p->nexthop)) {
		struct st_addr src;

		packet_addrs(m, &src, &p->nexthop);
	}
	rte_pktmbuf_adj(m, p->l3_off);
	p->l3_off = p->l4_off = 0;
	p->flags &= ~PACKET_F_BY_HANDOFF;
	stage_push(lc, oif->is_wg ? ST_STAGE_wg_encrypt : ST_STAGE_l2out, m);
}

// What lcores take on a port of this box goes through the stages once more when it comes out of a tunnel.
static bool is_nested(struct rte_mbuf *m, const struct packet *p)
{
	const struct iface *iif = iface_get(p->iif);
	const struct rte_udp_hdr *udp;
	struct st_addr src, dst;
	uint32_t off;

	if (iif == NULL || !iif->is_wg || (p->flags & (PACKET_F_FRAGMENT | PACKET_F_OURS)))
		return false;
	if (packet_is_ipv6(p)) {
		off = p->l3_off + (uint32_t)sizeof(struct rte_ipv6_hdr);
		if (packet_ipv6(m)->proto != IPPROTO_UDP)
			return false;
	} else {
		off = p->l3_off + (packet_ipv4(m)->version_ihl & 0xfU) * 4;
		if (packet_ipv4(m)->next_proto_id != IPPROTO_UDP)
			return false;
	}
	if (!mbuf_pull(m, off + sizeof(*udp)))
		return false;
	udp = rte_pktmbuf_mtod_offset(m, const struct rte_udp_hdr *, off);
	packet_addrs(m, &src, &dst);
	return portmap_lookup(&dst, p->iif, udp->dst_port) != ST_OWNER_KERNEL;
}

static void to_box(struct lcore *lc, struct rte_mbuf *m)
{
	struct packet *p = packet_of(m);

	if (!is_nested(m, p))
		stage_push(lc, ST_STAGE_punt, m);
	else if (++p->passes > WG_PASSES_MAX)
		stage_drop(lc, m, ST_DROP_loop);
	else
		lcore_again(lc, m, ST_STAGE_classify);
}

static void act(struct lcore *lc, struct rte_mbuf *m, const struct route_result *r, enum scope scope)
{
	switch (r->action) {
	case ST_ROUTE_LOCAL:
	case ST_ROUTE_BROADCAST:
		to_box(lc, m);
		return;
	case ST_ROUTE_UNICAST:
		if (scope == SCOPE_FORWARD)
			forward(lc, m, r);
		else
			stage_drop(lc, m, ST_DROP_route_martian);
		return;
	case ST_ROUTE_BLACKHOLE:
		stage_drop(lc, m, r->why);
		return;
	case ST_ROUTE_PROHIBIT:
		refuse(lc, m, ICMP_KIND_PROHIBITED, ST_DROP_route_prohibit);
		return;
	case ST_ROUTE_UNREACHABLE:
		refuse(lc, m,
			packet_is_ipv6(packet_of(m)) ? ICMP_KIND_NET_UNREACHABLE
						     : ICMP_KIND_HOST_UNREACHABLE,
			ST_DROP_no_route);
		return;
	default:
		refuse(lc, m, ICMP_KIND_NET_UNREACHABLE, ST_DROP_no_route);
	}
}

void route_run(struct lcore *lc, struct vec *in)
{
	struct last last = {
		.valid = false, .wants_ports = {route_wants_ports(false), route_wants_ports(true)}};

	for (uint32_t i = 0; i < in->n; i++) {
		struct rte_mbuf *m = in->m[i];
		const struct packet *p = packet_of(m);
		enum scope scope =
			packet_is_ipv6(p) ? scope_ipv6(packet_ipv6(m)) : scope_ipv4(packet_ipv4(m));

		if (unlikely(scope == SCOPE_MARTIAN))
			stage_drop(lc, m, ST_DROP_route_martian);
		else if (unlikely(scope == SCOPE_HOST))
			stage_push(lc, ST_STAGE_punt, m);
		else
			act(lc, m, look_up(&last, m, p), scope);
	}
}
