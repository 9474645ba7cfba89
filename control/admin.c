// SPDX-License-Identifier: BSD-3-Clause
//
// The admin socket. Main loop thread. A client costs at most one line of input and one reply of output:
// while a reply is on its way out, nothing more is read from that client. Nothing here blocks.
#include "admin.h"

#include "acceptor.h"

#include <cjson/cJSON.h>
#include <glib-unix.h>
#include <glib.h>

#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS_MAX 32 // the next one is told so and closed
#define IDLE_S      60
#define READ_SIZE   4096

struct client {
	struct admin *admin;
	int fd;
	unsigned int in_source, out_source, idle_timer;
	GString *in, *out;
	size_t written; // of out
	bool closing;   // after what is in out
	bool follows;
	uint64_t missed; // lines, since the last that it got
};

struct admin {
	char *path;
	gid_t gid; // of the socket
	struct acceptor acceptor;
	unsigned int idle_s;
	const struct admin_verb *verbs;
	void *arg;
	GPtrArray *clients;
};

static void client_serve(struct client *c);
static int on_client_in(int fd, GIOCondition cond, void *arg);

static void client_free(struct client *c)
{
	if (c->in_source)
		g_source_remove(c->in_source);
	if (c->out_source)
		g_source_remove(c->out_source);
	if (c->idle_timer)
		g_source_remove(c->idle_timer);
	close(c->fd);
	g_string_free(c->in, TRUE);
	g_string_free(c->out, TRUE);
	g_free(c);
}

static void client_drop(struct client *c)
{
	g_ptr_array_remove_fast(c->admin->clients, c); // frees
}

static int on_idle(void *arg)
{
	struct client *c = arg;

	c->idle_timer = 0;
	client_drop(c);
	return G_SOURCE_REMOVE;
}

static void rearm_idle(struct client *c)
{
	if (c->idle_timer)
		g_source_remove(c->idle_timer);
	c->idle_timer = c->follows ? 0 : g_timeout_add_seconds(c->admin->idle_s, on_idle, c);
}

static char *run_verb(struct client *c, const cJSON *request, cJSON *reply)
{
	struct admin *a = c->admin;
	const cJSON *verb = cJSON_GetObjectItemCaseSensitive(request, "verb");

	if (!cJSON_IsObject(request))
		return g_strdup("a request is a JSON object with a \"verb\"");
	if (!cJSON_IsString(verb))
		return g_strdup("\"verb\" is missing or not a string");
	for (const struct admin_verb *v = a->verbs; v->name; v++)
		if (!strcmp(v->name, verb->valuestring)) {
			c->follows = v->follows && cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(
							   request, "follow"));
			rearm_idle(c);
			return v->run(request, reply, a->arg);
		}
	return g_strdup_printf("no such verb: %.40s", verb->valuestring);
}

static void answer(struct client *c, const char *line, size_t len)
{
	const char *end = line + len;
	cJSON *request = cJSON_ParseWithLengthOpts(line, len, &end, 0);
	cJSON *reply = cJSON_CreateObject();
	char *error, *text;

	if (request && end + strspn(end, " \t\r") != line + len) {
		cJSON_Delete(request);
		request = NULL; // something behind the document
	}
	// cJSON keeps the order of insertion, and people read "ok" first.
	cJSON_AddBoolToObject(reply, "ok", true);
	error = request ? run_verb(c, request, reply) : g_strdup("not a JSON document");
	if (error) {
		char *utf8 = g_utf8_make_valid(error, -1);

		cJSON_Delete(reply);
		reply = cJSON_CreateObject();
		cJSON_AddBoolToObject(reply, "ok", false);
		cJSON_AddStringToObject(reply, "error", utf8);
		g_free(utf8);
		g_free(error);
	}
	text = cJSON_PrintUnformatted(reply);
	g_string_append(c->out, text ? text : "{\"ok\":false,\"error\":\"out of memory\"}");
	g_string_append_c(c->out, '\n');
	cJSON_free(text);
	cJSON_Delete(reply);
	cJSON_Delete(request);
}

static int on_client_out(int fd, GIOCondition cond, void *arg)
{
	struct client *c = arg;

	c->out_source = 0;
	client_serve(c);
	return G_SOURCE_REMOVE;
}

static void append_missed(struct client *c)
{
	g_string_append_printf(
		c->out, "{\"event\":\"missed\",\"count\":%" G_GUINT64_FORMAT "}\n", c->missed);
	c->missed = 0;
}

// 1: all written, 0: later, -1: the client is gone.
static int flush(struct client *c)
{
	while (c->written < c->out->len) {
		ssize_t n = send(c->fd, c->out->str + c->written, c->out->len - c->written,
			MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (!c->out_source)
				c->out_source = g_unix_fd_add(c->fd, G_IO_OUT, on_client_out, c);
			return 0;
		}
		if (n < 0)
			return -1;
		c->written += (size_t)n;
	}
	g_string_truncate(c->out, 0);
	c->written = 0;
	if (!c->missed)
		return 1;
	append_missed(c); // not only with the next line, which may be long in coming
	return flush(c);
}

// Answers whole lines one by one, each only when the answer before it has been taken.
static void client_serve(struct client *c)
{
	for (;;) {
		int r = flush(c);
		char *nl;
		size_t len;

		if (r < 0 || (r > 0 && c->closing)) {
			client_drop(c);
			return;
		}
		if (r == 0)
			return;
		nl = memchr(c->in->str, '\n', c->in->len);
		len = nl ? (size_t)(nl - c->in->str) : c->in->len;
		if (len > ADMIN_LINE_MAX) {
			g_string_assign(c->out, "{\"ok\":false,\"error\":\"line too long\"}\n");
			c->closing = true;
			continue;
		}
		if (!nl)
			break;
		if (len)
			answer(c, c->in->str, len);
		g_string_erase(c->in, 0, (gssize)len + 1);
	}
	if (!c->in_source)
		c->in_source = g_unix_fd_add(c->fd, G_IO_IN | G_IO_HUP, on_client_in, c);
}

static int on_client_in(int fd, GIOCondition cond, void *arg)
{
	struct client *c = arg;
	char buf[READ_SIZE];
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return G_SOURCE_CONTINUE;
	c->in_source = 0; // client_serve asks again when it wants more
	if (n <= 0) {
		client_drop(c);
		return G_SOURCE_REMOVE;
	}
	g_string_append_len(c->in, buf, n);
	rearm_idle(c);
	client_serve(c); // may free it
	return G_SOURCE_REMOVE;
}

// ---- those who follow ------------------------------------------------------------------------------

bool admin_followed(const struct admin *a)
{
	for (guint n = 0; n < a->clients->len; n++) {
		if (((const struct client *)a->clients->pdata[n])->follows)
			return true;
	}
	return false;
}

// What cannot be written waits for the loop; a client that is gone is dropped by it as well, as admin_push may
// be called from anywhere.
void admin_push(struct admin *a, const struct cJSON *line)
{
	char *text = cJSON_PrintUnformatted(line);

	for (guint n = 0; text && n < a->clients->len; n++) {
		struct client *c = a->clients->pdata[n];

		if (!c->follows)
			continue;
		if (c->out->len - c->written > ADMIN_FOLLOW_MAX) {
			c->missed++;
			continue;
		}
		if (c->missed)
			append_missed(c);
		g_string_append(c->out, text);
		g_string_append_c(c->out, '\n');
		if (!c->out_source)
			c->out_source = g_unix_fd_add(c->fd, G_IO_OUT, on_client_out, c);
	}
	cJSON_free(text);
}

static bool peer_is_in(int fd, gid_t gid)
{
	socklen_t len = 0;
	gid_t *groups;
	bool found = false;

	// Asked without room it says how much it needs.
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) || errno != ERANGE)
		return false;
	groups = g_malloc(len);
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len)) {
		for (size_t i = 0; i < len / sizeof(*groups); i++)
			found = found || groups[i] == gid;
	}
	g_free(groups);
	return found;
}

// The mode of the file says the same, but it is only a file: somebody can change it.
static bool is_allowed(const struct admin *a, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return false;
	if (!peer.uid || peer.uid == geteuid() || peer.gid == a->gid || peer_is_in(fd, a->gid))
		return true;
	g_warning("admin: refused a client uid=%u pid=%d", peer.uid, peer.pid);
	return false;
}

static void refuse(int fd, const char *why)
{
	char *line = g_strdup_printf("{\"ok\":false,\"error\":\"%s\"}\n", why);

	if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0)
		g_info("admin: cannot refuse a client error=\"%s\"", strerror(errno));
	g_free(line);
	close(fd);
}

static void welcome(int fd, void *arg)
{
	struct admin *a = arg;
	struct client *c;

	if (a->clients->len >= CLIENTS_MAX) {
		refuse(fd, "too many admin clients");
		return;
	}
	if (!is_allowed(a, fd)) {
		refuse(fd, "not allowed: only to root, the daemon's user and members of the "
			   "socket's group");
		return;
	}
	c = g_new0(struct client, 1);
	c->admin = a;
	c->fd = fd;
	c->in = g_string_new(NULL);
	c->out = g_string_new(NULL);
	c->in_source = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP, on_client_in, c);
	rearm_idle(c);
	g_ptr_array_add(a->clients, c);
}

static void give_to_group(const char *path, const char *group)
{
	struct group *gr = group ? getgrnam(group) : NULL;
	struct stat st;

	// The run directory is setgid, so it is the group's already unless somebody else made it.
	if (!gr || stat(path, &st) || st.st_gid == gr->gr_gid)
		return;
	if (chown(path, (uid_t)-1, gr->gr_gid))
		g_warning("admin: cannot give socket=%s to group=%s error=\"%s\"", path, group,
			strerror(errno));
}

static int listen_at(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	mode_t old;
	int fd, err = 0;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	g_strlcpy(sa.sun_path, path, sizeof(sa.sun_path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	unlink(path); // of a straitd that was killed; the lock file says that none lives
	old = umask(0117);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) || listen(fd, CLIENTS_MAX))
		err = -errno;
	umask(old);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

struct admin *admin_new(const char *path, const char *group, const struct admin_verb *verbs, void *arg)
{
	struct admin *a;
	struct stat st;
	int fd = listen_at(path);

	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	give_to_group(path, group);
	a = g_new0(struct admin, 1);
	a->path = g_strdup(path);
	a->gid = stat(path, &st) ? getegid() : st.st_gid;
	a->acceptor = (struct acceptor){.fd = fd, .welcome = welcome, .arg = a};
	a->verbs = verbs;
	a->arg = arg;
	a->idle_s = IDLE_S;
	a->clients = g_ptr_array_new_with_free_func((GDestroyNotify)client_free);
	acceptor_start(&a->acceptor);
	return a;
}

void admin_idle_after(struct admin *a, unsigned int seconds)
{
	a->idle_s = seconds;
}

void admin_free(struct admin *a)
{
	if (!a)
		return;
	acceptor_stop(&a->acceptor);
	g_ptr_array_free(a->clients, TRUE);
	close(a->acceptor.fd);
	unlink(a->path);
	g_free(a->path);
	g_free(a);
}
