// SPDX-License-Identifier: BSD-3-Clause
//
// Deferred freeing under QSBR: a FIFO of (token, function, object). main only. Tokens only grow, so the
// head of the queue is always the first that comes due. Never blocks except when it cannot queue.
#include "reclaim.h"

#include "lcore.h"

#include <rte_rcu_qsbr.h>

#include <stdlib.h>

struct entry {
	struct entry *next;
	uint64_t token;
	void (*fn)(void *);
	void *obj;
};

static struct {
	struct entry *head;
	struct entry **tail;
} queue = {.head = NULL, .tail = &queue.head};

uint64_t reclaim_token(void)
{
	return rte_rcu_qsbr_start(lcores.qsbr);
}

int reclaim_passed(uint64_t token)
{
	return rte_rcu_qsbr_check(lcores.qsbr, token, false);
}

void reclaim_later(void (*fn)(void *), void *obj)
{
	struct entry *e;

	if (obj == NULL)
		return;
	e = malloc(sizeof(*e));
	if (e == NULL) {
		// Without memory for the queue, waiting is the one way that is still correct: an
		// awake lcore reports within a pass and a sleeping one is offline.
		rte_rcu_qsbr_synchronize(lcores.qsbr, RTE_QSBR_THRID_INVALID);
		fn(obj);
		return;
	}
	*e = (struct entry){.token = reclaim_token(), .fn = fn, .obj = obj};
	*queue.tail = e;
	queue.tail = &e->next;
}

static void run_head(void)
{
	struct entry *e = queue.head;

	queue.head = e->next;
	if (queue.head == NULL)
		queue.tail = &queue.head;
	e->fn(e->obj);
	free(e);
}

void reclaim_poll(void)
{
	while (queue.head != NULL && reclaim_passed(queue.head->token))
		run_head();
}

void reclaim_drain(void)
{
	while (queue.head != NULL)
		run_head();
}
