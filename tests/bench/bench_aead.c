// SPDX-License-Identifier: BSD-3-Clause
//
// The AEAD backends against each other: seal and open of bursts of 32 packets, each with a key of its
// own, backends alternating in windows of about half a millisecond. Cycles are ticks of the TSC.
//
//   bench_aead [--json FILE] [--rounds N]
#include "../../crypto/aead.h"
#include "measure.h"

#include <sodium.h>

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define BURST        32
#define MAX_BACKENDS 4
#define MAX_LEN      1420
#define WINDOW_TICKS 1000000
#define ROUNDS       31

enum way { SEAL, OPEN, NB_WAYS };

static const char *const way_names[NB_WAYS] = {"seal", "open"};
static const uint32_t sizes[] = {64, 256, 512, 1024, MAX_LEN};
#define NB_SIZES (sizeof(sizes) / sizeof(sizes[0]))

// What one burst works on. The sealed copy is put back before each open, outside the time taken.
struct work {
	uint8_t keys[BURST][AEAD_KEY_LEN];
	uint8_t data[BURST][2048];
	uint8_t sealed[BURST][2048];
	uint8_t tags[BURST][16];
	struct aead_seg segs[BURST];
	struct aead_op ops[BURST];
};

static struct work work;
static const struct aead_backend *backends[MAX_BACKENDS];
static void *ctxs[MAX_BACKENDS];
static unsigned int nb_backends;
static struct measure_series series[NB_WAYS][NB_SIZES][MAX_BACKENDS];

static void work_prepare(uint32_t len)
{
	randombytes_buf(work.keys, sizeof(work.keys));
	randombytes_buf(work.data, sizeof(work.data));
	for (unsigned int i = 0; i < BURST; i++) {
		work.segs[i] = (struct aead_seg){.data = work.data[i], .len = len};
		work.ops[i] = (struct aead_op){
			.key = work.keys[i],
			.nonce = i,
			.nb_segs = 1,
			.segs = &work.segs[i],
			.tag = work.tags[i],
		};
	}
	backends[0]->seal(ctxs[0], work.ops, BURST);
	memcpy(work.sealed, work.data, sizeof(work.data));
}

// Ticks per packet over one window, negative if a packet did not open.
static double window(unsigned int b, enum way way, uint32_t len)
{
	uint64_t ticks = 0, begin = measure_ticks();
	unsigned int bursts = 0;

	while (bursts < 3 || measure_ticks() - begin < WINDOW_TICKS) {
		unsigned int good = BURST;
		uint64_t start;

		if (way == OPEN) {
			for (unsigned int i = 0; i < BURST; i++)
				memcpy(work.data[i], work.sealed[i], len);
		}
		start = measure_ticks();
		if (way == SEAL)
			backends[b]->seal(ctxs[b], work.ops, BURST);
		else
			good = backends[b]->open(ctxs[b], work.ops, BURST);
		ticks += measure_ticks() - start;
		if (good != BURST)
			return -1;
		bursts++;
	}
	return (double)ticks / (bursts * BURST);
}

static int measure_all(unsigned int rounds)
{
	for (unsigned int r = 0; r < rounds; r++) {
		for (size_t s = 0; s < NB_SIZES; s++) {
			for (unsigned int w = 0; w < NB_WAYS * nb_backends; w++) {
				unsigned int way = w / nb_backends;
				unsigned int b = (w + r) % nb_backends; // who is first alternates
				double before, ticks;

				work_prepare(sizes[s]); // OPEN needs fresh tags after SEAL's
				before = measure_probe();
				ticks = window(b, way, sizes[s]);
				if (ticks < 0) {
					fprintf(stderr,
						"bench_aead: %s did not open its own packets\n",
						backends[b]->name);
					return -EBADMSG;
				}
				measure_add(&series[way][s][b], ticks, before, measure_probe());
			}
		}
	}
	return 0;
}

static bool all_have_quiet(unsigned int way, size_t s)
{
	for (unsigned int b = 0; b < nb_backends; b++) {
		if (measure_nb_quiet(&series[way][s][b]) < MEASURE_MIN_ROUNDS)
			return false;
	}
	return true;
}

static void json_result(struct measure_json *j, const char *way, uint32_t size, const char *backend,
	const struct measure_result *m)
{
	const struct {
		const char *unit;
		double value;
	} entries[] = {
		{"ns", m->median / measure_ticks_per_ns()},
		{"cycles", m->median},
		{"spread_percent", m->spread},
		{"quiet", m->quiet ? 1 : 0},
	};
	char name[96];

	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		snprintf(name, sizeof(name), "aead.%s.%u.%s.%s", way, size, backend, entries[i].unit);
		measure_json_number(j, name, entries[i].value);
	}
}

static void report(struct measure_json *j)
{
	printf("%-5s %5s  %-10s %9s %9s %8s  %-6s %s\n", "way", "bytes", "backend", "ns", "cycles",
		"spread", "core", "windows");
	for (unsigned int way = 0; way < NB_WAYS; way++) {
		for (size_t s = 0; s < NB_SIZES; s++) {
			bool quiet = all_have_quiet(way, s);

			for (unsigned int b = 0; b < nb_backends; b++) {
				struct measure_result m = measure_result(&series[way][s][b], quiet);

				printf("%-5s %5u  %-10s %9.1f %9.0f %7.1f%%  %-6s %u\n",
					way_names[way], sizes[s], backends[b]->name,
					m.median / measure_ticks_per_ns(), m.median, m.spread,
					m.quiet ? "quiet" : "mixed", m.n);
				if (j != NULL)
					json_result(
						j, way_names[way], sizes[s], backends[b]->name, &m);
			}
		}
	}
}

static int report_json(const char *path)
{
	struct measure_json j;
	char machine[512];
	int ret;

	if (path == NULL) {
		report(NULL);
		return 0;
	}
	ret = measure_json_open(&j, path);
	if (ret == 0) {
		measure_machine(machine, sizeof(machine));
		measure_json_text(&j, "aead.machine", machine);
		measure_json_number(&j, "aead.probe.best", measure_probe_best());
		report(&j);
		ret = measure_json_close(&j);
	}
	if (ret != 0)
		fprintf(stderr, "bench_aead: %s: %s\n", path, strerror(-ret));
	return ret;
}

static int backends_open(void)
{
	const struct aead_backend *b;

	while (nb_backends < MAX_BACKENDS && (b = aead_backend_at(nb_backends)) != NULL) {
		backends[nb_backends] = b;
		ctxs[nb_backends] = b->ctx_new();
		if (ctxs[nb_backends] == NULL)
			return -ENOMEM;
		nb_backends++;
	}
	return nb_backends != 0 ? 0 : -ENODEV;
}

static int usage(void)
{
	fprintf(stderr, "usage: bench_aead [--json FILE] [--rounds %d..%d]\n", MEASURE_MIN_ROUNDS,
		MEASURE_MAX_SAMPLES);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", required_argument, NULL, 'j'},
		{"rounds", required_argument, NULL, 'r'},
		{NULL, 0, NULL, 0},
	};
	const char *json = NULL;
	long rounds = ROUNDS;
	int c, ret;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'j')
			json = optarg;
		else if (c == 'r')
			rounds = strtol(optarg, NULL, 10);
		else
			return usage();
	}
	if (optind != argc || rounds < MEASURE_MIN_ROUNDS || rounds > MEASURE_MAX_SAMPLES)
		return usage();
	ret = sodium_init() < 0 ? -ENOSYS : measure_init();
	if (ret == 0)
		ret = backends_open();
	if (ret != 0) {
		fprintf(stderr, "bench_aead: cannot begin: %s\n", strerror(-ret));
		return 1;
	}
	measure_print_machine(stdout);
	printf("AEAD: bursts of %d, one segment each, %ld rounds of alternating windows, medians\n",
		BURST, rounds);
	ret = measure_all((unsigned int)rounds);
	if (ret == 0)
		ret = report_json(json);
	for (unsigned int i = 0; i < nb_backends; i++)
		backends[i]->ctx_free(ctxs[i]);
	return ret != 0;
}
