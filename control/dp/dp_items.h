// SPDX-License-Identifier: BSD-3-Clause
//
// What the dumps of the first connect gave, kept until all of them are complete. Main loop thread.
#pragma once

#include "dp.h"

#include <glib.h>

GPtrArray *dp_items_new(void); // g_ptr_array_free; closes descriptors that nobody took
void dp_items_add(
	GPtrArray *items, const struct st_msg *m, const void *body, const void *blob, int fd);
// Hands out all, descriptors with them, and frees the array.
void dp_items_give(GPtrArray *items, void (*item)(const struct dp_item *item, void *arg), void *arg);
