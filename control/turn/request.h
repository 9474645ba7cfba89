// SPDX-License-Identifier: BSD-3-Clause
//
// A request of a client on its way through its handler. Private to control/turn/request*.c.
#pragma once

#include "core.h"

// What is needed to answer, now or when the data plane has agreed.
struct turn_reply {
	struct turn_tuple to;
	uint16_t method;
	uint8_t tid[STUN_TID_LEN];
	bool fingerprint;
	uint16_t integrity; // TURN_T_..., 0 = none
	uint8_t key[TURN_KEY_MAX];
	uint8_t key_len;
};

struct turn_request {
	struct turn_core *core;
	const struct stun_msg *msg;
	struct turn_allocation *alloc; // on this 5-tuple, or NULL
	struct turn_identity *identity;
	struct turn_reply reply;
};

// Each handler returns 0 when it has answered or will, or the code of the error to answer with.
int turn_request_allocate(struct turn_request *r);
int turn_request_refresh(struct turn_request *r);
int turn_request_permission(struct turn_request *r);
int turn_request_channel(struct turn_request *r);

// True: answered with 300. False: there is no alternate server that the client could reach.
bool turn_request_redirect(struct turn_request *r);

// Logs which rule denies the peer; 403.
int turn_request_denied(struct turn_request *r, const struct st_addr *peer, uint16_t port_be,
	const struct turn_denial *why);

// By name; of time-limited credentials the whole of it.
bool turn_request_is_owners(const struct turn_request *r);

// n more of what a user may have at a rate: by the name that quotas count, else by the whole username.
bool turn_request_within(struct turn_request *r, struct turn_buckets *b,
	const struct turn_rate *rate, unsigned int n);
// Permissions and channels that are not there yet, against scans through the relay.
bool turn_request_new_peers(struct turn_request *r, unsigned int n);

// A success to be filled and sent.
void turn_reply_begin(const struct turn_reply *r, struct stun_out *o, uint8_t buf[STUN_MAX]);
void turn_reply_send(struct turn_core *c, const struct turn_reply *r, struct stun_out *o);
void turn_reply_error(struct turn_core *c, const struct turn_reply *r, int code);
// The same with attributes of its own in between.
void turn_reply_error_begin(struct turn_core *c, const struct turn_reply *r, int code,
	struct stun_out *o, uint8_t buf[STUN_MAX]);
void turn_reply_error_send(struct turn_core *c, const struct turn_reply *r, struct stun_out *o);

// A success that waits for `waiting` answers of the data plane. Each turn_later_done counts one; after the
// last one the message leaves, or an error 508 when one of them failed.
struct turn_later;
struct turn_later *turn_later_new(
	struct turn_core *c, const struct turn_reply *r, const struct stun_out *o);
// done and arg for the installs; turn_later_expect before each.
void turn_later_expect(struct turn_later *l);
void turn_later_done(int status, void *arg);
// Called after the last: status 0 or the first failure. May be NULL.
void turn_later_then(struct turn_later *l, void (*fn)(struct turn_core *c, uint32_t id, int status),
	uint32_t id);
// No more installs; sends at once if none was expected.
void turn_later_close(struct turn_later *l);
// Requests that wait, for a clean end: their answers do not leave.
void turn_later_forget_all(struct turn_core *c);
