// SPDX-License-Identifier: BSD-3-Clause
//
// Drains the lcores' event rings, translates, and keeps the list of peers with fresh activity. A peer
// stays on it for one turn more than it has news: an lcore may add to its counters while the flag that
// announces them is being cleared. main only.
#include "events.h"

#include "../lcore.h"
#include "../tables/peer.h"
#include "api_server.h"
#include "object.h"

#include <rte_cycles.h>

#include <stddef.h>
#include <string.h>

#define ACTIVITY_MS     50
#define DIRTY_TURNS     2
#define EVENTS_PER_TURN 1024 // of one lcore

enum { DATA_SENT, ANY_SENT, DATA_RECEIVED, ANY_RECEIVED };

static struct {
	uint32_t dirty[ST_MAX_PEERS]; // peer ids
	uint32_t nb_dirty;
	uint64_t told; // TSC of the last ACTIVITY turn
	uint64_t lost[LCORE_MAX];
} ev_state;

// ---- activity ----

static void dirty_add(uint32_t peer_id)
{
	struct peer *peer = peer_by_id(peer_id);

	if (peer == NULL)
		return;
	if (peer->main->dirty == 0) {
		if (ev_state.nb_dirty == ST_MAX_PEERS)
			return; // ids of peers that are gone fill the list until the next turn
		ev_state.dirty[ev_state.nb_dirty++] = peer_id;
	}
	peer->main->dirty = DIRTY_TURNS;
}

static uint32_t age_ms(uint64_t now, uint64_t stamp)
{
	uint64_t ms;

	if (stamp == 0)
		return UINT32_MAX;
	ms = stamp >= now ? 0 : (now - stamp) / (rte_get_tsc_hz() / 1000);
	return ms >= UINT32_MAX ? UINT32_MAX - 1 : (uint32_t)ms;
}

// True if something happened since the last time.
static bool activity_fill(struct peer *peer, uint64_t now, struct st_activity *ret)
{
	struct peer_counts sum;
	uint64_t *seen = peer->main->seen;
	uint32_t flags = 0;

	atomic_store_explicit(&peer->activity_pending, 0, memory_order_seq_cst);
	peer_counts_sum(peer, &sum);
	if (sum.data_sent > seen[DATA_SENT])
		flags |= ST_ACT_DATA_SENT;
	if (sum.any_sent > seen[ANY_SENT] && sum.any_sent > sum.data_sent)
		flags |= ST_ACT_KEEPALIVE_SENT;
	if (sum.data_received > seen[DATA_RECEIVED])
		flags |= ST_ACT_DATA_RECEIVED;
	if (sum.any_received > seen[ANY_RECEIVED])
		flags |= ST_ACT_ANY_RECEIVED;
	seen[DATA_SENT] = sum.data_sent;
	seen[ANY_SENT] = sum.any_sent;
	seen[DATA_RECEIVED] = sum.data_received;
	seen[ANY_RECEIVED] = sum.any_received;
	*ret = (struct st_activity){
		.peer_id = peer->id,
		.flags = flags,
		.data_sent_age_ms = age_ms(now, sum.data_sent),
		.data_received_age_ms = age_ms(now, sum.data_received),
		.any_received_age_ms = age_ms(now, sum.any_received),
		.any_sent_age_ms = age_ms(now, sum.any_sent),
		.selected_received_age_ms = age_ms(now, endpoint_selected_stamp(peer)),
	};
	return flags != 0;
}

static void activity_send(struct st_ev_activity *batch)
{
	if (batch->count == 0)
		return;
	api_server_event(ST_EV_PEER_ACTIVITY, batch,
		(uint16_t)(offsetof(struct st_ev_activity, entries) +
			   batch->count * sizeof(batch->entries[0])),
		NULL, 0);
	batch->count = 0;
}

static void activity_tell(void)
{
	struct st_ev_activity batch = {.count = 0};
	uint64_t now = rte_rdtsc();
	uint32_t kept = 0;

	for (uint32_t i = 0; i < ev_state.nb_dirty; i++) {
		struct peer *peer = peer_by_id(ev_state.dirty[i]);

		if (peer == NULL || peer->main->dirty == 0)
			continue; // gone, or another peer under the same id
		if (activity_fill(peer, now, &batch.entries[batch.count]))
			batch.count++;
		if (batch.count == ST_ACTIVITY_MAX)
			activity_send(&batch);
		if (--peer->main->dirty > 0)
			ev_state.dirty[kept++] = peer->id;
	}
	activity_send(&batch);
	ev_state.nb_dirty = kept;
}

// ---- the others ----

static void tell_peer(uint16_t event, const struct lcore_event *e)
{
	struct st_ev_peer out = {.peer_id = e->peer_id};

	api_server_event(event, &out, sizeof(out), NULL, 0);
}

static void tell_key(uint16_t event, const struct lcore_event *e)
{
	struct st_ev_key out = {.peer_id = e->peer_id, .index = e->index};

	api_server_event(event, &out, sizeof(out), NULL, 0);
}

static void tell_endpoint(const struct lcore_event *e)
{
	struct st_ev_endpoint out = {
		.peer_id = e->peer_id,
		.if_id = e->if_id,
		.local = e->local,
		.remote = e->remote,
		.local_port_be = e->local_port_be,
		.remote_port_be = e->remote_port_be,
	};
	struct peer *peer = peer_by_id(e->peer_id);

	if (peer != NULL)
		endpoint_spare(peer);
	api_server_event(ST_EV_ENDPOINT_SEEN, &out, sizeof(out), NULL, 0);
}

static void tell_neigh(const struct lcore_event *e)
{
	struct st_ev_neigh out = {.key = {.if_id = e->if_id, .addr = e->remote}};

	api_server_event(ST_EV_NEIGH_NEEDED, &out, sizeof(out), NULL, 0);
}

static void key_gone(const struct lcore_event *e)
{
	struct st_key_key key = {.index = e->index};

	object_del(ST_KEY, &key, sizeof(key)); // -ENOENT: it has been deleted meanwhile
}

static void translate(const struct lcore_event *e)
{
	switch (e->event) {
	case ST_EV_KEY_NEEDED:
		tell_peer(ST_EV_KEY_NEEDED, e);
		break;
	case ST_EV_KEY_CONFIRMED:
	case ST_EV_REKEY_DUE:
		tell_key((uint16_t)e->event, e);
		break;
	case ST_EV_ENDPOINT_SEEN:
		tell_endpoint(e);
		break;
	case ST_EV_NEIGH_NEEDED:
		tell_neigh(e);
		break;
	case ST_EV_PEER_ACTIVITY:
		dirty_add(e->peer_id);
		break;
	case LCORE_EV_KEY_GONE:
		key_gone(e);
		break;
	default:
		break;
	}
}

static bool drain(struct lcore *lc)
{
	struct lcore_event e;
	unsigned int n = 0;
	uint64_t lost;

	while (n < EVENTS_PER_TURN && rte_ring_sc_dequeue_elem(lc->events, &e, sizeof(e)) == 0) {
		translate(&e);
		n++;
	}
	lost = atomic_load_explicit(&lc->events_lost, memory_order_relaxed);
	if (lost != ev_state.lost[lc->id]) {
		api_server_lost(lost - ev_state.lost[lc->id]);
		ev_state.lost[lc->id] = lost;
	}
	return n > 0;
}

bool events_poll(void)
{
	uint64_t now = rte_rdtsc();
	bool any = false;

	for (uint16_t i = 0; i < lcores.nb; i++)
		any = drain(lcores.lc[i]) || any;
	if (ev_state.nb_dirty > 0 && now - ev_state.told >= rte_get_tsc_hz() / 1000 * ACTIVITY_MS) {
		ev_state.told = now;
		activity_tell();
	}
	return any;
}

void events_expired(uint16_t kind, const void *key, uint16_t key_len)
{
	struct st_ev_expired out = {.kind = kind};

	memcpy(out.key, key, key_len < sizeof(out.key) ? key_len : sizeof(out.key));
	api_server_event(ST_EV_EXPIRED, &out, sizeof(out), NULL, 0);
}
