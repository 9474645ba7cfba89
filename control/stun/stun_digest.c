// SPDX-License-Identifier: BSD-3-Clause
//
// Digests; see stun_digest.h. OpenSSL 3 looks an algorithm up by name at each one-shot call, which costs more than
// the digest of a STUN message, so each is fetched once. A failure here is a broken libcrypto: it ends the
// daemon, because going on would mean to answer under keys that nobody checked.
#include "stun_digest.h"

#include <sodium.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>

#define must(it) ((it) ? (void)0 : abort())

static EVP_MAC_CTX *mac_for(bool sha256)
{
	static EVP_MAC_CTX *contexts[2];

	if (!contexts[sha256]) {
		EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
		OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
					       sha256 ? "SHA256" : "SHA1", 0),
			OSSL_PARAM_construct_end()};

		must(mac);
		contexts[sha256] = EVP_MAC_CTX_new(mac);
		must(contexts[sha256] && EVP_MAC_CTX_set_params(contexts[sha256], params));
		EVP_MAC_free(mac);
	}
	return contexts[sha256];
}

void stun_hmac(bool sha256, uint8_t *out, const uint8_t *key, size_t key_len, const void *a,
	size_t a_len, const void *b, size_t b_len)
{
	EVP_MAC_CTX *ctx = mac_for(sha256);
	size_t len = 0;

	must(EVP_MAC_init(ctx, key, key_len, NULL));
	must(EVP_MAC_update(ctx, a, a_len));
	must(!b_len || EVP_MAC_update(ctx, b, b_len));
	must(EVP_MAC_final(ctx, out, &len, sha256 ? STUN_SHA256_LEN : STUN_SHA1_LEN));
}

static const EVP_MD *digest_for(bool sha256)
{
	static EVP_MD *digests[2];

	if (!digests[sha256])
		digests[sha256] = EVP_MD_fetch(NULL, sha256 ? "SHA256" : "MD5", NULL);
	must(digests[sha256]);
	return digests[sha256];
}

static void digest_colon(bool sha256, uint8_t *out, const void *a, size_t a_len, const void *b,
	size_t b_len, const void *c, size_t c_len)
{
	static EVP_MD_CTX *ctx;

	if (!ctx)
		ctx = EVP_MD_CTX_new();
	must(ctx && EVP_DigestInit_ex(ctx, digest_for(sha256), NULL));
	must(EVP_DigestUpdate(ctx, a, a_len));
	must(EVP_DigestUpdate(ctx, ":", 1) && EVP_DigestUpdate(ctx, b, b_len));
	if (c_len != SIZE_MAX)
		must(EVP_DigestUpdate(ctx, ":", 1) && EVP_DigestUpdate(ctx, c, c_len));
	must(EVP_DigestFinal_ex(ctx, out, NULL));
}

void stun_md5_colon(uint8_t out[STUN_MD5_LEN], const void *a, size_t a_len, const void *b,
	size_t b_len, const void *c, size_t c_len)
{
	digest_colon(false, out, a, a_len, b, b_len, c, c_len);
}

void stun_sha256_colon(uint8_t out[STUN_SHA256_LEN], const void *a, size_t a_len, const void *b,
	size_t b_len, const void *c, size_t c_len)
{
	digest_colon(true, out, a, a_len, b, b_len, c, c_len);
}

// The reflected polynomial of Ethernet, a nibble at a time: FINGERPRINT is for short messages only.
static uint32_t crc32_add(uint32_t crc, const uint8_t *data, size_t len)
{
	static const uint32_t nibble[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
		0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8,
		0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};

	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		crc = crc >> 4 ^ nibble[crc & 15];
		crc = crc >> 4 ^ nibble[crc & 15];
	}
	return crc;
}

uint32_t stun_crc32(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return ~crc32_add(crc32_add(UINT32_MAX, a, a_len), b, b_len) ^ 0x5354554eu;
}

bool stun_equal(const void *a, const void *b, size_t len)
{
	return !sodium_memcmp(a, b, len);
}
