// SPDX-License-Identifier: BSD-3-Clause
//
// Next hops of the relay. The rules and routes are asked once per destination; the answer is kept in a
// word of the table entry that the packet belongs to, and holds until a rule, route or interface changes.
//
// The word: generation of the routes (32 bits), place in the lcore's list of ways + 1 (16), lcore (8),
// DSCP (8). Another lcore, another DSCP or a later generation asks again.
#include "../stage.h"
#include "../tables/iface.h"
#include "../tables/route.h"
#include "header.h"
#include "turn.h"

#include <rte_hash_crc.h>

#define DSCP 0xfc

static uint64_t word_of(const struct lcore *lc, uint32_t generation, uint8_t tos)
{
	return generation | (uint64_t)lc->id << 48 | (uint64_t)(tos & DSCP) << 56;
}
_Static_assert(LCORE_MAX <= 256, "eight bits");

static void look_up(
	const struct st_addr *src, const struct st_addr *dst, uint8_t tos, struct turn_way *ret)
{
	struct route_flow f = {.src = *src, .dst = *dst, .tos = tos & DSCP, .ip_proto = IPPROTO_UDP};
	const struct iface *oif;
	struct route_result r;

	f.ipv6 = !turn_addr_is_ipv4(dst);
	f.hash = rte_hash_crc(&f.src, 32, f.ip_proto);
	route_lookup(&f, &r);
	*ret = (struct turn_way){.action = r.action, .why = r.why};
	if (r.action != ST_ROUTE_UNICAST || r.if_id == 0)
		return;
	oif = iface_get(r.if_id);
	if (oif == NULL) {
		*ret = (struct turn_way){.why = ST_DROP_iface_down};
		return;
	}
	ret->if_id = r.if_id;
	ret->mtu = r.mtu != 0 ? RTE_MIN(r.mtu, oif->mtu) : oif->mtu;
	ret->gateway = r.gateway;
	ret->on_link = addr_is_zero(&r.gateway);
}

static bool same(const struct turn_way *a, const struct turn_way *b)
{
	return a->action == b->action && a->why == b->why && a->if_id == b->if_id &&
	       a->mtu == b->mtu && a->on_link == b->on_link && addr_equal(&a->gateway, &b->gateway);
}

// Place + 1 of the way in the list, 0 when there is no room.
static uint16_t remember(struct turn_lcore *t, const struct turn_way *way)
{
	for (uint16_t i = 0; i < t->nb_ways; i++)
		if (same(&t->ways[i], way))
			return (uint16_t)(i + 1);
	if (t->nb_ways == TURN_WAYS)
		return 0;
	t->ways[t->nb_ways++] = *way;
	return t->nb_ways;
}

static const struct turn_way *ask(struct lcore *lc, turn_way_cache *cache,
	const struct st_addr *src, const struct st_addr *dst, uint8_t tos, uint32_t generation)
{
	struct turn_lcore *t = lc->turn;
	uint16_t place;

	if (t->ways_generation != generation) {
		t->ways_generation = generation;
		t->nb_ways = 0;
	}
	look_up(src, dst, tos, &t->other);
	place = remember(t, &t->other);
	if (place != 0)
		atomic_store_explicit(cache, word_of(lc, generation, tos) | (uint64_t)place << 32,
			memory_order_relaxed);
	return &t->other;
}

const struct turn_way *turn_way_find(struct lcore *lc, turn_way_cache *cache,
	const struct st_addr *src, const struct st_addr *dst, uint8_t tos)
{
	// Before the look-up: what is stored under it can be newer, never older.
	uint32_t generation = atomic_load_explicit(&route_generation, memory_order_acquire);
	uint64_t word = atomic_load_explicit(cache, memory_order_relaxed);
	uint16_t place = (uint16_t)(word >> 32);

	if (likely((word & ~(0xffffULL << 32)) == word_of(lc, generation, tos) && place != 0 &&
		    lc->turn->ways_generation == generation))
		return &lc->turn->ways[place - 1];
	return ask(lc, cache, src, dst, tos, generation);
}
