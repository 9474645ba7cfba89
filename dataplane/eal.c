// SPDX-License-Identifier: BSD-3-Clause
//
// EAL's command line: hugepages with --in-memory, so that no file with keys in it outlives the process,
// or none; one EAL lcore for main and one per packet lcore, mapped to CPUs, which may be shared.
#include "eal.h"

#include "log.h"
#include "options.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_memory.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARGS_MAX 96

static struct {
	char text[ARGS_MAX][128];
	char *argv[ARGS_MAX + 1];
	int n;
} args;

static void add(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void add(const char *fmt, ...)
{
	va_list ap;

	if (args.n == ARGS_MAX)
		return; // 32 PCI addresses and the rest fit
	va_start(ap, fmt);
	vsnprintf(args.text[args.n], sizeof(args.text[0]), fmt, ap);
	va_end(ap);
	args.argv[args.n] = args.text[args.n];
	args.n++;
}

// ---- hugepages ----

static long meminfo(const char *field)
{
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");
	long v = 0;

	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
			v = strtol(line + strlen(field) + 1, NULL, 10);
	fclose(f);
	return v;
}

static long pages_wanted(const struct options *o)
{
	long page_kb = meminfo("Hugepagesize");

	return page_kb <= 0 ? 0 : (o->memory_mb * 1024L + page_kb - 1) / page_kb;
}

void eal_hugepages_reserve(const struct options *o)
{
	long want = pages_wanted(o), have = meminfo("HugePages_Free");
	char text[32];
	int fd, n;

	if (o->hugepages == HUGEPAGES_NO || want == 0 || have >= want)
		return;
	fd = open("/proc/sys/vm/nr_hugepages", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return; // eal_start says what follows from it
	n = snprintf(text, sizeof(text), "%ld", meminfo("HugePages_Total") + want - have);
	if (write(fd, text, (size_t)n) != n)
		log_debug("main: the kernel reserved no hugepages wanted=%ld", want);
	close(fd);
}

static bool hugepages_usable(const struct options *o)
{
	long want = pages_wanted(o), have = meminfo("HugePages_Free");

	if (o->hugepages == HUGEPAGES_NO)
		return false;
	if (want > 0 && have >= want)
		return true;
	if (o->hugepages == HUGEPAGES_YES)
		return true; // EAL refuses if there are too few
	log_warning("main: not enough hugepages, going on without them (slower, no memif) "
		    "needed=%ld free=%ld",
		want, have);
	return false;
}

static void add_memory(const struct options *o)
{
	if (hugepages_usable(o)) {
		add("--in-memory");
	} else {
		add("--no-huge");
		add("--no-shconf");
	}
	add("-m");
	add("%u", o->memory_mb);
}

// ---- CPUs ----

static int first_cpu(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
			if (CPU_ISSET(cpu, &set))
				return cpu;
	return 0;
}

// "--lcores 0@0,1@2,2@3": lcore 0 is main, the others carry packets. Too long for one of args.text.
static char *lcore_map(const struct options *o)
{
	size_t room = 16 * (o->nb_cpus + 2), n;
	char *map = malloc(room);

	if (map == NULL)
		return NULL;
	n = (size_t)snprintf(map, room, "0@%d", o->main_cpu >= 0 ? o->main_cpu : first_cpu());
	for (uint32_t i = 0; i < o->nb_cpus; i++)
		n += (size_t)snprintf(map + n, room - n, ",%u@%u", i + 1, o->cpus[i]);
	return map;
}

static const char *eal_level(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_DEBUG:
		return "info";
	case LOG_LEVEL_ERROR:
		return "error";
	default:
		return "warning";
	}
}

// Small pages come in one call: a fault for each, as packets are first touched, took most of the start.
// Where the kernel has no such call (before Linux 5.14) they still do.
static int populate(
	const struct rte_memseg_list *msl, const struct rte_memseg *ms, size_t len, void *arg)
{
	RTE_SET_USED(msl);
	RTE_SET_USED(arg);
	madvise(ms->addr, len, MADV_POPULATE_WRITE);
	return 0;
}

int eal_start(const struct options *o, const char *program)
{
	char *map = lcore_map(o);

	if (map == NULL)
		return -ENOMEM;
	add("%s", program);
	add("--lcores");
	args.argv[args.n++] = map;
	add("--main-lcore");
	add("0");
	add_memory(o);
	add("--file-prefix");
	if (o->file_prefix != NULL)
		add("%s", o->file_prefix);
	else
		add("strait-%d", (int)getpid());
	add("--no-telemetry");
	add("--log-level=%s", eal_level(o->log_level));
	// The bus is scanned, so that a PORT may name a device at run time; but nothing is taken that was
	// not asked for: an allow list of which no entry exists allows none.
	for (uint32_t i = 0; i < o->nb_pci; i++) {
		add("-a");
		add("%s", o->pci[i]);
	}
	if (o->nb_pci == 0) {
		add("-a");
		add("ffff:ff:1f.7");
	}
	if (rte_eal_init(args.n, args.argv) < 0) {
		log_error("main: DPDK does not start (CPUs of --lcores and --main-cpu there? "
			  "memory?) "
			  "error=%s",
			rte_strerror(rte_errno));
		return -rte_errno;
	}
	if (!rte_eal_has_hugepages())
		rte_memseg_contig_walk(populate, NULL);
	return 0;
}
