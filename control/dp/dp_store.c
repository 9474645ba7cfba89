// SPDX-License-Identifier: BSD-3-Clause
//
// The wanted state: a list and a hash per kind. Objects are counted, because a request under way may
// outlive its object's place in the store. Main loop thread; it never sends and never calls back.
#include "dp_store.h"

#include "../keyed_hash.h"

#include <stddef.h>
#include <string.h>

#define KIND(k, key, body)                                                                         \
	{                                                                                          \
		.kind = ST_##k, .name = #k, .key_len = sizeof(struct key),                         \
		.body_len = sizeof(struct body)                                                    \
	}

static const struct {
	uint16_t kind, key_len, body_len;
	const char *name;
} kinds[DP_STORE_KINDS] = {
	KIND(PORT, st_port_key, st_port),
	KIND(WGIF, st_wgif_key, st_wgif),
	KIND(ADDR, st_addr_key, st_ifaddr),
	KIND(RULE, st_rule_key, st_rule),
	KIND(ROUTE, st_route_key, st_route),
	KIND(NEIGH, st_neigh_key, st_neigh),
	KIND(PORTMAP, st_portmap_key, st_portmap),
	KIND(PEER, st_peer_key, st_peer),
	KIND(ALLOWED_IP, st_allowed_ip_key, st_allowed_ip),
	KIND(ENDPOINT, st_endpoint_key, st_endpoint),
	KIND(TURN_USER, st_turn_user_key, st_turn_user),
	KIND(RELAY, st_relay_key, st_relay),
	KIND(PERMISSION, st_permission_key, st_permission),
	KIND(CHANNEL, st_channel_key, st_channel),
	KIND(TURN_DENY_PORTS, st_turn_deny_ports_key, st_turn_deny_ports),
};

// Clients of the relay choose their peers, neighbours their addresses.
static guint key_hash(gconstpointer p)
{
	const struct dp_object *o = p;

	return keyed_hash(o->data, o->key_len);
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
	const struct dp_object *x = a, *y = b;

	return !memcmp(x->data, y->data, x->key_len);
}

struct dp_store *dp_store_new(void)
{
	struct dp_store *s = g_new0(struct dp_store, 1);

	for (unsigned int i = 0; i < DP_STORE_KINDS; i++)
		s->lists[i].by_key = g_hash_table_new(key_hash, key_equal);
	return s;
}

void dp_store_free(struct dp_store *s)
{
	if (!s)
		return;
	for (unsigned int i = 0; i < DP_STORE_KINDS; i++) {
		while (s->lists[i].first)
			dp_store_remove(s, s->lists[i].first);
		g_hash_table_destroy(s->lists[i].by_key);
	}
	g_free(s);
}

int dp_store_kind(uint16_t kind, uint16_t *ret_key_len, uint16_t *ret_body_len)
{
	for (int i = 0; i < DP_STORE_KINDS; i++) {
		if (kinds[i].kind != kind)
			continue;
		if (ret_key_len)
			*ret_key_len = kinds[i].key_len;
		if (ret_body_len)
			*ret_body_len = kinds[i].body_len;
		return i;
	}
	return -1;
}

const char *dp_store_kind_name(uint16_t kind)
{
	int pos = dp_store_kind(kind, NULL, NULL);

	if (pos >= 0)
		return kinds[pos].name;
	switch (kind) {
	case ST_KEY:
		return "KEY";
	case ST_SOCKET:
		return "SOCKET";
	default:
		return "other";
	}
}

struct dp_object *dp_store_find(const struct dp_store *s, unsigned int pos, const void *key)
{
	struct dp_object probe = {.key_len = kinds[pos].key_len, .data = (uint8_t *)key};

	return g_hash_table_lookup(s->lists[pos].by_key, &probe);
}

static struct dp_object *add(struct dp_store *s, unsigned int pos, const void *body)
{
	struct dp_store_list *l = &s->lists[pos];
	struct dp_object *o = g_new0(struct dp_object, 1);

	o->refs = 1;
	o->pos = pos;
	o->kind = kinds[pos].kind;
	o->key_len = kinds[pos].key_len;
	o->body_len = kinds[pos].body_len;
	o->wanted = true;
	o->data = g_memdup2(body, o->body_len);
	o->prev = l->last;
	if (l->last)
		l->last->next = o;
	else
		l->first = o;
	l->last = o;
	g_hash_table_add(l->by_key, o);
	return o;
}

struct dp_object *dp_store_put(struct dp_store *s, unsigned int pos, const void *body,
	const void *blob, uint16_t blob_len, bool *ret_changed)
{
	struct dp_object *o = dp_store_find(s, pos, body);
	bool changed = !o;

	if (!o)
		o = add(s, pos, body);
	else
		changed = memcmp(o->data, body, o->body_len) != 0;
	changed = changed || o->blob_len != blob_len ||
		  (blob_len && memcmp(o->data + o->body_len, blob, blob_len));
	if (changed) {
		// The hash keeps the object itself, and the key bytes stay what they were.
		o->data = g_realloc(o->data, (gsize)o->body_len + blob_len);
		memcpy(o->data, body, o->body_len);
		if (blob_len)
			memcpy(o->data + o->body_len, blob, blob_len);
		o->blob_len = blob_len;
	}
	o->generation = s->lists[pos].generation;
	*ret_changed = changed;
	return o;
}

void dp_store_remove(struct dp_store *s, struct dp_object *o)
{
	struct dp_store_list *l = &s->lists[o->pos];

	g_hash_table_remove(l->by_key, o);
	if (o->prev)
		o->prev->next = o->next;
	else
		l->first = o->next;
	if (o->next)
		o->next->prev = o->prev;
	else
		l->last = o->prev;
	o->prev = o->next = NULL;
	o->wanted = false;
	dp_object_put(o);
}

struct dp_object *dp_object_get(struct dp_object *o)
{
	o->refs++;
	return o;
}

void dp_object_put(struct dp_object *o)
{
	if (!o || --o->refs)
		return;
	if (o->waiters)
		g_array_free(o->waiters, TRUE);
	g_free(o->data);
	g_free(o);
}
