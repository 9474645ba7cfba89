// SPDX-License-Identifier: BSD-3-Clause
//
// TURN servers of an attempt: what libnice calls them, and the sockets towards them. Main loop thread.
#include "agent_internal.h"

#include <sodium.h>

// --- servers --------------------------------------------------------------------------------------------

void agent_token_clear(gpointer p)
{
	struct relay_token *t = p;

	if (t->password)
		sodium_memzero(t->password, strlen(t->password));
	g_free(t->host);
	g_free(t->username);
	g_free(t->password);
}

static bool token_known(const struct ice_agent *a, const struct st_addr *addr, uint16_t port_be)
{
	for (guint n = 0; n < a->tokens->len; n++) {
		const struct relay_token *t = &g_array_index(a->tokens, struct relay_token, n);

		if (ice_same(&t->addr, t->port_be, addr, port_be))
			return true;
	}
	return false;
}

static void token_add(
	struct ice_agent *a, const struct ice_known_server *s, const struct st_addr *server)
{
	struct relay_token t = {
		.addr = *server,
		.server = *server,
		.port_be = htons(s->url.port),
		.transport = s->url.transport,
	};

	if (t.transport != ICE_UDP && addr_is_v4(server)) {
		static const uint8_t test_net[3] = {192, 0, 2};

		memcpy(t.addr.b + 12, test_net, sizeof(test_net));
		t.addr.b[15] = (uint8_t)(a->tokens->len + 1);
	} else if (t.transport != ICE_UDP) {
		t.addr = (struct st_addr){.b = {0x20, 0x01, 0x0d, 0xb8}};
		t.addr.b[15] = (uint8_t)(a->tokens->len + 1);
	}
	if (a->tokens->len == ICE_MSG_RELAYS || token_known(a, &t.addr, t.port_be) ||
		strlen(s->username) >= ICE_MSG_TEXT || strlen(s->password) >= ICE_MSG_TEXT)
		return;
	t.host = g_strdup(s->url.host);
	t.username = g_strdup(s->username);
	t.password = g_strdup(s->password);
	g_array_append_val(a->tokens, t);
}

void agent_collect_tokens(struct ice_agent *a)
{
	for (guint n = 0; n < a->ice->servers->len; n++) {
		const struct ice_known_server *s = a->ice->servers->pdata[n];

		if (!s->url.turn || !s->username || !s->password)
			continue;
		for (guint k = 0; k < s->addrs->len; k++)
			token_add(a, s, &g_array_index(s->addrs, struct st_addr, k));
	}
}

int agent_token_find(const struct ice_agent *a, const struct st_addr *addr, uint16_t port_be)
{
	for (guint n = 0; n < a->tokens->len; n++) {
		const struct relay_token *t = &g_array_index(a->tokens, struct relay_token, n);

		if (ice_same(&t->addr, t->port_be, addr, port_be))
			return (int)n;
	}
	return -1;
}

// --- sockets --------------------------------------------------------------------------------------------

struct agent_relay *agent_relay_get(
	struct ice_agent *a, const struct st_addr *base, unsigned int token)
{
	const struct relay_token *t = &g_array_index(a->tokens, struct relay_token, token);
	struct agent_relay r = {.base = *base, .token = token};
	struct turn_client_params p = {
		.ice = a->ice,
		.agent = a->number,
		.peer_id = a->peer_id,
		.base = *base,
		.token = t->addr,
		.server = t->server,
		.port_be = t->port_be,
		.local_port_be = a->port_be,
		.transport = t->transport,
		.host = t->host,
		.username = t->username,
		.password = t->password,
	};

	for (guint n = 0; n < a->relays->len; n++) {
		struct agent_relay *old = &g_array_index(a->relays, struct agent_relay, n);

		if (old->token == token && !memcmp(&old->base, base, sizeof(*base)))
			return old;
	}
	if (a->relays->len >= AGENT_MAX_RELAYS)
		return NULL;
	r.turn = turn_client_new(&p);
	g_array_append_val(a->relays, r);
	return &g_array_index(a->relays, struct agent_relay, a->relays->len - 1);
}

// The allocation is an ice_keep's by now. What libnice gives back is answered here, or it would ask for
// eight seconds.
void agent_relay_farewell(
	struct ice_agent *a, const struct agent_relay *r, const uint8_t *data, size_t len)
{
	const struct relay_token *t = &g_array_index(a->tokens, struct relay_token, r->token);
	uint8_t buf[128];
	size_t n = turn_client_farewell(&r->taken, data, len, buf, sizeof(buf));

	if (n)
		ice_link_datagram(a->ice->link, a->number, &r->base, a->port_be, &t->addr,
			t->port_be, buf, n);
}

struct turn_client *ice_agent_relay(
	struct ice *ice, const struct ice_credentials *ours, const struct ice_relay *relay)
{
	GHashTableIter it;
	gpointer value;

	g_hash_table_iter_init(&it, ice->agents);
	while (g_hash_table_iter_next(&it, NULL, &value)) {
		struct ice_agent *a = value;

		if (strcmp(a->ours.ufrag, ours->ufrag))
			continue;
		for (guint n = 0; n < a->relays->len; n++) {
			struct agent_relay *r = &g_array_index(a->relays, struct agent_relay, n);
			struct turn_client *turn = r->turn;

			if (!turn || !turn_client_is(turn, &relay->address, relay->port_be))
				continue;
			r->turn = NULL;
			turn_client_key(turn, &r->taken);
			return turn;
		}
	}
	return NULL;
}

struct turn_client *agent_relay_with(
	const struct ice_agent *a, const struct st_addr *address, uint16_t port_be)
{
	for (guint n = 0; n < a->relays->len; n++) {
		struct turn_client *t = g_array_index(a->relays, struct agent_relay, n).turn;

		if (t && turn_client_is(t, address, port_be))
			return t;
	}
	return NULL;
}
