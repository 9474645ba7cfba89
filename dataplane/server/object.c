// SPDX-License-Identifier: BSD-3-Clause
//
// The generic object store: per kind a chained hash that grows with its content, a bucket at a time so that
// main never stops for it, and a list in the order of arrival; over all kinds one heap of expiries. Handlers
// may delete other objects from inside set() and del(), so nothing here keeps a pointer over a handler call
// without looking again. main only.
#include "object.h"

#include "../tables/slab.h"

#include <rte_common.h>
#include <rte_jhash.h>
#include <sodium.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KINDS_MAX    32
#define BUCKETS_INIT 64 // power of two

struct object {
	struct object *chain;                   // in its bucket
	struct object *prev, *next;             // in its kind's list
	struct object *owned_prev, *owned_next; // in its owner's list
	uint64_t expiry;                        // ms of the store's clock, 0 = never
	size_t heap_at;                         // place in the heap, valid while expiry != 0
	uint16_t blob_len;
	uint8_t slot; // of its kind
	bool marked;
	_Alignas(uint64_t) uint8_t data[]; // body, then blob
};

struct kind_state {
	const struct object_kind *kind;
	// Linear hashing: each new object splits the next of the `level` buckets that the round began with.
	// There is address space for `room` of them from the beginning.
	struct object **buckets;
	uint32_t nb_buckets, level, room;
	uint32_t count, max;
	struct object *head, *tail;
	struct object **owned; // by owner, NULL: the kind has none
	struct object_cursor *cursors;
};

static struct {
	struct kind_state kinds[KINDS_MAX];
	unsigned int nb_kinds;
	struct object **heap; // by expiry
	size_t heap_len, heap_room;
	uint64_t now;
	uint32_t setting_expiry;
	bool in_place;
} store;

static struct kind_state *state_find(uint16_t kind)
{
	for (unsigned int i = 0; i < store.nb_kinds; i++)
		if (store.kinds[i].kind->kind == kind)
			return &store.kinds[i];
	return NULL;
}

const struct object_kind *object_kind_find(uint16_t kind)
{
	struct kind_state *ks = state_find(kind);

	return ks == NULL ? NULL : ks->kind;
}

// ---- heap of expiries ----

static void heap_put(size_t i, struct object *o)
{
	store.heap[i] = o;
	o->heap_at = i;
}

static void heap_up(size_t i, struct object *o)
{
	while (i > 0 && store.heap[(i - 1) / 2]->expiry > o->expiry) {
		heap_put(i, store.heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(i, o);
}

static void heap_down(size_t i, struct object *o)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= store.heap_len)
			break;
		if (child + 1 < store.heap_len &&
			store.heap[child + 1]->expiry < store.heap[child]->expiry)
			child++;
		if (store.heap[child]->expiry >= o->expiry)
			break;
		heap_put(i, store.heap[child]);
		i = child;
	}
	heap_put(i, o);
}

// Room for one more, so that the insertion after a handler's success cannot fail.
static int heap_reserve(void)
{
	size_t room = store.heap_room == 0 ? 64 : 2 * store.heap_room;
	struct object **heap;

	if (store.heap_len < store.heap_room)
		return 0;
	heap = realloc(store.heap, room * sizeof(*heap));
	if (heap == NULL)
		return -ENOMEM;
	store.heap = heap;
	store.heap_room = room;
	return 0;
}

static void heap_insert(struct object *o)
{
	heap_up(store.heap_len++, o);
}

static void heap_remove(struct object *o)
{
	size_t i = o->heap_at;
	struct object *last = store.heap[--store.heap_len];

	if (last == o)
		return;
	if (i > 0 && store.heap[(i - 1) / 2]->expiry > last->expiry)
		heap_up(i, last);
	else
		heap_down(i, last);
}

// ---- hash and list ----

static uint32_t bucket_of(const struct kind_state *ks, const void *key)
{
	uint32_t hash = rte_jhash(key, ks->kind->key_len, ks->kind->kind);
	uint32_t b = hash & (2 * ks->level - 1);

	return b < ks->nb_buckets ? b : hash & (ks->level - 1);
}

static struct object *find(const struct kind_state *ks, const void *key)
{
	struct object *o = ks->buckets[bucket_of(ks, key)];

	while (o != NULL && memcmp(o->data, key, ks->kind->key_len) != 0)
		o = o->chain;
	return o;
}

static void owned_link(struct kind_state *ks, struct object *o)
{
	struct object **head;

	if (ks->owned == NULL)
		return;
	head = &ks->owned[ks->kind->owner(o->data)];
	o->owned_prev = NULL;
	o->owned_next = *head;
	if (*head != NULL)
		(*head)->owned_prev = o;
	*head = o;
}

static void owned_unlink(struct kind_state *ks, struct object *o)
{
	if (ks->owned == NULL)
		return;
	if (o->owned_prev != NULL)
		o->owned_prev->owned_next = o->owned_next;
	else
		ks->owned[ks->kind->owner(o->data)] = o->owned_next;
	if (o->owned_next != NULL)
		o->owned_next->owned_prev = o->owned_prev;
}

// One bucket more: what belongs into it stood in the one `level` in front of it.
static void grow(struct kind_state *ks)
{
	struct object **from = &ks->buckets[ks->nb_buckets - ks->level], *o = *from, *next;

	if (ks->count < ks->nb_buckets || ks->nb_buckets == ks->room)
		return;
	ks->nb_buckets++;
	*from = NULL;
	for (; o != NULL; o = next) {
		uint32_t b = bucket_of(ks, o->data);

		next = o->chain;
		o->chain = ks->buckets[b];
		ks->buckets[b] = o;
	}
	if (ks->nb_buckets == 2 * ks->level)
		ks->level *= 2;
}

static void link_new(struct kind_state *ks, struct object *o)
{
	uint32_t b = bucket_of(ks, o->data);

	o->chain = ks->buckets[b];
	ks->buckets[b] = o;
	o->prev = ks->tail;
	o->next = NULL;
	if (ks->tail != NULL)
		ks->tail->next = o;
	else
		ks->head = o;
	ks->tail = o;
	ks->count++;
	owned_link(ks, o);
	for (struct object_cursor *c = ks->cursors; c != NULL; c = c->link)
		if (c->at == NULL)
			c->at = o;
	if (o->expiry != 0)
		heap_insert(o);
	grow(ks);
}

static void unlink_object(struct kind_state *ks, struct object *o)
{
	struct object **p = &ks->buckets[bucket_of(ks, o->data)];

	while (*p != o)
		p = &(*p)->chain;
	*p = o->chain;
	if (o->prev != NULL)
		o->prev->next = o->next;
	else
		ks->head = o->next;
	if (o->next != NULL)
		o->next->prev = o->prev;
	else
		ks->tail = o->prev;
	ks->count--;
	owned_unlink(ks, o);
	for (struct object_cursor *c = ks->cursors; c != NULL; c = c->link)
		if (c->at == o)
			c->at = o->next;
	if (o->expiry != 0)
		heap_remove(o);
}

// The new version takes the place of the old one in chain and list.
static void replace(struct kind_state *ks, struct object *old, struct object *o)
{
	struct object **p = &ks->buckets[bucket_of(ks, old->data)];

	while (*p != old)
		p = &(*p)->chain;
	o->chain = old->chain;
	*p = o;
	o->prev = old->prev;
	o->next = old->next;
	if (o->prev != NULL)
		o->prev->next = o;
	else
		ks->head = o;
	if (o->next != NULL)
		o->next->prev = o;
	else
		ks->tail = o;
	owned_unlink(ks, old);
	owned_link(ks, o);
	for (struct object_cursor *c = ks->cursors; c != NULL; c = c->link)
		if (c->at == old)
			c->at = o;
	if (old->expiry != 0)
		heap_remove(old);
	if (o->expiry != 0)
		heap_insert(o);
}

static void object_free(const struct kind_state *ks, struct object *o)
{
	sodium_memzero(o->data, (size_t)ks->kind->body_len + o->blob_len);
	free(o);
}

static void remove_object(struct kind_state *ks, struct object *o)
{
	unlink_object(ks, o);
	ks->kind->del(o->data);
	object_free(ks, o);
}

// ---- the store ----

static int buckets_reserve(struct kind_state *ks, uint32_t max)
{
	uint32_t room = rte_align32pow2(RTE_MAX(max, (uint32_t)BUCKETS_INIT));
	struct object **buckets = pages_reserve(room * sizeof(struct object *));

	if (buckets == NULL)
		return -ENOMEM;
	pages_free(ks->buckets, ks->room * sizeof(struct object *));
	ks->buckets = buckets;
	ks->room = room;
	ks->nb_buckets = ks->level = BUCKETS_INIT;
	return 0;
}

int objects_init(void)
{
	memset(&store, 0, sizeof(store));
	for (const struct object_kind *k = object_kinds; k->kind != 0; k++) {
		struct kind_state *ks = &store.kinds[store.nb_kinds];

		if (store.nb_kinds == KINDS_MAX)
			return -ENOSPC;
		ks->kind = k;
		ks->max = k->max;
		if (buckets_reserve(ks, k->max) < 0)
			return -ENOMEM;
		ks->owned = k->owner == NULL ? NULL : pages_reserve(k->owners * sizeof(*ks->owned));
		if (k->owner != NULL && ks->owned == NULL)
			return -ENOMEM;
		store.nb_kinds++;
	}
	return 0;
}

void object_limit(uint16_t kind, uint32_t max)
{
	struct kind_state *ks = state_find(kind);

	if (ks == NULL)
		return;
	ks->max = max;
	if (ks->count == 0 && max > ks->room)
		(void)buckets_reserve(ks, max); // else chains become longer
}

void objects_fini(void)
{
	for (unsigned int i = store.nb_kinds; i-- > 0;) {
		struct kind_state *ks = &store.kinds[i];

		while (ks->tail != NULL)
			remove_object(ks, ks->tail);
		pages_free(ks->buckets, ks->room * sizeof(struct object *));
		pages_free(ks->owned, ks->kind->owners * sizeof(struct object *));
		ks->owned = NULL; // handlers of earlier kinds ask for it
	}
	free(store.heap);
	memset(&store, 0, sizeof(store));
}

void object_clear(uint16_t kind)
{
	struct kind_state *ks = state_find(kind);

	while (ks != NULL && ks->tail != NULL)
		remove_object(ks, ks->tail);
}

static struct object *object_new(const struct kind_state *ks, const void *body, const void *blob,
	uint16_t blob_len, uint32_t expiry_ms)
{
	struct object *o = calloc(1, sizeof(*o) + ks->kind->body_len + blob_len);

	if (o == NULL)
		return NULL;
	o->slot = (uint8_t)(ks - store.kinds);
	o->blob_len = blob_len;
	o->expiry = expiry_ms == 0 ? 0 : store.now + expiry_ms;
	memcpy(o->data, body, ks->kind->body_len);
	if (blob_len > 0)
		memcpy(o->data + ks->kind->body_len, blob, blob_len);
	return o;
}

int object_set(uint16_t kind, const void *body, uint16_t body_len, const void *blob,
	uint16_t blob_len, uint32_t expiry_ms)
{
	struct kind_state *ks = state_find(kind);
	struct object *old, *o;
	int rc;

	if (ks == NULL)
		return -ENOTSUP;
	if (body_len != ks->kind->body_len || blob_len > ST_BLOB_MAX)
		return -EINVAL;
	old = find(ks, body);
	if (old != NULL && (ks->kind->flags & KIND_F_ONCE) != 0)
		return -EEXIST;
	if (old == NULL && ks->count >= ks->max)
		return -ENOSPC;
	o = object_new(ks, body, blob, blob_len, expiry_ms);
	if (o == NULL || heap_reserve() < 0) {
		free(o);
		return -ENOMEM;
	}
	store.setting_expiry = expiry_ms;
	store.in_place = false;
	rc = ks->kind->set(o->data, old == NULL ? NULL : old->data);
	if (rc < 0) {
		object_free(ks, o);
		return rc;
	}
	if ((ks->kind->flags & KIND_F_SECRET) != 0 && ks->kind->scrub != NULL)
		ks->kind->scrub(o->data);
	old = find(ks, body);
	if (old != NULL) {
		replace(ks, old, o);
		object_free(ks, old);
	} else {
		link_new(ks, o);
	}
	return 0;
}

int object_del(uint16_t kind, const void *key, uint16_t key_len)
{
	struct kind_state *ks = state_find(kind);
	struct object *o;

	if (ks == NULL)
		return -ENOTSUP;
	if (key_len != ks->kind->key_len)
		return -EINVAL;
	o = find(ks, key);
	if (o == NULL)
		return -ENOENT;
	remove_object(ks, o);
	return 0;
}

const void *object_find(uint16_t kind, const void *key)
{
	struct kind_state *ks = state_find(kind);
	struct object *o = ks == NULL ? NULL : find(ks, key);

	return o == NULL ? NULL : o->data;
}

const void *object_owned(uint16_t kind, uint32_t owner)
{
	struct kind_state *ks = state_find(kind);

	if (ks == NULL || ks->owned == NULL || owner >= ks->kind->owners || ks->owned[owner] == NULL)
		return NULL;
	return ks->owned[owner]->data;
}

uint32_t object_setting_expiry(void)
{
	return store.setting_expiry;
}

void object_set_in_place(void)
{
	store.in_place = true;
}

bool object_was_set_in_place(void)
{
	return store.in_place;
}

uint64_t object_count(uint16_t kind)
{
	struct kind_state *ks = state_find(kind);

	return ks == NULL ? 0 : ks->count;
}

// ---- iteration ----

int object_cursor_open(struct object_cursor *c, uint16_t kind)
{
	struct kind_state *ks = state_find(kind);

	if (ks == NULL)
		return -ENOTSUP;
	*c = (struct object_cursor){.at = ks->head, .kind = kind, .link = ks->cursors};
	ks->cursors = c;
	return 0;
}

static uint32_t expiry_left(const struct object *o)
{
	uint64_t left;

	if (o->expiry == 0)
		return 0;
	left = o->expiry > store.now ? o->expiry - store.now : 1;
	return left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
}

bool object_cursor_next(struct object_cursor *c, struct object_view *ret_view)
{
	struct kind_state *ks = state_find(c->kind);
	struct object *o = c->at;

	if (o == NULL)
		return false;
	c->at = o->next;
	*ret_view = (struct object_view){
		.body = o->data,
		.blob = o->data + ks->kind->body_len,
		.body_len = ks->kind->body_len,
		.blob_len = o->blob_len,
		.expiry_left_ms = expiry_left(o),
	};
	return true;
}

void object_cursor_close(struct object_cursor *c)
{
	struct kind_state *ks = state_find(c->kind);
	struct object_cursor **p;

	if (ks == NULL)
		return;
	for (p = &ks->cursors; *p != NULL; p = &(*p)->link)
		if (*p == c) {
			*p = c->link;
			return;
		}
}

void object_each(uint16_t kind,
	void (*fn)(const void *body, const void *blob, uint16_t blob_len, uint32_t expiry_left_ms,
		void *arg),
	void *arg)
{
	struct object_cursor c;
	struct object_view v;

	if (object_cursor_open(&c, kind) < 0)
		return;
	while (object_cursor_next(&c, &v))
		fn(v.body, v.blob, v.blob_len, v.expiry_left_ms, arg);
	object_cursor_close(&c);
}

// ---- mark and sweep, expiry ----

void object_sync_begin(void)
{
	for (unsigned int i = 0; i < store.nb_kinds; i++) {
		struct kind_state *ks = &store.kinds[i];

		if ((ks->kind->flags & KIND_F_KEEP) != 0)
			continue;
		for (struct object *o = ks->head; o != NULL; o = o->next)
			o->marked = true;
	}
}

unsigned int object_sync_end(void)
{
	unsigned int swept = 0;

	for (unsigned int i = store.nb_kinds; i-- > 0;) {
		struct kind_state *ks = &store.kinds[i];
		struct object_cursor c = {
			.at = ks->head, .kind = ks->kind->kind, .link = ks->cursors};

		// A registered cursor, because a handler may remove neighbours in the list.
		ks->cursors = &c;
		while (c.at != NULL) {
			struct object *o = c.at;

			c.at = o->next;
			if (!o->marked)
				continue;
			remove_object(ks, o);
			swept++;
		}
		object_cursor_close(&c);
	}
	return swept;
}

void object_clock(uint64_t now)
{
	store.now = now;
}

bool object_expire(uint64_t now, void (*expired)(uint16_t kind, const void *key, uint16_t key_len))
{
	unsigned int n = 0;

	store.now = now;
	while (store.heap_len > 0 && store.heap[0]->expiry <= now && n++ < OBJECT_EXPIRE_MAX) {
		struct object *o = store.heap[0];
		struct kind_state *ks = &store.kinds[o->slot];

		unlink_object(ks, o);
		ks->kind->del(o->data);
		expired(ks->kind->kind, o->data, ks->kind->key_len);
		object_free(ks, o);
	}
	return store.heap_len > 0 && store.heap[0]->expiry <= now;
}
