// SPDX-License-Identifier: BSD-3-Clause
//
// Thousands of deadlines for the price of one timer: a ring of slots of 50 ms. No threads.
#pragma once

#include <stdint.h>

#define WHEEL_TICK_MS 50
#define WHEEL_SLOTS   1024 // later deadlines are looked at once per turn of 51 s

struct wheel_entry {
	struct wheel_entry *next, *prev; // NULL = not in the wheel
	uint64_t due;
};

struct wheel {
	struct wheel_entry slots[WHEEL_SLOTS]; // list heads
	uint64_t tick;                         // last one that was run
	unsigned int count;
};

void wheel_init(struct wheel *w, uint64_t now);
void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t due); // UINT64_MAX: taken out
void wheel_remove(struct wheel *w, struct wheel_entry *e);
// Takes out and returns one that is due, NULL = none. Call until NULL.
struct wheel_entry *wheel_expire(struct wheel *w, uint64_t now);
