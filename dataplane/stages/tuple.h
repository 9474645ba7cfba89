// SPDX-License-Identifier: BSD-3-Clause
//
// A received packet's addresses and ports against those of an endpoint.
#pragma once

#include "../tables/peer.h"
#include "header.h"

#include <rte_udp.h>

#include <stdbool.h>
#include <string.h>

static inline bool came_from_ipv4(const struct endpoint *ep, struct rte_mbuf *m)
{
	const struct rte_ipv4_hdr *h = packet_ipv4(m);
	const struct rte_ipv4_hdr *o = (const void *)ep->header;

	return !ep->ipv6 && h->src_addr == o->dst_addr && h->dst_addr == o->src_addr;
}

static inline bool came_from_ipv6(const struct endpoint *ep, struct rte_mbuf *m)
{
	const struct rte_ipv6_hdr *h = packet_ipv6(m);

	return ep->ipv6 && memcmp(h->src_addr, ep->ep.remote.b, 16) == 0 &&
	       memcmp(h->dst_addr, ep->ep.local.b, 16) == 0 &&
	       (ep->link == 0 || ep->link == packet_of(m)->iif);
}

// Whether a relayed packet came from the peer of the endpoint.
static inline bool came_by_relay(const struct endpoint *ep, const struct packet *p)
{
	if (ep->ep.kind != ST_ENDPOINT_CHANNEL)
		return false;
	if (p->via_channel != 0)
		return p->via_channel == ep->ep.channel;
	return p->via_peer_port_be == ep->ep.relay_peer_port_be &&
	       addr_equal(&p->via_peer, &ep->ep.relay_peer);
}

// Whether the packet took the endpoint's tuple in the other direction.
static inline bool came_from(
	const struct endpoint *ep, struct rte_mbuf *m, const struct rte_udp_hdr *udp)
{
	const struct packet *p = packet_of(m);

	if (udp->src_port != ep->ep.remote_port_be || udp->dst_port != ep->ep.local_port_be ||
		!(packet_is_ipv6(p) ? came_from_ipv6(ep, m) : came_from_ipv4(ep, m)))
		return false;
	if (unlikely(p->flags & PACKET_F_VIA_TURN))
		return came_by_relay(ep, p);
	return ep->ep.kind != ST_ENDPOINT_CHANNEL;
}
