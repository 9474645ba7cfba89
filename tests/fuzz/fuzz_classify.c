// SPDX-License-Identifier: BSD-3-Clause
//
// Frames into stage rx and on through all the others: whatever comes, the lcore survives, and when the
// timeouts are over every mbuf is back. The first byte picks the interface and the lcore.
#include "../unit/dataplane/rig.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	if (rig_init("sodium") != 0)
		abort();
	rig_peer(false);
	rig_key(RIG_INDEX, ST_KEY_INITIATOR);
	rig_passes(4);
	rig_reset();
	// The clock jumps ahead often; without a key packets would wait, as they should.
	atomic_load(&rig.peer->slots[ST_SLOT_CURRENT])->expiry = UINT64_MAX;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	uint16_t if_id = len > 0 && (in[0] & 1) ? RIG_LAN : RIG_WAN;
	struct rte_mbuf *m;

	if (len < 2 || len > 2000)
		return -1;
	m = rte_pktmbuf_alloc(rig.pool);
	memcpy(rte_pktmbuf_append(m, (uint16_t)(len - 1)), in + 1, len - 1);
	if (in[0] & 4)
		rig_rx_host(in[0] >> 1 & 1, in[0] & 8 ? RIG_WG : if_id, m);
	else
		rig_rx(in[0] >> 1 & 1, if_id, m);
	rig_passes(4);
	rig_reset();
	// A fragment, or one that waits for a neighbour, and the error about it that waits for another.
	for (int i = 0; i < 3 && !rig_pool_full(); i++) {
		rig_skip(6);
		rig_passes(4);
		rig_reset();
	}
	if (!rig_pool_full())
		abort();
	return 0;
}
