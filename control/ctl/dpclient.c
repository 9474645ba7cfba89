// SPDX-License-Identifier: BSD-3-Clause
//
// An observer's connection to strait-dp. Blocking; events that come between an answer's datagrams are
// passed over, because only trace and capture ask for any, and these read nothing else then.
#include "dpclient.h"

#include "../../dataplane/api/st_send.h"
#include "ctl.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_S 5

static int send_message(
	struct dpclient *dp, uint16_t op, uint16_t kind, const void *body, size_t len, int fd)
{
	struct st_msg m = {.op = op, .kind = kind, .seq = ++dp->seq, .body_len = (uint16_t)len};
	struct iovec iov[2] = {
		{.iov_base = &m, .iov_len = sizeof(m)}, {.iov_base = (void *)body, .iov_len = len}};
	int r;

	do
		r = st_send(dp->fd, iov, len ? 2 : 1, fd, 0);
	while (r == -EINTR && !ctl_stopped());
	return r;
}

static int read_message(struct dpclient *dp, const struct st_msg **ret)
{
	const struct st_msg *m = (const void *)dp->buf;
	ssize_t n;

	do
		n = recv(dp->fd, dp->buf, sizeof(dp->buf), 0);
	while (n < 0 && errno == EINTR && !ctl_stopped());
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (n == 0)
		return -ECONNRESET;
	if ((size_t)n < sizeof(*m) || (size_t)n != sizeof(*m) + m->body_len + m->blob_len)
		return -EBADMSG;
	*ret = m;
	return 0;
}

static int say_hello(struct dpclient *dp)
{
	struct st_hello h = {.version = ST_API_VERSION, .role = ST_ROLE_OBSERVER};
	const struct st_msg *m;
	int err;

	h.pid = (uint32_t)getpid();
	snprintf(h.version_text, sizeof(h.version_text), "%s", STRAIT_VERSION);
	err = send_message(dp, ST_OP_HELLO, 0, &h, sizeof(h), -1);
	if (!err)
		err = read_message(dp, &m);
	if (err)
		return err;
	if (m->status)
		return m->status < 0 ? m->status : -EBADMSG;
	if (m->op != ST_OP_HELLO || m->body_len != sizeof(h))
		return -EBADMSG;
	memcpy(&dp->hello, dp->buf + sizeof(*m), sizeof(dp->hello));
	dp->hello.aead[sizeof(dp->hello.aead) - 1] = 0;
	dp->hello.version_text[sizeof(dp->hello.version_text) - 1] = 0;
	return dp->hello.version == ST_API_VERSION ? 0 : -EPROTONOSUPPORT;
}

int dpclient_open(struct dpclient *dp, const char *run_dir)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = ANSWER_S};
	int n, err;

	dp->fd = -1;
	dp->seq = 0;
	n = snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%s", run_dir, ST_SOCKET_NAME);
	if (n < 0 || (size_t)n >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	dp->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (dp->fd < 0)
		return -errno;
	if (setsockopt(dp->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
		setsockopt(dp->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) ||
		connect(dp->fd, (struct sockaddr *)&sa, sizeof(sa)))
		err = -errno;
	else
		err = say_hello(dp);
	if (err)
		dpclient_close(dp);
	return err;
}

void dpclient_close(struct dpclient *dp)
{
	if (dp->fd >= 0)
		close(dp->fd);
	dp->fd = -1;
}

const char *dpclient_explain(int err, const char *run_dir)
{
	static char text[512];

	switch (err) {
	case -ENOENT:
		snprintf(text, sizeof(text),
			"strait-dp is not running: no %s/%s; start it with ./run gateway FILE, or "
			"name "
			"its run directory with --run-dir",
			run_dir, ST_SOCKET_NAME);
		break;
	case -ECONNREFUSED:
		snprintf(text, sizeof(text),
			"strait-dp is not running: nobody listens at %s/%s; start it with ./run "
			"gateway "
			"FILE",
			run_dir, ST_SOCKET_NAME);
		break;
	case -EACCES:
	case -EPERM:
		snprintf(text, sizeof(text),
			"no right to use %s/%s; be root or a member of its group", run_dir,
			ST_SOCKET_NAME);
		break;
	case -EPROTONOSUPPORT:
		snprintf(text, sizeof(text),
			"strait-dp speaks another version of the contract than this straitctl "
			"(%s); "
			"install both from one release",
			STRAIT_VERSION);
		break;
	case -ETIMEDOUT:
		snprintf(text, sizeof(text), "strait-dp did not answer within %d seconds", ANSWER_S);
		break;
	case -EBUSY:
		snprintf(text, sizeof(text),
			"strait-dp has as many observers as it takes; end a straitctl trace or "
			"capture, or try again in a minute");
		break;
	case -ECONNRESET:
		snprintf(text, sizeof(text), "strait-dp closed the connection; see its log");
		break;
	case -EBADMSG:
		snprintf(text, sizeof(text), "strait-dp sent something that is not the contract");
		break;
	default:
		snprintf(text, sizeof(text), "strait-dp: %s", strerror(-err));
	}
	return text;
}

// Reads up to the answer of the last request; items go to item().
static int wait_reply(struct dpclient *dp, uint16_t kind, size_t min_len,
	void (*item)(const void *body, void *arg), void *arg)
{
	for (;;) {
		const struct st_msg *m;
		int err = read_message(dp, &m);

		if (err)
			return err;
		if (m->seq != dp->seq)
			continue;
		if (m->op == ST_OP_REPLY)
			return m->status;
		if (m->op != ST_OP_ITEM || m->kind != kind || !item || m->body_len < min_len)
			return -EBADMSG;
		item(dp->buf + sizeof(*m), arg);
	}
}

int dpclient_dump(struct dpclient *dp, uint16_t kind, size_t min_len,
	void (*item)(const void *body, void *arg), void *arg)
{
	int err = send_message(dp, ST_OP_DUMP, kind, NULL, 0, -1);

	return err ? err : wait_reply(dp, kind, min_len, item, arg);
}

int dpclient_set(struct dpclient *dp, uint16_t kind, const void *body, size_t len, int fd)
{
	int err = send_message(dp, ST_OP_SET, kind, body, len, fd);

	return err ? err : wait_reply(dp, kind, 0, NULL, NULL);
}

int dpclient_del(struct dpclient *dp, uint16_t kind, const void *key, size_t len)
{
	int err = send_message(dp, ST_OP_DEL, kind, key, len, -1);

	return err ? err : wait_reply(dp, kind, 0, NULL, NULL);
}

int dpclient_event(struct dpclient *dp, int timeout_ms, int fd_watch, const struct st_msg **ret)
{
	for (;;) {
		struct pollfd p[2] = {{.fd = dp->fd, .events = POLLIN}, {.fd = fd_watch}};
		int n = poll(p, 2, timeout_ms), err;

		if (ctl_stopped())
			return -EINTR;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -ETIMEDOUT;
		if (n > 0 && (p[1].revents & (POLLERR | POLLHUP | POLLNVAL)))
			return -EPIPE;
		if (n < 0 || !p[0].revents)
			continue;
		err = read_message(dp, ret);
		if (err)
			return err;
		if ((*ret)->op == ST_OP_EVENT)
			return 0;
	}
}
