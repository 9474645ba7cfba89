// SPDX-License-Identifier: BSD-3-Clause
//
// The pairs of a connection: the one in use, the one that stands by, loss, doubt, upgrades.
#include "conn_alone.h"

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

int main(void)
{
	CU_TestInfo tests[] = {
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
		CU_TEST_INFO_NULL,
	};

	return run_tests("pairs of a connection", tests);
}
