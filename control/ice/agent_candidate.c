// SPDX-License-Identifier: BSD-3-Clause
//
// Candidates of an attempt: ours as the peer is told of them, and those that the peer signalled. Main loop
// thread.
#include "agent_internal.h"

#include <cjson/cJSON.h>

#include <errno.h>

#define MAX_REFLEXIVE 8

// --- ours -----------------------------------------------------------------------------------------------

void agent_signal(struct ice_agent *a, struct ice_candidate *c, const struct st_addr *base)
{
	char text[ICE_CANDIDATE_MAX];

	ice_candidate_foundation(c, base);
	c->priority = ice_candidate_priority(c->type, a->locals->len);
	ice_candidate_print(text, c);
	g_ptr_array_add(a->locals, g_strdup(text));
	a->ops->candidate(text, a->arg);
}

bool agent_is_base(const struct ice_agent *a, const struct st_addr *addr)
{
	for (guint n = 0; n < a->bases->len; n++) {
		if (!memcmp(&g_array_index(a->bases, struct st_addr, n), addr, sizeof(*addr)))
			return true;
	}
	return false;
}

static bool signalled(const struct ice_agent *a, const struct st_addr *addr, uint16_t port_be)
{
	for (guint n = 0; n < a->locals->len; n++) {
		struct ice_candidate c;

		if (!ice_candidate_parse(&c, a->locals->pdata[n]) &&
			ice_same(&c.addr, c.port_be, addr, port_be))
			return true;
	}
	return false;
}

void agent_signal_hosts(struct ice_agent *a)
{
	for (guint n = 0; n < a->bases->len && !a->ended && !a->freed; n++) {
		struct st_addr base = g_array_index(a->bases, struct st_addr, n);
		struct ice_candidate c = {.type = ICE_HOST, .port_be = a->port_be};

		// An external address may stand for many.
		if (ice_hosts_external(a->ice, &base, &c.addr) && !signalled(a, &c.addr, c.port_be))
			agent_signal(a, &c, &base);
	}
}

void agent_signal_reflexive(struct ice_agent *a)
{
	struct ice_reflexive known[MAX_REFLEXIVE];
	unsigned int n = stun_client_get(a->stun, known, MAX_REFLEXIVE);

	for (unsigned int k = 0; k < n && !a->ended && !a->freed; k++) {
		struct ice_candidate c = {
			.type = ICE_SRFLX,
			.addr = known[k].mapped,
			.port_be = known[k].mapped_port_be,
			.related = known[k].base,
			.related_port_be = a->port_be,
		};

		if (!signalled(a, &c.addr, c.port_be))
			agent_signal(a, &c, &known[k].base);
	}
}

void ice_agents_reflexive(struct ice *ice)
{
	GList *all = g_hash_table_get_keys(ice->agents);

	for (GList *l = all; l; l = l->next) {
		struct ice_agent *a = g_hash_table_lookup(ice->agents, l->data);

		if (a && a->begun && !a->ended && !a->freed && !a->relay_only)
			agent_signal_reflexive(a);
	}
	g_list_free(all);
}

// --- the peer's -----------------------------------------------------------------------------------------

static int count(uint64_t *counter, int r)
{
	(*counter)++;
	return r;
}

// The candidate that the peer signalled, NULL: it did not.
const struct ice_candidate *agent_remote_find(
	const struct ice_agent *a, const struct st_addr *addr, uint16_t port_be)
{
	for (guint n = 0; n < a->remotes->len; n++) {
		const struct ice_candidate *r = &g_array_index(a->remotes, struct ice_candidate, n);

		if (ice_same(&r->addr, r->port_be, addr, port_be))
			return r;
	}
	return NULL;
}

// An address comes to libnice once: with the same one in two candidates it aborts (conncheck.c, assertion
// p->state == NICE_CHECK_SUCCEEDED).
int ice_agent_candidate(struct ice_agent *a, const char *candidate)
{
	const struct ice_env *env = &a->ice->env;
	struct ice_counters *c = &a->ice->counters;
	struct ice_candidate parsed;
	int r = ice_candidate_parse(&parsed, candidate);

	if (r == -EINVAL || r == -EMSGSIZE)
		return count(&c->candidates_malformed, r);
	if (!r && env->inside)
		env->inside(&parsed.addr, parsed.port_be, env->arg);
	if (r || (env->overlay_address && env->overlay_address(&parsed.addr, env->arg)))
		return count(&c->candidates_refused, r ? r : -EHOSTUNREACH);
	if (agent_remote_find(a, &parsed.addr, parsed.port_be))
		return count(&c->candidates_repeated, -EALREADY);
	if (a->remotes->len >= ICE_MAX_REMOTE)
		return count(&c->candidates_too_many, -ENOSPC);
	g_array_append_val(a->remotes, parsed);
	c->candidates_taken++;
	a->last_candidate_ms = ice_now();
	a->nothing_left = false;
	if (a->begun && !a->ended)
		agent_tell_remote(a, &parsed);
	return 0;
}

// --- both -----------------------------------------------------------------------------------------------

void ice_agent_status(const struct ice_agent *a, struct cJSON *into)
{
	cJSON *local = cJSON_AddArrayToObject(into, "local");
	cJSON *remote = cJSON_AddArrayToObject(into, "remote");
	char text[ICE_CANDIDATE_MAX];

	for (guint n = 0; n < a->locals->len; n++)
		cJSON_AddItemToArray(local, cJSON_CreateString(a->locals->pdata[n]));
	for (guint n = 0; n < a->remotes->len; n++) {
		ice_candidate_print(text, &g_array_index(a->remotes, struct ice_candidate, n));
		cJSON_AddItemToArray(remote, cJSON_CreateString(text));
	}
}
