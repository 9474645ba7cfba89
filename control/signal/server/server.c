// SPDX-License-Identifier: BSD-3-Clause
//
// Listeners, the thread that takes events from gRPC, and the stop. HTTP/2 settings are NetBird's: a PING
// every 5 s to be answered within 2 s, idle connections closed after 15 s, no client PING more often than
// every 5 s.
#include "../../keyed_hash.h"
#include "../grpc_log.h"
#include "server_internal.h"

#include <sodium.h>

#include <errno.h>
#include <grpc/grpc_security.h>
#include <string.h>
#include <sys/stat.h>

#define SENDS_AWAITED   64 // requests for calls kept at gRPC
#define STREAMS_AWAITED 16
#define TICK_MS         250
#define SWEEP_EVERY     (5 * G_USEC_PER_SEC)
#define STOP_MS         3000 // then what still runs is cut

#define PING_MS            5000
#define PING_BACK_MS       2000
#define IDLE_MS            15000
#define CLIENT_PING_MIN_MS 5000

bool key_text_valid(const char *text)
{
	uint8_t key[32];
	size_t len;

	return strlen(text) == KEY_TEXT_LEN &&
	       sodium_base642bin(key, sizeof(key), text, KEY_TEXT_LEN, NULL, &len, NULL,
		       sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       len == sizeof(key);
}

void server_step_start(
	struct server *s, grpc_call *call, const grpc_op *ops, size_t n, struct server_step *step)
{
	if (grpc_call_start_batch(call, ops, n, step, NULL) != GRPC_CALL_OK)
		g_error("signal: gRPC refuses a batch"); // only for a wrong set of operations
	s->steps++;
}

// ---- certificates -------------------------------------------------------------------------------

// Read again when a file changed, at the next handshake: renewals need no restart.
struct certificate {
	char *cert_file, *key_file;
	struct timespec cert_time, key_time;
};

static bool changed(const char *file, struct timespec *last)
{
	struct stat st;

	if (stat(file, &st) ||
		(st.st_mtim.tv_sec == last->tv_sec && st.st_mtim.tv_nsec == last->tv_nsec))
		return false;
	*last = st.st_mtim;
	return true;
}

// A pair that can't be read keeps the one before.
static grpc_ssl_certificate_config_reload_status certificate_fetch(
	void *arg, grpc_ssl_server_certificate_config **config)
{
	struct certificate *c = arg;
	bool cert = changed(c->cert_file, &c->cert_time), key = changed(c->key_file, &c->key_time);
	char *cert_pem = NULL, *key_pem = NULL;
	grpc_ssl_certificate_config_reload_status status =
		GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;

	if (!cert && !key)
		return status;
	if (g_file_get_contents(c->cert_file, &cert_pem, NULL, NULL) &&
		g_file_get_contents(c->key_file, &key_pem, NULL, NULL)) {
		grpc_ssl_pem_key_cert_pair pair = {key_pem, cert_pem};

		// No client shows a certificate, but gRPC asserts that there are roots for them.
		*config = grpc_ssl_server_certificate_config_create(cert_pem, &pair, 1);
		status = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
	} else {
		status = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL;
	}
	if (key_pem)
		sodium_memzero(key_pem, strlen(key_pem));
	g_free(key_pem);
	g_free(cert_pem);
	return status;
}

static bool readable(const char *file, char **ret_error)
{
	GError *error = NULL;
	char *text;

	if (!g_file_get_contents(file, &text, NULL, &error)) {
		*ret_error = g_strdup(error->message);
		g_error_free(error);
		return false;
	}
	sodium_memzero(text, strlen(text));
	g_free(text);
	return true;
}

static void certificate_free(struct certificate *c)
{
	if (!c)
		return;
	g_free(c->cert_file);
	g_free(c->key_file);
	g_free(c);
}

static grpc_server_credentials *credentials(
	struct server *s, const struct server_settings *set, char **ret_error)
{
	grpc_ssl_server_credentials_options *options;
	struct certificate *c;

	if (!set->cert_file)
		return grpc_insecure_server_credentials_create();
	if (!readable(set->cert_file, ret_error) || !readable(set->key_file, ret_error))
		return NULL;
	c = s->certificate =
		g_new0(struct certificate, 1); // handshakes use it as long as the server is there
	c->cert_file = g_strdup(set->cert_file);
	c->key_file = g_strdup(set->key_file);
	options = grpc_ssl_server_credentials_create_options_using_config_fetcher(
		GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE, certificate_fetch, c);
	return grpc_ssl_server_credentials_create_with_options(options);
}

// ---- the thread ---------------------------------------------------------------------------------

static struct server_step shutdown_step;

static void on_shutdown(struct server *s, struct server_step *step, bool ok)
{
}

static void begin_stop(struct server *s)
{
	s->stopping = true;
	shutdown_step.done = on_shutdown;
	s->steps++;
	grpc_server_shutdown_and_notify(s->grpc, s->queue, &shutdown_step);
	registration_end_all(s);
}

static void tick(struct server *s)
{
	int64_t now = g_get_monotonic_time();

	if (atomic_load(&s->stop) && !s->stopping)
		begin_stop(s);
	if (now - s->swept < SWEEP_EVERY)
		return;
	s->swept = now;
	registration_sweep(s, now);
	connections_sweep(s->connections, now);
	atomic_store_explicit(
		&s->counters.connections, connections_count(s->connections), memory_order_relaxed);
}

static void *server_run(void *server)
{
	struct server *s = server;
	int64_t cut = 0;

	for (int i = 0; i < SENDS_AWAITED; i++)
		receive_await(s);
	for (int i = 0; i < STREAMS_AWAITED; i++)
		registration_await(s);
	while (!s->stopping || s->steps > 0) {
		grpc_event ev = grpc_completion_queue_next(s->queue,
			gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
				gpr_time_from_millis(TICK_MS, GPR_TIMESPAN)),
			NULL);

		if (ev.type == GRPC_OP_COMPLETE) {
			struct server_step *step = ev.tag;

			s->steps--;
			step->done(s, step, ev.success);
		}
		tick(s);
		if (s->stopping && cut == 0)
			cut = g_get_monotonic_time() + STOP_MS * 1000;
		if (s->stopping && g_get_monotonic_time() > cut) {
			grpc_server_cancel_all_calls(s->grpc);
			cut = INT64_MAX;
		}
	}
	return NULL;
}

// ---- the interface ------------------------------------------------------------------------------

static grpc_server *grpc_server_make(void)
{
	grpc_arg args[] = {
		{GRPC_ARG_INTEGER, GRPC_ARG_KEEPALIVE_TIME_MS, {.integer = PING_MS}},
		{GRPC_ARG_INTEGER, GRPC_ARG_KEEPALIVE_TIMEOUT_MS, {.integer = PING_BACK_MS}},
		{GRPC_ARG_INTEGER, GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, {.integer = 1}},
		{GRPC_ARG_INTEGER, GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, {.integer = 0}},
		{GRPC_ARG_INTEGER, GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
			{.integer = CLIENT_PING_MIN_MS}},
		{GRPC_ARG_INTEGER, GRPC_ARG_MAX_CONNECTION_IDLE_MS, {.integer = IDLE_MS}},
		{GRPC_ARG_INTEGER, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
			{.integer = SERVER_MESSAGE_MAX}},
		{GRPC_ARG_INTEGER, GRPC_ARG_MAX_CONCURRENT_STREAMS, {.integer = 1000}},
		{GRPC_ARG_INTEGER, GRPC_ARG_ALLOW_REUSEPORT, {.integer = 0}},
	};
	grpc_channel_args list = {G_N_ELEMENTS(args), args};

	return grpc_server_create(&list, NULL);
}

static bool server_listen(struct server *s, const struct server_settings *set, char **ret_error)
{
	grpc_server_credentials *creds = credentials(s, set, ret_error);
	bool good = creds != NULL;

	for (const char *const *l = set->listen; good && *l; l++) {
		if (grpc_server_add_http2_port(s->grpc, *l, creds) > 0)
			continue;
		*ret_error =
			g_strdup_printf(set->cert_file ? "cannot listen on %s: the address is "
							 "taken, not ours or not allowed, or the "
							 "certificate and its key don't fit"
						       : "cannot listen on %s: the address is "
							 "taken, not ours or not allowed",
				*l);
		good = false;
	}
	if (creds)
		grpc_server_credentials_release(creds);
	return good;
}

static void server_free(struct server *s)
{
	grpc_server_destroy(s->grpc);
	grpc_completion_queue_shutdown(s->queue);
	while (grpc_completion_queue_next(s->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
		GRPC_QUEUE_SHUTDOWN)
		;
	grpc_completion_queue_destroy(s->queue);
	certificate_free(s->certificate);
	g_hash_table_unref(s->registry);
	g_hash_table_unref(s->streams);
	connections_free(s->connections);
	g_free(s);
	grpc_shutdown();
}

struct server *server_new(const struct server_settings *set, char **ret_error)
{
	struct server *s = g_new0(struct server, 1);

	grpc_log_begin();
	grpc_init();
	s->max_streams = set->max_streams;
	s->max_streams_per_connection = set->max_streams_per_connection;
	s->connection_rate = set->connection_rate;
	s->key_rate = set->key_rate;
	s->max_queued_bytes = set->queue_bytes;
	s->connections = connections_new(set->max_per_host);
	s->registry = g_hash_table_new(keyed_text_hash, g_str_equal);
	s->streams = g_hash_table_new(NULL, NULL);
	s->queue = grpc_completion_queue_create_for_next(NULL);
	s->grpc = grpc_server_make();
	grpc_server_register_completion_queue(s->grpc, s->queue, NULL);
	s->send_method = grpc_server_register_method(s->grpc, "/signalexchange.SignalExchange/Send",
		NULL, GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
	s->stream_method = grpc_server_register_method(s->grpc,
		"/signalexchange.SignalExchange/ConnectStream", NULL, GRPC_SRM_PAYLOAD_NONE, 0);
	if (!server_listen(s, set, ret_error)) {
		server_free(s);
		return NULL;
	}
	grpc_server_start(s->grpc);
	s->thread = g_thread_new("signal-server", server_run, s);
	return s;
}

void server_stop(struct server *s)
{
	atomic_store(&s->stop, true);
	g_thread_join(s->thread);
	server_free(s);
}

void server_stats(const struct server *s, struct server_stats *ret)
{
#define X(name) ret->name = atomic_load_explicit(&s->counters.name, memory_order_relaxed);
	SERVER_COUNTERS(X)
#undef X
}
