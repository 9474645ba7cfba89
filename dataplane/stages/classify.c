// SPDX-License-Identifier: BSD-3-Clause
//
// Finds WireGuard data among the IP packets: UDP to an (address, port) of the port map that begins with
// the LE32 4. All else on such a port goes up to straitd's socket, the rest to route.
#include "../stage.h"
#include "../tables/iface.h"
#include "../tables/peer.h"
#include "../tables/portmap.h"
#include "checksum.h"
#include "header.h"

#include <rte_prefetch.h>
#include <rte_udp.h>

// WireGuard data whose keypairs are looked up together.
#define BATCH 64

// Runs of packets of one session, which are the rule, take one look-up.
struct batch {
	uint32_t n;
	uint32_t sessions;
	uint32_t index[BATCH];     // by session
	struct keypair *kp[BATCH]; // likewise
	struct rte_mbuf *m[BATCH];
	uint8_t session[BATCH]; // of m
};

// Owner of the port that the packet before was for. Valid within one run, in which the map is the same.
struct last {
	bool valid;
	uint8_t owner;
	uint16_t iif;
	uint16_t port_be;
	struct st_addr addr;
};

static const struct rte_udp_hdr *udp_of(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod_offset(m, const struct rte_udp_hdr *, packet_of(m)->l4_off);
}

static const struct message_data *data_of(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod_offset(
		m, const struct message_data *, packet_of(m)->l4_off + sizeof(struct rte_udp_hdr));
}

// Sets l4_off when the packet is UDP with a whole header.
static bool find_udp(struct rte_mbuf *m, struct packet *p)
{
	uint32_t off = p->l3_off;

	if (packet_is_ipv6(p)) {
		if (packet_ipv6(m)->proto != IPPROTO_UDP)
			return false;
		off += sizeof(struct rte_ipv6_hdr);
	} else {
		const struct rte_ipv4_hdr *h = packet_ipv4(m);

		if (h->next_proto_id != IPPROTO_UDP)
			return false;
		off += (h->version_ihl & 0xfU) * 4;
	}
	if (p->flags & PACKET_F_FRAGMENT || !mbuf_pull(m, off + sizeof(struct rte_udp_hdr)))
		return false;
	p->l4_off = (uint16_t)off;
	return true;
}

static uint8_t port_owner(struct last *last, struct rte_mbuf *m, const struct packet *p)
{
	uint16_t port_be = udp_of(m)->dst_port;
	struct st_addr dst;

	if (packet_is_ipv6(p))
		memcpy(dst.b, packet_ipv6(m)->dst_addr, 16);
	else
		addr_from_ipv4(&dst, packet_ipv4(m)->dst_addr);
	if (last->valid && last->port_be == port_be && last->iif == p->iif &&
		addr_equal(&last->addr, &dst))
		return last->owner;
	*last = (struct last){.valid = true,
		.owner = portmap_lookup(&dst, p->iif, port_be),
		.iif = p->iif,
		.port_be = port_be,
		.addr = dst};
	return last->owner;
}

static bool checksum_ok(struct rte_mbuf *m, const struct packet *p, uint32_t udp_len)
{
	const struct rte_udp_hdr *udp = udp_of(m);
	uint64_t flags = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
	uint64_t sum;

	if (flags == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		return true;
	if (flags == RTE_MBUF_F_RX_L4_CKSUM_BAD)
		return false;
	if (udp->dgram_cksum == 0) // IPv4: the sender made none; IPv6 has no such choice
		return !packet_is_ipv6(p);
	if (packet_is_ipv6(p))
		sum = sum_words(packet_ipv6(m)->src_addr, 8);
	else
		sum = sum_words(&packet_ipv4(m)->src_addr, 2);
	sum += rte_cpu_to_be_16(IPPROTO_UDP);
	sum += rte_cpu_to_be_16((uint16_t)udp_len);
	return sum_fold(sum_mbuf(sum, m, p->l4_off, udp_len)) == 0xffff;
}

static bool is_data(struct rte_mbuf *m, const struct packet *p, uint32_t len)
{
	static const uint8_t type[4] = {MESSAGE_DATA};
	uint8_t buf[4];
	const void *at;

	if (len < sizeof(type))
		return false;
	at = rte_pktmbuf_read(m, p->l4_off + sizeof(struct rte_udp_hdr), sizeof(type), buf);
	return at != NULL && memcmp(at, type, sizeof(type)) == 0;
}

// A datagram to a port that carries WireGuard.
static void take_wireguard(struct lcore *lc, struct batch *b, struct rte_mbuf *m)
{
	struct packet *p = packet_of(m);
	uint32_t udp_len = rte_be_to_cpu_16(udp_of(m)->dgram_len);
	uint32_t head =
		p->l4_off + (uint32_t)(sizeof(struct rte_udp_hdr) + sizeof(struct message_data));
	const struct message_data *d;
	uint32_t index;

	if (unlikely(udp_len < sizeof(struct rte_udp_hdr) || udp_len > m->pkt_len - p->l4_off)) {
		stage_drop(lc, m, ST_DROP_udp_bad_length);
		return;
	}
	if (!is_data(m, p, udp_len - (uint32_t)sizeof(struct rte_udp_hdr))) {
		stage_push(lc, ST_STAGE_punt, m);
		return;
	}
	if (unlikely(udp_len < sizeof(struct rte_udp_hdr) + MESSAGE_DATA_MIN || !mbuf_pull(m, head))) {
		stage_drop(lc, m, ST_DROP_wg_malformed);
		return;
	}
	if (unlikely(!checksum_ok(m, p, udp_len))) {
		stage_drop(lc, m, ST_DROP_udp_bad_checksum);
		return;
	}
	if (unlikely(m->pkt_len > p->l4_off + udp_len))
		mbuf_trim_to(m, p->l4_off + udp_len);
	p->ecn = packet_ecn(m);
	d = data_of(m);
	memcpy(&index, d->receiver, 4); // little endian, as this machine
	memcpy(&p->counter, d->counter, 8);
	if (b->sessions == 0 || b->index[b->sessions - 1] != index)
		b->index[b->sessions++] = index;
	b->session[b->n] = (uint8_t)(b->sessions - 1);
	b->m[b->n++] = m;
}
_Static_assert(
	__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "indices and counters are read as they are");

// The keypair must belong to an interface that listens on the port the packet came to.
static void take_keypair(struct lcore *lc, struct rte_mbuf *m, struct keypair *kp)
{
	const struct iface *wg = kp != NULL ? iface_get(kp->peer->if_id) : NULL;

	if (unlikely(wg == NULL || wg->listen_port_be != udp_of(m)->dst_port)) {
		stage_drop(lc, m, ST_DROP_wg_no_session);
	} else if (unlikely(kp->expiry <= lc->now)) {
		stage_drop(lc, m, ST_DROP_wg_expired);
	} else {
		packet_of(m)->keypair = kp;
		stage_push(lc, ST_STAGE_wg_open, m);
	}
}

static void look_up(struct lcore *lc, struct batch *b)
{
	if (b->n == 0)
		return;
	keypair_lookup_bulk(b->index, b->sessions, b->kp);
	for (uint32_t i = 0; i < b->n; i++)
		take_keypair(lc, b->m[i], b->kp[b->session[i]]);
	b->n = b->sessions = 0;
}

void classify_run(struct lcore *lc, struct vec *in)
{
	struct last last = {.valid = false};
	struct batch b;

	b.n = b.sessions = 0;
	for (uint32_t i = 0; i < in->n; i++) {
		struct rte_mbuf *m = in->m[i];
		struct packet *p = packet_of(m);

		if (!find_udp(m, p) || port_owner(&last, m, p) != ST_OWNER_WIREGUARD)
			stage_push(lc, ST_STAGE_route, m);
		else
			take_wireguard(lc, &b, m);
		if (b.n == BATCH)
			look_up(lc, &b);
	}
	look_up(lc, &b);
}
