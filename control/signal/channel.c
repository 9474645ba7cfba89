// SPDX-License-Identifier: BSD-3-Clause
//
// gRPC's side of the signal client: URL, channel, and the pump thread that takes events out of the
// completion queue and hands them to the worker. Nothing else runs in the pump, so PINGs are answered at
// once whatever the other threads do.
#include "client_internal.h"

#include <grpc/byte_buffer.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <string.h>

char *channel_target(const char *url, bool *ret_tls, char **ret_error)
{
	GUri *uri = g_uri_parse(url, G_URI_FLAGS_NONE, NULL);
	const char *scheme = uri ? g_uri_get_scheme(uri) : "";
	bool tls = !strcmp(scheme, "https");
	char *target = NULL;
	const char *host;
	int port;

	if (uri && (tls || !strcmp(scheme, "http")) && g_uri_get_host(uri) && g_uri_get_host(uri)[0] &&
		!g_uri_get_userinfo(uri) && !g_uri_get_query(uri) && !g_uri_get_fragment(uri) &&
		(!g_uri_get_path(uri)[0] || !strcmp(g_uri_get_path(uri), "/")) &&
		g_uri_get_port(uri) != 0) {
		host = g_uri_get_host(uri);
		port = g_uri_get_port(uri) > 0 ? g_uri_get_port(uri) : tls ? 443 : 80;
		target = g_strdup_printf(strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
		*ret_tls = tls;
	} else {
		*ret_error = g_strdup_printf("found \"%s\", allowed: https://HOST[:PORT] or "
					     "http://HOST[:PORT]",
			url);
	}
	if (uri)
		g_uri_unref(uri);
	return target;
}

grpc_channel *channel_new(const struct signal_client *c)
{
	grpc_arg args[] = {
		{GRPC_ARG_INTEGER, GRPC_ARG_KEEPALIVE_TIME_MS, {.integer = KEEPALIVE_MS}},
		{GRPC_ARG_INTEGER, GRPC_ARG_KEEPALIVE_TIMEOUT_MS, {.integer = KEEPALIVE_BACK_MS}},
		{GRPC_ARG_INTEGER, GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, {.integer = 0}},
		// Bandwidth probes are PINGs, which NetBird's server counts against us.
		{GRPC_ARG_INTEGER, GRPC_ARG_HTTP2_BDP_PROBE, {.integer = 0}},
		{GRPC_ARG_INTEGER, GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, {.integer = CONNECT_MS}},
		{GRPC_ARG_INTEGER, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, {.integer = RECEIVE_MAX}},
		// Retries and their pace are ours, with a connection of this channel's own.
		{GRPC_ARG_INTEGER, GRPC_ARG_ENABLE_RETRIES, {.integer = 0}},
		{GRPC_ARG_INTEGER, GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, {.integer = 1}},
		// What is in our environment is no configuration.
		{GRPC_ARG_INTEGER, GRPC_ARG_ENABLE_HTTP_PROXY, {.integer = 0}},
		{GRPC_ARG_STRING, GRPC_ARG_PRIMARY_USER_AGENT_STRING,
			{.string = "strait/" STRAIT_VERSION}},
	};
	grpc_channel_args list = {G_N_ELEMENTS(args), args};
	grpc_channel_credentials *creds =
		c->roots ? grpc_ssl_credentials_create_ex(c->roots, NULL, NULL, NULL)
			 : grpc_insecure_credentials_create();
	grpc_channel *channel = grpc_channel_create(c->target, creds, &list);

	grpc_channel_credentials_release(creds);
	return channel;
}

bool step_start(struct signal_client *c, grpc_call *call, const grpc_op *ops, size_t n,
	struct grpc_step *step)
{
	step->client = c;
	if (grpc_call_start_batch(call, ops, n, step, NULL) != GRPC_CALL_OK)
		return false;
	c->steps++;
	return true;
}

struct step_event {
	struct grpc_step *step;
	bool ok;
};

static void on_event(void *data)
{
	struct step_event *e = data;
	struct signal_client *c = e->step->client;

	c->steps--;
	e->step->done(e->step, e->ok);
	g_free(e);
	client_stopped(c);
}

void *pump_run(void *client)
{
	struct signal_client *c = client;

	for (;;) {
		grpc_event ev = grpc_completion_queue_next(
			c->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
		struct step_event *e;

		if (ev.type == GRPC_QUEUE_SHUTDOWN)
			return NULL;
		if (ev.type != GRPC_OP_COMPLETE)
			continue;
		e = g_new(struct step_event, 1);
		e->step = ev.tag;
		e->ok = ev.success;
		mailbox_post(c->to_worker, on_event, e);
	}
}

grpc_byte_buffer *buffer_of(const uint8_t *bytes, size_t len)
{
	grpc_slice slice = grpc_slice_from_copied_buffer((const char *)bytes, len);
	grpc_byte_buffer *b = grpc_raw_byte_buffer_create(&slice, 1);

	grpc_slice_unref(slice);
	return b;
}
