// SPDX-License-Identifier: BSD-3-Clause
//
// Refresh (RFC 8656 section 7.3): lifetimes, ends, families, and whose the allocation is.
#include "core_rig.h"

static void lifetimes_are_between_600_and_3600(void)
{
	static const uint32_t asked[] = {1, 600, 700, 3600, 4000000000u},
			      granted[] = {600, 600, 700, 3600, 3600};
	struct client c;

	begin_with(usual);
	for (uint16_t i = 0; i < 5; i++) {
		client_init(&c, "203.0.113.5", 1000 + i);
		stun_add_u32(allocate_request(&c), STUN_ATTR_LIFETIME, asked[i]);
		CU_ASSERT_EQUAL(ask(&c), 0);
		CU_ASSERT_EQUAL(lifetime(&c), granted[i]);
		CU_ASSERT_EQUAL(refresh(&c, asked[i]), 0);
		CU_ASSERT_EQUAL(lifetime(&c), granted[i]);
	}
	end();
}

static void an_allocation_ends_when_nobody_refreshes_it(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	for (int i = 0; i < 598; i++, core.now_ms += 1000)
		turn_core_tick(&core);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 1);
	CU_ASSERT_EQUAL(refresh(&c, 600), 0);
	for (int i = 0; i < 598; i++, core.now_ms += 1000)
		turn_core_tick(&core);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 1);
	for (int i = 0; i < 5; i++, core.now_ms += 1000)
		turn_core_tick(&core);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 0);
	CU_ASSERT_EQUAL(dp->objects->len, 0);
	CU_ASSERT_EQUAL(refresh(&c, 600), 437);
	end();
}

// Between its end and the next look at the deadlines, which is up to a second later.
static void what_is_over_is_not_revived(void)
{
	struct client c, d;
	struct stun_out *o;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	core.now_ms += 600000;
	CU_ASSERT_EQUAL(refresh(&c, 600), 437);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), 437);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4000), 437);
	CU_ASSERT_EQUAL(dp->objects->len, 0);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	// Of a dual allocation each address has its own end.
	client_init(&d, "203.0.113.5", 1001);
	o = allocate_request(&d);
	stun_add_u32(o, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&d), 0);
	core.now_ms += 300000;
	stun_add_u32(request(&d, STUN_REFRESH), STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 1u << 24);
	CU_ASSERT_EQUAL(ask(&d), 0);
	core.now_ms += 300000;
	CU_ASSERT_EQUAL(permit(&d, "2001:db8::9"), 443);
	stun_add_u32(request(&d, STUN_REFRESH), STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&d), 443);
	CU_ASSERT_EQUAL(permit(&d, "198.51.100.1"), 0);
	CU_ASSERT_EQUAL(refresh(&d, 600), 0);
	end();
}

static void without_an_allocation_it_is_437_and_of_another_user_441(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	learn_nonce(&c);
	CU_ASSERT_EQUAL(refresh(&c, 600), 437);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), 437);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4000), 437);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	c.name = "bob";
	c.password = "builder";
	CU_ASSERT_EQUAL(refresh(&c, 0), 441);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), 441);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4000), 441);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 1);
	end();
}

static void a_refresh_of_a_family_that_is_not_there_is_443(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	stun_add_u32(request(&c, STUN_REFRESH), STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 443);
	stun_add_u32(request(&c, STUN_REFRESH), STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 1u << 24);
	CU_ASSERT_EQUAL(ask(&c), 0);
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		TEST(lifetimes_are_between_600_and_3600),
		TEST(an_allocation_ends_when_nobody_refreshes_it),
		TEST(what_is_over_is_not_revived),
		TEST(without_an_allocation_it_is_437_and_of_another_user_441),
		TEST(a_refresh_of_a_family_that_is_not_there_is_443),
		CU_TEST_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : run_tests("turn/refresh", tests);
}
