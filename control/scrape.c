// SPDX-License-Identifier: BSD-3-Clause
//
// The listener of a /metrics; see scrape.h. Main loop thread. A connection is libsoup's: here it is counted until
// libsoup lets go of it, and shut down when its time is over, which libsoup takes for the end of its client.
#include "scrape.h"

#include "acceptor.h"

#include <unistd.h>

#define TICK_S 1

struct visitor {
	struct scrape *scrape; // NULL: it ended first
	GSocket *socket;       // the connection's
	gint64 until_us;
	GList link;
};

struct scrape {
	SoupServer *server;
	GSocket *socket;
	struct acceptor acceptor;
	GQueue visitors; // of struct visitor
	unsigned int tick;
};

static void on_gone(gpointer visitor, GObject *connection)
{
	struct visitor *v = visitor;

	if (v->scrape)
		g_queue_unlink(&v->scrape->visitors, &v->link);
	g_free(v);
}

static void enter(struct scrape *s, GSocketConnection *connection)
{
	struct visitor *v = g_new0(struct visitor, 1);

	v->scrape = s;
	v->socket = g_socket_connection_get_socket(connection);
	v->until_us = g_get_monotonic_time() + SCRAPE_S * G_USEC_PER_SEC;
	v->link.data = v;
	g_queue_push_tail_link(&s->visitors, &v->link);
	g_object_weak_ref(G_OBJECT(connection), on_gone, v);
}

static void on_welcome(int fd, void *arg)
{
	struct scrape *s = arg;
	GSocket *socket =
		s->visitors.length < SCRAPE_CONNECTIONS ? g_socket_new_from_fd(fd, NULL) : NULL;
	GSocketAddress *local, *remote;
	GSocketConnection *c;

	if (!socket) {
		close(fd);
		return;
	}
	c = g_socket_connection_factory_create_connection(socket);
	local = g_socket_get_local_address(socket, NULL);
	remote = g_socket_get_remote_address(socket, NULL);
	if (local && remote) { // else it is gone already
		enter(s, c);
		soup_server_accept_iostream(s->server, G_IO_STREAM(c), local, remote, NULL);
	}
	g_clear_object(&local);
	g_clear_object(&remote);
	g_object_unref(c);
	g_object_unref(socket);
}

static void on_request(SoupServer *server, SoupServerMessage *msg, gpointer arg)
{
	soup_message_headers_replace(
		soup_server_message_get_response_headers(msg), "Connection", "close");
}

static int on_tick(void *arg)
{
	struct scrape *s = arg;
	gint64 now = g_get_monotonic_time();

	for (GList *l = s->visitors.head; l; l = l->next) {
		struct visitor *v = l->data;

		if (now >= v->until_us)
			g_socket_shutdown(v->socket, TRUE, TRUE, NULL);
	}
	return G_SOURCE_CONTINUE;
}

static GSocket *listen_on(GSocketAddress *address, GError **ret_error)
{
	GSocket *socket = g_socket_new(g_socket_address_get_family(address), G_SOCKET_TYPE_STREAM,
		G_SOCKET_PROTOCOL_TCP, ret_error);

	if (!socket)
		return NULL;
	g_socket_set_blocking(socket, FALSE);
	g_socket_set_listen_backlog(socket, 4 * SCRAPE_CONNECTIONS);
	if (g_socket_bind(socket, address, TRUE, ret_error) && g_socket_listen(socket, ret_error))
		return socket;
	g_object_unref(socket);
	return NULL;
}

struct scrape *scrape_new(SoupServer *server, GSocketAddress *address, GError **ret_error)
{
	GSocket *socket = listen_on(address, ret_error);
	struct scrape *s;

	if (!socket)
		return NULL;
	s = g_new0(struct scrape, 1);
	s->server = server;
	s->socket = socket;
	s->acceptor = (struct acceptor){g_socket_get_fd(socket), on_welcome, s, 0};
	g_queue_init(&s->visitors);
	g_signal_connect(server, "request-started", G_CALLBACK(on_request), s);
	acceptor_start(&s->acceptor);
	s->tick = g_timeout_add_seconds(TICK_S, on_tick, s);
	return s;
}

void scrape_free(struct scrape *s)
{
	if (!s)
		return;
	acceptor_stop(&s->acceptor);
	g_source_remove(s->tick);
	for (GList *l = s->visitors.head; l; l = l->next)
		((struct visitor *)l->data)->scrape = NULL;
	g_signal_handlers_disconnect_by_data(s->server, s);
	g_object_unref(s->socket);
	g_free(s);
}
