// SPDX-License-Identifier: BSD-3-Clause
//
// What the peer says to its connection object: offers, answers, candidates, modes; see fsm.h. Messages may
// come twice, late, in another order, or not at all. Pure.
#include "fsm.h"
#include "fsm_internal.h"

#include <glib.h>

#include <string.h>

// ---- sessions ------------------------------------------------------------------------------------------

static bool session_equal(const struct conn_session *a, const struct conn_session *b)
{
	if (a->has_id && b->has_id && memcmp(a->id, b->id, sizeof(a->id)))
		return false;
	return !strcmp(a->cred.ufrag, b->cred.ufrag) && !strcmp(a->cred.pwd, b->cred.pwd);
}

// FNV-1a; a collision costs a peer one offer of its own.
static uint64_t session_hash(const struct conn_session *s)
{
	uint64_t h = 14695981039346656037ULL;

	for (const char *c = s->cred.ufrag; *c; c++)
		h = (h ^ (uint8_t)*c) * 1099511628211ULL;
	for (const char *c = s->cred.pwd; *c; c++)
		h = (h ^ (uint8_t)*c) * 1099511628211ULL;
	for (int n = 0; s->has_id && n < CONN_SESSION_ID_LEN; n++)
		h = (h ^ s->id[n]) * 1099511628211ULL;
	return h;
}

void fsm_stale_remote(struct conn_fsm *f, uint64_t now)
{
	struct conn_stale *oldest = &f->stale[0];

	if (!f->has_remote)
		return;
	for (int n = 1; n < CONN_STALE_MAX; n++) {
		if (f->stale[n].until < oldest->until)
			oldest = &f->stale[n];
	}
	*oldest = (struct conn_stale){session_hash(&f->remote), now + STALE_MS};
}

// A newer session of the peer took its place a moment ago: this message was long on its way.
static bool is_stale(const struct conn_fsm *f, const struct conn_session *s, uint64_t now)
{
	uint64_t hash = session_hash(s);

	for (int n = 0; n < CONN_STALE_MAX; n++) {
		if (f->stale[n].hash == hash && now < f->stale[n].until)
			return true;
	}
	return false;
}

static bool allowance_take(struct conn_allowance *a, unsigned int max, uint64_t now)
{
	uint64_t earned = now > a->at ? (now - a->at) / ALLOWANCE_MS : 0;

	if (earned) {
		a->tokens = (unsigned int)MIN(a->tokens + earned, max);
		a->at = now;
	}
	if (!a->tokens)
		return false;
	a->tokens--;
	return true;
}

uint64_t fsm_reply_wait(struct conn_fsm *f, uint64_t now)
{
	if (allowance_take(&f->replies, REPLIES_MAX, now))
		return 0;
	f->replies.at += ALLOWANCE_MS; // the next one is taken now
	return f->replies.at > now ? f->replies.at - now : 0;
}

// Offers cost us agents. A peer that begins anew all the time gets few.
static bool bind_allowed(struct conn_fsm *f, uint64_t now)
{
	bool allowed = allowance_take(&f->binds, BINDS_MAX, now);

	f->refused += !allowed;
	return allowed;
}

// ---- offers and answers ----------------------------------------------------------------------------------

static void bind_new(struct conn_fsm *f, const struct conn_message *m, uint64_t now)
{
	if (!bind_allowed(f, now))
		return;
	fsm_begin(f, CONN_ANSWERED, now);
	fsm_bind(f, m, now);
}

// The peer says again what we know. It may not have heard us.
static void known_session(struct conn_fsm *f, const struct conn_message *m, uint64_t now)
{
	uint64_t wait;

	if (m->type == CONN_ANSWER) {
		f->answer_owed = false;
		return;
	}
	if (f->phase == CONN_SETTLED && ++f->reoffered > REOFFERS_MAX) {
		// It is not connected, whatever we think.
		bind_new(f, m, now);
		return;
	}
	if (f->due[CONN_TIMER_ANSWER] != CONN_NEVER)
		return;
	// One answer is as good for many copies of an offer as for one.
	wait = fsm_reply_wait(f, now);
	if (!wait && m->session.has_id)
		fsm_send_answer(f);
	else
		f->due[CONN_TIMER_ANSWER] = now + MAX(wait, ANSWER_DELAY_MS);
}

static void new_session(struct conn_fsm *f, const struct conn_message *m, uint64_t now)
{
	switch (f->phase) {
	case CONN_OFFERED:
		fsm_bind(f, m, now);
		break;
	case CONN_CHECKING:
		// It began anew. Our session stays.
		if (!bind_allowed(f, now))
			break;
		fsm_stale_remote(f, now);
		fsm_bind(f, m, now);
		break;
	case CONN_IDLE:
	case CONN_WAITING:
	case CONN_SETTLED:
		// An answer asks for nothing: it is late, and who needs us makes an offer.
		if (m->type == CONN_OFFER)
			bind_new(f, m, now);
		break;
	default:
		break;
	}
}

static void no_ice(struct conn_fsm *f, uint64_t now)
{
	static const char why[] = "peer does no ICE (relay only)";

	f->peer_no_ice = true;
	g_strlcpy(f->last_failure, why, sizeof(f->last_failure));
	if (f->phase == CONN_CHECKING)
		fsm_attempt_failed(f, why, now);
}

static void offer_or_answer(struct conn_fsm *f, const struct conn_message *m, uint64_t now)
{
	// What it says of its program counts even when the rest does not.
	f->peer_direct_check = m->direct_check;
	f->peer_strait = m->strait;
	f->peer_wg_port = m->wg_port;
	if (!m->session.cred.ufrag[0]) {
		no_ice(f, now);
		return;
	}
	f->peer_no_ice = false;
	if (is_stale(f, &m->session, now)) {
		f->dropped++;
		return;
	}
	if (f->has_remote && session_equal(&f->remote, &m->session))
		known_session(f, m, now);
	else
		new_session(f, m, now);
}

// ---- the others ------------------------------------------------------------------------------------------

// Kept even when an agent took it: it may be of the session whose offer comes next.
static void candidate(struct conn_fsm *f, const char *text, uint64_t now)
{
	if (strlen(text) >= CONN_CANDIDATE_LEN) {
		f->refused++;
		return;
	}
	candidates_expire(&f->early, now - MIN(now, CANDIDATE_AGE_MS));
	candidates_add(&f->early, text, now);
	if (f->agent && f->ops->agent_candidate(f->generation, text, f->arg))
		f->refused++;
}

void conn_fsm_message(struct conn_fsm *f, const struct conn_message *m, uint64_t now)
{
	if (fsm_closed(f))
		return;
	f->received++;
	switch (m->type) {
	case CONN_OFFER:
	case CONN_ANSWER:
		offer_or_answer(f, m, now);
		break;
	case CONN_CANDIDATE:
		if (m->candidate)
			candidate(f, m->candidate, now);
		break;
	case CONN_MODE:
		f->has_mode = true;
		f->peer_direct = m->direct;
		break;
	case CONN_GO_IDLE:
		if (f->phase != CONN_IDLE)
			fsm_idle(f, now);
		break;
	default: // of a newer version
		f->dropped++;
		break;
	}
}
