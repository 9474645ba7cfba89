// SPDX-License-Identifier: BSD-3-Clause
//
// Ways to a TURN server; see turn_socket.h.
#include "turn_socket.h"

#include "../addr.h"

#include <gio/gio.h>
#include <glib-unix.h>

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH       32
#define STREAM_IN   8192
#define STREAM_OUT  65536 // bytes that may wait for the stream
#define CONNECT_S   10
#define AGAIN_MS    250   // between tries to connect
#define GIVE_UP_MS  20000 // no attempt of ICE lasts longer
#define MESSAGE_MIN 4

struct turn_socket {
	const struct turn_socket_ops *ops;
	void *arg;
	int fd; // UDP, else -1
	guint source;
	// stream
	struct turn_socket_params to;
	guint again;          // the next try to connect
	gint64 give_up_us;    // no more tries then
	GCancellable *cancel; // NULL: UDP
	GSocket *tcp;         // the stream's, NULL = not connected
	GIOStream *stream;
	GByteArray *in, *out;
	char *tls_host; // NULL: plain TCP
	bool writing;
};

// ---- UDP -----------------------------------------------------------------------------------------------

static gboolean on_readable(gint fd, GIOCondition cond, gpointer arg)
{
	struct turn_socket *s = arg;
	uint8_t buf[WG_SOCKET_PAYLOAD];

	for (int n = 0; n < BATCH; n++) {
		ssize_t len = recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);

		// ECONNREFUSED and its like answer an earlier send; the server may come back.
		if (len < 0)
			break;
		if ((size_t)len > sizeof(buf))
			continue;
		s->ops->received(buf, (size_t)len, s->arg);
		// The owner may have freed it; then this source is destroyed.
		if (g_source_is_destroyed(g_main_current_source()))
			return G_SOURCE_REMOVE;
	}
	return G_SOURCE_CONTINUE;
}

static int udp_open(const struct turn_socket_params *p)
{
	struct sockaddr_storage ss;
	bool v4 = addr_is_v4(&p->server);
	int fd, mark = (int)p->fwmark, size = 1 << 20;
	socklen_t len;

	fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)!setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)))
		goto err;
	if (!addr_is_zero(&p->base) && addr_is_v4(&p->base) == v4) {
		len = addr_to_sockaddr(&ss, &p->base, 0);
		if (bind(fd, (struct sockaddr *)&ss, len))
			goto err;
	}
	len = addr_to_sockaddr(&ss, &p->server, p->server_port_be);
	if (!connect(fd, (struct sockaddr *)&ss, len))
		return fd;
err:
	mark = -errno;
	close(fd);
	return mark;
}

struct turn_socket *turn_socket_from_fd(int fd, const struct turn_socket_ops *ops, void *arg)
{
	struct turn_socket *s = g_new0(struct turn_socket, 1);

	s->ops = ops;
	s->arg = arg;
	s->fd = fd;
	s->source = g_unix_fd_add(fd, G_IO_IN, on_readable, s);
	return s;
}

// ---- streams -------------------------------------------------------------------------------------------

// The length of the message at the front, 0 = not whole yet, or -EBADMSG. *ret_step: with its padding.
static ssize_t front(const GByteArray *in, size_t *ret_step)
{
	size_t len;

	if (in->len < MESSAGE_MIN)
		return 0;
	len = (size_t)in->data[2] << 8 | in->data[3];
	if (!(in->data[0] & 0xc0))
		len += 20;
	else if ((in->data[0] & 0xc0) == 0x40)
		len += MESSAGE_MIN;
	else
		return -EBADMSG;
	if (len > WG_SOCKET_PAYLOAD)
		return -EBADMSG;
	*ret_step = (len + 3) & ~(size_t)3;
	return in->len >= *ret_step ? (ssize_t)len : 0;
}

// The end of a TLS stream writes a close_notify, which would wait for ever, and in the main loop, for a server that
// reads no more.
static void cut(struct turn_socket *s)
{
	if (s->tcp)
		g_socket_shutdown(s->tcp, TRUE, TRUE, NULL);
	g_clear_object(&s->tcp);
}

static void fail(struct turn_socket *s, const char *why)
{
	cut(s);
	if (s->stream)
		g_io_stream_close_async(s->stream, G_PRIORITY_DEFAULT, NULL, NULL, NULL);
	g_clear_object(&s->stream);
	s->ops->closed(why, s->arg);
}

static void read_more(struct turn_socket *s);

// False: the socket is gone.
static bool take_messages(struct turn_socket *s)
{
	GCancellable *alive = g_object_ref(s->cancel);
	uint8_t message[WG_SOCKET_PAYLOAD];
	bool gone = false;
	size_t step;
	ssize_t len;

	while (!gone && (len = front(s->in, &step)) > 0) {
		memcpy(message, s->in->data, (size_t)len);
		g_byte_array_remove_range(s->in, 0, (guint)step);
		s->ops->received(message, (size_t)len, s->arg);
		gone = g_cancellable_is_cancelled(alive);
	}
	if (!gone && len < 0) {
		fail(s, "the stream is no TURN");
		gone = true;
	}
	g_object_unref(alive);
	return !gone;
}

static void on_read(GObject *source, GAsyncResult *result, gpointer arg)
{
	GError *error = NULL;
	GBytes *bytes = g_input_stream_read_bytes_finish(G_INPUT_STREAM(source), result, &error);
	struct turn_socket *s = arg;

	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
		g_error_free(error);
		return; // freed
	}
	if (!bytes || !g_bytes_get_size(bytes)) {
		fail(s, error ? error->message : "the server closed the stream");
		g_clear_error(&error);
		g_clear_pointer(&bytes, g_bytes_unref);
		return;
	}
	g_byte_array_append(s->in, g_bytes_get_data(bytes, NULL), (guint)g_bytes_get_size(bytes));
	g_bytes_unref(bytes);
	if (take_messages(s))
		read_more(s);
}

static void read_more(struct turn_socket *s)
{
	g_input_stream_read_bytes_async(g_io_stream_get_input_stream(s->stream), STREAM_IN,
		G_PRIORITY_DEFAULT, s->cancel, on_read, s);
}

static void write_more(struct turn_socket *s);

static void on_written(GObject *source, GAsyncResult *result, gpointer arg)
{
	GError *error = NULL;
	gsize n = 0;
	gboolean ok = g_output_stream_write_all_finish(G_OUTPUT_STREAM(source), result, &n, &error);
	struct turn_socket *s = arg;

	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
		g_error_free(error);
		return;
	}
	s->writing = false;
	if (!ok) {
		g_clear_error(&error);
		return; // the reader sees it too
	}
	write_more(s);
}

// What is being written belongs to the call until it ends, so it leaves the queue at once.
static void write_more(struct turn_socket *s)
{
	GBytes *bytes;

	if (!s->stream || s->writing || !s->out->len)
		return;
	bytes = g_byte_array_free_to_bytes(s->out);
	s->out = g_byte_array_new();
	s->writing = true;
	g_output_stream_write_all_async(g_io_stream_get_output_stream(s->stream),
		g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), G_PRIORITY_DEFAULT,
		s->cancel, on_written, s);
	g_object_set_data_full(
		G_OBJECT(s->stream), "strait-writing", bytes, (GDestroyNotify)g_bytes_unref);
}

static void use_stream(struct turn_socket *s, GIOStream *stream)
{
	s->stream = stream;
	// The limit was for connecting: an idle stream is none that failed.
	g_socket_set_timeout(s->tcp, 0);
	read_more(s);
	write_more(s);
}

static void on_handshake(GObject *source, GAsyncResult *result, gpointer arg)
{
	GError *error = NULL;
	gboolean ok = g_tls_connection_handshake_finish(G_TLS_CONNECTION(source), result, &error);
	struct turn_socket *s = arg;

	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
		g_object_unref(source);
	} else if (ok) {
		use_stream(s, G_IO_STREAM(source));
	} else {
		fail(s, error->message);
		g_object_unref(source);
	}
	g_clear_error(&error);
}

static void begin_tls(struct turn_socket *s, GSocketConnection *c)
{
	GSocketConnectable *who = g_network_address_new(s->tls_host, ntohs(s->to.server_port_be));
	GError *error = NULL;
	GIOStream *tls = g_tls_client_connection_new(G_IO_STREAM(c), who, &error);

	g_object_unref(who);
	g_object_unref(c);
	if (!tls) {
		fail(s, error->message);
		g_error_free(error);
		return;
	}
	g_tls_connection_handshake_async(
		G_TLS_CONNECTION(tls), G_PRIORITY_DEFAULT, s->cancel, on_handshake, s);
}

static void stream_connect(struct turn_socket *s);

static gboolean on_again(gpointer arg)
{
	struct turn_socket *s = arg;

	s->again = 0;
	stream_connect(s);
	return G_SOURCE_REMOVE;
}

// A server that is being started again refuses for a moment. libnice asks for its allocation as if by datagrams, and
// what it asked waits here; without another try the whole attempt would go without a relay.
static void connect_failed(struct turn_socket *s, const GError *error)
{
	if (g_get_monotonic_time() < s->give_up_us)
		s->again = g_timeout_add(AGAIN_MS, on_again, s);
	else
		fail(s, error->message);
}

static void on_connected(GObject *source, GAsyncResult *result, gpointer arg)
{
	GError *error = NULL;
	GSocketConnection *c =
		g_socket_client_connect_finish(G_SOCKET_CLIENT(source), result, &error);
	struct turn_socket *s = arg;

	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
		g_error_free(error);
	} else if (!c) {
		connect_failed(s, error);
		g_error_free(error);
	} else {
		s->tcp = g_object_ref(g_socket_connection_get_socket(c));
		if (s->tls_host)
			begin_tls(s, c);
		else
			use_stream(s, G_IO_STREAM(c));
	}
}

static void on_event(GSocketClient *client, GSocketClientEvent event, GSocketConnectable *to,
	GIOStream *stream, gpointer arg)
{
	uint32_t mark = GPOINTER_TO_UINT(arg);

	if (event == G_SOCKET_CLIENT_CONNECTING && mark)
		g_socket_set_option(g_socket_connection_get_socket(G_SOCKET_CONNECTION(stream)),
			SOL_SOCKET, SO_MARK, (gint)mark, NULL);
}

static void stream_connect(struct turn_socket *s)
{
	GSocketClient *client = g_socket_client_new();
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&ss, &s->to.server, s->to.server_port_be);
	GSocketAddress *to = g_socket_address_new_from_native(&ss, len);

	g_socket_client_set_enable_proxy(client, FALSE);
	g_socket_client_set_timeout(client, CONNECT_S);
	g_signal_connect(client, "event", G_CALLBACK(on_event), GUINT_TO_POINTER(s->to.fwmark));
	g_socket_client_connect_async(client, G_SOCKET_CONNECTABLE(to), s->cancel, on_connected, s);
	g_object_unref(to);
	g_object_unref(client);
}

static struct turn_socket *stream_open(
	const struct turn_socket_params *p, const struct turn_socket_ops *ops, void *arg)
{
	struct turn_socket *s = g_new0(struct turn_socket, 1);

	s->ops = ops;
	s->arg = arg;
	s->fd = -1;
	s->to = *p;
	s->cancel = g_cancellable_new();
	s->tls_host = p->transport == ICE_TLS ? g_strdup(p->host) : NULL;
	s->to.host = s->tls_host;
	s->in = g_byte_array_new();
	s->out = g_byte_array_new();
	s->give_up_us = g_get_monotonic_time() + (gint64)GIVE_UP_MS * 1000;
	stream_connect(s);
	return s;
}

// ---- both ----------------------------------------------------------------------------------------------

struct turn_socket *turn_socket_new(
	const struct turn_socket_params *p, const struct turn_socket_ops *ops, void *arg)
{
	int fd;

	if (p->transport != ICE_UDP)
		return stream_open(p, ops, arg);
	fd = udp_open(p);
	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	return turn_socket_from_fd(fd, ops, arg);
}

void turn_socket_free(struct turn_socket *s)
{
	if (!s)
		return;
	if (s->source)
		g_source_remove(s->source);
	if (s->again)
		g_source_remove(s->again);
	if (s->fd >= 0)
		close(s->fd);
	if (s->cancel) {
		g_cancellable_cancel(s->cancel);
		g_object_unref(s->cancel);
		cut(s);
		g_clear_object(&s->stream);
		g_free(s->tls_host);
		g_byte_array_unref(s->in);
		g_byte_array_unref(s->out);
	}
	g_free(s);
}

int turn_socket_send(struct turn_socket *s, const void *data, size_t len)
{
	static const uint8_t zeros[3];

	if (s->fd >= 0)
		return send(s->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
	if (s->out->len + len > STREAM_OUT)
		return -ENOBUFS;
	g_byte_array_append(s->out, data, (guint)len);
	g_byte_array_append(s->out, zeros, (guint)(-len & 3));
	write_more(s);
	return 0;
}

bool turn_socket_local(const struct turn_socket *s, struct st_addr *ret, uint16_t *ret_port_be)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	int fd = s->tcp ? g_socket_get_fd(s->tcp) : s->fd;

	return fd >= 0 && !getsockname(fd, (struct sockaddr *)&ss, &len) &&
	       addr_from_sockaddr(ret, ret_port_be, (struct sockaddr *)&ss);
}

int turn_socket_fd(const struct turn_socket *s)
{
	return s->fd;
}
