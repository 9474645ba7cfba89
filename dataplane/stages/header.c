// SPDX-License-Identifier: BSD-3-Clause
//
// IP header checks and mbuf chain surgery. lcore code: no allocation but from the packet pool.
#include "header.h"

#include "checksum.h"

static enum header_error parse_ipv4(struct rte_mbuf *m, struct packet *p, uint32_t avail)
{
	const struct rte_ipv4_hdr *h = packet_ipv4(m);
	uint32_t ihl = h->version_ihl & 0xf;
	uint32_t len = rte_be_to_cpu_16(h->total_length);

	if (ihl < 5 || len < ihl * 4 || len > avail)
		return HEADER_BAD_LENGTH;
	if (ihl > 5) {
		if (!mbuf_pull(m, p->l3_off + ihl * 4))
			return HEADER_BAD_LENGTH;
		h = packet_ipv4(m);
	}
	if (sum_fold(sum_words(h, ihl)) != 0xffff)
		return HEADER_BAD_CHECKSUM;
	if (h->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK))
		p->flags |= PACKET_F_FRAGMENT;
	if (len < avail)
		mbuf_trim_to(m, p->l3_off + len);
	return HEADER_OK;
}

static enum header_error parse_ipv6(struct rte_mbuf *m, struct packet *p, uint32_t avail)
{
	const struct rte_ipv6_hdr *h;
	uint32_t len;

	if (avail < sizeof(*h) || !mbuf_pull(m, p->l3_off + sizeof(*h)))
		return HEADER_BAD_LENGTH;
	h = packet_ipv6(m);
	len = sizeof(*h) + rte_be_to_cpu_16(h->payload_len);
	if (len > avail)
		return HEADER_BAD_LENGTH;
	p->flags |= PACKET_F_IPV6;
	if (unlikely(h->proto == IPPROTO_FRAGMENT)) {
		if (len < sizeof(*h) + IPV6_FRAG_LEN ||
			!mbuf_pull(m, p->l3_off + sizeof(*h) + IPV6_FRAG_LEN))
			return HEADER_BAD_LENGTH;
		p->flags |= PACKET_F_FRAGMENT;
	}
	if (len < avail)
		mbuf_trim_to(m, p->l3_off + len);
	return HEADER_OK;
}

enum header_error packet_parse_ip(struct rte_mbuf *m)
{
	struct packet *p = packet_of(m);
	uint32_t avail = m->pkt_len - p->l3_off;

	if (m->pkt_len < p->l3_off + sizeof(struct rte_ipv4_hdr) ||
		!mbuf_pull(m, p->l3_off + sizeof(struct rte_ipv4_hdr)))
		return HEADER_BAD_LENGTH;
	switch (*rte_pktmbuf_mtod_offset(m, const uint8_t *, p->l3_off) >> 4) {
	case 4:
		return parse_ipv4(m, p, avail);
	case 6:
		return parse_ipv6(m, p, avail);
	default:
		return HEADER_BAD_VERSION;
	}
}

void packet_set_dscp(struct rte_mbuf *m, uint8_t dscp)
{
	if (packet_is_ipv6(packet_of(m))) {
		struct rte_ipv6_hdr *h = packet_ipv6(m);
		uint32_t w = rte_be_to_cpu_32(h->vtc_flow) & ~(0xfcU << 20);

		h->vtc_flow = rte_cpu_to_be_32(w | (uint32_t)dscp << 22);
	} else {
		struct rte_ipv4_hdr *h = packet_ipv4(m);
		uint8_t tos = (uint8_t)(dscp << 2 | (h->type_of_service & 3));

		h->hdr_checksum = checksum_adjust(h->hdr_checksum,
			rte_cpu_to_be_16(h->type_of_service), rte_cpu_to_be_16(tos));
		h->type_of_service = tos;
	}
}

bool packet_udp_checksum_ok(struct rte_mbuf *m)
{
	const struct packet *p = packet_of(m);
	const struct rte_udp_hdr *udp =
		rte_pktmbuf_mtod_offset(m, const struct rte_udp_hdr *, p->l4_off);
	uint64_t flags = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
	uint64_t sum;

	if (flags == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		return true;
	if (flags == RTE_MBUF_F_RX_L4_CKSUM_BAD)
		return false;
	if (udp->dgram_cksum == 0) // IPv4: the sender made none; IPv6 has no such choice
		return !packet_is_ipv6(p);
	if (packet_is_ipv6(p))
		sum = sum_words(packet_ipv6(m)->src_addr, 8);
	else
		sum = sum_words(&packet_ipv4(m)->src_addr, 2);
	sum += rte_cpu_to_be_16(IPPROTO_UDP);
	sum += udp->dgram_len;
	return sum_fold(sum_mbuf(sum, m, p->l4_off, rte_be_to_cpu_16(udp->dgram_len))) == 0xffff;
}

// Takes up to want bytes out of the segments behind m into m.
static uint32_t pull_from_next(struct rte_mbuf *m, uint32_t want)
{
	struct rte_mbuf *s = m->next;
	uint32_t n = RTE_MIN(want, s->data_len);

	memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len),
		rte_pktmbuf_mtod(s, const uint8_t *), n);
	m->data_len += (uint16_t)n;
	s->data_off += (uint16_t)n;
	s->data_len -= (uint16_t)n;
	if (s->data_len == 0) {
		m->next = s->next;
		m->nb_segs--;
		s->next = NULL;
		s->nb_segs = 1;
		rte_pktmbuf_free_seg(s);
	}
	return n;
}

bool mbuf_pull_segments(struct rte_mbuf *m, uint32_t len)
{
	uint32_t want = len - m->data_len;

	if (m->pkt_len < len || (uint32_t)m->buf_len - m->data_off - m->data_len < want)
		return false;
	while (want > 0)
		want -= pull_from_next(m, want);
	return true;
}

void mbuf_trim_segments(struct rte_mbuf *m, uint32_t len)
{
	struct rte_mbuf *s = m;
	uint32_t left = len;
	uint16_t segs = 1;

	while (left > s->data_len) {
		left -= s->data_len;
		s = s->next;
		segs++;
	}
	s->data_len = (uint16_t)left;
	m->pkt_len = len;
	m->nb_segs = segs;
	while (s->next != NULL) {
		struct rte_mbuf *rest = s->next;

		s->next = rest->next;
		rest->next = NULL;
		rest->nb_segs = 1;
		rte_pktmbuf_free_seg(rest);
	}
}

void *mbuf_push_segment(struct rte_mempool *pool, struct rte_mbuf **pm, uint16_t len)
{
	struct rte_mbuf *m = *pm;
	struct rte_mbuf *h = rte_pktmbuf_alloc(pool);

	if (h == NULL)
		return NULL;
	*packet_of(h) = *packet_of(m);
	h->data_off = (uint16_t)(h->buf_len - len); // all of it headroom for further headers
	h->data_len = len;
	h->pkt_len = m->pkt_len + len;
	h->nb_segs = (uint16_t)(m->nb_segs + 1);
	h->ol_flags = m->ol_flags & ~(RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL);
	h->tx_offload = m->tx_offload;
	h->port = m->port;
	h->next = m;
	*pm = h;
	return rte_pktmbuf_mtod(h, void *);
}

void *mbuf_append_segment(struct rte_mempool *pool, struct rte_mbuf *m, uint16_t len)
{
	void *at = rte_pktmbuf_append(m, len); // of the last segment
	struct rte_mbuf *t;

	if (likely(at != NULL))
		return at;
	t = rte_pktmbuf_alloc(pool);
	if (t == NULL)
		return NULL;
	at = rte_pktmbuf_append(t, len);
	if (rte_pktmbuf_chain(m, t) != 0) {
		rte_pktmbuf_free(t);
		return NULL;
	}
	return at;
}
