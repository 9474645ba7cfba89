// SPDX-License-Identifier: BSD-3-Clause
//
// To the host device of the interface a packet came in on: a tap gets the Ethernet frame, a TUN the IP
// packet. What the kernel does with it is its business.
#include "../stage.h"
#include "../tables/iface.h"
#include "fragment.h"
#include "header.h"
#include "turn.h"

#include <rte_ether.h>

#include <errno.h>
#include <netinet/in.h>

#define IPV6_LEN 40
#define ND_FIRST 133 // RFC 4861: router solicitation ...
#define ND_LAST  137 // ... to redirect; without them the link is dead

static void to_host(struct lcore *lc, const struct iface *ifc, struct rte_mbuf *m)
{
	struct packet *p = packet_of(m);

	p->flags |= PACKET_F_TO_HOST;
	p->out_port = ifc->host_port;
	stage_push(lc, ST_STAGE_tx, m);
}

// An error of ours to the box itself has no frame yet.
static bool frame(struct lcore *lc, struct rte_mbuf **m, const struct rte_ether_hdr *eth)
{
	struct rte_ether_hdr *h = mbuf_push(lc->pool, m, sizeof(*h));

	if (h == NULL)
		return false;
	*h = *eth;
	return true;
}

static struct rte_ether_hdr make_ether(const struct iface *ifc, const struct packet *p)
{
	return (struct rte_ether_hdr){
		.dst_addr = ifc->mac,
		.src_addr = ifc->mac,
		.ether_type = packet_is_ipv6(p) ? RTE_BE16(RTE_ETHER_TYPE_IPV6)
						: RTE_BE16(RTE_ETHER_TYPE_IPV4),
	};
}

// A reassembled packet is larger than what the device takes: cut again. The kernel reassembles it.
static void cut(struct lcore *lc, const struct iface *ifc, struct rte_mbuf *m)
{
	struct packet *p = packet_of(m);
	struct rte_mbuf *out[FRAGMENT_MAX];
	struct rte_ether_hdr eth;
	int n;

	if (p->l3_off == RTE_ETHER_HDR_LEN)
		eth = *rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	else
		eth = make_ether(ifc, p);
	rte_pktmbuf_adj(m, p->l3_off);
	p->l3_off = 0;
	n = fragment_packet(lc->pool, m, ifc->mtu, (uint32_t)lc->now, out);
	if (n < 0) {
		stage_drop(lc, m, n == -ENOMEM ? ST_DROP_no_mbuf : ST_DROP_frag_failed);
		return;
	}
	for (int i = 0; i < n; i++) {
		if (!ifc->is_wg && !frame(lc, &out[i], &eth))
			stage_drop(lc, out[i], ST_DROP_no_mbuf);
		else
			to_host(lc, ifc, out[i]);
	}
	packet_consumed(lc, m);
}

static bool is_neighbour_discovery(struct rte_mbuf *m, const struct packet *p)
{
	uint8_t buf;
	const uint8_t *type = rte_pktmbuf_read(m, p->l3_off + IPV6_LEN, sizeof(buf), &buf);

	return type != NULL && *type >= ND_FIRST && *type <= ND_LAST;
}

// What floods of it take of the host device's ring would be missing to messages of clients. False: to anything else
// there is no limit.
static bool is_limited(struct rte_mbuf *m, const struct packet *p, enum turn_punt *ret)
{
	const struct rte_ipv4_hdr *v4;
	uint8_t proto;

	*ret = TURN_PUNT_ICMP;
	if (packet_is_ipv6(p)) {
		proto = packet_ipv6(m)->proto;
		if (proto == IPPROTO_ICMPV6)
			return !is_neighbour_discovery(m, p);
		*ret = TURN_PUNT_OPTIONS;
		return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING ||
		       proto == IPPROTO_DSTOPTS;
	}
	v4 = packet_ipv4(m);
	if (v4->next_proto_id == IPPROTO_ICMP)
		return true;
	*ret = TURN_PUNT_OPTIONS;
	return (v4->version_ihl & 0xfU) * 4 > sizeof(*v4);
}

// Of what came from a port; what comes out of a tunnel is of who is authenticated.
static bool within_rate(struct lcore *lc, struct rte_mbuf *m)
{
	enum turn_punt cause;

	if (!is_limited(m, packet_of(m), &cause) || turn_limit_punt(lc, cause))
		return true;
	stage_drop(lc, m,
		cause == TURN_PUNT_ICMP ? ST_DROP_host_icmp_limited : ST_DROP_host_options_limited);
	return false;
}

static void punt(struct lcore *lc, const struct iface *ifc, struct rte_mbuf *m)
{
	struct packet *p = packet_of(m);
	bool is_ip = p->l3_off != 0 || ifc->is_wg || (p->flags & PACKET_F_OURS);

	if (!ifc->is_wg && p->l3_off != 0 && !within_rate(lc, m))
		return;
	if (is_ip && packet_ip_len(m, p) > ifc->mtu) {
		cut(lc, ifc, m);
		return;
	}
	if (ifc->is_wg) {
		rte_pktmbuf_adj(m, p->l3_off);
	} else if (is_ip && p->l3_off == 0) {
		struct rte_ether_hdr eth = make_ether(ifc, p);

		if (!frame(lc, &m, &eth)) {
			stage_drop(lc, m, ST_DROP_no_mbuf);
			return;
		}
	}
	to_host(lc, ifc, m);
}

void punt_run(struct lcore *lc, struct vec *in)
{
	for (uint32_t i = 0; i < in->n; i++) {
		const struct iface *ifc = iface_get(packet_of(in->m[i])->iif);

		if (ifc == NULL || ifc->host_port == NO_ETH_PORT)
			stage_drop(lc, in->m[i], ST_DROP_no_host_device);
		else
			punt(lc, ifc, in->m[i]);
	}
}
