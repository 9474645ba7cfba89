// SPDX-License-Identifier: BSD-3-Clause
//
// Who may send what through the relay: expiries, permissions, limits, allocations on the same box, and
// what becomes of everything else that arrives on its ports.
#include "reclaim.h"
#include "turn_rig.h"

#include <rte_ring.h>

#include <errno.h>

#define OTHER    "198.51.100.21" // a second client
#define OTHER_PT (RELAY_PT + 1)

static const struct tuple from_client = {CLIENT4, CLIENT_PT, SERVER4, LISTEN};
static const struct tuple from_peer = {PEER4, PEER_PT, SERVER4, RELAY_PT};
static const struct tuple to_peer = {SERVER4, RELAY_PT, PEER4, PEER_PT};
static const struct tuple to_client = {SERVER4, LISTEN, CLIENT4, CLIENT_PT};
static uint8_t data[200], msg[400];
static struct got g;
static uint32_t ahead_ms; // of the lcores' clock before the tables'

static void skip(unsigned int seconds)
{
	rig_skip(seconds);
	ahead_ms += seconds * 1000;
}

static void allocate(void)
{
	struct st_relay r = relay_of(CLIENT4, SERVER4, RELAY_PT);

	rig_reset();
	CU_ASSERT_EQUAL_FATAL(put_relay(&r), 0);
}

static void permit(uint32_t ms)
{
	CU_ASSERT_EQUAL(put_permission(SERVER4, RELAY_PT, PEER4, ahead_ms + ms), 0);
}

static void bind_channel(uint32_t ms)
{
	CU_ASSERT_EQUAL(put_channel(SERVER4, RELAY_PT, PEER4, PEER_PT, CHANNEL, ahead_ms + ms), 0);
}

static void say(const struct tuple *t, uint16_t number, uint32_t len)
{
	turn_in(t, &plain, msg, channel_data(msg, number, data, len));
}

static void expect_drop(enum st_drop why)
{
	CU_ASSERT_EQUAL(rig_drops(why), 1);
	CU_ASSERT_EQUAL(rig_drops_all(), 1);
	rig_reset();
}

static void finish(void)
{
	turn_clear();
	CU_ASSERT(rig_pool_full());
}

// ---- expiry ----

enum life { NONE, LIVE, EXPIRED };

static void set_up(enum life permission, enum life channel)
{
	allocate();
	if (permission != NONE)
		permit(permission == LIVE ? 300000 : 1000);
	if (channel != NONE)
		bind_channel(channel == LIVE ? 600000 : 1000);
	rig_passes(2);
	skip(2);
}

static void each_way_has_its_own_expiry(void)
{
	for (int k = 0; k < 9; k++) {
		enum life permission = k / 3, channel = k % 3;

		set_up(permission, channel);
		say(&from_client, CHANNEL, 30);
		if (channel == LIVE) { // the permission does not matter
			CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && got_tuple(&g, &to_peer));
			rig_reset();
		} else {
			expect_drop(ST_DROP_turn_no_channel);
		}
		turn_in(&from_peer, &plain, data, 30);
		if (permission == LIVE) {
			CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && got_tuple(&g, &to_client));
			CU_ASSERT_EQUAL(g.len, channel == LIVE ? 34 : 36 + 32);
			rig_reset();
		} else {
			expect_drop(ST_DROP_turn_no_permission);
		}
		turn_clear();
	}
	finish();
}

static void a_refresh_works_in_place(void)
{
	const struct turn_channel *before, *after;
	struct turn_key k;
	struct st_addr relay = turn_addr(SERVER4), peer = turn_addr(PEER4);

	set_up(LIVE, LIVE);
	turn_key_addrs(&k, &relay, &peer);
	k.w[4] = turn_ports(htons(RELAY_PT), htons(PEER_PT), 0);
	before = turn_hash_find(&turn_tables.p2c, &k);
	for (int i = 0; i < 3; i++) {
		skip(200);
		permit(300000);
		bind_channel(600000);
		turn_in(&from_peer, &plain, data, 9);
		CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && g.len == 13);
		say(&from_client, CHANNEL, 9);
		CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && g.len == 9);
	}
	after = turn_hash_find(&turn_tables.p2c, &k);
	CU_ASSERT(before != NULL && before == after);
	for (int i = 0; i < 3; i++) { // no datagram renews anything
		skip(99);
		turn_in(&from_peer, &plain, data, 9);
		CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && g.len == 13);
		say(&from_client, CHANNEL, 9);
		CU_ASSERT(turn_out(RIG_DEV_WAN, &g));
	}
	skip(103); // only the channel is left
	turn_in(&from_peer, &plain, data, 9);
	expect_drop(ST_DROP_turn_no_permission);
	say(&from_client, CHANNEL, 9);
	CU_ASSERT(turn_out(RIG_DEV_WAN, &g));
	skip(200);
	say(&from_client, CHANNEL, 9);
	expect_drop(ST_DROP_turn_no_channel);
	finish();
}

// ---- objects ----

static void objects_are_checked(void)
{
	struct st_relay r = relay_of(CLIENT4, SERVER4, RELAY_PT), other = r, dual = r;

	CU_ASSERT_EQUAL(put_permission(SERVER4, RELAY_PT, PEER4, 1000), -ENOENT);
	CU_ASSERT_EQUAL(put_channel(SERVER4, RELAY_PT, PEER4, PEER_PT, CHANNEL, 1000), -ENOENT);
	r.user_id = 5;
	CU_ASSERT_EQUAL(put_relay(&r), -ENOENT);
	r.user_id = 0;
	r.flags = 8;
	CU_ASSERT_EQUAL(put_relay(&r), -EINVAL);
	r.flags = 0;
	CU_ASSERT_EQUAL(put_relay(&r), 0);
	other.key.relay_port_be = htons(OTHER_PT);
	CU_ASSERT_EQUAL(put_relay(&other), -EEXIST);
	dual.key.relay = turn_addr(SERVER6);
	CU_ASSERT_EQUAL(put_relay(&dual), 0);
	CU_ASSERT_EQUAL(put_permission(SERVER4, RELAY_PT, PEER6, 1000), -EAFNOSUPPORT);
	CU_ASSERT_EQUAL(put_channel(SERVER4, RELAY_PT, PEER6, PEER_PT, CHANNEL, 1000), -EAFNOSUPPORT);
	CU_ASSERT_EQUAL(put_channel(SERVER4, RELAY_PT, PEER4, PEER_PT, 0x3fff, 1000), -EINVAL);
	CU_ASSERT_EQUAL(put_channel(SERVER4, RELAY_PT, PEER4, 0, CHANNEL, 1000), -EINVAL);
	CU_ASSERT_EQUAL(put_channel(SERVER4, RELAY_PT, PEER4, PEER_PT, CHANNEL, 1000), 0);
	CU_ASSERT_EQUAL(put_channel(SERVER4, RELAY_PT, PEER4, 9, CHANNEL, 1000), -EEXIST);
	// The number is the client's, whichever of its relayed addresses it is for.
	CU_ASSERT_EQUAL(put_channel(SERVER6, RELAY_PT, PEER6, 9, CHANNEL, 1000), -EEXIST);
	finish();
}

static int deny_ports(uint16_t lo, uint16_t hi)
{
	struct st_turn_deny_ports d = {.key = {.port_lo_be = htons(lo), .port_hi_be = htons(hi)}};

	return object_set(ST_TURN_DENY_PORTS, &d, sizeof(d), NULL, 0, 0);
}

static int allow_ports(uint16_t lo, uint16_t hi)
{
	struct st_turn_deny_ports_key k = {htons(lo), htons(hi)};

	return object_del(ST_TURN_DENY_PORTS, &k, sizeof(k));
}

static uint32_t send_to(const char *peer, uint16_t port)
{
	return stun_add(msg, stun_add_peer(msg, stun_begin(msg, STUN_SEND), peer, port),
		STUN_ATTR_DATA, data, 10);
}

// Both ways; the first and the last of a range, and a port that two ranges have.
static void denied_ports_of_peers_are_not_served(void)
{
	static const struct {
		uint16_t port;
		bool denied;
	} table[] = {{24, false}, {25, true}, {26, false}, {5999, false}, {6000, true},
		{6063, true}, {6064, true}, {6300, true}, {6301, false}, {65535, true}};
	const struct turn_relay *relay;
	struct st_relay_key rk = relay_key(SERVER4, RELAY_PT);

	set_up(LIVE, NONE);
	relay = turn_relay_find(&rk);
	CU_ASSERT_EQUAL(deny_ports(10, 9), -EINVAL);
	CU_ASSERT_EQUAL(deny_ports(25, 25), 0);
	CU_ASSERT_EQUAL(deny_ports(6000, 6300), 0);
	CU_ASSERT_EQUAL(deny_ports(6001, 6010), 0);
	CU_ASSERT_EQUAL(deny_ports(65535, 65535), 0);
	for (unsigned int i = 0; i < RTE_DIM(table); i++) {
		turn_in(&from_client, &plain, msg, send_to(PEER4, table[i].port));
		CU_ASSERT_EQUAL(turn_out(RIG_DEV_WAN, &g), !table[i].denied);
		turn_in(&(const struct tuple){PEER4, table[i].port, SERVER4, RELAY_PT}, &plain,
			data, 10);
		CU_ASSERT_EQUAL(turn_out(RIG_DEV_WAN, &g), !table[i].denied);
		CU_ASSERT_EQUAL(rig_drops(ST_DROP_turn_denied_port), table[i].denied ? 2 : 0);
		rig_reset();
	}
	CU_ASSERT_EQUAL(relay->counts[0].dropped[ST_TURN_TO_PEER], 6);
	CU_ASSERT_EQUAL(relay->counts[0].dropped[ST_TURN_TO_CLIENT], 6);
	CU_ASSERT_EQUAL(allow_ports(6000, 6300), 0);
	CU_ASSERT(!turn_port_denied(htons(6000)) && turn_port_denied(htons(6001)));
	CU_ASSERT(turn_port_denied(htons(6010)) && !turn_port_denied(htons(6011)));
	object_clear(ST_TURN_DENY_PORTS);
	CU_ASSERT(!turn_port_denied(htons(6001)) && !turn_port_denied(htons(65535)));
	for (uint16_t i = 0; i < TURN_DENY_PORTS_MAX; i++)
		CU_ASSERT_EQUAL(deny_ports(i, i), 0);
	CU_ASSERT_EQUAL(deny_ports(100, 100), -ENOSPC);
	object_clear(ST_TURN_DENY_PORTS);
	finish();
}

static void another_number_takes_the_place_of_the_first(void)
{
	allocate();
	permit(300000);
	bind_channel(600000);
	CU_ASSERT_EQUAL(put_channel(SERVER4, RELAY_PT, PEER4, PEER_PT, 0x4002, ahead_ms + 600000), 0);
	say(&from_client, CHANNEL, 3);
	expect_drop(ST_DROP_turn_no_channel);
	say(&from_client, 0x4002, 3);
	CU_ASSERT(turn_out(RIG_DEV_WAN, &g));
	turn_in(&from_peer, &plain, data, 3);
	CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && g.payload[1] == 2);
	finish();
}

static void a_relay_takes_its_permissions_and_channels_along(void)
{
	struct st_relay r = relay_of(CLIENT4, SERVER4, RELAY_PT);

	for (int replaced = 0; replaced < 2; replaced++) {
		allocate();
		permit(300000);
		bind_channel(600000);
		CU_ASSERT_EQUAL(put_channel(SERVER4, RELAY_PT, "198.51.100.90", 1, 0x4002, 1000), 0);
		r.alloc_id = 77;
		CU_ASSERT_EQUAL(
			replaced ? put_relay(&r) : object_del(ST_RELAY, &r.key, sizeof(r.key)), 0);
		CU_ASSERT_EQUAL(object_count(ST_PERMISSION), 0);
		CU_ASSERT_EQUAL(object_count(ST_CHANNEL), 0);
		turn_in(&from_peer, &plain, data, 3);
		expect_drop(replaced ? ST_DROP_turn_no_permission : ST_DROP_turn_no_allocation);
		say(&from_client, CHANNEL, 3);
		expect_drop(ST_DROP_turn_no_channel);
		turn_clear();
	}
	finish();
}

static void traffic_is_counted_by_allocation_and_direction(void)
{
	struct st_relay_key key = relay_key(SERVER4, RELAY_PT);
	struct st_stat_relay s;

	set_up(LIVE, LIVE);
	turn_relay_stat(turn_relay_find(&key), &s);
	CU_ASSERT_EQUAL(s.idle_ms, UINT32_MAX);
	say(&from_client, CHANNEL, 30);
	say(&from_client, CHANNEL, 31);
	turn_in(&from_peer, &plain, data, 7);
	skip(400);
	turn_in(&from_peer, &plain, data, 7);
	turn_relay_stat(turn_relay_find(&key), &s);
	CU_ASSERT_EQUAL(s.packets[ST_TURN_TO_PEER], 2);
	CU_ASSERT_EQUAL(s.bytes[ST_TURN_TO_PEER], 61);
	CU_ASSERT_EQUAL(s.packets[ST_TURN_TO_CLIENT], 1);
	CU_ASSERT_EQUAL(s.bytes[ST_TURN_TO_CLIENT], 7);
	CU_ASSERT_EQUAL(s.dropped[ST_TURN_TO_CLIENT], 1);
	CU_ASSERT_EQUAL(s.permissions, 1);
	CU_ASSERT_EQUAL(s.channels, 1);
	CU_ASSERT_EQUAL(s.alloc_id, RELAY_PT);
	CU_ASSERT_NOT_EQUAL(s.idle_ms, UINT32_MAX);
	finish();
}

// ---- limits ----

static unsigned int passed(const struct tuple *t, unsigned int packets)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < packets; i++) {
		say(t, CHANNEL, 100);
		n += turn_out(RIG_DEV_WAN, &g);
	}
	return n;
}

static void an_allocation_is_held_to_its_rate(void)
{
	struct st_relay r = relay_of(CLIENT4, SERVER4, RELAY_PT);

	set_up(LIVE, LIVE);
	r.bytes_per_s = 100; // a packet a second: none comes free meanwhile
	r.burst_bytes = 1050;
	CU_ASSERT_EQUAL(put_relay(&r), 0);
	CU_ASSERT_EQUAL(passed(&from_client, 20), 10);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_turn_policed), 10);
	turn_in(&from_peer, &plain, data, 100); // the same bucket
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_turn_policed), 11);
	skip(5);
	CU_ASSERT_EQUAL(passed(&from_client, 20), 5);
	skip(60);
	CU_ASSERT_EQUAL(passed(&from_client, 20), 10);
	r.burst_bytes = 0; // a datagram at a time
	CU_ASSERT_EQUAL(put_relay(&r), 0);
	skip(60);
	CU_ASSERT_EQUAL(passed(&from_client, 5), 1);
	r.bytes_per_s = 0;
	CU_ASSERT_EQUAL(put_relay(&r), 0);
	CU_ASSERT_EQUAL(passed(&from_client, 20), 20);
	finish();
}

static void a_user_is_held_to_the_rate_over_all_allocations(void)
{
	struct st_turn_user u = {.key = {.user_id = 3}, .bytes_per_s = 100, .burst_bytes = 1050};
	struct st_relay r = relay_of(CLIENT4, SERVER4, RELAY_PT),
			o = relay_of(OTHER, SERVER4, OTHER_PT);
	const struct tuple other = {OTHER, CLIENT_PT, SERVER4, LISTEN};

	set_up(LIVE, LIVE);
	CU_ASSERT_EQUAL(object_set(ST_TURN_USER, &u, sizeof(u), NULL, 0, 0), 0);
	r.user_id = o.user_id = 3;
	CU_ASSERT_EQUAL(put_relay(&r), 0);
	CU_ASSERT_EQUAL(put_relay(&o), 0);
	CU_ASSERT_EQUAL(
		put_channel(SERVER4, OTHER_PT, PEER4, PEER_PT, CHANNEL, ahead_ms + 600000), 0);
	CU_ASSERT_EQUAL(passed(&from_client, 4), 4);
	CU_ASSERT_EQUAL(passed(&other, 20), 6);
	CU_ASSERT_EQUAL(passed(&from_client, 4), 0);
	CU_ASSERT_EQUAL(object_del(ST_TURN_USER, &u.key, sizeof(u.key)), 0);
	CU_ASSERT_EQUAL(passed(&from_client, 4), 4);
	CU_ASSERT_EQUAL(put_relay(&r), -ENOENT);
	finish();
}

// ---- the same box ----

static void allocate_both(void)
{
	struct st_relay o = relay_of(OTHER, SERVER4, OTHER_PT);

	allocate();
	CU_ASSERT_EQUAL(put_relay(&o), 0);
	CU_ASSERT_EQUAL(
		put_channel(SERVER4, RELAY_PT, SERVER4, OTHER_PT, CHANNEL, ahead_ms + 600000), 0);
}

// Only one pass of the receiving lcore, then that of the one that has the WAN's queue.
static void say_in_one_pass(const struct tuple *t)
{
	uint32_t n = channel_data(msg, CHANNEL, data, 31);
	struct rte_mbuf *m = turn_datagram(t, &plain, msg, n);

	rig_ether(m, RIG_WAN);
	rig_rx(0, RIG_WAN, m);
	rig_pass(0);
	rig_pass(1);
}

static void two_allocations_meet_in_one_pass(void)
{
	const struct tuple out = {SERVER4, LISTEN, OTHER, CLIENT_PT};

	allocate_both();
	say(&from_client, CHANNEL, 31);
	expect_drop(ST_DROP_turn_no_permission); // of the second
	CU_ASSERT_EQUAL(put_permission(SERVER4, OTHER_PT, SERVER4, ahead_ms + 300000), 0);
	say(&from_client, CHANNEL, 31);
	CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && got_tuple(&g, &out) && g.len == 36 + 32);
	CU_ASSERT_EQUAL(g.ttl, 62);
	CU_ASSERT_EQUAL(
		put_channel(SERVER4, OTHER_PT, SERVER4, RELAY_PT, 0x4005, ahead_ms + 600000), 0);
	say_in_one_pass(&from_client);
	CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && got_tuple(&g, &out) && g.len == 35);
	CU_ASSERT_EQUAL(g.payload[1], 5);
	CU_ASSERT_EQUAL(memcmp(g.payload + 4, data, 31), 0);
	finish();
}

static void a_relay_reaches_no_other_port_of_its_box(void)
{
	allocate();
	CU_ASSERT_EQUAL(
		put_channel(SERVER4, RELAY_PT, SERVER4, LISTEN, 0x4002, ahead_ms + 600000), 0);
	CU_ASSERT_EQUAL(put_channel(SERVER4, RELAY_PT, SERVER4, 22, 0x4003, ahead_ms + 600000), 0);
	say(&from_client, 0x4002, 20);
	expect_drop(ST_DROP_turn_hairpin);
	say(&from_client, 0x4003, 20);
	expect_drop(ST_DROP_route_martian);
	finish();
}

static struct rte_mbuf *told_main(void)
{
	struct rte_mbuf *m = NULL;

	for (uint16_t i = 0; i < lcores.nb && m == NULL; i++)
		rte_ring_sc_dequeue(lcores.lc[i]->to_main, (void **)&m);
	return m;
}

static void expect_main(const struct tuple *t, uint32_t len)
{
	static uint8_t frame[2000] = {[12] = 0x08};
	struct rte_mbuf *m = told_main();

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_EQUAL(packet_of(m)->hash, ST_NO_PEER);
	memcpy(frame + 14, rte_pktmbuf_mtod_offset(m, void *, packet_of(m)->l3_off),
		m->pkt_len - packet_of(m)->l3_off);
	CU_ASSERT(turn_check(frame, 14 + m->pkt_len - packet_of(m)->l3_off, &g) &&
		  got_tuple(&g, t) && g.len == len);
	rte_pktmbuf_free(m);
}

static void wireguard_of_this_box_is_reached_through_a_relay(void)
{
	const struct tuple to_wg = {SERVER4, RELAY_PT, SERVER4, RIG_PORT};
	struct st_endpoint e = {.key = {.peer_id = RIG_PEER},
		.local = turn_addr(SERVER4),
		.remote = turn_addr(SERVER4),
		.local_port_be = htons(RIG_PORT),
		.remote_port_be = htons(RELAY_PT),
		.path_mtu = 1500,
		.kind = ST_ENDPOINT_CONTROL};
	struct rte_mbuf *m;
	struct lcore_event ev;

	rig_peer(false);
	rig_key(RIG_INDEX, ST_KEY_INITIATOR);
	rig_passes(3);
	allocate();
	CU_ASSERT_EQUAL(put_permission(SERVER4, RELAY_PT, SERVER4, ahead_ms + 300000), 0);
	CU_ASSERT_EQUAL(
		put_channel(SERVER4, RELAY_PT, SERVER4, RIG_PORT, CHANNEL, ahead_ms + 600000), 0);
	atomic_load(&rig.peer->slots[ST_SLOT_CURRENT])->expiry = UINT64_MAX;
	say(&from_client, CHANNEL, 31); // not WireGuard data: ICE, say
	expect_main(&to_wg, 31);
	m = rig_seal(rig_udp4(RIG_FAR_HOST, RIG_LAN_HOST, 1, 2, 90), RIG_INDEX, 1, false);
	turn_in(&from_client, &plain, msg,
		channel_data(msg, CHANNEL, rte_pktmbuf_mtod_offset(m, void *, 28), m->pkt_len - 28));
	rte_pktmbuf_free(m);
	rig_passes(3);
	CU_ASSERT(turn_out(RIG_DEV_LAN, &g) && g.len == 62);
	CU_ASSERT(rig_event(ST_EV_ENDPOINT_SEEN, &ev));
	CU_ASSERT_EQUAL(ev.remote_port_be, htons(RELAY_PT));
	// And back: the kernel has no port of ours for it, straitd says so by the kind.
	CU_ASSERT_EQUAL(object_set(ST_ENDPOINT, &e, sizeof(e), NULL, 0, 0), 0);
	rig_passes(2);
	m = rig_udp4(RIG_LAN_HOST, RIG_FAR_HOST, 2, 1, 90);
	rig_ether(m, RIG_LAN);
	rig_rx(0, RIG_LAN, m);
	rig_passes(3);
	CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && got_tuple(&g, &to_client));
	CU_ASSERT_EQUAL(g.payload[0], CHANNEL >> 8);
	CU_ASSERT_EQUAL(g.payload[4], 4);
	rig_gone();
	finish();
}

static void the_port_of_a_tcp_client_is_the_sockets(void)
{
	struct st_relay r = relay_of(OTHER, SERVER4, OTHER_PT);
	const struct tuple wire = {PEER4, PEER_PT, SERVER4, OTHER_PT};
	const struct tuple inside = {SERVER4, RELAY_PT, SERVER4, OTHER_PT};

	allocate_both();
	object_del(ST_RELAY, &r.key, sizeof(r.key));
	r.flags = ST_RELAY_F_CONTROL;
	CU_ASSERT_EQUAL(put_relay(&r), 0);
	CU_ASSERT_EQUAL(put_permission(SERVER4, OTHER_PT, SERVER4, ahead_ms + 300000), 0);
	CU_ASSERT_EQUAL(put_channel(SERVER4, OTHER_PT, PEER4, PEER_PT, CHANNEL, 600000), 0);
	turn_in(&wire, &plain, data, 20);
	CU_ASSERT(turn_out(RIG_DEV_WAN_TAP, &g) && got_tuple(&g, &wire));
	say(&from_client, CHANNEL, 20);
	expect_main(&inside, 20);
	finish();
}

// ---- what else arrives ----

static void what_is_no_turn_is_dropped_by_name(void)
{
	static const struct {
		uint8_t bytes[8];
		uint32_t len;
		enum st_drop why;
	} table[] = {
		{{0}, 0, ST_DROP_turn_not_turn},
		{{0x04}, 8, ST_DROP_turn_not_turn},
		{{0x13}, 8, ST_DROP_turn_not_turn},
		{{0x14, 0xfe, 0xfd}, 8, ST_DROP_turn_not_turn}, // DTLS
		{{0x3f}, 8, ST_DROP_turn_not_turn},
		{{0x80}, 8, ST_DROP_turn_not_turn}, // RTP
		{{0x40}, 1, ST_DROP_turn_malformed},
		{{0x40, 1, 0}, 3, ST_DROP_turn_malformed},
		{{0x40, 9, 0, 0}, 4, ST_DROP_turn_no_channel},
		{{0x50, 0, 0, 0}, 4, ST_DROP_turn_not_turn},
		{{0x7f, 0xff, 0, 0}, 4, ST_DROP_turn_not_turn},
		{{0x40, 1, 0, 5, 1, 2, 3, 4}, 8, ST_DROP_turn_malformed}, // says 5, brings 4
		{{0, 1, 0, 0, 0x21, 0x12}, 8, ST_DROP_turn_malformed},
	};

	set_up(LIVE, LIVE);
	for (unsigned int i = 0; i < RTE_DIM(table); i++) {
		turn_in(&from_client, &plain, table[i].bytes, table[i].len);
		expect_drop(table[i].why);
	}
	say(&(const struct tuple){CLIENT4, CLIENT_PT + 1, SERVER4, LISTEN}, CHANNEL, 4);
	expect_drop(ST_DROP_turn_no_channel); // bound by somebody else
	turn_in(&(const struct tuple){PEER4, PEER_PT, SERVER4, 60000}, &plain, data, 4);
	expect_drop(ST_DROP_turn_no_allocation);
	finish();
}

static void bad_send_indications_are_dropped_by_name(void)
{
	uint32_t n;

	set_up(LIVE, NONE);
	turn_in(&from_client, &plain, msg, send_to(PEER4, 0));
	expect_drop(ST_DROP_turn_malformed);
	turn_in(&from_client, &plain, msg, send_to("198.51.100.78", 9));
	expect_drop(ST_DROP_turn_no_permission);
	turn_in(&from_client, &plain, msg, send_to(PEER6, 9)); // no allocation of this family
	expect_drop(ST_DROP_turn_no_allocation);
	turn_in(&from_client, &plain, msg, send_to("::ffff:198.51.100.77", PEER_PT));
	expect_drop(ST_DROP_turn_malformed);
	turn_in(&from_client, &plain, msg, stun_begin(msg, STUN_SEND));
	expect_drop(ST_DROP_turn_malformed);
	turn_in(&from_client, &plain, msg,
		stun_add_peer(msg, stun_begin(msg, STUN_SEND), PEER4, PEER_PT));
	expect_drop(ST_DROP_turn_malformed);
	n = stun_add(msg, send_to(PEER4, PEER_PT), 0x0077, "", 0);
	turn_in(&from_client, &plain, msg, n);
	expect_drop(ST_DROP_turn_malformed);
	n = stun_add(msg, send_to(PEER4, PEER_PT), 0x8077, "", 0); // need not be understood
	turn_in(&from_client, &plain, msg, n);
	CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && g.len == 10);
	n = stun_add_fingerprint(msg, send_to(PEER4, PEER_PT));
	msg[n - 1] ^= 1;
	turn_in(&from_client, &plain, msg, n);
	expect_drop(ST_DROP_turn_malformed);
	n = send_to(PEER4, PEER_PT);
	msg[20 + 12 + 2] = 1; // DATA longer than the message
	turn_in(&from_client, &plain, msg, n);
	expect_drop(ST_DROP_turn_malformed);
	n = stun_add(msg, stun_begin(msg, STUN_SEND), STUN_XOR_PEER, data, 9);
	n = stun_add(msg, n, STUN_ATTR_DATA, data, 4);
	turn_in(&from_client, &plain, msg, n);
	expect_drop(ST_DROP_turn_malformed);
	finish();
}

// ---- STUN ----

static bool is_answer(const char *client, uint16_t port, bool fingerprint)
{
	struct st_addr a = turn_addr(client);
	uint32_t n = is6(client) ? 16 : 4, at = 20 + 8 + n, crc;
	const uint8_t *m = g.payload;
	uint8_t raw[16];

	if (g.len != at + (fingerprint ? 8 : 0) || m[0] != 1 || m[1] != 1 || m[2] != 0 ||
		m[3] != g.len - 20 || memcmp(m + 4, msg + 4, 16) != 0 || m[21] != 0x20 ||
		m[23] != 4 + n || m[25] != (is6(client) ? 2 : 1) ||
		((m[26] << 8 | m[27]) ^ 0x2112) != port)
		return false;
	for (uint32_t i = 0; i < n; i++)
		raw[i] = m[28 + i] ^ m[4 + i];
	if (memcmp(raw, a.b + 16 - n, n) != 0)
		return false;
	crc = htonl(crc32_slow(m, at) ^ 0x5354554e);
	return !fingerprint ||
	       (m[at] == 0x80 && m[at + 1] == 0x28 && memcmp(m + at + 4, &crc, 4) == 0);
}

static void binding_requests_are_answered_on_the_lcore(void)
{
	const struct tuple in6 = {CLIENT6, 1234, SERVER6, LISTEN},
			   out6 = {SERVER6, LISTEN, CLIENT6, 1234};
	const struct tuple in4 = {CLIENT4, 1234, SERVER4, LISTEN},
			   out4 = {SERVER4, LISTEN, CLIENT4, 1234};
	uint32_t n;

	rig_reset();
	for (int k = 0; k < 8; k++) {
		n = stun_begin(msg, STUN_BINDING);
		if (k & 2)
			n = stun_add(msg, n, 0x8022, "software", 8);
		if (k & 4)
			n = stun_add_fingerprint(msg, n);
		turn_in(k & 1 ? &in6 : &in4, &plain, msg, n);
		CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && got_tuple(&g, k & 1 ? &out6 : &out4) &&
			  g.checksum && is_answer(k & 1 ? CLIENT6 : CLIENT4, 1234, k & 4));
	}
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	n = stun_add(msg, stun_begin(msg, STUN_BINDING), 0x0003, "\0\0\0\4", 4); // CHANGE-REQUEST
	turn_in(&in4, &plain, msg, n);
	CU_ASSERT(turn_out(RIG_DEV_WAN_TAP, &g) && got_tuple(&g, &in4)); // straitd's to answer
	finish();
}

static void binding_requests_are_limited_by_source(void)
{
	const struct tuple in4 = {CLIENT4, 1234, SERVER4, LISTEN},
			   other = {OTHER, 1234, SERVER4, LISTEN};
	unsigned int n = 0;

	rig_reset();
	skip(10);
	for (int i = 0; i < 1000; i++) {
		turn_in(&in4, &plain, msg, stun_begin(msg, STUN_BINDING));
		n += turn_out(RIG_DEV_WAN, &g);
	}
	CU_ASSERT(n >= 200 && n <= 230); // a few come free while it runs
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_stun_limited), 1000 - n);
	turn_in(&other, &plain, msg, stun_begin(msg, STUN_BINDING));
	CU_ASSERT(turn_out(RIG_DEV_WAN, &g));
	finish();
}

static unsigned int strangers_up(unsigned int sent)
{
	const struct tuple stranger = {OTHER, 1234, SERVER4, LISTEN};
	struct rte_mbuf *m[64];
	unsigned int n, up = 0;

	for (unsigned int i = 0; i < sent; i++) {
		turn_in(&stranger, &plain, msg, stun_begin(msg, 0x0003));
		n = rig_take(RIG_DEV_WAN_TAP, m, 64);
		rte_pktmbuf_free_bulk(m, n);
		up += n;
	}
	return up;
}

static void strangers_leave_room_for_those_with_an_allocation(void)
{
	unsigned int up = 0;

	set_up(LIVE, NONE);
	skip(10);
	for (int i = 0; i < 40 && rig_drops(ST_DROP_stun_limited) == 0; i++)
		up += strangers_up(1000);
	CU_ASSERT(up >= PUNT_OTHER_BURST);
	CU_ASSERT(rig_drops(ST_DROP_stun_limited) > 0);
	rig_reset();
	for (int i = 0; i < 100; i++)
		turn_in(&from_client, &plain, msg, stun_begin(msg, 0x0004)); // Refresh
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	finish();
}

// A datagram whose header says something else; payload is what its protocol begins with.
static unsigned int to_box(bool ipv6, uint8_t proto, uint8_t first, bool options)
{
	const struct tuple in = {ipv6 ? CLIENT6 : CLIENT4, 1, ipv6 ? SERVER6 : SERVER4, 2};
	struct rte_mbuf *m = turn_datagram(&in, &plain, msg, 64), *out[64];
	struct rte_ipv4_hdr *v4 = rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *);
	unsigned int n;

	if (ipv6) {
		rte_pktmbuf_mtod(m, struct rte_ipv6_hdr *)->proto = proto;
		*rte_pktmbuf_mtod_offset(m, uint8_t *, 40) = first;
	} else {
		v4->next_proto_id = proto;
		*rte_pktmbuf_mtod_offset(m, uint8_t *, 20) = first;
		if (options) {
			v4->version_ihl = 0x46;
			memset(v4 + 1, 1, 4); // no operation, four times
		}
		rig_fix_ipv4(m, 0);
	}
	rig_ether(m, RIG_WAN);
	rig_rx(0, RIG_WAN, m);
	rig_passes(2);
	n = rig_take(RIG_DEV_WAN_TAP, out, 64);
	rte_pktmbuf_free_bulk(out, n);
	return n;
}

// ICMP, options, extensions: each flood ends at its own rate, and the Refresh of a client comes through.
static void floods_to_the_kernel_leave_room_for_clients(void)
{
	static const struct {
		bool ipv6;
		uint8_t proto, first;
		bool options;
		enum st_drop why;
		unsigned int burst;
	} floods[] = {
		{false, IPPROTO_ICMP, 8, false, ST_DROP_host_icmp_limited, PUNT_ICMP_BURST},
		{true, IPPROTO_ICMPV6, 128, false, ST_DROP_host_icmp_limited, PUNT_ICMP_BURST},
		{false, IPPROTO_TCP, 1, true, ST_DROP_host_options_limited, PUNT_OPTIONS_BURST},
		{true, IPPROTO_DSTOPTS, IPPROTO_ICMPV6, false, ST_DROP_host_options_limited,
			PUNT_OPTIONS_BURST},
	};

	for (size_t i = 0; i < RTE_DIM(floods); i++) {
		unsigned int up = 0, sent = 0;

		set_up(LIVE, NONE);
		skip(10);
		while (sent < 40000 && rig_drops(floods[i].why) < 100) {
			up += to_box(floods[i].ipv6, floods[i].proto, floods[i].first,
				floods[i].options);
			sent++;
		}
		CU_ASSERT_EQUAL(rig_drops(floods[i].why), 100);
		CU_ASSERT(up >= floods[i].burst);
		CU_ASSERT_EQUAL(up + 100, sent);
		for (int n = 0; n < 100; n++) {
			turn_in(&from_client, &plain, msg, stun_begin(msg, 0x0004)); // Refresh
			CU_ASSERT(turn_out(RIG_DEV_WAN_TAP, &g));
		}
		// What keeps the link alive, and what has no rate.
		CU_ASSERT_EQUAL(to_box(true, IPPROTO_ICMPV6, 135, false), 1);
		CU_ASSERT_EQUAL(to_box(false, IPPROTO_TCP, 0, false), 1);
		CU_ASSERT_EQUAL(rig_drops_all(), 100);
		finish();
	}
}

static void an_lcore_that_is_behind_hands_few_strangers_up(void)
{
	uint64_t begun = rte_rdtsc(), rate = PUNT_OTHER_RATE / PUNT_BEHIND_SHARE;
	unsigned int up;

	set_up(LIVE, NONE);
	skip(10);
	lcores.lc[0]->rx_behind = PUNT_BEHIND;
	up = strangers_up(PUNT_OTHER_BURST);
	CU_ASSERT(up > 0 && up <= PUNT_OTHER_BURST / PUNT_BEHIND_SHARE + 1 +
					    (rte_rdtsc() - begun) * rate / rte_get_tsc_hz());
	turn_in(&from_client, &plain, msg, stun_begin(msg, 0x0004));
	CU_ASSERT(turn_out(RIG_DEV_WAN_TAP, &g));
	lcores.lc[0]->rx_behind = 0;
	skip(10);
	CU_ASSERT_EQUAL(strangers_up(PUNT_OTHER_BURST), PUNT_OTHER_BURST);
	finish();
}

// By it the kernel chooses among the two sockets of straitd.
static void who_has_an_allocation_is_marked_and_nobody_else(void)
{
	const struct tuple stranger4 = {OTHER, 1234, SERVER4, LISTEN},
			   stranger6 = {CLIENT6, 1234, SERVER6, LISTEN};
	const struct tuple known6 = {CLIENT6, CLIENT_PT, SERVER6, LISTEN};
	const struct look marked = {.ttl = 64, .tos = ST_TURN_KNOWN_DSCP << 2 | 1},
			  other = {.ttl = 64, .tos = 46 << 2 | 1};
	struct st_relay relay6 = relay_of(CLIENT6, SERVER6, RELAY_PT);

	set_up(LIVE, NONE);
	CU_ASSERT_EQUAL(put_relay(&relay6), 0);
	skip(10);
	turn_in(&from_client, &other, msg, stun_begin(msg, 0x0004));
	CU_ASSERT(turn_out(RIG_DEV_WAN_TAP, &g) && g.tos == (ST_TURN_KNOWN_DSCP << 2 | 1));
	turn_in(&known6, &other, msg, stun_begin(msg, 0x0004));
	CU_ASSERT(turn_out(RIG_DEV_WAN_TAP, &g) && g.tos == (ST_TURN_KNOWN_DSCP << 2 | 1));
	turn_in(&stranger4, &marked, msg, stun_begin(msg, 0x0003));
	CU_ASSERT(turn_out(RIG_DEV_WAN_TAP, &g) && g.tos == 1);
	turn_in(&stranger6, &marked, msg, stun_begin(msg, 0x0003));
	CU_ASSERT(turn_out(RIG_DEV_WAN_TAP, &g) && g.tos == 1);
	turn_in(&stranger4, &other, msg, stun_begin(msg, 0x0003));
	CU_ASSERT(turn_out(RIG_DEV_WAN_TAP, &g) && g.tos == other.tos);
	finish();
}

int main(void)
{
	static const struct rig_test tests[] = {
		{"the server", turn_server},
		{"each way has its own expiry", each_way_has_its_own_expiry},
		{"a refresh works in place", a_refresh_works_in_place},
		{"objects are checked", objects_are_checked},
		{"denied ports of peers are not served", denied_ports_of_peers_are_not_served},
		{"another number takes the place of the first",
			another_number_takes_the_place_of_the_first},
		{"a relay takes its permissions and channels along",
			a_relay_takes_its_permissions_and_channels_along},
		{"traffic is counted by allocation and direction",
			traffic_is_counted_by_allocation_and_direction},
		{"an allocation is held to its rate", an_allocation_is_held_to_its_rate},
		{"a user is held to the rate over all allocations",
			a_user_is_held_to_the_rate_over_all_allocations},
		{"two allocations meet in one pass", two_allocations_meet_in_one_pass},
		{"a relay reaches no other port of its box", a_relay_reaches_no_other_port_of_its_box},
		{"WireGuard of this box is reached through a relay",
			wireguard_of_this_box_is_reached_through_a_relay},
		{"the port of a TCP client is the socket's", the_port_of_a_tcp_client_is_the_sockets},
		{"what is no TURN is dropped by name", what_is_no_turn_is_dropped_by_name},
		{"bad Send indications are dropped by name", bad_send_indications_are_dropped_by_name},
		{"Binding requests are answered on the lcore",
			binding_requests_are_answered_on_the_lcore},
		{"Binding requests are limited by source", binding_requests_are_limited_by_source},
		{"strangers leave room for those with an allocation",
			strangers_leave_room_for_those_with_an_allocation},
		{"floods to the kernel leave room for clients",
			floods_to_the_kernel_leave_room_for_clients},
		{"an lcore that is behind hands few strangers up",
			an_lcore_that_is_behind_hands_few_strangers_up},
		{"who has an allocation is marked, and nobody else",
			who_has_an_allocation_is_marked_and_nobody_else},
	};

	return rig_main("turn rules", tests, RTE_DIM(tests));
}
