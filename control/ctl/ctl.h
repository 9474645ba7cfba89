// SPDX-License-Identifier: BSD-3-Clause
//
// straitctl: its verbs, options and exit statuses. One thread, blocking; it keeps nothing.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CTL_DEFAULT_RUN_DIR "/run/strait"
#define CTL_DEFAULT_CONFIG  "/etc/strait/strait.json"

enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED = 1, // the command was refused or failed
	CTL_USAGE = 2,
	CTL_AWAY = 3,   // a daemon that is needed does not answer
	CTL_PARTLY = 4, // one of the daemons is away: what is shown is not all
	CTL_DONE = 64,  // of a watched verb: there is nothing more to come, which is CTL_OK
};

// One bit per option that only some verbs take.
#define CTL_O_WATCH     0x001
#define CTL_O_ALL       0x002
#define CTL_O_PER_LCORE 0x004
#define CTL_O_IFACE     0x008
#define CTL_O_COUNT     0x010
#define CTL_O_ONE_IN    0x020
#define CTL_O_WRITE     0x040
#define CTL_O_SNAPLEN   0x080
#define CTL_O_TTL       0x100
#define CTL_O_USER      0x200

struct ctl_option {
	const char *name;
	char letter;       // 0 = none
	const char *value; // what to call it in the help; NULL = a switch
	const char *text;
	uint32_t bit; // 0: every verb takes it
};
extern const struct ctl_option ctl_options[]; // ends with a NULL name

struct ctl {
	const char *run_dir;
	bool json, all, per_lcore;
	uint32_t watch;  // seconds, 0 = once
	uint32_t rounds; // of a watch, those that went well so far
	uint32_t count, one_in, snaplen;
	const char *iface, *write;
	const char *ttl, *user;
};

struct ctl_verb {
	const char *name; // one word or two
	const char *args; // for the help, "" = none
	const char *text;
	unsigned int args_min, args_max;
	uint32_t options; // CTL_O_*
	int (*run)(const struct ctl *c, int argc, char **argv);
};
extern const struct ctl_verb ctl_verbs[]; // ends with a NULL name; in verbs.c, visible in one place

// "straitctl: ..." on stderr; returns status, so that a verb can end with it.
int ctl_error(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The verb that argv begins with and how many words it took; NULL = none.
const struct ctl_verb *ctl_find(int argc, char **argv, int *ret_words);
// The verb whose name is nearest to what was typed, NULL when none is near.
const char *ctl_suggest(const char *typed);
// Set by SIGINT and SIGTERM.
bool ctl_stopped(void);
void ctl_catch_signals(void);

int status_run(const struct ctl *c, int argc, char **argv);
int peers_run(const struct ctl *c, int argc, char **argv);
int peer_run(const struct ctl *c, int argc, char **argv);
int events_run(const struct ctl *c, int argc, char **argv);
int ports_run(const struct ctl *c, int argc, char **argv);
int stages_run(const struct ctl *c, int argc, char **argv);
int drops_run(const struct ctl *c, int argc, char **argv);
int routes_run(const struct ctl *c, int argc, char **argv);
int neighbours_run(const struct ctl *c, int argc, char **argv);
int trace_run(const struct ctl *c, int argc, char **argv);
int capture_run(const struct ctl *c, int argc, char **argv);
int config_check_run(const struct ctl *c, int argc, char **argv);
int config_dp_args_run(const struct ctl *c, int argc, char **argv);
int reload_run(const struct ctl *c, int argc, char **argv);
int overlay_show_run(const struct ctl *c, int argc, char **argv);
int overlay_drop_run(const struct ctl *c, int argc, char **argv);
int log_level_run(const struct ctl *c, int argc, char **argv);
int host_remove_run(const struct ctl *c, int argc, char **argv);
int completion_run(const struct ctl *c, int argc, char **argv);
int turn_sessions_run(const struct ctl *c, int argc, char **argv);
int turn_session_run(const struct ctl *c, int argc, char **argv);
int turn_kick_run(const struct ctl *c, int argc, char **argv);
int turn_drain_run(const struct ctl *c, int argc, char **argv);
int turn_stats_run(const struct ctl *c, int argc, char **argv);
int import_run(const struct ctl *c, int argc, char **argv);
int credentials_mint_run(const struct ctl *c, int argc, char **argv);
int version_run(const struct ctl *c, int argc, char **argv);
