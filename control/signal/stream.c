// SPDX-License-Identifier: BSD-3-Clause
//
// The registered stream that messages come on: connects for ever with growing pauses, and gives a stream up
// that a heartbeat to ourselves doesn't come back on. In the worker's thread.
#include "../text.h"
#include "body.h"
#include "client_internal.h"
#include "signalexchange.pb-c.h"

#include <sodium.h>

#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <string.h>

#define STREAM_METHOD     "/signalexchange.SignalExchange/ConnectStream"
#define PEER_ID_HEADER    "x-wiretrustee-peer-id"
#define REGISTERED_HEADER "x-wiretrustee-peer-registered"
#define UNTRUSTED                                                                                  \
	"the service's certificate is of no authority that we trust (\"ca\" of \"signal\", else "  \
	"the system's), or for another name"

struct stream {
	struct signal_client *client;
	struct grpc_step headers, message, status; // at gRPC while pending
	unsigned int pending;
	grpc_call *call;
	grpc_metadata_array initial, trailing;
	grpc_byte_buffer *received;
	grpc_status_code code;
	grpc_slice details;
	GSource *deadline; // for the registration
	bool registered;
	const char *why;      // we gave it up
	int64_t heard, asked; // monotonic; asked 0 = no heartbeat under way
	unsigned int back_ms; // for the one under way
};

static void stream_read(struct stream *s);

static void stream_give_up(struct stream *s, const char *why)
{
	if (!s->why)
		s->why = why;
	grpc_call_cancel(s->call, NULL);
}

static gboolean on_again(void *arg)
{
	struct signal_client *c = arg;

	c->retry = NULL;
	stream_connect(c);
	return G_SOURCE_REMOVE;
}

// A random part of 0 to 2 times the pause, so that a thousand clients don't come back at once. When it is our
// own network that changed, nobody else comes with us.
static void schedule_again(struct signal_client *c)
{
	double jitter = 2.0 * (double)randombytes_uniform(1001) / 1000;

	if (c->hurry) {
		c->retry = client_timer(c, HURRY_MS, on_again, c);
		return;
	}
	c->retry = client_timer(c, c->backoff_ms * jitter, on_again, c);
	c->backoff_ms = MIN(c->backoff_ms * BACKOFF_FACTOR, BACKOFF_MAX_MS);
}

// OpenSSL's words for it stand at the end of a long line, and do not say what to do.
static bool is_untrusted(const char *details)
{
	return strstr(details, "0A000086") || strstr(details, "certificate verify failed") ||
	       strstr(details, "CERTIFICATE_VERIFY_FAILED");
}

static void note_end(struct stream *s)
{
	struct signal_client *c = s->client;
	char *details = grpc_slice_to_c_string(s->details);
	g_autofree char *status = g_strdup_printf("gRPC status %d: %s", (int)s->code,
		details[0] ? details : "the service ended the stream");

	g_mutex_lock(&c->stats_lock);
	c->stats.up = false;
	text_copy(c->stats.last_error, sizeof(c->stats.last_error),
		s->why                  ? s->why
		: is_untrusted(details) ? UNTRUSTED
					: status);
	g_mutex_unlock(&c->stats_lock);
	gpr_free(details);
}

static void stream_ended(struct stream *s)
{
	struct signal_client *c = s->client;

	note_end(s);
	if (s->deadline)
		g_source_destroy(s->deadline);
	if (s->registered)
		client_tell_up(c, false);
	grpc_metadata_array_destroy(&s->initial);
	grpc_metadata_array_destroy(&s->trailing);
	grpc_slice_unref(s->details);
	grpc_call_unref(s->call);
	c->stream = NULL;
	g_free(s);
	if (!c->stopping)
		schedule_again(c);
}

static void step_over(struct stream *s)
{
	if (--s->pending == 0)
		stream_ended(s);
}

static void on_status(struct grpc_step *step, bool ok)
{
	struct stream *s = (struct stream *)((char *)step - offsetof(struct stream, status));

	step_over(s);
}

// ---- what comes ---------------------------------------------------------------------------------

static struct body *open_body(struct signal_client *c, struct peer *p, const ProtobufCBinaryData *box)
{
	uint8_t plain[SIGNAL_BODY_MAX];
	const struct box_key *key;
	struct body *b;

	if (box->len > SIGNAL_BODY_MAX + BOX_OVERHEAD || !(key = peer_box(c, p)) ||
		!box_open(plain, box->data, box->len, key)) {
		STAT_ADD(c, undecryptable);
		client_refuse(c, p, "does not open: not sealed for us by this peer");
		return NULL;
	}
	b = body_decode(plain, box->len - BOX_OVERHEAD);
	if (!b) {
		STAT_ADD(c, malformed);
		client_refuse(c, p, "opens, but is no message");
	}
	return b;
}

static bool is_known_type(enum signal_type type)
{
	return type == SIGNAL_OFFER || type == SIGNAL_ANSWER || type == SIGNAL_CANDIDATE ||
	       type == SIGNAL_MODE || type == SIGNAL_GO_IDLE;
}

static void take_from(struct signal_client *c, const char *sender, const ProtobufCBinaryData *box)
{
	uint8_t key[SIGNAL_KEY_LEN];
	struct peer *p;
	struct body *b;

	if (sender && !strcmp(sender, c->public_text))
		return; // our heartbeat
	p = sender && key_from_text(key, sender) ? g_hash_table_lookup(c->worker_peers, key) : NULL;
	if (!p) {
		STAT_ADD(c, unknown_peer);
		client_refuse(c, NULL, "the sender is no peer of ours");
		return;
	}
	b = open_body(c, p, box);
	if (!b)
		return;
	if (is_known_type(body_message(b)->type)) {
		client_deliver(c, p, b);
		return;
	}
	STAT_ADD(c, unknown_type);
	body_free(b);
}

static void take_message(struct signal_client *c, grpc_byte_buffer *buffer)
{
	Signalexchange__EncryptedMessage *m;
	grpc_byte_buffer_reader reader;
	grpc_slice all;

	if (!grpc_byte_buffer_reader_init(&reader, buffer))
		return;
	all = grpc_byte_buffer_reader_readall(&reader);
	m = signalexchange__encrypted_message__unpack(
		NULL, GRPC_SLICE_LENGTH(all), GRPC_SLICE_START_PTR(all));
	if (m) {
		take_from(c, m->key, &m->body);
		signalexchange__encrypted_message__free_unpacked(m, NULL);
	} else {
		STAT_ADD(c, malformed);
	}
	grpc_slice_unref(all);
	grpc_byte_buffer_reader_destroy(&reader);
}

static void on_message(struct grpc_step *step, bool ok)
{
	struct stream *s = (struct stream *)((char *)step - offsetof(struct stream, message));

	if (!ok || !s->received) { // the end; the status says why
		step_over(s);
		return;
	}
	s->heard = g_get_monotonic_time();
	s->asked = 0;
	take_message(s->client, s->received);
	grpc_byte_buffer_destroy(s->received);
	s->received = NULL;
	stream_read(s);
	step_over(s);
}

static void stream_read(struct stream *s)
{
	grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};

	op.data.recv_message.recv_message = &s->received;
	s->message.done = on_message;
	if (step_start(s->client, s->call, &op, 1, &s->message))
		s->pending++;
}

// ---- registration -------------------------------------------------------------------------------

static bool is_registered(const grpc_metadata_array *headers)
{
	for (size_t i = 0; i < headers->count; i++) {
		if (grpc_slice_str_cmp(headers->metadata[i].key, REGISTERED_HEADER) == 0)
			return grpc_slice_str_cmp(headers->metadata[i].value, "1") == 0;
	}
	return false;
}

static void stream_up(struct stream *s)
{
	struct signal_client *c = s->client;

	if (s->deadline)
		g_source_destroy(s->deadline);
	s->deadline = NULL;
	s->registered = true;
	s->heard = g_get_monotonic_time();
	c->backoff_ms = BACKOFF_FIRST_MS;
	g_mutex_lock(&c->stats_lock);
	c->stats.up = true;
	c->stats.up_since = s->heard;
	c->stats.connects++;
	c->stats.reconnects = c->stats.connects - 1;
	g_mutex_unlock(&c->stats_lock);
	client_tell_up(c, true);
	stream_read(s);
}

static void on_headers(struct grpc_step *step, bool ok)
{
	struct stream *s = (struct stream *)((char *)step - offsetof(struct stream, headers));

	if (ok && is_registered(&s->initial))
		stream_up(s);
	else if (ok && s->initial.count > 0)
		stream_give_up(s, "the service did not register us (header " REGISTERED_HEADER ")");
	step_over(s);
}

static gboolean on_register_deadline(void *arg)
{
	struct stream *s = arg;

	s->deadline = NULL;
	stream_give_up(s, "the service did not answer the registration in time");
	return G_SOURCE_REMOVE;
}

static void stream_start(struct stream *s)
{
	struct signal_client *c = s->client;
	grpc_metadata id = {0};
	grpc_op first[2] = {0}, status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};

	id.key = grpc_slice_from_static_string(PEER_ID_HEADER);
	id.value = grpc_slice_from_copied_string(c->public_text);
	first[0].op = GRPC_OP_SEND_INITIAL_METADATA;
	first[0].data.send_initial_metadata.count = 1;
	first[0].data.send_initial_metadata.metadata = &id;
	first[1].op = GRPC_OP_RECV_INITIAL_METADATA;
	first[1].data.recv_initial_metadata.recv_initial_metadata = &s->initial;
	status.data.recv_status_on_client.trailing_metadata = &s->trailing;
	status.data.recv_status_on_client.status = &s->code;
	status.data.recv_status_on_client.status_details = &s->details;
	s->headers.done = on_headers;
	s->status.done = on_status;
	s->pending = 2;
	if (!step_start(c, s->call, &status, 1, &s->status) ||
		!step_start(c, s->call, first, G_N_ELEMENTS(first), &s->headers))
		g_error("signal: gRPC refuses a batch"); // only for a wrong set of operations
	grpc_slice_unref(id.value);
	s->deadline = client_timer(c, REGISTER_DEADLINE_MS, on_register_deadline, s);
}

void stream_connect(struct signal_client *c)
{
	struct stream *s = g_new0(struct stream, 1);

	c->hurry = false;
	// A new channel each time: gRPC's own pauses would add to ours, and the name is asked for again.
	// Sends under way keep the old one until they end.
	if (c->channel)
		grpc_channel_destroy(c->channel);
	c->channel = channel_new(c);
	c->stream = s;
	s->client = c;
	s->details = grpc_empty_slice();
	grpc_metadata_array_init(&s->initial);
	grpc_metadata_array_init(&s->trailing);
	s->call = grpc_channel_create_call(c->channel, NULL, GRPC_PROPAGATE_DEFAULTS, c->queue,
		grpc_slice_from_static_string(STREAM_METHOD), NULL,
		gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
	stream_start(s);
}

// ---- liveness -----------------------------------------------------------------------------------

static void send_heartbeat(struct signal_client *c)
{
	struct signal_message m = {.type = SIGNAL_HEARTBEAT};
	uint8_t plain[SIGNAL_BODY_MAX];
	int len = body_encode(plain, &m);

	STAT_ADD(c, heartbeats);
	send_start(c, NULL, plain, (size_t)len, NULL, NULL);
}

static void ask(struct stream *s, unsigned int back_ms)
{
	s->asked = g_get_monotonic_time();
	s->back_ms = back_ms;
	send_heartbeat(s->client);
}

static gboolean on_watch(void *arg)
{
	struct signal_client *c = arg;
	struct stream *s = c->stream;
	int64_t now = g_get_monotonic_time();
	double scale = c->timer_scale;

	if (!s || !s->registered || s->why)
		return G_SOURCE_CONTINUE;
	if (s->asked && (double)(now - s->asked) * scale > s->back_ms * 1000.0) {
		c->hurry = s->back_ms == CHECK_BACK_MS;
		stream_give_up(s, "the service delivers nothing: a heartbeat did not come back");
	} else if (!s->asked && (double)(now - s->heard) * scale > SILENT_HEARTBEAT_MS * 1000.0) {
		ask(s, HEARTBEAT_BACK_MS);
	}
	return G_SOURCE_CONTINUE;
}

static gboolean on_check_back(void *arg)
{
	(void)on_watch(arg);
	return G_SOURCE_REMOVE;
}

// Once at a time: who doubts again and again would put the answer off for ever.
static void check(struct stream *s)
{
	if (s->asked && s->back_ms == CHECK_BACK_MS)
		return;
	ask(s, CHECK_BACK_MS);
	client_timer(s->client, CHECK_BACK_MS + 10, on_check_back, s->client);
}

void stream_network_changed(struct signal_client *c, enum signal_network what)
{
	struct stream *s = c->stream;

	if (c->stopping || (s && s->why))
		return;
	if (s && s->registered && what == SIGNAL_NETWORK_MOVED) {
		c->hurry = true;
		stream_give_up(s, "an address of this box is gone");
		return;
	}
	if (s && s->registered) {
		if (what == SIGNAL_NETWORK_DOUBT)
			check(s);
		return;
	}
	if (c->hurry)
		return;
	c->hurry = true;
	c->backoff_ms = BACKOFF_FIRST_MS;
	if (s) {
		stream_give_up(s, "the network changed meanwhile");
	} else if (c->retry) {
		g_source_destroy(c->retry);
		schedule_again(c);
	}
}

void stream_watch(struct signal_client *c)
{
	c->watch = client_timer(c, WATCH_MS, on_watch, c);
}

void stream_stop(struct signal_client *c)
{
	if (c->retry)
		g_source_destroy(c->retry);
	if (c->watch)
		g_source_destroy(c->watch);
	c->retry = c->watch = NULL;
	if (c->stream)
		stream_give_up(c->stream, "closed");
	if (c->channel)
		grpc_channel_destroy(c->channel);
	c->channel = NULL;
}
