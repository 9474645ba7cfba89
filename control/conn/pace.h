// SPDX-License-Identifier: BSD-3-Clause
//
// How many offers all peers of an interface may send together. Peers that have not answered for long get
// only what the others leave. Pure.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PACE_OFFERS_PER_S 50
#define PACE_BURST        100

struct pace {
	uint64_t tokens_us; // an offer costs 1 s / PACE_OFFERS_PER_S
	uint64_t last_ms;
};

void pace_init(struct pace *p, uint64_t now);
bool pace_take(struct pace *p, bool unhurried, uint64_t now);
