// SPDX-License-Identifier: BSD-3-Clause
//
// Limits per source and user; see limits.h. Main loop thread.
#include "limits.h"

#include "../addr.h"

#include <sodium.h>

#include <string.h>

void turn_buckets_init(struct turn_buckets *b)
{
	memset(b, 0, sizeof(*b));
	randombytes_buf(b->key, sizeof(b->key));
	b->table = g_new0(struct turn_bucket, TURN_BUCKETS);
}

void turn_buckets_fini(struct turn_buckets *b)
{
	g_free(b->table);
	memset(b, 0, sizeof(*b));
}

struct st_addr turn_source_of(const struct st_addr *addr)
{
	struct st_addr a = *addr;

	if (!addr_is_v4(addr))
		memset(a.b + 8, 0, 8);
	return a;
}

static struct turn_bucket *find(
	struct turn_buckets *b, const void *name, size_t len, uint32_t now_ms, uint32_t full)
{
	struct turn_bucket *set, *oldest;
	uint64_t hash;

	crypto_shorthash((uint8_t *)&hash, name, len, b->key);
	hash |= 1; // never "free"
	set = b->table + (hash >> 1) % (TURN_BUCKETS / TURN_BUCKET_WAYS) * TURN_BUCKET_WAYS;
	oldest = set;
	for (int i = 0; i < TURN_BUCKET_WAYS; i++) {
		if (set[i].owner == hash)
			return &set[i];
		if (!set[i].owner ||
			(oldest->owner && now_ms - set[i].last_ms > now_ms - oldest->last_ms))
			oldest = &set[i];
	}
	*oldest = (struct turn_bucket){hash, now_ms, (float)full};
	return oldest;
}

bool turn_buckets_take(struct turn_buckets *b, const void *name, size_t len,
	const struct turn_rate *rate, unsigned int n, uint64_t now_ms)
{
	uint32_t now = (uint32_t)now_ms;
	struct turn_bucket *x;
	float came;

	if (!rate->tokens)
		return true;
	x = find(b, name, len, now, rate->burst);
	came = (float)(now - x->last_ms) * (float)rate->tokens / (float)rate->period_ms;
	x->last_ms = now;
	x->tokens = MIN(x->tokens + came, (float)rate->burst);
	if (x->tokens < (float)n) {
		b->limited++;
		return false;
	}
	x->tokens -= (float)n;
	return true;
}

// ---- bytes -----------------------------------------------------------------------------------------

void turn_bytes_fill(struct turn_bytes *b, uint64_t per_s, uint64_t burst, uint64_t now_ms)
{
	b->left = MIN((double)burst, b->left + (double)(now_ms - b->at_ms) * (double)per_s / 1000);
	b->at_ms = now_ms;
}

// ---- counts by name --------------------------------------------------------------------------------

struct turn_counts {
	GHashTable *table; // name -> GUINT_TO_POINTER(count)
};

struct turn_counts *turn_counts_new(void)
{
	struct turn_counts *c = g_new0(struct turn_counts, 1);

	c->table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	return c;
}

void turn_counts_free(struct turn_counts *c)
{
	if (!c)
		return;
	g_hash_table_destroy(c->table);
	g_free(c);
}

unsigned int turn_counts_get(const struct turn_counts *c, const char *name)
{
	return name ? GPOINTER_TO_UINT(g_hash_table_lookup(c->table, name)) : 0;
}

void turn_counts_add(struct turn_counts *c, const char *name)
{
	if (name)
		g_hash_table_replace(
			c->table, g_strdup(name), GUINT_TO_POINTER(turn_counts_get(c, name) + 1));
}

void turn_counts_sub(struct turn_counts *c, const char *name)
{
	unsigned int n = turn_counts_get(c, name);

	if (n > 1)
		g_hash_table_replace(c->table, g_strdup(name), GUINT_TO_POINTER(n - 1));
	else if (n)
		g_hash_table_remove(c->table, name);
}

unsigned int turn_counts_size(const struct turn_counts *c)
{
	return g_hash_table_size(c->table);
}

char *turn_source_name(const struct st_addr *addr)
{
	struct st_addr a = turn_source_of(addr);
	char text[ADDR_TEXT_MAX];

	return g_strdup(addr_text(text, &a));
}
