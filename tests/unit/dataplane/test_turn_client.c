// SPDX-License-Identifier: BSD-3-Clause
//
// A peer behind a TURN server: WireGuard data out of ChannelData and Data indications, into ChannelData
// and Send indications, and which tuple a packet counts for.
#include "rig.h"
#include "server/object.h"
#include "stages/header.h"
#include "stages/turn_client.h"

#include <rte_cycles.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#define CLIENT_PORT 5000
#define SERVER_V4   0xcb007105 // 203.0.113.5
#define SERVER_PORT 3478
#define CHANNEL     0x4321
#define RELAYED_V4  0xc6336463 // the peer's relayed address, 198.51.100.99
#define RELAYED     49160

static uint64_t counter;

static struct st_addr addr4(uint32_t ip)
{
	struct st_addr a;

	addr_from_ipv4(&a, htonl(ip));
	return a;
}

static struct st_addr addr6(const char *s)
{
	struct st_addr a;

	inet_pton(AF_INET6, s, a.b);
	return a;
}

static struct st_endpoint relayed(uint32_t slot, uint16_t channel, struct st_addr peer)
{
	return (struct st_endpoint){.key = {.peer_id = RIG_PEER, .slot = slot},
		.local = addr4(RIG_WAN_V4),
		.remote = addr4(SERVER_V4),
		.nexthop = addr4(0xc0000202),
		.local_port_be = htons(CLIENT_PORT),
		.remote_port_be = htons(SERVER_PORT),
		.if_id = RIG_WAN,
		.path_mtu = 1500,
		.kind = ST_ENDPOINT_CHANNEL,
		.relay_peer = peer,
		.relay_peer_port_be = htons(RELAYED),
		.channel = channel};
}

static int put(const struct st_endpoint *e)
{
	return object_set(ST_ENDPOINT, e, sizeof(*e), NULL, 0, 0);
}

static void begin(void)
{
	struct st_portmap map = {.key = {.addr = addr4(RIG_WAN_V4),
					 .port_lo_be = htons(CLIENT_PORT),
					 .port_hi_be = htons(CLIENT_PORT)},
		.owner = ST_OWNER_TURN_CLIENT};

	CU_ASSERT_EQUAL(object_set(ST_PORTMAP, &map, sizeof(map), NULL, 0, 0), 0);
	rig_peer(false);
	rig_key(RIG_INDEX, ST_KEY_INITIATOR);
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

// A datagram of the TURN server: prefix, a data message of the peer with an empty or a real inner packet,
// suffix.
static struct rte_mbuf *from_server(
	bool keepalive, const void *prefix, uint32_t n, const void *suffix, uint32_t tail)
{
	struct rte_mbuf *inner =
		keepalive ? NULL : rig_udp4(RIG_FAR_HOST, RIG_LAN_HOST, 1000, 2000, 100);
	struct rte_mbuf *wg = rig_seal(inner, RIG_INDEX, counter++, false);
	uint32_t len = wg->pkt_len - 28;
	struct rte_mbuf *m =
		rig_udp4(SERVER_V4, RIG_WAN_V4, SERVER_PORT, CLIENT_PORT, 28 + n + len + tail);
	uint8_t *at = rte_pktmbuf_mtod_offset(m, uint8_t *, 28);

	memcpy(at, prefix, n);
	memcpy(at + n, rte_pktmbuf_mtod_offset(wg, void *, 28), len);
	if (tail > 0)
		memcpy(at + n + len, suffix, tail);
	rte_pktmbuf_free(wg);
	rig_fix_udp4(m, 0);
	return m;
}

static void receive(struct rte_mbuf *m)
{
	rig_ether(m, RIG_WAN);
	rig_rx(0, RIG_WAN, m);
	rig_passes(3);
}

static void reaches_the_lan(struct rte_mbuf *m)
{
	receive(m);
	m = rig_take_one(RIG_DEV_LAN);
	CU_ASSERT_PTR_NOT_NULL(m);
	rte_pktmbuf_free(m);
}

// As it came: the whole frame, to the last byte.
static void goes_to_the_socket(struct rte_mbuf *m)
{
	struct rte_mbuf *copy = rte_pktmbuf_copy(m, rig.pool, 0, UINT32_MAX);

	receive(m);
	m = rig_take_one(RIG_DEV_WAN_TAP);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_EQUAL_FATAL(m->pkt_len, copy->pkt_len + 14);
	CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_mtod_offset(m, void *, 14),
				rte_pktmbuf_mtod(copy, void *), copy->pkt_len),
		0);
	rte_pktmbuf_free(m);
	rte_pktmbuf_free(copy);
}

static bool selected(void)
{
	return endpoint_selected_stamp(rig.peer) != 0;
}

static void channel_data_is_taken_out(void)
{
	static const uint8_t keepalive[4] = {CHANNEL >> 8, CHANNEL & 0xff, 0, 32};
	static const uint8_t data[4] = {CHANNEL >> 8, CHANNEL & 0xff, 0, 144};
	static const uint8_t odd[4] = {CHANNEL >> 8, CHANNEL & 0xff, 0, 145};
	static const uint8_t high[4] = {0x50, 0, 0, 144};
	static const uint8_t zeros[4];
	struct st_endpoint e = relayed(0, CHANNEL, addr4(RELAYED_V4));

	begin();
	CU_ASSERT_EQUAL(put(&e), 0);
	rig_passes(2);
	CU_ASSERT(!selected());
	reaches_the_lan(from_server(false, data, 4, NULL, 0));
	CU_ASSERT(selected());
	reaches_the_lan(from_server(false, data, 4, zeros, 4)); // what is behind is padding
	receive(from_server(true, keepalive, 4, NULL, 0));
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	CU_ASSERT_EQUAL(rig.peer->counts[rig.peer->owner].rx_bytes, 2 * 144 + 32);
	CU_ASSERT(!rig_event(ST_EV_ENDPOINT_SEEN, NULL));
	goes_to_the_socket(from_server(false, odd, 4, NULL, 0)); // more than there is
	goes_to_the_socket(from_server(false, high, 4, NULL, 0));
	goes_to_the_socket(from_server(false, zeros, 4, NULL, 0));
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	end();
}

struct indication {
	uint8_t b[128];
	uint32_t n;
};

static void attr(struct indication *i, uint16_t type, uint16_t len, const void *v, uint32_t n)
{
	uint8_t *at = i->b + i->n;

	at[0] = (uint8_t)(type >> 8);
	at[1] = (uint8_t)type;
	at[2] = (uint8_t)(len >> 8);
	at[3] = (uint8_t)len;
	if (n > 0)
		memcpy(at + 4, v, n);
	i->n += 4 + n;
}

static void start(struct indication *i)
{
	static const uint8_t head[20] = {
		0, 0x17, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

	memcpy(i->b, head, 20);
	i->n = 20;
}

// The whole message has this many bytes behind its header.
static void finish(struct indication *i, uint32_t body)
{
	i->b[2] = (uint8_t)(body >> 8);
	i->b[3] = (uint8_t)body;
}

static void peer4(struct indication *i)
{
	const uint8_t v[8] = {0, 1, (RELAYED >> 8) ^ 0x21, (RELAYED & 0xff) ^ 0x12,
		(RELAYED_V4 >> 24) ^ 0x21, ((RELAYED_V4 >> 16) & 0xff) ^ 0x12,
		((RELAYED_V4 >> 8) & 0xff) ^ 0xa4, (RELAYED_V4 & 0xff) ^ 0x42};

	attr(i, 0x12, 8, v, 8);
}

static void data_indications_are_taken_out(void)
{
	static const uint8_t pad3[3];
	struct st_endpoint e = relayed(0, CHANNEL, addr4(RELAYED_V4));
	struct indication i, tail;

	begin();
	CU_ASSERT_EQUAL(put(&e), 0);
	rig_passes(2);
	start(&i); // the usual order
	peer4(&i);
	attr(&i, 0x13, 144, NULL, 0);
	finish(&i, i.n - 20 + 144);
	reaches_the_lan(from_server(false, i.b, i.n, NULL, 0));
	CU_ASSERT(selected());
	start(&i); // the other way round, with what may be skipped before and behind
	attr(&i, 0x8022, 1, "x\0\0", 4);
	attr(&i, 0x13, 144, NULL, 0);
	tail.n = 0;
	peer4(&tail);
	attr(&tail, 0x8099, 4, "abcd", 4);
	finish(&i, i.n - 20 + 144 + tail.n);
	reaches_the_lan(from_server(false, i.b, i.n, tail.b, tail.n));
	start(&i); // padded data
	peer4(&i);
	attr(&i, 0x13, 141, NULL, 0);
	finish(&i, i.n - 20 + 144);
	receive(from_server(false, i.b, i.n, NULL, 0)); // cut by 3 bytes: the tag is wrong
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_bad_tag), 1);
	start(&i);
	peer4(&i);
	attr(&i, 0x13, 145, NULL, 0);
	finish(&i, i.n - 20 + 148);
	receive(from_server(false, i.b, i.n, pad3, 3)); // datagram shorter than it says
	CU_ASSERT_EQUAL(rig_drops_all(), 1);
	CU_ASSERT(!rig_event(ST_EV_ENDPOINT_SEEN, NULL));
	end();
}

static void what_is_not_data_goes_to_the_socket(void)
{
	static const struct {
		uint16_t first;
		uint32_t type; // of an attribute in front of the others, 0 = none
		int body;      // added to the length in the header
		bool cookie, peer, data;
	} table[] = {
		{0x0017, 0, 4, true, true, true},
		{0x0017, 0, -4, true, true, true},
		{0x0017, 0, 0, false, true, true},
		{0x0017, 0, 0, true, false, true},
		{0x0017, 0, 0, true, true, false},
		{0x0017, 0x002a, 0, true, true, true}, // must be understood
		{0x0017, 0x8028, 0, true, true, true}, // a FINGERPRINT, wrong and not the last
		{0x0016, 0, 0, true, true, true},
		{0x0101, 0, 0, true, true, true},
	};

	begin();
	for (unsigned int k = 0; k < RTE_DIM(table); k++) {
		struct indication i;

		start(&i);
		i.b[0] = (uint8_t)(table[k].first >> 8);
		i.b[1] = (uint8_t)table[k].first;
		if (!table[k].cookie)
			i.b[4] ^= 1;
		if (table[k].type != 0)
			attr(&i, (uint16_t)table[k].type, 4, "abcd", 4);
		if (table[k].peer)
			peer4(&i);
		attr(&i, table[k].data ? 0x13 : 0x8099, 144, NULL, 0);
		finish(&i, (uint32_t)((int)i.n - 20 + 144 + table[k].body));
		goes_to_the_socket(from_server(false, i.b, i.n, NULL, 0));
	}
	goes_to_the_socket(rig_udp4(SERVER_V4, RIG_WAN_V4, SERVER_PORT, CLIENT_PORT, 29));
	goes_to_the_socket(rig_udp4(SERVER_V4, RIG_WAN_V4, SERVER_PORT, CLIENT_PORT, 28));
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	end();
}

static void mutated_datagrams_leave_the_pool_full(void)
{
	struct indication i;

	begin();
	srand(2);
	for (int k = 0; k < 20000; k++) {
		struct rte_mbuf *m;
		uint8_t *b;

		start(&i);
		peer4(&i);
		attr(&i, 0x13, 144, NULL, 0);
		finish(&i, i.n - 20 + 144);
		m = from_server(false, i.b, i.n, NULL, 0);
		b = rte_pktmbuf_mtod(m, uint8_t *);
		for (int n = rand() % 4; n >= 0; n--)
			b[28 + (unsigned int)rand() % 48] ^= (uint8_t)(1U << (rand() % 8));
		rig_fix_udp4(m, 0);
		rig_ether(m, RIG_WAN);
		rig_rx((uint16_t)(rand() & 1), RIG_WAN, m);
		if (k % 64 == 63)
			rig_reset();
	}
	end();
}

static void seal_and_take(struct rte_mbuf **ret)
{
	struct rte_mbuf *m = rig_udp4(RIG_LAN_HOST, RIG_FAR_HOST, 1000, 2000, 100);

	rig_ether(m, RIG_LAN);
	rig_rx(0, RIG_LAN, m);
	rig_passes(3);
	*ret = rig_take_one(RIG_DEV_WAN);
	CU_ASSERT_PTR_NOT_NULL_FATAL(*ret);
}

// Checks the outer headers and cuts the TURN header out, so that the rig can open the rest.
static void check_outer(struct rte_mbuf *m, uint32_t turn, uint32_t wg_len, uint32_t padding)
{
	struct rte_ipv4_hdr *h = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, 14);
	struct rte_udp_hdr *u = (void *)(h + 1);

	CU_ASSERT_EQUAL_FATAL(m->pkt_len, 14 + 28 + turn + wg_len + padding);
	CU_ASSERT_EQUAL(h->dst_addr, htonl(SERVER_V4));
	CU_ASSERT_EQUAL(u->dst_port, htons(SERVER_PORT));
	CU_ASSERT_EQUAL(u->src_port, htons(CLIENT_PORT));
	CU_ASSERT_EQUAL(ntohs(h->total_length), m->pkt_len - 14);
	CU_ASSERT_EQUAL(ntohs(u->dgram_len), m->pkt_len - 34);
	CU_ASSERT_EQUAL(rte_raw_cksum(h, 20), 0xffff);
	CU_ASSERT_EQUAL(rte_ipv4_udptcp_cksum_verify(h, u), 0);
}

static void cut_turn(struct rte_mbuf *m, uint32_t turn, uint32_t padding)
{
	uint8_t *b = rte_pktmbuf_mtod(m, uint8_t *);

	memmove(b + turn, b, 14 + 28);
	rte_pktmbuf_adj(m, (uint16_t)turn);
	rte_pktmbuf_trim(m, (uint16_t)padding);
}

static void a_bound_channel_carries_channel_data(void)
{
	struct st_endpoint e = relayed(0, CHANNEL, addr4(RELAYED_V4));
	struct rte_mbuf *m;
	uint64_t nonce;
	uint8_t *turn;

	begin();
	CU_ASSERT_EQUAL(put(&e), 0);
	rig_passes(2);
	seal_and_take(&m);
	check_outer(m, 4, 32 + 112, 0);
	turn = rte_pktmbuf_mtod_offset(m, uint8_t *, 42);
	CU_ASSERT(turn[0] == CHANNEL >> 8 && turn[1] == (CHANNEL & 0xff));
	CU_ASSERT(turn[2] == 0 && turn[3] == 144);
	cut_turn(m, 4, 0);
	CU_ASSERT(rig_open(m, &nonce));
	rte_pktmbuf_free(m);
	CU_ASSERT_EQUAL(rig.peer->counts[0].tx_bytes + rig.peer->counts[1].tx_bytes, 32 + 144);
	end();
}

static void an_unbound_channel_sends_indications(void)
{
	for (int v6 = 0; v6 < 2; v6++) {
		uint32_t n = v6 ? 48 : 36;
		struct st_endpoint e = relayed(0, 0, v6 ? addr6("2001:db8:7::9") : addr4(RELAYED_V4));
		struct turn_payload t;
		struct rte_mbuf *m;
		uint64_t nonce;
		uint8_t *turn;

		begin();
		CU_ASSERT_EQUAL(put(&e), 0);
		rig_passes(2);
		seal_and_take(&m);
		check_outer(m, n, 32 + 112, 0);
		turn = rte_pktmbuf_mtod_offset(m, uint8_t *, 42);
		CU_ASSERT(turn[0] == 0 && turn[1] == 0x16);
		CU_ASSERT_EQUAL((unsigned int)(turn[2] << 8 | turn[3]), n - 20 + 144);
		CU_ASSERT_EQUAL(memcmp(turn + 4, "\x21\x12\xa4\x42", 4), 0);
		turn[1] = 0x17; // what a Data indication would say is what was meant
		CU_ASSERT_FATAL(turn_client_parse(m, 42, n + 144, &t));
		CU_ASSERT_EQUAL(t.off, 42 + n);
		CU_ASSERT_EQUAL(t.len, 144);
		CU_ASSERT_EQUAL(t.channel, 0);
		CU_ASSERT(addr_equal(&t.peer, &e.relay_peer));
		CU_ASSERT_EQUAL(t.peer_port_be, htons(RELAYED));
		cut_turn(m, n, 0);
		CU_ASSERT(rig_open(m, &nonce));
		rte_pktmbuf_free(m);
		end();
	}
}

// With an MTU that is no multiple of 4 the message has no such length either, and DATA wants padding.
static void an_indication_is_padded(void)
{
	struct st_endpoint e = relayed(0, 0, addr4(RELAYED_V4));
	struct iface *wg = iface_new(iface_get(RIG_WG));
	struct rte_mbuf *m;
	uint64_t nonce;

	begin();
	CU_ASSERT_EQUAL(put(&e), 0);
	wg->mtu = 101;
	iface_publish(RIG_WG, wg);
	rig_passes(2);
	seal_and_take(&m);
	check_outer(m, 36, 32 + 101, 3);
	CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_mtod_offset(m, void *, m->pkt_len - 3), "\0\0\0", 3), 0);
	CU_ASSERT_EQUAL(rte_pktmbuf_mtod_offset(m, uint8_t *, 42)[3], 16 + 136);
	CU_ASSERT_EQUAL(rte_pktmbuf_mtod_offset(m, uint8_t *, 42)[35], 133);
	cut_turn(m, 36, 3);
	CU_ASSERT(rig_open(m, &nonce));
	rte_pktmbuf_free(m);
	wg = iface_new(iface_get(RIG_WG));
	wg->mtu = 1420;
	iface_publish(RIG_WG, wg);
	end();
}

static void the_path_mtu_counts_the_turn_header(void)
{
	static const uint16_t mtus[][2] = {{28 + 4 + 144, 1}, {28 + 4 + 143, 2}};
	struct rte_mbuf *m[4];

	for (unsigned int i = 0; i < RTE_DIM(mtus); i++) {
		struct st_endpoint e = relayed(0, CHANNEL, addr4(RELAYED_V4));
		unsigned int n;

		begin();
		e.path_mtu = mtus[i][0];
		CU_ASSERT_EQUAL(put(&e), 0);
		rig_passes(2);
		m[0] = rig_udp4(RIG_LAN_HOST, RIG_FAR_HOST, 1000, 2000, 100);
		rig_ether(m[0], RIG_LAN);
		rig_rx(0, RIG_LAN, m[0]);
		rig_passes(3);
		n = rig_take(RIG_DEV_WAN, m, RTE_DIM(m));
		CU_ASSERT_EQUAL(n, mtus[i][1]);
		for (unsigned int k = 0; k < n; k++)
			CU_ASSERT(m[k]->pkt_len - 14 <= mtus[i][0]);
		rte_pktmbuf_free_bulk(m, n);
		CU_ASSERT_EQUAL(rig_drops_all(), 0);
		end();
	}
}

static void only_the_tuple_of_slot_0_is_selected(void)
{
	static const uint8_t data[4] = {CHANNEL >> 8, CHANNEL & 0xff, 0, 32};
	static const uint8_t other[4] = {CHANNEL >> 8, (CHANNEL & 0xff) + 1, 0, 32};
	struct st_endpoint direct, e = relayed(0, CHANNEL, addr4(RELAYED_V4));
	struct st_endpoint_key key = {.peer_id = RIG_PEER};
	struct rte_mbuf *m;
	uint64_t stamp;

	begin();
	direct = *(const struct st_endpoint *)object_find(ST_ENDPOINT, &key);
	receive(rig_seal(NULL, RIG_INDEX, counter++, false));
	CU_ASSERT(selected());
	CU_ASSERT_EQUAL(put(&e), 0); // the way by the relay has not been heard on yet
	rig_passes(2);
	CU_ASSERT(!selected());
	receive(from_server(true, other, 4, NULL, 0));
	CU_ASSERT(!selected());
	receive(from_server(true, data, 4, NULL, 0));
	CU_ASSERT(selected());
	stamp = endpoint_selected_stamp(rig.peer);
	e.channel = 0;
	e.flags = ST_ENDPOINT_F_NOMINATED;
	CU_ASSERT_EQUAL(put(&e), 0); // the same way, another form
	CU_ASSERT_EQUAL(endpoint_selected_stamp(rig.peer), stamp);
	CU_ASSERT(!rig_event(ST_EV_ENDPOINT_SEEN, NULL));
	// Elsewhere: told, unless another slot names it.
	receive(rig_seal(NULL, RIG_INDEX, counter++, false));
	CU_ASSERT(rig_event(ST_EV_ENDPOINT_SEEN, NULL));
	direct.key.slot = ST_ENDPOINT_SLOTS - 1;
	CU_ASSERT_EQUAL(put(&direct), 0);
	rig_passes(2);
	rig_skip(2); // the same one would be told again by now
	receive(rig_seal(NULL, RIG_INDEX, counter++, false));
	CU_ASSERT(!rig_event(ST_EV_ENDPOINT_SEEN, NULL));
	m = rig_seal(NULL, RIG_INDEX, counter++, false);
	rte_pktmbuf_mtod_offset(m, struct rte_udp_hdr *, 20)->src_port = htons(7777);
	rig_fix_udp4(m, 0);
	receive(m);
	CU_ASSERT(rig_event(ST_EV_ENDPOINT_SEEN, NULL));
	CU_ASSERT_EQUAL(endpoint_selected_stamp(rig.peer), stamp);
	end();
	CU_ASSERT_EQUAL(object_count(ST_ENDPOINT), 0);
}

// Between the two SETs of a change the old relay is in no slot, and after it the peer may go on using it.
static void a_change_from_relay_to_relay_loses_nothing(void)
{
	static const uint8_t by_old[4] = {CHANNEL >> 8, CHANNEL & 0xff, 0, 144};
	static const uint8_t by_new[4] = {CHANNEL >> 8, (CHANNEL & 0xff) + 1, 0, 144};
	struct st_endpoint old = relayed(0, CHANNEL, addr4(RELAYED_V4)), new = old;
	struct st_portmap map = {.key = {.addr = addr4(RIG_WAN_V4),
					 .port_lo_be = htons(CLIENT_PORT + 1),
					 .port_hi_be = htons(CLIENT_PORT + 1)},
		.owner = ST_OWNER_TURN_CLIENT};
	struct rte_mbuf *m;

	new.channel = CHANNEL + 1;
	new.local_port_be = htons(CLIENT_PORT + 1);
	begin();
	CU_ASSERT_EQUAL(object_set(ST_PORTMAP, &map, sizeof(map), NULL, 0, 0), 0);
	CU_ASSERT_EQUAL(put(&old), 0);
	rig_passes(2);
	reaches_the_lan(from_server(false, by_old, 4, NULL, 0));
	CU_ASSERT_EQUAL(put(&new), 0);
	reaches_the_lan(from_server(false, by_old, 4, NULL, 0));
	old.key.slot = ST_ENDPOINT_SLOTS - 1;
	CU_ASSERT_EQUAL(put(&old), 0);
	reaches_the_lan(from_server(false, by_old, 4, NULL, 0));
	m = from_server(false, by_new, 4, NULL, 0);
	rte_pktmbuf_mtod_offset(m, struct rte_udp_hdr *, 20)->dst_port = new.local_port_be;
	rig_fix_udp4(m, 0);
	reaches_the_lan(m);
	CU_ASSERT(selected());
	CU_ASSERT_EQUAL(object_del(ST_ENDPOINT, &old.key, sizeof(old.key)), 0);
	reaches_the_lan(from_server(false, by_old, 4, NULL, 0));
	CU_ASSERT(!rig_event(ST_EV_ENDPOINT_SEEN, NULL));
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	CU_ASSERT_EQUAL(object_del(ST_PORTMAP, &map.key, sizeof(map.key)), 0);
	end();
}

static void malformed_endpoints_are_refused(void)
{
	struct st_endpoint good = relayed(1, CHANNEL, addr4(RELAYED_V4)), e;

	begin();
	CU_ASSERT_EQUAL(put(&good), 0);
	e = good;
	e.key.slot = ST_ENDPOINT_SLOTS;
	CU_ASSERT_EQUAL(put(&e), -EINVAL);
	e = good;
	e.channel = 0x5000;
	CU_ASSERT_EQUAL(put(&e), -EINVAL);
	e = good;
	e.channel = 0x3fff;
	CU_ASSERT_EQUAL(put(&e), -EINVAL);
	e = good;
	e.relay_peer_port_be = 0;
	CU_ASSERT_EQUAL(put(&e), -EINVAL);
	e = good;
	e.kind = ST_ENDPOINT_DIRECT; // a channel means nothing there
	CU_ASSERT_EQUAL(put(&e), -EINVAL);
	e = good;
	e.flags = 2;
	CU_ASSERT_EQUAL(put(&e), -EINVAL);
	e = good;
	e.if_id = 0;
	CU_ASSERT_EQUAL(put(&e), -EINVAL);
	end();
}

int main(void)
{
	static const struct rig_test tests[] = {
		{"ChannelData is taken out", channel_data_is_taken_out},
		{"Data indications are taken out", data_indications_are_taken_out},
		{"what is not data goes to the socket", what_is_not_data_goes_to_the_socket},
		{"mutated datagrams leave the pool full", mutated_datagrams_leave_the_pool_full},
		{"a bound channel carries ChannelData", a_bound_channel_carries_channel_data},
		{"an unbound channel sends indications", an_unbound_channel_sends_indications},
		{"an indication is padded", an_indication_is_padded},
		{"the path MTU counts the TURN header", the_path_mtu_counts_the_turn_header},
		{"only the tuple of slot 0 is selected", only_the_tuple_of_slot_0_is_selected},
		{"a change from relay to relay loses nothing",
			a_change_from_relay_to_relay_loses_nothing},
		{"malformed endpoints are refused", malformed_endpoints_are_refused},
	};

	return rig_main("turn_client", tests, RTE_DIM(tests));
}
