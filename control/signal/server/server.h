// SPDX-License-Identifier: BSD-3-Clause
//
// The signal service itself (gRPC signalexchange.SignalExchange): peers register a stream under their public
// key, Sends are handed to the stream of the receiver's key. It sees keys and sizes, never contents. All of
// it runs on one thread; server_stats and server_stop may be called from another.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SERVER_MESSAGE_MAX     65536 // of a Send; more is RESOURCE_EXHAUSTED to the sender
#define SERVER_QUEUE_MAX       256   // messages waiting for one slow receiver; more are dropped
#define SERVER_QUEUE_BYTES_MAX (1 << 20)
#define SERVER_QUEUE_BYTES_LOW 4096  // room of one receiver once all queues together are full
#define SERVER_CONNECTIONS_MAX 65536 // with state of ours; more are refused as over the limit
#define SERVER_SLOW_RECEIVER_S 10    // a message not taken for so long ends the stream

struct server_settings {
	const char *const *listen;           // "HOST:PORT", NULL-terminated
	const char *cert_file, *key_file;    // PEM; NULL = cleartext HTTP/2
	uint32_t max_streams;                // in all
	uint32_t max_streams_per_connection; // keys registered over one connection
	uint32_t max_per_host; // connections, and keys registered over them, of one address (IPv6: /64)
	uint32_t connection_rate; // Sends per second of one connection; burst ten times that
	uint32_t key_rate;        // messages per second to one key; burst ten times that
	uint64_t queue_bytes; // waiting for all receivers together, with what it costs to keep them
};

struct server_stats {
	uint64_t streams, connections, queued_bytes;  // as they are
	uint64_t registered, replaced, refused, slow; // streams since the start
	uint64_t sends, delivered, absent, queue_full, queues_full;
	uint64_t limited_connection, limited_key, malformed;
	uint64_t bytes_delivered;
};

struct server;

// NULL with *ret_error (g_free): an address can't be listened on, a certificate can't be read.
struct server *server_new(const struct server_settings *s, char **ret_error);
// Ends every stream with UNAVAILABLE, so that clients come back elsewhere or later; waits. Frees.
void server_stop(struct server *s);
void server_stats(const struct server *s, struct server_stats *ret);
