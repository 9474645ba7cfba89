// SPDX-License-Identifier: BSD-3-Clause
//
// control/admin.c: lines in, lines out, over real sockets in the loop of the test.
#include "../../../control/admin.h"
#include "../suite.h"
#include "descriptors.h"

#include <cjson/cJSON.h>
#include <glib.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static char *dir, *path;
static struct admin *admin;
static unsigned int nb_runs;

static char *run_echo(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	nb_runs++;
	cJSON_AddItemToObject(reply, "got", cJSON_Duplicate(request, 1));
	return NULL;
}

static char *run_fail(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	cJSON_AddStringToObject(reply, "half", "done");
	return g_strdup("it did not work");
}

static char *run_big(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	char *text = g_strnfill(4 << 20, 'x');

	nb_runs++;
	cJSON_AddStringToObject(reply, "text", text);
	g_free(text);
	return NULL;
}

static const struct admin_verb verbs[] = {{"echo", run_echo, true}, {"fail", run_fail, false},
	{"big", run_big, false}, {NULL, NULL, false}};

static void begin(void)
{
	dir = g_dir_make_tmp("strait-test-XXXXXX", NULL);
	path = g_build_filename(dir, ADMIN_SOCKET_NAME, NULL);
	admin = admin_new(path, NULL, verbs, NULL);
	nb_runs = 0;
	CU_ASSERT_PTR_NOT_NULL_FATAL(admin);
}

static void end(void)
{
	admin_free(admin);
	CU_ASSERT_EQUAL(access(path, F_OK), -1);
	rmdir(dir);
	g_free(path);
	g_free(dir);
}

static int client(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	g_strlcpy(sa.sun_path, path, sizeof(sa.sun_path));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		close(fd);
		return -1;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void say(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n > 0) {
			text += n;
			len -= (size_t)n;
		} else if (errno != EAGAIN) {
			return;
		}
		while (g_main_context_iteration(NULL, FALSE))
			;
	}
}

// One line, or what came before the end of the connection. NULL: nothing within 20 s.
static char *hear(int fd, bool *ret_closed)
{
	int64_t limit = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
	GString *s = g_string_new(NULL);

	*ret_closed = false;
	while (g_get_monotonic_time() < limit) {
		char buf[65536], *nl;
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_PEEK);

		if (n > 0) {
			// Takes the line and leaves what is behind it.
			nl = memchr(buf, '\n', (size_t)n);
			n = recv(fd, buf, nl ? (size_t)(nl - buf) + 1 : (size_t)n, 0);
			g_string_append_len(s, buf, nl ? n - 1 : n);
			if (nl)
				return g_string_free(s, FALSE);
		} else if (n == 0 || errno != EAGAIN) {
			*ret_closed = true;
			return g_string_free(s, FALSE);
		} else if (!g_main_context_iteration(NULL, FALSE)) {
			g_usleep(500);
		}
	}
	g_string_free(s, TRUE);
	return NULL;
}

static cJSON *ask(int fd, const char *line)
{
	bool closed;
	char *answer;
	cJSON *ret;

	say(fd, line, strlen(line));
	answer = hear(fd, &closed);
	ret = answer ? cJSON_Parse(answer) : NULL;
	g_free(answer);
	return ret;
}

static bool is_ok(const cJSON *reply)
{
	return cJSON_IsTrue(cJSON_GetObjectItem(reply, "ok"));
}

static bool is_error(const cJSON *reply, const char *part)
{
	const cJSON *e = cJSON_GetObjectItem(reply, "error");

	return cJSON_IsFalse(cJSON_GetObjectItem(reply, "ok")) && cJSON_IsString(e) &&
	       strstr(e->valuestring, part);
}

static void a_verb_gets_the_request_and_fills_the_reply(void)
{
	cJSON *r;
	int fd;

	begin();
	fd = client();
	r = ask(fd, "{\"verb\":\"echo\",\"x\":7}\n");
	CU_ASSERT(is_ok(r));
	CU_ASSERT_EQUAL(
		cJSON_GetNumberValue(cJSON_GetObjectItem(cJSON_GetObjectItem(r, "got"), "x")), 7);
	cJSON_Delete(r);
	close(fd);
	end();
}

static void a_failed_verb_gives_its_error_and_nothing_else(void)
{
	cJSON *r;
	int fd;

	begin();
	fd = client();
	r = ask(fd, "{\"verb\":\"fail\"}\n");
	CU_ASSERT(is_error(r, "it did not work"));
	CU_ASSERT_PTR_NULL(cJSON_GetObjectItem(r, "half"));
	cJSON_Delete(r);
	close(fd);
	end();
}

static void a_malformed_line_gets_an_error_and_the_connection_lives_on(void)
{
	static const struct {
		const char *line, *error;
	} bad[] = {
		{"garbage\n", "not a JSON"},
		{"{\"verb\":\n", "not a JSON"},
		{"{\"verb\":\"echo\"} more\n", "not a JSON"},
		{"[1,2]\n", "object"},
		{"7\n", "object"},
		{"{}\n", "verb"},
		{"{\"verb\":5}\n", "verb"},
		{"{\"verb\":\"nothing\"}\n", "no such verb: nothing"},
		{"{\"verb\":\"\\u00ff\xff\xfe\"}\n", "no such verb"},
	};
	cJSON *r;
	int fd;

	begin();
	fd = client();
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		r = ask(fd, bad[i].line);
		CU_ASSERT(is_error(r, bad[i].error));
		cJSON_Delete(r);
	}
	CU_ASSERT_EQUAL(nb_runs, 0);
	r = ask(fd, "\n\n{\"verb\":\"echo\"}\n"); // empty lines are nothing
	CU_ASSERT(is_ok(r));
	cJSON_Delete(r);
	close(fd);
	end();
}

static void deep_nesting_is_an_error(void)
{
	char *deep = g_strnfill(20000, '[');
	char *line = g_strconcat(deep, "\n", NULL);
	cJSON *r;
	int fd;

	begin();
	fd = client();
	r = ask(fd, line);
	CU_ASSERT(is_error(r, "not a JSON"));
	cJSON_Delete(r);
	close(fd);
	end();
	g_free(line);
	g_free(deep);
}

static void a_line_of_the_greatest_length_is_served_and_one_more_byte_ends_it(void)
{
	char *fill = g_strnfill(ADMIN_LINE_MAX - strlen("{\"verb\":\"echo\",\"x\":\"\"}"), 'y');
	char *good = g_strdup_printf("{\"verb\":\"echo\",\"x\":\"%s\"}\n", fill);
	char *bad = g_strdup_printf("{\"verb\":\"echo\",\"x\":\"%sy\"}\n", fill), *answer;
	bool closed = false;
	cJSON *r;
	int fd;

	begin();
	fd = client();
	CU_ASSERT_EQUAL(strlen(good), ADMIN_LINE_MAX + 1);
	r = ask(fd, good);
	CU_ASSERT(is_ok(r));
	cJSON_Delete(r);
	r = ask(fd, bad);
	CU_ASSERT(is_error(r, "line too long"));
	cJSON_Delete(r);
	answer = hear(fd, &closed);
	CU_ASSERT(closed);
	g_free(answer);
	close(fd);
	CU_ASSERT_EQUAL(nb_runs, 1);
	end();
	g_free(fill);
	g_free(good);
	g_free(bad);
}

static void an_endless_line_is_cut_off_without_a_newline(void)
{
	char *fill = g_strnfill(ADMIN_LINE_MAX + 10000, 'z'), *answer;
	bool closed = false;
	int fd;

	begin();
	fd = client();
	say(fd, fill, strlen(fill));
	answer = hear(fd, &closed);
	CU_ASSERT(answer && strstr(answer, "line too long"));
	g_free(answer);
	g_free(hear(fd, &closed));
	CU_ASSERT(closed);
	close(fd);
	end();
	g_free(fill);
}

static void requests_in_pieces_and_several_at_once_are_answered_in_order(void)
{
	static const char three[] = "{\"verb\":\"echo\",\"n\":1}\n{\"verb\":\"fail\"}\n"
				    "{\"verb\":\"echo\",\"n\":3}\n";
	bool closed;
	int fd;

	begin();
	fd = client();
	for (size_t i = 0; i < sizeof(three) - 1; i++)
		say(fd, three + i, 1);
	for (int n = 1; n <= 3; n++) {
		char *answer = hear(fd, &closed);

		CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
		CU_ASSERT_EQUAL(strstr(answer, "\"ok\":true") != NULL, n != 2);
		g_free(answer);
	}
	close(fd);
	end();
}

static void a_client_that_does_not_read_costs_one_reply(void)
{
	static const char line[] = "{\"verb\":\"big\"}\n";
	bool closed;
	int fd;

	begin();
	fd = client();
	for (int i = 0; i < 10; i++)
		say(fd, line, sizeof(line) - 1);
	for (int i = 0; i < 50; i++)
		g_main_context_iteration(NULL, FALSE);
	CU_ASSERT_EQUAL(nb_runs, 1);
	for (int i = 0; i < 10; i++) {
		char *answer = hear(fd, &closed);

		CU_ASSERT(answer && strlen(answer) > (4 << 20));
		g_free(answer);
	}
	CU_ASSERT_EQUAL(nb_runs, 10);
	close(fd);
	end();
}

static void push(unsigned int number)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "number", number);
	admin_push(admin, o);
	cJSON_Delete(o);
}

static void who_follows_gets_each_line_and_the_others_none(void)
{
	bool closed;
	int one, two;
	cJSON *r;
	char *line;

	begin();
	one = client();
	two = client();
	CU_ASSERT_FALSE(admin_followed(admin));
	push(0); // to nobody
	r = ask(one, "{\"verb\":\"echo\",\"follow\":true}\n");
	cJSON_Delete(r);
	r = ask(two, "{\"verb\":\"echo\"}\n");
	cJSON_Delete(r);
	CU_ASSERT_TRUE(admin_followed(admin));
	push(1);
	push(2);
	line = hear(one, &closed);
	CU_ASSERT_STRING_EQUAL(line, "{\"number\":1}");
	g_free(line);
	line = hear(one, &closed);
	CU_ASSERT_STRING_EQUAL(line, "{\"number\":2}");
	g_free(line);
	CU_ASSERT_EQUAL(recv(two, &closed, 1, 0), -1);
	close(one);
	r = ask(two, "{\"verb\":\"echo\"}\n"); // so that the loop sees the end of the other
	cJSON_Delete(r);
	push(3);
	CU_ASSERT_FALSE(admin_followed(admin));
	close(two);
	end();
}

static void who_follows_may_be_silent_and_others_make_room(void)
{
	int64_t limit = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
	int one, two;
	cJSON *r;
	char c;

	begin();
	admin_idle_after(admin, 1);
	one = client();
	two = client();
	r = ask(one, "{\"verb\":\"echo\",\"follow\":true}\n");
	cJSON_Delete(r);
	r = ask(two, "{\"verb\":\"echo\"}\n");
	cJSON_Delete(r);
	while (recv(two, &c, 1, 0) && g_get_monotonic_time() < limit) {
		g_main_context_iteration(NULL, FALSE);
		g_usleep(1000);
	}
	CU_ASSERT_EQUAL(recv(two, &c, 1, 0), 0);
	CU_ASSERT_EQUAL(recv(one, &c, 1, 0), -1); // it was silent for longer
	CU_ASSERT_TRUE(admin_followed(admin));
	close(one);
	close(two);
	end();
}

static void one_who_follows_too_slowly_is_told_how_much_it_missed(void)
{
	unsigned int got = 0, missed = 0, sent = 200000;
	bool closed;
	cJSON *r;
	int fd;

	begin();
	fd = client();
	r = ask(fd, "{\"verb\":\"echo\",\"follow\":true}\n");
	cJSON_Delete(r);
	for (unsigned int n = 1; n <= sent; n++)
		push(n);
	while (got + missed < sent) {
		char *line = hear(fd, &closed);
		const cJSON *count, *number;

		CU_ASSERT_PTR_NOT_NULL_FATAL(line);
		r = cJSON_Parse(line);
		count = cJSON_GetObjectItemCaseSensitive(r, "count");
		number = cJSON_GetObjectItemCaseSensitive(r, "number");
		got += number != NULL;
		if (number) // none twice, none out of place
			CU_ASSERT_EQUAL((unsigned int)number->valuedouble, got + missed);
		missed += count ? (unsigned int)count->valuedouble : 0;
		cJSON_Delete(r);
		g_free(line);
	}
	CU_ASSERT_TRUE(got > 0 && missed > 0);
	CU_ASSERT_EQUAL(got + missed, sent);
	close(fd);
	end();
}

static void the_thirty_third_client_is_told_so(void)
{
	int fds[33];
	char *answer;
	bool closed;
	cJSON *r;

	begin();
	for (int i = 0; i < 33; i++) {
		fds[i] = client();
		CU_ASSERT(fds[i] >= 0);
		while (g_main_context_iteration(NULL, FALSE))
			;
	}
	answer = hear(fds[32], &closed);
	CU_ASSERT(answer && strstr(answer, "too many"));
	g_free(answer);
	r = ask(fds[31], "{\"verb\":\"echo\"}\n");
	CU_ASSERT(is_ok(r));
	cJSON_Delete(r);
	close(fds[32]);
	close(fds[0]); // makes room
	while (g_main_context_iteration(NULL, FALSE))
		;
	fds[0] = client();
	r = ask(fds[0], "{\"verb\":\"echo\"}\n");
	CU_ASSERT(is_ok(r));
	cJSON_Delete(r);
	for (int i = 0; i < 32; i++)
		close(fds[i]);
	end();
}

static void without_a_descriptor_left_clients_wait_and_the_main_loop_rests(void)
{
	cJSON *r;
	int one, two;

	begin();
	one = client();
	two = client();
	descriptors_use_up();
	CU_ASSERT_TRUE(main_loop_rests());
	descriptors_give_back();
	r = ask(one, "{\"verb\":\"echo\"}\n");
	CU_ASSERT(is_ok(r));
	cJSON_Delete(r);
	r = ask(two, "{\"verb\":\"echo\"}\n");
	CU_ASSERT(is_ok(r));
	cJSON_Delete(r);
	close(one);
	close(two);
	one = client();
	descriptors_use_up();
	CU_ASSERT_TRUE(main_loop_rests());
	end(); // in the pause, which must not outlive it
	descriptors_give_back();
	CU_ASSERT_TRUE(main_loop_rests());
	close(one);
}

static void the_socket_is_for_owner_and_group_only(void)
{
	struct stat st;

	begin();
	CU_ASSERT(!stat(path, &st));
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0660);
	end();
}

static void a_socket_left_by_a_killed_daemon_is_replaced(void)
{
	struct admin *second;
	int fd;

	begin();
	second = admin_new(path, NULL, verbs, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(second);
	fd = client();
	CU_ASSERT(fd >= 0);
	close(fd);
	admin_free(second);
	end();
}

static void a_path_that_is_too_long_is_an_error(void)
{
	char *name = g_strnfill(200, 'p');

	CU_ASSERT_PTR_NULL(admin_new(name, NULL, verbs, NULL));
	CU_ASSERT_EQUAL(errno, ENAMETOOLONG);
	g_free(name);
}

// Whether somebody without rights, but a member of the group if it is not 0, gets an answer that is ok.
static bool nobody_is_served(gid_t group)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		struct sockaddr_un sa = {.sun_family = AF_UNIX};
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		char reply[256] = "";

		g_strlcpy(sa.sun_path, path, sizeof(sa.sun_path));
		if (setgroups(group != 0, &group) || setgid(NOBODY) || setuid(NOBODY) ||
			connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
			_exit(2);
		if (send(fd, "{\"verb\":\"echo\"}\n", 16, MSG_NOSIGNAL) < 0 && errno != EPIPE)
			_exit(3);
		if (recv(fd, reply, sizeof(reply) - 1, 0) <= 0)
			_exit(4);
		_exit(strstr(reply, "\"ok\":true") ? 0 : strstr(reply, "not allowed") ? 1 : 5);
	}
	while (waitpid(pid, &status, WNOHANG) != pid) {
		g_main_context_iteration(NULL, FALSE);
		g_usleep(500);
	}
	CU_ASSERT_FATAL(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
	return !WEXITSTATUS(status);
}

// Peer credentials, not the file's mode alone. Only root can be somebody else.
static void who_is_not_of_the_group_is_refused_whatever_the_mode(void)
{
	if (geteuid())
		return;
	dir = g_dir_make_tmp("strait-test-XXXXXX", NULL);
	path = g_build_filename(dir, ADMIN_SOCKET_NAME, NULL);
	admin = admin_new(path, "daemon", verbs, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(admin);
	nb_runs = 0;
	CU_ASSERT_EQUAL_FATAL(chmod(dir, 0755) | chmod(path, 0666), 0);
	CU_ASSERT_FALSE(nobody_is_served(0));
	CU_ASSERT_EQUAL(nb_runs, 0);
	CU_ASSERT_TRUE(nobody_is_served(getgrnam("daemon")->gr_gid));
	CU_ASSERT_EQUAL(nb_runs, 1);
	end();
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"a_verb_gets_the_request_and_fills_the_reply",
			a_verb_gets_the_request_and_fills_the_reply},
		{"a_failed_verb_gives_its_error_and_nothing_else",
			a_failed_verb_gives_its_error_and_nothing_else},
		{"a_malformed_line_gets_an_error_and_the_connection_lives_on",
			a_malformed_line_gets_an_error_and_the_connection_lives_on},
		{"deep_nesting_is_an_error", deep_nesting_is_an_error},
		{"a_line_of_the_greatest_length_is_served_and_one_more_byte_ends_it",
			a_line_of_the_greatest_length_is_served_and_one_more_byte_ends_it},
		{"an_endless_line_is_cut_off_without_a_newline",
			an_endless_line_is_cut_off_without_a_newline},
		{"requests_in_pieces_and_several_at_once_are_answered_in_order",
			requests_in_pieces_and_several_at_once_are_answered_in_order},
		{"a_client_that_does_not_read_costs_one_reply",
			a_client_that_does_not_read_costs_one_reply},
		{"who_follows_gets_each_line_and_the_others_none",
			who_follows_gets_each_line_and_the_others_none},
		{"who_follows_may_be_silent_and_others_make_room",
			who_follows_may_be_silent_and_others_make_room},
		{"one_who_follows_too_slowly_is_told_how_much_it_missed",
			one_who_follows_too_slowly_is_told_how_much_it_missed},
		{"the_thirty_third_client_is_told_so", the_thirty_third_client_is_told_so},
		TEST(without_a_descriptor_left_clients_wait_and_the_main_loop_rests),
		{"the_socket_is_for_owner_and_group_only", the_socket_is_for_owner_and_group_only},
		{"a_socket_left_by_a_killed_daemon_is_replaced",
			a_socket_left_by_a_killed_daemon_is_replaced},
		TEST(who_is_not_of_the_group_is_refused_whatever_the_mode),
		{"a_path_that_is_too_long_is_an_error", a_path_that_is_too_long_is_an_error},
		CU_TEST_INFO_NULL,
	};

	return run_tests("admin", tests);
}
