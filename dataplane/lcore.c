// SPDX-License-Identifier: BSD-3-Clause
//
// Packet lcores: what they are made of, their loop, and the rings between them and main. lcores_* runs on
// main, the rest on the lcore it is given.
#include "lcore.h"

#include "../crypto/aead.h"
#include "stage.h"
#include "stages/crypt.h"
#include "stages/icmp.h"
#include "stages/reassemble.h"
#include "stages/slots.h"
#include "stages/staging.h"
#include "stages/turn.h"
#include "stages/wg.h"
#include "tables/iface.h"
#include "tables/peer.h"
#include "trace.h"

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_pause.h>
#include <rte_ring_elem.h>
#include <rte_udp.h>
#include <sodium.h>

#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>

#define CMD_RING 1024

// Adaptive idling. A wake-up costs 10 to 25 us of CPU on a virtual machine, so these are what keeps an
// idle lcore below 5 % and a silent one below 1 % of a core at a median wake well under 200 us
// (bench_wg, docs/benchmarks.md).
#define SPIN_PER_SECOND 20000 // spin for 1/20000 s after the last packet
#define SHORT_SLEEP_NS  250000
#define LONG_SLEEP_NS   4000000 // after a second of silence

struct lcore_table lcores;

// ---- making and freeing (main) ---------------------------------------------------------------------

static struct rte_ring *ring_new(const char *what, unsigned int a, unsigned int b, unsigned int size)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "%s_%u_%u", what, a, b);
	return rte_ring_create(name, size, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
}

static void free_ring_of_mbufs(struct rte_ring *r)
{
	void *m;

	if (r == NULL)
		return;
	while (rte_ring_sc_dequeue(r, &m) == 0)
		rte_pktmbuf_free(m);
	rte_ring_free(r);
}

static void scratch_free(struct aead_scratch *s)
{
	if (s != NULL)
		sodium_memzero(s, sizeof(*s));
	rte_free(s);
}

static void lcore_free(struct lcore *lc)
{
	if (lc == NULL)
		return;
	for (unsigned int i = 0; i < LCORE_MAX; i++)
		free_ring_of_mbufs(lc->handoff[i]);
	free_ring_of_mbufs(lc->to_main);
	rte_ring_free(lc->cmds);
	rte_ring_free(lc->events);
	reassembly_free(lc->frags);
	if (lc->aead != NULL)
		lc->aead->ctx_free(lc->aead_ctx);
	scratch_free(lc->opening);
	scratch_free(lc->sealing);
	rte_free(lc->turn);
	rte_free(lc->counts);
	rte_free(lc);
}

static bool make_rings(struct lcore *lc, uint16_t nb)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "events_%u", lc->id);
	lc->events = rte_ring_create_elem(name, sizeof(struct lcore_event), EVENT_RING,
		SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	lc->cmds = ring_new("cmds", lc->id, 0, CMD_RING);
	lc->to_main = ring_new("to_main", lc->id, 0, TO_MAIN_RING);
	if (lc->events == NULL || lc->cmds == NULL || lc->to_main == NULL)
		return false;
	for (uint16_t from = 0; from < nb; from++) {
		if (from == lc->id)
			continue;
		lc->handoff[from] = ring_new("handoff", from, lc->id, HANDOFF_RING);
		if (lc->handoff[from] == NULL)
			return false;
	}
	return true;
}

static struct lcore *lcore_new(uint16_t id, unsigned int rte_id, uint16_t nb,
	const struct aead_backend *aead, struct rte_mempool *pool)
{
	struct lcore *lc = rte_zmalloc("lcore", sizeof(*lc), RTE_CACHE_LINE_SIZE);

	if (lc == NULL)
		return NULL;
	lc->id = id;
	lc->rte_id = rte_id;
	lc->pool = pool;
	lc->hz = rte_get_tsc_hz();
	lc->icmp_cost = lc->hz / ICMP_PER_SECOND;
	lc->icmp_tokens = lc->icmp_cost * ICMP_BURST;
	lc->icmp_stamp = lc->now = rte_rdtsc();
	lc->ip_id = (uint16_t)randombytes_random();
	lc->counts = rte_zmalloc("counts", ST_MAX_IFACES * sizeof(*lc->counts), RTE_CACHE_LINE_SIZE);
	lc->opening = rte_zmalloc("opening", sizeof(*lc->opening), RTE_CACHE_LINE_SIZE);
	lc->sealing = rte_zmalloc("sealing", sizeof(*lc->sealing), RTE_CACHE_LINE_SIZE);
	lc->turn = turn_lcore_new(lc->hz);
	lc->frags = reassembly_new(randombytes_random());
	lc->aead_ctx = aead->ctx_new();
	if (lc->aead_ctx != NULL)
		lc->aead = aead;
	if (lc->counts == NULL || lc->opening == NULL || lc->sealing == NULL || lc->turn == NULL ||
		lc->frags == NULL || lc->aead == NULL || !make_rings(lc, nb)) {
		lcore_free(lc);
		return NULL;
	}
	return lc;
}

static int make_qsbr(uint16_t nb)
{
	size_t size = rte_rcu_qsbr_get_memsize(nb);

	lcores.qsbr = rte_zmalloc("qsbr", size, RTE_CACHE_LINE_SIZE);
	if (lcores.qsbr == NULL)
		return -ENOMEM;
	return rte_rcu_qsbr_init(lcores.qsbr, nb) == 0 ? 0 : -rte_errno;
}

int lcores_init(const char *aead_name, int adaptive, struct rte_mempool *pool)
{
	const struct aead_backend *aead = aead_backend_find(aead_name);
	unsigned int nb = rte_lcore_count() - 1;
	unsigned int rte_id;
	int err;

	if (aead == NULL)
		return -ENOENT;
	if (nb == 0 || nb > LCORE_MAX)
		return -ERANGE;
	memset(&lcores, 0, sizeof(lcores));
	lcores.adaptive = adaptive;
	err = make_qsbr((uint16_t)nb);
	if (err != 0)
		goto err_free;
	RTE_LCORE_FOREACH_WORKER (rte_id) {
		struct lcore *lc = lcore_new(lcores.nb, rte_id, (uint16_t)nb, aead, pool);

		if (lc == NULL) {
			err = -ENOMEM;
			goto err_free;
		}
		lcores.lc[lcores.nb++] = lc;
	}
	return 0;
err_free:
	lcores_fini();
	return err;
}

void lcores_fini(void)
{
	for (uint16_t i = 0; i < lcores.nb; i++)
		lcore_free(lcores.lc[i]);
	rte_free(lcores.qsbr);
	memset(&lcores, 0, sizeof(lcores));
}

// ---- the loop --------------------------------------------------------------------------------------

static void sleep_ns(struct lcore *lc, long ns)
{
	struct timespec ts = {.tv_nsec = ns};

	// Offline in QSBR: whoever waits for quiescence does not wait for a sleeper.
	rte_rcu_qsbr_thread_offline(lcores.qsbr, lc->id);
	lcore_at(&lc->at, LCORE_AT_SLEEP);
	clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL); // a signal only shortens it
	lcore_at(&lc->at, LCORE_AT_BETWEEN);
	rte_rcu_qsbr_thread_online(lcores.qsbr, lc->id);
	lc->sleeps++;
}

static void idle(struct lcore *lc)
{
	uint64_t silent;

	if (lc->idle_since == 0)
		lc->idle_since = lc->now;
	silent = lc->now - lc->idle_since;
	if (!lcores.adaptive || silent * SPIN_PER_SECOND < lc->hz)
		rte_pause();
	else
		sleep_ns(lc, silent < lc->hz ? SHORT_SLEEP_NS : LONG_SLEEP_NS);
}

static int lcore_main(void *arg)
{
	struct lcore *lc = arg;
	uint64_t last = rte_rdtsc();
	bool busy = false;

	prctl(PR_SET_TIMERSLACK, 1UL);
	lc->tid = rte_gettid();
	lcore_at(&lc->at, LCORE_AT_BETWEEN);
	rte_rcu_qsbr_thread_register(lcores.qsbr, lc->id);
	rte_rcu_qsbr_thread_online(lcores.qsbr, lc->id);
	while (!atomic_load_explicit(&lcores.stop, memory_order_relaxed)) {
		unsigned int n;

		lc->now = rte_rdtsc();
		lc->total_cycles += lc->now - last;
		if (busy)
			lc->busy_cycles += lc->now - last;
		last = lc->now;
		n = stages_run(lc);
		rte_rcu_qsbr_quiescent(lcores.qsbr, lc->id);
		lc->loops++;
		busy = n > 0;
		if (busy) {
			lc->busy_loops++;
			lc->idle_since = 0;
		} else if (lc->again.n == 0) {
			idle(lc);
		}
	}
	rte_rcu_qsbr_thread_offline(lcores.qsbr, lc->id);
	rte_rcu_qsbr_thread_unregister(lcores.qsbr, lc->id);
	return 0;
}

int lcores_launch(void)
{
	for (uint16_t i = 0; i < lcores.nb; i++) {
		int err = rte_eal_remote_launch(lcore_main, lcores.lc[i], lcores.lc[i]->rte_id);

		if (err != 0) {
			lcores_stop();
			return err;
		}
	}
	return 0;
}

// What is on its way at the end goes back to the pool, so that a leak would show.
static void release_packets(struct lcore *lc)
{
	struct rte_mbuf *m;
	void *cmd;

	while (rte_ring_sc_dequeue(lc->cmds, &cmd) == 0) {
		struct lcore_cmd *c = cmd;

		if (c->op == LCORE_CMD_PACKET)
			rte_pktmbuf_free(c->arg);
		atomic_store_explicit(&c->done, 1, memory_order_release);
	}
	rte_pktmbuf_free_bulk(lc->again.m, lc->again.n);
	lc->again.n = 0;
	while ((m = lc->neigh_head) != NULL) {
		lc->neigh_head = packet_of(m)->next;
		rte_pktmbuf_free(m);
	}
	lc->neigh_queued = 0;
	while (lc->staged_peers != NULL)
		staging_clear(lc, lc->staged_peers, ST_DROP_wg_staged_timeout);
	rte_pktmbuf_free_bulk(lc->in[ST_STAGE_drop].m, lc->in[ST_STAGE_drop].n);
	lc->in[ST_STAGE_drop].n = 0;
	for (uint16_t from = 0; from < lcores.nb; from++)
		while (lc->handoff[from] != NULL &&
			rte_ring_sc_dequeue(lc->handoff[from], (void **)&m) == 0)
			rte_pktmbuf_free(m);
	while (rte_ring_sc_dequeue(lc->to_main, (void **)&m) == 0)
		rte_pktmbuf_free(m);
	reassembly_free(lc->frags);
	lc->frags = NULL;
}

void lcores_stop(void)
{
	atomic_store_explicit(&lcores.stop, 1, memory_order_relaxed);
	for (uint16_t i = 0; i < lcores.nb; i++)
		rte_eal_wait_lcore(lcores.lc[i]->rte_id);
	for (uint16_t i = 0; i < lcores.nb; i++)
		release_packets(lcores.lc[i]);
}

// ---- commands and events ---------------------------------------------------------------------------

bool lcore_command(uint16_t id, struct lcore_cmd *cmd)
{
	return rte_ring_sp_enqueue(lcores.lc[id]->cmds, cmd) == 0;
}

static bool owns(const struct lcore *lc, struct peer *peer)
{
	return atomic_load_explicit(&peer->owner, memory_order_acquire) == lc->id;
}

static int install(struct lcore *lc, struct keypair *kp)
{
	if (!owns(lc, kp->peer))
		return -EAGAIN;
	slots_install(lc, kp);
	// The first packet under the new keys tells the responder that we have them.
	if (kp->initiator && staging_flush(lc, kp->peer) == 0)
		wg_keepalive(lc, kp->peer);
	return 0;
}

static int carry_out(struct lcore *lc, struct lcore_cmd *cmd)
{
	struct peer *peer = cmd->arg;
	struct keypair *kp = cmd->arg;
	struct rte_mbuf *m = cmd->arg;

	switch (cmd->op) {
	case LCORE_CMD_KEY_INSTALL:
		return install(lc, kp);
	case LCORE_CMD_KEY_REMOVE:
		if (!owns(lc, kp->peer))
			return -EAGAIN;
		slots_remove(kp->peer, kp);
		return 0;
	case LCORE_CMD_PEER_REMOVE:
		if (!owns(lc, peer))
			return -EAGAIN;
		staging_clear(lc, peer, ST_DROP_wg_peer_removed);
		slots_clear(peer);
		return 0;
	case LCORE_CMD_KEEPALIVE:
		if (!owns(lc, peer))
			return -EAGAIN;
		wg_keepalive(lc, peer);
		return 0;
	case LCORE_CMD_STAGED_DROP:
		if (!owns(lc, peer))
			return -EAGAIN;
		staging_clear(lc, peer, ST_DROP_wg_staged_timeout);
		return 0;
	case LCORE_CMD_PACKET:
		stage_push(lc, packet_of(m)->target, m);
		return 0;
	}
	return -EINVAL;
}

unsigned int lcore_commands(struct lcore *lc)
{
	void *cmds[32];
	unsigned int n = rte_ring_sc_dequeue_burst(lc->cmds, cmds, RTE_DIM(cmds), NULL);

	for (unsigned int i = 0; i < n; i++) {
		struct lcore_cmd *cmd = cmds[i];

		cmd->result = carry_out(lc, cmd);
		atomic_store_explicit(&cmd->done, 1, memory_order_release);
	}
	return n;
}

bool lcore_event_push(struct lcore *lc, const struct lcore_event *ev)
{
	if (likely(rte_ring_sp_enqueue_elem(lc->events, (void *)(uintptr_t)ev, sizeof(*ev)) == 0))
		return true;
	atomic_fetch_add_explicit(&lc->events_lost, 1, memory_order_relaxed);
	return false;
}

// ---- packets that move to the left, or to another lcore --------------------------------------------

void lcore_again(struct lcore *lc, struct rte_mbuf *m, enum st_stage target)
{
	if (unlikely(lc->again.n == VEC_MAX)) {
		drop_now(lc, m, ST_DROP_handoff_full);
		return;
	}
	packet_of(m)->target = target;
	lc->again.m[lc->again.n++] = m;
}

static void flush_to(struct lcore *lc, unsigned int to)
{
	struct outbuf *b = &lc->out[to];
	unsigned int n = rte_ring_sp_enqueue_burst(
		lcores.lc[to]->handoff[lc->id], (void *const *)b->m, b->n, NULL);

	lc->handoff_out += n;
	for (; n < b->n; n++)
		drop_now(lc, b->m[n], ST_DROP_handoff_full);
	b->n = 0;
}

void lcore_handoff_flush(struct lcore *lc)
{
	while (lc->handoff_lcores != 0) {
		unsigned int to = (unsigned int)__builtin_ctzll(lc->handoff_lcores);

		lc->handoff_lcores &= lc->handoff_lcores - 1;
		flush_to(lc, to);
	}
}

void lcore_handoff(struct lcore *lc, uint16_t to, struct rte_mbuf *m, enum st_stage target)
{
	struct packet *p = packet_of(m);
	struct outbuf *b = &lc->out[to];

	p->target = target;
	if (!(p->flags & PACKET_F_BY_HANDOFF)) // else it follows a peer that has moved on
		p->from = lc->id;
	b->m[b->n++] = m;
	lc->handoff_lcores |= 1ULL << to;
	if (b->n == OUTBUF_MAX)
		flush_to(lc, to);
}
_Static_assert(LCORE_MAX <= 64, "handoff_lcores has a bit per lcore");

void lcore_to_main(struct lcore *lc, struct rte_mbuf *m, uint32_t peer_id)
{
	struct packet *p = packet_of(m);

	if (unlikely(m->pkt_len > p->l4_off + sizeof(struct rte_udp_hdr) + ST_PACKET_MAX)) {
		drop_now(lc, m, ST_DROP_mtu_exceeded);
		return;
	}
	if (unlikely(rte_ring_full(lc->to_main))) {
		drop_now(lc, m, ST_DROP_host_full);
		return;
	}
	p->hash = peer_id;
	if (unlikely(p->flags & PACKET_F_TRACED))
		trace_end(lc, m, -1);
	rte_ring_sp_enqueue(lc->to_main, m);
}
