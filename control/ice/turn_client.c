// SPDX-License-Identifier: BSD-3-Clause
//
// One allocation at a TURN server: its life, its parked socket, and what others may know of it; see turn_client.h.
#include "../dp/dp.h"
#include "turn_client_internal.h"

#include <sodium.h>

#define SOCKET_ID_FIRST 0x10000 // below are those of WireGuard interfaces
#define SOCKET_IDS      0x3fff0000U

// --- life -----------------------------------------------------------------------------------------------

struct turn_client *turn_client_alloc(const struct turn_client_params *p)
{
	struct turn_client *t = g_new0(struct turn_client, 1);

	t->p = *p;
	t->host = g_strdup(p->host);
	t->username = g_strdup(p->username);
	t->password = g_strdup(p->password);
	// At random: an earlier straitd may have left some that nobody has asked for yet.
	t->socket_id = SOCKET_ID_FIRST + randombytes_uniform(SOCKET_IDS);
	t->p.host = t->host;
	t->p.username = t->username;
	t->p.password = t->password;
	return t;
}

void turn_client_destroy(struct turn_client *t)
{
	turn_socket_free(t->socket);
	if (t->password)
		sodium_memzero(t->password, strlen(t->password));
	g_free(t->host);
	g_free(t->username);
	g_free(t->password);
	sodium_memzero(t, sizeof(*t));
	g_free(t);
}

struct turn_client *turn_client_new(const struct turn_client_params *p)
{
	struct turn_client *t = turn_client_alloc(p);
	struct turn_socket_params sp = {
		.server = p->server,
		.base = p->base,
		.server_port_be = p->port_be,
		.transport = p->transport,
		.host = t->host,
		.fwmark = p->ice->env.fwmark ? p->ice->env.fwmark(p->ice->env.arg) : 0,
	};

	t->socket = turn_socket_new(&sp, &turn_client_socket_ops, t);
	if (!t->socket) {
		turn_client_destroy(t);
		return NULL;
	}
	p->ice->counters.turn_sockets++;
	return t;
}

// --- the data plane -------------------------------------------------------------------------------------

static bool portmap(const struct turn_client *t, struct st_portmap *ret)
{
	*ret = (struct st_portmap){.owner = ST_OWNER_TURN_CLIENT};
	if (turn_socket_fd(t->socket) < 0)
		return false; // a stream lives and dies with its process
	if (!turn_socket_local(t->socket, &ret->key.addr, &ret->key.port_lo_be))
		return false;
	ret->key.port_hi_be = ret->key.port_lo_be;
	return true;
}

void turn_client_park(struct turn_client *t)
{
	struct dp *dp = t->p.ice->env.dp;
	struct st_portmap body;
	char purpose[sizeof(((struct st_socket *)NULL)->purpose)];

	if (!dp || !portmap(t, &body))
		return;
	if (!t->mapped_port)
		dp_set(dp, ST_PORTMAP, &body, sizeof(body), NULL, 0, NULL, NULL);
	t->mapped_port = true;
	if (!dp_connected(dp))
		return;
	g_snprintf(purpose, sizeof(purpose), "turn-client %s peer %u", t->p.ice->env.name,
		t->p.peer_id);
	dp_socket_park(dp, t->socket_id, purpose, turn_socket_fd(t->socket));
	t->parked = true;
}

static void unpark(struct turn_client *t)
{
	struct dp *dp = t->p.ice->env.dp;
	struct st_portmap body;

	if (dp && t->parked)
		dp_socket_unpark(dp, t->socket_id);
	if (t->mapped_port && portmap(t, &body))
		dp_del(dp, ST_PORTMAP, &body.key, sizeof(body.key));
	t->parked = t->mapped_port = false;
}

// --- its end --------------------------------------------------------------------------------------------

void turn_client_free(struct turn_client *t)
{
	if (!t)
		return;
	unpark(t);
	turn_client_destroy(t);
}

void turn_client_release(struct turn_client *t)
{
	if (!t)
		return;
	if (t->allocated && t->has_key && !t->ended) {
		randombytes_buf(t->refresh.tid, sizeof(t->refresh.tid));
		turn_send_refresh(t, 0);
		t->p.ice->counters.turn_released++;
	}
	turn_client_free(t);
}

void turn_client_detach(struct turn_client *t)
{
	if (t)
		turn_client_destroy(t);
}

// --- what it is -----------------------------------------------------------------------------------------

bool turn_client_allocated(const struct turn_client *t)
{
	return t->allocated && !t->ended;
}

bool turn_client_is(const struct turn_client *t, const struct st_addr *relayed, uint16_t port_be)
{
	return t->allocated && ice_same(&t->relayed, t->relayed_port_be, relayed, port_be);
}

void turn_client_mapped(const struct turn_client *t, struct st_addr *ret, uint16_t *ret_port_be)
{
	*ret = t->mapped;
	*ret_port_be = t->mapped_port_be;
}

void turn_client_describe(const struct turn_client *t, const struct st_addr *peer,
	uint16_t peer_port_be, struct ice_relay *ret)
{
	const struct turn_binding *b = turn_channel_to(t, peer, peer_port_be);

	*ret = (struct ice_relay){
		.server = t->p.server,
		.server_port_be = t->p.port_be,
		.base = t->p.base,
		.address = t->relayed,
		.port_be = t->relayed_port_be,
		.transport = (uint8_t)t->p.transport,
		.socket_id = t->socket_id,
		.channel = turn_channel_ready(b) ? b->number : 0,
		.channel_ready = turn_channel_ready(b),
	};
	(void)turn_socket_local(t->socket, &ret->base, &ret->base_port_be);
}

// --- who is the client ----------------------------------------------------------------------------------

void turn_client_key(const struct turn_client *t, struct turn_key *ret)
{
	memcpy(ret->key, t->key, sizeof(ret->key));
	ret->known = t->has_key;
}

size_t turn_client_farewell(
	const struct turn_key *key, const uint8_t *request, size_t len, uint8_t *out, size_t size)
{
	struct stun_msg m;
	struct stun_out o;

	if (!key->known || stun_parse(&m, request, len) || m.type != (STUN_REFRESH | STUN_REQUEST))
		return 0;
	stun_begin(&o, out, size, STUN_REFRESH | STUN_SUCCESS, stun_tid(&m));
	stun_add_u32(&o, STUN_ATTR_LIFETIME, 0);
	return stun_end(&o, key->key, sizeof(key->key), true);
}

void turn_client_adopt(struct turn_client *t, const struct st_addr *peer, uint16_t peer_port_be,
	const struct turn_client_ops *ops, void *arg)
{
	t->adopted = true;
	t->ops = ops;
	t->arg = arg;
	turn_refresh_later(t, ice_now());
	// Whether libnice's own binding was answered or not: its permission is from before the checks.
	turn_client_peer(t, peer, peer_port_be);
	turn_client_park(t);
}
