// SPDX-License-Identifier: BSD-3-Clause
//
// Sequences of fragments of one or few packets. Each record of 4 bytes is one fragment: id and family,
// offset, length, flags. Nothing that comes out may be longer than its fragments were, and nothing stays.
#include "../unit/dataplane/rig.h"
#include "stages/header.h"
#include "stages/reassemble.h"

#include <arpa/inet.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	if (rig_init("sodium") != 0)
		abort();
	rig_reset();
	return 0;
}

static struct rte_mbuf *fragment4(const uint8_t *in)
{
	uint32_t len = 20 + 8 + in[2] * 4U;
	struct rte_mbuf *m = rig_udp4(RIG_PEER_V4, RIG_WAN_V4, 1, in[3] & 2 ? RIG_PORT : 9, len);
	struct rte_ipv4_hdr *h = rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *);

	h->packet_id = in[0] & 3;
	h->total_length = htons((uint16_t)(len - (in[3] >> 4)));
	h->fragment_offset = htons((uint16_t)((in[3] & 1 ? 0x2000 : 0) | in[1] << (in[3] & 4)));
	rig_fix_ipv4(m, 0);
	return m;
}

static struct rte_mbuf *fragment6(const uint8_t *in)
{
	uint32_t len = 40 + 8 + 8 + in[2] * 4U;
	struct rte_mbuf *m = rig_udp6("2001:db8:9::9", "2001:db8:2::1", RIG_PORT, len);
	struct rte_ipv6_hdr *h = rte_pktmbuf_mtod(m, struct rte_ipv6_hdr *);
	struct header_ipv6_frag *f = (void *)(h + 1);

	h->proto = IPPROTO_FRAGMENT;
	f->next = IPPROTO_UDP;
	f->reserved = 0;
	f->offset = htons((uint16_t)((in[1] << (in[3] & 4)) << 3 | (in[3] & 1)));
	f->id = in[0] & 3;
	return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	if (len > 4 * 256)
		return -1;
	for (; len >= 4; in += 4, len -= 4) {
		struct rte_mbuf *m = in[0] & 0x80 ? fragment6(in) : fragment4(in);

		rig_ether(m, RIG_WAN);
		rig_rx(in[0] >> 6 & 1, RIG_WAN, m);
		rig_passes(1);
	}
	rig_passes(2);
	rig_skip(6);
	rig_reset();
	if (!rig_pool_full() || reassembly_count(lcores.lc[0]->frags) != 0 ||
		reassembly_count(lcores.lc[1]->frags) != 0)
		abort();
	return 0;
}
