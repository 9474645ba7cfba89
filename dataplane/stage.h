// SPDX-License-Identifier: BSD-3-Clause
//
// The staged table. A stage takes the whole vec in front of it and pushes each packet to a later stage,
// so one forward pass drains everything that came in. Stages are listed in st_api.h (ST_STAGES).
#pragma once

#include "lcore.h"
#include "packet.h"

#include <rte_branch_prediction.h>

struct stage {
	const char *name;
	void (*run)(struct lcore *lc, struct vec *in);
};
extern const struct stage stages[ST_STAGE_COUNT];

// One pass over all stages at lc->now; returns how many packets and commands it took in. Tests call it
// directly.
unsigned int stages_run(struct lcore *lc);

#define X(name) void name##_run(struct lcore *lc, struct vec *in);
ST_STAGES(X)
#undef X

// Runs one stage over what waits in front of it. A stage that finds its successor's vec full runs it on
// the spot: calls only nest to the right, so the depth is bounded and no vec is ever written while its
// own stage works on it.
void stage_drain(struct lcore *lc, enum st_stage s);

static inline void stage_push(struct lcore *lc, enum st_stage to, struct rte_mbuf *m)
{
	struct vec *v = &lc->in[to];

	if (unlikely(v->n == VEC_MAX))
		stage_drain(lc, to);
	v->m[v->n++] = m;
}

// What a pass does besides running stages over their vecs.
unsigned int rx_poll(struct lcore *lc); // polls this lcore's queues into in[rx]
void l2out_retry(struct lcore *lc); // packets whose neighbour may be known by now, or is too late
void drop_now(struct lcore *lc, struct rte_mbuf *m,
	enum st_drop why);                                  // right of drop, and outside of stages
void packet_consumed(struct lcore *lc, struct rte_mbuf *m); // ends here as it should: no drop

static inline void stage_drop(struct lcore *lc, struct rte_mbuf *m, enum st_drop why)
{
	packet_of(m)->drop = why;
	stage_push(lc, ST_STAGE_drop, m);
}
