// SPDX-License-Identifier: BSD-3-Clause
//
// Keys as text. No table is indexed by a secret and no branch depends on one; only the length of
// the text and the verdict are visible in the time taken. Pure functions for any thread.
#include "keys.h"

#include <sodium.h>

#include <string.h>

// All ones if lo <= c <= hi, else 0.
static unsigned int in_range(unsigned int c, unsigned int lo, unsigned int hi)
{
	return 0U - (((lo - 1 - c) & (c - hi - 1)) >> 31);
}

void key_to_base64(char out[KEY_BASE64_LEN], const uint8_t key[NOISE_KEY_LEN])
{
	sodium_bin2base64(out, KEY_BASE64_LEN, key, NOISE_KEY_LEN, sodium_base64_VARIANT_ORIGINAL);
}

void key_to_hex(char out[KEY_HEX_LEN], const uint8_t key[NOISE_KEY_LEN])
{
	sodium_bin2hex(out, KEY_HEX_LEN, key, NOISE_KEY_LEN);
}

// The 6 bits of a base64 digit; anything else sets bits of *bad.
static unsigned int base64_digit(char text, unsigned int *bad)
{
	unsigned int c = (unsigned char)text;
	unsigned int upper = in_range(c, 'A', 'Z');
	unsigned int lower = in_range(c, 'a', 'z');
	unsigned int digit = in_range(c, '0', '9');
	unsigned int plus = in_range(c, '+', '+');
	unsigned int slash = in_range(c, '/', '/');

	*bad |= ~(upper | lower | digit | plus | slash);
	return (upper & (c - 'A')) | (lower & (c - 'a' + 26)) | (digit & (c - '0' + 52)) |
	       (plus & 62) | (slash & 63);
}

static unsigned int hex_digit(char text, unsigned int *bad)
{
	unsigned int c = (unsigned char)text;
	unsigned int digit = in_range(c, '0', '9');
	unsigned int lower = in_range(c, 'a', 'f');

	*bad |= ~(digit | lower);
	return (digit & (c - '0')) | (lower & (c - 'a' + 10));
}

bool key_from_base64(uint8_t out[NOISE_KEY_LEN], const char *text)
{
	uint8_t key[NOISE_KEY_LEN + 1]; // 11 groups of 3; the last byte is what '=' stands for
	unsigned int bad = 0;

	if (strnlen(text, KEY_BASE64_LEN) != KEY_BASE64_LEN - 1 || text[KEY_BASE64_LEN - 2] != '=')
		return false;
	for (unsigned int g = 0; g < sizeof(key) / 3; g++) {
		unsigned int v = 0;

		for (unsigned int i = 4 * g; i < 4 * g + 4; i++)
			v = v << 6 | (i == KEY_BASE64_LEN - 2 ? 0 : base64_digit(text[i], &bad));
		key[3 * g] = (uint8_t)(v >> 16);
		key[3 * g + 1] = (uint8_t)(v >> 8);
		key[3 * g + 2] = (uint8_t)v;
	}
	bad |= key[NOISE_KEY_LEN]; // two bits of the last digit that say nothing must be 0
	if (bad == 0)
		memcpy(out, key, NOISE_KEY_LEN);
	sodium_memzero(key, sizeof(key));
	return bad == 0;
}

bool key_from_hex(uint8_t out[NOISE_KEY_LEN], const char *text)
{
	uint8_t key[NOISE_KEY_LEN];
	unsigned int bad = 0;

	if (strnlen(text, KEY_HEX_LEN) != KEY_HEX_LEN - 1)
		return false;
	for (unsigned int i = 0; i < NOISE_KEY_LEN; i++) {
		unsigned int high = hex_digit(text[2 * i], &bad);

		key[i] = (uint8_t)(high << 4 | hex_digit(text[2 * i + 1], &bad));
	}
	if (bad == 0)
		memcpy(out, key, NOISE_KEY_LEN);
	sodium_memzero(key, sizeof(key));
	return bad == 0;
}

bool key_is_zero(const uint8_t key[NOISE_KEY_LEN])
{
	return sodium_is_zero(key, NOISE_KEY_LEN) == 1;
}
