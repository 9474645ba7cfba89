// SPDX-License-Identifier: BSD-3-Clause
//
// The object store of main: for each kind a hash from key to body, control blob, expiry and sync mark.
// It answers DUMP, does mark and sweep and expiry, and calls the kind's handlers, which publish to the
// lcores. main only.
#pragma once

#include "../api/st_api.h"

#include <stdbool.h>
#include <stdint.h>

#define KIND_F_ONCE   0x1 // SET of a known key is -EEXIST
#define KIND_F_KEEP   0x2 // SYNC leaves it alone
#define KIND_F_SECRET 0x4 // scrub() blanks the stored copy's secrets right after set()

struct object_kind {
	uint16_t kind;
	const char *name;
	uint16_t key_len;
	uint16_t body_len;
	uint32_t flags;
	uint32_t max;                                  // cap; one more is -ENOSPC
	int (*set)(const void *body, const void *old); // old NULL = new; on error the old stays
	void (*del)(const void *body);
	void (*scrub)(void *body);
	// Objects of one owner are found by its number, which is below `owners`. NULL: they have none.
	uint32_t (*owner)(const void *body);
	uint32_t owners;
};
extern const struct object_kind object_kinds[]; // ends with kind 0; in object_kinds.c, visible in one place

int objects_init(void);
void object_limit(uint16_t kind, uint32_t max); // another cap than the table of kinds has
void objects_fini(void);                        // deletes every object, later kinds first
void object_clear(uint16_t kind);               // deletes every object of a kind
int object_set(uint16_t kind, const void *body, uint16_t body_len, const void *blob,
	uint16_t blob_len, uint32_t expiry_ms);
int object_del(uint16_t kind, const void *key, uint16_t key_len);
// Handlers that remove what another object owns (a peer's keys) use this as well.
const void *object_find(uint16_t kind, const void *key);
// The body of one that belongs to owner, NULL: it has none.
const void *object_owned(uint16_t kind, uint32_t owner);
uint64_t object_count(uint16_t kind);
void object_each(uint16_t kind,
	void (*fn)(const void *body, const void *blob, uint16_t blob_len, uint32_t expiry_left_ms,
		void *arg),
	void *arg);
// A place in a kind's list that stays good while objects come and go; objects are met in the order in
// which they were first SET. For dumps that wait for the client.
struct object;
struct object_cursor {
	struct object *at; // the next to give
	uint16_t kind;
	struct object_cursor *link;
};
struct object_view {
	const void *body;
	const void *blob;
	uint16_t body_len, blob_len;
	uint32_t expiry_left_ms;
};
int object_cursor_open(struct object_cursor *c, uint16_t kind); // -ENOTSUP: no such kind
bool object_cursor_next(struct object_cursor *c, struct object_view *ret_view);
void object_cursor_close(struct object_cursor *c);

void object_sync_begin(void);
unsigned int object_sync_end(void); // how many were swept
// The store's clock in ms, from which expiries count. main sets it once per turn of its loop.
void object_clock(uint64_t now);
// At most OBJECT_EXPIRE_MAX at once, so that main stays answerable when a million go together. True: more
// are due. Lcores compare their own clock, so it does not matter how late an object goes.
#define OBJECT_EXPIRE_MAX 4096
bool object_expire(uint64_t now, void (*expired)(uint16_t kind, const void *key, uint16_t key_len));
// Inside a kind's set(): the expiry that the SET asks for.
uint32_t object_setting_expiry(void);
// Inside a kind's set(): what lcores look at stays where it is and has its new values already, so that nobody has to wait
// until they have passed. Outside: whether the last object_set() was so.
void object_set_in_place(void);
bool object_was_set_in_place(void);
const struct object_kind *object_kind_find(uint16_t kind);
