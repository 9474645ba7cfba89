// SPDX-License-Identifier: BSD-3-Clause
//
// control/notify.c against a socket as a service manager has it.
#include "../../../control/notify.h"
#include "../suite.h"

#include <glib.h>

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char *dir, *path;

static int manager(const char *name)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t len = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(sa.sun_path, name, len);
	if (*name == '@')
		sa.sun_path[0] = 0;
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&sa,
				      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
		0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void check_told(int fd, const char *want)
{
	char text[128] = "";

	CU_ASSERT_EQUAL(recv(fd, text, sizeof(text) - 1, 0), (ssize_t)strlen(want));
	CU_ASSERT_STRING_EQUAL(text, want);
}

static void a_manager_is_told_by_path_and_by_abstract_name(void)
{
	g_autofree char *abstract = g_strdup_printf("@strait-test-%d", (int)getpid());
	int fd = manager(path);

	CU_ASSERT_EQUAL(notify_send("READY=1\nSTATUS=running"), 0);
	check_told(fd, "READY=1\nSTATUS=running");
	close(fd);
	unlink(path);
	fd = manager(abstract);
	CU_ASSERT_EQUAL(notify_send("STOPPING=1"), 0);
	check_told(fd, "STOPPING=1");
	close(fd);
}

static void without_a_manager_nothing_is_told(void)
{
	unsetenv("NOTIFY_SOCKET");
	CU_ASSERT_EQUAL(notify_send("READY=1"), 0);
	setenv("NOTIFY_SOCKET", "", 1);
	CU_ASSERT_EQUAL(notify_send("READY=1"), 0);
}

static void a_name_that_is_none_is_refused(void)
{
	g_autofree char *longest = g_strnfill(sizeof(((struct sockaddr_un *)NULL)->sun_path), '/');

	setenv("NOTIFY_SOCKET", "relative", 1);
	CU_ASSERT_EQUAL(notify_send("READY=1"), -EINVAL);
	setenv("NOTIFY_SOCKET", longest, 1);
	CU_ASSERT_EQUAL(notify_send("READY=1"), -EINVAL);
	setenv("NOTIFY_SOCKET", path, 1);
	CU_ASSERT_EQUAL(notify_send("READY=1"), -ENOENT);
}

static void a_manager_that_does_not_read_stops_nobody(void)
{
	int fd = manager(path), r = 0;

	for (int n = 0; n < 100000 && !r; n++)
		r = notify_send("WATCHDOG=1");
	CU_ASSERT_EQUAL(r, -EAGAIN);
	check_told(fd, "WATCHDOG=1");
	CU_ASSERT_EQUAL(notify_send("WATCHDOG=1"), 0);
	close(fd);
	unlink(path);
}

static void the_watchdog_says_how_long_we_may_be_silent(void)
{
	unsetenv("WATCHDOG_USEC");
	CU_ASSERT_EQUAL(notify_watchdog_ms(), 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	CU_ASSERT_EQUAL(notify_watchdog_ms(), 30000);
	setenv("WATCHDOG_USEC", "999", 1);
	CU_ASSERT_EQUAL(notify_watchdog_ms(), 0);
	setenv("WATCHDOG_USEC", "99999999999999999999", 1);
	CU_ASSERT_EQUAL(notify_watchdog_ms(), UINT_MAX);
	setenv("WATCHDOG_USEC", "soon", 1);
	CU_ASSERT_EQUAL(notify_watchdog_ms(), 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_manager_is_told_by_path_and_by_abstract_name),
		TEST(without_a_manager_nothing_is_told),
		TEST(a_name_that_is_none_is_refused),
		TEST(a_manager_that_does_not_read_stops_nobody),
		TEST(the_watchdog_says_how_long_we_may_be_silent),
		CU_TEST_INFO_NULL,
	};
	int ret;

	dir = g_dir_make_tmp("strait-notify-XXXXXX", NULL);
	if (!dir)
		return 99;
	path = g_build_filename(dir, "manager", NULL);
	ret = run_tests("notify", tests);
	rmdir(dir);
	g_free(path);
	g_free(dir);
	return ret;
}
