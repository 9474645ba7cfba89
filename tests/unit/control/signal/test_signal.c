// SPDX-License-Identifier: BSD-3-Clause
//
// The signal client against the signal server, both as they are, over loopback: registration, delivery,
// strangers, caps, a stalled main loop, a restarted server, a removed peer.
#include "../../../../control/signal/server/server.h"
#include "../../../../control/signal/signal_client.h"
#include "../../suite.h"

#include <CUnit/CUnit.h>
#include <glib.h>
#include <sodium.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS 15000

struct side {
	struct signal_client *client;
	uint8_t private[32], public[32];
	bool up;
	unsigned int downs, messages, done, failed;
	int status;
	struct signal_message last;
	char payload[64];
	uint64_t refused;
	unsigned int refused_calls;
	bool refused_stranger;
};

static struct side a, b;
static char listen_on[32], url[64];

static void on_ready(bool up, void *arg)
{
	struct side *s = arg;

	s->up = up;
	s->downs += !up;
}

static void on_message(const struct signal_message *m, void *arg)
{
	struct side *s = arg;

	s->messages++;
	s->last = *m;
	g_strlcpy(s->payload, m->payload, sizeof(s->payload));
}

static void on_refused(const uint8_t *peer, const char *why, uint64_t count, void *arg)
{
	struct side *s = arg;

	s->refused += count;
	s->refused_calls++;
	s->refused_stranger = !peer;
}

static void on_done(int status, void *arg)
{
	struct side *s = arg;

	s->done++;
	s->failed += status != 0;
	s->status = status;
}

static bool wait_until(bool (*is)(void))
{
	int64_t end = g_get_monotonic_time() + WAIT_MS * 1000;

	while (!is() && g_get_monotonic_time() < end) {
		while (g_main_context_iteration(NULL, FALSE))
			;
		g_usleep(1000);
	}
	return is();
}

static void run_for(unsigned int ms)
{
	int64_t end = g_get_monotonic_time() + ms * 1000;

	while (g_get_monotonic_time() < end) {
		while (g_main_context_iteration(NULL, FALSE))
			;
		g_usleep(1000);
	}
}

static void pick_port(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)))
		exit(1);
	getsockname(fd, (struct sockaddr *)&sin, &len);
	close(fd);
	g_snprintf(listen_on, sizeof(listen_on), "127.0.0.1:%u", ntohs(sin.sin_port));
	g_snprintf(url, sizeof(url), "http://%s", listen_on);
}

static bool tls;
static uint32_t key_rate = 100000; // 0: whatever is sent is taken, and nothing delivered

static struct server *serve(uint32_t connection_rate)
{
	const char *addresses[] = {listen_on, NULL};
	struct server_settings set = {.listen = addresses,
		.max_streams = 100,
		.max_streams_per_connection = 2,
		.connection_rate = connection_rate,
		.max_per_host = 100000,
		.queue_bytes = 64 << 20,
		.key_rate = key_rate,
		.cert_file = tls ? TEST_DATA "/tls_cert.pem" : NULL,
		.key_file = tls ? TEST_DATA "/tls_key.pem" : NULL};
	char *error = NULL;
	struct server *s = server_new(&set, &error);

	if (!s)
		fprintf(stderr, "\n%s\n", error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	return s;
}

static void side_open(struct side *s)
{
	struct signal_ops ops = {.ready = on_ready, .message = on_message, .refused = on_refused};
	struct signal_settings set = {.url = url, .timer_scale = 8};
	char *error = NULL;

	memset(s, 0, sizeof(*s));
	crypto_box_keypair(s->public, s->private);
	set.private_key = s->private;
	set.public_key = s->public;
	s->client = signal_client_new(&set, &ops, s, &error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s->client);
}

static void know_each_other(void)
{
	CU_ASSERT_EQUAL(signal_client_peer_add(a.client, b.public), 0);
	CU_ASSERT_EQUAL(signal_client_peer_add(a.client, b.public), -EEXIST);
	CU_ASSERT_EQUAL(signal_client_peer_add(b.client, a.public), 0);
}

static int say(struct side *from, const struct side *to, const char *payload)
{
	struct signal_message m = {.type = SIGNAL_CANDIDATE, .payload = payload, .version = "x"};

	memcpy(m.peer, to->public, 32);
	return signal_client_send(from->client, &m, on_done, from);
}

static bool b_up(void)
{
	return b.up;
}

static bool both_up(void)
{
	return a.up && b.up;
}

static bool both_down(void)
{
	return !a.up && !b.up;
}

static bool a_down(void)
{
	return !a.up;
}

static bool a_done(void)
{
	return a.done >= 1;
}

static bool b_has_one(void)
{
	return b.messages >= 1;
}

static void open_both(void)
{
	side_open(&a);
	side_open(&b);
	know_each_other();
	CU_ASSERT_TRUE_FATAL(wait_until(both_up));
}

static void close_both(void)
{
	signal_client_free(a.client);
	signal_client_free(b.client);
}

static void a_message_arrives_with_all_its_fields(void)
{
	struct server *s = serve(1000);
	struct signal_message m = {.type = SIGNAL_OFFER,
		.payload = "ufragufrag:pwdpwdpwdpwdpwdpwdpwdpwd",
		.wg_listen_port = 51820,
		.version = "0.1",
		.features = {1},
		.n_features = 1,
		.has_session_id = true,
		.session_id = {1, 2, 3, 4, 5}};
	struct server_stats stats;

	open_both();
	memcpy(m.peer, b.public, 32);
	CU_ASSERT_EQUAL(signal_client_send(a.client, &m, on_done, &a), 0);
	CU_ASSERT_TRUE(wait_until(b_has_one));
	CU_ASSERT_TRUE(wait_until(a_done));
	CU_ASSERT_EQUAL(a.status, 0);
	CU_ASSERT_EQUAL(memcmp(b.last.peer, a.public, 32), 0);
	CU_ASSERT_EQUAL(b.last.type, SIGNAL_OFFER);
	CU_ASSERT_STRING_EQUAL(b.payload, m.payload);
	CU_ASSERT_EQUAL(b.last.wg_listen_port, 51820);
	CU_ASSERT_EQUAL(b.last.n_features, 1);
	CU_ASSERT_TRUE(b.last.has_session_id);
	server_stats(s, &stats);
	CU_ASSERT_EQUAL(stats.streams, 2);
	CU_ASSERT_EQUAL(stats.delivered, 1);
	close_both();
	server_stop(s);
}

static void an_absent_peer_is_answered_ok(void)
{
	struct server *s = serve(1000);
	struct server_stats stats;

	side_open(&a);
	crypto_box_keypair(b.public, b.private);
	CU_ASSERT_EQUAL(say(&a, &b, "x"), -ENOENT);
	signal_client_peer_add(a.client, b.public);
	CU_ASSERT_EQUAL(say(&a, &b, "x"), 0);
	CU_ASSERT_TRUE(wait_until(a_done));
	CU_ASSERT_EQUAL(a.status, 0);
	server_stats(s, &stats);
	CU_ASSERT_EQUAL(stats.absent, 1);
	signal_client_free(a.client);
	server_stop(s);
}

static bool b_unknown(void)
{
	struct signal_stats stats;

	signal_client_stats(b.client, &stats);
	return stats.unknown_peer == 1;
}

static bool b_many_unknown(void)
{
	struct signal_stats stats;

	signal_client_stats(b.client, &stats);
	return stats.unknown_peer == 21;
}

static bool b_told_of_refusal(void)
{
	return b.refused_calls > 0;
}

static void a_stranger_is_counted_and_not_heard(void)
{
	struct server *s = serve(1000);

	side_open(&a);
	side_open(&b);
	signal_client_peer_add(a.client, b.public);
	CU_ASSERT_TRUE_FATAL(wait_until(both_up));
	CU_ASSERT_EQUAL(say(&a, &b, "x"), 0);
	CU_ASSERT_TRUE(wait_until(b_unknown));
	CU_ASSERT_TRUE(wait_until(b_told_of_refusal));
	CU_ASSERT_EQUAL(b.refused, 1);
	CU_ASSERT_TRUE(b.refused_stranger);
	// The next ones are counted, and not told before a minute has passed.
	for (int n = 0; n < 20; n++)
		CU_ASSERT_EQUAL(say(&a, &b, "x"), 0);
	CU_ASSERT_TRUE(wait_until(b_many_unknown));
	run_for(100);
	CU_ASSERT_EQUAL(b.refused_calls, 1);
	CU_ASSERT_EQUAL(b.messages, 0);
	close_both();
	server_stop(s);
}

// Nothing runs in this thread for longer than the server waits for the answer to its PING.
static void a_stalled_main_loop_keeps_the_stream(void)
{
	struct server *s = serve(1000);
	struct signal_stats stats;
	struct server_stats served;

	open_both();
	CU_ASSERT_EQUAL(say(&a, &b, "before"), 0);
	g_usleep(8500000); // PING after 5 s, 2 s to answer
	server_stats(s, &served);
	CU_ASSERT_EQUAL(served.streams, 2);
	CU_ASSERT_TRUE(wait_until(b_has_one));
	CU_ASSERT_EQUAL(a.downs, 0);
	CU_ASSERT_EQUAL(b.downs, 0);
	signal_client_stats(b.client, &stats);
	CU_ASSERT_EQUAL(stats.reconnects, 0);
	CU_ASSERT_TRUE(stats.heartbeats > 0); // times run eight times as fast here
	close_both();
	server_stop(s);
}

static bool b_back(void)
{
	struct signal_stats stats;

	signal_client_stats(b.client, &stats);
	return both_up() && stats.reconnects >= 1;
}

static void clients_come_back_to_a_restarted_server(void)
{
	struct server *s = serve(1000);

	open_both();
	server_stop(s);
	CU_ASSERT_TRUE(wait_until(a_down));
	run_for(300);
	CU_ASSERT_FALSE(a.up);
	CU_ASSERT_EQUAL(say(&a, &b, "while away"), 0); // waits, within its deadline
	s = serve(1000);
	CU_ASSERT_TRUE(wait_until(b_back));
	CU_ASSERT_TRUE(wait_until(a_done));
	CU_ASSERT_EQUAL(a.status, 0);
	close_both();
	server_stop(s);
}

static bool a_went(void)
{
	return a.downs > 0;
}

static uint64_t heartbeats_before;

static bool a_asks(void)
{
	struct signal_stats stats;

	signal_client_stats(a.client, &stats);
	return stats.heartbeats > heartbeats_before;
}

// The connection may be from the address that is gone: nobody would tell us.
static void a_stream_is_replaced_when_an_address_is_gone(void)
{
	struct server *s = serve(1000);

	open_both();
	signal_client_network_changed(a.client, SIGNAL_NETWORK_MOVED);
	CU_ASSERT_TRUE(wait_until(a_went));
	CU_ASSERT_TRUE(wait_until(both_up));
	CU_ASSERT_EQUAL(a.downs, 1);
	CU_ASSERT_EQUAL(b.downs, 0);
	CU_ASSERT_EQUAL(say(&a, &b, "from elsewhere"), 0);
	CU_ASSERT_TRUE(wait_until(b_has_one));
	close_both();
	server_stop(s);
}

static void a_stream_in_doubt_is_asked_and_kept_when_it_delivers(void)
{
	struct server *s = serve(1000);
	struct signal_stats stats;

	open_both();
	signal_client_stats(a.client, &stats);
	heartbeats_before = stats.heartbeats;
	signal_client_network_changed(a.client, SIGNAL_NETWORK_DOUBT);
	CU_ASSERT_TRUE(wait_until(a_asks));
	run_for(1000); // four times what it has to come back, at eight times the pace
	CU_ASSERT_TRUE(a.up);
	CU_ASSERT_EQUAL(say(&a, &b, "as before"), 0);
	CU_ASSERT_TRUE(wait_until(b_has_one));
	close_both();
	server_stop(s);
}

// It takes heartbeats and answers PINGs, and that is all.
static void a_service_that_delivers_nothing_is_given_up(void)
{
	struct signal_stats stats;
	struct server *s;

	key_rate = 0;
	s = serve(1000);
	key_rate = 100000;
	open_both();
	CU_ASSERT_TRUE(wait_until(a_went));
	signal_client_stats(a.client, &stats);
	CU_ASSERT_PTR_NOT_NULL(strstr(stats.last_error, "delivers nothing"));
	CU_ASSERT_TRUE(stats.heartbeats > 0);
	server_stop(s);
	CU_ASSERT_TRUE(wait_until(both_down));
	s = serve(1000);
	CU_ASSERT_TRUE(wait_until(both_up));
	CU_ASSERT_EQUAL(say(&a, &b, "by one that does"), 0);
	CU_ASSERT_TRUE(wait_until(b_has_one));
	close_both();
	server_stop(s);
}

static void changed_routes_leave_a_stream_that_is_there_alone(void)
{
	struct server *s = serve(1000);

	open_both();
	signal_client_network_changed(a.client, SIGNAL_NETWORK_ROUTES);
	run_for(300);
	CU_ASSERT_EQUAL(a.downs, 0);
	CU_ASSERT_EQUAL(say(&a, &b, "as before"), 0);
	CU_ASSERT_TRUE(wait_until(b_has_one));
	close_both();
	server_stop(s);
}

static void a_send_without_a_server_fails_in_time(void)
{
	int64_t begun = g_get_monotonic_time();

	side_open(&a);
	crypto_box_keypair(b.public, b.private);
	signal_client_peer_add(a.client, b.public);
	CU_ASSERT_EQUAL(say(&a, &b, "x"), 0);
	while (!a.done && g_get_monotonic_time() - begun < SIGNAL_SEND_GIVE_UP_MS * 1000)
		run_for(20);
	CU_ASSERT_EQUAL(a.done, 1);
	CU_ASSERT_TRUE(a.status == -ETIMEDOUT || a.status == -ECONNREFUSED);
	signal_client_free(a.client);
}

static bool b_went(void)
{
	return b.downs > 0;
}

static void the_newest_of_a_key_gets_the_messages(void)
{
	struct server *s = serve(1000);
	struct signal_ops ops = {.ready = on_ready, .message = on_message};
	static struct side b2; // with the key of b
	struct signal_settings set = {.url = url, .timer_scale = 8};
	struct signal_stats older;
	struct server_stats stats;
	char *error = NULL;

	open_both();
	memset(&b2, 0, sizeof(b2));
	set.private_key = b.private;
	set.public_key = b.public;
	b2.client = signal_client_new(&set, &ops, &b2, &error);
	signal_client_peer_add(b2.client, a.public);
	CU_ASSERT_TRUE(wait_until(b_went));
	signal_client_stats(b.client, &older);
	CU_ASSERT_PTR_NOT_NULL(strstr(older.last_error, "gRPC status 10")); // ABORTED
	signal_client_free(b.client); // or the two would take the key from each other for ever
	b.client = b2.client;
	server_stats(s, &stats);
	CU_ASSERT_TRUE(stats.replaced >= 1);
	// The older one may have been back already, so that the newer has to come back now.
	for (int n = 0; n < 100 && !b2.messages; n++) {
		CU_ASSERT_EQUAL(say(&a, &b, "to the newest"), 0);
		run_for(100);
	}
	CU_ASSERT_STRING_EQUAL(b2.payload, "to the newest");
	CU_ASSERT_EQUAL(b.messages, 0);
	close_both();
	server_stop(s);
}

static void nothing_comes_of_a_removed_peer(void)
{
	struct server *s = serve(1000);

	open_both();
	CU_ASSERT_EQUAL(say(&a, &b, "x"), 0);
	signal_client_peer_del(a.client, b.public);
	g_usleep(200000); // what comes back waits for this thread
	signal_client_peer_del(b.client, a.public);
	run_for(200);
	CU_ASSERT_EQUAL(a.done, 0);
	CU_ASSERT_EQUAL(b.messages, 0);
	CU_ASSERT_EQUAL(say(&a, &b, "x"), -ENOENT);
	know_each_other();
	CU_ASSERT_EQUAL(say(&a, &b, "again"), 0);
	CU_ASSERT_TRUE(wait_until(b_has_one));
	CU_ASSERT_STRING_EQUAL(b.payload, "again");
	close_both();
	server_stop(s);
}

static void a_peer_has_so_many_sends_under_way(void)
{
	struct signal_stats stats;

	side_open(&a); // no server
	crypto_box_keypair(b.public, b.private);
	signal_client_peer_add(a.client, b.public);
	for (int i = 0; i < SIGNAL_SENDS_PER_PEER_MAX; i++)
		CU_ASSERT_EQUAL(say(&a, &b, "x"), 0);
	CU_ASSERT_EQUAL(say(&a, &b, "x"), -ENOBUFS);
	signal_client_stats(a.client, &stats);
	CU_ASSERT_EQUAL(stats.send_full, 1);
	signal_client_free(a.client);
}

static bool all_done(void)
{
	return a.done == SIGNAL_SENDS_PER_PEER_MAX;
}

// The server's burst is ten seconds' worth; what is over it is refused, tried again and at last reported.
static void a_connection_over_its_rate_is_refused(void)
{
	struct server *s = serve(1);
	struct server_stats stats;

	open_both();
	for (int i = 0; i < SIGNAL_SENDS_PER_PEER_MAX; i++)
		CU_ASSERT_EQUAL(say(&a, &b, "x"), 0);
	CU_ASSERT_TRUE(wait_until(all_done));
	CU_ASSERT_TRUE(a.failed > 20);
	CU_ASSERT_TRUE(b.messages >= 10 && b.messages < 40);
	server_stats(s, &stats);
	CU_ASSERT_TRUE(stats.limited_connection > 20);
	close_both();
	server_stop(s);
}

static bool a_refused(void)
{
	struct signal_stats stats;

	signal_client_stats(a.client, &stats);
	return stats.last_error[0] != 0;
}

static void tls_serves_those_who_speak_it(void)
{
	struct signal_ops ops = {.ready = on_ready, .message = on_message};
	struct signal_settings set = {.timer_scale = 8, .ca_file = TEST_DATA "/tls_cert.pem"};
	struct signal_stats stats;
	struct server *s;
	char secure[64];
	char *error = NULL;

	tls = true;
	s = serve(1000);
	tls = false;
	g_snprintf(secure, sizeof(secure), "https://%s", listen_on);
	memset(&b, 0, sizeof(b));
	crypto_box_keypair(b.public, b.private);
	set.url = secure;
	set.private_key = b.private;
	set.public_key = b.public;
	b.client = signal_client_new(&set, &ops, &b, &error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b.client);
	side_open(&a); // cleartext: never registered
	CU_ASSERT_TRUE(wait_until(a_refused));
	CU_ASSERT_TRUE(wait_until(b_up));
	CU_ASSERT_FALSE(a.up);
	signal_client_free(a.client);
	// By the system's roots it is nobody's.
	memset(&a, 0, sizeof(a));
	crypto_box_keypair(a.public, a.private);
	set.ca_file = NULL;
	set.private_key = a.private;
	set.public_key = a.public;
	a.client = signal_client_new(&set, &ops, &a, &error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(a.client);
	CU_ASSERT_TRUE(wait_until(a_refused));
	signal_client_stats(a.client, &stats);
	CU_ASSERT_PTR_NOT_NULL(strstr(stats.last_error, "no authority that we trust"));
	CU_ASSERT_FALSE(a.up);
	close_both();
	server_stop(s);
}

// A service that opens the stream with bare headers, and then says nothing: HTTP/2 as bytes (RFC 9113 6.5, 6.2).
static gpointer bare_service(gpointer listener)
{
	static const uint8_t settings[] = {0, 0, 0, 4, 0, 0, 0, 0, 0},
			     ack[] = {0, 0, 0, 4, 1, 0, 0, 0, 0};
	static const uint8_t headers[] = "\x00\x00\x13\x01\x04\x00\x00\x00\x01"
					 "\x88\x5f\x10"
					 "application/grpc";
	int fd = accept(GPOINTER_TO_INT(listener), NULL, NULL);
	const char *call = "ConnectStream"; // in the clear in the headers of the call
	uint8_t buf[4096];
	size_t have = 0;
	ssize_t n;

	(void)!send(fd, settings, sizeof(settings), MSG_NOSIGNAL);
	(void)!send(fd, ack, sizeof(ack), MSG_NOSIGNAL);
	while (!memmem(buf, have, call, strlen(call)) && have < sizeof(buf) &&
		(n = recv(fd, buf + have, sizeof(buf) - have, 0)) > 0)
		have += (size_t)n;
	(void)!send(fd, headers, sizeof(headers) - 1, MSG_NOSIGNAL);
	while (recv(fd, buf, sizeof(buf), 0) > 0)
		;
	close(fd);
	return NULL;
}

static void a_stream_without_a_registration_is_given_up_in_time(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(sin);
	struct signal_stats stats;
	GThread *service;
	char before[64];

	CU_ASSERT_EQUAL_FATAL(bind(listener, (struct sockaddr *)&sin, sizeof(sin)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(listener, 4), 0);
	getsockname(listener, (struct sockaddr *)&sin, &len);
	memcpy(before, url, sizeof(before));
	g_snprintf(url, sizeof(url), "http://127.0.0.1:%u", ntohs(sin.sin_port));
	service = g_thread_new("service", bare_service, GINT_TO_POINTER(listener));
	side_open(&a);
	CU_ASSERT_TRUE(wait_until(a_refused));
	signal_client_stats(a.client, &stats);
	CU_ASSERT_PTR_NOT_NULL(strstr(stats.last_error, "did not answer the registration in time"));
	CU_ASSERT_FALSE(a.up);
	signal_client_free(a.client);
	g_thread_join(service);
	close(listener);
	memcpy(url, before, sizeof(before));
}

static void urls(void)
{
	static const struct {
		const char *url, *full;
	} cases[] = {
		{"https://signal.example", "https://signal.example:443"},
		{"http://signal.example", "http://signal.example:80"},
		{"http://192.0.2.1:10000/", "http://192.0.2.1:10000"},
		{"https://[2001:db8::1]:10000", "https://[2001:db8::1]:10000"},
		{"signal.example:443", NULL},
		{"ftp://signal.example", NULL},
		{"https://", NULL},
		{"https://user@signal.example", NULL},
		{"https://signal.example/path", NULL},
		{"https://signal.example?x=1", NULL},
		{"https://signal.example:99999", NULL},
		{"https://signal.example:0", NULL},
		{"", NULL},
	};

	for (unsigned int i = 0; i < G_N_ELEMENTS(cases); i++) {
		char *error = NULL, *full = signal_url_check(cases[i].url, &error);

		CU_ASSERT_EQUAL(g_strcmp0(full, cases[i].full), 0);
		CU_ASSERT_EQUAL(full == NULL, error != NULL);
		g_free(full);
		g_free(error);
	}
}

static void bad_settings_are_named(void)
{
	struct signal_ops ops = {.ready = on_ready, .message = on_message};
	struct signal_settings set = {.url = "https://127.0.0.1:1", .ca_file = "/nonexistent.pem"};
	char *error = NULL;

	crypto_box_keypair(a.public, a.private);
	set.private_key = a.private;
	set.public_key = a.public;
	CU_ASSERT_PTR_NULL(signal_client_new(&set, &ops, &a, &error));
	CU_ASSERT_PTR_NOT_NULL_FATAL(error);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "/nonexistent.pem"));
	g_free(error);
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"a message arrives with all its fields", a_message_arrives_with_all_its_fields},
		{"an absent peer is answered OK", an_absent_peer_is_answered_ok},
		{"a stranger is counted and not heard", a_stranger_is_counted_and_not_heard},
		{"a stalled main loop keeps the stream", a_stalled_main_loop_keeps_the_stream},
		{"clients come back to a restarted server", clients_come_back_to_a_restarted_server},
		{"a stream is replaced when an address is gone",
			a_stream_is_replaced_when_an_address_is_gone},
		{"a stream in doubt is asked and kept when it delivers",
			a_stream_in_doubt_is_asked_and_kept_when_it_delivers},
		{"a service that delivers nothing is given up",
			a_service_that_delivers_nothing_is_given_up},
		{"changed routes leave a stream that is there alone",
			changed_routes_leave_a_stream_that_is_there_alone},
		{"a send without a server fails in time", a_send_without_a_server_fails_in_time},
		{"the newest of a key gets the messages", the_newest_of_a_key_gets_the_messages},
		{"nothing comes of a removed peer", nothing_comes_of_a_removed_peer},
		{"a peer has so many sends under way", a_peer_has_so_many_sends_under_way},
		{"a connection over its rate is refused", a_connection_over_its_rate_is_refused},
		{"TLS serves those who speak it", tls_serves_those_who_speak_it},
		{"a stream without a registration is given up in time",
			a_stream_without_a_registration_is_given_up_in_time},
		{"urls", urls},
		{"bad settings are named", bad_settings_are_named},
		CU_TEST_INFO_NULL,
	};

	// A proxy of whoever runs the tests is none of theirs.
	g_unsetenv("http_proxy");
	g_unsetenv("https_proxy");
	g_unsetenv("grpc_proxy");
	if (sodium_init() < 0)
		return 1;
	pick_port();
	return run_tests("signal", tests);
}
