// SPDX-License-Identifier: BSD-3-Clause
//
// What happened to connections, as JSON lines for `straitctl events`: the newest EVENTS_MAX of them, each
// with a number. A reader asks for what comes after a number, and is told how many it missed; who listens
// gets each as it happens. Main loop thread.
#pragma once

#include <stdint.h>

#define EVENTS_MAX   1024
#define EVENTS_REPLY 128 // of one reply

struct cJSON;
struct events;

struct events *events_new(void);
void events_free(struct events *e);
// detail may be NULL.
void events_add(struct events *e, const char *iface, const char *peer, const char *event,
	const char *detail);
// Called with each new one, by who lives as long.
void events_listen(struct events *e, void (*fn)(const struct cJSON *event, void *arg), void *arg);
// "events": at most max of those after `since`, "next": what to ask for next, "missed". since 0: the oldest kept.
void events_since(const struct events *e, uint64_t since, unsigned int max, struct cJSON *into);
// The number that the next event gets.
uint64_t events_next(const struct events *e);
