// SPDX-License-Identifier: BSD-3-Clause
//
// TURN_USER, RELAY, PERMISSION, CHANNEL and TURN_DENY_PORTS of the contract; see core.h. Main loop thread. A
// SET of the same object is its refresh. What ends by its own expiry is only forgotten here.
#include "../addr.h"
#include "core.h"

#include <arpa/inet.h>
#include <string.h>

#define BLOB_MAX 1024

struct deferred {
	dp_done done;
	void *arg;
};

static int on_deferred(void *arg)
{
	struct deferred *d = arg;

	d->done(0, d->arg);
	g_free(d);
	return G_SOURCE_REMOVE;
}

// Nothing to install, and the same order of events as if there were.
static void later(dp_done done, void *arg)
{
	struct deferred *d;

	if (!done)
		return;
	d = g_new(struct deferred, 1);
	*d = (struct deferred){done, arg};
	g_idle_add_full(G_PRIORITY_DEFAULT, on_deferred, d, NULL);
}

static struct st_relay_key relay_key(const struct turn_relayed *x)
{
	return (struct st_relay_key){.relay = x->addr, .relay_port_be = htons(x->port)};
}

static uint32_t left_ms(const struct turn_core *c, uint64_t until_ms)
{
	return until_ms > c->now_ms ? (uint32_t)(until_ms - c->now_ms) : 1;
}

void turn_install_relay(struct turn_core *c, struct turn_allocation *a, enum turn_family family,
	dp_done done, void *arg)
{
	const struct turn_config_limits *l = &c->config->limits;
	const struct turn_relayed *x = &a->relayed[family];
	struct st_relay body = {
		.key = relay_key(x),
		.alloc_id = a->id,
		.user_id = l->user_bytes_per_s ? a->user_id : 0,
		.flags = x->kernel ? ST_RELAY_F_CONTROL : 0,
		.client = a->tuple.client,
		.server = a->tuple.server,
		.client_port_be = a->tuple.client_port_be,
		.server_port_be = a->tuple.server_port_be,
		.bytes_per_s = l->bytes_per_s,
		.burst_bytes = l->bytes_per_s ? l->burst_bytes : 0,
	};
	uint8_t blob[BLOB_MAX];
	uint16_t len = turn_blob_save(c, a, &body.key, blob, sizeof(blob));

	dp_set_expiring(c->dp, ST_RELAY, &body, sizeof(body), blob, len, left_ms(c, x->until_ms),
		done, arg);
}

void turn_install_permission(struct turn_core *c, struct turn_allocation *a,
	const struct turn_permission *p, dp_done done, void *arg)
{
	const struct turn_relayed *x = turn_allocation_for(a, &p->peer);
	struct st_permission body = {.key = {.relay = relay_key(x), .peer = p->peer}};

	if (x->kernel)
		later(done, arg);
	else
		dp_set_expiring(c->dp, ST_PERMISSION, &body, sizeof(body), NULL, 0,
			left_ms(c, p->until_ms), done, arg);
}

static struct st_channel_key channel_key(const struct turn_relayed *x, const struct turn_channel *ch)
{
	return (struct st_channel_key){
		.relay = relay_key(x), .peer = ch->peer, .peer_port_be = ch->peer_port_be};
}

void turn_install_channel(struct turn_core *c, struct turn_allocation *a,
	const struct turn_channel *ch, dp_done done, void *arg)
{
	const struct turn_relayed *x = turn_allocation_for(a, &ch->peer);
	struct st_channel body = {.key = channel_key(x, ch), .number = ch->number};

	if (x->kernel)
		later(done, arg);
	else
		dp_set_expiring(c->dp, ST_CHANNEL, &body, sizeof(body), NULL, 0,
			left_ms(c, ch->until_ms), done, arg);
}

void turn_install_user(struct turn_core *c, const struct turn_user *user)
{
	const struct turn_config_limits *l = &c->config->limits;
	struct st_turn_user body = {
		.key.user_id = user->id,
		.bytes_per_s = turn_user_share(user, l->user_bytes_per_s),
		.burst_bytes = turn_user_share(user, l->user_burst_bytes),
	};

	if (l->user_bytes_per_s)
		dp_set(c->dp, ST_TURN_USER, &body, sizeof(body), NULL, 0, NULL, NULL);
	else
		turn_remove_user(c, user->id);
}

void turn_remove_user(struct turn_core *c, uint32_t user_id)
{
	struct st_turn_user_key key = {user_id};

	dp_del(c->dp, ST_TURN_USER, &key, sizeof(key));
}

static bool has_range(const struct turn_config *c, const struct turn_config_ports *p)
{
	for (guint i = 0; c && i < c->deny_ports->len; i++) {
		if (!memcmp(&g_array_index(c->deny_ports, struct turn_config_ports, i), p, sizeof(*p)))
			return true;
	}
	return false;
}

static struct st_turn_deny_ports denied(const struct turn_config_ports *p)
{
	return (struct st_turn_deny_ports){
		.key = {.port_lo_be = htons(p->lo), .port_hi_be = htons(p->hi)}};
}

void turn_install_denied_ports(struct turn_core *c, const struct turn_config *old)
{
	const GArray *now = c->config ? c->config->deny_ports : NULL;

	for (guint i = 0; old && i < old->deny_ports->len; i++) {
		const struct turn_config_ports *p =
			&g_array_index(old->deny_ports, struct turn_config_ports, i);
		struct st_turn_deny_ports body = denied(p);

		if (!now || !has_range(c->config, p))
			dp_del(c->dp, ST_TURN_DENY_PORTS, &body.key, sizeof(body.key));
	}
	for (guint i = 0; now && i < now->len; i++) {
		struct st_turn_deny_ports body =
			denied(&g_array_index(now, struct turn_config_ports, i));

		dp_set(c->dp, ST_TURN_DENY_PORTS, &body, sizeof(body), NULL, 0, NULL, NULL);
	}
}

static void take_off(struct turn_core *c, uint16_t kind, const void *key, uint16_t len, bool expired)
{
	if (expired)
		dp_forget(c->dp, kind, key, len);
	else
		dp_del(c->dp, kind, key, len);
}

void turn_remove_relay(struct turn_core *c, struct turn_allocation *a, enum turn_family family)
{
	struct turn_relayed *x = &a->relayed[family];
	struct st_relay_key key = relay_key(x);

	// First the relay: the data plane takes what hangs on it along.
	dp_del(c->dp, ST_RELAY, &key, sizeof(key));
	for (guint i = 0; i < a->channels->len; i++) {
		const struct turn_channel *ch = &g_array_index(a->channels, struct turn_channel, i);

		if (turn_allocation_for(a, &ch->peer) == x)
			turn_remove_channel(c, a, ch, true);
	}
	for (guint i = 0; i < a->permissions->len; i++) {
		const struct turn_permission *p =
			&g_array_index(a->permissions, struct turn_permission, i);

		if (turn_allocation_for(a, &p->peer) == x)
			turn_remove_permission(c, a, p, true);
	}
}

void turn_remove_permission(struct turn_core *c, struct turn_allocation *a,
	const struct turn_permission *p, bool expired)
{
	struct st_permission_key key = {
		.relay = relay_key(turn_allocation_for(a, &p->peer)), .peer = p->peer};

	take_off(c, ST_PERMISSION, &key, sizeof(key), expired);
}

void turn_remove_channel(
	struct turn_core *c, struct turn_allocation *a, const struct turn_channel *ch, bool expired)
{
	struct st_channel_key key = channel_key(turn_allocation_for(a, &ch->peer), ch);

	take_off(c, ST_CHANNEL, &key, sizeof(key), expired);
}
