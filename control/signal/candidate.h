// SPDX-License-Identifier: BSD-3-Clause
//
// The two text payloads of NetBird's signal messages: credentials "ufrag:pwd" (OFFER, ANSWER) and one ICE
// candidate (CANDIDATE) as pion marshals it, RFC 8839 section 5.1 without "candidate:". Pure functions.
#pragma once

#include "../../dataplane/api/st_api.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGNAL_FOUNDATION_MAX 32  // RFC 8839 section 5.1
#define SIGNAL_UFRAG_MAX      256 // RFC 8839 section 5.4
#define SIGNAL_PWD_MAX        256
#define SIGNAL_CANDIDATE_MAX  512 // characters of the payload

enum signal_candidate_type {
	SIGNAL_CANDIDATE_HOST,
	SIGNAL_CANDIDATE_SRFLX,
	SIGNAL_CANDIDATE_PRFLX,
	SIGNAL_CANDIDATE_RELAY,
};

struct signal_candidate {
	char foundation[SIGNAL_FOUNDATION_MAX + 1];
	uint32_t priority;
	struct st_addr addr;
	uint16_t port;
	enum signal_candidate_type type;
	bool has_related;
	struct st_addr related; // raddr; all zero (0.0.0.0) from NetBird's shared port
	uint16_t related_port;
};

struct signal_credentials {
	char ufrag[SIGNAL_UFRAG_MAX + 1];
	char pwd[SIGNAL_PWD_MAX + 1];
};

// Both return 0 and fill *ret, or leave it: -EINVAL grammar, -EMSGSIZE too long.
// A candidate also -EPROTONOSUPPORT (not UDP, component not 1), -EADDRNOTAVAIL (a name such as mDNS's, an
// unspecified, loopback, multicast or broadcast address, port 0). Extensions behind are skipped.
int signal_candidate_parse(const char *text, struct signal_candidate *ret);
// ":" alone is a peer that does no ICE (relay-only): -ENOTSUP.
int signal_credentials_parse(const char *text, struct signal_credentials *ret);

// NetBird's text; what would not fit is cut. Returns the length as snprintf does.
int signal_candidate_print(const struct signal_candidate *c, char *buf, size_t len);
