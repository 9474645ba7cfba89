// SPDX-License-Identifier: BSD-3-Clause
//
// How the benches measure: samples taken in short alternating windows, their median and spread, the
// state of the core from a probe loop between the windows, and the flat JSON map of the results.
// One thread, pinned; nothing here allocates during a measurement.
//
// A virtual core runs now alone and now beside another tenant's thread. The probe keeps four chains of
// dependent additions in flight: alone the core completes about as many per TSC tick as it ever does,
// beside another thread far fewer. A window counts as quiet when the probes before and after it both
// reach MEASURE_QUIET of the best probe of the run.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define MEASURE_MAX_SAMPLES 256
#define MEASURE_MIN_ROUNDS  5
#define MEASURE_QUIET       0.85

struct measure_sample {
	double value;
	double probe; // the lower of the probes around the window
};

struct measure_series {
	struct measure_sample samples[MEASURE_MAX_SAMPLES];
	unsigned int n;
};

struct measure_result {
	double median;
	double spread;  // from the lower to the upper quartile, in percent of the median
	unsigned int n; // samples that went in
	bool quiet;     // only samples of quiet windows went in
};

// Pins the thread to the CPU it is on and calibrates the TSC. 0 or -errno.
int measure_init(void);
double measure_ticks_per_ns(void);
// Prints the machine: CPU model, number of CPUs, TSC, kernel.
void measure_print_machine(FILE *out);
void measure_machine(char *out, size_t len);

// The TSC, after all earlier instructions and before all later ones.
static inline uint64_t measure_ticks(void)
{
	__builtin_ia32_lfence();
	uint64_t t = __builtin_ia32_rdtsc();
	__builtin_ia32_lfence();
	return t;
}

// Additions per tick; takes about 20 us.
double measure_probe(void);
double measure_probe_best(void);

// Beyond MEASURE_MAX_SAMPLES a sample is not taken: false.
bool measure_add(struct measure_series *s, double value, double probe_before, double probe_after);
unsigned int measure_nb_quiet(const struct measure_series *s);
// Over the quiet samples if quiet_only, which the caller decides for all series that it compares.
struct measure_result measure_result(const struct measure_series *s, bool quiet_only);

// A flat JSON map: open, add, close. The errors of all three show in the return value of close.
struct measure_json {
	FILE *file;
	unsigned int nb_entries;
};

int measure_json_open(struct measure_json *j, const char *path);
void measure_json_number(struct measure_json *j, const char *name, double value);
void measure_json_text(struct measure_json *j, const char *name, const char *value);
int measure_json_close(struct measure_json *j);
