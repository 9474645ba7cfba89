// SPDX-License-Identifier: BSD-3-Clause
//
// straitd's command line and its main loop: options, run directory, rights, signals. What the daemon does
// is in daemon.c.
#include "config/config.h"
#include "daemon.h"
#include "log.h"
#include "notify.h"
#include "sandbox.h"
#include "wg/wg.h"

#include <glib-unix.h>
#include <glib.h>
#include <sodium.h>

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_CONFIG "/etc/strait/strait.json"

#define EXIT_BAD_USAGE 2

struct options {
	const char *config, *run_dir, *user, *log_level;
	bool check;
};

struct run {
	GMainLoop *loop;
	struct daemon *daemon;
	int status;
};

static void print_help(void)
{
	printf("usage: straitd [options]\n"
	       "\n"
	       "The control daemon of the strait WireGuard gateway: configuration, handshakes,\n"
	       "host devices. Packets are carried by strait-dp.\n"
	       "\n"
	       "  -c, --config FILE      configuration (" DEFAULT_CONFIG ")\n"
	       "  -r, --run-dir DIR      sockets and lock; wins over \"run_dir\" of the file\n"
	       "  -u, --user NAME        change to this user, keeping the capabilities needed\n"
	       "  -l, --log-level LEVEL  error, warning, notice, info or debug (notice)\n"
	       "      --check            read the configuration, say what is wrong, exit\n"
	       "  -h, --help             this text\n"
	       "      --version          the version\n"
	       "\n"
	       "exit status: 0 ended by a signal or --check found nothing, 1 could not start,\n"
	       "2 wrong usage\n");
}

// -1: go on; else the exit status.
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},
		{"run-dir", required_argument, NULL, 'r'},
		{"user", required_argument, NULL, 'u'},
		{"log-level", required_argument, NULL, 'l'},
		{"check", no_argument, NULL, 'k'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:r:u:l:h", longs, NULL)) >= 0) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 'r':
			o->run_dir = optarg;
			break;
		case 'u':
			o->user = optarg;
			break;
		case 'l':
			o->log_level = optarg;
			break;
		case 'k':
			o->check = true;
			break;
		case 'h':
			print_help();
			return EXIT_SUCCESS;
		case 'v':
			puts("straitd " STRAIT_VERSION);
			return EXIT_SUCCESS;
		default:
			fputs("try straitd --help\n", stderr);
			return EXIT_BAD_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "straitd: unexpected argument %s\ntry straitd --help\n",
			argv[optind]);
		return EXIT_BAD_USAGE;
	}
	return -1;
}

static int on_hangup(void *arg)
{
	struct run *run = arg;
	char *error = NULL;

	daemon_reload(run->daemon, NULL, &error); // logs what was wrong
	g_free(error);
	return G_SOURCE_CONTINUE;
}

static int on_stop(void *arg)
{
	struct run *run = arg;

	g_message("straitd: stopping, sessions and host devices stay");
	notify_send("STOPPING=1");
	g_main_loop_quit(run->loop);
	return G_SOURCE_CONTINUE;
}

static void on_failed(void *arg)
{
	struct run *run = arg;

	run->status = EXIT_FAILURE;
	g_main_loop_quit(run->loop);
}

static int on_alive(void *arg)
{
	notify_send("WATCHDOG=1");
	return G_SOURCE_CONTINUE;
}

static int complain(char *error)
{
	g_critical("straitd: cannot start error=\"%s\"", error ? error : "unknown");
	g_free(error);
	return EXIT_FAILURE;
}

static int run_daemon(struct config *config, const struct options *o)
{
	struct run run = {.status = EXIT_SUCCESS};
	const char *dir = o->run_dir ? o->run_dir : config->run_dir;
	char *error = NULL;

	if (sandbox_run_dir(dir, o->user, config->group, &error) ||
		sandbox_shared_dir(WG_UAPI_DIR, o->user, &error) || sandbox_lock(dir, &error) ||
		sandbox_enter(o->user, &error)) {
		config_free(config);
		return complain(error);
	}
	run.loop = g_main_loop_new(NULL, FALSE);
	run.daemon = daemon_new(config, o->run_dir, on_failed, &run);
	g_unix_signal_add(SIGHUP, on_hangup, &run);
	g_unix_signal_add(SIGTERM, on_stop, &run);
	g_unix_signal_add(SIGINT, on_stop, &run);
	if (notify_watchdog_ms())
		g_timeout_add(MAX(notify_watchdog_ms() / 3, 1), on_alive, NULL);
	if (daemon_start(run.daemon, &error))
		run.status = complain(error);
	else
		g_main_loop_run(run.loop);
	daemon_free(run.daemon);
	g_main_loop_unref(run.loop);
	return run.status;
}

int main(int argc, char **argv)
{
	struct options o = {.config = DEFAULT_CONFIG};
	int status = parse_options(argc, argv, &o);
	struct config *config;
	char *error = NULL;

	if (status >= 0)
		return status;
	log_init();
	if (o.log_level && !log_set_level(o.log_level)) {
		fprintf(stderr, "straitd: no log level %s\ntry straitd --help\n", o.log_level);
		return EXIT_BAD_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	umask(027);
	if (sodium_init() < 0)
		return complain(g_strdup("libsodium does not start"));
	config = config_load(o.config, &error);
	if (!config) {
		// As it is: the message may have several lines, and a person reads it.
		fprintf(stderr, "straitd: %s\n", error);
		g_free(error);
		return EXIT_FAILURE;
	}
	if (o.check) {
		printf("%s: good\n", o.config);
		config_free(config);
		return EXIT_SUCCESS;
	}
	return run_daemon(config, &o);
}
