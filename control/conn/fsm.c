// SPDX-License-Identifier: BSD-3-Clause
//
// The connection to a peer: life, timers, attempts; see fsm.h. Pure.
#include "fsm.h"

#include "direct.h"
#include "fsm_internal.h"

#include <glib.h>
#include <sodium.h>

#include <string.h>

const char *conn_phase_name(enum conn_phase phase)
{
	static const char *const names[CONN_PHASES] = {
		"closed", "idle", "waiting", "offered", "checking", "settled"};

	return phase < CONN_PHASES ? names[phase] : "?";
}

// ---- small parts ---------------------------------------------------------------------------------------

static uint32_t below(struct conn_fsm *f, uint32_t bound)
{
	return bound ? f->ops->random(bound, f->arg) : 0;
}

uint64_t fsm_jitter(struct conn_fsm *f, uint64_t ms)
{
	return ms - ms / 4 + below(f, (uint32_t)(ms / 2) + 1);
}

static uint64_t grown(uint64_t first, unsigned int n, uint64_t max)
{
	for (; n && first < max; n--)
		first *= 2;
	return MIN(first, max);
}

void fsm_enter(struct conn_fsm *f, enum conn_phase phase, uint64_t now)
{
	f->phase_ms[f->phase] += now - f->entered_at;
	f->entered_at = now;
	f->phase = phase;
}

static void event(struct conn_fsm *f, const char *what, const char *detail)
{
	f->ops->event(what, detail, f->arg);
}

static void disarm_all(struct conn_fsm *f)
{
	for (int n = 0; n < CONN_TIMERS; n++)
		f->due[n] = CONN_NEVER;
}

bool candidates_add(struct conn_candidates *c, const char *text, uint64_t now)
{
	for (unsigned int n = 0; n < c->n; n++) {
		if (!strcmp(c->text[n], text)) {
			c->at[n] = now;
			return false;
		}
	}
	if (c->n == CONN_CANDIDATES_MAX) {
		g_free(c->text[0]);
		c->n--;
		memmove(c->text, c->text + 1, c->n * sizeof(c->text[0]));
		memmove(c->at, c->at + 1, c->n * sizeof(c->at[0]));
	}
	c->text[c->n] = g_strdup(text);
	c->at[c->n++] = now;
	return true;
}

void candidates_clear(struct conn_candidates *c)
{
	for (unsigned int n = 0; n < c->n; n++)
		g_free(c->text[n]);
	c->n = 0;
}

void candidates_expire(struct conn_candidates *c, uint64_t before)
{
	unsigned int kept = 0;

	for (unsigned int n = 0; n < c->n; n++) {
		if (c->at[n] < before) {
			g_free(c->text[n]);
			continue;
		}
		c->text[kept] = c->text[n];
		c->at[kept++] = c->at[n];
	}
	c->n = kept;
}

void fsm_send(struct conn_fsm *f, struct conn_message *m)
{
	f->sent++;
	f->ops->send(m, f->arg);
}

static void send_session(struct conn_fsm *f, enum conn_message_type type)
{
	struct conn_message m = {.type = type, .session = f->local};

	fsm_send(f, &m);
	sodium_memzero(&m, sizeof(m));
}

static void send_candidates(struct conn_fsm *f)
{
	for (unsigned int n = 0; n < f->ours.n; n++) {
		struct conn_message m = {.type = CONN_CANDIDATE, .candidate = f->ours.text[n]};

		fsm_send(f, &m);
	}
}

void fsm_send_answer(struct conn_fsm *f)
{
	f->due[CONN_TIMER_ANSWER] = CONN_NEVER;
	send_session(f, CONN_ANSWER);
	send_candidates(f);
}

// ---- pairs ---------------------------------------------------------------------------------------------

static int path_keep(uint32_t id, const struct ice_path *path, void *arg)
{
	struct conn_fsm *f = arg;

	return f->ops->path_keep(id, path, f->arg);
}

static void path_drop(uint32_t id, void *arg)
{
	struct conn_fsm *f = arg;

	f->ops->path_drop(id, f->arg);
}

static void paths_changed(void *arg)
{
	struct conn_fsm *f = arg;

	f->ops->paths_changed(f->arg);
}

static const struct conn_paths_ops paths_ops = {path_keep, path_drop, paths_changed};

// ---- attempts ------------------------------------------------------------------------------------------

void fsm_agent_free(struct conn_fsm *f)
{
	f->due[CONN_TIMER_LINGER] = CONN_NEVER;
	if (!f->agent)
		return;
	f->agent = false;
	f->ops->agent_free(f->generation, f->arg);
}

static void letters(struct conn_fsm *f, char *out, size_t n)
{
	static const char abc[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	for (size_t i = 0; i < n; i++)
		out[i] = abc[below(f, sizeof(abc) - 1)];
	out[n] = 0;
}

static void session_new(struct conn_fsm *f)
{
	memset(&f->local, 0, sizeof(f->local));
	letters(f, f->local.cred.ufrag, CONN_UFRAG_LEN);
	letters(f, f->local.cred.pwd, CONN_PWD_LEN);
	for (int n = 0; n < CONN_SESSION_ID_LEN; n++)
		f->local.id[n] = (uint8_t)below(f, 256);
	f->local.has_id = true;
	f->has_local = true;
}

void fsm_begin(struct conn_fsm *f, enum conn_purpose purpose, uint64_t now)
{
	fsm_agent_free(f);
	disarm_all(f);
	if (f->phase == CONN_SETTLED)
		fsm_stale_remote(f, now);
	session_new(f);
	candidates_clear(&f->ours);
	f->has_remote = f->nominated = f->answer_owed = false;
	f->purpose = purpose;
	f->offers = f->repeats = f->reoffered = 0;
	f->began_at = now;
	f->attempts++;
	fsm_enter(f, CONN_OFFERED, now);
}

static bool background(const struct conn_fsm *f)
{
	return f->purpose == CONN_UPGRADE || f->purpose == CONN_STANDBY;
}

void fsm_attempt_failed(struct conn_fsm *f, const char *why, uint64_t now)
{
	fsm_agent_free(f);
	candidates_clear(&f->ours);
	g_strlcpy(f->last_failure, why, sizeof(f->last_failure));
	event(f, "attempt-failed", why);
	disarm_all(f);
	f->has_local = f->has_remote = f->nominated = false;
	f->offers = 0;
	if (paths_alive(&f->paths)) {
		f->better_tries++;
		fsm_enter(f, CONN_SETTLED, now);
		fsm_arm_better(f, now);
		return;
	}
	fsm_enter(f, CONN_WAITING, now);
	f->due[CONN_TIMER_OFFER] =
		now + fsm_jitter(f, grown(RETRY_FIRST_MS, f->failures++, RETRY_MAX_MS));
}

static int agent_start(struct conn_fsm *f)
{
	bool relay_only = f->purpose == CONN_STANDBY;
	int r = f->ops->agent_new(++f->generation, relay_only, &f->local.cred, f->arg);

	if (r)
		return r;
	f->agent = true;
	return f->ops->agent_remote(f->generation, &f->remote.cred, f->arg);
}

void fsm_bind(struct conn_fsm *f, const struct conn_message *m, uint64_t now)
{
	bool answer = m->type == CONN_OFFER;
	int r;

	fsm_agent_free(f);
	f->remote = m->session;
	f->has_remote = true;
	f->has_mode = f->peer_direct = false; // what it said of an earlier attempt
	f->nominated = false;
	f->answer_owed = answer;
	f->repeats = f->reoffered = 0;
	f->bound_at = now;
	disarm_all(f);
	r = agent_start(f);
	if (r) {
		fsm_attempt_failed(f, g_strerror(-r), now);
		return;
	}
	candidates_expire(&f->early, now - MIN(now, CANDIDATE_AGE_MS));
	for (unsigned int n = 0; n < f->early.n; n++)
		(void)f->ops->agent_candidate(f->generation, f->early.text[n], f->arg);
	fsm_enter(f, CONN_CHECKING, now);
	f->due[CONN_TIMER_CHECK] = now + CHECK_TIMEOUT_MS;
	f->due[CONN_TIMER_REPEAT] = now + REPEAT_FIRST_MS;
	event(f, "checking", NULL);
	if (answer && m->session.has_id)
		fsm_send_answer(f);
	else if (answer)
		f->due[CONN_TIMER_ANSWER] = now + ANSWER_DELAY_MS;
}

// ---- better pairs --------------------------------------------------------------------------------------

// Peers of other make take a new session for a restart of ours, and lose what they have.
void fsm_arm_better(struct conn_fsm *f, uint64_t now)
{
	uint64_t ms;

	f->due[CONN_TIMER_BETTER] = CONN_NEVER;
	if (!f->peer_strait || f->phase != CONN_SETTLED || !paths_alive(&f->paths))
		return;
	if (paths_relayed(&f->paths)) {
		if (!f->controlling)
			return;
		ms = grown(UPGRADE_FIRST_MS, f->better_tries * 2, UPGRADE_MAX_MS);
	} else {
		if ((f->paths.fallback && !f->paths.fallback->lost) || !f->ops->have_relay(f->arg))
			return;
		ms = grown(STANDBY_FIRST_MS, f->better_tries * 2, STANDBY_MAX_MS);
		// The other side may do it, and one is enough.
		ms *= f->controlling ? 1 : 3;
	}
	f->due[CONN_TIMER_BETTER] = now + fsm_jitter(f, ms);
}

static void try_better(struct conn_fsm *f, uint64_t now)
{
	// A pair in doubt needs more than a relay beside it.
	enum conn_purpose purpose =
		paths_relayed(&f->paths) || f->doubted ? CONN_UPGRADE : CONN_STANDBY;

	f->due[CONN_TIMER_BETTER] = CONN_NEVER;
	if (f->phase != CONN_SETTLED || !paths_alive(&f->paths))
		return;
	if (!f->signal_up || !f->ops->may_offer(true, f->arg)) {
		f->due[CONN_TIMER_BETTER] = now + fsm_jitter(f, NO_PERMIT_MS);
		return;
	}
	fsm_begin(f, purpose, now);
	f->due[CONN_TIMER_OFFER] = now;
}

// ---- offers --------------------------------------------------------------------------------------------

static void offer(struct conn_fsm *f, uint64_t now)
{
	f->due[CONN_TIMER_OFFER] = CONN_NEVER;
	if (!f->signal_up || (f->phase != CONN_WAITING && f->phase != CONN_OFFERED))
		return; // conn_fsm_signal arms it again
	if (f->phase == CONN_OFFERED && background(f) && f->offers >= BACKGROUND_OFFERS) {
		fsm_attempt_failed(f, "peer does not answer offers", now);
		return;
	}
	if (!f->ops->may_offer(f->offers > UNHURRIED_OFFERS, f->arg)) {
		f->due[CONN_TIMER_OFFER] = now + fsm_jitter(f, NO_PERMIT_MS);
		return;
	}
	if (f->phase == CONN_WAITING)
		fsm_begin(f, CONN_CONNECT, now);
	send_session(f, CONN_OFFER);
	f->due[CONN_TIMER_OFFER] =
		now + fsm_jitter(f, grown(OFFER_FIRST_MS, f->offers, OFFER_MAX_MS));
	f->offers = MIN(f->offers + 1, 64U);
}

static void repeat(struct conn_fsm *f, uint64_t now)
{
	f->due[CONN_TIMER_REPEAT] = CONN_NEVER;
	if (f->phase != CONN_CHECKING)
		return;
	if (f->answer_owed)
		send_session(f, CONN_ANSWER);
	send_candidates(f);
	if (++f->repeats < REPEATS)
		f->due[CONN_TIMER_REPEAT] = now + grown(REPEAT_FIRST_MS, f->repeats, 5000);
}

// ---- what agents and pairs tell --------------------------------------------------------------------------

static bool of_agent(const struct conn_fsm *f, uint32_t generation)
{
	return !fsm_closed(f) && f->agent && f->generation == generation;
}

void conn_fsm_local_candidate(
	struct conn_fsm *f, uint32_t generation, const char *candidate, uint64_t now)
{
	struct conn_message m = {.type = CONN_CANDIDATE, .candidate = candidate};

	if (!of_agent(f, generation) || !candidates_add(&f->ours, candidate, now))
		return;
	// They go behind the answer: some peers have no agent before it.
	if (f->due[CONN_TIMER_ANSWER] == CONN_NEVER)
		fsm_send(f, &m);
}

static void send_mode(struct conn_fsm *f, const struct ice_path *path)
{
	struct conn_message m = {
		.type = CONN_MODE, .direct = direct_mode(path, f->ops->port_reachable(f->arg))};

	if (f->peer_direct_check && !f->peer_strait)
		fsm_send(f, &m);
}

static void arm_handshake(struct conn_fsm *f, uint64_t now)
{
	uint64_t ms = HANDSHAKE_OURS_MS;

	if (!f->peer_strait && (!f->controlling || !f->remote.has_id))
		ms = HANDSHAKE_FOREIGN_MS;
	else if (!f->controlling)
		ms = HANDSHAKE_OTHER_MS;
	f->due[CONN_TIMER_HANDSHAKE] = now + ms;
}

static void settle(struct conn_fsm *f, const struct ice_path *path, uint64_t now)
{
	uint64_t answer = f->due[CONN_TIMER_ANSWER];

	f->nominated = true;
	f->offer_ms = (uint32_t)(f->bound_at - MIN(f->began_at, f->bound_at));
	f->check_ms = (uint32_t)(now - f->bound_at);
	f->connected_at = now;
	f->failures = f->offers = 0;
	f->better_tries = background(f) && !f->doubted ? f->better_tries + 1 : 0;
	f->doubted = false;
	disarm_all(f);
	f->due[CONN_TIMER_ANSWER] = answer;
	f->due[CONN_TIMER_LINGER] = now + LINGER_MS;
	fsm_enter(f, CONN_SETTLED, now);
	fsm_arm_better(f, now);
	send_mode(f, path);
	if (!background(f))
		arm_handshake(f, now);
}

void conn_fsm_nominated(
	struct conn_fsm *f, uint32_t generation, const struct ice_path *path, uint64_t now)
{
	int r;

	if (!of_agent(f, generation))
		return;
	r = paths_nominated(&f->paths, generation, path, f->peer_strait, now);
	if (r && !f->nominated) {
		fsm_attempt_failed(f, g_strerror(-r), now);
		return;
	}
	if (r)
		return;
	if (f->nominated)
		f->due[CONN_TIMER_LINGER] = now + LINGER_MS;
	else
		settle(f, path, now);
	event(f, "nominated", path_direct(path) ? "direct" : "relayed");
}

void conn_fsm_failed(struct conn_fsm *f, uint32_t generation, const char *why, uint64_t now)
{
	if (!of_agent(f, generation))
		return;
	// The pair has its keep by now.
	if (f->nominated)
		fsm_agent_free(f);
	else
		fsm_attempt_failed(f, why, now);
}

void conn_fsm_path_lost(struct conn_fsm *f, uint32_t path_id, const char *why, uint64_t now)
{
	const struct conn_path *before = f->paths.selected;

	if (fsm_closed(f))
		return;
	if (!paths_lost(&f->paths, path_id, now)) {
		if (f->paths.selected != before) {
			f->better_tries = 0;
			f->doubted = false;
			event(f, "switched", why);
		}
		fsm_arm_better(f, now);
		return;
	}
	g_strlcpy(f->last_failure, why, sizeof(f->last_failure));
	event(f, "lost", why);
	if (f->phase == CONN_SETTLED) {
		fsm_begin(f, CONN_CONNECT, now);
		f->due[CONN_TIMER_OFFER] = now;
	} else if (f->phase == CONN_OFFERED) {
		f->purpose = CONN_CONNECT;
	}
}

void conn_fsm_path_regained(struct conn_fsm *f, uint32_t path_id, uint64_t now)
{
	if (fsm_closed(f))
		return;
	paths_regained(&f->paths, path_id, now);
	if (!paths_alive(&f->paths))
		return;
	event(f, "regained", NULL);
	// Nobody has to answer it any more.
	if (f->phase == CONN_OFFERED && f->purpose == CONN_CONNECT)
		f->purpose = CONN_UPGRADE;
}

void conn_fsm_path_doubted(struct conn_fsm *f, uint32_t path_id, uint64_t now)
{
	const struct conn_path *s = f->paths.selected;

	if (fsm_closed(f) || !f->peer_strait || !s || s->id != path_id || s->lost)
		return;
	f->doubted = true;
	if (f->phase != CONN_SETTLED)
		return; // an attempt is under way
	event(f, "doubted", NULL);
	conn_fsm_reconnect(f, now);
}

void conn_fsm_path_trusted(struct conn_fsm *f, uint32_t path_id)
{
	if (f->paths.selected && f->paths.selected->id == path_id)
		f->doubted = false;
}

void conn_fsm_path_renominated(struct conn_fsm *f, uint32_t path_id, const struct ice_path *path)
{
	if (!fsm_closed(f))
		paths_renominated(&f->paths, path_id, path);
}

// ---- life ----------------------------------------------------------------------------------------------

void conn_fsm_init(struct conn_fsm *f, const struct conn_fsm_ops *ops, bool controlling, void *arg)
{
	*f = (struct conn_fsm){
		.ops = ops,
		.arg = arg,
		.controlling = controlling,
		.binds.tokens = BINDS_MAX,
		.replies.tokens = REPLIES_MAX,
	};
	disarm_all(f);
	paths_init(&f->paths, &paths_ops, f);
}

void conn_fsm_stop(struct conn_fsm *f, uint64_t now)
{
	if (fsm_closed(f))
		return;
	fsm_agent_free(f);
	paths_clear(&f->paths);
	candidates_clear(&f->early);
	candidates_clear(&f->ours);
	disarm_all(f);
	fsm_enter(f, CONN_CLOSED, now);
	sodium_memzero(&f->local, sizeof(f->local));
	sodium_memzero(&f->remote, sizeof(f->remote));
	f->has_local = f->has_remote = false;
}

void conn_fsm_release(struct conn_fsm *f)
{
	paths_release(&f->paths);
	candidates_clear(&f->early);
	candidates_clear(&f->ours);
	sodium_memzero(f, sizeof(*f));
}

uint32_t conn_fsm_restore(struct conn_fsm *f, const struct ice_path *path, uint64_t now)
{
	f->local.cred = path->ours;
	f->remote.cred = path->theirs;
	f->has_local = f->has_remote = true;
	return paths_restore(&f->paths, path, now);
}

void conn_fsm_start(struct conn_fsm *f, uint64_t now)
{
	if (!fsm_closed(f))
		return;
	f->entered_at = now;
	if (f->paths.selected) {
		fsm_enter(f, CONN_SETTLED, now);
		f->connected_at = now;
		fsm_arm_better(f, now);
		return;
	}
	fsm_enter(f, CONN_WAITING, now);
	f->due[CONN_TIMER_OFFER] = now + below(f, START_SPREAD_MS);
}

void conn_fsm_signal(struct conn_fsm *f, bool up, uint64_t now)
{
	f->signal_up = up;
	if (!up) {
		f->due[CONN_TIMER_OFFER] = CONN_NEVER;
		return;
	}
	// It may have been the same that cut off the pair.
	if (f->phase == CONN_SETTLED && f->doubted)
		conn_fsm_reconnect(f, now);
	if (f->phase != CONN_WAITING && f->phase != CONN_OFFERED)
		return;
	f->offers = MIN(f->offers, (unsigned int)RECONNECT_OFFERS);
	f->due[CONN_TIMER_OFFER] = now + below(f, START_SPREAD_MS);
}

void fsm_wake(struct conn_fsm *f, uint64_t now)
{
	event(f, "woken", NULL);
	fsm_enter(f, CONN_WAITING, now);
	f->offers = 0;
	// A peer that goes idle again and again while there is traffic does not get an offer each time.
	f->due[CONN_TIMER_OFFER] = now + fsm_reply_wait(f, now);
}

void fsm_idle(struct conn_fsm *f, uint64_t now)
{
	fsm_agent_free(f);
	paths_clear(&f->paths);
	candidates_clear(&f->early);
	candidates_clear(&f->ours);
	disarm_all(f);
	f->has_local = f->has_remote = false;
	fsm_enter(f, CONN_IDLE, now);
	event(f, "idle", NULL);
	f->ops->idle(f->arg);
}

void conn_fsm_traffic(struct conn_fsm *f, uint64_t now)
{
	if (f->phase == CONN_IDLE)
		fsm_wake(f, now);
	else if ((f->phase == CONN_WAITING || f->phase == CONN_OFFERED) &&
		 f->due[CONN_TIMER_OFFER] != CONN_NEVER)
		f->due[CONN_TIMER_OFFER] = MIN(f->due[CONN_TIMER_OFFER], now + NO_PERMIT_MS);
}

void conn_fsm_network_changed(struct conn_fsm *f, uint64_t now)
{
	if (fsm_closed(f))
		return;
	if (f->phase == CONN_WAITING || f->phase == CONN_OFFERED) {
		f->failures = f->offers = 0;
		if (f->signal_up)
			f->due[CONN_TIMER_OFFER] =
				MIN(f->due[CONN_TIMER_OFFER], now + below(f, NETWORK_SETTLE_MS));
	} else if (f->phase == CONN_SETTLED && f->due[CONN_TIMER_BETTER] != CONN_NEVER) {
		f->better_tries = 0;
		f->due[CONN_TIMER_BETTER] = now + fsm_jitter(f, NETWORK_SETTLE_MS);
	}
}

void conn_fsm_reconnect(struct conn_fsm *f, uint64_t now)
{
	if (fsm_closed(f))
		return;
	f->failures = 0;
	fsm_begin(f, paths_alive(&f->paths) ? CONN_UPGRADE : CONN_CONNECT, now);
	f->due[CONN_TIMER_OFFER] = now;
}

// ---- time ----------------------------------------------------------------------------------------------

uint64_t conn_fsm_next(const struct conn_fsm *f)
{
	uint64_t next = paths_next(&f->paths);

	for (int n = 0; n < CONN_TIMERS; n++)
		next = MIN(next, f->due[n]);
	return next;
}

static bool due(struct conn_fsm *f, enum conn_timer timer, uint64_t now)
{
	return now >= f->due[timer];
}

void conn_fsm_expire(struct conn_fsm *f, uint64_t now)
{
	if (fsm_closed(f))
		return;
	paths_expire(&f->paths, now);
	if (due(f, CONN_TIMER_ANSWER, now))
		fsm_send_answer(f);
	if (due(f, CONN_TIMER_LINGER, now))
		fsm_agent_free(f);
	if (due(f, CONN_TIMER_CHECK, now))
		fsm_attempt_failed(f, "no pair of candidates works", now);
	if (due(f, CONN_TIMER_REPEAT, now))
		repeat(f, now);
	if (due(f, CONN_TIMER_BETTER, now))
		try_better(f, now);
	if (due(f, CONN_TIMER_OFFER, now))
		offer(f, now);
	if (due(f, CONN_TIMER_HANDSHAKE, now)) {
		f->due[CONN_TIMER_HANDSHAKE] = CONN_NEVER;
		f->ops->handshake(f->arg);
	}
}

enum conn_state conn_fsm_state(const struct conn_fsm *f)
{
	if (paths_alive(&f->paths))
		return CONN_CONNECTED;
	return f->phase == CONN_CHECKING ? CONN_CONNECTING : CONN_DISCONNECTED;
}

uint64_t conn_fsm_phase_ms(const struct conn_fsm *f, enum conn_phase phase, uint64_t now)
{
	return f->phase_ms[phase] + (phase == f->phase ? now - MIN(now, f->entered_at) : 0);
}
