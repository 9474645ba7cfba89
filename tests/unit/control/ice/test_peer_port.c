// SPDX-License-Identifier: BSD-3-Clause
//
// Ports of single peers against a double of the data plane: what is mapped, and what happens when it is refused.
#include "../../../../control/addr.h"
#include "../../../../control/ice/ice_internal.h"
#include "../../../../control/ice/peer_port.h"
#include "../../suite.h"
#include "../dp_double.h"

#include <errno.h>

#define PEER 7

static struct dp *dp;
static struct ice *ice;
static unsigned int failures;
static char why_last[128];

static uint16_t env_port(void *arg)
{
	return 51820;
}

static void on_failed(const char *why, void *arg)
{
	failures++;
	g_strlcpy(why_last, why, sizeof(why_last));
}

static const struct ice_agent_ops agent_ops = {.failed = on_failed};

static void add_host(const char *text)
{
	struct st_addr a;

	addr_parse(&a, text);
	g_array_append_val(ice->hosts, a);
}

static void begin(void)
{
	struct ice_env env = {.name = "test", .port = env_port};

	failures = 0;
	dp = env.dp = dp_double_new();
	ice = ice_new(&env, "/nonexistent");
	g_array_set_size(ice->hosts, 0);
	add_host("192.0.2.7");
	add_host("2001:db8::7");
}

static void end(void)
{
	ice_free(ice);
	dp_double_free(dp);
}

static void settle(void)
{
	while (g_main_context_iteration(NULL, FALSE))
		;
}

static void a_peers_port_is_mapped_at_each_address_and_goes_with_it(void)
{
	struct ice_port *p;

	begin();
	p = ice_port_get(ice->ports, PEER);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	settle();
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PORTMAP), 2);
	CU_ASSERT_PTR_EQUAL(ice_port_find(ice->ports, ice_port_number(p)), p);
	CU_ASSERT_PTR_EQUAL(ice_port_get(ice->ports, PEER), p); // the same for the next attempt
	g_array_set_size(ice->hosts, 1);
	ice_ports_hosts_changed(ice->ports);
	settle();
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PORTMAP), 1);
	ice_peer_gone(ice, PEER);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PORTMAP), 0);
	CU_ASSERT_EQUAL(ice_ports_count(ice->ports), 0);
	end();
}

static void a_full_port_map_ends_the_attempt_and_is_asked_again(void)
{
	struct ice_attempt attempt = {.peer_id = PEER}, other = {.peer_id = PEER + 1};
	struct ice_agent *a, *b;

	begin();
	a = ice_agent_new(ice, &attempt, &agent_ops, NULL);
	b = ice_agent_new(ice, &other, &agent_ops, NULL);
	dp->set_status = -ENOSPC;
	CU_ASSERT_PTR_NOT_NULL_FATAL(ice_port_get(ice->ports, PEER));
	settle();
	CU_ASSERT_EQUAL(failures, 1); // once, and of this peer alone
	CU_ASSERT_PTR_NOT_NULL(strstr(why_last, "port map is full"));
	CU_ASSERT_EQUAL(ice->counters.ports_refused, 2);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PORTMAP), 0); // nothing is left to be wanted
	dp->set_status = 0;
	CU_ASSERT_PTR_NOT_NULL(ice_port_get(ice->ports, PEER));
	settle();
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PORTMAP), 2);
	CU_ASSERT_EQUAL(ice->counters.ports_refused, 2);
	ice_agent_free(a);
	ice_agent_free(b);
	settle();
	end();
}

static void without_a_data_plane_nothing_is_refused(void)
{
	struct ice_attempt attempt = {.peer_id = PEER};
	struct ice_agent *a;

	begin();
	a = ice_agent_new(ice, &attempt, &agent_ops, NULL);
	dp->connected = false;
	CU_ASSERT_PTR_NOT_NULL(ice_port_get(ice->ports, PEER));
	settle();
	CU_ASSERT_EQUAL(failures, 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PORTMAP), 2); // wanted, and sent when it is there
	ice_agent_free(a);
	settle();
	end();
}

static void answers_may_come_after_the_peer_and_after_all(void)
{
	begin();
	dp->hold = true;
	dp->set_status = -ENOSPC;
	CU_ASSERT_PTR_NOT_NULL(ice_port_get(ice->ports, PEER));
	CU_ASSERT_PTR_NOT_NULL(ice_port_get(ice->ports, PEER + 1));
	ice_peer_gone(ice, PEER);
	ice_free(ice);
	dp_double_release(dp);
	settle();
	dp_double_free(dp);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_peers_port_is_mapped_at_each_address_and_goes_with_it),
		TEST(a_full_port_map_ends_the_attempt_and_is_asked_again),
		TEST(without_a_data_plane_nothing_is_refused),
		TEST(answers_may_come_after_the_peer_and_after_all),
		CU_TEST_INFO_NULL,
	};

	return run_tests("peer port", tests);
}
