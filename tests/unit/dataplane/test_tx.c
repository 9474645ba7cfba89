// SPDX-License-Identifier: BSD-3-Clause
//
// What should leave and cannot: transmit rings that are full, a pool that is empty, fragments that cannot be
// made. Each has its reason, and nothing is lost to the pool.
#include "rig.h"
#include "stages/wg.h"

#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include <arpa/inet.h>

#define RING 1023 // what net_ring's ring of 1024 holds

static struct rte_mbuf *to(uint32_t dst, uint32_t len)
{
	struct rte_mbuf *m = rig_udp4(RIG_LAN_HOST, dst, 1000, 2000, len);

	rig_ether(m, RIG_LAN);
	return m;
}

static void lan(struct rte_mbuf *m)
{
	rig_rx(0, RIG_LAN, m);
	rig_passes(2);
}

static void begin(void)
{
	rig_reset();
}

static void end(void)
{
	rig_reset();
	CU_ASSERT(rig_pool_full());
}

static unsigned int sent(enum rig_device dev)
{
	unsigned int n = 0;
	struct rte_mbuf *m;

	while (rig_take(dev, &m, 1) == 1) {
		rte_pktmbuf_free(m);
		n++;
	}
	return n;
}

static void what_a_full_port_does_not_take_is_counted(void)
{
	struct iface_counts *c = &lcores.lc[0]->counts[RIG_LAN];
	uint64_t before = c->tx_packets, bytes = c->tx_bytes;

	begin();
	for (int i = 0; i < RING + 40; i++)
		lan(to(RIG_LAN_HOST, 100));
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_tx_full), 40);
	CU_ASSERT_EQUAL(rig_drops_all(), 40);
	CU_ASSERT_EQUAL(c->tx_packets - before, RING);
	CU_ASSERT_EQUAL(c->tx_bytes - bytes, RING * 114);
	CU_ASSERT_EQUAL(sent(RIG_DEV_LAN), RING);
	end();
}

static void what_a_full_host_device_does_not_take_is_counted(void)
{
	struct iface_counts *c = &lcores.lc[0]->counts[RIG_LAN];
	uint64_t before = c->host_tx_packets;

	begin();
	for (int i = 0; i < RING + 40; i++)
		lan(to(RIG_LAN_V4, 100));
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_host_full), 40);
	CU_ASSERT_EQUAL(rig_drops_all(), 40);
	CU_ASSERT_EQUAL(c->host_tx_packets - before, RING);
	CU_ASSERT_EQUAL(sent(RIG_DEV_LAN_TAP), RING);
	end();
}

static unsigned int empty_the_pool(struct rte_mbuf **all, unsigned int max)
{
	unsigned int n = 0;

	while (n < max && (all[n] = rte_pktmbuf_alloc(rig.pool)) != NULL)
		n++;
	return n;
}

// Without an mbuf there are neither fragments nor keepalives, and what needs none goes on.
static void an_empty_pool_costs_what_needs_a_packet_more(void)
{
	static struct rte_mbuf *all[20000];
	struct rte_mbuf *large = to(RIG_LAN_HOST, 1600), *small = to(RIG_LAN_HOST, 100);
	unsigned int n;

	begin();
	rig_peer(false);
	rig_key(RIG_INDEX, ST_KEY_INITIATOR);
	rig_passes(3);
	rig_reset();
	n = empty_the_pool(all, RTE_DIM(all));
	lan(large);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_no_mbuf), 1);
	all[n++] = rte_pktmbuf_alloc(rig.pool); // the one that was dropped
	CU_ASSERT_EQUAL(rte_mempool_avail_count(rig.pool), 0);
	lan(small);
	CU_ASSERT_EQUAL(sent(RIG_DEV_LAN), 1);
	all[n++] = rte_pktmbuf_alloc(rig.pool);
	wg_keepalive(lcores.lc[atomic_load(&rig.peer->owner)], rig.peer);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_no_mbuf), 2);
	CU_ASSERT_EQUAL(rig_drops_all(), 2);
	rte_pktmbuf_free_bulk(all, n);
	rig_gone();
	end();
}

// At the smallest MTU there is 64 fragments do not suffice for 4000 bytes.
static void what_would_be_too_many_fragments_is_counted(void)
{
	struct rte_mbuf *m = to(RIG_LAN_HOST, 2000), *s = rte_pktmbuf_alloc(rig.pool);
	struct iface *narrow = iface_new(iface_get(RIG_LAN));
	struct rte_ipv4_hdr *h;

	begin();
	narrow->mtu = 68;
	iface_publish(RIG_LAN, narrow);
	memset(rte_pktmbuf_append(s, 2000), 0, 2000);
	CU_ASSERT_EQUAL(rte_pktmbuf_chain(m, s), 0);
	h = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, 14);
	h->total_length = htons(4000);
	rig_fix_ipv4(m, 14);
	*rte_pktmbuf_mtod_offset(m, uint16_t *, 14 + 20 + 6) = 0; // no checksum
	*rte_pktmbuf_mtod_offset(m, uint16_t *, 14 + 20 + 4) = htons(3980);
	lan(m);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_frag_failed), 1);
	CU_ASSERT_EQUAL(rig_drops_all(), 1);
	CU_ASSERT_EQUAL(sent(RIG_DEV_LAN), 0);
	lan(to(RIG_LAN_HOST, 1000)); // which are enough for this
	CU_ASSERT_EQUAL(sent(RIG_DEV_LAN), (1000 - 20 + 47) / 48);
	CU_ASSERT_EQUAL(rig_drops_all(), 1);
	narrow = iface_new(iface_get(RIG_LAN));
	narrow->mtu = 1500;
	iface_publish(RIG_LAN, narrow);
	rig_passes(3);
	end();
}

int main(void)
{
	static const struct rig_test tests[] = {
		{"what a full port does not take is counted",
			what_a_full_port_does_not_take_is_counted},
		{"what a full host device does not take is counted",
			what_a_full_host_device_does_not_take_is_counted},
		{"an empty pool costs what needs a packet more",
			an_empty_pool_costs_what_needs_a_packet_more},
		{"what would be too many fragments is counted",
			what_would_be_too_many_fragments_is_counted},
	};

	return rig_main("tx", tests, RTE_DIM(tests));
}
