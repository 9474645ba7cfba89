// SPDX-License-Identifier: BSD-3-Clause
//
// Anti-replay window after RFC 6479, of WireGuard's size: 8192 bits, 64 of them redundant, so that
// 8128 counters behind the greatest are still accepted once. Called only after the tag verified,
// and only by the thread that owns the keypair: there is no locking here.
#pragma once

#include "messages.h"

#include <stdbool.h>
#include <stdint.h>

struct replay {
	uint64_t greatest; // greatest counter accepted + 1; 0 = none yet
	uint64_t backtrack[REPLAY_BITS / 64];
};

void replay_init(struct replay *r);
// True and recorded if the counter is new and inside the window; false (and unchanged) otherwise,
// also for counter >= REJECT_AFTER_MESSAGES.
bool replay_check(struct replay *r, uint64_t counter);
