// SPDX-License-Identifier: BSD-3-Clause
//
// Nonces; see nonce.h. Main loop thread; no state but the cached keys of two periods.
#include "nonce.h"

#include "../stun/stun_digest.h"

#include <sodium.h>

#include <string.h>

#define COOKIE      "obMatJos2"
#define COOKIE_LEN  9
#define FEATURE_LEN 4
#define MAC_LEN     12
#define RAW_LEN     (4 + MAC_LEN)
#define TEXT_LEN    22 // base64 of RAW_LEN without padding
_Static_assert(TURN_NONCE_LEN == COOKIE_LEN + FEATURE_LEN + TEXT_LEN, "as the header says");

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static struct {
	bool made;
	uint32_t period;
	uint8_t master[TURN_NONCE_KEY], key[STUN_SHA256_LEN];
} cache[2];

void turn_nonce_forget(void)
{
	sodium_memzero(cache, sizeof(cache));
}

// Of no more than two periods in turn: this one and the one before.
static const uint8_t *period_key(const uint8_t master[TURN_NONCE_KEY], uint32_t period)
{
	uint8_t label[16] = "turn nonce";
	int i = period & 1;

	if (cache[i].made && cache[i].period == period &&
		stun_equal(cache[i].master, master, TURN_NONCE_KEY))
		return cache[i].key;
	put32(label + 12, period);
	stun_hmac(true, cache[i].key, master, TURN_NONCE_KEY, label, sizeof(label), NULL, 0);
	memcpy(cache[i].master, master, TURN_NONCE_KEY);
	cache[i].period = period;
	cache[i].made = true;
	return cache[i].key;
}

static void mac(uint8_t out[MAC_LEN], const uint8_t master[TURN_NONCE_KEY], uint32_t features,
	const struct turn_nonce_source *source, uint32_t stamp)
{
	uint8_t text[8], full[STUN_SHA256_LEN];

	put32(text, stamp);
	put32(text + 4, features);
	stun_hmac(true, full, period_key(master, stamp / TURN_NONCE_LIFE_S), STUN_SHA256_LEN, text,
		sizeof(text), source, sizeof(*source));
	memcpy(out, full, MAC_LEN);
}

void turn_nonce_make(char out[TURN_NONCE_LEN + 1], const uint8_t master[TURN_NONCE_KEY],
	uint32_t features, const struct turn_nonce_source *source, uint32_t now_s)
{
	uint8_t bits[3] = {(uint8_t)(features >> 16), (uint8_t)(features >> 8), (uint8_t)features};
	uint8_t raw[RAW_LEN];

	put32(raw, now_s);
	mac(raw + 4, master, features, source, now_s);
	memcpy(out, COOKIE, COOKIE_LEN);
	sodium_bin2base64(out + COOKIE_LEN, FEATURE_LEN + 1, bits, sizeof(bits),
		sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	sodium_bin2base64(out + COOKIE_LEN + FEATURE_LEN, TEXT_LEN + 1, raw, sizeof(raw),
		sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
}

static bool decode(const uint8_t *text, size_t len, uint8_t *out, size_t want)
{
	size_t n = 0;

	return !sodium_base642bin(out, want, (const char *)text, len, NULL, &n, NULL,
		       sodium_base64_VARIANT_ORIGINAL_NO_PADDING) &&
	       n == want;
}

uint32_t turn_nonce_features(const uint8_t *nonce, size_t len)
{
	uint8_t bits[3];

	if (len < COOKIE_LEN + FEATURE_LEN || memcmp(nonce, COOKIE, COOKIE_LEN) ||
		!decode(nonce + COOKIE_LEN, FEATURE_LEN, bits, sizeof(bits)))
		return 0;
	return (uint32_t)bits[0] << 16 | (uint32_t)bits[1] << 8 | bits[2];
}

enum turn_nonce_state turn_nonce_check(const uint8_t *nonce, size_t len,
	const uint8_t master[TURN_NONCE_KEY], const struct turn_nonce_source *source,
	uint32_t now_s, uint32_t life_s)
{
	uint8_t raw[RAW_LEN], want[MAC_LEN];
	uint32_t stamp;

	if (len != TURN_NONCE_LEN || memcmp(nonce, COOKIE, COOKIE_LEN) ||
		!decode(nonce + COOKIE_LEN + FEATURE_LEN, TEXT_LEN, raw, sizeof(raw)))
		return TURN_NONCE_STALE;
	stamp = get32(raw);
	// Unsigned: a stamp from the future is as old as can be.
	if (now_s - stamp > life_s)
		return TURN_NONCE_STALE;
	mac(want, master, turn_nonce_features(nonce, len), source, stamp);
	return stun_equal(want, raw + 4, MAC_LEN) ? TURN_NONCE_GOOD : TURN_NONCE_STALE;
}
