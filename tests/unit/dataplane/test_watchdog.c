// SPDX-License-Identifier: BSD-3-Clause
//
// watchdog.c: an lcore that makes no pass is told of with the place and with what its thread did meanwhile. Real
// threads stand still; the lcores around them are the test's.
#include "env.h"
#include "watchdog.h"

#include <rte_cycles.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#define STILL_MS (WATCHDOG_STALL_MS * 3 / 2)

enum { MOVES, SPINS, SLEEPS, N };

static struct lcore lc[N];
static pthread_t threads[N];
static atomic_bool stop;

static void *stand_still(void *arg)
{
	struct lcore *l = arg;

	__atomic_store_n(&l->tid, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
	while (!atomic_load(&stop))
		if (l == &lc[SLEEPS])
			usleep(1000);
	return NULL;
}

// Main's loop for so long; only one lcore makes passes.
static void main_turns(unsigned int ms)
{
	uint64_t end = rte_rdtsc() + rte_get_tsc_hz() / 1000 * ms;

	while (rte_rdtsc() < end) {
		__atomic_fetch_add(&lc[MOVES].loops, 1, __ATOMIC_RELAXED);
		watchdog_poll();
		usleep(1000);
	}
}

static void a_stall_is_told_when_it_ends(void)
{
	struct st_stat_stall s;

	main_turns(STILL_MS);
	watchdog_stat(SPINS, &s);
	CU_ASSERT_EQUAL(s.stalls, 0); // it has not ended
	CU_ASSERT_EQUAL(s.longest_age_ms, UINT32_MAX);
	lc[SPINS].loops++;
	lc[SLEEPS].loops++;
	main_turns(100);

	watchdog_stat(MOVES, &s);
	CU_ASSERT_EQUAL(s.stalls, 0);
	watchdog_stat(SPINS, &s);
	CU_ASSERT_EQUAL(s.lcore, SPINS);
	CU_ASSERT_EQUAL(s.stalls, 1);
	CU_ASSERT_STRING_EQUAL(s.longest_in, "wg_encrypt");
	CU_ASSERT(s.longest_ms >= WATCHDOG_STALL_MS);
	CU_ASSERT_EQUAL(s.total_ms, s.longest_ms);
	CU_ASSERT(s.longest_ran_ms > 0);
	CU_ASSERT(s.longest_ran_ms + s.longest_waited_ms <= s.longest_ms + 1000);
	watchdog_stat(SLEEPS, &s);
	CU_ASSERT_EQUAL(s.stalls, 1);
	CU_ASSERT_STRING_EQUAL(s.longest_in, "sleep");
	CU_ASSERT(s.longest_ran_ms < s.longest_ms / 2);
}

// The longest stays with its place; the number and the sum grow.
static void the_longest_stays(void)
{
	struct st_stat_stall first, s;

	watchdog_stat(SPINS, &first);
	lc[SPINS].at = LCORE_AT_POLL;
	main_turns(WATCHDOG_STALL_MS + 60);
	lc[SPINS].loops++;
	main_turns(100);
	watchdog_stat(SPINS, &s);
	CU_ASSERT_EQUAL(s.stalls, 2);
	CU_ASSERT(s.longest_ms >= first.longest_ms);
	CU_ASSERT(s.total_ms >= first.total_ms + WATCHDOG_STALL_MS);
	CU_ASSERT(s.longest_ran_ms <= s.longest_ms + 1000);
	if (s.longest_ms > first.longest_ms)
		CU_ASSERT_STRING_EQUAL(s.longest_in, "poll");
}

static int begin(void)
{
	for (int i = 0; i < N; i++) {
		lc[i].id = (uint16_t)i;
		lcores.lc[i] = &lc[i];
		lc[i].at = i == SLEEPS ? LCORE_AT_SLEEP : ST_STAGE_wg_encrypt;
		if (pthread_create(&threads[i], NULL, stand_still, &lc[i]) != 0)
			return -1;
		while (__atomic_load_n(&lc[i].tid, __ATOMIC_ACQUIRE) == 0)
			usleep(100);
	}
	lcores.nb = N;
	return 0;
}

static void end(void)
{
	atomic_store(&stop, true);
	for (int i = 0; i < N; i++)
		pthread_join(threads[i], NULL);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_stall_is_told_when_it_ends),
		TEST(the_longest_stays),
		CU_TEST_INFO_NULL,
	};
	int rc;

	if (env_eal("watchdog") != 0 || begin() != 0)
		return 1;
	rc = run_tests("watchdog", tests);
	end();
	return rc;
}
