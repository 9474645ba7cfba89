// SPDX-License-Identifier: BSD-3-Clause
//
// What hides a signal message from the service: nonce || crypto_box (X25519, XSalsa20, Poly1305) between the
// WireGuard keys of the two peers. Pure functions; the shared key is the caller's to wipe.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOX_KEY_LEN   32
#define BOX_NONCE_LEN 24
#define BOX_OVERHEAD  40 // nonce and tag

struct box_key {
	uint8_t shared[32]; // crypto_box_beforenm
};

// False: the public key is one of those that make the secret the same for everybody.
bool box_key_make(struct box_key *ret, const uint8_t remote_public[BOX_KEY_LEN],
	const uint8_t own_private[BOX_KEY_LEN]);
// out has len + BOX_OVERHEAD bytes. The nonce is random.
void box_seal(uint8_t *out, const uint8_t *plain, size_t len, const struct box_key *key);
void box_seal_nonce(uint8_t *out, const uint8_t *plain, size_t len, const struct box_key *key,
	const uint8_t nonce[BOX_NONCE_LEN]); // tests
// out has len - BOX_OVERHEAD bytes. False: shorter than BOX_OVERHEAD, or not from the peer.
bool box_open(uint8_t *out, const uint8_t *body, size_t len, const struct box_key *key);
