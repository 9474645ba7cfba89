// SPDX-License-Identifier: BSD-3-Clause
//
// What strait-signal keeps for receivers that take nothing: clients here are HTTP/2 as bytes (RFC 9113), because
// a library would read for them.
#include "../../../../control/signal/server/server.h"
#include "../../suite.h"

#include <CUnit/CUnit.h>
#include <glib.h>
#include <sodium.h>

#include <arpa/inet.h>
#include <signalexchange.pb-c.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS      15000
#define BODY_LEN     2000
#define MESSAGES     20
#define QUEUED_MAX   16384
#define KEPT         6     // of them there is room for
#define WINDOW       65535 // of HTTP/2 unless it is changed
#define FRAME_HEAD   9
#define END_STREAM   0x1
#define END_HEADERS  0x4
#define ACK          0x1
#define KEY_TEXT_LEN 45

enum frame_type {
	DATA = 0,
	HEADERS = 1,
	SETTINGS = 4,
	PING = 6,
};

struct wire {
	int fd;
	uint32_t stream; // of the last call
	GByteArray *in;
};

static char listen_on[32], one[KEY_TEXT_LEN], other[KEY_TEXT_LEN], sender[KEY_TEXT_LEN];
static struct sockaddr_in address;
static struct server *server;

// ---- HTTP/2 -------------------------------------------------------------------------------------------

static void frame(
	struct wire *w, uint8_t type, uint8_t flags, uint32_t stream, const void *data, size_t len)
{
	uint8_t head[FRAME_HEAD] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type,
		flags, 0, 0, (uint8_t)(stream >> 8), (uint8_t)stream};

	CU_ASSERT_EQUAL(send(w->fd, head, sizeof(head), MSG_NOSIGNAL), sizeof(head));
	if (len)
		CU_ASSERT_EQUAL(send(w->fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void wire_open(struct wire *w, uint32_t window)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	const uint8_t settings[] = {0, 4, (uint8_t)(window >> 24), (uint8_t)(window >> 16),
		(uint8_t)(window >> 8), (uint8_t)window}; // INITIAL_WINDOW_SIZE

	*w = (struct wire){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	w->in = g_byte_array_new();
	CU_ASSERT_EQUAL_FATAL(connect(w->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	CU_ASSERT_EQUAL(
		send(w->fd, preface, strlen(preface), MSG_NOSIGNAL), (ssize_t)strlen(preface));
	frame(w, SETTINGS, 0, 0, settings, sizeof(settings));
}

static void wire_close(struct wire *w)
{
	close(w->fd);
	g_byte_array_unref(w->in);
}

// Answers what a peer that lives has to answer.
static void wire_serve(struct wire *w)
{
	uint8_t buf[4096];
	ssize_t n;

	while ((n = recv(w->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		g_byte_array_append(w->in, buf, (guint)n);
	while (w->in->len >= FRAME_HEAD) {
		const uint8_t *b = w->in->data;
		guint len = (guint)(b[0] << 16 | b[1] << 8 | b[2]);

		if (w->in->len < FRAME_HEAD + len)
			return;
		if (b[3] == SETTINGS && !(b[4] & ACK))
			frame(w, SETTINGS, ACK, 0, NULL, 0);
		else if (b[3] == PING && !(b[4] & ACK))
			frame(w, PING, ACK, 0, b + FRAME_HEAD, len);
		g_byte_array_remove_range(w->in, 0, FRAME_HEAD + len);
	}
}

// As it is, in no table (RFC 7541 6.2.2).
static void header(GByteArray *out, const char *name, const char *value)
{
	uint8_t literal = 0, name_len = (uint8_t)strlen(name), value_len = (uint8_t)strlen(value);

	g_byte_array_append(out, &literal, 1);
	g_byte_array_append(out, &name_len, 1);
	g_byte_array_append(out, (const uint8_t *)name, name_len);
	g_byte_array_append(out, &value_len, 1);
	g_byte_array_append(out, (const uint8_t *)value, value_len);
}

static void call(struct wire *w, const char *path, const char *key)
{
	GByteArray *h = g_byte_array_new();

	header(h, ":method", "POST");
	header(h, ":scheme", "http");
	header(h, ":path", path);
	header(h, ":authority", "signal");
	header(h, "te", "trailers");
	header(h, "content-type", "application/grpc");
	header(h, "x-wiretrustee-peer-id", key);
	w->stream = w->stream ? w->stream + 2 : 1;
	frame(w, HEADERS, END_HEADERS, w->stream, h->data, h->len);
	g_byte_array_unref(h);
}

static void say(struct wire *w, const char *to)
{
	Signalexchange__EncryptedMessage m = SIGNALEXCHANGE__ENCRYPTED_MESSAGE__INIT;
	static uint8_t body[BODY_LEN];
	uint8_t data[BODY_LEN + 256] = {0};
	size_t len;

	m.key = sender;
	m.remote_key = (char *)to;
	m.has_body = true;
	m.body.data = body;
	m.body.len = sizeof(body);
	len = signalexchange__encrypted_message__pack(&m, data + 5);
	data[3] = (uint8_t)(len >> 8);
	data[4] = (uint8_t)len;
	call(w, "/signalexchange.SignalExchange/Send", sender);
	frame(w, DATA, END_STREAM, w->stream, data, 5 + len);
}

// ---- the server -----------------------------------------------------------------------------------------

static void new_key(char text[KEY_TEXT_LEN])
{
	uint8_t key[32];

	randombytes_buf(key, sizeof(key));
	sodium_bin2base64(text, KEY_TEXT_LEN, key, sizeof(key), sodium_base64_VARIANT_ORIGINAL);
}

static void serve(void)
{
	const char *addresses[] = {listen_on, NULL};
	struct server_settings set = {.listen = addresses,
		.max_streams = 10,
		.max_streams_per_connection = 2,
		.max_per_host = 10,
		.connection_rate = 10000,
		.key_rate = 10000,
		.queue_bytes = QUEUED_MAX};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *error = NULL;

	address = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	getsockname(fd, (struct sockaddr *)&address, &len);
	close(fd);
	g_snprintf(listen_on, sizeof(listen_on), "127.0.0.1:%u", ntohs(address.sin_port));
	server = server_new(&set, &error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(server);
	new_key(one);
	new_key(other);
	new_key(sender);
}

// Until a figure has that value, while all wires live.
static bool wait_for(const uint64_t *figure, const struct server_stats *stats, uint64_t value,
	struct wire *wires, unsigned int n)
{
	int64_t end = g_get_monotonic_time() + WAIT_MS * 1000;

	do {
		for (unsigned int i = 0; i < n; i++)
			wire_serve(&wires[i]);
		server_stats(server, (struct server_stats *)stats);
		if (*figure == value)
			return true;
		g_usleep(1000);
	} while (g_get_monotonic_time() < end);
	return false;
}

static void all_queues_together_have_a_cap(void)
{
	struct server_stats stats;
	struct wire wires[3]; // takes nothing, takes everything, sends

	serve();
	for (int n = 0; n < 3; n++)
		wire_open(&wires[n], n ? WINDOW : 0);
	call(&wires[0], "/signalexchange.SignalExchange/ConnectStream", one);
	call(&wires[1], "/signalexchange.SignalExchange/ConnectStream", other);
	CU_ASSERT_TRUE_FATAL(wait_for(&stats.streams, &stats, 2, wires, 3));
	for (int n = 0; n < MESSAGES; n++)
		say(&wires[2], one);
	CU_ASSERT_TRUE(wait_for(&stats.queues_full, &stats, MESSAGES - KEPT, wires, 3));
	server_stats(server, &stats); // all of them once more: they were read one after the other
	CU_ASSERT_EQUAL(stats.sends, MESSAGES);
	CU_ASSERT_TRUE(stats.queued_bytes > KEPT * BODY_LEN && stats.queued_bytes <= QUEUED_MAX);
	CU_ASSERT_EQUAL(stats.queue_full, 0); // its own queue has room
	CU_ASSERT_EQUAL(stats.delivered, 0);
	say(&wires[2], other); // who reads is still served
	CU_ASSERT_TRUE(wait_for(&stats.delivered, &stats, 1, wires, 3));
	wire_close(&wires[0]);
	CU_ASSERT_TRUE(wait_for(&stats.queued_bytes, &stats, 0, wires + 1, 2));
	wire_close(&wires[1]);
	wire_close(&wires[2]);
	server_stop(server);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(all_queues_together_have_a_cap),
		CU_TEST_INFO_NULL,
	};

	if (sodium_init() < 0)
		return 1;
	return run_tests("signal queues", tests);
}
