// SPDX-License-Identifier: BSD-3-Clause
//
// A timing wheel; see wheel.h.
#include "wheel.h"

#include <stddef.h>
#include <string.h>

void wheel_init(struct wheel *w, uint64_t now)
{
	memset(w, 0, sizeof(*w));
	for (unsigned int n = 0; n < WHEEL_SLOTS; n++)
		w->slots[n].next = w->slots[n].prev = &w->slots[n];
	w->tick = now / WHEEL_TICK_MS;
}

void wheel_remove(struct wheel *w, struct wheel_entry *e)
{
	if (!e->next)
		return;
	e->next->prev = e->prev;
	e->prev->next = e->next;
	e->next = e->prev = NULL;
	w->count--;
}

void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t due)
{
	uint64_t tick = due / WHEEL_TICK_MS + 1; // not before its time
	struct wheel_entry *head;

	wheel_remove(w, e);
	e->due = due;
	if (due == UINT64_MAX)
		return;
	if (tick <= w->tick)
		tick = w->tick + 1;
	head = &w->slots[tick % WHEEL_SLOTS];
	e->prev = head->prev;
	e->next = head;
	head->prev->next = e;
	head->prev = e;
	w->count++;
}

struct wheel_entry *wheel_expire(struct wheel *w, uint64_t now)
{
	uint64_t until = now / WHEEL_TICK_MS;

	// After a long stop one turn finds everything.
	if (until > w->tick + WHEEL_SLOTS)
		w->tick = until - WHEEL_SLOTS;
	for (; w->tick < until; w->tick++) {
		struct wheel_entry *head = &w->slots[(w->tick + 1) % WHEEL_SLOTS];

		for (struct wheel_entry *e = head->next; e != head; e = e->next) {
			if (e->due <= now) {
				wheel_remove(w, e);
				return e;
			}
		}
	}
	return NULL;
}
