// SPDX-License-Identifier: BSD-3-Clause
//
// Limits per source and user; see limits.h. Main loop thread.
#include "limits.h"

#include "../addr.h"

#include <sodium.h>

#include <string.h>

#define MILLI 1000u

void turn_sources_init(struct turn_sources *s)
{
	memset(s, 0, sizeof(*s));
	randombytes_buf(s->key, sizeof(s->key));
	s->buckets = g_new0(struct turn_source_bucket, TURN_SOURCE_BUCKETS);
}

void turn_sources_fini(struct turn_sources *s)
{
	g_free(s->buckets);
	memset(s, 0, sizeof(*s));
}

static struct st_addr source_of(const struct st_addr *addr)
{
	struct st_addr a = *addr;

	if (!addr_is_v4(addr))
		memset(a.b + 8, 0, 8);
	return a;
}

static struct turn_source_bucket *find(
	struct turn_sources *s, const struct st_addr *addr, uint32_t now_ms, uint32_t full)
{
	struct st_addr a = source_of(addr);
	struct turn_source_bucket *set, *oldest;
	uint64_t hash;

	crypto_shorthash((uint8_t *)&hash, a.b, sizeof(a.b), s->key);
	hash |= 1; // never "free"
	set = s->buckets + (hash >> 1) % (TURN_SOURCE_BUCKETS / TURN_SOURCE_WAYS) * TURN_SOURCE_WAYS;
	oldest = set;
	for (int i = 0; i < TURN_SOURCE_WAYS; i++) {
		if (set[i].source == hash)
			return &set[i];
		if (!set[i].source ||
			(oldest->source && now_ms - set[i].last_ms > now_ms - oldest->last_ms))
			oldest = &set[i];
	}
	*oldest = (struct turn_source_bucket){hash, now_ms, full};
	return oldest;
}

bool turn_sources_take(struct turn_sources *s, const struct st_addr *addr, uint64_t now_ms,
	uint32_t per_s, uint32_t burst)
{
	uint32_t now = (uint32_t)now_ms;
	uint64_t tokens;
	struct turn_source_bucket *b;

	if (!per_s)
		return true;
	b = find(s, addr, now, burst * MILLI);
	tokens = b->millitokens + (uint64_t)(now - b->last_ms) * per_s;
	b->last_ms = now;
	b->millitokens = (uint32_t)MIN(tokens, (uint64_t)burst * MILLI);
	if (b->millitokens < MILLI) {
		s->limited++;
		return false;
	}
	b->millitokens -= MILLI;
	return true;
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
	struct st_addr a = source_of(addr);
	char text[ADDR_TEXT_MAX];

	return g_strdup(addr_text(text, &a));
}
