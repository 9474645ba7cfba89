// SPDX-License-Identifier: BSD-3-Clause
//
// Peers as the data plane knows them (PEER, ENDPOINT, ALLOWED_IP and the statistics), one JSON object
// each, joined with what straitd says of them.
#include "../addr.h"
#include "gather.h"
#include "list.h"

#include <cjson/cJSON.h>
#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct peers {
	cJSON *array;
	struct gather_names names;
	cJSON **by_id; // ST_MAX_PEERS
};

static cJSON *peer_of(const struct peers *p, uint32_t peer_id)
{
	return peer_id < ST_MAX_PEERS ? p->by_id[peer_id] : NULL;
}

static void on_peer(const void *body, void *arg)
{
	const struct st_peer *s = body;
	struct peers *p = arg;
	char key[sodium_base64_ENCODED_LEN(32, sodium_base64_VARIANT_ORIGINAL)];
	char name[sizeof(s->name) + 1] = "";
	cJSON *o;

	if (s->key.peer_id >= ST_MAX_PEERS || p->by_id[s->key.peer_id])
		return;
	memcpy(name, s->name, sizeof(s->name));
	sodium_bin2base64(key, sizeof(key), s->public_key, sizeof(s->public_key),
		sodium_base64_VARIANT_ORIGINAL);
	o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "name", name);
	cJSON_AddStringToObject(o, "interface", gather_name(&p->names, s->if_id));
	cJSON_AddStringToObject(o, "public_key", key);
	cJSON_AddNumberToObject(o, "peer_id", s->key.peer_id);
	cJSON_AddArrayToObject(o, "allowed_ips");
	cJSON_AddStringToObject(o, "session", "none");
	cJSON_AddArrayToObject(o, "keypairs");
	cJSON_AddItemToArray(p->array, o);
	p->by_id[s->key.peer_id] = o;
}

static void on_endpoint(const void *body, void *arg)
{
	const struct st_endpoint *s = body;
	struct peers *p = arg;
	cJSON *o = peer_of(p, s->key.peer_id);
	char text[TUPLE_TEXT_MAX + ST_NAME_MAX];
	const char *scope;

	if (!o || s->key.slot)
		return;
	scope = s->if_id && addr_is_link_local(&s->remote) ? gather_name(&p->names, s->if_id) : "";
	cJSON_AddStringToObject(
		o, "endpoint", tuple_text_scoped(text, &s->remote, s->remote_port_be, scope));
	cJSON_AddStringToObject(o, "local", tuple_text(text, &s->local, s->local_port_be));
	cJSON_AddStringToObject(o, "port",
		s->kind == ST_ENDPOINT_CONTROL ? "straitd" : gather_name(&p->names, s->if_id));
	cJSON_AddNumberToObject(o, "path_mtu", s->path_mtu);
}

static void on_allowed_ip(const void *body, void *arg)
{
	const struct st_allowed_ip *s = body;
	cJSON *o = peer_of(arg, s->peer_id);
	char text[PREFIX_TEXT_MAX];

	if (o)
		cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(o, "allowed_ips"),
			cJSON_CreateString(prefix_text(text, &s->key.prefix)));
}

static void add_age(cJSON *o, const char *key, uint32_t age_ms)
{
	if (age_ms == UINT32_MAX)
		cJSON_AddNullToObject(o, key);
	else
		cJSON_AddNumberToObject(o, key, age_ms);
}

static void on_stat(const void *body, void *arg)
{
	const struct st_stat_peer *s = body;
	cJSON *o = peer_of(arg, s->peer_id);

	if (!o)
		return;
	list_json_add(o, "rx_bytes", s->rx_bytes);
	list_json_add(o, "tx_bytes", s->tx_bytes);
	list_json_add(o, "rx_packets", s->rx_packets);
	list_json_add(o, "tx_packets", s->tx_packets);
	add_age(o, "any_received_age_ms", s->any_received_age_ms);
	add_age(o, "any_sent_age_ms", s->any_sent_age_ms);
	add_age(o, "data_received_age_ms", s->data_received_age_ms);
	add_age(o, "data_sent_age_ms", s->data_sent_age_ms);
	cJSON_AddNumberToObject(o, "staged", s->staged);
	cJSON_AddNumberToObject(o, "owner_lcore", s->owner_lcore);
}

static void on_keypair(const void *body, void *arg)
{
	static const char *const slots[] = {"previous", "current", "next"};
	const struct st_stat_keypair *s = body;
	cJSON *o = peer_of(arg, s->peer_id), *k, *age;
	const char *slot = s->slot < 3 ? slots[s->slot] : "?";

	if (!o)
		return;
	k = cJSON_CreateObject();
	cJSON_AddStringToObject(k, "slot", slot);
	cJSON_AddStringToObject(k, "role", s->role == ST_KEY_INITIATOR ? "initiator" : "responder");
	cJSON_AddNumberToObject(k, "index", s->index);
	cJSON_AddNumberToObject(k, "remote_index", s->remote_index);
	cJSON_AddNumberToObject(k, "age_ms", s->age_ms);
	list_json_add(k, "sent", s->sent);
	list_json_add(k, "received", s->received);
	cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(o, "keypairs"), k);
	if (s->slot == ST_SLOT_CURRENT)
		cJSON_ReplaceItemInObjectCaseSensitive(o, "session", cJSON_CreateString(slot));
	// The youngest keypair tells when the last handshake was.
	age = cJSON_GetObjectItemCaseSensitive(o, "handshake_age_ms");
	if (!age)
		cJSON_AddNumberToObject(o, "handshake_age_ms", s->age_ms);
	else if (age->valuedouble > s->age_ms)
		cJSON_SetNumberValue(age, s->age_ms);
}

int gather_peers(struct dpclient *dp, struct cJSON *array)
{
	static const struct {
		uint16_t kind;
		size_t len;
		void (*item)(const void *body, void *arg);
	} dumps[] = {
		{ST_PEER, sizeof(struct st_peer), on_peer},
		{ST_ENDPOINT, sizeof(struct st_endpoint), on_endpoint},
		{ST_ALLOWED_IP, sizeof(struct st_allowed_ip), on_allowed_ip},
		{ST_STAT_PEER, sizeof(struct st_stat_peer), on_stat},
		{ST_STAT_KEYPAIR, sizeof(struct st_stat_keypair), on_keypair},
	};
	struct peers p = {.array = array};
	int err = gather_names(dp, &p.names);

	p.by_id = calloc(ST_MAX_PEERS, sizeof(*p.by_id));
	if (!p.by_id)
		abort();
	for (unsigned int i = 0; i < sizeof(dumps) / sizeof(*dumps) && !err; i++)
		err = dpclient_dump(dp, dumps[i].kind, dumps[i].len, dumps[i].item, &p);
	free(p.by_id);
	return err;
}

// ---- with straitd's view -----------------------------------------------------------------------------

struct by_key {
	const char *key, *interface;
	cJSON *peer;
};

static int compare(const void *a, const void *b)
{
	const struct by_key *x = a, *y = b;
	int r = strcmp(x->key, y->key);

	return r ? r : strcmp(x->interface, y->interface);
}

static void add_missing(cJSON *peer, cJSON *more)
{
	cJSON *next;

	for (cJSON *v = more->child; v; v = next) {
		cJSON *mine = cJSON_GetObjectItemCaseSensitive(peer, v->string);

		next = v->next;
		if (!mine)
			cJSON_AddItemToObject(peer, v->string, cJSON_Duplicate(v, 1));
	}
}

void gather_join_peers(struct cJSON *array, struct cJSON *from_straitd)
{
	size_t n = (size_t)cJSON_GetArraySize(array), i = 0;
	struct by_key *index = calloc(n + 1, sizeof(*index));
	cJSON *p, *next;

	if (!index)
		abort();
	cJSON_ArrayForEach (p, array) {
		index[i].key = list_json_text(p, "public_key");
		index[i].interface = list_json_text(p, "interface");
		index[i++].peer = p;
	}
	qsort(index, n, sizeof(*index), compare);
	for (p = from_straitd ? from_straitd->child : NULL; p; p = next) {
		struct by_key want = {.key = list_json_text(p, "public_key"),
			.interface = list_json_text(p, "interface")};
		struct by_key *hit = bsearch(&want, index, n, sizeof(*index), compare);

		next = p->next;
		if (hit)
			add_missing(hit->peer, p);
		else
			cJSON_AddItemToArray(array, cJSON_DetachItemViaPointer(from_straitd, p));
	}
	free(index);
}
