// SPDX-License-Identifier: BSD-3-Clause
//
// What the keep_*.c files share: a nominated pair and its checks. Main loop thread. Nobody else includes this.
#pragma once

#include "keep.h"
#include "turn_client.h"
#include "wheel.h"

#define KEEP_FAST_FOR_MS   2000 // without further data we fall back to the slow pace
#define KEEP_CHECKS        8    // that an answer is recognised for
#define KEEP_ROLE_CONFLICT 487

struct check {
	uint8_t tid[STUN_TID_LEN];
	bool used, nomination;
	bool controlling; // as it said
	bool answered;    // stays known: NetBird says each answer twice
	uint16_t local_port_be, remote_port_be;
	struct st_addr local, remote;
	struct turn_client *turn;
	int64_t sent_us;
	struct ice_keep *keep;
};

struct ice_keep {
	struct wheel_entry entry; // first
	struct ice_owner owner;
	struct ice_keep *older; // of the same credentials: pairs of one attempt
	struct ice *ice;
	uint32_t peer_id;
	struct ice_path path;
	const struct ice_keep_ops *ops;
	void *arg;
	struct turn_client *turn; // NULL: no allocation
	uint64_t tie_breaker;
	struct check checks[KEEP_CHECKS];
	unsigned int next_check;
	uint64_t check_due, answered, heard; // heard: an answer or an authentic check on the pair
	unsigned int unanswered;             // checks since the last answer
	struct st_addr mapped; // how the peer sees us; all zero: it has not said so yet
	uint16_t mapped_port_be;
	uint64_t remapped_at;
	uint64_t fast_since, fast_until; // 0 = the slow pace
	const char *turn_lost;           // why the allocation ended; it is not made anew
	bool lost, ever_heard, detached;
};

struct ice_wheel {
	struct ice *ice;
	struct wheel wheel;
	GHashTable *by_tid; // of struct check
	guint timer;
};

// A way from us to somewhere.
struct way {
	struct turn_client *turn; // NULL: from the local address and port
	struct st_addr local, remote;
	uint16_t local_port_be, remote_port_be;
};

static inline struct ice_keep *keep_of(struct ice_owner *o)
{
	return (struct ice_keep *)((char *)o - offsetof(struct ice_keep, owner));
}

// keep.c
// The next tick of the pair is not later than that.
void keep_arm(struct ice_keep *k, uint64_t due);
// A pair under these credentials answers from here on. keep_start makes it ask.
struct ice_keep *keep_begin(struct ice *ice, uint32_t peer_id, const struct ice_path *path,
	const struct ice_keep_ops *ops, void *arg);
void keep_start(struct ice_keep *k, uint64_t first_check);

// keep_consent.c
// May call an op: nothing of k is used after it.
void keep_tick(struct ice_keep *k, uint64_t now);
void keep_check(struct ice_keep *k, const struct way *w, bool nomination);
int keep_send_to(struct ice_keep *k, const struct way *w, const void *data, size_t len);
// Where a datagram came from.
struct way keep_way_back(
	const struct ice_keep *k, const struct wg_datagram *d, struct turn_client *turn);
uint64_t keep_pace(const struct ice_keep *k); // ms until the next check
// Checks in a row without an answer that make us doubt the network: that depends on the pace.
unsigned int keep_doubt_at(const struct ice_keep *k);
