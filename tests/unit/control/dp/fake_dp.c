// SPDX-License-Identifier: BSD-3-Clause
//
// The data plane of the tests: objects in a hash, answers at once or held back, and misbehaviour on
// demand. One thread, that of the test.
#include "fake_dp.h"

#include <glib-unix.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const struct {
	uint16_t kind, key_len;
} keys[] = {
	{ST_PORT, sizeof(struct st_port_key)},
	{ST_WGIF, sizeof(struct st_wgif_key)},
	{ST_ADDR, sizeof(struct st_addr_key)},
	{ST_ROUTE, sizeof(struct st_route_key)},
	{ST_RULE, sizeof(struct st_rule_key)},
	{ST_NEIGH, sizeof(struct st_neigh_key)},
	{ST_PORTMAP, sizeof(struct st_portmap_key)},
	{ST_PEER, sizeof(struct st_peer_key)},
	{ST_ALLOWED_IP, sizeof(struct st_allowed_ip_key)},
	{ST_ENDPOINT, sizeof(struct st_endpoint_key)},
	{ST_KEY, sizeof(struct st_key_key)},
	{ST_SOCKET, sizeof(struct st_socket_key)},
};

static uint16_t key_len_of(uint16_t kind)
{
	for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
		if (keys[i].kind == kind)
			return keys[i].key_len;
	return 0;
}

static char *name_of(uint16_t kind, const uint8_t *key, uint16_t len)
{
	GString *s = g_string_new(NULL);

	g_string_printf(s, "%u:", kind);
	for (uint16_t i = 0; i < len; i++)
		g_string_append_printf(s, "%02x", key[i]);
	return g_string_free(s, FALSE);
}

void fake_dp_send(struct fake_dp *f, const void *data, size_t len)
{
	// Blocking on purpose: the client reads in the same thread, so the buffer has to be large enough.
	if (f->fd >= 0 && send(f->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		g_printerr("fake_dp: send: %s\n", strerror(errno));
}

static void reply(struct fake_dp *f, uint32_t seq, int status)
{
	struct st_msg m = {.op = ST_OP_REPLY, .seq = seq, .status = status};

	if (f->mute) {
		g_array_append_val(f->owed, seq);
		f->max_owed = MAX(f->max_owed, f->owed->len);
		return;
	}
	fake_dp_send(f, &m, sizeof(m));
}

void fake_dp_unmute(struct fake_dp *f)
{
	f->mute = false;
	for (unsigned int i = 0; i < f->owed->len; i++)
		reply(f, g_array_index(f->owed, uint32_t, i), 0);
	g_array_set_size(f->owed, 0);
}

void fake_dp_event(struct fake_dp *f, uint16_t event, const void *body, uint16_t len)
{
	uint8_t buf[ST_MSG_MAX];
	struct st_msg m = {.op = ST_OP_EVENT, .kind = event, .body_len = len};

	memcpy(buf, &m, sizeof(m));
	memcpy(buf + sizeof(m), body, len);
	fake_dp_send(f, buf, sizeof(m) + len);
}

void fake_dp_put(struct fake_dp *f, uint16_t kind, uint16_t key_len, const void *body, uint16_t len)
{
	struct fake_object *o = g_new0(struct fake_object, 1);

	o->kind = kind;
	o->body_len = len;
	memcpy(o->data, body, len);
	g_hash_table_replace(f->objects, name_of(kind, body, key_len), o);
}

const struct fake_object *fake_dp_find(
	struct fake_dp *f, uint16_t kind, const void *key, uint16_t key_len)
{
	char *name = name_of(kind, key, key_len);
	struct fake_object *o = g_hash_table_lookup(f->objects, name);

	g_free(name);
	return o;
}

static void dump(struct fake_dp *f, const struct st_msg *req)
{
	uint8_t buf[ST_MSG_MAX];
	GHashTableIter it;
	void *v;

	g_hash_table_iter_init(&it, f->objects);
	while (g_hash_table_iter_next(&it, NULL, &v)) {
		struct fake_object *o = v;
		struct st_msg m = {.op = ST_OP_ITEM,
			.kind = o->kind,
			.seq = req->seq,
			.body_len = o->body_len,
			.blob_len = o->blob_len};

		if (o->kind != req->kind)
			continue;
		memcpy(buf, &m, sizeof(m));
		memcpy(buf + sizeof(m), o->data, (size_t)o->body_len + o->blob_len);
		fake_dp_send(f, buf, sizeof(m) + o->body_len + o->blob_len);
	}
	reply(f, req->seq, 0);
}

static void mark_or_sweep(struct fake_dp *f, bool sweep)
{
	GHashTableIter it;
	void *v;

	g_hash_table_iter_init(&it, f->objects);
	while (g_hash_table_iter_next(&it, NULL, &v)) {
		struct fake_object *o = v;

		if (o->kind == ST_KEY || o->kind == ST_SOCKET)
			continue;
		if (!sweep)
			o->marked = true;
		else if (o->marked)
			g_hash_table_iter_remove(&it);
	}
}

static void hello(struct fake_dp *f, const struct st_msg *req)
{
	struct {
		struct st_msg m;
		struct st_hello h;
	} msg = {.m = {.op = ST_OP_HELLO, .seq = req->seq, .body_len = sizeof(msg.h)}};

	if (f->no_hello)
		return;
	msg.h.version = f->version;
	msg.h.instance = f->instance;
	if (f->version != ST_API_VERSION)
		msg.m.status = -EPROTONOSUPPORT;
	fake_dp_send(f, &msg, sizeof(msg));
}

static void serve(struct fake_dp *f, const struct st_msg *m, const uint8_t *body)
{
	uint16_t key_len = key_len_of(m->kind);

	switch (m->op) {
	case ST_OP_HELLO:
		hello(f, m);
		break;
	case ST_OP_SET:
		if (f->refuse) {
			reply(f, m->seq, f->refuse);
			break;
		}
		fake_dp_put(f, m->kind, key_len, body, m->body_len);
		{
			char *name = name_of(m->kind, body, key_len);
			struct fake_object *o = g_hash_table_lookup(f->objects, name);

			memcpy(o->data + m->body_len, body + m->body_len, m->blob_len);
			o->blob_len = m->blob_len;
			g_free(name);
		}
		reply(f, m->seq, 0);
		break;
	case ST_OP_DEL: {
		char *name = name_of(m->kind, body, m->body_len);

		reply(f, m->seq, g_hash_table_remove(f->objects, name) ? 0 : -ENOENT);
		g_free(name);
		break;
	}
	case ST_OP_DUMP:
		dump(f, m);
		break;
	case ST_OP_SYNC_BEGIN:
	case ST_OP_SYNC_END:
		mark_or_sweep(f, m->op == ST_OP_SYNC_END);
		reply(f, m->seq, 0);
		break;
	}
}

void fake_dp_hang_up(struct fake_dp *f)
{
	if (f->source)
		g_source_remove(f->source);
	f->source = 0;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	g_array_set_size(f->owed, 0);
}

void fake_dp_restart(struct fake_dp *f)
{
	fake_dp_hang_up(f);
	g_hash_table_remove_all(f->objects);
	f->instance++;
}

static int on_message(int fd, GIOCondition cond, void *arg)
{
	_Alignas(8) uint8_t buf[ST_MSG_MAX];
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf)};
	struct msghdr mh = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct fake_dp *f = arg;
	struct cmsghdr *c;
	ssize_t n;

	if (f->deaf) {
		f->source = 0;
		return G_SOURCE_REMOVE;
	}
	n = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return G_SOURCE_CONTINUE;
	if (n == 0) {
		f->source = 0;
		fake_dp_hang_up(f);
		return G_SOURCE_REMOVE;
	}
	c = CMSG_FIRSTHDR(&mh);
	if (c && c->cmsg_type == SCM_RIGHTS) {
		if (f->sock_fd >= 0)
			close(f->sock_fd);
		memcpy(&f->sock_fd, CMSG_DATA(c), sizeof(int));
	}
	g_array_append_vals(f->log, buf, 1);
	serve(f, (const void *)buf, buf + sizeof(struct st_msg));
	return f->fd == fd ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static int on_connect(int fd, GIOCondition cond, void *arg)
{
	struct fake_dp *f = arg;
	int size = 16 << 20;

	fake_dp_hang_up(f);
	f->fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	if (setsockopt(f->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		setsockopt(f->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	f->connects++;
	f->source = g_unix_fd_add(f->fd, G_IO_IN | G_IO_HUP, on_message, f);
	return G_SOURCE_CONTINUE;
}

struct fake_dp *fake_dp_new(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct fake_dp *f = g_new0(struct fake_dp, 1);

	f->dir = g_dir_make_tmp("strait-test-XXXXXX", NULL);
	f->path = g_build_filename(f->dir, ST_SOCKET_NAME, NULL);
	f->fd = f->sock_fd = -1;
	f->instance = 1;
	f->version = ST_API_VERSION;
	f->objects = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	f->log = g_array_new(FALSE, FALSE, sizeof(struct st_msg));
	f->owed = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	f->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	g_strlcpy(sa.sun_path, f->path, sizeof(sa.sun_path));
	if (bind(f->listen_fd, (struct sockaddr *)&sa, sizeof(sa)) || listen(f->listen_fd, 4))
		g_error("fake_dp: %s: %s", f->path, strerror(errno));
	f->listen_source = g_unix_fd_add(f->listen_fd, G_IO_IN, on_connect, f);
	return f;
}

void fake_dp_free(struct fake_dp *f)
{
	fake_dp_hang_up(f);
	g_source_remove(f->listen_source);
	close(f->listen_fd);
	if (f->sock_fd >= 0)
		close(f->sock_fd);
	unlink(f->path);
	rmdir(f->dir);
	g_hash_table_destroy(f->objects);
	g_array_free(f->log, TRUE);
	g_array_free(f->owed, TRUE);
	g_free(f->path);
	g_free(f->dir);
	g_free(f);
}

unsigned int fake_dp_count(struct fake_dp *f, uint16_t kind)
{
	unsigned int n = 0;
	GHashTableIter it;
	void *v;

	g_hash_table_iter_init(&it, f->objects);
	while (g_hash_table_iter_next(&it, NULL, &v))
		n += ((struct fake_object *)v)->kind == kind;
	return n;
}

unsigned int fake_dp_received(struct fake_dp *f, uint16_t op, uint16_t kind)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < f->log->len; i++) {
		struct st_msg *m = &g_array_index(f->log, struct st_msg, i);

		n += m->op == op && (!kind || m->kind == kind);
	}
	return n;
}

void fake_dp_forget(struct fake_dp *f)
{
	g_array_set_size(f->log, 0);
}

static int on_timeout(void *arg)
{
	*(bool *)arg = true;
	return G_SOURCE_REMOVE;
}

// Long, because it only ends a test that has failed: machines that are busy with other things are slow.
#define WAIT_LIMIT_MS 60000

bool fake_dp_wait(bool (*done)(void *arg), void *arg)
{
	bool over = false, ok;
	unsigned int timer = g_timeout_add(WAIT_LIMIT_MS, on_timeout, &over);

	while (!(ok = done(arg)) && !over)
		g_main_context_iteration(NULL, TRUE);
	if (!over)
		g_source_remove(timer);
	return ok;
}

void fake_dp_settle(void)
{
	bool over = false;

	g_timeout_add(30, on_timeout, &over);
	while (!over)
		g_main_context_iteration(NULL, TRUE);
}
