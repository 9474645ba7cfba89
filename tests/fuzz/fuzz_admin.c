// SPDX-License-Identifier: BSD-3-Clause
//
// The admin socket: the input goes to a client's connection as it is. Whatever comes, each complete line
// gets exactly one line of JSON with "ok" back, until a line is too long.
#include "../../control/admin.h"

#include <cjson/cJSON.h>
#include <glib.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define expect(it) ((it) ? (void)0 : abort())

static char *run_echo(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	cJSON_AddItemToObject(reply, "got", cJSON_Duplicate(request, 1));
	return NULL;
}

static const struct admin_verb verbs[] = {{"echo", run_echo, true}, {NULL, NULL, false}};

static void turn(void)
{
	while (g_main_context_iteration(NULL, FALSE))
		;
}

static void check_answers(const char *text, unsigned int lines)
{
	for (; lines; lines--) {
		const char *nl = strchr(text, '\n');
		cJSON *doc;

		expect(nl);
		doc = cJSON_ParseWithLength(text, (size_t)(nl - text));
		expect(cJSON_IsBool(cJSON_GetObjectItemCaseSensitive(doc, "ok")));
		cJSON_Delete(doc);
		text = nl + 1;
	}
	expect(!*text);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	static struct admin *admin;
	static struct sockaddr_un sa = {.sun_family = AF_UNIX};
	GString *answers = g_string_new(NULL);
	unsigned int lines = 0;
	char buf[65536];
	ssize_t n;
	int fd;

	if (!admin) {
		g_snprintf(
			sa.sun_path, sizeof(sa.sun_path), "/tmp/fuzz-admin-%d.sock", (int)getpid());
		admin = admin_new(sa.sun_path, NULL, verbs, NULL);
		expect(admin);
	}
	len = len < ADMIN_LINE_MAX ? len : ADMIN_LINE_MAX; // too long a line has a unit test
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	expect(fd >= 0 && !connect(fd, (struct sockaddr *)&sa, sizeof(sa)));
	for (size_t i = 0, begin = 0; i < len; i++) {
		if (in[i] != '\n')
			continue;
		lines += i > begin; // an empty line is nothing
		begin = i + 1;
	}
	for (size_t done = 0; done < len;) {
		n = send(fd, in + done, len - done, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			done += (size_t)n;
		turn();
		while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
			g_string_append_len(answers, buf, n);
	}
	for (int quiet = 0; quiet < 3; quiet++) {
		turn();
		while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
			g_string_append_len(answers, buf, n);
			quiet = 0;
			turn();
		}
	}
	check_answers(answers->str, lines);
	close(fd);
	turn();
	g_string_free(answers, TRUE);
	return 0;
}
