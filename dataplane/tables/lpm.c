// SPDX-License-Identifier: BSD-3-Clause
//
// A path-compressed binary trie per family. A node is immutable but for its value and its two children;
// every change of the trie is one release store of a pointer (or of a value), and each state in between
// is a whole trie, so lookups need no lock. Unlinked nodes keep their children until they are freed.
//
//	10.0.0.0/8 -> a          set 10.1.0.0/16 -> b, 10.2.0.0/16 -> c
//
//	   [8: a]                    [8: a]
//	                                \ bit 8
//	                             [14: fork, no value]
//	                             / bit 14    \ .
//	                        [16: b]        [16: c]
#include "lpm.h"

#include "../reclaim.h"

#include <rte_byteorder.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct bits {
	uint64_t hi, lo; // host order
};

struct node {
	struct bits key;
	struct bits mask;
	struct node *_Atomic child[2]; // main: wo, lcore: ro
	void *_Atomic value;           // main: wo, lcore: ro; NULL = a fork
	uint32_t plen;
	uint32_t pad;
};
_Static_assert(sizeof(struct node) <= 64, "one cache line per step of a lookup");

struct lpm {
	struct node *_Atomic root[2]; // by family; main: wo, lcore: ro
	unsigned int count;
};

static struct bits bits_of(const struct st_addr *a)
{
	uint64_t w[2];

	memcpy(w, a->b, sizeof(w));
	return (struct bits){.hi = rte_be_to_cpu_64(w[0]), .lo = rte_be_to_cpu_64(w[1])};
}

static struct bits mask_of(unsigned int plen)
{
	struct bits m = {.hi = UINT64_MAX, .lo = UINT64_MAX};

	if (plen < 64) {
		m.hi = plen == 0 ? 0 : UINT64_MAX << (64 - plen);
		m.lo = 0;
	} else if (plen < 128) {
		m.lo = plen == 64 ? 0 : UINT64_MAX << (128 - plen);
	}
	return m;
}

// Bit i of a, counted from the front; i < 128.
static inline unsigned int bit_at(struct bits a, unsigned int i)
{
	return (unsigned int)((i < 64 ? a.hi >> (63 - i) : a.lo >> (127 - i)) & 1);
}

static inline bool node_covers(const struct node *n, struct bits a)
{
	return (((n->key.hi ^ a.hi) & n->mask.hi) | ((n->key.lo ^ a.lo) & n->mask.lo)) == 0;
}

static unsigned int common_len(struct bits a, struct bits b)
{
	if (a.hi != b.hi)
		return (unsigned int)__builtin_clzll(a.hi ^ b.hi);
	if (a.lo != b.lo)
		return 64 + (unsigned int)__builtin_clzll(a.lo ^ b.lo);
	return 128;
}

static struct node *node_new(struct bits key, unsigned int plen, void *value)
{
	struct node *n = aligned_alloc(64, 64);

	if (n == NULL)
		return NULL;
	memset(n, 0, sizeof(*n));
	n->mask = mask_of(plen);
	n->key = (struct bits){.hi = key.hi & n->mask.hi, .lo = key.lo & n->mask.lo};
	n->plen = plen;
	atomic_init(&n->value, value);
	return n;
}

static inline struct node *load(struct node *const _Atomic *p)
{
	return atomic_load_explicit((struct node * _Atomic *)p, memory_order_acquire);
}

static void publish(struct node *_Atomic *p, struct node *n)
{
	atomic_store_explicit(p, n, memory_order_release);
}

struct lpm *lpm_new(void)
{
	return calloc(1, sizeof(struct lpm));
}

static void node_free_all(struct node *n)
{
	if (n == NULL)
		return;
	node_free_all(load(&n->child[0])); // at most 128 deep
	node_free_all(load(&n->child[1]));
	free(n);
}

void lpm_free(struct lpm *l)
{
	if (l == NULL)
		return;
	node_free_all(load(&l->root[0]));
	node_free_all(load(&l->root[1]));
	free(l);
}

unsigned int lpm_count(const struct lpm *l)
{
	return l->count;
}

// Puts leaf where node n is: above n when leaf covers it, else both below a new fork.
static int split(struct node *_Atomic *at, struct node *n, struct node *leaf)
{
	unsigned int common = common_len(n->key, leaf->key);
	struct node *fork;

	if (common >= leaf->plen) {
		atomic_init(&leaf->child[bit_at(n->key, leaf->plen)], n);
		publish(at, leaf);
		return 0;
	}
	fork = node_new(leaf->key, common, NULL);
	if (fork == NULL)
		return -ENOMEM;
	atomic_init(&fork->child[bit_at(n->key, common)], n);
	atomic_init(&fork->child[bit_at(leaf->key, common)], leaf);
	publish(at, fork);
	return 0;
}

int lpm_set(struct lpm *l, bool ipv6, const struct st_prefix *p, void *value, void **ret_old)
{
	struct node *_Atomic *at = &l->root[ipv6];
	struct bits key = bits_of(&p->addr);
	struct node *n, *leaf;

	if (value == NULL || p->plen > 128)
		return -EINVAL;
	for (n = load(at); n != NULL && n->plen <= p->plen && node_covers(n, key); n = load(at)) {
		if (n->plen == p->plen) {
			void *old = atomic_load_explicit(&n->value, memory_order_relaxed);

			atomic_store_explicit(&n->value, value, memory_order_release);
			l->count += old == NULL;
			*ret_old = old;
			return 0;
		}
		at = &n->child[bit_at(key, n->plen)];
	}
	leaf = node_new(key, p->plen, value);
	if (leaf == NULL)
		return -ENOMEM;
	if (n == NULL) {
		publish(at, leaf);
	} else if (split(at, n, leaf) < 0) {
		free(leaf);
		return -ENOMEM;
	}
	l->count++;
	*ret_old = NULL;
	return 0;
}

// Takes n out of the trie if it has no value and at most one child. True if it did.
static bool prune(struct node *_Atomic *at, struct node *n)
{
	struct node *c0 = load(&n->child[0]), *c1 = load(&n->child[1]);

	if (atomic_load_explicit(&n->value, memory_order_relaxed) != NULL ||
		(c0 != NULL && c1 != NULL))
		return false;
	publish(at, c0 != NULL ? c0 : c1);
	reclaim_later(free, n);
	return true;
}

void *lpm_del(struct lpm *l, bool ipv6, const struct st_prefix *p)
{
	struct node *_Atomic *at = &l->root[ipv6], *_Atomic *above = NULL;
	struct bits key = bits_of(&p->addr);
	struct node *n, *parent = NULL;
	void *old;

	for (n = load(at); n != NULL && n->plen < p->plen && node_covers(n, key); n = load(at)) {
		above = at;
		parent = n;
		at = &n->child[bit_at(key, n->plen)];
	}
	if (n == NULL || n->plen != p->plen || !node_covers(n, key))
		return NULL;
	old = atomic_load_explicit(&n->value, memory_order_relaxed);
	if (old == NULL)
		return NULL;
	atomic_store_explicit(&n->value, NULL, memory_order_release);
	l->count--;
	// Only the loss of a leaf can make its parent superfluous, never more than that one.
	if (prune(at, n) && parent != NULL)
		prune(above, parent);
	return old;
}

void *lpm_lookup_plen(const struct lpm *l, bool ipv6, const struct st_addr *a, uint8_t *ret_plen)
{
	struct bits key = bits_of(a);
	const struct node *n = load(&l->root[ipv6]);
	void *best = NULL;

	while (n != NULL && node_covers(n, key)) {
		void *value = atomic_load_explicit(
			(void *_Atomic *)&((struct node *)(uintptr_t)n)->value, memory_order_acquire);

		if (value != NULL) {
			best = value;
			*ret_plen = (uint8_t)n->plen;
		}
		if (n->plen == 128)
			break;
		n = load(&n->child[bit_at(key, n->plen)]);
	}
	return best;
}

void *lpm_lookup(const struct lpm *l, bool ipv6, const struct st_addr *a)
{
	uint8_t plen;

	return lpm_lookup_plen(l, ipv6, a, &plen);
}
