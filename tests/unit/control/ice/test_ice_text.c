// SPDX-License-Identifier: BSD-3-Clause
//
// What people and peers write: candidates, URLs, external addresses, credentials; and the wheel of deadlines.
#include "../../../../control/addr.h"
#include "../../../../control/ice/ice_internal.h"
#include "../../../../control/ice/wheel.h"
#include "../../suite.h"

#include <errno.h>
#include <stdlib.h>

static void netbirds_candidates_are_read(void)
{
	// Signalled by a NetBird peer of 2023.
	static const char line[] = "2529103446 1 udp 1694498815 203.0.113.1 51820 typ srflx raddr "
				   "0.0.0.0 rport 51820";
	struct ice_candidate c;
	char out[ICE_CANDIDATE_MAX];

	CU_ASSERT_EQUAL_FATAL(ice_candidate_parse(&c, line), 0);
	CU_ASSERT_EQUAL(c.type, ICE_SRFLX);
	CU_ASSERT_EQUAL(c.priority, 1694498815);
	CU_ASSERT_EQUAL(ntohs(c.port_be), 51820);
	CU_ASSERT_EQUAL(ntohs(c.related_port_be), 51820);
	ice_candidate_print(out, &c);
	CU_ASSERT_STRING_EQUAL(out, "2529103446 1 udp 1694498815 203.0.113.1 51820 typ srflx raddr "
				    "0.0.0.0 rport 51820");
	CU_ASSERT_EQUAL(
		ice_candidate_parse(&c, "1 1 UDP 2130706431 2001:db8::1 51820 typ host cid abcdef"),
		0);
	CU_ASSERT_EQUAL(ice_candidate_parse(&c, "candidate:1 1 udp 1 10.0.0.1 1 typ relay raddr "
						"10.0.0.2 rport 7 generation 0 cid x"),
		0);
	CU_ASSERT_EQUAL(ntohs(c.related_port_be), 7);
	// Whatever begins with udp is UDP to pion.
	CU_ASSERT_EQUAL(ice_candidate_parse(&c, "1 1 udp4 1 10.0.0.1 1 typ prflx"), 0);
	CU_ASSERT_EQUAL(ice_candidate_parse(&c, "1 1 UDP6 1 2001:db8::1 1 typ host"), 0);
}

static void malformed_candidates_are_refused(void)
{
	static const struct {
		const char *line;
		int error;
	} bad[] = {
		{"", -EINVAL},
		{"1 1 udp 1 10.0.0.1 1 typ", -EINVAL},
		{"1 1 udp 1 10.0.0.1 1 kind host", -EINVAL},
		{"1 1 udp 1 10.0.0.1 1 typ guest", -EINVAL},
		{"1 2 udp 1 10.0.0.1 1 typ host", -EINVAL},
		{"1 1 udp 4294967296 10.0.0.1 1 typ host", -EINVAL},
		{"1 1 udp -1 10.0.0.1 1 typ host", -EINVAL},
		{"1 1 udp 1 10.0.0.1 65536 typ host", -EINVAL},
		{"a:b 1 udp 1 10.0.0.1 1 typ host", -EINVAL},
		{"123456789012345678901234567890123 1 udp 1 10.0.0.1 1 typ host", -EINVAL},
		{"1 1 udp 1 10.0.0.1 1 typ host raddr 1.2.3.4 port 7", -EINVAL},
		{"1 1 tcp 1 10.0.0.1 9 typ host tcptype active", -EPROTONOSUPPORT},
		{"1 1 udp 1 10.0.0.1 0 typ host", -EADDRNOTAVAIL},
		{"1 1 udp 1 5a8f1b1e.local 51820 typ host", -EADDRNOTAVAIL},
		{"1 1 udp 1 224.0.0.1 51820 typ host", -EADDRNOTAVAIL},
		{"1 1 udp 1 255.255.255.255 51820 typ host", -EADDRNOTAVAIL},
		{"1 1 udp 1 127.0.0.1 51820 typ host", -EADDRNOTAVAIL},
		{"1 1 udp 1 0.0.0.0 51820 typ host", -EADDRNOTAVAIL},
		{"1 1 udp 1 :: 51820 typ host", -EADDRNOTAVAIL},
		{"1 1 udp 1 ::1 51820 typ host", -EADDRNOTAVAIL},
		{"1 1 udp 1 ff02::1 51820 typ host", -EADDRNOTAVAIL},
	};
	char line[ICE_CANDIDATE_MAX + 1];
	struct ice_candidate c;

	for (size_t n = 0; n < G_N_ELEMENTS(bad); n++) {
		int r = ice_candidate_parse(&c, bad[n].line);

		if (r != bad[n].error)
			printf("%s: %d\n", bad[n].line, r);
		CU_ASSERT_EQUAL(r, bad[n].error);
	}
	memset(line, '1', ICE_CANDIDATE_MAX);
	line[ICE_CANDIDATE_MAX] = 0;
	CU_ASSERT_EQUAL(ice_candidate_parse(&c, line), -EMSGSIZE);
}

static void foundations_and_priorities_are_those_of_netbird(void)
{
	struct ice_candidate c = {.type = ICE_HOST};
	struct st_addr base;

	// zlib.crc32(b"host" b"10.0.0.1" b"udp4")
	addr_parse(&base, "10.0.0.1");
	ice_candidate_foundation(&c, &base);
	CU_ASSERT_STRING_EQUAL(c.foundation, "2090009598");
	CU_ASSERT_EQUAL(ice_candidate_priority(ICE_HOST, 0), 2130706431);
	CU_ASSERT_EQUAL(ice_candidate_priority(ICE_SRFLX, 0), 1694498815);
	CU_ASSERT_EQUAL(ice_candidate_priority(ICE_RELAY, 0), 16777215);
	CU_ASSERT_TRUE(ice_candidate_priority(ICE_HOST, 1) < ice_candidate_priority(ICE_HOST, 0));
}

static void credentials_are_ice_chars_of_the_right_length(void)
{
	char longest[ICE_CRED_MAX + 2];

	CU_ASSERT_TRUE(ice_credentials_valid("abcd", "abcdefghijklmnopqrstuv"));
	CU_ASSERT_TRUE(ice_credentials_valid("ab+/", "0123456789+/0123456789"));
	CU_ASSERT_FALSE(ice_credentials_valid("abc", "abcdefghijklmnopqrstuv"));
	CU_ASSERT_FALSE(ice_credentials_valid("abcd", "abcdefghijklmnopqrstu"));
	CU_ASSERT_FALSE(ice_credentials_valid("ab:d", "abcdefghijklmnopqrstuv"));
	CU_ASSERT_FALSE(ice_credentials_valid("", ""));
	memset(longest, 'a', sizeof(longest));
	longest[ICE_CRED_MAX + 1] = 0;
	CU_ASSERT_FALSE(ice_credentials_valid(longest, "abcdefghijklmnopqrstuv"));
	longest[ICE_CRED_MAX] = 0;
	CU_ASSERT_TRUE(ice_credentials_valid(longest, longest));
}

static void credentials_are_two_parts_at_a_colon(void)
{
	static const struct {
		const char *text;
		int expected;
	} cases[] = {
		{"abcdefghijklmnop:ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef", 0},
		{"abcd:abcdefghijklmnopqrs+/9", 0},
		{":", -ENOTSUP},
		{"", -EINVAL},
		{"abcdefghijklmnop", -EINVAL},
		{"abcd:abcdefghijklmnopqrstuv:x", -EINVAL},
		{":abcdefghijklmnopqrstuv", -EINVAL},
		{"abcd:", -EINVAL},
		{"abc:abcdefghijklmnopqrstuv", -EINVAL},
		{"abcd:abcdefghijklmnopqrstu", -EINVAL},
		{"ab d:abcdefghijklmnopqrstuv", -EINVAL},
		{"abcd:abcdefghijklmnopqrstu\n", -EINVAL},
	};
	g_autofree char *fill = g_strnfill(ICE_CRED_MAX + 1, 'p');
	g_autofree char *long_pwd = g_strdup_printf("abcd:%s", fill);
	g_autofree char *long_ufrag = g_strdup_printf("%s:abcdefghijklmnopqrstuv", fill);
	struct ice_credentials c = {.ufrag = "kept"};

	for (size_t n = G_N_ELEMENTS(cases); n-- > 0;) {
		CU_ASSERT_EQUAL(ice_credentials_parse(&c, cases[n].text), cases[n].expected);
		CU_ASSERT_EQUAL(!strcmp(c.ufrag, "kept"), n > 1);
	}
	CU_ASSERT_STRING_EQUAL(c.ufrag, "abcdefghijklmnop");
	CU_ASSERT_STRING_EQUAL(c.pwd, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef");
	CU_ASSERT_EQUAL(ice_credentials_parse(&c, long_pwd), -EINVAL);
	CU_ASSERT_EQUAL(ice_credentials_parse(&c, long_ufrag), -EINVAL);
}

static void urls_of_rfc_7064_and_7065_are_read(void)
{
	static const struct {
		const char *text, *host;
		bool turn;
		enum ice_transport transport;
		uint16_t port;
	} good[] = {
		{"stun:example.org", "example.org", false, ICE_UDP, 3478},
		{"stun:192.0.2.1:99", "192.0.2.1", false, ICE_UDP, 99},
		{"stun:[2001:db8::1]:99", "2001:db8::1", false, ICE_UDP, 99},
		{"stuns:example.org", "example.org", false, ICE_TLS, 5349},
		{"turn:example.org", "example.org", true, ICE_UDP, 3478},
		{"TURN:example.org:8000", "example.org", true, ICE_UDP, 8000},
		{"turn:example.org?transport=udp", "example.org", true, ICE_UDP, 3478},
		{"turn:example.org:80?transport=tcp", "example.org", true, ICE_TCP, 80},
		{"turns:example.org", "example.org", true, ICE_TLS, 5349},
		{"turns:[::1]?transport=tcp", "::1", true, ICE_TLS, 5349},
	};
	const char *why;
	struct ice_url u;

	for (size_t n = 0; n < G_N_ELEMENTS(good); n++) {
		CU_ASSERT_EQUAL_FATAL(ice_url_parse(&u, good[n].text, &why), 0);
		CU_ASSERT_STRING_EQUAL(u.host, good[n].host);
		CU_ASSERT_EQUAL(u.turn, good[n].turn);
		CU_ASSERT_EQUAL(u.transport, good[n].transport);
		CU_ASSERT_EQUAL(u.port, good[n].port);
	}
}

static void other_urls_are_refused_with_a_reason(void)
{
	static const char *const bad[] = {"", "stun", "http:example.org",
		"stun:", "stun:host:", "stun:host:0", "stun:host:65536", "stun:host:12x",
		"stun:a b", "stun:2001:db8::1", "stun:[2001:db8::1", "stun:[host]:1", "stun:[::1]x",
		"stun:host?transport=udp", "stuns:host?transport=tcp", "turn://host:3478",
		"turn:host?transport=sctp", "turn:host?transport=", "turn:host?", "turn:user@host",
		"turns:host?transport=udp", "turn:[::1]:", "turn:host/path"};
	struct ice_url u;

	for (size_t n = 0; n < G_N_ELEMENTS(bad); n++) {
		const char *why = NULL;

		CU_ASSERT_EQUAL(ice_url_parse(&u, bad[n], &why), -EINVAL);
		CU_ASSERT_PTR_NOT_NULL(why);
	}
}

static int mappings(const char *a, const char *b)
{
	char *texts[] = {(char *)a, (char *)b, NULL}, *error = NULL;
	int r = ice_mappings_check(texts, &error);

	CU_ASSERT_EQUAL(r == 0, error == NULL);
	g_free(error);
	return r;
}

static void external_addresses_are_one_per_family_or_pairs(void)
{
	CU_ASSERT_EQUAL(mappings("1.1.1.1", NULL), 0);
	CU_ASSERT_EQUAL(mappings("1.1.1.1", "2001:db8::1"), 0);
	CU_ASSERT_EQUAL(mappings("1.1.1.1/eth0", "2.2.2.2/10.0.0.1"), 0);
	CU_ASSERT_EQUAL(mappings("1.1.1.1", "2.2.2.2"), -EINVAL);
	CU_ASSERT_EQUAL(mappings("1.1.1.1", "8.8.8.8/eth0"), -EINVAL);
	CU_ASSERT_EQUAL(mappings("1.1.1.1/2001:db8::1", NULL), -EINVAL);
	CU_ASSERT_EQUAL(mappings("1.1.1.1/", NULL), -EINVAL);
	CU_ASSERT_EQUAL(mappings("eth0/1.1.1.1", NULL), -EINVAL);
	CU_ASSERT_EQUAL(mappings("127.0.0.1", NULL), -EINVAL);
	CU_ASSERT_EQUAL(mappings("", NULL), -EINVAL);
}

static void the_wheel_gives_each_entry_once_and_not_early(void)
{
	static struct wheel w;
	static struct wheel_entry e[3000];
	unsigned int given = 0, early = 0;

	wheel_init(&w, 1000);
	for (unsigned int n = 0; n < G_N_ELEMENTS(e); n++)
		wheel_set(&w, &e[n], 1000 + n * 40); // more than two turns
	wheel_set(&w, &e[5], UINT64_MAX);
	wheel_remove(&w, &e[6]);
	wheel_set(&w, &e[7], 200000);
	for (uint64_t now = 1000; now < 122000; now += 30) {
		struct wheel_entry *x;

		while ((x = wheel_expire(&w, now))) {
			given++;
			early += x->due > now || now > x->due + 2 * WHEEL_TICK_MS + 30;
		}
	}
	CU_ASSERT_EQUAL(given, G_N_ELEMENTS(e) - 3);
	CU_ASSERT_EQUAL(early, 0);
	CU_ASSERT_EQUAL(w.count, 1);
	CU_ASSERT_PTR_EQUAL(wheel_expire(&w, 999999), &e[7]);
}

static CU_TestInfo tests[] = {
	TEST(netbirds_candidates_are_read),
	TEST(malformed_candidates_are_refused),
	TEST(foundations_and_priorities_are_those_of_netbird),
	TEST(credentials_are_ice_chars_of_the_right_length),
	TEST(credentials_are_two_parts_at_a_colon),
	TEST(urls_of_rfc_7064_and_7065_are_read),
	TEST(other_urls_are_refused_with_a_reason),
	TEST(external_addresses_are_one_per_family_or_pairs),
	TEST(the_wheel_gives_each_entry_once_and_not_early),
	CU_TEST_INFO_NULL,
};

int main(void)
{

	return run_tests("ice text", tests);
}
