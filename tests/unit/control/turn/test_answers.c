// SPDX-License-Identifier: BSD-3-Clause
//
// What is answered to whom (RFC 8489 section 6.3): Binding, unknown attributes, silence.
#include "core_rig.h"

static void binding_is_answered_with_32_bytes(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	request(&c, STUN_BINDING);
	CU_ASSERT_EQUAL(deliver(&c), 0);
	CU_ASSERT_EQUAL(answer_len, 32);
	request(&c, STUN_BINDING);
	stun_add_fingerprint(&c.o);
	CU_ASSERT_EQUAL(deliver(&c), 0);
	CU_ASSERT_PTR_NOT_NULL(stun_attr(&c.m, STUN_ATTR_FINGERPRINT).at);
	end();
}

static void unknown_attributes_get_420_after_authentication(void)
{
	struct client c;
	const uint8_t *v;
	uint16_t len = 0;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	stun_add_u32(request(&c, STUN_ALLOCATE), 0x7ff1, 0);
	CU_ASSERT_EQUAL(deliver(&c), 401);
	stun_add_u32(allocate_request(&c), 0x7ff1, 0);
	stun_add_u32(&c.o, 0xfff1, 0); // comprehension-optional
	CU_ASSERT_EQUAL(ask(&c), 420);
	v = attr(&c, STUN_ATTR_UNKNOWN_ATTRIBUTES, 0, &len);
	CU_ASSERT(v && len == 2 && v[0] == 0x7f && v[1] == 0xf1);
	end();
}

static void what_is_no_request_of_ours_gets_no_answer(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	stun_begin(&c.o, c.buf, sizeof(c.buf), STUN_SEND | STUN_INDICATION, c.tid);
	CU_ASSERT_EQUAL(deliver(&c), NO_ANSWER);
	stun_begin(&c.o, c.buf, sizeof(c.buf), STUN_ALLOCATE | STUN_SUCCESS, c.tid);
	CU_ASSERT_EQUAL(deliver(&c), NO_ANSWER);
	stun_begin(&c.o, c.buf, sizeof(c.buf), 0x00a | STUN_REQUEST, c.tid); // Connect of RFC 6062
	CU_ASSERT_EQUAL(deliver(&c), NO_ANSWER);
	CU_ASSERT_EQUAL(core.stats.malformed, 3);
	end();
}

static void an_answer_has_a_fingerprint_when_its_request_had_one(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	learn_nonce(&c);
	c.fingerprint = true; // deliver looks for it in each answer
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT_PTR_NOT_NULL(stun_attr(&c.m, STUN_ATTR_FINGERPRINT).at);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), 0);
	CU_ASSERT_EQUAL(permit(&c, "127.0.0.1"), 403);
	CU_ASSERT_PTR_NOT_NULL(stun_attr(&c.m, STUN_ATTR_FINGERPRINT).at);
	c.password = "guess";
	CU_ASSERT_EQUAL(refresh(&c, 600), 401);
	CU_ASSERT_PTR_NOT_NULL(stun_attr(&c.m, STUN_ATTR_FINGERPRINT).at);
	c.password = "wonderland";
	c.fingerprint = false;
	CU_ASSERT_EQUAL(refresh(&c, 600), 0);
	CU_ASSERT_PTR_NULL(stun_attr(&c.m, STUN_ATTR_FINGERPRINT).at);
	// A wrong one is a broken message: no answer.
	stun_add_fingerprint(request(&c, STUN_BINDING));
	c.o.data[c.o.len - 1] ^= 1;
	CU_ASSERT_EQUAL(deliver(&c), NO_ANSWER);
	end();
}

static void software_is_told_to_who_is_authenticated(void)
{
	char *silent = g_strconcat(usual, ", \"software\": false", NULL);

	for (int on = 0; on < 2; on++) {
		struct client c;

		begin_with(on ? usual : silent);
		client_init(&c, "203.0.113.5", 1000);
		learn_nonce(&c);
		CU_ASSERT_PTR_NULL(attr(&c, STUN_ATTR_SOFTWARE, 0, NULL));
		CU_ASSERT_EQUAL(allocate(&c), 0);
		CU_ASSERT_EQUAL(attr(&c, STUN_ATTR_SOFTWARE, 0, NULL) != NULL, on);
		CU_ASSERT_EQUAL(refresh(&c, 600), 0);
		CU_ASSERT_EQUAL(attr(&c, STUN_ATTR_SOFTWARE, 0, NULL) != NULL, on);
		request(&c, STUN_BINDING);
		CU_ASSERT_EQUAL(deliver(&c), 0);
		CU_ASSERT_PTR_NULL(attr(&c, STUN_ATTR_SOFTWARE, 0, NULL));
		end();
	}
	g_free(silent);
}

static void extensions_that_are_out_are_refused_by_their_rules(void)
{
	static const uint16_t methods[] = {0x00a, 0x00b, 0x002}; // Connect, ConnectionBind, SharedSecret
	struct client c;
	const uint8_t *v;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	for (size_t i = 0; i < G_N_ELEMENTS(methods); i++) {
		request(&c, methods[i]);
		CU_ASSERT_EQUAL(deliver(&c), NO_ANSWER);
	}
	stun_add_u32(request(&c, STUN_BINDING), 0x0003, 6); // CHANGE-REQUEST of RFC 5780
	CU_ASSERT_EQUAL(deliver(&c), 420);
	v = attr(&c, STUN_ATTR_UNKNOWN_ATTRIBUTES, 0, NULL);
	CU_ASSERT(v && v[0] == 0 && v[1] == 3);
	stun_add(allocate_request(&c), 0x001b, "token", 5); // ACCESS-TOKEN of RFC 7635
	CU_ASSERT_EQUAL(ask(&c), 420);
	stun_add(allocate_request(&c), STUN_ATTR_MOBILITY_TICKET, NULL, 0); // RFC 8016
	CU_ASSERT_EQUAL(ask(&c), 405);
	stun_add_u32(request(&c, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, 6u << 24); // RFC 6062
	CU_ASSERT_EQUAL(ask(&c), 442);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 0);
	end();
}

// RFC 8489 section 6.3.1: the network may double a request, and a client repeats it.
static void a_repeated_request_gets_its_answer_again(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), 0);
	CU_ASSERT_EQUAL(deliver(&c), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4001), 0);
	CU_ASSERT_EQUAL(deliver(&c), 0);
	CU_ASSERT_EQUAL(refresh(&c, 700), 0);
	CU_ASSERT_EQUAL(deliver(&c), 0);
	CU_ASSERT_EQUAL(lifetime(&c), 700);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_CHANNEL), 1);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 1);
	CU_ASSERT_EQUAL(refresh(&c, 0), 0);
	CU_ASSERT_EQUAL(deliver(&c), 437); // which a client takes for the success that it is
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		TEST(binding_is_answered_with_32_bytes),
		TEST(unknown_attributes_get_420_after_authentication),
		TEST(what_is_no_request_of_ours_gets_no_answer),
		TEST(an_answer_has_a_fingerprint_when_its_request_had_one),
		TEST(software_is_told_to_who_is_authenticated),
		TEST(extensions_that_are_out_are_refused_by_their_rules),
		TEST(a_repeated_request_gets_its_answer_again),
		CU_TEST_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : run_tests("turn/answers", tests);
}
