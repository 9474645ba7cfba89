// SPDX-License-Identifier: BSD-3-Clause
//
// What the WireGuard stages share.
#pragma once

#include "../lcore.h"
#include "../tables/peer.h"

// Tells main, once until it has looked, that the counts of this peer moved.
static inline void wg_report_activity(struct lcore *lc, struct peer *peer)
{
	struct lcore_event ev = {.event = ST_EV_PEER_ACTIVITY, .peer_id = peer->id};

	if (likely(atomic_load_explicit(&peer->activity_pending, memory_order_relaxed) != 0) ||
		atomic_exchange_explicit(&peer->activity_pending, 1, memory_order_acq_rel) != 0)
		return;
	if (!lcore_event_push(lc, &ev))
		atomic_store_explicit(&peer->activity_pending, 0, memory_order_release);
}

// An empty data packet under the current keypair, or the one that starts a handshake. Owner only.
void wg_keepalive(struct lcore *lc, struct peer *peer);

// Tunnels in tunnels: how often one packet may pass through this box.
#define WG_PASSES_MAX 4
