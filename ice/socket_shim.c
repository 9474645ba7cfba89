// SPDX-License-Identifier: BSD-3-Clause
//
// The functions of GIO that libnice 0.1.21 reaches its sockets by, defined in the program itself and so
// found before those of libgio. See socket_shim.h; self_test.c looks at each start whether it still is so.
// A GSocket of ours is a bare object: it was never opened and has no descriptor.
#include "socket_shim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

struct waiting {
	struct ice_msg_addr from;
	size_t len;
	uint8_t data[];
};

struct shim_source {
	GSource source;
	GSocket *socket;
};

static _Thread_local struct shim_owner *current;

static GQuark shim_quark(void)
{
	return g_quark_from_static_string("strait-ice-socket");
}

static struct shim_socket *shim_of(GSocket *socket)
{
	return g_object_get_qdata(G_OBJECT(socket), shim_quark());
}

const bool shim_has_sockets = false;

int shim_prepare(char **addresses)
{
	return *addresses ? -EINVAL : 0; // it has no use for any
}

uint16_t shim_port(struct shim_owner *o)
{
	return o->port_be;
}

GSource *shim_source_new(void)
{
	return NULL;
}

void shim_begin(struct shim_owner *o)
{
	current = o;
}

void shim_end(void)
{
	current = NULL;
}

static void detach(struct shim_socket *s)
{
	if (!s->owner)
		return;
	s->owner->sockets = g_slist_remove(s->owner->sockets, s);
	s->owner = NULL;
	g_queue_clear_full(&s->in, g_free);
}

void shim_release(struct shim_owner *o)
{
	while (o->sockets)
		detach(o->sockets->data);
}

static void shim_free(gpointer p)
{
	struct shim_socket *s = p;

	detach(s);
	g_slist_free(s->sources);
	g_free(s);
}

struct shim_socket *shim_find(struct shim_owner *o, const struct ice_msg_addr *local)
{
	for (GSList *l = o->sockets; l; l = l->next) {
		struct shim_socket *s = l->data;

		if (!memcmp(s->local.addr, local->addr, sizeof(local->addr)))
			return s;
	}
	return NULL;
}

static void sources_ready(struct shim_socket *s, bool ready)
{
	for (GSList *l = s->sources; l; l = l->next)
		g_source_set_ready_time(l->data, ready ? 0 : -1);
}

void shim_push(struct shim_socket *s, const struct ice_msg_addr *from, const uint8_t *data, size_t len)
{
	struct waiting *w;

	if (!s->owner || s->in.length >= SHIM_QUEUE_MAX)
		return;
	w = g_malloc(sizeof(*w) + len);
	w->from = *from;
	w->len = len;
	memcpy(w->data, data, len);
	g_queue_push_tail(&s->in, w);
	sources_ready(s, true);
}

// ---- addresses -----------------------------------------------------------------------------------------

static GSocketAddress *to_gio(const struct ice_msg_addr *a)
{
	static const uint8_t v4[12] = {[10] = 0xff, [11] = 0xff};
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = a->port_be};
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = a->port_be};

	if (!memcmp(a->addr, v4, sizeof(v4))) {
		memcpy(&sin.sin_addr, a->addr + 12, 4);
		return g_socket_address_new_from_native(&sin, sizeof(sin));
	}
	memcpy(&sin6.sin6_addr, a->addr, 16);
	return g_socket_address_new_from_native(&sin6, sizeof(sin6));
}

static bool from_gio(struct ice_msg_addr *ret, GSocketAddress *address)
{
	struct sockaddr_storage ss;

	if (!address || !g_socket_address_to_native(address, &ss, sizeof(ss), NULL))
		return false;
	*ret = (struct ice_msg_addr){.addr = {[10] = 0xff, [11] = 0xff}};
	if (ss.ss_family == AF_INET) {
		const struct sockaddr_in *sin = (const struct sockaddr_in *)&ss;

		memcpy(ret->addr + 12, &sin->sin_addr, 4);
		ret->port_be = sin->sin_port;
		return true;
	}
	if (ss.ss_family == AF_INET6) {
		const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)&ss;

		memcpy(ret->addr, &sin6->sin6_addr, 16);
		ret->port_be = sin6->sin6_port;
		return true;
	}
	return false;
}

static void fail(GError **error, int code, const char *what)
{
	g_set_error_literal(error, G_IO_ERROR, code, what);
}

// ---- what libnice calls --------------------------------------------------------------------------------

GSocket *g_socket_new(GSocketFamily family, GSocketType type, GSocketProtocol protocol, GError **error)
{
	struct shim_socket *s;
	GSocket *socket;

	if (!current || type != G_SOCKET_TYPE_DATAGRAM) {
		fail(error, G_IO_ERROR_NOT_SUPPORTED, "no such sockets here");
		return NULL;
	}
	socket = g_object_new(
		G_TYPE_SOCKET, "family", family, "type", type, "protocol", protocol, NULL);
	s = g_new0(struct shim_socket, 1);
	g_queue_init(&s->in);
	g_object_set_qdata_full(G_OBJECT(socket), shim_quark(), s, shim_free);
	return socket;
}

gboolean g_socket_bind(GSocket *socket, GSocketAddress *address, gboolean allow_reuse, GError **error)
{
	struct shim_socket *s = shim_of(socket);
	struct ice_msg_addr a;

	if (!current || !s || s->owner || !from_gio(&a, address)) {
		fail(error, G_IO_ERROR_NOT_SUPPORTED, "not bound while gathering");
		return FALSE;
	}
	if (a.port_be != current->port_be) {
		fail(error, G_IO_ERROR_ADDRESS_IN_USE, "not the port of this interface");
		return FALSE;
	}
	s->local = a;
	s->owner = current;
	current->sockets = g_slist_prepend(current->sockets, s);
	return TRUE;
}

GSocketAddress *g_socket_get_local_address(GSocket *socket, GError **error)
{
	struct shim_socket *s = shim_of(socket);

	if (s && s->owner)
		return to_gio(&s->local);
	fail(error, G_IO_ERROR_NOT_CONNECTED, "not bound");
	return NULL;
}

void g_socket_set_blocking(GSocket *socket, gboolean blocking)
{
}

gboolean g_socket_set_option(GSocket *socket, gint level, gint optname, gint value, GError **error)
{
	return TRUE;
}

int g_socket_get_fd(GSocket *socket)
{
	return -1;
}

gboolean g_socket_close(GSocket *socket, GError **error)
{
	struct shim_socket *s = shim_of(socket);

	if (s)
		detach(s);
	return TRUE;
}

static size_t gather_bytes(uint8_t *to, size_t size, const GOutputVector *v, guint n)
{
	size_t len = 0;

	for (guint i = 0; i < n; i++) {
		if (v[i].size > size - len)
			return 0;
		memcpy(to + len, v[i].buffer, v[i].size);
		len += v[i].size;
	}
	return len;
}

gssize g_socket_send_message(GSocket *socket, GSocketAddress *address, GOutputVector *vectors,
	gint num_vectors, GSocketControlMessage **messages, gint num_messages, gint flags,
	GCancellable *cancellable, GError **error)
{
	struct shim_socket *s = shim_of(socket);
	uint8_t data[ICE_MSG_DATA_MAX];
	struct ice_msg_addr to;
	size_t len = gather_bytes(data, sizeof(data), vectors, (guint)num_vectors);

	if (!s || !s->owner || !len || !from_gio(&to, address)) {
		fail(error, G_IO_ERROR_CLOSED, "not sent");
		return -1;
	}
	s->owner->send(s->owner, s, &to, data, len);
	return (gssize)len;
}

gint g_socket_send_messages(GSocket *socket, GOutputMessage *messages, guint num_messages,
	gint flags, GCancellable *cancellable, GError **error)
{
	for (guint n = 0; n < num_messages; n++) {
		GOutputMessage *m = &messages[n];
		gssize sent = g_socket_send_message(socket, m->address, m->vectors,
			(gint)m->num_vectors, NULL, 0, flags, cancellable, error);

		if (sent < 0)
			return n ? (gint)n : -1;
		m->bytes_sent = (guint)sent;
	}
	return (gint)num_messages;
}

gssize g_socket_receive_message(GSocket *socket, GSocketAddress **address, GInputVector *vectors,
	gint num_vectors, GSocketControlMessage ***messages, gint *num_messages, gint *flags,
	GCancellable *cancellable, GError **error)
{
	struct shim_socket *s = shim_of(socket);
	struct waiting *w = s && s->owner ? g_queue_pop_head(&s->in) : NULL;
	size_t done = 0;

	if (!w) {
		fail(error, s && s->owner ? G_IO_ERROR_WOULD_BLOCK : G_IO_ERROR_CLOSED, "empty");
		return -1;
	}
	for (gint i = 0; i < num_vectors && done < w->len; i++) {
		size_t n = MIN(vectors[i].size, w->len - done);

		memcpy(vectors[i].buffer, w->data + done, n);
		done += n;
	}
	if (address)
		*address = to_gio(&w->from);
	if (messages)
		*messages = NULL;
	if (num_messages)
		*num_messages = 0;
	if (flags)
		*flags = 0;
	g_free(w);
	return (gssize)done;
}

// ---- readiness -----------------------------------------------------------------------------------------

static gboolean source_dispatch(GSource *source, GSourceFunc callback, gpointer arg)
{
	GSocketSourceFunc fn = (GSocketSourceFunc)(void (*)(void))callback;
	GSocket *socket = g_object_ref(((struct shim_source *)source)->socket);
	struct shim_socket *s = shim_of(socket);
	gboolean again = fn ? fn(socket, G_IO_IN, arg) : G_SOURCE_REMOVE;

	if (!s->in.length)
		sources_ready(s, false);
	g_object_unref(socket);
	return again;
}

static void source_finalize(GSource *source)
{
	struct shim_source *ss = (struct shim_source *)source;
	struct shim_socket *s = shim_of(ss->socket);

	if (s)
		s->sources = g_slist_remove(s->sources, source);
	g_object_unref(ss->socket);
}

GSource *g_socket_create_source(GSocket *socket, GIOCondition condition, GCancellable *cancellable)
{
	static GSourceFuncs funcs = {.dispatch = source_dispatch, .finalize = source_finalize};
	GSource *source = g_source_new(&funcs, sizeof(struct shim_source));
	struct shim_socket *s = shim_of(socket);

	((struct shim_source *)source)->socket = g_object_ref(socket);
	s->sources = g_slist_prepend(s->sources, source);
	if (s->in.length)
		g_source_set_ready_time(source, 0);
	return source;
}
