// SPDX-License-Identifier: BSD-3-Clause
//
// Free keys are chained through their own memory.
#include "keyring.h"

#include <glib.h>
#include <sodium.h>

#define KEYS_OF_PAGE 127

union slot {
	struct box_key key;
	union slot *next;
};

struct keyring {
	GPtrArray *pages; // of union slot[KEYS_OF_PAGE], sodium_malloc
	union slot *free;
};

struct keyring *keyring_new(void)
{
	struct keyring *k = g_new0(struct keyring, 1);

	k->pages = g_ptr_array_new_with_free_func(sodium_free);
	return k;
}

void keyring_free(struct keyring *k)
{
	if (!k)
		return;
	g_ptr_array_unref(k->pages);
	g_free(k);
}

static bool grow(struct keyring *k)
{
	union slot *page = sodium_allocarray(KEYS_OF_PAGE, sizeof(*page));

	if (!page)
		return false;
	g_ptr_array_add(k->pages, page);
	for (int i = 0; i < KEYS_OF_PAGE; i++) {
		page[i].next = k->free;
		k->free = &page[i];
	}
	return true;
}

struct box_key *keyring_get(struct keyring *k)
{
	union slot *s;

	if (!k->free && !grow(k))
		return NULL;
	s = k->free;
	k->free = s->next;
	return &s->key;
}

void keyring_put(struct keyring *k, struct box_key *key)
{
	union slot *s = (union slot *)key;

	if (!s)
		return;
	sodium_memzero(s, sizeof(*s));
	s->next = k->free;
	k->free = s;
}
