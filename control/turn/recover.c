// SPDX-License-Identifier: BSD-3-Clause
//
// Allocations that outlive straitd: what is written into the control blob of a RELAY, and what is made of the
// dump of an earlier straitd. Main loop thread. The key is sealed for its relayed address; nonces need no
// memory; permissions and channels are told by their own objects.
#include "../addr.h"
#include "../seal.h"
#include "core.h"

#include <sodium.h>

#include <arpa/inet.h>
#include <string.h>

#define BLOB_VERSION 1
#define ITEMS_MAX    4194304 // of one kind; a data plane that tells more is not ours

struct blob {
	uint16_t version;
	uint16_t name_len;
	uint8_t algorithm, key_len, has_token, transport;
	uint8_t tid[STUN_TID_LEN];
	uint8_t token[TURN_TOKEN_LEN];
	uint32_t user_id;
	int64_t expires_s, created_wall_s;
	uint8_t sealed_key[TURN_KEY_MAX + SEAL_OVERHEAD];
	uint8_t pad[7];
	// the name
};

uint16_t turn_blob_save(const struct turn_core *c, const struct turn_allocation *a,
	const struct st_relay_key *key, uint8_t *out, size_t size)
{
	const struct turn_identity *id = &a->identity;
	struct blob b = {
		.version = BLOB_VERSION,
		.name_len = id->name_len,
		.algorithm = id->algorithm,
		.key_len = id->key_len,
		.has_token = a->has_token,
		.transport = (uint8_t)a->tuple.transport,
		.user_id = a->user_id,
		.expires_s = id->expires_s,
		.created_wall_s = a->created_wall_s,
	};

	if (!c->seal || sizeof(b) + id->name_len > size)
		return 0;
	memcpy(b.tid, a->tid, sizeof(b.tid));
	memcpy(b.token, a->token, sizeof(b.token));
	seal_close(c->seal, b.sealed_key, id->key, sizeof(id->key), key, sizeof(*key));
	memcpy(out, &b, sizeof(b));
	memcpy(out + sizeof(b), id->name, id->name_len);
	return (uint16_t)(sizeof(b) + id->name_len);
}

// ---- the dump --------------------------------------------------------------------------------------

struct old_relay {
	struct st_relay body;
	uint32_t expiry_ms;
	uint16_t blob_len;
	uint8_t blob[sizeof(struct blob) + STUN_USERNAME_MAX];
};

struct old_permission {
	struct st_permission body;
	uint32_t expiry_ms;
};

struct old_channel {
	struct st_channel body;
	uint32_t expiry_ms;
};

struct turn_recovered {
	GArray *relays, *permissions, *channels;
	int64_t at_us;
};

struct turn_recovered *turn_recovered_new(void)
{
	struct turn_recovered *r = g_new0(struct turn_recovered, 1);

	r->relays = g_array_new(FALSE, FALSE, sizeof(struct old_relay));
	r->permissions = g_array_new(FALSE, FALSE, sizeof(struct old_permission));
	r->channels = g_array_new(FALSE, FALSE, sizeof(struct old_channel));
	r->at_us = g_get_monotonic_time();
	return r;
}

void turn_recovered_free(struct turn_recovered *r)
{
	if (!r)
		return;
	g_array_free(r->relays, TRUE);
	g_array_free(r->permissions, TRUE);
	g_array_free(r->channels, TRUE);
	g_free(r);
}

static void add_relay(struct turn_recovered *r, const struct dp_item *item)
{
	struct old_relay old = {.expiry_ms = item->expiry_ms, .blob_len = item->blob_len};

	if (item->body_len != sizeof(old.body) || item->blob_len > sizeof(old.blob) ||
		r->relays->len >= ITEMS_MAX)
		return;
	memcpy(&old.body, item->body, sizeof(old.body));
	memcpy(old.blob, item->blob, item->blob_len);
	g_array_append_val(r->relays, old);
}

static void add_permission(struct turn_recovered *r, const struct dp_item *item)
{
	struct old_permission old = {.expiry_ms = item->expiry_ms};

	if (item->body_len != sizeof(old.body) || r->permissions->len >= ITEMS_MAX)
		return;
	memcpy(&old.body, item->body, sizeof(old.body));
	g_array_append_val(r->permissions, old);
}

static void add_channel(struct turn_recovered *r, const struct dp_item *item)
{
	struct old_channel old = {.expiry_ms = item->expiry_ms};

	if (item->body_len != sizeof(old.body) || r->channels->len >= ITEMS_MAX)
		return;
	memcpy(&old.body, item->body, sizeof(old.body));
	g_array_append_val(r->channels, old);
}

void turn_recovered_add(struct turn_recovered *r, const struct dp_item *item)
{
	if (item->kind == ST_RELAY)
		add_relay(r, item);
	else if (item->kind == ST_PERMISSION)
		add_permission(r, item);
	else if (item->kind == ST_CHANNEL)
		add_channel(r, item);
}

// ---- allocations again -----------------------------------------------------------------------------

static bool blob_open(const struct turn_core *c, const struct old_relay *old, struct blob *b,
	struct turn_identity *id)
{
	memset(id, 0, sizeof(*id));
	if (!c->seal || old->blob_len < sizeof(*b))
		return false;
	memcpy(b, old->blob, sizeof(*b));
	if (b->version != BLOB_VERSION || b->name_len > STUN_USERNAME_MAX ||
		old->blob_len != sizeof(*b) + b->name_len || b->key_len > TURN_KEY_MAX ||
		b->transport >= TURN_TRANSPORTS)
		return false;
	memcpy(id->name, old->blob + sizeof(*b), b->name_len);
	id->name_len = b->name_len;
	id->key_len = b->key_len;
	id->algorithm = b->algorithm;
	id->expires_s = b->expires_s;
	return seal_open(c->seal, id->key, b->sealed_key, sizeof(b->sealed_key), &old->body.key,
		       sizeof(old->body.key)) == sizeof(id->key);
}

static struct turn_allocation *allocation_of(struct turn_core *c, const struct old_relay *old,
	const struct blob *b, const struct turn_identity *id)
{
	struct turn_tuple t = {
		.client = old->body.client,
		.server = old->body.server,
		.client_port_be = old->body.client_port_be,
		.server_port_be = old->body.server_port_be,
		.transport = b->transport,
	};
	struct turn_allocation *a = turn_allocation_find(c, &t);

	if (a) // the other address of a dual allocation
		return a->id == old->body.alloc_id ? a : NULL;
	if (turn_allocation_by_id(c, old->body.alloc_id))
		return NULL;
	a = turn_allocation_new(c, &t, id, old->body.alloc_id, b->user_id);
	c->next_id = MAX(c->next_id, a->id);
	a->created_wall_s = b->created_wall_s;
	a->has_token = b->has_token;
	memcpy(a->tid, b->tid, sizeof(a->tid));
	memcpy(a->token, b->token, sizeof(a->token));
	return a;
}

static uint64_t until(const struct turn_recovered *r, uint32_t expiry_ms)
{
	return (uint64_t)r->at_us / 1000 + expiry_ms;
}

static void take_relay(struct turn_recovered *r, struct turn_core *c, const struct old_relay *old)
{
	enum turn_family f = addr_is_v4(&old->body.key.relay) ? TURN_V4 : TURN_V6;
	int index = turn_config_relay_index(c->config, &old->body.key.relay);
	struct turn_allocation *a = NULL;
	struct turn_identity id;
	struct turn_relayed *x;
	struct blob b;

	// A TCP connection died with the process that held it.
	if (index >= 0 && !(old->body.flags & ST_RELAY_F_CONTROL) && blob_open(c, old, &b, &id))
		a = allocation_of(c, old, &b, &id);
	sodium_memzero(&id, sizeof(id));
	if (!a)
		return;
	x = &a->relayed[f];
	if (x->used ||
		!turn_ports_claim(c->ports, (unsigned int)index, ntohs(old->body.key.relay_port_be)))
		return;
	x->index = (unsigned int)index;
	x->addr = old->body.key.relay;
	x->external = ((const struct turn_config_relay *)c->config->relays->pdata[index])->external;
	x->port = ntohs(old->body.key.relay_port_be);
	turn_relayed_enter(c, a, f);
	x->until_ms = until(r, old->expiry_ms);
	turn_allocation_schedule(c, a);
	turn_install_relay(c, a, f, NULL, NULL);
}

static struct turn_allocation *of_relay(struct turn_core *c, const struct st_relay_key *k)
{
	return turn_allocation_by_relayed(c, &k->relay, k->relay_port_be);
}

// The port beside it, for whoever has the token (RFC 8656 section 7.2), unless it came for it already.
static void reserve_again(struct turn_core *c, const struct turn_allocation *a)
{
	int64_t left = (int64_t)turn_core_scaled_ms(c, TURN_RESERVATION_MS / 1000) -
		       (c->wall_s - a->created_wall_s) * 1000;

	for (int f = 0; f < TURN_FAMILIES && left > 0; f++) {
		const struct turn_relayed *x = &a->relayed[f];

		if (x->used && x->port < UINT16_MAX)
			turn_ports_reserve(c->ports, x->index, (uint16_t)(x->port + 1),
				c->now_ms + (uint64_t)left, a->token);
	}
}

static void take_reservations(struct turn_core *c)
{
	GHashTableIter iter;
	void *a;

	g_hash_table_iter_init(&iter, c->by_id);
	while (g_hash_table_iter_next(&iter, NULL, &a)) {
		if (((const struct turn_allocation *)a)->has_token)
			reserve_again(c, a);
	}
}

static void take_permissions(struct turn_recovered *r, struct turn_core *c)
{
	for (guint i = 0; i < r->permissions->len; i++) {
		const struct old_permission *old =
			&g_array_index(r->permissions, struct old_permission, i);
		struct turn_allocation *a = of_relay(c, &old->body.key.relay);
		struct turn_permission *p;

		if (!a || !turn_allocation_for(a, &old->body.key.peer) ||
			!turn_permission_fits(c, a, &old->body.key.peer))
			continue;
		turn_permission_put(c, a, &old->body.key.peer);
		p = turn_permission_find(c, a, &old->body.key.peer);
		p->until_ms = until(r, old->expiry_ms);
		turn_install_permission(c, a, p, NULL, NULL);
	}
}

static void take_channels(struct turn_recovered *r, struct turn_core *c)
{
	for (guint i = 0; i < r->channels->len; i++) {
		const struct old_channel *old = &g_array_index(r->channels, struct old_channel, i);
		const struct st_channel_key *k = &old->body.key;
		struct turn_allocation *a = of_relay(c, &k->relay);
		struct turn_channel *ch;

		if (!a || !turn_allocation_for(a, &k->peer) ||
			turn_channel_by_number(c, a, old->body.number) ||
			!turn_channel_fits(c, a, old->body.number))
			continue;
		turn_channel_put(c, a, &k->peer, k->peer_port_be, old->body.number);
		ch = turn_channel_by_number(c, a, old->body.number);
		ch->until_ms = until(r, old->expiry_ms);
		turn_install_channel(c, a, ch, NULL, NULL);
	}
}

static void end_half_made(struct turn_core *c)
{
	GList *list = g_hash_table_get_values(c->by_id);

	for (GList *l = list; l; l = l->next) {
		struct turn_allocation *a = l->data;

		if (!a->relayed[TURN_V4].used && !a->relayed[TURN_V6].used)
			turn_allocation_free(c, a);
	}
	g_list_free(list);
}

unsigned int turn_recovered_take(struct turn_recovered *r, struct turn_core *c)
{
	for (guint i = 0; i < r->relays->len; i++)
		take_relay(r, c, &g_array_index(r->relays, struct old_relay, i));
	end_half_made(c);
	take_reservations(c);
	take_permissions(r, c);
	take_channels(r, c);
	// The lists may have changed while nobody was looking.
	turn_core_recheck(c);
	return turn_core_allocations(c);
}
