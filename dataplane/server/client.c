// SPDX-License-Identifier: BSD-3-Clause
//
// A client of the contract. What the socket does not take waits in a queue; a dump goes on only while
// that queue is empty, so a slow reader costs no memory. main only.
#include "client.h"

#include "../api/st_send.h"
#include "../command.h"
#include "../reclaim.h"
#include "park.h"
#include "stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DUMP_PER_TURN 512 // items before other clients and events get their turn

struct out_msg {
	struct out_msg *next;
	int fd; // a duplicate of our own, -1 = none
	bool event;
	uint16_t len;
	uint8_t data[];
};

struct held {
	struct held *next;
	struct st_msg reply;
	uint64_t quiescent; // reclaim_token
	uint64_t commands;  // command_token
	bool wait;
};

void client_open(struct client *c, int fd, int handle)
{
	*c = (struct client){.fd = fd, .handle = handle};
}

static void out_free(struct out_msg *m)
{
	if (m->fd >= 0)
		close(m->fd);
	free(m);
}

void client_close(struct client *c)
{
	while (c->out_head != NULL) {
		struct out_msg *m = c->out_head;

		c->out_head = m->next;
		out_free(m);
	}
	while (c->held_head != NULL) {
		struct held *h = c->held_head;

		c->held_head = h->next;
		free(h);
	}
	inbox_clear(&c->inbox);
	if (c->dump.active && c->dump.objects)
		object_cursor_close(&c->dump.cursor);
	close(c->fd);
	*c = (struct client){.fd = -1};
}

// ---- sending ----

static bool is_busy(int rc)
{
	return rc == -EAGAIN || rc == -EWOULDBLOCK || rc == -ENOBUFS || rc == -EINTR ||
	       rc == -ETOOMANYREFS;
}

static void enqueue(struct client *c, const struct client_msg *msg, bool event)
{
	size_t len = sizeof(msg->hdr) + msg->hdr.body_len + msg->hdr.blob_len;
	struct out_msg *m = malloc(sizeof(*m) + len);

	if (m == NULL) {
		c->dead = true; // a client that misses an answer must begin anew
		return;
	}
	*m = (struct out_msg){.fd = -1, .event = event, .len = (uint16_t)len};
	if (msg->fd >= 0) {
		m->fd = dup(msg->fd);
		if (m->fd < 0) {
			free(m);
			c->dead = true;
			return;
		}
	}
	memcpy(m->data, &msg->hdr, sizeof(msg->hdr));
	if (msg->hdr.body_len > 0)
		memcpy(m->data + sizeof(msg->hdr), msg->body, msg->hdr.body_len);
	if (msg->hdr.blob_len > 0)
		memcpy(m->data + sizeof(msg->hdr) + msg->hdr.body_len, msg->blob, msg->hdr.blob_len);
	if (c->out_tail != NULL)
		c->out_tail->next = m;
	else
		c->out_head = m;
	c->out_tail = m;
	c->nb_out++;
	c->nb_events += event;
}

static void send_or_queue(struct client *c, const struct client_msg *msg, bool event)
{
	struct iovec iov[3] = {
		{.iov_base = (void *)(uintptr_t)&msg->hdr, .iov_len = sizeof(msg->hdr)},
		{.iov_base = (void *)(uintptr_t)msg->body, .iov_len = msg->hdr.body_len},
		{.iov_base = (void *)(uintptr_t)msg->blob, .iov_len = msg->hdr.blob_len},
	};
	int rc = -EAGAIN;

	if (c->dead)
		return;
	if (c->out_head == NULL)
		rc = st_send(c->fd, iov, 3, msg->fd, MSG_DONTWAIT);
	if (rc == 0)
		c->moved++;
	else if (is_busy(rc))
		enqueue(c, msg, event);
	else
		c->dead = true;
}

void client_send(struct client *c, const struct client_msg *msg)
{
	send_or_queue(c, msg, false);
}

bool client_event(struct client *c, const struct client_msg *msg)
{
	if (c->nb_events >= CLIENT_EVENTS_MAX)
		return false;
	send_or_queue(c, msg, true);
	return true;
}

// OVERRUN goes behind the events that were kept, once there is room again.
static void tell_lost(struct client *c)
{
	struct st_ev_overrun ev = {.lost = c->lost};

	if (c->lost == 0 || c->nb_events > CLIENT_EVENTS_MAX / 2)
		return;
	c->lost = 0;
	send_or_queue(c,
		&(struct client_msg){
			.hdr = {.op = ST_OP_EVENT, .kind = ST_EV_OVERRUN, .body_len = sizeof(ev)},
			.body = &ev,
			.fd = -1},
		true);
}

void client_flush(struct client *c)
{
	while (c->out_head != NULL && !c->dead) {
		struct out_msg *m = c->out_head;
		struct iovec iov = {.iov_base = m->data, .iov_len = m->len};
		int rc = st_send(c->fd, &iov, 1, m->fd, MSG_DONTWAIT);

		if (is_busy(rc))
			break;
		if (rc < 0) {
			c->dead = true;
			break;
		}
		c->out_head = m->next;
		if (c->out_head == NULL)
			c->out_tail = NULL;
		c->nb_out--;
		c->nb_events -= m->event;
		c->moved++;
		out_free(m);
	}
	tell_lost(c);
}

bool client_full(const struct client *c)
{
	return c->dump.active || c->nb_held >= CLIENT_QUEUE_MAX ||
	       c->nb_out - c->nb_events >= CLIENT_QUEUE_MAX;
}

// ---- answers ----

static void send_reply(struct client *c, const struct st_msg *reply)
{
	client_send(c, &(struct client_msg){.hdr = *reply, .fd = -1});
}

void client_reply(struct client *c, const struct st_msg *request, int status, bool hold)
{
	struct st_msg reply = {
		.op = ST_OP_REPLY, .kind = request->kind, .seq = request->seq, .status = status};
	struct held *h;

	if (!hold && c->held_head == NULL) {
		send_reply(c, &reply);
		return;
	}
	h = malloc(sizeof(*h));
	if (h == NULL) {
		c->dead = true;
		return;
	}
	*h = (struct held){.reply = reply, .wait = hold};
	if (hold) {
		h->quiescent = reclaim_token();
		h->commands = command_token();
	}
	if (c->held_tail != NULL)
		c->held_tail->next = h;
	else
		c->held_head = h;
	c->held_tail = h;
	c->nb_held++;
}

static bool due(const struct held *h)
{
	return !h->wait || (reclaim_passed(h->quiescent) && command_passed(h->commands));
}

static void held_drop(struct client *c)
{
	struct held *h = c->held_head;

	c->held_head = h->next;
	if (c->held_head == NULL)
		c->held_tail = NULL;
	c->nb_held--;
	free(h);
}

// By one call as many as stand in front of the first that is not due; what the socket does not take is queued.
static bool release_some(struct client *c)
{
	struct iovec iov[ST_SEND_BATCH];
	struct held *h = c->held_head;
	unsigned int n = 0;
	int sent = 0;

	for (; h != NULL && n < ST_SEND_BATCH && due(h); h = h->next)
		iov[n++] = (struct iovec){.iov_base = &h->reply, .iov_len = sizeof(h->reply)};
	if (n > 1 && c->out_head == NULL && !c->dead)
		sent = st_send_batch(c->fd, iov, n, MSG_DONTWAIT);
	for (unsigned int i = 0; i < n; i++) {
		if ((int)i >= sent)
			send_reply(c, &c->held_head->reply);
		held_drop(c);
	}
	return n == ST_SEND_BATCH;
}

void client_release(struct client *c)
{
	while (release_some(c))
		;
}

// ---- dumps ----

int client_dump_begin(struct client *c, const struct st_msg *request)
{
	// STAT_RELAY goes along the RELAY objects.
	uint16_t kind = request->kind == ST_STAT_RELAY ? ST_RELAY : request->kind;
	bool stats = stats_kind(kind);

	if (!stats && object_kind_find(kind) == NULL)
		return -ENOTSUP;
	c->dump.active = true;
	c->dump.objects = !stats;
	c->dump.kind = request->kind;
	c->dump.seq = request->seq;
	c->dump.at = 0;
	if (!stats)
		object_cursor_open(&c->dump.cursor, kind);
	return 0;
}

static void dump_end(struct client *c)
{
	struct st_msg request = {.kind = c->dump.kind, .seq = c->dump.seq};

	if (c->dump.objects)
		object_cursor_close(&c->dump.cursor);
	c->dump.active = false;
	client_reply(c, &request, 0, false);
}

static void send_item(struct client *c, struct client_msg *msg)
{
	msg->hdr.op = ST_OP_ITEM;
	msg->hdr.kind = c->dump.kind;
	msg->hdr.seq = c->dump.seq;
	client_send(c, msg);
}

// Control blobs and descriptors are the controller's own.
static bool object_item(struct client *c)
{
	struct object_view v;
	struct client_msg msg = {.fd = -1};

	if (!object_cursor_next(&c->dump.cursor, &v))
		return false;
	msg.hdr.body_len = v.body_len;
	msg.hdr.expiry_ms = v.expiry_left_ms;
	msg.body = v.body;
	if (c->controller) {
		msg.hdr.blob_len = v.blob_len;
		msg.blob = v.blob;
		if (c->dump.kind == ST_SOCKET)
			msg.fd = park_fd(((const struct st_socket *)v.body)->key.socket_id);
	}
	send_item(c, &msg);
	return true;
}

// Beside an object that may go while the dump waits, as only the store's cursor can.
static bool relay_item(struct client *c)
{
	struct st_stat_relay body;
	struct client_msg msg = {.body = &body, .hdr.body_len = sizeof(body), .fd = -1};
	struct object_view v;

	if (!object_cursor_next(&c->dump.cursor, &v))
		return false;
	stats_relay(v.body, &body);
	send_item(c, &msg);
	return true;
}

static bool stat_item(struct client *c)
{
	union stats_body body;
	struct client_msg msg = {.body = &body, .fd = -1};

	msg.hdr.body_len = stats_next(c->dump.kind, &c->dump.at, &body);
	if (msg.hdr.body_len == 0)
		return false;
	send_item(c, &msg);
	return true;
}

static bool dump_item(struct client *c)
{
	if (!c->dump.objects)
		return stat_item(c);
	return c->dump.kind == ST_STAT_RELAY ? relay_item(c) : object_item(c);
}

void client_dump_continue(struct client *c)
{
	for (int i = 0; c->dump.active && i < DUMP_PER_TURN; i++) {
		// Answers of requests before the dump go first, and the socket has to take what there is.
		if (c->held_head != NULL || c->out_head != NULL || c->dead)
			return;
		if (!dump_item(c))
			dump_end(c);
	}
}
