// SPDX-License-Identifier: BSD-3-Clause
//
// TCP MSS clamping. Runs on lcores in wg_accept and wg_encrypt.
#include "mss.h"

#include "checksum.h"
#include "header.h"

#include <rte_tcp.h>

#define TCP_OPT_END 0
#define TCP_OPT_NOP 1
#define TCP_OPT_MSS 2

// The MSS option's value within len bytes of options, or NULL.
static uint8_t *find_mss(uint8_t *opt, uint32_t len)
{
	for (uint32_t i = 0; i < len && opt[i] != TCP_OPT_END;) {
		if (opt[i] == TCP_OPT_NOP) {
			i++;
			continue;
		}
		if (i + 1 >= len || opt[i + 1] < 2 || i + opt[i + 1] > len)
			return NULL;
		if (opt[i] == TCP_OPT_MSS)
			return opt[i + 1] == 4 ? opt + i + 2 : NULL;
		i += opt[i + 1];
	}
	return NULL;
}

static void clamp(struct rte_tcp_hdr *tcp, uint32_t hdr_len, uint16_t limit)
{
	uint8_t *v = find_mss((uint8_t *)(tcp + 1), hdr_len - (uint32_t)sizeof(*tcp));
	uint16_t mss, from, to;
	bool odd;

	if (v == NULL)
		return;
	mss = (uint16_t)(v[0] << 8 | v[1]);
	if (mss <= limit)
		return;
	// In the checksum the value may straddle two words; then it counts with its bytes swapped.
	odd = (uintptr_t)(v - (uint8_t *)tcp) & 1;
	from = odd ? mss : rte_cpu_to_be_16(mss);
	to = odd ? limit : rte_cpu_to_be_16(limit);
	v[0] = (uint8_t)(limit >> 8);
	v[1] = (uint8_t)limit;
	tcp->cksum = checksum_adjust(tcp->cksum, from, to);
}

// Offset of the TCP header, 0 when the packet is not TCP, or a fragment, or has extension headers.
static uint32_t tcp_offset(struct rte_mbuf *m, const struct packet *p)
{
	const struct rte_ipv4_hdr *h;

	if (packet_is_ipv6(p))
		return packet_ipv6(m)->proto == IPPROTO_TCP
			       ? p->l3_off + (uint32_t)sizeof(struct rte_ipv6_hdr)
			       : 0;
	h = packet_ipv4(m);
	if (h->next_proto_id != IPPROTO_TCP ||
		(h->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK)))
		return 0;
	return p->l3_off + (h->version_ihl & 0xfU) * 4;
}

void mss_clamp(struct rte_mbuf *m, uint16_t mtu)
{
	const struct packet *p = packet_of(m);
	uint32_t off = tcp_offset(m, p);
	uint32_t fixed = sizeof(struct rte_tcp_hdr) + (packet_is_ipv6(p) ? 40 : 20);
	struct rte_tcp_hdr *tcp;
	uint32_t len;

	if (likely(off == 0) || mtu <= fixed || !mbuf_pull(m, off + sizeof(*tcp)))
		return;
	tcp = rte_pktmbuf_mtod_offset(m, struct rte_tcp_hdr *, off);
	if (likely(!(tcp->tcp_flags & RTE_TCP_SYN_FLAG)))
		return;
	len = (tcp->data_off >> 4) * 4U;
	if (len <= sizeof(*tcp) || !mbuf_pull(m, off + len))
		return;
	tcp = rte_pktmbuf_mtod_offset(m, struct rte_tcp_hdr *, off);
	clamp(tcp, len, (uint16_t)(mtu - fixed));
}
