// SPDX-License-Identifier: BSD-3-Clause
//
// ST_STAT_* items. main only. What lcores count is read by relaxed loads.
#include "stats.h"

#include "../lcore.h"
#include "../ports/port.h"
#include "../stages/turn.h"
#include "../tables/peer.h"
#include "../tables/turn.h"
#include "../watchdog.h"
#include "object.h"

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_mempool.h>

#include <stdio.h>
#include <string.h>

static struct rte_mempool *packet_pool;

static const char *const stage_names[] = {
#define X(name) #name,
	ST_STAGES(X)
#undef X
};

static const char *const drop_names[] = {
#define X(name, text) #name,
	ST_DROP_REASONS(X)
#undef X
};

static inline uint64_t load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

void stats_init(struct rte_mempool *pool)
{
	packet_pool = pool;
}

bool stats_kind(uint16_t kind)
{
	return kind >= ST_STAT_PEER && kind <= ST_STAT_STALL;
}

static uint32_t age_ms(uint64_t now, uint64_t stamp)
{
	uint64_t ms;

	if (stamp == 0)
		return UINT32_MAX;
	ms = stamp >= now ? 0 : (now - stamp) / (rte_get_tsc_hz() / 1000);
	return ms >= UINT32_MAX ? UINT32_MAX - 1 : (uint32_t)ms;
}

static uint16_t peer_item(uint32_t *cursor, struct st_stat_peer *ret)
{
	struct peer *peer = peer_next(cursor);
	struct peer_counts sum;
	uint64_t now = rte_rdtsc();

	if (peer == NULL)
		return 0;
	peer_counts_sum(peer, &sum);
	*ret = (struct st_stat_peer){
		.peer_id = peer->id,
		.owner_lcore = atomic_load_explicit(&peer->owner, memory_order_acquire),
		.rx_bytes = sum.rx_bytes,
		.tx_bytes = sum.tx_bytes,
		.rx_packets = sum.rx_packets,
		.tx_packets = sum.tx_packets,
		.any_received_age_ms = age_ms(now, sum.any_received),
		.any_sent_age_ms = age_ms(now, sum.any_sent),
		.data_received_age_ms = age_ms(now, sum.data_received),
		.data_sent_age_ms = age_ms(now, sum.data_sent),
		.selected_received_age_ms = age_ms(now, endpoint_selected_stamp(peer)),
		.staged = __atomic_load_n(&peer->staged, __ATOMIC_RELAXED),
	};
	return sizeof(*ret);
}

static void keypair_fill(const struct peer *peer, const struct keypair *kp, uint32_t slot,
	struct st_stat_keypair *ret)
{
	*ret = (struct st_stat_keypair){
		.index = kp->index,
		.remote_index = kp->remote_index,
		.peer_id = peer->id,
		.slot = (uint8_t)slot,
		.role = kp->initiator ? ST_KEY_INITIATOR : ST_KEY_RESPONDER,
		.age_ms = age_ms(rte_rdtsc(), kp->birth),
		.sent = atomic_load_explicit(
			&((struct keypair *)(uintptr_t)kp)->send_counter, memory_order_relaxed),
		.received = load(&kp->replay.greatest),
	};
}

// The cursor counts slots: 3 per peer id. Only main frees keypairs, so what a slot holds stays valid.
static uint16_t keypair_item(uint32_t *cursor, struct st_stat_keypair *ret)
{
	for (;;) {
		uint32_t id = *cursor / 3, slot = *cursor % 3, next = id;
		struct peer *peer = peer_next(&next);
		struct keypair *kp;

		if (peer == NULL)
			return 0;
		if (peer->id != id)
			slot = 0;
		*cursor = peer->id * 3 + slot + 1;
		kp = atomic_load_explicit(&peer->slots[slot], memory_order_acquire);
		if (kp == NULL)
			continue;
		keypair_fill(peer, kp, slot, ret);
		return sizeof(*ret);
	}
}

static uint16_t iface_item(uint32_t *cursor, struct st_stat_iface *ret)
{
	while (*cursor < ST_MAX_IFACES)
		if (port_stats((uint16_t)(*cursor)++, ret) == 0)
			return sizeof(*ret);
	return 0;
}

static uint16_t stage_item(uint32_t *cursor, struct st_stat_stage *ret)
{
	uint32_t id = *cursor / ST_STAGE_COUNT, stage = *cursor % ST_STAGE_COUNT;
	const struct stage_stats *st;

	if (id >= lcores.nb)
		return 0;
	++*cursor;
	st = &lcores.lc[id]->stats[stage];
	*ret = (struct st_stat_stage){.lcore = id,
		.stage = stage,
		.calls = load(&st->calls),
		.packets = load(&st->packets),
		.cycles = load(&st->cycles)};
	snprintf(ret->name, sizeof(ret->name), "%s", stage_names[stage]);
	return sizeof(*ret);
}

static uint16_t drop_item(uint32_t *cursor, struct st_stat_drop *ret)
{
	uint32_t id = *cursor / ST_DROP_COUNT, reason = *cursor % ST_DROP_COUNT;

	if (id >= lcores.nb)
		return 0;
	++*cursor;
	*ret = (struct st_stat_drop){
		.lcore = id, .reason = reason, .packets = load(&lcores.lc[id]->drops[reason])};
	snprintf(ret->name, sizeof(ret->name), "%s", drop_names[reason]);
	return sizeof(*ret);
}

static uint16_t lcore_item(uint32_t *cursor, struct st_stat_lcore *ret)
{
	const struct lcore *lc;

	if (*cursor >= lcores.nb)
		return 0;
	lc = lcores.lc[(*cursor)++];
	*ret = (struct st_stat_lcore){
		.lcore = lc->id,
		.cpu = (uint32_t)rte_lcore_to_cpu_id((int)lc->rte_id),
		.loops = load(&lc->loops),
		.busy_loops = load(&lc->busy_loops),
		.sleeps = load(&lc->sleeps),
		.busy_cycles = load(&lc->busy_cycles),
		.total_cycles = load(&lc->total_cycles),
		.handoff_in = load(&lc->handoff_in),
		.handoff_out = load(&lc->handoff_out),
		.tsc_hz = rte_get_tsc_hz(),
	};
	return sizeof(*ret);
}

static uint16_t pool_item(uint32_t *cursor, struct st_stat_pool *ret)
{
	if (*cursor > 0 || packet_pool == NULL)
		return 0;
	++*cursor;
	*ret = (struct st_stat_pool){
		.size = packet_pool->size, .available = rte_mempool_avail_count(packet_pool)};
	snprintf(ret->name, sizeof(ret->name), "%s", packet_pool->name);
	return sizeof(*ret);
}

void stats_relay(const void *body, struct st_stat_relay *ret)
{
	const struct st_relay *r = body;
	const struct turn_relay *relay = turn_relay_find(&r->key);

	if (relay != NULL)
		turn_relay_stat(relay, ret);
	else
		*ret = (struct st_stat_relay){.key = r->key, .alloc_id = r->alloc_id};
}

static uint16_t turn_item(uint32_t *cursor, struct st_stat_turn *ret)
{
	if (*cursor > 0)
		return 0;
	++*cursor;
	*ret = (struct st_stat_turn){
		.relays = (uint32_t)object_count(ST_RELAY),
		.permissions = (uint32_t)object_count(ST_PERMISSION),
		.channels = (uint32_t)object_count(ST_CHANNEL),
		.users = (uint32_t)object_count(ST_TURN_USER),
	};
	for (uint16_t i = 0; i < lcores.nb; i++) {
		const struct turn_counts *c = &lcores.lc[i]->turn->counts;

		for (int d = 0; d < 2; d++) {
			ret->packets[d] += load(&c->packets[d]);
			ret->bytes[d] += load(&c->bytes[d]);
		}
		ret->send_indications += load(&c->send_indications);
		ret->data_indications += load(&c->data_indications);
		ret->hairpin += load(&c->hairpin);
		ret->binding_requests += load(&c->binding_requests);
		ret->binding_limited += load(&c->binding_limited);
	}
	return sizeof(*ret);
}

static uint16_t stall_item(uint32_t *cursor, struct st_stat_stall *ret)
{
	if (*cursor >= lcores.nb)
		return 0;
	watchdog_stat((uint16_t)(*cursor)++, ret);
	return sizeof(*ret);
}

uint16_t stats_next(uint16_t kind, uint32_t *cursor, union stats_body *ret)
{
	switch (kind) {
	case ST_STAT_PEER:
		return peer_item(cursor, &ret->peer);
	case ST_STAT_KEYPAIR:
		return keypair_item(cursor, &ret->keypair);
	case ST_STAT_IFACE:
		return iface_item(cursor, &ret->iface);
	case ST_STAT_STAGE:
		return stage_item(cursor, &ret->stage);
	case ST_STAT_DROP:
		return drop_item(cursor, &ret->drop);
	case ST_STAT_LCORE:
		return lcore_item(cursor, &ret->lcore);
	case ST_STAT_POOL:
		return pool_item(cursor, &ret->pool);
	case ST_STAT_TURN:
		return turn_item(cursor, &ret->turn);
	case ST_STAT_STALL:
		return stall_item(cursor, &ret->stall);
	default:
		return 0;
	}
}
