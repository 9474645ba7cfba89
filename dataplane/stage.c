// SPDX-License-Identifier: BSD-3-Clause
//
// The table of stages and one pass over it. Runs on packet lcores (and in tests and benches on whatever
// thread plays one).
#include "stage.h"

#include "stages/reassemble.h"
#include "stages/staging.h"
#include "trace.h"

#include <rte_cycles.h>

const struct stage stages[ST_STAGE_COUNT] = {
#define X(name) [ST_STAGE_##name] = {#name, name##_run},
	ST_STAGES(X)
#undef X
};

// Returns the TSC at its end, where the next one begins: reading it takes 50 to 150 cycles on virtual machines.
static uint64_t drain_since(struct lcore *lc, enum st_stage s, uint64_t begin)
{
	struct vec *v = &lc->in[s];
	struct stage_stats *st = &lc->stats[s];
	uint32_t n = v->n;
	uint8_t was = lc->at;
	uint64_t end;

	lcore_at(&lc->at, (uint8_t)s);
	if (unlikely(atomic_load_explicit(&trace_flags, memory_order_relaxed) & TRACE_ON))
		trace_hop(lc, s, v);
	stages[s].run(lc, v);
	lcore_at(&lc->at, was);
	v->n = 0;
	st->calls++;
	st->packets += n;
	// Includes what a full successor took meanwhile; that happens only above VEC_MAX packets.
	end = rte_rdtsc();
	st->cycles += end - begin;
	return end;
}

void stage_drain(struct lcore *lc, enum st_stage s)
{
	(void)drain_since(lc, s, rte_rdtsc());
}

// A packet that another lcore, this one's former pass or main left at some stage.
static void enter(struct lcore *lc, struct rte_mbuf *m)
{
	stage_push(lc, packet_of(m)->target, m);
}

static unsigned int take_handoffs(struct lcore *lc)
{
	unsigned int total = 0;

	for (unsigned int from = 0; from < lcores.nb; from++) {
		struct rte_mbuf *m[OUTBUF_MAX * 2];
		unsigned int n;

		if (lc->handoff[from] == NULL)
			continue;
		n = rte_ring_sc_dequeue_burst(lc->handoff[from], (void **)m, RTE_DIM(m), NULL);
		for (unsigned int i = 0; i < n; i++) {
			struct packet *p = packet_of(m[i]);

			p->flags |= PACKET_F_BY_HANDOFF;
			enter(lc, m[i]);
		}
		total += n;
	}
	lc->handoff_in += total;
	return total;
}

// Entering may run a stage, which may push to `again`: only what was there at the start is taken.
static unsigned int take_again(struct lcore *lc)
{
	uint32_t n = lc->again.n;
	uint32_t left;

	for (uint32_t i = 0; i < n; i++)
		enter(lc, lc->again.m[i]);
	left = lc->again.n - n;
	for (uint32_t i = 0; i < left; i++)
		lc->again.m[i] = lc->again.m[n + i];
	lc->again.n = left;
	return n;
}

// Between two passes nothing of the peer is in use here, so that the store is the whole handover.
static void give_away(struct lcore *lc)
{
	struct peer *peer = lc->give_peer;

	lc->give_peer = NULL;
	if (peer->staged_head == NULL)
		atomic_store_explicit(&peer->owner, lc->give_to, memory_order_release);
}

unsigned int stages_run(struct lcore *lc)
{
	unsigned int n = lcore_commands(lc);
	uint64_t stamp;

	n += take_again(lc);
	n += take_handoffs(lc);
	lcore_at(&lc->at, LCORE_AT_POLL);
	n += rx_poll(lc);
	lcore_at(&lc->at, LCORE_AT_BETWEEN);
	reassemble_expire(lc);
	staging_expire(lc);
	l2out_retry(lc);
	stamp = rte_rdtsc();
	for (unsigned int s = ST_STAGE_rx; s < ST_STAGE_COUNT; s++)
		if (lc->in[s].n > 0)
			stamp = drain_since(lc, s, stamp);
	lcore_handoff_flush(lc);
	if (unlikely(lc->give_peer != NULL))
		give_away(lc);
	return n;
}
