// SPDX-License-Identifier: BSD-3-Clause
//
// What strait-ice is told of an attempt, and what it says. It may be in somebody else's hands: nothing that it
// says is believed beyond its own agents. Main loop thread.
#include "agent_internal.h"

#include <sodium.h>

// --- to it ----------------------------------------------------------------------------------------------

void agent_tell_remote(struct ice_agent *a, const struct ice_candidate *c)
{
	struct ice_msg_candidate msg = {
		.head = {.type = ICE_MSG_REMOTE_CANDIDATE, .agent = a->number},
		.type = c->type,
		.priority = c->priority,
	};

	ice_set_addr(&msg.addr, &c->addr, c->port_be);
	g_strlcpy(msg.foundation, c->foundation, sizeof(msg.foundation));
	(void)ice_link_tell(a->ice->link, a->number, &msg, sizeof(msg));
}

bool agent_tell_new(struct ice_agent *a)
{
	struct ice_msg_remote remote = {.head = {.type = ICE_MSG_REMOTE, .agent = a->number}};
	struct ice_msg_new *m = g_new0(struct ice_msg_new, 1);
	bool ok;

	m->head = (struct ice_msg){.type = ICE_MSG_NEW, .agent = a->number};
	m->controlling = a->controlling;
	m->relay_only = a->relay_only;
	m->port_be = a->port_be;
	m->nb_addrs = MIN(a->bases->len, (guint)ICE_MSG_ADDRS);
	for (guint n = 0; n < m->nb_addrs; n++)
		ice_set_addr(&m->addrs[n], &g_array_index(a->bases, struct st_addr, n), 0);
	m->nb_relays = a->tokens->len;
	for (guint n = 0; n < m->nb_relays; n++) {
		const struct relay_token *t = &g_array_index(a->tokens, struct relay_token, n);

		ice_set_addr(&m->relays[n].server, &t->addr, t->port_be);
		g_strlcpy(m->relays[n].username, t->username, ICE_MSG_TEXT);
		g_strlcpy(m->relays[n].password, t->password, ICE_MSG_TEXT);
	}
	g_strlcpy(m->ufrag, a->ours.ufrag, sizeof(m->ufrag));
	g_strlcpy(m->pwd, a->ours.pwd, sizeof(m->pwd));
	ok = ice_link_tell(a->ice->link, a->number, m, sizeof(*m));
	sodium_memzero(m, sizeof(*m));
	g_free(m);
	g_strlcpy(remote.ufrag, a->theirs.ufrag, sizeof(remote.ufrag));
	g_strlcpy(remote.pwd, a->theirs.pwd, sizeof(remote.pwd));
	return ok && ice_link_tell(a->ice->link, a->number, &remote, sizeof(remote));
}

// --- from it --------------------------------------------------------------------------------------------

static void local_candidate(struct ice_agent *a, const struct ice_msg_candidate *m)
{
	struct ice_candidate c = {
		.type = ICE_RELAY, .addr = ice_get_addr(&m->addr), .port_be = m->addr.port_be};
	struct turn_client *t = agent_relay_with(a, &c.addr, c.port_be);

	if (!t)
		return;
	turn_client_mapped(t, &c.related, &c.related_port_be);
	agent_signal(a, &c, &c.addr);
}

static enum ice_type remote_type(
	const struct ice_agent *a, const struct st_addr *addr, uint16_t port_be, uint32_t told)
{
	const struct ice_candidate *c = agent_remote_find(a, addr, port_be);

	if (c)
		return c->type;
	return told <= ICE_RELAY ? (enum ice_type)told : ICE_PRFLX;
}

static bool path_fill(struct ice_agent *a, const struct ice_msg_selected *m, struct ice_path *p)
{
	struct turn_client *t;

	*p = (struct ice_path){
		.local = ice_get_addr(&m->base),
		.local_port_be = a->port_be,
		.remote = ice_get_addr(&m->remote),
		.remote_port_be = m->remote.port_be,
		.local_type = (uint8_t)m->local_type,
		.controlling = a->controlling,
		.relayed = m->local_type == ICE_MSG_RELAY,
		.local_candidate = ice_get_addr(&m->local),
		.local_candidate_port_be = m->local.port_be,
		.ours = a->ours,
		.theirs = a->theirs,
	};
	if (m->local_type > ICE_MSG_RELAY || !p->remote_port_be || !ice_address_usable(&p->remote))
		return false;
	p->remote_type = (uint8_t)remote_type(a, &p->remote, p->remote_port_be, m->remote_type);
	if (!memcmp(&a->rtt_remote, &p->remote, sizeof(p->remote)))
		p->rtt_us = a->rtt_us;
	if (!p->relayed)
		return agent_is_base(a, &p->local);
	t = agent_relay_with(a, &p->local_candidate, p->local_candidate_port_be);
	if (!t)
		return false;
	turn_client_describe(t, &p->remote, p->remote_port_be, &p->relay);
	p->local = p->relay.base;
	p->local_port_be = p->relay.base_port_be;
	return true;
}

static void selected(struct ice_agent *a, const struct ice_msg_selected *m)
{
	struct ice_path path;

	if (!path_fill(a, m, &path)) {
		a->ice->counters.agent_refused++;
		return;
	}
	// libnice may know another number, where it has sockets of its own.
	if (path.local_type == ICE_HOST)
		path.local_candidate_port_be = a->port_be;
	if (!a->nominated)
		a->ice->counters.agents_nominated++;
	a->nominated = true;
	// A direct pair has won: what waits must not bring a relay after it.
	relay_wait_free(a->relay_wait);
	a->relay_wait = NULL;
	a->ops->nominated(&path, a->arg);
}

static size_t message_len(uint16_t type)
{
	switch (type) {
	case ICE_MSG_DATAGRAM:
		return sizeof(struct ice_msg_datagram);
	case ICE_MSG_LOCAL_CANDIDATE:
		return sizeof(struct ice_msg_candidate);
	case ICE_MSG_SELECTED:
		return sizeof(struct ice_msg_selected);
	case ICE_MSG_GATHERED:
	case ICE_MSG_FAILED:
	case ICE_MSG_CLOSED:
		return sizeof(struct ice_msg_status);
	default:
		return SIZE_MAX;
	}
}

void ice_agent_message(struct ice *ice, const struct ice_msg *msg, size_t len)
{
	struct ice_agent *a = g_hash_table_lookup(ice->agents, GUINT_TO_POINTER(msg->agent));
	const struct ice_msg_datagram *d = (const struct ice_msg_datagram *)msg;
	size_t fixed = message_len(msg->type);

	if (!a || len < fixed ||
		(msg->type == ICE_MSG_DATAGRAM ? d->len != len - fixed : len != fixed))
		return;
	if (msg->type == ICE_MSG_DATAGRAM) {
		agent_datagram(a, d, (const uint8_t *)(d + 1));
		return;
	}
	if (msg->type == ICE_MSG_CLOSED && a->freed) {
		agent_destroy(a);
		return;
	}
	if (a->freed || a->ended)
		return;
	switch (msg->type) {
	case ICE_MSG_LOCAL_CANDIDATE:
		local_candidate(a, (const struct ice_msg_candidate *)msg);
		break;
	case ICE_MSG_SELECTED:
		selected(a, (const struct ice_msg_selected *)msg);
		break;
	case ICE_MSG_FAILED:
		a->nothing_left = true;
		break;
	case ICE_MSG_GATHERED:
		if (((const struct ice_msg_status *)msg)->status)
			agent_end(a, "libnice can use none of our addresses");
		break;
	}
}
