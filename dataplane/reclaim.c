// SPDX-License-Identifier: BSD-3-Clause
//
// Deferred freeing under QSBR: a FIFO of (token, function, object). main only. Tokens only grow, so
// the head of the queue is always the first that comes due. Never blocks except when it cannot
// queue. What packets in handoff rings point to passes through the FIFO twice, with the rings in
// between.
#include "reclaim.h"

#include "lcore.h"

#include <rte_rcu_qsbr.h>

#include <stdbool.h>
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

// Waiting is the one way that is still correct without memory for the queue. It is short: an awake
// lcore reports within a pass and a sleeping one is offline.
void reclaim_wait(void)
{
	rte_rcu_qsbr_synchronize(lcores.qsbr, RTE_QSBR_THRID_INVALID);
}

void reclaim_later(void (*fn)(void *), void *obj)
{
	struct entry *e;

	if (obj == NULL)
		return;
	e = malloc(sizeof(*e));
	if (e == NULL) {
		reclaim_wait();
		fn(obj);
		return;
	}
	*e = (struct entry){.token = reclaim_token(), .fn = fn, .obj = obj};
	*queue.tail = e;
	queue.tail = &e->next;
}

// ---- rings: wait until their contents of one moment have been taken out ----

struct ring_wait {
	void (*fn)(void *);
	void *obj;
	struct ring_wait *next;
	uint32_t rounds;
	uint32_t nb;
	struct ring_mark {
		const struct rte_ring *ring;
		uint32_t tail; // producer's position at the moment
	} marks[];
};

static struct ring_wait *ring_waits;

// A lcore that has given the peer away forwards what it takes out of a ring once more, to the owner.
#define RING_ROUNDS 2

static bool ring_moved_past(const struct ring_mark *mark)
{
	uint32_t tail = __atomic_load_n(&mark->ring->cons.tail, __ATOMIC_ACQUIRE);

	return (int32_t)(tail - mark->tail) >= 0;
}

static void marks_take(struct ring_wait *w)
{
	w->nb = 0;
	for (unsigned int to = 0; to < lcores.nb; to++)
		for (unsigned int from = 0; from < lcores.nb; from++) {
			const struct rte_ring *r =
				lcores.lc[to] == NULL ? NULL : lcores.lc[to]->handoff[from];

			if (r != NULL && rte_ring_count(r) != 0)
				w->marks[w->nb++] = (struct ring_mark){.ring = r,
					.tail = __atomic_load_n(&r->prod.tail, __ATOMIC_ACQUIRE)};
		}
}

static void ring_wait_done(void *arg)
{
	struct ring_wait *w = arg;

	w->fn(w->obj);
	free(w);
}

static void ring_wait_begin(void *arg)
{
	struct ring_wait *w = arg;

	marks_take(w);
	w->next = ring_waits;
	ring_waits = w;
}

void reclaim_later_rings(void (*fn)(void *), void *obj)
{
	struct ring_wait *w;

	if (obj == NULL)
		return;
	w = malloc(sizeof(*w) + (size_t)lcores.nb * lcores.nb * sizeof(w->marks[0]));
	if (w == NULL)
		return; // leaked on purpose: freeing it early would be worse, waiting could hang
	*w = (struct ring_wait){.fn = fn, .obj = obj};
	reclaim_later(ring_wait_begin, w);
}

static void ring_waits_poll(void)
{
	struct ring_wait **p = &ring_waits;

	while (*p != NULL) {
		struct ring_wait *w = *p;

		while (w->nb > 0 && ring_moved_past(&w->marks[w->nb - 1]))
			w->nb--;
		if (w->nb > 0) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		w->rounds++;
		reclaim_later(w->rounds < RING_ROUNDS ? ring_wait_begin : ring_wait_done, w);
	}
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
	ring_waits_poll();
	while (queue.head != NULL && reclaim_passed(queue.head->token))
		run_head();
}

void reclaim_drain(void)
{
	while (queue.head != NULL || ring_waits != NULL) {
		struct ring_wait *w = ring_waits;

		if (queue.head != NULL) {
			run_head();
			continue;
		}
		ring_waits = w->next;
		ring_wait_done(w);
	}
}
