// SPDX-License-Identifier: BSD-3-Clause
//
// Keypair slots. A keypair that falls out of them is reported to main, which takes it out of the index
// table and frees it when no lcore can hold it any more.
#include "slots.h"

#include "../stage.h"

static void set(struct peer *peer, unsigned int slot, struct keypair *kp)
{
	atomic_store_explicit(&peer->slots[slot], kp, memory_order_release);
}

static void gone(struct lcore *lc, const struct keypair *kp)
{
	struct lcore_event ev = {.event = LCORE_EV_KEY_GONE};

	if (kp == NULL)
		return;
	ev.peer_id = kp->peer->id;
	ev.index = kp->index;
	lcore_event_push(lc, &ev);
}

static void install_initiator(struct lcore *lc, struct peer *peer, struct keypair *kp)
{
	struct keypair *previous = slot_get(peer, ST_SLOT_PREVIOUS);
	struct keypair *current = slot_get(peer, ST_SLOT_CURRENT);
	struct keypair *next = slot_get(peer, ST_SLOT_NEXT);

	// A pending `next` is younger than current: it is what the peer may still send under.
	set(peer, ST_SLOT_PREVIOUS, next != NULL ? next : current);
	set(peer, ST_SLOT_CURRENT, kp);
	set(peer, ST_SLOT_NEXT, NULL);
	gone(lc, previous);
	if (next != NULL)
		gone(lc, current);
}

static void install_responder(struct lcore *lc, struct peer *peer, struct keypair *kp)
{
	struct keypair *previous = slot_get(peer, ST_SLOT_PREVIOUS);
	struct keypair *next = slot_get(peer, ST_SLOT_NEXT);

	// Current stays: the initiator has not proved yet that it has the new keys.
	set(peer, ST_SLOT_NEXT, kp);
	set(peer, ST_SLOT_PREVIOUS, NULL);
	gone(lc, previous);
	gone(lc, next);
}

void slots_install(struct lcore *lc, struct keypair *kp)
{
	if (kp->initiator)
		install_initiator(lc, kp->peer, kp);
	else
		install_responder(lc, kp->peer, kp);
}

void slots_promote(struct lcore *lc, struct peer *peer)
{
	struct keypair *previous = slot_get(peer, ST_SLOT_PREVIOUS);

	set(peer, ST_SLOT_PREVIOUS, slot_get(peer, ST_SLOT_CURRENT));
	set(peer, ST_SLOT_CURRENT, slot_get(peer, ST_SLOT_NEXT));
	set(peer, ST_SLOT_NEXT, NULL);
	gone(lc, previous);
}

void slots_remove(struct peer *peer, const struct keypair *kp)
{
	for (unsigned int s = 0; s < RTE_DIM(peer->slots); s++)
		if (slot_get(peer, s) == kp)
			set(peer, s, NULL);
}

void slots_clear(struct peer *peer)
{
	for (unsigned int s = 0; s < RTE_DIM(peer->slots); s++)
		set(peer, s, NULL);
}

bool slots_hold(const struct peer *peer, const struct keypair *kp)
{
	return slot_get(peer, ST_SLOT_CURRENT) == kp || slot_get(peer, ST_SLOT_NEXT) == kp ||
	       slot_get(peer, ST_SLOT_PREVIOUS) == kp;
}
