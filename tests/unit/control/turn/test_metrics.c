// SPDX-License-Identifier: BSD-3-Clause
//
// /metrics over loopback: what it says, who it is for, and what its connections may not do.
#include "../../../../control/scrape.h"
#include "server_rig.h"

#include <errno.h>

#define PORT 39641

static struct config *config_with(const char *metrics)
{
	char *text = g_strdup_printf("%s\"listen\": [{\"address\": \"127.0.0.1\", \"port\": 34783, "
				     "\"transports\": [\"udp\"]}], \"limits\": {\"replies_burst\": "
				     "2}, %s",
		metrics, usual);
	struct config *c = parse_config(text);

	g_free(text);
	return c;
}

static void on_answer(const struct turn_tuple *to, const void *data, size_t len, void *arg)
{
	on_send(to, data, len, arg);
}

static void up(void)
{
	begin_server(config_with("\"metrics\": {\"port\": " G_STRINGIFY(PORT) "}, "));
	turn->core.send = on_answer;
}

static int dial(void)
{
	struct sockaddr_in to = on_loopback(PORT);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return fd;
	close(fd);
	return -errno;
}

// All that comes until the server ends the connection. NULL: it does not end within limit_ms.
static char *read_all(int fd, unsigned int limit_ms)
{
	GString *text = g_string_new(NULL);
	char buf[4096];

	for (unsigned int i = 0; i < limit_ms;) {
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (!n || (n < 0 && errno != EAGAIN))
			return g_string_free(text, FALSE);
		if (n > 0) {
			g_string_append_len(text, buf, n);
			continue;
		}
		settle();
		usleep(1000);
		i++;
	}
	g_string_free(text, TRUE);
	return NULL;
}

static char *get(const char *method, const char *path)
{
	char *request = g_strdup_printf("%s %s HTTP/1.1\r\nHost: x\r\n\r\n", method, path), *all;
	int fd = dial();

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
	all = read_all(fd, 10000);
	CU_ASSERT_PTR_NOT_NULL_FATAL(all); // a connection is for one request
	close(fd);
	g_free(request);
	return all;
}

// -1: not there.
static double value(const char *metric)
{
	char *all = get("GET", "/metrics"), *line = g_strdup_printf("\n%s ", metric),
	     *at = strstr(all, line);
	double v = at ? g_ascii_strtod(at + strlen(line), NULL) : -1;

	g_free(all);
	g_free(line);
	return v;
}

static int tell(struct client *c)
{
	unsigned int before = answers;

	turn_core_clock(&turn->core);
	turn_core_receive(&turn->core, &c->tuple, c->o.data, stun_end(&c->o, NULL, 0, false));
	settle();
	if (answers == before)
		return NO_ANSWER;
	CU_ASSERT_EQUAL_FATAL(stun_parse_strict(&c->m, answer, answer_len), 0);
	keep_nonce(c);
	return code_of(&c->m);
}

static void totals_and_states_follow_what_happens(void)
{
	struct st_addr peer;
	struct client c;

	up();
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(value("strait_turn_allocations{transport=\"udp\"}"), 0);
	CU_ASSERT_EQUAL(value("strait_turn_ports_free{address=\"192.0.2.1\"}"), 20);
	CU_ASSERT_EQUAL(value("strait_turn_replies_limited_total"), 0);
	request(&c, STUN_ALLOCATE);
	CU_ASSERT_EQUAL(tell(&c), 401);
	CU_ASSERT_EQUAL(value("strait_turn_errors_total{code=\"401\"}"), 1);
	for (int i = 0; i < 3; i++) {
		request(&c, STUN_ALLOCATE);
		tell(&c);
	}
	CU_ASSERT(value("strait_turn_replies_limited_total") >= 1);
	dp->hold = true;
	stun_add_u32(request(&c, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
	sign(&c);
	CU_ASSERT_EQUAL(tell(&c), NO_ANSWER);
	CU_ASSERT_EQUAL_FATAL(dp->held->len, 1);
	dp_double_release(dp);
	CU_ASSERT_EQUAL(value("strait_turn_allocation_states{state=\"installing\"}"), 0);
	CU_ASSERT_EQUAL(value("strait_turn_allocation_states{state=\"without_permission\"}"), 1);
	addr_parse(&peer, "198.51.100.1");
	stun_add_address(request(&c, STUN_CREATE_PERMISSION), STUN_ATTR_XOR_PEER_ADDRESS, &peer, 0);
	sign(&c);
	CU_ASSERT_EQUAL(tell(&c), 0);
	CU_ASSERT_EQUAL(value("strait_turn_allocation_states{state=\"permitted\"}"), 1);
	CU_ASSERT_EQUAL(value("strait_turn_allocations{transport=\"udp\"}"), 1);
	CU_ASSERT_EQUAL(value("strait_turn_ports_free{address=\"192.0.2.1\"}"), 19);
	CU_ASSERT_EQUAL(value("strait_turn_requests_total{method=\"create_permission\"}"), 1);
	CU_ASSERT_EQUAL(value("strait_drops_total{reason=\"turn_no_permission\"}"), 0);
	end_server();
}

static void nothing_else_is_served_and_no_label_is_a_user(void)
{
	struct client c;
	char *all;

	up();
	client_init(&c, "203.0.113.5", 1000);
	request(&c, STUN_ALLOCATE);
	CU_ASSERT_EQUAL(tell(&c), 401);
	stun_add_u32(request(&c, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
	sign(&c);
	CU_ASSERT_EQUAL(tell(&c), 0);
	all = get("GET", "/metrics");
	CU_ASSERT_PTR_NULL(strstr(all, "alice"));
	CU_ASSERT_PTR_NULL(strstr(all, "203.0.113.5"));
	g_free(all);
	all = get("GET", "/");
	CU_ASSERT_PTR_NOT_NULL(strstr(all, " 404 "));
	g_free(all);
	all = get("POST", "/metrics");
	CU_ASSERT_PTR_NOT_NULL(strstr(all, " 405 "));
	g_free(all);
	apply_config(config_with(""));
	CU_ASSERT_EQUAL(dial(), -ECONNREFUSED); // off unless configured
	end_server();
}

static void who_says_nothing_holds_no_connection(void)
{
	int fd[SCRAPE_CONNECTIONS], over;
	char *all;

	up();
	for (int i = 0; i < SCRAPE_CONNECTIONS; i++) {
		fd[i] = dial();
		settle();
	}
	CU_ASSERT_EQUAL(send(fd[0], "GET /metr", 9, MSG_NOSIGNAL), 9);
	CU_ASSERT_PTR_NULL(read_all(fd[0], 50));
	over = dial();
	all = read_all(over, 10000);
	CU_ASSERT_STRING_EQUAL_FATAL(all, "");
	g_free(all);
	ahead_us += (SCRAPE_S + 1) * G_USEC_PER_SEC;
	for (int i = 0; i < SCRAPE_CONNECTIONS; i++) {
		all = read_all(fd[i], 10000);
		CU_ASSERT_PTR_NOT_NULL(all);
		g_free(all);
		close(fd[i]);
	}
	CU_ASSERT(value("strait_turn_draining") == 0);
	close(over);
	end_server();
}

static void an_end_with_open_connections_is_clean(void)
{
	int fd;

	up();
	fd = dial();
	CU_ASSERT_PTR_NULL(read_all(fd, 20));
	end_server();
	close(fd);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(totals_and_states_follow_what_happens),
		TEST(nothing_else_is_served_and_no_label_is_a_user),
		TEST(who_says_nothing_holds_no_connection),
		TEST(an_end_with_open_connections_is_clean),
		CU_TEST_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : run_tests("turn/metrics", tests);
}
