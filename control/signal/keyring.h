// SPDX-License-Identifier: BSD-3-Clause
//
// Box keys of many peers in locked memory: pages of 127, because a locked allocation each would cost four
// pages. One thread.
#pragma once

#include "box.h"

struct keyring;

struct keyring *keyring_new(void);
void keyring_free(struct keyring *k);                     // wipes
struct box_key *keyring_get(struct keyring *k);           // NULL: no memory to lock
void keyring_put(struct keyring *k, struct box_key *key); // wipes; NULL is a no-op
