// SPDX-License-Identifier: BSD-3-Clause
//
// The timers of a peer against a clock that the test moves by hand.
#include "../../../../control/wg/timers.h"
#include "../../suite.h"

#include <stdlib.h>
#include <string.h>

#define START 1000000ULL

static struct timers_params params;
static struct timers t;

static uint32_t no_jitter(uint32_t upper)
{
	return 0;
}

static uint32_t full_jitter(uint32_t upper)
{
	return upper - 1;
}

static void fresh(void)
{
	timers_params_init(&params, 1);
	params.random = no_jitter;
	timers_init(&t);
}

// Moves the clock to the next deadline; returns what is to be done then.
static uint32_t next(uint64_t *now)
{
	*now = timers_next(&t);
	return timers_expire(&t, &params, *now);
}

static void an_unanswered_initiation_is_repeated_19_times_and_then_given_up(void)
{
	uint64_t now = START;

	fresh();
	timers_initiation_sent(&t, &params, now);
	for (unsigned int n = 1; n <= 19; n++) {
		CU_ASSERT_EQUAL(next(&now), TIMERS_RETRY | TIMERS_CLEAR_SOURCE);
		CU_ASSERT_EQUAL(now, START + n * 5000);
		CU_ASSERT_EQUAL(t.attempts, n);
		CU_ASSERT_TRUE(timers_may_initiate(&t, &params, now));
		timers_initiation_sent(&t, &params, now);
	}
	CU_ASSERT_EQUAL(next(&now), TIMERS_GAVE_UP);
	CU_ASSERT_EQUAL(now, START + 20 * 5000);
	CU_ASSERT_EQUAL(next(&now), TIMERS_ZERO_KEYS);
	CU_ASSERT_EQUAL(now, START + 20 * 5000 + 540000);
	CU_ASSERT_EQUAL(timers_next(&t), TIMERS_NEVER);
}

static void a_retry_has_at_most_a_third_of_a_second_of_jitter(void)
{
	fresh();
	params.random = full_jitter;
	timers_initiation_sent(&t, &params, START);
	CU_ASSERT_EQUAL(timers_next(&t), START + 5333);
}

static void a_complete_handshake_ends_the_retries_and_their_count(void)
{
	uint64_t now = START;

	fresh();
	timers_initiation_sent(&t, &params, now);
	next(&now);
	timers_initiation_sent(&t, &params, now);
	timers_session_derived(&t, &params, now);
	timers_handshake_complete(&t);
	CU_ASSERT_EQUAL(t.attempts, 0);
	CU_ASSERT_EQUAL(next(&now), TIMERS_ZERO_KEYS);
	CU_ASSERT_EQUAL(now, START + 5000 + 540000);
}

static void initiations_are_five_seconds_apart_and_a_wish_is_kept(void)
{
	fresh();
	CU_ASSERT_TRUE(timers_may_initiate(&t, &params, START));
	timers_response_sent(&t, &params, START);
	CU_ASSERT_FALSE(timers_may_initiate(&t, &params, START + 4999));
	CU_ASSERT_EQUAL(timers_next(&t), START + 5000);
	CU_ASSERT_TRUE(timers_expire(&t, &params, START + 5000) & TIMERS_RETRY);
	CU_ASSERT_TRUE(timers_may_initiate(&t, &params, START + 5000));
}

static void received_data_is_answered_by_a_keepalive_after_ten_seconds(void)
{
	uint64_t now = START;

	fresh();
	timers_data_received(&t, &params, START);
	CU_ASSERT_EQUAL(next(&now), TIMERS_SEND_KEEPALIVE);
	CU_ASSERT_EQUAL(now, START + 10000);
	CU_ASSERT_EQUAL(timers_next(&t), TIMERS_NEVER);
}

static void more_data_while_it_is_armed_asks_for_another_keepalive(void)
{
	uint64_t now = START;

	fresh();
	timers_data_received(&t, &params, START);
	timers_data_received(&t, &params, START + 3000);
	CU_ASSERT_EQUAL(next(&now), TIMERS_SEND_KEEPALIVE);
	CU_ASSERT_EQUAL(now, START + 10000);
	CU_ASSERT_EQUAL(next(&now), TIMERS_SEND_KEEPALIVE);
	CU_ASSERT_EQUAL(now, START + 20000);
	CU_ASSERT_EQUAL(timers_next(&t), TIMERS_NEVER);
}

static void anything_sent_makes_the_keepalive_needless(void)
{
	fresh();
	timers_data_received(&t, &params, START);
	timers_any_sent(&t, &params, START + 1);
	CU_ASSERT_EQUAL(timers_next(&t), TIMERS_NEVER);
}

static void fifteen_seconds_of_silence_after_data_start_a_new_handshake(void)
{
	uint64_t now = START;

	fresh();
	params.random = full_jitter;
	timers_data_sent(&t, &params, START);
	timers_data_sent(&t, &params, START + 9000);
	CU_ASSERT_EQUAL(next(&now), TIMERS_INITIATE | TIMERS_CLEAR_SOURCE);
	CU_ASSERT_EQUAL(now, START + 15333);
}

static void anything_received_ends_the_silence(void)
{
	fresh();
	timers_data_sent(&t, &params, START);
	timers_any_received(&t, &params, START + 14999);
	CU_ASSERT_EQUAL(timers_next(&t), TIMERS_NEVER);
	timers_data_sent(&t, &params, START + 20000);
	CU_ASSERT_EQUAL(timers_next(&t), START + 35000);
}

static void a_persistent_keepalive_starts_at_once_and_again_after_each_silence(void)
{
	uint64_t now = START;

	fresh();
	CU_ASSERT_TRUE(timers_set_persistent(&t, &params, 25, START));
	CU_ASSERT_FALSE(timers_set_persistent(&t, &params, 25, START));
	timers_any_sent(&t, &params, START + 4000);
	CU_ASSERT_EQUAL(timers_next(&t), START + 29000);
	timers_any_received(&t, &params, START + 6000);
	CU_ASSERT_EQUAL(next(&now), TIMERS_SEND_KEEPALIVE);
	CU_ASSERT_EQUAL(now, START + 31000);
	CU_ASSERT_EQUAL(timers_next(&t), START + 56000);
	CU_ASSERT_FALSE(timers_set_persistent(&t, &params, 10, START + 31000));
	CU_ASSERT_EQUAL(timers_next(&t), START + 41000);
	CU_ASSERT_FALSE(timers_set_persistent(&t, &params, 0, START + 31000));
	CU_ASSERT_EQUAL(timers_next(&t), TIMERS_NEVER);
}

static void keys_are_zeroed_540_seconds_after_the_last_session(void)
{
	uint64_t now = START;

	fresh();
	timers_session_derived(&t, &params, START);
	timers_session_derived(&t, &params, START + 120000);
	CU_ASSERT_EQUAL(next(&now), TIMERS_ZERO_KEYS);
	CU_ASSERT_EQUAL(now, START + 120000 + 540000);
}

static void the_scale_divides_every_time(void)
{
	timers_params_init(&params, 60);
	CU_ASSERT_EQUAL(params.rekey_timeout, 83);
	CU_ASSERT_EQUAL(params.rekey_after, 2000);
	CU_ASSERT_EQUAL(params.rekey_receiving, 2750);
	CU_ASSERT_EQUAL(params.reject_after, 3000);
	CU_ASSERT_EQUAL(params.zero_keys, 9000);
	CU_ASSERT_EQUAL(params.second, 16);
	timers_params_init(&params, 1e9);
	CU_ASSERT_EQUAL(params.rekey_timeout, 1);
}

#define MANY 2000

static void the_heap_gives_deadlines_in_order_under_churn(void)
{
	struct timers *all = calloc(MANY, sizeof(*all));
	struct timers_heap heap = {0};
	uint64_t last = 0;
	unsigned int left = 0;

	fresh();
	srand(7);
	for (unsigned int n = 0; n < MANY; n++) {
		timers_init(&all[n]);
		timers_initiate_at(&all[n], 1 + (uint64_t)rand() % 100000);
		timers_heap_update(&heap, &all[n]);
	}
	for (unsigned int n = 0; n < 5 * MANY; n++) {
		struct timers *one = &all[rand() % MANY];

		if (rand() % 3)
			timers_initiate_at(one, 1 + (uint64_t)rand() % 100000);
		else
			timers_handshake_complete(one);
		timers_heap_update(&heap, one);
	}
	for (unsigned int n = 0; n < MANY; n += 5)
		timers_heap_remove(&heap, &all[n]);
	for (unsigned int n = 0; n < MANY; n++)
		left += n % 5 && timers_next(&all[n]) != TIMERS_NEVER;
	CU_ASSERT_EQUAL(heap.count, left);
	while (timers_heap_first(&heap)) {
		struct timers *first = timers_heap_first(&heap);

		CU_ASSERT_TRUE(timers_next(first) >= last);
		last = timers_next(first);
		timers_heap_remove(&heap, first);
		left--;
	}
	CU_ASSERT_EQUAL(left, 0);
	timers_heap_fini(&heap);
	free(all);
}

// One process that heard everything, and one that starts in between and gets the history.
static void check_restored(const struct timers_history *h, uint64_t now, const struct timers *whole)
{
	struct timers restored;

	timers_init(&restored);
	restored.persistent = whole->persistent;
	timers_restore(&restored, &params, h, now);
	for (int i = 0; i < TIMER_COUNT; i++)
		CU_ASSERT_EQUAL(restored.due[i], whole->due[i]);
}

static void a_restart_between_two_packets_changes_no_deadline(void)
{
	struct timers_history h = {0};

	fresh();
	t.persistent = 25;
	timers_data_sent(&t, &params, START);
	timers_any_sent(&t, &params, START);
	h.data_sent = h.any_sent = START;
	check_restored(&h, START + 3000, &t);
	timers_data_received(&t, &params, START + 4000);
	timers_any_received(&t, &params, START + 4000);
	h.data_received = h.any_received = START + 4000;
	// The keepalive counts from what was sent last: early, never late.
	t.due[TIMER_KEEPALIVE] = START + 10000;
	check_restored(&h, START + 5000, &t);
	// A keepalive of ours left.
	timers_any_sent(&t, &params, START + 10000);
	h.any_sent = START + 10000;
	check_restored(&h, START + 11000, &t);
	CU_ASSERT_EQUAL(t.due[TIMER_PERSISTENT], START + 35000);
	CU_ASSERT_EQUAL(timers_next(&t), START + 35000);
}

static void after_a_restart_a_dead_peer_is_found_and_a_keepalive_is_due_in_time(void)
{
	struct timers_history h = {.any_received = 1, .any_sent = 1};
	uint64_t now = START;

	fresh();
	srand(7);
	for (int n = 0; n < 100000; n++) {
		struct timers restored;
		uint64_t late = params.new_handshake;

		now += 1 + (uint64_t)(rand() % 4000);
		if (timers_next(&t) <= now &&
			timers_expire(&t, &params, now) & TIMERS_SEND_KEEPALIVE) {
			timers_any_sent(&t, &params, now);
			h.any_sent = now;
		} else if (rand() % 2) {
			timers_data_sent(&t, &params, now);
			timers_any_sent(&t, &params, now);
			h.data_sent = h.any_sent = now;
		} else {
			timers_data_received(&t, &params, now);
			timers_any_received(&t, &params, now);
			h.data_received = h.any_received = now;
		}
		timers_init(&restored);
		timers_restore(&restored, &params, &h, now);
		if (t.due[TIMER_NEW_HANDSHAKE] != TIMERS_NEVER)
			CU_ASSERT_TRUE(
				restored.due[TIMER_NEW_HANDSHAKE] >= t.due[TIMER_NEW_HANDSHAKE] &&
				restored.due[TIMER_NEW_HANDSHAKE] <=
					t.due[TIMER_NEW_HANDSHAKE] + late);
		if (t.due[TIMER_KEEPALIVE] != TIMERS_NEVER && !t.need_another_keepalive)
			CU_ASSERT_TRUE(restored.due[TIMER_KEEPALIVE] <= t.due[TIMER_KEEPALIVE]);
		// Who heard everything keeps what it has.
		restored = t;
		timers_restore(&restored, &params, &h, now);
		CU_ASSERT_EQUAL(restored.due[TIMER_KEEPALIVE], t.due[TIMER_KEEPALIVE]);
		if (t.due[TIMER_NEW_HANDSHAKE] != TIMERS_NEVER)
			CU_ASSERT_EQUAL(
				restored.due[TIMER_NEW_HANDSHAKE], t.due[TIMER_NEW_HANDSHAKE]);
	}
}

static void without_a_history_nothing_is_armed(void)
{
	struct timers_history h = {0};

	fresh();
	t.persistent = 25;
	timers_restore(&t, &params, &h, START);
	CU_ASSERT_EQUAL(timers_next(&t), TIMERS_NEVER);
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"an unanswered initiation is repeated 19 times and then given up",
			an_unanswered_initiation_is_repeated_19_times_and_then_given_up},
		{"a retry has at most a third of a second of jitter",
			a_retry_has_at_most_a_third_of_a_second_of_jitter},
		{"a complete handshake ends the retries and their count",
			a_complete_handshake_ends_the_retries_and_their_count},
		{"initiations are five seconds apart and a wish is kept",
			initiations_are_five_seconds_apart_and_a_wish_is_kept},
		{"received data is answered by a keepalive after ten seconds",
			received_data_is_answered_by_a_keepalive_after_ten_seconds},
		{"more data while it is armed asks for another keepalive",
			more_data_while_it_is_armed_asks_for_another_keepalive},
		{"anything sent makes the keepalive needless",
			anything_sent_makes_the_keepalive_needless},
		{"fifteen seconds of silence after data start a new handshake",
			fifteen_seconds_of_silence_after_data_start_a_new_handshake},
		{"anything received ends the silence", anything_received_ends_the_silence},
		{"a persistent keepalive starts at once and again after each silence",
			a_persistent_keepalive_starts_at_once_and_again_after_each_silence},
		{"keys are zeroed 540 seconds after the last session",
			keys_are_zeroed_540_seconds_after_the_last_session},
		{"a restart between two packets changes no deadline",
			a_restart_between_two_packets_changes_no_deadline},
		{"after a restart a dead peer is found and a keepalive is due in time",
			after_a_restart_a_dead_peer_is_found_and_a_keepalive_is_due_in_time},
		{"without a history nothing is armed", without_a_history_nothing_is_armed},
		{"the scale divides every time", the_scale_divides_every_time},
		{"the heap gives deadlines in order under churn",
			the_heap_gives_deadlines_in_order_under_churn},
		CU_TEST_INFO_NULL,
	};

	return run_tests("timers", tests);
}
