// SPDX-License-Identifier: BSD-3-Clause
//
// "turn" of the configuration, read once; docs/config.md is the schema. Immutable after it was read.
// Secrets and passwords are in locked memory and wiped with it.
#pragma once

#include "../../dataplane/api/st_api.h"

#include <glib.h>

#include <stdbool.h>
#include <stdint.h>

struct config_reader;
struct json_at;

enum turn_transport {
	TURN_UDP,
	TURN_TCP,
	TURN_TLS,
	TURN_TRANSPORTS,
};

struct turn_config_listen {
	struct st_addr addr; // all zero: every address of both families
	uint16_t port;
	bool transports[TURN_TRANSPORTS]; // TCP and TLS on one port are told apart by the first byte
};

struct turn_config_relay {
	struct st_addr addr;     // bound here
	struct st_addr external; // what clients are told; the same when there is no NAT
};

// Where clients are sent whom this server has no room for.
struct turn_config_alternate {
	struct st_addr addr;
	uint16_t port, tls_port;
	char *domain; // of its certificate, NULL = as ours
};

struct turn_config_user {
	char *name;
	char *password; // locked
};

struct turn_config_prefix {
	struct st_prefix prefix;
	char *text; // as in the document, for messages
};

struct turn_config_ports {
	uint16_t lo, hi;
};

struct turn_config_limits {
	uint32_t allocations, allocations_per_user, allocations_per_source;
	uint32_t permissions, channels;                          // of one allocation
	uint32_t allocations_per_user_s, new_peers_per_user_min; // 0 = no limit
	uint32_t connections, connections_per_source, handshakes_per_source_s;
	uint32_t replies_per_source_s,
		replies_burst;             // to requests without valid credentials, and Binding
	uint64_t bytes_per_s, burst_bytes; // of one allocation; 0 = no limit
	uint64_t user_bytes_per_s, user_burst_bytes;
};

struct turn_config {
	GPtrArray *listen; // of struct turn_config_listen *
	char *realm;
	GPtrArray *secrets; // of char *, locked
	GPtrArray *users;   // of struct turn_config_user *
	GPtrArray *relays;  // of struct turn_config_relay *
	uint16_t port_min, port_max;
	GPtrArray *alternates;   // of struct turn_config_alternate *
	GPtrArray *allow, *deny; // of struct turn_config_prefix *
	GArray *deny_ports;      // of struct turn_config_ports
	uint32_t max_lifetime_s;
	struct turn_config_limits limits;
	bool strict_expiry, rfc5766_channels, sha256, software;
	char *certificate, *key; // files of PEM, NULL = no TLS
	struct st_addr metrics_addr;
	uint16_t metrics_port; // 0 = off
};

// at is the object "turn". 0, or -EINVAL with the document's error set.
int turn_config_read(struct config_reader *r, const struct json_at *at, struct turn_config **ret);
void turn_config_free(struct turn_config *c);
// The place of addr among the relay addresses, by either of its two forms, or -1.
int turn_config_relay_index(const struct turn_config *c, const struct st_addr *addr);
// A peer that is named by an external address of ours is the relay address behind it: nothing that leaves the
// box for it would come back.
void turn_config_unmap(const struct turn_config *c, struct st_addr *peer);
