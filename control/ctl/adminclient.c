// SPDX-License-Identifier: BSD-3-Clause
//
// One question to straitd's admin socket, one answer, and the connection is closed; or lines until it ends.
#include "adminclient.h"

#include "../admin.h"
#include "ctl.h"

#include <cjson/cJSON.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_S        10                  // a reload touches the kernel
#define FOLLOW_LINE_MAX (1024 * 1024)       // the reply with all events that straitd still knows
#define REPLY_MAX       (256 * 1024 * 1024) // 65536 peers with long lists of allowed IPs fit well

struct cJSON *adminclient_request(const char *verb)
{
	cJSON *r = cJSON_CreateObject();

	cJSON_AddStringToObject(r, "verb", verb);
	return r;
}

static int open_socket(const char *run_dir)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = ANSWER_S};
	int n, fd;

	n = snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%s", run_dir, ADMIN_SOCKET_NAME);
	if (n < 0 || (size_t)n >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) ||
		connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		int err = errno;

		close(fd);
		return -err;
	}
	return fd;
}

static int send_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR && !ctl_stopped())
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

static int read_line(int fd, char **ret)
{
	size_t len = 0, size = 65536;
	char *buf = malloc(size);

	while (buf) {
		ssize_t n = recv(fd, buf + len, size - len - 1, 0);
		int err = n < 0 ? errno : ECONNRESET;

		if (n < 0 && err == EINTR && !ctl_stopped())
			continue;
		if (n <= 0) {
			free(buf);
			return err == EAGAIN ? -ETIMEDOUT : -err;
		}
		len += (size_t)n;
		buf[len] = 0;
		if (buf[len - 1] == '\n') {
			*ret = buf;
			return 0;
		}
		if (size - len < 2) {
			char *more = size < REPLY_MAX ? realloc(buf, size * 2) : NULL;

			if (!more)
				free(buf);
			buf = more;
			size *= 2;
		}
	}
	return -ENOMEM;
}

int adminclient_ask(const char *run_dir, struct cJSON *request, struct cJSON **ret, char **ret_error)
{
	char *line = cJSON_PrintUnformatted(request), *answer = NULL;
	int fd = open_socket(run_dir), err = fd < 0 ? fd : 0;
	const cJSON *ok, *error;
	cJSON *reply;

	cJSON_Delete(request);
	if (!line)
		err = -ENOMEM;
	if (!err)
		err = send_all(fd, line, strlen(line));
	if (!err)
		err = send_all(fd, "\n", 1);
	if (!err)
		err = read_line(fd, &answer);
	free(line);
	if (fd >= 0)
		close(fd);
	if (err)
		return err;
	reply = cJSON_Parse(answer);
	free(answer);
	ok = cJSON_GetObjectItemCaseSensitive(reply, "ok");
	error = cJSON_GetObjectItemCaseSensitive(reply, "error");
	if (!cJSON_IsBool(ok) || (cJSON_IsFalse(ok) && !cJSON_IsString(error))) {
		cJSON_Delete(reply);
		return -EBADMSG;
	}
	if (cJSON_IsFalse(ok)) {
		*ret_error = strdup(error->valuestring);
		cJSON_Delete(reply);
		return 1;
	}
	cJSON_DeleteItemFromObjectCaseSensitive(reply, "ok");
	*ret = reply;
	return 0;
}

static int follow_line(char *line, void (*fn)(const struct cJSON *line, void *arg), void *arg)
{
	cJSON *o = cJSON_Parse(line);

	if (!o || cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(o, "ok"))) {
		cJSON_Delete(o);
		return -EBADMSG;
	}
	fn(o, arg);
	cJSON_Delete(o);
	return 0;
}

// Takes whole lines off the front of buf; what is left of a line moves to the front.
static int follow_lines(
	char *buf, size_t *len, void (*fn)(const struct cJSON *line, void *arg), void *arg)
{
	char *at = buf, *nl;
	int err = 0;

	while (!err && (nl = memchr(at, '\n', *len - (size_t)(at - buf)))) {
		*nl = 0;
		err = follow_line(at, fn, arg);
		at = nl + 1;
	}
	*len -= (size_t)(at - buf);
	memmove(buf, at, *len);
	return err;
}

// Quiet for long is no error here.
static int follow(int fd, void (*fn)(const struct cJSON *line, void *arg), void *arg)
{
	char *buf = malloc(FOLLOW_LINE_MAX);
	int err = buf ? 0 : -ENOMEM;
	size_t len = 0;

	while (!err && !ctl_stopped()) {
		ssize_t n = recv(fd, buf + len, FOLLOW_LINE_MAX - len, 0);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0) {
			err = n < 0 ? -errno : -ECONNRESET;
			break;
		}
		len += (size_t)n;
		err = follow_lines(buf, &len, fn, arg);
		if (!err && len == FOLLOW_LINE_MAX)
			err = -EBADMSG;
	}
	free(buf);
	return ctl_stopped() ? 0 : err;
}

int adminclient_follow(const char *run_dir, struct cJSON *request,
	void (*fn)(const struct cJSON *line, void *arg), void *arg)
{
	int fd = open_socket(run_dir), err = fd < 0 ? fd : 0;
	char *line;

	cJSON_AddBoolToObject(request, "follow", true);
	line = cJSON_PrintUnformatted(request);
	cJSON_Delete(request);
	if (!err)
		err = line ? send_all(fd, line, strlen(line)) : -ENOMEM;
	if (!err)
		err = send_all(fd, "\n", 1);
	if (!err)
		err = follow(fd, fn, arg);
	free(line);
	if (fd >= 0)
		close(fd);
	return err;
}

const char *adminclient_explain(int err, const char *run_dir)
{
	static char text[512];

	switch (err) {
	case -ENOENT:
	case -ECONNREFUSED:
		snprintf(text, sizeof(text),
			"straitd is not running: %s %s/%s; start it with ./run gateway FILE, or "
			"name its "
			"run directory with --run-dir",
			err == -ENOENT ? "no" : "nobody listens at", run_dir, ADMIN_SOCKET_NAME);
		break;
	case -EACCES:
		snprintf(text, sizeof(text),
			"no right to use %s/%s; be root or a member of its group", run_dir,
			ADMIN_SOCKET_NAME);
		break;
	case -ETIMEDOUT:
		snprintf(text, sizeof(text), "straitd did not answer within %d seconds", ANSWER_S);
		break;
	case -EBADMSG:
		snprintf(text, sizeof(text), "straitd sent something that is not an answer");
		break;
	default:
		snprintf(text, sizeof(text), "straitd: %s", strerror(-err));
	}
	return text;
}
