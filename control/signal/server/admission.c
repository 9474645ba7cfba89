// SPDX-License-Identifier: BSD-3-Clause
//
// Token buckets, and a table of connections that forgets idle ones.
#include "admission.h"

#include "server.h"

#include <glib.h>

#define BURST_S      10
#define FORGET_AFTER (60 * G_USEC_PER_SEC)

struct connections {
	GHashTable *by_name; // of struct connection *
};

bool bucket_take(struct bucket *b, uint32_t per_second, int64_t now)
{
	double full = (double)per_second * BURST_S;

	if (b->filled == 0)
		b->tokens = full;
	else
		b->tokens += (double)(now - b->filled) / G_USEC_PER_SEC * per_second;
	b->filled = now;
	b->tokens = MIN(b->tokens, full);
	if (b->tokens < 1)
		return false;
	b->tokens -= 1;
	return true;
}

struct connections *connections_new(void)
{
	struct connections *c = g_new0(struct connections, 1);

	c->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	return c;
}

void connections_free(struct connections *c)
{
	if (!c)
		return;
	g_hash_table_unref(c->by_name);
	g_free(c);
}

struct connection *connections_get(struct connections *c, const char *name, int64_t now)
{
	struct connection *n = g_hash_table_lookup(c->by_name, name);

	if (!n && g_hash_table_size(c->by_name) >= SERVER_CONNECTIONS_MAX)
		return NULL;
	if (!n) {
		n = g_new0(struct connection, 1);
		g_hash_table_insert(c->by_name, g_strdup(name), n);
	}
	n->used = now;
	return n;
}

void connections_sweep(struct connections *c, int64_t now)
{
	GHashTableIter iter;
	void *value;

	g_hash_table_iter_init(&iter, c->by_name);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct connection *n = value;

		if (n->streams == 0 && now - n->used > FORGET_AFTER)
			g_hash_table_iter_remove(&iter);
	}
}

uint32_t connections_count(const struct connections *c)
{
	return g_hash_table_size(c->by_name);
}
