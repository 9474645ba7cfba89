// SPDX-License-Identifier: BSD-3-Clause
//
// The TURN server's state as a whole: start, configuration, time; see core.h. Main loop thread.
#include "core.h"

#include "../keyed_hash.h"
#include "request.h"

#include <sodium.h>

#include <limits.h>
#include <string.h>
#include <time.h>

static guint tuple_hash(gconstpointer p)
{
	return keyed_hash(p, sizeof(struct turn_tuple));
}

static guint relayed_hash(gconstpointer p)
{
	return keyed_hash(p, sizeof(struct st_relay_key));
}

static gboolean relayed_equal(gconstpointer a, gconstpointer b)
{
	return !memcmp(a, b, sizeof(struct st_relay_key));
}

static gboolean tuple_equal(gconstpointer a, gconstpointer b)
{
	return !memcmp(a, b, sizeof(struct turn_tuple));
}

void turn_core_init(struct turn_core *c, struct dp *dp, const struct seal *seal,
	const uint8_t master[TURN_NONCE_KEY], void *arg)
{
	memset(c, 0, sizeof(*c));
	c->dp = dp;
	c->seal = seal;
	c->arg = arg;
	c->scale = 1;
	turn_auth_init(&c->auth, master);
	turn_policy_init(&c->policy);
	turn_buckets_init(&c->replies);
	turn_buckets_init(&c->new_allocations);
	turn_buckets_init(&c->new_peers);
	c->by_user = turn_counts_new();
	c->by_source = turn_counts_new();
	c->users = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	c->by_tuple = g_hash_table_new(tuple_hash, tuple_equal);
	c->by_relayed = g_hash_table_new(relayed_hash, relayed_equal);
	c->by_id = g_hash_table_new(g_direct_hash, g_direct_equal);
	for (int i = 0; i < TURN_WHEEL_SLOTS; i++)
		g_queue_init(&c->wheel[i]);
}

void turn_core_clock(struct turn_core *c)
{
	struct timespec boot;

	clock_gettime(CLOCK_BOOTTIME, &boot);
	c->now_ms = (uint64_t)g_get_monotonic_time() / 1000;
	c->boot_s = (uint32_t)((double)boot.tv_sec * c->scale);
	c->wall_s = g_get_real_time() / G_USEC_PER_SEC;
}

uint32_t turn_core_scaled_ms(const struct turn_core *c, uint32_t seconds)
{
	return (uint32_t)MAX(1, seconds * 1000.0 / c->scale);
}

unsigned int turn_core_allocations(const struct turn_core *c)
{
	return g_hash_table_size(c->by_id);
}

// ---- configuration ---------------------------------------------------------------------------------

// A relayed address keeps its port when the list of addresses changes around it.
static void place(struct turn_core *c, struct turn_allocation *a, enum turn_family f)
{
	struct turn_relayed *x = &a->relayed[f];
	int index = turn_config_relay_index(c->config, &x->addr);

	if (index >= 0 && turn_ports_claim(c->ports, (unsigned int)index, x->port)) {
		x->index = (unsigned int)index;
		return;
	}
	g_message("turn: relayed address is no more in the configuration, its session ends "
		  "allocation=%u",
		a->id);
	x->index = UINT_MAX; // of the former list: in the new one the port is another session's
	turn_relayed_drop(c, a, f);
}

static bool same_ports(const struct turn_config *a, const struct turn_config *b)
{
	if (a->port_min != b->port_min || a->port_max != b->port_max ||
		a->relays->len != b->relays->len)
		return false;
	for (guint i = 0; i < a->relays->len; i++) {
		const struct turn_config_relay *x = a->relays->pdata[i], *y = b->relays->pdata[i];

		if (memcmp(x, y, sizeof(*x)))
			return false;
	}
	return true;
}

static GList *all(const struct turn_core *c)
{
	return g_hash_table_get_values(c->by_id);
}

static void renew_ports(struct turn_core *c)
{
	GList *list = all(c);

	turn_ports_free(c->ports);
	c->ports = turn_ports_new(c->config->relays->len, c->config->port_min, c->config->port_max);
	for (GList *l = list; l; l = l->next) {
		struct turn_allocation *a = l->data;

		for (int f = 0; f < TURN_FAMILIES; f++) {
			if (a->relayed[f].used)
				place(c, a, f);
		}
		if (!a->relayed[TURN_V4].used && !a->relayed[TURN_V6].used)
			turn_allocation_free(c, a);
	}
	g_list_free(list);
}

static bool same_rates(const struct turn_config *a, const struct turn_config *b)
{
	return a->limits.bytes_per_s == b->limits.bytes_per_s &&
	       a->limits.burst_bytes == b->limits.burst_bytes &&
	       a->limits.user_bytes_per_s == b->limits.user_bytes_per_s &&
	       a->limits.user_burst_bytes == b->limits.user_burst_bytes;
}

static void renew_rates(struct turn_core *c)
{
	GList *list = all(c);
	GHashTableIter iter;
	gpointer user;

	g_hash_table_iter_init(&iter, c->users);
	while (g_hash_table_iter_next(&iter, NULL, &user))
		turn_install_user(c, user);
	for (GList *l = list; l; l = l->next) {
		struct turn_allocation *a = l->data;

		for (int f = 0; f < TURN_FAMILIES; f++) {
			if (a->relayed[f].used)
				turn_install_relay(c, a, f, NULL, NULL);
		}
	}
	g_list_free(list);
}

static void shorten_all(struct turn_core *c)
{
	GList *list = all(c);

	for (GList *l = list; l; l = l->next)
		turn_allocation_shorten(c, l->data);
	g_list_free(list);
}

void turn_core_recheck(struct turn_core *c)
{
	GList *list = c->config ? all(c) : NULL;

	for (GList *l = list; l; l = l->next)
		turn_allocation_recheck(c, l->data);
	g_list_free(list);
}

void turn_core_apply(struct turn_core *c, const struct turn_config *config)
{
	const struct turn_config *old = c->config;

	c->config = config;
	turn_auth_apply(&c->auth, config);
	turn_policy_apply(&c->policy, config);
	c->auth.nonce_life_s = TURN_NONCE_LIFE_S;
	if (!old || !same_ports(old, config))
		renew_ports(c);
	turn_install_denied_ports(c, old);
	if (old && !same_rates(old, config))
		renew_rates(c);
	if (old && config->strict_expiry && !old->strict_expiry)
		shorten_all(c);
	if (old)
		turn_core_recheck(c);
}

// ---- time ------------------------------------------------------------------------------------------

// Deadlines are looked at in the second after they passed, and the data plane has kept them by itself.
void turn_core_tick(struct turn_core *c)
{
	uint64_t second = c->now_ms / 1000;

	if (!c->config)
		return;
	turn_ports_tick(c->ports, c->now_ms);
	if (second - c->wheel_at > TURN_WHEEL_SLOTS)
		c->wheel_at = second - TURN_WHEEL_SLOTS;
	while (c->wheel_at < second) {
		GQueue due = c->wheel[++c->wheel_at % TURN_WHEEL_SLOTS];
		GList *l;

		g_queue_init(&c->wheel[c->wheel_at % TURN_WHEEL_SLOTS]);
		while ((l = g_queue_pop_head_link(&due))) {
			((struct turn_allocation *)l->data)->slot = TURN_WHEEL_SLOTS;
			if (turn_allocation_lives(c, l->data))
				turn_allocation_schedule(c, l->data);
		}
	}
}

void turn_core_stop(struct turn_core *c)
{
	const struct turn_config *old = c->config;
	GList *list = all(c);

	turn_later_forget_all(c);
	for (GList *l = list; l; l = l->next)
		turn_allocation_free(c, l->data);
	g_list_free(list);
	turn_auth_apply(&c->auth, NULL);
	c->config = c->policy.config = NULL;
	turn_install_denied_ports(c, old);
}

void turn_core_client_gone(struct turn_core *c, const struct turn_tuple *tuple)
{
	struct turn_allocation *a = turn_allocation_find(c, tuple);

	if (a)
		turn_allocation_free(c, a);
}

// What is installed is not taken away: the next straitd finds it.
void turn_core_fini(struct turn_core *c)
{
	GList *list = all(c);

	turn_later_forget_all(c);
	for (GList *l = list; l; l = l->next) {
		struct turn_allocation *a = l->data;

		for (int f = 0; f < TURN_FAMILIES; f++) {
			if (a->relayed[f].kernel)
				c->kernel_close(a->relayed[f].kernel, c->arg);
		}
		g_array_free(a->permissions, TRUE);
		g_array_free(a->channels, TRUE);
		g_free(a->source_name);
		sodium_memzero(a, sizeof(*a));
		g_free(a);
	}
	g_list_free(list);
	g_hash_table_destroy(c->by_tuple);
	g_hash_table_destroy(c->by_relayed);
	g_hash_table_destroy(c->by_id);
	g_hash_table_destroy(c->users);
	turn_counts_free(c->by_user);
	turn_counts_free(c->by_source);
	turn_ports_free(c->ports);
	turn_buckets_fini(&c->replies);
	turn_buckets_fini(&c->new_allocations);
	turn_buckets_fini(&c->new_peers);
	turn_policy_fini(&c->policy);
	turn_auth_fini(&c->auth);
}
