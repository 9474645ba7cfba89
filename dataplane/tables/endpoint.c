// SPDX-License-Identifier: BSD-3-Clause
//
// Endpoints: where a peer's packets go, with the outer header made ready. Replaced whole; main writes.
#include "../reclaim.h"
#include "peer.h"

#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define OUTER_TTL 64

static bool is_v4(const struct st_addr *a)
{
	static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(a->b, v4_mapped, sizeof(v4_mapped)) == 0;
}

static bool is_unspecified(const struct st_addr *a)
{
	static const struct st_addr none6, none4 = {.b = {[10] = 0xff, [11] = 0xff}};

	return memcmp(a, &none6, sizeof(*a)) == 0 || memcmp(a, &none4, sizeof(*a)) == 0;
}

static int endpoint_check(const struct st_endpoint *e)
{
	if (e->key.slot != 0 || e->pad != 0 || e->flags != 0 || e->channel != 0 ||
		e->relay_peer_port_be != 0)
		return -EINVAL;
	if (e->kind != ST_ENDPOINT_DIRECT && e->kind != ST_ENDPOINT_CONTROL)
		return -EINVAL;
	if (is_v4(&e->local) != is_v4(&e->remote))
		return -EAFNOSUPPORT;
	if (is_unspecified(&e->local) || is_unspecified(&e->remote))
		return -EINVAL;
	if (e->local_port_be == 0 || e->remote_port_be == 0)
		return -EINVAL;
	if (e->if_id >= ST_MAX_IFACES || (e->kind == ST_ENDPOINT_DIRECT && e->if_id == 0))
		return -EINVAL;
	return 0;
}

static void header_fill4(struct endpoint *ep)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)ep->header;
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);

	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->time_to_live = OUTER_TTL; // DF stays clear: the path may fragment
	ip->next_proto_id = IPPROTO_UDP;
	memcpy(&ip->src_addr, ep->ep.local.b + 12, 4);
	memcpy(&ip->dst_addr, ep->ep.remote.b + 12, 4);
	udp->src_port = ep->ep.local_port_be;
	udp->dst_port = ep->ep.remote_port_be;
	ep->header_len = sizeof(*ip) + sizeof(*udp);
	ep->ip_csum_base = rte_raw_cksum(ip, sizeof(*ip));
}

static void header_fill6(struct endpoint *ep)
{
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)ep->header;
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);

	ip->vtc_flow = rte_cpu_to_be_32(6u << 28);
	ip->proto = IPPROTO_UDP;
	ip->hop_limits = OUTER_TTL;
	memcpy(ip->src_addr, ep->ep.local.b, sizeof(ip->src_addr));
	memcpy(ip->dst_addr, ep->ep.remote.b, sizeof(ip->dst_addr));
	udp->src_port = ep->ep.local_port_be;
	udp->dst_port = ep->ep.remote_port_be;
	ep->header_len = sizeof(*ip) + sizeof(*udp);
	ep->ipv6 = true;
}

// Addresses, protocol and ports, as UDP's checksum takes them; the lengths come per packet.
static uint16_t udp_base(const struct endpoint *ep)
{
	struct {
		uint8_t local[16], remote[16];
		uint16_t proto_be, local_port_be, remote_port_be;
	} pseudo = {
		.proto_be = rte_cpu_to_be_16(IPPROTO_UDP),
		.local_port_be = ep->ep.local_port_be,
		.remote_port_be = ep->ep.remote_port_be,
	};

	// The first 12 bytes of a v4-mapped address do not belong to the sum of an IPv4 packet.
	memcpy(pseudo.local, ep->ep.local.b, sizeof(pseudo.local));
	memcpy(pseudo.remote, ep->ep.remote.b, sizeof(pseudo.remote));
	if (!ep->ipv6) {
		memset(pseudo.local, 0, 12);
		memset(pseudo.remote, 0, 12);
	}
	return rte_raw_cksum(&pseudo, sizeof(pseudo));
}

int endpoint_set(const void *body, const void *old)
{
	const struct st_endpoint *e = body;
	struct peer *peer = peer_by_id(e->key.peer_id);
	struct endpoint *ep;
	int rc = endpoint_check(e);

	if (rc < 0)
		return rc;
	if (peer == NULL)
		return -ENOENT;
	ep = calloc(1, sizeof(*ep));
	if (ep == NULL)
		return -ENOMEM;
	ep->ep = *e;
	if (is_v4(&e->local))
		header_fill4(ep);
	else
		header_fill6(ep);
	ep->udp_csum_base = udp_base(ep);
	reclaim_later(free, (void *)(uintptr_t)atomic_exchange_explicit(
				    &peer->endpoint, ep, memory_order_acq_rel));
	return 0;
}

void endpoint_del(const void *body)
{
	const struct st_endpoint *e = body;
	struct peer *peer = peer_by_id(e->key.peer_id);

	if (peer != NULL)
		reclaim_later(free, (void *)(uintptr_t)atomic_exchange_explicit(
					    &peer->endpoint, NULL, memory_order_acq_rel));
}
