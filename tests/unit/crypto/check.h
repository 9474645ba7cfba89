// SPDX-License-Identifier: BSD-3-Clause
//
// What the suites of crypto/ share: hex in and out, bytes compared.
#pragma once

#include "../suite.h"

#include <sodium.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Parses hex of any length into out and returns how many bytes that was.
static inline size_t check_hex(uint8_t *out, size_t max, const char *hex)
{
	size_t len = 0;

	if (sodium_hex2bin(out, max, hex, strlen(hex), NULL, &len, NULL) != 0) {
		fprintf(stderr, "bad hex in a test: %s\n", hex);
		exit(2);
	}
	return len;
}

static inline int check_same(const void *data, size_t len, const char *hex)
{
	uint8_t want[8192];

	return check_hex(want, sizeof(want), hex) == len && memcmp(data, want, len) == 0;
}
