// SPDX-License-Identifier: BSD-3-Clause
//
// Which streams strait-signal registers: calls of gRPC's C core with headers of the test's choice, and what they
// end with.
#include "../../../../control/signal/server/server.h"
#include "../../suite.h"

#include <CUnit/CUnit.h>
#include <glib.h>

#include <arpa/inet.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_S 30
#define STREAM "/signalexchange.SignalExchange/ConnectStream"
#define HEADER "x-wiretrustee-peer-id"
#define KEY1   "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define KEY2   "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="
#define KEY3   "+Pj4AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxw="

static struct server *server;
static grpc_completion_queue *queue;
static grpc_channel *channel;

struct stream {
	grpc_call *call;
	grpc_metadata_array initial, trailing;
	grpc_status_code code;
	grpc_slice details;
};

// A port that nobody has now. Somebody else may be quicker: NULL.
static struct server *serve(char listen_on[32])
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const char *addresses[] = {listen_on, NULL};
	struct server_settings set = {.listen = addresses,
		.max_streams = 10,
		.max_streams_per_connection = 2,
		.max_per_host = 10,
		.connection_rate = 1000,
		.key_rate = 1000,
		.queue_bytes = 1 << 20};
	socklen_t len = sizeof(sin);
	g_autofree char *error = NULL;

	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	getsockname(fd, (struct sockaddr *)&sin, &len);
	close(fd);
	g_snprintf(listen_on, 32, "127.0.0.1:%u", ntohs(sin.sin_port));
	return server_new(&set, &error);
}

static void up(void)
{
	grpc_channel_credentials *none = grpc_insecure_credentials_create();
	char listen_on[32];

	server = NULL;
	for (int n = 0; n < 10 && !server; n++)
		server = serve(listen_on);
	CU_ASSERT_PTR_NOT_NULL_FATAL(server);
	queue = grpc_completion_queue_create_for_next(NULL);
	channel = grpc_channel_create(listen_on, none, NULL);
	grpc_channel_credentials_release(none);
}

static void down(void)
{
	grpc_channel_destroy(channel);
	grpc_completion_queue_shutdown(queue);
	while (grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type !=
		GRPC_QUEUE_SHUTDOWN)
		;
	grpc_completion_queue_destroy(queue);
	server_stop(server);
}

// Until what was started with this tag is done. False: nothing came.
static bool done(const void *tag)
{
	gpr_timespec until = gpr_time_add(
		gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_seconds(WAIT_S, GPR_TIMESPAN));
	grpc_event e = grpc_completion_queue_next(queue, until, NULL);

	return e.type == GRPC_OP_COMPLETE && e.tag == tag;
}

static void start(struct stream *s, grpc_op *ops, size_t n, void *tag)
{
	CU_ASSERT_EQUAL_FATAL(grpc_call_start_batch(s->call, ops, n, tag, NULL), GRPC_CALL_OK);
}

// key NULL: without the header. Waits for the server's headers, which come at once when it registers.
static void stream_open(struct stream *s, const char *key)
{
	grpc_metadata id = {0};
	grpc_op ops[2] = {
		{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_RECV_INITIAL_METADATA}};

	*s = (struct stream){.details = grpc_empty_slice()};
	grpc_metadata_array_init(&s->initial);
	grpc_metadata_array_init(&s->trailing);
	s->call = grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue,
		grpc_slice_from_static_string(STREAM), NULL, gpr_inf_future(GPR_CLOCK_REALTIME),
		NULL);
	if (key) {
		id.key = grpc_slice_from_static_string(HEADER);
		id.value = grpc_slice_from_static_string(key);
		ops[0].data.send_initial_metadata.count = 1;
		ops[0].data.send_initial_metadata.metadata = &id;
	}
	ops[1].data.recv_initial_metadata.recv_initial_metadata = &s->initial;
	start(s, ops, 2, s);
	CU_ASSERT_TRUE_FATAL(done(s));
}

static void stream_end(struct stream *s)
{
	grpc_op op = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};

	op.data.recv_status_on_client.trailing_metadata = &s->trailing;
	op.data.recv_status_on_client.status = &s->code;
	op.data.recv_status_on_client.status_details = &s->details;
	start(s, &op, 1, &s->code);
	CU_ASSERT_TRUE_FATAL(done(&s->code));
}

static void stream_free(struct stream *s)
{
	grpc_call_unref(s->call);
	grpc_metadata_array_destroy(&s->initial);
	grpc_metadata_array_destroy(&s->trailing);
	grpc_slice_unref(s->details);
}

static bool registered(const struct stream *s)
{
	for (size_t n = 0; n < s->initial.count; n++) {
		if (!grpc_slice_str_cmp(
			    s->initial.metadata[n].key, "x-wiretrustee-peer-registered"))
			return !grpc_slice_str_cmp(s->initial.metadata[n].value, "1");
	}
	return false;
}

static void refused(const char *key, grpc_status_code code, const char *with)
{
	struct stream s;
	char *details;

	stream_open(&s, key);
	CU_ASSERT_FALSE(registered(&s));
	stream_end(&s);
	CU_ASSERT_EQUAL(s.code, code);
	details = grpc_slice_to_c_string(s.details);
	CU_ASSERT_PTR_NOT_NULL(strstr(details, with));
	gpr_free(details);
	stream_free(&s);
}

static void a_stream_without_a_key_is_refused_and_told_why(void)
{
	struct server_stats stats;

	up();
	refused(NULL, GRPC_STATUS_FAILED_PRECONDITION, "missing header " HEADER);
	refused("", GRPC_STATUS_INVALID_ARGUMENT, "no base64 text of a public key");
	refused("c2hvcnQ=", GRPC_STATUS_INVALID_ARGUMENT, "no base64 text of a public key");
	refused("xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8D==", GRPC_STATUS_INVALID_ARGUMENT,
		"no base64 text of a public key");
	refused("xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg_", GRPC_STATUS_INVALID_ARGUMENT,
		"no base64 text of a public key");
	server_stats(server, &stats);
	CU_ASSERT_EQUAL(stats.refused, 5);
	CU_ASSERT_EQUAL(stats.registered, 0);
	down();
}

static void a_connection_registers_so_many_keys(void)
{
	struct server_stats stats;
	struct stream one, two;

	up();
	stream_open(&one, KEY1);
	stream_open(&two, KEY2);
	CU_ASSERT_TRUE(registered(&one));
	CU_ASSERT_TRUE(registered(&two));
	refused(KEY3, GRPC_STATUS_RESOURCE_EXHAUSTED, "too many streams");
	server_stats(server, &stats);
	CU_ASSERT_EQUAL(stats.streams, 2);
	// One that ends makes room, a moment after its client knows.
	grpc_call_cancel(one.call, NULL);
	stream_end(&one);
	stream_free(&one);
	stream_open(&one, KEY3);
	for (int n = 0; n < WAIT_S * 100 && !registered(&one); n++) {
		stream_end(&one);
		stream_free(&one);
		g_usleep(10000);
		stream_open(&one, KEY3);
	}
	CU_ASSERT_TRUE(registered(&one));
	grpc_call_cancel(one.call, NULL);
	grpc_call_cancel(two.call, NULL);
	stream_end(&one);
	stream_end(&two);
	stream_free(&one);
	stream_free(&two);
	down();
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_stream_without_a_key_is_refused_and_told_why),
		TEST(a_connection_registers_so_many_keys),
		CU_TEST_INFO_NULL,
	};
	int ret;

	// A proxy of whoever runs the tests is none of theirs.
	g_unsetenv("http_proxy");
	g_unsetenv("https_proxy");
	g_unsetenv("grpc_proxy");
	grpc_init();
	ret = run_tests("registrations", tests);
	grpc_shutdown();
	return ret;
}
