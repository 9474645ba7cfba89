// SPDX-License-Identifier: BSD-3-Clause
//
// The admin socket: AF_UNIX SOCK_STREAM in the run directory, one JSON object per line each way.
// {"verb":"peers"} -> {"ok":true,...} or {"ok":false,"error":"..."}. A bad line gets an error and the
// connection lives on; a line over 64 kB ends it.
#pragma once

#include <stdbool.h>

struct cJSON;

#define ADMIN_SOCKET_NAME "admin.sock"
#define ADMIN_LINE_MAX    65536
#define ADMIN_FOLLOW_MAX                                                                           \
	(512 * 1024) // bytes that wait for one who follows; beyond it lines are lost to him, and counted

struct admin_verb {
	const char *name;
	// Fills reply; returns NULL, or an error text (g_free).
	char *(*run)(const struct cJSON *request, struct cJSON *reply, void *arg);
	// A request with "follow": true gets what admin_push is given from then on, behind the reply.
	bool follows;
};

struct admin;
struct admin *admin_new(
	const char *path, const char *group, const struct admin_verb *verbs, void *arg);
void admin_free(struct admin *a);
// A client that says nothing for so long makes room (60), unless it follows.
void admin_idle_after(struct admin *a, unsigned int seconds);
// One more line for those who follow. A reader that is too slow is told {"event":"missed","count":N} in the place
// of what it lost.
void admin_push(struct admin *a, const struct cJSON *line);
bool admin_followed(const struct admin *a); // somebody would get it
