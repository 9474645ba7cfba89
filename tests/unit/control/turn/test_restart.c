// SPDX-License-Identifier: BSD-3-Clause
//
// What the next straitd takes over after a kill.
#include "core_rig.h"

// What the data plane has goes to `old`; a new server begins with nothing.
static void die(struct turn_recovered *old)
{
	for (guint n = 0; n < dp->objects->len; n++) {
		const struct dp_double_object *o = dp->objects->pdata[n];
		struct dp_item item = {
			o->kind, o->body, o->body_len, o->blob, o->blob_len, o->expiry_ms, -1};

		turn_recovered_add(old, &item);
		// No password and no key is to be read in it.
		CU_ASSERT_PTR_NULL(memmem(o->blob, o->blob_len, "wonderland", 10));
	}
	turn_core_fini(&core);
	g_ptr_array_set_size(dp->objects, 0);
	begin_core();
}

static void everything_is_refreshable_after_a_restart(void)
{
	struct turn_recovered *old = turn_recovered_new();
	struct client c, d;
	uint16_t port;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	client_init(&d, "203.0.113.6", 1000);
	stun_add_u32(allocate_request(&c), STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 0);
	port = relayed_port(&c, 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4001), 0);
	CU_ASSERT_EQUAL(permit(&c, "2001:db8:2::1"), 0);
	d.sha256 = true;
	CU_ASSERT_EQUAL(allocate(&d), 0);
	allocate_request(&c);
	die(old);
	CU_ASSERT_EQUAL(turn_recovered_take(old, &core), 2);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_RELAY), 3);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_CHANNEL), 1);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 2);
	CU_ASSERT_EQUAL(turn_ports_unused(core.ports, 0), 20 - 2);
	CU_ASSERT_EQUAL(refresh(&c, 600), 0); // under the old nonce
	CU_ASSERT_EQUAL(refresh(&d, 600), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4002), 400); // it knows the old one
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4001), 0);
	c.name = "bob";
	c.password = "builder";
	CU_ASSERT_EQUAL(refresh(&c, 600), 441);
	CU_ASSERT_EQUAL(turn_allocation_find(&core, &c.tuple)->relayed[TURN_V4].port, port);
	turn_recovered_free(old);
	end();
}

static void a_reservation_outlives_a_restart(void)
{
	struct turn_recovered *old = turn_recovered_new();
	struct client c, d, e;
	uint8_t token[2][TURN_TOKEN_LEN];
	uint16_t port;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	client_init(&d, "203.0.113.5", 1001);
	client_init(&e, "203.0.113.5", 1002);
	stun_add(allocate_request(&c), STUN_ATTR_EVEN_PORT, "\x80", 1);
	CU_ASSERT_EQUAL(ask(&c), 0);
	port = relayed_port(&c, 0);
	memcpy(token[0], attr(&c, STUN_ATTR_RESERVATION_TOKEN, 0, NULL), TURN_TOKEN_LEN);
	stun_add(allocate_request(&d), STUN_ATTR_EVEN_PORT, "\x80", 1);
	CU_ASSERT_EQUAL(ask(&d), 0);
	memcpy(token[1], attr(&d, STUN_ATTR_RESERVATION_TOKEN, 0, NULL), TURN_TOKEN_LEN);
	die(old);
	CU_ASSERT_EQUAL(turn_recovered_take(old, &core), 2);
	CU_ASSERT_EQUAL(turn_ports_unused(core.ports, 0), 20 - 4);
	stun_add(allocate_request(&e), STUN_ATTR_RESERVATION_TOKEN, token[0], TURN_TOKEN_LEN);
	CU_ASSERT_EQUAL(ask(&e), 0);
	CU_ASSERT_EQUAL(relayed_port(&e, 0), port + 1);
	core.now_ms += TURN_RESERVATION_MS + 1;
	turn_core_tick(&core);
	CU_ASSERT_EQUAL(turn_ports_unused(core.ports, 0), 20 - 3);
	client_init(&e, "203.0.113.5", 1003);
	stun_add(allocate_request(&e), STUN_ATTR_RESERVATION_TOKEN, token[1], TURN_TOKEN_LEN);
	CU_ASSERT_EQUAL(ask(&e), 508);
	turn_recovered_free(old);
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		TEST(everything_is_refreshable_after_a_restart),
		TEST(a_reservation_outlives_a_restart),
		CU_TEST_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : run_tests("turn/restart", tests);
}
