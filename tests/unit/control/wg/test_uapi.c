// SPDX-License-Identifier: BSD-3-Clause
//
// The UAPI: its grammar as a table of requests, and its socket with clients that are slow, greedy, broken
// or gone.
#include "../../../../control/addr.h"
#include "../../../../control/wg/uapi.h"
#include "../../suite.h"
#include "../descriptors.h"

#include <glib.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define K1 "188515093e952f5f22e865cef3012e72f8b5f0b598ac0309d5dacce3b70fcf52"
#define K2 "60bb6b0a0f0a3c6a7d0fbf1d9f6c4f27c2f1d2e9a6e0a9c0a41f6f2c2f1c8e11"

static GString *done; // what the request did, in words
static int refuse;    // errno of the next listen_port

static int private_key(const uint8_t key[NOISE_KEY_LEN], void *arg)
{
	g_string_append_printf(done, "key %02x;", key[0]);
	return 0;
}

static int listen_port(uint16_t port, void *arg)
{
	g_string_append_printf(done, "port %u;", port);
	return refuse;
}

static int fwmark(uint32_t mark, void *arg)
{
	g_string_append_printf(done, "mark %u;", mark);
	return 0;
}

static int replace_peers(void *arg)
{
	g_string_append(done, "replace;");
	return 0;
}

static int peer(const struct uapi_peer *p, void *arg)
{
	char text[TUPLE_TEXT_MAX + ST_NAME_MAX];

	g_string_append_printf(done, "peer %02x", p->public_key[0]);
	if (p->continued)
		g_string_append(done, " continued");
	if (p->remove)
		g_string_append(done, " remove");
	if (p->update_only)
		g_string_append(done, " update");
	if (p->has_psk)
		g_string_append_printf(done, " psk %02x", p->psk[0]);
	if (p->has_endpoint)
		g_string_append_printf(done, " at %s",
			tuple_text_scoped(
				text, &p->endpoint, g_htons(p->endpoint_port), p->endpoint_scope));
	if (p->has_keepalive)
		g_string_append_printf(done, " keepalive %u", p->keepalive);
	if (p->replace_allowed)
		g_string_append(done, " only");
	for (guint n = 0; n < p->allowed->len && p->allowed->len < 10; n++) {
		const struct uapi_allowed *a = &g_array_index(p->allowed, struct uapi_allowed, n);
		char prefix[PREFIX_TEXT_MAX];

		g_string_append_printf(
			done, " %c%s", a->remove ? '-' : '+', prefix_text(prefix, &a->prefix));
	}
	if (p->allowed->len >= 10)
		g_string_append_printf(done, " and %u", p->allowed->len);
	g_string_append_c(done, ';');
	return 0;
}

static const struct uapi_set_ops set_ops = {
	private_key, listen_port, fwmark, replace_peers, peer, NULL};

// ---- grammar -------------------------------------------------------------------------------------

struct row {
	const char *lines; // a whole request without its empty line
	int error;         // -1: a get
	const char *did;
};

static const struct row rows[] = {
	{"get=1", -1, ""},
	{"get=1\nx=1", EINVAL, ""},
	{"got=1", EINVAL, ""},
	{"", EPROTO, ""},
	{"set=1", 0, ""},
	{"set=1\nprivate_key=" K1 "\nlisten_port=51820\nfwmark=7\nreplace_peers=true", 0,
		"key 18;port 51820;mark 7;replace;"},
	{"set=1\nlisten_port=0", 0, "port 0;"},
	{"set=1\nlisten_port=65536", EINVAL, ""},
	{"set=1\nlisten_port=-1", EINVAL, ""},
	{"set=1\nlisten_port=", EINVAL, ""},
	{"set=1\nlisten_port=1 ", EINVAL, ""},
	{"set=1\nfwmark=4294967295", 0, "mark 4294967295;"},
	{"set=1\nfwmark=4294967296", EINVAL, ""},
	{"set=1\nfwmark=0x7", EINVAL, ""},
	{"set=1\nreplace_peers=false", EINVAL, ""},
	{"set=1\nprivate_key=" K1 "0", EINVAL, ""},
	{"set=1\nprivate_key=zz", EINVAL, ""},
	{"set=1\nnonsense", EPROTO, ""},
	{"set=1\nunknown=1", EINVAL, ""},
	{"set=1\na_key_that_is_longer_than_any_key_there_is=1", EINVAL, ""},
	// The rest of a request that failed is not done; what came before stays.
	{"set=1\nfwmark=1\nunknown=1\nlisten_port=2\npublic_key=" K1, EINVAL, "mark 1;"},
	{"set=1\npublic_key=" K1, 0, "peer 18;"},
	{"set=1\npublic_key=" K1 "\npublic_key=" K2, 0, "peer 18;peer 60;"},
	{"set=1\npublic_key=" K1 "\nremove=true", 0, "peer 18 remove;"},
	{"set=1\npublic_key=" K1 "\nupdate_only=true\nremove=true", 0, "peer 18 remove update;"},
	{"set=1\npublic_key=" K1 "\nremove=yes", EINVAL, ""},
	{"set=1\npublic_key=" K1 "\npreshared_key=" K2, 0, "peer 18 psk 60;"},
	{"set=1\npublic_key=" K1 "\npreshared_key=" K2 "aa", EINVAL, ""},
	{"set=1\npublic_key=" K1 "\nendpoint=192.0.2.1:51820", 0, "peer 18 at 192.0.2.1:51820;"},
	{"set=1\npublic_key=" K1 "\nendpoint=[2001:db8::1]:1", 0, "peer 18 at [2001:db8::1]:1;"},
	{"set=1\npublic_key=" K1 "\nendpoint=[fe80::1%wan]:1", 0, "peer 18 at [fe80::1%wan]:1;"},
	{"set=1\npublic_key=" K1 "\nendpoint=[fe80::1%]:1", EINVAL, ""},
	{"set=1\npublic_key=" K1 "\nendpoint=[2001:db8::1%wan]:1", EINVAL, ""},
	{"set=1\npublic_key=" K1 "\nendpoint=fe80::1%wan:1", EINVAL, ""},
	{"set=1\npublic_key=" K1 "\nendpoint=2001:db8::1:1", EINVAL, ""},
	{"set=1\npublic_key=" K1 "\nendpoint=[192.0.2.1]:1", EINVAL, ""},
	{"set=1\npublic_key=" K1 "\nendpoint=192.0.2.1", EINVAL, ""},
	{"set=1\npublic_key=" K1 "\nendpoint=host.example:1", EINVAL, ""},
	{"set=1\npublic_key=" K1 "\nendpoint=192.0.2.1:65536", EINVAL, ""},
	{"set=1\npublic_key=" K1 "\nendpoint=[]:1", EINVAL, ""},
	{"set=1\npublic_key=" K1 "\nendpoint=[", EINVAL, ""},
	{"set=1\npublic_key=" K1 "\npersistent_keepalive_interval=25", 0, "peer 18 keepalive 25;"},
	{"set=1\npublic_key=" K1 "\npersistent_keepalive_interval=65536", EINVAL, ""},
	{"set=1\npublic_key=" K1 "\nallowed_ip=10.1.2.3/8\nallowed_ip=fd00::/8", 0,
		"peer 18 +10.0.0.0/8 +fd00::/8;"},
	{"set=1\npublic_key=" K1 "\nreplace_allowed_ips=true\nallowed_ip=-10.0.0.0/8\n"
	 "allowed_ip=0.0.0.0/0",
		0, "peer 18 only -10.0.0.0/8 +0.0.0.0/0;"},
	{"set=1\npublic_key=" K1 "\nallowed_ip=10.0.0.0/33", EINVAL, ""},
	{"set=1\npublic_key=" K1 "\nallowed_ip=--10.0.0.0/8", EINVAL, ""},
	{"set=1\npublic_key=" K1 "\nallowed_ip=", EINVAL, ""},
	{"set=1\npublic_key=" K1 "\nprotocol_version=1", 0, "peer 18;"},
	{"set=1\npublic_key=" K1 "\nprotocol_version=2", EINVAL, ""},
	{"set=1\npublic_key=" K1 "\nlisten_port=1", EINVAL, ""},
	{"set=1\nallowed_ip=10.0.0.0/8", EINVAL, ""},
	{"set=1\npublic_key=short", EINVAL, ""},
};

// The result of a request on a parser that lives on.
static int run(struct uapi_parser *p, const char *lines)
{
	g_auto(GStrv) split = g_strsplit(lines, "\n", -1);
	enum uapi_result r;
	int error = -2;

	g_string_truncate(done, 0);
	for (guint n = 0; split[n] && *lines; n++)
		CU_ASSERT_EQUAL(uapi_parser_line(p, split[n], &error), UAPI_MORE);
	r = uapi_parser_line(p, "", &error);
	return r == UAPI_GET ? -1 : r == UAPI_REPLY ? error : -3;
}

static void every_request_does_what_the_table_says(void)
{
	struct uapi_parser *p = uapi_parser_new(&set_ops, NULL);

	for (size_t n = 0; n < G_N_ELEMENTS(rows); n++) {
		int error = run(p, rows[n].lines);

		if (error != rows[n].error || strcmp(done->str, rows[n].did))
			printf("\nrow %zu: %s\n  errno %d, did %s\n", n, rows[n].lines, error,
				done->str);
		CU_ASSERT_EQUAL(error, rows[n].error);
		CU_ASSERT_STRING_EQUAL(done->str, rows[n].did);
	}
	uapi_parser_free(p);
}

static void an_error_of_the_device_ends_the_request_with_it(void)
{
	struct uapi_parser *p = uapi_parser_new(&set_ops, NULL);

	refuse = EADDRINUSE;
	CU_ASSERT_EQUAL(run(p, "set=1\nlisten_port=1\nfwmark=1"), EADDRINUSE);
	CU_ASSERT_STRING_EQUAL(done->str, "port 1;");
	refuse = 0;
	CU_ASSERT_EQUAL(run(p, "set=1\nfwmark=1"), 0);
	uapi_parser_free(p);
}

static void a_peer_with_many_prefixes_comes_in_parts(void)
{
	struct uapi_parser *p = uapi_parser_new(&set_ops, NULL);
	char line[64];
	int error;

	g_string_truncate(done, 0);
	uapi_parser_line(p, "set=1", &error);
	uapi_parser_line(p, "public_key=" K1, &error);
	uapi_parser_line(p, "replace_allowed_ips=true", &error);
	for (int n = 0; n < 5000; n++) {
		g_snprintf(line, sizeof(line), "allowed_ip=10.%d.%d.0/24", n / 256, n % 256);
		CU_ASSERT_EQUAL(uapi_parser_line(p, line, &error), UAPI_MORE);
	}
	CU_ASSERT_EQUAL(uapi_parser_line(p, "", &error), UAPI_REPLY);
	CU_ASSERT_EQUAL(error, 0);
	CU_ASSERT_STRING_EQUAL(done->str, "peer 18 only and 4096;peer 18 continued and 904;");
	uapi_parser_free(p);
}

// ---- socket --------------------------------------------------------------------------------------

static struct uapi_client *waiting;
static char *dir;

static void get_later(struct uapi_client *client, void *arg)
{
	waiting = client;
}

static const struct uapi_ops ops = {.set = {.private_key = private_key,
					    .listen_port = listen_port,
					    .fwmark = fwmark,
					    .replace_peers = replace_peers,
					    .peer = peer},
	.get = get_later};

static int client_new(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	g_snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/t0.sock", dir);
	CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void put(int fd, const char *text)
{
	CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void spin(void)
{
	for (int n = 0; n < 50; n++)
		g_main_context_iteration(NULL, FALSE);
}

static const char *got(int fd)
{
	static char text[4096];
	ssize_t n;

	spin();
	n = read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = 0;
	return n == 0 ? "EOF" : text;
}

static void requests_are_answered_in_order_over_one_connection(void)
{
	int error, fd;
	struct uapi *u = uapi_new(dir, "t0", &ops, NULL, &error);
	struct stat st;
	g_autofree char *path = g_strdup_printf("%s/t0.sock", dir);

	CU_ASSERT_PTR_NOT_NULL_FATAL(u);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0077, 0);
	fd = client_new();
	g_string_truncate(done, 0);
	put(fd, "set=1\nfwmark=5\n\nget=1\n\nset=1\nfw");
	CU_ASSERT_STRING_EQUAL(got(fd), "errno=0\n\n");
	CU_ASSERT_PTR_NOT_NULL_FATAL(waiting);
	put(fd, "mark=6\n\nset=1\nbad\n\n");
	CU_ASSERT_STRING_EQUAL(got(fd), "");
	uapi_get_done(waiting, g_string_new("listen_port=1\n"));
	CU_ASSERT_STRING_EQUAL(got(fd), "listen_port=1\nerrno=0\n\nerrno=0\n\nerrno=-71\n\n");
	CU_ASSERT_STRING_EQUAL(done->str, "mark 5;mark 6;");
	close(fd);
	spin();
	uapi_free(u);
	CU_ASSERT_EQUAL(stat(path, &st), -1);
}

static void an_overlong_line_fails_its_request_and_no_other(void)
{
	int error, fd;
	struct uapi *u = uapi_new(dir, "t0", &ops, NULL, &error);
	char *big = g_strnfill(3000, 'x');

	fd = client_new();
	put(fd, "set=1\n");
	put(fd, big);
	put(fd, "\nfwmark=1\n\nset=1\nfwmark=2\n\n");
	g_string_truncate(done, 0);
	CU_ASSERT_STRING_EQUAL(got(fd), "errno=-71\n\nerrno=0\n\n");
	CU_ASSERT_STRING_EQUAL(done->str, "mark 2;");
	CU_ASSERT_EQUAL(write(fd, "set=1\nfwmark=1\0\n\n", 17), 17);
	CU_ASSERT_STRING_EQUAL(got(fd), "errno=-71\n\n");
	g_free(big);
	close(fd);
	spin();
	uapi_free(u);
}

static void a_client_may_hang_up_while_its_answer_is_made(void)
{
	int error, fd;
	struct uapi *u = uapi_new(dir, "t0", &ops, NULL, &error);

	fd = client_new();
	put(fd, "get=1\n\n");
	spin();
	CU_ASSERT_PTR_NOT_NULL_FATAL(waiting);
	close(fd);
	spin();
	uapi_get_done(waiting, g_string_new("x=1\n"));
	spin();
	// And the interface may go.
	fd = client_new();
	put(fd, "get=1\n\n");
	spin();
	CU_ASSERT_FALSE(uapi_client_orphaned(waiting));
	uapi_free(u);
	CU_ASSERT_TRUE(uapi_client_orphaned(waiting));
	uapi_get_done(waiting, NULL);
	CU_ASSERT_STRING_EQUAL(got(fd), "EOF");
	close(fd);
}

static void connections_are_capped_and_a_slot_comes_back(void)
{
	int error, fds[UAPI_MAX_CLIENTS + 1];
	struct uapi *u = uapi_new(dir, "t0", &ops, NULL, &error);

	for (int n = 0; n <= UAPI_MAX_CLIENTS; n++) {
		fds[n] = client_new();
		put(fds[n], "set=1\n\n");
	}
	for (int n = 0; n < UAPI_MAX_CLIENTS; n++)
		CU_ASSERT_STRING_EQUAL(got(fds[n]), "errno=0\n\n");
	CU_ASSERT_STRING_EQUAL(got(fds[UAPI_MAX_CLIENTS]), "");
	close(fds[0]);
	CU_ASSERT_STRING_EQUAL(got(fds[UAPI_MAX_CLIENTS]), "errno=0\n\n");
	for (int n = 1; n <= UAPI_MAX_CLIENTS; n++)
		close(fds[n]);
	spin();
	uapi_free(u);
}

static void without_a_descriptor_left_clients_wait_and_the_main_loop_rests(void)
{
	int error, fd;
	struct uapi *u = uapi_new(dir, "t0", &ops, NULL, &error);
	gint64 limit = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
	const char *answer = "";

	fd = client_new();
	put(fd, "set=1\n\n");
	descriptors_use_up();
	CU_ASSERT_TRUE(main_loop_rests());
	CU_ASSERT_STRING_EQUAL(got(fd), "");
	descriptors_give_back();
	while (!*answer && g_get_monotonic_time() < limit) {
		g_usleep(1000);
		answer = got(fd);
	}
	CU_ASSERT_STRING_EQUAL(answer, "errno=0\n\n");
	close(fd);
	spin();
	uapi_free(u);
}

static void a_large_answer_goes_to_a_slow_reader_whole(void)
{
	int error, fd;
	struct uapi *u = uapi_new(dir, "t0", &ops, NULL, &error);
	GString *big = g_string_new(NULL);
	size_t want, total = 0;
	char text[65536];
	ssize_t n;

	fd = client_new();
	put(fd, "get=1\n\n");
	spin();
	for (int k = 0; k < 100000; k++)
		g_string_append(big, "public_key=00000000000000000000\n");
	want = big->len + strlen("errno=0\n\n");
	uapi_get_done(waiting, big);
	for (int k = 0; k < 100000 && total < want; k++) {
		g_main_context_iteration(NULL, FALSE);
		n = read(fd, text, sizeof(text));
		total += n > 0 ? (size_t)n : 0;
	}
	CU_ASSERT_EQUAL(total, want);
	CU_ASSERT_STRING_EQUAL(got(fd), "");
	close(fd);
	spin();
	uapi_free(u);
}

static void a_stale_socket_is_replaced_and_a_living_one_is_not(void)
{
	int error;
	struct uapi *u = uapi_new(dir, "t0", &ops, NULL, &error), *second;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	second = uapi_new(dir, "t0", &ops, NULL, &error);
	CU_ASSERT_PTR_NULL(second);
	CU_ASSERT_EQUAL(error, -EADDRINUSE);
	uapi_free(u);
	g_snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/t0.sock", dir);
	CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd);
	u = uapi_new(dir, "t0", &ops, NULL, &error);
	CU_ASSERT_PTR_NOT_NULL(u);
	uapi_free(u);
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"every request does what the table says", every_request_does_what_the_table_says},
		{"an error of the device ends the request with it",
			an_error_of_the_device_ends_the_request_with_it},
		{"a peer with many prefixes comes in parts", a_peer_with_many_prefixes_comes_in_parts},
		{"requests are answered in order over one connection",
			requests_are_answered_in_order_over_one_connection},
		{"an overlong line fails its request and no other",
			an_overlong_line_fails_its_request_and_no_other},
		{"a client may hang up while its answer is made",
			a_client_may_hang_up_while_its_answer_is_made},
		{"connections are capped and a slot comes back",
			connections_are_capped_and_a_slot_comes_back},
		{"without a descriptor left clients wait and the main loop rests",
			without_a_descriptor_left_clients_wait_and_the_main_loop_rests},
		{"a large answer goes to a slow reader whole",
			a_large_answer_goes_to_a_slow_reader_whole},
		{"a stale socket is replaced and a living one is not",
			a_stale_socket_is_replaced_and_a_living_one_is_not},
		CU_TEST_INFO_NULL,
	};
	int ret;

	done = g_string_new(NULL);
	dir = g_dir_make_tmp("strait-uapi-XXXXXX", NULL);
	if (!dir)
		return 99;
	ret = run_tests("uapi", tests);
	rmdir(dir);
	g_free(dir);
	g_string_free(done, TRUE);
	return ret;
}
