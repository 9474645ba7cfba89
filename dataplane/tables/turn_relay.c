// SPDX-License-Identifier: BSD-3-Clause
//
// Allocations: by relayed address for what peers send, by the client's 5-tuple for Send indications and
// for telling established clients from strangers. Owns the permissions' list heads and the counters.
#include "../lcore.h"
#include "../reclaim.h"
#include "../server/object.h"
#include "slab.h"
#include "turn.h"

#include <rte_cycles.h>

#include <errno.h>
#include <stddef.h>

struct turn_tables turn_tables;
static struct slab slab;

int turn_relays_init(void)
{
	uint32_t nb = lcores.nb > 0 ? lcores.nb : 1;
	int rc;

	slab_init(&slab, sizeof(struct turn_relay) + nb * sizeof(struct turn_relay_counts),
		RTE_CACHE_LINE_SIZE);
	rc = turn_hash_init(
		&turn_tables.relays, offsetof(struct turn_relay, key), 2, TURN_RELAYS_MAX);
	if (rc == 0)
		rc = turn_hash_init(&turn_tables.clients, offsetof(struct turn_relay, client), 2,
			TURN_RELAYS_MAX);
	return rc;
}

void turn_relays_fini(void)
{
	turn_hash_fini(&turn_tables.relays);
	turn_hash_fini(&turn_tables.clients);
	slab_fini(&slab);
}

uint64_t turn_relays_bytes(void)
{
	return slab_bytes(&slab) + turn_hash_bytes(&turn_tables.relays) +
	       turn_hash_bytes(&turn_tables.clients);
}

struct turn_relay *turn_relay_find(const struct st_relay_key *key)
{
	struct turn_key k;

	turn_relay_key(&k, &key->relay, key->relay_port_be);
	return turn_hash_find(&turn_tables.relays, &k);
}

void turn_relay_key_of(const struct turn_relay *relay, struct st_relay_key *ret)
{
	*ret = (struct st_relay_key){
		.relay = *turn_key_first(&relay->key), .relay_port_be = (uint16_t)relay->key.w[4]};
}

static void relay_free(void *arg)
{
	slab_free(&slab, arg);
}

static bool is_control(const struct turn_relay *relay)
{
	return relay->flags & ST_RELAY_F_CONTROL;
}

static int check(const struct st_relay *r)
{
	static const struct st_addr none6, none4 = {.b = {[10] = 0xff, [11] = 0xff}};

	if (r->pad != 0 || r->key.pad != 0 || (r->flags & ~(uint32_t)ST_RELAY_F_CONTROL) != 0)
		return -EINVAL;
	if (r->key.relay_port_be == 0 || r->client_port_be == 0 || r->server_port_be == 0)
		return -EINVAL;
	if (memcmp(&r->key.relay, &none6, 16) == 0 || memcmp(&r->key.relay, &none4, 16) == 0)
		return -EINVAL;
	if (turn_addr_is_ipv4(&r->client) != turn_addr_is_ipv4(&r->server))
		return -EAFNOSUPPORT;
	return 0;
}

static void make_client_key(struct turn_key *k, const struct st_relay *r)
{
	turn_client_key(k, &r->client, r->client_port_be, &r->server, r->server_port_be,
		!turn_addr_is_ipv4(&r->key.relay));
}

static bool same(const struct turn_relay *relay, const struct st_relay *r)
{
	struct turn_key client;

	make_client_key(&client, r);
	return relay->alloc_id == r->alloc_id && relay->flags == r->flags &&
	       turn_key_equal(&relay->client, &client);
}

// What may change in a living allocation: its limits.
static void limits_set(struct turn_relay *relay, struct turn_user *user, const struct st_relay *r)
{
	struct turn_user *was = atomic_load_explicit(&relay->user, memory_order_relaxed);
	uint32_t nb = lcores.nb > 0 ? lcores.nb : 1;
	bool limited = user != NULL || r->bytes_per_s > 0;

	if (user != was) {
		if (user != NULL)
			user->relays++;
		atomic_store_explicit(&relay->user, user, memory_order_release);
		turn_user_put(was);
	}
	turn_bucket_set(&relay->bucket, r->bytes_per_s, r->burst_bytes);
	for (uint32_t i = 0; i < nb; i++)
		atomic_store_explicit(&relay->counts[i].limited, limited, memory_order_relaxed);
}

static int link_new(struct turn_relay *relay)
{
	if (turn_hash_add(&turn_tables.relays, relay) < 0)
		return -ENOMEM;
	if (is_control(relay) || turn_hash_add(&turn_tables.clients, relay) == 0)
		return 0;
	turn_hash_del(&turn_tables.relays, relay);
	return -ENOMEM;
}

static int relay_new(const struct st_relay *r, struct turn_user *user)
{
	struct turn_relay *relay = slab_alloc(&slab);
	int rc;

	if (relay == NULL)
		return -ENOMEM;
	turn_relay_key(&relay->key, &r->key.relay, r->key.relay_port_be);
	make_client_key(&relay->client, r);
	relay->alloc_id = r->alloc_id;
	relay->flags = r->flags;
	limits_set(relay, user, r);
	rc = link_new(relay);
	if (rc < 0) {
		turn_user_put(user);
		reclaim_later(relay_free, relay); // a lcore may have met it
	}
	return rc;
}

int turn_relay_set(const void *body, const void *old)
{
	const struct st_relay *r = body;
	struct turn_relay *relay = turn_relay_find(&r->key), *other;
	struct turn_user *user = NULL;
	struct turn_key client;
	int rc = check(r);

	if (rc < 0)
		return rc;
	if (r->user_id != 0) {
		user = turn_user_find(r->user_id);
		if (user == NULL)
			return -ENOENT;
	}
	if (relay != NULL && same(relay, r)) {
		limits_set(relay, user, r);
		object_set_in_place();
		return 0;
	}
	make_client_key(&client, r);
	other = r->flags & ST_RELAY_F_CONTROL ? NULL : turn_hash_find(&turn_tables.clients, &client);
	if (other != NULL && other != relay)
		return -EEXIST;
	if (relay != NULL)
		turn_relay_del(old);
	return relay_new(r, user);
}

// Objects of a permission's channels, then the permission; the last of them takes it out of the list.
static void children_delete(struct turn_relay *relay)
{
	while (relay->permissions != NULL) {
		struct turn_permission *perm = relay->permissions;
		struct st_permission_key pk = {.peer = *turn_key_second(&perm->key)};

		turn_relay_key_of(relay, &pk.relay);
		if (perm->channels != NULL) {
			const struct turn_channel *c = perm->channels;
			struct st_channel ch = {
				.key = {.relay = pk.relay,
					.peer = pk.peer,
					.peer_port_be = (uint16_t)(c->p2c.w[4] >> 16)}};

			if (object_del(ST_CHANNEL, &ch.key, sizeof(ch.key)) < 0)
				turn_channel_del(&ch);
		} else if (object_del(ST_PERMISSION, &pk, sizeof(pk)) < 0) {
			turn_permission_del(&(struct st_permission){.key = pk});
		}
	}
}

void turn_relay_del(const void *body)
{
	const struct st_relay *r = body;
	struct turn_relay *relay = turn_relay_find(&r->key);

	if (relay == NULL)
		return;
	children_delete(relay);
	if (!is_control(relay))
		turn_hash_del(&turn_tables.clients, relay);
	turn_hash_del(&turn_tables.relays, relay);
	turn_user_put(atomic_load_explicit(&relay->user, memory_order_relaxed));
	reclaim_later(relay_free, relay);
}

static uint64_t load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

void turn_relay_stat(const struct turn_relay *relay, struct st_stat_relay *ret)
{
	uint64_t now = rte_rdtsc(), stamp = 0, ms;

	*ret = (struct st_stat_relay){.alloc_id = relay->alloc_id,
		.permissions = relay->nb_permissions,
		.channels = relay->nb_channels};
	turn_relay_key_of(relay, &ret->key);
	for (uint16_t i = 0; i < lcores.nb; i++) {
		const struct turn_relay_counts *c = &relay->counts[i];

		for (int d = 0; d < 2; d++) {
			ret->packets[d] += load(&c->packets[d]);
			ret->bytes[d] += load(&c->bytes[d]);
			ret->dropped[d] += load(&c->dropped[d]);
		}
		stamp = load(&c->stamp) > stamp ? load(&c->stamp) : stamp;
	}
	ms = stamp >= now ? 0 : (now - stamp) / (rte_get_tsc_hz() / 1000);
	ret->idle_ms = stamp == 0 || ms >= UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

// ---- all of them ----

int turn_tables_init(uint32_t channels)
{
	int rc;

	turn_hash_secret();
	rc = turn_users_init();
	if (rc == 0)
		rc = turn_relays_init();
	if (rc == 0)
		rc = turn_permissions_init(channels);
	if (rc == 0)
		rc = turn_channels_init(channels);
	return rc;
}

void turn_tables_fini(void)
{
	turn_channels_fini();
	turn_permissions_fini();
	turn_relays_fini();
	turn_users_fini();
}

uint64_t turn_tables_bytes(void)
{
	return turn_relays_bytes() + turn_permissions_bytes() + turn_channels_bytes();
}
