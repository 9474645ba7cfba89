// SPDX-License-Identifier: BSD-3-Clause
//
// Out of a port: the last size check, fragmentation, the next hop's MAC and the Ethernet header. Packets
// whose next hop is not known yet wait here, at most NEIGH_QUEUE_MAX per lcore and NEIGH_WAIT.
#include "../stage.h"
#include "../tables/iface.h"
#include "../tables/neigh.h"
#include "fragment.h"
#include "header.h"
#include "icmp.h"

#include <rte_ether.h>

#include <errno.h>

#define NEIGH_QUEUE_MAX 64
#define NEIGH_WAIT      1 // seconds

// The neighbour of the packet before: bursts go to few next hops. Valid within one run only.
struct last {
	const struct iface *ifc;
	bool known;
	struct st_addr nexthop;
	struct rte_ether_addr mac;
};

static bool same_hop(const struct packet *a, const struct packet *b)
{
	return a->oif == b->oif && addr_equal(&a->nexthop, &b->nexthop);
}

static bool waits_already(const struct lcore *lc, const struct packet *p)
{
	for (struct rte_mbuf *m = lc->neigh_head; m != NULL; m = packet_of(m)->next)
		if (same_hop(packet_of(m), p))
			return true;
	return false;
}

static void queue(struct lcore *lc, struct rte_mbuf *m)
{
	if (lc->neigh_head == NULL)
		lc->neigh_head = m;
	else
		packet_of(lc->neigh_tail)->next = m;
	lc->neigh_tail = m;
}

// A new packet replaces the oldest one for its next hop (RFC 4861 section 7.2.2), or else the oldest of all.
// False: l2out_retry holds them all just now.
static bool make_room(struct lcore *lc, const struct packet *p)
{
	struct rte_mbuf *m = lc->neigh_head, *before = NULL;

	while (m != NULL && !same_hop(packet_of(m), p)) {
		before = m;
		m = packet_of(m)->next;
	}
	if (m == NULL) {
		before = NULL;
		m = lc->neigh_head;
	}
	if (m == NULL)
		return false;
	if (before == NULL)
		lc->neigh_head = packet_of(m)->next;
	else
		packet_of(before)->next = packet_of(m)->next;
	if (lc->neigh_tail == m)
		lc->neigh_tail = before;
	lc->neigh_queued--;
	stage_drop(lc, m, ST_DROP_neigh_queue_full);
	return true;
}

static void wait_for_neighbour(struct lcore *lc, struct rte_mbuf *m)
{
	struct packet *p = packet_of(m);

	if (lc->neigh_queued >= NEIGH_QUEUE_MAX && !make_room(lc, p)) {
		stage_drop(lc, m, ST_DROP_neigh_queue_full);
		return;
	}
	if (!waits_already(lc, p)) {
		struct lcore_event ev = {
			.event = ST_EV_NEIGH_NEEDED,
			.if_id = p->oif,
			.remote = p->nexthop,
		};

		lcore_event_push(lc, &ev);
	}
	p->next = NULL;
	p->stamp = lc->now;
	queue(lc, m);
	lc->neigh_queued++;
}

static bool resolve(struct last *last, const struct packet *p)
{
	if (last->known && addr_equal(&last->nexthop, &p->nexthop))
		return true;
	last->known = neigh_lookup(p->oif, &p->nexthop, &last->mac);
	last->nexthop = p->nexthop;
	return last->known;
}

static void send_packet(struct lcore *lc, struct last *last, struct rte_mbuf *m)
{
	struct rte_ether_hdr *eth;

	if (unlikely(!resolve(last, packet_of(m)))) {
		wait_for_neighbour(lc, m);
		return;
	}
	eth = mbuf_push(lc->pool, &m, sizeof(*eth));
	if (unlikely(eth == NULL)) {
		stage_drop(lc, m, ST_DROP_no_mbuf);
		return;
	}
	eth->dst_addr = last->mac;
	eth->src_addr = last->ifc->mac;
	eth->ether_type = packet_is_ipv6(packet_of(m)) ? RTE_BE16(RTE_ETHER_TYPE_IPV6)
						       : RTE_BE16(RTE_ETHER_TYPE_IPV4);
	m->l2_len = sizeof(*eth);
	packet_of(m)->l3_off = sizeof(*eth);
	packet_of(m)->out_port = last->ifc->eth_port;
	stage_push(lc, ST_STAGE_tx, m);
}

static void send_fragments(struct lcore *lc, struct last *last, struct rte_mbuf *m)
{
	struct packet *p = packet_of(m);
	struct rte_mbuf *out[FRAGMENT_MAX];
	int n;

	if (!fragment_allowed(m)) {
		icmp_error(lc, m, ICMP_KIND_TOO_BIG, p->mtu);
		stage_drop(lc, m, ST_DROP_mtu_exceeded);
		return;
	}
	// Unique enough per source and destination: an IPv6 tunnel has one of each.
	n = fragment_packet(lc->pool, m, p->mtu,
		(uint32_t)lc->now ^ ((uint32_t)lc->id << 24) ^ lc->ip_id++, out);
	if (n < 0) {
		stage_drop(lc, m, n == -ENOMEM ? ST_DROP_no_mbuf : ST_DROP_frag_failed);
		return;
	}
	for (int i = 0; i < n; i++)
		send_packet(lc, last, out[i]);
	packet_consumed(lc, m);
}

void l2out_run(struct lcore *lc, struct vec *in)
{
	struct last last = {.ifc = NULL};

	for (uint32_t i = 0; i < in->n; i++) {
		struct rte_mbuf *m = in->m[i];
		struct packet *p = packet_of(m);

		if (last.ifc == NULL || last.ifc->if_id != p->oif) {
			last.ifc = iface_get(p->oif);
			last.known = false;
		}
		if (unlikely(last.ifc == NULL || last.ifc->eth_port == NO_ETH_PORT))
			stage_drop(lc, m, ST_DROP_iface_down);
		else if (unlikely(m->pkt_len > p->mtu))
			send_fragments(lc, &last, m);
		else
			send_packet(lc, &last, m);
	}
}

// A waiting packet whose neighbour is known by now goes through l2out again; one that has waited too long
// is dropped. False: it keeps waiting.
static bool leave_queue(struct lcore *lc, struct rte_mbuf *m, bool changed)
{
	const struct packet *p = packet_of(m);
	struct rte_ether_addr mac;

	if (changed && neigh_lookup(p->oif, &p->nexthop, &mac)) {
		stage_push(lc, ST_STAGE_l2out, m);
		return true;
	}
	if (lc->now - p->stamp < NEIGH_WAIT * lc->hz)
		return false;
	icmp_error(lc, m, ICMP_KIND_HOST_UNREACHABLE, 0);
	stage_drop(lc, m, ST_DROP_neigh_unresolved);
	return true;
}

void l2out_retry(struct lcore *lc)
{
	struct rte_mbuf *m, *next;
	uint32_t generation;
	bool changed;

	if (likely(lc->neigh_head == NULL))
		return;
	generation = atomic_load_explicit(&neigh_generation, memory_order_acquire);
	changed = generation != lc->neigh_seen;
	lc->neigh_seen = generation;
	// In order of arrival: when nothing changed and the first has time left, so have the others.
	if (!changed && lc->now - packet_of(lc->neigh_head)->stamp < NEIGH_WAIT * lc->hz)
		return;
	m = lc->neigh_head;
	lc->neigh_head = lc->neigh_tail = NULL;
	for (; m != NULL; m = next) {
		next = packet_of(m)->next;
		packet_of(m)->next = NULL;
		if (leave_queue(lc, m, changed)) {
			lc->neigh_queued--;
			continue;
		}
		queue(lc, m);
	}
}
