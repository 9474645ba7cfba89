// SPDX-License-Identifier: BSD-3-Clause
//
// What clients of the TURN server send to it: ChannelData and Send indications become UDP from the relayed
// address, plain Binding requests are answered, other STUN goes up to straitd's socket.
#include "../stage.h"
#include "checksum.h"
#include "header.h"
#include "turn.h"

#include <rte_prefetch.h>

#define CHANNEL_HEADER 4
#define RFC8656_MAX    0x4fff // above it a number means something only where a channel has it

struct channels {
	uint32_t n;
	struct rte_mbuf *m[TURN_HASH_BULK];
	struct turn_key key[TURN_HASH_BULK];
	void *found[TURN_HASH_BULK];
};

struct sends {
	uint32_t n;
	struct rte_mbuf *m[TURN_HASH_BULK];
	struct turn_key key[TURN_HASH_BULK]; // first of the client, then of the permission
	void *found[TURN_HASH_BULK];
	struct stun_message msg[TURN_HASH_BULK];
};

struct batch {
	struct channels ch;
	struct sends snd;
};

static const struct rte_udp_hdr *udp_of(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod_offset(m, const struct rte_udp_hdr *, packet_of(m)->l4_off);
}

static uint32_t begin_of(struct rte_mbuf *m)
{
	return packet_of(m)->l4_off + (uint32_t)sizeof(struct rte_udp_hdr);
}

// classify has checked the length and cut off what lies behind it.
static uint32_t payload_len(struct rte_mbuf *m)
{
	return m->pkt_len - begin_of(m);
}

static void client_key(struct rte_mbuf *m, struct turn_key *k)
{
	const struct rte_udp_hdr *udp = udp_of(m);
	struct st_addr src, dst;

	packet_addrs(m, &src, &dst);
	turn_key_addrs(k, &src, &dst);
	k->w[4] = turn_ports(udp->src_port, udp->dst_port, 0);
}

// ---- ChannelData -----------------------------------------------------------------------------------

static void relay_channel(
	struct lcore *lc, struct rte_mbuf *m, const struct turn_key *key, struct turn_channel *c)
{
	const uint8_t *head = rte_pktmbuf_mtod_offset(m, const uint8_t *, begin_of(m));
	struct turn_from from = {.key = key, .begin = begin_of(m), .end = m->pkt_len};
	struct turn_to to;

	if (unlikely(c == NULL)) {
		stage_drop(lc, m,
			(uint16_t)(key->w[4] >> 32) > RFC8656_MAX ? ST_DROP_turn_not_turn
								  : ST_DROP_turn_no_channel);
		return;
	}
	if (unlikely(!turn_live(&c->expiry, lc->now))) {
		c->relay->counts[lc->id].dropped[ST_TURN_TO_PEER]++;
		stage_drop(lc, m, ST_DROP_turn_no_channel);
		return;
	}
	from.off = from.begin + CHANNEL_HEADER;
	from.len = (uint32_t)head[2] << 8 | head[3];
	// Behind it there may be padding (section 12.5).
	if (unlikely(from.len > from.end - from.off)) {
		stage_drop(lc, m, ST_DROP_turn_malformed);
		return;
	}
	to.key = &c->p2c;
	to.to_first = false;
	to.copy_df = true;
	to.prefix_len = to.pad = 0;
	to.way = &c->to_peer;
	to.relay = c->relay;
	to.direction = ST_TURN_TO_PEER;
	turn_forward(lc, m, &from, &to);
}

static void flush_channels(struct lcore *lc, struct channels *b)
{
	if (b->n == 0)
		return;
	turn_hash_lookup_bulk(&turn_tables.c2p, b->key, b->n, b->found);
	for (uint32_t i = 0; i < b->n; i++) {
		struct turn_channel *c = b->found[i];

		if (likely(c != NULL))
			rte_prefetch0(&c->relay->counts[lc->id]);
	}
	for (uint32_t i = 0; i < b->n; i++)
		relay_channel(lc, b->m[i], &b->key[i], b->found[i]);
	b->n = 0;
}

static void take_channel(struct lcore *lc, struct channels *b, struct rte_mbuf *m)
{
	const uint8_t *head;

	if (unlikely(payload_len(m) < CHANNEL_HEADER || !mbuf_pull(m, begin_of(m) + CHANNEL_HEADER))) {
		stage_drop(lc, m, ST_DROP_turn_malformed);
		return;
	}
	head = rte_pktmbuf_mtod_offset(m, const uint8_t *, begin_of(m));
	client_key(m, &b->key[b->n]);
	b->key[b->n].w[4] |= (uint64_t)(head[0] << 8 | head[1]) << 32;
	b->m[b->n++] = m;
	if (b->n == TURN_HASH_BULK)
		flush_channels(lc, b);
}

// ---- Send indications ------------------------------------------------------------------------------

static void relay_send(struct lcore *lc, struct rte_mbuf *m, const struct stun_message *msg,
	struct turn_permission *perm)
{
	struct turn_relay *relay = perm->relay;
	struct turn_from from = {.key = &relay->client, .begin = begin_of(m), .end = m->pkt_len};
	struct turn_to to;
	struct turn_key key = perm->key;

	from.off = from.begin + msg->data_off;
	from.len = msg->data_len;
	if (unlikely(!mbuf_pull(m, from.off))) {
		stage_drop(lc, m, ST_DROP_turn_malformed);
		return;
	}
	key.w[4] |= (uint64_t)msg->peer_port_be << 16;
	to.key = &key;
	to.to_first = to.copy_df = false;
	to.df = msg->dont_fragment;
	to.prefix_len = to.pad = 0;
	to.way = &perm->to_peer;
	to.relay = relay;
	to.direction = ST_TURN_TO_PEER;
	lc->turn->counts.send_indications++;
	turn_forward(lc, m, &from, &to);
}

// From clients to permissions: those of unknown clients are dropped, the others keep their order.
static void find_relays(struct lcore *lc, struct sends *b)
{
	uint32_t n = 0;

	turn_hash_lookup_bulk(&turn_tables.clients, b->key, b->n, b->found);
	for (uint32_t i = 0; i < b->n; i++) {
		struct turn_relay *relay = b->found[i];

		if (relay == NULL) {
			stage_drop(lc, b->m[i], ST_DROP_turn_no_allocation);
			continue;
		}
		rte_prefetch0(&relay->counts[lc->id]);
		b->m[n] = b->m[i];
		b->msg[n] = b->msg[i];
		b->found[n] = relay;
		turn_permission_key(&b->key[n], turn_key_first(&relay->key),
			(uint16_t)relay->key.w[4], &b->msg[i].peer);
		n++;
	}
	b->n = n;
}

static void refuse_send(
	struct lcore *lc, struct rte_mbuf *m, struct turn_relay *relay, enum st_drop why)
{
	relay->counts[lc->id].dropped[ST_TURN_TO_PEER]++;
	stage_drop(lc, m, why);
}

static void flush_sends(struct lcore *lc, struct sends *b)
{
	void *perms[TURN_HASH_BULK];

	if (likely(b->n == 0))
		return;
	find_relays(lc, b);
	turn_hash_lookup_bulk(&turn_tables.permissions, b->key, b->n, perms);
	for (uint32_t i = 0; i < b->n; i++) {
		struct turn_permission *perm = perms[i];

		if (unlikely(perm == NULL || !turn_live(&perm->expiry, lc->now)))
			refuse_send(lc, b->m[i], b->found[i], ST_DROP_turn_no_permission);
		else if (unlikely(turn_port_denied(b->msg[i].peer_port_be)))
			refuse_send(lc, b->m[i], b->found[i], ST_DROP_turn_denied_port);
		else
			relay_send(lc, b->m[i], &b->msg[i], perm);
	}
	b->n = 0;
}

// Section 11.2: both attributes, and nothing that must be understood and is not.
static void take_send(
	struct lcore *lc, struct sends *b, struct rte_mbuf *m, const struct stun_message *msg)
{
	if (!msg->has_peer || !msg->has_data || msg->unknown || msg->peer_port_be == 0) {
		stage_drop(lc, m, ST_DROP_turn_malformed);
		return;
	}
	client_key(m, &b->key[b->n]);
	b->key[b->n].w[4] |= (uint64_t)!turn_addr_is_ipv4(&msg->peer) << 32;
	b->msg[b->n] = *msg;
	b->m[b->n++] = m;
	if (b->n == TURN_HASH_BULK)
		flush_sends(lc, b);
}

// ---- other STUN ------------------------------------------------------------------------------------

static bool has_allocation(struct rte_mbuf *m)
{
	struct turn_key k;

	client_key(m, &k);
	if (turn_hash_find(&turn_tables.clients, &k) != NULL)
		return true;
	k.w[4] |= 1ULL << 32; // its relayed address may be IPv6
	return turn_hash_find(&turn_tables.clients, &k) != NULL;
}

// straitd's socket tells by it who waits for whom. Nobody else's message has this DSCP: it would push in.
static void mark(struct rte_mbuf *m, bool known)
{
	uint8_t dscp = packet_dscp(m);

	if (known && dscp != ST_TURN_KNOWN_DSCP)
		packet_set_dscp(m, ST_TURN_KNOWN_DSCP);
	else if (!known && dscp == ST_TURN_KNOWN_DSCP)
		packet_set_dscp(m, 0);
}

static void to_socket(struct lcore *lc, struct rte_mbuf *m)
{
	bool known = has_allocation(m);

	if (!turn_limit_punt(lc, known ? TURN_PUNT_KNOWN : TURN_PUNT_OTHER)) {
		stage_drop(lc, m, ST_DROP_stun_limited);
		return;
	}
	mark(m, known);
	stage_push(lc, ST_STAGE_punt, m);
}

static void take_stun(struct lcore *lc, struct batch *b, struct rte_mbuf *m)
{
	struct stun_message msg;

	if (!stun_parse(m, begin_of(m), payload_len(m), &msg))
		stage_drop(lc, m, ST_DROP_turn_malformed);
	else if (msg.type == STUN_SEND)
		take_send(lc, &b->snd, m, &msg);
	else if (msg.type != STUN_BINDING || msg.required)
		to_socket(lc, m);
	else if (packet_udp_checksum_ok(m))
		stun_binding_answer(lc, m, &msg);
	else
		stage_drop(lc, m, ST_DROP_udp_bad_checksum);
}

static void take(struct lcore *lc, struct batch *b, struct rte_mbuf *m)
{
	uint8_t first = 0xff;

	if (likely(payload_len(m) > 0 && mbuf_pull(m, begin_of(m) + 1)))
		first = *rte_pktmbuf_mtod_offset(m, const uint8_t *, begin_of(m));
	if (likely(first >= 0x40 && first <= 0x7f))
		take_channel(lc, &b->ch, m);
	else if (first <= 3)
		take_stun(lc, b, m);
	else
		stage_drop(lc, m, ST_DROP_turn_not_turn);
}

void turn_to_peer_run(struct lcore *lc, struct vec *in)
{
	struct batch b;

	b.ch.n = b.snd.n = 0;
	for (uint32_t i = 0; i < in->n; i++)
		take(lc, &b, in->m[i]);
	flush_channels(lc, &b.ch);
	flush_sends(lc, &b.snd);
}
