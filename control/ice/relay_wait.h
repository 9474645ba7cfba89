// SPDX-License-Identifier: BSD-3-Clause
//
// A direct pair's advantage where we control: libnice nominates the first pair that works when it knows no better
// one at that moment, and a relay is often known before the direct way is (whose addresses a STUN server and the
// peer have to tell first). So the answers to checks that involve a relay, or an address that nobody signalled,
// reach libnice not before RELAY_WAIT_MS of an attempt have passed. pion does the same by its acceptance waits.
// Once a direct pair works the relays' answers need not wait: libnice nominates the best pair, and would not do so
// before it has heard of the others that it asked. Main loop thread.
#pragma once

#include "../../dataplane/api/st_api.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RELAY_WAIT_MS  700
#define RELAY_WAIT_MAX 16 // answers kept; libnice asks again for what is lost

struct ice_link;
struct relay_wait;

// Of the attempt with that number, which begins now.
struct relay_wait *relay_wait_new(struct ice_link *link, uint32_t agent, uint16_t local_port_be);
void relay_wait_free(struct relay_wait *w); // what is kept is dropped; NULL is a no-op

struct relay_wait_answer {
	struct st_addr local, remote;
	uint16_t remote_port_be;
	bool stranger; // nobody signalled the address: libnice would take it for better than a signalled one
	size_t len;
	const void *data;
};

// True: taken, to be delivered later. False: it need not wait (or w is NULL).
bool relay_wait_take(struct relay_wait *w, const struct relay_wait_answer *a);
// Libnice has got the answer of a direct pair: what is no stranger's is delivered behind it. NULL is a no-op.
void relay_wait_direct(struct relay_wait *w);
