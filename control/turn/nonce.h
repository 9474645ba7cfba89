// SPDX-License-Identifier: BSD-3-Clause
//
// Stateless nonces, bound to the address that they were given to (RFC 8489 section 9.2, RFC 8656 section 5).
// A nonce is "obMatJos2", the security features, then 4 bytes of time and 12 bytes of HMAC-SHA256. Each
// period has a key of its own, derived from a master key that lasts until the next boot; at any time the
// keys of two periods are good. So a nonce outlives straitd, and no nonce is remembered.
#pragma once

#include "../../dataplane/api/st_api.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TURN_NONCE_LEN    35
#define TURN_NONCE_KEY    32
#define TURN_NONCE_LIFE_S 3600

// Bits of the security features, as RFC 8489 section 18.1 numbers them: bit 0 comes first.
#define TURN_FEATURE_PASSWORD_ALGORITHMS 0x800000u
#define TURN_FEATURE_USERNAME_ANONYMITY  0x400000u

enum turn_nonce_state {
	TURN_NONCE_GOOD,
	TURN_NONCE_STALE, // too old, of another address, or none of ours
};

struct turn_nonce_source {
	struct st_addr addr;
	uint16_t port_be;
	uint16_t transport; // enum turn_transport
};

// now_s is the time since boot.
void turn_nonce_make(char out[TURN_NONCE_LEN + 1], const uint8_t master[TURN_NONCE_KEY],
	uint32_t features, const struct turn_nonce_source *source, uint32_t now_s);
enum turn_nonce_state turn_nonce_check(const uint8_t *nonce, size_t len,
	const uint8_t master[TURN_NONCE_KEY], const struct turn_nonce_source *source,
	uint32_t now_s, uint32_t life_s);
// The features that the nonce says, 0 when it has no cookie. What a client echoes, so nothing to trust.
uint32_t turn_nonce_features(const uint8_t *nonce, size_t len);
void turn_nonce_forget(void); // wipes cached keys
