// SPDX-License-Identifier: BSD-3-Clause
//
// The signal server's limits, without a server: buckets, connections, and what one host may have of them.
#include "../../../../control/signal/server/admission.h"
#include "../../suite.h"

#include <CUnit/CUnit.h>
#include <glib.h>

#define NOW       (1000 * G_USEC_PER_SEC)
#define PER_HOST  3
#define MANY      100
#define FORGOTTEN (11 * G_USEC_PER_SEC) // when the bucket is full again

static struct connection *get(struct connections *c, const char *host, unsigned int port)
{
	g_autofree char *name = g_strdup_printf("%s:%u", host, port);

	return connections_get(c, name, NOW);
}

static void a_bucket_holds_ten_seconds_and_fills_again(void)
{
	struct bucket b = {0};

	for (int i = 0; i < 20; i++)
		CU_ASSERT_TRUE(bucket_take(&b, 2, NOW));
	CU_ASSERT_FALSE(bucket_take(&b, 2, NOW));
	CU_ASSERT_TRUE(bucket_take(&b, 2, NOW + G_USEC_PER_SEC / 2));
	CU_ASSERT_FALSE(bucket_take(&b, 2, NOW + G_USEC_PER_SEC / 2));
}

static void one_host_has_a_part_of_the_connections(void)
{
	struct connections *c = connections_new(PER_HOST);

	for (unsigned int port = 1; port <= MANY; port++)
		CU_ASSERT_EQUAL(get(c, "ipv4:192.0.2.1", port) != NULL, port <= PER_HOST);
	CU_ASSERT_EQUAL(connections_count(c), PER_HOST);
	CU_ASSERT_PTR_NOT_NULL(get(c, "ipv4:192.0.2.1", 1)); // known already
	CU_ASSERT_PTR_NOT_NULL(get(c, "ipv4:192.0.2.2", 1));
	connections_sweep(c, NOW + FORGOTTEN);
	CU_ASSERT_EQUAL(connections_count(c), 0);
	CU_ASSERT_PTR_NOT_NULL(get(c, "ipv4:192.0.2.1", MANY));
	connections_free(c);
}

// Who has one address has 2^64 of them.
static void an_ipv6_host_is_its_64(void)
{
	struct connections *c = connections_new(PER_HOST);
	unsigned int taken = 0;

	for (unsigned int n = 1; n <= MANY; n++) {
		g_autofree char *host = g_strdup_printf("ipv6:%%5B2001:db8:0:1::%x%%5D", n);

		taken += get(c, host, n) != NULL;
	}
	CU_ASSERT_EQUAL(taken, PER_HOST);
	CU_ASSERT_PTR_NULL(get(c, "ipv6:[2001:db8:0:1::abcd]", 1));
	CU_ASSERT_PTR_NOT_NULL(get(c, "ipv6:%5B2001:db8:0:2::1%5D", 1));
	connections_free(c);
}

static void streams_are_counted_to_connection_and_host(void)
{
	struct connections *c = connections_new(PER_HOST);
	struct connection *one = get(c, "ipv4:192.0.2.1", 1), *two = get(c, "ipv4:192.0.2.1", 2);
	struct connection *other = get(c, "ipv4:192.0.2.2", 1);

	CU_ASSERT_TRUE(connections_stream_begin(c, one, 2));
	CU_ASSERT_TRUE(connections_stream_begin(c, one, 2));
	CU_ASSERT_FALSE(connections_stream_begin(c, one, 2));
	CU_ASSERT_TRUE(connections_stream_begin(c, two, 2));
	CU_ASSERT_FALSE(connections_stream_begin(c, two, 2)); // the host has three
	CU_ASSERT_TRUE(connections_stream_begin(c, other, 2));
	connections_stream_end(one);
	CU_ASSERT_TRUE(connections_stream_begin(c, two, 2));
	connections_sweep(c, NOW + FORGOTTEN);
	CU_ASSERT_EQUAL(connections_count(c), 3); // with streams
	connections_free(c);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_bucket_holds_ten_seconds_and_fills_again),
		TEST(one_host_has_a_part_of_the_connections),
		TEST(an_ipv6_host_is_its_64),
		TEST(streams_are_counted_to_connection_and_host),
		CU_TEST_INFO_NULL,
	};

	return run_tests("admission", tests);
}
