// SPDX-License-Identifier: BSD-3-Clause
//
// IP fragmentation (RFC 791 section 3.2, RFC 8200 section 4.5). Runs on lcores; takes mbufs from the
// packet pool only.
#include "fragment.h"

#include "checksum.h"
#include "header.h"

#include <errno.h>

struct cut {
	struct rte_mempool *pool;
	struct rte_mbuf *m;
	uint32_t hdr;     // bytes of the IP header
	uint32_t payload; // bytes behind it
	uint32_t chunk;   // payload per fragment, a multiple of 8
	uint32_t id;      // IPv6
};

#define OPTION_END    0
#define OPTION_NOP    1
#define OPTION_COPIED 0x80

// Fragments behind the first carry only the options whose copied flag is set.
static void blank_options(uint8_t *h, uint32_t hdr)
{
	for (uint32_t i = sizeof(struct rte_ipv4_hdr); i < hdr && h[i] != OPTION_END;) {
		uint32_t len = 1;

		if (h[i] != OPTION_NOP) {
			if (i + 1 >= hdr || h[i + 1] < 2 || i + h[i + 1] > hdr)
				return;
			len = h[i + 1];
			if (!(h[i] & OPTION_COPIED))
				memset(h + i, OPTION_NOP, len);
		}
		i += len;
	}
}

static int head_ipv4(const struct cut *c, struct rte_mbuf *f, uint32_t off, uint32_t len, bool more)
{
	struct rte_ipv4_hdr *h = (void *)rte_pktmbuf_prepend(f, (uint16_t)c->hdr);
	uint16_t orig;

	if (h == NULL)
		return -ENOMEM;
	memcpy(h, rte_pktmbuf_mtod(c->m, const void *), c->hdr);
	orig = rte_be_to_cpu_16(h->fragment_offset); // m may be a fragment itself
	if (off > 0)
		blank_options((uint8_t *)h, c->hdr);
	h->total_length = rte_cpu_to_be_16((uint16_t)(c->hdr + len));
	h->fragment_offset =
		rte_cpu_to_be_16((uint16_t)((orig & RTE_IPV4_HDR_OFFSET_MASK) + off / 8) |
				 (more ? RTE_IPV4_HDR_MF_FLAG : orig & RTE_IPV4_HDR_MF_FLAG));
	h->hdr_checksum = 0;
	h->hdr_checksum = (uint16_t)~sum_fold(sum_words(h, c->hdr / 4));
	return 0;
}

static int head_ipv6(const struct cut *c, struct rte_mbuf *f, uint32_t off, uint32_t len, bool more)
{
	uint8_t *at = (void *)rte_pktmbuf_prepend(f, (uint16_t)(c->hdr + IPV6_FRAG_LEN));
	struct rte_ipv6_hdr h;
	struct header_ipv6_frag fh;

	if (at == NULL)
		return -ENOMEM;
	memcpy(&h, rte_pktmbuf_mtod(c->m, const void *), sizeof(h));
	fh = (struct header_ipv6_frag){
		.next = h.proto,
		.offset = rte_cpu_to_be_16((uint16_t)(off | more)),
		.id = rte_cpu_to_be_32(c->id),
	};
	h.proto = IPPROTO_FRAGMENT;
	h.payload_len = rte_cpu_to_be_16((uint16_t)(len + IPV6_FRAG_LEN));
	memcpy(at, &h, sizeof(h));
	memcpy(at + sizeof(h), &fh, sizeof(fh));
	return 0;
}

static struct rte_mbuf *piece(const struct cut *c, uint32_t off)
{
	uint32_t len = RTE_MIN(c->chunk, c->payload - off);
	bool more = off + len < c->payload;
	struct rte_mbuf *f = rte_pktmbuf_copy(c->m, c->pool, c->hdr + off, len);
	struct packet *p;
	int err;

	if (f == NULL)
		return NULL;
	p = packet_of(f);
	*p = *packet_of(c->m);
	// The trace stays with the original, which ends when it has been cut.
	p->flags = (p->flags & ~PACKET_F_TRACED) | PACKET_F_FRAGMENT;
	f->ol_flags = 0; // no offload covers a fragment
	err = packet_is_ipv6(p) ? head_ipv6(c, f, off, len, more) : head_ipv4(c, f, off, len, more);
	if (err != 0) {
		rte_pktmbuf_free(f);
		return NULL;
	}
	return f;
}

int fragment_packet(struct rte_mempool *pool, struct rte_mbuf *m, uint16_t mtu, uint32_t id,
	struct rte_mbuf *out[FRAGMENT_MAX])
{
	struct cut c = {.pool = pool, .m = m, .id = id};
	uint32_t extra = 0;
	int n = 0;

	if (packet_is_ipv6(packet_of(m))) {
		c.hdr = sizeof(struct rte_ipv6_hdr);
		extra = IPV6_FRAG_LEN;
	} else {
		c.hdr = (rte_pktmbuf_mtod(m, const struct rte_ipv4_hdr *)->version_ihl & 0xfU) * 4;
	}
	if (mtu < c.hdr + extra + 8)
		return -EMSGSIZE;
	c.payload = m->pkt_len - c.hdr;
	c.chunk = (mtu - c.hdr - extra) & ~7U;
	if (c.payload > c.chunk * FRAGMENT_MAX)
		return -EMSGSIZE;
	for (uint32_t off = 0; off < c.payload; off += c.chunk) {
		out[n] = piece(&c, off);
		if (out[n] == NULL) {
			rte_pktmbuf_free_bulk(out, (unsigned int)n);
			return -ENOMEM;
		}
		n++;
	}
	return n;
}

bool fragment_allowed(struct rte_mbuf *m)
{
	const struct packet *p = packet_of(m);

	if (packet_is_ipv6(p))
		return (p->flags & PACKET_F_OURS) && !(p->flags & PACKET_F_FRAGMENT);
	return !(packet_ipv4(m)->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG));
}
