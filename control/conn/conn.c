// SPDX-License-Identifier: BSD-3-Clause
//
// The connection of one peer in straitd: the ops of its state machine, and what signal service, ICE and
// WireGuard tell it; see conn.h. Main loop thread.
#include "../../crypto/keys.h"
#include "../ice/candidate.h"
#include "../text.h"
#include "../wg/wg_internal.h"
#include "conn_internal.h"

#include <sodium.h>

#include <errno.h>
#include <string.h>

#define FOLLOW_AFTER_MS 1000
#define SILENT_AFTER_MS 350  // then we begin to count
#define SILENT_LOST_MS  1000 // four checks at 250 ms went unanswered meanwhile
#define OTHER_QUIET_MS  700  // the peer may be the first to switch
#define VERSION_PREFIX  "strait/"

// ---- ops of the agent --------------------------------------------------------------------------------------

static void note_candidate(GPtrArray *seen, const char *candidate)
{
	char text[CONN_CANDIDATE_LEN];

	text_copy(text, sizeof(text), candidate);
	for (guint n = 0; n < seen->len; n++) {
		if (!strcmp(seen->pdata[n], text))
			return;
	}
	if (seen->len < CONN_SEEN_MAX)
		g_ptr_array_add(seen, g_strdup(text));
}

static void on_candidate(const char *candidate, void *arg)
{
	struct conn *c = arg;

	note_candidate(c->local_seen, candidate);
	conn_fsm_local_candidate(&c->fsm, c->agent_generation, candidate, wg_now());
	conn_timer_update(c);
}

static void on_nominated(const struct ice_path *path, void *arg)
{
	struct conn *c = arg;

	conn_fsm_nominated(&c->fsm, c->agent_generation, path, wg_now());
	conn_timer_update(c);
}

static void on_failed(const char *why, void *arg)
{
	struct conn *c = arg;

	conn_fsm_failed(&c->fsm, c->agent_generation, why, wg_now());
	conn_timer_update(c);
}

static const struct ice_agent_ops agent_ops = {on_candidate, on_nominated, on_failed};

static int op_agent_new(
	uint32_t generation, bool relay_only, const struct ice_credentials *ours, void *arg)
{
	struct conn *c = arg;
	struct ice_attempt attempt = {.peer_id = c->peer->id,
		.controlling = c->fsm.controlling,
		.relay_only = relay_only,
		.ours = ours};

	g_ptr_array_set_size(c->local_seen, 0);
	g_ptr_array_set_size(c->remote_seen, 0);
	c->agent = ice_agent_new(c->iface->ice, &attempt, &agent_ops, c);
	c->agent_generation = generation;
	return c->agent ? 0 : errno ? -errno : -EAGAIN;
}

static int op_agent_remote(uint32_t generation, const struct ice_credentials *theirs, void *arg)
{
	struct conn *c = arg;

	return ice_agent_remote(c->agent, theirs->ufrag, theirs->pwd);
}

static void log_refused(struct conn *c, const char *why)
{
	uint64_t count = log_pace_take(&c->refused);

	if (count)
		g_message("conn: messages refused peer=%s why=\"%s\" count=%" G_GUINT64_FORMAT,
			c->peer->name, why, count);
}

static const char *candidate_fault(int r)
{
	switch (r) {
	case -EINVAL:
	case -EMSGSIZE:
		return "a candidate that cannot be read";
	case -EPROTONOSUPPORT:
		return "a candidate that is not UDP";
	case -ENOSPC:
		return "more candidates than an attempt takes";
	default:
		return "a candidate whose address cannot be a peer's";
	}
}

static int op_agent_candidate(uint32_t generation, const char *candidate, void *arg)
{
	struct conn *c = arg;
	int r = ice_agent_candidate(c->agent, candidate);

	if (!r || r == -EALREADY) {
		note_candidate(c->remote_seen, candidate);
		return 0;
	}
	// Inside our tunnels: honest peers say that as well, of the LAN behind them.
	if (r == -EHOSTUNREACH)
		g_info("conn: candidate inside our tunnels refused peer=%s", c->peer->name);
	else
		log_refused(c, candidate_fault(r));
	return r;
}

static void op_agent_free(uint32_t generation, void *arg)
{
	struct conn *c = arg;

	ice_agent_free(c->agent);
	c->agent = NULL;
}

// ---- the other ops -----------------------------------------------------------------------------------------

static void op_send(const struct conn_message *m, void *arg)
{
	struct conn *c = arg;
	struct signal_message out = {
		.type = (enum signal_type)m->type, .version = VERSION_PREFIX STRAIT_VERSION};
	char payload[2 * ICE_CRED_MAX + 2] = "";

	memcpy(out.peer, c->peer->noise.public_key, sizeof(out.peer));
	if (m->type == CONN_OFFER || m->type == CONN_ANSWER) {
		g_snprintf(payload, sizeof(payload), "%s:%s", m->session.cred.ufrag,
			m->session.cred.pwd);
		out.payload = payload;
		out.wg_listen_port = c->iface->wg->port;
		out.features[out.n_features++] = SIGNAL_FEATURE_DIRECT_CHECK;
		out.has_session_id = m->session.has_id;
		memcpy(out.session_id, m->session.id, sizeof(out.session_id));
	} else if (m->type == CONN_CANDIDATE) {
		out.payload = m->candidate;
	} else if (m->type == CONN_MODE) {
		out.has_direct = true;
		out.direct = m->direct;
	}
	if (signal_client_send(c->iface->signal, &out, NULL, NULL))
		c->iface->send_refused++;
	sodium_memzero(payload, sizeof(payload));
}

static bool op_may_offer(bool unhurried, void *arg)
{
	struct conn *c = arg;

	return pace_take(&c->iface->pace, unhurried, wg_now());
}

static void op_handshake(void *arg)
{
	struct conn *c = arg;

	if (!peer_has_session(c->peer, wg_now()))
		peer_initiate(c->peer, false);
}

static void op_idle(void *arg)
{
	struct conn *c = arg;

	peer_clear_sessions(c->peer, true);
}

static void op_event(const char *what, const char *detail, void *arg)
{
	struct conn *c = arg;

	events_add(c->iface->conns->events, c->iface->wg->name, c->peer->name, what, detail);
	g_info("conn: %s peer=%s detail=\"%s\"", what, c->peer->name, detail ? detail : "");
}

static uint32_t op_random(uint32_t bound, void *arg)
{
	return randombytes_uniform(bound);
}

static bool op_have_relay(void *arg)
{
	struct conn *c = arg;

	return c->iface->relays && c->iface->relay_standby;
}

static bool op_port_reachable(void *arg)
{
	return ((struct conn *)arg)->iface->port_reachable;
}

const struct conn_fsm_ops conn_ops = {
	.agent_new = op_agent_new,
	.agent_remote = op_agent_remote,
	.agent_candidate = op_agent_candidate,
	.agent_free = op_agent_free,
	.path_keep = conn_path_keep,
	.path_drop = conn_path_drop,
	.paths_changed = conn_paths_install,
	.send = op_send,
	.may_offer = op_may_offer,
	.handshake = op_handshake,
	.idle = op_idle,
	.event = op_event,
	.random = op_random,
	.have_relay = op_have_relay,
	.port_reachable = op_port_reachable,
};

// ---- time ----------------------------------------------------------------------------------------------------

static gint by_due(gconstpointer a, gconstpointer b, gpointer arg)
{
	const struct conn *x = a, *y = b;

	return x->due < y->due ? -1 : x->due > y->due;
}

void conn_timers_rearm(struct conn_iface *ci)
{
	GSequenceIter *first = g_sequence_get_begin_iter(ci->timers);
	const struct conn *c = g_sequence_iter_is_end(first) ? NULL : g_sequence_get(first);
	uint64_t now = wg_now();

	if (!c || c->due == CONN_NEVER)
		g_source_set_ready_time(ci->source, -1);
	else
		g_source_set_ready_time(ci->source,
			g_get_monotonic_time() + (c->due > now ? (int64_t)(c->due - now) * 1000 : 0));
}

void conn_timer_update(struct conn *c)
{
	uint64_t due = conn_fsm_next(&c->fsm);

	if (due == c->due)
		return;
	c->due = due;
	g_sequence_sort_changed(c->timer, by_due, NULL);
	conn_timers_rearm(c->iface);
}

void conn_due(struct conn *c, uint64_t now)
{
	conn_fsm_expire(&c->fsm, now);
	conn_timer_update(c);
}

// ---- from the signal service -----------------------------------------------------------------------------------

static bool take_session(struct conn *c, struct conn_message *ret, const struct signal_message *m)
{
	int r = ice_credentials_parse(&ret->session.cred, m->payload ? m->payload : "");

	if (r && r != -ENOTSUP) // ":" is a peer that does no ICE
		return false;
	ret->session.has_id = m->has_session_id;
	memcpy(ret->session.id, m->session_id, sizeof(ret->session.id));
	for (unsigned int n = 0; n < m->n_features; n++)
		ret->direct_check =
			ret->direct_check || m->features[n] == SIGNAL_FEATURE_DIRECT_CHECK;
	ret->strait = m->version && g_str_has_prefix(m->version, VERSION_PREFIX);
	ret->wg_port = m->wg_listen_port <= UINT16_MAX ? (uint16_t)m->wg_listen_port : 0;
	text_copy(c->version, sizeof(c->version), m->version);
	return true;
}

static void refuse(struct conn *c, const char *why)
{
	c->fsm.refused++;
	log_refused(c, why);
}

void conn_message(struct conn *c, const struct signal_message *m)
{
	struct conn_message in = {.type = (enum conn_message_type)m->type};

	if (m->type == SIGNAL_OFFER || m->type == SIGNAL_ANSWER) {
		if (!take_session(c, &in, m)) {
			refuse(c, "an offer or answer without ufrag:pwd");
			return;
		}
	} else if (m->type == SIGNAL_CANDIDATE) {
		if (!m->payload || strlen(m->payload) >= CONN_CANDIDATE_LEN) {
			refuse(c, "a candidate that is too long");
			return;
		}
		in.candidate = m->payload;
	} else if (m->type == SIGNAL_MODE) {
		in.direct = m->has_direct && m->direct;
	}
	conn_fsm_message(&c->fsm, &in, wg_now());
	sodium_memzero(&in, sizeof(in));
	conn_timer_update(c);
}

// ---- from WireGuard --------------------------------------------------------------------------------------------

bool conn_may_initiate(const struct conn *c)
{
	return c->fsm.paths.selected && c->fsm.due[CONN_TIMER_HANDSHAKE] == CONN_NEVER;
}

void conn_traffic(struct conn *c)
{
	conn_fsm_traffic(&c->fsm, wg_now());
	conn_timer_update(c);
}

// ---- a pair that stands by takes over ------------------------------------------------------------------------

// Only with another pair that lives; without one the keep's own limits count, which are less hasty.
static struct conn_path *standby(struct conn *c)
{
	struct conn_path *p = c->fsm.paths.fallback;

	return paths_alive(&c->fsm.paths) && p && !p->lost && c->fsm.peer_strait ? p : NULL;
}

static void take_over(struct conn *c, const char *why)
{
	c->silent_since = 0;
	conn_path_give_up(c, c->fsm.paths.selected, why);
}

// We send, and neither data nor an answer to the checks comes back.
static void watch_silence(struct conn *c, const struct st_activity *a, uint32_t heard_ms, uint64_t now)
{
	uint32_t quiet = MIN(heard_ms, a->selected_received_age_ms);

	if (quiet < SILENT_AFTER_MS) {
		c->silent_since = 0;
		return;
	}
	if (!(a->flags & ST_ACT_DATA_SENT))
		return;
	if (!c->silent_since)
		c->silent_since = now;
	if (now - c->silent_since >= SILENT_LOST_MS && quiet >= SILENT_LOST_MS)
		take_over(c, "nothing comes back");
}

// The peer has left the pair for the one that stands by: it hears nothing of what we send. One that has not
// come to it yet, because we were the first to switch, has not been heard on it.
static void watch_other(struct conn *c, const struct st_activity *a, uint32_t heard_ms)
{
	if (!(a->flags & ST_ACT_ANY_RECEIVED) || a->any_received_age_ms > SILENT_AFTER_MS ||
		c->selected_heard_at <= c->selected_since)
		return;
	if (a->selected_received_age_ms >= OTHER_QUIET_MS && heard_ms >= OTHER_QUIET_MS)
		take_over(c, "the peer uses the path that stands by");
}

// A pair that we gave up is asked at the quick pace as if we still sent on it, so that it is known soon when it
// works again.
static void watch_lost(struct conn *c, const struct st_activity *a)
{
	const struct conn_path *p = c->fsm.paths.fallback;
	struct conn_keep *k = p && p->lost ? conn_keep_of(c, p) : NULL;
	struct st_activity silent = {.peer_id = a->peer_id,
		.flags = a->flags & ST_ACT_DATA_SENT,
		.selected_received_age_ms = UINT32_MAX};

	if (k && k->keep)
		ice_keep_activity(k->keep, &silent);
}

void conn_activity(struct conn *c, const struct st_activity *a)
{
	const struct conn_path *s = c->fsm.paths.selected;
	struct conn_keep *k = s ? conn_keep_of(c, s) : NULL;
	uint64_t now = wg_now();

	if (a->selected_received_age_ms != UINT32_MAX)
		c->selected_heard_at = now - MIN(now, a->selected_received_age_ms);
	if (!k || !k->keep)
		return;
	if (c->selected_id != s->id) {
		c->selected_id = s->id;
		c->selected_since = now;
		c->silent_since = 0;
	}
	if (standby(c)) {
		uint32_t heard_ms = ice_keep_heard_ms(k->keep);

		watch_silence(c, a, heard_ms, now);
		if (standby(c) && c->fsm.paths.selected == s)
			watch_other(c, a, heard_ms);
	}
	// A switch may have dropped it.
	if (c->fsm.paths.selected == s)
		ice_keep_activity(k->keep, a);
	watch_lost(c, a);
}

// Only nomination moves us, with one exception: a peer up to v0.18 that announced direct sends from
// WireGuard's own port, and reads nothing from its ICE port any more.
void conn_seen(struct conn *c, const struct st_addr *remote, uint16_t remote_port_be,
	const struct st_addr *local)
{
	const struct conn_path *s = c->fsm.paths.selected;
	uint64_t now = wg_now();

	if (!s || s->path.relayed || !c->fsm.peer_direct || c->fsm.peer_strait)
		return;
	if (memcmp(&s->path.remote, remote, sizeof(*remote)) ||
		s->path.remote_port_be == remote_port_be ||
		(c->follows && c->follow_port_be == remote_port_be))
		return;
	if (now < MAX(c->selected_heard_at, s->since) + FOLLOW_AFTER_MS)
		return;
	c->follows = true;
	c->follow_path = s->id;
	c->follow_addr = *remote;
	c->follow_port_be = remote_port_be;
	op_event("follows", "peer sends from another port", c);
	conn_paths_install(c);
}

bool conn_send(struct conn *c, const void *data, size_t len)
{
	const struct conn_path *s = c->fsm.paths.selected;
	struct conn_keep *k = s && s->path.relayed ? conn_keep_of(c, s) : NULL;

	if (!k)
		return false;
	if (!k->keep || ice_keep_send(k->keep, data, len))
		c->iface->wg->wg->counters.send_failed++;
	return true;
}

void conn_reconnect(struct conn *c)
{
	conn_fsm_reconnect(&c->fsm, wg_now());
	conn_timer_update(c);
}

// ---- life --------------------------------------------------------------------------------------------------------

struct conn *conn_new(struct conn_iface *ci, struct peer *p)
{
	struct conn *c = g_new0(struct conn, 1);
	char ours[KEY_BASE64_LEN], theirs[KEY_BASE64_LEN];

	c->iface = ci;
	c->peer = p;
	c->due = CONN_NEVER;
	c->local_seen = g_ptr_array_new_with_free_func(g_free);
	c->remote_seen = g_ptr_array_new_with_free_func(g_free);
	for (int n = 0; n < CONN_EXTRA; n++) {
		endpoint_init(&c->extra[n], NULL, NULL);
		c->extra[n].slot = (uint32_t)n + 1;
	}
	// As NetBird: by the base64 texts, whose order differs from that of the keys.
	key_to_base64(ours, ci->wg->public_key);
	key_to_base64(theirs, p->noise.public_key);
	conn_fsm_init(&c->fsm, &conn_ops, strcmp(ours, theirs) > 0, c);
	c->timer = g_sequence_insert_sorted(ci->timers, c, by_due, NULL);
	signal_client_peer_add(ci->signal, p->noise.public_key);
	p->conn = c;
	return c;
}

void conn_start(struct conn *c)
{
	uint64_t now = wg_now();

	(void)conn_path_recover(c);
	conn_fsm_start(&c->fsm, now);
	if (c->iface->signal_up)
		conn_fsm_signal(&c->fsm, true, now);
	conn_timer_update(c);
}

void conn_free(struct conn *c, bool keep_paths)
{
	struct conn_iface *ci = c->iface;

	c->peer->conn = NULL;
	signal_client_peer_del(ci->signal, c->peer->noise.public_key);
	if (keep_paths) {
		// Objects, allocations and pairs go on until the next straitd takes them.
		ice_agent_free(c->agent);
		conn_fsm_release(&c->fsm);
		for (int n = 0; n < CONN_EXTRA; n++)
			endpoint_fini(&c->extra[n]);
	} else {
		conn_fsm_stop(&c->fsm, wg_now());
		conn_paths_uninstall(c);
		ice_peer_gone(ci->ice, c->peer->id);
	}
	g_sequence_remove(c->timer);
	conn_timers_rearm(ci);
	g_ptr_array_unref(c->local_seen);
	g_ptr_array_unref(c->remote_seen);
	sodium_memzero(&c->fsm, sizeof(c->fsm));
	g_free(c);
}

void conn_peer_begin(struct conn_iface *ci, struct peer *p)
{
	conn_start(conn_new(ci, p));
}

void conn_peer_gone(struct peer *p)
{
	if (p->conn)
		conn_free(p->conn, false);
}
