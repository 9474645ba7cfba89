// SPDX-License-Identifier: BSD-3-Clause
//
// The ids that peers have in the contract: which are free, and who has which. Main loop thread. Nothing here
// walks all 65536.
#include "peer.h"
#include "wg_internal.h"

// A freed id rests until so many others are free: an answer under way may still be about its former peer.
#define RESTING 1024

static bool taken(const struct wg *wg, uint32_t id)
{
	return wg->peers[id] || (wg->recovered && wg_recovered_has_id(wg->recovered, id));
}

static uint32_t candidate(struct wg *wg)
{
	bool rested = wg->free_ids.length >= RESTING || wg->next_id == ST_MAX_PEERS;

	if (rested && wg->free_ids.length)
		return GPOINTER_TO_UINT(g_queue_pop_head(&wg->free_ids));
	return wg->next_id < ST_MAX_PEERS ? wg->next_id++ : ST_NO_PEER;
}

uint32_t peer_id_alloc(struct wg *wg)
{
	uint32_t id;

	// One that was taken by its number meanwhile comes back when its peer goes.
	do {
		id = candidate(wg);
	} while (id != ST_NO_PEER && taken(wg, id));
	return id;
}

void peer_id_bind(struct peer *p, uint32_t id)
{
	struct wg *wg = p->iface->wg;

	p->id = id;
	wg->peers[id] = p;
	wg->ids_end = MAX(wg->ids_end, id + 1);
}

void peer_id_release(struct peer *p)
{
	struct wg *wg = p->iface->wg;

	wg->peers[p->id] = NULL;
	peer_id_free(wg, p->id);
}

void peer_id_free(struct wg *wg, uint32_t id)
{
	g_queue_push_tail(&wg->free_ids, GUINT_TO_POINTER(id));
}
