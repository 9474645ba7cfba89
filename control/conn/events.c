// SPDX-License-Identifier: BSD-3-Clause
//
// A ring of events; see events.h. Main loop thread.
#include "events.h"

#include <cjson/cJSON.h>
#include <glib.h>

struct entry {
	int64_t wall_us;
	char iface[16], peer[64], event[24], detail[96];
};

struct events {
	struct entry ring[EVENTS_MAX];
	uint64_t next;                                          // numbers begin with 1
	void (*listener)(const struct cJSON *event, void *arg); // NULL = none
	void *listener_arg;
};

struct events *events_new(void)
{
	struct events *e = g_new0(struct events, 1);

	e->next = 1;
	return e;
}

void events_free(struct events *e)
{
	g_free(e);
}

static cJSON *entry_json(const struct entry *n, uint64_t number)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "number", (double)number);
	cJSON_AddNumberToObject(o, "time", (double)n->wall_us / 1e6);
	cJSON_AddStringToObject(o, "interface", n->iface);
	cJSON_AddStringToObject(o, "peer", n->peer);
	cJSON_AddStringToObject(o, "event", n->event);
	cJSON_AddStringToObject(o, "detail", n->detail);
	return o;
}

void events_add(struct events *e, const char *iface, const char *peer, const char *event,
	const char *detail)
{
	struct entry *n = &e->ring[e->next++ % EVENTS_MAX];
	cJSON *o;

	n->wall_us = g_get_real_time();
	g_strlcpy(n->iface, iface, sizeof(n->iface));
	g_strlcpy(n->peer, peer, sizeof(n->peer));
	g_strlcpy(n->event, event, sizeof(n->event));
	g_strlcpy(n->detail, detail ? detail : "", sizeof(n->detail));
	if (!e->listener)
		return;
	o = entry_json(n, e->next - 1);
	e->listener(o, e->listener_arg);
	cJSON_Delete(o);
}

void events_listen(struct events *e, void (*fn)(const struct cJSON *event, void *arg), void *arg)
{
	e->listener = fn;
	e->listener_arg = arg;
}

void events_since(const struct events *e, uint64_t since, unsigned int max, struct cJSON *into)
{
	uint64_t oldest = e->next > EVENTS_MAX ? e->next - EVENTS_MAX : 1;
	uint64_t from = since ? since : oldest, missed = 0;
	cJSON *list = cJSON_AddArrayToObject(into, "events");

	// A number of an earlier straitd.
	if (from > e->next)
		from = oldest;
	if (from < oldest) {
		missed = oldest - from;
		from = oldest;
	}
	for (unsigned int n = 0; n < max && from < e->next; n++, from++)
		cJSON_AddItemToArray(list, entry_json(&e->ring[from % EVENTS_MAX], from));
	cJSON_AddNumberToObject(into, "next", (double)from);
	cJSON_AddNumberToObject(into, "missed", (double)missed);
}

uint64_t events_next(const struct events *e)
{
	return e->next;
}
