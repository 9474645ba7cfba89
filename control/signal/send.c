// SPDX-License-Identifier: BSD-3-Clause
//
// Unary Sends: each has a deadline, is tried again when the service may have missed it, and ends with one
// answer. In the worker's thread.
#include "client_internal.h"
#include "signalexchange.pb-c.h"

#include <sodium.h>

#include <errno.h>
#include <grpc/byte_buffer.h>
#include <grpc/slice.h>

#define SEND_METHOD "/signalexchange.SignalExchange/Send"

struct send {
	struct grpc_step step;
	struct signal_client *client;
	struct peer *peer; // NULL = ourselves
	signal_done done;
	void *arg;
	grpc_byte_buffer *request, *reply;
	grpc_call *call; // NULL between tries
	GSource *retry;
	unsigned int tries;
	grpc_metadata_array initial, trailing;
	grpc_status_code status;
	grpc_slice details;
};

static void send_free(struct send *s)
{
	if (s->retry)
		g_source_destroy(s->retry);
	grpc_byte_buffer_destroy(s->request);
	if (s->peer)
		peer_unref(s->peer);
	g_free(s);
}

static void send_finish(struct send *s, int status)
{
	struct signal_client *c = s->client;

	g_hash_table_remove(c->sending, s);
	if (s->peer)
		client_sent(c, s->peer, status, s->done, s->arg);
	send_free(s);
}

static int status_errno(grpc_status_code status)
{
	switch (status) {
	case GRPC_STATUS_OK:
		return 0;
	case GRPC_STATUS_CANCELLED:
		return -ECANCELED;
	case GRPC_STATUS_DEADLINE_EXCEEDED:
		return -ETIMEDOUT;
	case GRPC_STATUS_UNAVAILABLE:
		return -ECONNREFUSED;
	default:
		return -EPROTO;
	}
}

// NetBird's old server says UNKNOWN while our stream is not registered; limits pass.
static bool worth_retry(grpc_status_code status)
{
	return status == GRPC_STATUS_UNAVAILABLE || status == GRPC_STATUS_DEADLINE_EXCEEDED ||
	       status == GRPC_STATUS_UNKNOWN || status == GRPC_STATUS_RESOURCE_EXHAUSTED ||
	       status == GRPC_STATUS_ABORTED;
}

static void send_try(struct send *s);

static gboolean on_retry(void *arg)
{
	struct send *s = arg;

	s->retry = NULL;
	send_try(s);
	return G_SOURCE_REMOVE;
}

static void on_replied(struct grpc_step *step, bool ok)
{
	struct send *s = (struct send *)step;
	struct signal_client *c = s->client;
	grpc_status_code status = s->status;

	grpc_metadata_array_destroy(&s->initial);
	grpc_metadata_array_destroy(&s->trailing);
	grpc_slice_unref(s->details);
	grpc_byte_buffer_destroy(s->reply);
	grpc_call_unref(s->call);
	s->call = NULL;
	if (!c->stopping && worth_retry(status) && s->tries < SEND_TRIES && s->peer) {
		STAT_ADD(c, send_retries);
		s->retry = client_timer(c, SEND_RETRY_MS << (s->tries - 1), on_retry, s);
		return;
	}
	send_finish(s, status_errno(status));
}

static void send_try(struct send *s)
{
	struct signal_client *c = s->client;
	gpr_timespec deadline = gpr_time_add(
		gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(SEND_DEADLINE_MS, GPR_TIMESPAN));
	grpc_op ops[6] = {0};

	s->tries++;
	s->reply = NULL;
	grpc_metadata_array_init(&s->initial);
	grpc_metadata_array_init(&s->trailing);
	s->details = grpc_empty_slice();
	s->step.done = on_replied;
	s->call = grpc_channel_create_call(c->channel, NULL, GRPC_PROPAGATE_DEFAULTS, c->queue,
		grpc_slice_from_static_string(SEND_METHOD), NULL, deadline, NULL);
	ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
	// Waits for the connection, within the deadline.
	ops[0].flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY;
	ops[1].op = GRPC_OP_SEND_MESSAGE;
	ops[1].data.send_message.send_message = grpc_byte_buffer_copy(s->request);
	ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
	ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
	ops[3].data.recv_initial_metadata.recv_initial_metadata = &s->initial;
	ops[4].op = GRPC_OP_RECV_MESSAGE;
	ops[4].data.recv_message.recv_message = &s->reply;
	ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
	ops[5].data.recv_status_on_client.trailing_metadata = &s->trailing;
	ops[5].data.recv_status_on_client.status = &s->status;
	ops[5].data.recv_status_on_client.status_details = &s->details;
	if (!step_start(c, s->call, ops, G_N_ELEMENTS(ops), &s->step))
		g_error("signal: gRPC refuses a batch"); // only for a wrong set of operations
	grpc_byte_buffer_destroy(ops[1].data.send_message.send_message);
}

static grpc_byte_buffer *seal(struct signal_client *c, const uint8_t *receiver,
	const struct box_key *key, const uint8_t *plain, size_t len)
{
	Signalexchange__EncryptedMessage m = SIGNALEXCHANGE__ENCRYPTED_MESSAGE__INIT;
	uint8_t body[SIGNAL_BODY_MAX + BOX_OVERHEAD], wire[SIGNAL_BODY_MAX + 256];
	char to[KEY_TEXT_LEN + 1];

	key_text(to, receiver);
	box_seal(body, plain, len, key);
	m.key = c->public_text;
	m.remote_key = to;
	m.has_body = true;
	m.body.data = body;
	m.body.len = len + BOX_OVERHEAD;
	return buffer_of(wire, signalexchange__encrypted_message__pack(&m, wire));
}

void send_start(struct signal_client *c, struct peer *peer, const uint8_t *plain, size_t len,
	signal_done done, void *arg)
{
	const struct box_key *key = peer ? peer_box(c, peer) : c->own_box;
	struct send *s;

	if (!key || c->stopping) {
		if (peer)
			client_sent(c, peer, c->stopping ? -ECANCELED : -EINVAL, done, arg);
		return;
	}
	s = g_new0(struct send, 1);
	s->client = c;
	s->peer = peer ? peer_ref(peer) : NULL;
	s->done = done;
	s->arg = arg;
	s->request = seal(c, peer ? peer->key : c->public_key, key, plain, len);
	g_hash_table_add(c->sending, s);
	send_try(s);
}

void send_cancel_all(struct signal_client *c)
{
	GList *all = g_hash_table_get_keys(c->sending);

	for (GList *l = all; l; l = l->next) {
		struct send *s = l->data;

		if (s->call)
			grpc_call_cancel(s->call, NULL); // ends in on_replied
		else
			send_finish(s, -ECANCELED);
	}
	g_list_free(all);
}
