// SPDX-License-Identifier: BSD-3-Clause
//
// What a changed configuration does to running sessions.
#include "core_rig.h"

static void reload(const char *turn)
{
	struct config *old = config;

	config = parse_config(turn);
	turn_core_apply(&core, config->turn);
	config_free(old);
	settle();
}

static void a_reload_cuts_off_a_peer_that_is_denied_now(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4001), 0);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.2"), 0);
	reload("\"relay_addresses\": [\"192.0.2.1\", \"2001:db8:1::1\"], \"relay_ports\": "
	       "{\"min\": 50000, "
	       "\"max\": 50019}, \"allow_peers\": [\"198.51.100.0/24\"], \"deny_peers\": "
	       "[\"198.51.100.1/32\"], \"secrets\": [\"others now\"]");
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_CHANNEL), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 1);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 1);
	// Its user is no more, its session is.
	CU_ASSERT_EQUAL(refresh(&c, 600), 0);
	end();
}

static void denied_ports_are_told_to_the_lcores(void)
{
	const char *head = "\"relay_addresses\": [\"192.0.2.1\"], \"secrets\": [\"s\"]";
	char *some = g_strconcat(head, ", \"deny_peer_ports\": [25, \"6000-6010\"]", NULL);
	struct st_turn_deny_ports d;

	begin_with(some);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_TURN_DENY_PORTS), 2);
	reload(head);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_TURN_DENY_PORTS), 0);
	reload(some);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_TURN_DENY_PORTS), 2);
	memcpy(&d, object(ST_TURN_DENY_PORTS, 1)->body, sizeof(d));
	CU_ASSERT(d.key.port_lo_be == htons(6000) && d.key.port_hi_be == htons(6010));
	g_free(some);
	end();
}

static void a_reload_to_strict_expiry_shortens_running_sessions(void)
{
#define SECRET "\"relay_addresses\": [\"192.0.2.1\"], \"secrets\": [\"s3\"]"
	char password[TURN_PASSWORD_LEN + 1], name[32];
	struct config *strict = parse_config(SECRET ", \"strict_expiry\": true");
	struct client c;

	begin_with(SECRET);
	client_init(&c, "203.0.113.5", 1000);
	g_snprintf(name, sizeof(name), "%lld", (long long)core.wall_s + 60);
	turn_auth_password(password, "s3", name, strlen(name));
	c.name = name;
	c.password = password;
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT_EQUAL(lifetime(&c), 600);
	turn_core_apply(&core, strict->turn);
	settle();
	CU_ASSERT_EQUAL(object(ST_RELAY, 0)->expiry_ms, 60000);
	core.now_ms += 62000;
	turn_core_tick(&core);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 0);
	turn_core_apply(&core, config->turn);
	config_free(strict);
	end();
#undef SECRET
}

static struct st_relay installed_relay(void)
{
	struct st_relay r;

	memcpy(&r, object(ST_RELAY, 0)->body, sizeof(r));
	return r;
}

static struct st_turn_user installed_user(void)
{
	struct st_turn_user u;

	memcpy(&u, object(ST_TURN_USER, 0)->body, sizeof(u));
	return u;
}

static void limits_change_under_a_session(void)
{
	char *tight = g_strconcat(usual,
		", \"limits\": {\"allocations\": 1, \"permissions_per_allocation\": 2, "
		"\"channels_per_allocation\": 1, \"allocation_bytes_per_s\": 1000, "
		"\"allocation_burst_bytes\": 3000, \"user_bytes_per_s\": 2000}",
		NULL);
	static const char *const peers[] = {"198.51.100.1", "198.51.100.2", "198.51.100.3"};
	struct client c, d;
	struct stun_out *o;
	struct st_addr a;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	client_init(&d, "203.0.113.5", 1001);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	for (size_t i = 0; i < G_N_ELEMENTS(peers); i++)
		CU_ASSERT_EQUAL(bind_channel(&c, peers[i], 9, (uint16_t)(0x4000 + i)), 0);
	CU_ASSERT_EQUAL(installed_relay().bytes_per_s, 0);
	core.now_ms += 100000;
	reload(tight);
	CU_ASSERT_EQUAL(installed_relay().bytes_per_s, 1000);
	CU_ASSERT_EQUAL(installed_relay().burst_bytes, 3000);
	CU_ASSERT_EQUAL(object(ST_RELAY, 0)->expiry_ms, 500000); // it was no refresh
	CU_ASSERT_EQUAL(installed_user().bytes_per_s, 2000);
	// More than there may be now; all of it goes on and is renewed.
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_CHANNEL), 3);
	CU_ASSERT_EQUAL(refresh(&c, 600), 0);
	o = request(&c, STUN_CREATE_PERMISSION);
	for (size_t i = 0; i < G_N_ELEMENTS(peers); i++) {
		addr_parse(&a, peers[i]);
		stun_add_address(o, STUN_ATTR_XOR_PEER_ADDRESS, &a, 0);
	}
	CU_ASSERT_EQUAL(ask(&c), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, peers[2], 9, 0x4002), 0);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.4"), 508);
	CU_ASSERT_EQUAL(bind_channel(&c, peers[0], 10, 0x4003), 508);
	CU_ASSERT_EQUAL(allocate(&d), 508);
	reload(usual);
	CU_ASSERT_EQUAL(installed_relay().bytes_per_s, 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_TURN_USER), 0);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.4"), 0);
	CU_ASSERT_EQUAL(allocate(&d), 0);
	end();
	g_free(tight);
}

static void a_dropped_address_gives_no_port_of_another_back(void)
{
#define PORTS "\"relay_ports\": {\"min\": 50000, \"max\": 50001}, \"secrets\": [\"s\"]"
	struct client c;

	begin_with("\"relay_addresses\": [\"192.0.2.1\", \"192.0.2.2\"], \"users\": [{\"name\": "
		   "\"alice\", \"password\": \"wonderland\"}], " PORTS);
	for (uint16_t port = 1000; port < 1004; port++) {
		client_init(&c, "203.0.113.5", port);
		CU_ASSERT_EQUAL(allocate(&c), 0);
	}
	CU_ASSERT_EQUAL(turn_ports_unused(core.ports, 0), 0);
	CU_ASSERT_EQUAL(turn_ports_unused(core.ports, 1), 0);
	reload("\"relay_addresses\": [\"192.0.2.2\"], " PORTS);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 2);
	turn_ports_tick(core.ports, core.now_ms + 10 * TURN_QUARANTINE_MS);
	CU_ASSERT_EQUAL(turn_ports_unused(core.ports, 0), 0);
	end();
#undef PORTS
}

int main(void)
{
	static CU_TestInfo tests[] = {
		TEST(a_reload_cuts_off_a_peer_that_is_denied_now),
		TEST(denied_ports_are_told_to_the_lcores),
		TEST(a_reload_to_strict_expiry_shortens_running_sessions),
		TEST(limits_change_under_a_session),
		TEST(a_dropped_address_gives_no_port_of_another_back),
		CU_TEST_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : run_tests("turn/reload", tests);
}
