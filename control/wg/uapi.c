// SPDX-License-Identifier: BSD-3-Clause
//
// UAPI sockets; see uapi.h. Main loop thread. Buffers can hold private keys and are wiped.
#include "uapi.h"

#include "../acceptor.h"

#include <glib-unix.h>
#include <sodium.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_CHUNK 4096

struct uapi_client {
	struct uapi *uapi; // NULL: the interface is gone
	GList link;
	int fd; // -1: the peer hung up while an answer was being made
	guint in, out;
	bool getting; // an answer is being made
	struct uapi_parser *parser;
	char line[UAPI_LINE_MAX + 1];
	size_t line_len;
	bool overlong;
	char chunk[READ_CHUNK]; // read, not yet parsed
	size_t chunk_len, chunk_pos;
	GString *output;
	size_t output_pos;
};

struct uapi {
	const struct uapi_ops *ops;
	void *arg;
	struct acceptor acceptor;
	char *path;
	GQueue clients;
};

static gboolean client_readable(gint fd, GIOCondition cond, gpointer arg);
static gboolean client_writable(gint fd, GIOCondition cond, gpointer arg);

static void text_free(GString *text)
{
	if (!text)
		return;
	sodium_memzero(text->str, text->allocated_len);
	g_string_free(text, TRUE);
}

static void client_free(struct uapi_client *c)
{
	uapi_parser_free(c->parser);
	text_free(c->output);
	sodium_memzero(c, sizeof(*c));
	g_free(c);
}

static void client_detach(struct uapi_client *c)
{
	if (c->in)
		g_source_remove(c->in);
	if (c->out)
		g_source_remove(c->out);
	c->in = c->out = 0;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	if (c->uapi) {
		g_queue_unlink(&c->uapi->clients, &c->link);
		acceptor_start(&c->uapi->acceptor);
	}
}

static void client_close(struct uapi_client *c)
{
	client_detach(c);
	if (!c->getting)
		client_free(c);
}

// False: the client is gone.
static bool client_flush(struct uapi_client *c)
{
	while (c->output_pos < c->output->len) {
		ssize_t n = send(c->fd, c->output->str + c->output_pos,
			c->output->len - c->output_pos, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (!c->out)
				c->out = g_unix_fd_add(c->fd, G_IO_OUT, client_writable, c);
			return true;
		}
		if (n < 0) {
			client_close(c);
			return false;
		}
		c->output_pos += (size_t)n;
	}
	text_free(c->output);
	c->output = g_string_new(NULL);
	c->output_pos = 0;
	return true;
}

// The next line of the chunk into c->line. False: the chunk has no more.
static bool next_line(struct uapi_client *c)
{
	while (c->chunk_pos < c->chunk_len) {
		char ch = c->chunk[c->chunk_pos++];

		if (ch == '\n') {
			c->line[c->line_len] = 0;
			return true;
		}
		// A NUL would hide the rest of its line.
		if (c->line_len == UAPI_LINE_MAX || !ch)
			c->overlong = true;
		else
			c->line[c->line_len++] = ch;
	}
	return false;
}

static enum uapi_result client_line(struct uapi_client *c, int *error)
{
	enum uapi_result r;

	r = uapi_parser_line(c->parser, c->overlong ? NULL : c->line, error);
	sodium_memzero(c->line, sizeof(c->line));
	c->line_len = 0;
	c->overlong = false;
	return r;
}

// Parses until an answer has to wait. False: the client is gone.
static bool client_run(struct uapi_client *c)
{
	int error = 0;

	while (!c->getting && !c->out && next_line(c)) {
		switch (client_line(c, &error)) {
		case UAPI_MORE:
			break;
		case UAPI_GET:
			c->getting = true;
			c->uapi->ops->get(c, c->uapi->arg);
			break;
		case UAPI_REPLY:
			// Negative, as the tools expect it.
			g_string_append_printf(c->output, "errno=%d\n\n", -error);
			if (!client_flush(c))
				return false;
			break;
		}
	}
	if (c->chunk_pos == c->chunk_len)
		sodium_memzero(c->chunk, sizeof(c->chunk));
	if (!c->getting && !c->out && !c->in)
		c->in = g_unix_fd_add(c->fd, G_IO_IN, client_readable, c);
	return true;
}

static gboolean client_readable(gint fd, GIOCondition cond, gpointer arg)
{
	struct uapi_client *c = arg;
	ssize_t n = read(fd, c->chunk, sizeof(c->chunk));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return G_SOURCE_CONTINUE;
	c->in = 0; // this source ends here; client_run makes another when it wants more
	if (n <= 0) {
		client_close(c);
		return G_SOURCE_REMOVE;
	}
	c->chunk_len = (size_t)n;
	c->chunk_pos = 0;
	(void)client_run(c);
	return G_SOURCE_REMOVE;
}

static gboolean client_writable(gint fd, GIOCondition cond, gpointer arg)
{
	struct uapi_client *c = arg;

	c->out = 0;
	if (client_flush(c))
		(void)client_run(c);
	return G_SOURCE_REMOVE;
}

bool uapi_client_orphaned(const struct uapi_client *c)
{
	return !c->uapi;
}

static gboolean run_later(gpointer arg)
{
	struct uapi_client *c = arg;

	c->in = 0;
	if (client_flush(c))
		(void)client_run(c);
	return G_SOURCE_REMOVE;
}

void uapi_get_done(struct uapi_client *c, GString *text)
{
	c->getting = false;
	if (c->fd < 0 || !text) {
		text_free(text);
		client_close(c);
		return;
	}
	g_string_append_len(c->output, text->str, (gssize)text->len);
	g_string_append(c->output, "errno=0\n\n");
	text_free(text);
	// Not from here: the caller may be client_run itself.
	c->in = g_idle_add_full(G_PRIORITY_DEFAULT, run_later, c, NULL);
}

static void welcome(int fd, void *arg)
{
	struct uapi *u = arg;
	struct uapi_client *c = g_new0(struct uapi_client, 1);

	c->uapi = u;
	c->link.data = c;
	c->fd = fd;
	c->parser = uapi_parser_new(&u->ops->set, u->arg);
	c->output = g_string_new(NULL);
	c->in = g_unix_fd_add(fd, G_IO_IN, client_readable, c);
	g_queue_push_tail_link(&u->clients, &c->link);
	if (u->clients.length >= UAPI_MAX_CLIENTS)
		acceptor_stop(&u->acceptor);
}

// A path that nobody answers on is left over from a process that was killed.
static int path_clear(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r = 0;

	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)sa, sizeof(*sa)))
		r = -EADDRINUSE;
	else if (errno == ECONNREFUSED && unlink(sa->sun_path) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int listen_on(const struct sockaddr_un *sa)
{
	int fd, r = path_clear(sa);
	mode_t mask;

	if (r)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	mask = umask(0077);
	r = bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 ? -errno : 0;
	umask(mask);
	if (!r && listen(fd, UAPI_MAX_CLIENTS) < 0)
		r = -errno;
	if (!r)
		return fd;
	close(fd);
	return r;
}

struct uapi *uapi_new(
	const char *dir, const char *name, const struct uapi_ops *ops, void *arg, int *ret_error)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	g_autofree char *path = g_strdup_printf("%s/%s.sock", dir, name);
	struct uapi *u;
	int fd;

	*ret_error = -ENAMETOOLONG;
	if (strlen(path) >= sizeof(sa.sun_path))
		return NULL;
	memcpy(sa.sun_path, path, strlen(path));
	if (g_mkdir_with_parents(dir, 0755) < 0) {
		*ret_error = -errno;
		return NULL;
	}
	fd = listen_on(&sa);
	if (fd < 0) {
		*ret_error = fd;
		return NULL;
	}
	u = g_new0(struct uapi, 1);
	u->ops = ops;
	u->arg = arg;
	u->acceptor = (struct acceptor){.fd = fd, .welcome = welcome, .arg = u};
	u->path = g_steal_pointer(&path);
	g_queue_init(&u->clients);
	acceptor_start(&u->acceptor);
	*ret_error = 0;
	return u;
}

void uapi_free(struct uapi *u)
{
	if (!u)
		return;
	while (u->clients.head) {
		struct uapi_client *c = u->clients.head->data;

		g_queue_unlink(&u->clients, &c->link);
		c->uapi = NULL;
		client_close(c);
	}
	acceptor_stop(&u->acceptor);
	close(u->acceptor.fd);
	unlink(u->path);
	g_free(u->path);
	g_free(u);
}
