// SPDX-License-Identifier: BSD-3-Clause
//
// The connection of straitd to strait-dp. A lost connection is tried again after 50 ms, then slower up to
// once a second; inotify on the run directory cuts the wait when the socket appears. Main loop thread.
// Nothing here blocks, and no state of objects lives here.
#include "dp_link.h"

#include "../../dataplane/api/st_send.h"

#include <glib-unix.h>
#include <glib.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKOFF_MIN_MS  50
#define BACKOFF_MAX_MS  1000
#define HELLO_WAIT_MS   5000
#define SOCKET_BUFFER   (4 * 1024 * 1024)
#define READ_BATCH      32 // datagrams per call
#define READ_BATCHES    8  // calls per wake-up, so that other sources get their turn
#define SOCKET_NAME_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

struct dp_link {
	char *path;
	char *name; // last component of path, for inotify
	const struct dp_link_ops *ops;
	void *arg;
	int fd;
	int inotify_fd;
	unsigned int in_source, out_source, timer, hello_timer, inotify_source;
	unsigned int backoff_ms;
	bool started, up, absent;
	bool broken;    // message() asked for the end of this connection
	int told_errno; // last reason logged, so that a retry does not repeat it
};

static void connect_now(struct dp_link *l);

static void source_clear(unsigned int *id)
{
	if (*id)
		g_source_remove(*id);
	*id = 0;
}

static int on_timer(void *arg)
{
	struct dp_link *l = arg;

	l->timer = 0;
	connect_now(l);
	return G_SOURCE_REMOVE;
}

static void retry_later(struct dp_link *l)
{
	if (!l->started || l->timer)
		return;
	l->timer = g_timeout_add(l->backoff_ms, on_timer, l);
	l->backoff_ms = MIN(l->backoff_ms * 2, BACKOFF_MAX_MS);
}

static void close_link(struct dp_link *l)
{
	bool was_up = l->up;

	source_clear(&l->in_source);
	source_clear(&l->out_source);
	source_clear(&l->hello_timer);
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	l->up = false;
	l->broken = false;
	if (was_up)
		l->ops->down(l->arg);
}

static void lose(struct dp_link *l, const char *why)
{
	bool was_up = l->up;

	if (was_up)
		g_warning("dp: connection to strait-dp lost reason=\"%s\"", why);
	close_link(l);
	if (was_up) {
		l->backoff_ms = BACKOFF_MIN_MS;
		l->told_errno = 0;
	}
	retry_later(l);
}

// The reason is logged once per change, not once per attempt.
static void tell_once(struct dp_link *l, int err, const char *text)
{
	if (l->told_errno == err)
		return;
	l->told_errno = err;
	g_warning("dp: %s socket=%s", text, l->path);
}

static void refuse(struct dp_link *l, const struct st_msg *m, const struct st_hello *h)
{
	char text[160];

	if (m->status == -EPROTONOSUPPORT || (!m->status && h && h->version != ST_API_VERSION))
		snprintf(text, sizeof(text),
			"strait-dp speaks contract version %u, this straitd %d: install both of "
			"one release",
			h ? h->version : 0, ST_API_VERSION);
	else if (m->status == -EBUSY)
		snprintf(text, sizeof(text),
			"strait-dp has another controller: is a second straitd running?");
	else if (m->status)
		snprintf(text, sizeof(text), "strait-dp refused us: %s", strerror(-m->status));
	else
		snprintf(text, sizeof(text), "strait-dp answered HELLO with nonsense");
	tell_once(l, m->status ? -m->status : EPROTO, text);
	l->backoff_ms = BACKOFF_MAX_MS;
	close_link(l);
	retry_later(l);
}

static void take_hello(struct dp_link *l, const struct st_msg *m, const void *body)
{
	struct st_hello h;
	bool whole = m->body_len == sizeof(h);

	if (whole)
		memcpy(&h, body, sizeof(h));
	if (m->op != ST_OP_HELLO || !whole || m->status || h.version != ST_API_VERSION) {
		refuse(l, m, whole ? &h : NULL);
		return;
	}
	h.aead[sizeof(h.aead) - 1] = 0;
	h.version_text[sizeof(h.version_text) - 1] = 0;
	source_clear(&l->hello_timer);
	l->up = true;
	l->backoff_ms = BACKOFF_MIN_MS;
	l->told_errno = 0;
	l->ops->up(&h, l->arg);
}

static int fd_of(struct msghdr *mh)
{
	int ret = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (ret < 0)
				ret = fd;
			else
				close(fd);
		}
	}
	return ret;
}

struct datagram {
	const uint8_t *data;
	size_t len;
	int fd; // -1 = none
	int flags;
};

static void give(struct dp_link *l, const struct datagram *d)
{
	const struct st_msg *m = (const void *)d->data;
	const uint8_t *body = d->data + sizeof(*m);

	if (d->len < sizeof(*m) || (d->flags & (MSG_TRUNC | MSG_CTRUNC)) ||
		d->len != sizeof(*m) + m->body_len + m->blob_len) {
		if (d->fd >= 0)
			close(d->fd);
		lose(l, d->len ? "datagram with wrong lengths" : "closed by strait-dp");
	} else if (!l->up) {
		if (d->fd >= 0)
			close(d->fd);
		take_hello(l, m, body);
	} else {
		l->ops->message(m, body, body + m->body_len, d->fd, l->arg);
	}
	if (l->broken) {
		close_link(l);
		l->backoff_ms = BACKOFF_MAX_MS;
		retry_later(l);
	}
}

// How many were there, 0 when there is nothing more to read or the connection is gone.
static int read_some(struct dp_link *l)
{
	static _Alignas(8) uint8_t buf[READ_BATCH][ST_MSG_MAX];
	_Alignas(struct cmsghdr) uint8_t control[READ_BATCH][CMSG_SPACE(4 * sizeof(int))];
	struct mmsghdr msgs[READ_BATCH];
	struct iovec iov[READ_BATCH];
	int fd = l->fd, n;

	for (int i = 0; i < READ_BATCH; i++) {
		iov[i] = (struct iovec){.iov_base = buf[i], .iov_len = sizeof(buf[i])};
		msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i],
						   .msg_iovlen = 1,
						   .msg_control = control[i],
						   .msg_controllen = sizeof(control[i])}};
	}
	n = recvmmsg(fd, msgs, READ_BATCH, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		lose(l, strerror(errno));
	for (int i = 0; i < n; i++) {
		struct datagram d = {.data = buf[i],
			.len = msgs[i].msg_len,
			.fd = fd_of(&msgs[i].msg_hdr),
			.flags = msgs[i].msg_hdr.msg_flags};

		if (l->fd == fd)
			give(l, &d);
		else if (d.fd >= 0)
			close(d.fd); // of a connection that is gone
	}
	return l->fd == fd ? MAX(n, 0) : 0;
}

static int on_readable(int fd, GIOCondition cond, void *arg)
{
	struct dp_link *l = arg;

	for (unsigned int i = 0; i < READ_BATCHES; i++)
		if (read_some(l) < READ_BATCH)
			break;
	// When the connection went away the source was removed already.
	return l->fd == fd ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static int on_writable(int fd, GIOCondition cond, void *arg)
{
	struct dp_link *l = arg;

	l->out_source = 0;
	l->ops->writable(l->arg);
	return G_SOURCE_REMOVE;
}

static int on_hello_timeout(void *arg)
{
	struct dp_link *l = arg;

	l->hello_timer = 0;
	tell_once(l, ETIMEDOUT, "strait-dp takes connections but does not answer");
	lose(l, "no answer");
	return G_SOURCE_REMOVE;
}

static int send_hello(struct dp_link *l)
{
	struct {
		struct st_msg m;
		struct st_hello h;
	} msg;

	memset(&msg, 0, sizeof(msg));
	msg.m.op = ST_OP_HELLO;
	msg.m.seq = 1;
	msg.m.body_len = sizeof(msg.h);
	msg.h.version = ST_API_VERSION;
	msg.h.role = ST_ROLE_CONTROLLER;
	msg.h.pid = (uint32_t)getpid();
	g_strlcpy(msg.h.version_text, STRAIT_VERSION, sizeof(msg.h.version_text));
	return send(l->fd, &msg, sizeof(msg), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int open_socket(struct dp_link *l)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int size = SOCKET_BUFFER;

	g_strlcpy(sa.sun_path, l->path, sizeof(sa.sun_path));
	l->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return -errno;
	// Room for a long pipeline; without the right to pass the limit the kernel gives what it allows.
	if (setsockopt(l->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		setsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (connect(l->fd, (struct sockaddr *)&sa, sizeof(sa)))
		return -errno;
	return send_hello(l);
}

static void connect_now(struct dp_link *l)
{
	int err;

	source_clear(&l->timer);
	if (l->fd >= 0)
		return;
	err = open_socket(l);
	if (err) {
		close_link(l);
		l->absent = err == -ENOENT || err == -ECONNREFUSED;
		tell_once(l, -err,
			l->absent ? "strait-dp is not running, waiting for it" : strerror(-err));
		retry_later(l);
		return;
	}
	l->absent = false;
	l->in_source = g_unix_fd_add(l->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_readable, l);
	l->hello_timer = g_timeout_add(HELLO_WAIT_MS, on_hello_timeout, l);
}

static int on_inotify(int fd, GIOCondition cond, void *arg)
{
	_Alignas(struct inotify_event) char buf[4096];
	struct dp_link *l = arg;
	bool ours = false;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (char *p = buf; p < buf + n;) {
			struct inotify_event *e = (void *)p;

			ours = ours || (e->len && !strcmp(e->name, l->name));
			p += sizeof(*e) + e->len;
		}
	}
	if (ours && l->fd < 0 && l->started) {
		// bind() makes the name, listen() follows: the shortest wait meets it.
		source_clear(&l->timer);
		l->backoff_ms = BACKOFF_MIN_MS;
		retry_later(l);
	}
	return G_SOURCE_CONTINUE;
}

// Only a short cut: when inotify is not to be had, the retry timer does it alone.
static void watch_directory(struct dp_link *l)
{
	char *dir = g_path_get_dirname(l->path);

	l->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (l->inotify_fd >= 0) {
		if (inotify_add_watch(l->inotify_fd, dir, IN_CREATE | IN_MOVED_TO | IN_ATTRIB) < 0)
			g_info("dp: cannot watch directory=%s error=\"%s\"", dir, strerror(errno));
		else
			l->inotify_source = g_unix_fd_add(l->inotify_fd, G_IO_IN, on_inotify, l);
	}
	g_free(dir);
}

struct dp_link *dp_link_new(const char *path, const struct dp_link_ops *ops, void *arg)
{
	struct dp_link *l;

	if (strlen(path) >= SOCKET_NAME_MAX) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	l = g_new0(struct dp_link, 1);
	l->path = g_strdup(path);
	l->name = g_path_get_basename(path);
	l->ops = ops;
	l->arg = arg;
	l->fd = -1;
	l->inotify_fd = -1;
	l->backoff_ms = BACKOFF_MIN_MS;
	return l;
}

void dp_link_free(struct dp_link *l)
{
	if (!l)
		return;
	l->started = false;
	l->up = false; // no callback from here
	close_link(l);
	source_clear(&l->timer);
	source_clear(&l->inotify_source);
	if (l->inotify_fd >= 0)
		close(l->inotify_fd);
	g_free(l->path);
	g_free(l->name);
	g_free(l);
}

void dp_link_start(struct dp_link *l)
{
	if (l->started)
		return;
	l->started = true;
	watch_directory(l);
	connect_now(l);
}

bool dp_link_is_up(const struct dp_link *l)
{
	return l->up;
}

bool dp_link_is_absent(const struct dp_link *l)
{
	return l->absent;
}

static int send_some(struct dp_link *l, struct iovec *iov, unsigned int n, int fd)
{
	int r;

	do {
		if (n > 1)
			r = st_send_batch(l->fd, iov, n, MSG_DONTWAIT);
		else
			r = st_send(l->fd, iov, 1, fd, MSG_DONTWAIT) ?: 1;
	} while (r == -EINTR);
	return r;
}

int dp_link_send(struct dp_link *l, struct iovec *iov, unsigned int n, int fd)
{
	int r;

	if (!l->up || l->broken)
		return -ENOTCONN;
	r = send_some(l, iov, n, fd);
	if (r == (int)n)
		return r;
	if (r > 0 || r == -EAGAIN || r == -ENOBUFS) {
		if (!l->out_source)
			l->out_source = g_unix_fd_add(l->fd, G_IO_OUT, on_writable, l);
		return r > 0 ? r : -EAGAIN;
	}
	// The reading side sees the same end and calls down(); nothing is called back from a send.
	return -ENOTCONN;
}
_Static_assert(DP_LINK_BATCH <= ST_SEND_BATCH, "one call carries them");

void dp_link_break(struct dp_link *l, const char *why)
{
	if (!l->up || l->broken)
		return;
	g_warning("dp: strait-dp broke the protocol, connecting again reason=\"%s\"", why);
	l->broken = true;
}
