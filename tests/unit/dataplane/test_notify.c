// SPDX-License-Identifier: BSD-3-Clause
//
// notify.c: what a service manager hears on its socket, a path or an abstract name, and how often.
#include "../suite.h"
#include "notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int manager = -1;
static char path[96];

// Listens at name, as systemd does, and says so in the environment.
static void begin(const char *name)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	snprintf(path, sizeof(path), name, (int)getpid());
	memcpy(sa.sun_path, path, strlen(path));
	if (path[0] == '@')
		sa.sun_path[0] = '\0';
	manager = socket(AF_UNIX, SOCK_DGRAM, 0);
	CU_ASSERT_EQUAL_FATAL(
		bind(manager, (struct sockaddr *)&sa,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))),
		0);
	setenv("NOTIFY_SOCKET", path, 1);
}

static void end(void)
{
	close(manager);
	if (path[0] != '@')
		unlink(path);
	unsetenv("NOTIFY_SOCKET");
}

// "": nothing.
static const char *heard(void)
{
	static char text[128];
	ssize_t n = recv(manager, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void a_manager_hears_it(void)
{
	static const char *const names[] = {"/tmp/strait-test-notify-%d", "@strait-test-notify-%d"};

	for (int i = 0; i < 2; i++) {
		begin(names[i]);
		notify_send("READY=1");
		notify_send("STOPPING=1");
		CU_ASSERT_STRING_EQUAL(heard(), "READY=1");
		CU_ASSERT_STRING_EQUAL(heard(), "STOPPING=1");
		CU_ASSERT_STRING_EQUAL(heard(), "");
		end();
	}
}

static void without_a_manager_nothing_happens(void)
{
	char name[200];

	unsetenv("NOTIFY_SOCKET");
	notify_send("READY=1");
	setenv("NOTIFY_SOCKET", "", 1);
	notify_send("READY=1");
	setenv("NOTIFY_SOCKET", "/tmp/strait-test-nobody-listens", 1);
	notify_send("READY=1");
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	setenv("NOTIFY_SOCKET", name, 1); // longer than an address
	notify_send("READY=1");
	unsetenv("NOTIFY_SOCKET");
}

// A manager that does not read is not waited for.
static void a_full_socket_holds_nothing_up(void)
{
	begin("/tmp/strait-test-notify-%d");
	alarm(20);
	for (int i = 0; i < 2000; i++)
		notify_send("WATCHDOG=1");
	alarm(0);
	CU_ASSERT_STRING_EQUAL(heard(), "WATCHDOG=1");
	end();
}

// Of 1 s. The module reads the environment once.
static void it_is_told_twice_in_the_watchdogs_time(void)
{
	unsigned int n = 0;

	begin("/tmp/strait-test-notify-%d");
	setenv("WATCHDOG_USEC", "1000000", 1);
	for (uint64_t now = 5000; now < 15000; now += 4) {
		notify_alive(now);
		if (strcmp(heard(), "WATCHDOG=1") == 0) {
			CU_ASSERT_EQUAL(now, 5000 + 500 * (uint64_t)n);
			n++;
		}
	}
	CU_ASSERT_EQUAL(n, 20);
	end();
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"a manager hears it", a_manager_hears_it},
		{"without a manager nothing happens", without_a_manager_nothing_happens},
		{"a full socket holds nothing up", a_full_socket_holds_nothing_up},
		{"it is told twice in the watchdog's time", it_is_told_twice_in_the_watchdogs_time},
		CU_TEST_INFO_NULL,
	};

	return run_tests("notify", tests);
}
