// SPDX-License-Identifier: BSD-3-Clause
//
// The connection object event by event: offers, answers, candidates, sessions, MODE, the handshake.
#include "conn_alone.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

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

static void offers_begin_again_at_six_seconds_when_the_signal_service_is_back(void)
{
	unsigned int before;
	uint64_t back;

	fresh_alone();
	world_run(w, 300000);
	CU_ASSERT_TRUE(f->due[CONN_TIMER_OFFER] - w->now > 10000 || f->offers > 8);
	conn_fsm_signal(f, false, w->now);
	before = a->offers;
	world_run(w, 120000);
	CU_ASSERT_EQUAL(a->offers, before);
	conn_fsm_signal(f, true, w->now);
	back = w->now;
	world_run(w, 150);
	CU_ASSERT_EQUAL(a->offers, before + 1); // of the service's return nobody has to wait
	while (a->offers == before + 1 && w->now < back + 60000)
		world_run(w, 5);
	CU_ASSERT_TRUE(w->now - back >= 6400 * 3 / 4 && w->now - back <= 6400 * 5 / 4 + 200);
	done();
}

static void attempts_that_fail_are_repeated_at_growing_intervals_up_to_half_a_minute(void)
{
	uint64_t want = 500;
	char ufrag[16];

	fresh_alone();
	for (int n = 0; n < 9; n++) {
		uint64_t in;

		g_snprintf(ufrag, sizeof(ufrag), "peer%d", n);
		hear_offer(ufrag);
		conn_fsm_failed(f, f->generation, "no pair", w->now);
		in = f->due[CONN_TIMER_OFFER] - w->now;
		CU_ASSERT(in >= want * 3 / 4 && in <= want * 5 / 4);
		want = MIN(want * 2, 30000);
	}
	// One that succeeds is the end of it.
	hear_offer("works");
	nominate(true);
	conn_fsm_path_lost(f, f->paths.selected->id, "gone", w->now);
	hear_offer("fails");
	conn_fsm_failed(f, f->generation, "no pair", w->now);
	CU_ASSERT(f->due[CONN_TIMER_OFFER] - w->now <= 625);
	done();
}

static void offers_of_one_attempt_carry_one_session(void)
{
	struct ice_credentials first;

	fresh_alone();
	world_run(w, 200);
	first = f->local.cred;
	// As pion's: letters alone.
	CU_ASSERT_EQUAL(strlen(first.ufrag), 16);
	CU_ASSERT_EQUAL(strlen(first.pwd), 32);
	CU_ASSERT_EQUAL(strspn(first.ufrag, LETTERS), 16);
	CU_ASSERT_EQUAL(strspn(first.pwd, LETTERS), 32);
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

// Each answer is followed by all our candidates.
static void an_offer_that_is_repeated_all_the_time_is_answered_once_a_second(void)
{
	unsigned int before;

	fresh_alone();
	hear_offer("peerone"); // it is not connected, and says so ten times in each of 100 rounds
	before = a->answers;
	for (int n = 0; n < 100; n++) {
		for (int k = 0; k < 10; k++)
			hear_offer("peerone");
		world_run(w, 100);
	}
	CU_ASSERT_TRUE(a->answers - before >= 10);
	CU_ASSERT_TRUE(a->answers - before <=
		       25); // ten at once, one in each of ten seconds, and our own schedule's
	done();
}

static void a_peer_that_goes_idle_all_the_time_gets_few_offers(void)
{
	struct conn_message idle = {.type = CONN_GO_IDLE};

	fresh_alone();
	for (int n = 0; n < 100; n++) {
		hear(&idle);
		conn_fsm_traffic(f, w->now);
		world_run(w, 100);
	}
	CU_ASSERT_TRUE(a->offers >= 10 && a->offers <= 25);
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

// They say what the program is, which does not depend on whether the session is of use.
static void features_count_even_of_an_offer_that_is_dropped(void)
{
	struct conn_message late = session(CONN_OFFER, "peerone");
	uint64_t dropped;

	fresh_alone();
	hear_offer("peerone");
	world_run(w, 200);
	hear_offer("peertwo");
	CU_ASSERT_FALSE(f->peer_direct_check);
	dropped = f->dropped;
	late.direct_check = true;
	late.wg_port = 4242;
	hear(&late); // of the session that peertwo's took the place of
	CU_ASSERT_EQUAL(f->dropped, dropped + 1);
	CU_ASSERT_STRING_EQUAL(f->remote.cred.ufrag, "peertwo");
	CU_ASSERT_TRUE(f->peer_direct_check);
	CU_ASSERT_EQUAL(f->peer_wg_port, 4242);
	nominate(true);
	CU_ASSERT_EQUAL(a->modes, 1);
	done();
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

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(no_offer_leaves_before_the_signal_service_is_up),
		TEST(offers_to_a_silent_peer_come_at_growing_intervals_up_to_a_minute),
		TEST(offers_begin_again_at_six_seconds_when_the_signal_service_is_back),
		TEST(attempts_that_fail_are_repeated_at_growing_intervals_up_to_half_a_minute),
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
		TEST(an_offer_that_is_repeated_all_the_time_is_answered_once_a_second),
		TEST(a_peer_that_goes_idle_all_the_time_gets_few_offers),
		TEST(a_peer_that_begins_anew_all_the_time_costs_few_agents),
		TEST(a_failed_attempt_is_followed_by_one_with_a_new_session),
		TEST(an_agent_that_says_nothing_is_given_up),
		TEST(without_strait_ice_the_offer_is_made_up_for),
		TEST(a_peer_that_does_no_ice_gets_no_agent),
		TEST(go_idle_stops_offers_until_there_is_traffic),
		TEST(unknown_messages_change_nothing),
		TEST(mode_is_told_to_who_asks_for_it_and_says_proxy),
		TEST(features_count_even_of_an_offer_that_is_dropped),
		TEST(only_one_side_begins_the_handshake),
		CU_TEST_INFO_NULL,
	};

	return run_tests("connection", tests);
}
