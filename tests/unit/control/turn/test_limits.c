// SPDX-License-Identifier: BSD-3-Clause
//
// What has an end: ports, quotas, permissions and channels, bytes, answers to strangers.
#include "core_rig.h"

static void a_full_range_is_508_and_comes_back_whole(void)
{
	static struct client c[21];

	begin_with(usual);
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 21; i++) {
			client_init(&c[i], "203.0.113.5", (uint16_t)(1000 + i));
			CU_ASSERT_EQUAL(allocate(&c[i]), i < 20 ? 0 : 508);
			core.now_ms += 1000;
		}
		CU_ASSERT_EQUAL(turn_ports_unused(core.ports, 0), 0);
		for (int i = 0; i < 20; i++)
			CU_ASSERT_EQUAL(refresh(&c[i], 0), 0);
		CU_ASSERT_EQUAL(allocate(&c[20]), 508); // quarantine
		core.now_ms += TURN_QUARANTINE_MS + 1;
		turn_core_tick(&core);
		CU_ASSERT_EQUAL(turn_ports_unused(core.ports, 0), 20);
	}
	CU_ASSERT_EQUAL(dp->objects->len, 0);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 0);
	CU_ASSERT_EQUAL(turn_counts_size(core.by_user) + turn_counts_size(core.by_source), 0);
	end();
}

static void quotas_are_486_and_the_tables_cap_508(void)
{
	struct client c[5];

	begin_with(
		"\"relay_addresses\": [\"192.0.2.1\"], \"users\": [{\"name\": \"alice\", "
		"\"password\": "
		"\"wonderland\"}, {\"name\": \"bob\", \"password\": \"builder\"}], \"limits\": "
		"{\"allocations\": 3, \"allocations_per_user\": 2, \"allocations_per_source\": 2}");
	for (int i = 0; i < 5; i++)
		client_init(&c[i], i < 3 ? "203.0.113.5" : "203.0.113.6", (uint16_t)(1000 + i));
	CU_ASSERT_EQUAL(allocate(&c[0]), 0);
	CU_ASSERT_EQUAL(allocate(&c[1]), 0);
	CU_ASSERT_EQUAL(allocate(&c[3]), 486); // alice's third
	c[2].name = c[3].name = c[4].name = "bob";
	c[2].password = c[3].password = c[4].password = "builder";
	CU_ASSERT_EQUAL(allocate(&c[2]), 486); // the third of the address
	CU_ASSERT_EQUAL(allocate(&c[3]), 0);
	CU_ASSERT_EQUAL(allocate(&c[4]), 508);
	CU_ASSERT_EQUAL(refresh(&c[0], 600), 0); // who is there stays
	end();
}

static void a_drain_takes_nobody_new(void)
{
	struct client c, d;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	client_init(&d, "203.0.113.5", 1001);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	core.draining = true;
	CU_ASSERT_EQUAL(allocate(&d), 508);
	CU_ASSERT_EQUAL(refresh(&c, 600), 0);
	end();
}

static void permissions_and_channels_have_their_cap(void)
{
	char peer[32];
	struct client c;

	begin_with("\"relay_addresses\": [\"192.0.2.1\"], \"users\": [{\"name\": \"alice\", "
		   "\"password\": "
		   "\"wonderland\"}], \"allow_peers\": [\"198.51.100.0/24\"], \"limits\": "
		   "{\"permissions_per_allocation\": 3, \"channels_per_allocation\": 2}");
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	for (int i = 0; i < 4; i++) {
		g_snprintf(peer, sizeof(peer), "198.51.100.%d", i + 1);
		CU_ASSERT_EQUAL(permit(&c, peer), i < 3 ? 0 : 508);
	}
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 1, 0x4000), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 2, 0x4001), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 3, 0x4002), 508);
	core.now_ms += 301000; // the permissions are over, and make room
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.4"), 0);
	end();
}

static void a_user_who_makes_and_ends_allocations_is_slowed_down(void)
{
	struct client c, d;
	unsigned int made = 0;

	begin_with(
		"\"relay_addresses\": [\"192.0.2.1\"], \"users\": [{\"name\": \"alice\", "
		"\"password\": \"wonderland\"}, {\"name\": \"bob\", \"password\": \"builder\"}], "
		"\"limits\": {\"allocations_per_user\": 10, \"allocations_per_user_s\": 2}");
	for (int i = 0; i < 50; i++) {
		int code;

		client_init(&c, "203.0.113.5", (uint16_t)(1000 + i)); // from wherever
		code = allocate(&c);
		CU_ASSERT(!code || code == 486);
		made += !code;
		if (!code)
			CU_ASSERT_EQUAL(refresh(&c, 0), 0);
	}
	CU_ASSERT_EQUAL(made, 10);
	CU_ASSERT_EQUAL(core.new_allocations.limited, 40);
	client_init(&d, "203.0.113.5", 2000);
	d.name = "bob";
	d.password = "builder";
	CU_ASSERT_EQUAL(allocate(&d), 0); // is not alice
	core.now_ms += 600;               // one and a bit
	CU_ASSERT_EQUAL(allocate(&c), 0);
	client_init(&d, "203.0.113.5", 2001);
	CU_ASSERT_EQUAL(allocate(&d), 486);
	end();
}

static void a_scan_through_the_relay_is_slowed_down(void)
{
	char peer[32];
	struct client c;

	begin_with("\"relay_addresses\": [\"192.0.2.1\"], \"users\": [{\"name\": \"alice\", "
		   "\"password\": \"wonderland\"}], \"allow_peers\": [\"198.51.100.0/24\"], "
		   "\"limits\": {\"new_peers_per_user_min\": 6}");
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	for (int i = 0; i < 5; i++) {
		g_snprintf(peer, sizeof(peer), "198.51.100.%d", i + 1);
		CU_ASSERT_EQUAL(permit(&c, peer), 0);
	}
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 1, 0x4000), 0);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.9"), 508);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 2, 0x4001), 508);
	CU_ASSERT_PTR_NULL(
		turn_channel_by_number(&core, turn_allocation_find(&core, &c.tuple), 0x4001));
	// What is there is refreshed all the same.
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.2"), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 1, 0x4000), 0);
	// A new session is no way around it.
	CU_ASSERT_EQUAL(refresh(&c, 0), 0);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.9"), 508);
	core.now_ms += 10001;
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.9"), 0);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.10"), 508);
	end();
}

static void a_peer_named_twice_counts_once(void)
{
	struct st_addr a, b;
	struct stun_out *o;
	struct client c;

	begin_with("\"relay_addresses\": [\"192.0.2.1\"], \"users\": [{\"name\": \"alice\", "
		   "\"password\": \"wonderland\"}], \"allow_peers\": [\"198.51.100.0/24\"], "
		   "\"limits\": {\"permissions_per_allocation\": 2}");
	client_init(&c, "203.0.113.5", 1000);
	addr_parse(&a, "198.51.100.1");
	addr_parse(&b, "198.51.100.2");
	CU_ASSERT_EQUAL(allocate(&c), 0);
	o = request(&c, STUN_CREATE_PERMISSION);
	for (uint16_t port = 1; port < 9; port++) {
		stun_add_address(o, STUN_ATTR_XOR_PEER_ADDRESS, &a, htons(port));
		stun_add_address(o, STUN_ATTR_XOR_PEER_ADDRESS, &b, htons(port));
	}
	CU_ASSERT_EQUAL(ask(&c), 0);
	CU_ASSERT_EQUAL(turn_allocation_find(&core, &c.tuple)->permissions->len, 2);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 2);
	for (unsigned int i = 0; i < 2; i++)
		CU_ASSERT_EQUAL(object(ST_PERMISSION, i)->sets, 1); // not a SET for each mention
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.3"), 508);
	end();
}

static struct turn_kernel *open_none(struct turn_allocation *a, enum turn_family family, void *arg)
{
	static int nothing;

	return (struct turn_kernel *)&nothing;
}

static void close_none(struct turn_kernel *k, void *arg)
{
}

static uint64_t user_rate(void)
{
	struct st_turn_user body = {0};

	if (object(ST_TURN_USER, 0))
		memcpy(&body, object(ST_TURN_USER, 0)->body, sizeof(body));
	return body.bytes_per_s;
}

static void a_user_shares_its_limit_between_lcores_and_straitd(void)
{
	char *text = g_strdup_printf("%s, \"limits\": {\"user_bytes_per_s\": 100000}", usual);
	struct client udp, tcp;

	begin_with(text);
	core.kernel_open = open_none;
	core.kernel_close = close_none;
	client_init(&udp, "203.0.113.5", 1000);
	client_init(&tcp, "203.0.113.5", 1001);
	tcp.tuple.transport = TURN_TCP;
	tcp.tuple.stream = 7;
	CU_ASSERT_EQUAL(allocate(&udp), 0);
	CU_ASSERT_EQUAL(user_rate(), 100000);
	CU_ASSERT_EQUAL(allocate(&tcp), 0);
	CU_ASSERT_EQUAL(user_rate(), 50000);
	CU_ASSERT_EQUAL(refresh(&tcp, 0), 0);
	CU_ASSERT_EQUAL(user_rate(), 100000);
	CU_ASSERT_EQUAL(refresh(&udp, 0), 0);
	CU_ASSERT_PTR_NULL(object(ST_TURN_USER, 0));
	end();
	g_free(text);
}

// Asked more often than a byte comes.
static void a_low_rate_comes_in_parts_of_a_byte(void)
{
	struct turn_bytes b = {0};

	for (uint64_t ms = 1; ms <= 10000; ms++)
		turn_bytes_fill(&b, 500, 65536, ms);
	CU_ASSERT_DOUBLE_EQUAL(b.left, 5000, 0.1);
	turn_bytes_fill(&b, 500, 65536, 1000000);
	CU_ASSERT_EQUAL(b.left, 65536);
}

static void answers_to_strangers_are_limited_per_source(void)
{
	struct client c, other;
	unsigned int n = 0;

	begin_with("\"relay_addresses\": [\"192.0.2.1\"], \"secrets\": [\"s3\"], \"limits\": "
		   "{\"replies_per_source_s\": 5, \"replies_burst\": 10}");
	client_init(&c, "203.0.113.5", 1000);
	client_init(&other, "203.0.113.6", 1000);
	for (int i = 0; i < 100; i++) {
		request(&c, STUN_ALLOCATE);
		n += deliver(&c) == 401;
	}
	CU_ASSERT_EQUAL(n, 10);
	request(&other, STUN_ALLOCATE);
	CU_ASSERT_EQUAL(deliver(&other), 401);
	core.now_ms += 1000;
	for (int i = 0; i < 100; i++) {
		request(&c, STUN_ALLOCATE);
		n += deliver(&c) == 401;
	}
	CU_ASSERT_EQUAL(n, 15);
	end();
}

static void who_has_a_session_or_a_nonce_is_no_stranger(void)
{
	struct client c, d;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	client_init(&d, "203.0.113.5", 1001);
	request(&c, STUN_ALLOCATE);
	stun_end(&c.o, NULL, 0, false);
	CU_ASSERT(turn_core_is_stranger(&core, &c.tuple, c.o.data, c.o.len));
	allocate_request(&c);
	sign(&c);
	stun_end(&c.o, NULL, 0, false);
	CU_ASSERT_FALSE(turn_core_is_stranger(&core, &c.tuple, c.o.data, c.o.len));
	CU_ASSERT(turn_core_is_stranger(&core, &d.tuple, c.o.data, c.o.len)); // another's nonce
	CU_ASSERT_EQUAL(allocate(&c), 0);
	request(&c, STUN_REFRESH);
	stun_end(&c.o, NULL, 0, false);
	CU_ASSERT_FALSE(turn_core_is_stranger(&core, &c.tuple, c.o.data, c.o.len));
	end();
}

static void a_million_spoofed_first_packets_leave_nothing(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	stun_add_u32(request(&c, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
	for (uint32_t i = 0; i < 1000000; i++) {
		memcpy(c.tuple.client.b + 12, &i, 4);
		turn_core_receive(&core, &c.tuple, c.o.data, stun_end(&c.o, NULL, 0, false));
	}
	CU_ASSERT_EQUAL(answers, 1000000);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 0);
	CU_ASSERT_EQUAL(turn_counts_size(core.by_source), 0);
	CU_ASSERT_EQUAL(dp->objects->len, 0);
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		TEST(a_full_range_is_508_and_comes_back_whole),
		TEST(quotas_are_486_and_the_tables_cap_508),
		TEST(a_drain_takes_nobody_new),
		TEST(permissions_and_channels_have_their_cap),
		TEST(a_user_who_makes_and_ends_allocations_is_slowed_down),
		TEST(a_scan_through_the_relay_is_slowed_down),
		TEST(a_peer_named_twice_counts_once),
		TEST(a_user_shares_its_limit_between_lcores_and_straitd),
		TEST(a_low_rate_comes_in_parts_of_a_byte),
		TEST(answers_to_strangers_are_limited_per_source),
		TEST(who_has_a_session_or_a_nonce_is_no_stranger),
		TEST(a_million_spoofed_first_packets_leave_nothing),
		CU_TEST_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : run_tests("turn/limits", tests);
}
