// SPDX-License-Identifier: BSD-3-Clause
//
// A token bucket of offers; see pace.h. Pure.
#include "pace.h"

#define COST_US  (1000000 / PACE_OFFERS_PER_S)
#define FULL_US  ((uint64_t)PACE_BURST * COST_US)
#define LEAVE_US (FULL_US / 2) // what the unhurried leave to the others

void pace_init(struct pace *p, uint64_t now)
{
	*p = (struct pace){FULL_US, now};
}

bool pace_take(struct pace *p, bool unhurried, uint64_t now)
{
	uint64_t earned = (now - p->last_ms) * 1000;

	p->last_ms = now;
	p->tokens_us = p->tokens_us + earned < FULL_US ? p->tokens_us + earned : FULL_US;
	if (p->tokens_us < COST_US + (unhurried ? LEAVE_US : 0))
		return false;
	p->tokens_us -= COST_US;
	return true;
}
