// SPDX-License-Identifier: BSD-3-Clause
//
// control/dp/dp.c against strait-dp itself: what is wanted is there, also after kill -9. STRAIT_DP comes from
// the build. No port, no hugepage, no privilege is needed; where strait-dp does not start the test skips.
#include "../../../../control/dp/dp.h"
#include "../../suite.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUTES  100000
#define LIMIT_S 60
#define SKIP    77

static char *dir;
static pid_t pid;
static struct dp *dp;
static unsigned int nb_synced, nb_new_instance, nb_gone, nb_dumped, nb_done;
static int last_status;

static void on_connected(const struct st_hello *hello, bool new_instance, void *arg)
{
	nb_new_instance += new_instance;
}

static void on_item(const struct dp_item *item, void *arg)
{
	if (item->fd >= 0)
		close(item->fd);
}

static void on_nothing(void *arg)
{
}

static void on_synced(void *arg)
{
	nb_synced++;
}

static void on_disconnected(void *arg)
{
	nb_gone++;
}

static void on_event(uint16_t event, const void *body, uint16_t body_len, const void *blob,
	uint16_t blob_len, void *arg)
{
}

static const struct dp_ops ops = {
	.connected = on_connected,
	.item = on_item,
	.recovered = on_nothing,
	.synced = on_synced,
	.disconnected = on_disconnected,
	.event = on_event,
};

static void on_done(int status, void *arg)
{
	last_status = status;
	nb_done++;
}

static void on_dumped(const void *body, uint16_t len, void *arg)
{
	nb_dumped++;
}

static int on_timeout(void *arg)
{
	*(bool *)arg = true;
	return G_SOURCE_REMOVE;
}

static bool wait_for(const unsigned int *count, unsigned int at_least)
{
	bool over = false;
	unsigned int timer = g_timeout_add_seconds(LIMIT_S, on_timeout, &over);

	while (*count < at_least && !over)
		g_main_context_iteration(NULL, TRUE);
	if (!over)
		g_source_remove(timer);
	return *count >= at_least;
}

static bool start_data_plane(void)
{
	char *prefix = g_strdup_printf("strait-test-%d", (int)getpid());
	char *path = g_build_filename(dir, ST_SOCKET_NAME, NULL);
	bool ok = false;

	pid = fork();
	if (!pid) {
		if (!freopen("/dev/null", "w", stdout))
			_exit(1);
		execl(STRAIT_DP, STRAIT_DP, "--run-dir", dir, "--lcores", "0", "--hugepages", "no",
			"--memory", "256", "--file-prefix", prefix, "--log-level", "warning", NULL);
		_exit(127);
	}
	for (int i = 0; i < LIMIT_S * 20 && !ok; i++) {
		ok = !access(path, F_OK);
		if (waitpid(pid, NULL, WNOHANG) == pid)
			break;
		if (!ok)
			g_usleep(50000);
	}
	g_free(prefix);
	g_free(path);
	return ok;
}

static void kill_data_plane(void)
{
	char *path = g_build_filename(dir, ST_SOCKET_NAME, NULL);

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(path);
	g_free(path);
}

static struct st_route blackhole(uint32_t n)
{
	struct st_route r;

	memset(&r, 0, sizeof(r));
	r.key.table = 254;
	r.key.dst.addr.b[10] = r.key.dst.addr.b[11] = 0xff;
	r.key.dst.addr.b[12] = 10;
	r.key.dst.addr.b[13] = (uint8_t)(n >> 16);
	r.key.dst.addr.b[14] = (uint8_t)(n >> 8);
	r.key.dst.addr.b[15] = (uint8_t)n;
	r.key.dst.plen = 128;
	r.action = ST_ROUTE_BLACKHOLE;
	return r;
}

static unsigned int count_routes(void)
{
	nb_dumped = nb_done = 0;
	dp_dump(dp, ST_ROUTE, on_dumped, on_done, NULL);
	CU_ASSERT(wait_for(&nb_done, 1));
	CU_ASSERT_EQUAL(last_status, 0);
	return nb_dumped;
}

static void a_full_table_goes_in_by_sync(void)
{
	for (uint32_t i = 0; i < ROUTES; i++) {
		struct st_route r = blackhole(i);

		dp_set(dp, ST_ROUTE, &r, sizeof(r), NULL, 0, NULL, NULL);
	}
	dp_start(dp);
	CU_ASSERT(wait_for(&nb_synced, 1));
	CU_ASSERT_EQUAL(count_routes(), ROUTES);
}

// The numbers of the contract, and none beyond them.
static void every_kind_that_can_be_dumped_is(void)
{
	static const uint16_t ends[][2] = {{ST_PORT, ST_SOCKET}, {ST_TURN_USER, ST_TURN_DENY_PORTS},
		{ST_STAT_PEER, ST_STAT_STALL}};

	for (unsigned int i = 0; i < G_N_ELEMENTS(ends); i++)
		for (uint16_t kind = ends[i][0]; kind <= ends[i][1]; kind++) {
			nb_done = 0;
			dp_dump(dp, kind, on_dumped, on_done, NULL);
			CU_ASSERT(wait_for(&nb_done, 1));
			CU_ASSERT_EQUAL(last_status, 0);
		}
	nb_done = 0;
	dp_dump(dp, ST_STAT_STALL + 1, on_dumped, on_done, NULL);
	CU_ASSERT(wait_for(&nb_done, 1));
	CU_ASSERT_EQUAL(last_status, -ENOTSUP);
}

static void changes_go_in_one_by_one(void)
{
	struct st_route r;

	for (uint32_t i = 0; i < 1000; i++) {
		r = blackhole(i);
		dp_del(dp, ST_ROUTE, &r.key, sizeof(r.key));
	}
	r = blackhole(ROUTES);
	nb_done = 0;
	dp_set(dp, ST_ROUTE, &r, sizeof(r), NULL, 0, on_done, NULL);
	CU_ASSERT(wait_for(&nb_done, 1));
	CU_ASSERT_EQUAL(last_status, 0);
	CU_ASSERT_EQUAL(count_routes(), ROUTES - 999);
}

static void after_a_kill_the_new_one_gets_all_of_it(void)
{
	kill_data_plane();
	CU_ASSERT(wait_for(&nb_gone, 1));
	CU_ASSERT_FATAL(start_data_plane());
	CU_ASSERT(wait_for(&nb_synced, 2));
	CU_ASSERT_EQUAL(nb_new_instance, 1);
	CU_ASSERT_EQUAL(count_routes(), ROUTES - 999);
}

static void a_second_process_of_ours_sweeps_what_it_does_not_want(void)
{
	struct st_route r = blackhole(5000);

	dp_free(dp);
	nb_synced = 0;
	dp = NULL;
	char *path = g_build_filename(dir, ST_SOCKET_NAME, NULL);
	dp = dp_new(path, &ops, NULL);
	g_free(path);
	dp_set(dp, ST_ROUTE, &r, sizeof(r), NULL, 0, NULL, NULL);
	dp_start(dp);
	CU_ASSERT(wait_for(&nb_synced, 1));
	CU_ASSERT_EQUAL(count_routes(), 1);
}

static void an_object_that_refers_to_nothing_is_refused_by_name(void)
{
	struct st_endpoint e;

	memset(&e, 0, sizeof(e));
	e.key.peer_id = 7;
	e.kind = ST_ENDPOINT_DIRECT;
	nb_done = 0;
	dp_set(dp, ST_ENDPOINT, &e, sizeof(e), NULL, 0, on_done, NULL);
	CU_ASSERT(wait_for(&nb_done, 1));
	CU_ASSERT(last_status < 0);
	CU_ASSERT(dp_connected(dp));
	dp_del(dp, ST_ENDPOINT, &e.key, sizeof(e.key));
}

static GLogWriterOutput quiet(GLogLevelFlags l, const GLogField *f, gsize n, gpointer arg)
{
	return G_LOG_WRITER_HANDLED;
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"a_full_table_goes_in_by_sync", a_full_table_goes_in_by_sync},
		{"every_kind_that_can_be_dumped_is", every_kind_that_can_be_dumped_is},
		{"changes_go_in_one_by_one", changes_go_in_one_by_one},
		{"after_a_kill_the_new_one_gets_all_of_it", after_a_kill_the_new_one_gets_all_of_it},
		{"a_second_process_of_ours_sweeps_what_it_does_not_want",
			a_second_process_of_ours_sweeps_what_it_does_not_want},
		{"an_object_that_refers_to_nothing_is_refused_by_name",
			an_object_that_refers_to_nothing_is_refused_by_name},
		CU_TEST_INFO_NULL,
	};
	int ret;
	char *path;

	g_log_set_writer_func(quiet, NULL, NULL);
	dir = g_dir_make_tmp("strait-test-XXXXXX", NULL);
	path = g_build_filename(dir, ST_SOCKET_NAME, NULL);
	if (!start_data_plane()) {
		puts("strait-dp does not start here, nothing was tested");
		return SKIP;
	}
	dp = dp_new(path, &ops, NULL);
	if (!dp)
		return 1;
	ret = run_tests("dp with strait-dp", tests);
	dp_free(dp);
	kill_data_plane();
	rmdir(dir);
	g_free(path);
	return ret;
}
