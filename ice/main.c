// SPDX-License-Identifier: BSD-3-Clause
//
// strait-ice: libnice agents for straitd, which starts it and owns every socket. It has no key, no
// capability and no socket that leads anywhere; when libnice aborts, agents that were still connecting are lost and
// straitd starts it anew. Main thread: the self-test, then it waits for the shards.
#include "agent.h"
#include "sandbox.h"
#include "self_test.h"

#include <glib-unix.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAIL_TEST_ENV "STRAIT_ICE_FAIL_SELF_TEST" // of the tests

#define BATCH 64 // messages taken before agents get their turn

static size_t message_len(uint16_t type)
{
	switch (type) {
	case ICE_MSG_NEW:
		return sizeof(struct ice_msg_new);
	case ICE_MSG_REMOTE:
		return sizeof(struct ice_msg_remote);
	case ICE_MSG_REMOTE_CANDIDATE:
		return sizeof(struct ice_msg_candidate);
	case ICE_MSG_CLOSE:
		return sizeof(struct ice_msg);
	case ICE_MSG_DATAGRAM:
		return sizeof(struct ice_msg_datagram);
	default:
		return SIZE_MAX;
	}
}

static bool fits(const struct ice_msg *head, size_t len)
{
	const struct ice_msg_datagram *d = (const struct ice_msg_datagram *)head;

	if (len < sizeof(*head) || len < message_len(head->type))
		return false;
	return head->type == ICE_MSG_DATAGRAM ? d->len == len - sizeof(*d)
					      : len == message_len(head->type);
}

static void take(struct shard *s, void *buf, size_t len)
{
	struct ice_msg *head = buf;
	struct agent *a;

	if (!fits(head, len))
		return;
	if (head->type == ICE_MSG_NEW) {
		agent_new(s, buf);
		return;
	}
	a = g_hash_table_lookup(s->agents, GUINT_TO_POINTER(head->agent));
	if (!a)
		return; // it went while the message was under way
	switch (head->type) {
	case ICE_MSG_REMOTE:
		agent_remote(a, buf);
		break;
	case ICE_MSG_REMOTE_CANDIDATE:
		agent_remote_candidate(a, buf);
		break;
	case ICE_MSG_CLOSE:
		agent_close(a);
		break;
	case ICE_MSG_DATAGRAM:
		agent_datagram(a, buf, (uint8_t *)buf + sizeof(struct ice_msg_datagram));
		break;
	}
}

static gboolean on_readable(gint fd, GIOCondition cond, gpointer arg)
{
	_Alignas(8) uint8_t buf[ICE_MSG_MAX];
	struct shard *s = arg;

	for (int n = 0; n < BATCH; n++) {
		ssize_t len = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (len < 0 && (errno == EAGAIN || errno == EINTR))
			return G_SOURCE_CONTINUE;
		if (len <= 0) {
			// straitd is gone.
			g_main_loop_quit(s->loop);
			return G_SOURCE_REMOVE;
		}
		take(s, buf, (size_t)len);
	}
	return G_SOURCE_CONTINUE;
}

static gpointer shard_run(gpointer arg)
{
	struct shard *s = arg;
	GSource *source = g_unix_fd_source_new(s->fd, G_IO_IN);

	g_main_context_push_thread_default(s->context);
	g_source_set_callback(source, G_SOURCE_FUNC(on_readable), s, NULL);
	g_source_attach(source, s->context);
	g_main_loop_run(s->loop);
	// Without one shard straitd starts all of them anew.
	_exit(0);
}

static int shard_begin(struct shard *s, unsigned int number, int status)
{
	struct ice_msg_ready ready = {
		.head.type = ICE_MSG_READY, .version = ICE_MSG_VERSION, .self_test = status};

	s->fd = ICE_FD_FIRST + (int)number;
	s->context = g_main_context_new();
	s->loop = g_main_loop_new(s->context, FALSE);
	s->agents = g_hash_table_new(NULL, NULL);
	return send(s->fd, &ready, sizeof(ready), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int usage(void)
{
	fprintf(stderr, "strait-ice is started by straitd and of no use by itself.\n");
	return 2;
}

static bool started_by_straitd(void)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return !getsockopt(ICE_FD_FIRST, SOL_SOCKET, SO_TYPE, &type, &len) && type == SOCK_SEQPACKET;
}

int main(int argc, char **argv)
{
	static struct shard shards[ICE_SHARDS];
	int prepared, status, r;
	GSource *reader;

	if (argc < 1 || !started_by_straitd())
		return usage();
	prepared = shim_prepare(argv + 1);
	r = sandbox_begin();
	if (r) {
		fprintf(stderr, "strait-ice: cannot give up rights error=\"%s\"\n", strerror(-r));
		return 1;
	}
	status = prepared ? prepared : self_test();
	if (getenv(FAIL_TEST_ENV) && !shim_has_sockets)
		status = -ENOTSUP;
	r = sandbox_close();
	if (r) {
		fprintf(stderr, "strait-ice: no seccomp filter error=\"%s\"\n", strerror(-r));
		return 1;
	}
	for (unsigned int n = 0; n < ICE_SHARDS; n++) {
		if (shard_begin(&shards[n], n, status))
			return 1;
	}
	reader = shim_source_new();
	if (reader)
		g_source_attach(reader, shards[0].context);
	for (unsigned int n = 1; n < ICE_SHARDS; n++)
		g_thread_unref(g_thread_new("shard", shard_run, &shards[n]));
	shard_run(&shards[0]);
	return 0;
}
