// SPDX-License-Identifier: BSD-3-Clause
//
// Endpoints: where a peer's packets go and where else they may come from, with the outer header made
// ready, a TURN header included. Replaced whole; main writes, and of slot 0 the owner lcore of a peer that
// moved: it puts the spare that main made beforehand in its place, and main frees what was there.
#include "../reclaim.h"
#include "../stages/turn.h"
#include "../stages/turn_client.h"
#include "peer.h"

#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <sodium.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define OUTER_TTL 64

_Static_assert(ENDPOINT_TURN_MAX >= STUN_HEADER_LEN + 8 + 16 + 4, "a Send indication fits");

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

static bool is_link_local(const struct st_addr *a)
{
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

static bool turn_fields_ok(const struct st_endpoint *e)
{
	static const struct st_addr none;

	if (e->kind != ST_ENDPOINT_CHANNEL)
		return e->channel == 0 && e->relay_peer_port_be == 0 &&
		       memcmp(&e->relay_peer, &none, sizeof(none)) == 0;
	return !is_unspecified(&e->relay_peer) && e->relay_peer_port_be != 0 &&
	       (e->channel == 0 || (e->channel >= CHANNEL_MIN && e->channel <= CHANNEL_MAX));
}

static int endpoint_check(const struct st_endpoint *e)
{
	if (e->key.slot >= ST_ENDPOINT_SLOTS || e->pad != 0 ||
		(e->flags & ~(uint32_t)ST_ENDPOINT_F_NOMINATED) != 0)
		return -EINVAL;
	if (e->kind < ST_ENDPOINT_DIRECT || e->kind > ST_ENDPOINT_CHANNEL || !turn_fields_ok(e))
		return -EINVAL;
	if (is_v4(&e->local) != is_v4(&e->remote))
		return -EAFNOSUPPORT;
	if (is_unspecified(&e->local) || is_unspecified(&e->remote))
		return -EINVAL;
	if (e->local_port_be == 0 || e->remote_port_be == 0)
		return -EINVAL;
	if (e->if_id >= ST_MAX_IFACES || (e->kind != ST_ENDPOINT_CONTROL && e->if_id == 0))
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
	ep->udp_off = sizeof(*ip);
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
	ep->udp_off = sizeof(*ip);
	ep->ipv6 = true;
	ep->link = is_link_local(&ep->ep.remote) ? (uint16_t)ep->ep.if_id : 0;
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

// RFC 8656 section 12.4.
static void turn_fill_channel(struct endpoint *ep)
{
	uint16_t number = rte_cpu_to_be_16(ep->ep.channel);

	memcpy(ep->turn, &number, sizeof(number));
	ep->turn_len = TURN_CHANNEL_HEADER;
}

// RFC 8656 section 11.1: XOR-PEER-ADDRESS (RFC 8489 section 14.2), then DATA, whose value is the message.
// One transaction id for all: nothing answers an indication.
static void turn_fill_send(struct endpoint *ep)
{
	static const uint8_t cookie[4] = {0x21, 0x12, 0xa4, 0x42};
	bool v4 = is_v4(&ep->ep.relay_peer);
	const uint8_t *addr = v4 ? ep->ep.relay_peer.b + 12 : ep->ep.relay_peer.b;
	uint8_t len = v4 ? 4 : 16, *h = ep->turn, *at = h + STUN_HEADER_LEN;
	uint8_t port[2];

	h[1] = STUN_SEND;
	memcpy(h + 4, cookie, sizeof(cookie));
	randombytes_buf(h + 8, 12);
	at[1] = STUN_XOR_PEER;
	at[3] = (uint8_t)(4 + len);
	at[5] = v4 ? 1 : 2;
	memcpy(port, &ep->ep.relay_peer_port_be, sizeof(port));
	at[6] = port[0] ^ cookie[0];
	at[7] = port[1] ^ cookie[1];
	for (int i = 0; i < len; i++)
		at[8 + i] = addr[i] ^ h[4 + i]; // the cookie, then the transaction id
	at += 8 + len;
	at[1] = STUN_ATTR_DATA;
	ep->turn_len = (uint8_t)(at + 4 - h);
}

static bool same_tuple(const struct st_endpoint *a, const struct st_endpoint *b)
{
	return (a->kind == ST_ENDPOINT_CHANNEL) == (b->kind == ST_ENDPOINT_CHANNEL) &&
	       memcmp(&a->local, &b->local, sizeof(a->local)) == 0 &&
	       memcmp(&a->remote, &b->remote, sizeof(a->remote)) == 0 &&
	       a->local_port_be == b->local_port_be && a->remote_port_be == b->remote_port_be &&
	       memcmp(&a->relay_peer, &b->relay_peer, sizeof(a->relay_peer)) == 0 &&
	       a->relay_peer_port_be == b->relay_peer_port_be;
}

static uint32_t tuple_new(void)
{
	static uint32_t last; // 0 is no tuple's

	return ++last;
}

static uint32_t tuple_of(const struct endpoint *old, const struct st_endpoint *e)
{
	return old != NULL && same_tuple(&old->ep, e) ? old->tuple : tuple_new();
}

static const struct endpoint *_Atomic *slot_of(struct peer *peer, uint32_t slot)
{
	return slot == 0 ? &peer->endpoint : &peer->listened[slot - 1];
}

static void slot_put(struct peer *peer, uint32_t slot, const struct endpoint *ep)
{
	reclaim_later(free, (void *)(uintptr_t)atomic_exchange_explicit(
				    slot_of(peer, slot), ep, memory_order_acq_rel));
}

uint64_t endpoint_selected_stamp(struct peer *peer)
{
	const struct endpoint *ep = atomic_load_explicit(&peer->endpoint, memory_order_relaxed);

	if (ep == NULL ||
		atomic_load_explicit(&peer->selected_tuple, memory_order_acquire) != ep->tuple)
		return 0;
	return atomic_load_explicit(&peer->selected_stamp, memory_order_relaxed);
}

static void headers_fill(struct endpoint *ep)
{
	if (is_v4(&ep->ep.local))
		header_fill4(ep);
	else
		header_fill6(ep);
	if (ep->ep.kind == ST_ENDPOINT_CHANNEL && ep->ep.channel != 0)
		turn_fill_channel(ep);
	else if (ep->ep.kind == ST_ENDPOINT_CHANNEL)
		turn_fill_send(ep);
	ep->header_len = (uint8_t)(ep->udp_off + sizeof(struct rte_udp_hdr) + ep->turn_len);
	ep->udp_csum_base = udp_base(ep);
}

// ---- a peer moves ----------------------------------------------------------------------------------

static void retired_free(struct peer *peer)
{
	reclaim_later(free, (void *)(uintptr_t)atomic_exchange_explicit(
				    &peer->retired, NULL, memory_order_acq_rel));
}

void endpoint_spare(struct peer *peer)
{
	struct endpoint *spare;

	retired_free(peer);
	if (atomic_load_explicit(&peer->spare, memory_order_relaxed) != NULL)
		return;
	spare = calloc(1, sizeof(*spare));
	if (spare == NULL)
		return; // the peer then moves when straitd says so
	spare->tuple = tuple_new();
	spare->moved = true;
	atomic_store_explicit(&peer->spare, spare, memory_order_release);
}

void endpoint_spare_free(struct peer *peer)
{
	free(atomic_load_explicit(&peer->spare, memory_order_relaxed));
	free((void *)(uintptr_t)atomic_load_explicit(&peer->retired, memory_order_relaxed));
	free((void *)(uintptr_t)atomic_load_explicit(&peer->endpoint, memory_order_relaxed));
}

// The same way out: what stood on link stays on link, what was behind a gateway stays behind it.
static void spare_fill(struct endpoint *spare, const struct endpoint *from,
	const struct st_addr *local, const struct st_addr *remote, uint16_t remote_port_be)
{
	uint32_t tuple = spare->tuple;
	bool on_link = memcmp(&from->ep.nexthop, &from->ep.remote, sizeof(*remote)) == 0;

	memset(spare, 0, sizeof(*spare));
	spare->ep = from->ep;
	spare->ep.local = *local;
	spare->ep.remote = *remote;
	spare->ep.remote_port_be = remote_port_be;
	if (on_link)
		spare->ep.nexthop = *remote;
	headers_fill(spare);
	spare->tuple = tuple;
	spare->moved = true;
}

const struct endpoint *endpoint_move(struct peer *peer, const struct endpoint *from,
	const struct st_addr *local, const struct st_addr *remote, uint16_t remote_port_be)
{
	struct endpoint *spare;
	const struct endpoint *expected = from;

	// From a link to beyond it, or back: not the same way.
	if (is_link_local(&from->ep.remote) != is_link_local(remote))
		return NULL;
	// `retired` holds one; main takes it before it makes the next spare.
	if (atomic_load_explicit(&peer->retired, memory_order_relaxed) != NULL)
		return NULL;
	spare = atomic_exchange_explicit(&peer->spare, NULL, memory_order_acq_rel);
	if (spare == NULL)
		return NULL;
	spare_fill(spare, from, local, remote, remote_port_be);
	if (!atomic_compare_exchange_strong_explicit(&peer->endpoint, &expected, spare,
		    memory_order_acq_rel, memory_order_relaxed)) {
		// straitd was faster.
		atomic_store_explicit(&peer->spare, spare, memory_order_release);
		return NULL;
	}
	atomic_store_explicit(&peer->retired, from, memory_order_release);
	return spare;
}

// ---- objects ---------------------------------------------------------------------------------------

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
	headers_fill(ep);
	ep->tuple =
		tuple_of(atomic_load_explicit(slot_of(peer, e->key.slot), memory_order_relaxed), e);
	slot_put(peer, e->key.slot, ep);
	if (e->key.slot == 0 && e->kind == ST_ENDPOINT_DIRECT)
		endpoint_spare(peer);
	return 0;
}

void endpoint_del(const void *body)
{
	const struct st_endpoint *e = body;
	struct peer *peer = peer_by_id(e->key.peer_id);

	if (peer != NULL)
		slot_put(peer, e->key.slot, NULL);
}
