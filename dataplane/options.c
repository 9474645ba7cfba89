// SPDX-License-Identifier: BSD-3-Clause
//
// Command line of strait-dp. Says on stderr what was wrong and what is allowed.
#include "options.h"

#include "../crypto/aead.h"
#include "tables/turn.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int bad(const char *option, const char *found, const char *allowed)
{
	fprintf(stderr, "strait-dp: --%s: found \"%s\", allowed: %s\n", option, found, allowed);
	return -EINVAL;
}

static int number(const char *option, const char *text, uint32_t lo, uint32_t hi, uint32_t *ret)
{
	char *end, allowed[64];
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || v < lo || v > hi) {
		snprintf(allowed, sizeof(allowed), "a number from %u to %u", lo, hi);
		return bad(option, text, allowed);
	}
	*ret = (uint32_t)v;
	return 0;
}

// "2", "2,3", "2-5,8". A CPU may be named twice.
static int cpu_list(const char *text, struct options *o)
{
	static const char allowed[] = "CPU numbers and ranges such as 2-5,8, at most 64 lcores";
	const char *p = text;

	o->nb_cpus = 0;
	for (;;) {
		char *end;
		unsigned long lo = strtoul(p, &end, 10), hi = lo;

		if (end == p || *p == '-')
			return bad("lcores", text, allowed);
		if (*end == '-') {
			p = end + 1;
			hi = strtoul(p, &end, 10);
			if (end == p)
				return bad("lcores", text, allowed);
		}
		if (hi < lo || hi > 1023)
			return bad("lcores", text, allowed);
		for (; lo <= hi; lo++) {
			if (o->nb_cpus == OPTIONS_LCORES_MAX)
				return bad("lcores", text, allowed);
			o->cpus[o->nb_cpus++] = (uint16_t)lo;
		}
		if (*end == '\0')
			return 0;
		if (*end != ',')
			return bad("lcores", text, allowed);
		p = end + 1;
	}
}

static int hugepages(const char *text, struct options *o)
{
	if (strcmp(text, "auto") == 0)
		o->hugepages = HUGEPAGES_AUTO;
	else if (strcmp(text, "yes") == 0)
		o->hugepages = HUGEPAGES_YES;
	else if (strcmp(text, "no") == 0)
		o->hugepages = HUGEPAGES_NO;
	else
		return bad("hugepages", text, "auto, yes, no");
	return 0;
}

static int idle(const char *text, struct options *o)
{
	if (strcmp(text, "adaptive") != 0 && strcmp(text, "poll") != 0)
		return bad("idle", text, "adaptive, poll");
	o->adaptive = strcmp(text, "adaptive") == 0;
	return 0;
}

static int aead(const char *text, struct options *o)
{
	char allowed[128] = "auto";
	const struct aead_backend *b;

	if (aead_backend_find(text) != NULL) {
		o->aead = text;
		return 0;
	}
	for (unsigned int i = 0; (b = aead_backend_at(i)) != NULL; i++)
		snprintf(allowed + strlen(allowed), sizeof(allowed) - strlen(allowed), ", %s",
			b->name);
	return bad("aead", text, allowed);
}

static int log_level(const char *text, struct options *o)
{
	static const struct {
		const char *name;
		enum log_level level;
	} levels[] = {
		{"error", LOG_LEVEL_ERROR},
		{"warning", LOG_LEVEL_WARNING},
		{"info", LOG_LEVEL_INFO},
		{"debug", LOG_LEVEL_DEBUG},
	};

	for (unsigned int i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (strcmp(text, levels[i].name) == 0) {
			o->log_level = levels[i].level;
			return 0;
		}
	return bad("log-level", text, "error, warning, info, debug");
}

// A group that is not there is no reason to stay down: root alone can use the socket then.
static void group(const char *text, struct options *o)
{
	const struct group *g = getgrnam(text);

	if (g == NULL)
		fprintf(stderr,
			"strait-dp: --group: no group \"%s\" here, the socket is root's alone\n",
			text);
	else
		o->gid = g->gr_gid;
}

static int user(const char *text, struct options *o)
{
	const struct passwd *p = getpwnam(text);

	if (p == NULL)
		return bad("user", text, "a user of this machine");
	o->user = text;
	o->uid = p->pw_uid;
	o->user_gid = p->pw_gid;
	return 0;
}

static int control_user(const char *text, struct options *o)
{
	const struct passwd *p = getpwnam(text);

	if (p == NULL)
		return bad("control-user", text, "a user of this machine");
	o->control_uid = p->pw_uid;
	return 0;
}

static int pci(const char *text, struct options *o)
{
	if (o->nb_pci == OPTIONS_PCI_MAX)
		return bad("pci", text, "at most 32 addresses");
	o->pci[o->nb_pci++] = text;
	return 0;
}

static void help(void)
{
	const struct aead_backend *b;

	printf("usage: strait-dp [OPTION]...\n"
	       "The data plane of strait: carries packets with DPDK, configured by straitd.\n\n"
	       "  --run-dir DIR         where the contract's socket is (/run/strait)\n"
	       "  --lcores LIST         CPUs of the packet lcores, such as 2-5,8 (0)\n"
	       "  --main-cpu N          CPU of the main thread (-1: the first allowed)\n"
	       "  --hugepages WHICH     auto, yes, no (auto)\n"
	       "  --memory MB           for packets and DPDK's tables (256)\n"
	       "  --packets N           packet buffers, 0 = half the memory (0)\n"
	       "  --turn-channels N     most TURN channels, and most permissions (65536); memory "
	       "comes as\n"
	       "                        they do, about 500 bytes for a channel with its "
	       "permission\n"
	       "  --idle WHICH          adaptive: an idle lcore sleeps; poll: never (adaptive)\n"
	       "  --aead NAME           auto");
	for (unsigned int i = 0; (b = aead_backend_at(i)) != NULL; i++)
		printf(", %s", b->name);
	printf(" (auto)\n"
	       "  --group NAME          group that may use the socket\n"
	       "  --user NAME           change to this user, keeping what ports need\n"
	       "  --control-user NAME   straitd's user, if it is neither root nor ours\n"
	       "  --pci ADDR            PCI device to take at start, may be repeated\n"
	       "  --mlock               keep all memory out of swap\n"
	       "  --file-prefix NAME    DPDK's name for this instance (strait-PID)\n"
	       "  --log-level LEVEL     error, warning, info, debug (info)\n"
	       "  --help, --version\n");
}

static const struct option table[] = {
	{"run-dir", required_argument, NULL, 'r'},
	{"lcores", required_argument, NULL, 'l'},
	{"main-cpu", required_argument, NULL, 'c'},
	{"hugepages", required_argument, NULL, 'H'},
	{"memory", required_argument, NULL, 'm'},
	{"packets", required_argument, NULL, 'n'},
	{"turn-channels", required_argument, NULL, 't'},
	{"idle", required_argument, NULL, 'i'},
	{"aead", required_argument, NULL, 'a'},
	{"file-prefix", required_argument, NULL, 'f'},
	{"group", required_argument, NULL, 'g'},
	{"user", required_argument, NULL, 'u'},
	{"control-user", required_argument, NULL, 'C'},
	{"pci", required_argument, NULL, 'p'},
	{"mlock", no_argument, NULL, 'M'},
	{"log-level", required_argument, NULL, 'L'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static int take(int c, const char *arg, struct options *o)
{
	uint32_t n = 0;
	int rc;

	switch (c) {
	case 'r':
		o->run_dir = arg;
		return strlen(arg) < 90 ? 0
					: bad("run-dir", arg, "a path of less than 90 characters");
	case 'l':
		return cpu_list(arg, o);
	case 'c':
		rc = strcmp(arg, "-1") == 0 ? 0 : number("main-cpu", arg, 0, 1023, &n);
		o->main_cpu = strcmp(arg, "-1") == 0 ? -1 : (int)n;
		return rc;
	case 'H':
		return hugepages(arg, o);
	case 'm':
		return number("memory", arg, 64, 1024 * 1024, &o->memory_mb);
	case 'n':
		return strcmp(arg, "0") == 0 ? 0 : number("packets", arg, 2048, 1 << 24, &o->packets);
	case 't':
		return number("turn-channels", arg, 1, 1 << 24, &o->turn_channels);
	case 'i':
		return idle(arg, o);
	case 'a':
		return aead(arg, o);
	case 'f':
		o->file_prefix = arg;
		return 0;
	case 'g':
		group(arg, o);
		return 0;
	case 'u':
		return user(arg, o);
	case 'C':
		return control_user(arg, o);
	case 'p':
		return pci(arg, o);
	case 'M':
		o->mlock = true;
		return 0;
	case 'L':
		return log_level(arg, o);
	}
	return -EINVAL;
}

int options_parse(int argc, char **argv, struct options *ret)
{
	struct options o = {
		.run_dir = "/run/strait",
		.nb_cpus = 1,
		.main_cpu = -1,
		.memory_mb = 256,
		.turn_channels = TURN_CHANNELS_MAX,
		.adaptive = true,
		.aead = "auto",
		.gid = (uint32_t)-1,
		.control_uid = (uint32_t)-1,
		.log_level = LOG_LEVEL_INFO,
	};
	int c, rc;

	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (c == 'h') {
			help();
			return 1;
		}
		if (c == 'V') {
			printf("strait-dp %s\n", STRAIT_VERSION);
			return 1;
		}
		if (c == '?') {
			fprintf(stderr, "strait-dp: see --help\n");
			return -EINVAL;
		}
		rc = take(c, optarg, &o);
		if (rc < 0)
			return rc;
	}
	if (optind < argc) {
		fprintf(stderr, "strait-dp: found \"%s\", allowed: options only, see --help\n",
			argv[optind]);
		return -EINVAL;
	}
	*ret = o;
	return 0;
}
