// SPDX-License-Identifier: BSD-3-Clause
//
// The wanted state: what straitd wants strait-dp to hold, one object per kind and key. It remembers and
// compares, dp.c sends. Main loop thread only.
#pragma once

#include "../../dataplane/api/st_api.h"

#include <glib.h>

#include <stdbool.h>
#include <stdint.h>

// The swept kinds in the order in which a sync installs them: nothing comes before what it refers to.
#define DP_STORE_KINDS 15

struct dp_waiter {
	void (*done)(int status, void *arg);
	void *arg;
};

struct dp_object {
	struct dp_object *prev, *next; // of its kind, oldest first
	unsigned int refs;
	unsigned int pos; // index of its kind in the sync order
	uint16_t kind, key_len, body_len, blob_len;
	uint32_t generation; // of the last replace that repeated it
	uint32_t sync;       // number of the sync that has sent it
	bool wanted;         // still in the store
	bool refused;        // the data plane said no, so an equal SET is sent again
	GArray *waiters;     // of struct dp_waiter: the sync will answer them; NULL = none
	int64_t deadline_us; // monotonic; 0 = never expires
	uint8_t *data;       // body, then blob
};

struct dp_store_list {
	struct dp_object *first, *last;
	GHashTable *by_key;
	uint32_t generation;
};

struct dp_store {
	struct dp_store_list lists[DP_STORE_KINDS];
};

struct dp_store *dp_store_new(void);
void dp_store_free(struct dp_store *s);
// Position in the sync order, or -1: not a swept kind. Sizes of the kind where asked for.
int dp_store_kind(uint16_t kind, uint16_t *ret_key_len, uint16_t *ret_body_len);
const char *dp_store_kind_name(uint16_t kind);
struct dp_object *dp_store_find(const struct dp_store *s, unsigned int pos, const void *key);
// Enters or updates. *ret_changed: new, or different from what was wanted.
struct dp_object *dp_store_put(struct dp_store *s, unsigned int pos, const void *body,
	const void *blob, uint16_t blob_len, bool *ret_changed);
void dp_store_remove(struct dp_store *s, struct dp_object *o); // drops the store's reference
struct dp_object *dp_object_get(struct dp_object *o);
void dp_object_put(struct dp_object *o);
