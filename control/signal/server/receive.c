// SPDX-License-Identifier: BSD-3-Clause
//
// Unary Sends: limits, the receiver's key, and the empty answer. An absent receiver is answered OK, as
// NetBird's clients expect; a sender need not be registered.
#include "../signalexchange.pb-c.h"
#include "server_internal.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>

struct receive {
	struct server_step step;
	grpc_call *call;
	gpr_timespec deadline;
	grpc_metadata_array headers;
	grpc_byte_buffer *message;
	int cancelled;
};

static void on_answered(struct server *s, struct server_step *step, bool ok)
{
	struct receive *r = (struct receive *)step;

	grpc_byte_buffer_destroy(r->message);
	grpc_metadata_array_destroy(&r->headers);
	grpc_call_unref(r->call);
	g_free(r);
}

static void answer(struct server *s, struct receive *r, grpc_status_code code, const char *details)
{
	grpc_slice empty = grpc_empty_slice(), text = grpc_slice_from_static_string(details);
	grpc_byte_buffer *reply = grpc_raw_byte_buffer_create(&empty, 1);
	grpc_op ops[4] = {0};
	size_t n = 0;

	ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
	if (code == GRPC_STATUS_OK) {
		ops[n].op = GRPC_OP_SEND_MESSAGE; // an EncryptedMessage without fields
		ops[n++].data.send_message.send_message = reply;
	}
	ops[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
	ops[n].data.send_status_from_server.status = code;
	ops[n++].data.send_status_from_server.status_details = &text;
	ops[n].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
	ops[n++].data.recv_close_on_server.cancelled = &r->cancelled;
	r->step.done = on_answered;
	server_step_start(s, r->call, ops, n, &r->step);
	grpc_byte_buffer_destroy(reply);
}

static bool within_limit(struct server *s, struct receive *r)
{
	int64_t now = g_get_monotonic_time();
	char *name = grpc_call_get_peer(r->call);
	struct connection *c = connections_get(s->connections, name, now);

	gpr_free(name);
	return c && bucket_take(&c->sends, s->connection_rate, now);
}

// The whole message is parsed to find the receiver, and passed on in one piece of its own length: what it came in may be
// a short part of a long read.
static bool pass_on(struct server *s, struct receive *r)
{
	Signalexchange__EncryptedMessage *m;
	grpc_byte_buffer_reader reader;
	bool good = false;
	grpc_slice all;

	if (!r->message || !grpc_byte_buffer_reader_init(&reader, r->message))
		return false;
	all = grpc_byte_buffer_reader_readall(&reader);
	m = signalexchange__encrypted_message__unpack(
		NULL, GRPC_SLICE_LENGTH(all), GRPC_SLICE_START_PTR(all));
	if (m && m->key && m->remote_key && key_text_valid(m->key) && key_text_valid(m->remote_key)) {
		good = true;
		if (!registration_deliver(s, m->remote_key, all))
			COUNT(s, absent);
	}
	if (m)
		signalexchange__encrypted_message__free_unpacked(m, NULL);
	grpc_slice_unref(all);
	grpc_byte_buffer_reader_destroy(&reader);
	return good;
}

static void on_request(struct server *s, struct server_step *step, bool ok)
{
	struct receive *r = (struct receive *)step;

	if (!ok) { // the server stops
		grpc_metadata_array_destroy(&r->headers);
		g_free(r);
		return;
	}
	receive_await(s);
	COUNT(s, sends);
	if (!within_limit(s, r)) {
		COUNT(s, limited_connection);
		answer(s, r, GRPC_STATUS_RESOURCE_EXHAUSTED, "too many messages on this connection");
	} else if (!pass_on(s, r)) {
		COUNT(s, malformed);
		answer(s, r, GRPC_STATUS_INVALID_ARGUMENT,
			"not an EncryptedMessage with the base64 keys of sender and receiver");
	} else {
		answer(s, r, GRPC_STATUS_OK, "");
	}
}

void receive_await(struct server *s)
{
	struct receive *r;

	if (s->stopping)
		return;
	r = g_new0(struct receive, 1);
	grpc_metadata_array_init(&r->headers);
	r->step.done = on_request;
	s->steps++;
	if (grpc_server_request_registered_call(s->grpc, s->send_method, &r->call, &r->deadline,
		    &r->headers, &r->message, s->queue, s->queue, &r->step) != GRPC_CALL_OK)
		g_error("signal: gRPC takes no request for calls");
}
