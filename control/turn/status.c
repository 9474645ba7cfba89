// SPDX-License-Identifier: BSD-3-Clause
//
// The TURN server as the admin socket tells it. Main loop thread. Names of users come from the network: cJSON
// escapes them, and nothing of them is a format.
#include "../addr.h"
#include "../config/config.h"
#include "server_parts.h"

#include <cjson/cJSON.h>

#include <arpa/inet.h>
#include <string.h>

static const char *const transport_names[TURN_TRANSPORTS] = {"udp", "tcp", "tls"};

static void add_tuple(cJSON *into, const char *key, const struct st_addr *addr, uint16_t port_be)
{
	char text[TUPLE_TEXT_MAX];

	cJSON_AddStringToObject(into, key, tuple_text(text, addr, port_be));
}

static double left_s(const struct turn_core *c, uint64_t until_ms)
{
	return until_ms > c->now_ms ? (double)((until_ms - c->now_ms) / 1000) : 0;
}

static unsigned int alive(const struct turn_core *c, const struct turn_allocation *a, bool channels)
{
	unsigned int n = 0;

	for (guint i = 0; channels && i < a->channels->len; i++)
		n += g_array_index(a->channels, struct turn_channel, i).until_ms > c->now_ms;
	for (guint i = 0; !channels && i < a->permissions->len; i++)
		n += g_array_index(a->permissions, struct turn_permission, i).until_ms > c->now_ms;
	return n;
}

static cJSON *session_json(struct turn *t, const struct turn_allocation *a)
{
	cJSON *o = cJSON_CreateObject(), *relayed = cJSON_AddArrayToObject(o, "relayed");

	cJSON_AddNumberToObject(o, "id", a->id);
	cJSON_AddStringToObject(o, "user", a->identity.name);
	cJSON_AddStringToObject(o, "transport", transport_names[a->tuple.transport]);
	add_tuple(o, "client", &a->tuple.client, a->tuple.client_port_be);
	add_tuple(o, "server", &a->tuple.server, a->tuple.server_port_be);
	cJSON_AddNumberToObject(o, "age_s", (double)(t->core.wall_s - a->created_wall_s));
	for (int f = 0; f < TURN_FAMILIES; f++) {
		const struct turn_relayed *x = &a->relayed[f];
		cJSON *r;

		if (!x->used)
			continue;
		r = cJSON_CreateObject();
		add_tuple(r, "address", &x->addr, htons(x->port));
		add_tuple(r, "external", &x->external, htons(x->port));
		cJSON_AddNumberToObject(r, "expires_s", left_s(&t->core, x->until_ms));
		cJSON_AddBoolToObject(r, "kernel", x->kernel != NULL);
		cJSON_AddItemToArray(relayed, r);
	}
	cJSON_AddNumberToObject(o, "permissions", alive(&t->core, a, false));
	cJSON_AddNumberToObject(o, "channels", alive(&t->core, a, true));
	cJSON_AddNumberToObject(o, "kernel_packets_to_peer", (double)a->packets[ST_TURN_TO_PEER]);
	cJSON_AddNumberToObject(o, "kernel_packets_to_client", (double)a->packets[ST_TURN_TO_CLIENT]);
	cJSON_AddNumberToObject(o, "kernel_bytes_to_peer", (double)a->bytes[ST_TURN_TO_PEER]);
	cJSON_AddNumberToObject(o, "kernel_bytes_to_client", (double)a->bytes[ST_TURN_TO_CLIENT]);
	return o;
}

static gint by_id(gconstpointer a, gconstpointer b)
{
	const struct turn_allocation *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

void turn_sessions(struct turn *t, cJSON *into)
{
	GList *all = g_list_sort(g_hash_table_get_values(t->core.by_id), by_id);
	cJSON *list = cJSON_AddArrayToObject(into, "sessions");

	turn_core_clock(&t->core);
	for (GList *l = all; l; l = l->next)
		cJSON_AddItemToArray(list, session_json(t, l->data));
	g_list_free(all);
}

char *turn_session(struct turn *t, uint32_t id, cJSON *into)
{
	struct turn_allocation *a = turn_allocation_by_id(&t->core, id);
	cJSON *o, *list;

	if (!a)
		return g_strdup_printf("no session %u; see \"turn sessions\"", id);
	turn_core_clock(&t->core);
	o = session_json(t, a);
	list = cJSON_AddArrayToObject(o, "permission_list");
	for (guint i = 0; i < a->permissions->len; i++) {
		const struct turn_permission *p =
			&g_array_index(a->permissions, struct turn_permission, i);
		char text[ADDR_TEXT_MAX];
		cJSON *e;

		if (p->until_ms <= t->core.now_ms)
			continue;
		e = cJSON_CreateObject();
		cJSON_AddStringToObject(e, "peer", addr_text(text, &p->peer));
		cJSON_AddNumberToObject(e, "expires_s", left_s(&t->core, p->until_ms));
		cJSON_AddItemToArray(list, e);
	}
	list = cJSON_AddArrayToObject(o, "channel_list");
	for (guint i = 0; i < a->channels->len; i++) {
		const struct turn_channel *ch = &g_array_index(a->channels, struct turn_channel, i);
		cJSON *e;

		if (ch->until_ms <= t->core.now_ms)
			continue;
		e = cJSON_CreateObject();
		cJSON_AddNumberToObject(e, "number", ch->number);
		add_tuple(e, "peer", &ch->peer, ch->peer_port_be);
		cJSON_AddNumberToObject(e, "expires_s", left_s(&t->core, ch->until_ms));
		cJSON_AddItemToArray(list, e);
	}
	cJSON_AddItemToObject(into, "session", o);
	return NULL;
}

char *turn_kick(struct turn *t, uint32_t id)
{
	struct turn_allocation *a = turn_allocation_by_id(&t->core, id);

	if (!a)
		return g_strdup_printf("no session %u; see \"turn sessions\"", id);
	turn_core_clock(&t->core);
	g_message("turn: session ended by the operator allocation=%u", id);
	turn_allocation_free(&t->core, a);
	return NULL;
}

static void add_errors(cJSON *into, const struct turn_stats *s)
{
	cJSON *errors = cJSON_AddObjectToObject(into, "errors");

	for (int code = 300; code < 600; code++) {
		char key[8];

		if (!s->errors[code])
			continue;
		g_snprintf(key, sizeof(key), "%d", code);
		cJSON_AddNumberToObject(errors, key, (double)s->errors[code]);
	}
}

static void add_methods(cJSON *into, const char *key, const uint64_t *counts)
{
	static const struct {
		int method;
		const char *name;
	} methods[] = {{STUN_BINDING, "binding"}, {STUN_ALLOCATE, "allocate"},
		{STUN_REFRESH, "refresh"}, {STUN_CREATE_PERMISSION, "create_permission"},
		{STUN_CHANNEL_BIND, "channel_bind"}};
	cJSON *o = cJSON_AddObjectToObject(into, key);

	for (size_t i = 0; i < G_N_ELEMENTS(methods); i++)
		cJSON_AddNumberToObject(o, methods[i].name, (double)counts[methods[i].method]);
}

void turn_status(struct turn *t, cJSON *into)
{
	const struct turn_core *c = &t->core;
	cJSON *o = cJSON_AddObjectToObject(into, "turn"), *by, *list;

	cJSON_AddBoolToObject(o, "enabled", t->applied);
	if (!t->applied)
		return;
	cJSON_AddStringToObject(o, "realm", c->config->realm);
	cJSON_AddBoolToObject(o, "draining", c->draining);
	cJSON_AddNumberToObject(o, "sessions", turn_core_allocations(c));
	cJSON_AddNumberToObject(o, "sessions_max", c->config->limits.allocations);
	by = cJSON_AddObjectToObject(o, "sessions_by_transport");
	for (int i = 0; i < TURN_TRANSPORTS; i++)
		cJSON_AddNumberToObject(by, transport_names[i], c->by_transport[i]);
	list = cJSON_AddArrayToObject(o, "relay_addresses");
	for (guint i = 0; i < c->config->relays->len; i++) {
		const struct turn_config_relay *r = c->config->relays->pdata[i];
		char text[ADDR_TEXT_MAX];
		cJSON *e = cJSON_CreateObject();

		cJSON_AddStringToObject(e, "address", addr_text(text, &r->addr));
		cJSON_AddStringToObject(e, "external_ip", addr_text(text, &r->external));
		cJSON_AddNumberToObject(e, "ports_free", turn_ports_unused(c->ports, i));
		cJSON_AddNumberToObject(e, "ports", c->config->port_max - c->config->port_min + 1);
		cJSON_AddItemToArray(list, e);
	}
	cJSON_AddNumberToObject(o, "sessions_made", (double)c->stats.allocations_made);
	cJSON_AddNumberToObject(o, "sessions_ended", (double)c->stats.allocations_ended);
	add_methods(o, "requests", c->stats.requests);
	add_methods(o, "successes", c->stats.successes);
	add_errors(o, &c->stats);
	cJSON_AddNumberToObject(o, "malformed", (double)c->stats.malformed);
	cJSON_AddNumberToObject(o, "strangers_dropped", (double)c->stats.strangers_dropped);
	cJSON_AddNumberToObject(o, "replies_limited", (double)c->replies.limited);
	cJSON_AddNumberToObject(o, "allocations_limited", (double)c->new_allocations.limited);
	cJSON_AddNumberToObject(o, "new_peers_limited", (double)c->new_peers.limited);
	cJSON_AddNumberToObject(o, "connections", turn_streams_count(t->streams));
	cJSON_AddNumberToObject(
		o, "kernel_packets_to_peers", (double)c->stats.stream_packets[ST_TURN_TO_PEER]);
	cJSON_AddNumberToObject(
		o, "kernel_packets_to_clients", (double)c->stats.stream_packets[ST_TURN_TO_CLIENT]);
	cJSON_AddNumberToObject(o, "kernel_dropped", (double)c->stats.kernel_dropped);
	cJSON_AddNumberToObject(o, "icmp_errors_told", (double)c->stats.icmp_told);
	cJSON_AddNumberToObject(o, "icmp_errors_limited", (double)c->stats.icmp_limited);
	cJSON_AddNumberToObject(o, "packets_passed_down", (double)c->stats.packets_passed_down);
}
