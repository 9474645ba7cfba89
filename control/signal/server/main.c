// SPDX-License-Identifier: BSD-3-Clause
//
// strait-signal's command line: serve until a signal, or ask the one that serves for its status.
#include "../../admin.h"
#include "../../ctl/adminclient.h"
#include "../../log.h"
#include "../../notify.h"
#include "report.h"
#include "server.h"

#include <cjson/cJSON.h>
#include <glib-unix.h>
#include <glib.h>
#include <sodium.h>

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEFAULT_LISTEN  "[::]:10000"
#define DEFAULT_RUN_DIR "/run/strait-signal"
#define EXIT_BAD_USAGE  2

struct options {
	GPtrArray *listen; // of const char *, NULL-terminated
	const char *run_dir, *metrics, *log_level;
	struct server_settings server;
	bool status, json;
};

static void print_help(void)
{
	puts("usage: strait-signal [options]            serve\n"
	     "       strait-signal --status [--json]    ask the running one\n"
	     "\n"
	     "A signal service for WireGuard peers that connect by ICE; strait gateways and "
	     "NetBird's\n"
	     "own clients can use it. It sees who talks with whom, never what.\n"
	     "\n"
	     "  -l, --listen HOST:PORT   may be given several times (" DEFAULT_LISTEN ")\n"
	     "      --tls-cert FILE      certificate chain, PEM; with --tls-key: TLS, else "
	     "cleartext\n"
	     "      --tls-key FILE       its private key, PEM; both are read again when they "
	     "change\n"
	     "      --metrics [HOST:]PORT  Prometheus text on http://HOST:PORT/metrics (off)\n"
	     "      --max-streams N      keys registered at a time (16384)\n"
	     "      --max-streams-per-connection N  (64)\n"
	     "      --max-per-host N     connections of one address (IPv6: /64), and keys over "
	     "them "
	     "(4096)\n"
	     "      --connection-rate N  messages per second from one connection, burst 10 N "
	     "(1000)\n"
	     "      --key-rate N         messages per second to one key, burst 10 N (1000)\n"
	     "      --queue-memory MB    of messages that wait for slow receivers (64)\n"
	     "  -r, --run-dir DIR        for the status socket (" DEFAULT_RUN_DIR ")\n"
	     "      --status             print what the server of that directory does\n"
	     "      --json               as JSON\n"
	     "      --log-level LEVEL    error, warning, notice, info or debug (notice)\n"
	     "  -h, --help               this text\n"
	     "      --version            the version\n"
	     "\n"
	     "exit status: 0 ended by a signal, 1 could not start or nobody to ask, 2 wrong usage");
}

static bool read_number(const char *name, const char *text, uint32_t *ret)
{
	guint64 n;

	if (!g_ascii_string_to_unsigned(text, 10, 1, 1000000, &n, NULL)) {
		fprintf(stderr, "strait-signal: --%s: found \"%s\", allowed: 1 to 1000000\n", name,
			text);
		return false;
	}
	*ret = (uint32_t)n;
	return true;
}

enum {
	OPT_CERT = 256,
	OPT_KEY,
	OPT_METRICS,
	OPT_STREAMS,
	OPT_PER,
	OPT_HOST,
	OPT_CRATE,
	OPT_KRATE,
	OPT_QUEUE,
	OPT_LEVEL
};

static const struct option longs[] = {
	{"listen", required_argument, NULL, 'l'},
	{"tls-cert", required_argument, NULL, OPT_CERT},
	{"tls-key", required_argument, NULL, OPT_KEY},
	{"metrics", required_argument, NULL, OPT_METRICS},
	{"max-streams", required_argument, NULL, OPT_STREAMS},
	{"max-streams-per-connection", required_argument, NULL, OPT_PER},
	{"max-per-host", required_argument, NULL, OPT_HOST},
	{"connection-rate", required_argument, NULL, OPT_CRATE},
	{"key-rate", required_argument, NULL, OPT_KRATE},
	{"queue-memory", required_argument, NULL, OPT_QUEUE},
	{"run-dir", required_argument, NULL, 'r'},
	{"status", no_argument, NULL, 's'},
	{"json", no_argument, NULL, 'j'},
	{"log-level", required_argument, NULL, OPT_LEVEL},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'v'},
	{NULL, 0, NULL, 0},
};

// The limits; false: the value is bad.
static bool parse_limit(int c, struct server_settings *s)
{
	uint32_t mb;

	switch (c) {
	case OPT_STREAMS:
		return read_number("max-streams", optarg, &s->max_streams);
	case OPT_PER:
		return read_number(
			"max-streams-per-connection", optarg, &s->max_streams_per_connection);
	case OPT_HOST:
		return read_number("max-per-host", optarg, &s->max_per_host);
	case OPT_CRATE:
		return read_number("connection-rate", optarg, &s->connection_rate);
	case OPT_KRATE:
		return read_number("key-rate", optarg, &s->key_rate);
	case OPT_QUEUE:
		if (!read_number("queue-memory", optarg, &mb))
			return false;
		s->queue_bytes = (uint64_t)mb << 20;
		return true;
	default:
		return false;
	}
}

// -1: go on; else the exit status.
static int parse_option(int c, struct options *o)
{
	switch (c) {
	case 'l':
		g_ptr_array_add(o->listen, optarg);
		return -1;
	case 'r':
		o->run_dir = optarg;
		return -1;
	case 's':
		o->status = true;
		return -1;
	case 'j':
		o->json = true;
		return -1;
	case OPT_CERT:
		o->server.cert_file = optarg;
		return -1;
	case OPT_KEY:
		o->server.key_file = optarg;
		return -1;
	case OPT_METRICS:
		o->metrics = optarg;
		return -1;
	case OPT_LEVEL:
		o->log_level = optarg;
		return -1;
	case 'h':
		print_help();
		return EXIT_SUCCESS;
	case 'v':
		puts("strait-signal " STRAIT_VERSION);
		return EXIT_SUCCESS;
	case '?':
		fputs("try strait-signal --help\n", stderr);
		return EXIT_BAD_USAGE;
	default:
		return parse_limit(c, &o->server) ? -1 : EXIT_BAD_USAGE;
	}
}

static int bad_usage(const char *text)
{
	fprintf(stderr, "strait-signal: %s\ntry strait-signal --help\n", text);
	return EXIT_BAD_USAGE;
}

static int parse_options(int argc, char **argv, struct options *o)
{
	int c, status = -1;

	while (status < 0 && (c = getopt_long(argc, argv, "l:r:h", longs, NULL)) >= 0)
		status = parse_option(c, o);
	if (status >= 0)
		return status;
	if (optind < argc)
		return bad_usage("there are no arguments, only options");
	if (!o->server.cert_file != !o->server.key_file)
		return bad_usage("--tls-cert and --tls-key go together");
	if (o->json && !o->status)
		return bad_usage("--json goes with --status");
	if (o->log_level && !log_set_level(o->log_level))
		return bad_usage("--log-level: allowed: error, warning, notice, info, debug");
	if (o->listen->len == 0)
		g_ptr_array_add(o->listen, (char *)DEFAULT_LISTEN);
	g_ptr_array_add(o->listen, NULL);
	o->server.listen = (const char *const *)o->listen->pdata;
	return -1;
}

// ---- --status -----------------------------------------------------------------------------------

static int ask_status(const struct options *o)
{
	struct cJSON *reply = NULL;
	char *error = NULL, *text;
	int r = adminclient_ask(o->run_dir, adminclient_request("status"), &reply, &error);

	if (r) {
		fprintf(stderr, "strait-signal: no server answers in %s: %s\n", o->run_dir,
			error ? error : strerror(r < 0 ? -r : EPROTO));
		free(error);
		return EXIT_FAILURE;
	}
	if (o->json) {
		text = cJSON_Print(reply);
		puts(text);
		cJSON_free(text);
	} else {
		report_print(reply);
	}
	cJSON_Delete(reply);
	return EXIT_SUCCESS;
}

static char *verb_status(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	report_json(arg, reply);
	return NULL;
}

// ---- serving ------------------------------------------------------------------------------------

static int on_stop(void *loop)
{
	g_message("signal: stopping, streams are told");
	notify_send("STOPPING=1");
	g_main_loop_quit(loop);
	return G_SOURCE_CONTINUE;
}

static int complain(char *error)
{
	g_critical("signal: cannot start error=\"%s\"", error);
	g_free(error);
	return EXIT_FAILURE;
}

static struct admin *admin_start(const char *run_dir, struct report_source *source)
{
	static const struct admin_verb verbs[] = {
		{"status", verb_status, false}, {NULL, NULL, false}};
	char *path = g_build_filename(run_dir, ADMIN_SOCKET_NAME, NULL);
	struct admin *a;

	g_mkdir_with_parents(run_dir, 0750);
	a = admin_new(path, NULL, verbs, source);
	if (!a)
		g_warning("signal: no status socket path=%s error=\"%s\"", path, strerror(errno));
	g_free(path);
	return a;
}

static int serve(const struct options *o)
{
	struct report_source source = {
		.listen = o->server.listen,
		.tls = o->server.cert_file != NULL,
		.started = g_get_monotonic_time(),
	};
	GMainLoop *loop = g_main_loop_new(NULL, FALSE);
	struct report_http *http = NULL;
	struct server *server;
	struct admin *admin;
	char *error = NULL;

	server = server_new(&o->server, &error);
	if (!server)
		return complain(error);
	source.server = server;
	if (o->metrics && !(http = report_http_new(o->metrics, &source, &error))) {
		server_stop(server);
		return complain(error);
	}
	admin = admin_start(o->run_dir, &source);
	g_unix_signal_add(SIGTERM, on_stop, loop);
	g_unix_signal_add(SIGINT, on_stop, loop);
	for (const char *const *l = o->server.listen; *l; l++)
		g_message("signal: serving address=%s tls=%s", *l, source.tls ? "yes" : "no");
	notify_send("READY=1");
	g_main_loop_run(loop);
	report_http_free(http);
	admin_free(admin);
	server_stop(server);
	g_main_loop_unref(loop);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options o = {
		.listen = g_ptr_array_new(),
		.run_dir = DEFAULT_RUN_DIR,
		.server = {.max_streams = 16384,
			.max_streams_per_connection = 64,
			.max_per_host = 4096,
			.connection_rate = 1000,
			.key_rate = 1000,
			.queue_bytes = 64 << 20},
	};
	int status;

	log_init();
	signal(SIGPIPE, SIG_IGN);
	if (sodium_init() < 0)
		return complain(g_strdup("libsodium does not start"));
	status = parse_options(argc, argv, &o);
	if (status < 0)
		status = o.status ? ask_status(&o) : serve(&o);
	g_ptr_array_unref(o.listen);
	return status;
}
