// SPDX-License-Identifier: BSD-3-Clause
//
// NetBird's decision table, all 36 cells with and without bind mode, and the rule of MODE.
#include "../../../../control/addr.h"
#include "../../../../control/conn/direct.h"
#include "../../suite.h"

#include <stdlib.h>
#include <string.h>

struct kind {
	const char *name;
	enum ice_type type;
	const char *near, *far; // addresses within one /16, and of another
};

static const struct kind kinds[] = {
	{"HP", ICE_HOST, "198.51.100.1", "203.0.113.1"},
	{"HV", ICE_HOST, "10.1.0.1", "10.2.0.1"},
	{"S", ICE_SRFLX, "198.51.100.2", "203.0.113.2"},
	{"PP", ICE_PRFLX, "198.51.100.3", "203.0.113.3"},
	{"PV", ICE_PRFLX, "10.1.0.2", "10.2.0.2"},
	{"R", ICE_RELAY, "198.51.100.4", "203.0.113.4"},
};

// D direct, P proxy, N direct within one /16 alone. Rows local, columns remote, in the order of kinds.
static const char kernel_mode[6][7] = {"DDDPPP", "DNPPNP", "DPPPPP", "PPPPPP", "PNPPPP", "PPPPPP"};
static const char bind_mode[6][7] = {"DDDDDD", "DDDDDD", "DDDDDD", "DDDDDD", "DDDDDD", "PPPPPP"};

static struct direct_end end(const struct kind *k, bool near)
{
	struct direct_end e = {.type = k->type};

	CU_ASSERT_FATAL(addr_parse(&e.addr, near ? k->near : k->far));
	return e;
}

static void check(const char (*table)[7], bool is_bind)
{
	for (int l = 0; l < 6; l++) {
		for (int r = 0; r < 6; r++) {
			struct direct_end local = end(&kinds[l], true);
			struct direct_end near = end(&kinds[r], true), far = end(&kinds[r], false);
			char want = table[l][r];

			CU_ASSERT_EQUAL(direct_pair(&local, &near, is_bind), want != 'P');
			CU_ASSERT_EQUAL(direct_pair(&local, &far, is_bind), want == 'D');
		}
	}
}

static void the_table_without_bind_is_netbirds(void)
{
	check(kernel_mode, false);
}

static void the_table_with_bind_is_netbirds(void)
{
	check(bind_mode, true);
}

static void addresses_are_public_as_netbird_means_it(void)
{
	static const struct {
		const char *text;
		bool public;
	} rows[] = {
		{"127.0.0.1", false},
		{"10.0.0.1", false},
		{"172.15.0.1", true},
		{"172.16.0.1", false},
		{"172.31.255.1", false},
		{"172.32.0.1", true},
		{"192.168.1.1", false},
		{"192.169.1.1", true},
		{"169.254.0.1", false},
		{"100.64.0.1", true},
		{"0.0.0.0", true},
		{"224.0.0.1", false},
		{"224.0.1.1", true},
		{"198.51.100.1", true},
		{"::1", false},
		{"fe80::1", false},
		{"febf::1", false},
		{"fd00::1", false},
		{"fc00::1", false},
		{"ff02::1", false},
		{"ff05::1", true},
		{"2001:db8::1", true},
		{"::2", true},
	};

	for (size_t n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		struct st_addr a;

		CU_ASSERT_FATAL(addr_parse(&a, rows[n].text));
		CU_ASSERT_EQUAL(direct_address_public(&a), rows[n].public);
	}
}

static void private_ipv6_hosts_are_near_within_a_64_alone(void)
{
	struct direct_end a = {.type = ICE_HOST}, b = a, c = a, v4 = a;

	addr_parse(&a.addr, "fd00:1::1");
	addr_parse(&b.addr, "fd00:1::2");
	addr_parse(&c.addr, "fd00:2::1");
	addr_parse(&v4.addr, "10.0.0.1");
	CU_ASSERT_TRUE(direct_pair(&a, &b, false));
	CU_ASSERT_FALSE(direct_pair(&a, &c, false));
	CU_ASSERT_FALSE(direct_pair(&a, &v4, false));
}

static void mode_is_direct_for_a_public_host_with_a_reachable_port_alone(void)
{
	struct ice_path path = {.local_type = ICE_HOST};

	addr_parse(&path.local, "198.51.100.1");
	CU_ASSERT_TRUE(direct_mode(&path, true));
	CU_ASSERT_FALSE(direct_mode(&path, false));
	path.local_type = ICE_SRFLX;
	CU_ASSERT_FALSE(direct_mode(&path, true));
	path.local_type = ICE_HOST;
	addr_parse(&path.local, "10.0.0.1");
	CU_ASSERT_FALSE(direct_mode(&path, true));
	addr_parse(&path.local, "198.51.100.1");
	path.relayed = true;
	CU_ASSERT_FALSE(direct_mode(&path, true));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(the_table_without_bind_is_netbirds),
		TEST(the_table_with_bind_is_netbirds),
		TEST(addresses_are_public_as_netbird_means_it),
		TEST(private_ipv6_hosts_are_near_within_a_64_alone),
		TEST(mode_is_direct_for_a_public_host_with_a_reachable_port_alone),
		CU_TEST_INFO_NULL,
	};

	return run_tests("direct", tests);
}
