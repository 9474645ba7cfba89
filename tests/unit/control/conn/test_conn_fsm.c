// SPDX-License-Identifier: BSD-3-Clause
//
// The connection object event by event, on a clock that the test moves. The second half are the bugs of
// NetBird's original, one test each: their names say what does not happen here.
#include "../../suite.h"
#include "conn_world.h"

#include <stdlib.h>
#include <string.h>

#define CANDIDATE "1 1 udp 2130706431 198.51.100.9 9 typ host"

static struct world *w;
static struct world_side *a, *b;
static struct conn_fsm *f;

static void fresh(void)
{
	w = world_new(1);
	a = &w->side[0];
	b = &w->side[1];
	f = &a->fsm;
}

// Side b hears and says nothing by itself.
static void fresh_alone(void)
{
	fresh();
	b->make = MAKE_SEED;
	b->seed.until = UINT64_MAX;
	conn_fsm_signal(f, true, w->now);
	conn_fsm_start(f, w->now);
}

static void done(void)
{
	world_free(w);
}

static struct conn_message session(enum conn_message_type type, const char *ufrag)
{
	struct conn_message m = {.type = type};

	g_strlcpy(m.session.cred.ufrag, ufrag, sizeof(m.session.cred.ufrag));
	g_strlcpy(m.session.cred.pwd, "passwordpasswordpasswordpassword", sizeof(m.session.cred.pwd));
	return m;
}

static void hear(const struct conn_message *m)
{
	conn_fsm_message(f, m, w->now);
}

static void hear_offer(const char *ufrag)
{
	struct conn_message m = session(CONN_OFFER, ufrag);

	hear(&m);
}

static void hear_candidate(void)
{
	struct conn_message m = {.type = CONN_CANDIDATE, .candidate = CANDIDATE};

	hear(&m);
}

static void nominate(bool direct)
{
	struct ice_path path = world_path(direct);

	path.ours = f->local.cred;
	path.theirs = f->remote.cred;
	conn_fsm_nominated(f, f->generation, &path, w->now);
}

static void connected_alone(void)
{
	fresh_alone();
	world_run(w, 200);
	hear_offer("peerone");
	nominate(true);
	CU_ASSERT_EQUAL(conn_fsm_state(f), CONN_CONNECTED);
}

static bool had(const char *event)
{
	return strstr(a->events, event) != NULL;
}

// ---- attempts --------------------------------------------------------------------------------------------

static void no_offer_leaves_before_the_signal_service_is_up(void)
{
	fresh();
	conn_fsm_start(f, w->now);
	world_run(w, 60000);
	CU_ASSERT_EQUAL(a->offers, 0);
	conn_fsm_signal(f, true, w->now);
	world_run(w, 200);
	CU_ASSERT_EQUAL(a->offers, 1);
	done();
}

static void offers_to_a_silent_peer_come_at_growing_intervals_up_to_a_minute(void)
{
	uint64_t last = 0, gap, want = 800;
	unsigned int seen = 0;

	fresh_alone();
	while (seen < 14) {
		unsigned int before = a->offers;

		world_run(w, 5);
		if (a->offers == before)
			continue;
		gap = w->now - last;
		if (seen) {
			CU_ASSERT(gap >= want * 3 / 4 && gap <= want * 5 / 4 + 10);
			want = MIN(want * 2, 60000);
		}
		last = w->now;
		seen++;
	}
	CU_ASSERT_EQUAL(a->agents_made, 0); // an offline peer costs no agent
	done();
}

static void offers_of_one_attempt_carry_one_session(void)
{
	struct ice_credentials first;

	fresh_alone();
	world_run(w, 200);
	first = f->local.cred;
	CU_ASSERT_EQUAL(strlen(first.ufrag), 16);
	CU_ASSERT_EQUAL(strlen(first.pwd), 32);
	world_run(w, 30000);
	CU_ASSERT_STRING_EQUAL(f->local.cred.ufrag, first.ufrag);
	done();
}

static void an_answer_to_a_seed_era_peer_waits_until_it_listens(void)
{
	fresh_alone();
	hear_offer("peerone");
	CU_ASSERT_EQUAL(a->answers, 0);
	world_run(w, 35);
	CU_ASSERT_EQUAL(a->answers, 0);
	world_run(w, 10);
	CU_ASSERT_EQUAL(a->answers, 1);
	done();
}

static void an_answer_to_a_peer_with_session_ids_leaves_at_once(void)
{
	struct conn_message m = session(CONN_OFFER, "peerone");

	m.session.has_id = true;
	fresh_alone();
	hear(&m);
	CU_ASSERT_EQUAL(a->answers, 1);
	done();
}

static void candidates_go_behind_the_answer(void)
{
	fresh_alone();
	hear_offer("peerone");
	conn_fsm_local_candidate(f, f->generation, CANDIDATE, w->now);
	CU_ASSERT_EQUAL(a->candidates, 0);
	world_run(w, 45);
	CU_ASSERT_EQUAL(a->answers, 1);
	CU_ASSERT_EQUAL(a->candidates, 1);
	done();
}

static void candidates_before_the_offer_reach_the_agent(void)
{
	fresh_alone();
	hear_candidate();
	world_run(w, 500);
	hear_offer("peerone");
	CU_ASSERT_EQUAL(a->agents[0].candidates, 1);
	done();
}

static void early_candidates_are_few_and_forgotten(void)
{
	char text[64];

	fresh_alone();
	for (int n = 0; n < 100; n++) {
		struct conn_message m = {.type = CONN_CANDIDATE, .candidate = text};

		g_snprintf(text, sizeof(text), "%d 1 udp 1 198.51.100.9 9 typ host", n);
		hear(&m);
	}
	CU_ASSERT_EQUAL(f->early.n, CONN_CANDIDATES_MAX);
	world_run(w, 11000);
	hear_offer("peerone");
	CU_ASSERT_EQUAL(a->agents[0].candidates, 0);
	done();
}

static void a_new_session_while_checking_gets_a_new_agent_under_our_old_session(void)
{
	struct ice_credentials ours;
	uint32_t generation;

	fresh_alone();
	hear_offer("peerone");
	ours = f->local.cred;
	generation = f->generation;
	hear_offer("peertwo");
	CU_ASSERT_STRING_EQUAL(f->local.cred.ufrag, ours.ufrag);
	CU_ASSERT_STRING_EQUAL(f->remote.cred.ufrag, "peertwo");
	CU_ASSERT_EQUAL(f->generation, generation + 1);
	// A late copy of the first changes nothing.
	hear_offer("peerone");
	CU_ASSERT_STRING_EQUAL(f->remote.cred.ufrag, "peertwo");
	done();
}

static void a_new_session_id_alone_is_a_restarted_peer(void)
{
	struct conn_message m = session(CONN_OFFER, "stable");

	m.session.has_id = true;
	fresh_alone();
	hear(&m);
	nominate(true);
	m.session.id[0] = 1;
	hear(&m);
	CU_ASSERT_EQUAL(f->phase, CONN_CHECKING);
	CU_ASSERT_TRUE(paths_alive(&f->paths)); // the old pair goes on
	done();
}

static void a_new_session_while_connected_keeps_the_old_pair_until_the_new_one(void)
{
	uint32_t old;

	connected_alone();
	old = f->paths.selected->id;
	hear_offer("peertwo");
	CU_ASSERT_EQUAL(f->phase, CONN_CHECKING);
	CU_ASSERT_EQUAL(f->paths.selected->id, old);
	nominate(true);
	CU_ASSERT_NOT_EQUAL(f->paths.selected->id, old);
	CU_ASSERT_EQUAL(f->paths.retired->id, old); // and is listened to for a while
	world_run(w, PATHS_RETIRE_MS + 10);
	CU_ASSERT_PTR_NULL(f->paths.retired);
	CU_ASSERT_EQUAL(a->nb_kept, 1);
	done();
}

static void an_offer_that_is_repeated_is_answered_again(void)
{
	connected_alone();
	world_run(w, 100);
	CU_ASSERT_EQUAL(a->answers, 1);
	hear_offer("peerone");
	world_run(w, 100);
	CU_ASSERT_EQUAL(a->answers, 2);
	CU_ASSERT_EQUAL(f->phase, CONN_SETTLED);
	// A peer that goes on is not connected.
	for (int n = 0; n < 3; n++) {
		hear_offer("peerone");
		world_run(w, 100);
	}
	CU_ASSERT_EQUAL(f->phase, CONN_CHECKING);
	done();
}

static void a_peer_that_begins_anew_all_the_time_costs_few_agents(void)
{
	char ufrag[16];

	fresh_alone();
	for (int n = 0; n < 1000; n++) {
		g_snprintf(ufrag, sizeof(ufrag), "peer%d", n);
		hear_offer(ufrag);
	}
	CU_ASSERT(a->agents_made <= 12);
	CU_ASSERT(f->refused >= 900);
	done();
}

static void a_failed_attempt_is_followed_by_one_with_a_new_session(void)
{
	struct ice_credentials ours;

	fresh_alone();
	hear_offer("peerone");
	ours = f->local.cred;
	conn_fsm_failed(f, f->generation, "no pair", w->now);
	CU_ASSERT_STRING_EQUAL(f->last_failure, "no pair");
	world_run(w, 700);
	CU_ASSERT_EQUAL(f->phase, CONN_OFFERED);
	CU_ASSERT_STRING_NOT_EQUAL(f->local.cred.ufrag, ours.ufrag);
	done();
}

static void an_agent_that_says_nothing_is_given_up(void)
{
	fresh_alone();
	hear_offer("peerone");
	world_run(w, 16000);
	CU_ASSERT_TRUE(had("attempt-failed"));
	CU_ASSERT_FALSE(a->agents[0].used && a->agents[0].bound &&
			!strcmp(a->agents[0].theirs.ufrag, "peerone"));
	done();
}

static void without_strait_ice_the_offer_is_made_up_for(void)
{
	fresh_alone();
	a->agent_error = -EAGAIN;
	hear_offer("peerone");
	CU_ASSERT_EQUAL(f->phase, CONN_WAITING);
	a->agent_error = 0;
	world_run(w, 1000);
	CU_ASSERT(a->offers >= 1); // the peer answers that
	done();
}

static void a_peer_that_does_no_ice_gets_no_agent(void)
{
	struct conn_message m = {.type = CONN_OFFER};

	fresh_alone();
	hear(&m);
	CU_ASSERT_TRUE(f->peer_no_ice);
	CU_ASSERT_EQUAL(a->agents_made, 0);
	done();
}

static void go_idle_stops_offers_until_there_is_traffic(void)
{
	struct conn_message m = {.type = CONN_GO_IDLE};

	connected_alone();
	hear(&m);
	CU_ASSERT_EQUAL(f->phase, CONN_IDLE);
	CU_ASSERT_EQUAL(a->idles, 1);
	CU_ASSERT_EQUAL(a->nb_kept, 0);
	world_run(w, 600000);
	CU_ASSERT_EQUAL(a->offers, 1);
	conn_fsm_traffic(f, w->now);
	world_run(w, 10);
	CU_ASSERT_EQUAL(a->offers, 2);
	hear(&m);
	hear_offer("peertwo"); // any other message wakes, too
	CU_ASSERT_EQUAL(f->phase, CONN_CHECKING);
	done();
}

static void unknown_messages_change_nothing(void)
{
	struct conn_message m = {.type = (enum conn_message_type)77};
	enum conn_phase before;

	connected_alone();
	before = f->phase;
	hear(&m);
	CU_ASSERT_EQUAL(f->phase, before);
	CU_ASSERT_EQUAL(f->dropped, 1);
	done();
}

// ---- MODE, handshake -------------------------------------------------------------------------------------

static void mode_is_told_to_who_asks_for_it_and_says_proxy(void)
{
	struct conn_message m = session(CONN_OFFER, "peerone");

	m.direct_check = true;
	fresh_alone();
	hear(&m);
	nominate(true); // our candidate is server-reflexive
	CU_ASSERT_EQUAL(a->modes, 1);
	CU_ASSERT_FALSE(a->last_mode);
	done();
	connected_alone();
	CU_ASSERT_EQUAL(a->modes, 0);
	done();
}

static uint64_t handshake_after(bool controlling, bool strait, bool with_id)
{
	struct conn_message m = session(CONN_OFFER, "peerone");
	uint64_t start;

	m.strait = strait;
	m.session.has_id = with_id;
	fresh_alone();
	f->controlling = controlling;
	hear(&m);
	nominate(true);
	start = w->now;
	while (!a->handshakes && w->now < start + 10000)
		world_run(w, 5);
	start = w->now - start;
	done();
	return start;
}

static void only_one_side_begins_the_handshake(void)
{
	CU_ASSERT(handshake_after(true, true, true) <= 60);
	CU_ASSERT(handshake_after(false, true, true) >= 400);
	CU_ASSERT(handshake_after(true, false, true) <= 60);
	CU_ASSERT(handshake_after(false, false, true) >= 1500);
	// The original always begins by itself.
	CU_ASSERT(handshake_after(true, false, false) >= 1500);
}

// ---- pairs -----------------------------------------------------------------------------------------------

static void connected_strait(bool direct)
{
	struct conn_message m = session(CONN_OFFER, "peerone");

	m.strait = m.session.has_id = true;
	fresh_alone();
	hear(&m);
	nominate(direct);
}

static void a_relayed_pair_stands_by_when_a_direct_one_comes(void)
{
	uint32_t relayed;

	fresh();
	w->direct_works = false;
	world_start(w);
	CU_ASSERT(world_connect(w, 5000) < 1000);
	CU_ASSERT_TRUE(paths_relayed(&f->paths));
	relayed = f->paths.selected->id;
	w->direct_works = true;
	world_run(w, 8000);
	CU_ASSERT_FALSE(paths_relayed(&f->paths));
	CU_ASSERT_PTR_NOT_NULL_FATAL(f->paths.fallback);
	CU_ASSERT_TRUE(world_connected(w));
	CU_ASSERT_EQUAL(f->paths.fallback->id, relayed);
	CU_ASSERT_EQUAL(a->handshakes, 1); // the session goes on
	done();
}

static void upgrades_are_tried_at_growing_intervals(void)
{
	unsigned int before;

	fresh();
	w->direct_works = false;
	world_start(w);
	world_connect(w, 5000);
	world_run(w, 3600000);
	before = a->offers + b->offers;
	CU_ASSERT(before < 20);
	CU_ASSERT_TRUE(world_connected(w));
	done();
}

static void when_addresses_change_a_silent_peer_is_offered_soon(void)
{
	unsigned int before;

	fresh_alone();
	world_run(w, 600000); // it is asked once a minute by now
	before = a->offers;
	conn_fsm_network_changed(f, w->now);
	CU_ASSERT_TRUE(f->due[CONN_TIMER_OFFER] <= w->now + 1000);
	world_run(w, 4000);
	CU_ASSERT_TRUE(a->offers >= before + 2); // and the schedule begins anew
	CU_ASSERT_TRUE(a->offers <= before + 4);
	done();
}

static void when_addresses_change_a_relayed_pair_is_tried_directly_soon(void)
{
	fresh();
	w->direct_works = false;
	world_start(w);
	world_connect(w, 5000);
	world_run(w, 3600000); // it is tried each quarter of an hour by now
	w->direct_works = true;
	conn_fsm_network_changed(f, w->now);
	conn_fsm_network_changed(&b->fsm, w->now);
	world_run(w, 4000);
	CU_ASSERT_FALSE(paths_relayed(&f->paths));
	CU_ASSERT_FALSE(paths_relayed(&b->fsm.paths));
	CU_ASSERT_TRUE(world_connected(w));
	done();
}

static void beside_a_direct_pair_a_relay_is_kept_warm(void)
{
	fresh();
	a->have_relay = b->have_relay = true;
	world_start(w);
	world_connect(w, 5000);
	world_run(w, 5000);
	CU_ASSERT_FALSE(paths_relayed(&f->paths));
	CU_ASSERT_PTR_NOT_NULL(f->paths.fallback);
	CU_ASSERT_PTR_NOT_NULL(b->fsm.paths.fallback);
	CU_ASSERT_FALSE(paths_relayed(&b->fsm.paths));
	CU_ASSERT_TRUE(world_connected(w));
	done();
}

static void a_lost_direct_pair_is_replaced_by_the_warm_relay_at_once(void)
{
	uint32_t direct;
	uint64_t start;

	fresh();
	a->have_relay = b->have_relay = true;
	world_start(w);
	world_connect(w, 5000);
	world_run(w, 5000);
	direct = f->paths.selected->id;
	conn_fsm_path_lost(f, direct, "no answer", w->now);
	CU_ASSERT_TRUE(paths_relayed(&f->paths));
	CU_ASSERT_EQUAL(conn_fsm_state(f), CONN_CONNECTED);
	// And goes back when it holds again.
	conn_fsm_path_regained(f, direct, w->now);
	CU_ASSERT_TRUE(paths_relayed(&f->paths));
	start = w->now;
	while (paths_relayed(&f->paths) && w->now < start + 5000)
		world_run(w, 5);
	CU_ASSERT_FALSE(paths_relayed(&f->paths));
	CU_ASSERT_EQUAL(f->paths.selected->id, direct);
	done();
}

static void a_lost_pair_without_another_starts_an_attempt_at_once(void)
{
	connected_alone();
	CU_ASSERT_EQUAL(a->offers, 1);
	conn_fsm_path_lost(f, f->paths.selected->id, "no answer", w->now);
	world_run(w, 5);
	CU_ASSERT_EQUAL(a->offers, 2);
	CU_ASSERT_EQUAL(conn_fsm_state(f), CONN_DISCONNECTED);
	CU_ASSERT_PTR_NOT_NULL(f->paths.selected); // still sent on: nothing better is known
	conn_fsm_path_regained(f, f->paths.selected->id, w->now);
	CU_ASSERT_EQUAL(conn_fsm_state(f), CONN_CONNECTED);
	done();
}

// A NAT on the way has changed, say: who waits for the loss has no way for as long.
static void a_pair_in_doubt_gets_an_attempt_beside_it(void)
{
	uint32_t id;
	unsigned int offers;

	fresh();
	world_start(w);
	CU_ASSERT(world_connect(w, 5000) < 1000);
	world_run(w, 3000);
	id = f->paths.selected->id;
	offers = a->offers;
	conn_fsm_path_doubted(f, id + 1, w->now);
	CU_ASSERT_EQUAL(f->phase, CONN_SETTLED);
	conn_fsm_path_doubted(f, id, w->now);
	CU_ASSERT_EQUAL(conn_fsm_state(f), CONN_CONNECTED); // the pair goes on meanwhile
	world_run(w, 2000);
	CU_ASSERT_EQUAL(a->offers, offers + 1);
	CU_ASSERT_NOT_EQUAL(f->paths.selected->id, id);
	CU_ASSERT_FALSE(paths_relayed(&f->paths));
	CU_ASSERT_FALSE(f->doubted);
	CU_ASSERT_TRUE(world_connected(w));
	done();
}

static void doubt_is_remembered_until_the_signal_service_is_back(void)
{
	uint32_t id;

	fresh();
	world_start(w);
	CU_ASSERT(world_connect(w, 5000) < 1000);
	world_run(w, 3000);
	id = f->paths.selected->id;
	w->swallow = true;
	conn_fsm_path_doubted(f, id, w->now);
	world_run(w, 30000); // the attempt in vain
	CU_ASSERT_EQUAL(f->phase, CONN_SETTLED);
	conn_fsm_signal(f, false, w->now);
	w->swallow = false;
	conn_fsm_signal(f, true, w->now);
	world_run(w, 2000);
	CU_ASSERT_NOT_EQUAL(f->paths.selected->id, id);
	id = f->paths.selected->id;
	conn_fsm_path_doubted(f, id, w->now);
	conn_fsm_path_trusted(f, id);
	CU_ASSERT_FALSE(f->doubted);
	done();
}

static void a_peer_of_other_make_in_doubt_is_left_in_peace(void)
{
	unsigned int offers;

	connected_alone();
	world_run(w, 3000);
	offers = a->offers;
	conn_fsm_path_doubted(f, f->paths.selected->id, w->now);
	world_run(w, 3000);
	CU_ASSERT_EQUAL(a->offers, offers);
	done();
}

static void peers_of_other_make_are_left_in_peace_once_connected(void)
{
	connected_alone();
	a->have_relay = true;
	world_run(w, 3600000);
	CU_ASSERT_EQUAL(a->offers, 1);
	done();
}

static void a_relayed_nomination_beside_a_living_direct_pair_stands_by(void)
{
	struct conn_message m = session(CONN_OFFER, "peertwo");
	uint32_t direct;

	connected_strait(true);
	direct = f->paths.selected->id;
	m.strait = m.session.has_id = true;
	hear(&m);
	nominate(false);
	CU_ASSERT_EQUAL(f->paths.selected->id, direct);
	CU_ASSERT_PTR_NOT_NULL(f->paths.fallback);
	done();
}

static void a_peer_of_other_make_that_begins_anew_is_followed_to_a_relay(void)
{
	connected_alone();
	hear_offer("peertwo");
	nominate(false);
	CU_ASSERT_TRUE(paths_relayed(&f->paths));
	done();
}

static void a_pair_from_before_our_restart_goes_on(void)
{
	struct ice_path path = world_path(true);
	struct conn_message m = session(CONN_OFFER, "peerone");

	fresh();
	g_strlcpy(path.theirs.ufrag, "peerone", sizeof(path.theirs.ufrag));
	path.theirs = m.session.cred;
	conn_fsm_init(f, &world_ops, true, a);
	a->kept[a->nb_kept++] = conn_fsm_restore(f, &path, w->now);
	conn_fsm_signal(f, true, w->now);
	conn_fsm_start(f, w->now);
	world_run(w, 100);
	CU_ASSERT_EQUAL(conn_fsm_state(f), CONN_CONNECTED);
	CU_ASSERT_EQUAL(a->offers, 0);
	hear(&m); // the peer still means the same session
	CU_ASSERT_EQUAL(f->phase, CONN_SETTLED);
	done();
}

static void what_stood_by_before_our_restart_still_does(void)
{
	struct ice_path direct = world_path(true), relay = world_path(false);
	uint32_t first, second, third;

	fresh();
	conn_fsm_init(f, &world_ops, true, a);
	a->kept[a->nb_kept++] = first = conn_fsm_restore(f, &direct, w->now);
	a->kept[a->nb_kept++] = second = paths_restore_fallback(&f->paths, &relay, w->now);
	a->kept[a->nb_kept++] = third = paths_restore_retired(&f->paths, &direct, w->now);
	conn_fsm_signal(f, true, w->now);
	conn_fsm_start(f, w->now);
	CU_ASSERT_TRUE(first != second && second != third && third != first);
	world_run(w, PATHS_RETIRE_MS + 100);
	CU_ASSERT_PTR_NULL(f->paths.retired);
	conn_fsm_path_lost(f, first, "test", w->now);
	CU_ASSERT_EQUAL(conn_fsm_state(f), CONN_CONNECTED);
	CU_ASSERT_EQUAL(f->paths.selected->id, second);
	CU_ASSERT_EQUAL(a->offers, 0);
	done();
}

// ---- bugs of the original ----------------------------------------------------------------------------------

static void a_closed_object_never_has_a_second_life(void) // double Conn
{
	fresh();
	conn_fsm_signal(f, true, w->now);
	conn_fsm_start(f, w->now);
	conn_fsm_stop(f, w->now); // before its first offer
	conn_fsm_stop(f, w->now);
	world_run(w, 60000);
	hear_offer("peerone");
	CU_ASSERT_EQUAL(a->offers + a->answers, 0);
	CU_ASSERT_EQUAL(conn_fsm_next(f), CONN_NEVER);
	done();
}

static void a_peer_removed_in_any_state_leaves_nothing(void) // zombie peer
{
	static const uint64_t when[] = {0, 50, 150, 200, 250, 300, 400, 700, 1500, 2500, 4000};

	for (size_t n = 0; n < G_N_ELEMENTS(when); n++) {
		uint32_t generation, path;

		fresh();
		a->have_relay = b->have_relay = true;
		world_start(w);
		world_run(w, when[n]);
		generation = f->generation;
		path = f->paths.next_id;
		conn_fsm_stop(f, w->now);
		for (int k = 0; k < WORLD_MAX_ICE; k++)
			CU_ASSERT_FALSE(a->agents[k].used);
		CU_ASSERT_EQUAL(a->nb_kept, 0);
		// What was under way arrives.
		conn_fsm_nominated(f, generation, &(struct ice_path){0}, w->now);
		conn_fsm_path_regained(f, path, w->now);
		hear_offer("late");
		world_run(w, 1000);
		CU_ASSERT_EQUAL(a->nb_kept, 0);
		CU_ASSERT_PTR_NULL(f->paths.selected);
		done();
	}
}

static void an_old_agents_late_failure_does_not_end_the_new_attempt(void)
{
	uint32_t old;

	fresh_alone();
	hear_offer("peerone");
	old = f->generation;
	hear_offer("peertwo");
	conn_fsm_failed(f, old, "disconnected", w->now);
	CU_ASSERT_EQUAL(f->phase, CONN_CHECKING);
	conn_fsm_nominated(f, old, &(struct ice_path){0}, w->now);
	CU_ASSERT_PTR_NULL(f->paths.selected);
	done();
}

static void an_old_pairs_late_loss_does_not_end_the_new_pair(void)
{
	uint32_t old;

	connected_alone();
	old = f->paths.selected->id;
	hear_offer("peertwo");
	nominate(true);
	world_run(w, PATHS_RETIRE_MS + 10);
	conn_fsm_path_lost(f, old, "late", w->now);
	CU_ASSERT_EQUAL(conn_fsm_state(f), CONN_CONNECTED);
	done();
}

static void a_mode_of_an_earlier_attempt_does_not_decide_the_next(void)
{
	struct conn_message m = {.type = CONN_MODE, .direct = true};

	connected_alone();
	hear(&m);
	hear(&m); // and a second one is no error
	CU_ASSERT_TRUE(f->peer_direct);
	hear_offer("peertwo");
	CU_ASSERT_FALSE(f->has_mode);
	CU_ASSERT_FALSE(f->peer_direct);
	done();
}

static void waiting_for_a_mode_blocks_nothing(void)
{
	struct conn_message m = session(CONN_OFFER, "peerone");

	m.direct_check = true;
	fresh_alone();
	hear(&m);
	nominate(true);
	CU_ASSERT_EQUAL(conn_fsm_state(f), CONN_CONNECTED); // at once, and candidates are taken
	hear_candidate();
	CU_ASSERT_EQUAL(a->agents[0].candidates, 1);
	conn_fsm_stop(f, w->now);
	CU_ASSERT_EQUAL(a->nb_kept, 0);
	done();
}

static void a_failed_keep_leaves_no_half_connection(void) // cleanup that returns early
{
	uint32_t generation;

	fresh_alone();
	hear_offer("peerone");
	generation = f->generation;
	conn_fsm_failed(f, generation, "closed", w->now);
	CU_ASSERT_FALSE(a->agents[0].used);
	CU_ASSERT_EQUAL(a->nb_kept, 0);
	CU_ASSERT_EQUAL(conn_fsm_state(f), CONN_DISCONNECTED);
	done();
}

static void only_validated_pairs_are_ever_used(void) // DirectNoProxy
{
	struct conn_message m = session(CONN_OFFER, "peerone"),
			    mode = {.type = CONN_MODE, .direct = true};

	m.direct_check = true;
	m.wg_port = 51820;
	fresh_alone();
	hear(&m);
	nominate(true);
	hear(&mode);
	world_run(w, 2000);
	CU_ASSERT_EQUAL(f->paths.selected->path.remote_port_be, world_path(true).remote_port_be);
	done();
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(no_offer_leaves_before_the_signal_service_is_up),
		TEST(offers_to_a_silent_peer_come_at_growing_intervals_up_to_a_minute),
		TEST(offers_of_one_attempt_carry_one_session),
		TEST(an_answer_to_a_seed_era_peer_waits_until_it_listens),
		TEST(an_answer_to_a_peer_with_session_ids_leaves_at_once),
		TEST(candidates_go_behind_the_answer),
		TEST(candidates_before_the_offer_reach_the_agent),
		TEST(early_candidates_are_few_and_forgotten),
		TEST(a_new_session_while_checking_gets_a_new_agent_under_our_old_session),
		TEST(a_new_session_id_alone_is_a_restarted_peer),
		TEST(a_new_session_while_connected_keeps_the_old_pair_until_the_new_one),
		TEST(an_offer_that_is_repeated_is_answered_again),
		TEST(a_peer_that_begins_anew_all_the_time_costs_few_agents),
		TEST(a_failed_attempt_is_followed_by_one_with_a_new_session),
		TEST(an_agent_that_says_nothing_is_given_up),
		TEST(without_strait_ice_the_offer_is_made_up_for),
		TEST(a_peer_that_does_no_ice_gets_no_agent),
		TEST(go_idle_stops_offers_until_there_is_traffic),
		TEST(unknown_messages_change_nothing),
		TEST(mode_is_told_to_who_asks_for_it_and_says_proxy),
		TEST(only_one_side_begins_the_handshake),
		TEST(a_relayed_pair_stands_by_when_a_direct_one_comes),
		TEST(upgrades_are_tried_at_growing_intervals),
		TEST(when_addresses_change_a_silent_peer_is_offered_soon),
		TEST(when_addresses_change_a_relayed_pair_is_tried_directly_soon),
		TEST(beside_a_direct_pair_a_relay_is_kept_warm),
		TEST(a_lost_direct_pair_is_replaced_by_the_warm_relay_at_once),
		TEST(a_lost_pair_without_another_starts_an_attempt_at_once),
		TEST(a_pair_in_doubt_gets_an_attempt_beside_it),
		TEST(doubt_is_remembered_until_the_signal_service_is_back),
		TEST(a_peer_of_other_make_in_doubt_is_left_in_peace),
		TEST(peers_of_other_make_are_left_in_peace_once_connected),
		TEST(a_relayed_nomination_beside_a_living_direct_pair_stands_by),
		TEST(a_peer_of_other_make_that_begins_anew_is_followed_to_a_relay),
		TEST(a_pair_from_before_our_restart_goes_on),
		TEST(what_stood_by_before_our_restart_still_does),
		TEST(a_closed_object_never_has_a_second_life),
		TEST(a_peer_removed_in_any_state_leaves_nothing),
		TEST(an_old_agents_late_failure_does_not_end_the_new_attempt),
		TEST(an_old_pairs_late_loss_does_not_end_the_new_pair),
		TEST(a_mode_of_an_earlier_attempt_does_not_decide_the_next),
		TEST(waiting_for_a_mode_blocks_nothing),
		TEST(a_failed_keep_leaves_no_half_connection),
		TEST(only_validated_pairs_are_ever_used),
		CU_TEST_INFO_NULL,
	};

	return run_tests("conn_fsm", tests);
}
