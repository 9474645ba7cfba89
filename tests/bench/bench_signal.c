// SPDX-License-Identifier: BSD-3-Clause
//
// signal.messages_per_s: what strait-signal delivers between clients of straitd over loopback, sealed and
// opened, all in this process; each of PAIRS senders keeps WINDOW messages under way. The lowest of ROUNDS.
#include "../../control/signal/server/server.h"
#include "../../control/signal/signal_client.h"

#include <glib.h>
#include <sodium.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PAIRS   8
#define WINDOW  32 // below the client's limit per peer
#define ROUNDS  5
#define ROUND_S 2
#define UP_S    20
#define LISTEN  "127.0.0.1:10909"
// As long as an offer of NetBird's.
#define PAYLOAD "abcdefghijklmnop:abcdefghijklmnopqrstuvwxyzabcdef"

struct side {
	struct signal_client *client;
	uint8_t private[32], public[32];
	struct side *other;
	bool up;
	uint64_t received, failed;
	unsigned int under_way;
};

static struct side sides[2 * PAIRS];

static void on_ready(bool up, void *arg)
{
	((struct side *)arg)->up = up;
}

static void on_message(const struct signal_message *m, void *arg)
{
	((struct side *)arg)->received++;
}

static void on_done(int status, void *arg)
{
	struct side *s = arg;

	s->under_way--;
	s->failed += status != 0;
}

static bool side_open(struct side *s)
{
	static const struct signal_ops ops = {.ready = on_ready, .message = on_message};
	struct signal_settings set = {
		.url = "http://" LISTEN, .private_key = s->private, .public_key = s->public};
	char *error = NULL;

	crypto_box_keypair(s->public, s->private);
	s->client = signal_client_new(&set, &ops, s, &error);
	if (!s->client)
		fprintf(stderr, "bench_signal: %s\n", error);
	return s->client;
}

static bool all_up(void)
{
	for (int n = 0; n < 2 * PAIRS; n++) {
		if (!sides[n].up)
			return false;
	}
	return true;
}

static void fill(struct side *s)
{
	struct signal_message m = {.type = SIGNAL_OFFER, .payload = PAYLOAD, .version = "bench"};

	memcpy(m.peer, s->other->public, sizeof(m.peer));
	while (s->under_way < WINDOW && !signal_client_send(s->client, &m, on_done, s))
		s->under_way++;
}

static uint64_t run_for(double seconds)
{
	int64_t end = g_get_monotonic_time() + (int64_t)(seconds * 1e6);
	uint64_t before = 0, after = 0;

	for (int n = 0; n < PAIRS; n++)
		before += sides[n].other->received;
	while (g_get_monotonic_time() < end) {
		for (int n = 0; n < PAIRS; n++)
			fill(&sides[n]);
		g_main_context_iteration(NULL, TRUE);
	}
	for (int n = 0; n < PAIRS; n++)
		after += sides[n].other->received;
	return after - before;
}

static int start(struct server **ret)
{
	static const char *const listen[] = {LISTEN, NULL};
	struct server_settings set = {.listen = listen,
		.max_streams = 1000,
		.max_streams_per_connection = 10,
		.connection_rate = 10000000,
		.max_per_host = 100000,
		.queue_bytes = 64 << 20,
		.key_rate = 10000000};
	int64_t end = g_get_monotonic_time() + UP_S * G_USEC_PER_SEC;
	char *error = NULL;

	*ret = server_new(&set, &error);
	if (!*ret) {
		fprintf(stderr, "bench_signal: %s\n", error);
		return 1;
	}
	for (int n = 0; n < 2 * PAIRS; n++) {
		if (!side_open(&sides[n]))
			return 1;
		sides[n].other = &sides[(n + PAIRS) % (2 * PAIRS)];
	}
	for (int n = 0; n < 2 * PAIRS; n++)
		signal_client_peer_add(sides[n].client, sides[n].other->public);
	while (!all_up() && g_get_monotonic_time() < end)
		g_main_context_iteration(NULL, FALSE);
	return all_up() ? 0 : 1;
}

int main(int argc, char **argv)
{
	double lowest = 0, rate;
	uint64_t failed = 0;
	struct server *server;
	FILE *json;

	if (argc != 1 && (argc != 3 || strcmp(argv[1], "--json"))) {
		fprintf(stderr, "usage: bench_signal [--json FILE]\n");
		return 2;
	}
	if (sodium_init() < 0 || start(&server)) {
		fprintf(stderr, "bench_signal: not all registered\n");
		return 1;
	}
	run_for(0.5);
	for (int n = 0; n < ROUNDS; n++) {
		rate = (double)run_for(ROUND_S) / ROUND_S;
		lowest = n && lowest < rate ? lowest : rate;
	}
	for (int n = 0; n < PAIRS; n++)
		failed += sides[n].failed;
	printf("signal: %.0f messages/s delivered, lowest of %d rounds, %llu failed\n", lowest,
		ROUNDS, (unsigned long long)failed);
	if (argc == 3) {
		json = fopen(argv[2], "w");
		if (!json) {
			fprintf(stderr, "bench_signal: %s: %s\n", argv[2], strerror(errno));
			return 1;
		}
		fprintf(json, "{\"signal.messages_per_s\": %.0f}\n", lowest);
		fclose(json);
	}
	for (int n = 0; n < 2 * PAIRS; n++)
		signal_client_free(sides[n].client);
	server_stop(server);
	return failed ? 1 : 0;
}
