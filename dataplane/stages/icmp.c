// SPDX-License-Identifier: BSD-3-Clause
//
// ICMP errors (RFC 792, 1191, 1812 section 4.3.2; RFC 4443 section 2.4). Runs on lcores.
#include "icmp.h"

#include "../stage.h"
#include "../tables/iface.h"
#include "checksum.h"
#include "header.h"

#define QUOTE_V4 548  // with IP and ICMP header 576 bytes (RFC 1812)
#define QUOTE_V6 1232 // with IP and ICMP header 1280 bytes (RFC 4443)
#define ICMP_LEN 8    // both families
#define ICMP_TTL 64

static const struct {
	uint8_t type4, code4, type6, code6;
} kinds[] = {
	[ICMP_KIND_NET_UNREACHABLE] = {3, 0, 1, 0},
	[ICMP_KIND_HOST_UNREACHABLE] = {3, 1, 1, 3},
	[ICMP_KIND_PROHIBITED] = {3, 13, 1, 1},
	[ICMP_KIND_TOO_BIG] = {3, 4, 2, 0},
	[ICMP_KIND_TTL] = {11, 0, 3, 0},
};

struct icmp_header {
	uint8_t type, code;
	uint16_t csum;
	rte_be32_t arg;
};
_Static_assert(sizeof(struct icmp_header) == ICMP_LEN, "wire format");

static bool is_error4(uint8_t type)
{
	return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

static bool due_ipv4(struct rte_mbuf *m, const struct packet *p)
{
	const struct rte_ipv4_hdr *h = packet_ipv4(m);
	uint32_t src = rte_be_to_cpu_32(h->src_addr);
	uint32_t dst = rte_be_to_cpu_32(h->dst_addr);
	uint32_t off = p->l3_off + (h->version_ihl & 0xfU) * 4;

	if (h->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK))
		return false;
	if (src >> 24 == 0 || src >> 24 == 127 || src >= 0xe0000000 || dst >= 0xe0000000)
		return false;
	if (h->next_proto_id == IPPROTO_ICMP)
		return m->data_len > off && !is_error4(*rte_pktmbuf_mtod_offset(m, uint8_t *, off));
	return true;
}

static bool due_ipv6(struct rte_mbuf *m, const struct packet *p)
{
	const struct rte_ipv6_hdr *h = packet_ipv6(m);
	uint32_t off = p->l3_off + (uint32_t)sizeof(*h);
	static const uint8_t loopback[16] = {[15] = 1};
	static const uint8_t zero[16];
	uint8_t proto = h->proto;

	if (h->src_addr[0] == 0xff || h->dst_addr[0] == 0xff)
		return false;
	if (memcmp(h->src_addr, zero, 16) == 0 || memcmp(h->src_addr, loopback, 16) == 0)
		return false;
	if (proto == IPPROTO_FRAGMENT) {
		struct header_ipv6_frag fh;

		if (m->data_len < off + sizeof(fh))
			return false;
		memcpy(&fh, rte_pktmbuf_mtod_offset(m, uint8_t *, off), sizeof(fh));
		if (fh.offset & rte_cpu_to_be_16(0xfff8))
			return false;
		proto = fh.next;
		off += (uint32_t)sizeof(fh);
	}
	if (proto == IPPROTO_ICMPV6) // types below 128 are errors
		return m->data_len > off && *rte_pktmbuf_mtod_offset(m, uint8_t *, off) >= 128;
	return true;
}

static bool take_token(struct lcore *lc)
{
	uint64_t full = lc->icmp_cost * ICMP_BURST;
	uint64_t add = lc->now - lc->icmp_stamp;

	lc->icmp_stamp = lc->now;
	lc->icmp_tokens = add >= full ? full : RTE_MIN(full, lc->icmp_tokens + add);
	if (lc->icmp_tokens < lc->icmp_cost)
		return false;
	lc->icmp_tokens -= lc->icmp_cost;
	return true;
}

// The address that the error comes from: the receiving interface's. A packet of this very host gets the
// error from the address it was for, since the kernel takes nothing from its own addresses over a TUN.
static bool choose_source(struct rte_mbuf *m, const struct packet *p, struct st_addr *ret_src)
{
	const struct iface *ifc = iface_get(p->iif);
	struct st_addr src;

	if (p->flags & PACKET_F_FROM_HOST) {
		packet_addrs(m, &src, ret_src);
		return true;
	}
	if (ifc == NULL)
		return false;
	*ret_src = packet_is_ipv6(p) ? ifc->addr6 : ifc->addr4;
	return !addr_is_zero(ret_src);
}

static void write_ipv4(struct rte_mbuf *e, const struct st_addr *src, const struct st_addr *dst)
{
	struct rte_ipv4_hdr *h = (void *)rte_pktmbuf_prepend(e, sizeof(*h));

	*h = (struct rte_ipv4_hdr){
		.version_ihl = RTE_IPV4_VHL_DEF,
		.type_of_service = 0xc0, // internetwork control (RFC 1812)
		.total_length = rte_cpu_to_be_16((uint16_t)e->pkt_len),
		.time_to_live = ICMP_TTL,
		.next_proto_id = IPPROTO_ICMP,
		.src_addr = addr_to_ipv4(src),
		.dst_addr = addr_to_ipv4(dst),
	};
	h->hdr_checksum = (uint16_t)~sum_fold(sum_words(h, 5));
}

static void write_ipv6(struct rte_mbuf *e, const struct st_addr *src, const struct st_addr *dst)
{
	uint16_t len = (uint16_t)e->pkt_len;
	struct rte_ipv6_hdr *h = (void *)rte_pktmbuf_prepend(e, sizeof(*h));

	*h = (struct rte_ipv6_hdr){
		.vtc_flow = RTE_BE32(0x60000000),
		.payload_len = rte_cpu_to_be_16(len),
		.proto = IPPROTO_ICMPV6,
		.hop_limits = ICMP_TTL,
	};
	memcpy(h->src_addr, src->b, 16);
	memcpy(h->dst_addr, dst->b, 16);
}

// ICMP header and quotation; the IP header comes in front afterwards.
static struct rte_mbuf *build(
	struct lcore *lc, struct rte_mbuf *m, enum icmp_kind kind, uint32_t arg, bool ipv6)
{
	const struct packet *p = packet_of(m);
	uint32_t quote = RTE_MIN(packet_ip_len(m, p), ipv6 ? QUOTE_V6 : (uint32_t)QUOTE_V4);
	struct rte_mbuf *e = rte_pktmbuf_copy(m, lc->pool, p->l3_off, quote);
	struct icmp_header *h;

	if (e == NULL)
		return NULL;
	e->ol_flags = 0;
	h = (void *)rte_pktmbuf_prepend(e, sizeof(*h));
	if (h == NULL) {
		rte_pktmbuf_free(e);
		return NULL;
	}
	*h = (struct icmp_header){
		.type = ipv6 ? kinds[kind].type6 : kinds[kind].type4,
		.code = ipv6 ? kinds[kind].code6 : kinds[kind].code4,
		.arg = rte_cpu_to_be_32(arg),
	};
	return e;
}

static void set_checksum(
	struct rte_mbuf *e, bool ipv6, const struct st_addr *src, const struct st_addr *dst)
{
	uint64_t sum = 0;

	if (ipv6) {
		sum = sum_bytes(sum_bytes(0, src, 16), dst, 16);
		sum += rte_cpu_to_be_16((uint16_t)e->pkt_len);
		sum += rte_cpu_to_be_16(IPPROTO_ICMPV6);
	}
	sum = sum_mbuf(sum, e, 0, e->pkt_len);
	rte_pktmbuf_mtod(e, struct icmp_header *)->csum = (uint16_t)~sum_fold(sum);
}

void icmp_error(struct lcore *lc, struct rte_mbuf *m, enum icmp_kind kind, uint32_t arg)
{
	const struct packet *p = packet_of(m);
	bool ipv6 = packet_is_ipv6(p);
	struct st_addr src, dst, unused;
	struct rte_mbuf *e;
	struct packet *ep;

	if ((p->flags & (PACKET_F_OURS | PACKET_F_KEEPALIVE)) ||
		!(ipv6 ? due_ipv6(m, p) : due_ipv4(m, p)) || !choose_source(m, p, &src) ||
		!take_token(lc)) {
		lc->drops[ST_DROP_icmp_limited]++;
		return;
	}
	e = build(lc, m, kind, arg, ipv6);
	if (e == NULL) {
		lc->drops[ST_DROP_no_mbuf]++;
		return;
	}
	packet_addrs(m, &dst, &unused);
	set_checksum(e, ipv6, &src, &dst);
	if (ipv6)
		write_ipv6(e, &src, &dst);
	else
		write_ipv4(e, &src, &dst);
	ep = packet_of(e);
	memset(ep, 0, sizeof(*ep));
	ep->flags = PACKET_F_OURS | (ipv6 ? PACKET_F_IPV6 : 0);
	ep->iif = p->iif;
	ep->passes = p->passes;
	ep->stamp = lc->now;
	lcore_again(lc, e, ST_STAGE_route);
}
