// SPDX-License-Identifier: BSD-3-Clause
//
// Long-term credentials of a server (RFC 8489 section 9.2.4), in its order of checks: who sent a request, or
// which error it gets. Static users and time-limited secrets (username "EXPIRY" or "EXPIRY:USER", password
// base64(HMAC-SHA1(secret, username))). It keeps nothing about a stranger. Main loop thread.
#pragma once

#include "../stun/stun.h"
#include "config.h"
#include "nonce.h"

#include <glib.h>

#define TURN_KEY_MAX 32

enum turn_algorithm {
	TURN_ALGORITHM_MD5 = 1,
	TURN_ALGORITHM_SHA256 = 2,
};

// What verified, or the key and name that an allocation keeps so that it can be refreshed for good.
struct turn_identity {
	char name[STUN_USERNAME_MAX + 1]; // the whole username
	uint16_t name_len;
	uint8_t key[TURN_KEY_MAX];
	uint8_t key_len;
	uint8_t algorithm; // enum turn_algorithm
	int64_t expires_s; // wall clock, 0 = never (static user)
};

struct turn_auth {
	const struct turn_config *config;
	uint8_t master[TURN_NONCE_KEY];
	GHashTable *by_name, *by_hash; // static users: name, USERHASH -> struct turn_config_user
	uint32_t nonce_life_s;
};

void turn_auth_init(struct turn_auth *a, const uint8_t master[TURN_NONCE_KEY]);
void turn_auth_fini(struct turn_auth *a);                               // wipes
void turn_auth_apply(struct turn_auth *a, const struct turn_config *c); // NULL: nobody is known

struct turn_auth_result {
	int code;           // 0 = authenticated, else 400, 401, 438
	uint16_t integrity; // 0 code: sign the answer the same way
	struct turn_identity identity;
};

// known: of the allocation on this 5-tuple, or NULL. Its key is good for its name whatever became of the
// secret. now_s since boot, wall_s of the calendar.
void turn_auth_check(const struct turn_auth *a, const struct stun_msg *m,
	const struct turn_nonce_source *source, const struct turn_identity *known, uint32_t now_s,
	int64_t wall_s, struct turn_auth_result *ret);
// REALM, NONCE and what is offered, for a 401 or 438.
void turn_auth_challenge(const struct turn_auth *a, struct stun_out *o,
	const struct turn_nonce_source *source, uint32_t now_s);
// The part of a name that a quota counts: "USER" of "EXPIRY:USER", the name of a static user. NULL for a bare
// EXPIRY, which all who were given theirs in the same second share.
const char *turn_auth_quota_name(const struct turn_identity *id);
// EXPIRY of a username of time-limited credentials; false when it is none.
bool turn_auth_expiry(const char *name, size_t len, int64_t *ret_s);
// base64(HMAC-SHA1(secret, username)), 28 characters.
#define TURN_PASSWORD_LEN 28
void turn_auth_password(
	char out[TURN_PASSWORD_LEN + 1], const char *secret, const char *username, size_t len);
