// SPDX-License-Identifier: BSD-3-Clause
//
// The bugs of NetBird's original, one test each: their names say what does not happen here.
#include "conn_alone.h"

#include <errno.h>

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
	fresh_alone();
	hear_offer("peerone");
	a->keep_error = -ENOSPC;
	nominate(true);
	CU_ASSERT_TRUE(had("attempt-failed"));
	CU_ASSERT_FALSE(had("nominated"));
	CU_ASSERT_STRING_EQUAL(f->last_failure, g_strerror(ENOSPC));
	CU_ASSERT_FALSE(a->agents[0].used);
	CU_ASSERT_EQUAL(a->nb_kept + a->tuples_changed, 0);
	CU_ASSERT_PTR_NULL(f->paths.selected);
	CU_ASSERT_EQUAL(conn_fsm_state(f), CONN_DISCONNECTED);
	// The next attempt is as if nothing had been.
	a->keep_error = 0;
	hear_offer("peertwo");
	nominate(true);
	CU_ASSERT_EQUAL(conn_fsm_state(f), CONN_CONNECTED);
	done();
}

// The pair in use is not given up for one that cannot be kept.
static void a_failed_keep_beside_a_pair_leaves_the_pair(void)
{
	uint32_t old;

	connected_alone();
	old = f->paths.selected->id;
	hear_offer("peertwo");
	a->keep_error = -ENOSPC;
	nominate(true);
	CU_ASSERT_TRUE(had("attempt-failed"));
	CU_ASSERT_EQUAL(f->paths.selected->id, old);
	CU_ASSERT_EQUAL(a->nb_kept, 1);
	CU_ASSERT_EQUAL(f->phase, CONN_SETTLED);
	CU_ASSERT_EQUAL(conn_fsm_state(f), CONN_CONNECTED);
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
		TEST(a_closed_object_never_has_a_second_life),
		TEST(a_peer_removed_in_any_state_leaves_nothing),
		TEST(an_old_agents_late_failure_does_not_end_the_new_attempt),
		TEST(an_old_pairs_late_loss_does_not_end_the_new_pair),
		TEST(a_mode_of_an_earlier_attempt_does_not_decide_the_next),
		TEST(waiting_for_a_mode_blocks_nothing),
		TEST(a_failed_keep_leaves_no_half_connection),
		TEST(a_failed_keep_beside_a_pair_leaves_the_pair),
		TEST(only_validated_pairs_are_ever_used),
		CU_TEST_INFO_NULL,
	};

	return run_tests("bugs of the original", tests);
}
