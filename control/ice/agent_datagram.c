// SPDX-License-Identifier: BSD-3-Clause
//
// Datagrams of an attempt: from libnice to peers and TURN servers, from peers to libnice. Main loop thread.
#include "agent_internal.h"

// --- from libnice ---------------------------------------------------------------------------------------

// Checks and their answers, and to nobody but who can be a peer: what got into strait-ice cannot use our
// port for anything else.
void agent_datagram(struct ice_agent *a, const struct ice_msg_datagram *m, const uint8_t *data)
{
	struct st_addr local = ice_get_addr(&m->local), remote = ice_get_addr(&m->remote);
	const struct ice_env *env = &a->ice->env;
	int token = agent_token_find(a, &remote, m->remote.port_be);
	struct agent_relay *r;
	struct stun_msg s;

	if (!agent_is_base(a, &local)) {
		a->ice->counters.agent_refused++;
		return;
	}
	if (token >= 0) {
		r = agent_relay_get(a, &local, (unsigned int)token);
		if (r && r->turn)
			turn_client_from_agent(r->turn, data, m->len);
		else if (r)
			agent_relay_farewell(a, r, data, m->len);
		return;
	}
	if (a->relay_only || a->freed || stun_parse(&s, data, m->len) ||
		stun_method(&s) != STUN_BINDING || !ice_address_usable(&remote) ||
		!m->remote.port_be ||
		(env->overlay_address && env->overlay_address(&remote, env->arg))) {
		a->ice->counters.agent_refused++;
		return;
	}
	if (stun_class(&s) == STUN_REQUEST)
		ice_transactions_add(a->ice, stun_tid(&s), a->number, &remote, m->remote.port_be);
	(void)ice_send(a->ice, a->port_be, &local, &remote, m->remote.port_be, data, m->len);
}

// --- from peers -----------------------------------------------------------------------------------------

static void forward(
	struct ice_agent *a, const struct wg_datagram *d, struct relay_wait *wait, bool stranger)
{
	struct relay_wait_answer answer = {.local = d->local,
		.remote = d->remote,
		.remote_port_be = d->remote_port_be,
		.stranger = stranger};
	uint8_t copy[WG_SOCKET_PAYLOAD];
	size_t len;

	if (d->len > sizeof(copy) || !a->begun || a->freed)
		return;
	memcpy(copy, d->data, d->len);
	len = stun_cut(copy, d->len);
	answer.data = copy;
	answer.len = len;
	if (relay_wait_take(wait, &answer))
		return;
	ice_link_datagram(a->ice->link, a->number, &d->local, a->port_be, &d->remote,
		d->remote_port_be, copy, len);
}

void ice_agent_stun(struct ice_owner *o, const struct wg_datagram *d, const struct stun_msg *m,
	struct turn_client *turn)
{
	struct ice_agent *a = (struct ice_agent *)o;

	if (!turn && !a->relay_only)
		forward(a, d, NULL, false);
}

bool ice_agent_hold(struct ice *ice, uint32_t agent, const struct st_addr *base,
	const struct st_addr *token, uint16_t port_be, const uint8_t *data, size_t len)
{
	struct ice_agent *a = g_hash_table_lookup(ice->agents, GUINT_TO_POINTER(agent));
	struct relay_wait_answer answer = {
		.local = *base, .remote = *token, .remote_port_be = port_be, .data = data, .len = len};

	return a && relay_wait_take(a->relay_wait, &answer);
}

void ice_agent_answer(
	struct ice *ice, uint32_t agent, const struct wg_datagram *d, bool success, uint32_t rtt_us)
{
	struct ice_agent *a = g_hash_table_lookup(ice->agents, GUINT_TO_POINTER(agent));
	const struct ice_candidate *c;

	if (!a)
		return;
	a->rtt_us = MAX(rtt_us, 1U);
	a->rtt_remote = d->remote;
	c = agent_remote_find(a, &d->remote, d->remote_port_be);
	if (c && c->type != ICE_RELAY) {
		forward(a, d, NULL, false);
		if (success)
			relay_wait_direct(a->relay_wait);
	} else {
		forward(a, d, a->relay_wait, !c);
	}
}
