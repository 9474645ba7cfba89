// SPDX-License-Identifier: BSD-3-Clause
//
// From the lcores' event rings to the controller. PEER_ACTIVITY is collected per peer and told at most
// every 50 ms, with ages instead of TSC stamps. main only.
#pragma once

#include <stdbool.h>
#include <stdint.h>

bool events_poll(void);                                                // true: there was something
void events_expired(uint16_t kind, const void *key, uint16_t key_len); // for object_expire
