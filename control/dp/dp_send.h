// SPDX-License-Identifier: BSD-3-Clause
//
// Inside of dp.h: its state, and what dp_send.c does for dp.c. Main loop thread.
//
// What is sent comes from three places, in this order: `direct` (dumps, sockets, datagrams), `queue`
// (keys, and changes of what the walk has passed), which keeps the order of the calls, and the walk of the
// store. So a handshake does not wait for a resync; the peer that a key needs is walked out of turn.
#pragma once

#include "dp.h"
#include "dp_link.h"
#include "dp_out.h"
#include "dp_store.h"

enum dp_state { DP_AWAY, DP_RECOVERING, DP_SYNCING, DP_READY };

struct dp_request {
	uint16_t op, kind;
	bool sent, recovery;
	struct dp_object *object; // SET of a wanted object
	GArray *waiters;          // of struct dp_waiter; NULL = none
	dp_dump_item item;        // DUMP
	void *item_arg;
};

struct dp_late {
	struct dp_waiter waiter;
	int status;
};

struct dp {
	const struct dp_ops *ops;
	void *arg;
	struct dp_link *link;
	struct dp_store *store;
	enum dp_state state;
	uint32_t seq;
	GHashTable *requests; // seq -> struct request
	unsigned int in_flight;
	GQueue direct, queue; // of struct out
	GQueue stalled;       // of struct out: taken from their places, not sent yet
	unsigned int hook;    // before_poll
	bool pump_due;
	uint64_t instance;
	bool recovered;
	// sync
	uint32_t sync;
	bool walking;
	unsigned int walk_pos;
	struct dp_object *walk_next;
	// recovery
	unsigned int dumps_left;
	GPtrArray *items; // dp_items
	uint64_t events_missed;
	// completions that must not be called from inside a call
	GArray *late;
	unsigned int late_source;
	unsigned int packets_dropped;
};

// done is called later, never from inside the call that was given it; NULL is a no-op.
void dp_later(struct dp *dp, dp_done done, void *arg, int status);
GArray *dp_waiters_add(GArray *waiters, dp_done done, void *arg);  // waiters NULL: a new list
void dp_waiters_later(struct dp *dp, GArray *waiters, int status); // frees the list; NULL is a no-op

// The next message of the connection; the caller hands it to dp_enqueue() or puts it into `direct`.
struct dp_out *dp_message(struct dp *dp, const struct dp_parts *p);
struct dp_request *dp_request(struct dp *dp, struct dp_out *o); // its answer is waited for
struct dp_out *dp_request_del(struct dp *dp, uint16_t kind, const void *key, uint16_t key_len);
struct dp_out *dp_request_set(struct dp *dp, struct dp_object *obj, GArray *waiters); // takes the list
void dp_request_free(void *request);

void dp_start_sync(struct dp *dp);
void dp_enqueue(struct dp *dp, struct dp_out *o);
void dp_pump(struct dp *dp); // what may be sent leaves at the end of this turn of the loop
void dp_pump_now(void *dp);
