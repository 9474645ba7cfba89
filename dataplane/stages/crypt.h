// SPDX-License-Identifier: BSD-3-Clause
//
// Between mbufs and the AEAD's vector interface: operations of one burst, with the segments of chained
// mbufs and a place for tags that straddle two of them. Belongs to one lcore.
#pragma once

#include "../../crypto/aead.h"
#include "../../crypto/messages.h"
#include "../lcore.h"

#include <rte_mbuf.h>

#include <stdbool.h>
#include <stdint.h>

#define CRYPT_BURST 32
#define CRYPT_SEGS  (CRYPT_BURST + 2 * AEAD_MAX_SEGS)

struct aead_scratch {
	uint32_t n;
	uint32_t segs_used;
	struct rte_mbuf *m[CRYPT_BURST];
	struct aead_op ops[CRYPT_BURST];
	struct aead_seg segs[CRYPT_SEGS];
	uint8_t tags[CRYPT_BURST][16];
	uint8_t split[CRYPT_BURST]; // bytes of the tag in the last segment, 0: the tag is in one piece
};

static inline bool crypt_full(const struct aead_scratch *s)
{
	return s->n == CRYPT_BURST || s->segs_used > CRYPT_SEGS - AEAD_MAX_SEGS;
}

// Adds an operation over the bytes of m from off to the end less the tag. False when m has too many
// segments.
bool crypt_add(struct aead_scratch *s, struct rte_mbuf *m, uint32_t off, const uint8_t *key,
	uint64_t nonce);
void crypt_open(struct lcore *lc, struct aead_scratch *s);
void crypt_seal(struct lcore *lc, struct aead_scratch *s); // writes tags back where they belong
