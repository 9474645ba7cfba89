// SPDX-License-Identifier: BSD-3-Clause
//
// The grammar of WireGuard's cross-platform configuration protocol: lines in, changes out. A request is
// get=1 or set=1, lines of key=value, and an empty line. Pure: no sockets, no state of WireGuard. A line
// that is wrong makes the rest of its request be skipped, so that the connection can go on after it.
#pragma once

#include "../../crypto/messages.h"
#include "../../dataplane/api/st_api.h"

#include <glib.h>

#include <stdbool.h>
#include <stdint.h>

#define UAPI_LINE_MAX      1024
#define UAPI_ALLOWED_BATCH 4096 // a peer with more of them is given in parts

struct uapi_allowed {
	struct st_prefix prefix;
	bool remove;
};

struct uapi_peer {
	uint8_t public_key[NOISE_KEY_LEN];
	bool continued; // a further part of the peer before
	bool remove;
	bool update_only;
	bool replace_allowed;
	bool has_psk;
	bool has_endpoint;
	bool has_keepalive;
	uint16_t keepalive;
	uint16_t endpoint_port;
	struct st_addr endpoint;
	char endpoint_scope[ST_NAME_MAX]; // interface of a link-local one, "" = none was written
	uint8_t psk[NOISE_KEY_LEN];
	GArray *allowed; // of struct uapi_allowed, in the order of the request
};

// Each returns 0 or a positive errno, which ends the request with that number.
struct uapi_set_ops {
	int (*private_key)(const uint8_t key[NOISE_KEY_LEN], void *arg); // all zero = none
	int (*listen_port)(uint16_t port, void *arg);
	int (*fwmark)(uint32_t fwmark, void *arg);
	int (*replace_peers)(void *arg);
	int (*peer)(const struct uapi_peer *peer, void *arg);
	// Before a set is answered, also when it failed halfway. May be NULL.
	void (*done)(void *arg);
};

enum uapi_result {
	UAPI_MORE,  // the request goes on
	UAPI_GET,   // answer it
	UAPI_REPLY, // answer errno=*ret_errno
};

struct uapi_parser;

struct uapi_parser *uapi_parser_new(const struct uapi_set_ops *ops, void *arg);
void uapi_parser_free(struct uapi_parser *p); // wipes
// One line without its newline; line is wiped by the caller. NULL: a line over the limit.
enum uapi_result uapi_parser_line(struct uapi_parser *p, const char *line, int *ret_errno);
