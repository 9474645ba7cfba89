// SPDX-License-Identifier: BSD-3-Clause
//
// Allocate (RFC 8656 section 7.2): its checks and their codes, what is installed, when the answer leaves.
#include "core_rig.h"

#include <errno.h>

static void an_allocation_is_installed_before_its_answer_leaves(void)
{
	const struct dp_double_object *o;
	struct st_relay body;
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	learn_nonce(&c);
	dp->hold = true;
	CU_ASSERT_EQUAL(allocate(&c), NO_ANSWER);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_RELAY), 1);
	// The client is impatient: no second object, no second answer.
	CU_ASSERT_EQUAL(deliver(&c), NO_ANSWER);
	answers = 0;
	dp_double_release(dp);
	CU_ASSERT_EQUAL(answers, 1);
	CU_ASSERT_EQUAL_FATAL(stun_parse_strict(&c.m, answer, answer_len), 0);
	CU_ASSERT_EQUAL(code_of(&c.m), 0);
	CU_ASSERT(signed_by(&c));
	CU_ASSERT_EQUAL(lifetime(&c), 600);
	CU_ASSERT(relayed_port(&c, 0) >= 50000 && relayed_port(&c, 0) <= 50019);
	CU_ASSERT_PTR_NOT_NULL(attr(&c, STUN_ATTR_XOR_MAPPED_ADDRESS, 0, NULL));
	o = object(ST_RELAY, 0);
	memcpy(&body, o->body, sizeof(body));
	CU_ASSERT_EQUAL(ntohs(body.key.relay_port_be), relayed_port(&c, 0));
	CU_ASSERT_EQUAL(body.client_port_be, c.tuple.client_port_be);
	CU_ASSERT_EQUAL(o->expiry_ms, 600000);
	end();
}

static void a_retransmitted_allocate_gets_the_same_answer_and_another_one_437(void)
{
	struct client c;
	uint16_t port;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	port = relayed_port(&c, 0);
	CU_ASSERT_EQUAL(deliver(&c), 0);
	CU_ASSERT_EQUAL(relayed_port(&c, 0), port);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 1);
	CU_ASSERT_EQUAL(allocate(&c), 437);
	end();
}

static void a_refused_install_is_508_and_leaves_nothing(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	learn_nonce(&c);
	dp->set_status = -ENOSPC;
	CU_ASSERT_EQUAL(allocate(&c), 508);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 0);
	dp->set_status = 0;
	CU_ASSERT_EQUAL(allocate(&c), 0);
	end();
}

static void transports_and_families_are_checked(void)
{
	static const char v4_only[] =
		"\"relay_addresses\": [\"192.0.2.1\"], \"users\": [{\"name\": \"alice\", "
		"\"password\": \"wonderland\"}]";
	struct client c;

	begin_with(v4_only);
	client_init(&c, "203.0.113.5", 1000);
	learn_nonce(&c);
	request(&c, STUN_ALLOCATE);
	CU_ASSERT_EQUAL(ask(&c), 400);
	stun_add(request(&c, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, "\x11", 1);
	CU_ASSERT_EQUAL(ask(&c), 400);
	stun_add_u32(request(&c, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, 6u << 24);
	CU_ASSERT_EQUAL(ask(&c), 442);
	stun_add_u32(allocate_request(&c), STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 440);
	stun_add_u32(allocate_request(&c), STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 7u << 24);
	CU_ASSERT_EQUAL(ask(&c), 440);
	stun_add_u32(allocate_request(&c), STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 1u << 24);
	CU_ASSERT_EQUAL(ask(&c), 400);
	stun_add_u32(allocate_request(&c), STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
	stun_add_u32(&c.o, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 1u << 24);
	CU_ASSERT_EQUAL(ask(&c), 400);
	stun_add(allocate_request(&c), STUN_ATTR_MOBILITY_TICKET, NULL, 0);
	CU_ASSERT_EQUAL(ask(&c), 405);
	// One of two: a success that says which one is missing.
	stun_add_u32(allocate_request(&c), STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 0);
	CU_ASSERT_PTR_NOT_NULL(attr(&c, STUN_ATTR_ADDRESS_ERROR_CODE, 0, NULL));
	CU_ASSERT_PTR_NULL(attr(&c, STUN_ATTR_XOR_RELAYED_ADDRESS, 1, NULL));
	end();
}

static void a_dual_allocation_has_two_addresses_that_end_one_by_one(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	stun_add_u32(allocate_request(&c), STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 0);
	CU_ASSERT_PTR_NOT_NULL(attr(&c, STUN_ATTR_XOR_RELAYED_ADDRESS, 1, NULL));
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_RELAY), 2);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), 0);
	CU_ASSERT_EQUAL(permit(&c, "2001:db8:2::1"), 0);
	stun_add_u32(request(&c, STUN_REFRESH), STUN_ATTR_LIFETIME, 0);
	stun_add_u32(&c.o, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 1u << 24);
	CU_ASSERT_EQUAL(ask(&c), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_RELAY), 1);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 1);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), 443);
	CU_ASSERT_EQUAL(refresh(&c, 0), 0);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 0);
	end();
}

static void even_ports_and_reservations(void)
{
	struct client c, d, e;
	uint8_t token[TURN_TOKEN_LEN];
	const uint8_t *v;
	uint16_t port, len = 0;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	client_init(&d, "203.0.113.5", 1001);
	client_init(&e, "203.0.113.5", 1002);
	stun_add(allocate_request(&c), STUN_ATTR_EVEN_PORT, "\x80", 1);
	CU_ASSERT_EQUAL(ask(&c), 0);
	port = relayed_port(&c, 0);
	CU_ASSERT_EQUAL(port % 2, 0);
	v = attr(&c, STUN_ATTR_RESERVATION_TOKEN, 0, &len);
	CU_ASSERT_FATAL(v && len == TURN_TOKEN_LEN);
	memcpy(token, v, len);
	stun_add(allocate_request(&d), STUN_ATTR_RESERVATION_TOKEN, token, sizeof(token));
	stun_add(&d.o, STUN_ATTR_EVEN_PORT, "\0", 1);
	CU_ASSERT_EQUAL(ask(&d), 400);
	stun_add(allocate_request(&d), STUN_ATTR_RESERVATION_TOKEN, token, sizeof(token));
	CU_ASSERT_EQUAL(ask(&d), 0);
	CU_ASSERT_EQUAL(relayed_port(&d, 0), port + 1);
	stun_add(allocate_request(&e), STUN_ATTR_RESERVATION_TOKEN, token, sizeof(token));
	CU_ASSERT_EQUAL(ask(&e), 508); // it is used up
	stun_add(allocate_request(&e), STUN_ATTR_EVEN_PORT, "\x80", 1);
	stun_add_u32(&e.o, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&e), 400);
	stun_add(allocate_request(&e), STUN_ATTR_EVEN_PORT, "\x80", 1);
	stun_add(&e.o, STUN_ATTR_DONT_FRAGMENT, NULL, 0);
	CU_ASSERT_EQUAL(ask(&e), 0);
	// Nobody comes for it: after 30 s the port is free again.
	CU_ASSERT_EQUAL(turn_ports_unused(core.ports, 0), 20 - 4);
	core.now_ms += TURN_RESERVATION_MS + 1;
	turn_core_tick(&core);
	CU_ASSERT_EQUAL(turn_ports_unused(core.ports, 0), 20 - 3);
	end();
}

static const char one_user[] = "\"users\": [{\"name\": \"alice\", \"password\": \"wonderland\"}]";

// Of several things that are wrong the first of RFC 8656 section 7.2 is named.
static void checks_come_in_their_order(void)
{
	static const uint8_t token[TURN_TOKEN_LEN] = "unknown";
	struct client c;

	begin_with(
		"\"relay_addresses\": [\"192.0.2.1\"], \"limits\": {\"allocations_per_user\": 1}, "
		"\"users\": [{\"name\": \"alice\", \"password\": \"wonderland\"}]");
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	request(&c, STUN_ALLOCATE); // no transport, and there is an allocation
	CU_ASSERT_EQUAL(ask(&c), 437);
	client_init(&c, "203.0.113.5", 1001);
	learn_nonce(&c);
	stun_add_u32(request(&c, STUN_ALLOCATE), STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 400); // no transport, a family that is not served, the quota
	stun_add_u32(request(&c, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, 6u << 24);
	stun_add(&c.o, STUN_ATTR_RESERVATION_TOKEN, token, sizeof(token));
	stun_add(&c.o, STUN_ATTR_EVEN_PORT, "\0", 1);
	CU_ASSERT_EQUAL(ask(&c), 442);
	stun_add(allocate_request(&c), STUN_ATTR_RESERVATION_TOKEN, token, sizeof(token));
	stun_add_u32(&c.o, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 400);
	stun_add(allocate_request(&c), STUN_ATTR_RESERVATION_TOKEN, token, sizeof(token));
	stun_add_u32(&c.o, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 400);
	stun_add_u32(allocate_request(&c), STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 440); // before the quota
	stun_add_u32(allocate_request(&c), STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
	stun_add(&c.o, STUN_ATTR_EVEN_PORT, "\x80", 1);
	CU_ASSERT_EQUAL(ask(&c), 400);
	stun_add(allocate_request(&c), STUN_ATTR_EVEN_PORT, "\0\0", 2);
	CU_ASSERT_EQUAL(ask(&c), 400);
	CU_ASSERT_EQUAL(allocate(&c), 486);
	end();
}

static void a_token_of_nobody_or_of_another_length_is_508(void)
{
	static const uint8_t token[TURN_TOKEN_LEN + 1] = "unknown";
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	for (size_t len = 0; len <= sizeof(token); len++) {
		stun_add(allocate_request(&c), STUN_ATTR_RESERVATION_TOKEN, token, len);
		CU_ASSERT_EQUAL(ask(&c), 508);
	}
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 0);
	end();
}

static bool relayed_is_v4(const struct client *c, unsigned int nth)
{
	uint16_t len = 0;
	const uint8_t *v = attr(c, STUN_ATTR_XOR_RELAYED_ADDRESS, nth, &len);

	return v && len == 8 && v[1] == STUN_FAMILY_V4;
}

static void without_a_family_it_is_ipv4_whatever_the_client_is(void)
{
	char *v6_only = g_strconcat("\"relay_addresses\": [\"2001:db8:1::1\"], ", one_user, NULL);
	struct client c;

	begin_with(usual);
	client_init(&c, "2001:db8:9::5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT(relayed_is_v4(&c, 0));
	client_init(&c, "203.0.113.5", 1000);
	stun_add_u32(allocate_request(&c), STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 0);
	CU_ASSERT_FALSE(relayed_is_v4(&c, 0));
	end();
	begin_with(v6_only);
	client_init(&c, "2001:db8:9::5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 440);
	// Both: the one that there is, and what became of the other.
	stun_add_u32(allocate_request(&c), STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 0);
	CU_ASSERT_EQUAL(memcmp(attr(&c, STUN_ATTR_ADDRESS_ERROR_CODE, 0, NULL), "\1\0\4\x28", 4), 0);
	end();
	g_free(v6_only);
}

static void a_family_without_ports_is_named(void)
{
	char *two = g_strconcat("\"relay_addresses\": [\"192.0.2.1\", \"2001:db8:1::1\"], "
				"\"relay_ports\": {\"min\": 50000, \"max\": 50001}, ",
		one_user, NULL);
	struct client c;

	begin_with(two);
	for (uint16_t i = 0; i < 2; i++) {
		client_init(&c, "203.0.113.5", 1000 + i);
		stun_add_u32(allocate_request(&c), STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
		CU_ASSERT_EQUAL(ask(&c), 0);
	}
	for (uint16_t i = 2; i < 4; i++) {
		client_init(&c, "203.0.113.5", 1000 + i);
		stun_add_u32(allocate_request(&c), STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
		CU_ASSERT_EQUAL(ask(&c), 0);
		CU_ASSERT(relayed_is_v4(&c, 0));
		CU_ASSERT_EQUAL(
			memcmp(attr(&c, STUN_ATTR_ADDRESS_ERROR_CODE, 0, NULL), "\2\0\5\x8", 4), 0);
	}
	client_init(&c, "203.0.113.5", 1004);
	stun_add_u32(allocate_request(&c), STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 508);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_RELAY), 4);
	end();
	g_free(two);
}

static void an_even_port_is_even_or_508(void)
{
	char *three = g_strconcat("\"relay_addresses\": [\"192.0.2.1\"], "
				  "\"relay_ports\": {\"min\": 50001, \"max\": 50003}, ",
		one_user, NULL);
	struct client c, d;

	begin_with(usual);
	for (uint16_t i = 0; i < 10; i++) {
		client_init(&c, "203.0.113.5", 1000 + i);
		stun_add(allocate_request(&c), STUN_ATTR_EVEN_PORT, "\0", 1);
		CU_ASSERT_EQUAL(ask(&c), 0);
		CU_ASSERT_EQUAL(relayed_port(&c, 0) % 2, 0);
		CU_ASSERT_PTR_NULL(attr(&c, STUN_ATTR_RESERVATION_TOKEN, 0, NULL));
	}
	client_init(&c, "203.0.113.5", 1010);
	stun_add(allocate_request(&c), STUN_ATTR_EVEN_PORT, "\0", 1);
	CU_ASSERT_EQUAL(ask(&c), 508);
	CU_ASSERT_EQUAL(allocate(&c), 0); // the odd ones are there
	end();
	begin_with(three);
	client_init(&c, "203.0.113.5", 1000);
	client_init(&d, "203.0.113.5", 1001);
	stun_add(allocate_request(&c), STUN_ATTR_EVEN_PORT, "\x80", 1);
	CU_ASSERT_EQUAL(ask(&c), 0);
	CU_ASSERT_EQUAL(relayed_port(&c, 0), 50002);
	stun_add(allocate_request(&d), STUN_ATTR_EVEN_PORT, "\x80", 1);
	CU_ASSERT_EQUAL(ask(&d), 508); // 50003 is held for the token
	end();
	g_free(three);
}

// RFC 6056: who sees one port can say nothing about the next.
static void ports_come_in_no_order(void)
{
	char *wide = g_strconcat("\"relay_addresses\": [\"192.0.2.1\"], ", one_user, NULL);
	unsigned int up = 0, near = 0, last = 0, port;
	struct client c;

	begin_with(wide);
	for (uint16_t i = 0; i < 100; i++) {
		client_init(&c, "203.0.113.5", 1000 + i);
		core.now_ms += 100;
		CU_ASSERT_EQUAL(allocate(&c), 0);
		port = relayed_port(&c, 0);
		CU_ASSERT(port >= 49152);
		up += port > last;
		near += port - last + 8 <= 16;
		last = port;
	}
	// Of 100 at random each bound is missed less than once in 10^9 runs.
	CU_ASSERT(up >= 20 && up <= 80);
	CU_ASSERT(near <= 8);
	end();
	g_free(wide);
}

// Same 5-tuple, same transaction, other credentials: it is not the request that was answered.
static void another_user_gets_no_answer_of_the_first(void)
{
	struct client c;
	uint8_t tid[STUN_TID_LEN];

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	memcpy(tid, c.tid, sizeof(tid));
	c.name = "bob";
	c.password = "builder";
	allocate_request(&c);
	memcpy(c.o.data + 8, tid, sizeof(tid));
	CU_ASSERT_EQUAL(ask(&c), 437);
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		TEST(an_allocation_is_installed_before_its_answer_leaves),
		TEST(a_retransmitted_allocate_gets_the_same_answer_and_another_one_437),
		TEST(a_refused_install_is_508_and_leaves_nothing),
		TEST(transports_and_families_are_checked),
		TEST(a_dual_allocation_has_two_addresses_that_end_one_by_one),
		TEST(even_ports_and_reservations),
		TEST(checks_come_in_their_order),
		TEST(a_token_of_nobody_or_of_another_length_is_508),
		TEST(without_a_family_it_is_ipv4_whatever_the_client_is),
		TEST(a_family_without_ports_is_named),
		TEST(an_even_port_is_even_or_508),
		TEST(ports_come_in_no_order),
		TEST(another_user_gets_no_answer_of_the_first),
		CU_TEST_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : run_tests("turn/allocate", tests);
}
