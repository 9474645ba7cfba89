// SPDX-License-Identifier: BSD-3-Clause
//
// The timers of a WireGuard peer (paper section 6) as a pure state machine: every function gets the time
// and says what to do, nothing is sent from here. One heap orders the peers by their next deadline, so
// that 65536 peers cost one event source. No threads, no clock, no sockets.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// All times in ms, already divided by the scale of the tests.
struct timers_params {
	uint32_t rekey_timeout;   // between initiations, 5 s
	uint32_t rekey_jitter;    // added at random
	uint32_t rekey_after;     // the initiator's key is renewed when it sends, 120 s
	uint32_t rekey_receiving; // and when it only receives, 165 s
	uint32_t reject_after;    // a key is dead, 180 s
	uint32_t keepalive;       // 10 s
	uint32_t new_handshake;   // 15 s of silence after data
	uint32_t zero_keys;       // 540 s
	uint32_t second;          // unit of persistent keepalives
	uint32_t flood_interval;  // between initiations of one peer that we answer
	uint32_t (*random)(uint32_t upper_bound);
};

enum timer {
	TIMER_RETRANSMIT,    // our initiation got no answer
	TIMER_KEEPALIVE,     // something came and nothing was sent back
	TIMER_NEW_HANDSHAKE, // something was sent and nothing came back
	TIMER_ZERO_KEYS,     // no session for long
	TIMER_PERSISTENT,    // the configured keepalive
	TIMER_COUNT,
};

#define TIMERS_NEVER UINT64_MAX

struct timers {
	uint64_t due[TIMER_COUNT]; // TIMERS_NEVER = not armed
	uint64_t last_handshake;   // when a handshake message was last sent; 0 = never
	unsigned int attempts;
	bool need_another_keepalive;
	uint16_t persistent; // seconds, 0 = off
	size_t heap_pos;     // + 1; 0 = not in the heap
};

// What timers_expire tells its caller to do.
#define TIMERS_SEND_KEEPALIVE 0x01
#define TIMERS_INITIATE       0x02 // a fresh attempt
#define TIMERS_RETRY          0x04 // the same attempt again
#define TIMERS_CLEAR_SOURCE   0x08 // forget the sticky source address
#define TIMERS_GAVE_UP        0x10 // 19 retries without an answer
#define TIMERS_ZERO_KEYS      0x20 // delete all keys of the peer

void timers_params_init(struct timers_params *p, double scale);
void timers_init(struct timers *t);
uint64_t timers_next(const struct timers *t); // earliest deadline or TIMERS_NEVER

// Events, each with the time at which it happened.
void timers_data_sent(struct timers *t, const struct timers_params *p, uint64_t when);
void timers_data_received(struct timers *t, const struct timers_params *p, uint64_t when);
void timers_any_sent(struct timers *t, const struct timers_params *p, uint64_t when);
void timers_any_received(struct timers *t, const struct timers_params *p, uint64_t when);
// One initiation per REKEY_TIMEOUT. If it is too early and nothing else would try again, the
// retransmit timer is armed for the first moment that is allowed.
bool timers_may_initiate(struct timers *t, const struct timers_params *p, uint64_t now);
void timers_initiation_sent(struct timers *t, const struct timers_params *p, uint64_t now);
void timers_response_sent(struct timers *t, const struct timers_params *p, uint64_t now);
void timers_session_derived(struct timers *t, const struct timers_params *p, uint64_t now);
void timers_handshake_complete(struct timers *t);
// An initiation at that time, as the first of a new attempt and whatever was sent before.
void timers_initiate_at(struct timers *t, uint64_t when);
// When things last happened, 0 = never: what strait-dp remembers over a restart of straitd.
struct timers_history {
	uint64_t any_received, any_sent, data_received, data_sent;
};
// Sets the timers of a session as if the events had been heard. Of several packets without an answer only
// the last is known, so a dead peer is found at most one period late, and a keepalive comes early at most.
void timers_restore(struct timers *t, const struct timers_params *p, const struct timers_history *h,
	uint64_t now);
// True: the interval went from 0 to something, a keepalive is due at once.
bool timers_set_persistent(
	struct timers *t, const struct timers_params *p, uint16_t seconds, uint64_t now);
// Whatever is due; TIMERS_... flags.
uint32_t timers_expire(struct timers *t, const struct timers_params *p, uint64_t now);

struct timers_heap {
	struct timers **items;
	size_t count, size;
};

// Puts t where its next deadline belongs, or takes it out when it has none.
void timers_heap_update(struct timers_heap *h, struct timers *t);
void timers_heap_remove(struct timers_heap *h, struct timers *t);
struct timers *timers_heap_first(const struct timers_heap *h); // NULL = empty
void timers_heap_fini(struct timers_heap *h);
