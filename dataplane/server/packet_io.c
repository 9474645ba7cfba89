// SPDX-License-Identifier: BSD-3-Clause
//
// PACKET_OUT and PACKET_IN. main only. Both are rate-limited: this is not the fast path.
#include "packet_io.h"

#include "../command.h"
#include "../lcore.h"
#include "../packet.h"
#include "api_server.h"

#include <rte_cycles.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define PACKET_IN_RATE  20000 // per second; more wait in the rings and are dropped there
#define PACKET_OUT_RATE 20000 // per second; more are refused with -EAGAIN
#define OUTER_TTL       64

struct bucket {
	uint64_t stamp;
	uint32_t tokens;
};

static struct {
	struct rte_mempool *pool;
	struct bucket in, out;
	uint16_t next; // lcore for the next PACKET_OUT
} io_state;

void packet_io_init(struct rte_mempool *pool)
{
	memset(&io_state, 0, sizeof(io_state));
	io_state.pool = pool;
}

static bool bucket_take(struct bucket *b, uint32_t rate)
{
	uint64_t now = rte_rdtsc(), hz = rte_get_tsc_hz();

	if (now - b->stamp > hz / 100) { // refilled every 10 ms
		b->tokens = rate / 100;
		b->stamp = now;
	}
	if (b->tokens == 0)
		return false;
	b->tokens--;
	return true;
}

static bool is_v4(const struct st_addr *a)
{
	static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(a->b, v4_mapped, sizeof(v4_mapped)) == 0;
}

// Room for head bytes, and behind it the datagram, in as many segments as that takes. NULL when the pool has
// too few.
static struct rte_mbuf *mbuf_of(uint16_t head, const uint8_t *data, uint16_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(io_state.pool), *last = m;

	if (m == NULL)
		return NULL;
	rte_pktmbuf_append(m, head);
	while (len > 0) {
		uint16_t n = RTE_MIN(len, rte_pktmbuf_tailroom(last));

		memcpy(rte_pktmbuf_append(m, n), data, n);
		data += n;
		len = (uint16_t)(len - n);
		if (len == 0)
			break;
		last = rte_pktmbuf_alloc(io_state.pool);
		if (last == NULL || rte_pktmbuf_chain(m, last) != 0) {
			rte_pktmbuf_free(last);
			rte_pktmbuf_free(m);
			return NULL;
		}
	}
	return m;
}

static void udp_fill(struct rte_udp_hdr *udp, const struct st_packet_io *io, uint16_t len)
{
	*udp = (struct rte_udp_hdr){
		.src_port = io->remote_port_be,
		.dst_port = io->local_port_be,
		.dgram_len = rte_cpu_to_be_16((uint16_t)(sizeof(*udp) + len)),
	};
}

static struct rte_mbuf *build4(const struct st_packet_io *io, const void *data, uint16_t len)
{
	struct rte_ipv4_hdr *ip;
	struct rte_udp_hdr *udp;
	struct rte_mbuf *m = mbuf_of(sizeof(*ip) + sizeof(*udp), data, len);

	if (m == NULL)
		return NULL;
	ip = rte_pktmbuf_mtod(m, void *);
	udp = (void *)(ip + 1);
	*ip = (struct rte_ipv4_hdr){.version_ihl = RTE_IPV4_VHL_DEF,
		.total_length = rte_cpu_to_be_16((uint16_t)(sizeof(*ip) + sizeof(*udp) + len)),
		.time_to_live = OUTER_TTL,
		.next_proto_id = IPPROTO_UDP};
	memcpy(&ip->src_addr, io->remote.b + 12, 4);
	memcpy(&ip->dst_addr, io->local.b + 12, 4);
	udp_fill(udp, io, len);
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	udp->dgram_cksum = rte_ipv4_udptcp_cksum_mbuf(m, ip, sizeof(*ip));
	return m;
}

static struct rte_mbuf *build6(const struct st_packet_io *io, const void *data, uint16_t len)
{
	struct rte_ipv6_hdr *ip;
	struct rte_udp_hdr *udp;
	struct rte_mbuf *m = mbuf_of(sizeof(*ip) + sizeof(*udp), data, len);

	if (m == NULL)
		return NULL;
	ip = rte_pktmbuf_mtod(m, void *);
	udp = (void *)(ip + 1);
	*ip = (struct rte_ipv6_hdr){.vtc_flow = rte_cpu_to_be_32(6u << 28),
		.payload_len = rte_cpu_to_be_16((uint16_t)(sizeof(*udp) + len)),
		.proto = IPPROTO_UDP,
		.hop_limits = OUTER_TTL};
	memcpy(ip->src_addr, io->remote.b, sizeof(ip->src_addr));
	memcpy(ip->dst_addr, io->local.b, sizeof(ip->dst_addr));
	udp_fill(udp, io, len);
	udp->dgram_cksum = rte_ipv6_udptcp_cksum_mbuf(m, ip, sizeof(*ip));
	return m;
}

int packet_out(const struct st_packet_io *io, const void *data, uint16_t len)
{
	bool v4 = is_v4(&io->local);
	struct rte_mbuf *m;
	struct packet *p;

	if (len == 0 || len > ST_PACKET_MAX || is_v4(&io->remote) != v4 || io->if_id != 0)
		return -EINVAL;
	if (!bucket_take(&io_state.out, PACKET_OUT_RATE))
		return -EAGAIN;
	m = v4 ? build4(io, data, len) : build6(io, data, len);
	if (m == NULL)
		return -ENOMEM;
	p = packet_of(m);
	memset(p, 0, sizeof(*p));
	p->flags = v4 ? 0 : PACKET_F_IPV6;
	p->l4_off = v4 ? sizeof(struct rte_ipv4_hdr) : sizeof(struct rte_ipv6_hdr);
	p->target = ST_STAGE_classify;
	p->stamp = rte_rdtsc();
	io_state.next = (uint16_t)((io_state.next + 1) % lcores.nb);
	return command_packet(io_state.next, m);
}

// ---- PACKET_IN ----

static void tell(const struct rte_mbuf *m)
{
	const struct packet *p = packet_of((struct rte_mbuf *)(uintptr_t)m);
	struct st_packet_io io = {.peer_id = p->hash};
	uint8_t copy[ST_PACKET_MAX + 64], *flat;
	const struct rte_udp_hdr *udp;
	uint32_t off = p->l4_off + (uint32_t)sizeof(*udp), len = rte_pktmbuf_pkt_len(m);

	if (len <= off || len > sizeof(copy)) // cannot be: lcore_to_main looks
		return;
	flat = (uint8_t *)(uintptr_t)rte_pktmbuf_read(m, 0, len, copy);
	udp = (const void *)(flat + p->l4_off);
	if ((p->flags & PACKET_F_IPV6) != 0) {
		const struct rte_ipv6_hdr *ip = (const void *)(flat + p->l3_off);

		memcpy(io.local.b, ip->src_addr, 16);
		memcpy(io.remote.b, ip->dst_addr, 16);
	} else {
		const struct rte_ipv4_hdr *ip = (const void *)(flat + p->l3_off);

		io.local.b[10] = io.local.b[11] = io.remote.b[10] = io.remote.b[11] = 0xff;
		memcpy(io.local.b + 12, &ip->src_addr, 4);
		memcpy(io.remote.b + 12, &ip->dst_addr, 4);
	}
	io.local_port_be = udp->src_port;
	io.remote_port_be = udp->dst_port;
	api_server_event(ST_EV_PACKET_IN, &io, sizeof(io), flat + off, (uint16_t)(len - off));
}

void packet_in_poll(void)
{
	for (uint16_t i = 0; i < lcores.nb; i++) {
		struct rte_ring *ring = lcores.lc[i]->to_main;
		struct rte_mbuf *m;

		while (!rte_ring_empty(ring) && bucket_take(&io_state.in, PACKET_IN_RATE) &&
			rte_ring_sc_dequeue(ring, (void **)&m) == 0) {
			tell(m);
			rte_pktmbuf_free(m);
		}
	}
}
