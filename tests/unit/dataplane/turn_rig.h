// SPDX-License-Identifier: BSD-3-Clause
//
// A TURN server on the rig: listeners at port 3478 of both WAN addresses, relayed addresses from 49152 on.
// Clients and peers live behind the WAN's gateway. Addresses are written as text; ports in host order.
#pragma once

#include "rig.h"
#include "server/object.h"
#include "stages/header.h"
#include "stages/turn.h"
#include "tables/neigh.h"
#include "tables/portmap.h"
#include "tables/route.h"
#include "tables/turn.h"

#include <rte_cycles.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVER4   "192.0.2.1"
#define SERVER6   "2001:db8:2::1"
#define CLIENT4   "198.51.100.20"
#define CLIENT6   "2001:db8:9::20"
#define PEER4     "198.51.100.77"
#define PEER6     "2001:db8:9::77"
#define LISTEN    3478
#define CLIENT_PT 5000
#define PEER_PT   7000
#define RELAY_PT  50000
#define CHANNEL   0x4001

struct tuple {
	const char *src;
	uint16_t sport;
	const char *dst;
	uint16_t dport;
};

struct look { // IP header fields that relaying has rules for
	uint8_t ttl, tos;
	bool df;
	bool no_checksum;
};

static const struct look plain = {.ttl = 64};

static inline struct st_addr turn_addr(const char *text)
{
	struct st_addr a = {{0}};

	if (strchr(text, ':') != NULL) {
		inet_pton(AF_INET6, text, a.b);
		return a;
	}
	a.b[10] = a.b[11] = 0xff;
	inet_pton(AF_INET, text, a.b + 12);
	return a;
}

// Benches and fuzzers set up outside of CUnit.
static inline void turn_must(int rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "turn_rig: %s: %d\n", what, rc);
	exit(2);
}

static inline void turn_route(const char *dst, uint8_t plen, const char *gateway)
{
	struct st_route r = {.key = {.table = 254, .dst = {.addr = turn_addr(dst), .plen = plen}},
		.action = ST_ROUTE_UNICAST,
		.nb_nexthops = 1,
		.nexthops = {{.if_id = RIG_WAN, .gateway = turn_addr(gateway), .weight = 1}}};

	turn_must(route_set(&r, NULL), "route");
}

static inline void turn_owner(const char *addr, uint16_t lo, uint16_t hi, uint32_t owner)
{
	struct st_portmap p = {
		.key = {.addr = turn_addr(addr), .port_lo_be = htons(lo), .port_hi_be = htons(hi)},
		.owner = owner};

	turn_must(object_set(ST_PORTMAP, &p, sizeof(p), NULL, 0, 0), "port map");
}

static inline void turn_server(void)
{
	turn_route("198.51.100.0", 96 + 24, "192.0.2.2");
	turn_route("2001:db8:9::", 48, "2001:db8:2::2");
	turn_owner(SERVER4, LISTEN, LISTEN, ST_OWNER_TURN_LISTEN);
	turn_owner(SERVER6, LISTEN, LISTEN, ST_OWNER_TURN_LISTEN);
	turn_owner(SERVER4, 49152, 65535, ST_OWNER_RELAY);
	turn_owner(SERVER6, 49152, 65535, ST_OWNER_RELAY);
}

static inline bool is6(const char *text)
{
	return strchr(text, ':') != NULL;
}

static inline struct st_relay_key relay_key(const char *relay, uint16_t port)
{
	return (struct st_relay_key){.relay = turn_addr(relay), .relay_port_be = htons(port)};
}

static inline struct st_relay relay_of(const char *client, const char *relay, uint16_t port)
{
	return (struct st_relay){.key = relay_key(relay, port),
		.alloc_id = port,
		.client = turn_addr(client),
		.client_port_be = htons(CLIENT_PT),
		.server = turn_addr(is6(client) ? SERVER6 : SERVER4),
		.server_port_be = htons(LISTEN)};
}

static inline int put_relay(const struct st_relay *r)
{
	return object_set(ST_RELAY, r, sizeof(*r), NULL, 0, 600000);
}

static inline int put_permission(
	const char *relay, uint16_t port, const char *peer, uint32_t expiry_ms)
{
	struct st_permission p = {.key = {.relay = relay_key(relay, port), .peer = turn_addr(peer)}};

	return object_set(ST_PERMISSION, &p, sizeof(p), NULL, 0, expiry_ms);
}

static inline int put_channel(const char *relay, uint16_t port, const char *peer,
	uint16_t peer_port, uint16_t number, uint32_t expiry_ms)
{
	struct st_channel c = {.key = {.relay = relay_key(relay, port),
				       .peer = turn_addr(peer),
				       .peer_port_be = htons(peer_port)},
		.number = number};

	return object_set(ST_CHANNEL, &c, sizeof(c), NULL, 0, expiry_ms);
}

static inline void turn_clear(void)
{
	object_clear(ST_CHANNEL);
	object_clear(ST_PERMISSION);
	object_clear(ST_RELAY);
	object_clear(ST_TURN_USER);
	rig_passes(4);
	rig_reset();
}

// ---- packets ----

static inline struct rte_mbuf *turn_datagram(
	const struct tuple *t, const struct look *l, const void *payload, uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(rig.pool);
	uint32_t head = is6(t->src) ? 40 : 20;
	uint8_t *at = (void *)rte_pktmbuf_append(m, (uint16_t)(head + 8 + len));
	struct st_addr src = turn_addr(t->src), dst = turn_addr(t->dst);
	struct rte_udp_hdr *u = (void *)(at + head);

	if (at == NULL)
		abort(); // longer than a buffer of the rig
	*u = (struct rte_udp_hdr){.src_port = htons(t->sport),
		.dst_port = htons(t->dport),
		.dgram_len = htons((uint16_t)(8 + len))};
	memcpy(u + 1, payload, len);
	if (is6(t->src)) {
		struct rte_ipv6_hdr *h = (void *)at;

		*h = (struct rte_ipv6_hdr){.vtc_flow = htonl(6U << 28 | (uint32_t)l->tos << 20),
			.payload_len = u->dgram_len,
			.proto = IPPROTO_UDP,
			.hop_limits = l->ttl};
		memcpy(h->src_addr, src.b, 16);
		memcpy(h->dst_addr, dst.b, 16);
		u->dgram_cksum = rte_ipv6_udptcp_cksum(h, u);
	} else {
		struct rte_ipv4_hdr *h = (void *)at;

		*h = (struct rte_ipv4_hdr){.version_ihl = 0x45,
			.type_of_service = l->tos,
			.total_length = htons((uint16_t)(28 + len)),
			.packet_id = htons(7),
			.fragment_offset = l->df ? htons(RTE_IPV4_HDR_DF_FLAG) : 0,
			.time_to_live = l->ttl,
			.next_proto_id = IPPROTO_UDP,
			.src_addr = addr_to_ipv4(&src),
			.dst_addr = addr_to_ipv4(&dst)};
		h->hdr_checksum = rte_ipv4_cksum(h);
		u->dgram_cksum = l->no_checksum ? 0 : rte_ipv4_udptcp_cksum(h, u);
	}
	return m;
}

static inline void turn_in(
	const struct tuple *t, const struct look *l, const void *payload, uint32_t len)
{
	struct rte_mbuf *m = turn_datagram(t, l, payload, len);

	rig_ether(m, RIG_WAN);
	rig_rx(0, RIG_WAN, m);
	rig_passes(2);
}

struct got {
	bool ipv6, df, checksum;
	uint8_t ttl, tos;
	uint16_t sport, dport;
	struct st_addr src, dst;
	uint32_t len;
	uint8_t payload[ST_PACKET_MAX];
};

// The checksum oracle: headers are taken apart and every sum is made from scratch. len is that of the frame.
static inline bool turn_check(const uint8_t *frame, uint32_t len, struct got *g)
{
	bool ipv6 = frame[14] >> 4 == 6;
	uint32_t head = ipv6 ? 40 : 20;
	const struct rte_udp_hdr *u = (const void *)(frame + 14 + head);

	memset(g, 0, offsetof(struct got, payload));
	if (len < 14 + head + 8 || frame[12] != (ipv6 ? 0x86 : 0x08))
		return false;
	g->ipv6 = ipv6;
	if (ipv6) {
		const struct rte_ipv6_hdr *h = (const void *)(frame + 14);

		if (h->proto != IPPROTO_UDP || ntohs(h->payload_len) != len - 54 ||
			u->dgram_cksum == 0 || rte_ipv6_udptcp_cksum_verify(h, u) != 0 ||
			(ntohl(h->vtc_flow) & 0xfffff) != 0)
			return false;
		g->ttl = h->hop_limits;
		g->tos = (uint8_t)(ntohl(h->vtc_flow) >> 20);
		memcpy(g->src.b, h->src_addr, 16);
		memcpy(g->dst.b, h->dst_addr, 16);
	} else {
		const struct rte_ipv4_hdr *h = (const void *)(frame + 14);

		if (h->version_ihl != 0x45 || h->next_proto_id != IPPROTO_UDP ||
			ntohs(h->total_length) != len - 14 || rte_raw_cksum(h, 20) != 0xffff ||
			(ntohs(h->fragment_offset) & ~RTE_IPV4_HDR_DF_FLAG) != 0)
			return false;
		if (u->dgram_cksum != 0 && rte_ipv4_udptcp_cksum_verify(h, u) != 0)
			return false;
		g->df = h->fragment_offset != 0;
		g->ttl = h->time_to_live;
		g->tos = h->type_of_service;
		addr_from_ipv4(&g->src, h->src_addr);
		addr_from_ipv4(&g->dst, h->dst_addr);
	}
	g->checksum = u->dgram_cksum != 0;
	g->len = len - 14 - head - 8;
	if (ntohs(u->dgram_len) != g->len + 8 || g->len > sizeof(g->payload))
		return false;
	g->sport = ntohs(u->src_port);
	g->dport = ntohs(u->dst_port);
	memcpy(g->payload, frame + 14 + head + 8, g->len);
	return true;
}

// What was sent out of dev: exactly one, whole and right.
static inline bool turn_out(enum rig_device dev, struct got *g)
{
	static uint8_t frame[10000];
	struct rte_mbuf *m = rig_take_one(dev);
	bool ok;

	if (m == NULL)
		return false;
	ok = turn_check(rte_pktmbuf_read(m, 0, m->pkt_len, frame), m->pkt_len, g);
	rte_pktmbuf_free(m);
	return ok;
}

static inline bool got_tuple(const struct got *g, const struct tuple *t)
{
	struct st_addr src = turn_addr(t->src), dst = turn_addr(t->dst);

	return memcmp(&g->src, &src, 16) == 0 && memcmp(&g->dst, &dst, 16) == 0 &&
	       g->sport == t->sport && g->dport == t->dport;
}

static inline uint32_t channel_data(uint8_t *at, uint16_t number, const void *data, uint32_t len)
{
	at[0] = (uint8_t)(number >> 8);
	at[1] = (uint8_t)number;
	at[2] = (uint8_t)(len >> 8);
	at[3] = (uint8_t)len;
	memcpy(at + 4, data, len);
	return 4 + len;
}

// ---- STUN ----

static inline uint32_t stun_begin(uint8_t *at, uint16_t type)
{
	static const uint8_t rest[] = {
		0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

	at[0] = (uint8_t)(type >> 8);
	at[1] = (uint8_t)type;
	memcpy(at + 2, rest, sizeof(rest));
	return 20;
}

static inline uint32_t stun_add(
	uint8_t *msg, uint32_t at, uint16_t type, const void *value, uint32_t len)
{
	uint32_t padded = (len + 3) & ~3U;

	msg[at] = (uint8_t)(type >> 8);
	msg[at + 1] = (uint8_t)type;
	msg[at + 2] = (uint8_t)(len >> 8);
	msg[at + 3] = (uint8_t)len;
	memset(msg + at + 4, 0xcc, padded);
	memcpy(msg + at + 4, value, len);
	at += 4 + padded;
	msg[2] = (uint8_t)((at - 20) >> 8);
	msg[3] = (uint8_t)(at - 20);
	return at;
}

static inline uint32_t stun_add_peer(uint8_t *msg, uint32_t at, const char *peer, uint16_t port)
{
	struct st_addr a = turn_addr(peer);
	uint8_t v[20] = {0, is6(peer) ? 2 : 1, (uint8_t)(port >> 8 ^ 0x21), (uint8_t)(port ^ 0x12)};
	uint32_t n = is6(peer) ? 16 : 4;

	for (uint32_t i = 0; i < n; i++)
		v[4 + i] = a.b[16 - n + i] ^ msg[4 + i];
	return stun_add(msg, at, STUN_XOR_PEER, v, 4 + n);
}

// A bitwise CRC-32, as ISO 3309 has it: slow and independent of the code under test.
static inline uint32_t crc32_slow(const uint8_t *at, uint32_t len)
{
	uint32_t crc = UINT32_MAX;

	while (len-- > 0) {
		crc ^= *at++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

static inline uint32_t stun_add_fingerprint(uint8_t *msg, uint32_t at)
{
	uint32_t end = stun_add(msg, at, STUN_FINGERPRINT, "\0\0\0\0", 4), v;

	v = htonl(crc32_slow(msg, at) ^ 0x5354554e);
	memcpy(msg + at + 4, &v, 4);
	return end;
}
