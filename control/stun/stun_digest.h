// SPDX-License-Identifier: BSD-3-Clause
//
// The digests that STUN names, from OpenSSL's libcrypto: HMAC-SHA1 and HMAC-SHA256 of a message, MD5 and
// SHA-256 of a password, CRC-32 of FINGERPRINT; for the server (turn/) and for the clients (stun.h).
// Main loop thread: the contexts are kept.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STUN_MD5_LEN    16
#define STUN_SHA1_LEN   20
#define STUN_SHA256_LEN 32

// HMAC over a, then b. out has STUN_SHA1_LEN or STUN_SHA256_LEN bytes.
void stun_hmac(bool sha256, uint8_t *out, const uint8_t *key, size_t key_len, const void *a,
	size_t a_len, const void *b, size_t b_len);
// The digest of "a:b" (c_len SIZE_MAX) or "a:b:c".
void stun_md5_colon(uint8_t out[STUN_MD5_LEN], const void *a, size_t a_len, const void *b,
	size_t b_len, const void *c, size_t c_len);
void stun_sha256_colon(uint8_t out[STUN_SHA256_LEN], const void *a, size_t a_len, const void *b,
	size_t b_len, const void *c, size_t c_len);
// Over a, then b, as FINGERPRINT has it: XOR included.
uint32_t stun_crc32(const void *a, size_t a_len, const void *b, size_t b_len);
bool stun_equal(const void *a, const void *b, size_t len); // constant time
