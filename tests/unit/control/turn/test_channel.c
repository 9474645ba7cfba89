// SPDX-License-Identifier: BSD-3-Clause
//
// ChannelBind (RFC 8656 section 12).
#include "core_rig.h"

#include <errno.h>

static void a_channel_is_one_number_for_one_peer(void)
{
	const struct dp_double_object *o;
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4001), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 1);
	o = object(ST_CHANNEL, 0);
	CU_ASSERT_EQUAL(o->expiry_ms, 600000);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4001), 0); // a refresh
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_CHANNEL), 1);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4002), 400);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 10, 0x4001), 400);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 10, 0x4002), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 11, 0x3fff), 400);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 11, 0x5000), 400);
	CU_ASSERT_EQUAL(bind_channel(&c, "10.0.0.1", 11, 0x4003), 403);
	CU_ASSERT_EQUAL(bind_channel(&c, "2001:db8:2::1", 11, 0x4003), 443);
	request(&c, STUN_CHANNEL_BIND);
	stun_add_u32(&c.o, STUN_ATTR_CHANNEL_NUMBER, 0x4003u << 16);
	CU_ASSERT_EQUAL(ask(&c), 400);
	end();
}

static void the_channel_numbers_of_rfc_5766_are_an_option(void)
{
	struct client c;

	begin_with("\"relay_addresses\": [\"192.0.2.1\"], \"users\": [{\"name\": \"alice\", "
		   "\"password\": "
		   "\"wonderland\"}], \"allow_peers\": [\"198.51.100.0/24\"], "
		   "\"rfc5766_channel_numbers\": true");
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 1, 0x7ffe), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 2, 0x7fff), 400);
	end();
}

static void the_answer_waits_for_the_lcores(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	dp->hold = true;
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4001), NO_ANSWER);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_CHANNEL), 1);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 1);
	answers = 0;
	dp_double_release(dp);
	CU_ASSERT_EQUAL(answers, 1); // after both
	dp->set_status = -ENOSPC;
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.2", 9, 0x4002), 508);
	end();
}

static void both_attributes_are_needed(void)
{
	struct st_addr peer;
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	addr_parse(&peer, "198.51.100.1");
	stun_add_address(request(&c, STUN_CHANNEL_BIND), STUN_ATTR_XOR_PEER_ADDRESS, &peer, htons(9));
	CU_ASSERT_EQUAL(ask(&c), 400);
	stun_add_u32(request(&c, STUN_CHANNEL_BIND), STUN_ATTR_CHANNEL_NUMBER, 0x4001u << 16);
	CU_ASSERT_EQUAL(ask(&c), 400);
	stun_add(request(&c, STUN_CHANNEL_BIND), STUN_ATTR_CHANNEL_NUMBER, "\x40\1", 2);
	stun_add_address(&c.o, STUN_ATTR_XOR_PEER_ADDRESS, &peer, htons(9));
	CU_ASSERT_EQUAL(ask(&c), 400);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 0, 0x4001), 403); // port 0 is nobody's
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_CHANNEL) + dp_double_count(dp, ST_PERMISSION), 0);
	end();
}

// A ChannelBind renews both clocks, a CreatePermission only the shorter one.
static void a_bind_renews_permission_and_channel(void)
{
	struct turn_allocation *a;
	struct st_addr peer;
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	stun_add_u32(allocate_request(&c), STUN_ATTR_LIFETIME, 3600);
	CU_ASSERT_EQUAL(ask(&c), 0);
	a = turn_allocation_find(&core, &c.tuple);
	addr_parse(&peer, "198.51.100.1");
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4001), 0);
	for (int i = 0; i < 4; i++) {
		core.now_ms += 250000;
		CU_ASSERT_PTR_NOT_NULL(turn_permission_find(&core, a, &peer));
		CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4001), 0);
	}
	CU_ASSERT_EQUAL(object(ST_PERMISSION, 0)->sets, 5);
	CU_ASSERT_EQUAL(object(ST_CHANNEL, 0)->sets, 5);
	core.now_ms += 250000;
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), 0);
	core.now_ms += 299000;
	CU_ASSERT_PTR_NOT_NULL(turn_permission_find(&core, a, &peer));
	CU_ASSERT_PTR_NOT_NULL(turn_channel_by_number(&core, a, 0x4001));
	core.now_ms += 51000; // 600 s after the last bind
	CU_ASSERT_PTR_NULL(turn_channel_by_number(&core, a, 0x4001));
	end();
}

static void number_and_peer_are_free_after_600_s(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	stun_add_u32(allocate_request(&c), STUN_ATTR_LIFETIME, 3600);
	CU_ASSERT_EQUAL(ask(&c), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4001), 0);
	core.now_ms += 599000;
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4002), 400);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.2", 9, 0x4001), 400);
	core.now_ms += 1000;
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4002), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.2", 9, 0x4001), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_CHANNEL), 2); // the old one was taken off first
	end();
}

static void a_full_table_gives_no_permission_either(void)
{
	struct turn_allocation *a;
	struct st_addr peer;
	struct client c;

	begin_with(
		"\"relay_addresses\": [\"192.0.2.1\"], \"users\": [{\"name\": \"alice\", "
		"\"password\": \"wonderland\"}], \"allow_peers\": [\"198.51.100.0/24\"], "
		"\"limits\": {\"permissions_per_allocation\": 2, \"channels_per_allocation\": 1}");
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4001), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.2", 9, 0x4002), 508);
	a = turn_allocation_find(&core, &c.tuple);
	addr_parse(&peer, "198.51.100.2");
	CU_ASSERT_PTR_NULL(turn_permission_find(&core, a, &peer));
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 1);
	CU_ASSERT_EQUAL(refresh(&c, 0), 0);
	core.now_ms += 10000;
	// And the other way round: no channel without room for its permission.
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.5"), 0);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.6"), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.7", 9, 0x4001), 508);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_CHANNEL), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.6", 9, 0x4001), 0);
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		TEST(a_channel_is_one_number_for_one_peer),
		TEST(the_channel_numbers_of_rfc_5766_are_an_option),
		TEST(the_answer_waits_for_the_lcores),
		TEST(both_attributes_are_needed),
		TEST(a_bind_renews_permission_and_channel),
		TEST(number_and_peer_are_free_after_600_s),
		TEST(a_full_table_gives_no_permission_either),
		CU_TEST_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : run_tests("turn/channel", tests);
}
