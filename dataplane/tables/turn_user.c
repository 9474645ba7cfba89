// SPDX-License-Identifier: BSD-3-Clause
//
// Users of the relay: a token bucket that their allocations share. A user lives as long as an object or an
// allocation points to it. Also the buckets themselves and what all TURN tables share.
#include "../reclaim.h"
#include "../server/object.h"
#include "slab.h"
#include "turn.h"

#include <rte_cycles.h>

#include <errno.h>
#include <stddef.h>

static struct turn_hash users;
static struct slab slab;

int turn_users_init(void)
{
	slab_init(&slab, sizeof(struct turn_user), RTE_CACHE_LINE_SIZE);
	return turn_hash_init(&users, offsetof(struct turn_user, key), 1, TURN_USERS_MAX);
}

void turn_users_fini(void)
{
	turn_hash_fini(&users);
	slab_fini(&slab);
}

// ---- buckets ----

#define COST_MAX (UINT64_MAX >> 17) // times a datagram fits 64 bits; 20 bytes per second at 2.5 GHz

// __int128: bytes_per_s may be anything, and burst times hz is large.
void turn_bucket_set(struct turn_bucket *b, uint64_t bytes_per_s, uint64_t burst_bytes)
{
	uint64_t hz = rte_get_tsc_hz(), cost = 0, burst = 0;

	if (bytes_per_s > 0) {
		__extension__ unsigned __int128 c =
			((unsigned __int128)hz << TURN_COST_SHIFT) / bytes_per_s;

		cost = c > COST_MAX ? COST_MAX : (uint64_t)c;
		cost = cost == 0 ? 1 : cost;
		__extension__ unsigned __int128 t =
			(unsigned __int128)cost * burst_bytes >> TURN_COST_SHIFT;

		burst = t > UINT64_MAX >> 2 ? UINT64_MAX >> 2 : (uint64_t)t;
	}
	atomic_store_explicit(&b->burst, burst, memory_order_relaxed);
	atomic_store_explicit(&b->cost, cost, memory_order_relaxed);
}

static bool take(struct turn_bucket *b, uint64_t now, uint32_t len)
{
	uint64_t cost = atomic_load_explicit(&b->cost, memory_order_relaxed);
	uint64_t burst = atomic_load_explicit(&b->burst, memory_order_relaxed);
	uint64_t until = atomic_load_explicit(&b->until, memory_order_relaxed), after;

	if (cost == 0)
		return true;
	cost = (cost * len >> TURN_COST_SHIFT) + 1;
	do {
		after = (until > now ? until : now) + cost;
		if (until > now && after > now + burst)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&b->until, &until, after, memory_order_relaxed, memory_order_relaxed));
	return true;
}

static void give_back(struct turn_bucket *b, uint32_t len)
{
	uint64_t cost = atomic_load_explicit(&b->cost, memory_order_relaxed);

	if (cost != 0)
		atomic_fetch_sub_explicit(
			&b->until, (cost * len >> TURN_COST_SHIFT) + 1, memory_order_relaxed);
}

bool turn_police(struct turn_relay *relay, uint64_t now, uint32_t len)
{
	struct turn_user *user = atomic_load_explicit(&relay->user, memory_order_acquire);

	if (!take(&relay->bucket, now, len))
		return false;
	if (user == NULL || take(&user->bucket, now, len))
		return true;
	give_back(&relay->bucket, len);
	return false;
}

uint64_t turn_expiry(void)
{
	uint64_t ms = object_setting_expiry();

	return ms == 0 ? UINT64_MAX : rte_rdtsc() + ms * rte_get_tsc_hz() / 1000;
}

// ---- objects ----

static struct turn_key key_of(uint32_t user_id)
{
	return (struct turn_key){.w = {user_id}};
}

struct turn_user *turn_user_find(uint32_t user_id)
{
	struct turn_key key = key_of(user_id);
	struct turn_user *user = turn_hash_find(&users, &key);

	return user == NULL || user->dead ? NULL : user;
}

static void user_free(void *arg)
{
	slab_free(&slab, arg);
}

static void tidy(struct turn_user *user)
{
	if (!user->dead || user->relays > 0)
		return;
	turn_hash_del(&users, user);
	reclaim_later(user_free, user);
}

void turn_user_put(struct turn_user *user)
{
	if (user == NULL)
		return;
	user->relays--;
	tidy(user);
}

int turn_user_set(const void *body, const void *old)
{
	const struct st_turn_user *u = body;
	struct turn_key key = key_of(u->key.user_id);
	struct turn_user *user = turn_hash_find(&users, &key);

	if (u->key.user_id == 0 || u->pad != 0)
		return -EINVAL;
	if (user == NULL) {
		user = slab_alloc(&slab);
		if (user == NULL)
			return -ENOMEM;
		user->key = key;
		if (turn_hash_add(&users, user) < 0) {
			slab_free(&slab, user);
			return -ENOMEM;
		}
	}
	user->dead = false;
	turn_bucket_set(&user->bucket, u->bytes_per_s, u->burst_bytes);
	return 0;
}

void turn_user_del(const void *body)
{
	const struct st_turn_user *u = body;
	struct turn_user *user = turn_user_find(u->key.user_id);

	if (user == NULL)
		return;
	user->dead = true;
	turn_bucket_set(&user->bucket, 0, 0);
	tidy(user);
}
