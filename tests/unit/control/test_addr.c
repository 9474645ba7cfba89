// SPDX-License-Identifier: BSD-3-Clause
//
// Addresses and prefixes: what is read, what is refused, and that text and sockaddr come back the
// same.
#include "../../../control/addr.h"
#include "../suite.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static void ipv4_is_mapped_and_comes_back(void)
{
	static const uint8_t want[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1};
	char text[ADDR_TEXT_MAX];
	struct st_addr a;

	CU_ASSERT_TRUE_FATAL(addr_parse(&a, "192.0.2.1"));
	CU_ASSERT_EQUAL(memcmp(a.b, want, 16), 0);
	CU_ASSERT_TRUE(addr_is_v4(&a));
	CU_ASSERT_STRING_EQUAL(addr_text(text, &a), "192.0.2.1");
}

static void ipv6_comes_back(void)
{
	char text[ADDR_TEXT_MAX];
	struct st_addr a;

	CU_ASSERT_TRUE_FATAL(addr_parse(&a, "2001:DB8:0:0::1"));
	CU_ASSERT_FALSE(addr_is_v4(&a));
	CU_ASSERT_STRING_EQUAL(addr_text(text, &a), "2001:db8::1");
}

static void malformed_addresses_are_refused_and_leave_the_result(void)
{
	static const char *const bad[] = {"", " ", "192.0.2", "192.0.2.256", "192.0.2.1 ",
		"1.2.3.4.5", "2001:db8", "2001:db8:::1", "fe80::1%eth0", "[::1]", "host", "0x7f.1"};
	struct st_addr a, before;
	size_t i;

	memset(&before, 0x5a, sizeof(before));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		a = before;
		CU_ASSERT_FALSE(addr_parse(&a, bad[i]));
		CU_ASSERT_EQUAL(memcmp(&a, &before, sizeof(a)), 0);
	}
}

static void zero_is_either_family(void)
{
	struct st_addr a;

	memset(&a, 0, sizeof(a));
	CU_ASSERT_TRUE(addr_is_zero(&a));
	CU_ASSERT_TRUE(addr_parse(&a, "0.0.0.0"));
	CU_ASSERT_TRUE(addr_is_zero(&a));
	CU_ASSERT_TRUE(addr_parse(&a, "0.0.0.1"));
	CU_ASSERT_FALSE(addr_is_zero(&a));
	CU_ASSERT_TRUE(addr_parse(&a, "::1"));
	CU_ASSERT_FALSE(addr_is_zero(&a));
}

static void prefixes_are_masked_and_counted_in_128_bits(void)
{
	static const struct {
		const char *in, *out;
		unsigned int plen;
	} rows[] = {
		{"10.1.2.3/8", "10.0.0.0/8", 104},
		{"10.1.2.3", "10.1.2.3/32", 128},
		{"0.0.0.0/0", "0.0.0.0/0", 96},
		{"255.255.255.255/1", "128.0.0.0/1", 97},
		{"10.0.0.129/25", "10.0.0.128/25", 121},
		{"::/0", "::/0", 0},
		{"2001:db8:ffff::1/33", "2001:db8:8000::/33", 33},
		{"2001:db8::1", "2001:db8::1/128", 128},
		{"fe80::1/127", "fe80::/127", 127},
	};
	char text[PREFIX_TEXT_MAX];
	struct st_addr host, want;
	struct st_prefix p;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char bare[PREFIX_TEXT_MAX];

		CU_ASSERT_TRUE_FATAL(prefix_parse(&p, &host, rows[i].in));
		CU_ASSERT_EQUAL(p.plen, rows[i].plen);
		CU_ASSERT_STRING_EQUAL(prefix_text(text, &p), rows[i].out);
		strcpy(bare, rows[i].in);
		*strchrnul(bare, '/') = 0;
		CU_ASSERT_TRUE(addr_parse(&want, bare));
		CU_ASSERT_EQUAL(memcmp(&host, &want, 16), 0);
		CU_ASSERT_EQUAL(p.pad[0] | p.pad[1] | p.pad[2], 0);
	}
}

static void prefix_families_do_not_mix(void)
{
	struct st_prefix v4, v6;

	CU_ASSERT_TRUE(prefix_parse(&v4, NULL, "0.0.0.0/0"));
	CU_ASSERT_TRUE(prefix_parse(&v6, NULL, "::/0"));
	CU_ASSERT_TRUE(prefix_is_v4(&v4));
	CU_ASSERT_FALSE(prefix_is_v4(&v6));
	CU_ASSERT_NOT_EQUAL(memcmp(&v4, &v6, sizeof(v4)), 0);
}

static void malformed_prefixes_are_refused(void)
{
	static const char *const bad[] = {"", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1",
		"10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/8 ", "10.0.0.0/8/8", "10.0.0.0/8.0",
		"10.0.0.0/0x8", "10.0.0.0/4294967304", "2001:db8::/129", "2001:db8::/", "/24",
		"default", "::ffff:10.0.0.0/104", "::ffff:0:0/96",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc/64"};
	struct st_prefix p;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_FALSE(prefix_parse(&p, NULL, bad[i]));
}

static void sockaddr_round_trip(void)
{
	static const char *const rows[] = {"192.0.2.7", "2001:db8::7"};
	struct sockaddr_storage ss;
	struct st_addr a, b;
	uint16_t port;
	size_t i;

	for (i = 0; i < 2; i++) {
		CU_ASSERT_TRUE_FATAL(addr_parse(&a, rows[i]));
		CU_ASSERT_EQUAL(addr_to_sockaddr(&ss, &a, htons(51820)),
			i ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
		CU_ASSERT_EQUAL(ss.ss_family, i ? AF_INET6 : AF_INET);
		CU_ASSERT_TRUE(addr_from_sockaddr(&b, &port, (struct sockaddr *)&ss));
		CU_ASSERT_EQUAL(memcmp(&a, &b, 16), 0);
		CU_ASSERT_EQUAL(port, htons(51820));
		CU_ASSERT_TRUE(addr_from_sockaddr(&b, NULL, (struct sockaddr *)&ss));
	}
	ss.ss_family = AF_UNIX;
	CU_ASSERT_FALSE(addr_from_sockaddr(&b, &port, (struct sockaddr *)&ss));
}

static void tuples_bracket_ipv6(void)
{
	char text[TUPLE_TEXT_MAX];
	struct st_addr a;

	CU_ASSERT_TRUE(addr_parse(&a, "192.0.2.7"));
	CU_ASSERT_STRING_EQUAL(tuple_text(text, &a, htons(51820)), "192.0.2.7:51820");
	CU_ASSERT_TRUE(addr_parse(&a, "2001:db8::7"));
	CU_ASSERT_STRING_EQUAL(tuple_text(text, &a, htons(1)), "[2001:db8::7]:1");
	memset(&a, 0xfe, sizeof(a));
	CU_ASSERT_STRING_EQUAL(tuple_text(text, &a, htons(65535)),
		"[fefe:fefe:fefe:fefe:fefe:fefe:fefe:fefe]:65535");
}

static void link_local_addresses_bear_their_interface(void)
{
	char text[TUPLE_TEXT_MAX + ST_NAME_MAX], scope[ST_NAME_MAX];
	struct st_addr a;

	CU_ASSERT_TRUE(addr_parse_scoped(&a, scope, "fe80::1%wan"));
	CU_ASSERT_STRING_EQUAL(scope, "wan");
	CU_ASSERT_TRUE(addr_is_link_local(&a));
	CU_ASSERT_STRING_EQUAL(addr_text_scoped(text, &a, scope), "fe80::1%wan");
	CU_ASSERT_STRING_EQUAL(tuple_text_scoped(text, &a, htons(7), scope), "[fe80::1%wan]:7");
	CU_ASSERT_TRUE(addr_parse_scoped(&a, scope, "febf::1"));
	CU_ASSERT_TRUE(addr_is_link_local(&a));
	CU_ASSERT_STRING_EQUAL(scope, "");
	CU_ASSERT_STRING_EQUAL(tuple_text_scoped(text, &a, htons(7), scope), "[febf::1]:7");
	CU_ASSERT_TRUE(addr_parse_scoped(&a, scope, "192.0.2.1"));
	CU_ASSERT_FALSE(addr_is_link_local(&a));
	CU_ASSERT_FALSE(addr_parse_scoped(&a, scope, "fe80::1%"));
	CU_ASSERT_FALSE(addr_parse_scoped(&a, scope, "fe80::1%abcdefghijklmnop")); // 16 letters
	CU_ASSERT_FALSE(addr_parse_scoped(&a, scope, "2001:db8::1%wan"));
	CU_ASSERT_FALSE(addr_parse_scoped(&a, scope, "192.0.2.1%wan"));
	CU_ASSERT_FALSE(addr_parse_scoped(&a, scope, "%wan"));
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"ipv4 is mapped and comes back", ipv4_is_mapped_and_comes_back},
		{"ipv6 comes back", ipv6_comes_back},
		{"malformed addresses are refused and leave the result",
			malformed_addresses_are_refused_and_leave_the_result},
		{"zero is either family", zero_is_either_family},
		{"prefixes are masked and counted in 128 bits",
			prefixes_are_masked_and_counted_in_128_bits},
		{"prefix families do not mix", prefix_families_do_not_mix},
		{"malformed prefixes are refused", malformed_prefixes_are_refused},
		{"sockaddr round trip", sockaddr_round_trip},
		{"tuples bracket ipv6", tuples_bracket_ipv6},
		{"link-local addresses bear their interface",
			link_local_addresses_bear_their_interface},
		CU_TEST_INFO_NULL,
	};

	return run_tests("addr", tests);
}
