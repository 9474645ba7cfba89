// SPDX-License-Identifier: BSD-3-Clause
//
// straitd's end of the contract. It holds the wanted state: producers say what should be installed, and
// dp keeps strait-dp so, over reconnects and restarts of either side. Main loop thread only.
#pragma once

#include "../../dataplane/api/st_api.h"

#include <glib.h>

#include <stdbool.h>
#include <stdint.h>

struct dp;

// status 0 or -errno (-ENOTCONN: the data plane is away; wanted objects are sent when it is back).
typedef void (*dp_done)(int status, void *arg);

struct dp_item {
	uint16_t kind;
	const void *body;
	uint16_t body_len;
	const void *blob;
	uint16_t blob_len;
	uint32_t expiry_ms;
	int fd; // ST_SOCKET, else -1; the receiver owns it
};

struct dp_ops {
	// Connected, before the wanted state is sent. restarted: its instance differs from the last one
	// seen by this process, or this is the first connect of this process to a data plane that has
	// objects (see dumped). Sessions are lost only in a new instance.
	void (*connected)(const struct st_hello *hello, bool new_instance, void *arg);
	// First connect of this process: what the data plane holds already (kinds PEER, KEY, SOCKET,
	// ENDPOINT, WGIF and ST_STAT_KEYPAIR), one call each, then recovered() once, then the sync starts.
	void (*item)(const struct dp_item *item, void *arg);
	void (*recovered)(void *arg);
	void (*synced)(void *arg);
	void (*disconnected)(void *arg);
	void (*event)(uint16_t event, const void *body, uint16_t body_len, const void *blob,
		uint16_t blob_len, void *arg);
};

struct dp *dp_new(const char *socket_path, const struct dp_ops *ops, void *arg);
void dp_free(struct dp *dp);  // done callbacks that are still due are not called
void dp_start(struct dp *dp); // connects, and again whenever the connection is lost
bool dp_connected(const struct dp *dp);
// The last attempt to connect was refused: no data plane runs. False while one is connected or slow.
bool dp_absent(const struct dp *dp);

// Wanted objects (the swept kinds). Idempotent; unchanged objects are not sent again. The first n bytes
// of body are the key. done may be NULL; it is called once, never from inside this call.
void dp_set(struct dp *dp, uint16_t kind, const void *body, uint16_t body_len, const void *blob,
	uint16_t blob_len, dp_done done, void *arg);
// As dp_set for an object that expires: always sent, equal or not, since that is how it is refreshed. After a
// reconnect it is sent with what is left of its time. The producer takes it back in time with dp_del or
// dp_forget; what is overdue is sent as about to expire.
void dp_set_expiring(struct dp *dp, uint16_t kind, const void *body, uint16_t body_len,
	const void *blob, uint16_t blob_len, uint32_t expiry_ms, dp_done done, void *arg);
void dp_del(struct dp *dp, uint16_t kind, const void *key, uint16_t key_len);
// Takes an object off the wanted state without a word to the data plane, which has dropped it by itself or is
// about to: it expired, or what it belonged to was deleted before this call.
void dp_forget(struct dp *dp, uint16_t kind, const void *key, uint16_t key_len);
// One producer's objects as a whole: between begin and end it repeats all it wants of these kinds;
// what it did not repeat is deleted. producer is any address of its own.
void dp_replace_begin(struct dp *dp, uint16_t kind);
void dp_replace_end(struct dp *dp, uint16_t kind);

// Not remembered, sent now or failed with -ENOTCONN.
void dp_key_set(struct dp *dp, const struct st_key *key, uint32_t expiry_ms, dp_done done, void *arg);
void dp_key_del(struct dp *dp, uint32_t index);
void dp_keepalive(struct dp *dp, uint32_t peer_id);
void dp_staged_drop(struct dp *dp, uint32_t peer_id);
void dp_socket_park(struct dp *dp, uint32_t socket_id, const char *purpose, int fd);
void dp_socket_unpark(struct dp *dp, uint32_t socket_id);
bool dp_packet_out(struct dp *dp, const struct st_packet_io *io, const void *data, uint16_t len);
typedef void (*dp_dump_item)(const void *body, uint16_t body_len, void *arg);
void dp_dump(struct dp *dp, uint16_t kind, dp_dump_item item, dp_done done, void *arg);
