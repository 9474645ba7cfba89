// SPDX-License-Identifier: BSD-3-Clause
//
// ICMP errors about what left a relayed address (RFC 8656 section 11.5).
#include "../../../../control/turn/icmp.h"
#include "core_rig.h"

// An error around the first bytes of a datagram from the relayed address to the peer. Returns its length.
static size_t error_v4(uint8_t *out, uint8_t type, uint8_t code, const char *src, uint16_t sport,
	const char *dst, uint16_t dport)
{
	uint16_t sport_be = htons(sport), dport_be = htons(dport);
	uint8_t *ip = out + 8;

	memset(out, 0, 36);
	out[0] = type;
	out[1] = code;
	out[6] = 1280 >> 8; // what a router of RFC 1191 says
	ip[0] = 0x45;
	ip[9] = IPPROTO_UDP;
	inet_pton(AF_INET, src, ip + 12);
	inet_pton(AF_INET, dst, ip + 16);
	memcpy(ip + 20, &sport_be, 2);
	memcpy(ip + 22, &dport_be, 2);
	return 36;
}

static size_t error_v6(uint8_t *out, uint8_t type, uint8_t code, const char *src, uint16_t sport,
	const char *dst, uint16_t dport)
{
	uint16_t sport_be = htons(sport), dport_be = htons(dport);
	uint8_t *ip = out + 8;

	memset(out, 0, 56);
	out[0] = type;
	out[1] = code;
	out[6] = 1280 >> 8;
	ip[0] = 0x60;
	ip[6] = IPPROTO_UDP;
	inet_pton(AF_INET6, src, ip + 8);
	inet_pton(AF_INET6, dst, ip + 24);
	memcpy(ip + 40, &sport_be, 2);
	memcpy(ip + 42, &dport_be, 2);
	return 56;
}

static bool hear(int protocol, const uint8_t *data, size_t len)
{
	unsigned int before = answers;
	struct turn_icmp e;

	if (turn_icmp_read(&e, protocol, data, len))
		turn_icmp_tell(&core, &e);
	return answers > before;
}

// The indication in answer: of peer, with this type, code and error data, and without DATA.
static bool told(struct client *c, const char *peer, uint16_t port, const char *want)
{
	struct st_addr a, p;
	uint16_t port_be, len = 0;
	const uint8_t *v;

	addr_parse(&p, peer);
	if (stun_parse_strict(&c->m, answer, answer_len) || stun_method(&c->m) != STUN_DATA ||
		stun_class(&c->m) != STUN_INDICATION || stun_attr(&c->m, STUN_ATTR_DATA).at ||
		memcmp(&answered, &c->tuple, sizeof(answered)) ||
		stun_first_address(&c->m, STUN_ATTR_XOR_PEER_ADDRESS, &a, &port_be))
		return false;
	v = attr(c, STUN_ATTR_ICMP, 0, &len);
	return v && len == 8 && !memcmp(v, want, 8) && !memcmp(&a, &p, sizeof(a)) &&
	       port_be == htons(port);
}

static void a_client_hears_of_errors_about_its_peers(void)
{
	uint8_t e[64];
	struct client c;
	uint16_t port, port6;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	stun_add_u32(allocate_request(&c), STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 0);
	port = relayed_port(&c, 0);
	port6 = relayed_port(&c, 1);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), 0);
	CU_ASSERT_EQUAL(permit(&c, "2001:db8:2::1"), 0);
	CU_ASSERT(hear(IPPROTO_ICMP, e, error_v4(e, 3, 3, "192.0.2.1", port, "198.51.100.1", 53)));
	CU_ASSERT(told(&c, "198.51.100.1", 53, "\0\0\3\3\0\0\0\0"));
	CU_ASSERT(hear(IPPROTO_ICMP, e, error_v4(e, 3, 4, "192.0.2.1", port, "198.51.100.1", 53)));
	CU_ASSERT(told(&c, "198.51.100.1", 53, "\0\0\3\4\0\0\5\0"));
	CU_ASSERT(hear(IPPROTO_ICMP, e, error_v4(e, 11, 0, "192.0.2.1", port, "198.51.100.1", 9)));
	CU_ASSERT(told(&c, "198.51.100.1", 9, "\0\0\xb\0\0\0\0\0"));
	for (uint8_t type = 1; type <= 3; type++) {
		CU_ASSERT(hear(IPPROTO_ICMPV6, e,
			error_v6(e, type, 0, "2001:db8:1::1", port6, "2001:db8:2::1", 53)));
		CU_ASSERT(told(&c, "2001:db8:2::1", 53,
			type == 1   ? "\0\0\1\0\0\0\0\0"
			: type == 2 ? "\0\0\2\0\0\0\5\0"
				    : "\0\0\3\0\0\0\0\0"));
	}
	// Also with a channel: it cannot carry this.
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 53, 0x4001), 0);
	CU_ASSERT(hear(IPPROTO_ICMP, e, error_v4(e, 3, 3, "192.0.2.1", port, "198.51.100.1", 53)));
	CU_ASSERT(told(&c, "198.51.100.1", 53, "\0\0\3\3\0\0\0\0"));
	CU_ASSERT_EQUAL(core.stats.icmp_told, 7);
	CU_ASSERT_EQUAL(refresh(&c, 0), 0);
	CU_ASSERT_FALSE(
		hear(IPPROTO_ICMP, e, error_v4(e, 3, 3, "192.0.2.1", port, "198.51.100.1", 53)));
	end();
}

static void nobody_else_hears_of_anything(void)
{
	uint8_t e[64], other[64];
	struct client c;
	uint16_t port;
	size_t len;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	port = relayed_port(&c, 0);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), 0);
	// No permission, no allocation, another family.
	CU_ASSERT_FALSE(
		hear(IPPROTO_ICMP, e, error_v4(e, 3, 3, "192.0.2.1", port, "198.51.100.2", 53)));
	CU_ASSERT_FALSE(
		hear(IPPROTO_ICMP, e, error_v4(e, 3, 3, "192.0.2.1", port ^ 1, "198.51.100.1", 53)));
	CU_ASSERT_FALSE(
		hear(IPPROTO_ICMP, e, error_v4(e, 3, 3, "192.0.2.2", port, "198.51.100.1", 53)));
	CU_ASSERT_FALSE(hear(
		IPPROTO_ICMPV6, e, error_v6(e, 1, 0, "2001:db8:1::1", port, "2001:db8:2::1", 53)));
	// Echo, redirect, parameter problem; another protocol inside; a later fragment.
	len = error_v4(e, 3, 3, "192.0.2.1", port, "198.51.100.1", 53);
	for (int type = 0; type < 256; type++) {
		memcpy(other, e, len);
		other[0] = (uint8_t)type;
		core.now_ms += 1000;
		CU_ASSERT_EQUAL(hear(IPPROTO_ICMP, other, len), type == 3 || type == 11);
	}
	memcpy(other, e, len);
	other[8 + 9] = IPPROTO_TCP;
	CU_ASSERT_FALSE(hear(IPPROTO_ICMP, other, len));
	memcpy(other, e, len);
	other[8 + 7] = 1;
	CU_ASSERT_FALSE(hear(IPPROTO_ICMP, other, len));
	memcpy(other, e, len);
	other[8] = 0x46; // options, and nothing left for ports
	CU_ASSERT_FALSE(hear(IPPROTO_ICMP, other, len));
	core.now_ms += 290000; // the permission is over; those above took 256 s
	CU_ASSERT_FALSE(hear(IPPROTO_ICMP, e, len));
	end();
}

static void cut_errors_are_none(void)
{
	struct turn_icmp got;
	uint8_t e[64];
	size_t len;

	for (int v6 = 0; v6 < 2; v6++) {
		int protocol = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;

		len = v6 ? error_v6(e, 1, 0, "2001:db8:1::1", 1, "2001:db8:2::1", 2)
			 : error_v4(e, 3, 0, "192.0.2.1", 1, "198.51.100.1", 2);
		for (size_t cut = 0; cut <= len; cut++) {
			uint8_t *exact = g_memdup2(e, cut); // a sanitizer sees a byte too many

			// Four bytes of UDP are enough: its ports.
			CU_ASSERT_EQUAL(turn_icmp_read(&got, protocol, exact, cut), cut >= len - 4);
			g_free(exact);
		}
	}
}

static void a_flood_of_errors_is_cut(void)
{
	uint8_t e[64];
	unsigned int n = 0;
	struct client c;
	uint16_t port;
	size_t len;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	port = relayed_port(&c, 0);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), 0);
	len = error_v4(e, 3, 3, "192.0.2.1", port, "198.51.100.1", 53);
	for (int s = 0; s < 3; s++, core.now_ms += 1000) {
		for (int i = 0; i < 1000; i++)
			n += hear(IPPROTO_ICMP, e, len);
	}
	CU_ASSERT_EQUAL(n, 3 * TURN_ICMP_PER_S);
	CU_ASSERT_EQUAL(core.stats.icmp_limited, 3000 - n);
	CU_ASSERT_EQUAL(refresh(&c, 600), 0);
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		TEST(a_client_hears_of_errors_about_its_peers),
		TEST(nobody_else_hears_of_anything),
		TEST(cut_errors_are_none),
		TEST(a_flood_of_errors_is_cut),
		CU_TEST_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : run_tests("turn/icmp", tests);
}
