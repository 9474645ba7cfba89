// SPDX-License-Identifier: BSD-3-Clause
//
// Sampled traces. main publishes an immutable set of what is asked for; an lcore that samples a packet
// takes a record from a fixed pool, fills it stage by stage, and gives it to main over one ring.
#include "trace.h"

#include "reclaim.h"
#include "server/api_server.h"
#include "tables/peer.h"

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_mempool.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TRACES_MAX 64  // over all clients
#define RECORDS    511 // under way or waiting for main; no more are sampled above
#define RING_SIZE  1024
#define NS_SHIFT   24

// One request. The countdowns belong to the lcores; `left` is shared by them.
struct request {
	struct st_trace t;
	int client;
	_Atomic int64_t left;
	_Atomic uint64_t seq;
	uint32_t skip[LCORE_MAX];
	struct request *next; // main's list
};

// What the lcores read: replaced whole.
struct set {
	uint32_t n;
	struct request *r[];
};

_Atomic uint32_t trace_flags;

static struct {
	struct rte_mempool *records;
	struct rte_ring *done;
	uint64_t ns_mult; // TSC to ns, shifted by NS_SHIFT
	struct request *list;
	uint32_t count;
	struct set *_Atomic set; // main: wo, lcore: ro
} traces;

// ---- lcore -----------------------------------------------------------------------------------------

static bool due(struct request *r, const struct lcore *lc)
{
	if (r->skip[lc->id] > 0) {
		r->skip[lc->id]--;
		return false;
	}
	r->skip[lc->id] = r->t.one_in > 0 ? r->t.one_in - 1 : 0;
	if (atomic_load_explicit(&r->left, memory_order_relaxed) <= 0)
		return false;
	return atomic_fetch_sub_explicit(&r->left, 1, memory_order_relaxed) > 0;
}

static void start(struct lcore *lc, struct rte_mbuf *m, struct request *r)
{
	struct packet *p = packet_of(m);
	struct packet_trace *t;
	const void *snap;

	if (rte_mempool_get(traces.records, (void **)&t) != 0)
		return;
	memset(&t->ev, 0, sizeof(t->ev));
	t->client = r->client;
	t->start = rte_rdtsc();
	t->ev.id = r->t.key.id;
	t->ev.lcore = lc->id;
	t->ev.seq = atomic_fetch_add_explicit(&r->seq, 1, memory_order_relaxed);
	t->ev.pkt_len = m->pkt_len;
	t->ev.peer_id = ST_NO_PEER;
	t->ev.snap_len = RTE_MIN(m->pkt_len, (uint32_t)ST_TRACE_SNAP);
	snap = rte_pktmbuf_read(m, 0, t->ev.snap_len, t->ev.snap);
	if (snap != t->ev.snap)
		memcpy(t->ev.snap, snap, t->ev.snap_len);
	t->ev.hops[0] = (struct st_trace_hop){.stage = ST_STAGE_rx, .iif = p->iif};
	t->ev.nb_hops = 1;
	p->trace = t;
	p->flags |= PACKET_F_TRACED;
}

void trace_sample(struct lcore *lc, struct rte_mbuf *m)
{
	const struct set *set = atomic_load_explicit(&traces.set, memory_order_acquire);

	if (set == NULL || (packet_of(m)->flags & PACKET_F_TRACED))
		return;
	for (uint32_t i = 0; i < set->n; i++) {
		struct request *r = set->r[i];

		if ((r->t.if_id == 0 || r->t.if_id == packet_of(m)->iif) && due(r, lc)) {
			start(lc, m, r);
			return;
		}
	}
}

void trace_hop(struct lcore *lc, enum st_stage stage, struct vec *in)
{
	uint64_t now = rte_rdtsc();

	for (uint32_t i = 0; i < in->n; i++) {
		const struct packet *p = packet_of(in->m[i]);
		struct st_ev_trace *ev;

		if (!(p->flags & PACKET_F_TRACED) || p->trace->ev.nb_hops == ST_TRACE_HOPS)
			continue;
		ev = &p->trace->ev;
		ev->hops[ev->nb_hops++] = (struct st_trace_hop){
			.stage = (uint8_t)stage,
			.tsc_ns = (uint32_t)((now - p->trace->start) * traces.ns_mult >> NS_SHIFT),
			.iif = p->iif,
			.oif = p->oif,
		};
		if (p->keypair != NULL && stage > ST_STAGE_wg_open)
			ev->peer_id = p->keypair->peer->id;
	}
}

void trace_end(struct lcore *lc, struct rte_mbuf *m, int drop)
{
	struct packet *p = packet_of(m);
	struct packet_trace *t = p->trace;

	p->flags &= ~PACKET_F_TRACED;
	p->trace = NULL;
	if (drop >= 0)
		t->ev.hops[t->ev.nb_hops - 1].drop = (uint16_t)(drop + 1);
	if (rte_ring_mp_enqueue(traces.done, t) != 0) // cannot be: it is larger than the pool
		rte_mempool_put(traces.records, t);
}

// ---- main ------------------------------------------------------------------------------------------

int trace_init(void)
{
	memset(&traces, 0, sizeof(traces));
	traces.ns_mult = (1000000000ULL << NS_SHIFT) / rte_get_tsc_hz();
	traces.records = rte_mempool_create("traces", RECORDS, sizeof(struct packet_trace), 0, 0,
		NULL, NULL, NULL, NULL, SOCKET_ID_ANY, 0);
	if (traces.records == NULL)
		return -rte_errno;
	traces.done = rte_ring_create("traces", RING_SIZE, SOCKET_ID_ANY, RING_F_SC_DEQ);
	if (traces.done == NULL) {
		int err = -rte_errno;

		rte_mempool_free(traces.records);
		return err;
	}
	return captures_init();
}

// Without a set the lcores sample nothing. The requests themselves are freed behind them.
static int publish(void)
{
	struct set *set = NULL;
	struct set *old;

	if (traces.count > 0) {
		set = malloc(sizeof(*set) + traces.count * sizeof(set->r[0]));
		if (set == NULL)
			return -ENOMEM;
		set->n = 0;
		for (struct request *r = traces.list; r != NULL; r = r->next)
			set->r[set->n++] = r;
		atomic_fetch_or_explicit(&trace_flags, TRACE_ON, memory_order_relaxed);
	} else {
		atomic_fetch_and_explicit(&trace_flags, ~(uint32_t)TRACE_ON, memory_order_relaxed);
	}
	old = atomic_exchange_explicit(&traces.set, set, memory_order_acq_rel);
	reclaim_later(free, old);
	return 0;
}

unsigned int trace_count(int client)
{
	unsigned int n = 0;

	for (const struct request *r = traces.list; r != NULL; r = r->next)
		n += r->client == client;
	return n;
}

int trace_add(const struct st_trace *t, int client)
{
	struct request *r;
	int err;

	if (t->count == 0 || t->if_id >= ST_MAX_IFACES)
		return -EINVAL;
	for (r = traces.list; r != NULL; r = r->next)
		if (r->client == client && r->t.key.id == t->key.id)
			return -EEXIST;
	if (traces.count == TRACES_MAX || trace_count(client) == OBSERVED_MAX)
		return -ENOSPC;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return -ENOMEM;
	r->t = *t;
	r->client = client;
	atomic_init(&r->left, (int64_t)t->count);
	r->next = traces.list;
	traces.list = r;
	traces.count++;
	err = publish();
	if (err != 0) {
		traces.list = r->next;
		traces.count--;
		free(r);
	}
	return err;
}

// Removes what matches; id NULL = all of the client. Returns how many.
static unsigned int remove_matching(const uint32_t *id, int client)
{
	struct request **at = &traces.list;
	struct request *gone = NULL;
	unsigned int n = 0;

	while (*at != NULL) {
		struct request *r = *at;

		if (r->client != client || (id != NULL && r->t.key.id != *id)) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		r->next = gone;
		gone = r;
		traces.count--;
		n++;
	}
	if (n == 0)
		return 0;
	if (publish() != 0) { // the old set still names them: they stay allocated, but sample nothing
		for (; gone != NULL; gone = gone->next)
			atomic_store_explicit(&gone->left, 0, memory_order_relaxed);
		return n;
	}
	while (gone != NULL) {
		struct request *next = gone->next;

		reclaim_later(free, gone);
		gone = next;
	}
	return n;
}

int trace_remove(uint32_t id, int client)
{
	return remove_matching(&id, client) > 0 ? 0 : -ENOENT;
}

void trace_remove_client(int client)
{
	remove_matching(NULL, client);
}

void trace_poll(void)
{
	struct packet_trace *t;

	while (traces.done != NULL && rte_ring_sc_dequeue(traces.done, (void **)&t) == 0) {
		api_server_trace(t->client, &t->ev); // a full client loses it; that is its choice
		rte_mempool_put(traces.records, t);
	}
	captures_poll();
}

void trace_fini(void)
{
	captures_fini();
	while (traces.list != NULL)
		remove_matching(NULL, traces.list->client);
	rte_ring_free(traces.done);
	rte_mempool_free(traces.records);
	traces.done = NULL;
	traces.records = NULL;
}
