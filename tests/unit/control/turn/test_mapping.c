// SPDX-License-Identifier: BSD-3-Clause
//
// Relay addresses behind NAT: what clients are told, what the box has.
#include "core_rig.h"

static void external_addresses_are_what_clients_see(void)
{
	struct st_permission p;
	const uint8_t *v;
	struct client c;
	struct st_addr inside;

	begin_with("\"relay_addresses\": [{\"address\": \"10.0.0.5\", \"external_ip\": "
		   "\"203.0.114.7\"}], \"users\": "
		   "[{\"name\": \"alice\", \"password\": \"wonderland\"}]");
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	v = attr(&c, STUN_ATTR_XOR_RELAYED_ADDRESS, 0, NULL);
	CU_ASSERT(v[4] == (203 ^ 0x21) && v[5] == (0 ^ 0x12) && v[6] == (114 ^ 0xa4) &&
		  v[7] == (7 ^ 0x42));
	// Two of our clients meet by the address they were told.
	CU_ASSERT_EQUAL(permit(&c, "203.0.114.7"), 0);
	addr_parse(&inside, "10.0.0.5");
	memcpy(&p, object(ST_PERMISSION, 0)->body, sizeof(p));
	CU_ASSERT_EQUAL(memcmp(&p.key.peer, &inside, sizeof(inside)), 0);
	end();
}

// Clients spread over them, and one that is full does not keep anybody out.
static void several_addresses_of_a_family_are_used_alike(void)
{
	static const char *const addrs[] = {"192.0.2.1", "192.0.2.2", "192.0.2.3"};
	unsigned int of[G_N_ELEMENTS(addrs)] = {0};
	struct client c;

	begin_with("\"relay_addresses\": [\"192.0.2.1\", \"2001:db8:1::1\", \"192.0.2.2\", "
		   "\"192.0.2.3\"], \"relay_ports\": {\"min\": 50000, \"max\": 50003}, \"users\": "
		   "[{\"name\": \"alice\", \"password\": \"wonderland\"}]");
	for (uint16_t n = 0; n < 12; n++) {
		struct turn_allocation *a;

		client_init(&c, "203.0.113.5", 1000 + n);
		CU_ASSERT_EQUAL_FATAL(allocate(&c), 0);
		a = turn_allocation_find(&core, &c.tuple);
		for (size_t i = 0; i < G_N_ELEMENTS(addrs); i++) {
			struct st_addr addr;

			addr_parse(&addr, addrs[i]);
			of[i] += !memcmp(&a->relayed[TURN_V4].addr, &addr, sizeof(addr));
		}
		for (size_t i = 0; i < G_N_ELEMENTS(addrs); i++)
			CU_ASSERT(of[i] >= (n + 1u) / 3 && of[i] <= n / 3 + 1u);
	}
	client_init(&c, "203.0.113.5", 2000);
	CU_ASSERT_EQUAL(allocate(&c), 508);
	stun_add_u32(allocate_request(&c), STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 0); // the other family has its own ports
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		TEST(external_addresses_are_what_clients_see),
		TEST(several_addresses_of_a_family_are_used_alike),
		CU_TEST_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : run_tests("turn/mapping", tests);
}
