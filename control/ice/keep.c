// SPDX-License-Identifier: BSD-3-Clause
//
// Nominated pairs without an agent: their life, the one timer for all, and the allocation under a relayed
// pair. Main loop thread.
#include "keep_internal.h"

#include <sodium.h>

#include <errno.h>

#define SILENCE_MS 700 // we send and hear nothing

// --- timer ----------------------------------------------------------------------------------------------

static guint tid_hash(gconstpointer p)
{
	guint h;

	memcpy(&h, p, sizeof(h));
	return h;
}

static gboolean tid_equal(gconstpointer a, gconstpointer b)
{
	return !memcmp(a, b, STUN_TID_LEN);
}

static gboolean on_tick(gpointer arg)
{
	struct ice_wheel *w = arg;
	uint64_t now = ice_now();
	struct wheel_entry *e;

	while ((e = wheel_expire(&w->wheel, now)))
		keep_tick((struct ice_keep *)e, now);
	if (w->wheel.count)
		return G_SOURCE_CONTINUE;
	w->timer = 0;
	return G_SOURCE_REMOVE;
}

struct ice_wheel *ice_wheel_new(struct ice *ice)
{
	struct ice_wheel *w = g_new0(struct ice_wheel, 1);

	w->ice = ice;
	wheel_init(&w->wheel, ice_now());
	w->by_tid = g_hash_table_new(tid_hash, tid_equal);
	return w;
}

void ice_wheel_free(struct ice_wheel *w)
{
	if (w->timer)
		g_source_remove(w->timer);
	g_hash_table_destroy(w->by_tid);
	g_free(w);
}

void keep_arm(struct ice_keep *k, uint64_t due)
{
	struct ice_wheel *w = k->ice->wheel;

	if (!k->entry.next || due < k->entry.due)
		wheel_set(&w->wheel, &k->entry, due);
	if (!w->timer)
		w->timer = g_timeout_add(WHEEL_TICK_MS, on_tick, w);
}

void ice_keep_activity(struct ice_keep *k, const struct st_activity *a)
{
	uint64_t now = ice_now();

	if (a->flags & ST_ACT_ANY_RECEIVED && a->selected_received_age_ms < SILENCE_MS)
		k->heard = MAX(k->heard, now - a->selected_received_age_ms);
	if (!(a->flags & ST_ACT_DATA_SENT))
		return;
	if (now <= k->heard + SILENCE_MS) {
		k->fast_since = 0;
		return;
	}
	k->fast_until = now + KEEP_FAST_FOR_MS;
	if (k->fast_since || k->lost)
		return;
	k->fast_since = now;
	k->check_due = now;
	keep_arm(k, now);
}

void ice_keep_give_up(struct ice_keep *k)
{
	uint64_t now = ice_now();

	if (k->lost)
		return;
	k->lost = true;
	k->fast_since = k->check_due = now;
	k->fast_until = now + KEEP_FAST_FOR_MS;
	keep_arm(k, now);
}

// --- the allocation -------------------------------------------------------------------------------------

static void on_bound(void *arg)
{
	struct ice_keep *k = arg;

	if (!k->path.relayed)
		return;
	turn_client_describe(k->turn, &k->path.remote, k->path.remote_port_be, &k->path.relay);
	k->ops->renominated(&k->path, k->arg);
}

// It may come out of a tick or of a datagram; the op is called from the next tick.
static void on_turn_lost(const char *why, void *arg)
{
	struct ice_keep *k = arg;

	k->turn_lost = g_intern_string(why);
	keep_arm(k, ice_now());
}

static const struct turn_client_ops turn_ops = {on_bound, on_turn_lost};

// --- life -----------------------------------------------------------------------------------------------

struct ice_keep *keep_begin(struct ice *ice, uint32_t peer_id, const struct ice_path *path,
	const struct ice_keep_ops *ops, void *arg)
{
	struct ice_keep *k = g_new0(struct ice_keep, 1);
	struct ice_owner *old;

	k->ice = ice;
	k->peer_id = peer_id;
	k->path = *path;
	k->ops = ops;
	k->arg = arg;
	randombytes_buf(&k->tie_breaker, sizeof(k->tie_breaker));
	k->owner = (struct ice_owner){ICE_OWNER_KEEP, &k->path.ours};
	old = g_hash_table_lookup(ice->owners, k->path.ours.ufrag);
	if (old && old->kind == ICE_OWNER_KEEP)
		k->older = keep_of(old);
	if (old) // its agent: from here on checks are answered here
		ice_owner_remove(ice, old);
	(void)ice_owner_add(ice, &k->owner);
	g_hash_table_add(ice->keeps, k);
	k->answered = k->heard = ice_now();
	return k;
}

void keep_start(struct ice_keep *k, uint64_t first_check)
{
	if (k->turn)
		turn_client_adopt(k->turn, &k->path.remote, k->path.remote_port_be, &turn_ops, k);
	k->check_due = first_check;
	keep_arm(k, k->turn ? ice_now() : first_check);
}

struct ice_keep *ice_keep_new(struct ice *ice, uint32_t peer_id, const struct ice_path *path,
	const struct ice_keep_ops *ops, void *arg)
{
	struct turn_client *turn = NULL;
	struct ice_keep *k;

	if (path->relayed) {
		turn = ice_agent_relay(ice, &path->ours, &path->relay);
		if (!turn) {
			errno = ENOENT;
			return NULL;
		}
	}
	k = keep_begin(ice, peer_id, path, ops, arg);
	k->turn = turn;
	keep_start(k, ice_now() + keep_pace(k));
	return k;
}

// The older pairs of its attempt go on answering.
static void owner_leave(struct ice_keep *k)
{
	struct ice_owner *o = g_hash_table_lookup(k->ice->owners, k->path.ours.ufrag);

	if (o == &k->owner) {
		ice_owner_remove(k->ice, o);
		if (k->older)
			(void)ice_owner_add(k->ice, &k->older->owner);
		return;
	}
	for (struct ice_keep *n = o && o->kind == ICE_OWNER_KEEP ? keep_of(o) : NULL; n;
		n = n->older) {
		if (n->older == k)
			n->older = k->older;
	}
}

void ice_keep_free(struct ice_keep *k)
{
	if (!k)
		return;
	for (unsigned int n = 0; n < KEEP_CHECKS; n++) {
		if (k->checks[n].used)
			g_hash_table_remove(k->ice->wheel->by_tid, k->checks[n].tid);
	}
	wheel_remove(&k->ice->wheel->wheel, &k->entry);
	owner_leave(k);
	g_hash_table_remove(k->ice->keeps, k);
	if (k->detached)
		turn_client_detach(k->turn);
	else
		turn_client_release(k->turn);
	sodium_memzero(k, sizeof(*k));
	g_free(k);
}

void ice_keeps_detach(struct ice *ice)
{
	GHashTableIter it;
	gpointer key;

	g_hash_table_iter_init(&it, ice->keeps);
	while (g_hash_table_iter_next(&it, &key, NULL)) {
		((struct ice_keep *)key)->detached = true;
		ice_keep_free(key);
		g_hash_table_iter_init(&it, ice->keeps);
	}
}

void ice_keeps_park(struct ice *ice)
{
	GHashTableIter it;
	gpointer key;

	g_hash_table_iter_init(&it, ice->keeps);
	while (g_hash_table_iter_next(&it, &key, NULL)) {
		struct ice_keep *k = key;

		if (k->turn)
			turn_client_park(k->turn);
	}
}

void ice_keeps_port_changed(struct ice *ice, uint16_t before_be)
{
	GList *all = g_hash_table_get_keys(ice->keeps);

	for (GList *l = all; l; l = l->next) {
		struct ice_keep *k = l->data;

		if (!g_hash_table_contains(ice->keeps, k) || k->path.relayed ||
			k->path.local_port_be != before_be)
			continue;
		k->path.local_port_be = ice->port_be;
		k->mapped = (struct st_addr){0};
		k->check_due = ice_now();
		keep_arm(k, k->check_due);
		k->ops->renominated(&k->path, k->arg);
	}
	g_list_free(all);
}

int ice_keep_send(struct ice_keep *k, const void *data, size_t len)
{
	if (!k->path.relayed || !k->turn)
		return -EOPNOTSUPP;
	return turn_client_send(k->turn, &k->path.remote, k->path.remote_port_be, data, len);
}

const struct ice_path *ice_keep_path(const struct ice_keep *k)
{
	return &k->path;
}

bool ice_keep_is_lost(const struct ice_keep *k)
{
	return k->lost;
}

uint32_t ice_keep_heard_ms(const struct ice_keep *k)
{
	return k->ever_heard ? (uint32_t)MIN(ice_now() - k->heard, UINT32_MAX - 1) : UINT32_MAX;
}
