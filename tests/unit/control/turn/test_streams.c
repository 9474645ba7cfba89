// SPDX-License-Identifier: BSD-3-Clause
//
// TCP clients of the TURN server, over loopback: what is left when one is gone in the middle of something.
#include "../descriptors.h"
#include "server_rig.h"

#define LISTEN 34781
#define PEER   "198.51.100.7"

static void up_with(const char *limits)
{
	char *text = g_strdup_printf("\"listen\": [{\"address\": \"127.0.0.1\", \"port\": %d, "
				     "\"transports\": [\"tcp\"]}], \"limits\": {%s}, %s",
		LISTEN, limits, usual);

	begin_server(parse_config(text));
	g_free(text);
}

static void up(void)
{
	up_with("");
}

static int dial(struct client *c)
{
	struct sockaddr_in to = on_loopback(LISTEN);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	client_init(c, "127.0.0.1", 1);
	CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

// Sends the request and waits for the answer; its code.
static int exchange(struct client *c, int fd)
{
	size_t len = stun_end(&c->o, NULL, 0, false);
	ssize_t n = -1;

	CU_ASSERT_EQUAL_FATAL(send(fd, c->o.data, len, MSG_NOSIGNAL), (ssize_t)len);
	for (int i = 0; i < 10000 && n < 0; i++) {
		settle();
		n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
		if (n < 0)
			usleep(1000);
	}
	CU_ASSERT_TRUE_FATAL(n > 0);
	CU_ASSERT_EQUAL_FATAL(stun_parse_strict(&c->m, answer, (size_t)n), 0);
	keep_nonce(c);
	return code_of(&c->m);
}

static void permit_by(struct client *c, int fd, const char *to)
{
	struct st_addr peer;

	addr_parse(&peer, to);
	stun_add_address(request(c, STUN_CREATE_PERMISSION), STUN_ATTR_XOR_PEER_ADDRESS, &peer, 0);
	sign(c);
	CU_ASSERT_EQUAL_FATAL(exchange(c, fd), 0);
}

static void allocate_by(struct client *c, int fd)
{
	for (int code = 401; code;) {
		stun_add_u32(request(c, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
		if (c->nonce[0])
			sign(c);
		code = exchange(c, fd);
		CU_ASSERT_TRUE_FATAL(code == 0 || (code == 401 && c->nonce[0]));
	}
	CU_ASSERT_EQUAL_FATAL(relayed_port(c, 0) >= 50000, true);
	c->tuple.server_port_be = htons(relayed_port(c, 0));
	permit_by(c, fd, PEER);
}

static void send_to(struct client *c, int fd, const char *to, uint16_t port, size_t len)
{
	uint64_t dropped = turn->core.stats.kernel_dropped,
		 sent = turn->core.stats.stream_packets[ST_TURN_TO_PEER];
	static const uint8_t data[1024];
	struct st_addr peer;
	size_t n;

	addr_parse(&peer, to);
	stun_begin(&c->o, c->buf, sizeof(c->buf), STUN_SEND | STUN_INDICATION, NULL);
	stun_add_address(&c->o, STUN_ATTR_XOR_PEER_ADDRESS, &peer, htons(port));
	stun_add(&c->o, STUN_ATTR_DATA, data, len);
	n = stun_end(&c->o, NULL, 0, false);
	CU_ASSERT_EQUAL_FATAL(send(fd, c->o.data, n, MSG_NOSIGNAL), (ssize_t)n);
	for (int i = 0; i < 10000 && dropped == turn->core.stats.kernel_dropped &&
			sent == turn->core.stats.stream_packets[ST_TURN_TO_PEER];
		i++) {
		settle();
		usleep(1000);
	}
}

// As an RST; the server has not been told yet when this returns.
static void reset(int fd)
{
	const struct linger now = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static bool data_from_peer(const struct client *c, uint16_t len)
{
	static const uint8_t data[1024];
	struct st_packet_io io = {
		.local_port_be = htons(9), .remote_port_be = c->tuple.server_port_be};

	addr_parse(&io.local, PEER);
	addr_parse(&io.remote, "192.0.2.1");
	return turn_dp_packet_in(turn, &io, data, len);
}

static void data_for_a_client_that_is_gone_ends_its_session(void)
{
	struct client c;
	uint8_t got[64];
	int fd;

	up();
	fd = dial(&c);
	allocate_by(&c, fd);
	CU_ASSERT_EQUAL(turn_core_allocations(&turn->core), 1);
	CU_ASSERT_TRUE(data_from_peer(&c, 4));
	CU_ASSERT_EQUAL(recv(fd, got, sizeof(got), 0), 40); // a Data indication
	reset(fd);
	for (int i = 0; i < 4; i++)
		CU_ASSERT_TRUE(data_from_peer(&c, 4));
	CU_ASSERT_EQUAL(turn->core.stats.stream_packets[ST_TURN_TO_CLIENT] < 5, true);
	settle();
	CU_ASSERT_EQUAL(turn_core_allocations(&turn->core), 0);
	CU_ASSERT_EQUAL(turn_streams_count(turn->streams), 0);
	CU_ASSERT_FALSE(data_from_peer(&c, 4));
	end_server();
}

static void an_answer_to_a_client_that_is_gone_ends_its_session(void)
{
	struct client c;
	int fd;

	up();
	fd = dial(&c);
	allocate_by(&c, fd);
	// Refreshes that the server reads together; the answer to the first meets the reset.
	for (int i = 0; i < 3; i++) {
		size_t len;

		stun_add_u32(request(&c, STUN_REFRESH), STUN_ATTR_LIFETIME, 600);
		sign(&c);
		len = stun_end(&c.o, NULL, 0, false);
		CU_ASSERT_EQUAL(send(fd, c.o.data, len, MSG_NOSIGNAL), (ssize_t)len);
	}
	shutdown(fd, SHUT_RDWR);
	reset(fd);
	for (int i = 0; i < 1000 && turn_core_allocations(&turn->core); i++) {
		settle();
		usleep(1000);
	}
	CU_ASSERT_EQUAL(turn_core_allocations(&turn->core), 0);
	CU_ASSERT_EQUAL(turn_streams_count(turn->streams), 0);
	end_server();
}

// Sends part of a message and waits until it was read.
static void say(int fd, const void *data, size_t len)
{
	CU_ASSERT_EQUAL_FATAL(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
	for (int i = 0; i < 20; i++) {
		settle();
		usleep(1000);
	}
}

static void without_an_allocation_a_connection_ends_whatever_it_says(void)
{
	static const uint8_t start[] = {0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42};
	struct client c, mute;
	int fd, other;

	up();
	other = dial(&mute);
	allocate_by(&mute, other);
	fd = dial(&c);
	wait_connections(2);
	for (size_t i = 0; i < 3; i++) {
		say(fd, start + i, 1);
		CU_ASSERT_EQUAL(turn_streams_count(turn->streams), 2);
		pass(i < 2 ? 7 : 17);
	}
	CU_ASSERT_EQUAL(turn_streams_count(turn->streams), 1);
	pass(120);
	CU_ASSERT_EQUAL(turn_streams_count(turn->streams), 1); // it has one, and need not say a word
	stun_add_u32(request(&mute, STUN_REFRESH), STUN_ATTR_LIFETIME, 0);
	sign(&mute);
	CU_ASSERT_EQUAL(exchange(&mute, other), 0);
	pass(20);
	CU_ASSERT_EQUAL(turn_streams_count(turn->streams), 1);
	pass(11);
	CU_ASSERT_EQUAL(turn_streams_count(turn->streams), 0);
	end_server();
	close(fd);
	close(other);
}

static void who_has_no_allocation_has_no_long_messages(void)
{
	static const uint8_t head[] = {0x40, 0, 0xff, 0xff}, stun_head[] = {0, 1, 0x20, 0};
	struct client c[3];
	int fd[3];

	up();
	for (int i = 0; i < 3; i++)
		fd[i] = dial(&c[i]);
	wait_connections(3);
	allocate_by(&c[2], fd[2]);
	say(fd[0], head, sizeof(head));
	wait_connections(2);
	say(fd[1], stun_head, sizeof(stun_head));
	wait_connections(1);
	say(fd[2], head, sizeof(head));
	CU_ASSERT_EQUAL(turn_streams_count(turn->streams), 1);
	end_server();
	for (int i = 0; i < 3; i++)
		close(fd[i]);
}

// In pieces as a network makes them, and many at once.
static void messages_are_put_together(void)
{
	struct client c;
	size_t len;
	int fd;

	up();
	fd = dial(&c);
	allocate_by(&c, fd);
	stun_add_u32(request(&c, STUN_REFRESH), STUN_ATTR_LIFETIME, 600);
	sign(&c);
	len = stun_end(&c.o, NULL, 0, false);
	for (size_t at = 0; at < len; at += 7)
		say(fd, c.o.data + at, MIN(7, len - at));
	for (int i = 0; i < 300; i++)
		CU_ASSERT_EQUAL(send(fd, c.o.data, len, MSG_NOSIGNAL), (ssize_t)len);
	for (int i = 0; i < 10000 && turn->core.stats.successes[STUN_REFRESH] < 301; i++) {
		settle();
		usleep(1000);
	}
	CU_ASSERT_EQUAL(turn->core.stats.successes[STUN_REFRESH], 301);
	end_server();
	close(fd);
}

static void expect_sent(uint64_t packets, uint64_t bytes, uint64_t dropped)
{
	CU_ASSERT_EQUAL(turn->core.stats.stream_packets[ST_TURN_TO_PEER], packets);
	CU_ASSERT_EQUAL(turn->core.stats.stream_bytes[ST_TURN_TO_PEER], bytes);
	CU_ASSERT_EQUAL(turn->core.stats.kernel_dropped, dropped);
}

// The relayed address is none of this machine, so its kernel takes no datagram from it.
static void what_the_kernel_refuses_is_dropped_and_not_counted(void)
{
	struct client c;
	int fd;

	up();
	fd = dial(&c);
	allocate_by(&c, fd);
	send_to(&c, fd, PEER, 9, 100);
	expect_sent(0, 0, 1);
	end_server();
	close(fd);
}

static void dial_pair(struct client c[2], int fd[2])
{
	for (int i = 0; i < 2; i++) {
		fd[i] = dial(&c[i]);
		allocate_by(&c[i], fd[i]);
		permit_by(&c[i], fd[i], "192.0.2.1");
	}
}

// To a relayed address of the lcores.
static void send_inside(struct client *c, int fd, size_t len)
{
	struct st_addr addr;
	uint16_t port = 50000;

	addr_parse(&addr, "192.0.2.1");
	while (turn_allocation_by_relayed(&turn->core, &addr, htons(port)))
		port++;
	send_to(c, fd, "192.0.2.1", port, len);
}

static void streams_are_held_to_the_rate_of_their_allocation(void)
{
	struct client c[2];
	int fd[2];

	up_with("\"allocation_bytes_per_s\": 1, \"allocation_burst_bytes\": 150");
	dial_pair(c, fd);
	send_inside(&c[0], fd[0], 100);
	expect_sent(1, 100, 0);
	send_inside(&c[0], fd[0], 100);
	expect_sent(1, 100, 1);
	// Both ways draw from one.
	CU_ASSERT_TRUE(data_from_peer(&c[0], 40));
	CU_ASSERT_EQUAL(turn->core.stats.stream_bytes[ST_TURN_TO_CLIENT], 40);
	CU_ASSERT_TRUE(data_from_peer(&c[0], 40));
	CU_ASSERT_EQUAL(turn->core.stats.stream_bytes[ST_TURN_TO_CLIENT], 40);
	expect_sent(1, 100, 2);
	send_inside(&c[1], fd[1], 150);
	expect_sent(2, 250, 2);
	CU_ASSERT_EQUAL(dp->packets_out, 2);
	end_server();
	close(fd[0]);
	close(fd[1]);
}

static void streams_of_a_user_share_a_rate(void)
{
	struct client c[2];
	int fd[2];

	up_with("\"user_bytes_per_s\": 1, \"user_burst_bytes\": 150");
	dial_pair(c, fd);
	send_inside(&c[0], fd[0], 100);
	expect_sent(1, 100, 0);
	send_inside(&c[1], fd[1], 100);
	expect_sent(1, 100, 1);
	end_server();
	close(fd[0]);
	close(fd[1]);
}

static void sessions_of_streams_end_with_the_server(void)
{
	struct client c;
	int fd;

	up();
	fd = dial(&c);
	allocate_by(&c, fd);
	end_server();
	close(fd);
}

// What waits for the data plane is forgotten with the configuration that it was asked under.
static void a_reload_without_turn_answers_nobody(void)
{
	struct client c;
	char *error = NULL;
	size_t len;
	int fd;

	up();
	fd = dial(&c);
	stun_add_u32(request(&c, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
	CU_ASSERT_EQUAL(exchange(&c, fd), 401);
	dp->hold = true;
	stun_add_u32(request(&c, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
	sign(&c);
	len = stun_end(&c.o, NULL, 0, false);
	CU_ASSERT_EQUAL(send(fd, c.o.data, len, MSG_NOSIGNAL), (ssize_t)len);
	for (int i = 0; i < 10000 && !dp->held->len; i++) {
		settle();
		usleep(1000);
	}
	CU_ASSERT_TRUE_FATAL(dp->held->len);
	apply_config(config_parse("test.json", "{}", &error));
	dp_double_release(dp);
	settle();
	CU_ASSERT_EQUAL(turn_core_allocations(&turn->core), 0);
	CU_ASSERT_EQUAL(turn_streams_count(turn->streams), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_RELAY), 0);
	CU_ASSERT_TRUE(!turn->core.config && !turn->core.policy.config && !turn->core.auth.config);
	end_server();
	close(fd);
}

static void without_a_descriptor_left_clients_wait_and_the_main_loop_rests(void)
{
	struct client c;
	int fd;

	up();
	fd = dial(&c);
	descriptors_use_up();
	CU_ASSERT_TRUE(main_loop_rests());
	CU_ASSERT_EQUAL(turn_streams_count(turn->streams), 0);
	descriptors_give_back();
	stun_add_u32(request(&c, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
	CU_ASSERT_EQUAL(exchange(&c, fd), 401);
	close(fd);
	end_server();
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(data_for_a_client_that_is_gone_ends_its_session),
		TEST(an_answer_to_a_client_that_is_gone_ends_its_session),
		TEST(without_an_allocation_a_connection_ends_whatever_it_says),
		TEST(who_has_no_allocation_has_no_long_messages),
		TEST(messages_are_put_together),
		TEST(what_the_kernel_refuses_is_dropped_and_not_counted),
		TEST(streams_are_held_to_the_rate_of_their_allocation),
		TEST(streams_of_a_user_share_a_rate),
		TEST(sessions_of_streams_end_with_the_server),
		TEST(a_reload_without_turn_answers_nobody),
		TEST(without_a_descriptor_left_clients_wait_and_the_main_loop_rests),
		CU_TEST_INFO_NULL,
	};

	return run_tests("turn streams", tests);
}
