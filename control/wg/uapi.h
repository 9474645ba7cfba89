// SPDX-License-Identifier: BSD-3-Clause
//
// The socket of WireGuard's cross-platform configuration protocol, one per interface, which wg(8) and its
// like find in /var/run/wireguard. Connections are many and short, requests are answered in order, a
// slow reader delays only itself. Main loop thread.
#pragma once

#include "uapi_parse.h"

#define UAPI_MAX_CLIENTS 16 // per interface; more wait in the backlog

struct uapi;
struct uapi_client;

struct uapi_ops {
	struct uapi_set_ops set;
	// Answers with uapi_get_done(), now or later. The client stays valid until then, whatever its
	// connection does.
	void (*get)(struct uapi_client *client, void *arg);
};

// NULL: *ret_error is -errno (-EADDRINUSE: somebody else serves this name).
struct uapi *uapi_new(
	const char *dir, const char *name, const struct uapi_ops *ops, void *arg, int *ret_error);
void uapi_free(struct uapi *u); // removes the socket; answers under way are dropped
// text: the lines of the answer without errno; it is wiped and freed.
void uapi_get_done(struct uapi_client *client, GString *text);
// True: the interface is gone and arg with it; only uapi_get_done(client, NULL) is allowed.
bool uapi_client_orphaned(const struct uapi_client *client);
