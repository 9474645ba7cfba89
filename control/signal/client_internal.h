// SPDX-License-Identifier: BSD-3-Clause
//
// What the files of the signal client share. Three threads:
//
//   main loop  --commands-->  worker (GLib loop of its own: boxes, stream, sends, timers)
//       ^------deliveries-------'   ^
//                                   '--events--  pump (waits in gRPC's completion queue, which also is
//                                                what answers HTTP/2 PINGs)
#pragma once

#include "../log_pace.h"
#include "box.h"
#include "mailbox.h"
#include "signal_client.h"

#include <glib.h>

#include <grpc/grpc.h>

#define KEY_TEXT_LEN 44 // base64

#define SEND_DEADLINE_MS     5000
#define SEND_TRIES           4
#define SEND_RETRY_MS        400 // doubled each time
#define REGISTER_DEADLINE_MS 10000
#define SILENT_HEARTBEAT_MS  30000 // a stream silent for this long is asked
#define HEARTBEAT_BACK_MS    10000 // and given up when it stays silent
#define CHECK_BACK_MS        2000  // when there is a reason to doubt
#define HURRY_MS             100   // between attempts while our network changes
#define WATCH_MS             1000
#define BACKOFF_FIRST_MS     800
#define BACKOFF_FACTOR       1.7
#define BACKOFF_MAX_MS       10000
#define KEEPALIVE_MS         30000 // more often is "enhance your calm" for some proxies
#define KEEPALIVE_BACK_MS    10000
#define CONNECT_MS           5000
#define RECEIVE_MAX          (16 << 20) // a longer one would end the stream

// One operation at gRPC; its address is the tag.
struct grpc_step {
	void (*done)(struct grpc_step *step, bool ok); // worker
	struct signal_client *client;
};

struct peer {
	gatomicrefcount refs;
	uint8_t key[SIGNAL_KEY_LEN];
	bool removed;            // main: rw
	gint sends, received;    // under way; atomic
	struct box_key *box;     // worker: rw; NULL until first needed
	bool box_failed;         // worker: rw
	struct log_pace refused; // worker: rw
};

struct body;
struct keyring;
struct stream; // stream.c
struct send;   // send.c

struct signal_client {
	// main: rw
	struct signal_ops ops;
	void *arg;
	GHashTable *peers; // of struct peer * by key
	unsigned int sends;
	bool told_up;
	bool closing;
	// Set before the threads start, constant afterwards.
	char *target;         // "dns:///host:port"
	char *roots;          // PEM; NULL = cleartext
	uint8_t *private_key; // locked
	uint8_t public_key[SIGNAL_KEY_LEN];
	char public_text[KEY_TEXT_LEN + 1];
	double timer_scale;
	GThread *worker, *pump;
	GMainContext *context; // of the worker
	GMainLoop *loop;
	struct mailbox *to_main, *to_worker;
	grpc_completion_queue *queue;
	gint received; // waiting for main; atomic
	// worker: rw
	grpc_channel *channel;
	GHashTable *worker_peers; // of struct peer * by key
	struct keyring *keyring;
	struct box_key *own_box; // for heartbeats
	struct stream *stream;
	GHashTable *sending; // set of struct send *
	unsigned int steps;  // at gRPC
	bool stopping;
	GSource *retry, *watch;
	double backoff_ms;
	bool hurry;              // the next attempt is not to wait
	struct log_pace refused; // of senders that are no peers
	GMutex stats_lock;
	struct signal_stats stats; // under stats_lock
};

#define STAT_ADD(c, field)                                                                         \
	do {                                                                                       \
		g_mutex_lock(&(c)->stats_lock);                                                    \
		(c)->stats.field++;                                                                \
		g_mutex_unlock(&(c)->stats_lock);                                                  \
	} while (0)

void key_text(char out[KEY_TEXT_LEN + 1], const uint8_t key[SIGNAL_KEY_LEN]);
bool key_from_text(uint8_t out[SIGNAL_KEY_LEN], const char *text);

struct peer *peer_ref(struct peer *p);
void peer_unref(struct peer *p);
// NULL: no box can be made with this key.
const struct box_key *peer_box(struct signal_client *c, struct peer *p);

// channel.c
char *channel_target(const char *url, bool *ret_tls, char **ret_error);
grpc_channel *channel_new(const struct signal_client *c);
bool step_start(struct signal_client *c, grpc_call *call, const grpc_op *ops, size_t n,
	struct grpc_step *step);
void *pump_run(void *client); // the pump's thread
grpc_byte_buffer *buffer_of(const uint8_t *bytes, size_t len);

// stream.c; worker
void stream_connect(struct signal_client *c); // and for ever again
void stream_watch(struct signal_client *c);
void stream_network_changed(struct signal_client *c, enum signal_network what);
void stream_stop(struct signal_client *c);

// send.c; worker
// peer NULL: a heartbeat to ourselves.
void send_start(struct signal_client *c, struct peer *peer, const uint8_t *plain, size_t len,
	signal_done done, void *arg);
void send_cancel_all(struct signal_client *c);

// signal_client.c; worker
void client_deliver(struct signal_client *c, struct peer *p, struct body *b);
void client_tell_up(struct signal_client *c, bool up);
void client_refuse(struct signal_client *c, struct peer *p, const char *why); // p NULL: a stranger's
void client_sent(struct signal_client *c, struct peer *p, int status, signal_done done, void *arg);
void client_stopped(struct signal_client *c); // called when a step ended; quits when it was the last
GSource *client_timer(struct signal_client *c, double ms, GSourceFunc fn, void *arg);
