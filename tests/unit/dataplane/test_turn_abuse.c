// SPDX-License-Identifier: BSD-3-Clause
//
// What strangers, peers and clients may try on the relay's ports: each attempt
// ends where it should, is counted exactly, leaves no state and no packet
// behind. And traffic on two lcores at a time.
#include "turn_rig.h"

#include <errno.h>

#define OTHER     "198.51.100.21" // a second client
#define OTHER_PT  (RELAY_PT + 1)
#define STRANGERS 20000
#define HOUR      3600000

static const struct tuple from_client = {CLIENT4, CLIENT_PT, SERVER4, LISTEN};
static const struct tuple from_peer = {PEER4, PEER_PT, SERVER4, RELAY_PT};
static const struct tuple to_peer = {SERVER4, RELAY_PT, PEER4, PEER_PT};
static const struct tuple to_client = {SERVER4, LISTEN, CLIENT4, CLIENT_PT};
static uint8_t data[1400], msg[1500];
static struct got g;

static void allocate(void)
{
	struct st_relay r = relay_of(CLIENT4, SERVER4, RELAY_PT);

	rig_reset();
	CU_ASSERT_EQUAL_FATAL(put_relay(&r), 0);
	CU_ASSERT_EQUAL(put_permission(SERVER4, RELAY_PT, PEER4, HOUR), 0);
	CU_ASSERT_EQUAL(put_channel(SERVER4, RELAY_PT, PEER4, PEER_PT, CHANNEL, HOUR), 0);
}

static void finish(void)
{
	turn_clear();
	CU_ASSERT(rig_pool_full());
}

static void say_on(uint16_t lcore, const struct tuple *t, const void *payload, uint32_t len)
{
	struct rte_mbuf *m = turn_datagram(t, &plain, payload, len);

	rig_ether(m, RIG_WAN);
	rig_rx(lcore, RIG_WAN, m);
	rig_passes(2);
}

static void expect_drops(enum st_drop why, uint64_t n)
{
	CU_ASSERT_EQUAL(rig_drops(why), n);
	CU_ASSERT_EQUAL(rig_drops_all(), n);
	rig_reset();
}

static unsigned int take_all(enum rig_device dev)
{
	struct rte_mbuf *m[64];
	unsigned int n = rig_take(dev, m, RTE_DIM(m));

	rte_pktmbuf_free_bulk(m, n);
	return n;
}

// ---- strangers ----

// Each from another address and port. Returns how many were answered, and how
// many went to straitd.
static unsigned int strangers(const uint8_t *payload, uint32_t len, unsigned int *ret_up)
{
	unsigned int answered = 0;

	*ret_up = 0;
	rig_reset();
	for (uint32_t i = 0; i < STRANGERS; i++) {
		struct rte_mbuf *m = rig_udp4(0x0b000000 + i * 7, RIG_WAN_V4,
			(uint16_t)(1024 + i % 60000), LISTEN, 28 + len);

		memcpy(rte_pktmbuf_mtod_offset(m, void *, 28), payload, len);
		rig_fix_udp4(m, 0);
		rig_ether(m, RIG_WAN);
		rig_rx(i & 1, RIG_WAN, m);
		if (i % 16 == 15) {
			rig_passes(1);
			answered += take_all(RIG_DEV_WAN);
			*ret_up += take_all(RIG_DEV_WAN_TAP);
		}
	}
	rig_passes(2);
	answered += take_all(RIG_DEV_WAN);
	*ret_up += take_all(RIG_DEV_WAN_TAP);
	return answered;
}

static void spoofed_sources_leave_no_state(void)
{
	uint64_t bytes;
	uint32_t n;
	unsigned int up;

	turn_route("11.0.0.0", 96 + 8, "192.0.2.2");
	allocate();
	bytes = turn_tables_bytes();
	n = channel_data(msg, CHANNEL, data, 20);
	CU_ASSERT_EQUAL(strangers(msg, n, &up), 0);
	CU_ASSERT_EQUAL(up, 0);
	expect_drops(ST_DROP_turn_no_channel, STRANGERS);
	n = stun_add(msg, stun_add_peer(msg, stun_begin(msg, STUN_SEND), PEER4, PEER_PT),
		STUN_ATTR_DATA, data, 10);
	CU_ASSERT_EQUAL(strangers(msg, n, &up), 0);
	expect_drops(ST_DROP_turn_no_allocation, STRANGERS);
	n = stun_begin(msg, STUN_BINDING);
	CU_ASSERT_EQUAL(strangers(msg, n, &up), STRANGERS);
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	n = stun_begin(msg, 0x0003); // Allocate: straitd's, at a rate
	CU_ASSERT_EQUAL(strangers(msg, n, &up), 0);
	CU_ASSERT(up >= 2 * PUNT_OTHER_BURST); // each lcore has its own
	expect_drops(ST_DROP_stun_limited, STRANGERS - up);
	CU_ASSERT_EQUAL(turn_tables_bytes(), bytes);
	finish();
}

// 32 bytes for 20, 44 over IPv6, 8 more each way with FINGERPRINT, and no more
// for a longer request.
static void a_binding_answer_has_its_size_whatever_was_asked(void)
{
	const struct tuple in6 = {CLIENT6, 1234, SERVER6, LISTEN};

	rig_reset();
	rig_skip(10);
	for (uint32_t more = 0; more <= 1000; more += 100)
		for (int k = 0; k < 4; k++) {
			uint32_t n = stun_begin(msg, STUN_BINDING);

			if (more > 0)
				n = stun_add(msg, n, 0x8022, data, more);
			if (k & 2)
				n = stun_add_fingerprint(msg, n);
			turn_in(k & 1 ? &in6 : &from_client, &plain, msg, n);
			CU_ASSERT(turn_out(RIG_DEV_WAN, &g));
			CU_ASSERT_EQUAL(g.len, (k & 1 ? 44U : 32U) + (k & 2 ? 8 : 0));
		}
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	finish();
}

// ---- clients ----

// What ChannelData says it has against what came: padding is allowed behind,
// nothing may be missing.
static void channel_data_is_as_long_as_it_says(void)
{
	uint64_t malformed = 0;

	allocate();
	for (uint32_t says = 0; says <= 9; says++)
		for (uint32_t came = 0; came <= 12; came++) {
			channel_data(msg, CHANNEL, data, came);
			msg[3] = (uint8_t)says;
			turn_in(&from_client, &plain, msg, 4 + came);
			malformed += came < says;
			CU_ASSERT_EQUAL(turn_out(RIG_DEV_WAN, &g), came >= says);
			if (came >= says)
				CU_ASSERT(got_tuple(&g, &to_peer) && g.len == says);
		}
	channel_data(msg, CHANNEL, data, 8);
	msg[2] = 0xff; // 65288
	turn_in(&from_client, &plain, msg, 12);
	expect_drops(ST_DROP_turn_malformed, malformed + 1);
	finish();
}

// An allocation that has itself as its peer gets each datagram back once; two
// that point to each other pass each datagram on once. The TTL counts both
// relayings.
static void no_datagram_turns_in_a_loop(void)
{
	struct st_relay o = relay_of(OTHER, SERVER4, OTHER_PT);
	const struct tuple to_other = {SERVER4, LISTEN, OTHER, CLIENT_PT};
	const struct look two = {.ttl = 2};
	uint64_t hairpins;

	allocate();
	CU_ASSERT_EQUAL(put_permission(SERVER4, RELAY_PT, SERVER4, HOUR), 0);
	CU_ASSERT_EQUAL(put_channel(SERVER4, RELAY_PT, SERVER4, RELAY_PT, 0x4002, HOUR), 0);
	hairpins = lcores.lc[0]->turn->counts.hairpin;
	turn_in(&from_client, &plain, msg, channel_data(msg, 0x4002, data, 40));
	CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && got_tuple(&g, &to_client) && g.len == 44);
	CU_ASSERT_EQUAL(g.ttl, 62);
	CU_ASSERT_EQUAL(lcores.lc[0]->turn->counts.hairpin, hairpins + 1);
	CU_ASSERT_EQUAL(put_relay(&o), 0);
	CU_ASSERT_EQUAL(put_permission(SERVER4, OTHER_PT, SERVER4, HOUR), 0);
	CU_ASSERT_EQUAL(put_channel(SERVER4, OTHER_PT, SERVER4, RELAY_PT, 0x4003, HOUR), 0);
	CU_ASSERT_EQUAL(put_channel(SERVER4, RELAY_PT, SERVER4, OTHER_PT, 0x4004, HOUR), 0);
	turn_in(&from_client, &plain, msg, channel_data(msg, 0x4004, data, 40));
	CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && got_tuple(&g, &to_other) && g.len == 44);
	rig_passes(10);
	CU_ASSERT_EQUAL(take_all(RIG_DEV_WAN), 0);
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	turn_in(&from_client, &two, msg, channel_data(msg, 0x4004, data, 40));
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_ttl_exceeded), 1);
	rig_reset();
	finish();
}

// The number stays with its peer until straitd has taken it off, also when its
// time is over.
static void a_number_is_free_when_its_channel_is_gone(void)
{
	struct st_channel_key k = {.relay = relay_key(SERVER4, RELAY_PT),
		.peer = turn_addr(PEER4),
		.peer_port_be = htons(PEER_PT)};
	const struct tuple to_new = {SERVER4, RELAY_PT, OTHER, PEER_PT};
	uint32_t n = channel_data(msg, CHANNEL, data, 30);

	allocate();
	CU_ASSERT_EQUAL(put_channel(SERVER4, RELAY_PT, PEER4, PEER_PT, CHANNEL, 1), 0);
	rte_delay_us_sleep(3000);
	turn_in(&from_client, &plain, msg, n);
	expect_drops(ST_DROP_turn_no_channel, 1);
	turn_in(&from_peer, &plain, data, 30); // the permission lives
	CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && g.len == 36 + 32);
	CU_ASSERT_EQUAL(put_channel(SERVER4, RELAY_PT, OTHER, PEER_PT, CHANNEL, HOUR), -EEXIST);
	CU_ASSERT_EQUAL(object_del(ST_CHANNEL, &k, sizeof(k)), 0);
	CU_ASSERT_EQUAL(put_channel(SERVER4, RELAY_PT, OTHER, PEER_PT, CHANNEL, HOUR), 0);
	turn_in(&from_client, &plain, msg, n);
	CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && got_tuple(&g, &to_new) && g.len == 30);
	finish();
}

// ---- peers ----

// ICMP about what the relay sent is straitd's, which hears it by the kernel: no
// lcore takes it for data.
static void icmp_to_a_relayed_address_goes_to_the_host(void)
{
	struct rte_mbuf *m = turn_datagram(&from_peer, &plain, data, 40);
	uint8_t *icmp = rte_pktmbuf_mtod_offset(m, uint8_t *, 20);
	struct rte_ipv4_hdr *h = rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *);

	allocate();
	h->next_proto_id = IPPROTO_ICMP;
	rig_fix_ipv4(m, 0);
	memset(icmp, 0, 48);
	icmp[0] = 3; // unreachable: port
	icmp[1] = 3;
	rig_ether(m, RIG_WAN);
	rig_rx(0, RIG_WAN, m);
	rig_passes(2);
	CU_ASSERT_EQUAL(take_all(RIG_DEV_WAN_TAP), 1);
	CU_ASSERT_EQUAL(take_all(RIG_DEV_WAN), 0);
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	finish();
}

// A fragment that is not the first has no ports, whatever its bytes look like.
static void waits_in_vain(struct rte_mbuf *fragment)
{
	rig_ether(fragment, RIG_WAN);
	rig_rx(0, RIG_WAN, fragment);
	rig_passes(2);
	CU_ASSERT_EQUAL(take_all(RIG_DEV_WAN) + take_all(RIG_DEV_WAN_TAP), 0);
	rig_skip(120);
	rig_passes(4);
	expect_drops(ST_DROP_frag_timeout, 1);
	finish();
}

static void a_lone_fragment_is_relayed_to_nobody(void)
{
	struct rte_mbuf *m = turn_datagram(&from_peer, &plain, data, 800);
	struct rte_ipv4_hdr *h = rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *);

	allocate();
	h->fragment_offset = htons(100);
	rig_fix_ipv4(m, 0);
	waits_in_vain(m);
}

// The same over IPv6, where the fragment header says it.
static void a_lone_fragment_of_ipv6_is_relayed_to_nobody(void)
{
	const struct tuple from = {PEER6, PEER_PT, SERVER6, RELAY_PT};
	struct rte_mbuf *m = turn_datagram(&from, &plain, data, 800);
	struct rte_ipv6_hdr *h;
	uint8_t head[40];

	allocate();
	memcpy(head, rte_pktmbuf_mtod(m, void *), sizeof(head));
	h = (void *)rte_pktmbuf_prepend(m, sizeof(struct header_ipv6_frag));
	CU_ASSERT_PTR_NOT_NULL_FATAL(h);
	memcpy(h, head, sizeof(head));
	h->proto = IPPROTO_FRAGMENT;
	h->payload_len = htons((uint16_t)(m->pkt_len - sizeof(head)));
	*(struct header_ipv6_frag *)(h + 1) =
		(struct header_ipv6_frag){.next = IPPROTO_UDP, .offset = htons(800), .id = 7};
	waits_in_vain(m);
}

static void fragment(const struct tuple *t, uint32_t off, uint32_t len, bool more)
{
	struct rte_mbuf *m = turn_datagram(t, &plain, data, 800), *f;
	struct rte_ipv4_hdr *h;

	f = rte_pktmbuf_copy(m, rig.pool, 20 + off, len);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	h = (void *)rte_pktmbuf_prepend(f, 20);
	CU_ASSERT_PTR_NOT_NULL_FATAL(h);
	memcpy(h, rte_pktmbuf_mtod(m, void *), 20);
	rte_pktmbuf_free(m);
	h->total_length = htons((uint16_t)(20 + len));
	h->fragment_offset = htons((uint16_t)(off / 8 | (more ? RTE_IPV4_HDR_MF_FLAG : 0)));
	rig_fix_ipv4(f, 0);
	rig_ether(f, RIG_WAN);
	rig_rx(0, RIG_WAN, f);
	rig_passes(2);
}

// The second would write other bytes over those of the first: nothing of the
// datagram gets through, in either order and from both sides of the relay.
static void overlapping_fragments_are_relayed_to_nobody(void)
{
	const struct tuple *const ways[] = {&from_peer, &from_client};

	allocate();
	memset(data, CHANNEL >> 8, 1);
	for (unsigned int w = 0; w < RTE_DIM(ways); w++)
		for (int order = 0; order < 2; order++) {
			if (order == 0)
				fragment(ways[w], 0, 408, true);
			fragment(ways[w], 400, 408, false);
			if (order == 1)
				fragment(ways[w], 0, 408, true);
			CU_ASSERT_EQUAL(take_all(RIG_DEV_WAN) + take_all(RIG_DEV_WAN_TAP), 0);
			CU_ASSERT(rig_drops(ST_DROP_frag_overlap) >= 1);
			rig_skip(120);
			rig_passes(4);
			CU_ASSERT_EQUAL(rig_drops_all(),
				rig_drops(ST_DROP_frag_overlap) + rig_drops(ST_DROP_frag_timeout));
			rig_reset();
		}
	finish();
}

static void a_peer_without_permission_reaches_nobody(void)
{
	const struct tuple other_ip = {OTHER, PEER_PT, SERVER4, RELAY_PT};
	const struct turn_relay *relay;
	struct st_relay_key rk = relay_key(SERVER4, RELAY_PT);

	allocate();
	relay = turn_relay_find(&rk);
	for (int i = 0; i < 100; i++)
		say_on(i & 1, &other_ip, data, 40);
	CU_ASSERT_EQUAL(take_all(RIG_DEV_WAN) + take_all(RIG_DEV_WAN_TAP), 0);
	CU_ASSERT_EQUAL(relay->counts[0].dropped[ST_TURN_TO_CLIENT], 50);
	CU_ASSERT_EQUAL(relay->counts[1].dropped[ST_TURN_TO_CLIENT], 50);
	expect_drops(ST_DROP_turn_no_permission, 100);
	finish();
}

// ---- two lcores, and changes under traffic ----

static void both_lcores_relay_one_allocation(void)
{
	struct st_relay o = relay_of(OTHER, SERVER4, OTHER_PT);
	const struct tuple to_other = {SERVER4, LISTEN, OTHER, CLIENT_PT};
	struct st_relay_key rk = relay_key(SERVER4, RELAY_PT);
	struct st_stat_relay stat;
	uint32_t n;

	allocate();
	CU_ASSERT_EQUAL(put_relay(&o), 0);
	CU_ASSERT_EQUAL(put_permission(SERVER4, OTHER_PT, SERVER4, HOUR), 0);
	CU_ASSERT_EQUAL(put_channel(SERVER4, OTHER_PT, SERVER4, RELAY_PT, 0x4003, HOUR), 0);
	CU_ASSERT_EQUAL(put_channel(SERVER4, RELAY_PT, SERVER4, OTHER_PT, 0x4004, HOUR), 0);
	for (uint16_t i = 0; i < 200; i++) {
		n = channel_data(msg, CHANNEL, data, 30);
		say_on(i & 1, &from_client, msg, n);
		CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && got_tuple(&g, &to_peer));
		say_on(i & 1 ? 0 : 1, &from_peer, data, 30);
		CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && got_tuple(&g, &to_client));
		n = channel_data(msg, 0x4004, data, 30);
		say_on(i & 1, &from_client, msg, n);
		CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && got_tuple(&g, &to_other) && g.len == 34);
	}
	turn_relay_stat(turn_relay_find(&rk), &stat);
	CU_ASSERT_EQUAL(stat.packets[ST_TURN_TO_PEER], 400);
	CU_ASSERT_EQUAL(stat.packets[ST_TURN_TO_CLIENT], 200);
	CU_ASSERT_EQUAL(stat.bytes[ST_TURN_TO_PEER], 400 * 30);
	CU_ASSERT_EQUAL(turn_relay_find(&rk)->counts[0].packets[ST_TURN_TO_PEER], 200);
	CU_ASSERT_EQUAL(turn_relay_find(&rk)->counts[1].packets[ST_TURN_TO_PEER], 200);
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	finish();
}

// Between any two datagrams something is refreshed, or the peer gets another
// number.
static void a_stream_goes_on_over_refresh_and_rebinding(void)
{
	uint16_t number = CHANNEL;
	unsigned int wrong = 0;

	allocate();
	for (unsigned int i = 0; i < 600; i++) {
		switch (i % 3) {
		case 0:
			wrong += put_permission(SERVER4, RELAY_PT, PEER4, HOUR) != 0;
			break;
		case 1:
			wrong += put_channel(SERVER4, RELAY_PT, PEER4, PEER_PT, number, HOUR) != 0;
			break;
		default:
			number = number < 0x4100 ? (uint16_t)(number + 1) : CHANNEL;
			wrong += put_channel(SERVER4, RELAY_PT, PEER4, PEER_PT, number, HOUR) != 0;
		}
		say_on(i & 1, &from_client, msg, channel_data(msg, number, data, 30));
		wrong += !turn_out(RIG_DEV_WAN, &g) || !got_tuple(&g, &to_peer);
		say_on(i & 1, &from_peer, data, 30);
		wrong += !turn_out(RIG_DEV_WAN, &g) || g.len != 34 ||
			 (g.payload[0] << 8 | g.payload[1]) != number;
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	finish();
}

int main(void)
{
	static const struct rig_test tests[] = {
		{"the server", turn_server},
		{"spoofed sources leave no state", spoofed_sources_leave_no_state},
		{"a Binding answer has its size whatever was asked",
			a_binding_answer_has_its_size_whatever_was_asked},
		{"ChannelData is as long as it says", channel_data_is_as_long_as_it_says},
		{"no datagram turns in a loop", no_datagram_turns_in_a_loop},
		{"a number is free when its channel is gone",
			a_number_is_free_when_its_channel_is_gone},
		{"ICMP to a relayed address goes to the host",
			icmp_to_a_relayed_address_goes_to_the_host},
		{"a lone fragment is relayed to nobody", a_lone_fragment_is_relayed_to_nobody},
		{"a lone fragment of IPv6 is relayed to nobody",
			a_lone_fragment_of_ipv6_is_relayed_to_nobody},
		{"overlapping fragments are relayed to nobody",
			overlapping_fragments_are_relayed_to_nobody},
		{"a peer without permission reaches nobody", a_peer_without_permission_reaches_nobody},
		{"both lcores relay one allocation", both_lcores_relay_one_allocation},
		{"a stream goes on over refresh and rebinding",
			a_stream_goes_on_over_refresh_and_rebinding},
	};

	return rig_main("turn abuse", tests, RTE_DIM(tests));
}
