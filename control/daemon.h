// SPDX-License-Identifier: BSD-3-Clause
//
// straitd as a whole: the order in which its parts start, what a reload changes, and who hears what from
// the data plane. Main loop thread.
#pragma once

#include "admin.h"

#include <stdbool.h>
#include <stdint.h>

struct cJSON;
struct conn;
struct config;
struct daemon;
struct turn;

// The admin verbs; their arg is the struct daemon. In verbs.c.
extern const struct admin_verb daemon_verbs[];

// Takes config. run_dir, if not NULL, wins over the file's. failed() is called at most once, when the first application of the config fails
// after daemon_start; the message is logged already.
struct daemon *daemon_new(
	struct config *config, const char *run_dir, void (*failed)(void *arg), void *arg);
void daemon_free(struct daemon *d);
// 0 or -errno with *ret_error (g_free). The config is applied here when no data plane runs, else as soon
// as it has told what it holds.
int daemon_start(struct daemon *d, char **ret_error);
// A text that says so until then, for g_free(); NULL afterwards.
char *daemon_starting(const struct daemon *d);
// Reads the file again and applies the difference. On an error the old configuration goes on.
// notes (may be NULL) gets an array "needs_restart" of what cannot change at run time.
int daemon_reload(struct daemon *d, struct cJSON *notes, char **ret_error);
// What wg(8) changed beside the file; see overlay.h.
void daemon_overlay_status(struct daemon *d, struct cJSON *into);
int daemon_overlay_drop(struct daemon *d, char **ret_error);
void daemon_status(struct daemon *d, struct cJSON *into);
void daemon_wg_status(struct daemon *d, struct cJSON *into);
// The signal clients and ICE of the interfaces: array "connections".
void daemon_conn_status(struct daemon *d, struct cJSON *into);
void daemon_events(struct daemon *d, uint64_t since, unsigned int max, struct cJSON *into);
// By name or public key; NULL with *ret_error (g_free).
struct conn *daemon_conn(struct daemon *d, const char *peer, char **ret_error);
void daemon_ports_status(struct daemon *d, struct cJSON *into);
struct turn *daemon_turn(struct daemon *d);
