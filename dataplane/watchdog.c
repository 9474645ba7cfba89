// SPDX-License-Identifier: BSD-3-Clause
//
// See watchdog.h. Reads the passes that lcores count; asks the kernel about a thread only when it stalls.
#include "watchdog.h"

#include "lcore.h"
#include "log.h"

#include <rte_cycles.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LOOKS_PER_SECOND 20

struct seen {
	uint64_t loops;
	uint64_t stamp; // TSC of the look that last saw it move on
	bool stalled;
	uint64_t ran, waited; // ns, when the stall was noticed
	char in[ST_NAME_MAX];
};

static struct {
	uint64_t looked; // TSC
	struct seen lcores[LCORE_MAX];
} wd;

static const char *place_name(uint8_t at)
{
	static const char *const names[] = {
#define X(name) #name,
		ST_STAGES(X)
#undef X
			[LCORE_AT_POLL] = "poll",
		[LCORE_AT_BETWEEN] = "between",
		[LCORE_AT_SLEEP] = "sleep",
	};

	return at <= LCORE_AT_SLEEP ? names[at] : "?";
}

// Time on a CPU and time waiting for one, in ns (proc(5): schedstat). What is missing was slept.
static void times_read(int tid, uint64_t *ret_ran, uint64_t *ret_waited)
{
	unsigned long ran = 0, waited = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", tid);
	f = fopen(path, "re");
	if (f != NULL) {
		if (fscanf(f, "%lu %lu", &ran, &waited) != 2)
			ran = waited = 0;
		fclose(f);
	}
	*ret_ran = ran;
	*ret_waited = waited;
}

static uint64_t ms_since(uint64_t stamp, uint64_t now)
{
	return (now - stamp) / (rte_get_tsc_hz() / 1000);
}

static void stall_begins(const struct lcore *lc, struct seen *s, uint64_t now)
{
	s->stalled = true;
	snprintf(s->in, sizeof(s->in), "%s", place_name(__atomic_load_n(&lc->at, __ATOMIC_RELAXED)));
	times_read(lc->tid, &s->ran, &s->waited);
	log_warning("lcore: makes no pass since_ms=%lu lcore=%u in=%s", ms_since(s->stamp, now),
		lc->id, s->in);
}

static void stall_ends(const struct lcore *lc, struct seen *s, uint64_t now)
{
	uint64_t ran, waited;

	s->stalled = false;
	times_read(lc->tid, &ran, &waited);
	log_warning(
		"lcore: goes on after_ms=%lu lcore=%u was_in=%s ran_ms=%lu waited_for_cpu_ms=%lu",
		ms_since(s->stamp, now), lc->id, s->in, (ran - s->ran) / 1000000,
		(waited - s->waited) / 1000000);
}

static void look(const struct lcore *lc, struct seen *s, uint64_t now)
{
	uint64_t loops = __atomic_load_n(&lc->loops, __ATOMIC_RELAXED);

	if (loops != s->loops || s->stamp == 0) {
		if (s->stalled)
			stall_ends(lc, s, now);
		s->loops = loops;
		s->stamp = now;
	} else if (!s->stalled && ms_since(s->stamp, now) >= WATCHDOG_STALL_MS) {
		stall_begins(lc, s, now);
	}
}

void watchdog_poll(void)
{
	uint64_t now = rte_rdtsc();

	if ((now - wd.looked) * LOOKS_PER_SECOND < rte_get_tsc_hz())
		return;
	wd.looked = now;
	for (uint16_t i = 0; i < lcores.nb; i++)
		look(lcores.lc[i], &wd.lcores[i], now);
}
