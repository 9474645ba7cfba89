// SPDX-License-Identifier: BSD-3-Clause
//
// One attempt: what the peer is told, what libnice in strait-ice is told, the TURN sockets of it, and how it
// ends. Main loop thread. After ice_agent_free the record stays until strait-ice has closed the agent, as
// its last messages still have to go out.
#include "ice_internal.h"
#include "peer_port.h"
#include "relay_wait.h"
#include "turn_client.h"

#include <cjson/cJSON.h>
#include <sodium.h>

#include <errno.h>

#define UFRAG_LEN     16
#define PWD_LEN       32
#define RESOLVE_MS    1500  // a TURN server whose name takes longer is left out
#define PROCESS_MS    3000  // for strait-ice to be started again
#define BEGIN_MS      50    // between looks at both
#define FAILED_MS     11000 // as pion: checking ends then when nothing is left
#define DEADLINE_MS   20000 // libnice sometimes never says so
#define WATCH_MS      500
#define MAX_RELAYS    (ICE_MSG_RELAYS * 4)
#define MAX_REFLEXIVE 8

// What libnice thinks a TURN server's address is. TCP and TLS servers may share one with a UDP server, so
// they get an address of the documentation ranges.
struct relay_token {
	struct st_addr addr, server;
	uint16_t port_be;
	enum ice_transport transport;
	char *host, *username, *password;
};

struct agent_relay {
	struct st_addr base;
	unsigned int token;
	struct turn_client *turn; // NULL: taken over by an ice_keep, or there is no socket
	struct turn_key taken;    // to answer libnice's last Refresh with
};

struct ice_agent {
	struct ice_owner owner; // first
	struct ice *ice;
	uint32_t number, peer_id;
	bool controlling, relay_only;
	const struct ice_agent_ops *ops;
	void *arg;
	struct ice_credentials ours, theirs;
	bool known, begun, ended, freed, nominated, nothing_left;
	uint64_t asked_ms, begun_ms, last_candidate_ms;
	guint timer;
	uint16_t port_be;
	struct stun_client *stun; // of that port
	GArray *remotes;          // of struct ice_candidate
	GPtrArray *locals;        // signalled, text
	GArray *bases;            // of struct st_addr, told to libnice
	GArray *tokens;           // of struct relay_token
	GArray *relays;           // of struct agent_relay
	uint32_t rtt_us;          // of the last answered check, and to whom
	struct st_addr rtt_remote;
	struct relay_wait *relay_wait; // NULL where the peer controls
};

static void random_letters(char *out, size_t len)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

	for (size_t n = 0; n < len; n++)
		out[n] = letters[randombytes_uniform(sizeof(letters) - 1)];
	out[len] = 0;
}

// ---- what ends it --------------------------------------------------------------------------------------

static void end(struct ice_agent *a, const char *why)
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
		end(a, a->remotes->len ? "no pair of candidates works"
				       : "the peer sent no candidates");
		return G_SOURCE_REMOVE;
	}
	return G_SOURCE_CONTINUE;
}

// ---- what the peer is told -----------------------------------------------------------------------------

static void signal_candidate(struct ice_agent *a, struct ice_candidate *c, const struct st_addr *base)
{
	char text[ICE_CANDIDATE_MAX];

	ice_candidate_foundation(c, base);
	c->priority = ice_candidate_priority(c->type, a->locals->len);
	ice_candidate_print(text, c);
	g_ptr_array_add(a->locals, g_strdup(text));
	a->ops->candidate(text, a->arg);
}

static bool is_base(const struct ice_agent *a, const struct st_addr *addr)
{
	for (guint n = 0; n < a->bases->len; n++) {
		if (!memcmp(&g_array_index(a->bases, struct st_addr, n), addr, sizeof(*addr)))
			return true;
	}
	return false;
}

static void signal_hosts(struct ice_agent *a)
{
	for (guint n = 0; n < a->bases->len && !a->ended && !a->freed; n++) {
		struct st_addr base = g_array_index(a->bases, struct st_addr, n);
		struct ice_candidate c = {.type = ICE_HOST, .port_be = a->port_be};

		if (ice_hosts_external(a->ice, &base, &c.addr))
			signal_candidate(a, &c, &base);
	}
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

static void signal_reflexive(struct ice_agent *a)
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
			signal_candidate(a, &c, &known[k].base);
	}
}

// ---- beginning -----------------------------------------------------------------------------------------

static void token_clear(gpointer p)
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

static void collect_tokens(struct ice_agent *a)
{
	for (guint n = 0; n < a->ice->servers->len; n++) {
		const struct ice_known_server *s = a->ice->servers->pdata[n];

		if (!s->url.turn || !s->username || !s->password)
			continue;
		for (guint k = 0; k < s->addrs->len; k++)
			token_add(a, s, &g_array_index(s->addrs, struct st_addr, k));
	}
}

static void tell_remote(struct ice_agent *a, const struct ice_candidate *c)
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

static bool tell_new(struct ice_agent *a)
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

static void begin(struct ice_agent *a)
{
	struct ice *ice = a->ice;

	ice_hosts_refresh(ice);
	if (!take_port(a)) {
		end(a, "no port of its own can be opened");
		return;
	}
	g_array_set_size(a->bases, 0);
	if (ice->hosts->len)
		g_array_append_vals(a->bases, ice->hosts->data, ice->hosts->len);
	if (!a->port_be || !a->bases->len) {
		end(a, a->port_be ? "no local address can be used" : "the port is not open");
		return;
	}
	collect_tokens(a);
	if (a->relay_only && !a->tokens->len) {
		end(a, "no TURN server can be used");
		return;
	}
	a->begun = true;
	a->begun_ms = a->last_candidate_ms = ice_now();
	ice->counters.agents_started++;
	if (a->controlling && !a->relay_only)
		a->relay_wait = relay_wait_new(ice->link, a->number, a->port_be);
	if (!tell_new(a)) {
		end(a, "strait-ice does not take it");
		return;
	}
	for (guint n = 0; n < a->remotes->len; n++)
		tell_remote(a, &g_array_index(a->remotes, struct ice_candidate, n));
	a->timer = g_timeout_add(WATCH_MS, on_watch, a);
	if (a->relay_only)
		return;
	stun_client_ask(a->stun);
	signal_hosts(a);
	if (!a->ended && !a->freed)
		signal_reflexive(a);
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
		end(a, "strait-ice cannot be started");
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

// ---- the interface -------------------------------------------------------------------------------------

struct ice_agent *ice_agent_new(struct ice *ice, const struct ice_attempt *attempt,
	const struct ice_agent_ops *ops, void *arg)
{
	struct ice_agent *a = g_new0(struct ice_agent, 1);

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
	a->remotes = g_array_new(FALSE, FALSE, sizeof(struct ice_candidate));
	a->locals = g_ptr_array_new_with_free_func(g_free);
	a->bases = g_array_new(FALSE, FALSE, sizeof(struct st_addr));
	a->tokens = g_array_new(FALSE, FALSE, sizeof(struct relay_token));
	g_array_set_clear_func(a->tokens, token_clear);
	a->relays = g_array_new(FALSE, FALSE, sizeof(struct agent_relay));
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

static int count(uint64_t *counter, int r)
{
	(*counter)++;
	return r;
}

// The candidate that the peer signalled, NULL: it did not.
static const struct ice_candidate *remote_find(
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
	if (r || (env->overlay_address && env->overlay_address(&parsed.addr, env->arg)))
		return count(&c->candidates_refused, r ? r : -EHOSTUNREACH);
	if (remote_find(a, &parsed.addr, parsed.port_be))
		return count(&c->candidates_repeated, -EALREADY);
	if (a->remotes->len >= ICE_MAX_REMOTE)
		return count(&c->candidates_too_many, -ENOSPC);
	g_array_append_val(a->remotes, parsed);
	c->candidates_taken++;
	a->last_candidate_ms = ice_now();
	a->nothing_left = false;
	if (a->begun && !a->ended)
		tell_remote(a, &parsed);
	return 0;
}

static void agent_destroy(struct ice_agent *a)
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
			end(a, why);
	}
	g_list_free(all);
}

void ice_agents_reflexive(struct ice *ice)
{
	GList *all = g_hash_table_get_keys(ice->agents);

	for (GList *l = all; l; l = l->next) {
		struct ice_agent *a = g_hash_table_lookup(ice->agents, l->data);

		if (a && a->begun && !a->ended && !a->freed && !a->relay_only)
			signal_reflexive(a);
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
			end(a, "addresses of this box changed");
	}
	g_list_free(all);
}

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

// ---- TURN ----------------------------------------------------------------------------------------------

static int token_of(const struct ice_agent *a, const struct st_addr *addr, uint16_t port_be)
{
	for (guint n = 0; n < a->tokens->len; n++) {
		const struct relay_token *t = &g_array_index(a->tokens, struct relay_token, n);

		if (ice_same(&t->addr, t->port_be, addr, port_be))
			return (int)n;
	}
	return -1;
}

static struct agent_relay *relay_get(
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
	if (a->relays->len >= MAX_RELAYS)
		return NULL;
	r.turn = turn_client_new(&p);
	g_array_append_val(a->relays, r);
	return &g_array_index(a->relays, struct agent_relay, a->relays->len - 1);
}

// The allocation is an ice_keep's by now. What libnice gives back is answered here, or it would ask for
// eight seconds.
static void swallow(struct ice_agent *a, const struct agent_relay *r, const uint8_t *data, size_t len)
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

static struct turn_client *relay_with(
	const struct ice_agent *a, const struct st_addr *address, uint16_t port_be)
{
	for (guint n = 0; n < a->relays->len; n++) {
		struct turn_client *t = g_array_index(a->relays, struct agent_relay, n).turn;

		if (t && turn_client_is(t, address, port_be))
			return t;
	}
	return NULL;
}

// ---- from strait-ice -----------------------------------------------------------------------------------

// Checks and their answers, and to nobody but who can be a peer: what got into strait-ice cannot use our
// port for anything else.
static void agent_datagram(struct ice_agent *a, const struct ice_msg_datagram *m, const uint8_t *data)
{
	struct st_addr local = ice_get_addr(&m->local), remote = ice_get_addr(&m->remote);
	const struct ice_env *env = &a->ice->env;
	int token = token_of(a, &remote, m->remote.port_be);
	struct agent_relay *r;
	struct stun_msg s;

	if (!is_base(a, &local)) {
		a->ice->counters.agent_refused++;
		return;
	}
	if (token >= 0) {
		r = relay_get(a, &local, (unsigned int)token);
		if (r && r->turn)
			turn_client_from_agent(r->turn, data, m->len);
		else if (r)
			swallow(a, r, data, m->len);
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

static void local_candidate(struct ice_agent *a, const struct ice_msg_candidate *m)
{
	struct ice_candidate c = {
		.type = ICE_RELAY, .addr = ice_get_addr(&m->addr), .port_be = m->addr.port_be};
	struct turn_client *t = relay_with(a, &c.addr, c.port_be);

	if (!t)
		return;
	turn_client_mapped(t, &c.related, &c.related_port_be);
	signal_candidate(a, &c, &c.addr);
}

static enum ice_type remote_type(
	const struct ice_agent *a, const struct st_addr *addr, uint16_t port_be, uint32_t told)
{
	const struct ice_candidate *c = remote_find(a, addr, port_be);

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
		return is_base(a, &p->local);
	t = relay_with(a, &p->local_candidate, p->local_candidate_port_be);
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

// strait-ice may be in somebody else's hands: nothing that it says is believed beyond its own agents.
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
			end(a, "libnice can use none of our addresses");
		break;
	}
}

// ---- from peers ----------------------------------------------------------------------------------------

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
	c = remote_find(a, &d->remote, d->remote_port_be);
	if (c && c->type != ICE_RELAY) {
		forward(a, d, NULL, false);
		if (success)
			relay_wait_direct(a->relay_wait);
	} else {
		forward(a, d, a->relay_wait, !c);
	}
}
