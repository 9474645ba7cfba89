// SPDX-License-Identifier: BSD-3-Clause
//
// SipHash-2-4 by libsodium; see keyed_hash.h.
#include "keyed_hash.h"

#include <sodium.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

guint keyed_hash(const void *data, size_t len)
{
	static struct {
		bool made;
		uint8_t bytes[crypto_shorthash_KEYBYTES];
	} key;
	uint64_t hash;

	if (!key.made) {
		crypto_shorthash_keygen(key.bytes);
		key.made = true;
	}
	crypto_shorthash((uint8_t *)&hash, data, len, key.bytes);
	return (guint)hash;
}

guint keyed_text_hash(gconstpointer text)
{
	return keyed_hash(text, strlen(text));
}
