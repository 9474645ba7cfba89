// SPDX-License-Identifier: BSD-3-Clause
//
// Outer fragments: put together, bounded, and refused by name when they are not honest.
#include "rig.h"
#include "stages/fragment.h"
#include "stages/header.h"
#include "stages/reassemble.h"
#include "trace.h"

#include <arpa/inet.h>
#include <errno.h>

static void begin(void)
{
	rig_peer(false);
	rig_key(RIG_INDEX, ST_KEY_RESPONDER);
	rig_passes(2);
	rig_reset();
}

static void end(void)
{
	rig_gone();
	rig_skip(6);
	rig_reset();
	CU_ASSERT_EQUAL(reassembly_count(lcores.lc[0]->frags), 0);
	CU_ASSERT_EQUAL(reassembly_count(lcores.lc[1]->frags), 0);
	CU_ASSERT(rig_pool_full());
}

// Cuts m (taken) to mtu; returns how many.
static unsigned int cut(struct rte_mbuf *m, uint16_t mtu, struct rte_mbuf **out)
{
	bool ipv6 = *rte_pktmbuf_mtod(m, uint8_t *) >> 4 == 6;
	int n;

	memset(packet_of(m), 0, sizeof(struct packet));
	if (ipv6)
		packet_of(m)->flags = PACKET_F_IPV6;
	n = fragment_packet(rig.pool, m, mtu, 4711, out);
	CU_ASSERT_FATAL(n > 1);
	rte_pktmbuf_free(m);
	return (unsigned int)n;
}

static struct rte_mbuf *data(uint64_t counter, bool ipv6)
{
	return rig_seal(ipv6 ? rig_udp6("fd09::5", "fd01::5", 9, 1300)
			     : rig_udp4(RIG_FAR_HOST, RIG_LAN_HOST, 1, 2, 1300),
		RIG_INDEX, counter, ipv6);
}

static void receive(uint16_t lcore, struct rte_mbuf *m)
{
	rig_ether(m, RIG_WAN);
	rig_rx(lcore, RIG_WAN, m);
	rig_passes(3);
}

static void expect_delivery(uint32_t len)
{
	struct rte_mbuf *m = rig_take_one(RIG_DEV_LAN);

	CU_ASSERT_PTR_NOT_NULL(m);
	if (m != NULL)
		CU_ASSERT_EQUAL(m->pkt_len, len);
	rte_pktmbuf_free(m);
}

static void fragments_in_any_order_and_on_any_lcore_make_the_packet(void)
{
	struct rte_mbuf *f[FRAGMENT_MAX];
	uint64_t counter = 0;

	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		begin();
		for (unsigned int first = 0; first < 3; first++) {
			unsigned int n = cut(data(counter++, ipv6), 600, f);

			CU_ASSERT_EQUAL(n, 3);
			for (unsigned int i = 0; i < n; i++)
				receive(i & 1, f[(first + 2 * i) % n]);
			expect_delivery(1314);
		}
		CU_ASSERT_EQUAL(rig_drops_all(), 0);
		end();
		counter = 0;
	}
}

static void many_small_fragments_keep_the_headers_readable(void)
{
	struct rte_mbuf *f[FRAGMENT_MAX];
	unsigned int n;

	begin();
	n = cut(data(0, false), 20 + 24, f);
	CU_ASSERT_EQUAL(n, 57);
	for (unsigned int i = 0; i < n; i++)
		receive(0, f[i]);
	expect_delivery(1314);
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	end();
}

static void overlaps_poison_the_whole_packet(void)
{
	struct rte_mbuf *f[FRAGMENT_MAX], *again;
	unsigned int n;

	begin();
	n = cut(data(0, false), 600, f);
	again = rte_pktmbuf_copy(f[1], rig.pool, 0, UINT32_MAX);
	rte_pktmbuf_mtod(again, struct rte_ipv4_hdr *)->fragment_offset = htons(0x2000 | 71);
	rig_fix_ipv4(again, 0);
	receive(0, f[0]);
	receive(0, again); // begins inside of the first
	for (unsigned int i = 1; i < n; i++)
		receive(0, f[i]);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_frag_overlap), 4);
	CU_ASSERT_EQUAL(rig_drops_all(), 4);
	CU_ASSERT_PTR_NULL(rig_take_one(RIG_DEV_LAN));
	end();
}

static void a_repeated_fragment_does_no_harm(void)
{
	struct rte_mbuf *f[FRAGMENT_MAX], *again;
	unsigned int n;

	begin();
	n = cut(data(0, false), 600, f);
	again = rte_pktmbuf_copy(f[0], rig.pool, 0, UINT32_MAX);
	receive(0, f[0]);
	receive(0, again);
	for (unsigned int i = 1; i < n; i++)
		receive(0, f[i]);
	expect_delivery(1314);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_frag_overlap), 1);
	end();
}

static void tiny_fragments_are_refused(void)
{
	struct rte_mbuf *m;

	begin();
	m = rig_udp4(RIG_PEER_V4, RIG_WAN_V4, 1, RIG_PORT, 20 + 13); // not a multiple of 8
	rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *)->fragment_offset = htons(0x2000);
	rig_fix_ipv4(m, 0);
	receive(0, m);
	m = rig_udp4(RIG_PEER_V4, RIG_WAN_V4, 1, RIG_PORT, 28);
	rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *)->fragment_offset = htons(100);
	rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *)->total_length = htons(20); // empty
	rig_fix_ipv4(m, 0);
	receive(0, m);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_frag_tiny), 2);
	m = rig_udp4(RIG_PEER_V4, RIG_WAN_V4, 1, RIG_PORT, 100);
	rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *)->fragment_offset = htons(0x1fff); // past 64 kB
	rig_fix_ipv4(m, 0);
	receive(0, m);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_frag_overlap), 1);
	end();
}

static void fragments_do_not_wait_for_ever(void)
{
	struct rte_mbuf *f[FRAGMENT_MAX];

	begin();
	CU_ASSERT_EQUAL(cut(data(0, false), 1000, f), 2);
	receive(0, f[0]);
	rig_skip(6);
	receive(0, f[1]);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_frag_timeout), 1);
	rig_skip(6);
	rig_passes(1);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_frag_timeout), 2);
	end();
}

static void one_source_cannot_fill_the_table(void)
{
	struct rte_mbuf *f[FRAGMENT_MAX];
	uint64_t held;

	begin();
	for (unsigned int i = 0; i < 1000; i++) {
		struct rte_mbuf *m = rig_udp4(0xcb007101, RIG_WAN_V4, 1, RIG_PORT, 100);

		rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *)->packet_id = htons((uint16_t)i);
		rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *)->fragment_offset = htons(0x2000);
		rig_fix_ipv4(m, 0);
		receive(0, m);
	}
	held = reassembly_count(lcores.lc[0]->frags) + reassembly_count(lcores.lc[1]->frags);
	CU_ASSERT_EQUAL(held, 2 * REASSEMBLY_PER_SOURCE);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_frag_table_full), 1000 - held);
	CU_ASSERT_EQUAL(cut(data(0, false), 1000, f), 2); // another source gets in
	receive(0, f[0]);
	receive(1, f[1]);
	expect_delivery(1314);
	end();
}

static void what_is_not_wireguard_data_goes_up_in_pieces(void)
{
	struct rte_mbuf *f[FRAGMENT_MAX], *m[8];
	unsigned int n;

	begin();
	n = cut(rig_udp4(RIG_PEER_V4, RIG_WAN_V4, 1, 53, 1800), 1000, f);
	for (unsigned int i = 0; i < n; i++)
		receive(0, f[i]);
	n = rig_take(RIG_DEV_WAN_TAP, m, 8);
	CU_ASSERT_EQUAL(n, 2);
	for (unsigned int i = 0; i < n; i++)
		CU_ASSERT(m[i]->pkt_len <= 1514);
	rte_pktmbuf_free_bulk(m, n);
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	end();
}

static void transit_fragments_are_routed(void)
{
	struct rte_mbuf *f[FRAGMENT_MAX], *m[8];
	unsigned int n;

	begin();
	n = cut(rig_udp4(RIG_PEER_V4, RIG_LAN_HOST, 1, 53, 1400), 1000, f);
	for (unsigned int i = 0; i < n; i++)
		receive(0, f[i]);
	n = rig_take(RIG_DEV_LAN, m, 8);
	CU_ASSERT_EQUAL(n, 2);
	rte_pktmbuf_free_bulk(m, n);
	end();
}

static void each_traced_fragment_gives_its_record_back(void)
{
	struct st_trace t = {.key = {.id = 5}, .if_id = RIG_WAN, .count = 100000, .one_in = 1};
	unsigned int n = 0, records = 0;

	begin();
	CU_ASSERT_EQUAL_FATAL(trace_init(), 0);
	CU_ASSERT_EQUAL(trace_add(&t, 1), 0);
	rig_traces = 0;
	for (uint64_t counter = 0; counter < 300; counter++) { // more than there are records
		struct rte_mbuf *f[FRAGMENT_MAX];

		n = cut(data(counter, false), 600, f);
		for (unsigned int i = 0; i < n; i++)
			receive(0, f[i]);
		expect_delivery(1314);
		trace_poll();
		records += n;
	}
	CU_ASSERT_EQUAL(rig_traces, records);
	CU_ASSERT_EQUAL(trace_remove(5, 1), 0);
	trace_fini();
	end();
}

int main(void)
{
	static const struct rig_test tests[] = {
		{"fragments in any order and on any lcore make the packet",
			fragments_in_any_order_and_on_any_lcore_make_the_packet},
		{"many small fragments keep the headers readable",
			many_small_fragments_keep_the_headers_readable},
		{"overlaps poison the whole packet", overlaps_poison_the_whole_packet},
		{"a repeated fragment does no harm", a_repeated_fragment_does_no_harm},
		{"tiny fragments are refused", tiny_fragments_are_refused},
		{"fragments do not wait for ever", fragments_do_not_wait_for_ever},
		{"one source cannot fill the table", one_source_cannot_fill_the_table},
		{"what is not WireGuard data goes up in pieces",
			what_is_not_wireguard_data_goes_up_in_pieces},
		{"transit fragments are routed", transit_fragments_are_routed},
		{"each traced fragment gives its record back",
			each_traced_fragment_gives_its_record_back},
	};

	return rig_main("reassemble", tests, RTE_DIM(tests));
}
