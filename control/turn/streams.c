// SPDX-License-Identifier: BSD-3-Clause
//
// TCP and TLS clients; see streams.h. Main loop thread. A connection is a file descriptor and some bytes until
// its client has authenticated, and there are so many per source and no more.
#include "streams.h"

#include "../acceptor.h"
#include "../addr.h"
#include "relay_kernel.h"
#include "server_parts.h"
#include "tls.h"

#include <glib-unix.h>
#include <sodium.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG          512
#define READ_CHUNK       16384
#define READS_PER_WAKEUP 8
#define TLS_HANDSHAKE    0x16 // first byte of a ClientHello's record

enum state {
	SNIFFING, // no byte yet
	SHAKING,
	OPEN,
};

struct listener {
	struct turn_streams *streams;
	struct turn_config_listen config;
	bool v4;
	struct acceptor acceptor;
};

struct connection {
	struct turn_streams *streams;
	struct turn_tuple tuple;
	bool may_plain, may_tls;
	enum state state;
	int fd;
	unsigned int in, out; // sources
	struct turn_tls_session *tls;
	GByteArray *inbuf, *outbuf;
	uint64_t began_ms, bare_ms; // without an allocation since
	char *source_name;
	bool dead; // freed when the stack is back at the main loop
};

struct turn_streams {
	struct turn *turn;
	struct turn_tls *tls;
	GPtrArray *listeners;    // of struct listener *
	GHashTable *connections; // id -> struct connection *
	struct turn_counts *by_source;
	struct turn_buckets handshakes;
	uint32_t next_id;
};

static gboolean on_readable(gint fd, GIOCondition cond, gpointer arg);
static gboolean on_writable(gint fd, GIOCondition cond, gpointer arg);

// ---- connections -----------------------------------------------------------------------------------

static void connection_free(void *arg)
{
	struct connection *c = arg;

	if (c->in)
		g_source_remove(c->in);
	if (c->out)
		g_source_remove(c->out);
	turn_tls_session_free(c->tls);
	close(c->fd);
	turn_counts_sub(c->streams->by_source, c->source_name);
	g_free(c->source_name);
	g_byte_array_free(c->inbuf, TRUE);
	g_byte_array_free(c->outbuf, TRUE);
	g_free(c);
}

static gboolean on_bury(gpointer arg)
{
	struct connection *c = arg;

	turn_core_client_gone(&c->streams->turn->core, &c->tuple);
	g_hash_table_remove(c->streams->connections, GUINT_TO_POINTER(c->tuple.stream));
	return G_SOURCE_REMOVE;
}

// It and its allocation go when the main loop is back: who sends to a client that is gone, or answers it, still
// holds both.
static void end(struct connection *c)
{
	if (c->dead)
		return;
	c->dead = true;
	// The sources return from their own dispatch.
	if (c->in)
		g_source_remove(c->in);
	if (c->out)
		g_source_remove(c->out);
	c->in = c->out = 0;
	g_idle_add_full(G_PRIORITY_HIGH, on_bury, c, NULL);
}

static void watch_out(struct connection *c)
{
	if (!c->out)
		c->out = g_unix_fd_add(c->fd, G_IO_OUT, on_writable, c);
}

static ssize_t put(struct connection *c, const void *data, size_t len)
{
	ssize_t n;

	if (c->tls)
		return turn_tls_write(c->tls, data, len);
	n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

static void flush(struct connection *c)
{
	while (c->outbuf->len && !c->dead) {
		ssize_t n = put(c, c->outbuf->data, c->outbuf->len);

		if (n == -EAGAIN || n == -EINTR) {
			watch_out(c);
			return;
		}
		if (n <= 0) {
			end(c);
			return;
		}
		g_byte_array_remove_range(c->outbuf, 0, (guint)n);
	}
}

bool turn_streams_send(
	struct turn_streams *s, const struct turn_tuple *to, const void *data, size_t len)
{
	struct connection *c = g_hash_table_lookup(s->connections, GUINT_TO_POINTER(to->stream));
	static const uint8_t zeros[3];
	bool idle;

	if (!c || c->dead || c->state != OPEN || c->outbuf->len + len > TURN_OUT_MAX)
		return false;
	idle = !c->outbuf->len;
	g_byte_array_append(c->outbuf, data, (guint)len);
	if (len & 3)
		g_byte_array_append(c->outbuf, zeros, 4 - (len & 3));
	if (idle)
		flush(c);
	return true;
}

// ---- frames ----------------------------------------------------------------------------------------

// Length of the frame that begins here, 0 = not known yet, -EBADMSG = no frame begins so.
static ssize_t frame_length(const uint8_t *p, size_t len)
{
	size_t said;

	if (len < 4)
		return len && (p[0] & 0x80) ? -EBADMSG : 0;
	said = (size_t)p[2] << 8 | p[3];
	if (!(p[0] & 0xc0))
		return said & 3 ? -EBADMSG : (ssize_t)(STUN_HEADER_LEN + said);
	if ((p[0] & 0xc0) == 0x40)
		return (ssize_t)(4 + ((said + 3) & ~(size_t)3));
	return -EBADMSG;
}

static bool has_allocation(const struct connection *c)
{
	return turn_allocation_find(&c->streams->turn->core, &c->tuple) != NULL;
}

static void take_frame(struct connection *c, const uint8_t *p, size_t len)
{
	struct turn_core *core = &c->streams->turn->core;

	if (!c->streams->turn->applied)
		return;
	if (turn_kernel_from_client(c->streams->turn, &c->tuple, p, len))
		return;
	turn_core_receive(core, &c->tuple, p, len);
}

// Whole frames; how many bytes they were.
static size_t take_frames(struct connection *c, const uint8_t *p, size_t len)
{
	size_t at = 0;
	ssize_t n;

	while (!c->dead && (n = frame_length(p + at, len - at))) {
		if (n < 0 || (n > TURN_BARE_FRAME && !has_allocation(c))) {
			end(c);
			break;
		}
		if ((size_t)n > len - at)
			break;
		take_frame(c, p + at, (size_t)n);
		at += (size_t)n;
	}
	return at;
}

// What is left of them is kept, in no more memory than it needs.
static void take_bytes(struct connection *c, const uint8_t *p, size_t len)
{
	GByteArray *all = c->inbuf->len ? g_byte_array_append(c->inbuf, p, (guint)len) : NULL;
	size_t done;

	if (all) {
		c->inbuf = g_byte_array_new();
		p = all->data;
		len = all->len;
	}
	done = take_frames(c, p, len);
	if (!c->dead && done < len)
		g_byte_array_append(c->inbuf, p + done, (guint)(len - done));
	if (all)
		g_byte_array_free(all, TRUE);
}

// ---- reading ---------------------------------------------------------------------------------------

static bool sniff(struct connection *c)
{
	uint8_t first;
	ssize_t n = recv(c->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n == 1 && first == TLS_HANDSHAKE && c->may_tls && c->streams->tls) {
		c->tls = turn_tls_accept(c->streams->tls, c->fd);
		c->state = SHAKING;
		c->tuple.transport = TURN_TLS;
		if (c->tls)
			return true;
	} else if (n == 1 && first < 0x80 && first != TLS_HANDSHAKE && c->may_plain) {
		c->state = OPEN;
		return true;
	}
	end(c);
	return false;
}

static bool shake(struct connection *c)
{
	bool want_write = false;
	int r = turn_tls_handshake(c->tls, &want_write);

	if (r == -EAGAIN && want_write)
		watch_out(c);
	else if (r && r != -EAGAIN)
		end(c);
	if (!r)
		c->state = OPEN;
	return !r;
}

static ssize_t get(struct connection *c, uint8_t *buf, size_t size)
{
	ssize_t n;

	if (c->tls)
		return turn_tls_read(c->tls, buf, size);
	n = recv(c->fd, buf, size, MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

static void read_some(struct connection *c)
{
	uint8_t buf[READ_CHUNK];

	// A chunk takes a whole TLS record, so nothing waits inside of OpenSSL when we leave.
	for (int i = 0; i < READS_PER_WAKEUP && !c->dead; i++) {
		ssize_t n = get(c, buf, sizeof(buf));

		if (n == -EAGAIN || n == -EINTR)
			return;
		if (n <= 0) {
			end(c);
			return;
		}
		take_bytes(c, buf, (size_t)n);
	}
}

static gboolean on_readable(gint fd, GIOCondition cond, gpointer arg)
{
	struct connection *c = arg;

	turn_core_clock(&c->streams->turn->core);
	if (c->state == SNIFFING && !sniff(c))
		return c->dead ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
	if (c->state == SHAKING && !shake(c))
		return c->dead ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
	read_some(c);
	return c->dead ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

static gboolean on_writable(gint fd, GIOCondition cond, gpointer arg)
{
	struct connection *c = arg;

	c->out = 0; // this source ends; flush makes a new one if need be
	if (c->state == SHAKING)
		shake(c);
	else
		flush(c);
	return G_SOURCE_REMOVE;
}

// ---- accepting -------------------------------------------------------------------------------------

static bool may_connect(struct turn_streams *s, const struct st_addr *from, const char *name)
{
	const struct turn_config_limits *l = &s->turn->core.config->limits;
	struct turn_rate rate = {l->handshakes_per_source_s, 1000, 4 * l->handshakes_per_source_s};
	struct st_addr source = turn_source_of(from);

	return g_hash_table_size(s->connections) < l->connections &&
	       turn_counts_get(s->by_source, name) < l->connections_per_source &&
	       turn_buckets_take(
		       &s->handshakes, &source, sizeof(source), &rate, 1, s->turn->core.now_ms);
}

static bool addresses(int fd, struct turn_tuple *t)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (getpeername(fd, (struct sockaddr *)&ss, &len) ||
		!addr_from_sockaddr(&t->client, &t->client_port_be, (struct sockaddr *)&ss))
		return false;
	len = sizeof(ss);
	return !getsockname(fd, (struct sockaddr *)&ss, &len) &&
	       addr_from_sockaddr(&t->server, &t->server_port_be, (struct sockaddr *)&ss);
}

static void welcome(int fd, void *arg)
{
	struct listener *l = arg;
	struct turn_streams *s = l->streams;
	struct turn_tuple t = {.transport = TURN_TCP};
	struct connection *c;
	const int one = 1;
	char *name;

	turn_core_clock(&s->turn->core);
	if (!s->turn->applied || !addresses(fd, &t)) {
		close(fd);
		return;
	}
	name = turn_source_name(&t.client);
	if (!may_connect(s, &t.client, name)) {
		g_free(name);
		close(fd);
		return;
	}
	do {
		t.stream = ++s->next_id;
	} while (!t.stream || g_hash_table_contains(s->connections, GUINT_TO_POINTER(t.stream)));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c = g_new0(struct connection, 1);
	*c = (struct connection){.streams = s,
		.tuple = t,
		.may_plain = l->config.transports[TURN_TCP],
		.may_tls = l->config.transports[TURN_TLS],
		.fd = fd,
		.inbuf = g_byte_array_new(),
		.outbuf = g_byte_array_new(),
		.began_ms = s->turn->core.now_ms,
		.bare_ms = s->turn->core.now_ms,
		.source_name = name};
	turn_counts_add(s->by_source, name);
	g_hash_table_insert(s->connections, GUINT_TO_POINTER(t.stream), c);
	c->in = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_readable, c);
}

static void listener_free(void *arg)
{
	struct listener *l = arg;

	acceptor_stop(&l->acceptor);
	close(l->acceptor.fd);
	g_free(l);
}

// The descriptor or -errno.
static int listener_open(const struct listener *l)
{
	struct st_addr any = {{0}};
	struct sockaddr_storage ss;
	const int one = 1;
	socklen_t len;
	int fd, r;

	if (l->v4)
		addr_parse(&any, "0.0.0.0");
	len = addr_to_sockaddr(
		&ss, addr_is_zero(&l->config.addr) ? &any : &l->config.addr, htons(l->config.port));
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!r)
		r = setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one));
	if (!r && !l->v4)
		r = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (!r)
		r = bind(fd, (struct sockaddr *)&ss, len);
	if (!r)
		r = listen(fd, BACKLOG);
	if (!r)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

static struct listener *listener_find(const struct turn_streams *s, const struct listener *like)
{
	for (guint i = 0; i < s->listeners->len; i++) {
		struct listener *l = s->listeners->pdata[i];

		if (l->v4 == like->v4 && l->config.port == like->config.port &&
			!memcmp(&l->config.addr, &like->config.addr, sizeof(l->config.addr)))
			return l;
	}
	return NULL;
}

static int listen_on(struct turn_streams *s, const struct turn_config_listen *c, bool v4,
	GPtrArray *keep, char **ret_error)
{
	struct listener like = {.streams = s, .config = *c, .v4 = v4}, *l = listener_find(s, &like);
	char text[ADDR_TEXT_MAX];
	int fd;

	if (l) {
		l->config = *c;
		g_ptr_array_add(keep, l);
		return 0;
	}
	fd = listener_open(&like);
	if (fd < 0) {
		if (addr_is_zero(&c->addr) && !v4 && (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL))
			return 0;
		*ret_error = g_strdup_printf("turn: cannot listen on TCP port %u of %s: %s", c->port,
			addr_is_zero(&c->addr) ? "every address" : addr_text(text, &c->addr),
			g_strerror(-fd));
		return fd;
	}
	l = g_memdup2(&like, sizeof(like));
	l->acceptor = (struct acceptor){.fd = fd, .welcome = welcome, .arg = l};
	acceptor_start(&l->acceptor);
	g_ptr_array_add(s->listeners, l);
	g_ptr_array_add(keep, l);
	return 0;
}

int turn_streams_apply(struct turn_streams *s, const struct turn_config *c, char **ret_error)
{
	struct turn_tls *tls = NULL;
	GPtrArray *keep;
	int err = 0;

	if (c->certificate) {
		tls = turn_tls_new(c->certificate, c->key, ret_error);
		if (!tls)
			return -EINVAL;
	}
	keep = g_ptr_array_new();
	for (guint i = 0; i < c->listen->len && !err; i++) {
		const struct turn_config_listen *l = c->listen->pdata[i];
		bool any = addr_is_zero(&l->addr);

		if (!l->transports[TURN_TCP] && !l->transports[TURN_TLS])
			continue;
		if (any || addr_is_v4(&l->addr))
			err = listen_on(s, l, true, keep, ret_error);
		if (!err && (any || !addr_is_v4(&l->addr)))
			err = listen_on(s, l, false, keep, ret_error);
	}
	for (guint i = s->listeners->len; i-- > 0 && !err;) {
		if (!g_ptr_array_find(keep, s->listeners->pdata[i], NULL))
			g_ptr_array_remove_index(s->listeners, i);
	}
	g_ptr_array_free(keep, TRUE);
	if (err) {
		turn_tls_free(tls);
		return err;
	}
	turn_tls_free(s->tls);
	s->tls = tls;
	return 0;
}

// ---- life ------------------------------------------------------------------------------------------

struct turn_streams *turn_streams_new(struct turn *t)
{
	struct turn_streams *s = g_new0(struct turn_streams, 1);

	s->turn = t;
	s->listeners = g_ptr_array_new_with_free_func(listener_free);
	s->connections = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, connection_free);
	s->by_source = turn_counts_new();
	turn_buckets_init(&s->handshakes);
	return s;
}

void turn_streams_close_all(struct turn_streams *s)
{
	GList *list = g_hash_table_get_values(s->connections);

	g_ptr_array_set_size(s->listeners, 0);
	for (GList *l = list; l; l = l->next) {
		struct connection *c = l->data;

		end(c);
		turn_core_client_gone(&s->turn->core, &c->tuple);
	}
	g_list_free(list);
}

void turn_streams_free(struct turn_streams *s)
{
	GHashTableIter iter;
	gpointer c;

	if (!s)
		return;
	g_hash_table_iter_init(&iter, s->connections);
	while (g_hash_table_iter_next(&iter, NULL, &c))
		g_idle_remove_by_data(c);
	g_hash_table_destroy(s->connections);
	g_ptr_array_free(s->listeners, TRUE);
	turn_counts_free(s->by_source);
	turn_buckets_fini(&s->handshakes);
	turn_tls_free(s->tls);
	g_free(s);
}

void turn_streams_tick(struct turn_streams *s)
{
	uint64_t now = s->turn->core.now_ms;
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, s->connections);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct connection *c = value;

		if (c->dead)
			continue;
		if (has_allocation(c))
			c->bare_ms = now;
		else if ((c->state != OPEN && now - c->began_ms > TURN_HANDSHAKE_S * 1000) ||
			 now - c->bare_ms > TURN_BARE_S * 1000)
			end(c);
	}
}

unsigned int turn_streams_count(const struct turn_streams *s)
{
	return g_hash_table_size(s->connections);
}
