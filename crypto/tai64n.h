// SPDX-License-Identifier: BSD-3-Clause
//
// TAI64N timestamps: 8 bytes of seconds + 0x400000000000000a, 4 of nanoseconds, big endian,
// compared by memcmp. Nanoseconds are rounded down to 2^24 (16.8 ms), as WireGuard does.
#pragma once

#include "messages.h"

#include <stdint.h>

void tai64n_from(uint8_t out[TAI64N_LEN], uint64_t unix_seconds, uint32_t nanoseconds);
// The rounded time, or the smallest rounded stamp above last if the clock has not passed that:
// stamps sent to a peer strictly grow even when the clock steps back.
void tai64n_next(uint8_t out[TAI64N_LEN], const uint8_t last[TAI64N_LEN], uint64_t unix_seconds,
	uint32_t nanoseconds);
