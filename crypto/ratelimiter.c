// SPDX-License-Identifier: BSD-3-Clause
//
// Token buckets per source: a chained hash over a fixed pool, keyed with a random SipHash key so
// that nobody outside can aim at one chain. For one thread, straitd's main; nothing is allocated
// after _new.
#include "ratelimiter.h"

#include <sodium.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NSEC_PER_SEC 1000000000ULL
#define PACKET_COST  (NSEC_PER_SEC / RATELIMITER_PER_SECOND)
#define TOKEN_MAX    (PACKET_COST * RATELIMITER_BURST)
#define NB_BUCKETS   RATELIMITER_MAX_ENTRIES
#define NONE         UINT16_MAX

_Static_assert((NB_BUCKETS & (NB_BUCKETS - 1)) == 0, "buckets are picked by a mask");
_Static_assert(RATELIMITER_MAX_ENTRIES < NONE, "indices fit 16 bits");

struct entry {
	uint8_t prefix[16]; // the whole address of IPv4, the first half of IPv6
	uint64_t last_ns;
	uint64_t tokens; // in ns
	uint16_t next;   // in the chain, or in the list of free entries
};

struct ratelimiter {
	uint8_t hash_key[crypto_shorthash_KEYBYTES];
	unsigned int used;
	uint16_t free_list;
	uint16_t buckets[NB_BUCKETS];
	struct entry entries[RATELIMITER_MAX_ENTRIES];
};

struct ratelimiter *ratelimiter_new(void)
{
	struct ratelimiter *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	randombytes_buf(r->hash_key, sizeof(r->hash_key));
	for (unsigned int i = 0; i < NB_BUCKETS; i++)
		r->buckets[i] = NONE;
	for (unsigned int i = 0; i < RATELIMITER_MAX_ENTRIES; i++)
		r->entries[i].next = i + 1 < RATELIMITER_MAX_ENTRIES ? (uint16_t)(i + 1) : NONE;
	return r;
}

void ratelimiter_free(struct ratelimiter *r)
{
	if (r == NULL)
		return;
	sodium_memzero(r->hash_key, sizeof(r->hash_key));
	free(r);
}

static void prefix_of(uint8_t out[16], const uint8_t addr[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	memcpy(out, addr, 16);
	if (memcmp(addr, mapped, sizeof(mapped)) != 0)
		memset(out + 8, 0, 8);
}

static uint16_t *bucket_of(struct ratelimiter *r, const uint8_t prefix[16])
{
	uint8_t hash[crypto_shorthash_BYTES];
	uint16_t low;

	crypto_shorthash(hash, prefix, 16, r->hash_key);
	memcpy(&low, hash, sizeof(low));
	return &r->buckets[low & (NB_BUCKETS - 1)];
}

static bool entry_charge(struct entry *e, uint64_t now_ns)
{
	uint64_t elapsed = now_ns > e->last_ns ? now_ns - e->last_ns : 0;

	e->tokens = elapsed < TOKEN_MAX - e->tokens ? e->tokens + elapsed : TOKEN_MAX;
	e->last_ns = now_ns;
	if (e->tokens < PACKET_COST)
		return false;
	e->tokens -= PACKET_COST;
	return true;
}

bool ratelimiter_allow(struct ratelimiter *r, const uint8_t addr[16], uint64_t now_ns)
{
	uint8_t prefix[16];
	uint16_t *bucket;
	struct entry *e;

	prefix_of(prefix, addr);
	bucket = bucket_of(r, prefix);
	for (uint16_t i = *bucket; i != NONE; i = r->entries[i].next) {
		if (memcmp(r->entries[i].prefix, prefix, sizeof(prefix)) == 0)
			return entry_charge(&r->entries[i], now_ns);
	}
	if (r->free_list == NONE)
		return false;
	e = &r->entries[r->free_list];
	memcpy(e->prefix, prefix, sizeof(prefix));
	e->last_ns = now_ns;
	e->tokens = TOKEN_MAX - PACKET_COST;
	uint16_t taken = r->free_list;
	r->free_list = e->next;
	e->next = *bucket;
	*bucket = taken;
	r->used++;
	return true;
}

unsigned int ratelimiter_gc(struct ratelimiter *r, uint64_t now_ns)
{
	for (unsigned int b = 0; b < NB_BUCKETS; b++) {
		uint16_t *link = &r->buckets[b];

		while (*link != NONE) {
			uint16_t i = *link;
			struct entry *e = &r->entries[i];

			if (now_ns <= e->last_ns || now_ns - e->last_ns <= NSEC_PER_SEC) {
				link = &e->next;
				continue;
			}
			*link = e->next;
			e->next = r->free_list;
			r->free_list = i;
			r->used--;
		}
	}
	return r->used;
}
