// SPDX-License-Identifier: BSD-3-Clause
//
// Removal in three steps: unlink, wait until every lcore was quiescent, free. main only.
#pragma once

#include <stdint.h>

// Runs fn(obj) once all lcores that could see obj have reported quiescence. Call after unlinking.
void reclaim_later(void (*fn)(void *), void *obj);
// The same for what packets in handoff rings may point to (peers, keypairs): quiescence, then every
// handoff ring has moved past its contents of that moment, then quiescence again.
void reclaim_later_rings(void (*fn)(void *), void *obj);
uint64_t reclaim_token(void);       // a point in time ...
int reclaim_passed(uint64_t token); // ... that every lcore has left behind; never blocks
void reclaim_poll(void);            // runs what is due; main's loop calls it
void reclaim_drain(void);           // lcores have stopped: runs everything
// Waits until every lcore was quiescent. For removing devices, where the next step is a slow system call
// anyway; it takes a pass of the slowest lcore.
void reclaim_wait(void);
