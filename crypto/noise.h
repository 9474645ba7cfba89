// SPDX-License-Identifier: BSD-3-Clause
//
// Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s as WireGuard uses it (paper section 5.4). Pure: no clock,
// no sockets, no globals; callers own time, indices and random ephemerals come from libsodium
// unless a test passes one. Crypto predicates return bool; on false no output and no state has
// changed. The process has called sodium_init() before.
#pragma once

#include "messages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The identity of an interface.
struct noise_identity {
	uint8_t private_key[NOISE_KEY_LEN]; // clamped
	uint8_t public_key[NOISE_KEY_LEN];
	bool has_key;
};

// What is fixed about one peer as seen from one identity.
struct noise_peer {
	uint8_t public_key[NOISE_KEY_LEN];
	uint8_t preshared_key[NOISE_KEY_LEN]; // all zero = none
	uint8_t static_static[NOISE_KEY_LEN]; // X25519(our private, their public); all zero =
					      // low-order point, such a peer never starts or
					      // answers a handshake
};

enum noise_state {
	NOISE_ZEROED = 0,
	NOISE_CREATED_INITIATION,
	NOISE_CONSUMED_INITIATION,
	NOISE_CREATED_RESPONSE,
	NOISE_CONSUMED_RESPONSE,
};

struct noise_handshake {
	enum noise_state state;
	uint32_t local_index;
	uint32_t remote_index;
	uint8_t ephemeral_private[NOISE_KEY_LEN];
	uint8_t remote_ephemeral[NOISE_KEY_LEN];
	uint8_t hash[NOISE_HASH_LEN];
	uint8_t chaining_key[NOISE_HASH_LEN];
};

// Transport keys, from the view of the side that calls noise_derive.
struct noise_keys {
	uint8_t send[NOISE_KEY_LEN];
	uint8_t recv[NOISE_KEY_LEN];
};

// Clamps, derives the public key. An all-zero private key clears the identity.
void noise_identity_init(struct noise_identity *id, const uint8_t private_key[NOISE_KEY_LEN]);
void noise_identity_fini(struct noise_identity *id);
// Computes static_static anew; call after the identity's key changed. False: low-order public key.
bool noise_peer_init(struct noise_peer *p, const struct noise_identity *id,
	const uint8_t public_key[NOISE_KEY_LEN], const uint8_t *preshared_key);

// All fields but the macs. ephemeral NULL = random. Sets hs to NOISE_CREATED_INITIATION.
bool noise_create_initiation(struct noise_handshake *hs, struct message_initiation *ret_msg,
	const struct noise_identity *id, const struct noise_peer *peer, uint32_t local_index,
	const uint8_t timestamp[TAI64N_LEN], const uint8_t *ephemeral);

// Step 1 of receiving: finds out who it is. Nothing of a peer is touched. ret_hs holds the
// transcript.
bool noise_consume_initiation_static(struct noise_handshake *ret_hs,
	uint8_t ret_public_key[NOISE_KEY_LEN], const struct noise_identity *id,
	const struct message_initiation *msg);
// Step 2, with the peer found by its public key: verifies the timestamp's tag. The caller then
// checks the timestamp and the flood interval before it lets ret_hs replace the peer's handshake.
bool noise_consume_initiation_timestamp(struct noise_handshake *hs, uint8_t ret_timestamp[TAI64N_LEN],
	const struct noise_peer *peer, const struct message_initiation *msg);

bool noise_create_response(struct noise_handshake *hs, struct message_response *ret_msg,
	const struct noise_peer *peer, uint32_t local_index, const uint8_t *ephemeral);
// hs is in NOISE_CREATED_INITIATION; works on a copy and replaces hs only on success.
bool noise_consume_response(struct noise_handshake *hs, const struct noise_identity *id,
	const struct noise_peer *peer, const struct message_response *msg);

// After CREATED_RESPONSE or CONSUMED_RESPONSE: the two transport keys; zeroes the handshake.
bool noise_derive(struct noise_handshake *hs, struct noise_keys *ret_keys, bool *ret_initiator);
void noise_handshake_zero(struct noise_handshake *hs);

// BLAKE2s helpers shared with cookie.c and the tests.
void blake2s_hash(
	uint8_t out[NOISE_HASH_LEN], const void *a, size_t a_len, const void *b, size_t b_len);
void blake2s_mac(uint8_t *out, size_t out_len, const uint8_t *key, size_t key_len, const void *in,
	size_t in_len); // keyed BLAKE2s, not HMAC
void noise_hmac(uint8_t out[NOISE_HASH_LEN], const uint8_t key[NOISE_HASH_LEN], const void *in,
	size_t in_len);
// HKDF with n = 1..3 outputs; unused outputs are NULL.
void noise_kdf(uint8_t *out1, uint8_t *out2, uint8_t *out3, const uint8_t ck[NOISE_HASH_LEN],
	const void *in, size_t in_len);
