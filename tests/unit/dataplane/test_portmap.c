// SPDX-License-Identifier: BSD-3-Clause
//
// tables/portmap.c: ranges, overlaps, caps.
#include "env.h"
#include "tables/portmap.h"

#include <errno.h>

static struct st_portmap range(const char *addr, uint16_t lo, uint16_t hi, uint32_t owner)
{
	return (struct st_portmap){
		.key = {.addr = env_addr(addr), .port_lo_be = htons(lo), .port_hi_be = htons(hi)},
		.owner = owner};
}

static uint8_t owner(const char *addr, uint16_t port)
{
	struct st_addr a = env_addr(addr);

	return portmap_lookup(&a, htons(port));
}

static void a_range_owns_its_ends_and_nothing_beside(void)
{
	struct st_portmap m = range("10.0.0.1", 100, 200, ST_OWNER_WIREGUARD);

	CU_ASSERT_EQUAL_FATAL(portmap_tables_init(), 0);
	CU_ASSERT_EQUAL(portmap_set(&m, NULL), 0);
	CU_ASSERT_EQUAL(owner("10.0.0.1", 99), ST_OWNER_KERNEL);
	CU_ASSERT_EQUAL(owner("10.0.0.1", 100), ST_OWNER_WIREGUARD);
	CU_ASSERT_EQUAL(owner("10.0.0.1", 200), ST_OWNER_WIREGUARD);
	CU_ASSERT_EQUAL(owner("10.0.0.1", 201), ST_OWNER_KERNEL);
	CU_ASSERT_EQUAL(owner("10.0.0.2", 100), ST_OWNER_KERNEL);
	CU_ASSERT_EQUAL(owner("::1", 100), ST_OWNER_KERNEL);
	portmap_del(&m);
	CU_ASSERT_EQUAL(owner("10.0.0.1", 100), ST_OWNER_KERNEL);
	reclaim_drain();
	portmap_tables_fini();
}

static void the_whole_range_of_ports_can_be_owned(void)
{
	struct st_portmap m = range("2001:db8::1", 0, 65535, ST_OWNER_WIREGUARD);

	CU_ASSERT_EQUAL_FATAL(portmap_tables_init(), 0);
	CU_ASSERT_EQUAL(portmap_set(&m, NULL), 0);
	CU_ASSERT_EQUAL(owner("2001:db8::1", 0), ST_OWNER_WIREGUARD);
	CU_ASSERT_EQUAL(owner("2001:db8::1", 65535), ST_OWNER_WIREGUARD);
	portmap_del(&m);
	reclaim_drain();
	portmap_tables_fini();
}

static void what_is_below_shows_again_when_a_range_goes(void)
{
	struct st_portmap wide = range("10.0.0.1", 1000, 2000, ST_OWNER_WIREGUARD);
	struct st_portmap hole = range("10.0.0.1", 1500, 1600, ST_OWNER_KERNEL);

	CU_ASSERT_EQUAL_FATAL(portmap_tables_init(), 0);
	CU_ASSERT_EQUAL(portmap_set(&wide, NULL), 0);
	CU_ASSERT_EQUAL(portmap_set(&hole, NULL), 0);
	CU_ASSERT_EQUAL(owner("10.0.0.1", 1550), ST_OWNER_KERNEL);
	CU_ASSERT_EQUAL(owner("10.0.0.1", 1499), ST_OWNER_WIREGUARD);
	portmap_del(&hole);
	CU_ASSERT_EQUAL(owner("10.0.0.1", 1550), ST_OWNER_WIREGUARD);
	CU_ASSERT_EQUAL(portmap_set(&hole, NULL), 0);
	CU_ASSERT_EQUAL(portmap_set(&wide, &wide), 0); // said again: counts as the last one
	CU_ASSERT_EQUAL(owner("10.0.0.1", 1550), ST_OWNER_WIREGUARD);
	portmap_del(&wide);
	CU_ASSERT_EQUAL(owner("10.0.0.1", 1550), ST_OWNER_KERNEL);
	portmap_del(&hole);
	reclaim_drain();
	portmap_tables_fini();
}

static void one_address_too_many_is_refused(void)
{
	struct st_portmap m = range("10.0.0.0", 1, 1, ST_OWNER_WIREGUARD);
	unsigned int wrong = 0;

	CU_ASSERT_EQUAL_FATAL(portmap_tables_init(), 0);
	for (unsigned int i = 0; i <= PORTMAP_MAX_ADDRS; i++) {
		m.key.addr.b[14] = (uint8_t)(i >> 8);
		m.key.addr.b[15] = (uint8_t)i;
		wrong += portmap_set(&m, NULL) != (i < PORTMAP_MAX_ADDRS ? 0 : -ENOSPC);
	}
	for (unsigned int i = 0; i < PORTMAP_MAX_ADDRS; i++) {
		m.key.addr.b[14] = (uint8_t)(i >> 8);
		m.key.addr.b[15] = (uint8_t)i;
		wrong += portmap_lookup(&m.key.addr, htons(1)) != ST_OWNER_WIREGUARD;
	}
	CU_ASSERT_EQUAL(wrong, 0);
	m = range("10.0.0.7", 1, 1, ST_OWNER_WIREGUARD);
	portmap_del(&m);
	m = range("10.9.9.9", 1, 1, ST_OWNER_WIREGUARD);
	CU_ASSERT_EQUAL(portmap_set(&m, NULL), 0);
	reclaim_drain();
	portmap_tables_fini();
}

static void malformed_ranges_are_refused(void)
{
	struct st_portmap m = range("10.0.0.1", 200, 100, ST_OWNER_WIREGUARD);

	CU_ASSERT_EQUAL_FATAL(portmap_tables_init(), 0);
	CU_ASSERT_EQUAL(portmap_set(&m, NULL), -EINVAL);
	m = range("10.0.0.1", 100, 200, 7);
	CU_ASSERT_EQUAL(portmap_set(&m, NULL), -EINVAL);
	CU_ASSERT_EQUAL(owner("10.0.0.1", 150), ST_OWNER_KERNEL);
	portmap_tables_fini();
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"a range owns its ends and nothing beside", a_range_owns_its_ends_and_nothing_beside},
		{"the whole range of ports can be owned", the_whole_range_of_ports_can_be_owned},
		{"what is below shows again when a range goes",
			what_is_below_shows_again_when_a_range_goes},
		{"one address too many is refused", one_address_too_many_is_refused},
		{"malformed ranges are refused", malformed_ranges_are_refused},
		CU_TEST_INFO_NULL,
	};

	if (env_qsbr() < 0)
		return 1;
	return env_run("portmap", tests);
}
