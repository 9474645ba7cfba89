// SPDX-License-Identifier: BSD-3-Clause
//
// What fsm.c (life, timers, attempts) and fsm_message.c (what the peer says) share. Private to them.
#pragma once

#include "fsm.h"

// All in ms. Offers to a peer that does not answer: 0.8 s, doubled up to 60 s; an attempt that failed is
// repeated after 0.5 s, doubled up to 30 s. Each with a quarter of jitter both ways.
#define OFFER_FIRST_MS       800
#define OFFER_MAX_MS         60000
#define START_SPREAD_MS      100
#define RETRY_FIRST_MS       500
#define RETRY_MAX_MS         30000
#define NO_PERMIT_MS         1000 // when may_offer said no
#define ANSWER_DELAY_MS      40   // NetBird up to v0.58 listens only when its own call has returned
#define CHECK_TIMEOUT_MS     15000
#define LINGER_MS            1500 // later nominations of the same attempt
#define REPEAT_FIRST_MS      700
#define REPEATS              4
#define CANDIDATE_AGE_MS     10000 // then what came early is of another session
#define STALE_MS             5000  // longer than a message is under way, shorter than an attempt
#define BACKGROUND_OFFERS    4
#define UNHURRIED_OFFERS     4
#define RECONNECT_OFFERS     3 // the schedule goes back to that when the signal service is back
#define UPGRADE_FIRST_MS     5000
#define UPGRADE_MAX_MS       900000
#define STANDBY_FIRST_MS     2000
#define STANDBY_MAX_MS       300000
#define NETWORK_SETTLE_MS    1000
#define HANDSHAKE_OURS_MS    50   // until the other side has nominated the pair as well
#define HANDSHAKE_OTHER_MS   400  // the other side begins; then we do
#define HANDSHAKE_FOREIGN_MS 1500 // NetBird begins by itself
#define REOFFERS_MAX         3
#define BINDS_MAX            10 // in a row, then one a second
#define REPLIES_MAX          10 // likewise: answers with all our candidates, offers after GO_IDLE
#define ALLOWANCE_MS         1000

static inline bool fsm_closed(const struct conn_fsm *f)
{
	return f->phase == CONN_CLOSED;
}

void fsm_enter(struct conn_fsm *f, enum conn_phase phase, uint64_t now);
uint64_t fsm_jitter(struct conn_fsm *f, uint64_t ms); // 3/4 to 5/4 of it
void fsm_agent_free(struct conn_fsm *f);
// A new session of ours; the agent of the old one goes.
void fsm_begin(struct conn_fsm *f, enum conn_purpose purpose, uint64_t now);
// Checks against the session of m, which was an offer or an answer.
void fsm_bind(struct conn_fsm *f, const struct conn_message *m, uint64_t now);
void fsm_attempt_failed(struct conn_fsm *f, const char *why, uint64_t now);
void fsm_send(struct conn_fsm *f, struct conn_message *m);
void fsm_send_answer(struct conn_fsm *f);
// The peer's session is over: what is still under way of it is not to be taken for a new one.
void fsm_stale_remote(struct conn_fsm *f, uint64_t now);
// How long what the peer makes us say has to wait.
uint64_t fsm_reply_wait(struct conn_fsm *f, uint64_t now);
void fsm_arm_better(struct conn_fsm *f, uint64_t now);
void fsm_wake(struct conn_fsm *f, uint64_t now);
void fsm_idle(struct conn_fsm *f, uint64_t now);

// True: text was not among them. The oldest goes when they are too many.
bool candidates_add(struct conn_candidates *c, const char *text, uint64_t now);
void candidates_clear(struct conn_candidates *c);
void candidates_expire(struct conn_candidates *c, uint64_t before);
