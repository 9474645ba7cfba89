// SPDX-License-Identifier: BSD-3-Clause
//
// Streams to a TURN server, against a listener on loopback that does what the test says.
#include "../../../../control/addr.h"
#include "../../../../control/ice/turn_socket.h"
#include "../../suite.h"

#include <glib.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS 10000

static uint8_t got[64][256];
static size_t got_len[64];
static unsigned int got_n, closed_n;
static struct turn_socket *socket_under_test;
static bool free_at_first;

static void on_received(const uint8_t *data, size_t len, void *arg)
{
	CU_ASSERT_TRUE_FATAL(got_n < 64 && len <= sizeof(got[0]));
	memcpy(got[got_n], data, len);
	got_len[got_n++] = len;
	if (free_at_first)
		turn_socket_free(g_steal_pointer(&socket_under_test));
}

static void on_closed(const char *why, void *arg)
{
	CU_ASSERT_TRUE(strlen(why) > 0);
	closed_n++;
}

static const struct turn_socket_ops ops = {on_received, on_closed};

static void run_for(unsigned int ms)
{
	int64_t end = g_get_monotonic_time() + ms * 1000;

	while (g_get_monotonic_time() < end) {
		if (!g_main_context_iteration(NULL, FALSE))
			g_usleep(1000);
	}
}

// ---- the server ----------------------------------------------------------------------------------------

static int listener, peer;
static uint16_t port_be;

// A port that refuses until it listens.
static void server_bind(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);

	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	CU_ASSERT_EQUAL_FATAL(bind(listener, (struct sockaddr *)&sin, sizeof(sin)), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(listener, (struct sockaddr *)&sin, &len), 0);
	port_be = sin.sin_port;
	peer = -1;
}

static bool server_accepts(void)
{
	for (int n = 0; n < WAIT_MS && peer < 0; n++) {
		run_for(1);
		peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	}
	return peer >= 0;
}

static bool server_hears(const void *wanted, size_t len)
{
	uint8_t buf[256];
	size_t have = 0;

	for (int n = 0; n < WAIT_MS && have < len; n++) {
		ssize_t r = recv(peer, buf + have, sizeof(buf) - have, 0);

		have += r > 0 ? (size_t)r : 0;
		run_for(1);
	}
	return have == len && !memcmp(buf, wanted, len);
}

static void server_says(const void *data, size_t len)
{
	CU_ASSERT_EQUAL(send(peer, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

static bool arrives(unsigned int n)
{
	for (int k = 0; k < WAIT_MS && got_n < n; k++)
		run_for(1);
	return got_n == n;
}

static bool closes(void)
{
	for (int k = 0; k < WAIT_MS && !closed_n; k++)
		run_for(1);
	return closed_n == 1;
}

static void begin(bool listening)
{
	struct turn_socket_params p = {.transport = ICE_TCP};

	got_n = closed_n = 0;
	free_at_first = false;
	server_bind();
	if (listening)
		CU_ASSERT_EQUAL_FATAL(listen(listener, 4), 0);
	addr_parse(&p.server, "127.0.0.1");
	p.server_port_be = port_be;
	socket_under_test = turn_socket_new(&p, &ops, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(socket_under_test);
}

static void end(void)
{
	turn_socket_free(g_steal_pointer(&socket_under_test));
	run_for(20); // what is cancelled ends
	if (peer >= 0)
		close(peer);
	close(listener);
}

// ---- tests ---------------------------------------------------------------------------------------------

static const uint8_t channel_data[] = {0x40, 0, 0, 3, 'a', 'b', 'c'};
static const uint8_t padded[] = {0x40, 0, 0, 3, 'a', 'b', 'c', 0};
static const uint8_t binding[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};

static void what_was_said_before_the_stream_was_there_is_sent_with_padding(void)
{
	begin(true);
	CU_ASSERT_EQUAL(turn_socket_send(socket_under_test, channel_data, sizeof(channel_data)), 0);
	CU_ASSERT_TRUE_FATAL(server_accepts());
	CU_ASSERT_TRUE(server_hears(padded, sizeof(padded)));
	end();
}

// As when it is being started again.
static void a_server_that_refuses_at_first_is_tried_again(void)
{
	begin(false);
	CU_ASSERT_EQUAL(turn_socket_send(socket_under_test, binding, sizeof(binding)), 0);
	run_for(600); // two tries at least
	CU_ASSERT_EQUAL(closed_n, 0);
	CU_ASSERT_EQUAL_FATAL(listen(listener, 4), 0);
	CU_ASSERT_TRUE_FATAL(server_accepts());
	CU_ASSERT_TRUE(server_hears(binding, sizeof(binding)));
	end();
}

static void a_socket_may_end_between_two_tries(void)
{
	begin(false);
	run_for(100);
	turn_socket_free(g_steal_pointer(&socket_under_test));
	CU_ASSERT_EQUAL_FATAL(listen(listener, 4), 0);
	run_for(600);
	CU_ASSERT_TRUE(accept4(listener, NULL, NULL, SOCK_CLOEXEC) < 0);
	CU_ASSERT_EQUAL(closed_n, 0);
	end();
}

static void messages_are_cut_wherever_the_stream_was(void)
{
	uint8_t both[sizeof(padded) + sizeof(binding)];

	memcpy(both, padded, sizeof(padded));
	memcpy(both + sizeof(padded), binding, sizeof(binding));
	for (size_t cut = 1; cut < sizeof(both); cut++) {
		begin(true);
		CU_ASSERT_TRUE_FATAL(server_accepts());
		server_says(both, cut);
		run_for(5);
		server_says(both + cut, sizeof(both) - cut);
		CU_ASSERT_TRUE_FATAL(arrives(2));
		CU_ASSERT_EQUAL(got_len[0], sizeof(channel_data));
		CU_ASSERT_EQUAL(memcmp(got[0], channel_data, sizeof(channel_data)), 0);
		CU_ASSERT_EQUAL(got_len[1], sizeof(binding));
		CU_ASSERT_EQUAL(memcmp(got[1], binding, sizeof(binding)), 0);
		end();
	}
}

static void a_stream_that_is_no_turn_is_closed(void)
{
	static const char http[] = "\x80HTTP/1.1 200 OK\r\n";

	begin(true);
	CU_ASSERT_TRUE_FATAL(server_accepts());
	server_says(http, sizeof(http) - 1);
	CU_ASSERT_TRUE(closes());
	CU_ASSERT_EQUAL(got_n, 0);
	end();
}

// It is not tried again: the allocation was of that stream.
static void a_stream_that_the_server_closes_is_told_once(void)
{
	begin(true);
	CU_ASSERT_TRUE_FATAL(server_accepts());
	run_for(20);
	close(peer);
	peer = -1;
	CU_ASSERT_TRUE(closes());
	run_for(600);
	CU_ASSERT_EQUAL(closed_n, 1);
	CU_ASSERT_TRUE(accept4(listener, NULL, NULL, SOCK_CLOEXEC) < 0);
	end();
}

static void a_socket_may_end_in_what_it_brings(void)
{
	begin(true);
	CU_ASSERT_TRUE_FATAL(server_accepts());
	free_at_first = true;
	server_says(padded, sizeof(padded));
	server_says(padded, sizeof(padded));
	CU_ASSERT_TRUE(arrives(1));
	run_for(20);
	CU_ASSERT_EQUAL(got_n, 1);
	end();
}

static void what_waits_for_a_stream_is_bounded(void)
{
	uint8_t big[1400] = {0x40, 0, (sizeof(big) - 4) >> 8, (sizeof(big) - 4) & 0xff};
	unsigned int n = 0;

	begin(false);
	while (n < 1000 && !turn_socket_send(socket_under_test, big, sizeof(big)))
		n++;
	CU_ASSERT_EQUAL(turn_socket_send(socket_under_test, big, sizeof(big)), -ENOBUFS);
	CU_ASSERT_TRUE(n > 10 && n < 100);
	end();
}

// Whom lcores and the kernel's routes ask: the end of the stream, once there is one.
static void the_local_end_of_a_stream_is_known_when_it_is_there(void)
{
	struct st_addr local, loopback;
	uint16_t local_port_be;

	addr_parse(&loopback, "127.0.0.1");
	begin(true);
	CU_ASSERT_FALSE(turn_socket_local(socket_under_test, &local, &local_port_be));
	CU_ASSERT_TRUE_FATAL(server_accepts());
	run_for(20);
	CU_ASSERT_TRUE_FATAL(turn_socket_local(socket_under_test, &local, &local_port_be));
	CU_ASSERT_EQUAL(memcmp(&local, &loopback, sizeof(local)), 0);
	CU_ASSERT_TRUE(local_port_be != 0 && local_port_be != port_be);
	CU_ASSERT_EQUAL(turn_socket_fd(socket_under_test), -1); // there is nothing to park
	end();
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(what_was_said_before_the_stream_was_there_is_sent_with_padding),
		TEST(a_server_that_refuses_at_first_is_tried_again),
		TEST(a_socket_may_end_between_two_tries),
		TEST(messages_are_cut_wherever_the_stream_was),
		TEST(a_stream_that_is_no_turn_is_closed),
		TEST(a_stream_that_the_server_closes_is_told_once),
		TEST(a_socket_may_end_in_what_it_brings),
		TEST(what_waits_for_a_stream_is_bounded),
		TEST(the_local_end_of_a_stream_is_known_when_it_is_there),
		CU_TEST_INFO_NULL,
	};

	return run_tests("turn socket", tests);
}
