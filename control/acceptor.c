// SPDX-License-Identifier: BSD-3-Clause
//
// Accepting in the main loop; see acceptor.h. Main loop thread.
#include "acceptor.h"

#include <glib-unix.h>
#include <glib.h>

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>

#define BATCH    64
#define AGAIN_MS 200

static int on_readable(int fd, GIOCondition cond, void *arg);

static int on_again(void *arg)
{
	struct acceptor *a = arg;

	a->source = g_unix_fd_add(a->fd, G_IO_IN, on_readable, a);
	return G_SOURCE_REMOVE;
}

static bool is_exhausted(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static int on_readable(int fd, GIOCondition cond, void *arg)
{
	struct acceptor *a = arg;
	unsigned int mine = a->source; // another when whoever came stopped and started it

	for (int i = 0; i < BATCH && a->source == mine; i++) {
		int s = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (s >= 0) {
			a->welcome(s, a->arg);
		} else if (is_exhausted(errno)) {
			a->source = g_timeout_add(AGAIN_MS, on_again, a);
			return G_SOURCE_REMOVE;
		} else if (errno == EAGAIN) {
			break;
		}
	}
	return G_SOURCE_CONTINUE;
}

void acceptor_start(struct acceptor *a)
{
	if (!a->source)
		a->source = g_unix_fd_add(a->fd, G_IO_IN, on_readable, a);
}

void acceptor_stop(struct acceptor *a)
{
	if (a->source)
		g_source_remove(a->source);
	a->source = 0;
}
