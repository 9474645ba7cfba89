// SPDX-License-Identifier: BSD-3-Clause
//
// ICMP about our datagrams, as raw sockets give it: cut, mutated and foreign; and whom the kernel is asked about then.
#include "../../../../control/addr.h"
#include "wg_pair.h"

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
	struct wg_tuple t, want = {.local_port_be = htons(51820), .remote_port_be = htons(4444)};

	if (!(v4 ? wg_pmtu_parse4 : wg_pmtu_parse6)(p, len, &t))
		return false;
	CU_ASSERT_TRUE(addr_parse(&want.local, v4 ? "192.0.2.1" : "2001:db8::1"));
	CU_ASSERT_TRUE(addr_parse(&want.remote, peer));
	return !memcmp(&t, &want, sizeof(want));
}

static void addresses_and_ports_of_both_are_found(void)
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

	for (size_t n = 0; n < sizeof(too_big); n++) {
		CU_ASSERT_EQUAL(parse(true, frag_needed, n, "198.51.100.7"), n >= 52);
		CU_ASSERT_EQUAL(parse(false, too_big, n, "2001:db8:7::7"), n >= 52);
	}
	memcpy(p, frag_needed, sizeof(frag_needed));
	p[21] = 3; // port unreachable
	CU_ASSERT_FALSE(parse(true, p, sizeof(frag_needed), "198.51.100.7"));
	p[21] = 4;
	p[37] = 6; // about TCP
	CU_ASSERT_FALSE(parse(true, p, sizeof(frag_needed), "198.51.100.7"));
	p[37] = 17;
	p[35] = 1; // a later fragment
	CU_ASSERT_FALSE(parse(true, p, sizeof(frag_needed), "198.51.100.7"));
	p[35] = 0;
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

// ---- whom it is about ----------------------------------------------------------------------------

static struct wg_tuple sent_to(const struct peer *p)
{
	const struct st_endpoint *e = &p->endpoint.body;

	return (struct wg_tuple){e->local, e->remote, e->local_port_be, e->remote_port_be};
}

// How often the way to it was asked for.
static unsigned int asked(const struct peer *p)
{
	return dp_double_find(a.dp, ST_ENDPOINT, p->id)->sets;
}

static void only_our_own_datagram_to_an_endpoint_of_ours_counts(void)
{
	struct wg_tuple right, wrong;
	unsigned int before;

	up("127.0.0.1");
	before = asked(a.peer);
	right = sent_to(a.peer);
	for (unsigned int n = 0; n < 1000; n++) {
		wrong = right;
		wrong.remote.b[n % 16] ^= (uint8_t)(1 + n / 16);
		wg_pmtu_told(a.wg->pmtu, &wrong);
	}
	wrong = right;
	wrong.local.b[15] ^= 1;
	wg_pmtu_told(a.wg->pmtu, &wrong);
	wrong = right;
	wrong.local_port_be ^= 1;
	wg_pmtu_told(a.wg->pmtu, &wrong);
	wrong = right;
	wrong.remote_port_be ^= 1;
	wg_pmtu_told(a.wg->pmtu, &wrong);
	settle();
	settle();
	CU_ASSERT_EQUAL(asked(a.peer), before);
	// Strangers took nobody's place.
	wg_pmtu_told(a.wg->pmtu, &right);
	wg_pmtu_told(a.wg->pmtu, &right);
	CU_ASSERT_TRUE(WAIT(asked(a.peer) > before));
	settle();
	settle();
	CU_ASSERT_EQUAL(asked(a.peer), before + 1);
	down();
}

static void a_port_of_the_peers_own_counts(void)
{
	struct endpoint_pin pin = {
		.local_port_be = htons(777), .remote_port_be = htons(9), .kind = ST_ENDPOINT_DIRECT};
	unsigned int before;
	struct wg_tuple t;

	up("127.0.0.1");
	addr_parse(&pin.local, "192.0.2.1");
	addr_parse(&pin.remote, "198.51.100.7");
	endpoint_pin(&a.peer->endpoint, &pin);
	peer_install_endpoint(a.peer);
	before = asked(a.peer);
	t = sent_to(a.peer);
	CU_ASSERT_EQUAL(t.local_port_be, htons(777));
	wg_pmtu_told(a.wg->pmtu, &t);
	CU_ASSERT_TRUE(WAIT(asked(a.peer) > before));
	down();
}

static void a_peer_that_went_meanwhile_is_not_asked_for(void)
{
	struct wg_tuple t;

	up("127.0.0.1");
	t = sent_to(a.peer);
	wg_pmtu_told(a.wg->pmtu, &t);
	peer_free(a.peer);
	settle();
	settle();
	wg_pmtu_told(a.wg->pmtu, &t); // still known
	settle();
	settle();
	CU_ASSERT_EQUAL(dp_double_count(a.dp, ST_ENDPOINT), 0);
	down();
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"addresses and ports of both are found", addresses_and_ports_of_both_are_found},
		{"a quoted first fragment counts and a later one does not",
			a_quoted_first_fragment_counts_and_a_later_one_does_not},
		{"what is cut or something else is passed over",
			what_is_cut_or_something_else_is_passed_over},
		{"only our own datagram to an endpoint of ours counts",
			only_our_own_datagram_to_an_endpoint_of_ours_counts},
		{"a port of the peer's own counts", a_port_of_the_peers_own_counts},
		{"a peer that went meanwhile is not asked for",
			a_peer_that_went_meanwhile_is_not_asked_for},
		CU_TEST_INFO_NULL,
	};

	return pair_tests("wg_pmtu", tests);
}
