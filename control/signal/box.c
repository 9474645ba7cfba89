// SPDX-License-Identifier: BSD-3-Clause
//
// libsodium's crypto_box with the shared key computed once per peer.
#include "box.h"

#include <sodium.h>

#include <string.h>

_Static_assert(BOX_KEY_LEN == crypto_box_PUBLICKEYBYTES, "");
_Static_assert(BOX_NONCE_LEN == crypto_box_NONCEBYTES, "");
_Static_assert(BOX_OVERHEAD == crypto_box_NONCEBYTES + crypto_box_MACBYTES, "");
_Static_assert(sizeof(struct box_key) == crypto_box_BEFORENMBYTES, "");

bool box_key_make(struct box_key *ret, const uint8_t remote_public[BOX_KEY_LEN],
	const uint8_t own_private[BOX_KEY_LEN])
{
	return crypto_box_beforenm(ret->shared, remote_public, own_private) == 0;
}

void box_seal_nonce(uint8_t *out, const uint8_t *plain, size_t len, const struct box_key *key,
	const uint8_t nonce[BOX_NONCE_LEN])
{
	memcpy(out, nonce, BOX_NONCE_LEN);
	crypto_box_easy_afternm(out + BOX_NONCE_LEN, plain, len, nonce, key->shared);
}

void box_seal(uint8_t *out, const uint8_t *plain, size_t len, const struct box_key *key)
{
	uint8_t nonce[BOX_NONCE_LEN];

	randombytes_buf(nonce, sizeof(nonce));
	box_seal_nonce(out, plain, len, key, nonce);
}

bool box_open(uint8_t *out, const uint8_t *body, size_t len, const struct box_key *key)
{
	if (len < BOX_OVERHEAD)
		return false;
	return crypto_box_open_easy_afternm(
		       out, body + BOX_NONCE_LEN, len - BOX_NONCE_LEN, body, key->shared) == 0;
}
