// SPDX-License-Identifier: BSD-3-Clause
//
// Recording double of dp.h and netlink.h; see dp_double.h.
#include "dp_double.h"

#include "../../../control/addr.h"
#include "../../../control/host/netlink.h"

#include <errno.h>
#include <string.h>

struct answer {
	struct dp *dp;
	dp_done done;
	void *arg;
	int status;
};

static struct {
	int status;
	uint32_t if_id;
} path;

unsigned int netlink_double_held;

struct dp *dp_double_new(void)
{
	struct dp *dp = g_new0(struct dp, 1);

	dp->connected = true;
	dp->objects = g_ptr_array_new_with_free_func(g_free);
	dp->keys = g_array_new(FALSE, FALSE, sizeof(struct st_key));
	dp->log = g_array_new(FALSE, FALSE, sizeof(uint16_t));
	dp->keypairs = g_array_new(FALSE, FALSE, sizeof(struct st_stat_keypair));
	dp->peers = g_array_new(FALSE, FALSE, sizeof(struct st_stat_peer));
	dp->held = g_ptr_array_new();
	return dp;
}

void dp_double_free(struct dp *dp)
{
	g_ptr_array_free(dp->objects, TRUE);
	g_array_free(dp->keys, TRUE);
	g_array_free(dp->log, TRUE);
	g_array_free(dp->keypairs, TRUE);
	g_array_free(dp->peers, TRUE);
	g_ptr_array_free(dp->held, TRUE);
	g_free(dp);
}

static gboolean answer_now(gpointer arg)
{
	struct answer *a = arg;

	a->done(a->status, a->arg);
	g_free(a);
	return G_SOURCE_REMOVE;
}

static void answer(struct dp *dp, dp_done done, void *arg, int status)
{
	struct answer *a;

	if (!done)
		return;
	a = g_new0(struct answer, 1);
	*a = (struct answer){dp, done, arg, dp->connected ? status : -ENOTCONN};
	if (dp->hold)
		g_ptr_array_add(dp->held, a);
	else
		g_idle_add_full(G_PRIORITY_DEFAULT, answer_now, a, NULL);
}

void dp_double_release(struct dp *dp)
{
	dp->hold = false;
	for (guint n = 0; n < dp->held->len; n++)
		answer_now(dp->held->pdata[n]);
	g_ptr_array_set_size(dp->held, 0);
}

static uint16_t key_len(uint16_t kind)
{
	switch (kind) {
	case ST_PORT:
		return sizeof(struct st_port_key);
	case ST_WGIF:
		return sizeof(struct st_wgif_key);
	case ST_PORTMAP:
		return sizeof(struct st_portmap_key);
	case ST_PEER:
		return sizeof(struct st_peer_key);
	case ST_ALLOWED_IP:
		return sizeof(struct st_allowed_ip_key);
	case ST_ENDPOINT:
		return sizeof(struct st_endpoint_key);
	case ST_TURN_USER:
		return sizeof(struct st_turn_user_key);
	case ST_RELAY:
		return sizeof(struct st_relay_key);
	case ST_PERMISSION:
		return sizeof(struct st_permission_key);
	case ST_CHANNEL:
		return sizeof(struct st_channel_key);
	case ST_TURN_DENY_PORTS:
		return sizeof(struct st_turn_deny_ports_key);
	default:
		g_error("double: no such kind: %u", kind);
	}
}

static guint find(struct dp *dp, uint16_t kind, const void *key, uint16_t len)
{
	guint n;

	for (n = 0; n < dp->objects->len; n++) {
		const struct dp_double_object *o = dp->objects->pdata[n];

		if (o->kind == kind && !memcmp(o->body, key, len))
			break;
	}
	return n;
}

const struct dp_double_object *dp_double_find(struct dp *dp, uint16_t kind, uint32_t first_word)
{
	guint n = find(dp, kind, &first_word, sizeof(first_word));

	return n < dp->objects->len ? dp->objects->pdata[n] : NULL;
}

unsigned int dp_double_count(struct dp *dp, uint16_t kind)
{
	unsigned int count = 0;

	for (guint n = 0; n < dp->objects->len; n++)
		count += ((struct dp_double_object *)dp->objects->pdata[n])->kind == kind;
	return count;
}

bool dp_connected(const struct dp *dp)
{
	return dp->connected;
}

void dp_set(struct dp *dp, uint16_t kind, const void *body, uint16_t body_len, const void *blob,
	uint16_t blob_len, dp_done done, void *arg)
{
	dp_set_expiring(dp, kind, body, body_len, blob, blob_len, 0, done, arg);
}

void dp_set_expiring(struct dp *dp, uint16_t kind, const void *body, uint16_t body_len,
	const void *blob, uint16_t blob_len, uint32_t expiry_ms, dp_done done, void *arg)
{
	guint n = find(dp, kind, body, key_len(kind));
	struct dp_double_object *o;

	if (n == dp->objects->len)
		g_ptr_array_add(dp->objects, g_new0(struct dp_double_object, 1));
	o = dp->objects->pdata[n];
	g_assert(body_len <= sizeof(o->body) && blob_len <= sizeof(o->blob));
	o->kind = kind;
	o->expiry_ms = expiry_ms;
	o->sets++;
	o->body_len = body_len;
	o->blob_len = blob_len;
	memcpy(o->body, body, body_len);
	if (blob_len)
		memcpy(o->blob, blob, blob_len);
	g_array_append_val(dp->log, kind);
	answer(dp, done, arg, dp->set_status);
}

void dp_del(struct dp *dp, uint16_t kind, const void *key, uint16_t len)
{
	guint n = find(dp, kind, key, len);

	g_assert(len == key_len(kind));
	if (n < dp->objects->len)
		g_ptr_array_remove_index(dp->objects, n);
}

void dp_forget(struct dp *dp, uint16_t kind, const void *key, uint16_t len)
{
	dp_del(dp, kind, key, len);
}

void dp_key_set(struct dp *dp, const struct st_key *key, uint32_t expiry_ms, dp_done done, void *arg)
{
	uint16_t kind = ST_KEY;

	g_assert(expiry_ms > 0);
	if (dp->connected && !dp->key_status) {
		g_array_append_vals(dp->keys, key, 1);
		g_array_append_val(dp->log, kind);
	}
	answer(dp, done, arg, dp->key_status);
}

void dp_key_del(struct dp *dp, uint32_t index)
{
	for (guint n = 0; n < dp->keys->len; n++) {
		if (g_array_index(dp->keys, struct st_key, n).key.index == index) {
			g_array_remove_index(dp->keys, n);
			dp->keys_deleted++;
			return;
		}
	}
}

void dp_staged_drop(struct dp *dp, uint32_t peer_id)
{
	dp->staged_drops++;
}

void dp_keepalive(struct dp *dp, uint32_t peer_id)
{
	dp->keepalives++;
}

void dp_socket_park(struct dp *dp, uint32_t socket_id, const char *purpose, int fd)
{
	g_assert(fd >= 0);
	g_assert(g_str_has_prefix(purpose, "wg ") || g_str_has_prefix(purpose, "ice ") ||
		 g_str_has_prefix(purpose, "turn "));
	dp->parked++;
}

void dp_socket_unpark(struct dp *dp, uint32_t socket_id)
{
	dp->unparked++;
}

bool dp_packet_out(struct dp *dp, const struct st_packet_io *io, const void *data, uint16_t len)
{
	dp->packets_out++;
	return dp->connected;
}

void dp_dump(struct dp *dp, uint16_t kind, dp_dump_item item, dp_done done, void *arg)
{
	GArray *a = kind == ST_STAT_PEER ? dp->peers : dp->keypairs;
	guint size = g_array_get_element_size(a);

	for (guint n = 0; dp->connected && n < a->len; n++)
		item(a->data + (gsize)n * size, (uint16_t)size, arg);
	answer(dp, done, arg, 0);
}

unsigned int netlink_double_asked_ifindex;

void netlink_double_path(int status, uint32_t if_id)
{
	path.status = status;
	path.if_id = if_id;
}

int netlink_path_get(struct netlink *nl, const struct netlink_ask *ask, struct netlink_path *ret)
{
	netlink_double_asked_ifindex = ask->ifindex;
	*ret = (struct netlink_path){
		.if_id = path.if_id,
		.local = *ask->local,
		.nexthop = *ask->remote,
		.mtu = 1500,
	};
	if (addr_is_zero(ask->local))
		addr_parse(&ret->local, addr_is_v4(ask->remote) ? "127.0.0.1" : "::1");
	return path.status;
}

void netlink_map_iface(struct netlink *nl, uint32_t if_id, const char *host_name)
{
}

void netlink_neigh_hold(struct netlink *nl, uint32_t if_id, const struct st_addr *addr)
{
	netlink_double_held++;
}

void netlink_neigh_release(struct netlink *nl, uint32_t if_id, const struct st_addr *addr)
{
	netlink_double_held--;
}
