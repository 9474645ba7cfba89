// SPDX-License-Identifier: BSD-3-Clause
//
// See turn_hash.h.
#include "turn_hash.h"

#include "slab.h"

#include <rte_branch_prediction.h>
#include <rte_common.h>
#include <rte_prefetch.h>
#include <sodium.h>

#include <emmintrin.h>
#include <errno.h>
#include <smmintrin.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS         7
#define LOAD          4 // entries per bucket when it is full: 5 % of buckets have a further one then
#define POINTER       0x0000ffffffffffffULL
#define TAG_SHIFT     48
#define FURTHER_ALIGN 64

struct bucket {
	_Atomic uint64_t slot[SLOTS]; // main: wo (release), lcore: ro (acquire); 0 = free
	struct bucket *_Atomic next;
} __rte_cache_aligned;
_Static_assert(sizeof(struct bucket) == 64, "one line");

static uint64_t secret[6];

void turn_hash_secret(void)
{
	randombytes_buf(secret, sizeof(secret));
}

static inline uint64_t mix(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 r = (unsigned __int128)a * b;

	return (uint64_t)r ^ (uint64_t)(r >> 64);
}

static inline uint64_t hash_of(const struct turn_key *k)
{
	uint64_t h = mix(k->w[0] ^ secret[0], k->w[1] ^ secret[1]) ^
		     mix(k->w[2] ^ secret[2], k->w[3] ^ secret[3]);

	return mix(h ^ k->w[4] ^ secret[4], secret[5] | 1);
}

static inline uint64_t tag_of(uint64_t hash)
{
	return hash >> TAG_SHIFT | 1; // never 0, so that a free slot matches nothing
}

static inline const struct turn_key *key_of(const struct turn_hash *h, const void *obj)
{
	return (const void *)((const uint8_t *)obj + h->key_off);
}

static inline void *object_of(uint64_t word)
{
	return (void *)(uintptr_t)(word & POINTER);
}

static inline uint64_t slot_load(const struct bucket *b, unsigned int i)
{
	return atomic_load_explicit(&((struct bucket *)(uintptr_t)b)->slot[i], memory_order_acquire);
}

static inline struct bucket *next_load(const struct bucket *b)
{
	return atomic_load_explicit(&((struct bucket *)(uintptr_t)b)->next, memory_order_acquire);
}

// Bit i: slot i has this tag.
static inline unsigned int match(const struct bucket *b, uint64_t tag)
{
#if defined(__SANITIZE_THREAD__)
	unsigned int m = 0;

	for (unsigned int i = 0; i < SLOTS; i++)
		m |= (unsigned int)(slot_load(b, i) >> TAG_SHIFT == tag) << i;
	return m;
#else
	// Aligned 16-byte loads, whose halves are single words of the table.
	const __m128i want = _mm_set1_epi64x((int64_t)tag);
	const __m128i *line = (const void *)b;
	unsigned int m = 0;

	for (unsigned int i = 0; i < 4; i++) {
		__m128i eq =
			_mm_cmpeq_epi64(_mm_srli_epi64(_mm_load_si128(line + i), TAG_SHIFT), want);

		m |= (unsigned int)_mm_movemask_pd(_mm_castsi128_pd(eq)) << 2 * i;
	}
	return m & ((1U << SLOTS) - 1);
#endif
}

static void *search(
	const struct turn_hash *h, const struct bucket *b, const struct turn_key *key, uint64_t tag)
{
	for (; b != NULL; b = next_load(b))
		for (unsigned int m = match(b, tag); m != 0; m &= m - 1) {
			uint64_t word = slot_load(b, (unsigned int)__builtin_ctz(m));
			void *obj = object_of(word);

			if (obj != NULL && turn_key_equal(key_of(h, obj), key))
				return obj;
		}
	return NULL;
}

static inline struct bucket *bucket_of(const struct turn_hash *h, uint64_t hash)
{
	return &h->buckets[hash & h->mask];
}

void *turn_hash_find(const struct turn_hash *h, const struct turn_key *key)
{
	uint64_t hash = hash_of(key);

	return search(h, bucket_of(h, hash), key, tag_of(hash));
}

// Three rounds, so that the misses of all keys overlap: bucket, object, comparison.
void turn_hash_lookup_bulk(
	const struct turn_hash *h, const struct turn_key *keys, uint32_t n, void **ret)
{
	uint64_t hash[TURN_HASH_BULK];

	for (uint32_t i = 0; i < n; i++) {
		hash[i] = hash_of(&keys[i]);
		rte_prefetch0(bucket_of(h, hash[i]));
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct bucket *b = bucket_of(h, hash[i]);
		unsigned int m = match(b, tag_of(hash[i]));

		ret[i] = m == 0 ? NULL : object_of(slot_load(b, (unsigned int)__builtin_ctz(m)));
		if (likely(ret[i] != NULL))
			for (unsigned int l = 0; l < h->lines; l++)
				rte_prefetch0((uint8_t *)ret[i] + 64 * l);
	}
	for (uint32_t i = 0; i < n; i++)
		if (unlikely(ret[i] == NULL || !turn_key_equal(key_of(h, ret[i]), &keys[i])))
			ret[i] = search(h, bucket_of(h, hash[i]), &keys[i], tag_of(hash[i]));
}

// ---- main ------------------------------------------------------------------------------------------

int turn_hash_init(struct turn_hash *h, uint16_t key_off, uint16_t lines, uint32_t max)
{
	uint32_t nb = rte_align32pow2(RTE_MAX(max / LOAD, 1U));

	*h = (struct turn_hash){.key_off = key_off, .lines = lines, .mask = nb - 1};
	h->buckets = pages_alloc(nb * sizeof(struct bucket));
	if (h->buckets == NULL)
		return -ENOMEM;
	pages_touch(h->buckets, nb * sizeof(struct bucket));
	return 0;
}

void turn_hash_fini(struct turn_hash *h)
{
	for (uint32_t i = 0; h->buckets != NULL && i <= h->mask; i++)
		for (struct bucket *b = next_load(&h->buckets[i]), *next; b != NULL; b = next) {
			next = next_load(b);
			free(b);
		}
	pages_free(h->buckets, (h->mask + 1) * sizeof(struct bucket));
	memset(h, 0, sizeof(*h));
}

int turn_hash_add(struct turn_hash *h, void *obj)
{
	uint64_t hash = hash_of(key_of(h, obj));
	uint64_t word = (uint64_t)(uintptr_t)obj | tag_of(hash) << TAG_SHIFT;
	struct bucket *b = bucket_of(h, hash), *last = b;

	for (; b != NULL; last = b, b = next_load(b))
		for (unsigned int i = 0; i < SLOTS; i++)
			if (slot_load(b, i) == 0) {
				atomic_store_explicit(&b->slot[i], word, memory_order_release);
				return 0;
			}
	b = aligned_alloc(FURTHER_ALIGN, sizeof(*b));
	if (b == NULL)
		return -ENOMEM;
	memset(b, 0, sizeof(*b));
	atomic_store_explicit(&b->slot[0], word, memory_order_relaxed);
	atomic_store_explicit(&last->next, b, memory_order_release);
	h->further++;
	return 0;
}

static _Atomic uint64_t *slot_find(const struct turn_hash *h, const void *obj)
{
	for (struct bucket *b = bucket_of(h, hash_of(key_of(h, obj))); b != NULL; b = next_load(b))
		for (unsigned int i = 0; i < SLOTS; i++)
			if (object_of(slot_load(b, i)) == obj)
				return &b->slot[i];
	return NULL;
}

void turn_hash_del(struct turn_hash *h, const void *obj)
{
	_Atomic uint64_t *slot = slot_find(h, obj);

	if (slot != NULL)
		atomic_store_explicit(slot, 0, memory_order_release);
}

uint64_t turn_hash_bytes(const struct turn_hash *h)
{
	return ((uint64_t)h->mask + 1 + h->further) * sizeof(struct bucket);
}
