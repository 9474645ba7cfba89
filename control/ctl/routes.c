// SPDX-License-Identifier: BSD-3-Clause
//
// straitctl routes and neighbours: the mirror of the kernel's tables as the lcores use it.
#include "../addr.h"
#include "ctl.h"
#include "gather.h"
#include "list.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <string.h>

struct walk {
	struct gather_names names;
	struct list *list;
};

static void format_hops(char *out, size_t size, const cJSON *value, const cJSON *row)
{
	const cJSON *hop;
	size_t n = 0;

	snprintf(out, size, "-");
	cJSON_ArrayForEach (hop, value) {
		const char *via = list_json_text(hop, "via");
		int k = snprintf(out + n, size - n, "%s%s%s%s", n ? ", " : "", *via ? via : "",
			*via ? " " : "", list_json_text(hop, "dev"));

		if (k < 0 || (size_t)k >= size - n)
			return;
		n += (size_t)k;
	}
}

static const struct list_column route_columns[] = {
	{"TABLE", "table", true, NULL},
	{"PREFIX", "prefix", false, NULL},
	{"ACTION", "action", false, NULL},
	{"MTU", "mtu", true, NULL},
	{"NEXT HOPS", "nexthops", false, format_hops},
	{NULL, NULL, false, NULL},
};

static const struct list_column neighbour_columns[] = {
	{"ADDRESS", "address", false, NULL},
	{"INTERFACE", "interface", false, NULL},
	{"MAC", "mac", false, NULL},
	{NULL, NULL, false, NULL},
};

static const char *action_text(uint8_t action)
{
	static const char *const names[] = {"?", "unicast", "local", "broadcast", "blackhole",
		"unreachable", "prohibit", "throw"};

	return action < sizeof(names) / sizeof(*names) ? names[action] : "?";
}

static void on_route(const void *body, void *arg)
{
	const struct st_route *r = body;
	struct walk *w = arg;
	char text[PREFIX_TEXT_MAX], via[ADDR_TEXT_MAX];
	cJSON *o = cJSON_CreateObject(), *hops;

	cJSON_AddNumberToObject(o, "table", r->key.table);
	cJSON_AddStringToObject(o, "prefix", prefix_text(text, &r->key.dst));
	cJSON_AddStringToObject(o, "action", action_text(r->action));
	if (r->mtu)
		cJSON_AddNumberToObject(o, "mtu", r->mtu);
	hops = cJSON_AddArrayToObject(o, "nexthops");
	for (unsigned int i = 0; i < r->nb_nexthops && i < ST_MAX_NEXTHOPS; i++) {
		const struct st_nexthop *n = &r->nexthops[i];
		cJSON *h = cJSON_CreateObject();

		cJSON_AddStringToObject(
			h, "via", addr_is_zero(&n->gateway) ? "" : addr_text(via, &n->gateway));
		cJSON_AddStringToObject(
			h, "dev", n->if_id ? gather_name(&w->names, n->if_id) : "(not ours)");
		cJSON_AddNumberToObject(h, "weight", n->weight);
		cJSON_AddItemToArray(hops, h);
	}
	list_add(w->list, o);
}

static void on_neighbour(const void *body, void *arg)
{
	const struct st_neigh *n = body;
	struct walk *w = arg;
	char text[ADDR_TEXT_MAX], mac[18];
	cJSON *o = cJSON_CreateObject();

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", n->mac[0], n->mac[1], n->mac[2],
		n->mac[3], n->mac[4], n->mac[5]);
	cJSON_AddStringToObject(o, "address", addr_text(text, &n->key.addr));
	cJSON_AddStringToObject(o, "interface", gather_name(&w->names, n->key.if_id));
	cJSON_AddStringToObject(o, "mac", mac);
	list_add(w->list, o);
}

struct what {
	const char *name;
	const struct list_column *columns;
	uint16_t kind;
	size_t len;
	void (*item)(const void *body, void *arg);
};

static int show(const struct ctl *c, const struct what *what)
{
	struct walk w;
	struct dpclient dp;
	int status = gather_open(&dp, c), err;

	if (status)
		return status;
	err = gather_names(&dp, &w.names);
	if (!err) {
		w.list = list_new(what->name, what->columns, c->json);
		err = dpclient_dump(&dp, what->kind, what->len, what->item, &w);
		list_end(w.list);
	}
	dpclient_close(&dp);
	return gather_status(err, c);
}

int routes_run(const struct ctl *c, int argc, char **argv)
{
	return show(c, &(struct what){"routes", route_columns, ST_ROUTE, sizeof(struct st_route),
			       on_route});
}

int neighbours_run(const struct ctl *c, int argc, char **argv)
{
	return show(c, &(struct what){"neighbours", neighbour_columns, ST_NEIGH,
			       sizeof(struct st_neigh), on_neighbour});
}
