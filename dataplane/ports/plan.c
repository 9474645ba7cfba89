// SPDX-License-Identifier: BSD-3-Clause
//
// Which lcore polls which receive queue and owns which transmit queue. The place of a queue depends only
// on its device's number, so that the coming and going of other devices never moves it: at no moment do
// two lcores use one queue. main only.
#include "plan.h"

#include "../lcore.h"
#include "../log.h"
#include "../reclaim.h"
#include "port.h"

#include <errno.h>
#include <stdlib.h>

struct planned {
	uint16_t if_id;
	uint16_t eth;
	uint16_t nb_rxq, nb_txq;
	uint16_t host;
	bool tap;
};

static struct planned planned[RTE_MAX_ETHPORTS];
static unsigned int nb_planned;

void plan_clear(void)
{
	nb_planned = 0;
}

void plan_add(const struct plan_device *d)
{
	if (nb_planned == RTE_MAX_ETHPORTS)
		return; // cannot be: each device has a number below that
	planned[nb_planned++] = (struct planned){.if_id = d->if_id,
		.eth = d->eth,
		.nb_rxq = d->nb_rxq,
		.nb_txq = d->nb_txq,
		.host = d->host,
		.tap = d->tap};
}

uint16_t plan_rx_lcore(uint16_t eth, uint16_t queue, uint16_t nb_lcores)
{
	return (uint16_t)((eth + queue) % nb_lcores);
}

uint16_t plan_tx_owner(uint16_t eth, uint16_t queue, uint16_t nb_queues, uint16_t nb_lcores)
{
	return nb_queues >= nb_lcores ? queue : (uint16_t)((eth + queue) % nb_lcores);
}

// Its own queue if it owns one, else the owner of the queue that its number chooses.
static struct lcore_txq txq_choose(const struct planned *p, uint16_t lcore)
{
	uint16_t q;

	for (q = 0; q < p->nb_txq && q < lcores.nb; q++)
		if (plan_tx_owner(p->eth, q, p->nb_txq, lcores.nb) == lcore)
			return (struct lcore_txq){.queue = q, .owner = lcore};
	q = lcore % p->nb_txq;
	return (struct lcore_txq){
		.queue = TXQ_NONE, .owner = plan_tx_owner(p->eth, q, p->nb_txq, lcores.nb)};
}

static void rx_fill(struct lcore_plan *plan, const struct planned *p, uint16_t lcore)
{
	for (uint16_t q = 0; q < p->nb_rxq; q++) {
		if (plan_rx_lcore(p->eth, q, lcores.nb) != lcore)
			continue;
		if (plan->nb_rx == RTE_DIM(plan->rx)) {
			log_error("plan: too many receive queues lcore=%u", lcore);
			return;
		}
		plan->rx[plan->nb_rx++] = (struct lcore_rxq){.if_id = p->if_id,
			.eth_port = p->eth,
			.queue = q,
			.host = p->host,
			.tap = p->tap};
	}
}

int plan_publish(void)
{
	struct lcore_plan *plans[LCORE_MAX];

	for (uint16_t id = 0; id < lcores.nb; id++) {
		plans[id] = calloc(1, sizeof(*plans[id]));
		if (plans[id] == NULL) {
			while (id-- > 0)
				free(plans[id]);
			return -ENOMEM;
		}
		for (unsigned int i = 0; i < RTE_MAX_ETHPORTS; i++)
			plans[id]->tx[i] = (struct lcore_txq){.queue = TXQ_NONE, .owner = id};
		for (unsigned int i = 0; i < nb_planned; i++) {
			rx_fill(plans[id], &planned[i], id);
			plans[id]->tx[planned[i].eth] = txq_choose(&planned[i], id);
		}
	}
	for (uint16_t id = 0; id < lcores.nb; id++) {
		const struct lcore_plan *old = atomic_exchange_explicit(
			&lcores.lc[id]->plan, plans[id], memory_order_acq_rel);

		reclaim_later(free, (void *)(uintptr_t)old);
	}
	return 0;
}

void plan_fini(void)
{
	for (uint16_t id = 0; id < lcores.nb; id++)
		free((void *)(uintptr_t)atomic_exchange_explicit(
			&lcores.lc[id]->plan, NULL, memory_order_acq_rel));
}
