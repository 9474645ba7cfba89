// SPDX-License-Identifier: BSD-3-Clause
//
// stages/mss.c where it is used: SYNs into and out of a tunnel, IPv4 and IPv6, and what is left alone.
#include "rig.h"
#include "stages/header.h"

#include <rte_tcp.h>

#include <arpa/inet.h>

#define MOST4 (1420 - 40) // the tunnel's MTU less the headers
#define MOST6 (1420 - 60)

enum way { INTO, OUT_OF };

struct segment {
	bool ipv6;
	uint8_t flags;
	uint8_t options[12]; // 0 ends them
	uint16_t len;        // of them
};

static uint64_t counter; // of the peer

// A segment without payload from the LAN's host to the one behind the peer, or back.
static struct rte_mbuf *packet(const struct segment *s, enum way way)
{
	uint32_t head = s->ipv6 ? 40 : 20, len = head + 20 + s->len;
	struct rte_mbuf *m;
	struct rte_tcp_hdr *t;

	if (s->ipv6)
		m = way == INTO ? rig_udp6("fd01::5", "fd09::5", 9, len)
				: rig_udp6("fd09::5", "fd01::5", 9, len);
	else
		m = way == INTO ? rig_udp4(RIG_LAN_HOST, RIG_FAR_HOST, 1, 2, len)
				: rig_udp4(RIG_FAR_HOST, RIG_LAN_HOST, 1, 2, len);
	t = rte_pktmbuf_mtod_offset(m, struct rte_tcp_hdr *, head);
	*t = (struct rte_tcp_hdr){
		.src_port = 7, .data_off = (uint8_t)((5 + s->len / 4) << 4), .tcp_flags = s->flags};
	memcpy(t + 1, s->options, s->len);
	if (s->ipv6) {
		struct rte_ipv6_hdr *h = rte_pktmbuf_mtod(m, void *);

		h->proto = IPPROTO_TCP;
		t->cksum = rte_ipv6_udptcp_cksum(h, t);
	} else {
		struct rte_ipv4_hdr *h = rte_pktmbuf_mtod(m, void *);

		h->next_proto_id = IPPROTO_TCP;
		t->cksum = rte_ipv4_udptcp_cksum(h, t);
		rig_fix_ipv4(m, 0);
	}
	return m;
}

// Through the box; the inner packet that comes out begins at data_off.
static struct rte_mbuf *carried(struct rte_mbuf *m, enum way way, bool outer6)
{
	uint64_t nonce;

	if (way == OUT_OF)
		m = rig_seal(m, RIG_INDEX, counter++, outer6);
	rig_ether(m, way == INTO ? RIG_LAN : RIG_WAN);
	rig_rx(0, way == INTO ? RIG_LAN : RIG_WAN, m);
	rig_passes(3);
	m = rig_take_one(way == INTO ? RIG_DEV_WAN : RIG_DEV_LAN);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	if (way == OUT_OF)
		rte_pktmbuf_adj(m, 14);
	else
		CU_ASSERT(rig_open(m, &nonce));
	return m;
}

// The options as they came out, with a right checksum.
static bool options_are(const struct segment *s, enum way way, const uint8_t *expected)
{
	struct rte_mbuf *m = carried(packet(s, way), way, s->ipv6);
	uint8_t *at = rte_pktmbuf_mtod(m, uint8_t *), *tcp = at + (s->ipv6 ? 40 : 20);
	bool ok;

	if (s->ipv6) {
		struct rte_ipv6_hdr *h = (void *)at;

		m->pkt_len = m->data_len = (uint16_t)(40 + ntohs(h->payload_len)); // without padding
		ok = rte_ipv6_udptcp_cksum_verify(h, tcp) == 0;
	} else {
		ok = rte_ipv4_udptcp_cksum_verify((struct rte_ipv4_hdr *)at, tcp) == 0;
	}
	ok = ok && memcmp(tcp + 20, expected, s->len) == 0;
	rte_pktmbuf_free(m);
	return ok;
}

static void begin(bool ipv6)
{
	rig_peer(ipv6);
	rig_key(RIG_INDEX, ST_KEY_INITIATOR);
	rig_passes(2);
	counter = 0;
	rig_reset();
}

static void end(void)
{
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	rig_gone();
	rig_reset();
	CU_ASSERT(rig_pool_full());
}

static void put_mss(uint8_t *option, uint16_t mss)
{
	option[0] = 2;
	option[1] = 4;
	option[2] = (uint8_t)(mss >> 8);
	option[3] = (uint8_t)mss;
}

// Alone, and behind a NOP: at an odd place, where the checksum sees it with its bytes swapped.
static void syns_get_an_mss_that_fits(void)
{
	static const uint8_t flags[] = {RTE_TCP_SYN_FLAG, RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG};
	static const uint16_t sizes[] = {
		0, 536, 1220, MOST6, MOST6 + 1, MOST4, MOST4 + 1, 1440, 1460, 8960, 65535};

	for (int k = 0; k < 4; k++) {
		bool ipv6 = k & 1;
		enum way way = k >> 1;
		uint16_t most = ipv6 ? MOST6 : MOST4;
		unsigned int wrong = 0;

		begin(ipv6);
		for (unsigned int i = 0; i < RTE_DIM(sizes) * 4; i++) {
			uint16_t mss = sizes[i / 4];
			struct segment s = {.ipv6 = ipv6, .flags = flags[i & 1], .len = 8};
			uint8_t expected[12];

			memset(s.options, 1, sizeof(s.options)); // NOP
			memset(expected, 1, sizeof(expected));
			put_mss(s.options + (i >> 1 & 1), mss);
			put_mss(expected + (i >> 1 & 1), RTE_MIN(mss, most));
			wrong += !options_are(&s, way, expected);
		}
		CU_ASSERT_EQUAL(wrong, 0);
		end();
	}
}

static void what_is_no_syn_with_an_mss_is_left_alone(void)
{
	static const struct segment table[] = {
		{.flags = RTE_TCP_ACK_FLAG, .options = {2, 4, 0xff, 0xff}, .len = 4},
		{.flags = RTE_TCP_SYN_FLAG},
		{.flags = RTE_TCP_SYN_FLAG, .options = {0, 0, 0, 0, 2, 4, 0xff, 0xff}, .len = 8},
		{.flags = RTE_TCP_SYN_FLAG, .options = {3, 0, 2, 4, 0xff, 0xff, 1, 1}, .len = 8},
		{.flags = RTE_TCP_SYN_FLAG, .options = {2, 3, 0xff, 0xff}, .len = 4},
		{.flags = RTE_TCP_SYN_FLAG, .options = {1, 2, 4, 0xff}, .len = 4}, // cut off
		{.flags = RTE_TCP_SYN_FLAG,
			.options = {8, 10, 2, 4, 0xff, 0xff, 2, 4, 0xff, 0xff, 0, 0},
			.len = 12},
	};

	for (int k = 0; k < 4; k++) {
		unsigned int wrong = 0;

		begin(k & 1);
		for (unsigned int i = 0; i < RTE_DIM(table); i++) {
			struct segment s = table[i];

			s.ipv6 = k & 1;
			wrong += !options_are(&s, k >> 1, s.options);
		}
		CU_ASSERT_EQUAL(wrong, 0);
		end();
	}
}

static void an_interface_that_does_not_clamp_leaves_all_alone(void)
{
	struct segment s = {.flags = RTE_TCP_SYN_FLAG, .options = {2, 4, 0xff, 0xff}, .len = 4};

	for (int on = 0; on < 2; on++) {
		struct iface *wg = iface_new(iface_get(RIG_WG));
		uint8_t expected[4];

		wg->mss_clamp = on;
		iface_publish(RIG_WG, wg);
		rig_passes(3);
		put_mss(expected, on ? MOST4 : 65535);
		begin(false);
		CU_ASSERT(options_are(&s, INTO, expected));
		CU_ASSERT(options_are(&s, OUT_OF, expected));
		end();
	}
}

int main(void)
{
	static const struct rig_test tests[] = {
		{"SYNs get an MSS that fits", syns_get_an_mss_that_fits},
		{"what is no SYN with an MSS is left alone", what_is_no_syn_with_an_mss_is_left_alone},
		{"an interface that does not clamp leaves all alone",
			an_interface_that_does_not_clamp_leaves_all_alone},
	};

	return rig_main("mss", tests, RTE_DIM(tests));
}
