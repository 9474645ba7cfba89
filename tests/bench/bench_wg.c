// SPDX-License-Identifier: BSD-3-Clause
//
// The whole ways into and out of a tunnel, stage by stage, in cycles per packet, on bursts of 32 packets
// in memory; and what an idle lcore costs and how late it wakes. One thread plays the lcore, except for
// the idle figures, which run the real ones.
//
// A timing shim around the AEAD backend tells its share: "overhead" is everything else, from stage rx to
// the transmit burst of a ring port.
#include "crypto/aead.h"
#include "measure.h"
#include "unit/dataplane/rig.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>

#include <arpa/inet.h>
#include <getopt.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BURST  32
#define BURSTS 48 // per window
#define LCORE  1
#define WAKES  400

enum way { ENCRYPT, DECRYPT, WAYS };
static const char *const way_names[] = {"encrypt", "decrypt"};
static const uint32_t sizes[] = {64, 512, 1420};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

struct series {
	struct measure_series total, overhead, stage[ST_STAGE_COUNT];
};
static struct series results[WAYS][SIZES];

// ---- the AEAD's share ------------------------------------------------------------------------------

static const struct aead_backend *backend;
static uint64_t aead_ticks;

static void timed_seal(void *ctx, struct aead_op *ops, unsigned int n)
{
	uint64_t t = measure_ticks();

	backend->seal(ctx, ops, n);
	aead_ticks += measure_ticks() - t;
}

static unsigned int timed_open(void *ctx, struct aead_op *ops, unsigned int n)
{
	uint64_t t = measure_ticks();
	unsigned int ok = backend->open(ctx, ops, n);

	aead_ticks += measure_ticks() - t;
	return ok;
}

static struct aead_backend timed = {.seal = timed_seal, .open = timed_open};

// ---- one window ------------------------------------------------------------------------------------

static uint64_t next_counter;

static void fill(enum way w, uint32_t size)
{
	for (unsigned int i = 0; i < BURST; i++) {
		struct rte_mbuf *m;

		if (w == ENCRYPT)
			m = rig_udp4(RIG_LAN_HOST, RIG_FAR_HOST, 1000, 2000, size);
		else
			m = rig_seal(rig_udp4(RIG_FAR_HOST, RIG_LAN_HOST, 1000, 2000, size),
				RIG_INDEX, next_counter++, false);
		rig_ether(m, w == ENCRYPT ? RIG_LAN : RIG_WAN);
		rig_rx(LCORE, w == ENCRYPT ? RIG_LAN : RIG_WAN, m);
	}
}

static void empty(enum way w)
{
	struct rte_mbuf *m[BURST];
	unsigned int n = rig_take(w == ENCRYPT ? RIG_DEV_WAN : RIG_DEV_LAN, m, BURST);

	if (n != BURST) {
		fprintf(stderr, "bench_wg: %u of %u packets came out\n", n, BURST);
		exit(1);
	}
	rte_pktmbuf_free_bulk(m, n);
}

static void window(enum way w, unsigned int s, bool keep)
{
	struct lcore *lc = lcores.lc[LCORE];
	struct series *r = &results[w][s];
	struct stage_stats before[ST_STAGE_COUNT];
	double packets = (double)BURST * BURSTS, ps, pe;
	uint64_t total = 0;

	memcpy(before, lc->stats, sizeof(before));
	aead_ticks = 0;
	ps = measure_probe();
	for (unsigned int b = 0; b < BURSTS; b++) {
		uint64_t t;

		fill(w, sizes[s]);
		t = measure_ticks();
		lc->now = rte_rdtsc();
		stages_run(lc);
		total += measure_ticks() - t;
		empty(w);
		rig_passes(1); // main's polling, and events out of the way
		while (rig_event(UINT32_MAX, NULL))
			;
	}
	pe = measure_probe();
	if (!keep)
		return;
	measure_add(&r->total, (double)total / packets, ps, pe);
	measure_add(&r->overhead, (double)(total - aead_ticks) / packets, ps, pe);
	for (unsigned int i = 0; i < ST_STAGE_COUNT; i++)
		measure_add(&r->stage[i],
			(double)(lc->stats[i].cycles - before[i].cycles) / packets, ps, pe);
}

static void plan_one_lcore(void)
{
	struct lcore_plan *plan = calloc(1, sizeof(*plan));

	if (plan == NULL)
		exit(1);
	for (unsigned int d = 0; d < RTE_MAX_ETHPORTS; d++)
		plan->tx[d] = (struct lcore_txq){d < RIG_DEVS ? 0 : TXQ_NONE, LCORE};
	atomic_store(&lcores.lc[LCORE]->plan, plan);
}

static void measure_ways(unsigned int rounds)
{
	for (unsigned int r = 0; r <= rounds; r++) // the first one warms up
		for (unsigned int s = 0; s < SIZES; s++)
			for (unsigned int w = 0; w < WAYS; w++)
				window(w, s, r > 0);
}

static void report(struct measure_json *j, const char *name, const struct measure_series *s)
{
	struct measure_result m = measure_result(s, measure_nb_quiet(s) >= MEASURE_MIN_ROUNDS);
	char key[96];

	printf("  %-36s %9.1f  spread %5.1f %%  %s\n", name, m.median, m.spread,
		m.quiet ? "quiet" : "all windows");
	measure_json_number(j, name, m.median);
	snprintf(key, sizeof(key), "%s.spread_percent", name);
	measure_json_number(j, key, m.spread);
}

static void report_way(struct measure_json *j, enum way w, unsigned int s)
{
	struct series *r = &results[w][s];
	char name[64];
	double cycles;

	snprintf(name, sizeof(name), "wg.%s.%u.cycles", way_names[w], sizes[s]);
	report(j, name, &r->total);
	snprintf(name, sizeof(name), "wg.%s.%u.overhead_cycles", way_names[w], sizes[s]);
	report(j, name, &r->overhead);
	cycles = measure_result(&r->total, measure_nb_quiet(&r->total) >= MEASURE_MIN_ROUNDS).median;
	snprintf(name, sizeof(name), "wg.%s.%u.mpps", way_names[w], sizes[s]);
	printf("  %-36s %9.3f\n", name, measure_ticks_per_ns() * 1000 / cycles);
	measure_json_number(j, name, measure_ticks_per_ns() * 1000 / cycles);
	for (unsigned int i = 0; i < ST_STAGE_COUNT; i++) {
		if (measure_result(&r->stage[i], false).median < 0.5)
			continue;
		snprintf(name, sizeof(name), "wg.%s.%u.stage.%s.cycles", way_names[w], sizes[s],
			stages[i].name);
		report(j, name, &r->stage[i]);
	}
}

// ---- idle ------------------------------------------------------------------------------------------

static uint64_t ns_of(clockid_t c)
{
	struct timespec ts;

	clock_gettime(c, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void pause_us(unsigned int us)
{
	usleep(us);
}

// CPU of the lcore threads over ms of silence; this thread sleeps meanwhile.
static double idle_percent(unsigned int ms)
{
	uint64_t cpu = ns_of(CLOCK_PROCESS_CPUTIME_ID), wall = ns_of(CLOCK_MONOTONIC);

	pause_us(ms * 1000);
	cpu = ns_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	wall = ns_of(CLOCK_MONOTONIC) - wall;
	return 100.0 * (double)cpu / (double)wall / lcores.nb;
}

static uint64_t not_ours(void)
{
	return __atomic_load_n(&lcores.lc[LCORE]->drops[ST_DROP_rx_not_our_mac], __ATOMIC_RELAXED);
}

// From the enqueueing of a frame into the ring that the lcore polls until it has been dealt with.
static double wake_us(void)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(rig.pool);
	uint64_t before = not_ours(), begin, end;

	memset(rte_pktmbuf_append(m, 64), 0, 64); // for a MAC that is not ours
	begin = ns_of(CLOCK_MONOTONIC);
	if (rte_eth_tx_burst(RIG_DEV_LAN, 0, &m, 1) != 1) {
		rte_pktmbuf_free(m);
		return -1;
	}
	do
		end = ns_of(CLOCK_MONOTONIC);
	while (not_ours() == before && end - begin < 100000000);
	return (double)(end - begin) / 1000;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void print_figure(struct measure_json *j, const char *name, double v)
{
	printf("  %-36s %9.2f\n", name, v);
	measure_json_number(j, name, v);
}

static void poll_the_lan(void)
{
	struct lcore_plan *plan = calloc(1, sizeof(*plan));

	if (plan == NULL)
		exit(1);
	plan->nb_rx = 1;
	plan->rx[0] = (struct lcore_rxq){.if_id = RIG_LAN, .eth_port = RIG_DEV_LAN};
	for (unsigned int d = 0; d < RTE_MAX_ETHPORTS; d++)
		plan->tx[d] = (struct lcore_txq){d < RIG_DEVS ? 0 : TXQ_NONE, LCORE};
	atomic_store(&lcores.lc[LCORE]->plan, plan);
}

static void measure_idle(struct measure_json *j)
{
	static double us[WAKES];
	double percent[5];

	poll_the_lan();
	lcores.adaptive = 1;
	if (lcores_launch() != 0)
		exit(1);
	pause_us(2000);
	for (unsigned int i = 0; i < 5; i++) {
		wake_us(); // begins a second of short sleeps
		pause_us(2000);
		percent[i] = idle_percent(700);
	}
	qsort(percent, 5, sizeof(percent[0]), by_value);
	print_figure(j, "idle.lcore.cpu_percent", percent[2]);
	for (unsigned int i = 0; i < WAKES; i++) {
		pause_us(1000 + (unsigned int)rand() % 1000);
		us[i] = wake_us();
	}
	qsort(us, WAKES, sizeof(us[0]), by_value);
	print_figure(j, "idle.wake.p50_us", us[WAKES / 2]);
	print_figure(j, "idle.wake.p99_us", us[WAKES * 99 / 100]);
	pause_us(1200000);
	print_figure(j, "idle.lcore.silent_cpu_percent", idle_percent(2000));
	lcores_stop();
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"json", required_argument, NULL, 'j'},
		{"rounds", required_argument, NULL, 'r'}, {"backend", required_argument, NULL, 'b'},
		{"no-idle", no_argument, NULL, 'n'}, {0}};
	const char *json = NULL, *name = NULL;
	unsigned int rounds = 9;
	bool idle = true;
	struct measure_json j;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'j')
			json = optarg;
		else if (c == 'r')
			rounds = (unsigned int)atoi(optarg);
		else if (c == 'b')
			name = optarg;
		else if (c == 'n')
			idle = false;
		else
			return 2;
	}
	if (rounds < MEASURE_MIN_ROUNDS || rounds > MEASURE_MAX_SAMPLES || rig_init(name) != 0 ||
		measure_init() != 0 || measure_json_open(&j, json != NULL ? json : "/dev/null") != 0)
		return 2;
	measure_print_machine(stdout);
	backend = lcores.lc[LCORE]->aead;
	lcores.lc[LCORE]->aead = &timed;
	plan_one_lcore();
	rig_peer(false);
	rig_key(RIG_INDEX, ST_KEY_INITIATOR);
	rig_passes(2);
	rig_reset();
	printf("AEAD backend %s, bursts of %u, cycles per packet\n", backend->name, BURST);
	measure_json_text(&j, "wg.backend", backend->name);
	measure_ways(rounds);
	for (unsigned int s = 0; s < SIZES; s++)
		for (unsigned int w = 0; w < WAYS; w++)
			report_way(&j, w, s);
	lcores.lc[LCORE]->aead = backend;
	if (idle)
		measure_idle(&j);
	return measure_json_close(&j) == 0 ? 0 : 1;
}
