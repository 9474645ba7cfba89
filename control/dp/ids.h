// SPDX-License-Identifier: BSD-3-Clause
//
// Interface ids of the contract, stable by name over reloads and over restarts of straitd (taken back
// from the dump of ST_PORT and ST_WGIF). Main loop thread.
#pragma once

#include <stdint.h>

uint32_t ids_get(const char *name);             // gives a new one if need be; 0 = none left
uint32_t ids_find(const char *name);            // 0 = unknown
const char *ids_name(uint32_t if_id);           // NULL = unknown
void ids_put(const char *name);                 // the interface is gone
int ids_take(const char *name, uint32_t if_id); // recovered from the data plane
