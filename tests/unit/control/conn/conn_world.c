// SPDX-License-Identifier: BSD-3-Clause
//
// See conn_world.h.
#include "conn_world.h"

#include "../../../../control/addr.h"

#include <string.h>

#define STEP_MS       5
#define GATHER_MS     50
#define ICE_GIVES_UP  11000
#define SEED_DISCOVER 6000 // until it notices that nobody answers

static struct world_side *other(struct world_side *s)
{
	return &s->w->side[1 - s->n];
}

static uint32_t roll(struct world *w, uint32_t bound)
{
	return bound > 1 ? (uint32_t)g_rand_int_range(w->rand, 0, (gint32)bound) : 0;
}

// ---- signal service --------------------------------------------------------------------------------------

static void post_one(struct world *w, int to, const struct conn_message *m)
{
	struct world_mail mail = {.to = to, .m = *m, .order = ++w->orders};

	mail.at = w->now + w->delay_min_ms + roll(w, w->delay_max_ms - w->delay_min_ms + 1);
	mail.candidate = g_strdup(m->candidate);
	mail.m.candidate = mail.candidate;
	g_array_append_val(w->mail, mail);
}

static void post(struct world_side *from, const struct conn_message *m)
{
	struct world *w = from->w;
	struct conn_message out = *m;

	w->messages++;
	out.strait = from->make == MAKE_STRAIT;
	out.direct_check = from->make == MAKE_SEED;
	if (w->swallow || roll(w, 100) < w->lose_percent)
		return;
	post_one(w, 1 - from->n, &out);
	if (roll(w, 100) < w->double_percent)
		post_one(w, 1 - from->n, &out);
}

// ---- the ops of an object --------------------------------------------------------------------------------

static struct world_agent *agent_find(struct world_side *s, uint32_t generation)
{
	for (int n = 0; n < WORLD_MAX_ICE; n++) {
		if (s->agents[n].used && s->agents[n].generation == generation)
			return &s->agents[n];
	}
	return NULL;
}

static int op_agent_new(
	uint32_t generation, bool relay_only, const struct ice_credentials *ours, void *arg)
{
	struct world_side *s = arg;

	if (s->agent_error)
		return s->agent_error;
	for (int n = 0; n < WORLD_MAX_ICE; n++) {
		struct world_agent *a = &s->agents[n];

		if (a->used)
			continue;
		*a = (struct world_agent){.used = true,
			.relay_only = relay_only,
			.generation = generation,
			.ours = *ours,
			.found_at = UINT64_MAX};
		s->agents_made++;
		return 0;
	}
	return -ENOSPC;
}

static int op_agent_remote(uint32_t generation, const struct ice_credentials *theirs, void *arg)
{
	struct world_side *s = arg;
	struct world_agent *a = agent_find(s, generation);

	a->theirs = *theirs;
	a->bound = true;
	a->gather_at = s->w->now + GATHER_MS;
	return 0;
}

static int op_agent_candidate(uint32_t generation, const char *candidate, void *arg)
{
	struct world_agent *a = agent_find(arg, generation);

	if (a)
		a->candidates++;
	return 0;
}

static void op_agent_free(uint32_t generation, void *arg)
{
	struct world_agent *a = agent_find(arg, generation);

	g_assert_nonnull(a);
	memset(a, 0, sizeof(*a));
}

static int op_path_keep(uint32_t id, const struct ice_path *path, void *arg)
{
	struct world_side *s = arg;

	if (s->keep_error)
		return s->keep_error;
	g_assert_cmpuint(s->nb_kept, <, G_N_ELEMENTS(s->kept));
	s->kept[s->nb_kept++] = id;
	return 0;
}

static void op_path_drop(uint32_t id, void *arg)
{
	struct world_side *s = arg;

	for (unsigned int n = 0; n < s->nb_kept; n++) {
		if (s->kept[n] == id) {
			s->kept[n] = s->kept[--s->nb_kept];
			return;
		}
	}
	g_assert_not_reached();
}

static void op_paths_changed(void *arg)
{
	((struct world_side *)arg)->tuples_changed++;
}

static void op_send(const struct conn_message *m, void *arg)
{
	struct world_side *s = arg;

	s->offers += m->type == CONN_OFFER;
	s->answers += m->type == CONN_ANSWER;
	s->candidates += m->type == CONN_CANDIDATE;
	s->modes += m->type == CONN_MODE;
	if (m->type == CONN_MODE)
		s->last_mode = m->direct;
	post(s, m);
}

static bool op_may_offer(bool unhurried, void *arg)
{
	return true;
}

static void op_handshake(void *arg)
{
	((struct world_side *)arg)->handshakes++;
}

static void op_idle(void *arg)
{
	((struct world_side *)arg)->idles++;
}

static void op_event(const char *what, const char *detail, void *arg)
{
	struct world_side *s = arg;

	g_strlcat(s->events, what, sizeof(s->events));
	g_strlcat(s->events, ";", sizeof(s->events));
}

static uint32_t op_random(uint32_t bound, void *arg)
{
	return roll(((struct world_side *)arg)->w, bound);
}

static bool op_have_relay(void *arg)
{
	return ((struct world_side *)arg)->have_relay;
}

static bool op_port_reachable(void *arg)
{
	return ((struct world_side *)arg)->port_reachable;
}

const struct conn_fsm_ops world_ops = {
	.agent_new = op_agent_new,
	.agent_remote = op_agent_remote,
	.agent_candidate = op_agent_candidate,
	.agent_free = op_agent_free,
	.path_keep = op_path_keep,
	.path_drop = op_path_drop,
	.paths_changed = op_paths_changed,
	.send = op_send,
	.may_offer = op_may_offer,
	.handshake = op_handshake,
	.idle = op_idle,
	.event = op_event,
	.random = op_random,
	.have_relay = op_have_relay,
	.port_reachable = op_port_reachable,
};

// ---- a seed-era peer -------------------------------------------------------------------------------------

static void seed_enter(struct world_side *s, int state, uint64_t ms)
{
	s->seed.state = state;
	s->seed.until = s->w->now + ms;
}

static void random_text(struct world *w, char *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (char)('a' + roll(w, 26));
	out[n] = 0;
}

static void seed_send(struct world_side *s, enum conn_message_type type)
{
	struct conn_message m = {.type = type};

	m.session.cred = s->seed.ours;
	s->offers += type == CONN_OFFER;
	s->answers += type == CONN_ANSWER;
	post(s, &m);
}

static void seed_check(struct world_side *s, const struct ice_credentials *theirs)
{
	s->seed.theirs = *theirs;
	s->seed.gathered = false;
	seed_enter(s, SEED_CHECKING, ICE_GIVES_UP);
}

static void seed_message(struct world_side *s, const struct conn_message *m)
{
	struct world_seed *d = &s->seed;

	if (m->type == CONN_CANDIDATE && d->state != SEED_SLEEPING)
		d->candidates++;
	if (m->type == CONN_MODE)
		s->last_mode = m->direct;
	if (d->state != SEED_WAITING)
		return; // dropped without a word
	if (m->type == CONN_OFFER) {
		seed_send(s, CONN_ANSWER);
		seed_check(s, &m->session.cred);
	} else if (m->type == CONN_ANSWER) {
		seed_check(s, &m->session.cred);
	}
}

static bool seed_answered(struct world_side *s)
{
	struct world_side *o = other(s);

	for (unsigned int n = 0; n < o->nb_kept; n++) {
		const struct conn_path *p = paths_find(&o->fsm.paths, o->kept[n]);

		if (p && !strcmp(p->path.theirs.ufrag, s->seed.ours.ufrag))
			return true;
	}
	return false;
}

static void seed_step(struct world_side *s)
{
	struct world_seed *d = &s->seed;
	struct conn_message m = {
		.type = CONN_CANDIDATE, .candidate = "1 1 udp 1 192.0.2.1 1 typ host"};

	if (d->state == SEED_CHECKING && !d->gathered &&
		s->w->now >= d->until - ICE_GIVES_UP + GATHER_MS) {
		d->gathered = true;
		post(s, &m);
	}
	if (d->state == SEED_CONNECTED && seed_answered(s))
		d->until = s->w->now + SEED_DISCOVER;
	if (s->w->now < d->until)
		return;
	switch (d->state) {
	case SEED_SLEEPING:
		random_text(s->w, d->ours.ufrag, 16);
		random_text(s->w, d->ours.pwd, 32);
		d->candidates = 0;
		seed_send(s, CONN_OFFER);
		seed_enter(s, SEED_SENDING, d->deaf_after_send ? 10 : 0);
		break;
	case SEED_SENDING:
		seed_enter(s, SEED_WAITING, 30000 + roll(s->w, 15000));
		break;
	default: // no answer, failed, or disconnected
		seed_enter(s, SEED_SLEEPING, 500 + roll(s->w, 1500));
	}
}

// ---- ICE -------------------------------------------------------------------------------------------------

static bool creds_equal(const struct ice_credentials *a, const struct ice_credentials *b)
{
	return !strcmp(a->ufrag, b->ufrag) && !strcmp(a->pwd, b->pwd);
}

struct ice_path world_path(bool direct)
{
	struct ice_path path = {.local_type = direct ? ICE_SRFLX : ICE_RELAY,
		.remote_type = ICE_SRFLX,
		.relayed = !direct,
		.local_port_be = 1,
		.remote_port_be = 2};

	addr_parse(&path.local, "192.0.2.1");
	addr_parse(&path.remote, "198.51.100.1");
	return path;
}

static void agent_found(struct world_side *s, struct world_agent *a, bool direct)
{
	struct ice_path path = world_path(direct);

	path.ours = a->ours;
	path.theirs = a->theirs;
	path.controlling = s->fsm.controlling;
	a->told = true;
	conn_fsm_nominated(&s->fsm, a->generation, &path, s->w->now);
}

// A pair of agents that know of each other becomes a pair of candidates.
static void agents_meet(struct world_side *s, struct world_agent *a, struct world_agent *b)
{
	struct world *w = s->w;
	bool direct = w->direct_works && !a->relay_only && !b->relay_only;

	if (a->told || b->told || !(a->candidates || b->candidates) || !(direct || w->relay_works))
		return;
	if (a->found_at == UINT64_MAX)
		a->found_at = w->now + w->ice_ms;
	if (w->now < a->found_at)
		return;
	agent_found(s, a, direct);
	agent_found(other(s), b, direct);
}

static void agent_meets_seed(struct world_side *s, struct world_agent *a, struct world_side *d)
{
	struct world *w = s->w;

	if (d->seed.state != SEED_CHECKING || !creds_equal(&a->theirs, &d->seed.ours) ||
		!creds_equal(&a->ours, &d->seed.theirs) || a->told ||
		!(a->candidates || d->seed.candidates) || !(w->direct_works || w->relay_works))
		return;
	if (a->found_at == UINT64_MAX)
		a->found_at = w->now + w->ice_ms;
	if (w->now < a->found_at)
		return;
	seed_enter(d, SEED_CONNECTED, SEED_DISCOVER);
	agent_found(s, a, w->direct_works);
}

static void agent_step(struct world_side *s, struct world_agent *a)
{
	struct world_side *o = other(s);
	uint32_t generation = a->generation;
	uint64_t bound_at = a->gather_at - GATHER_MS;

	if (!a->bound)
		return;
	if (!a->gathered && s->w->now >= a->gather_at) {
		a->gathered = true;
		if (!a->relay_only)
			conn_fsm_local_candidate(&s->fsm, generation,
				"1 1 udp 2130706431 192.0.2.1 1 typ host", s->w->now);
		if (s->have_relay)
			conn_fsm_local_candidate(&s->fsm, generation,
				"2 1 udp 16777215 203.0.113.1 2 typ relay", s->w->now);
	}
	for (int n = 0; n < WORLD_MAX_ICE && a->used && a->generation == generation; n++) {
		struct world_agent *b = &o->agents[n];

		if (s->n == 0 && b->used && b->bound && creds_equal(&a->ours, &b->theirs) &&
			creds_equal(&a->theirs, &b->ours))
			agents_meet(s, a, b);
	}
	if (o->make == MAKE_SEED && a->used && a->generation == generation)
		agent_meets_seed(s, a, o);
	if (a->used && a->generation == generation && !a->told &&
		s->w->now >= bound_at + ICE_GIVES_UP) {
		a->told = true;
		conn_fsm_failed(&s->fsm, generation, "checks failed", s->w->now);
	}
}

// ---- time ------------------------------------------------------------------------------------------------

static void deliver(struct world *w)
{
	for (;;) {
		struct world_mail mail;
		guint best = UINT32_MAX;

		for (guint n = 0; n < w->mail->len; n++) {
			const struct world_mail *m = &g_array_index(w->mail, struct world_mail, n);
			const struct world_mail *b =
				best == UINT32_MAX
					? NULL
					: &g_array_index(w->mail, struct world_mail, best);

			if (m->at <= w->now &&
				(!b || m->at < b->at || (m->at == b->at && m->order < b->order)))
				best = n;
		}
		if (best == UINT32_MAX)
			return;
		mail = g_array_index(w->mail, struct world_mail, best);
		g_array_remove_index_fast(w->mail, best);
		if (w->side[mail.to].make == MAKE_SEED)
			seed_message(&w->side[mail.to], &mail.m);
		else
			conn_fsm_message(&w->side[mail.to].fsm, &mail.m, w->now);
		g_free(mail.candidate);
	}
}

static void step(struct world *w)
{
	w->now += STEP_MS;
	deliver(w);
	for (int n = 0; n < 2; n++) {
		struct world_side *s = &w->side[n];

		if (s->make == MAKE_SEED) {
			seed_step(s);
			continue;
		}
		for (int k = 0; k < WORLD_MAX_ICE; k++) {
			if (s->agents[k].used)
				agent_step(s, &s->agents[k]);
		}
		if (conn_fsm_next(&s->fsm) <= w->now)
			conn_fsm_expire(&s->fsm, w->now);
	}
}

void world_run(struct world *w, uint64_t ms)
{
	for (uint64_t end = w->now + ms; w->now < end;)
		step(w);
}

bool world_connected(struct world *w)
{
	struct world_side *a = &w->side[0], *b = &w->side[1];

	if (b->make == MAKE_SEED)
		return b->seed.state == SEED_CONNECTED && paths_alive(&a->fsm.paths) &&
		       creds_equal(&a->fsm.paths.selected->path.theirs, &b->seed.ours);
	return paths_alive(&a->fsm.paths) && paths_alive(&b->fsm.paths) &&
	       creds_equal(&a->fsm.paths.selected->path.ours, &b->fsm.paths.selected->path.theirs) &&
	       creds_equal(&a->fsm.paths.selected->path.theirs, &b->fsm.paths.selected->path.ours);
}

uint64_t world_connect(struct world *w, uint64_t limit)
{
	uint64_t start = w->now;

	while (!world_connected(w)) {
		if (w->now - start > limit)
			return UINT64_MAX;
		step(w);
	}
	return w->now - start;
}

// ---- life ------------------------------------------------------------------------------------------------

struct world *world_new(uint32_t seed)
{
	struct world *w = g_new0(struct world, 1);

	w->now = WORLD_START;
	w->rand = g_rand_new_with_seed(seed);
	w->mail = g_array_new(FALSE, FALSE, sizeof(struct world_mail));
	w->delay_min_ms = 1;
	w->delay_max_ms = 5;
	w->direct_works = w->relay_works = true;
	w->ice_ms = 200;
	for (int n = 0; n < 2; n++) {
		struct world_side *s = &w->side[n];

		s->w = w;
		s->n = n;
		conn_fsm_init(&s->fsm, &world_ops, n == 0, s);
	}
	return w;
}

void world_seed_era(struct world *w, int n)
{
	w->side[n].make = MAKE_SEED;
	w->side[n].seed.deaf_after_send = true;
}

static void side_start(struct world_side *s)
{
	if (s->make == MAKE_SEED) {
		seed_enter(s, SEED_SLEEPING, 500 + roll(s->w, 1500));
		return;
	}
	conn_fsm_signal(&s->fsm, true, s->w->now);
	conn_fsm_start(&s->fsm, s->w->now);
}

void world_start(struct world *w)
{
	side_start(&w->side[0]);
	side_start(&w->side[1]);
}

void world_restart(struct world *w, int n)
{
	struct world_side *s = &w->side[n];

	if (s->make == MAKE_STRAIT) {
		conn_fsm_stop(&s->fsm, w->now);
		conn_fsm_init(&s->fsm, &world_ops, n == 0, s);
	}
	side_start(s);
}

void world_free(struct world *w)
{
	for (int n = 0; n < 2; n++) {
		conn_fsm_stop(&w->side[n].fsm, w->now);
		for (int k = 0; k < WORLD_MAX_ICE; k++)
			g_assert_false(w->side[n].agents[k].used);
		g_assert_cmpuint(w->side[n].nb_kept, ==, 0);
	}
	for (guint k = 0; k < w->mail->len; k++)
		g_free(g_array_index(w->mail, struct world_mail, k).candidate);
	g_array_free(w->mail, TRUE);
	g_rand_free(w->rand);
	g_free(w);
}
