// SPDX-License-Identifier: BSD-3-Clause
//
// How fast one connection may send and one key may be sent to, and what a connection and a host hold. Pure but
// for memory: the caller gives the time.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct bucket {
	double tokens;
	int64_t filled; // us; 0 = never, full
};

// One token, or false. A full bucket holds ten seconds' worth.
bool bucket_take(struct bucket *b, uint32_t per_second, int64_t now);

// An IPv4 address, or the /64 of an IPv6 one.
struct host {
	char *name;
	uint32_t connections, streams;
};

struct connection {
	struct bucket sends;
	struct host *host;
	uint32_t streams;
	int64_t used; // us
};

struct connections;

// max_per_host: connections, and streams of all of them together.
struct connections *connections_new(uint32_t max_per_host);
void connections_free(struct connections *c);
// By gRPC's name of it, "ipv4:192.0.2.1:5678". NULL: SERVER_CONNECTIONS_MAX are known already, or too many of its host.
struct connection *connections_get(struct connections *c, const char *name, int64_t now);
// False: the connection has max of them, or its host has too many.
bool connections_stream_begin(struct connections *c, struct connection *n, uint32_t max);
void connections_stream_end(struct connection *n);
// Forgets those without streams that were idle for ten seconds: their bucket is full again. A proxy may make a connection
// for each message, and all of them are of one host.
void connections_sweep(struct connections *c, int64_t now);
uint32_t connections_count(const struct connections *c);
