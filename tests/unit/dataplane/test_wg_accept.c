// SPDX-License-Identifier: BSD-3-Clause
//
// From the WAN into the box: classify, wg_open, wg_accept, and route to the LAN.
#include "rig.h"
#include "stage.h"
#include "stages/header.h"
#include "tables/portmap.h"

#include <rte_cycles.h>

#include <arpa/inet.h>
#include <stdlib.h>

static uint64_t counter;

static struct rte_mbuf *inner4(uint32_t len)
{
	return rig_udp4(RIG_FAR_HOST, RIG_LAN_HOST, 1000, 2000, len);
}

static void receive(struct rte_mbuf *m)
{
	rig_ether(m, RIG_WAN);
	rig_rx(0, RIG_WAN, m);
	rig_passes(3);
}

static void begin(uint32_t role)
{
	rig_peer(false);
	rig_key(RIG_INDEX, role);
	rig_passes(2);
	counter = 0;
	rig_reset();
}

static void end(void)
{
	rig_gone();
	rig_reset();
	CU_ASSERT(rig_pool_full());
}

static void data_of_the_peer_reaches_the_lan(void)
{
	struct lcore_event ev;
	struct rte_mbuf *m;

	begin(ST_KEY_RESPONDER);
	receive(rig_seal(inner4(100), RIG_INDEX, counter++, false));
	CU_ASSERT(rig_event(ST_EV_KEY_CONFIRMED, &ev) && ev.index == RIG_INDEX);
	m = rig_take_one(RIG_DEV_LAN);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_EQUAL(m->pkt_len, 114);
	CU_ASSERT_EQUAL(rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, 14)->time_to_live, 63);
	CU_ASSERT_EQUAL(rte_raw_cksum(rte_pktmbuf_mtod_offset(m, void *, 14), 20), 0xffff);
	rte_pktmbuf_free(m);
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	CU_ASSERT_EQUAL(rig.peer->counts[rig.peer->owner].rx_bytes, 32 + 112);
	end();
}

static void ipv6_inside_ipv6_reaches_the_lan(void)
{
	struct rte_mbuf *m;

	rig_peer(true);
	rig_key(RIG_INDEX, ST_KEY_RESPONDER);
	rig_passes(2);
	rig_reset();
	receive(rig_seal(rig_udp6("fd09::5", "fd01::5", 9, 200), RIG_INDEX, 0, true));
	m = rig_take_one(RIG_DEV_LAN);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_EQUAL(m->pkt_len, 214);
	CU_ASSERT_EQUAL(rte_pktmbuf_mtod_offset(m, struct rte_ipv6_hdr *, 14)->hop_limits, 63);
	rte_pktmbuf_free(m);
	CU_ASSERT(!rig_event(ST_EV_ENDPOINT_SEEN, NULL));
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	end();
}

static void a_counter_is_taken_once(void)
{
	begin(ST_KEY_RESPONDER);
	receive(rig_seal(inner4(100), RIG_INDEX, 5, false));
	receive(rig_seal(inner4(100), RIG_INDEX, 5, false));
	receive(rig_seal(inner4(100), RIG_INDEX, REJECT_AFTER_MESSAGES, false));
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_replay), 2);
	CU_ASSERT_EQUAL(rig_drops_all(), 2);
	end();
}

// Whatever the UDP checksum covers, the AEAD and the endpoint's tuple have shown to be right.
static void a_checksum_from_the_endpoint_is_not_needed(void)
{
	struct rte_mbuf *m;

	begin(ST_KEY_RESPONDER);
	m = rig_seal(inner4(100), RIG_INDEX, 5, false);
	rte_pktmbuf_mtod_offset(m, struct rte_udp_hdr *, 20)->dgram_cksum ^= 1;
	receive(m);
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	m = rig_take_one(RIG_DEV_LAN);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	rte_pktmbuf_free(m);
	end();
}

static void nothing_changes_before_the_tag_verifies(void)
{
	struct rte_mbuf *m;
	struct keypair *next;

	begin(ST_KEY_RESPONDER);
	next = atomic_load(&rig.peer->slots[ST_SLOT_NEXT]);
	m = rig_seal(inner4(100), RIG_INDEX, 9, false);
	rte_pktmbuf_mtod(m, uint8_t *)[60] ^= 1;
	rig_fix_udp4(m, 0);
	receive(m);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_bad_tag), 1);
	CU_ASSERT_EQUAL(rig_drops_all(), 1);
	CU_ASSERT_PTR_EQUAL(atomic_load(&rig.peer->slots[ST_SLOT_NEXT]), next);
	CU_ASSERT_EQUAL(next->replay.greatest, 0);
	CU_ASSERT(!rig_event(ST_EV_KEY_CONFIRMED, NULL));
	end();
}

static void keepalives_are_counted_and_end(void)
{
	begin(ST_KEY_RESPONDER);
	receive(rig_seal(NULL, RIG_INDEX, 0, false));
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	CU_ASSERT_EQUAL(rig.peer->counts[rig.peer->owner].rx_bytes, 32);
	CU_ASSERT_NOT_EQUAL(rig.peer->counts[rig.peer->owner].any_received, 0);
	CU_ASSERT_EQUAL(rig.peer->counts[rig.peer->owner].data_received, 0);
	end();
}

static void roaming_is_reported_once_per_change(void)
{
	struct lcore_event ev;
	struct rte_mbuf *m;

	begin(ST_KEY_RESPONDER);
	for (int i = 0; i < 2; i++) {
		m = rig_seal(NULL, RIG_INDEX, counter++, false);
		rte_pktmbuf_mtod_offset(m, struct rte_udp_hdr *, 20)->src_port = htons(7777);
		rig_fix_udp4(m, 0);
		receive(m);
	}
	CU_ASSERT(rig_event(ST_EV_ENDPOINT_SEEN, &ev));
	CU_ASSERT_EQUAL(ev.remote_port_be, htons(7777));
	CU_ASSERT_EQUAL(ev.if_id, RIG_WAN);
	CU_ASSERT_EQUAL(addr_to_ipv4(&ev.local), htonl(RIG_WAN_V4));
	CU_ASSERT(!rig_event(ST_EV_ENDPOINT_SEEN, NULL));
	end();
}

// A packet of the peer's from another port or address.
static void receive_from(uint32_t addr, uint16_t port)
{
	struct rte_mbuf *m = rig_seal(NULL, RIG_INDEX, counter++, false);

	rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *)->src_addr = htonl(addr);
	rte_pktmbuf_mtod_offset(m, struct rte_udp_hdr *, 20)->src_port = htons(port);
	rig_fix_udp4(m, 0);
	receive(m);
}

static const struct endpoint *where(void)
{
	return atomic_load(&rig.peer->endpoint);
}

static void answers_go_to_where_the_last_packet_came_from(void)
{
	uint32_t tuple;

	begin(ST_KEY_RESPONDER);
	tuple = where()->tuple;
	receive_from(0xc6336409, 7777);
	CU_ASSERT_EQUAL(addr_to_ipv4(&where()->ep.remote), htonl(0xc6336409));
	CU_ASSERT_EQUAL(where()->ep.remote_port_be, htons(7777));
	CU_ASSERT_EQUAL(addr_to_ipv4(&where()->ep.nexthop), htonl(0xc0000202)); // the gateway
	CU_ASSERT_EQUAL(((const struct rte_ipv4_hdr *)where()->header)->dst_addr, htonl(0xc6336409));
	CU_ASSERT_NOT_EQUAL(where()->tuple, tuple);
	CU_ASSERT_NOT_EQUAL(endpoint_selected_stamp(rig.peer), 0);
	CU_ASSERT(rig_event(ST_EV_ENDPOINT_SEEN, NULL));
	// Told again until straitd has set it, but not with each packet.
	receive_from(0xc6336409, 7777);
	CU_ASSERT(!rig_event(ST_EV_ENDPOINT_SEEN, NULL));
	rig.peer->seen_stamp = 1;
	receive_from(0xc6336409, 7777);
	CU_ASSERT(rig_event(ST_EV_ENDPOINT_SEEN, NULL));
	// Once, until main has made the next spare.
	rig.peer->seen_stamp = 1;
	receive_from(0xc6336409, 7778);
	CU_ASSERT_EQUAL(where()->ep.remote_port_be, htons(7777));
	endpoint_spare(rig.peer);
	rig.peer->seen_stamp = 1;
	receive_from(0xc6336409, 7779);
	CU_ASSERT_EQUAL(where()->ep.remote_port_be, htons(7779));
	end();
}

static void answers_come_from_the_address_that_the_peer_uses(void)
{
	static const uint32_t second = 0xc0000207; // 192.0.2.7 on the WAN, too
	struct st_portmap also = {
		.key = {.port_lo_be = htons(RIG_PORT), .port_hi_be = htons(RIG_PORT)},
		.owner = ST_OWNER_WIREGUARD};
	struct lcore_event ev;
	struct rte_mbuf *m;

	addr_from_ipv4(&also.key.addr, htonl(second));
	CU_ASSERT_EQUAL(portmap_set(&also, NULL), 0);
	begin(ST_KEY_RESPONDER);
	m = rig_seal(inner4(100), RIG_INDEX, counter++, false);
	rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *)->dst_addr = htonl(second);
	rig_fix_ipv4(m, 0);
	rig_fix_udp4(m, 0);
	receive(m);
	rte_pktmbuf_free(rig_take_one(RIG_DEV_LAN));
	CU_ASSERT(rig_event(ST_EV_ENDPOINT_SEEN, &ev));
	CU_ASSERT_EQUAL(addr_to_ipv4(&ev.local), htonl(second));
	CU_ASSERT_EQUAL(addr_to_ipv4(&where()->ep.local), htonl(second));
	CU_ASSERT_EQUAL(addr_to_ipv4(&where()->ep.remote), htonl(RIG_PEER_V4));
	m = rig_udp4(RIG_LAN_HOST, RIG_FAR_HOST, 1, 2, 100);
	rig_ether(m, RIG_LAN);
	rig_rx(0, RIG_LAN, m);
	rig_passes(3);
	m = rig_take_one(RIG_DEV_WAN);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_EQUAL(
		rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, 14)->src_addr, htonl(second));
	CU_ASSERT_EQUAL(rte_raw_cksum(rte_pktmbuf_mtod_offset(m, void *, 14), 20), 0xffff);
	CU_ASSERT_EQUAL(
		rte_ipv4_udptcp_cksum_verify(rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, 14),
			rte_pktmbuf_mtod_offset(m, void *, 34)),
		0);
	rte_pktmbuf_free(m);
	// In the other family it is straitd that finds the way.
	endpoint_spare(rig.peer);
	rig.peer->seen_stamp = 1;
	receive(rig_seal(NULL, RIG_INDEX, counter++, true));
	CU_ASSERT(rig_event(ST_EV_ENDPOINT_SEEN, NULL));
	CU_ASSERT_EQUAL(addr_to_ipv4(&where()->ep.local), htonl(second));
	portmap_del(&also);
	end();
}

static void a_replayed_or_nominated_tuple_moves_nothing(void)
{
	struct st_endpoint e;

	begin(ST_KEY_RESPONDER);
	receive_from(RIG_PEER_V4, RIG_PEER_PORT);
	counter--;
	receive_from(0xc6336409, 7777);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_replay), 1);
	CU_ASSERT_EQUAL(where()->ep.remote_port_be, htons(RIG_PEER_PORT));
	e = where()->ep;
	e.flags = ST_ENDPOINT_F_NOMINATED;
	CU_ASSERT_EQUAL(endpoint_set(&e, NULL), 0);
	receive_from(0xc6336409, 7777);
	CU_ASSERT(rig_event(ST_EV_ENDPOINT_SEEN, NULL));
	CU_ASSERT_EQUAL(where()->ep.remote_port_be, htons(RIG_PEER_PORT));
	end();
}

struct bad_inner {
	const char *what;
	void (*spoil)(struct rte_ipv4_hdr *h);
	enum st_drop why;
};

static void version5(struct rte_ipv4_hdr *h)
{
	h->version_ihl = 0x55;
}

static void too_long(struct rte_ipv4_hdr *h)
{
	h->total_length = htons(500);
}

static void short_header(struct rte_ipv4_hdr *h)
{
	h->version_ihl = 0x44;
}

static void foreign_source(struct rte_ipv4_hdr *h)
{
	h->src_addr = htonl(RIG_LAN_HOST);
	h->hdr_checksum = 0;
	h->hdr_checksum = rte_ipv4_cksum(h);
}

static void wrong_checksum(struct rte_ipv4_hdr *h)
{
	h->hdr_checksum ^= 1;
}

static void bad_inner_packets_are_dropped_by_name(void)
{
	static const struct bad_inner table[] = {
		{"version", version5, ST_DROP_wg_inner_version},
		{"length", too_long, ST_DROP_wg_inner_length},
		{"header", short_header, ST_DROP_wg_inner_length},
		{"source", foreign_source, ST_DROP_wg_not_allowed},
		{"checksum", wrong_checksum, ST_DROP_rx_bad_ip},
	};

	begin(ST_KEY_RESPONDER);
	for (unsigned int i = 0; i < RTE_DIM(table); i++) {
		struct rte_mbuf *m = inner4(100);

		table[i].spoil(rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *));
		rig_reset();
		receive(rig_seal(m, RIG_INDEX, counter++, false));
		CU_ASSERT_EQUAL(rig_drops(table[i].why), 1);
		CU_ASSERT_EQUAL(rig_drops_all(), 1);
	}
	end();
}

// The first fragment of a datagram and a later one: nothing of them is put together here.
static void inner_fragments_pass_untouched(void)
{
	static const uint16_t offsets[] = {0x2000, 0x2000 | 100, 200};

	begin(ST_KEY_RESPONDER);
	for (unsigned int i = 0; i < RTE_DIM(offsets); i++) {
		struct rte_mbuf *m = inner4(100);

		rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *)->fragment_offset = htons(offsets[i]);
		rig_fix_ipv4(m, 0);
		receive(rig_seal(m, RIG_INDEX, counter++, false));
		m = rig_take_one(RIG_DEV_LAN);
		CU_ASSERT_PTR_NOT_NULL_FATAL(m);
		CU_ASSERT_EQUAL(m->pkt_len, 114);
		CU_ASSERT_EQUAL(rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, 14)->fragment_offset,
			htons(offsets[i]));
		rte_pktmbuf_free(m);
	}
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	end();
}

// ECN field of an IP packet in front of m at off, and the one that goes there.
static uint8_t ecn_get(struct rte_mbuf *m, uint32_t off, bool ipv6)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, off);

	return ipv6 ? ip[1] >> 4 & 3 : ip[1] & 3;
}

static void ecn_put(struct rte_mbuf *m, bool ipv6, uint8_t ecn)
{
	uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *);

	if (ipv6) {
		ip[1] |= (uint8_t)(ecn << 4);
	} else {
		ip[1] |= ecn;
		rig_fix_ipv4(m, 0);
	}
}

static uint8_t ecn_delivered(uint8_t outer, uint8_t inner, bool outer6, bool inner6)
{
	struct rte_mbuf *m = inner6 ? rig_udp6("fd09::5", "fd01::5", 9, 100) : inner4(100);
	uint8_t ecn;

	ecn_put(m, inner6, inner);
	m = rig_seal(m, RIG_INDEX, counter++, outer6);
	ecn_put(m, outer6, outer);
	receive(m);
	m = rig_take_one(RIG_DEV_LAN);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	ecn = ecn_get(m, 14, inner6);
	if (!inner6)
		CU_ASSERT_EQUAL(rte_raw_cksum(rte_pktmbuf_mtod_offset(m, void *, 14), 20), 0xffff);
	rte_pktmbuf_free(m);
	return ecn;
}

// RFC 6040 figure 4 for all four families, with Linux's answer where the figure says drop: CE over a packet
// that is not ECN-capable passes unmarked.
static void ecn_is_decapsulated(void)
{
	static const uint8_t result[4][4] = {
		// outer: not, ECT(1), ECT(0), CE
		{0, 0, 0, 0}, // inner not ECN-capable
		{1, 1, 1, 3}, // ECT(1)
		{2, 1, 2, 3}, // ECT(0)
		{3, 3, 3, 3}, // CE
	};

	for (int families = 0; families < 4; families++) {
		rig_peer(families & 1);
		rig_key(RIG_INDEX, ST_KEY_RESPONDER);
		rig_passes(2);
		counter = 0;
		rig_reset();
		for (uint8_t inner = 0; inner < 4; inner++)
			for (uint8_t outer = 0; outer < 4; outer++)
				CU_ASSERT_EQUAL(
					ecn_delivered(outer, inner, families & 1, families & 2),
					result[inner][outer]);
		CU_ASSERT_EQUAL(rig_drops_all(), 0);
		end();
	}
}

static void other_messages_go_up(void)
{
	struct rte_mbuf *m = rig_seal(NULL, RIG_INDEX, 0, false);

	begin(ST_KEY_RESPONDER);
	rte_pktmbuf_mtod(m, uint8_t *)[28] = 1;
	rig_fix_udp4(m, 0);
	receive(m);
	m = rig_take_one(RIG_DEV_WAN_TAP);
	CU_ASSERT_PTR_NOT_NULL(m);
	rte_pktmbuf_free(m);
	m = rig_seal(NULL, RIG_INDEX, 0, false);
	rte_pktmbuf_mtod(m, uint8_t *)[29] = 1; // 04 01 00 00 is not the LE32 4
	rig_fix_udp4(m, 0);
	receive(m);
	m = rig_take_one(RIG_DEV_WAN_TAP);
	CU_ASSERT_PTR_NOT_NULL(m);
	rte_pktmbuf_free(m);
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	end();
}

static void receive_at_port(uint16_t port)
{
	struct rte_mbuf *m = rig_seal(NULL, RIG_INDEX, counter++, false);

	rte_pktmbuf_mtod_offset(m, struct rte_udp_hdr *, 20)->dst_port = htons(port);
	rig_fix_udp4(m, 0);
	receive(m);
}

// ICE with a port per peer: it is not the interface's, and data of its sessions is taken there.
static void a_port_of_a_peer_takes_data_and_another_interfaces_does_not(void)
{
	struct st_portmap own = {.key = {.port_lo_be = htons(40001), .port_hi_be = htons(40001)},
		.owner = ST_OWNER_PEER};
	struct st_portmap other;

	addr_from_ipv4(&own.key.addr, htonl(RIG_WAN_V4));
	other = own;
	other.key.port_lo_be = other.key.port_hi_be = htons(40002);
	other.owner = ST_OWNER_WIREGUARD;
	begin(ST_KEY_RESPONDER);
	CU_ASSERT_EQUAL(portmap_set(&own, NULL), 0);
	CU_ASSERT_EQUAL(portmap_set(&other, NULL), 0);
	receive_at_port(40001);
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	rte_pktmbuf_free(rig_take_one(RIG_DEV_LAN));
	receive_at_port(40002);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_no_session), 1);
	portmap_del(&own);
	portmap_del(&other);
	end();
}

static void bad_datagrams_are_dropped_by_name(void)
{
	struct rte_mbuf *m;

	begin(ST_KEY_RESPONDER);
	receive(rig_seal(NULL, RIG_INDEX + 1, 0, false));
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_no_session), 1);
	m = rig_seal(NULL, RIG_INDEX, 0, false);
	rte_pktmbuf_mtod_offset(m, struct rte_udp_hdr *, 20)->src_port ^= 1; // no new checksum
	receive(m);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_udp_bad_checksum), 1);
	m = rig_seal(NULL, RIG_INDEX, 0, false);
	rte_pktmbuf_mtod_offset(m, struct rte_udp_hdr *, 20)->dgram_len = htons(200);
	receive(m);
	m = rig_seal(NULL, RIG_INDEX, 0, false);
	rte_pktmbuf_mtod_offset(m, struct rte_udp_hdr *, 20)->dgram_len = htons(7);
	receive(m);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_udp_bad_length), 2);
	m = rig_seal(NULL, RIG_INDEX, 0, false);
	rte_pktmbuf_mtod_offset(m, struct rte_udp_hdr *, 20)->dgram_len = htons(8 + 31);
	receive(m);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_malformed), 1);
	atomic_load(&rig.peer->slots[ST_SLOT_NEXT])->expiry = 1;
	receive(rig_seal(NULL, RIG_INDEX, 0, false));
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_expired), 1);
	CU_ASSERT_EQUAL(rig_drops_all(), 6);
	end();
}

// What becomes of a data packet that ends after len bytes of UDP payload.
static enum st_drop truncated(uint32_t len)
{
	struct rte_mbuf *m = rig_seal(inner4(60), RIG_INDEX, counter++, false);
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *);

	rte_pktmbuf_trim(m, (uint16_t)(m->pkt_len - 28 - len));
	ip->total_length = htons((uint16_t)(28 + len));
	rte_pktmbuf_mtod_offset(m, struct rte_udp_hdr *, 20)->dgram_len = htons((uint16_t)(8 + len));
	rig_fix_ipv4(m, 0);
	rig_fix_udp4(m, 0);
	rig_reset();
	receive(m);
	CU_ASSERT_PTR_NULL(rig_take_one(RIG_DEV_LAN));
	for (enum st_drop why = 0; why < ST_DROP_COUNT; why++)
		if (rig_drops(why) == 1)
			return why;
	return ST_DROP_COUNT;
}

static void truncated_data_has_its_name_at_every_length(void)
{
	struct rte_mbuf *m;

	begin(ST_KEY_RESPONDER);
	for (uint32_t len = 0; len < 4; len++) { // not even a type: the socket's
		CU_ASSERT_EQUAL(truncated(len), ST_DROP_COUNT);
		m = rig_take_one(RIG_DEV_WAN_TAP);
		CU_ASSERT_PTR_NOT_NULL(m);
		rte_pktmbuf_free(m);
	}
	for (uint32_t len = 4; len < 32; len++)
		CU_ASSERT_EQUAL(truncated(len), ST_DROP_wg_malformed);
	for (uint32_t len = 32; len < 16 + 64 + 16; len++)
		CU_ASSERT_EQUAL(truncated(len), ST_DROP_wg_bad_tag);
	CU_ASSERT_EQUAL(rig.peer->counts[rig.peer->owner].rx_packets, 0);
	end();
}

static void an_initiator_asks_for_a_new_key_while_it_only_receives(void)
{
	struct lcore_event ev;
	struct keypair *kp;

	begin(ST_KEY_INITIATOR);
	kp = atomic_load(&rig.peer->slots[ST_SLOT_CURRENT]);
	receive(rig_seal(NULL, RIG_INDEX, counter++, false));
	CU_ASSERT(!rig_event(ST_EV_REKEY_DUE, NULL));
	kp->rekey_rx_at = rte_rdtsc();
	receive(rig_seal(NULL, RIG_INDEX, counter++, false));
	CU_ASSERT(rig_event(ST_EV_REKEY_DUE, &ev) && ev.index == RIG_INDEX);
	receive(rig_seal(NULL, RIG_INDEX, counter++, false));
	CU_ASSERT(!rig_event(ST_EV_REKEY_DUE, NULL));
	end();
}

static void nothing_is_told_of_a_removed_peer(void)
{
	struct rte_mbuf *m;

	begin(ST_KEY_RESPONDER);
	atomic_store(&rig.peer->dead, true); // its id may be another one's already
	m = rig_seal(inner4(100), RIG_INDEX, counter++, false);
	rte_pktmbuf_mtod_offset(m, struct rte_udp_hdr *, 20)->src_port = htons(7777);
	rig_fix_udp4(m, 0);
	receive(m);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_peer_removed), 1);
	CU_ASSERT_EQUAL(rig_drops_all(), 1);
	CU_ASSERT(!rig_event(ST_EV_ENDPOINT_SEEN, NULL));
	CU_ASSERT(!rig_event(ST_EV_KEY_CONFIRMED, NULL));
	atomic_store(&rig.peer->dead, false);
	end();
}

static void enter(enum st_stage stage, uint16_t if_id, struct rte_mbuf *m)
{
	struct packet *p = packet_of(m);

	memset(p, 0, sizeof(*p));
	p->iif = if_id;
	p->stamp = rte_rdtsc();
	stage_push(lcores.lc[0], stage, m);
}

// What was inside of a datagram of this box is not of this box, and may wait for longer than its key lives.
static void what_was_inside_forgets_its_datagram(void)
{
	struct rte_mbuf *m;

	begin(ST_KEY_RESPONDER);
	m = rig_seal(inner4(100), RIG_INDEX, counter++, false);
	rig_ether(m, RIG_WAN);
	enter(ST_STAGE_rx, RIG_WAN, m);
	stage_drain(lcores.lc[0], ST_STAGE_rx);
	packet_of(m)->flags |= PACKET_F_OURS;
	rig_passes(3);
	m = rig_take_one(RIG_DEV_LAN);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_PTR_NULL(packet_of(m)->keypair);
	CU_ASSERT_EQUAL(packet_of(m)->flags & PACKET_F_OURS, 0);
	rte_pktmbuf_free(m);
	end();
}

static void data_waits_at_wg_open(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct rte_mbuf *m = rig_seal(rig_udp4(RIG_FAR_HOST, RIG_FAR_HOST + 1, 1, 2, 60),
			RIG_INDEX, counter++, false);

		rig_ether(m, RIG_WAN);
		enter(ST_STAGE_rx, RIG_WAN, m);
	}
	stage_drain(lcores.lc[0], ST_STAGE_rx);
	stage_drain(lcores.lc[0], ST_STAGE_classify);
	CU_ASSERT_EQUAL(lcores.lc[0]->in[ST_STAGE_wg_open].n, n);
}

// Between wg_open and wg_encrypt every vec is full: opening a burst runs all of them, and sealing a burst
// comes in the middle of opening one.
static void a_seal_may_come_inside_of_an_open(void)
{
	struct lcore *lc = lcores.lc[0];
	uint64_t sealed = lc->stats[ST_STAGE_wg_encrypt].packets, all = 4 * VEC_MAX;

	begin(ST_KEY_INITIATOR);
	atomic_store(&rig.peer->owner, 0);
	lc->now = rte_rdtsc();
	data_waits_at_wg_open(VEC_MAX);
	stage_drain(lc, ST_STAGE_wg_open);
	CU_ASSERT_EQUAL(lc->in[ST_STAGE_wg_accept].n, VEC_MAX);
	data_waits_at_wg_open(VEC_MAX);
	for (unsigned int i = 0; i < VEC_MAX; i++) {
		struct rte_mbuf *m = rig_udp4(RIG_LAN_HOST, RIG_FAR_HOST, 1, 2, 60);

		enter(ST_STAGE_wg_encrypt, RIG_LAN, m);
		packet_of(m)->oif = RIG_WG;
		enter(ST_STAGE_route, RIG_LAN, rig_udp4(RIG_LAN_HOST, RIG_FAR_HOST, 1, 2, 60));
	}
	rig_pass(0);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_bad_tag), 0);
	CU_ASSERT_EQUAL(lc->stats[ST_STAGE_wg_encrypt].packets - sealed, all);
	// The ring to the lcore that sends on the WAN takes what it can, and all others are counted.
	CU_ASSERT_EQUAL(rig_drops_all(), rig_drops(ST_DROP_handoff_full));
	rig_passes(HANDOFF_RING / OUTBUF_MAX); // empties the ring
	end();
}

static void a_frame_for_a_device_that_went_is_dropped(void)
{
	static const uint16_t ports[] = {RIG_DEV_LAN_TAP, RIG_DEV_LAN};

	begin(ST_KEY_RESPONDER);
	for (unsigned int i = 0; i < RTE_DIM(ports); i++) {
		struct rte_mbuf *m = inner4(60), *sent;

		rig_ether(m, RIG_LAN);
		enter(ST_STAGE_tx, RIG_WAN, m);
		packet_of(m)->flags = PACKET_F_BY_HANDOFF;
		packet_of(m)->oif = RIG_LAN;
		packet_of(m)->out_port = ports[i];
		rig_pass(0);
		sent = rig_take_one((enum rig_device)ports[i]);
		CU_ASSERT_EQUAL(sent != NULL, i == 1);
		CU_ASSERT_EQUAL(rig_drops(ST_DROP_iface_down), 1);
		rte_pktmbuf_free(sent);
	}
	end();
}

static void garbage_leaves_the_pool_full(void)
{
	begin(ST_KEY_RESPONDER);
	srand(1);
	for (int i = 0; i < 20000; i++) {
		struct rte_mbuf *m =
			rig_seal(i & 1 ? NULL : inner4(60), RIG_INDEX, (uint64_t)i, i & 2);
		uint8_t *b = rte_pktmbuf_mtod(m, uint8_t *);

		for (int k = rand() % 3; k >= 0; k--)
			b[(unsigned int)rand() % m->pkt_len] ^= (uint8_t)(1U << (rand() % 8));
		if (rand() % 4 == 0)
			rte_pktmbuf_trim(m, (uint16_t)((unsigned int)rand() % m->pkt_len));
		if (m->pkt_len == 0)
			rte_pktmbuf_append(m, 1);
		rig_ether(m, RIG_WAN);
		rig_rx((uint16_t)(rand() & 1), RIG_WAN, m);
		if (i % 64 == 63)
			rig_reset();
	}
	rig_skip(6); // what looked like a fragment, or waits for a neighbour
	end();
}

int main(void)
{
	static const struct rig_test tests[] = {
		{"data of the peer reaches the LAN", data_of_the_peer_reaches_the_lan},
		{"IPv6 inside IPv6 reaches the LAN", ipv6_inside_ipv6_reaches_the_lan},
		{"a counter is taken once", a_counter_is_taken_once},
		{"a checksum from the endpoint is not needed",
			a_checksum_from_the_endpoint_is_not_needed},
		{"nothing changes before the tag verifies", nothing_changes_before_the_tag_verifies},
		{"keepalives are counted and end", keepalives_are_counted_and_end},
		{"roaming is reported once per change", roaming_is_reported_once_per_change},
		{"answers go to where the last packet came from",
			answers_go_to_where_the_last_packet_came_from},
		{"answers come from the address that the peer uses",
			answers_come_from_the_address_that_the_peer_uses},
		{"a replayed or nominated tuple moves nothing",
			a_replayed_or_nominated_tuple_moves_nothing},
		{"bad inner packets are dropped by name", bad_inner_packets_are_dropped_by_name},
		{"inner fragments pass untouched", inner_fragments_pass_untouched},
		{"ECN is decapsulated", ecn_is_decapsulated},
		{"other messages go up", other_messages_go_up},
		{"a port of a peer takes data and another interface's does not",
			a_port_of_a_peer_takes_data_and_another_interfaces_does_not},
		{"bad datagrams are dropped by name", bad_datagrams_are_dropped_by_name},
		{"truncated data has its name at every length",
			truncated_data_has_its_name_at_every_length},
		{"an initiator asks for a new key while it only receives",
			an_initiator_asks_for_a_new_key_while_it_only_receives},
		{"nothing is told of a removed peer", nothing_is_told_of_a_removed_peer},
		{"a seal may come inside of an open", a_seal_may_come_inside_of_an_open},
		{"a frame for a device that went is dropped",
			a_frame_for_a_device_that_went_is_dropped},
		{"what was inside forgets its datagram", what_was_inside_forgets_its_datagram},
		{"garbage leaves the pool full", garbage_leaves_the_pool_full},
	};

	return rig_main("wg_accept", tests, RTE_DIM(tests));
}
