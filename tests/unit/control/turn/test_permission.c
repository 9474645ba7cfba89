// SPDX-License-Identifier: BSD-3-Clause
//
// CreatePermission (RFC 8656 sections 9 and 10).
#include "core_rig.h"

static void a_permission_is_installed_for_300_s_and_refreshed_in_place(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	dp->hold = true;
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), NO_ANSWER);
	dp_double_release(dp);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 1);
	CU_ASSERT_EQUAL(object(ST_PERMISSION, 0)->expiry_ms, 300000);
	CU_ASSERT_EQUAL(object(ST_PERMISSION, 0)->sets, 2);
	request(&c, STUN_CREATE_PERMISSION);
	CU_ASSERT_EQUAL(ask(&c), 400);
	CU_ASSERT_EQUAL(permit(&c, "2001:db8:2::1"), 443);
	end();
}

static void permissions_are_all_or_nothing(void)
{
	struct st_addr good, bad;
	struct stun_out *o;
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	addr_parse(&good, "198.51.100.1");
	addr_parse(&bad, "10.0.0.1");
	o = request(&c, STUN_CREATE_PERMISSION);
	stun_add_address(o, STUN_ATTR_XOR_PEER_ADDRESS, &good, 9);
	stun_add_address(o, STUN_ATTR_XOR_PEER_ADDRESS, &bad, 9);
	CU_ASSERT_EQUAL(ask(&c), 403);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 0);
	o = request(&c, STUN_CREATE_PERMISSION);
	stun_add_address(o, STUN_ATTR_XOR_PEER_ADDRESS, &good, 9);
	stun_add(o, STUN_ATTR_XOR_PEER_ADDRESS, "\0\3\0\0", 4);
	CU_ASSERT_EQUAL(ask(&c), 400);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 0);
	end();
}

static void a_permission_is_of_an_address_whatever_the_port(void)
{
	struct turn_allocation *a;
	struct stun_out *o;
	struct st_addr peer;
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	addr_parse(&peer, "198.51.100.1");
	for (uint16_t port = 0; port < 3; port++) {
		o = request(&c, STUN_CREATE_PERMISSION);
		stun_add_address(o, STUN_ATTR_XOR_PEER_ADDRESS, &peer, htons(port));
		CU_ASSERT_EQUAL(ask(&c), 0);
	}
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 1);
	// Of several in one request each counts.
	o = request(&c, STUN_CREATE_PERMISSION);
	for (int i = 0; i < 5; i++) {
		peer.b[15] = (uint8_t)(1 + i);
		stun_add_address(o, STUN_ATTR_XOR_PEER_ADDRESS, &peer, 0);
	}
	CU_ASSERT_EQUAL(ask(&c), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 5);
	a = turn_allocation_find(&core, &c.tuple);
	core.now_ms += 299999;
	CU_ASSERT_PTR_NOT_NULL(turn_permission_find(&core, a, &peer));
	core.now_ms += 1;
	CU_ASSERT_PTR_NULL(turn_permission_find(&core, a, &peer));
	end();
}

static void add_raw_peer(struct stun_out *o, const char *ipv6)
{
	uint8_t v[20] = {0, STUN_FAMILY_V6, 0x21 ^ 0x1b, 0x12 ^ 0x58};
	struct st_addr a;

	addr_parse(&a, ipv6);
	for (int i = 0; i < 16; i++)
		v[4 + i] = a.b[i] ^ o->data[4 + i];
	stun_add(o, STUN_ATTR_XOR_PEER_ADDRESS, v, sizeof(v));
}

// Lists that allow everything do not open these; as permission and as channel.
static void forbidden_peers_are_403_in_every_spelling(void)
{
	static const char *const v4[] = {"127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3",
		"224.0.0.1", "255.255.255.255"};
	static const char *const v6[] = {"::", "::1", "::ffff:127.0.0.1", "::ffff:198.51.100.1",
		"::127.0.0.1", "::198.51.100.1",
		"2002:7f00:1::", "2002:c633:6401::", "2001:0:7f00:1::", "64:ff9b::7f00:1",
		"64:ff9b::c633:6401", "ff02::1"};
	char *open = g_strdup_printf("\"relay_addresses\": [\"192.0.2.1\", \"2001:db8:1::1\"], "
				     "\"allow_peers\": [\"0.0.0.0/0\", \"::/0\"], \"users\": "
				     "[{\"name\": \"alice\", \"password\": \"wonderland\"}]");
	struct client c;

	begin_with(open);
	client_init(&c, "203.0.113.5", 1000);
	stun_add_u32(allocate_request(&c), STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 0);
	for (size_t i = 0; i < G_N_ELEMENTS(v4); i++) {
		CU_ASSERT_EQUAL(permit(&c, v4[i]), 403);
		CU_ASSERT_EQUAL(bind_channel(&c, v4[i], 7000, 0x4000), 403);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(v6); i++) {
		add_raw_peer(request(&c, STUN_CREATE_PERMISSION), v6[i]);
		CU_ASSERT_EQUAL(ask(&c), 403);
		stun_add_u32(request(&c, STUN_CHANNEL_BIND), STUN_ATTR_CHANNEL_NUMBER, 0x4000u << 16);
		add_raw_peer(&c.o, v6[i]);
		CU_ASSERT_EQUAL(ask(&c), 403);
	}
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_CHANNEL), 0);
	CU_ASSERT_EQUAL(permit(&c, "10.1.2.3"), 0);
	end();
	g_free(open);
}

// ---- the log -----------------------------------------------------------------------------------------

static GString *logged;

static GLogWriterOutput keep(GLogLevelFlags level, const GLogField *fields, gsize n, gpointer arg)
{
	for (gsize i = 0; i < n; i++) {
		if (!strcmp(fields[i].key, "MESSAGE"))
			g_string_append_printf(logged, "%s\n", (const char *)fields[i].value);
	}
	return G_LOG_WRITER_HANDLED;
}

static void a_denial_names_its_rule_and_no_name_forges_a_line(void)
{
	char password[TURN_PASSWORD_LEN + 1], name[80];
	struct client c;

	begin_with("\"relay_addresses\": [\"192.0.2.1\"], \"secrets\": [\"some_secret\"]");
	g_snprintf(name, sizeof(name), "%lld:eve\" ok=1\nturn: forged %%s%%n\x1b[2J",
		(long long)core.wall_s + 60);
	turn_auth_password(password, "some_secret", name, strlen(name));
	client_init(&c, "203.0.113.5", 1000);
	c.name = name;
	c.password = password;
	logged = g_string_new(NULL);
	g_log_set_writer_func(keep, NULL, NULL);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT_EQUAL(permit(&c, "192.168.1.1"), 403);
	CU_ASSERT_EQUAL(refresh(&c, 0), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(logged->str, "rule=\"private 192.168.0.0/16\""));
	CU_ASSERT_PTR_NOT_NULL(strstr(logged->str, "eve\\\" ok=1\\nturn: forged %s%n\\033[2J"));
	CU_ASSERT_PTR_NULL(strstr(logged->str, "\nturn: forged"));
	CU_ASSERT_PTR_NULL(strchr(logged->str, 0x1b));
	CU_ASSERT_PTR_NULL(strstr(logged->str, password));
	g_string_free(logged, TRUE);
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		TEST(a_permission_is_installed_for_300_s_and_refreshed_in_place),
		TEST(permissions_are_all_or_nothing),
		TEST(a_permission_is_of_an_address_whatever_the_port),
		TEST(forbidden_peers_are_403_in_every_spelling),
		TEST(a_denial_names_its_rule_and_no_name_forges_a_line),
		CU_TEST_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : run_tests("turn/permission", tests);
}
