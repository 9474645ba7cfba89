// SPDX-License-Identifier: BSD-3-Clause
//
// The process strait-ice: started with the first attempt and again when it died, one socket pair per shard.
// Main loop thread. Nothing here waits: datagrams that find no room are lost, other messages queue.
#include "../addr.h"
#include "ice_internal.h"

#include <glib-unix.h>

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH        64
#define BUFFER_BYTES (1 << 20)
#define QUEUE_MAX                                                                                  \
	4096 // messages that wait for one shard; beyond it strait-ice is stuck, and killed
#define RESTART_MS    1000 // between two starts
#define NEEDS_PORTS   "self-test failed: libnice does not go through our sockets (another version?)"
#define SHIM_PROGRAM  "strait-ice"
#define TUN_PROGRAM   "strait-ice-tun"
#define FAIL_TEST_ENV "STRAIT_ICE_FAIL_SELF_TEST" // of the tests: as if it had

struct shard_end {
	struct ice_link *link;
	int fd; // -1 = closed
	guint source, writable;
	GQueue waiting; // of GBytes *
};

struct ice_link {
	struct ice *ice;
	GPid pid;    // 0 = not running
	guint stuck; // idle source that ends it
	uint64_t started_ms;
	bool ready; // a shard said so
	bool tun;   // the shim does not work here: libnice has sockets in a namespace of its own
	bool unusable;
	struct shard_end shards[ICE_SHARDS];
};

struct ice_link *ice_link_new(struct ice *ice)
{
	struct ice_link *l = g_new0(struct ice_link, 1);

	l->ice = ice;
	for (int n = 0; n < ICE_SHARDS; n++) {
		l->shards[n].link = l;
		l->shards[n].fd = -1;
		g_queue_init(&l->shards[n].waiting);
	}
	return l;
}

static void shard_close(struct shard_end *s)
{
	if (s->fd < 0)
		return;
	g_source_remove(s->source);
	if (s->writable)
		g_source_remove(s->writable);
	close(s->fd);
	s->fd = -1;
	s->source = s->writable = 0;
	g_queue_clear_full(&s->waiting, (GDestroyNotify)g_bytes_unref);
}

static void on_reaped(GPid pid, gint status, gpointer arg)
{
	g_spawn_close_pid(pid);
}

// Its agents are gone whatever it was; the pid is reaped when it ends.
static void link_down(struct ice_link *l, const char *why)
{
	if (!l->pid)
		return;
	kill(l->pid, SIGKILL);
	l->pid = 0;
	for (int n = 0; n < ICE_SHARDS; n++)
		shard_close(&l->shards[n]);
	if (!why)
		return;
	l->ice->counters.process_deaths++;
	g_warning("ice: strait-ice ended, attempts under way are lost interface=%s why=\"%s\"",
		l->ice->env.name, why);
	ice_agents_lost(l->ice, why);
}

void ice_link_free(struct ice_link *l)
{
	link_down(l, NULL);
	if (l->stuck)
		g_source_remove(l->stuck);
	g_free(l);
}

static void on_ready(struct ice_link *l, const struct ice_msg_ready *m)
{
	if (m->version == ICE_MSG_VERSION && !m->self_test) {
		l->ready = true;
		return;
	}
	if (l->unusable)
		return;
	if (m->version == ICE_MSG_VERSION && !l->tun) {
		l->tun = true;
		l->started_ms = 0; // at once
		g_warning("ice: each peer gets a port of its own interface=%s why=\"%s\"",
			l->ice->env.name, NEEDS_PORTS);
		link_down(l, NULL);
		ice_agents_lost(l->ice, "strait-ice begins anew, with a port per peer");
		return;
	}
	l->unusable = true;
	g_critical("ice: no ICE for interface=%s error=\"%s\"", l->ice->env.name,
		m->version != ICE_MSG_VERSION
			? "strait-ice is of another version"
			: "strait-ice-tun has no network namespace with a TUN (user namespaces "
			  "and /dev/net/tun are needed)");
}

static gboolean on_readable(gint fd, GIOCondition cond, gpointer arg)
{
	_Alignas(8) static uint8_t buf[ICE_MSG_MAX];
	struct shard_end *s = arg;
	struct ice_link *l = s->link;

	for (int n = 0; n < BATCH && s->fd == fd; n++) {
		const struct ice_msg *msg = (const struct ice_msg *)buf;
		ssize_t len = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (len < 0 && (errno == EAGAIN || errno == EINTR))
			return G_SOURCE_CONTINUE;
		if (len <= 0) {
			link_down(l, "it closed its socket: an abort of libnice, or it was killed");
			return G_SOURCE_CONTINUE; // removed by link_down
		}
		if ((size_t)len < sizeof(*msg))
			continue;
		if (msg->type != ICE_MSG_READY)
			ice_agent_message(l->ice, msg, (size_t)len);
		else if ((size_t)len == sizeof(struct ice_msg_ready))
			on_ready(l, (const struct ice_msg_ready *)buf);
	}
	return G_SOURCE_CONTINUE;
}

// Beside straitd (a build tree, an installation by prefix), else where packages put it.
static char *program_path(const struct ice_link *l)
{
	static const char *const places[] = {".", "../ice", "../libexec"};
	const char *program = l->tun ? TUN_PROGRAM : SHIM_PROGRAM;
	char *self, *dir, *path = NULL;

	if (l->ice->program)
		return g_strdup(l->ice->program);
	self = g_file_read_link("/proc/self/exe", NULL);
	dir = self ? g_path_get_dirname(self) : g_strdup(".");
	for (unsigned int n = 0; n < G_N_ELEMENTS(places) && !path; n++) {
		path = g_build_filename(dir, places[n], program, NULL);
		if (!g_file_test(path, G_FILE_TEST_IS_EXECUTABLE))
			g_clear_pointer(&path, g_free);
	}
	g_free(self);
	g_free(dir);
	return path ? path : g_build_filename("/usr/libexec", program, NULL);
}

// strait-ice-tun is told the addresses that it shall have: later it may add none.
static char **arguments(const struct ice_link *l, const char *path)
{
	GPtrArray *argv = g_ptr_array_new();

	g_ptr_array_add(argv, g_strdup(path));
	for (guint n = 0; l->tun && n < l->ice->hosts->len; n++) {
		char text[ADDR_TEXT_MAX];

		addr_text(text, &g_array_index(l->ice->hosts, struct st_addr, n));
		g_ptr_array_add(argv, g_strdup(text));
	}
	g_ptr_array_add(argv, NULL);
	return (char **)g_ptr_array_free(argv, FALSE);
}

static bool spawn(struct ice_link *l, const int theirs[ICE_SHARDS])
{
	char *path = program_path(l), **argv = arguments(l, path);
	char *envp[] = {(char *)"PATH=/usr/bin:/bin",
		g_getenv(FAIL_TEST_ENV) ? (char *)FAIL_TEST_ENV "=1" : NULL, NULL};
	int targets[ICE_SHARDS];
	GError *error = NULL;
	gboolean ok;

	for (int n = 0; n < ICE_SHARDS; n++)
		targets[n] = ICE_FD_FIRST + n;
	ok = g_spawn_async_with_pipes_and_fds("/", (const gchar *const *)argv,
		(const gchar *const *)envp, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, -1, -1, -1,
		theirs, targets, ICE_SHARDS, &l->pid, NULL, NULL, NULL, &error);
	if (!ok) {
		l->pid = 0;
		g_critical("ice: cannot start strait-ice path=%s error=\"%s\"", path, error->message);
		g_error_free(error);
	}
	g_strfreev(argv);
	g_free(path);
	return ok;
}

static void shard_open(struct shard_end *s, int fd)
{
	s->fd = fd;
	s->source = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP, on_readable, s);
}

static bool pair_open(int ours[ICE_SHARDS], int theirs[ICE_SHARDS])
{
	int size = BUFFER_BYTES, fds[2];

	for (int n = 0; n < ICE_SHARDS; n++) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds)) {
			while (n-- > 0) {
				close(ours[n]);
				close(theirs[n]);
			}
			return false;
		}
		ours[n] = fds[0];
		theirs[n] = fds[1];
		for (int e = 0; e < 2; e++) {
			if (setsockopt(fds[e], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
				setsockopt(fds[e], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		}
	}
	return true;
}

bool ice_link_start(struct ice_link *l)
{
	int ours[ICE_SHARDS], theirs[ICE_SHARDS];
	bool ok;

	if (l->pid || l->unusable)
		return !l->unusable;
	if (l->started_ms && ice_now() < l->started_ms + RESTART_MS)
		return false;
	l->started_ms = ice_now();
	if (!pair_open(ours, theirs))
		return false;
	ok = spawn(l, theirs);
	for (int n = 0; n < ICE_SHARDS; n++) {
		close(theirs[n]);
		if (ok)
			shard_open(&l->shards[n], ours[n]);
		else
			close(ours[n]);
	}
	if (!ok)
		return false;
	l->ready = false;
	l->ice->counters.process_starts++;
	g_child_watch_add(l->pid, on_reaped, NULL);
	return true;
}

static struct shard_end *shard_of(struct ice_link *l, uint32_t agent)
{
	return &l->shards[agent % ICE_SHARDS];
}

static gboolean on_writable(gint fd, GIOCondition cond, gpointer arg)
{
	struct shard_end *s = arg;

	while (s->waiting.length) {
		gsize len;
		const void *data = g_bytes_get_data(s->waiting.head->data, &len);

		if (send(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			return G_SOURCE_CONTINUE; // or it is closed, which on_readable sees
		g_bytes_unref(g_queue_pop_head(&s->waiting));
	}
	s->writable = 0;
	return G_SOURCE_REMOVE;
}

static gboolean on_stuck(gpointer arg)
{
	struct ice_link *l = arg;

	l->stuck = 0;
	link_down(l, "it does not read what it is told");
	return G_SOURCE_REMOVE;
}

bool ice_link_tell(struct ice_link *l, uint32_t agent, const void *msg, size_t len)
{
	struct shard_end *s = shard_of(l, agent);

	if (s->fd < 0)
		return false;
	if (!s->waiting.length && send(s->fd, msg, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return true;
	if (s->waiting.length >= QUEUE_MAX) {
		if (!l->stuck)
			l->stuck = g_idle_add(on_stuck, l);
		return false;
	}
	g_queue_push_tail(&s->waiting, g_bytes_new(msg, len));
	if (!s->writable)
		s->writable = g_unix_fd_add(s->fd, G_IO_OUT, on_writable, s);
	return true;
}

void ice_link_datagram(struct ice_link *l, uint32_t agent, const struct st_addr *local,
	uint16_t local_port_be, const struct st_addr *remote, uint16_t remote_port_be,
	const uint8_t *data, size_t len)
{
	struct shard_end *s = shard_of(l, agent);
	struct ice_msg_datagram head = {
		.head = {.type = ICE_MSG_DATAGRAM, .agent = agent}, .len = (uint32_t)len};
	struct iovec iov[] = {{&head, sizeof(head)}, {(void *)data, len}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};

	ice_set_addr(&head.local, local, local_port_be);
	ice_set_addr(&head.remote, remote, remote_port_be);
	if (s->fd < 0 || s->waiting.length || len > ICE_MSG_DATA_MAX ||
		sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		l->ice->counters.link_dropped++;
}

bool ice_link_up(const struct ice_link *l)
{
	return !l->unusable;
}

pid_t ice_link_pid(const struct ice_link *l)
{
	return l->pid;
}

const char *ice_link_needs_ports(const struct ice_link *l)
{
	return l->tun ? NEEDS_PORTS : NULL;
}

void ice_link_hosts_changed(struct ice_link *l)
{
	if (!l->tun || !l->pid)
		return;
	l->started_ms = 0;
	link_down(l, NULL);
	ice_agents_lost(l->ice, "addresses of this box changed");
}
