// SPDX-License-Identifier: BSD-3-Clause
//
// The anti-replay window (RFC 6479). The bitmap is a ring of words; moving the window forward
// clears the words it enters, so the word being filled is never part of the past that is still
// accepted. Run by the lcore that owns the keypair: no locks, no allocation.
#include "replay.h"

#include <string.h>

#define WORD_BITS REPLAY_REDUNDANT_BITS
#define NB_WORDS  (REPLAY_BITS / WORD_BITS)

_Static_assert((NB_WORDS & (NB_WORDS - 1)) == 0, "the ring is indexed by a mask");
_Static_assert(sizeof(((struct replay *)0)->backtrack[0]) * 8 == WORD_BITS, "one redundant word");

void replay_init(struct replay *r)
{
	memset(r, 0, sizeof(*r));
}

static void advance(struct replay *r, uint64_t pos)
{
	uint64_t from = r->greatest / WORD_BITS;
	uint64_t words = pos / WORD_BITS - from;

	if (words > NB_WORDS)
		words = NB_WORDS;
	for (uint64_t i = 1; i <= words; i++)
		r->backtrack[(from + i) & (NB_WORDS - 1)] = 0;
	r->greatest = pos;
}

bool replay_check(struct replay *r, uint64_t counter)
{
	uint64_t pos = counter + 1; // so that 0 in greatest can mean that nothing came yet
	uint64_t *word;
	uint64_t bit;

	if (counter >= REJECT_AFTER_MESSAGES)
		return false;
	if (pos + REPLAY_WINDOW < r->greatest)
		return false;
	if (pos > r->greatest)
		advance(r, pos);
	word = &r->backtrack[(pos / WORD_BITS) & (NB_WORDS - 1)];
	bit = 1ULL << (pos % WORD_BITS);
	if ((*word & bit) != 0)
		return false;
	*word |= bit;
	return true;
}
