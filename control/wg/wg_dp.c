// SPDX-License-Identifier: BSD-3-Clause
//
// The data plane comes, goes, comes back and tells what happens: what that means for the peers. Main loop
// thread.
#include "../conn/conn.h"
#include "wg_internal.h"

#include <sodium.h>

#include <string.h>

#define RECOVERY_REFRESH_MS 300

static bool had_session(const struct peer *p, uint64_t now)
{
	uint64_t limit = p->iface->wg->params.reject_after;

	return peer_has_session(p, now) || (p->last_received && now < p->last_received + limit);
}

// Its sessions went with it. Whoever had one is called, a few at a time when they are many.
static void sessions_lost(struct wg *wg)
{
	uint64_t now = wg_now();

	for (uint32_t id = 0; id < wg->ids_end; id++) {
		struct peer *p = wg->peers[id];
		bool had = p && had_session(p, now);

		if (!p)
			continue;
		peer_clear_sessions(p, false);
		p->lost = p->lost || had;
	}
}

void wg_dp_connected(struct wg *wg, bool new_instance)
{
	if (wg->dp_seen && new_instance) {
		sessions_lost(wg);
		for (guint n = 0; n < wg->ifaces->len; n++)
			wg_iface_park(wg->ifaces->pdata[n], true);
	}
	if (!wg->dp_seen)
		wg->recovered = wg_recovered_new();
	wg->dp_seen = true;
}

void wg_dp_item(struct wg *wg, const struct dp_item *item)
{
	if (!wg->recovered)
		wg->recovered = wg_recovered_new();
	wg_recovered_add(wg->recovered, item);
}

static gboolean refresh_later(gpointer arg)
{
	struct wg *wg = arg;

	wg->refresh = 0;
	wg_routes_changed(wg);
	return G_SOURCE_REMOVE;
}

void wg_recovery_end(struct wg *wg)
{
	wg_recover_unpark(wg);
	wg_recover_free_ids(wg);
	g_clear_pointer(&wg->recovered, wg_recovered_free);
	for (guint n = 0; n < wg->ifaces->len; n++)
		wg_iface_park(wg->ifaces->pdata[n], false);
	// Old endpoints were taken as they were; ask the kernel once its routes are mirrored.
	if (!wg->refresh)
		wg->refresh = g_timeout_add(RECOVERY_REFRESH_MS, refresh_later, wg);
}

// Its connection is made anew: what it has is of the earlier id.
static void change_id(struct peer *p, uint32_t id)
{
	struct conn_iface *connections = p->conn ? p->iface->conns : NULL;

	conn_peer_gone(p);
	peer_change_id(p, id);
	if (connections)
		conn_peer_begin(connections, p);
}

// The peer existed before the data plane told that it knows it, mostly since a moment ago and under the right id.
static void adopt_peer(struct peer *p)
{
	struct wg *wg = p->iface->wg;
	uint32_t id = wg_recovered_peer_id(wg->recovered, p->iface->if_id, p->noise.public_key);

	if (id == ST_NO_PEER)
		return;
	if (id != p->id && wg->peers[id]) {
		uint32_t other = peer_id_alloc(wg);

		if (other == ST_NO_PEER)
			return;
		change_id(wg->peers[id], other);
	}
	if (id != p->id)
		change_id(p, id);
	wg_recover_peer(p);
	peer_install(p, NULL, NULL);
	if (!wg_recover_endpoint(p))
		peer_install_endpoint(p);
}

static void adopt_iface(struct wg_iface *i)
{
	for (GList *l = i->peer_list.head; l; l = l->next)
		adopt_peer(l->data);
	if (i->port_pending)
		(void)wg_iface_set_port(i, i->wanted_port);
	wg_iface_install(i);
}

void wg_dp_recovered(struct wg *wg)
{
	if (!wg->recovered)
		wg->recovered = wg_recovered_new();
	wg->recovery_done = true;
	for (guint n = 0; n < wg->ifaces->len; n++)
		adopt_iface(wg->ifaces->pdata[n]);
	// Without a configuration so far, it is wg_apply that takes the rest.
	if (wg->applied)
		wg_recovery_end(wg);
}

void wg_dp_synced(struct wg *wg)
{
	uint32_t lost = 0, spread;
	uint64_t now = wg_now();

	for (uint32_t id = 0; id < wg->ids_end; id++)
		lost += wg->peers[id] && wg->peers[id]->lost;
	spread = lost > 16 ? lost / 4 : 1;
	for (uint32_t id = 0; id < wg->ids_end; id++) {
		struct peer *p = wg->peers[id];

		if (!p || (!p->lost && (!p->timers.persistent || peer_has_session(p, now))))
			continue;
		if (p->lost)
			timers_initiate_at(&p->timers, now + randombytes_uniform(spread));
		else
			peer_initiate(p, false);
		p->lost = false;
		peer_timers_changed(p);
	}
	wg_reconcile(wg);
}

static void event_activity(struct wg *wg, const void *body, uint16_t len)
{
	const struct st_ev_activity *ev = body;
	size_t head = offsetof(struct st_ev_activity, entries);
	uint64_t now = wg_now();

	if (len < head || ev->count > ST_ACTIVITY_MAX ||
		len < head + ev->count * sizeof(struct st_activity))
		return;
	for (uint32_t n = 0; n < ev->count; n++) {
		struct st_activity a;

		memcpy(&a, &ev->entries[n], sizeof(a));
		if (a.peer_id < ST_MAX_PEERS && wg->peers[a.peer_id])
			peer_activity(wg->peers[a.peer_id], &a, now);
	}
}

static void event_expired(struct wg *wg, const struct st_ev_expired *ev)
{
	uint32_t index;
	guint owner;

	if (ev->kind != ST_KEY)
		return;
	memcpy(&index, ev->key, sizeof(index));
	owner = GPOINTER_TO_UINT(wg_index_find(wg->index, index));
	if (owner && wg->peers[owner - 1])
		peer_key_gone(wg->peers[owner - 1], index);
}

// Every event about a peer begins with its id.
static struct peer *event_peer(struct wg *wg, const void *body, uint16_t len, size_t want)
{
	uint32_t id;

	if (len != want)
		return NULL;
	memcpy(&id, body, sizeof(id));
	return id < ST_MAX_PEERS ? wg->peers[id] : NULL;
}

void wg_dp_event(struct wg *wg, uint16_t event, const void *body, uint16_t len, const void *blob,
	uint16_t blob_len)
{
	const struct st_ev_key *key = body;
	struct peer *p;

	switch (event) {
	case ST_EV_KEY_NEEDED:
		p = event_peer(wg, body, len, sizeof(struct st_ev_peer));
		if (p)
			peer_key_needed(p);
		break;
	case ST_EV_KEY_CONFIRMED:
		p = event_peer(wg, body, len, sizeof(*key));
		if (p)
			peer_key_confirmed(p, key->index);
		break;
	case ST_EV_REKEY_DUE:
		p = event_peer(wg, body, len, sizeof(*key));
		if (p)
			peer_rekey_due(p, key->index);
		break;
	case ST_EV_ENDPOINT_SEEN:
		p = event_peer(wg, body, len, sizeof(struct st_ev_endpoint));
		if (p)
			peer_seen_at(p, body);
		break;
	case ST_EV_PEER_ACTIVITY:
		event_activity(wg, body, len);
		break;
	case ST_EV_EXPIRED:
		if (len == sizeof(struct st_ev_expired))
			event_expired(wg, body);
		break;
	case ST_EV_OVERRUN:
		wg_reconcile(wg);
		break;
	case ST_EV_PACKET_IN:
		if (len == sizeof(struct st_packet_io))
			wg_packet_in(wg, body, blob, blob_len);
		break;
	default: // not about WireGuard
		break;
	}
}
