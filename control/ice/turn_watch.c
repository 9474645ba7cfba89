// SPDX-License-Identifier: BSD-3-Clause
//
// While libnice is the client of an allocation: what its requests and the server's answers tell us. Main loop
// thread.
#include "turn_client_internal.h"

// --- what the server says -------------------------------------------------------------------------------

static void take_text(char *to, uint16_t *to_len, const struct stun_msg *m, uint16_t attr)
{
	uint16_t len;
	const uint8_t *v = stun_find(m, attr, &len);

	if (!v || len >= TURN_TEXT_MAX)
		return;
	memcpy(to, v, len);
	*to_len = len;
}

void turn_take_challenge(struct turn_client *t, const struct stun_msg *m)
{
	take_text(t->realm, &t->realm_len, m, STUN_ATTR_REALM);
	take_text(t->nonce, &t->nonce_len, m, STUN_ATTR_NONCE);
	if (t->password && t->realm_len) {
		stun_long_term_key(t->key, t->username, t->realm, t->realm_len, t->password);
		t->has_key = true;
	}
}

void turn_watch_success(struct turn_client *t, const struct stun_msg *m, const struct turn_pending *p)
{
	uint32_t lifetime;
	struct turn_binding *b;

	switch (stun_method(m)) {
	case STUN_ALLOCATE:
		if (!stun_find_address(
			    m, STUN_ATTR_XOR_RELAYED_ADDRESS, &t->relayed, &t->relayed_port_be))
			return;
		(void)stun_find_address(
			m, STUN_ATTR_XOR_MAPPED_ADDRESS, &t->mapped, &t->mapped_port_be);
		t->allocated = true;
		// fallthrough
	case STUN_REFRESH:
		if (stun_find_u32(m, STUN_ATTR_LIFETIME, &lifetime))
			t->lifetime_s = lifetime;
		break;
	case STUN_CHANNEL_BIND:
		b = p ? turn_channel_add(t, &p->peer, p->port_be, p->number) : NULL;
		if (b)
			turn_channel_confirm(t, b);
		break;
	}
}

const struct turn_pending *turn_pending_find(const struct turn_client *t, const uint8_t *tid)
{
	for (unsigned int n = 0; n < TURN_MAX_PENDING; n++) {
		if (t->pending[n].method && !memcmp(t->pending[n].tid, tid, STUN_TID_LEN))
			return &t->pending[n];
	}
	return NULL;
}

// --- what libnice asks ----------------------------------------------------------------------------------

static void watch_request(struct turn_client *t, const struct stun_msg *m)
{
	struct turn_pending *p = &t->pending[t->next_pending];
	uint32_t number;

	if (turn_pending_find(t, stun_tid(m)))
		return;
	t->next_pending = (t->next_pending + 1) % TURN_MAX_PENDING;
	*p = (struct turn_pending){.method = stun_method(m)};
	memcpy(p->tid, stun_tid(m), STUN_TID_LEN);
	if (p->method != STUN_CHANNEL_BIND)
		return;
	if (stun_find_u32(m, STUN_ATTR_CHANNEL_NUMBER, &number) &&
		stun_find_address(m, STUN_ATTR_XOR_PEER_ADDRESS, &p->peer, &p->port_be)) {
		p->number = (uint16_t)(number >> 16);
		// Known before it is confirmed: who takes over must not choose another number.
		(void)turn_channel_add(t, &p->peer, p->port_be, p->number);
	}
}

static bool allowed(const struct stun_msg *m)
{
	switch (m->type) {
	case STUN_ALLOCATE | STUN_REQUEST:
	case STUN_REFRESH | STUN_REQUEST:
	case STUN_CREATE_PERMISSION | STUN_REQUEST:
	case STUN_CHANNEL_BIND | STUN_REQUEST:
	case STUN_BINDING | STUN_REQUEST:
	case STUN_BINDING | STUN_INDICATION:
	case STUN_SEND | STUN_INDICATION:
		return true;
	}
	return false;
}

void turn_client_from_agent(struct turn_client *t, const uint8_t *data, size_t len)
{
	bool channel = len >= 4 && (data[0] & 0xf0) == 0x40;
	struct stun_msg m;

	if (!channel) {
		if (stun_parse(&m, data, len) || !allowed(&m)) {
			t->p.ice->counters.agent_refused++;
			return;
		}
		if (stun_class(&m) == STUN_REQUEST)
			watch_request(t, &m);
	}
	if (turn_socket_send(t->socket, data, len))
		t->p.ice->counters.send_failed++;
}
