// SPDX-License-Identifier: BSD-3-Clause
//
// What enters: frames by destination and type, malformed IP, host devices, route's decisions, neighbours,
// ports that are gone, traces.
#include "rig.h"
#include "stages/header.h"
#include "tables/neigh.h"
#include "trace.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>

#include <arpa/inet.h>
#include <errno.h>

static struct rte_mbuf *frame(uint16_t if_id, struct rte_mbuf *m)
{
	rig_ether(m, if_id);
	return m;
}

static void lan(struct rte_mbuf *m)
{
	rig_rx(0, RIG_LAN, frame(RIG_LAN, m));
	rig_passes(3);
}

static struct rte_mbuf *to(uint32_t dst)
{
	return rig_udp4(RIG_LAN_HOST, dst, 1000, 2000, 100);
}

static void begin(void)
{
	rig_reset();
}

static void end(void)
{
	rig_reset();
	rig_skip(6);
	rig_reset();
	CU_ASSERT(rig_pool_full());
}

static void expect_drop(enum st_drop why)
{
	CU_ASSERT_EQUAL(rig_drops(why), 1);
	CU_ASSERT_EQUAL(rig_drops_all(), 1);
	rig_reset();
}

static void expect_one(enum rig_device dev, uint32_t len)
{
	struct rte_mbuf *m = rig_take_one(dev);

	CU_ASSERT_PTR_NOT_NULL(m);
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	if (m == NULL)
		return;
	CU_ASSERT_EQUAL(m->pkt_len, len);
	rte_pktmbuf_free(m);
}

static void frames_are_sorted_by_destination_and_type(void)
{
	struct rte_mbuf *m;

	begin();
	m = frame(RIG_LAN, to(RIG_LAN_V4));
	rte_pktmbuf_mtod(m, struct rte_ether_hdr *)->dst_addr.addr_bytes[5] ^= 0x40;
	rig_rx(0, RIG_LAN, m);
	rig_passes(2);
	expect_drop(ST_DROP_rx_not_our_mac);
	m = frame(RIG_LAN, to(0xffffffff));
	memset(rte_pktmbuf_mtod(m, uint8_t *), 0xff, 6);
	rig_rx(0, RIG_LAN, m);
	rig_passes(2);
	expect_one(RIG_DEV_LAN_TAP, 114);
	m = frame(RIG_LAN, to(RIG_LAN_V4));
	rte_pktmbuf_mtod(m, struct rte_ether_hdr *)->ether_type = htons(RTE_ETHER_TYPE_ARP);
	rig_rx(0, RIG_LAN, m);
	rig_passes(2);
	expect_one(RIG_DEV_LAN_TAP, 114);
	m = rte_pktmbuf_alloc(rig.pool);
	rte_pktmbuf_append(m, 13);
	rig_rx(0, RIG_LAN, m);
	rig_passes(2);
	expect_drop(ST_DROP_rx_short);
	rig_rx(0, 77, frame(RIG_LAN, to(RIG_LAN_V4)));
	rig_passes(2);
	expect_drop(ST_DROP_rx_port_down);
	end();
}

static struct rte_mbuf *of_type(uint16_t ether_type)
{
	struct rte_mbuf *m = frame(RIG_LAN, to(RIG_LAN_V4));

	rte_pktmbuf_mtod(m, struct rte_ether_hdr *)->ether_type = htons(ether_type);
	return m;
}

static void lan_host_side(uint16_t port)
{
	struct iface *lan = iface_new(iface_get(RIG_LAN));

	lan->host_port = port;
	iface_publish(RIG_LAN, lan);
	rig_passes(3);
}

static void what_is_the_hosts_needs_a_host_side(void)
{
	static const uint16_t tagged[] = {RTE_ETHER_TYPE_VLAN, RTE_ETHER_TYPE_QINQ};
	struct rte_mbuf *m;

	begin();
	for (unsigned int i = 0; i < RTE_DIM(tagged); i++) {
		rig_rx(0, RIG_LAN, of_type(tagged[i]));
		rig_passes(2);
		expect_one(RIG_DEV_LAN_TAP, 114);
	}
	lan_host_side(NO_ETH_PORT);
	for (unsigned int i = 0; i < RTE_DIM(tagged); i++) {
		rig_rx(0, RIG_LAN, of_type(tagged[i]));
		rig_passes(2);
		expect_drop(ST_DROP_rx_vlan);
	}
	rig_rx(0, RIG_LAN, of_type(RTE_ETHER_TYPE_ARP));
	rig_passes(2);
	expect_drop(ST_DROP_no_host_device);
	m = frame(RIG_LAN, to(0xffffffff));
	memset(rte_pktmbuf_mtod(m, uint8_t *), 0xff, 6);
	rig_rx(0, RIG_LAN, m);
	rig_passes(2);
	expect_drop(ST_DROP_no_host_device);
	lan(to(RIG_LAN_V4));
	expect_drop(ST_DROP_no_host_device);
	lan_host_side(RIG_DEV_LAN_TAP);
	end();
}

static void malformed_ip_is_dropped(void)
{
	static const struct {
		uint8_t at, value;
	} table[] = {{0, 0x55}, {0, 0x44}, {0, 0x4f}, {2, 0x7f}, {10, 0xaa}};

	begin();
	for (unsigned int i = 0; i < RTE_DIM(table); i++) {
		struct rte_mbuf *m = to(RIG_LAN_V4);

		rte_pktmbuf_mtod(m, uint8_t *)[table[i].at] = table[i].value;
		lan(m);
		// A first nibble of 5 names neither version, though the frame says IPv4.
		expect_drop(ST_DROP_rx_bad_ip);
	}
	end();
}

static void ethernet_padding_is_cut_off(void)
{
	struct rte_mbuf *m = to(RIG_LAN_V4);

	begin();
	memset(rte_pktmbuf_append(m, 30), 0xee, 30);
	lan(m);
	expect_one(RIG_DEV_LAN_TAP, 114);
	end();
}

static void the_box_gets_what_is_for_it(void)
{
	struct rte_mbuf *m;

	begin();
	lan(to(RIG_LAN_V4));
	expect_one(RIG_DEV_LAN_TAP, 114);
	m = to(RIG_LAN_V4);
	rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *)->time_to_live = 1; // not forwarded, so no matter
	rig_fix_ipv4(m, 0);
	lan(m);
	expect_one(RIG_DEV_LAN_TAP, 114);
	lan(to(0xe0000005)); // OSPF
	expect_one(RIG_DEV_LAN_TAP, 114);
	end();
}

static void taps_send_frames_as_they_are(void)
{
	begin();
	rig_rx_host(0, RIG_LAN, frame(RIG_LAN, to(RIG_LAN_HOST)));
	rig_passes(2);
	expect_one(RIG_DEV_LAN, 114);
	rig_rx_host(0, RIG_WAN, frame(RIG_WAN, to(RIG_LAN_HOST))); // the WAN's queue is lcore 1's
	rig_passes(2);
	expect_one(RIG_DEV_WAN, 114);
	end();
}

static void expect_icmp(uint8_t type, uint8_t code)
{
	struct rte_mbuf *m = rig_take_one(RIG_DEV_LAN);
	const uint8_t *icmp;

	CU_ASSERT_PTR_NOT_NULL(m);
	if (m == NULL)
		return;
	icmp = rte_pktmbuf_mtod_offset(m, uint8_t *, 34);
	CU_ASSERT_EQUAL(icmp[0], type);
	CU_ASSERT_EQUAL(icmp[1], code);
	rte_pktmbuf_free(m);
}

static void routes_that_refuse_say_so(void)
{
	static const struct {
		uint32_t dst;
		enum st_drop why;
		int type, code; // -1: silence
	} table[] = {
		{0x0a0b0001, ST_DROP_route_blackhole, -1, 0},
		{0x0a0c0001, ST_DROP_route_prohibit, 3, 13},
		{0x0a0d0001, ST_DROP_no_route, 3, 1},
		{0x08080808, ST_DROP_no_route, 3, 0},
		{0x0a0e0001, ST_DROP_no_route, 3, 0},
		{0x0a0f0001, ST_DROP_iface_down, -1, 0},
		{0x7f000001, ST_DROP_route_martian, -1, 0},
	};

	begin();
	for (unsigned int i = 0; i < RTE_DIM(table); i++) {
		lan(to(table[i].dst));
		if (table[i].type >= 0)
			expect_icmp((uint8_t)table[i].type, (uint8_t)table[i].code);
		CU_ASSERT_PTR_NULL(rig_take_one(RIG_DEV_LAN));
		expect_drop(table[i].why);
	}
	end();
}

static void hop_limits_end(void)
{
	struct rte_mbuf *m = to(0x0a090005);

	begin();
	rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *)->time_to_live = 1;
	rig_fix_ipv4(m, 0);
	lan(m);
	expect_icmp(11, 0);
	expect_drop(ST_DROP_ttl_exceeded);
	m = rig_udp6("fd01::5", "fd09::5", 9, 100);
	rte_pktmbuf_mtod(m, struct rte_ipv6_hdr *)->hop_limits = 1;
	lan(m);
	m = rig_take_one(RIG_DEV_LAN);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_EQUAL(rte_pktmbuf_mtod(m, uint8_t *)[14 + 40], 3);
	CU_ASSERT_EQUAL(rte_ipv6_udptcp_cksum_verify(rte_pktmbuf_mtod_offset(m, void *, 14),
				rte_pktmbuf_mtod_offset(m, void *, 54)),
		0);
	rte_pktmbuf_free(m);
	expect_drop(ST_DROP_ttl_exceeded);
	end();
}

static void errors_about_errors_are_not_made(void)
{
	struct rte_mbuf *m = to(0x08080808);
	struct rte_ipv4_hdr *h = rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *);

	begin();
	h->next_proto_id = IPPROTO_ICMP;
	((uint8_t *)(h + 1))[0] = 3;
	rig_fix_ipv4(m, 0);
	lan(m);
	m = to(0x08080808);
	rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *)->fragment_offset = htons(100);
	rig_fix_ipv4(m, 0);
	lan(m);
	CU_ASSERT_PTR_NULL(rig_take_one(RIG_DEV_LAN));
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_no_route), 2);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_icmp_limited), 2);
	end();
}

static void errors_are_limited(void)
{
	struct rte_mbuf *m[128];
	unsigned int n;

	begin();
	rig_skip(2); // a full bucket
	for (int i = 0; i < 100; i++)
		rig_rx(0, RIG_LAN, frame(RIG_LAN, to(0x08080808)));
	rig_passes(3);
	n = rig_take(RIG_DEV_LAN, m, 128);
	CU_ASSERT_EQUAL(n, 50);
	rte_pktmbuf_free_bulk(m, n);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_icmp_limited), 50);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_no_route), 100);
	end();
}

static void packets_wait_for_a_neighbour(void)
{
	struct st_neigh nb = {.key = {.if_id = RIG_WAN}, .mac = {2, 0, 0, 0, 9, 9}};
	struct lcore_event ev;
	struct rte_mbuf *m;

	begin();
	lan(to(0xcb007105));
	CU_ASSERT(rig_event(ST_EV_NEIGH_NEEDED, &ev));
	CU_ASSERT_EQUAL(ev.if_id, RIG_WAN);
	CU_ASSERT_EQUAL(addr_to_ipv4(&ev.remote), htonl(0xcb007105));
	lan(to(0xcb007105));
	CU_ASSERT(!rig_event(ST_EV_NEIGH_NEEDED, NULL));
	nb.key.addr = ev.remote;
	CU_ASSERT_EQUAL(neigh_set(&nb, NULL), 0);
	rig_passes(3);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL_FATAL(rig_take(RIG_DEV_WAN, &m, 1), 1);
		CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_mtod(m, void *), nb.mac, 6), 0);
		rte_pktmbuf_free(m);
	}
	rig_reset();
	for (int i = 0; i < 70; i++)
		lan(to(0xcb007106));
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_neigh_queue_full), 6);
	rig_skip(2);
	rig_passes(3);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_neigh_unresolved), 64);
	CU_ASSERT(rig_take(RIG_DEV_LAN, &m, 1) == 1); // host unreachable
	rte_pktmbuf_free(m);
	end();
}

static void numbered(uint32_t dst, uint8_t number)
{
	struct rte_mbuf *m = to(dst);

	*rte_pktmbuf_mtod_offset(m, uint8_t *, 28) = number;
	rig_fix_udp4(m, 0);
	lan(m);
}

// What waits for dst gets its neighbour and leaves: the numbers in order.
static unsigned int neighbour_found(uint32_t dst, uint8_t *ret_numbers, unsigned int max)
{
	struct st_neigh nb = {.key = {.if_id = RIG_WAN}, .mac = {2, 0, 0, 0, 9, 9}};
	struct rte_mbuf *m[80];
	unsigned int n;

	addr_from_ipv4(&nb.key.addr, htonl(dst));
	CU_ASSERT_EQUAL(neigh_set(&nb, NULL), 0);
	rig_passes(3);
	n = rig_take(RIG_DEV_WAN, m, RTE_DIM(m));
	CU_ASSERT(n <= max);
	for (unsigned int i = 0; i < n; i++)
		ret_numbers[i] = *rte_pktmbuf_mtod_offset(m[i], uint8_t *, 14 + 28);
	rte_pktmbuf_free_bulk(m, n);
	return n;
}

static void the_newest_packets_for_a_neighbour_are_kept(void)
{
	uint8_t numbers[80];

	begin();
	numbered(0xcb007110, 0);
	for (uint8_t i = 0; i < 70; i++)
		numbered(0xcb007111, i);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_neigh_queue_full), 7);
	CU_ASSERT_EQUAL_FATAL(neighbour_found(0xcb007111, numbers, RTE_DIM(numbers)), 63);
	for (uint8_t i = 0; i < 63; i++)
		CU_ASSERT_EQUAL(numbers[i], 7 + i);
	CU_ASSERT_EQUAL(neighbour_found(0xcb007110, numbers, RTE_DIM(numbers)), 1); // another's stays
	rig_reset();
	for (uint8_t i = 0; i < 64; i++)
		numbered(0xcb007120 + i / 32, i);
	numbered(0xcb007122, 64); // nothing of its own to replace: the oldest of all goes
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_neigh_queue_full), 1);
	CU_ASSERT_EQUAL(neighbour_found(0xcb007120, numbers, RTE_DIM(numbers)), 31);
	CU_ASSERT_EQUAL(numbers[0], 1);
	CU_ASSERT_EQUAL(neighbour_found(0xcb007121, numbers, RTE_DIM(numbers)), 32);
	CU_ASSERT_EQUAL(neighbour_found(0xcb007122, numbers, RTE_DIM(numbers)), 1);
	CU_ASSERT_EQUAL(rig_drops_all(), 1);
	end();
}

static void a_trace_follows_a_packet(void)
{
	struct st_trace t = {.key = {.id = 5}, .if_id = RIG_LAN, .count = 1, .one_in = 1};
	static const uint8_t way[] = {ST_STAGE_rx, ST_STAGE_classify, ST_STAGE_route, ST_STAGE_drop};

	begin();
	CU_ASSERT_EQUAL_FATAL(trace_init(), 0);
	CU_ASSERT_EQUAL(trace_add(&t, 1), 0);
	CU_ASSERT_EQUAL(trace_add(&t, 1), -EEXIST);
	lan(to(0x0a0b0001));
	lan(to(0x0a0b0001));
	rig_traces = 0;
	trace_poll();
	CU_ASSERT_EQUAL(rig_traces, 1);
	CU_ASSERT_EQUAL(rig_trace.id, 5);
	CU_ASSERT_EQUAL(rig_trace.nb_hops, RTE_DIM(way));
	for (unsigned int i = 0; i < RTE_DIM(way); i++)
		CU_ASSERT_EQUAL(rig_trace.hops[i].stage, way[i]);
	CU_ASSERT_EQUAL(rig_trace.hops[3].drop, ST_DROP_route_blackhole + 1);
	CU_ASSERT_EQUAL(trace_remove(6, 1), -ENOENT);
	CU_ASSERT_EQUAL(trace_remove(5, 1), 0);
	CU_ASSERT_EQUAL(atomic_load(&trace_flags), 0);
	trace_fini();
	end();
}

// Sends a frame to itself on the tap's ring and has lcore 0 look, so many microseconds later.
static unsigned int look(struct lcore *lc, bool send, unsigned int us)
{
	struct rte_mbuf *m = send ? frame(RIG_WAN, to(RIG_FAR_HOST)) : NULL;
	struct vec *in = &lc->in[ST_STAGE_rx];
	unsigned int n;

	if (m != NULL)
		CU_ASSERT_EQUAL(rte_eth_tx_burst(RIG_DEV_WAN_TAP, 0, &m, 1), 1);
	lc->now += lc->hz / 1000000 * us;
	n = rx_poll(lc);
	rte_pktmbuf_free_bulk(in->m, in->n);
	in->n = 0;
	return n;
}

static void a_tap_is_looked_at_by_the_clock(void)
{
	struct lcore *lc = lcores.lc[0];
	const struct lcore_plan *before = atomic_load(&lc->plan);
	static struct lcore_plan plan;
	unsigned int us;

	begin();
	plan = *before;
	plan.nb_rx = 1;
	plan.rx[0] = (struct lcore_rxq){
		.if_id = RIG_WAN, .eth_port = RIG_DEV_WAN_TAP, .host = 1, .tap = 1};
	atomic_store(&lc->plan, &plan);
	CU_ASSERT_EQUAL(look(lc, true, 1000), 1);
	CU_ASSERT_EQUAL(look(lc, true, 1), 0); // not at each pass
	CU_ASSERT_EQUAL(look(lc, false, 10), 1);
	for (us = 0; us < 2000; us++)
		CU_ASSERT_EQUAL(look(lc, false, 1), 0);
	CU_ASSERT_EQUAL(look(lc, true, 1), 0); // silent for long ...
	for (us = 1; us < 300 && look(lc, false, 1) == 0;)
		us++;
	CU_ASSERT(us < 252); // ... and never for longer than an idle lcore sleeps
	plan.rx[0].tap = 0;
	CU_ASSERT_EQUAL(look(lc, true, 0), 1);
	CU_ASSERT_EQUAL(look(lc, true, 0), 1);
	atomic_store(&lc->plan, before);
	end();
}

int main(void)
{
	static const struct rig_test tests[] = {
		{"frames are sorted by destination and type",
			frames_are_sorted_by_destination_and_type},
		{"what is the host's needs a host side", what_is_the_hosts_needs_a_host_side},
		{"malformed IP is dropped", malformed_ip_is_dropped},
		{"Ethernet padding is cut off", ethernet_padding_is_cut_off},
		{"the box gets what is for it", the_box_gets_what_is_for_it},
		{"taps send frames as they are", taps_send_frames_as_they_are},
		{"routes that refuse say so", routes_that_refuse_say_so},
		{"hop limits end", hop_limits_end},
		{"a tap is looked at by the clock", a_tap_is_looked_at_by_the_clock},
		{"errors about errors are not made", errors_about_errors_are_not_made},
		{"errors are limited", errors_are_limited},
		{"packets wait for a neighbour", packets_wait_for_a_neighbour},
		{"the newest packets for a neighbour are kept",
			the_newest_packets_for_a_neighbour_are_kept},
		{"a trace follows a packet", a_trace_follows_a_packet},
	};

	return rig_main("rx", tests, RTE_DIM(tests));
}
