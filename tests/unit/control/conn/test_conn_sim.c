// SPDX-License-Identifier: BSD-3-Clause
//
// Two connection objects through a signal service that loses, doubles, delays and reorders, many times with
// differing dice; the same against a seed-era peer with its quirks; ten thousand peers that are offline.
#include "../../../../control/conn/pace.h"
#include "../../suite.h"
#include "conn_world.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS 200

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

struct bounds {
	uint64_t median, all; // ms
};

// Times of RUNS worlds; never more than `all`, half of them within `median`.
static void check_times(uint64_t *ms, const struct bounds *b, const char *what)
{
	qsort(ms, RUNS, sizeof(*ms), by_size);
	printf("\n    %s: median %llu, worst %llu ms ", what, (unsigned long long)ms[RUNS / 2],
		(unsigned long long)ms[RUNS - 1]);
	CU_ASSERT(ms[RUNS / 2] <= b->median);
	CU_ASSERT(ms[RUNS - 1] <= b->all);
}

static void two_of_ours_connect_at_once(void)
{
	uint64_t ms[RUNS];

	for (uint32_t n = 0; n < RUNS; n++) {
		struct world *w = world_new(n);

		world_start(w);
		ms[n] = world_connect(w, 60000);
		world_free(w);
	}
	check_times(ms, &(struct bounds){500, 1000}, "clean signal");
}

static void two_of_ours_connect_through_a_bad_signal_service(void)
{
	uint64_t ms[RUNS];

	for (uint32_t n = 0; n < RUNS; n++) {
		struct world *w = world_new(n);

		w->lose_percent = 30;
		w->double_percent = 20;
		w->delay_max_ms = 1000;
		world_start(w);
		ms[n] = world_connect(w, 120000);
		// And it stays so while late copies still arrive.
		world_run(w, 20000);
		CU_ASSERT_TRUE(world_connected(w));
		world_free(w);
	}
	check_times(ms, &(struct bounds){4000, 30000}, "30 % lost, 20 % double, up to 1 s late");
}

static void a_restarted_one_of_ours_is_back_at_once(void)
{
	uint64_t ms[RUNS];

	for (uint32_t n = 0; n < RUNS; n++) {
		struct world *w = world_new(n);

		world_start(w);
		world_connect(w, 60000);
		world_run(w, 10000 + n);
		world_restart(w, n & 1);
		ms[n] = world_connect(w, 60000);
		world_free(w);
	}
	check_times(ms, &(struct bounds){500, 1000}, "restart, clean signal");
}

static void both_restarting_at_once_do_not_chase_each_other(void)
{
	uint64_t ms[RUNS];

	for (uint32_t n = 0; n < RUNS; n++) {
		struct world *w = world_new(n);

		w->delay_max_ms = 800;
		w->double_percent = 50;
		world_start(w);
		world_connect(w, 60000);
		world_run(w, 3000);
		world_restart(w, 0);
		world_run(w, n);
		world_restart(w, 1);
		ms[n] = world_connect(w, 60000);
		world_free(w);
	}
	check_times(ms, &(struct bounds){2500, 20000}, "both restart, doubles, up to 0.8 s late");
}

static void a_seed_era_peer_connects_in_spite_of_its_quirks(void)
{
	uint64_t ms[RUNS];

	for (uint32_t n = 0; n < RUNS; n++) {
		struct world *w = world_new(n);

		world_seed_era(w, 1);
		world_start(w);
		ms[n] = world_connect(w, 120000);
		world_run(w, 20000);
		CU_ASSERT_TRUE(world_connected(w));
		world_free(w);
	}
	// Its own sleep before the first offer is 0.5 to 2 s of this.
	check_times(ms, &(struct bounds){2000, 3000}, "seed-era peer");
}

static void a_seed_era_peer_connects_through_a_bad_signal_service(void)
{
	uint64_t ms[RUNS];

	for (uint32_t n = 0; n < RUNS; n++) {
		struct world *w = world_new(n);

		world_seed_era(w, 1);
		w->lose_percent = 20;
		w->double_percent = 20;
		w->delay_max_ms = 500;
		world_start(w);
		ms[n] = world_connect(w, 240000);
		world_free(w);
	}
	// Whatever hits its sleep or its checking is lost, and it checks for 11 s.
	check_times(ms, &(struct bounds){10000, 120000}, "seed-era peer, 20 % lost");
}

static void a_restarted_seed_era_peer_is_taken_at_its_first_offer(void)
{
	uint64_t ms[RUNS];

	for (uint32_t n = 0; n < RUNS; n++) {
		struct world *w = world_new(n);

		world_seed_era(w, 1);
		world_start(w);
		world_connect(w, 120000);
		world_run(w, 10000);
		world_restart(w, 1);
		ms[n] = world_connect(w, 120000);
		world_free(w);
	}
	check_times(ms, &(struct bounds){2000, 3000}, "seed-era peer restarted");
}

static void a_seed_era_peer_takes_us_back_after_our_restart(void)
{
	uint64_t ms[RUNS];

	for (uint32_t n = 0; n < RUNS; n++) {
		struct world *w = world_new(n);

		world_seed_era(w, 1);
		world_start(w);
		world_connect(w, 120000);
		world_run(w, 10000);
		world_restart(w, 0);
		ms[n] = world_connect(w, 120000);
		world_free(w);
	}
	// It notices after 6 s, sleeps up to 2 s, and then listens.
	check_times(ms, &(struct bounds){8500, 9500}, "we restarted, seed-era peer");
}

static void a_service_that_swallows_everything_costs_no_more_than_its_outage(void)
{
	for (uint32_t n = 0; n < 20; n++) {
		struct world *w = world_new(n);
		uint64_t ms;

		w->swallow = true;
		world_start(w);
		world_run(w, 60000);
		CU_ASSERT_FALSE(world_connected(w));
		CU_ASSERT(w->messages < 2 * 12);
		// The stream watchdog sees it and reconnects.
		w->swallow = false;
		conn_fsm_signal(&w->side[0].fsm, false, w->now);
		conn_fsm_signal(&w->side[0].fsm, true, w->now);
		ms = world_connect(w, 60000);
		CU_ASSERT(ms <= 1000);
		world_free(w);
	}
}

// ---- ten thousand peers that are offline -----------------------------------------------------------------

#define OFFLINE 10000

static struct {
	uint64_t now;
	struct pace pace;
	unsigned int sent, agents;
	GRand *rand;
} crowd;

static bool crowd_may_offer(bool unhurried, void *arg)
{
	return pace_take(&crowd.pace, unhurried, crowd.now);
}

static void crowd_send(const struct conn_message *m, void *arg)
{
	crowd.sent++;
}

static uint32_t crowd_random(uint32_t bound, void *arg)
{
	return (uint32_t)g_rand_int_range(crowd.rand, 0, (gint32)bound);
}

static int crowd_agent_new(
	uint32_t generation, bool relay_only, const struct ice_credentials *ours, void *arg)
{
	crowd.agents++;
	return -ENOSPC;
}

static void ten_thousand_offline_peers_cost_few_messages_and_flat_memory(void)
{
	struct conn_fsm_ops ops = world_ops;
	struct conn_fsm *fsms = g_new0(struct conn_fsm, OFFLINE);
	unsigned int worst = 0, silent = 0;
	struct mallinfo2 before, after;

	ops.may_offer = crowd_may_offer;
	ops.send = crowd_send;
	ops.random = crowd_random;
	ops.agent_new = crowd_agent_new;
	crowd.now = WORLD_START;
	pace_init(&crowd.pace, crowd.now);
	crowd.rand = g_rand_new_with_seed(1);
	for (int n = 0; n < OFFLINE; n++) {
		conn_fsm_init(&fsms[n], &ops, n & 1, NULL);
		conn_fsm_signal(&fsms[n], true, crowd.now);
		conn_fsm_start(&fsms[n], crowd.now);
	}
	before = mallinfo2();
	for (int s = 0; s < 1800; s++) {
		crowd.sent = 0;
		for (int ms = 0; ms < 1000; ms += 100) {
			crowd.now += 100;
			for (unsigned int n = crowd_random(OFFLINE, NULL), k = 0; k < OFFLINE; k++) {
				struct conn_fsm *f = &fsms[(n + k) % OFFLINE];

				if (conn_fsm_next(f) <= crowd.now)
					conn_fsm_expire(f, crowd.now);
			}
		}
		worst = MAX(worst, crowd.sent);
	}
	after = mallinfo2();
	for (int n = 0; n < OFFLINE; n++)
		silent += !fsms[n].sent;
	printf("\n    worst second: %u messages; %zu bytes per peer ", worst,
		sizeof(struct conn_fsm));
	CU_ASSERT(worst <= PACE_BURST + PACE_OFFERS_PER_S);
	CU_ASSERT_EQUAL(silent, 0); // nobody starves
	CU_ASSERT_EQUAL(crowd.agents, 0);
	CU_ASSERT(after.uordblks <= before.uordblks + 4096);
	for (int n = 0; n < OFFLINE; n++)
		conn_fsm_stop(&fsms[n], crowd.now);
	g_rand_free(crowd.rand);
	g_free(fsms);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(two_of_ours_connect_at_once),
		TEST(two_of_ours_connect_through_a_bad_signal_service),
		TEST(a_restarted_one_of_ours_is_back_at_once),
		TEST(both_restarting_at_once_do_not_chase_each_other),
		TEST(a_seed_era_peer_connects_in_spite_of_its_quirks),
		TEST(a_seed_era_peer_connects_through_a_bad_signal_service),
		TEST(a_restarted_seed_era_peer_is_taken_at_its_first_offer),
		TEST(a_seed_era_peer_takes_us_back_after_our_restart),
		TEST(a_service_that_swallows_everything_costs_no_more_than_its_outage),
		TEST(ten_thousand_offline_peers_cost_few_messages_and_flat_memory),
		CU_TEST_INFO_NULL,
	};

	return run_tests("conn_sim", tests);
}
