// SPDX-License-Identifier: BSD-3-Clause
//
// From the LAN or the host into a tunnel: route, wg_encrypt, staging, l2out.
#include "command.h"
#include "rig.h"
#include "stages/header.h"

#include <rte_cycles.h>

#include <arpa/inet.h>

static struct rte_mbuf *to_far(uint32_t len)
{
	return rig_udp4(RIG_LAN_HOST, RIG_FAR_HOST, 1000, 2000, len);
}

static void send_lan(struct rte_mbuf *m)
{
	rig_ether(m, RIG_LAN);
	rig_rx(0, RIG_LAN, m);
	rig_passes(3);
}

static void begin(bool ipv6, bool key)
{
	rig_peer(ipv6);
	if (key) {
		rig_key(RIG_INDEX, ST_KEY_INITIATOR);
		rig_passes(2);
	}
	rig_reset(); // takes the keepalive, counter 0
}

static void end(void)
{
	rig_gone();
	rig_skip(2);
	rig_reset();
	CU_ASSERT(rig_pool_full());
}

static void an_install_as_initiator_sends_a_keepalive(void)
{
	uint64_t counter = 99;
	struct rte_mbuf *m;

	rig_peer(false);
	rig_reset();
	rig_key(RIG_INDEX, ST_KEY_INITIATOR);
	rig_passes(2);
	m = rig_take_one(RIG_DEV_WAN);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_EQUAL(m->pkt_len, 14 + 28 + 32);
	CU_ASSERT(rig_open(m, &counter));
	CU_ASSERT_EQUAL(counter, 0);
	rte_pktmbuf_free(m);
	end();
}

static void lan_packets_go_out_sealed(void)
{
	static const uint16_t lens[] = {60, 64, 100, 1401, 1419, 1420};

	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		begin(ipv6, true);
		for (unsigned int i = 0; i < RTE_DIM(lens); i++) {
			uint32_t padded = RTE_MIN(RTE_ALIGN_CEIL(lens[i], 16), 1420);
			uint32_t head = ipv6 ? 48 : 28;
			uint64_t counter = 0;
			struct rte_mbuf *m;
			struct rte_ipv4_hdr *h;

			send_lan(to_far(lens[i]));
			m = rig_take_one(RIG_DEV_WAN);
			CU_ASSERT_PTR_NOT_NULL_FATAL(m);
			CU_ASSERT_EQUAL(m->pkt_len, 14 + head + 32 + padded);
			h = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, 14);
			if (ipv6) {
				CU_ASSERT_EQUAL(
					rte_ipv6_udptcp_cksum_verify((void *)h, (uint8_t *)h + 40),
					0);
			} else {
				CU_ASSERT_EQUAL(rte_raw_cksum(h, 20), 0xffff);
				CU_ASSERT_EQUAL(rte_ipv4_udptcp_cksum_verify(h, h + 1), 0);
				CU_ASSERT_EQUAL(h->fragment_offset, 0); // DF clear
			}
			CU_ASSERT(rig_open(m, &counter));
			CU_ASSERT_EQUAL(counter, 1 + i);
			h = rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *);
			CU_ASSERT_EQUAL(h->time_to_live, 63);
			CU_ASSERT_EQUAL(rte_raw_cksum(h, 20), 0xffff);
			CU_ASSERT_EQUAL(rte_ipv4_udptcp_cksum_verify(h, h + 1), 0);
			for (uint32_t k = lens[i]; k < padded; k++)
				CU_ASSERT_EQUAL(rte_pktmbuf_mtod(m, uint8_t *)[k], 0);
			rte_pktmbuf_free(m);
		}
		CU_ASSERT_EQUAL(rig_drops_all(), 0);
		end();
	}
}

// Traffic class of the datagram that carries a packet with this one.
static uint8_t outer_class(uint8_t inner, bool outer6, bool inner6)
{
	struct rte_mbuf *m = inner6 ? rig_udp6("fd01::5", "fd09::5", 9, 100) : to_far(100);
	uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *), class;

	if (inner6) {
		ip[0] |= inner >> 4;
		ip[1] |= (uint8_t)(inner << 4);
	} else {
		ip[1] = inner;
		rig_fix_ipv4(m, 0);
	}
	send_lan(m);
	m = rig_take_one(RIG_DEV_WAN);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	ip = rte_pktmbuf_mtod_offset(m, uint8_t *, 14);
	class = outer6 ? (uint8_t)(ip[0] << 4 | ip[1] >> 4) : ip[1];
	if (!outer6)
		CU_ASSERT_EQUAL(rte_raw_cksum(ip, 20), 0xffff);
	rte_pktmbuf_free(m);
	return class;
}

// The ECN field is copied, but CE becomes ECT(0); the DSCP stays inside.
static void ecn_is_encapsulated(void)
{
	static const uint8_t table[][2] = {
		{0, 0}, {1, 1}, {2, 2}, {3, 2}, {0xb8 | 2, 2}, {0xfc, 0}, {0xff, 2}};

	for (int families = 0; families < 4; families++) {
		begin(families & 1, true);
		for (unsigned int i = 0; i < RTE_DIM(table); i++)
			CU_ASSERT_EQUAL(
				outer_class(table[i][0], families & 1, families & 2), table[i][1]);
		CU_ASSERT_EQUAL(rig_drops_all(), 0);
		end();
	}
}

static void packets_wait_for_a_session_in_order(void)
{
	struct rte_mbuf *m[256];
	unsigned int n;

	begin(false, false);
	for (unsigned int i = 0; i < 130; i++)
		send_lan(to_far(100 + i));
	CU_ASSERT(rig_event(ST_EV_KEY_NEEDED, NULL));
	CU_ASSERT(!rig_event(ST_EV_KEY_NEEDED, NULL)); // once per second
	CU_ASSERT_EQUAL(rig.peer->staged, MAX_STAGED_PACKETS);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_staged_full), 2);
	rig_key(RIG_INDEX, ST_KEY_INITIATOR);
	rig_passes(3);
	n = rig_take(RIG_DEV_WAN, m, 256);
	CU_ASSERT_EQUAL(n, 128);
	for (unsigned int i = 0; i < n; i++) {
		uint64_t counter;

		CU_ASSERT(rig_open(m[i], &counter));
		CU_ASSERT_EQUAL(counter, i);
		CU_ASSERT_EQUAL(ntohs(rte_pktmbuf_mtod(m[i], struct rte_ipv4_hdr *)->total_length),
			102 + i); // the oldest two went
		rte_pktmbuf_free(m[i]);
	}
	CU_ASSERT_EQUAL(rig.peer->staged, 0);
	end();
}

static void staged_packets_go_with_their_peer_and_with_time(void)
{
	begin(false, false);
	send_lan(to_far(100));
	rig_skip(96);
	rig_passes(2);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_staged_timeout), 1);
	send_lan(to_far(100));
	CU_ASSERT_EQUAL(command_peer(rig.peer, LCORE_CMD_STAGED_DROP, rig.peer, NULL), 0);
	rig_passes(2);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_staged_timeout), 2);
	CU_ASSERT_EQUAL(rig.peer->staged, 0);
	send_lan(to_far(100));
	rig_gone();
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_peer_removed), 1);
	CU_ASSERT_EQUAL(atomic_load(&lcores.staged), 0);
	rig_reset();
	CU_ASSERT(rig_pool_full());
}

// Returns the ICMP header of the one error sent to the LAN host, whose IP header is checked.
static const uint8_t *icmp_to_lan(struct rte_mbuf **ret)
{
	struct rte_mbuf *m = rig_take_one(RIG_DEV_LAN);
	struct rte_ipv4_hdr *h;

	*ret = m;
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	h = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, 14);
	CU_ASSERT_EQUAL(h->next_proto_id, IPPROTO_ICMP);
	CU_ASSERT_EQUAL(h->src_addr, htonl(RIG_LAN_V4));
	CU_ASSERT_EQUAL(h->dst_addr, htonl(RIG_LAN_HOST));
	CU_ASSERT_EQUAL(rte_raw_cksum(h, 20), 0xffff);
	CU_ASSERT_EQUAL(rte_raw_cksum(h + 1, m->pkt_len - 34), 0xffff);
	return (const uint8_t *)(h + 1);
}

static void nobodys_address_is_unreachable(void)
{
	struct rte_mbuf *m;
	const uint8_t *icmp;

	begin(false, true);
	send_lan(rig_udp4(RIG_LAN_HOST, 0x0a0a0001, 1, 2, 100));
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_no_peer), 1);
	icmp = icmp_to_lan(&m);
	CU_ASSERT(icmp[0] == 3 && icmp[1] == 1);
	rte_pktmbuf_free(m);
	end();
}

static void a_peer_without_endpoint_is_unreachable(void)
{
	struct st_endpoint e = {.key = {.peer_id = RIG_PEER}};
	struct rte_mbuf *m;
	const uint8_t *icmp;

	begin(false, true);
	endpoint_del(&e);
	send_lan(to_far(100));
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_no_endpoint), 1);
	CU_ASSERT(rig_event(ST_EV_KEY_NEEDED, NULL)); // who went idle is woken
	icmp = icmp_to_lan(&m);
	CU_ASSERT(icmp[0] == 3 && icmp[1] == 1);
	rte_pktmbuf_free(m);
	end();
}

static void too_big_with_df_gets_the_mtu(void)
{
	struct rte_mbuf *m = to_far(1421);
	const uint8_t *icmp;

	begin(false, true);
	rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *)->fragment_offset = htons(0x4000);
	rig_fix_ipv4(m, 0);
	send_lan(m);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_mtu_exceeded), 1);
	icmp = icmp_to_lan(&m);
	CU_ASSERT(icmp[0] == 3 && icmp[1] == 4);
	CU_ASSERT_EQUAL(icmp[6] << 8 | icmp[7], 1420);
	rte_pktmbuf_free(m);
	end();
}

static void too_big_without_df_is_fragmented_inside(void)
{
	struct rte_mbuf *m[8];
	unsigned int n, total = 0;

	begin(false, true);
	send_lan(to_far(1500));
	n = rig_take(RIG_DEV_WAN, m, 8);
	CU_ASSERT_EQUAL(n, 2);
	for (unsigned int i = 0; i < n; i++) {
		struct rte_ipv4_hdr *h;
		uint64_t counter;

		CU_ASSERT(rig_open(m[i], &counter));
		h = rte_pktmbuf_mtod(m[i], struct rte_ipv4_hdr *);
		CU_ASSERT_EQUAL(rte_raw_cksum(h, 20), 0xffff);
		CU_ASSERT_EQUAL(ntohs(h->fragment_offset), total / 8 | (i == 0 ? 0x2000 : 0));
		total += ntohs(h->total_length) - 20U;
		rte_pktmbuf_free(m[i]);
	}
	CU_ASSERT_EQUAL(total, 1480);
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	end();
}

static void over_the_path_mtu_the_outside_is_fragmented(void)
{
	struct rte_mbuf *m[8];
	struct st_endpoint e;
	unsigned int n;

	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		begin(ipv6, true);
		e = atomic_load(&rig.peer->endpoint)->ep;
		e.path_mtu = 1280;
		CU_ASSERT_EQUAL(endpoint_set(&e, NULL), 0);
		send_lan(to_far(1420));
		n = rig_take(RIG_DEV_WAN, m, 8);
		CU_ASSERT_EQUAL(n, 2);
		for (unsigned int i = 0; i < n; i++)
			CU_ASSERT(m[i]->pkt_len <= 14 + 1280);
		rte_pktmbuf_free_bulk(m, n);
		CU_ASSERT_EQUAL(rig_drops_all(), 0);
		end();
	}
}

static void keys_have_limits_when_sending(void)
{
	struct lcore_event ev;
	struct keypair *kp;

	begin(false, true);
	kp = atomic_load(&rig.peer->slots[ST_SLOT_CURRENT]);
	send_lan(to_far(100));
	CU_ASSERT(!rig_event(ST_EV_REKEY_DUE, NULL));
	atomic_store(&kp->send_counter, REKEY_AFTER_MESSAGES + 1);
	send_lan(to_far(100));
	send_lan(to_far(100));
	CU_ASSERT(rig_event(ST_EV_REKEY_DUE, &ev) && ev.index == RIG_INDEX);
	CU_ASSERT(!rig_event(ST_EV_REKEY_DUE, NULL));
	atomic_store(&kp->send_counter, REJECT_AFTER_MESSAGES - 1);
	for (int i = 0; i < 2; i++) { // both see a usable key, one counter is left
		struct rte_mbuf *m = to_far(100);

		rig_ether(m, RIG_LAN);
		rig_rx(0, RIG_LAN, m);
	}
	rig_passes(3);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_nonce_limit), 1);
	send_lan(to_far(100));
	CU_ASSERT(rig_event(ST_EV_KEY_NEEDED, NULL));
	CU_ASSERT_EQUAL(rig.peer->staged, 1);
	end();
}

static void an_old_keypair_is_not_used(void)
{
	begin(false, true);
	atomic_load(&rig.peer->slots[ST_SLOT_CURRENT])->expiry = 1;
	send_lan(to_far(100));
	CU_ASSERT_EQUAL(rig.peer->staged, 1);
	CU_ASSERT_PTR_NULL(rig_take_one(RIG_DEV_WAN));
	end();
}

static void the_responder_sends_under_a_confirmed_key_only(void)
{
	struct lcore_event ev;
	struct rte_mbuf *m;

	begin(false, false);
	rig_key(RIG_INDEX, ST_KEY_RESPONDER);
	send_lan(to_far(100));
	CU_ASSERT_EQUAL(rig.peer->staged, 1);
	m = rig_seal(NULL, RIG_INDEX, 0, false);
	rig_ether(m, RIG_WAN);
	rig_rx(1, RIG_WAN, m); // the peer belongs to lcore 1
	rig_passes(3);
	m = rig_take_one(RIG_DEV_WAN);
	CU_ASSERT_PTR_NOT_NULL(m);
	rte_pktmbuf_free(m);
	// A second one as initiator displaces current to previous; a third drops it.
	rig_reset();
	rig_key(RIG_INDEX + 1, ST_KEY_INITIATOR);
	rig_passes(2);
	CU_ASSERT_EQUAL(atomic_load(&rig.peer->slots[ST_SLOT_PREVIOUS])->index, RIG_INDEX);
	CU_ASSERT(!rig_event(LCORE_EV_KEY_GONE, NULL));
	rig_key(RIG_INDEX + 2, ST_KEY_INITIATOR);
	rig_passes(2);
	CU_ASSERT(rig_event(LCORE_EV_KEY_GONE, &ev) && ev.index == RIG_INDEX);
	CU_ASSERT_EQUAL(atomic_load(&rig.peer->slots[ST_SLOT_CURRENT])->index, RIG_INDEX + 2);
	end();
}

static void the_host_sends_through_the_tun(void)
{
	struct rte_mbuf *m;
	uint64_t counter;

	begin(false, true);
	rig_rx_host(0, RIG_WG, rig_udp4(0x0a630001, RIG_FAR_HOST, 1, 2, 200));
	rig_passes(3);
	m = rig_take_one(RIG_DEV_WAN);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT(rig_open(m, &counter));
	CU_ASSERT_EQUAL(rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *)->time_to_live, 64);
	rte_pktmbuf_free(m);
	end();
}

// The peer's endpoint lies behind the tunnel itself.
static void a_tunnel_that_leads_into_itself_ends(void)
{
	struct st_endpoint e;

	begin(false, true);
	e = atomic_load(&rig.peer->endpoint)->ep;
	e.if_id = RIG_WG;
	addr_from_ipv4(&e.remote, htonl(RIG_FAR_HOST));
	CU_ASSERT_EQUAL(endpoint_set(&e, NULL), 0);
	send_lan(to_far(100));
	rig_passes(6);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_loop), 1);
	CU_ASSERT_EQUAL(rig_drops_all(), 1);
	CU_ASSERT_PTR_NULL(rig_take_one(RIG_DEV_WAN));
	end();
}

static void a_control_endpoint_goes_to_main(void)
{
	struct rte_mbuf *m = NULL;
	struct st_endpoint e;
	uint64_t counter;

	begin(false, true);
	e = atomic_load(&rig.peer->endpoint)->ep;
	e.kind = ST_ENDPOINT_CONTROL;
	e.if_id = 0;
	CU_ASSERT_EQUAL(endpoint_set(&e, NULL), 0);
	send_lan(to_far(100));
	CU_ASSERT_EQUAL(rte_ring_sc_dequeue(lcores.lc[0]->to_main, (void **)&m), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_EQUAL(packet_of(m)->hash, RIG_PEER);
	CU_ASSERT_EQUAL(packet_of(m)->l4_off, 20);
	rte_pktmbuf_prepend(m, 14);
	CU_ASSERT(rig_open(m, &counter));
	rte_pktmbuf_free(m);
	end();
}

static void counters_are_for_the_peer_and_the_interface(void)
{
	struct peer_counts *c;
	uint64_t before = lcores.lc[0]->counts[RIG_WG].tx_bytes;

	begin(false, true);
	c = &rig.peer->counts[0];
	send_lan(to_far(100));
	CU_ASSERT_EQUAL(c->tx_bytes, 112 + 32);
	CU_ASSERT_EQUAL(c->tx_packets, 1);
	CU_ASSERT_EQUAL(lcores.lc[0]->counts[RIG_WG].tx_bytes - before, 100);
	CU_ASSERT(rig_event(ST_EV_PEER_ACTIVITY, NULL) || atomic_load(&rig.peer->activity_pending));
	end();
}

int main(void)
{
	static const struct rig_test tests[] = {
		{"an install as initiator sends a keepalive",
			an_install_as_initiator_sends_a_keepalive},
		{"LAN packets go out sealed", lan_packets_go_out_sealed},
		{"ECN is encapsulated", ecn_is_encapsulated},
		{"packets wait for a session in order", packets_wait_for_a_session_in_order},
		{"staged packets go with their peer and with time",
			staged_packets_go_with_their_peer_and_with_time},
		{"nobody's address is unreachable", nobodys_address_is_unreachable},
		{"a peer without endpoint is unreachable", a_peer_without_endpoint_is_unreachable},
		{"too big with DF gets the MTU", too_big_with_df_gets_the_mtu},
		{"too big without DF is fragmented inside", too_big_without_df_is_fragmented_inside},
		{"over the path MTU the outside is fragmented",
			over_the_path_mtu_the_outside_is_fragmented},
		{"keys have limits when sending", keys_have_limits_when_sending},
		{"an old keypair is not used", an_old_keypair_is_not_used},
		{"the responder sends under a confirmed key only",
			the_responder_sends_under_a_confirmed_key_only},
		{"the host sends through the TUN", the_host_sends_through_the_tun},
		{"a tunnel that leads into itself ends", a_tunnel_that_leads_into_itself_ends},
		{"a control endpoint goes to main", a_control_endpoint_goes_to_main},
		{"counters are for the peer and the interface",
			counters_are_for_the_peer_and_the_interface},
	};

	return rig_main("wg_encrypt", tests, RTE_DIM(tests));
}
