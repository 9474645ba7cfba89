// SPDX-License-Identifier: BSD-3-Clause
//
// What an earlier straitd left in the data plane: peers, sessions, endpoints, sockets and the blobs beside
// them. It is kept here until the configuration has taken what is its own; the sync sweeps the rest, and
// the sockets that nobody took are closed. Main loop thread.
#include "../dp/dp.h"
#include "../dp/ids.h"
#include "wg_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ENDPOINT_SLOTS 3 // those that ours have; CONN_KEEPS

struct item {
	uint16_t blob_len;
	uint8_t blob[ST_BLOB_MAX];
};

struct old_peer {
	struct item item;
	struct st_peer body;
};

struct old_endpoint {
	struct item item;
	struct st_endpoint body;
};

struct old_socket {
	uint32_t id;
	char name[ST_NAME_MAX];
	enum wg_family family;
	uint16_t port;
	int fd; // -1 = taken
};

struct wg_recovered {
	GArray *sockets;
	GHashTable *peers;     // peer id -> struct old_peer *
	GHashTable *endpoints; // endpoint_key() -> struct old_endpoint *
	GHashTable *by_key; // set of struct st_peer * within old_peer, by interface and public key
	GHashTable *keypairs; // keypair_key() -> struct st_stat_keypair *
	uint64_t at;          // when keypairs had the age they tell
};

static gpointer endpoint_key(uint32_t peer_id, uint32_t slot)
{
	return GSIZE_TO_POINTER((gsize)peer_id * ENDPOINT_SLOTS + slot);
}

static gpointer keypair_key(uint32_t peer_id, uint32_t slot)
{
	return GSIZE_TO_POINTER((gsize)peer_id * PEER_SLOTS + slot);
}

// One key can be a peer of several interfaces.
static guint key_hash(gconstpointer peer)
{
	const struct st_peer *p = peer;
	guint h;

	memcpy(&h, p->public_key, sizeof(h));
	return h ^ p->if_id;
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
	const struct st_peer *p = a, *q = b;

	return p->if_id == q->if_id && !memcmp(p->public_key, q->public_key, NOISE_KEY_LEN);
}

struct wg_recovered *wg_recovered_new(void)
{
	struct wg_recovered *r = g_new0(struct wg_recovered, 1);

	r->sockets = g_array_new(FALSE, FALSE, sizeof(struct old_socket));
	r->keypairs = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, g_free);
	r->peers = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, g_free);
	r->endpoints = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, g_free);
	r->by_key = g_hash_table_new(key_hash, key_equal);
	r->at = wg_now();
	return r;
}

void wg_recovered_free(struct wg_recovered *r)
{
	if (!r)
		return;
	for (guint n = 0; n < r->sockets->len; n++) {
		struct old_socket *s = &g_array_index(r->sockets, struct old_socket, n);

		if (s->fd >= 0)
			close(s->fd);
	}
	g_array_free(r->sockets, TRUE);
	g_hash_table_destroy(r->keypairs);
	g_hash_table_destroy(r->by_key);
	g_hash_table_destroy(r->peers);
	g_hash_table_destroy(r->endpoints);
	g_free(r);
}

static bool item_take(struct item *ret, void *body, size_t body_len, const struct dp_item *item)
{
	if (item->body_len != body_len || item->blob_len > sizeof(ret->blob))
		return false;
	memcpy(body, item->body, body_len);
	ret->blob_len = item->blob_len;
	if (item->blob_len)
		memcpy(ret->blob, item->blob, item->blob_len);
	return true;
}

static void take_id(const struct dp_item *item)
{
	struct st_wgif old;

	if (item->body_len != sizeof(old))
		return;
	memcpy(&old, item->body, sizeof(old));
	old.name[ST_NAME_MAX - 1] = 0;
	// Refused when the name has another id by now; then its peers do not match and are swept.
	if (ids_find(old.name) != old.key.if_id)
		(void)ids_take(old.name, old.key.if_id);
}

// Told twice when the data plane was asked again.
static void forget_peer(struct wg_recovered *r, uint32_t peer_id)
{
	const struct old_peer *old = g_hash_table_lookup(r->peers, GUINT_TO_POINTER(peer_id));

	if (old && g_hash_table_lookup(r->by_key, &old->body) == &old->body)
		g_hash_table_remove(r->by_key, &old->body);
	g_hash_table_remove(r->peers, GUINT_TO_POINTER(peer_id));
}

static void add_peer(struct wg_recovered *r, const struct dp_item *item)
{
	struct old_peer *old = g_new0(struct old_peer, 1);

	if (!item_take(&old->item, &old->body, sizeof(old->body), item) ||
		old->body.key.peer_id >= ST_MAX_PEERS) {
		g_free(old);
		return;
	}
	forget_peer(r, old->body.key.peer_id);
	g_hash_table_insert(r->peers, GUINT_TO_POINTER(old->body.key.peer_id), old);
	g_hash_table_add(r->by_key, &old->body);
}

static void add_endpoint(struct wg_recovered *r, const struct dp_item *item)
{
	struct old_endpoint *old = g_new0(struct old_endpoint, 1);

	if (!item_take(&old->item, &old->body, sizeof(old->body), item) ||
		old->body.key.slot >= ENDPOINT_SLOTS)
		g_free(old);
	else
		g_hash_table_replace(
			r->endpoints, endpoint_key(old->body.key.peer_id, old->body.key.slot), old);
}

static void add_keypair(struct wg_recovered *r, const struct dp_item *item)
{
	struct st_stat_keypair k;

	if (item->body_len != sizeof(k))
		return;
	memcpy(&k, item->body, sizeof(k));
	if (k.peer_id < ST_MAX_PEERS && k.slot < PEER_SLOTS)
		g_hash_table_replace(
			r->keypairs, keypair_key(k.peer_id, k.slot), g_memdup2(&k, sizeof(k)));
}

// "wg NAME v4 PORT", checked against what the descriptor really is.
static bool socket_parse(struct old_socket *ret, const struct st_socket *body)
{
	char text[sizeof(body->purpose) + 1] = {0}, name[ST_NAME_MAX];
	unsigned int port, version;
	int end = 0;

	memcpy(text, body->purpose, sizeof(body->purpose));
	if (sscanf(text, "wg %15s v%1u %5u%n", name, &version, &port, &end) != 3 || text[end] ||
		(version != 4 && version != 6) || port > UINT16_MAX)
		return false;
	g_strlcpy(ret->name, name, sizeof(ret->name));
	ret->family = version == 4 ? WG_V4 : WG_V6;
	ret->port = (uint16_t)port;
	return wg_socket_port(ret->fd, ret->family) == (int)port;
}

static void add_socket(struct wg_recovered *r, const struct dp_item *item)
{
	struct old_socket old = {.fd = item->fd};
	struct st_socket body;

	if (item->fd < 0 || item->body_len != sizeof(body))
		return;
	memcpy(&body, item->body, sizeof(body));
	old.id = body.key.socket_id;
	if (!socket_parse(&old, &body)) {
		// Of another part of straitd, which asks for it by its id; nobody's are closed and
		// unparked with the rest.
		g_debug("a parked socket that is not WireGuard's: %.60s", body.purpose);
		old.name[0] = 0;
	}
	g_array_append_val(r->sockets, old);
}

void wg_recovered_add(struct wg_recovered *r, const struct dp_item *item)
{
	switch (item->kind) {
	case ST_WGIF:
		take_id(item);
		break;
	case ST_PEER:
		add_peer(r, item);
		break;
	case ST_ENDPOINT:
		add_endpoint(r, item);
		break;
	case ST_STAT_KEYPAIR:
		add_keypair(r, item);
		break;
	case ST_SOCKET:
		add_socket(r, item);
		break;
	default: // ST_KEY: the keypair statistics tell the same and more
		break;
	}
}

bool wg_recovered_has_id(const struct wg_recovered *r, uint32_t peer_id)
{
	return g_hash_table_contains(r->peers, GUINT_TO_POINTER(peer_id));
}

void wg_recover_free_ids(struct wg *wg)
{
	GHashTableIter iter;
	gpointer id;

	g_hash_table_iter_init(&iter, wg->recovered->peers);
	while (g_hash_table_iter_next(&iter, &id, NULL)) {
		if (!wg->peers[GPOINTER_TO_UINT(id)])
			peer_id_free(wg, GPOINTER_TO_UINT(id));
	}
}

static const struct old_peer *find_peer(
	const struct wg_recovered *r, uint32_t if_id, const uint8_t *public_key)
{
	struct st_peer like = {.if_id = if_id};
	const struct st_peer *body;

	memcpy(like.public_key, public_key, sizeof(like.public_key));
	body = g_hash_table_lookup(r->by_key, &like);
	return body ? g_hash_table_lookup(r->peers, GUINT_TO_POINTER(body->key.peer_id)) : NULL;
}

uint32_t wg_recovered_peer_id(
	const struct wg_recovered *r, uint32_t if_id, const uint8_t public_key[NOISE_KEY_LEN])
{
	const struct old_peer *old = find_peer(r, if_id, public_key);

	return old ? old->body.key.peer_id : ST_NO_PEER;
}

void wg_recover_peer(struct peer *p)
{
	struct wg_recovered *r = p->iface->wg->recovered;
	const struct old_peer *old = find_peer(r, p->iface->if_id, p->noise.public_key);
	uint64_t now = wg_now();

	if (!old || old->body.key.peer_id != p->id)
		return;
	if (!peer_blob_load(p, old->item.blob, old->item.blob_len))
		g_warning("peer %s: control blob of another version, timestamps start anew", p->name);
	for (uint32_t slot = 0; slot < PEER_SLOTS; slot++) {
		const struct st_stat_keypair *told =
			g_hash_table_lookup(r->keypairs, keypair_key(p->id, slot));
		struct st_stat_keypair k;

		if (!told)
			continue;
		k = *told;
		k.age_ms += (uint32_t)(now - r->at);
		peer_slot_learnt(p, &k, now);
	}
}

bool wg_recover_endpoint(struct peer *p)
{
	const struct wg_recovered *r = p->iface->wg->recovered;
	const struct old_endpoint *old = g_hash_table_lookup(r->endpoints, endpoint_key(p->id, 0));
	struct endpoint_env env;

	if (!old || wg_recovered_peer_id(r, p->iface->if_id, p->noise.public_key) != p->id)
		return false;
	wg_iface_env(p->iface, &env);
	return endpoint_recover(&p->endpoint, &env, &old->body, old->item.blob, old->item.blob_len);
}

bool wg_recover_pinned(struct peer *p, uint32_t slot, struct st_endpoint *ret_body,
	const uint8_t **ret_blob, uint16_t *ret_len)
{
	const struct wg_recovered *r = p->iface->wg->recovered;
	const struct old_endpoint *old =
		r ? g_hash_table_lookup(r->endpoints, endpoint_key(p->id, slot)) : NULL;

	if (!old || wg_recovered_peer_id(r, p->iface->if_id, p->noise.public_key) != p->id)
		return false;
	*ret_body = old->body;
	*ret_blob = endpoint_pin_blob(old->item.blob, old->item.blob_len, ret_len);
	return *ret_blob;
}

int wg_recover_take_socket(struct wg *wg, uint32_t socket_id)
{
	struct wg_recovered *r = wg->recovered;

	for (guint n = 0; r && n < r->sockets->len; n++) {
		struct old_socket *s = &g_array_index(r->sockets, struct old_socket, n);
		int fd = s->fd;

		if (s->id != socket_id || fd < 0)
			continue;
		s->fd = -1;
		return fd;
	}
	return -1;
}

int wg_recover_socket(struct wg_iface *i, enum wg_family family, uint16_t port)
{
	struct wg_recovered *r = i->wg->recovered;

	for (guint n = 0; r && n < r->sockets->len; n++) {
		struct old_socket *s = &g_array_index(r->sockets, struct old_socket, n);
		int fd = s->fd;

		if (fd < 0 || strcmp(s->name, i->name) || s->family != family ||
			(port && s->port != port) || s->id != i->if_id * WG_FAMILIES + family)
			continue;
		if (wg_socket_prepare(fd, family, i->fwmark))
			continue;
		s->fd = -1;
		return fd;
	}
	return -1;
}

void wg_recover_unpark(struct wg *wg)
{
	struct wg_recovered *r = wg->recovered;

	for (guint n = 0; r && n < r->sockets->len; n++) {
		struct old_socket *s = &g_array_index(r->sockets, struct old_socket, n);

		if (s->fd < 0)
			continue;
		close(s->fd);
		s->fd = -1;
		dp_socket_unpark(wg->dp, s->id);
	}
}
