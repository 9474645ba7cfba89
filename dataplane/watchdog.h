// SPDX-License-Identifier: BSD-3-Clause
//
// Tells when a packet lcore stands still: where, and whether it ran, waited for a CPU or slept. main only.
#pragma once

#include "api/st_api.h"

#define WATCHDOG_STALL_MS 200 // without a pass; the longest sleep of an idle lcore is 4 ms

void watchdog_poll(void); // each turn of main's loop
void watchdog_stat(uint16_t lcore, struct st_stat_stall *ret);
