// SPDX-License-Identifier: BSD-3-Clause
//
// Listens, checks who may do what, and carries out requests in the order of each client. main only.
#include "api_server.h"

#include "../command.h"
#include "../lcore.h"
#include "../log.h"
#include "../tables/peer.h"
#include "../tables/route.h"
#include "../trace.h"
#include "client.h"
#include "listener.h"
#include "object.h"
#include "packet_io.h"
#include "park.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX      16 // one more is turned away
#define RESERVED         2  // of these, kept for who may control: observers cannot lock straitd out
#define BATCHES_PER_TURN 16 // of requests of one client before the others get theirs
#define HELLO_MS         5000  // to the first HELLO, or the connection is closed
#define IDLE_MS          60000 // of silence of an observer that neither traces nor captures
#define AGAIN_MS         200   // until it is tried again to accept without a descriptor left

static struct {
	struct client clients[CLIENTS_MAX];
	int epfd, listener;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct st_hello self;
	struct client *controller;
	uint32_t control_uid;
	uint64_t now_ms, accept_at; // accept_at: 0 = whoever comes is accepted
} server = {.epfd = -1, .listener = -1, .control_uid = (uint32_t)-1};

struct request {
	struct st_msg hdr;
	const uint8_t *body;
	const uint8_t *blob;
	int fd; // whoever takes it sets -1; the rest is closed
};

static int watch(int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = {.events = events, .data.u64 = data};

	return epoll_ctl(server.epfd, op, fd, &ev) < 0 ? -errno : 0;
}

int api_server_init(const char *path, uint32_t gid, const struct st_hello *self)
{
	int rc;

	for (int i = 0; i < CLIENTS_MAX; i++)
		server.clients[i].fd = -1;
	server.self = *self;
	server.controller = NULL;
	server.accept_at = 0;
	server.epfd = epoll_create1(EPOLL_CLOEXEC);
	if (server.epfd < 0)
		return -errno;
	server.listener = listener_open(path, gid, CLIENTS_MAX);
	snprintf(server.path, sizeof(server.path), "%s", path);
	rc = server.listener < 0 ? server.listener
				 : watch(EPOLL_CTL_ADD, server.listener, EPOLLIN, CLIENTS_MAX);
	if (rc < 0) {
		api_server_fini();
		return rc;
	}
	return server.epfd;
}

static void drop_client(struct client *c)
{
	trace_remove_client(c->handle);
	capture_remove_client(c->handle);
	if (c == server.controller) {
		server.controller = NULL;
		log_info("api: controller is gone, forwarding goes on");
	}
	client_close(c); // closing takes it out of the epoll set
}

void api_server_fini(void)
{
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (server.clients[i].fd >= 0)
			drop_client(&server.clients[i]);
	if (server.listener >= 0) {
		close(server.listener);
		unlink(server.path);
	}
	if (server.epfd >= 0)
		close(server.epfd);
	server.listener = server.epfd = -1;
}

// ---- places ----

static bool may_control(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	return cred.uid == 0 || cred.uid == geteuid() ||
	       (server.control_uid != (uint32_t)-1 && cred.uid == server.control_uid);
}

static int free_place(int fd)
{
	int at = -1, nb_free = 0;

	for (int i = 0; i < CLIENTS_MAX; i++) {
		if (server.clients[i].fd >= 0)
			continue;
		at = i;
		nb_free++;
	}
	return nb_free > RESERVED || may_control(fd) ? at : -1;
}

// Who waits to be accepted would keep main awake while nobody can be.
static void rest(void)
{
	server.accept_at = server.now_ms + AGAIN_MS;
	(void)watch(EPOLL_CTL_MOD, server.listener, 0, CLIENTS_MAX);
}

static void accept_one(void)
{
	int fd = accept4(server.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), at;

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			rest();
		return;
	}
	at = free_place(fd);
	if (at >= 0 && watch(EPOLL_CTL_ADD, fd, EPOLLIN, (uint64_t)at) == 0) {
		client_open(&server.clients[at], fd, at);
		server.clients[at].interest = EPOLLIN;
		server.clients[at].since_ms = server.now_ms;
		return;
	}
	log_warning("api: connection turned away, there are too many already");
	close(fd);
}

static unsigned int observers(void)
{
	unsigned int n = 0;

	for (int i = 0; i < CLIENTS_MAX; i++)
		n += server.clients[i].fd >= 0 && server.clients[i].greeted &&
		     !server.clients[i].controller;
	return n;
}

// How long it may do nothing.
static uint64_t patience(const struct client *c)
{
	if (!c->greeted)
		return HELLO_MS;
	if (c->controller || trace_count(c->handle) > 0 || capture_count(c->handle) > 0)
		return UINT64_MAX;
	return IDLE_MS;
}

static void check_silence(struct client *c)
{
	if (c->greeted && c->moved != c->moved_then) {
		c->moved_then = c->moved;
		c->since_ms = server.now_ms;
	}
	if (server.now_ms - c->since_ms < patience(c))
		return;
	log_info("api: silent connection closed greeted=%d", c->greeted);
	drop_client(c);
}

void api_server_clock(uint64_t now_ms)
{
	server.now_ms = now_ms;
	if (server.accept_at != 0 && now_ms >= server.accept_at) {
		server.accept_at = 0;
		(void)watch(EPOLL_CTL_MOD, server.listener, EPOLLIN, CLIENTS_MAX);
	}
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (server.clients[i].fd >= 0)
			check_silence(&server.clients[i]);
}

// ---- HELLO ----

void api_server_control_uid(uint32_t uid)
{
	server.control_uid = uid;
}

static bool hung_up(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0;
}

static int take_role(struct client *c, const struct st_hello *h)
{
	if (h->role == ST_ROLE_OBSERVER)
		return observers() < CLIENTS_MAX - RESERVED ? 0 : -EBUSY;
	if (h->role != ST_ROLE_CONTROLLER)
		return -EINVAL;
	if (!may_control(c->fd))
		return -EPERM;
	if (server.controller != NULL && hung_up(server.controller->fd))
		drop_client(server.controller);
	if (server.controller != NULL)
		return -EBUSY;
	server.controller = c;
	c->controller = true;
	log_info("api: controller connected pid=%u", h->pid);
	return 0;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void on_hello(struct client *c, const struct request *r)
{
	struct st_hello h, answer = server.self;
	int rc = 0;

	if (c->greeted)
		rc = -EPROTO;
	else if (r->hdr.body_len != sizeof(h))
		// The version stands first in every HELLO there will be.
		rc = r->hdr.body_len >= sizeof(h.version) ? -EPROTONOSUPPORT : -EINVAL;
	if (rc == 0) {
		memcpy(&h, r->body, sizeof(h));
		rc = h.version != ST_API_VERSION ? -EPROTONOSUPPORT : take_role(c, &h);
	}
	c->greeted = c->greeted || rc == 0;
	answer.role = c->controller ? ST_ROLE_CONTROLLER : ST_ROLE_OBSERVER;
	answer.uptime_ms = now_ms() - server.self.uptime_ms; // self holds the moment of the start
	client_send(c, &(struct client_msg){.hdr = {.op = ST_OP_HELLO,
						    .seq = r->hdr.seq,
						    .status = rc,
						    .body_len = sizeof(answer)},
			       .body = &answer,
			       .fd = -1});
	if (rc == -EPROTONOSUPPORT)
		c->dead = true;
}

// ---- requests ----

static int observe(struct client *c, struct request *r)
{
	if (r->hdr.kind == ST_TRACE) {
		struct st_trace t;

		if (r->hdr.body_len != sizeof(t))
			return -EINVAL;
		memcpy(&t, r->body, sizeof(t));
		return trace_add(&t, c->handle);
	} else {
		struct st_capture cap;
		int fd = r->fd;

		if (r->hdr.body_len != sizeof(cap))
			return -EINVAL;
		if (fd < 0)
			return -EBADF;
		memcpy(&cap, r->body, sizeof(cap));
		r->fd = -1;
		return capture_add(&cap, fd, c->handle);
	}
}

static int unobserve(struct client *c, const struct request *r)
{
	uint32_t id;

	if (r->hdr.body_len != sizeof(id))
		return -EINVAL;
	memcpy(&id, r->body, sizeof(id));
	return r->hdr.kind == ST_TRACE ? trace_remove(id, c->handle) : capture_remove(id, c->handle);
}

static bool is_observation(uint16_t kind)
{
	return kind == ST_TRACE || kind == ST_CAPTURE;
}

static void on_set(struct client *c, struct request *r)
{
	int rc;

	if (is_observation(r->hdr.kind)) {
		client_reply(c, &r->hdr, observe(c, r), false);
		return;
	}
	if (!c->controller) {
		client_reply(c, &r->hdr, -EPERM, false);
		return;
	}
	if (r->hdr.kind == ST_SOCKET) {
		park_offer(r->fd);
		r->fd = -1;
	}
	rc = object_set(
		r->hdr.kind, r->body, r->hdr.body_len, r->blob, r->hdr.blob_len, r->hdr.expiry_ms);
	park_release();
	client_reply(c, &r->hdr, rc, rc == 0 && !object_was_set_in_place());
}

static void on_del(struct client *c, const struct request *r)
{
	int rc;

	if (is_observation(r->hdr.kind))
		rc = unobserve(c, r);
	else if (!c->controller)
		rc = -EPERM;
	else
		rc = object_del(r->hdr.kind, r->body, r->hdr.body_len);
	client_reply(c, &r->hdr, rc, rc == 0 && c->controller);
}

static void on_dump(struct client *c, const struct request *r)
{
	int rc = r->hdr.body_len != 0 || r->hdr.blob_len != 0 ? -EINVAL
							      : client_dump_begin(c, &r->hdr);

	if (rc < 0)
		client_reply(c, &r->hdr, rc, false);
}

static int on_peer(const struct request *r, enum lcore_cmd_op op)
{
	struct st_peer_key key;
	struct peer *peer;

	if (r->hdr.body_len != sizeof(key))
		return -EINVAL;
	memcpy(&key, r->body, sizeof(key));
	peer = peer_by_id(key.peer_id);
	return peer == NULL ? -ENOENT : command_peer(peer, op, peer, NULL);
}

static int on_packet_out(const struct request *r)
{
	struct st_packet_io io;

	if (r->hdr.body_len != sizeof(io))
		return -EINVAL;
	memcpy(&io, r->body, sizeof(io));
	return packet_out(&io, r->blob, r->hdr.blob_len);
}

static void on_control(struct client *c, const struct request *r)
{
	bool hold = false;
	int rc = 0;

	switch (r->hdr.op) {
	case ST_OP_SYNC_BEGIN:
		object_sync_begin();
		break;
	case ST_OP_SYNC_END:
		log_info("api: sync done swept=%u", object_sync_end());
		route_synced();
		hold = true;
		break;
	case ST_OP_KEEPALIVE:
		rc = on_peer(r, LCORE_CMD_KEEPALIVE);
		break;
	case ST_OP_STAGED_DROP:
		rc = on_peer(r, LCORE_CMD_STAGED_DROP);
		break;
	case ST_OP_PACKET_OUT:
		rc = on_packet_out(r);
		break;
	}
	client_reply(c, &r->hdr, rc, hold);
}

static void dispatch(struct client *c, struct request *r)
{
	if (r->hdr.op == ST_OP_HELLO) {
		on_hello(c, r);
		return;
	}
	if (!c->greeted) {
		client_reply(c, &r->hdr, -EPROTO, false);
		return;
	}
	switch (r->hdr.op) {
	case ST_OP_SET:
		on_set(c, r);
		return;
	case ST_OP_DEL:
		on_del(c, r);
		return;
	case ST_OP_DUMP:
		on_dump(c, r);
		return;
	case ST_OP_SYNC_BEGIN:
	case ST_OP_SYNC_END:
	case ST_OP_KEEPALIVE:
	case ST_OP_STAGED_DROP:
	case ST_OP_PACKET_OUT:
		if (c->controller)
			on_control(c, r);
		else
			client_reply(c, &r->hdr, -EPERM, false);
		return;
	default:
		client_reply(c, &r->hdr, -ENOTSUP, false);
	}
}

// ---- reading ----

// 0, or why the datagram is no message.
static int request_check(struct request *r, const struct datagram *d)
{
	if ((d->flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
		return -EMSGSIZE;
	if (d->len != sizeof(r->hdr) + r->hdr.body_len + r->hdr.blob_len)
		return -EINVAL;
	r->body = d->data + sizeof(r->hdr);
	r->blob = r->body + r->hdr.body_len;
	return 0;
}

static bool take_request(struct datagram *d, void *arg)
{
	struct client *c = arg;
	struct request r = {.fd = d->fd};
	int rc;

	if (client_full(c) || c->dead)
		return false;
	d->fd = -1;
	c->moved++;
	memcpy(&r.hdr, d->data, d->len < sizeof(r.hdr) ? d->len : sizeof(r.hdr));
	rc = request_check(&r, d);
	if (rc < 0)
		client_reply(c, &r.hdr, rc, false);
	else
		dispatch(c, &r);
	if (r.fd >= 0)
		close(r.fd);
	return true;
}

static void read_some(struct client *c)
{
	for (int i = 0; i < BATCHES_PER_TURN && !client_full(c) && !c->dead; i++) {
		int n = inbox_read(&c->inbox, c->fd, take_request, c);

		if (n < 0)
			c->dead = true;
		if (n < INBOX_BATCH)
			return;
	}
}

// It asked for more than it could get then.
static bool waits(const struct client *c)
{
	return c->inbox.head != NULL && !client_full(c) && !c->dead;
}

// ---- loop ----

static void interest(struct client *c)
{
	uint32_t events = (client_full(c) ? 0 : EPOLLIN) | (c->out_head != NULL ? EPOLLOUT : 0);

	if (events != c->interest && watch(EPOLL_CTL_MOD, c->fd, events, (uint64_t)c->handle) == 0)
		c->interest = events;
}

static void serve(struct client *c)
{
	if (waits(c))
		read_some(c);
	client_release(c);
	client_flush(c);
	client_dump_continue(c);
	if (c->dead)
		drop_client(c);
	else
		interest(c);
}

void api_server_poll(void)
{
	struct epoll_event evs[CLIENTS_MAX + 1];
	int n = epoll_wait(server.epfd, evs, CLIENTS_MAX + 1, 0);

	for (int i = 0; i < n; i++) {
		uint64_t at = evs[i].data.u64;

		if (at == CLIENTS_MAX) {
			accept_one();
			continue;
		}
		if (server.clients[at].fd < 0)
			continue; // a request before this one ended it
		if ((evs[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 &&
			!client_full(&server.clients[at]))
			read_some(&server.clients[at]);
		else if ((evs[i].events & (EPOLLHUP | EPOLLERR)) != 0)
			server.clients[at].dead = true;
	}
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (server.clients[i].fd >= 0)
			serve(&server.clients[i]);
}

bool api_server_holding(void)
{
	for (int i = 0; i < CLIENTS_MAX; i++) {
		const struct client *c = &server.clients[i];

		if (c->fd >= 0 && (c->held_head != NULL || waits(c) ||
					  (c->dump.active && c->out_head == NULL)))
			return true;
	}
	return false;
}

// ---- events ----

void api_server_event(
	uint16_t event, const void *body, uint16_t body_len, const void *blob, uint16_t blob_len)
{
	struct client *c = server.controller;

	if (c == NULL)
		return;
	if (!client_event(c, &(struct client_msg){.hdr = {.op = ST_OP_EVENT,
							  .kind = event,
							  .body_len = body_len,
							  .blob_len = blob_len},
				     .body = body,
				     .blob = blob,
				     .fd = -1}))
		c->lost++;
}

void api_server_lost(uint64_t n)
{
	if (server.controller != NULL)
		server.controller->lost += n;
}

bool api_server_trace(int client, const struct st_ev_trace *ev)
{
	if (client < 0 || client >= CLIENTS_MAX || server.clients[client].fd < 0)
		return false;
	return client_event(&server.clients[client],
		&(struct client_msg){
			.hdr = {.op = ST_OP_EVENT, .kind = ST_EV_TRACE, .body_len = sizeof(*ev)},
			.body = ev,
			.fd = -1});
}

bool api_server_capture_ended(int client, uint32_t id)
{
	struct st_ev_expired ev = {.kind = ST_CAPTURE};

	if (client < 0 || client >= CLIENTS_MAX || server.clients[client].fd < 0)
		return false;
	memcpy(ev.key, &id, sizeof(id));
	return client_event(&server.clients[client],
		&(struct client_msg){
			.hdr = {.op = ST_OP_EVENT, .kind = ST_EV_EXPIRED, .body_len = sizeof(ev)},
			.body = &ev,
			.fd = -1});
}
