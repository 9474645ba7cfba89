// SPDX-License-Identifier: BSD-3-Clause
//
// The client of a NetBird signal service (gRPC signalexchange.SignalExchange): peers hand each other
// offers, answers and candidates through it, sealed for the receiver. Every function here is called in the
// thread of the default main context, and every callback runs there. The network work is on threads of
// its own, so that HTTP/2 PINGs are answered while that thread is busy.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGNAL_KEY_LEN        32
#define SIGNAL_SESSION_ID_LEN 5
#define SIGNAL_FEATURES_MAX   16 // of one message; what is beyond is ignored
// Of the plain text of one message. Longer ones are dropped unread and counted (undecryptable).
#define SIGNAL_BODY_MAX 16384

// Values of Body.type on the wire.
enum signal_type {
	SIGNAL_OFFER = 0,
	SIGNAL_ANSWER = 1,
	SIGNAL_CANDIDATE = 2,
	SIGNAL_MODE = 4,
	SIGNAL_GO_IDLE = 5,
	SIGNAL_HEARTBEAT = 6, // to oneself; the client's own, never passed up
};

#define SIGNAL_FEATURE_DIRECT_CHECK 1 // the sender understands MODE

struct signal_message {
	uint8_t peer[SIGNAL_KEY_LEN]; // whom it goes to, or who sent it
	enum signal_type type;
	const char *payload;     // "ufrag:pwd", a candidate without "candidate:", or NULL/""
	uint32_t wg_listen_port; // 0 = not said
	const char *version;     // of the sender's program; NULL/"" = not said
	bool has_direct;         // MODE: the submessage and its field are there
	bool direct;
	uint32_t features[SIGNAL_FEATURES_MAX]; // unknown numbers are kept
	unsigned int n_features;
	bool has_session_id;
	uint8_t session_id[SIGNAL_SESSION_ID_LEN];
};

struct signal_settings {
	const char *url; // "https://host[:port]" (443) or "http://host[:port]" (80, cleartext HTTP/2)
	const char *ca_file;        // PEM; NULL = the system's
	const uint8_t *private_key; // X25519, the WireGuard interface's; copied to locked memory
	const uint8_t *public_key;
	double timer_scale; // of the tests: all times divided by this; 0 = 1
};

struct signal_ops {
	// The stream is registered at the service, or no more. Not called twice with the same value.
	void (*ready)(bool up, void *arg);
	// From a peer that was added, and only then. The message and its strings live during the call.
	// A type that this header doesn't name is counted and not passed up.
	void (*message)(const struct signal_message *message, void *arg);
	// Messages under the key of a peer that was added (NULL: under any other) were dropped, the last one for that
	// reason, a constant: so many since the last call. At most once a minute each. May be NULL.
	void (*refused)(const uint8_t *peer, const char *why, uint64_t count, void *arg);
};

struct signal_stats {
	bool up;
	int64_t up_since; // g_get_monotonic_time(); 0 = never up
	uint64_t connects, reconnects, heartbeats;
	uint64_t sent, send_failed; // unary Sends by their outcome after all retries
	uint64_t send_retries;
	uint64_t send_full;     // refused with -ENOBUFS: too many were under way
	uint64_t received;      // passed up
	uint64_t receive_full;  // dropped: the main loop was this far behind
	uint64_t unknown_peer;  // from a key that was not added
	uint64_t undecryptable; // box does not open, or too long
	uint64_t malformed;     // opens, but is no Body
	uint64_t unknown_type;
	char last_error[160]; // why the stream was last down; "" = never
};

// At most so many Sends of one client, and of one peer, are under way; more get -ENOBUFS.
#define SIGNAL_SENDS_MAX          16384
#define SIGNAL_SENDS_PER_PEER_MAX 64
// At most so many received messages, and of one peer, wait for the main loop; the newest are dropped.
#define SIGNAL_RECEIVED_MAX          8192
#define SIGNAL_RECEIVED_PER_PEER_MAX 128

struct signal_client;

// Connects at once and for ever. NULL with *ret_error (g_free) when the settings can't be used: a bad URL,
// a CA file that can't be read.
struct signal_client *signal_client_new(const struct signal_settings *settings,
	const struct signal_ops *ops, void *arg, char **ret_error);
void signal_client_free(struct signal_client *c); // no callback afterwards; NULL is a no-op
enum signal_network {
	SIGNAL_NETWORK_ROUTES, // a connection that is not there yet is tried anew at once
	SIGNAL_NETWORK_DOUBT,  // and one that is there is asked whether it still delivers
	SIGNAL_NETWORK_MOVED, // or is replaced: an address of ours is gone, perhaps that of the connection
};
void signal_client_network_changed(struct signal_client *c, enum signal_network what);
// "https://host:port" with the port filled in, or NULL with *ret_error (g_free): "found ..., allowed: ...".
char *signal_url_check(const char *url, char **ret_error);

// Whom we talk with. Adding a peer twice is a no-op (-EEXIST). After _del no message() comes of this peer
// and no done() for what was sent to it.
int signal_client_peer_add(struct signal_client *c, const uint8_t peer[SIGNAL_KEY_LEN]);
void signal_client_peer_del(struct signal_client *c, const uint8_t peer[SIGNAL_KEY_LEN]);

// status: 0 = the service took it, which doesn't say that the peer is there; else -errno (-ETIMEDOUT,
// -ECONNREFUSED for an unreachable service, -EPROTO for a refusal) after all retries, at most
// SIGNAL_SEND_GIVE_UP_MS after the call.
typedef void (*signal_done)(int status, void *arg);
#define SIGNAL_SEND_GIVE_UP_MS 25000

// Returns 0, or -errno and done (may be NULL) is not called: -ENOENT peer not added, -ENOBUFS see above,
// -EMSGSIZE, -EINVAL. Copies the message. Messages of one peer may overtake each other on their way.
int signal_client_send(
	struct signal_client *c, const struct signal_message *message, signal_done done, void *arg);

void signal_client_stats(const struct signal_client *c, struct signal_stats *ret);
