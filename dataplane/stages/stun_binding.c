// SPDX-License-Identifier: BSD-3-Clause
//
// Answers Binding requests in the packet that brought them (RFC 8489 section 7.3.1): no state, 32 bytes
// for 20 (44 over IPv6), 8 more each way with FINGERPRINT. What has attributes that matter goes to straitd.
#include "../stage.h"
#include "checksum.h"
#include "header.h"
#include "turn.h"

#define ANSWER_TTL   64
#define MAPPED_MAX   24 // the attribute with its header, IPv6
#define FINGERPRINTS 8

static uint32_t write_mapped(
	uint8_t *at, const struct st_addr *a, uint16_t port_be, const uint8_t *cookie, bool ipv6)
{
	uint32_t n = ipv6 ? 16 : 4;
	const uint8_t *addr = a->b + 16 - n;

	at[0] = 0;
	at[1] = STUN_XOR_MAPPED;
	at[2] = 0;
	at[3] = (uint8_t)(4 + n);
	at[4] = 0;
	at[5] = ipv6 ? 2 : 1;
	port_be ^= rte_cpu_to_be_16(STUN_COOKIE >> 16);
	memcpy(at + 6, &port_be, 2);
	for (uint32_t i = 0; i < n; i++) // the cookie and the transaction id follow each other
		at[8 + i] = addr[i] ^ cookie[i];
	return 8 + n;
}

// Header, XOR-MAPPED-ADDRESS and, if the request had it, FINGERPRINT. Returns the length.
static uint32_t write_answer(
	uint8_t *msg, const struct st_addr *src, uint16_t port_be, bool ipv6, bool fingerprint)
{
	uint32_t len = STUN_HEADER_LEN;
	rte_be16_t type = RTE_BE16(STUN_BINDING_OK), body;

	len += write_mapped(msg + len, src, port_be, msg + 4, ipv6);
	body = rte_cpu_to_be_16((uint16_t)(len - STUN_HEADER_LEN + (fingerprint ? FINGERPRINTS : 0)));
	memcpy(msg, &type, 2);
	memcpy(msg + 2, &body, 2);
	if (fingerprint) {
		rte_be32_t value = rte_cpu_to_be_32(stun_fingerprint(msg, len));

		memcpy(msg + len,
			(const uint8_t[]){STUN_FINGERPRINT >> 8, STUN_FINGERPRINT & 0xff, 0, 4}, 4);
		memcpy(msg + len + 4, &value, 4);
		len += FINGERPRINTS;
	}
	return len;
}

// Turns addresses and ports round and writes both headers anew in place; IPv4 options are cut off before.
static void write_headers(
	struct rte_mbuf *m, const struct st_addr *src, const struct st_addr *dst, uint16_t ip_id)
{
	const struct packet *p = packet_of(m);
	struct rte_udp_hdr *udp = rte_pktmbuf_mtod_offset(m, struct rte_udp_hdr *, p->l4_off);
	uint16_t len = (uint16_t)(m->pkt_len - p->l4_off), sport = udp->src_port;

	udp->src_port = udp->dst_port;
	udp->dst_port = sport;
	udp->dgram_len = rte_cpu_to_be_16(len);
	udp->dgram_cksum = 0;
	if (packet_is_ipv6(p)) {
		struct rte_ipv6_hdr *h = packet_ipv6(m);

		*h = (struct rte_ipv6_hdr){.vtc_flow = RTE_BE32(6U << 28),
			.payload_len = rte_cpu_to_be_16(len),
			.proto = IPPROTO_UDP,
			.hop_limits = ANSWER_TTL};
		memcpy(h->src_addr, src->b, 16);
		memcpy(h->dst_addr, dst->b, 16);
		udp->dgram_cksum = rte_ipv6_udptcp_cksum(h, udp);
	} else {
		struct rte_ipv4_hdr *h = packet_ipv4(m);

		*h = (struct rte_ipv4_hdr){.version_ihl = RTE_IPV4_VHL_DEF,
			.total_length = rte_cpu_to_be_16((uint16_t)(sizeof(*h) + len)),
			.packet_id = ip_id,
			.time_to_live = ANSWER_TTL,
			.next_proto_id = IPPROTO_UDP,
			.src_addr = addr_to_ipv4(src),
			.dst_addr = addr_to_ipv4(dst)};
		h->hdr_checksum = rte_ipv4_cksum(h);
		udp->dgram_cksum = rte_ipv4_udptcp_cksum(h, udp);
	}
}

// Moves the UDP header and the STUN header up to where the IP header without options ends.
static void strip_options(struct rte_mbuf *m, struct packet *p)
{
	uint32_t head = packet_is_ipv6(p) ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr);
	uint32_t extra = p->l4_off - p->l3_off - head;

	if (likely(extra == 0))
		return;
	memmove(rte_pktmbuf_mtod_offset(m, uint8_t *, extra), rte_pktmbuf_mtod(m, uint8_t *),
		p->l3_off + head);
	rte_pktmbuf_adj(m, (uint16_t)extra);
	p->l4_off = (uint16_t)(p->l4_off - extra);
}

void stun_binding_answer(struct lcore *lc, struct rte_mbuf *m, const struct stun_message *msg)
{
	struct packet *p = packet_of(m);
	bool ipv6 = packet_is_ipv6(p);
	uint32_t want = STUN_HEADER_LEN + (ipv6 ? 24 : 12) + (msg->fingerprint ? FINGERPRINTS : 0);
	struct st_addr src, dst;
	uint32_t begin;

	packet_addrs(m, &src, &dst);
	if (unlikely(!turn_limit_binding(lc, &src))) {
		lc->turn->counts.binding_limited++;
		stage_drop(lc, m, ST_DROP_stun_limited);
		return;
	}
	strip_options(m, p);
	begin = p->l4_off + (uint32_t)sizeof(struct rte_udp_hdr);
	mbuf_trim_to(m, begin + STUN_HEADER_LEN);
	if (unlikely(rte_pktmbuf_append(m, (uint16_t)(want - STUN_HEADER_LEN)) == NULL)) {
		stage_drop(lc, m, ST_DROP_no_mbuf);
		return;
	}
	write_answer(rte_pktmbuf_mtod_offset(m, uint8_t *, begin), &src,
		rte_pktmbuf_mtod_offset(m, struct rte_udp_hdr *, p->l4_off)->src_port, ipv6,
		msg->fingerprint);
	m->ol_flags = 0;
	write_headers(m, &dst, &src, lc->ip_id++);
	p->flags = (p->flags & (PACKET_F_TRACED | PACKET_F_IPV6)) | PACKET_F_OURS;
	lc->turn->counts.binding_requests++;
	stage_push(lc, ST_STAGE_route, m);
}
_Static_assert(MAPPED_MAX == 4 + 4 + 16, "room for an IPv6 address");
