// SPDX-License-Identifier: BSD-3-Clause
//
// Access to the headers of a packet on the way through the stages, and the few changes of an mbuf chain
// that more than one stage makes.
#pragma once

#include "../packet.h"

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define IPV6_FRAG_LEN 8

struct header_ipv6_frag {
	uint8_t next;
	uint8_t reserved;
	rte_be16_t offset; // offset << 3 | more
	rte_be32_t id;
};
_Static_assert(sizeof(struct header_ipv6_frag) == IPV6_FRAG_LEN, "wire format");

static inline bool packet_is_ipv6(const struct packet *p)
{
	return p->flags & PACKET_F_IPV6;
}

static inline struct rte_ipv4_hdr *packet_ipv4(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, packet_of(m)->l3_off);
}

static inline struct rte_ipv6_hdr *packet_ipv6(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod_offset(m, struct rte_ipv6_hdr *, packet_of(m)->l3_off);
}

// Length of the IP packet. rx has trimmed the frame to it.
static inline uint32_t packet_ip_len(const struct rte_mbuf *m, const struct packet *p)
{
	return m->pkt_len - p->l3_off;
}

// In two whole words: the look-ups load it so, and would stall behind narrower stores.
static inline void addr_from_ipv4(struct st_addr *a, rte_be32_t ip)
{
	const uint64_t w[2] = {0, (uint64_t)ip << 32 | 0xffff0000};

	memcpy(a, w, sizeof(w));
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "bytes 8..11 are 00 00 ff ff");

static inline rte_be32_t addr_to_ipv4(const struct st_addr *a)
{
	rte_be32_t ip;

	memcpy(&ip, a->b + 12, 4);
	return ip;
}

static inline bool addr_equal(const struct st_addr *a, const struct st_addr *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a, 16);
	memcpy(y, b, 16);
	return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

static inline bool addr_is_zero(const struct st_addr *a)
{
	uint64_t x[2];

	memcpy(x, a, 16);
	return (x[0] | x[1]) == 0;
}

// Source and destination of the header at l3_off.
static inline void packet_addrs(struct rte_mbuf *m, struct st_addr *ret_src, struct st_addr *ret_dst)
{
	if (packet_is_ipv6(packet_of(m))) {
		const struct rte_ipv6_hdr *h = packet_ipv6(m);

		memcpy(ret_src->b, h->src_addr, 16);
		memcpy(ret_dst->b, h->dst_addr, 16);
	} else {
		const struct rte_ipv4_hdr *h = packet_ipv4(m);

		addr_from_ipv4(ret_src, h->src_addr);
		addr_from_ipv4(ret_dst, h->dst_addr);
	}
}

static inline uint8_t ipv6_traffic_class(const struct rte_ipv6_hdr *h)
{
	return (uint8_t)(rte_be_to_cpu_32(h->vtc_flow) >> 20);
}

// ECN bits of the header at l3_off.
static inline uint8_t packet_ecn(struct rte_mbuf *m)
{
	return packet_is_ipv6(packet_of(m)) ? ipv6_traffic_class(packet_ipv6(m)) & 3
					    : packet_ipv4(m)->type_of_service & 3;
}

static inline uint8_t packet_dscp(struct rte_mbuf *m)
{
	return (uint8_t)((packet_is_ipv6(packet_of(m)) ? ipv6_traffic_class(packet_ipv6(m))
						       : packet_ipv4(m)->type_of_service) >>
			 2);
}

// Keeps ECN and a right header checksum.
void packet_set_dscp(struct rte_mbuf *m, uint8_t dscp);

enum header_error {
	HEADER_OK = 0,
	HEADER_BAD_VERSION,
	HEADER_BAD_LENGTH,
	HEADER_BAD_CHECKSUM,
};

// Checks version, header length, total length and (IPv4) the header checksum of what begins at l3_off,
// trims what lies behind the packet, and sets PACKET_F_IPV6 and PACKET_F_FRAGMENT. The header, an IPv6
// fragment header included, is then in the first segment.
enum header_error packet_parse_ip(struct rte_mbuf *m);

// Whether the UDP checksum at l4_off is right, or absent where it may be. The length has been checked.
bool packet_udp_checksum_ok(struct rte_mbuf *m);

// The chain surgery behind the four below, for what is not in one segment.
bool mbuf_pull_segments(struct rte_mbuf *m, uint32_t len);
void mbuf_trim_segments(struct rte_mbuf *m, uint32_t len);
void *mbuf_push_segment(struct rte_mempool *pool, struct rte_mbuf **pm, uint16_t len);
void *mbuf_append_segment(struct rte_mempool *pool, struct rte_mbuf *m, uint16_t len);

// Makes the first len bytes contiguous. False when the packet is shorter or there is no room.
static inline bool mbuf_pull(struct rte_mbuf *m, uint32_t len)
{
	return likely(m->data_len >= len) || mbuf_pull_segments(m, len);
}

// Cuts the chain to len bytes, which it has; segments that become empty are freed.
static inline void mbuf_trim_to(struct rte_mbuf *m, uint32_t len)
{
	if (likely(m->next == NULL))
		m->pkt_len = m->data_len = (uint16_t)len;
	else
		mbuf_trim_segments(m, len);
}

// Room for len bytes in front, by a further segment if the headroom is too small: *pm may change. NULL
// when there is no mbuf.
static inline void *mbuf_push(struct rte_mempool *pool, struct rte_mbuf **pm, uint16_t len)
{
	void *at = rte_pktmbuf_prepend(*pm, len);

	return likely(at != NULL) ? at : mbuf_push_segment(pool, pm, len);
}

// len bytes (at most 64) behind the packet, contiguous; NULL when there is no mbuf.
static inline void *mbuf_append(struct rte_mempool *pool, struct rte_mbuf *m, uint16_t len)
{
	void *at = NULL;

	if (likely(m->next == NULL))
		at = rte_pktmbuf_append(m, len);
	return likely(at != NULL) ? at : mbuf_append_segment(pool, m, len);
}
