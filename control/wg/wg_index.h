// SPDX-License-Identifier: BSD-3-Clause
//
// Our receiver indices: random, and unique over the handshakes and keypairs of all interfaces. The index
// of a handshake goes on as that of its keypair. Main loop thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct wg_index;

struct wg_index *wg_index_new(void);
void wg_index_free(struct wg_index *x);
// A fresh index that leads to owner. Never 0 and never STUN's magic cookie.
uint32_t wg_index_alloc(struct wg_index *x, void *owner);
// One that is in use in the data plane already. False: taken, or not allowed.
bool wg_index_take(struct wg_index *x, uint32_t index, void *owner);
void *wg_index_find(const struct wg_index *x, uint32_t index); // NULL = unknown
void wg_index_put(struct wg_index *x, uint32_t index);         // 0 and unknown ones are ignored
unsigned int wg_index_count(const struct wg_index *x);
