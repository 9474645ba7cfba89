// SPDX-License-Identifier: BSD-3-Clause
//
// WireGuard's wire format and its limits, with the paper's names (Donenfeld, "WireGuard: Next
// Generation Kernel Network Tunnel", sections 5.4 and 6.1). All integers are little endian on the
// wire.
#pragma once

#include <stdint.h>

#define NOISE_KEY_LEN  32
#define NOISE_HASH_LEN 32
#define AEAD_TAG_LEN   16
#define COOKIE_LEN     16
#define TAI64N_LEN     12
#define XNONCE_LEN     24

enum message_type {
	MESSAGE_INITIATION = 1,
	MESSAGE_RESPONSE = 2,
	MESSAGE_COOKIE = 3,
	MESSAGE_DATA = 4,
};

struct message_macs {
	uint8_t mac1[COOKIE_LEN];
	uint8_t mac2[COOKIE_LEN];
};

struct message_initiation {
	uint8_t type[4]; // 1, 0, 0, 0
	uint8_t sender[4];
	uint8_t ephemeral[NOISE_KEY_LEN];
	uint8_t encrypted_static[NOISE_KEY_LEN + AEAD_TAG_LEN];
	uint8_t encrypted_timestamp[TAI64N_LEN + AEAD_TAG_LEN];
	struct message_macs macs;
};
_Static_assert(sizeof(struct message_initiation) == 148, "initiation");

struct message_response {
	uint8_t type[4];
	uint8_t sender[4];
	uint8_t receiver[4];
	uint8_t ephemeral[NOISE_KEY_LEN];
	uint8_t encrypted_nothing[AEAD_TAG_LEN];
	struct message_macs macs;
};
_Static_assert(sizeof(struct message_response) == 92, "response");

struct message_cookie {
	uint8_t type[4];
	uint8_t receiver[4];
	uint8_t nonce[XNONCE_LEN];
	uint8_t encrypted_cookie[COOKIE_LEN + AEAD_TAG_LEN];
};
_Static_assert(sizeof(struct message_cookie) == 64, "cookie");

struct message_data {
	uint8_t type[4];
	uint8_t receiver[4];
	uint8_t counter[8];
	// ciphertext, then the tag
};
_Static_assert(sizeof(struct message_data) == 16, "data");

#define MESSAGE_DATA_MIN (sizeof(struct message_data) + AEAD_TAG_LEN) // 32: a keepalive

#define REKEY_AFTER_MESSAGES     (1ULL << 60)
#define REPLAY_BITS              8192
#define REPLAY_REDUNDANT_BITS    64
#define REPLAY_WINDOW            (REPLAY_BITS - REPLAY_REDUNDANT_BITS) // 8128
#define REJECT_AFTER_MESSAGES    (UINT64_MAX - REPLAY_WINDOW - 1)
#define REKEY_TIMEOUT_MS         5000
#define REKEY_TIMEOUT_JITTER_MS  333
#define REKEY_AFTER_TIME_MS      120000
#define REJECT_AFTER_TIME_MS     180000
#define KEEPALIVE_TIMEOUT_MS     10000
#define MAX_TIMER_HANDSHAKES     18 // REKEY_ATTEMPT (90 s) / REKEY_TIMEOUT; see timers.c
#define INITIATIONS_INTERVAL_MS  20 // 50 per second
#define COOKIE_SECRET_MAX_AGE_MS 120000
#define COOKIE_SECRET_LATENCY_MS 5000
#define MESSAGE_PADDING          16
#define MAX_STAGED_PACKETS       128
#define MAX_QUEUED_HANDSHAKES    4096
#define UNDER_LOAD_QUEUED        (MAX_QUEUED_HANDSHAKES / 8)
#define UNDER_LOAD_STICKY_MS     1000
#define HANDSHAKE_DSCP           0x88 // AF41, ECN 0

// A receiver index whose four wire bytes are STUN's magic cookie 21 12 A4 42 is never allocated: a
// data packet under it could be taken for STUN (RFC 8489 section 5). Host-order value of that LE32:
#define INDEX_STUN_COOKIE 0x42a41221U
