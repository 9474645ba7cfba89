// SPDX-License-Identifier: BSD-3-Clause
//
// One attempt: how it begins, and how it ends. After ice_agent_free the record stays until strait-ice has
// closed the agent, as its last messages still have to go out. Main loop thread.
#include "agent_internal.h"
#include "peer_port.h"

#include <sodium.h>

#include <errno.h>

#define UFRAG_LEN   16
#define PWD_LEN     32
#define RESOLVE_MS  1500  // a TURN server whose name takes longer is left out
#define PROCESS_MS  3000  // for strait-ice to be started again
#define BEGIN_MS    50    // between looks at both
#define FAILED_MS   11000 // as pion: checking ends then when nothing is left
#define DEADLINE_MS 20000 // libnice sometimes never says so
#define WATCH_MS    500

// --- what ends it ---------------------------------------------------------------------------------------

void agent_end(struct ice_agent *a, const char *why)
{
	if (a->ended || a->freed)
		return;
	a->ended = true;
	if (a->timer)
		g_source_remove(a->timer);
	a->timer = 0;
	a->ice->counters.agents_failed++;
	a->ops->failed(why, a->arg);
}

static gboolean on_watch(gpointer arg)
{
	struct ice_agent *a = arg;
	uint64_t now = ice_now();

	if (a->nominated) {
		a->timer = 0;
		return G_SOURCE_REMOVE;
	}
	if (now > a->begun_ms + DEADLINE_MS || (a->nothing_left && now > a->begun_ms + FAILED_MS &&
						       now > a->last_candidate_ms + FAILED_MS / 2)) {
		a->timer = 0;
		agent_end(a, a->remotes->len ? "no pair of candidates works"
					     : "the peer sent no candidates");
		return G_SOURCE_REMOVE;
	}
	return G_SOURCE_CONTINUE;
}

// --- beginning ------------------------------------------------------------------------------------------

// The shared one, or the peer's.
static bool take_port(struct ice_agent *a)
{
	struct ice *ice = a->ice;
	const struct ice_port *own;

	a->port_be = ice_shared_port(ice);
	a->stun = ice->stun;
	if (!a->port_be || !ice_port_is_per_peer(ice))
		return true;
	own = ice_port_get(ice->ports, a->peer_id);
	if (!own)
		return false;
	a->port_be = ice_port_number(own);
	a->stun = ice_port_stun(own);
	return true;
}

// What there is to gather from. NULL, or why nothing is.
static const char *gather(struct ice_agent *a)
{
	const GArray *hosts = a->ice->hosts;

	ice_hosts_refresh(a->ice);
	if (!take_port(a))
		return "no port of its own can be opened";
	g_array_set_size(a->bases, 0);
	if (hosts->len)
		g_array_append_vals(a->bases, hosts->data, hosts->len);
	if (!a->port_be || !a->bases->len)
		return a->port_be ? "no local address can be used" : "the port is not open";
	agent_collect_tokens(a);
	return a->relay_only && !a->tokens->len ? "no TURN server can be used" : NULL;
}

static void begin(struct ice_agent *a)
{
	struct ice *ice = a->ice;
	const char *why = gather(a);

	if (why) {
		agent_end(a, why);
		return;
	}
	a->begun = true;
	a->begun_ms = a->last_candidate_ms = ice_now();
	ice->counters.agents_started++;
	if (a->controlling && !a->relay_only)
		a->relay_wait = relay_wait_new(ice->link, a->number, a->port_be);
	if (!agent_tell_new(a)) {
		agent_end(a, "strait-ice does not take it");
		return;
	}
	for (guint n = 0; n < a->remotes->len; n++)
		agent_tell_remote(a, &g_array_index(a->remotes, struct ice_candidate, n));
	a->timer = g_timeout_add(WATCH_MS, on_watch, a);
	if (a->relay_only)
		return;
	stun_client_ask(a->stun);
	agent_signal_hosts(a);
	if (!a->ended && !a->freed)
		agent_signal_reflexive(a);
}

// Names first, but not for ever; and the process.
static gboolean on_begin(gpointer arg)
{
	struct ice_agent *a = arg;
	uint64_t now = ice_now();

	if (ice_servers_pending(a->ice) && now < a->asked_ms + RESOLVE_MS)
		return G_SOURCE_CONTINUE;
	if (!ice_link_start(a->ice->link)) {
		if (ice_link_up(a->ice->link) && now < a->asked_ms + PROCESS_MS)
			return G_SOURCE_CONTINUE;
		a->timer = 0;
		agent_end(a, "strait-ice cannot be started");
		return G_SOURCE_REMOVE;
	}
	a->timer = 0;
	begin(a);
	return G_SOURCE_REMOVE;
}

static gboolean on_begin_now(gpointer arg)
{
	struct ice_agent *a = arg;

	a->timer = 0;
	if (on_begin(a))
		a->timer = g_timeout_add(BEGIN_MS, on_begin, a);
	return G_SOURCE_REMOVE;
}

// --- the interface --------------------------------------------------------------------------------------

static void random_letters(char *out, size_t len)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

	for (size_t n = 0; n < len; n++)
		out[n] = letters[randombytes_uniform(sizeof(letters) - 1)];
	out[len] = 0;
}

static struct ice_agent *agent_alloc(void)
{
	struct ice_agent *a = g_new0(struct ice_agent, 1);

	a->remotes = g_array_new(FALSE, FALSE, sizeof(struct ice_candidate));
	a->locals = g_ptr_array_new_with_free_func(g_free);
	a->bases = g_array_new(FALSE, FALSE, sizeof(struct st_addr));
	a->tokens = g_array_new(FALSE, FALSE, sizeof(struct relay_token));
	g_array_set_clear_func(a->tokens, agent_token_clear);
	a->relays = g_array_new(FALSE, FALSE, sizeof(struct agent_relay));
	return a;
}

struct ice_agent *ice_agent_new(struct ice *ice, const struct ice_attempt *attempt,
	const struct ice_agent_ops *ops, void *arg)
{
	struct ice_agent *a = agent_alloc();

	a->ice = ice;
	a->number = ++ice->next_agent;
	a->peer_id = attempt->peer_id;
	a->controlling = attempt->controlling;
	a->relay_only = attempt->relay_only;
	a->ops = ops;
	a->arg = arg;
	if (attempt->ours) {
		a->ours = *attempt->ours;
	} else {
		random_letters(a->ours.ufrag, UFRAG_LEN);
		random_letters(a->ours.pwd, PWD_LEN);
	}
	a->owner = (struct ice_owner){ICE_OWNER_AGENT, &a->ours};
	(void)ice_owner_add(ice, &a->owner);
	g_hash_table_insert(ice->agents, GUINT_TO_POINTER(a->number), a);
	return a;
}

const struct ice_credentials *ice_agent_local(const struct ice_agent *a)
{
	return &a->ours;
}

int ice_agent_remote(struct ice_agent *a, const char *ufrag, const char *pwd)
{
	if (!ice_credentials_valid(ufrag, pwd))
		return -EINVAL;
	if (a->known)
		return -EALREADY;
	g_strlcpy(a->theirs.ufrag, ufrag, sizeof(a->theirs.ufrag));
	g_strlcpy(a->theirs.pwd, pwd, sizeof(a->theirs.pwd));
	a->known = true;
	a->asked_ms = ice_now();
	if (!a->ended)
		a->timer = g_timeout_add(0, on_begin_now, a);
	return 0;
}

void agent_destroy(struct ice_agent *a)
{
	if (a->timer)
		g_source_remove(a->timer);
	for (guint n = 0; n < a->relays->len; n++)
		turn_client_free(g_array_index(a->relays, struct agent_relay, n).turn);
	relay_wait_free(a->relay_wait);
	g_hash_table_remove(a->ice->agents, GUINT_TO_POINTER(a->number));
	g_array_unref(a->relays);
	g_array_unref(a->tokens);
	g_array_unref(a->bases);
	g_array_unref(a->remotes);
	g_ptr_array_unref(a->locals);
	sodium_memzero(a, sizeof(*a));
	g_free(a);
}

static gboolean on_destroy(gpointer arg)
{
	struct ice_agent *a = arg;

	a->timer = 0;
	agent_destroy(a);
	return G_SOURCE_REMOVE;
}

void ice_agent_free(struct ice_agent *a)
{
	struct ice_msg msg;

	if (!a)
		return;
	a->freed = true;
	if (a->timer)
		g_source_remove(a->timer);
	a->timer = 0;
	ice_owner_remove(a->ice, &a->owner);
	msg = (struct ice_msg){.type = ICE_MSG_CLOSE, .agent = a->number};
	// libnice gives its allocations back before it closes; without it we do.
	if (a->begun && ice_link_tell(a->ice->link, a->number, &msg, sizeof(msg)))
		return;
	for (guint n = 0; n < a->relays->len; n++) {
		struct agent_relay *r = &g_array_index(a->relays, struct agent_relay, n);

		turn_client_release(r->turn);
		r->turn = NULL;
	}
	// Not now: this may be inside an op of its own.
	a->timer = g_idle_add(on_destroy, a);
}

// --- all of them ----------------------------------------------------------------------------------------

void ice_agents_destroy(struct ice *ice)
{
	GList *all = g_hash_table_get_values(ice->agents);

	for (GList *l = all; l; l = l->next)
		agent_destroy(l->data);
	g_list_free(all);
}

void ice_agents_lost(struct ice *ice, const char *why)
{
	GList *all = g_hash_table_get_keys(ice->agents);

	for (GList *l = all; l; l = l->next) {
		struct ice_agent *a = g_hash_table_lookup(ice->agents, l->data);

		if (!a || !a->begun)
			continue;
		a->begun = false; // there is nothing to close
		if (a->freed && !a->timer)
			ice_agent_free(a);
		else if (a->freed)
			continue;
		else if (!a->nominated)
			agent_end(a, why);
	}
	g_list_free(all);
}

void ice_agents_no_port(struct ice *ice, uint32_t peer_id, const char *why)
{
	GList *all = g_hash_table_get_keys(ice->agents);

	for (GList *l = all; l; l = l->next) {
		struct ice_agent *a = g_hash_table_lookup(ice->agents, l->data);

		if (a && a->peer_id == peer_id && !a->nominated)
			agent_end(a, why);
	}
	g_list_free(all);
}

// libnice binds its addresses when it begins. An attempt that is still checking from what is gone begins
// anew by its owner.
void ice_agents_hosts_changed(struct ice *ice)
{
	GList *all = g_hash_table_get_keys(ice->agents);

	for (GList *l = all; l; l = l->next) {
		struct ice_agent *a = g_hash_table_lookup(ice->agents, l->data);

		if (a && a->begun && !a->freed && !a->nominated)
			agent_end(a, "addresses of this box changed");
	}
	g_list_free(all);
}
