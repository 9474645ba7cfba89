// SPDX-License-Identifier: BSD-3-Clause
//
// stages/turn_to_peer.c, turn_to_client.c and turn_rewrite.c: what goes in by one side comes out by the
// other with right headers, in every pairing of families; each packet that leaves is checked from scratch.
#include "turn_rig.h"

static const char *const clients[] = {CLIENT4, CLIENT6};
static const char *const servers[] = {SERVER4, SERVER6};
static const char *const peers[] = {PEER4, PEER6};
static uint8_t data[9000];

static void fill(uint32_t seed)
{
	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 + seed * 7 + (i >> 8));
}

// An allocation of a client of family c with a relayed address of family p, permission and channel.
static void allocate(int c, int p)
{
	struct st_relay r = relay_of(clients[c], servers[p], RELAY_PT);

	rig_reset();
	CU_ASSERT_EQUAL_FATAL(put_relay(&r), 0);
	CU_ASSERT_EQUAL_FATAL(put_permission(servers[p], RELAY_PT, peers[p], 300000), 0);
	CU_ASSERT_EQUAL_FATAL(
		put_channel(servers[p], RELAY_PT, peers[p], PEER_PT, CHANNEL, 600000), 0);
	rig_passes(2);
}

static struct tuple c2p_in(int c)
{
	return (struct tuple){clients[c], CLIENT_PT, servers[c], LISTEN};
}

static struct tuple c2p_out(int p)
{
	return (struct tuple){servers[p], RELAY_PT, peers[p], PEER_PT};
}

static struct tuple p2c_in(int p)
{
	return (struct tuple){peers[p], PEER_PT, servers[p], RELAY_PT};
}

static struct tuple p2c_out(int c)
{
	return (struct tuple){servers[c], LISTEN, clients[c], CLIENT_PT};
}

static void done(void)
{
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	turn_clear();
	CU_ASSERT(rig_pool_full());
}

static const uint32_t lens[] = {0, 1, 2, 3, 4, 5, 36, 37, 160, 1199, 1200};

// Every pairing, length, padding; with and without a checksum.
static void channel_data_becomes_udp(void)
{
	static uint8_t buf[2000];
	static struct got g;
	unsigned int wrong = 0;

	for (int k = 0; k < 4; k++) {
		struct tuple in = c2p_in(k >> 1), out = c2p_out(k & 1);

		allocate(k >> 1, k & 1);
		for (unsigned int i = 0; i < RTE_DIM(lens) * 8; i++) {
			uint32_t len = lens[i / 8], pad = i % 4;
			struct look l = {.ttl = 64, .no_checksum = i & 4};

			fill(i);
			channel_data(buf, CHANNEL, data, len);
			memset(buf + 4 + len, 0xee, pad);
			turn_in(&in, &l, buf, 4 + len + pad);
			wrong += !turn_out(RIG_DEV_WAN, &g) || !got_tuple(&g, &out) ||
				 g.len != len || memcmp(g.payload, data, len) != 0 || g.ttl != 63 ||
				 (!(i & 4) && !g.checksum);
		}
		done();
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void udp_becomes_channel_data(void)
{
	static struct got g;
	unsigned int wrong = 0;

	for (int k = 0; k < 4; k++) {
		struct tuple in = p2c_in(k & 1), out = p2c_out(k >> 1);

		allocate(k >> 1, k & 1);
		for (unsigned int i = 0; i < RTE_DIM(lens) * 2; i++) {
			uint32_t len = lens[i / 2];
			struct look l = {.ttl = 64, .no_checksum = i & 1};

			fill(i);
			turn_in(&in, &l, data, len);
			wrong += !turn_out(RIG_DEV_WAN, &g) || !got_tuple(&g, &out) ||
				 g.len != 4 + len || memcmp(g.payload + 4, data, len) != 0 ||
				 g.payload[0] != CHANNEL >> 8 || g.payload[1] != (CHANNEL & 0xff) ||
				 g.payload[2] != len >> 8 || g.payload[3] != (uint8_t)len ||
				 g.ttl != 63;
		}
		done();
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

// Over all values of a word of the payload every checksum occurs, 0 (sent as 0xffff) among them, both in
// what comes in and in what goes out; between all families, and where it is computed because none came.
static void every_checksum_occurs_and_is_right(void)
{
	static const struct look none = {.ttl = 64, .no_checksum = true};
	static struct got g;
	uint8_t buf[16];

	for (int k = 0; k < 4; k++) {
		struct tuple in = c2p_in(k >> 1), back = p2c_in(k & 1);
		unsigned int wrong = 0;

		allocate(k >> 1, k & 1);
		for (uint32_t v = 0; v < 65536; v++) {
			uint8_t word[3] = {(uint8_t)(v >> 8), (uint8_t)v, 0x55};
			uint32_t n = channel_data(buf, CHANNEL, word, sizeof(word));

			turn_in(&in, k == 1 ? &none : &plain, buf, n);
			wrong += !turn_out(RIG_DEV_WAN, &g) || !g.checksum ||
				 memcmp(g.payload, word, 3) != 0;
			turn_in(&back, k == 2 ? &none : &plain, word, sizeof(word));
			wrong += !turn_out(RIG_DEV_WAN, &g) || !g.checksum ||
				 memcmp(g.payload + 4, word, 3) != 0;
		}
		CU_ASSERT_EQUAL(wrong, 0);
		done();
	}
}

static void damage_on_the_way_in_is_seen_by_the_receiver(void)
{
	struct tuple in = c2p_in(0);
	uint8_t buf[64];
	static struct got g;
	struct rte_mbuf *m;

	allocate(0, 0);
	m = turn_datagram(&in, &plain, buf, channel_data(buf, CHANNEL, data, 40));
	rte_pktmbuf_mtod(m, uint8_t *)[50] ^= 0x10;
	rig_ether(m, RIG_WAN);
	rig_rx(0, RIG_WAN, m);
	rig_passes(2);
	m = rig_take_one(RIG_DEV_WAN);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT(!turn_check(rte_pktmbuf_mtod(m, uint8_t *), m->pkt_len, &g));
	rte_pktmbuf_free(m);
	m = turn_datagram(&in, &plain, buf, channel_data(buf, CHANNEL, data, 40));
	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_BAD; // the device has seen it already
	rig_ether(m, RIG_WAN);
	rig_rx(0, RIG_WAN, m);
	rig_passes(2);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_udp_bad_checksum), 1);
	rig_reset();
	done();
}

// ---- indications ----

static uint32_t send_indication(
	uint8_t *msg, int p, const void *payload, uint32_t len, unsigned int how)
{
	uint32_t at = stun_begin(msg, STUN_SEND);

	if (how & 1) { // DATA first
		at = stun_add(msg, at, STUN_ATTR_DATA, payload, len);
		at = stun_add_peer(msg, at, peers[p], PEER_PT);
	} else {
		at = stun_add_peer(msg, at, peers[p], PEER_PT);
		at = stun_add(msg, at, STUN_ATTR_DATA, payload, len);
	}
	if (how & 2)
		at = stun_add(msg, at, STUN_DONT_FRAGMENT, "", 0);
	if (how & 4)
		at = stun_add(msg, at, 0x8022, "software", 8);
	if (how & 8)
		at = stun_add_fingerprint(msg, at);
	return at;
}

static void send_indications_become_udp(void)
{
	static uint8_t msg[2000];
	static struct got g;
	unsigned int wrong = 0;

	for (int k = 0; k < 4; k++) {
		struct tuple in = c2p_in(k >> 1), out = c2p_out(k & 1);

		allocate(k >> 1, k & 1);
		for (unsigned int i = 0; i < RTE_DIM(lens) * 32; i++) {
			uint32_t len = lens[i / 32];
			struct look l = {.ttl = 64, .df = i & 1, .no_checksum = i & 16};

			fill(i);
			turn_in(&in, &l, msg, send_indication(msg, k & 1, data, len, i % 16));
			wrong += !turn_out(RIG_DEV_WAN, &g) || !got_tuple(&g, &out) ||
				 g.len != len || memcmp(g.payload, data, len) != 0 || g.ttl != 63 ||
				 (!g.ipv6 && g.df != ((i & 2) != 0));
		}
		done();
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

// XOR-PEER-ADDRESS and DATA, padded with zeros; read as RFC 8489 says, without the code under test.
static bool is_data_indication(const struct got *g, int p, uint32_t len)
{
	const uint8_t *m = g->payload;
	struct st_addr peer = turn_addr(peers[p]);
	uint32_t n = p ? 16 : 4, at = 20 + 8 + n, padded = (len + 3) & ~3U;
	uint8_t raw[16];

	if (g->len != at + 4 + padded || m[0] != 0 || m[1] != STUN_DATA ||
		(m[2] << 8 | m[3]) != (int)g->len - 20 || memcmp(m + 4, "\x21\x12\xa4\x42", 4) != 0)
		return false;
	if (m[20] != 0 || m[21] != 0x12 || m[22] != 0 || m[23] != 4 + n || m[25] != (p ? 2 : 1) ||
		((m[26] << 8 | m[27]) ^ 0x2112) != PEER_PT)
		return false;
	for (uint32_t i = 0; i < n; i++)
		raw[i] = m[28 + i] ^ m[4 + i];
	if (memcmp(raw, peer.b + 16 - n, n) != 0 || m[at] != 0 || m[at + 1] != 0x13 ||
		(m[at + 2] << 8 | m[at + 3]) != (int)len || memcmp(m + at + 4, data, len) != 0)
		return false;
	for (uint32_t i = len; i < padded; i++)
		if (m[at + 4 + i] != 0)
			return false;
	return true;
}

static void without_a_channel_the_client_gets_data_indications(void)
{
	static struct got g;
	unsigned int wrong = 0;
	uint8_t last[12] = {0};

	for (int k = 0; k < 4; k++) {
		struct tuple in = p2c_in(k & 1), out = p2c_out(k >> 1);

		allocate(k >> 1, k & 1);
		object_clear(ST_CHANNEL);
		for (unsigned int i = 0; i < RTE_DIM(lens) * 2; i++) {
			uint32_t len = lens[i / 2];
			struct look l = {.ttl = 64, .no_checksum = i & 1};

			fill(i);
			turn_in(&in, &l, data, len);
			wrong += !turn_out(RIG_DEV_WAN, &g) || !got_tuple(&g, &out) ||
				 !is_data_indication(&g, k & 1, len) ||
				 memcmp(last, g.payload + 8, 12) == 0;
			memcpy(last, g.payload + 8, 12);
		}
		done();
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

// ---- header fields (RFC 8656 sections 13, 14) ----

static void dscp_and_ecn_are_copied(void)
{
	static struct got g;
	unsigned int wrong = 0;
	uint8_t buf[64];

	for (int k = 0; k < 4; k++) {
		struct tuple in = c2p_in(k >> 1), back = p2c_in(k & 1);
		uint32_t n = channel_data(buf, CHANNEL, data, 30);

		allocate(k >> 1, k & 1);
		for (unsigned int tos = 0; tos < 256; tos += 5) {
			struct look l = {.ttl = 9, .tos = (uint8_t)tos};

			turn_in(&in, &l, buf, n);
			wrong += !turn_out(RIG_DEV_WAN, &g) || g.tos != tos || g.ttl != 8;
			turn_in(&back, &l, data, 30);
			wrong += !turn_out(RIG_DEV_WAN, &g) || g.tos != tos || g.ttl != 8;
		}
		done();
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void hop_limits_end_at_the_relay(void)
{
	uint8_t buf[64];
	uint32_t n = channel_data(buf, CHANNEL, data, 30);
	struct rte_mbuf *m;

	for (int k = 0; k < 4; k++) {
		struct tuple in = c2p_in(k >> 1), back = p2c_in(k & 1);

		allocate(k >> 1, k & 1);
		for (uint8_t ttl = 0; ttl < 2; ttl++) {
			struct look l = {.ttl = ttl};

			turn_in(&in, &l, buf, n);
			turn_in(&back, &l, data, 30);
		}
		CU_ASSERT_EQUAL(rig_drops(ST_DROP_ttl_exceeded), 4);
		for (int i = 0; i < 4; i++) { // Time Exceeded to each sender
			bool ipv6 = i & 1 ? k & 1 : k >> 1;

			CU_ASSERT_EQUAL_FATAL(rig_take(RIG_DEV_WAN, &m, 1), 1);
			CU_ASSERT_EQUAL(rte_pktmbuf_mtod(m, uint8_t *)[14 + (ipv6 ? 40 : 20)],
				ipv6 ? 3 : 11);
			rte_pktmbuf_free(m);
		}
		rig_reset();
		turn_clear();
	}
}

static void dont_fragment_goes_along(void)
{
	static struct got g;
	static uint8_t buf[1500];
	struct tuple in = c2p_in(0), back = p2c_in(0), in6 = c2p_in(1);

	allocate(0, 0);
	for (int df = 0; df < 2; df++) {
		struct look l = {.ttl = 64, .df = df};

		turn_in(&in, &l, buf, channel_data(buf, CHANNEL, data, 30));
		CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && g.df == df);
		turn_in(&back, &l, data, 30);
		CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && g.df == df);
	}
	done();
	allocate(1, 0); // RFC 7915: from IPv6, DF only above 1260
	turn_in(&in6, &plain, buf, channel_data(buf, CHANNEL, data, 1260 - 28));
	CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && !g.df);
	turn_in(&in6, &plain, buf, channel_data(buf, CHANNEL, data, 1261 - 28));
	CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && g.df);
	done();
}

static void expect_too_big(bool ipv6, uint32_t mtu)
{
	struct rte_mbuf *m = rig_take_one(RIG_DEV_WAN);
	const uint8_t *icmp;

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	icmp = rte_pktmbuf_mtod_offset(m, uint8_t *, 14 + (ipv6 ? 40 : 20));
	CU_ASSERT_EQUAL(icmp[0], ipv6 ? 2 : 3);
	CU_ASSERT_EQUAL(icmp[1], ipv6 ? 0 : 4);
	CU_ASSERT_EQUAL((uint32_t)(icmp[6] << 8 | icmp[7]), mtu);
	rte_pktmbuf_free(m);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_mtu_exceeded), 1);
	rig_reset();
}

// Sections 13.2 and 13.3; to a peer 48 less, so that a Data indication would fit.
static void what_does_not_fit_is_told_to_its_sender(void)
{
	static uint8_t buf[1600];
	struct tuple in4 = c2p_in(0), back4 = p2c_in(0), back6 = p2c_in(1);
	struct look df = {.ttl = 64, .df = true};

	allocate(0, 1); // IPv4 client, IPv6 peer: 16 bytes more go out than came in
	turn_in(&in4, &plain, buf, channel_data(buf, CHANNEL, data, 1500 - 48 + 1));
	expect_too_big(false, 1500 - 16);
	turn_clear();
	allocate(1, 1);
	turn_in(&back6, &plain, data, 1500 - 48 - 4 + 1);
	expect_too_big(true, 1500 - 48);
	turn_clear();
	allocate(1, 0); // IPv4 peer, IPv6 client
	turn_in(&back4, &plain, data, 1500 - 48 - 4 + 1);
	expect_too_big(false, 1500 - 48);
	turn_clear();
	allocate(0, 0);
	turn_in(&back4, &df, data, 1500 - 28);
	expect_too_big(false, 1500 - 48);
	turn_clear();
}

static void ipv4_without_df_is_fragmented(void)
{
	struct tuple back = p2c_in(0);
	struct rte_mbuf *m[4];
	unsigned int n, sum = 0;

	allocate(0, 0);
	turn_in(&back, &plain, data, 1500 - 28);
	n = rig_take(RIG_DEV_WAN, m, 4);
	CU_ASSERT_EQUAL(n, 2);
	for (unsigned int i = 0; i < n; i++) {
		const struct rte_ipv4_hdr *h =
			rte_pktmbuf_mtod_offset(m[i], const struct rte_ipv4_hdr *, 14);

		CU_ASSERT(m[i]->pkt_len <= 1514);
		CU_ASSERT_EQUAL(rte_raw_cksum(h, 20), 0xffff);
		sum += m[i]->pkt_len - 34;
	}
	CU_ASSERT_EQUAL(sum, 1500 - 20 + 4);
	rte_pktmbuf_free_bulk(m, n);
	done();
}

static void ip_options_end_at_the_relay(void)
{
	struct tuple in = c2p_in(0), out = c2p_out(0);
	uint8_t buf[64];
	static struct got g;
	struct rte_mbuf *m;
	struct rte_ipv4_hdr *h;
	uint8_t *at;

	allocate(0, 0);
	m = turn_datagram(&in, &plain, buf, channel_data(buf, CHANNEL, data, 21));
	CU_ASSERT_PTR_NOT_NULL_FATAL(rte_pktmbuf_prepend(m, 8));
	at = rte_pktmbuf_mtod(m, uint8_t *);
	memmove(at, at + 8, 20);
	memset(at + 20, 1, 8); // NOP
	h = (void *)at;
	h->version_ihl = 0x47;
	h->total_length = htons((uint16_t)m->pkt_len);
	h->hdr_checksum = 0;
	h->hdr_checksum = (uint16_t)~rte_raw_cksum(h, 28);
	rig_ether(m, RIG_WAN);
	rig_rx(0, RIG_WAN, m);
	rig_passes(2);
	CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && got_tuple(&g, &out) && g.len == 21);
	done();
}

// len bytes at off behind the IP header of m, as a packet of their own.
static struct rte_mbuf *fragment_of(struct rte_mbuf *m, uint32_t off, uint32_t len, bool more)
{
	uint32_t ip = rte_pktmbuf_mtod(m, uint8_t *)[0] >> 4 == 4 ? 20 : 40, all = ip == 20 ? 20 : 48;
	struct rte_mbuf *f = rte_pktmbuf_copy(m, rig.pool, ip + off, len);
	uint8_t *h;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	h = (uint8_t *)rte_pktmbuf_prepend(f, (uint16_t)all);
	CU_ASSERT_PTR_NOT_NULL_FATAL(h);
	memcpy(h, rte_pktmbuf_mtod(m, void *), ip);
	if (ip == 20) {
		struct rte_ipv4_hdr *v4 = (void *)h;

		v4->total_length = htons((uint16_t)(20 + len));
		v4->fragment_offset = htons((uint16_t)(off / 8 | (more ? RTE_IPV4_HDR_MF_FLAG : 0)));
		rig_fix_ipv4(f, 0);
	} else {
		struct rte_ipv6_hdr *v6 = (void *)h;
		struct header_ipv6_frag *x = (void *)(v6 + 1);

		v6->payload_len = htons((uint16_t)(8 + len));
		v6->proto = IPPROTO_FRAGMENT;
		*x = (struct header_ipv6_frag){.next = IPPROTO_UDP,
			.offset = htons((uint16_t)(off | more)),
			.id = htonl(0x12345678)};
	}
	return f;
}

// In two fragments, what lcores look for in the first.
static void fragments_in(const struct tuple *t, const void *payload, uint32_t n, bool last_first)
{
	struct rte_mbuf *m = turn_datagram(t, &plain, payload, n);

	for (int i = 0; i < 2; i++) {
		bool first = (i == 0) != last_first;
		struct rte_mbuf *f =
			fragment_of(m, first ? 0 : 800, first ? 800 : 8 + n - 800, first);

		rig_ether(f, RIG_WAN);
		rig_rx(0, RIG_WAN, f);
	}
	rte_pktmbuf_free(m);
	rig_passes(4);
}

// Of both families on either side, in both orders.
static void fragments_are_put_together(void)
{
	static uint8_t buf[4000];
	static struct got g;

	for (int k = 0; k < 8; k++) {
		int c = k >> 1 & 1, p = k & 1;
		struct tuple in = c2p_in(c), out = c2p_out(p), back = p2c_in(p), there = p2c_out(c);

		allocate(c, p);
		fragments_in(&in, buf, channel_data(buf, CHANNEL, data, 1400), k & 4);
		CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && got_tuple(&g, &out) && g.len == 1400 &&
			  memcmp(g.payload, data, 1400) == 0 && g.checksum);
		fragments_in(&back, data, 1400, k & 4);
		CU_ASSERT(turn_out(RIG_DEV_WAN, &g) && got_tuple(&g, &there) && g.len == 1404 &&
			  memcmp(g.payload + 4, data, 1400) == 0 && g.checksum);
		done();
	}
}

// A datagram of zeros without a checksum, in fragments of 1500 bytes.
static void large_in(uint32_t len)
{
	struct tuple in = p2c_in(0);

	for (uint32_t off = 0; off < 8 + len; off += 1480) {
		uint32_t n = RTE_MIN(1480U, 8 + len - off);
		struct rte_mbuf *f = turn_datagram(&in, &plain, data, n - 8);
		struct rte_ipv4_hdr *h = rte_pktmbuf_mtod(f, void *);
		struct rte_udp_hdr *u = (void *)(h + 1);

		memset(u, 0, n);
		if (off == 0)
			*u = (struct rte_udp_hdr){.src_port = htons(in.sport),
				.dst_port = htons(in.dport),
				.dgram_len = htons((uint16_t)(8 + len))};
		h->fragment_offset =
			htons((uint16_t)(off / 8 | (off + n < 8 + len ? RTE_IPV4_HDR_MF_FLAG : 0)));
		rig_fix_ipv4(f, 0);
		rig_ether(f, RIG_WAN);
		rig_rx(0, RIG_WAN, f);
		rig_passes(1);
	}
	rig_passes(3);
}

// Bytes behind the IP headers of all fragments that left.
static uint32_t large_out(void)
{
	uint32_t sum = 0;
	struct rte_mbuf *m;

	while (rig_take(RIG_DEV_WAN, &m, 1) == 1) {
		sum += m->pkt_len - 34;
		rte_pktmbuf_free(m);
	}
	return sum;
}

static void what_would_be_longer_than_ip_can_say_is_dropped(void)
{
	const uint32_t most = 65535 - 28 - 4; // a channel's header goes in front

	allocate(0, 0);
	large_in(most);
	CU_ASSERT_EQUAL(large_out(), 65535 - 20);
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	large_in(most + 1);
	CU_ASSERT_EQUAL(large_out(), 0);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_mtu_exceeded), 1);
	object_clear(ST_CHANNEL);
	rig_passes(2);
	large_in(65507); // as an indication
	CU_ASSERT_EQUAL(large_out(), 0);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_mtu_exceeded), 2);
	CU_ASSERT_EQUAL(rig_drops_all(), 2);
	rig_reset();
	done();
}

int main(void)
{
	static const struct rig_test tests[] = {
		{"the server", turn_server},
		{"ChannelData becomes UDP", channel_data_becomes_udp},
		{"UDP becomes ChannelData", udp_becomes_channel_data},
		{"every checksum occurs and is right", every_checksum_occurs_and_is_right},
		{"damage on the way in is seen by the receiver",
			damage_on_the_way_in_is_seen_by_the_receiver},
		{"Send indications become UDP", send_indications_become_udp},
		{"without a channel the client gets Data indications",
			without_a_channel_the_client_gets_data_indications},
		{"DSCP and ECN are copied", dscp_and_ecn_are_copied},
		{"hop limits end at the relay", hop_limits_end_at_the_relay},
		{"DF goes along", dont_fragment_goes_along},
		{"what does not fit is told to its sender", what_does_not_fit_is_told_to_its_sender},
		{"IPv4 without DF is fragmented", ipv4_without_df_is_fragmented},
		{"IP options end at the relay", ip_options_end_at_the_relay},
		{"fragments are put together", fragments_are_put_together},
		{"what would be longer than IP can say is dropped",
			what_would_be_longer_than_ip_can_say_is_dropped},
	};

	return rig_main("turn relay", tests, RTE_DIM(tests));
}
