// SPDX-License-Identifier: BSD-3-Clause
//
// control/dp/ports.c: when a port is tried again, and when no more.
#include "../../../../control/config/config.h"
#include "../../../../control/dp/ports.h"
#include "../../suite.h"
#include "../dp_double.h"

#include <errno.h>

static struct dp *dp;
static struct ports *ports;
static struct config *config;

static void settle(void)
{
	while (g_main_context_iteration(NULL, FALSE))
		;
}

static void apply(const char *devargs)
{
	struct config *old = config;
	char *error = NULL,
	     *text = g_strdup_printf(
		     "{\"ports\": [{\"name\": \"wan0\", \"driver\": \"devargs\", \"devargs\": "
		     "\"%s\"}]}",
		     devargs);

	config = config_parse("test.json", text, &error);
	if (!config)
		g_error("config: %s", error);
	CU_ASSERT_EQUAL_FATAL(ports_apply(ports, config, &error), 0);
	config_free(old);
	g_free(text);
}

static void begin(void)
{
	dp = dp_double_new();
	config = NULL;
	ports = ports_new(dp, NULL);
}

static void end(void)
{
	ports_free(ports);
	config_free(config);
	dp_double_free(dp);
}

// Whether anything waits for a time to come.
static bool a_timer_runs(void)
{
	GMainContext *loop = g_main_context_default();
	gint priority = 0, timeout = -1, n;
	GPollFD fds[16];

	CU_ASSERT_TRUE_FATAL(g_main_context_acquire(loop));
	g_main_context_prepare(loop, &priority);
	n = g_main_context_query(loop, G_MAXINT, &timeout, fds, G_N_ELEMENTS(fds));
	g_main_context_check(loop, priority, fds, MIN(n, (gint)G_N_ELEMENTS(fds)));
	g_main_context_release(loop);
	return timeout >= 0;
}

static unsigned int times_set(void)
{
	const struct dp_double_object *o = dp_double_find(dp, ST_PORT, 1);

	return o ? o->sets : 0;
}

static void a_port_that_cannot_be_opened_is_tried_again(void)
{
	begin();
	dp->set_status = -ENODEV;
	apply("net_tap0");
	settle();
	CU_ASSERT_EQUAL(times_set(), 1);
	CU_ASSERT_TRUE(a_timer_runs());
	end();
	CU_ASSERT_FALSE(a_timer_runs());
}

// Its retry would close it, with all that goes through it.
static void a_port_that_was_opened_meanwhile_is_left_alone(void)
{
	begin();
	dp->set_status = -ENODEV;
	apply("net_tap0");
	settle();
	CU_ASSERT_TRUE(a_timer_runs());
	dp->set_status = 0;
	apply("net_tap1");
	settle();
	CU_ASSERT_EQUAL(times_set(), 1); // taken away, and set as it is now
	CU_ASSERT_FALSE(a_timer_runs());
	ports_failed(ports, 1);
	CU_ASSERT_TRUE(a_timer_runs());
	ports_synced(ports);
	settle();
	CU_ASSERT_EQUAL(times_set(), 2);
	CU_ASSERT_FALSE(a_timer_runs());
	end();
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_port_that_cannot_be_opened_is_tried_again),
		TEST(a_port_that_was_opened_meanwhile_is_left_alone),
		CU_TEST_INFO_NULL,
	};

	return run_tests("ports", tests);
}
