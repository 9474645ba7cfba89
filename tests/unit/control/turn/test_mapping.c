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

int main(void)
{
	static CU_TestInfo tests[] = {
		TEST(external_addresses_are_what_clients_see),
		CU_TEST_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : run_tests("turn/mapping", tests);
}
