// SPDX-License-Identifier: BSD-3-Clause
//
// server/packet_io.c and lcore_to_main: datagrams that the kernel cannot carry, of every size, both ways; what
// is refused, and what becomes of them when pools and rings are at their end. The relay is what they go through.
#include "command.h"
#include "server/packet_io.h"
#include "turn_rig.h"

#include <rte_ring.h>

#include <errno.h>

#define JUMBO 9600         // so that nothing is cut on the way
#define AWAY  "10.14.0.20" // behind a device that is not ours

static uint8_t data[ST_PACKET_MAX + 100];
static const char *const clients[] = {CLIENT4, CLIENT6};
static const char *const servers[] = {SERVER4, SERVER6};
static const char *const peers[] = {PEER4, PEER6};

static void set_up(void)
{
	struct iface *wan = iface_new(iface_get(RIG_WAN));

	turn_server();
	wan->mtu = JUMBO;
	iface_publish(RIG_WAN, wan);
	rig_passes(2);
	packet_io_init(rig.pool);
	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 + (i >> 8));
}

static void allocate(const char *client, int f, uint16_t port)
{
	struct st_relay r = relay_of(client, servers[f], port);

	CU_ASSERT_EQUAL_FATAL(put_relay(&r), 0);
	CU_ASSERT_EQUAL_FATAL(put_permission(servers[f], port, peers[f], 300000), 0);
	CU_ASSERT_EQUAL_FATAL(put_channel(servers[f], port, peers[f], PEER_PT, CHANNEL, 600000), 0);
	rig_passes(2);
}

static void done(void)
{
	turn_clear();
	CU_ASSERT(rig_pool_full());
}

static struct st_packet_io from_client(int f)
{
	return (struct st_packet_io){.local = turn_addr(servers[f]),
		.remote = turn_addr(clients[f]),
		.local_port_be = htons(LISTEN),
		.remote_port_be = htons(CLIENT_PT)};
}

// As often as the rate lets it.
static int out(const struct st_packet_io *io, const void *datagram, uint16_t len)
{
	int rc;

	do {
		rc = packet_out(io, datagram, len);
	} while (rc == -EAGAIN);
	return rc;
}

// Around every size at which a segment is full, and the largest.
static void what_is_handed_down_is_received_whole(void)
{
	static const uint16_t lens[] = {0, 1, 1900, 1990, 1991, 1992, 2011, 2012, 2013, 2016, 2017,
		4059, 4060, 4061, 4064, 4065, 8155, 8156, 8157, 8160, ST_PACKET_MAX - 4};
	static uint8_t datagram[ST_PACKET_MAX];
	static struct got g;

	rig_reset();
	for (int f = 0; f < 2; f++) {
		struct st_packet_io io = from_client(f);
		unsigned int wrong = 0;

		allocate(clients[f], f, RELAY_PT);
		for (unsigned int i = 0; i < RTE_DIM(lens); i++) {
			uint32_t n = channel_data(datagram, CHANNEL, data, lens[i]);

			wrong += out(&io, datagram, (uint16_t)n) != 0;
			rig_passes(3);
			wrong += !turn_out(RIG_DEV_WAN, &g) || g.len != lens[i] ||
				 memcmp(g.payload, data, lens[i]) != 0;
		}
		CU_ASSERT_EQUAL(wrong, 0);
		CU_ASSERT_EQUAL(rig_drops_all(), 0);
		done();
	}
}

static void nonsense_is_refused(void)
{
	struct st_packet_io io = from_client(0), mixed = io;

	mixed.remote = turn_addr(CLIENT6);
	CU_ASSERT_EQUAL(packet_out(&io, data, 0), -EINVAL);
	CU_ASSERT_EQUAL(packet_out(&io, data, ST_PACKET_MAX + 1), -EINVAL);
	CU_ASSERT_EQUAL(packet_out(&mixed, data, 10), -EINVAL);
	io.if_id = RIG_WAN;
	CU_ASSERT_EQUAL(packet_out(&io, data, 10), -EINVAL);
	CU_ASSERT(rig_pool_full());
}

static void no_more_come_in_than_the_rate(void)
{
	struct st_packet_io io = from_client(0);
	uint64_t begin = rte_rdtsc(), accepted = 0, refused = 0, most;

	rig_reset();
	for (int i = 0; i < 1000; i++) {
		int rc = packet_out(&io, data, 10);

		CU_ASSERT(rc == 0 || rc == -EAGAIN);
		accepted += rc == 0;
		refused += rc == -EAGAIN;
		rig_passes(1);
	}
	most = 200 * (2 + (rte_rdtsc() - begin) * 100 / rte_get_tsc_hz()); // 20000/s, 10 ms at once
	CU_ASSERT(accepted > 0 && accepted <= most);
	CU_ASSERT_EQUAL(accepted + refused, 1000);
	done();
}

static void an_empty_pool_is_told_and_leaks_nothing(void)
{
	struct st_packet_io io = from_client(0);
	static struct rte_mbuf *all[20000];
	unsigned int n = 0;

	rig_reset();
	while (n < RTE_DIM(all) && (all[n] = rte_pktmbuf_alloc(rig.pool)) != NULL)
		n++;
	CU_ASSERT_EQUAL(out(&io, data, 10), -ENOMEM);
	rte_pktmbuf_free(all[--n]);
	rte_pktmbuf_free(all[--n]);
	CU_ASSERT_EQUAL(out(&io, data, ST_PACKET_MAX), -ENOMEM); // it needs five
	CU_ASSERT_EQUAL(rte_mempool_avail_count(rig.pool), 2);
	rte_pktmbuf_free_bulk(all, n);
	done();
}

// ---- up to straitd ---------------------------------------------------------------------------------

static void from_peer(uint32_t len)
{
	struct tuple t = {PEER4, PEER_PT, SERVER4, RELAY_PT};
	struct rte_mbuf *m = turn_datagram(&t, &plain, data, RTE_MIN(len, 1000U));
	struct rte_ipv4_hdr *h = rte_pktmbuf_mtod(m, void *);
	struct rte_udp_hdr *u = (void *)(h + 1);

	u->dgram_cksum = 0;
	u->dgram_len = htons((uint16_t)(8 + len));
	h->total_length = htons((uint16_t)(28 + len));
	rig_fix_ipv4(m, 0);
	for (uint32_t at = 1000; at < len; at += 1000) { // a frame in several segments
		struct rte_mbuf *s = rte_pktmbuf_alloc(rig.pool);
		uint16_t n = (uint16_t)RTE_MIN(len - at, 1000U);

		memcpy(rte_pktmbuf_append(s, n), data + at, n);
		CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_chain(m, s), 0);
	}
	rig_ether(m, RIG_WAN);
	rig_rx(0, RIG_WAN, m);
	rig_passes(2);
}

static void what_the_kernel_must_carry_is_handed_up_whole(void)
{
	static const uint32_t lens[] = {0, 1, 900, 3000, ST_PACKET_MAX - 4};
	const struct st_packet_io *io = (const void *)rig_told.body;

	rig_reset();
	allocate(AWAY, 0, RELAY_PT);
	for (unsigned int i = 0; i < RTE_DIM(lens); i++) {
		struct st_addr local = turn_addr(SERVER4), remote = turn_addr(AWAY);

		rig_told.count = 0;
		from_peer(lens[i]);
		packet_in_poll();
		CU_ASSERT_EQUAL(rig_told.count, 1);
		CU_ASSERT_EQUAL(rig_told.event, ST_EV_PACKET_IN);
		CU_ASSERT_EQUAL(rig_told.blob_len, lens[i] + 4);
		CU_ASSERT_EQUAL(memcmp(rig_told.blob + 4, data, lens[i]), 0);
		CU_ASSERT_EQUAL(memcmp(&io->local, &local, sizeof(local)), 0);
		CU_ASSERT_EQUAL(memcmp(&io->remote, &remote, sizeof(remote)), 0);
		CU_ASSERT_EQUAL(io->local_port_be, htons(LISTEN));
		CU_ASSERT_EQUAL(io->remote_port_be, htons(CLIENT_PT));
		CU_ASSERT_EQUAL(io->peer_id, ST_NO_PEER);
	}
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	done();
}

static void what_is_too_large_to_be_handed_up_is_counted(void)
{
	rig_reset();
	allocate(AWAY, 0, RELAY_PT);
	rig_told.count = 0;
	from_peer(ST_PACKET_MAX - 4 + 1);
	packet_in_poll();
	CU_ASSERT_EQUAL(rig_told.count, 0);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_mtu_exceeded), 1);
	CU_ASSERT_EQUAL(rig_drops_all(), 1);
	done();
}

static void what_main_does_not_take_is_counted(void)
{
	unsigned int room = rte_ring_get_capacity(lcores.lc[0]->to_main);

	rig_reset();
	allocate(AWAY, 0, RELAY_PT);
	for (unsigned int i = 0; i < room + 10; i++)
		from_peer(100);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_host_full), 10);
	CU_ASSERT_EQUAL(rig_drops_all(), 10);
	rig_told.count = 0;
	while (!rte_ring_empty(lcores.lc[0]->to_main)) // as the rate lets it
		packet_in_poll();
	CU_ASSERT_EQUAL(rig_told.count, room);
	done();
}

int main(void)
{
	static const struct rig_test tests[] = {
		{"the server", set_up},
		{"what is handed down is received whole", what_is_handed_down_is_received_whole},
		{"nonsense is refused", nonsense_is_refused},
		{"no more come in than the rate", no_more_come_in_than_the_rate},
		{"an empty pool is told and leaks nothing", an_empty_pool_is_told_and_leaks_nothing},
		{"what the kernel must carry is handed up whole",
			what_the_kernel_must_carry_is_handed_up_whole},
		{"what is too large to be handed up is counted",
			what_is_too_large_to_be_handed_up_is_counted},
		{"what main does not take is counted", what_main_does_not_take_is_counted},
	};

	return rig_main("packet io", tests, RTE_DIM(tests));
}
