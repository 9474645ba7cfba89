// SPDX-License-Identifier: BSD-3-Clause
//
// The rate limiter against a table of times, its grouping of addresses, its cap and its forgetting.
#include "../../../crypto/ratelimiter.h"
#include "check.h"

#define MS 1000000ULL

static void v4(uint8_t out[16], uint32_t host)
{
	memset(out, 0, 16);
	out[10] = out[11] = 0xff;
	for (int i = 0; i < 4; i++)
		out[12 + i] = (uint8_t)(host >> (24 - 8 * i));
}

static void v6(uint8_t out[16], uint64_t prefix, uint64_t rest)
{
	for (int i = 0; i < 8; i++) {
		out[i] = (uint8_t)(prefix >> (56 - 8 * i));
		out[8 + i] = (uint8_t)(rest >> (56 - 8 * i));
	}
}

static void ratelimiter_follows_the_table(void)
{
	static const struct {
		uint64_t at_ms;
		bool allowed;
	} steps[] = {
		{0, true}, {0, true}, {0, true}, {0, true}, {0, true}, {0, false}, // the burst
		{49, false}, {50, true}, {50, false}, {99, false},                 // one per 50 ms
		{150, true}, {150, true}, {150, false}, // two after 100 ms
		{200, true}, {249, false}, {250, true}, {250, false}, {10000, true}, {10000, true},
		{10000, true}, {10000, true}, {10000, true},
		{10000, false}, // never more than the burst
	};
	struct ratelimiter *r = ratelimiter_new();
	uint8_t a[16];

	CU_ASSERT_PTR_NOT_NULL_FATAL(r);
	v4(a, 0x0a000001);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		bool allowed = ratelimiter_allow(r, a, 77 * MS + steps[i].at_ms * MS);

		if (allowed != steps[i].allowed)
			printf("\n    step %zu\n", i);
		CU_ASSERT_EQUAL(allowed, steps[i].allowed);
	}
	ratelimiter_free(r);
}

static bool exhausted(struct ratelimiter *r, const uint8_t a[16])
{
	for (int i = 0; i < RATELIMITER_BURST; i++) {
		if (!ratelimiter_allow(r, a, 1))
			return true;
	}
	return false;
}

static void ratelimiter_counts_ipv4_by_address_and_ipv6_by_64(void)
{
	struct ratelimiter *r = ratelimiter_new();
	uint8_t a[16];

	CU_ASSERT_PTR_NOT_NULL_FATAL(r);
	v4(a, 0x0a000001);
	CU_ASSERT(!exhausted(r, a));
	CU_ASSERT(exhausted(r, a));
	v4(a, 0x0a000002);
	CU_ASSERT(!exhausted(r, a));

	v6(a, 0x20010db800000001, 1);
	CU_ASSERT(!exhausted(r, a));
	v6(a, 0x20010db800000001, UINT64_MAX);
	CU_ASSERT(exhausted(r, a));
	v6(a, 0x20010db800000002, 1);
	CU_ASSERT(!exhausted(r, a));
	// ::1 lies in the /64 of the mapped addresses and is not one of them
	v6(a, 0, 1);
	CU_ASSERT(!exhausted(r, a));
	CU_ASSERT_EQUAL(ratelimiter_gc(r, 1), 5);
	ratelimiter_free(r);
}

static void ratelimiter_refuses_the_unknown_when_full_and_recovers(void)
{
	struct ratelimiter *r = ratelimiter_new();
	uint8_t a[16];

	CU_ASSERT_PTR_NOT_NULL_FATAL(r);
	for (uint32_t i = 0; i < RATELIMITER_MAX_ENTRIES; i++) {
		v4(a, i);
		CU_ASSERT(ratelimiter_allow(r, a, 0));
	}
	v4(a, RATELIMITER_MAX_ENTRIES);
	CU_ASSERT(!ratelimiter_allow(r, a, 0));
	v6(a, 0x20010db800000001, 1);
	CU_ASSERT(!ratelimiter_allow(r, a, 0));
	v4(a, 17);
	CU_ASSERT(ratelimiter_allow(r, a, 0)); // known ones go on

	CU_ASSERT_EQUAL(ratelimiter_gc(r, 1000 * MS), RATELIMITER_MAX_ENTRIES);
	v4(a, 17);
	CU_ASSERT(ratelimiter_allow(r, a, 900 * MS));
	CU_ASSERT_EQUAL(ratelimiter_gc(r, 1000 * MS + 1), 1);
	for (uint32_t i = 1; i < RATELIMITER_MAX_ENTRIES; i++) {
		v6(a, 0x20010db800000000 + i, i);
		CU_ASSERT(ratelimiter_allow(r, a, 1000 * MS));
	}
	v6(a, 0x20010db800000000, 0);
	CU_ASSERT(!ratelimiter_allow(r, a, 1000 * MS));
	CU_ASSERT_EQUAL(ratelimiter_gc(r, 5000 * MS), 0);
	CU_ASSERT(ratelimiter_allow(r, a, 5000 * MS));
	ratelimiter_free(r);
}

static void ratelimiter_stands_a_clock_that_steps_back(void)
{
	struct ratelimiter *r = ratelimiter_new();
	uint8_t a[16];

	CU_ASSERT_PTR_NOT_NULL_FATAL(r);
	v4(a, 1);
	for (int i = 0; i < RATELIMITER_BURST; i++)
		CU_ASSERT(ratelimiter_allow(r, a, 1000 * MS));
	CU_ASSERT(!ratelimiter_allow(r, a, 500 * MS));
	CU_ASSERT_EQUAL(ratelimiter_gc(r, 400 * MS), 1);
	CU_ASSERT(ratelimiter_allow(r, a, 550 * MS));
	ratelimiter_free(r);
	ratelimiter_free(NULL);
}

static CU_TestInfo tests[] = {
	TEST(ratelimiter_follows_the_table),
	TEST(ratelimiter_counts_ipv4_by_address_and_ipv6_by_64),
	TEST(ratelimiter_refuses_the_unknown_when_full_and_recovers),
	TEST(ratelimiter_stands_a_clock_that_steps_back),
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return sodium_init() < 0 ? 99 : run_tests("ratelimiter", tests);
}
