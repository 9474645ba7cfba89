// SPDX-License-Identifier: BSD-3-Clause
//
// How soon the loss of a nominated pair is known, to the millisecond: the clock is the test's
// (g_get_monotonic_time is defined here and found before GLib's), as are the lcores' reports.
#include "../../../../control/addr.h"
#include "../../../../control/ice/keep_internal.h"
#include "../../suite.h"

#include <string.h>

#define STEP_MS   10
#define REPORT_MS 50 // of the lcores, while there is traffic

static uint64_t clock_ms = 100000;
static unsigned int losts, sent;
static struct ice *ice;
static struct ice_keep *k;

gint64 g_get_monotonic_time(void)
{
	return (gint64)clock_ms * 1000;
}

static int env_send(const struct st_addr *local, const struct st_addr *remote, uint16_t port_be,
	const void *data, size_t len, void *arg)
{
	sent++;
	return 0;
}

static uint16_t env_port(void *arg)
{
	return 51820;
}

static void on_lost(const char *why, void *arg)
{
	losts++;
}

static void on_path(const struct ice_path *path, void *arg)
{
}

static void on_regained(void *arg)
{
}

static void begin(void)
{
	static const struct ice_env env = {.name = "test", .send = env_send, .port = env_port};
	static const struct ice_keep_ops ops = {
		.lost = on_lost, .regained = on_regained, .renominated = on_path};
	struct ice_path path = {.ours = {"ourufrag", "ourpwdourpwdourpwdourpwd"},
		.theirs = {"theirufrag", "theirpwdtheirpwdtheirpwd"}};

	addr_parse(&path.local, "10.0.0.1");
	addr_parse(&path.remote, "10.0.0.2");
	path.local_port_be = path.remote_port_be = htons(51820);
	losts = sent = 0;
	ice = ice_new(&env, "/nonexistent");
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(k);
}

static void end(void)
{
	ice_keep_free(k);
	ice_free(ice);
}

// Until the pair is lost, or so long; the lcores' reports come phase_ms after a round time. How long it took.
static uint64_t lost_after(bool sending, uint64_t heard, unsigned int phase_ms, unsigned int max_ms)
{
	while (!losts && clock_ms - heard < max_ms) {
		clock_ms += STEP_MS;
		if (clock_ms % REPORT_MS == phase_ms) {
			struct st_activity a = {.flags = ST_ACT_ANY_RECEIVED,
				.selected_received_age_ms = (uint32_t)(clock_ms - heard)};

			a.flags |= sending ? ST_ACT_DATA_SENT : 0;
			ice_keep_activity(k, &a);
		}
		if (clock_ms >= k->entry.due && clock_ms % WHEEL_TICK_MS == 0)
			keep_tick(k, clock_ms);
	}
	return clock_ms - heard;
}

static void under_traffic_a_loss_is_known_within_two_seconds(void)
{
	for (unsigned int phase = 0; phase < REPORT_MS; phase += STEP_MS) {
		uint64_t heard, took;

		begin();
		heard = clock_ms;
		took = lost_after(true, heard, phase, 10000);
		CU_ASSERT_EQUAL(losts, 1);
		CU_ASSERT_TRUE(took <= 2000);
		CU_ASSERT_TRUE(took >= 1500); // a moment without an answer is no loss
		CU_ASSERT_TRUE(sent >= 4);
		end();
	}
}

static void without_traffic_it_takes_as_long_as_consent(void)
{
	uint64_t took;

	begin();
	took = lost_after(false, clock_ms, 0, 60000);
	CU_ASSERT_EQUAL(losts, 1);
	CU_ASSERT_TRUE(took >= 29000 && took <= 37000); // RFC 7675 5.1
	end();
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(under_traffic_a_loss_is_known_within_two_seconds),
		TEST(without_traffic_it_takes_as_long_as_consent),
		CU_TEST_INFO_NULL,
	};

	return run_tests("keep pace", tests);
}
