// SPDX-License-Identifier: BSD-3-Clause
//
// The backends that aead.c knows, and what they share. Nobody else includes this: callers go through the registry.
#pragma once

#include "aead.h"

#include <endian.h>
#include <string.h>

#define AEAD_NONCE_LEN 12

extern const struct aead_backend aead_sodium;
extern const struct aead_backend aead_ipsec_mb;

// Whether ipsec-mb has wide code for this CPU; with SSE alone libsodium is as good.
bool aead_ipsec_mb_is_fast(void);

// RFC 8439's form of it.
static inline void aead_nonce(uint8_t out[AEAD_NONCE_LEN], uint64_t nonce)
{
	uint64_t le = htole64(nonce);

	memset(out, 0, 4);
	memcpy(out + 4, &le, sizeof(le));
}

// The only segment with something in it, NULL if there are several; an empty payload gives empty.
static inline const struct aead_seg *aead_single(
	const struct aead_op *op, const struct aead_seg *empty)
{
	const struct aead_seg *found = empty;

	for (unsigned int i = 0; i < op->nb_segs; i++) {
		if (op->segs[i].len == 0)
			continue;
		if (found != empty)
			return NULL;
		found = &op->segs[i];
	}
	return found;
}
