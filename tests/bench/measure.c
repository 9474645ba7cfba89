// SPDX-License-Identifier: BSD-3-Clause
//
// See measure.h. Owns the calibration and the best probe of the run.
#include "measure.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define PROBE_ROUNDS     20000
#define PROBE_ADDITIONS  4
#define CALIBRATION_NSEC 50000000ULL

static double ticks_per_ns;
static double best_probe;

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

int measure_init(void)
{
	uint64_t t0, t1, n0, n1;
	int cpu = sched_getcpu();
	cpu_set_t set;

	if (cpu < 0)
		return -errno;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		return -errno;
	n0 = clock_ns();
	t0 = measure_ticks();
	do
		n1 = clock_ns();
	while (n1 - n0 < CALIBRATION_NSEC);
	t1 = measure_ticks();
	ticks_per_ns = (double)(t1 - t0) / (double)(n1 - n0);
	for (int i = 0; i < 100; i++)
		measure_probe();
	return 0;
}

double measure_ticks_per_ns(void)
{
	return ticks_per_ns;
}

static void cpu_model(char *out, size_t len)
{
	char line[256];
	FILE *f = fopen("/proc/cpuinfo", "re");

	snprintf(out, len, "unknown CPU");
	if (f == NULL)
		return;
	while (fgets(line, sizeof(line), f) != NULL) {
		char *value = strchr(line, ':');

		if (value == NULL || strncmp(line, "model name", 10) != 0)
			continue;
		value[strcspn(value, "\n")] = '\0';
		snprintf(out, len, "%s", value + 2);
		break;
	}
	fclose(f);
}

void measure_machine(char *out, size_t len)
{
	struct utsname u;
	char model[128];

	cpu_model(model, sizeof(model));
	if (uname(&u) != 0)
		memset(&u, 0, sizeof(u));
	snprintf(out, len, "%s, %ld CPUs, TSC %.3f GHz, %s %s", model,
		sysconf(_SC_NPROCESSORS_ONLN), ticks_per_ns, u.sysname, u.release);
}

void measure_print_machine(FILE *out)
{
	char line[512];

	measure_machine(line, sizeof(line));
	fprintf(out, "machine: %s\n", line);
}

double measure_probe(void)
{
	uint64_t a = 0, b = 0, c = 0, d = 0, start = measure_ticks();
	double probe;

	for (int i = 0; i < PROBE_ROUNDS; i++) {
		// The empty asm makes each addition depend on the one before and keeps all of them.
		__asm__ volatile("add $1, %0\n\tadd $1, %1\n\tadd $1, %2\n\tadd $1, %3"
				 : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
	}
	probe = (double)PROBE_ROUNDS * PROBE_ADDITIONS / (double)(measure_ticks() - start);
	if (probe > best_probe)
		best_probe = probe;
	return probe;
}

double measure_probe_best(void)
{
	return best_probe;
}

bool measure_add(struct measure_series *s, double value, double probe_before, double probe_after)
{
	if (s->n == MEASURE_MAX_SAMPLES)
		return false;
	s->samples[s->n++] = (struct measure_sample){
		.value = value,
		.probe = probe_before < probe_after ? probe_before : probe_after,
	};
	return true;
}

static bool is_quiet(const struct measure_sample *s)
{
	return s->probe >= MEASURE_QUIET * best_probe;
}

unsigned int measure_nb_quiet(const struct measure_series *s)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < s->n; i++)
		n += is_quiet(&s->samples[i]);
	return n;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

// Between the neighbours when the place falls between two values.
static double quantile(const double *sorted, unsigned int n, double q)
{
	double place = q * (n - 1);
	unsigned int low = (unsigned int)place;
	unsigned int high = low + 1 < n ? low + 1 : low;

	return sorted[low] + (sorted[high] - sorted[low]) * (place - low);
}

struct measure_result measure_result(const struct measure_series *s, bool quiet_only)
{
	struct measure_result r = {.quiet = quiet_only};
	double sorted[MEASURE_MAX_SAMPLES];

	for (unsigned int i = 0; i < s->n; i++) {
		if (!quiet_only || is_quiet(&s->samples[i]))
			sorted[r.n++] = s->samples[i].value;
	}
	if (r.n == 0)
		return r;
	qsort(sorted, r.n, sizeof(sorted[0]), compare);
	r.median = quantile(sorted, r.n, 0.5);
	if (r.median != 0)
		r.spread =
			100 * (quantile(sorted, r.n, 0.75) - quantile(sorted, r.n, 0.25)) / r.median;
	return r;
}

int measure_json_open(struct measure_json *j, const char *path)
{
	j->nb_entries = 0;
	j->file = fopen(path, "we");
	if (j->file == NULL)
		return -errno;
	fputc('{', j->file);
	return 0;
}

static void json_name(struct measure_json *j, const char *name)
{
	fprintf(j->file, "%s\n  \"%s\": ", j->nb_entries++ == 0 ? "" : ",", name);
}

void measure_json_number(struct measure_json *j, const char *name, double value)
{
	json_name(j, name);
	fprintf(j->file, "%.6g", value);
}

void measure_json_text(struct measure_json *j, const char *name, const char *value)
{
	json_name(j, name);
	fputc('"', j->file);
	for (; *value != '\0'; value++) {
		if (*value == '"' || *value == '\\')
			fputc('\\', j->file);
		fputc((unsigned char)*value < ' ' ? ' ' : *value, j->file);
	}
	fputc('"', j->file);
}

int measure_json_close(struct measure_json *j)
{
	bool failed;

	fputs("\n}\n", j->file);
	failed = ferror(j->file) != 0;
	if (fclose(j->file) != 0 || failed)
		return -EIO;
	return 0;
}
