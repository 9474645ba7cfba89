// SPDX-License-Identifier: BSD-3-Clause
//
// TAI64N stamps of handshake initiations (paper section 5.1). Pure functions; the caller reads the
// clock and remembers the last stamp.
#include "tai64n.h"

#include <endian.h>
#include <string.h>

#define NSEC_PER_SEC 1000000000U
#define GRAIN        (1U << 24)            // hides when exactly, and with it how loaded, we are
#define TAI_EPOCH    0x400000000000000aULL // 1970 in TAI64, as of 1970

static void stamp_write(uint8_t out[TAI64N_LEN], uint64_t seconds, uint32_t nanoseconds)
{
	uint64_t s = htobe64(seconds);
	uint32_t n = htobe32(nanoseconds);

	memcpy(out, &s, sizeof(s));
	memcpy(out + sizeof(s), &n, sizeof(n));
}

void tai64n_from(uint8_t out[TAI64N_LEN], uint64_t unix_seconds, uint32_t nanoseconds)
{
	stamp_write(out, TAI_EPOCH + unix_seconds, nanoseconds & ~(GRAIN - 1));
}

// The smallest rounded stamp above last. Above the last of all stamps there is none; that one
// stays.
static void stamp_after(uint8_t out[TAI64N_LEN], const uint8_t last[TAI64N_LEN])
{
	uint64_t s;
	uint32_t n;

	memcpy(&s, last, sizeof(s));
	memcpy(&n, last + sizeof(s), sizeof(n));
	s = be64toh(s);
	n = be32toh(n) & ~(GRAIN - 1);
	if (n < NSEC_PER_SEC - GRAIN)
		stamp_write(out, s, n + GRAIN);
	else if (s < UINT64_MAX)
		stamp_write(out, s + 1, 0);
	else
		memmove(out, last, TAI64N_LEN);
}

void tai64n_next(uint8_t out[TAI64N_LEN], const uint8_t last[TAI64N_LEN], uint64_t unix_seconds,
	uint32_t nanoseconds)
{
	uint8_t stamp[TAI64N_LEN];

	tai64n_from(stamp, unix_seconds, nanoseconds);
	if (memcmp(stamp, last, TAI64N_LEN) <= 0)
		stamp_after(stamp, last);
	memcpy(out, stamp, TAI64N_LEN);
}
