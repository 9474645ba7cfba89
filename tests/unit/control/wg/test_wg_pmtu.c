// SPDX-License-Identifier: BSD-3-Clause
//
// ICMP about our datagrams, as raw sockets give it: cut, mutated and foreign.
#include "../../../../control/addr.h"
#include "../../../../control/wg/wg_internal.h"
#include "../../suite.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t frag_needed[] = {
	0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 192, 0, 2, 254, 192, 0, 2, 1, // router to us
	3, 4, 0, 0, 0, 0, 5, 20, // fragmentation needed, MTU 1300
	0x45, 0, 5, 220, 0, 0, 0, 0, 63, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7, // us to the peer
	0xca, 0x6c, 0x11, 0x5c, 5, 200, 0, 0,                                     // port 51820
};

static const uint8_t too_big[] = {
	2, 0, 0, 0, 0, 0, 5, 20,                                // packet too big, MTU 1300
	0x60, 0, 0, 0, 5, 200, 17, 63,                          // IPv6, UDP
	0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // us
	0x20, 1, 0xd, 0xb8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, // the peer
	0xca, 0x6c, 0x11, 0x5c, 5, 200, 0, 0,                   // port 51820
};

static bool parse(bool v4, const uint8_t *p, size_t len, const char *peer)
{
	struct st_addr remote, want;
	uint16_t port_be;

	if (!(v4 ? wg_pmtu_parse4 : wg_pmtu_parse6)(p, len, &remote, &port_be))
		return false;
	CU_ASSERT_TRUE(addr_parse(&want, peer));
	return !memcmp(&remote, &want, sizeof(want)) && port_be == htons(51820);
}

static void the_peer_and_our_port_are_found(void)
{
	CU_ASSERT_TRUE(parse(true, frag_needed, sizeof(frag_needed), "198.51.100.7"));
	CU_ASSERT_TRUE(parse(false, too_big, sizeof(too_big), "2001:db8:7::7"));
}

static void a_quoted_first_fragment_counts_and_a_later_one_does_not(void)
{
	uint8_t p[sizeof(too_big) + 8];

	memcpy(p, too_big, 48);
	memset(p + 48, 0, 8);
	p[48] = 17;
	p[51] = 1; // more fragments
	memcpy(p + 56, too_big + 48, sizeof(too_big) - 48);
	p[14] = 44;
	CU_ASSERT_TRUE(parse(false, p, sizeof(p), "2001:db8:7::7"));
	p[51] = 9; // at offset 8
	CU_ASSERT_FALSE(parse(false, p, sizeof(p), "2001:db8:7::7"));
}

static void what_is_cut_or_something_else_is_passed_over(void)
{
	uint8_t p[sizeof(too_big)];

	for (size_t n = 0; n < 50; n++) {
		CU_ASSERT_EQUAL(parse(true, frag_needed, n, "198.51.100.7"), n >= 50);
		CU_ASSERT_EQUAL(parse(false, too_big, n, "2001:db8:7::7"), n >= 50);
	}
	memcpy(p, frag_needed, sizeof(frag_needed));
	p[21] = 3; // port unreachable
	CU_ASSERT_FALSE(parse(true, p, sizeof(frag_needed), "198.51.100.7"));
	p[21] = 4;
	p[37] = 6; // about TCP
	CU_ASSERT_FALSE(parse(true, p, sizeof(frag_needed), "198.51.100.7"));
	p[37] = 17;
	p[28] = 0x4f; // options beyond the end
	CU_ASSERT_FALSE(parse(true, p, sizeof(frag_needed), "198.51.100.7"));
	p[28] = 0x45;
	p[0] = 0x44;
	CU_ASSERT_FALSE(parse(true, p, sizeof(frag_needed), "198.51.100.7"));
	memcpy(p, too_big, sizeof(too_big));
	p[0] = 1; // unreachable
	CU_ASSERT_FALSE(parse(false, p, sizeof(too_big), "2001:db8:7::7"));
	p[0] = 2;
	p[14] = 6; // about TCP
	CU_ASSERT_FALSE(parse(false, p, sizeof(too_big), "2001:db8:7::7"));
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"the peer and our port are found", the_peer_and_our_port_are_found},
		{"a quoted first fragment counts and a later one does not",
			a_quoted_first_fragment_counts_and_a_later_one_does_not},
		{"what is cut or something else is passed over",
			what_is_cut_or_something_else_is_passed_over},
		CU_TEST_INFO_NULL,
	};

	return run_tests("wg_pmtu", tests);
}
