// SPDX-License-Identifier: BSD-3-Clause
//
// Receiver indices; see wg_index.h. Main loop thread.
#include "wg_index.h"

#include "../../crypto/messages.h"

#include <glib.h>
#include <sodium.h>

struct wg_index {
	GHashTable *owners; // index -> owner
};

struct wg_index *wg_index_new(void)
{
	struct wg_index *x = g_new0(struct wg_index, 1);

	x->owners = g_hash_table_new(g_direct_hash, g_direct_equal);
	return x;
}

void wg_index_free(struct wg_index *x)
{
	if (!x)
		return;
	g_hash_table_destroy(x->owners);
	g_free(x);
}

bool wg_index_take(struct wg_index *x, uint32_t index, void *owner)
{
	if (!index || index == INDEX_STUN_COOKIE || wg_index_find(x, index))
		return false;
	g_hash_table_insert(x->owners, GUINT_TO_POINTER(index), owner);
	return true;
}

uint32_t wg_index_alloc(struct wg_index *x, void *owner)
{
	uint32_t index;

	// At most a few entries per peer in 2^32: this ends at once.
	do
		index = randombytes_random();
	while (!wg_index_take(x, index, owner));
	return index;
}

void *wg_index_find(const struct wg_index *x, uint32_t index)
{
	return g_hash_table_lookup(x->owners, GUINT_TO_POINTER(index));
}

void wg_index_put(struct wg_index *x, uint32_t index)
{
	g_hash_table_remove(x->owners, GUINT_TO_POINTER(index));
}

unsigned int wg_index_count(const struct wg_index *x)
{
	return g_hash_table_size(x->owners);
}
