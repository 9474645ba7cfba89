// SPDX-License-Identifier: BSD-3-Clause
//
// What clients and peers send to the TURN relay. The first byte picks who sends: client or peer, the
// families, how the datagram is cut into mbufs; the rest is the UDP payload. Whatever comes, each UDP
// packet that leaves is right when its checksums are made from scratch, and every mbuf is back at the end.
#include "../unit/dataplane/turn_rig.h"

#include <stdlib.h>

static const char *const clients[] = {CLIENT4, CLIENT6};
static const char *const servers[] = {SERVER4, SERVER6};
static const char *const peers[] = {PEER4, PEER6};

// Allocations of both families for a client of each, the second pair without channels.
static void allocate(int c, int p)
{
	struct st_relay r = relay_of(clients[c], servers[p], (uint16_t)(RELAY_PT + c));

	turn_must(put_relay(&r), "relay");
	turn_must(put_permission(servers[p], (uint16_t)(RELAY_PT + c), peers[p], 0), "permission");
	turn_must(
		put_permission(servers[p], (uint16_t)(RELAY_PT + c), servers[p], 0), "permission");
	if (c != p)
		return;
	turn_must(put_channel(servers[p], (uint16_t)(RELAY_PT + c), peers[p], PEER_PT, CHANNEL, 0),
		"channel");
	// To the other client's relayed address, to WireGuard, to the listener: all of this box.
	turn_must(put_channel(servers[p], (uint16_t)(RELAY_PT + c), servers[p],
			  (uint16_t)(RELAY_PT + !c), CHANNEL + 1, 0),
		"channel");
	turn_must(put_channel(servers[p], (uint16_t)(RELAY_PT + c), servers[p], RIG_PORT,
			  CHANNEL + 2, 0),
		"channel");
	turn_must(put_channel(
			  servers[p], (uint16_t)(RELAY_PT + c), servers[p], LISTEN, CHANNEL + 3, 0),
		"channel");
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	if (rig_init("sodium") != 0)
		abort();
	turn_server();
	for (int k = 0; k < 4; k++)
		allocate(k >> 1, k & 1);
	rig_passes(2);
	rig_reset();
	return 0;
}

// In two mbufs, of which the first ends somewhere in the payload.
static struct rte_mbuf *cut(struct rte_mbuf *m, uint32_t at)
{
	struct rte_mbuf *tail;

	if (at >= m->pkt_len)
		return m;
	tail = rte_pktmbuf_copy(m, rig.pool, at, UINT32_MAX);
	if (tail == NULL)
		abort();
	rte_pktmbuf_trim(m, (uint16_t)(m->pkt_len - at));
	if (rte_pktmbuf_chain(m, tail) != 0)
		abort();
	return m;
}

static void check_what_left(void)
{
	static uint8_t frame[10000];
	static struct got g;
	struct rte_mbuf *m[64];
	unsigned int n = rig_take(RIG_DEV_WAN, m, 64);

	for (unsigned int i = 0; i < n; i++) {
		const uint8_t *at = rte_pktmbuf_read(m[i], 0, m[i]->pkt_len, frame);
		bool fragment = at[12] == 0x08 && ((at[20] & 0x3f) != 0 || at[21] != 0);
		uint8_t proto = at[12] == 0x08 ? at[23] : at[20];

		if (proto == IPPROTO_UDP && !fragment && !turn_check(at, m[i]->pkt_len, &g))
			abort();
	}
	rte_pktmbuf_free_bulk(m, n);
}

static void empty_main(void)
{
	struct rte_mbuf *m;

	for (uint16_t i = 0; i < lcores.nb; i++)
		while (rte_ring_sc_dequeue(lcores.lc[i]->to_main, (void **)&m) == 0)
			rte_pktmbuf_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	struct look l = {.ttl = 64};
	struct tuple t;
	struct rte_mbuf *m;
	int c, p;

	if (len < 2 || len > 1600)
		return -1;
	c = in[0] & 1;
	p = in[0] >> 1 & 1;
	l.df = in[0] & 8;
	l.no_checksum = in[0] & 16;
	t = in[0] & 4 ? (struct tuple){peers[p], PEER_PT, servers[p], (uint16_t)(RELAY_PT + c)}
		      : (struct tuple){clients[c], CLIENT_PT, servers[c], LISTEN};
	m = turn_datagram(&t, &l, in + 2, (uint32_t)len - 2);
	rig_ether(m, RIG_WAN);
	if (in[0] & 32)
		m = cut(m, 14 + (is6(t.src) ? 40 : 20) + 8 + in[1] % 64);
	rig_rx(0, RIG_WAN, m);
	rig_passes(3);
	check_what_left();
	empty_main();
	rig_skip(1); // tokens of the limits come back
	rig_reset();
	if (!rig_pool_full())
		abort();
	return 0;
}
