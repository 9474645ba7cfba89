// SPDX-License-Identifier: BSD-3-Clause
//
// Last stage: complete frames to their DPDK port, on this lcore's queue or by way of the lcore that has
// one. A packet's traces end here.
#include "../stage.h"
#include "../tables/iface.h"
#include "../trace.h"

#include <rte_ethdev.h>

// A full ring is tried again this often before the rest is dropped: long enough for a device that is
// just being kicked, short enough not to starve the other ports of this lcore.
#define TX_TRIES 4

static void count(struct lcore *lc, const struct packet *p, uint32_t len)
{
	struct iface_counts *c;

	if (p->flags & PACKET_F_TO_HOST) {
		lc->counts[p->iif].host_tx_packets++;
		return;
	}
	c = &lc->counts[p->oif];
	c->tx_packets++;
	c->tx_bytes += len;
}

// A device without multi-segment transmit gets one segment, if it can be made.
static bool linearize(struct rte_mbuf *m, const struct packet *p)
{
	const struct iface *ifc = iface_get(p->oif);

	if (p->flags & PACKET_F_TO_HOST) // net_tap writes chains
		return true;
	if (ifc != NULL && (ifc->tx_offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS))
		return true;
	return rte_pktmbuf_linearize(m) == 0;
}

static void flush(struct lcore *lc, uint16_t port, uint16_t queue)
{
	struct outbuf *b = &lc->tx[port];
	uint32_t sent = 0;

	// Counted first: after the burst the mbufs belong to the device. What it refuses is a drop and
	// taken off again.
	for (uint32_t i = 0; i < b->n; i++)
		count(lc, packet_of(b->m[i]), b->m[i]->pkt_len);
	for (unsigned int t = 0; t < TX_TRIES && sent < b->n; t++)
		sent += rte_eth_tx_burst(port, queue, b->m + sent, (uint16_t)(b->n - sent));
	for (uint32_t i = sent; i < b->n; i++) {
		struct packet *p = packet_of(b->m[i]);

		if (p->flags & PACKET_F_TO_HOST) {
			lc->counts[p->iif].host_tx_packets--;
			drop_now(lc, b->m[i], ST_DROP_host_full);
		} else {
			lc->counts[p->oif].tx_packets--;
			lc->counts[p->oif].tx_bytes -= b->m[i]->pkt_len;
			drop_now(lc, b->m[i], ST_DROP_tx_full);
		}
	}
	b->n = 0;
}

// A device may have got the number of one that went while the frame was in a ring.
static bool is_device_of(const struct packet *p)
{
	const struct iface *ifc = iface_get(p->flags & PACKET_F_TO_HOST ? p->iif : p->oif);

	return ifc != NULL &&
	       p->out_port == (p->flags & PACKET_F_TO_HOST ? ifc->host_port : ifc->eth_port);
}

static void transmit(struct lcore *lc, const struct lcore_plan *plan, struct rte_mbuf *m)
{
	struct packet *p = packet_of(m);
	uint16_t port = p->out_port;
	struct outbuf *b;

	if (unlikely(port >= RTE_MAX_ETHPORTS ||
		     ((p->flags & PACKET_F_BY_HANDOFF) && !is_device_of(p)))) {
		drop_now(lc, m, ST_DROP_iface_down);
		return;
	}
	if (unlikely(plan->tx[port].queue == TXQ_NONE)) {
		uint16_t owner = plan->tx[port].owner;

		if (owner >= lcores.nb || owner == lc->id) // nobody has a queue: the port is gone
			drop_now(lc, m, ST_DROP_iface_down);
		else
			lcore_handoff(lc, owner, m, ST_STAGE_tx);
		return;
	}
	if (unlikely(m->nb_segs > 1) && !linearize(m, p)) {
		drop_now(lc, m, ST_DROP_mtu_exceeded);
		return;
	}
	if (unlikely(p->flags & PACKET_F_TRACED)) {
		trace_end(lc, m, -1);
		p->flags &= ~PACKET_F_TRACED;
	}
	b = &lc->tx[port];
	b->m[b->n++] = m;
	lc->tx_ports |= 1U << port;
	if (b->n == OUTBUF_MAX)
		flush(lc, port, plan->tx[port].queue);
}
_Static_assert(RTE_MAX_ETHPORTS <= 32, "tx_ports has a bit per port");

static void capture(struct lcore *lc, struct vec *in)
{
	for (uint32_t i = 0; i < in->n; i++) {
		struct packet *p = packet_of(in->m[i]);

		if (!(p->flags & PACKET_F_TO_HOST))
			capture_packets(lc, p->oif, ST_NO_PEER, &in->m[i], 1, false);
	}
}

void tx_run(struct lcore *lc, struct vec *in)
{
	const struct lcore_plan *plan = atomic_load_explicit(&lc->plan, memory_order_acquire);

	if (unlikely(plan == NULL)) {
		for (uint32_t i = 0; i < in->n; i++)
			drop_now(lc, in->m[i], ST_DROP_iface_down);
		return;
	}
	if (unlikely(atomic_load_explicit(&trace_flags, memory_order_relaxed) & CAPTURE_ON))
		capture(lc, in);
	for (uint32_t i = 0; i < in->n; i++)
		transmit(lc, plan, in->m[i]);
	while (lc->tx_ports != 0) {
		unsigned int port = (unsigned int)__builtin_ctz(lc->tx_ports);

		lc->tx_ports &= lc->tx_ports - 1;
		if (lc->tx[port].n > 0)
			flush(lc, (uint16_t)port, plan->tx[port].queue);
	}
}
