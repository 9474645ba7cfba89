// SPDX-License-Identifier: BSD-3-Clause
//
// The three keypair slots of a peer and WireGuard's rules for them (paper section 6.2). Owner lcore only.
#pragma once

#include "../lcore.h"
#include "../tables/peer.h"

// As initiator: current, and what it displaces moves on. As responder: next.
void slots_install(struct lcore *lc, struct keypair *kp);
// The first authenticated packet under `next`: it becomes current.
void slots_promote(struct lcore *lc, struct peer *peer);
void slots_remove(struct peer *peer, const struct keypair *kp);
void slots_clear(struct peer *peer);
bool slots_hold(const struct peer *peer, const struct keypair *kp);

static inline struct keypair *slot_get(const struct peer *peer, unsigned int slot)
{
	return atomic_load_explicit(&peer->slots[slot], memory_order_acquire);
}

// The keypair to send under at time now, or NULL.
static inline struct keypair *slots_sending(const struct peer *peer, uint64_t now)
{
	struct keypair *kp = slot_get(peer, ST_SLOT_CURRENT);

	if (kp == NULL || kp->expiry <= now ||
		atomic_load_explicit(&kp->send_counter, memory_order_relaxed) >= REJECT_AFTER_MESSAGES)
		return NULL;
	return kp;
}
