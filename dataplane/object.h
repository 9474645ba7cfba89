// SPDX-License-Identifier: BSD-3-Clause
//
// The object store of main: for each kind a hash from key to body, control blob, expiry and sync mark.
// It answers DUMP, does mark and sweep and expiry, and calls the kind's handlers, which publish to the
// lcores. main only.
#pragma once

#include "api/st_api.h"

#include <stdint.h>

#define KIND_F_ONCE  0x1 // SET of a known key is -EEXIST
#define KIND_F_KEEP  0x2 // SYNC leaves it alone
#define KIND_F_SECRET 0x4 // scrub() blanks the stored copy's secrets right after set()

struct object_kind {
	uint16_t kind;
	const char *name;
	uint16_t key_len;
	uint16_t body_len;
	uint32_t flags;
	uint32_t max; // cap; one more is -ENOSPC
	int (*set)(const void *body, const void *old); // old NULL = new; on error the old stays
	void (*del)(const void *body);
	void (*scrub)(void *body);
};
extern const struct object_kind object_kinds[]; // ends with kind 0; in object_kinds.c, visible in one place

int objects_init(void);
void objects_fini(void); // deletes every object, later kinds first
int object_set(uint16_t kind, const void *body, uint16_t body_len, const void *blob, uint16_t blob_len,
	uint32_t expiry_ms);
int object_del(uint16_t kind, const void *key, uint16_t key_len);
// Handlers that remove what another object owns (a peer's keys) use this as well.
const void *object_find(uint16_t kind, const void *key);
void object_each(uint16_t kind, void (*fn)(const void *body, const void *blob, uint16_t blob_len,
	uint32_t expiry_left_ms, void *arg), void *arg);
void object_sync_begin(void);
unsigned int object_sync_end(void); // how many were swept
void object_expire(uint64_t now, void (*expired)(uint16_t kind, const void *key, uint16_t key_len));
