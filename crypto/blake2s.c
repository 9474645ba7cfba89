// SPDX-License-Identifier: BSD-3-Clause
//
// BLAKE2s (RFC 7693) in the three forms that the protocol needs: plain, keyed, and under HMAC and
// HKDF (RFC 2104, RFC 5869). Pure functions for any thread. libb2 computes; this file wipes what it
// leaves.
#include "noise.h"

#include <blake2.h>
#include <sodium.h>

#include <stdlib.h>
#include <string.h>

#define BLOCK_LEN BLAKE2S_BLOCKBYTES

// libb2 refuses only lengths out of range, and those are constants here: a failure is a bug.
static void must(int ret)
{
	if (ret != 0)
		abort();
}

static void update(blake2s_state *s, const void *in, size_t len)
{
	if (len != 0)
		must(blake2s_update(s, in, len));
}

void blake2s_hash(
	uint8_t out[NOISE_HASH_LEN], const void *a, size_t a_len, const void *b, size_t b_len)
{
	blake2s_state s;

	must(blake2s_init(&s, NOISE_HASH_LEN));
	update(&s, a, a_len);
	update(&s, b, b_len);
	must(blake2s_final(&s, out, NOISE_HASH_LEN));
	sodium_memzero(&s, sizeof(s));
}

void blake2s_mac(uint8_t *out, size_t out_len, const uint8_t *key, size_t key_len, const void *in,
	size_t in_len)
{
	blake2s_state s;

	must(blake2s_init_key(&s, out_len, key, key_len));
	update(&s, in, in_len);
	must(blake2s_final(&s, out, out_len));
	sodium_memzero(&s, sizeof(s));
}

// HMAC over two pieces, since HKDF appends a counter to the previous output.
static void hmac_two(uint8_t out[NOISE_HASH_LEN], const uint8_t key[NOISE_HASH_LEN], const void *a,
	size_t a_len, const void *b, size_t b_len)
{
	blake2s_state s;
	uint8_t pad[BLOCK_LEN];
	uint8_t inner[NOISE_HASH_LEN];

	memset(pad, 0x36, sizeof(pad));
	for (size_t i = 0; i < NOISE_HASH_LEN; i++)
		pad[i] ^= key[i];
	must(blake2s_init(&s, NOISE_HASH_LEN));
	update(&s, pad, sizeof(pad));
	update(&s, a, a_len);
	update(&s, b, b_len);
	must(blake2s_final(&s, inner, sizeof(inner)));

	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	must(blake2s_init(&s, NOISE_HASH_LEN));
	update(&s, pad, sizeof(pad));
	update(&s, inner, sizeof(inner));
	must(blake2s_final(&s, out, NOISE_HASH_LEN));

	sodium_memzero(&s, sizeof(s));
	sodium_memzero(pad, sizeof(pad));
	sodium_memzero(inner, sizeof(inner));
}

void noise_hmac(uint8_t out[NOISE_HASH_LEN], const uint8_t key[NOISE_HASH_LEN], const void *in,
	size_t in_len)
{
	hmac_two(out, key, in, in_len, NULL, 0);
}

void noise_kdf(uint8_t *out1, uint8_t *out2, uint8_t *out3, const uint8_t ck[NOISE_HASH_LEN],
	const void *in, size_t in_len)
{
	uint8_t *const outs[] = {out1, out2, out3};
	uint8_t prk[NOISE_HASH_LEN];
	uint8_t last[NOISE_HASH_LEN];
	size_t last_len = 0;

	// An output may lie over ck or in, so they are read before anything is written.
	noise_hmac(prk, ck, in, in_len);
	for (uint8_t i = 1; i <= 3 && outs[i - 1] != NULL; i++) {
		hmac_two(last, prk, last, last_len, &i, 1);
		last_len = sizeof(last);
		memcpy(outs[i - 1], last, sizeof(last));
	}
	sodium_memzero(prk, sizeof(prk));
	sodium_memzero(last, sizeof(last));
}
