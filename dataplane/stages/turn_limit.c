// SPDX-License-Identifier: BSD-3-Clause
//
// Limits of the relay that belong to one lcore: STUN answers by source, and what goes up to straitd by
// cause, so that a flood of strangers leaves room for the refreshes of those who have an allocation. The
// table of sources has a fixed size; sources that meet in a bucket share it.
#include "turn.h"

#include <rte_malloc.h>
#include <sodium.h>

static const struct {
	uint32_t rate, burst; // per second; at once
} punt_limits[TURN_PUNT_CAUSES] = {
	[TURN_PUNT_KNOWN] = {PUNT_KNOWN_RATE, PUNT_KNOWN_BURST},
	[TURN_PUNT_OTHER] = {PUNT_OTHER_RATE, PUNT_OTHER_BURST},
	[TURN_PUNT_ICMP] = {PUNT_ICMP_RATE, PUNT_ICMP_BURST},
	[TURN_PUNT_OPTIONS] = {PUNT_OPTIONS_RATE, PUNT_OPTIONS_BURST},
};

struct turn_lcore *turn_lcore_new(uint64_t hz)
{
	struct turn_lcore *t = rte_zmalloc("turn", sizeof(*t), RTE_CACHE_LINE_SIZE);

	if (t == NULL)
		return NULL;
	randombytes_buf(t->seed, sizeof(t->seed));
	randombytes_buf(&t->random, sizeof(t->random));
	t->random |= 1;
	for (int i = 0; i < TURN_PUNT_CAUSES; i++) {
		t->punt_cost[i] = hz / punt_limits[i].rate;
		t->punt_burst[i] = t->punt_cost[i] * punt_limits[i].burst;
	}
	t->source_cost = hz / STUN_PER_SOURCE;
	t->source_burst = t->source_cost * STUN_SOURCE_BURST;
	// In its first call DPDK's CRC chooses its code, and another lcore that comes meanwhile jumps to address 0.
	stun_fingerprint("", 0);
	return t;
}

static bool take(uint64_t *until, uint64_t now, uint64_t cost, uint64_t burst)
{
	uint64_t after = (*until > now ? *until : now) + cost;

	if (after > now + burst)
		return false;
	*until = after;
	return true;
}

bool turn_limit_punt(struct lcore *lc, enum turn_punt cause)
{
	struct turn_lcore *t = lc->turn;
	uint64_t cost = t->punt_cost[cause];

	if (cause != TURN_PUNT_KNOWN && lc->rx_behind >= PUNT_BEHIND)
		cost *= PUNT_BEHIND_SHARE;
	return take(&t->punt[cause], lc->now, cost, t->punt_burst[cause]);
}

bool turn_limit_binding(struct lcore *lc, const struct st_addr *src)
{
	struct turn_lcore *t = lc->turn;
	uint64_t w[2];
	__extension__ unsigned __int128 h;

	memcpy(w, src, sizeof(w));
	if (!turn_addr_is_ipv4(src))
		w[1] = 0; // an IPv6 host has a /64
	h = (unsigned __int128)(w[0] ^ t->seed[0] ^ (w[1] << 1)) * ((w[1] ^ t->seed[1]) | 1);
	return take(&t->sources[((uint64_t)h ^ (uint64_t)(h >> 64)) % STUN_SOURCES], lc->now,
		t->source_cost, t->source_burst);
}
_Static_assert((STUN_SOURCES & (STUN_SOURCES - 1)) == 0, "a mask, no division");
