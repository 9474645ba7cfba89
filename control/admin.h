// SPDX-License-Identifier: BSD-3-Clause
//
// The admin socket: AF_UNIX SOCK_STREAM in the run directory, one JSON object per line each way.
// {"verb":"peers"} -> {"ok":true,...} or {"ok":false,"error":"..."}. A bad line gets an error and the
// connection lives on; a line over 64 kB ends it.
#pragma once

struct cJSON;

#define ADMIN_SOCKET_NAME "admin.sock"
#define ADMIN_LINE_MAX    65536

struct admin_verb {
	const char *name;
	// Fills reply; returns NULL, or an error text (g_free).
	char *(*run)(const struct cJSON *request, struct cJSON *reply, void *arg);
};

struct admin;
struct admin *admin_new(
	const char *path, const char *group, const struct admin_verb *verbs, void *arg);
void admin_free(struct admin *a);
