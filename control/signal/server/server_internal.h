// SPDX-License-Identifier: BSD-3-Clause
//
// What the files of the signal server share. Everything here belongs to the server's one thread, but for
// the counters and the flags that say otherwise.
#pragma once

#include "admission.h"
#include "server.h"

#include <glib.h>

#include <grpc/grpc.h>
#include <stdatomic.h>

#define KEY_TEXT_LEN 44 // base64

struct server;

// One operation at gRPC; its address is the tag.
struct server_step {
	void (*done)(struct server *s, struct server_step *step, bool ok);
};

// server: wo, any: ro
#define SERVER_COUNTERS(X)                                                                         \
	X(streams)                                                                                 \
	X(connections)                                                                             \
	X(queued_bytes)                                                                            \
	X(registered)                                                                              \
	X(replaced)                                                                                \
	X(refused)                                                                                 \
	X(slow)                                                                                    \
	X(sends)                                                                                   \
	X(delivered)                                                                               \
	X(absent)                                                                                  \
	X(queue_full)                                                                              \
	X(queues_full)                                                                             \
	X(limited_connection)                                                                      \
	X(limited_key)                                                                             \
	X(malformed)                                                                               \
	X(bytes_delivered)

struct server_counters {
#define X(name) atomic_ulong name;
	SERVER_COUNTERS(X)
#undef X
};

struct server {
	grpc_server *grpc;
	grpc_completion_queue *queue;
	GThread *thread;
	struct certificate *certificate; // NULL = cleartext
	atomic_bool stop;                // main: wo, server: ro
	bool stopping;                   // the flag was seen
	void *send_method, *stream_method;
	uint32_t max_streams, max_streams_per_connection, connection_rate, key_rate;
	uint64_t max_queued_bytes, queued_bytes; // of all registrations
	struct connections *connections;
	GHashTable *registry; // key text -> struct registration *, the newest of each key
	GHashTable *streams;  // set of struct registration *, also replaced ones until they ended
	int64_t swept;
	unsigned int steps; // at gRPC
	struct server_counters counters;
};

#define COUNT(s, name) atomic_fetch_add_explicit(&(s)->counters.name, 1, memory_order_relaxed)

bool key_text_valid(const char *text);
void server_step_start(
	struct server *s, grpc_call *call, const grpc_op *ops, size_t n, struct server_step *step);

// registration.c
void registration_await(struct server *s); // asks gRPC for the next stream
// Takes a reference to the message. False: the key has no stream.
bool registration_deliver(struct server *s, const char *key, grpc_slice message);
void registration_end_all(struct server *s);
void registration_sweep(struct server *s, int64_t now); // ends those that don't take their messages

// receive.c
void receive_await(struct server *s); // asks gRPC for the next Send
