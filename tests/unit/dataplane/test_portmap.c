// SPDX-License-Identifier: BSD-3-Clause
//
// tables/portmap.c: ranges, overlaps, caps.
#include "env.h"
#include "tables/portmap.h"

#include <errno.h>
#include <time.h>

static struct st_portmap range(const char *addr, uint16_t lo, uint16_t hi, uint32_t owner)
{
	return (struct st_portmap){
		.key = {.addr = env_addr(addr), .port_lo_be = htons(lo), .port_hi_be = htons(hi)},
		.owner = owner};
}

static uint8_t owner(const char *addr, uint16_t port)
{
	struct st_addr a = env_addr(addr);

	return portmap_lookup(&a, 1, htons(port));
}

static uint8_t owner_on(const char *addr, uint16_t if_id, uint16_t port)
{
	struct st_addr a = env_addr(addr);

	return portmap_lookup(&a, if_id, htons(port));
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
	portmap_del(&wide);
	CU_ASSERT_EQUAL(owner("10.0.0.1", 1550), ST_OWNER_KERNEL);
	reclaim_drain();
	portmap_tables_fini();
}

static void the_narrowest_range_counts_whatever_the_order(void)
{
	struct st_portmap wide = range("10.0.0.1", 1000, 2000, ST_OWNER_RELAY);
	struct st_portmap mid = range("10.0.0.1", 1500, 1600, ST_OWNER_WIREGUARD);
	struct st_portmap one = range("10.0.0.1", 1550, 1550, ST_OWNER_TURN_CLIENT);
	const struct st_portmap *orders[][3] = {
		{&wide, &mid, &one}, {&one, &mid, &wide}, {&mid, &one, &wide}, {&one, &wide, &mid}};

	for (unsigned int i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		CU_ASSERT_EQUAL_FATAL(portmap_tables_init(), 0);
		for (unsigned int k = 0; k < 3; k++)
			CU_ASSERT_EQUAL(portmap_set(orders[i][k], NULL), 0);
		CU_ASSERT_EQUAL(portmap_set(&wide, &wide), 0); // said again changes nothing
		CU_ASSERT_EQUAL(owner("10.0.0.1", 1499), ST_OWNER_RELAY);
		CU_ASSERT_EQUAL(owner("10.0.0.1", 1500), ST_OWNER_WIREGUARD);
		CU_ASSERT_EQUAL(owner("10.0.0.1", 1550), ST_OWNER_TURN_CLIENT);
		CU_ASSERT_EQUAL(owner("10.0.0.1", 1600), ST_OWNER_WIREGUARD);
		CU_ASSERT_EQUAL(owner("10.0.0.1", 1601), ST_OWNER_RELAY);
		portmap_del(&mid);
		CU_ASSERT_EQUAL(owner("10.0.0.1", 1500), ST_OWNER_RELAY);
		CU_ASSERT_EQUAL(owner("10.0.0.1", 1550), ST_OWNER_TURN_CLIENT);
		portmap_del(&one);
		CU_ASSERT_EQUAL(owner("10.0.0.1", 1550), ST_OWNER_RELAY);
		portmap_del(&wide);
		CU_ASSERT_EQUAL(owner("10.0.0.1", 1550), ST_OWNER_KERNEL);
		reclaim_drain();
		portmap_tables_fini();
	}
}

static void of_equally_narrow_ranges_the_last_set_counts(void)
{
	struct st_portmap a = range("10.0.0.1", 100, 199, ST_OWNER_RELAY);
	struct st_portmap b = range("10.0.0.1", 150, 249, ST_OWNER_KERNEL);

	CU_ASSERT_EQUAL_FATAL(portmap_tables_init(), 0);
	CU_ASSERT_EQUAL(portmap_set(&a, NULL), 0);
	CU_ASSERT_EQUAL(portmap_set(&b, NULL), 0);
	CU_ASSERT_EQUAL(owner("10.0.0.1", 149), ST_OWNER_RELAY);
	CU_ASSERT_EQUAL(owner("10.0.0.1", 170), ST_OWNER_KERNEL);
	CU_ASSERT_EQUAL(portmap_set(&a, &a), 0);
	CU_ASSERT_EQUAL(owner("10.0.0.1", 170), ST_OWNER_RELAY);
	portmap_del(&a);
	CU_ASSERT_EQUAL(owner("10.0.0.1", 170), ST_OWNER_KERNEL);
	portmap_del(&b);
	reclaim_drain();
	portmap_tables_fini();
}

static void a_link_local_address_is_of_its_interface(void)
{
	struct st_portmap one = range("fe80::1", 100, 100, ST_OWNER_WIREGUARD);
	struct st_portmap any = range("fe80::1", 100, 200, ST_OWNER_RELAY);
	struct st_portmap global = range("2001:db8::1", 100, 100, ST_OWNER_WIREGUARD);

	one.key.if_id = 3;
	global.key.if_id = 3;
	CU_ASSERT_EQUAL_FATAL(portmap_tables_init(), 0);
	CU_ASSERT_EQUAL(portmap_set(&global, NULL), -EINVAL);
	CU_ASSERT_EQUAL(portmap_set(&one, NULL), 0);
	CU_ASSERT_EQUAL(owner_on("fe80::1", 3, 100), ST_OWNER_WIREGUARD);
	CU_ASSERT_EQUAL(owner_on("fe80::1", 4, 100), ST_OWNER_KERNEL);
	CU_ASSERT_EQUAL(portmap_set(&any, NULL), 0);
	CU_ASSERT_EQUAL(owner_on("fe80::1", 3, 100), ST_OWNER_WIREGUARD);
	CU_ASSERT_EQUAL(owner_on("fe80::1", 3, 101), ST_OWNER_RELAY);
	CU_ASSERT_EQUAL(owner_on("fe80::1", 4, 100), ST_OWNER_RELAY);
	portmap_del(&one);
	CU_ASSERT_EQUAL(owner_on("fe80::1", 3, 100), ST_OWNER_RELAY);
	one.key.if_id = ST_MAX_IFACES;
	CU_ASSERT_EQUAL(portmap_set(&one, NULL), -EINVAL);
	portmap_del(&any);
	reclaim_drain();
	portmap_tables_fini();
}

// As a relay has it: the range of its ports, with a hole for each client by TCP or TLS.
static void thousands_of_holes_in_a_wide_range_cost_little(void)
{
	struct st_portmap relay = range("10.0.0.1", 49152, 65535, ST_OWNER_RELAY);
	unsigned int wrong = 0;
	clock_t begin = clock();

	CU_ASSERT_EQUAL_FATAL(portmap_tables_init(), 0);
	CU_ASSERT_EQUAL(portmap_set(&relay, NULL), 0);
	for (unsigned int i = 0; i < 8000; i++) {
		struct st_portmap hole = range("10.0.0.1", (uint16_t)(49152 + 2 * i),
			(uint16_t)(49152 + 2 * i), ST_OWNER_KERNEL);

		wrong += portmap_set(&hole, NULL) != 0;
	}
	for (unsigned int i = 0; i < 16; i++) // the range anew, over all of them
		wrong += portmap_set(&relay, &relay) != 0;
	for (unsigned int i = 0; i < 8000; i++) {
		wrong += owner("10.0.0.1", (uint16_t)(49152 + 2 * i)) != ST_OWNER_KERNEL;
		wrong += owner("10.0.0.1", (uint16_t)(49153 + 2 * i)) != ST_OWNER_RELAY;
	}
	CU_ASSERT_EQUAL(wrong, 0);
	// Milliseconds; ports times entries would be 16 x 16384 x 8000.
	CU_ASSERT((double)(clock() - begin) / CLOCKS_PER_SEC < 1);
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
		wrong += portmap_lookup(&m.key.addr, 1, htons(1)) != ST_OWNER_WIREGUARD;
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
	m = range("10.0.0.1", 100, 200, ST_OWNER_PEER + 1);
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
		{"the narrowest range counts, whatever the order",
			the_narrowest_range_counts_whatever_the_order},
		{"of equally narrow ranges the last SET counts",
			of_equally_narrow_ranges_the_last_set_counts},
		{"a link-local address is of its interface", a_link_local_address_is_of_its_interface},
		{"thousands of holes in a wide range cost little",
			thousands_of_holes_in_a_wide_range_cost_little},
		{"one address too many is refused", one_address_too_many_is_refused},
		{"malformed ranges are refused", malformed_ranges_are_refused},
		CU_TEST_INFO_NULL,
	};

	if (env_qsbr() < 0)
		return 1;
	return run_tests("portmap", tests);
}
