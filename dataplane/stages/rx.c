// SPDX-License-Identifier: BSD-3-Clause
//
// First stage: polls the queues that the plan gives to this lcore, sorts frames by what they are at
// layer 2, and checks IP headers, so that every later stage may rely on them.
#include "../stage.h"
#include "../tables/iface.h"
#include "../trace.h"
#include "header.h"

#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_prefetch.h>

#define PREFETCH_AHEAD  4
#define TAP_LOOKS_MOST  100000 // a second, at one that has just had something
#define TAP_LOOKS_LEAST 4000   // at one that is silent

static void init_packet(struct lcore *lc, struct rte_mbuf *m, const struct lcore_rxq *q)
{
	struct packet *p = packet_of(m);

	memset(p, 0, sizeof(*p));
	p->iif = q->if_id;
	p->stamp = lc->now;
	if (q->host)
		p->flags = PACKET_F_FROM_HOST;
}

// A tap tells nobody that it has a frame, see ports/driver_calls.c. One with traffic is looked at every few microseconds,
// a silent one as often as an lcore that is idle looks.
static bool tap_due(const struct lcore *lc, uint16_t i)
{
	return lc->now >= lc->taps[i].due;
}

static void tap_looked(struct lcore *lc, uint16_t i, uint16_t n)
{
	uint64_t least = lc->hz / TAP_LOOKS_MOST, wait = RTE_MAX(2 * lc->taps[i].wait, least);

	if (n == RX_BURST)
		wait = 0;
	else if (n > 0)
		wait = least;
	lc->taps[i].wait = RTE_MIN(wait, lc->hz / TAP_LOOKS_LEAST);
	lc->taps[i].due = lc->now + lc->taps[i].wait;
}

unsigned int rx_poll(struct lcore *lc)
{
	const struct lcore_plan *plan = atomic_load_explicit(&lc->plan, memory_order_acquire);
	struct vec *in = &lc->in[ST_STAGE_rx];
	uint32_t begin = in->n;
	bool full = false;

	if (plan == NULL || plan->nb_rx == 0)
		return 0;
	if (lc->rx_next >= plan->nb_rx)
		lc->rx_next = 0;
	for (uint16_t k = 0, i = lc->rx_next; k < plan->nb_rx; k++) {
		const struct lcore_rxq *q = &plan->rx[i];
		uint32_t room = LCORE_RX_MAX - (in->n - begin);
		uint16_t n = 0;

		if (!q->tap || tap_due(lc, i)) {
			n = rte_eth_rx_burst(q->eth_port, q->queue, in->m + in->n,
				(uint16_t)RTE_MIN(room, (uint32_t)RX_BURST));
			if (q->tap)
				tap_looked(lc, i, n);
		}
		for (uint16_t j = 0; j < n; j++)
			init_packet(lc, in->m[in->n + j], q);
		in->n += n;
		full |= n == RX_BURST && !q->host;
		i = i + 1 < plan->nb_rx ? i + 1 : 0;
		if (in->n - begin >= LCORE_RX_MAX) {
			lc->rx_next = i; // the queues behind come first next time
			break;
		}
	}
	lc->rx_behind = full ? (uint16_t)RTE_MIN(lc->rx_behind + 1U, (uint32_t)UINT16_MAX) : 0;
	return in->n - begin;
}

// Frames of the kernel on a tap are complete: it has done ARP, ND and routing.
static void take_from_tap(struct lcore *lc, const struct iface *ifc, struct rte_mbuf *m)
{
	struct packet *p = packet_of(m);

	p->flags |= PACKET_F_L2_DONE;
	p->oif = p->iif;
	p->out_port = ifc->eth_port;
	stage_push(lc, ST_STAGE_tx, m);
}

// The kernel chose this WireGuard interface; the allowed IPs choose the peer.
static void take_from_tun(struct lcore *lc, const struct iface *ifc, struct rte_mbuf *m)
{
	struct packet *p = packet_of(m);

	if (packet_parse_ip(m) != HEADER_OK) {
		stage_drop(lc, m, ST_DROP_rx_bad_ip);
		return;
	}
	p->oif = ifc->if_id;
	stage_push(lc, ST_STAGE_wg_encrypt, m);
}

static void take_from_host(struct lcore *lc, const struct iface *ifc, struct rte_mbuf *m)
{
	lc->counts[ifc->if_id].host_rx_packets++;
	if (ifc->is_wg)
		take_from_tun(lc, ifc, m);
	else
		take_from_tap(lc, ifc, m);
}

static void punt(struct lcore *lc, const struct iface *ifc, struct rte_mbuf *m, enum st_drop none)
{
	if (ifc->host_port == NO_ETH_PORT)
		stage_drop(lc, m, none);
	else
		stage_push(lc, ST_STAGE_punt, m);
}

static void take_ip(struct lcore *lc, struct rte_mbuf *m)
{
	packet_of(m)->l3_off = RTE_ETHER_HDR_LEN;
	if (unlikely(packet_parse_ip(m) != HEADER_OK))
		stage_drop(lc, m, ST_DROP_rx_bad_ip);
	else if (unlikely(packet_of(m)->flags & PACKET_F_FRAGMENT))
		stage_push(lc, ST_STAGE_reassemble, m);
	else
		stage_push(lc, ST_STAGE_classify, m);
}

static void take_from_port(struct lcore *lc, const struct iface *ifc, struct rte_mbuf *m)
{
	struct iface_counts *c = &lc->counts[ifc->if_id];
	const struct rte_ether_hdr *eth;

	c->rx_packets++;
	c->rx_bytes += m->pkt_len;
	if (unlikely(m->data_len < RTE_ETHER_HDR_LEN)) {
		stage_drop(lc, m, ST_DROP_rx_short);
		return;
	}
	eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	if (unlikely(!rte_is_same_ether_addr(&eth->dst_addr, &ifc->mac))) {
		if (!rte_is_multicast_ether_addr(&eth->dst_addr))
			stage_drop(lc, m, ST_DROP_rx_not_our_mac);
		else
			punt(lc, ifc, m, ST_DROP_no_host_device);
		return;
	}
	switch (eth->ether_type) {
	case RTE_BE16(RTE_ETHER_TYPE_IPV4):
	case RTE_BE16(RTE_ETHER_TYPE_IPV6):
		take_ip(lc, m);
		break;
	case RTE_BE16(RTE_ETHER_TYPE_VLAN):
	case RTE_BE16(RTE_ETHER_TYPE_QINQ):
		punt(lc, ifc, m, ST_DROP_rx_vlan);
		break;
	default:
		punt(lc, ifc, m, ST_DROP_no_host_device);
	}
}

static void watch(struct lcore *lc, struct vec *in, uint32_t flags)
{
	for (uint32_t i = 0; i < in->n; i++) {
		struct packet *p = packet_of(in->m[i]);

		if (flags & TRACE_ON)
			trace_sample(lc, in->m[i]);
		if ((flags & CAPTURE_ON) && !(p->flags & PACKET_F_FROM_HOST))
			capture_packets(lc, p->iif, ST_NO_PEER, &in->m[i], 1, true);
	}
}

void rx_run(struct lcore *lc, struct vec *in)
{
	uint32_t flags = atomic_load_explicit(&trace_flags, memory_order_relaxed);
	const struct iface *ifc = NULL;

	if (unlikely(flags != 0))
		watch(lc, in, flags);
	for (uint32_t i = 0; i < RTE_MIN(in->n, (uint32_t)PREFETCH_AHEAD); i++)
		rte_prefetch0(rte_pktmbuf_mtod(in->m[i], void *));
	for (uint32_t i = 0; i < in->n; i++) {
		struct rte_mbuf *m = in->m[i];
		struct packet *p = packet_of(m);

		if (i + PREFETCH_AHEAD < in->n)
			rte_prefetch0(rte_pktmbuf_mtod(in->m[i + PREFETCH_AHEAD], void *));
		if (ifc == NULL || ifc->if_id != p->iif)
			ifc = iface_get(p->iif);
		if (unlikely(ifc == NULL))
			stage_drop(lc, m, ST_DROP_rx_port_down);
		else if (p->flags & PACKET_F_FROM_HOST)
			take_from_host(lc, ifc, m);
		else
			take_from_port(lc, ifc, m);
	}
}
