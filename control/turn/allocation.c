// SPDX-License-Identifier: BSD-3-Clause
//
// Allocations with their permissions and channels (RFC 8656 sections 3.2, 9, 12); see core.h. Main loop thread.
// Deadlines of permissions and channels are the data plane's to keep; here they say what an answer must be and
// what may be forgotten.
#include "../addr.h"
#include "core.h"

#include <sodium.h>

#include <arpa/inet.h>
#include <string.h>

bool turn_allocation_lives(struct turn_core *c, struct turn_allocation *a)
{
	bool lives = false;

	for (int f = 0; f < TURN_FAMILIES; f++) {
		if (a->relayed[f].used && a->relayed[f].until_ms <= c->now_ms)
			turn_relayed_drop(c, a, f);
		lives = lives || a->relayed[f].used;
	}
	if (!lives)
		turn_allocation_free(c, a);
	return lives;
}

struct turn_allocation *turn_allocation_find(struct turn_core *c, const struct turn_tuple *tuple)
{
	struct turn_allocation *a = g_hash_table_lookup(c->by_tuple, tuple);

	return a && turn_allocation_lives(c, a) ? a : NULL;
}

struct turn_allocation *turn_allocation_by_id(struct turn_core *c, uint32_t id)
{
	return g_hash_table_lookup(c->by_id, GUINT_TO_POINTER(id));
}

struct turn_allocation *turn_allocation_by_relayed(
	struct turn_core *c, const struct st_addr *addr, uint16_t port_be)
{
	struct st_relay_key key = {.relay = *addr, .relay_port_be = port_be};

	return g_hash_table_lookup(c->by_relayed, &key);
}

struct turn_relayed *turn_allocation_for(struct turn_allocation *a, const struct st_addr *peer)
{
	struct turn_relayed *x = &a->relayed[addr_is_v4(peer) ? TURN_V4 : TURN_V6];

	return x->used ? x : NULL;
}

// ---- the buckets of users --------------------------------------------------------------------------

static unsigned int *sessions_of(struct turn_user *u, uint16_t transport)
{
	return transport == TURN_UDP ? &u->on_lcores : &u->in_kernel;
}

uint64_t turn_user_share(const struct turn_user *user, uint64_t whole)
{
	return user->on_lcores && user->in_kernel ? MAX(1, whole / 2) : whole;
}

static struct turn_user *user_get(struct turn_core *c, const struct turn_allocation *a, uint32_t id)
{
	const char *name = turn_auth_quota_name(&a->identity);
	struct turn_user *u;

	if (!name)
		return NULL;
	u = g_hash_table_lookup(c->users, name);
	if (!u) {
		u = g_new0(struct turn_user, 1);
		u->id = id ? id : ++c->next_user_id;
		u->bytes = (struct turn_bytes){(double)c->config->limits.user_burst_bytes, c->now_ms};
		c->next_user_id = MAX(c->next_user_id, u->id);
		g_hash_table_insert(c->users, g_strdup(name), u);
	}
	if (!(*sessions_of(u, a->tuple.transport))++)
		turn_install_user(c, u); // it is new, or the shares are others
	return u;
}

static void user_put(struct turn_core *c, const struct turn_allocation *a)
{
	struct turn_user *u = a->user;

	if (!u || --*sessions_of(u, a->tuple.transport))
		return;
	if (u->on_lcores || u->in_kernel) {
		turn_install_user(c, u);
		return;
	}
	turn_remove_user(c, u->id);
	g_hash_table_remove(c->users, turn_auth_quota_name(&a->identity));
}

// ---- credentials that end --------------------------------------------------------------------------

uint32_t turn_identity_lifetime(
	const struct turn_core *c, const struct turn_identity *identity, uint32_t lifetime)
{
	int64_t left = identity->expires_s - c->wall_s;

	if (!c->config->strict_expiry || !identity->expires_s)
		return lifetime;
	return (uint32_t)MIN((double)lifetime, (double)MAX(1, left) * c->scale);
}

void turn_allocation_shorten(struct turn_core *c, struct turn_allocation *a)
{
	uint32_t most = turn_identity_lifetime(c, &a->identity, c->config->max_lifetime_s);
	uint64_t until = c->now_ms + turn_core_scaled_ms(c, most);

	for (int f = 0; f < TURN_FAMILIES; f++) {
		struct turn_relayed *x = &a->relayed[f];

		if (!x->used || x->until_ms <= until)
			continue;
		x->until_ms = until;
		turn_install_relay(c, a, f, NULL, NULL);
	}
	turn_allocation_schedule(c, a);
}

// ---- life ------------------------------------------------------------------------------------------

static uint32_t fresh_id(struct turn_core *c)
{
	do {
		c->next_id++;
	} while (!c->next_id || turn_allocation_by_id(c, c->next_id));
	return c->next_id;
}

struct turn_allocation *turn_allocation_new(struct turn_core *c, const struct turn_tuple *tuple,
	const struct turn_identity *identity, uint32_t id, uint32_t user_id)
{
	struct turn_allocation *a = g_new0(struct turn_allocation, 1);

	a->id = id ? id : fresh_id(c);
	a->tuple = *tuple;
	a->identity = *identity;
	a->created_wall_s = c->wall_s;
	a->permissions = g_array_new(FALSE, FALSE, sizeof(struct turn_permission));
	a->channels = g_array_new(FALSE, FALSE, sizeof(struct turn_channel));
	a->source_name = turn_source_name(&tuple->client);
	a->wheel.data = a;
	a->slot = TURN_WHEEL_SLOTS;
	a->user = user_get(c, a, user_id);
	a->user_id = a->user ? a->user->id : 0;
	turn_counts_add(c->by_user, turn_auth_quota_name(identity));
	turn_counts_add(c->by_source, a->source_name);
	g_hash_table_insert(c->by_tuple, &a->tuple, a);
	g_hash_table_insert(c->by_id, GUINT_TO_POINTER(a->id), a);
	c->by_transport[tuple->transport]++;
	c->stats.allocations_made++;
	return a;
}

void turn_relayed_enter(struct turn_core *c, struct turn_allocation *a, enum turn_family family)
{
	struct turn_relayed *x = &a->relayed[family];

	x->used = true;
	x->key = (struct st_relay_key){.relay = x->addr, .relay_port_be = htons(x->port)};
	g_hash_table_insert(c->by_relayed, &x->key, a);
}

void turn_relayed_drop(struct turn_core *c, struct turn_allocation *a, enum turn_family family)
{
	struct turn_relayed *x = &a->relayed[family];
	bool expired = x->until_ms <= c->now_ms;

	if (!x->used)
		return;
	turn_remove_relay(c, a, family);
	for (guint i = a->channels->len; i-- > 0;) {
		const struct turn_channel *ch = &g_array_index(a->channels, struct turn_channel, i);

		if (turn_allocation_for(a, &ch->peer) == x)
			g_array_remove_index_fast(a->channels, i);
	}
	for (guint i = a->permissions->len; i-- > 0;) {
		const struct turn_permission *p =
			&g_array_index(a->permissions, struct turn_permission, i);

		if (turn_allocation_for(a, &p->peer) == x)
			g_array_remove_index_fast(a->permissions, i);
	}
	if (x->kernel)
		c->kernel_close(x->kernel, c->arg);
	g_hash_table_remove(c->by_relayed, &x->key);
	turn_ports_put(c->ports, x->index, x->port, c->now_ms,
		turn_core_scaled_ms(c, TURN_QUARANTINE_MS / 1000));
	g_debug("turn: relayed address ended allocation=%u port=%u expired=%d", a->id, x->port,
		expired);
	*x = (struct turn_relayed){0};
}

void turn_allocation_free(struct turn_core *c, struct turn_allocation *a)
{
	for (int f = 0; f < TURN_FAMILIES; f++)
		turn_relayed_drop(c, a, f);
	if (a->slot < TURN_WHEEL_SLOTS)
		g_queue_unlink(&c->wheel[a->slot], &a->wheel);
	g_hash_table_remove(c->by_tuple, &a->tuple);
	g_hash_table_remove(c->by_id, GUINT_TO_POINTER(a->id));
	turn_counts_sub(c->by_user, turn_auth_quota_name(&a->identity));
	turn_counts_sub(c->by_source, a->source_name);
	user_put(c, a);
	c->by_transport[a->tuple.transport]--;
	c->stats.allocations_ended++;
	g_array_free(a->permissions, TRUE);
	g_array_free(a->channels, TRUE);
	g_free(a->source_name);
	sodium_memzero(a, sizeof(*a));
	g_free(a);
}

void turn_allocation_schedule(struct turn_core *c, struct turn_allocation *a)
{
	uint64_t next = UINT64_MAX, second;

	for (int f = 0; f < TURN_FAMILIES; f++) {
		if (a->relayed[f].used)
			next = MIN(next, a->relayed[f].until_ms);
	}
	// Rounded up: when it is looked at it is over. Never in the slot that was just emptied.
	second = MAX(next / 1000 + 1, c->wheel_at + 1);
	second = MIN(second, c->wheel_at + TURN_WHEEL_SLOTS - 1);
	if (a->slot < TURN_WHEEL_SLOTS)
		g_queue_unlink(&c->wheel[a->slot], &a->wheel);
	a->slot = (unsigned int)(second % TURN_WHEEL_SLOTS);
	g_queue_push_tail_link(&c->wheel[a->slot], &a->wheel);
}

// ---- permissions -----------------------------------------------------------------------------------

static struct turn_permission *permission_any(struct turn_allocation *a, const struct st_addr *peer)
{
	for (guint i = 0; i < a->permissions->len; i++) {
		struct turn_permission *p = &g_array_index(a->permissions, struct turn_permission, i);

		if (!memcmp(&p->peer, peer, sizeof(*peer)))
			return p;
	}
	return NULL;
}

struct turn_permission *turn_permission_find(
	struct turn_core *c, struct turn_allocation *a, const struct st_addr *peer)
{
	struct turn_permission *p = permission_any(a, peer);

	return p && p->until_ms > c->now_ms ? p : NULL;
}

void turn_permissions_expire(struct turn_core *c, struct turn_allocation *a)
{
	for (guint i = a->permissions->len; i-- > 0;) {
		const struct turn_permission *p =
			&g_array_index(a->permissions, struct turn_permission, i);

		if (p->until_ms > c->now_ms)
			continue;
		turn_remove_permission(c, a, p, true);
		g_array_remove_index_fast(a->permissions, i);
	}
}

bool turn_permission_fits(struct turn_core *c, struct turn_allocation *a, const struct st_addr *peer)
{
	turn_permissions_expire(c, a);
	return permission_any(a, peer) || a->permissions->len < c->config->limits.permissions;
}

void turn_permission_put(struct turn_core *c, struct turn_allocation *a, const struct st_addr *peer)
{
	uint64_t until = c->now_ms + turn_core_scaled_ms(c, TURN_PERMISSION_S);
	struct turn_permission *p = permission_any(a, peer);
	struct turn_permission fresh = {*peer, until};

	if (p)
		p->until_ms = until;
	else
		g_array_append_val(a->permissions, fresh);
}

// ---- channels --------------------------------------------------------------------------------------

struct turn_channel *turn_channel_by_number(
	struct turn_core *c, struct turn_allocation *a, uint16_t number)
{
	for (guint i = 0; i < a->channels->len; i++) {
		struct turn_channel *ch = &g_array_index(a->channels, struct turn_channel, i);

		if (ch->number == number && ch->until_ms > c->now_ms)
			return ch;
	}
	return NULL;
}

struct turn_channel *turn_channel_by_peer(struct turn_core *c, struct turn_allocation *a,
	const struct st_addr *peer, uint16_t port_be)
{
	for (guint i = 0; i < a->channels->len; i++) {
		struct turn_channel *ch = &g_array_index(a->channels, struct turn_channel, i);

		if (ch->peer_port_be == port_be && !memcmp(&ch->peer, peer, sizeof(*peer)) &&
			ch->until_ms > c->now_ms)
			return ch;
	}
	return NULL;
}

static void forget_expired_channels(struct turn_core *c, struct turn_allocation *a)
{
	for (guint i = a->channels->len; i-- > 0;) {
		const struct turn_channel *ch = &g_array_index(a->channels, struct turn_channel, i);

		if (ch->until_ms > c->now_ms)
			continue;
		turn_remove_channel(c, a, ch, true);
		g_array_remove_index_fast(a->channels, i);
	}
}

bool turn_channel_fits(struct turn_core *c, struct turn_allocation *a, uint16_t number)
{
	forget_expired_channels(c, a);
	return turn_channel_by_number(c, a, number) || a->channels->len < c->config->limits.channels;
}

void turn_channel_put(struct turn_core *c, struct turn_allocation *a, const struct st_addr *peer,
	uint16_t port_be, uint16_t number)
{
	struct turn_channel fresh = {
		*peer, port_be, number, c->now_ms + turn_core_scaled_ms(c, TURN_CHANNEL_S)};
	struct turn_channel *ch = turn_channel_by_number(c, a, number);

	if (ch)
		ch->until_ms = fresh.until_ms;
	else
		g_array_append_val(a->channels, fresh);
}

void turn_allocation_recheck(struct turn_core *c, struct turn_allocation *a)
{
	struct turn_denial why;

	for (guint i = a->channels->len; i-- > 0;) {
		const struct turn_channel *ch = &g_array_index(a->channels, struct turn_channel, i);

		if (turn_policy_allows_port(&c->policy, &ch->peer, ch->peer_port_be, &why))
			continue;
		turn_remove_channel(c, a, ch, false);
		g_array_remove_index_fast(a->channels, i);
	}
	for (guint i = a->permissions->len; i-- > 0;) {
		const struct turn_permission *p =
			&g_array_index(a->permissions, struct turn_permission, i);

		if (turn_policy_allows(&c->policy, &p->peer, &why))
			continue;
		turn_remove_permission(c, a, p, false);
		g_array_remove_index_fast(a->permissions, i);
	}
}
