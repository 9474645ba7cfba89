// SPDX-License-Identifier: BSD-3-Clause
//
// Which peers are relayed to: every class of address in every spelling, lists, our own addresses.
#include "../../../../control/addr.h"
#include "../../../../control/config/config.h"
#include "../../../../control/turn/policy.h"
#include "../../suite.h"

#include <sodium.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static struct turn_policy policy;
static struct config *config;

static void begin(const char *more)
{
	char *text = g_strdup_printf(
		"{\"turn\": {\"realm\": \"r\", \"secrets\": [\"s\"], \"relay_addresses\": "
		"[\"192.0.2.1\", \"2001:db8:1::1\"]%s}}",
		more);
	char *error = NULL;

	config = config_parse("test.json", text, &error);
	if (!config)
		g_error("%s", error);
	g_free(text);
	turn_policy_init(&policy);
	turn_policy_apply(&policy, config->turn);
}

static void end(void)
{
	turn_policy_fini(&policy);
	config_free(config);
}

static bool allows(const char *peer)
{
	struct turn_denial why;
	struct st_addr a;

	CU_ASSERT_FATAL(addr_parse(&a, peer));
	return turn_policy_allows(&policy, &a, &why);
}

static bool allows_port(const char *peer, uint16_t port)
{
	struct turn_denial why;
	struct st_addr a;

	CU_ASSERT_FATAL(addr_parse(&a, peer));
	return turn_policy_allows_port(&policy, &a, htons(port), &why);
}

static const char *const denied[] = {"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255",
	"10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255",
	"169.254.169.254", "192.0.0.1", "192.0.2.77", "198.18.0.1", "198.19.255.255", "198.51.100.1",
	"203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1",
	"fe80::1", "febf::1", "fec0::1", "fc00::1", "fdff::1", "ff02::1", "2001:db8::1", "100::1",
	"2002:808:808::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "64:ff9b::8.8.8.8",
	"64:ff9b::7f00:1", "::8.8.8.8", "::127.0.0.1", "2002:7f00:1::", "64:ff9b:1::1"};
static const char *const allowed[] = {"8.8.8.8", "1.1.1.1", "9.255.255.255", "11.0.0.0",
	"100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "126.255.255.255",
	"128.0.0.1", "223.255.255.255", "198.17.255.255", "198.20.0.0", "2a00::1",
	"2606:4700::1111", "2003::1"};

static void special_addresses_are_denied_in_every_spelling(void)
{
	begin("");
	for (size_t i = 0; i < G_N_ELEMENTS(denied); i++) {
		if (allows(denied[i]))
			CU_FAIL(denied[i]);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(allowed); i++) {
		if (!allows(allowed[i]))
			CU_FAIL(allowed[i]);
	}
	end();
}

static void an_allow_list_opens_private_peers_and_nothing_that_is_never_a_peer(void)
{
	begin(", \"allow_peers\": [\"0.0.0.0/0\", \"::/0\"]");
	CU_ASSERT(allows("10.1.2.3"));
	CU_ASSERT(allows("fd00::1"));
	CU_ASSERT_FALSE(allows("127.0.0.1"));
	CU_ASSERT_FALSE(allows("::1"));
	CU_ASSERT_FALSE(allows("0.0.0.0"));
	CU_ASSERT_FALSE(allows("224.0.0.1"));
	CU_ASSERT_FALSE(allows("2002:a00:1::"));
	CU_ASSERT_FALSE(allows("64:ff9b::a00:1"));
	CU_ASSERT_FALSE(allows("::10.0.0.1"));
	end();
}

static void a_deny_list_wins_over_an_allow_list(void)
{
	begin(", \"allow_peers\": [\"10.0.0.0/8\"], \"deny_peers\": [\"10.9.0.0/16\", "
	      "\"8.8.8.0/24\"], "
	      "\"deny_peer_ports\": [25, \"6000-6010\"]");
	CU_ASSERT(allows("10.8.255.255"));
	CU_ASSERT_FALSE(allows("10.9.0.1"));
	CU_ASSERT_FALSE(allows("8.8.8.8"));
	CU_ASSERT(allows_port("10.8.0.1", 24));
	CU_ASSERT_FALSE(allows_port("10.8.0.1", 25));
	CU_ASSERT_FALSE(allows_port("10.8.0.1", 6000));
	CU_ASSERT_FALSE(allows_port("10.8.0.1", 6010));
	CU_ASSERT(allows_port("10.8.0.1", 6011));
	CU_ASSERT_FALSE(allows_port("10.8.0.1", 0));
	end();
}

static bool of_a_peer(uint16_t port_be, void *arg)
{
	return port_be == htons(40123);
}

static void our_own_addresses_are_denied_but_for_relays_and_wireguard(void)
{
	struct st_addr own[2];
	struct st_prefix inner;
	uint16_t wg = htons(51820);

	begin(", \"allow_peers\": [\"0.0.0.0/0\"]");
	addr_parse(&own[0], "192.0.2.1");
	addr_parse(&own[1], "10.0.0.9");
	prefix_parse(&inner, NULL, "10.77.0.0/16");
	turn_policy_own(&policy, own, 2);
	CU_ASSERT_FALSE(allows("10.0.0.9"));
	CU_ASSERT(allows_port("192.0.2.1", 50000)); // a relay address, of the range
	CU_ASSERT_FALSE(allows_port("192.0.2.1", 22));
	CU_ASSERT_FALSE(allows_port("192.0.2.1", 3478));
	turn_policy_tunnels(&policy, &inner, 1, &wg, 1);
	CU_ASSERT(allows_port("10.0.0.9", 51820));
	CU_ASSERT_FALSE(allows_port("10.0.0.9", 22));
	CU_ASSERT(allows_port("192.0.2.1", 51820));
	CU_ASSERT_FALSE(allows_port("10.0.0.9", 40123));
	policy.is_wireguard = of_a_peer;
	CU_ASSERT(allows_port("10.0.0.9", 40123));
	CU_ASSERT(allows_port("192.0.2.1", 40123));
	CU_ASSERT_FALSE(allows_port("10.0.0.9", 40124));
	CU_ASSERT_FALSE(allows("10.77.1.2"));
	CU_ASSERT(allows("10.78.1.2"));
	end();
}

// Prefixes bit by bit, against a plain comparison of bits.
static void a_prefix_holds_exactly_what_agrees_in_its_bits(void)
{
	for (int i = 0; i < 20000; i++) {
		struct st_prefix p = {.plen = (uint8_t)randombytes_uniform(129)};
		struct st_addr a;
		bool want = true;

		randombytes_buf(&p.addr, sizeof(p.addr));
		prefix_mask(&p);
		a = p.addr;
		for (unsigned int b = p.plen; b < 128; b++)
			a.b[b / 8] ^= (uint8_t)(randombytes_uniform(2) << (7 - b % 8));
		CU_ASSERT(turn_prefix_has(&p, &a));
		a.b[randombytes_uniform(16)] ^= (uint8_t)(1 << randombytes_uniform(8));
		for (unsigned int b = 0; b < p.plen; b++)
			want = want && (a.b[b / 8] >> (7 - b % 8) & 1) ==
					       (p.addr.b[b / 8] >> (7 - b % 8) & 1);
		CU_ASSERT_EQUAL(turn_prefix_has(&p, &a), want);
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		TEST(special_addresses_are_denied_in_every_spelling),
		TEST(an_allow_list_opens_private_peers_and_nothing_that_is_never_a_peer),
		TEST(a_deny_list_wins_over_an_allow_list),
		TEST(our_own_addresses_are_denied_but_for_relays_and_wireguard),
		TEST(a_prefix_holds_exactly_what_agrees_in_its_bits),
		CU_TEST_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : run_tests("turn/policy", tests);
}
