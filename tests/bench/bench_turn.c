// SPDX-License-Identifier: BSD-3-Clause
//
// The TURN relay's ways, stage by stage from rx to the transmit burst of a ring port, in cycles per
// packet, on bursts of 32 packets in memory, each of a channel drawn at random among so many. Also what a
// channel takes in the tables and in the object store, how long the longest installation of a channel and
// its permission keeps main, and how long packets wait at a given load.
//
// Latency: packets are due evenly in time at a share of what the same loop reaches when they always wait; a
// packet's time is from when it was due to the end of the pass that handed it to the port. It is real
// time, without a device.
#include "measure.h"
#include "server/object.h"
#include "unit/dataplane/turn_rig.h"

#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#define BURST         32
#define BURSTS        48 // per window
#define LCORE         1
#define WARM_UP       2     // packets of each way for each channel, before anything is measured
#define RELAYS        13000 // ports of one relayed address; channels are spread evenly over them
#define BASE          52000 // above the WireGuard port of the rig
#define CLIENTS       0x64400000 // 100.64.0.0/11
#define PEERS         0x64600000 // 100.96.0.0/11
#define SERVER        RIG_WAN_V4
#define ARRIVALS      4096 // packets of a latency window: all of them wait in memory when it begins
#define LATENCY_RUNS  25
#define LATENCY_TRIES 20

enum way { C2P, P2C, SEND, BINDING, WAYS };
static const char *const way_names[] = {"c2p", "p2c", "sendind", "binding"};
static const uint32_t sizes[] = {64, 160, 512, 1200, 1400};
static const uint32_t counts[] = {1, 1000, 65536, 1000000};
static const char *const count_names[] = {"1", "1k", "64k", "1M"};
#define SIZES  RTE_DIM(sizes)
#define COUNTS RTE_DIM(counts)

static struct measure_series cycles[WAYS][SIZES];
static struct measure_series stage_cycles[WAYS][ST_STAGE_COUNT];
static uint32_t installed;
static uint32_t only_size; // 0: all of them
static uint64_t draw = 88172645463325252ULL;

static uint32_t random_below(uint32_t n)
{
	draw ^= draw << 13;
	draw ^= draw >> 7;
	draw ^= draw << 17;
	return (uint32_t)((draw >> 32) * n >> 32);
}

// ---- the tables ------------------------------------------------------------------------------------

static uint32_t relay_of_channel(uint32_t i)
{
	return i % RELAYS;
}

static uint16_t number_of_channel(uint32_t i)
{
	return (uint16_t)(0x4000 + i / RELAYS);
}

static struct st_addr ipv4(uint32_t ip)
{
	struct st_addr a;

	addr_from_ipv4(&a, htonl(ip));
	return a;
}

static void install(uint32_t i)
{
	uint32_t r = relay_of_channel(i);
	struct st_relay relay = {
		.key = {.relay = ipv4(SERVER), .relay_port_be = htons((uint16_t)(BASE + r))},
		.alloc_id = r,
		.client = ipv4(CLIENTS + r),
		.server = ipv4(SERVER),
		.client_port_be = htons(CLIENT_PT),
		.server_port_be = htons(LISTEN)};
	struct st_permission perm = {.key = {.relay = relay.key, .peer = ipv4(PEERS + i)}};
	struct st_channel ch = {
		.key = {.relay = relay.key, .peer = perm.key.peer, .peer_port_be = htons(PEER_PT)},
		.number = number_of_channel(i)};

	if (i < RELAYS)
		turn_must(object_set(ST_RELAY, &relay, sizeof(relay), NULL, 0, 0), "relay");
	turn_must(object_set(ST_PERMISSION, &perm, sizeof(perm), NULL, 0, 3000000), "permission");
	turn_must(object_set(ST_CHANNEL, &ch, sizeof(ch), NULL, 0, 3000000), "channel");
}

static double longest_us; // that one installation kept main, of its own CPU time

static double cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void install_up_to(uint32_t n)
{
	while (installed < n) {
		double t = cpu_us();

		install(installed++);
		longest_us = RTE_MAX(longest_us, cpu_us() - t);
		if (installed % 1024 == 0)
			rig_passes(1); // lets replaced tables go
	}
	rig_passes(2);
}

// ---- packets ---------------------------------------------------------------------------------------

// An IPv4 datagram of `size` bytes of payload to be relayed. The sum over it is left to the mbuf code's
// reference, outside of what is timed.
static struct rte_mbuf *packet(enum way w, uint32_t i, uint32_t size)
{
	static uint8_t msg[2000];
	static const uint8_t payload[1600];
	uint32_t r = relay_of_channel(i), len, src, dst;
	struct st_addr peer = ipv4(PEERS + i);
	uint16_t sport = CLIENT_PT, dport = LISTEN;
	struct rte_mbuf *m;

	src = CLIENTS + r;
	dst = SERVER;
	switch (w) {
	case C2P:
		len = channel_data(msg, number_of_channel(i), payload, size);
		break;
	case P2C:
		memcpy(msg, payload, size);
		len = size;
		src = PEERS + i;
		sport = PEER_PT;
		dport = (uint16_t)(BASE + r);
		break;
	case SEND:
		len = stun_begin(msg, STUN_SEND);
		{
			uint8_t v[8] = {0, 1, PEER_PT >> 8 ^ 0x21, (PEER_PT & 0xff) ^ 0x12};

			for (int k = 0; k < 4; k++)
				v[4 + k] = peer.b[12 + k] ^ msg[4 + k];
			len = stun_add(msg, len, STUN_XOR_PEER, v, 8);
		}
		len = stun_add(msg, len, STUN_ATTR_DATA, payload, size);
		break;
	default:
		len = stun_begin(msg, STUN_BINDING);
		src = CLIENTS + random_below(1U << 21);
	}
	m = rig_udp4(src, dst, sport, dport, 28 + len);
	memcpy(rte_pktmbuf_mtod_offset(m, void *, 28), msg, len);
	rig_fix_udp4(m, 0);
	rig_ether(m, RIG_WAN);
	return m;
}

static unsigned int take_out(void)
{
	struct rte_mbuf *m[256];
	unsigned int n = rig_take(RIG_DEV_WAN, m, RTE_DIM(m));

	rte_pktmbuf_free_bulk(m, n);
	return n;
}

static uint64_t pass(void)
{
	struct lcore *lc = lcores.lc[LCORE];
	uint64_t t = measure_ticks();

	lc->now = rte_rdtsc();
	stages_run(lc);
	return measure_ticks() - t;
}

// ---- cycles ----------------------------------------------------------------------------------------

static void window(enum way w, unsigned int s, bool keep)
{
	struct lcore *lc = lcores.lc[LCORE];
	struct stage_stats before[ST_STAGE_COUNT];
	double packets = (double)BURST * BURSTS, ps, pe;
	uint64_t total = 0;

	memcpy(before, lc->stats, sizeof(before));
	ps = measure_probe();
	for (unsigned int b = 0; b < BURSTS; b++) {
		for (unsigned int i = 0; i < BURST; i++)
			rig_rx(LCORE, RIG_WAN, packet(w, random_below(installed), sizes[s]));
		total += pass();
		turn_must((int)take_out() - BURST, "packets missing");
	}
	pe = measure_probe();
	if (!keep)
		return;
	measure_add(&cycles[w][s], (double)total / packets, ps, pe);
	for (unsigned int i = 0; s == 1 && i < ST_STAGE_COUNT; i++)
		measure_add(&stage_cycles[w][i],
			(double)(lc->stats[i].cycles - before[i].cycles) / packets, ps, pe);
}

static double report(struct measure_json *j, const char *name, const struct measure_series *s)
{
	struct measure_result m = measure_result(s, measure_nb_quiet(s) >= MEASURE_MIN_ROUNDS);
	char key[96];

	printf("  %-36s %9.1f  spread %5.1f %%  %s\n", name, m.median, m.spread,
		m.quiet ? "quiet" : "all windows");
	measure_json_number(j, name, m.median);
	snprintf(key, sizeof(key), "%s.spread_percent", name);
	measure_json_number(j, key, m.spread);
	return m.median;
}

static void report_stages(struct measure_json *j, enum way w, unsigned int n)
{
	char name[80];

	for (unsigned int i = 0; i < ST_STAGE_COUNT; i++) {
		if (measure_result(&stage_cycles[w][i], false).median < 0.5)
			continue;
		snprintf(name, sizeof(name), "turn.%s.160.%s.stage.%s.cycles", way_names[w],
			count_names[n], stages[i].name);
		report(j, name, &stage_cycles[w][i]);
	}
}

static bool wanted(unsigned int s)
{
	return only_size == 0 || sizes[s] == only_size;
}

// Until every channel is where traffic over all of them keeps it: what was just installed is cold.
static void warm_up(void)
{
	for (unsigned int w = C2P; w <= SEND; w++)
		for (uint32_t i = 0; i < WARM_UP * installed; i += BURST * BURSTS)
			window(w, 1, false);
}

static void measure_count(struct measure_json *j, unsigned int n, unsigned int rounds)
{
	char name[80];

	install_up_to(counts[n]);
	memset(cycles, 0, sizeof(cycles));
	memset(stage_cycles, 0, sizeof(stage_cycles));
	warm_up();
	for (unsigned int r = 0; r <= rounds; r++) // the first one warms up
		for (unsigned int s = 0; s < SIZES; s++)
			for (unsigned int w = C2P; w <= SEND && wanted(s); w++)
				window(w, s, r > 0);
	for (unsigned int w = C2P; w <= SEND; w++) {
		for (unsigned int s = 0; s < SIZES; s++) {
			if (!wanted(s))
				continue;
			snprintf(name, sizeof(name), "turn.%s.%u.%s.cycles", way_names[w], sizes[s],
				count_names[n]);
			report(j, name, &cycles[w][s]);
		}
		report_stages(j, w, n);
	}
}

static void measure_binding(struct measure_json *j, unsigned int rounds)
{
	double c;

	for (unsigned int r = 0; r <= rounds; r++) {
		rig_skip(10); // no source has asked lately
		window(BINDING, 0, r > 0);
	}
	c = report(j, "stun.binding.cycles", &cycles[BINDING][0]);
	printf("  %-36s %9.3f\n", "stun.binding.mpps", measure_ticks_per_ns() * 1000 / c);
	measure_json_number(j, "stun.binding.mpps", measure_ticks_per_ns() * 1000 / c);
}

// ---- latency ---------------------------------------------------------------------------------------

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

// Datagrams that are due `gap` ticks after each other, in real time, over lcores that poll as strait-dp's do;
// ret_us of each from when it was due to the end of the pass that sent it. Returns ticks per datagram.
static double arrivals(double gap, double *ret_us)
{
	static struct rte_mbuf *waiting[ARRIVALS];
	uint32_t done = 0;
	uint64_t start, now;

	for (uint32_t i = 0; i < ARRIVALS; i++)
		waiting[i] = packet(C2P, random_below(installed), 160);
	start = now = measure_ticks();
	while (done < ARRIVALS) {
		uint32_t n = 0;

		for (; n < LCORE_RX_MAX && done + n < ARRIVALS &&
			(double)(done + n) * gap <= (double)(now - start);
			n++)
			rig_rx(LCORE, RIG_WAN, waiting[done + n]);
		pass();
		now = measure_ticks();
		for (uint32_t i = 0; i < n; i++)
			ret_us[done + i] = ((double)(now - start) - (done + i) * gap) /
					   measure_ticks_per_ns() / 1000;
		turn_must((int)take_out() - (int)n, "packets missing");
		done += n;
	}
	return (double)(now - start) / ARRIVALS;
}

// What the loop reaches with datagrams always waiting: the full load of which the others are shares.
static double saturation(double *us)
{
	double best = arrivals(0, us);

	for (unsigned int i = 1; i < LATENCY_RUNS; i++)
		best = RTE_MIN(best, arrivals(0, us));
	return best;
}

static long preemptions(void)
{
	struct rusage r;

	return getrusage(RUSAGE_THREAD, &r) == 0 ? r.ru_nivcsw : 0;
}

// A lcore has its CPU to itself: a run in which something else got it is made again, but not for ever.
static bool undisturbed(double gap, double *us)
{
	for (unsigned int i = 0; i < LATENCY_TRIES; i++) {
		long before = preemptions();

		arrivals(gap, us);
		if (preemptions() == before)
			return true;
	}
	return false;
}

static void measure_latency(struct measure_json *j, unsigned int load)
{
	static double us[ARRIVALS * LATENCY_RUNS];
	double gap = saturation(us) * 100 / load;
	unsigned int disturbed = 0;
	static const struct {
		const char *name;
		double at;
	} q[] = {{"p50", 0.5}, {"p99", 0.99}, {"p99_9", 0.999}};
	char name[80];

	for (unsigned int i = 0; i < LATENCY_RUNS; i++)
		disturbed += !undisturbed(gap, us + i * ARRIVALS);
	qsort(us, RTE_DIM(us), sizeof(us[0]), by_value);
	for (unsigned int i = 0; i < RTE_DIM(q); i++) {
		double v = us[(uint32_t)(q[i].at * (double)(RTE_DIM(us) - 1))];

		snprintf(name, sizeof(name), "turn.latency.%u_percent.%s_us", load, q[i].name);
		printf("  %-36s %9.2f\n", name, v);
		measure_json_number(j, name, v);
	}
	if (disturbed > 0)
		printf("  in %u of %u runs another thread got the CPU\n", disturbed, LATENCY_RUNS);
}

// ---- memory ----------------------------------------------------------------------------------------

static void figure(struct measure_json *j, const char *name, double v)
{
	printf("  %-36s %9.1f\n", name, v);
	measure_json_number(j, name, v);
}

static void report_memory(struct measure_json *j, size_t heap_before)
{
	double n = installed;

	figure(j, "turn.install.longest_us", longest_us);
	figure(j, "turn.memory.tables_per_channel", (double)turn_channels_bytes() / n);
	figure(j, "turn.memory.tables_per_permission", (double)turn_permissions_bytes() / n);
	figure(j, "turn.memory.store_per_object",
		(double)(mallinfo2().uordblks + mallinfo2().hblkhd - heap_before) / (2 * n));
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

int main(int argc, char **argv)
{
	static const struct option options[] = {{"json", required_argument, NULL, 'j'},
		{"rounds", required_argument, NULL, 'r'}, {"channels", required_argument, NULL, 'c'},
		{"size", required_argument, NULL, 's'}, {0}};
	const char *json = NULL;
	unsigned int rounds = 9, most = 1000000;
	struct measure_json j;
	size_t heap;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'j')
			json = optarg;
		else if (c == 'r')
			rounds = (unsigned int)atoi(optarg);
		else if (c == 'c')
			most = (unsigned int)atoi(optarg);
		else if (c == 's')
			only_size = (uint32_t)atoi(optarg);
		else
			return 2;
	}
	if (rounds < MEASURE_MIN_ROUNDS || rounds > MEASURE_MAX_SAMPLES ||
		rig_init_bench(NULL, most) != 0 || measure_init() != 0 ||
		measure_json_open(&j, json != NULL ? json : "/dev/null") != 0)
		return 2;
	measure_print_machine(stdout);
	plan_one_lcore();
	turn_server();
	turn_route("100.64.0.0", 96 + 10, "192.0.2.2");
	object_limit(ST_CHANNEL, most);
	object_limit(ST_PERMISSION, most);
	rig_passes(2);
	rig_reset();
	heap = mallinfo2().uordblks + mallinfo2().hblkhd;
	printf("bursts of %u, cycles per packet\n", BURST);
	for (unsigned int n = 0; n < COUNTS && counts[n] <= most; n++) {
		measure_count(&j, n, rounds);
		if (n == 2) {
			measure_latency(&j, 50);
			measure_latency(&j, 90);
		}
	}
	report_memory(&j, heap);
	measure_binding(&j, rounds);
	return measure_json_close(&j) == 0 ? 0 : 1;
}
