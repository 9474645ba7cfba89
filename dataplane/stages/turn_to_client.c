// SPDX-License-Identifier: BSD-3-Clause
//
// What peers send to a relayed address: ChannelData to the client where a channel lives, else a Data
// indication, and nothing without a permission. The peer may be this box itself: another allocation
// (turn_to_peer), or its WireGuard (wg_encrypt).
#include "../stage.h"
#include "header.h"
#include "turn.h"

#include <rte_prefetch.h>

#define ATTR_LEN 4

struct batch {
	uint32_t n;
	struct rte_mbuf *m[TURN_HASH_BULK];
	struct turn_key key[TURN_HASH_BULK];
	void *found[TURN_HASH_BULK];
};

static uint32_t begin_of(struct rte_mbuf *m)
{
	return packet_of(m)->l4_off + (uint32_t)sizeof(struct rte_udp_hdr);
}

static struct turn_from whole(struct rte_mbuf *m, const struct turn_key *key)
{
	uint32_t begin = begin_of(m);

	return (struct turn_from){
		.key = key, .off = begin, .len = m->pkt_len - begin, .begin = begin, .end = m->pkt_len};
}

static void as_channel_data(
	struct lcore *lc, struct rte_mbuf *m, const struct turn_key *key, struct turn_channel *c)
{
	struct turn_from from = whole(m, key);
	uint32_t head = rte_cpu_to_be_16((uint16_t)(c->c2p.w[4] >> 32)) |
			(uint32_t)rte_cpu_to_be_16((uint16_t)from.len) << 16;
	struct turn_to to;

	to.key = &c->c2p;
	to.to_first = true;
	to.copy_df = true;
	to.prefix_len = sizeof(head);
	to.pad = 0; // over UDP there need be none
	memcpy(to.prefix, &head, sizeof(head));
	to.way = &c->to_client;
	to.relay = c->relay;
	to.direction = ST_TURN_TO_CLIENT;
	turn_forward(lc, m, &from, &to);
}

// ---- Data indications (section 11.4) ---------------------------------------------------------------

static uint64_t next_random(struct turn_lcore *t) // xorshift64*: different each time is all it must be
{
	t->random ^= t->random >> 12;
	t->random ^= t->random << 25;
	t->random ^= t->random >> 27;
	return t->random * 0x2545f4914f6cdd1dULL;
}

static uint8_t *put16(uint8_t *at, uint16_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
	return at + 2;
}

// Header, XOR-PEER-ADDRESS, header of DATA.
static void write_indication(struct turn_lcore *t, struct turn_to *to, const struct st_addr *peer,
	uint16_t peer_port_be, uint32_t len)
{
	bool ipv6 = !turn_addr_is_ipv4(peer);
	uint32_t n = ipv6 ? 16 : 4;
	const uint64_t random[2] = {next_random(t), next_random(t)};
	const rte_be32_t cookie = RTE_BE32(STUN_COOKIE);
	uint8_t *at = to->prefix;

	to->pad = (uint8_t)(-len & 3);
	to->prefix_len = (uint8_t)(STUN_HEADER_LEN + ATTR_LEN + 4 + n + ATTR_LEN);
	at = put16(at, STUN_DATA);
	at = put16(at, (uint16_t)(to->prefix_len - STUN_HEADER_LEN + len + to->pad));
	memcpy(at, &cookie, 4);
	memcpy(at + 4, random, 12);
	at = put16(at + 16, STUN_XOR_PEER);
	at = put16(at, (uint16_t)(4 + n));
	at = put16(at, ipv6 ? 2 : 1);
	peer_port_be ^= rte_cpu_to_be_16(STUN_COOKIE >> 16);
	memcpy(at, &peer_port_be, 2);
	for (uint32_t i = 0; i < n; i++)
		at[2 + i] = peer->b[16 - n + i] ^ to->prefix[4 + i];
	at = put16(at + 2 + n, STUN_ATTR_DATA);
	put16(at, (uint16_t)len);
}

static void as_indication(
	struct lcore *lc, struct rte_mbuf *m, const struct turn_key *key, struct turn_relay *relay)
{
	struct turn_from from = whole(m, key);
	struct turn_to to;

	write_indication(lc->turn, &to, turn_key_second(key), (uint16_t)(key->w[4] >> 16), from.len);
	to.key = &relay->client;
	to.to_first = true;
	to.copy_df = true;
	to.way = &relay->to_client;
	to.relay = relay;
	to.direction = ST_TURN_TO_CLIENT;
	lc->turn->counts.data_indications++;
	turn_forward(lc, m, &from, &to);
}

// ---- look-ups --------------------------------------------------------------------------------------

// The relayed address of a TCP or TLS client is a socket's.
static void to_socket(struct lcore *lc, struct rte_mbuf *m)
{
	const struct packet *p = packet_of(m);

	if (p->iif == 0 || (p->flags & PACKET_F_OURS))
		lcore_to_main(lc, m, ST_NO_PEER);
	else
		stage_push(lc, ST_STAGE_punt, m);
}

static void refuse(struct lcore *lc, struct rte_mbuf *m, struct turn_relay *relay, enum st_drop why)
{
	relay->counts[lc->id].dropped[ST_TURN_TO_CLIENT]++;
	stage_drop(lc, m, why);
}

static void relay_indication(
	struct lcore *lc, struct rte_mbuf *m, const struct turn_key *key, struct turn_relay *relay)
{
	if (unlikely(turn_port_denied((uint16_t)(key->w[4] >> 16))))
		refuse(lc, m, relay, ST_DROP_turn_denied_port);
	else
		as_indication(lc, m, key, relay);
}

static void without_permission(struct lcore *lc, struct rte_mbuf *m, const struct turn_key *key)
{
	struct turn_relay *relay;
	struct turn_key k;

	turn_relay_key(&k, turn_key_first(key), (uint16_t)key->w[4]);
	relay = turn_hash_find(&turn_tables.relays, &k);
	if (relay == NULL)
		stage_drop(lc, m, ST_DROP_turn_no_allocation);
	else if (relay->flags & ST_RELAY_F_CONTROL)
		to_socket(lc, m);
	else
		refuse(lc, m, relay, ST_DROP_turn_no_permission);
}

static void without_channel(struct lcore *lc, struct rte_mbuf *m, const struct turn_key *key,
	struct turn_permission *perm)
{
	if (perm == NULL)
		without_permission(lc, m, key);
	else if (perm->relay->flags & ST_RELAY_F_CONTROL)
		to_socket(lc, m);
	else if (turn_live(&perm->expiry, lc->now))
		relay_indication(lc, m, key, perm->relay);
	else
		refuse(lc, m, perm->relay, ST_DROP_turn_no_permission);
}

static void look_for_permissions(struct lcore *lc, struct batch *b)
{
	struct turn_key key[TURN_HASH_BULK];

	for (uint32_t i = 0; i < b->n; i++) {
		key[i] = b->key[i];
		key[i].w[4] = (uint16_t)key[i].w[4]; // any port of the peer's address
	}
	turn_hash_lookup_bulk(&turn_tables.permissions, key, b->n, b->found);
	for (uint32_t i = 0; i < b->n; i++)
		without_channel(lc, b->m[i], &b->key[i], b->found[i]);
}

static void relay_channel(
	struct lcore *lc, struct rte_mbuf *m, const struct turn_key *key, struct turn_channel *c)
{
	if (unlikely(!turn_live(&c->permitted, lc->now)))
		refuse(lc, m, c->relay, ST_DROP_turn_no_permission);
	else if (likely(turn_live(&c->expiry, lc->now)))
		as_channel_data(lc, m, key, c);
	else
		relay_indication(lc, m, key, c->relay);
}

static void flush(struct lcore *lc, struct batch *b)
{
	struct batch rest;

	if (b->n == 0)
		return;
	rest.n = 0;
	turn_hash_lookup_bulk(&turn_tables.p2c, b->key, b->n, b->found);
	for (uint32_t i = 0; i < b->n; i++) {
		struct turn_channel *c = b->found[i];

		if (likely(c != NULL))
			rte_prefetch0(&c->relay->counts[lc->id]);
	}
	for (uint32_t i = 0; i < b->n; i++) {
		if (likely(b->found[i] != NULL)) {
			relay_channel(lc, b->m[i], &b->key[i], b->found[i]);
			continue;
		}
		rest.key[rest.n] = b->key[i];
		rest.m[rest.n++] = b->m[i];
	}
	if (rest.n > 0)
		look_for_permissions(lc, &rest);
	b->n = 0;
}

void turn_to_client_run(struct lcore *lc, struct vec *in)
{
	struct batch b;

	b.n = 0;
	for (uint32_t i = 0; i < in->n; i++) {
		struct rte_mbuf *m = in->m[i];
		const struct rte_udp_hdr *udp =
			rte_pktmbuf_mtod_offset(m, const struct rte_udp_hdr *, packet_of(m)->l4_off);
		struct st_addr src, dst;

		packet_addrs(m, &src, &dst);
		turn_key_addrs(&b.key[b.n], &dst, &src);
		b.key[b.n].w[4] = turn_ports(udp->dst_port, udp->src_port, 0);
		b.m[b.n++] = m;
		if (b.n == TURN_HASH_BULK)
			flush(lc, &b);
	}
	flush(lc, &b);
}
