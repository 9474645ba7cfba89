// SPDX-License-Identifier: BSD-3-Clause
//
// The hash under the relay's tables: 40-byte keys that live in the objects themselves. A bucket is one
// cache line of seven words, each a pointer with 16 bits of the hash in front, and a link to further
// buckets: a look-up touches the bucket and the object, nothing else, and an entry never moves while it
// is in. Readers are lock-free under QSBR; main writes. Keyed by a random secret, because remote hosts
// choose what stands in the keys.
//
// It has room for as many entries as may ever come from the beginning: growing would stop main for as long
// as it takes to visit every entry, which is a cache miss or two each.
#pragma once

#include <rte_common.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TURN_HASH_BULK 64

struct turn_key {
	uint64_t w[5];
};

struct bucket;

struct turn_hash {
	struct bucket *buckets;
	uint32_t mask;
	uint16_t key_off; // of the key in an object
	uint16_t lines;   // cache lines of an object that a look-up fetches
	uint32_t further; // main: buckets behind those
};

void turn_hash_secret(void); // draws the secret, once per process
// For max entries; more of them only make chains longer.
int turn_hash_init(struct turn_hash *h, uint16_t key_off, uint16_t lines, uint32_t max);
void turn_hash_fini(struct turn_hash *h);
// n <= TURN_HASH_BULK; ret[i] NULL where unknown. The objects' first `lines` lines are on their way.
void turn_hash_lookup_bulk(
	const struct turn_hash *h, const struct turn_key *keys, uint32_t n, void **ret);
void *turn_hash_find(const struct turn_hash *h, const struct turn_key *key);

// main. The key must not be in it. 0 or -ENOMEM.
int turn_hash_add(struct turn_hash *h, void *obj);
void turn_hash_del(struct turn_hash *h, const void *obj);
uint64_t turn_hash_bytes(const struct turn_hash *h);

static inline bool turn_key_equal(const struct turn_key *a, const struct turn_key *b)
{
	return ((a->w[0] ^ b->w[0]) | (a->w[1] ^ b->w[1]) | (a->w[2] ^ b->w[2]) |
		       (a->w[3] ^ b->w[3]) | (a->w[4] ^ b->w[4])) == 0;
}
