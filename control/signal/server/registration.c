// SPDX-License-Identifier: BSD-3-Clause
//
// Registered streams: one per key, the newest wins and ends the older. Messages of a slow receiver wait in
// a bounded queue, one is at gRPC at a time. What a client sends on its stream is not read: Sends are unary.
#include "server_internal.h"

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <string.h>

#define PEER_ID_HEADER    "x-wiretrustee-peer-id"
#define REGISTERED_HEADER "x-wiretrustee-peer-registered"
#define QUEUE_OVERHEAD    256 // of a message that waits: its slice, its buffer, its place in the queue

struct registration {
	struct server_step request, headers, write, closed, status; // at gRPC while pending
	unsigned int pending;
	grpc_call *call;
	gpr_timespec deadline;
	grpc_metadata_array metadata;
	char key[KEY_TEXT_LEN + 1]; // "" = not registered
	struct connection *connection;
	struct bucket bucket;
	GQueue queue; // of grpc_byte_buffer *; the head is at gRPC while writing
	size_t queued_bytes;
	bool writing, headers_sent, ended; // ended: its status was given to gRPC, or it is gone
	int64_t write_since;
	int cancelled;
};

#define REGISTRATION_OF(step, member)                                                              \
	((struct registration *)((char *)(step)-offsetof(struct registration, member)))

// ---- what waits ---------------------------------------------------------------------------------

static void queued_change(struct server *s, struct registration *r, int64_t bytes)
{
	r->queued_bytes += (uint64_t)bytes;
	s->queued_bytes += (uint64_t)bytes;
	atomic_store_explicit(&s->counters.queued_bytes, s->queued_bytes, memory_order_relaxed);
}

static void queue_clear(struct server *s, struct registration *r)
{
	g_queue_clear_full(&r->queue, (GDestroyNotify)grpc_byte_buffer_destroy);
	queued_change(s, r, -(int64_t)r->queued_bytes);
}

static size_t queue_cost(size_t len)
{
	return len + QUEUE_OVERHEAD;
}

// Counts why there is none. Receivers that don't read can fill all room together, but not keep an ordinary message from
// one that does: each has a little in any case.
static bool queue_room(struct server *s, const struct registration *r, size_t cost)
{
	if (r->queue.length >= SERVER_QUEUE_MAX || r->queued_bytes + cost > SERVER_QUEUE_BYTES_MAX) {
		COUNT(s, queue_full);
		return false;
	}
	if (s->queued_bytes + cost > s->max_queued_bytes &&
		r->queued_bytes + cost > SERVER_QUEUE_BYTES_LOW) {
		COUNT(s, queues_full);
		return false;
	}
	return true;
}

static void step_over(struct server *s, struct registration *r)
{
	if (--r->pending > 0)
		return;
	g_hash_table_remove(s->streams, r);
	queue_clear(s, r);
	if (r->connection)
		connections_stream_end(r->connection);
	grpc_metadata_array_destroy(&r->metadata);
	if (r->call)
		grpc_call_unref(r->call);
	g_free(r);
}

static void registration_forget(struct server *s, struct registration *r)
{
	if (r->key[0] && g_hash_table_lookup(s->registry, r->key) == r) {
		g_hash_table_remove(s->registry, r->key);
		atomic_fetch_sub(&s->counters.streams, 1);
	}
}

static void on_status(struct server *s, struct server_step *step, bool ok)
{
	step_over(s, REGISTRATION_OF(step, status));
}

// Once; what waits is dropped. A write under way that doesn't end is cut.
static void registration_end(
	struct server *s, struct registration *r, grpc_status_code code, const char *details)
{
	grpc_slice text = grpc_slice_from_static_string(details);
	grpc_op ops[2] = {0};
	size_t n = 0;

	registration_forget(s, r);
	if (r->ended)
		return;
	r->ended = true;
	if (r->writing) {
		grpc_call_cancel_with_status(r->call, code, details, NULL);
		return;
	}
	if (!r->headers_sent)
		ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
	ops[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
	ops[n].data.send_status_from_server.status = code;
	ops[n++].data.send_status_from_server.status_details = &text;
	r->status.done = on_status;
	r->pending++;
	server_step_start(s, r->call, ops, n, &r->status);
}

// ---- delivery -----------------------------------------------------------------------------------

static void write_next(struct server *s, struct registration *r);

static void on_written(struct server *s, struct server_step *step, bool ok)
{
	struct registration *r = REGISTRATION_OF(step, write);
	grpc_byte_buffer *b = g_queue_pop_head(&r->queue);

	r->writing = false;
	queued_change(s, r, -(int64_t)queue_cost(grpc_byte_buffer_length(b)));
	if (ok) {
		COUNT(s, delivered);
		atomic_fetch_add_explicit(&s->counters.bytes_delivered, grpc_byte_buffer_length(b),
			memory_order_relaxed);
	}
	grpc_byte_buffer_destroy(b);
	if (ok && !r->ended)
		write_next(s, r);
	step_over(s, r);
}

static void write_next(struct server *s, struct registration *r)
{
	grpc_byte_buffer *b = g_queue_peek_head(&r->queue), *copy;
	grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};

	if (!b || r->writing || r->ended)
		return;
	copy = grpc_byte_buffer_copy(b); // gRPC empties what it is given
	op.data.send_message.send_message = copy;
	r->writing = true;
	r->write_since = g_get_monotonic_time();
	r->write.done = on_written;
	r->pending++;
	server_step_start(s, r->call, &op, 1, &r->write);
	grpc_byte_buffer_destroy(copy);
}

bool registration_deliver(struct server *s, const char *key, grpc_slice message)
{
	struct registration *r = g_hash_table_lookup(s->registry, key);
	size_t cost = queue_cost(GRPC_SLICE_LENGTH(message));

	if (!r)
		return false;
	if (!bucket_take(&r->bucket, s->key_rate, g_get_monotonic_time())) {
		COUNT(s, limited_key);
		return true;
	}
	if (!queue_room(s, r, cost))
		return true;
	g_queue_push_tail(&r->queue, grpc_raw_byte_buffer_create(&message, 1));
	queued_change(s, r, (int64_t)cost);
	write_next(s, r);
	return true;
}

// ---- a stream begins and ends -------------------------------------------------------------------

static void on_closed(struct server *s, struct server_step *step, bool ok)
{
	struct registration *r = REGISTRATION_OF(step, closed);

	registration_forget(s, r);
	r->ended = true;
	step_over(s, r);
}

static void on_headers(struct server *s, struct server_step *step, bool ok)
{
	step_over(s, REGISTRATION_OF(step, headers));
}

static const char *metadata_key(const grpc_metadata_array *m, char out[KEY_TEXT_LEN + 1])
{
	for (size_t i = 0; i < m->count; i++) {
		grpc_slice v = m->metadata[i].value;

		if (grpc_slice_str_cmp(m->metadata[i].key, PEER_ID_HEADER) != 0)
			continue;
		if (GRPC_SLICE_LENGTH(v) != KEY_TEXT_LEN)
			return "";
		memcpy(out, GRPC_SLICE_START_PTR(v), KEY_TEXT_LEN);
		out[KEY_TEXT_LEN] = 0;
		return key_text_valid(out) ? out : "";
	}
	return NULL;
}

static void registration_enter(struct server *s, struct registration *r, const char *key)
{
	struct registration *old = g_hash_table_lookup(s->registry, key);
	grpc_op op = {.op = GRPC_OP_SEND_INITIAL_METADATA};
	grpc_metadata registered = {0};

	if (old) {
		COUNT(s, replaced);
		registration_end(s, old, GRPC_STATUS_ABORTED, "peer registered again");
	}
	strcpy(r->key, key);
	g_hash_table_insert(s->registry, r->key, r);
	atomic_fetch_add(&s->counters.streams, 1);
	COUNT(s, registered);
	registered.key = grpc_slice_from_static_string(REGISTERED_HEADER);
	registered.value = grpc_slice_from_static_string("1");
	op.data.send_initial_metadata.count = 1;
	op.data.send_initial_metadata.metadata = &registered;
	r->headers_sent = true;
	r->headers.done = on_headers;
	r->pending++;
	server_step_start(s, r->call, &op, 1, &r->headers);
}

// Counts the stream to its connection.
static bool within_limit(struct server *s, struct registration *r)
{
	char *name = grpc_call_get_peer(r->call);
	struct connection *c = connections_get(s->connections, name, g_get_monotonic_time());

	gpr_free(name);
	if (!c || g_hash_table_size(s->streams) > s->max_streams ||
		!connections_stream_begin(s->connections, c, s->max_streams_per_connection))
		return false;
	r->connection = c;
	return true;
}

static void registration_begin(struct server *s, struct registration *r)
{
	char text[KEY_TEXT_LEN + 1];
	const char *key = metadata_key(&r->metadata, text);
	grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};

	g_hash_table_add(s->streams, r);
	op.data.recv_close_on_server.cancelled = &r->cancelled;
	r->closed.done = on_closed;
	r->pending++;
	server_step_start(s, r->call, &op, 1, &r->closed);
	if (key && key[0] && within_limit(s, r)) {
		registration_enter(s, r, key);
		return;
	}
	COUNT(s, refused);
	if (!key)
		registration_end(
			s, r, GRPC_STATUS_FAILED_PRECONDITION, "missing header " PEER_ID_HEADER);
	else if (!key[0])
		registration_end(s, r, GRPC_STATUS_INVALID_ARGUMENT,
			PEER_ID_HEADER " is no base64 text of a public key");
	else
		registration_end(s, r, GRPC_STATUS_RESOURCE_EXHAUSTED, "too many streams");
}

static void on_request(struct server *s, struct server_step *step, bool ok)
{
	struct registration *r = REGISTRATION_OF(step, request);

	if (ok) {
		registration_await(s);
		registration_begin(s, r);
	}
	step_over(s, r);
}

void registration_await(struct server *s)
{
	struct registration *r;

	if (s->stopping)
		return;
	r = g_new0(struct registration, 1);
	g_queue_init(&r->queue);
	grpc_metadata_array_init(&r->metadata);
	r->request.done = on_request;
	r->pending = 1;
	s->steps++;
	if (grpc_server_request_registered_call(s->grpc, s->stream_method, &r->call, &r->deadline,
		    &r->metadata, NULL, s->queue, s->queue, &r->request) != GRPC_CALL_OK)
		g_error("signal: gRPC takes no request for calls");
}

void registration_end_all(struct server *s)
{
	GList *all = g_hash_table_get_keys(s->streams);

	for (GList *l = all; l; l = l->next)
		registration_end(s, l->data, GRPC_STATUS_UNAVAILABLE, "the server is going away");
	g_list_free(all);
}

void registration_sweep(struct server *s, int64_t now)
{
	GList *all = g_hash_table_get_keys(s->streams);

	for (GList *l = all; l; l = l->next) {
		struct registration *r = l->data;

		if (!r->writing || r->ended ||
			now - r->write_since < SERVER_SLOW_RECEIVER_S * G_USEC_PER_SEC)
			continue;
		COUNT(s, slow);
		registration_end(s, r, GRPC_STATUS_DEADLINE_EXCEEDED, "does not take its messages");
	}
	g_list_free(all);
}
