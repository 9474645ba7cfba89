// SPDX-License-Identifier: BSD-3-Clause
//
// The table of verbs and options: dispatch, help, completion and the tests read it.
#include "ctl.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define NAME_LEN_MAX 32

const struct ctl_option ctl_options[] = {
	{"json", 'j', NULL, "print JSON instead of tables", 0},
	{"run-dir", 'r', "DIR", "where the daemons' sockets are (" CTL_DEFAULT_RUN_DIR ")", 0},
	{"help", 'h', NULL, "this text", 0},
	{"watch", 'n', "SECONDS", "print again every so often until Ctrl-C", CTL_O_WATCH},
	{"all", 'a', NULL, "also what is zero", CTL_O_ALL},
	{"per-lcore", 'p', NULL, "one line per lcore instead of the sum", CTL_O_PER_LCORE},
	{"iface", 'i', "NAME", "only packets that enter here", CTL_O_IFACE},
	{"count", 'c', "N", "end after N packets", CTL_O_COUNT},
	{"one-in", 'o', "N", "take every Nth packet (1)", CTL_O_ONE_IN},
	{"write", 'w', "FILE", "where the pcapng goes, - is standard output", CTL_O_WRITE},
	{"snaplen", 's', "BYTES", "at most so much of each packet (0 = whole)", CTL_O_SNAPLEN},
	{"ttl", 't', "TIME", "how long a credential is good: 90s, 15m, 12h, 7d (1h)", CTL_O_TTL},
	{"user", 'u', "ID", "who it is for, for quotas", CTL_O_USER},
	{NULL, 0, NULL, NULL, 0},
};

const struct ctl_verb ctl_verbs[] = {
	{"status", "", "both daemons, interfaces, lcores and pools", 0, 0, CTL_O_WATCH, status_run},
	{"peers", "[NAME]", "WireGuard peers, or all about one", 0, 1, CTL_O_WATCH, peers_run},
	{"peer", "NAME candidates|reconnect", "candidates of a peer's last attempt; a new attempt",
		2, 2, 0, peer_run},
	{"events", "", "what happens to connections, as JSON lines", 0, 0, 0, events_run},
	{"ports", "", "ports and WireGuard interfaces with counters", 0, 0, CTL_O_WATCH, ports_run},
	{"stages", "", "calls, packets and cycles of each stage", 0, 0,
		CTL_O_WATCH | CTL_O_PER_LCORE, stages_run},
	{"drops", "", "dropped packets by reason", 0, 0, CTL_O_WATCH | CTL_O_ALL | CTL_O_PER_LCORE,
		drops_run},
	{"routes", "", "routes as the data plane has them", 0, 0, CTL_O_WATCH, routes_run},
	{"neighbours", "", "neighbours as the data plane has them", 0, 0, CTL_O_WATCH, neighbours_run},
	{"trace", "", "packets with the stages each went through", 0, 0,
		CTL_O_IFACE | CTL_O_COUNT | CTL_O_ONE_IN, trace_run},
	{"capture", "PORT|IFACE|peer NAME", "packets of the fast path as pcapng", 1, 2,
		CTL_O_COUNT | CTL_O_WRITE | CTL_O_SNAPLEN, capture_run},
	{"turn sessions", "", "sessions of the relay", 0, 0, CTL_O_WATCH, turn_sessions_run},
	{"turn session", "ID", "all about one session", 1, 1, CTL_O_WATCH, turn_session_run},
	{"turn kick", "ID", "end a session", 1, 1, 0, turn_kick_run},
	{"turn drain", "[on|off]", "take no new sessions, and say how many are left", 0, 1,
		CTL_O_WATCH, turn_drain_run},
	{"turn stats", "", "totals of the relay", 0, 0, CTL_O_WATCH, turn_stats_run},
	{"import", "FILE", "turn a coturn configuration into one of ours", 1, 1, 0, import_run},
	{"credentials mint", "[FILE]", "make a time-limited credential of the relay", 0, 1,
		CTL_O_TTL | CTL_O_USER, credentials_mint_run},
	{"config check", "[FILE]", "say what is wrong with a configuration", 0, 1, 0,
		config_check_run},
	{"config dp-args", "[FILE]", "command line of strait-dp for a configuration", 0, 1, 0,
		config_dp_args_run},
	{"reload", "", "apply the changed configuration", 0, 0, 0, reload_run},
	{"overlay show", "", "what wg changed beside the configuration", 0, 0, 0, overlay_show_run},
	{"overlay drop", "", "go back to what the configuration says", 0, 0, 0, overlay_drop_run},
	{"log-level", "[LEVEL]", "show or set what straitd logs", 0, 1, 0, log_level_run},
	{"host remove", "[FILE]", "take away the host devices of a configuration", 0, 1, 0,
		host_remove_run},
	{"completion", "bash|zsh", "print shell completion", 1, 1, 0, completion_run},
	{"version", "", "versions of straitctl and of the daemons", 0, 0, 0, version_run},
	{NULL, NULL, NULL, 0, 0, 0, NULL},
};

const struct ctl_verb *ctl_find(int argc, char **argv, int *ret_words)
{
	for (const struct ctl_verb *v = ctl_verbs; v->name; v++) {
		const char *space = strchr(v->name, ' ');
		size_t first = space ? (size_t)(space - v->name) : strlen(v->name);

		if (argc < 1 || strlen(argv[0]) != first || memcmp(argv[0], v->name, first))
			continue;
		if (space && (argc < 2 || strcmp(argv[1], space + 1)))
			continue;
		*ret_words = space ? 2 : 1;
		return v;
	}
	return NULL;
}

// Levenshtein distance, bounded by the length of names.
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[NAME_LEN_MAX + 1];
	size_t na = strlen(a), nb = strlen(b);

	if (na > NAME_LEN_MAX || nb > NAME_LEN_MAX)
		return NAME_LEN_MAX;
	for (size_t j = 0; j <= nb; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned int diagonal = row[0];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned int change = diagonal + (a[i - 1] != b[j - 1]);
			unsigned int best = row[j] + 1 < row[j - 1] + 1 ? row[j] + 1 : row[j - 1] + 1;

			diagonal = row[j];
			row[j] = change < best ? change : best;
		}
	}
	return row[nb];
}

const char *ctl_suggest(const char *typed)
{
	const char *ret = NULL;
	unsigned int best = 3; // two typing errors are a slip, three are another word

	for (const struct ctl_verb *v = ctl_verbs; v->name; v++) {
		unsigned int d = distance(typed, v->name);
		size_t n = strlen(typed);

		// The beginning of a verb, or the first word of one with two.
		if (n >= 2 && !strncmp(typed, v->name, n))
			d = 1;
		if (d < best) {
			best = d;
			ret = v->name;
		}
	}
	return ret;
}
