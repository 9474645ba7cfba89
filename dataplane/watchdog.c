// SPDX-License-Identifier: BSD-3-Clause
//
// See watchdog.h. Reads the passes that lcores count; asks the kernel about a thread only when it stalls.
#include "watchdog.h"

#include "lcore.h"
#include "log.h"

#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_lcore.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOOKS_PER_SECOND 20

// Times in ns since the thread began, and of its CPU since the boot.
struct times {
	uint64_t ran, waited, stolen;
};

struct seen {
	uint64_t loops;
	uint64_t stamp;    // TSC of the look that last saw it move on
	bool suspected;    // it had not moved when main looked ...
	struct times then; // ... which was then
	bool stalled;
	uint64_t main_late; // TSC: the longest time between two looks in it
	char in[ST_NAME_MAX];
	uint64_t ended; // TSC: the longest stall
	struct st_stat_stall stat;
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

// The steal column of a CPU's line (proc(5): stat), which is in ticks of 10 ms.
static uint64_t stolen_read(int cpu)
{
	unsigned long v[8] = {0};
	char line[256], name[16];
	FILE *f = fopen("/proc/stat", "re");

	if (f == NULL)
		return 0;
	snprintf(name, sizeof(name), "cpu%d ", cpu);
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, name, strlen(name)) == 0 &&
			sscanf(line + strlen(name), "%lu %lu %lu %lu %lu %lu %lu %lu", &v[0], &v[1],
				&v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) == 8)
			break;
	fclose(f);
	return v[7] * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

// Time on a CPU and time waiting for one (proc(5): schedstat). What is missing was slept.
static struct times times_read(const struct lcore *lc)
{
	unsigned long ran = 0, waited = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", lc->tid);
	f = fopen(path, "re");
	if (f != NULL) {
		if (fscanf(f, "%lu %lu", &ran, &waited) != 2)
			ran = waited = 0;
		fclose(f);
	}
	return (struct times){ran, waited, stolen_read(rte_lcore_to_cpu_id((int)lc->rte_id))};
}

static uint64_t ms_since(uint64_t stamp, uint64_t now)
{
	return (now - stamp) / (rte_get_tsc_hz() / 1000);
}

static void stall_begins(const struct lcore *lc, struct seen *s, uint64_t now)
{
	s->stalled = true;
	snprintf(s->in, sizeof(s->in), "%s", place_name(__atomic_load_n(&lc->at, __ATOMIC_RELAXED)));
	log_warning("lcore: makes no pass since_ms=%lu lcore=%u in=%s", ms_since(s->stamp, now),
		lc->id, s->in);
}

static void note_longest(struct seen *s, const struct st_stat_stall *this, uint64_t now)
{
	uint32_t stalls = s->stat.stalls + 1;
	uint64_t total = s->stat.total_ms + this->longest_ms;

	if (this->longest_ms >= s->stat.longest_ms) {
		s->stat = *this;
		s->ended = now;
	}
	s->stat.stalls = stalls;
	s->stat.total_ms = total;
}

static void stall_ends(const struct lcore *lc, struct seen *s, uint64_t now)
{
	struct times t = times_read(lc);
	struct st_stat_stall this = {
		.longest_ms = (uint32_t)ms_since(s->stamp, now),
		.longest_ran_ms = (uint32_t)((t.ran - s->then.ran) / 1000000),
		.longest_waited_ms = (uint32_t)((t.waited - s->then.waited) / 1000000),
		.longest_stolen_ms = (uint32_t)((t.stolen - s->then.stolen) / 1000000),
		.longest_main_ms = (uint32_t)ms_since(0, s->main_late),
	};

	memcpy(this.longest_in, s->in, sizeof(this.longest_in));
	s->stalled = false;
	note_longest(s, &this, now);
	log_warning("lcore: goes on after_ms=%u lcore=%u was_in=%s ran_ms=%u waited_for_cpu_ms=%u "
		    "stolen_ms=%u main_late_ms=%u",
		this.longest_ms, lc->id, s->in, this.longest_ran_ms, this.longest_waited_ms,
		this.longest_stolen_ms, this.longest_main_ms);
}

static void moved(const struct lcore *lc, struct seen *s, uint64_t now)
{
	if (s->stalled)
		stall_ends(lc, s, now);
	s->stamp = now;
	s->suspected = false;
	s->main_late = 0;
}

static void look(const struct lcore *lc, struct seen *s, uint64_t now, uint64_t since_last)
{
	uint64_t loops = __atomic_load_n(&lc->loops, __ATOMIC_RELAXED);

	s->main_late = RTE_MAX(s->main_late, since_last);
	if (loops != s->loops || s->stamp == 0) {
		s->loops = loops;
		moved(lc, s, now);
		return;
	}
	if (!s->suspected) {
		s->suspected = true;
		s->then = times_read(lc);
	}
	if (!s->stalled && ms_since(s->stamp, now) >= WATCHDOG_STALL_MS)
		stall_begins(lc, s, now);
}

void watchdog_poll(void)
{
	uint64_t now = rte_rdtsc(), since = now - wd.looked;

	if (since * LOOKS_PER_SECOND < rte_get_tsc_hz())
		return;
	wd.looked = now;
	for (uint16_t i = 0; i < lcores.nb; i++)
		look(lcores.lc[i], &wd.lcores[i], now, since);
}

void watchdog_stat(uint16_t lcore, struct st_stat_stall *ret)
{
	const struct seen *s = &wd.lcores[lcore];

	*ret = s->stat;
	ret->lcore = lcore;
	ret->longest_age_ms =
		s->stat.stalls == 0 ? UINT32_MAX : (uint32_t)ms_since(s->ended, rte_rdtsc());
}
