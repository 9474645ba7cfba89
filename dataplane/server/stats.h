// SPDX-License-Identifier: BSD-3-Clause
//
// The read-only kinds of the contract (ST_STAT_*), made when they are asked for. main only; the lcores'
// counters are read relaxed and may be a moment apart.
#pragma once

#include "../api/st_api.h"

#include <stdbool.h>
#include <stdint.h>

struct rte_mempool;

union stats_body {
	struct st_stat_peer peer;
	struct st_stat_keypair keypair;
	struct st_stat_iface iface;
	struct st_stat_stage stage;
	struct st_stat_drop drop;
	struct st_stat_lcore lcore;
	struct st_stat_pool pool;
	struct st_stat_relay relay;
	struct st_stat_turn turn;
	struct st_stat_stall stall;
};

void stats_init(struct rte_mempool *pool);
bool stats_kind(uint16_t kind);
// STAT_RELAY goes along the RELAY objects: the item of one of them.
void stats_relay(const void *relay, struct st_stat_relay *ret);
// The next item at or after *cursor (begin with 0), which moves on. Its length, or 0 at the end.
uint16_t stats_next(uint16_t kind, uint32_t *cursor, union stats_body *ret);
