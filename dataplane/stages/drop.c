// SPDX-License-Identifier: BSD-3-Clause
//
// Where packets end that go nowhere: counted by reason, traced, freed. Nothing else in the data plane
// frees a packet that it received.
#include "../stage.h"
#include "../trace.h"

static void end_trace(struct lcore *lc, struct rte_mbuf *m, int why)
{
	if (unlikely(packet_of(m)->flags & PACKET_F_TRACED))
		trace_end(lc, m, why);
}

void drop_now(struct lcore *lc, struct rte_mbuf *m, enum st_drop why)
{
	lc->drops[why]++;
	end_trace(lc, m, why);
	rte_pktmbuf_free(m);
}

void packet_consumed(struct lcore *lc, struct rte_mbuf *m)
{
	end_trace(lc, m, -1);
	rte_pktmbuf_free(m);
}

void drop_run(struct lcore *lc, struct vec *in)
{
	for (uint32_t i = 0; i < in->n; i++) {
		struct packet *p = packet_of(in->m[i]);

		lc->drops[p->drop]++;
		end_trace(lc, in->m[i], p->drop);
	}
	rte_pktmbuf_free_bulk(in->m, in->n);
}
