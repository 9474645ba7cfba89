// SPDX-License-Identifier: BSD-3-Clause
//
// control/ice/relay_wait.c with a link that notes what it is given.
#include "../../../../control/ice/ice_internal.h"
#include "../../../../control/ice/relay_wait.h"
#include "../../suite.h"

static unsigned int delivered, last_agent;
static uint8_t last_byte;

void ice_link_datagram(struct ice_link *l, uint32_t agent, const struct st_addr *local,
	uint16_t local_port_be, const struct st_addr *remote, uint16_t remote_port_be,
	const uint8_t *data, size_t len)
{
	delivered++;
	last_agent = agent;
	last_byte = data[len - 1];
}

static const struct st_addr here = {.b = {0xfd, 1}}, there = {.b = {0xfd, 2}};

static bool take(struct relay_wait *w, uint8_t byte)
{
	return relay_wait_take(w, &(struct relay_wait_answer){.local = here,
					  .remote = there,
					  .remote_port_be = htons(3478),
					  .data = &byte,
					  .len = 1});
}

static bool take_of_a_stranger(struct relay_wait *w, uint8_t byte)
{
	return relay_wait_take(w, &(struct relay_wait_answer){.local = here,
					  .remote = there,
					  .remote_port_be = htons(3479),
					  .stranger = true,
					  .data = &byte,
					  .len = 1});
}

static void run_for(unsigned int ms)
{
	int64_t end = g_get_monotonic_time() + ms * 1000;

	while (g_get_monotonic_time() < end) {
		if (!g_main_context_iteration(NULL, FALSE))
			g_usleep(1000);
	}
}

static void setup(void)
{
	delivered = last_agent = 0;
	last_byte = 0;
}

static void answer_of_a_relay_is_delivered_when_the_time_is_over(void)
{
	struct relay_wait *w;

	setup();
	w = relay_wait_new(NULL, 7, htons(51820));
	CU_ASSERT_TRUE(take(w, 1));
	CU_ASSERT_TRUE(take(w, 2));
	run_for(RELAY_WAIT_MS / 4);
	CU_ASSERT_EQUAL(delivered, 0);
	run_for(RELAY_WAIT_MS);
	CU_ASSERT_EQUAL(delivered, 2);
	CU_ASSERT_EQUAL(last_agent, 7);
	CU_ASSERT_EQUAL(last_byte, 2);
	CU_ASSERT_FALSE(take(w, 3));
	relay_wait_free(w);
}

static void what_waits_goes_when_a_pair_is_there(void)
{
	struct relay_wait *w;

	setup();
	w = relay_wait_new(NULL, 7, htons(51820));
	CU_ASSERT_TRUE(take(w, 1));
	relay_wait_free(w);
	run_for(RELAY_WAIT_MS + 100);
	CU_ASSERT_EQUAL(delivered, 0);
	CU_ASSERT_FALSE(take(NULL, 1));
}

static void with_a_direct_pair_only_strangers_wait_on(void)
{
	struct relay_wait *w;

	setup();
	w = relay_wait_new(NULL, 7, htons(51820));
	CU_ASSERT_TRUE(take_of_a_stranger(w, 1));
	CU_ASSERT_TRUE(take(w, 2));
	relay_wait_direct(w);
	CU_ASSERT_EQUAL(delivered, 1);
	CU_ASSERT_EQUAL(last_byte, 2);
	CU_ASSERT_FALSE(take(w, 3));
	CU_ASSERT_TRUE(take_of_a_stranger(w, 4));
	relay_wait_direct(w);
	CU_ASSERT_EQUAL(delivered, 1);
	run_for(RELAY_WAIT_MS + 100);
	CU_ASSERT_EQUAL(delivered, 3);
	CU_ASSERT_EQUAL(last_byte, 4);
	relay_wait_free(w);
	relay_wait_direct(NULL);
}

static void no_more_than_so_many_wait(void)
{
	struct relay_wait *w;

	setup();
	w = relay_wait_new(NULL, 7, htons(51820));
	for (unsigned int n = 0; n < 3 * RELAY_WAIT_MAX; n++)
		CU_ASSERT_TRUE(take(w, (uint8_t)n));
	run_for(RELAY_WAIT_MS + 100);
	CU_ASSERT_EQUAL(delivered, RELAY_WAIT_MAX);
	CU_ASSERT_EQUAL(last_byte, RELAY_WAIT_MAX - 1);
	relay_wait_free(w);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(answer_of_a_relay_is_delivered_when_the_time_is_over),
		TEST(what_waits_goes_when_a_pair_is_there),
		TEST(with_a_direct_pair_only_strangers_wait_on),
		TEST(no_more_than_so_many_wait),
		CU_TEST_INFO_NULL,
	};

	return run_tests("relay_wait", tests);
}
