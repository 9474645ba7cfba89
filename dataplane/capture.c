// SPDX-License-Identifier: BSD-3-Clause
//
// Captures to pcapng. lcores copy matching packets into mbufs of a pool of their own (rte_pcapng_copy) and
// main writes them to the file or pipe that the client passed (capture_file.h): what there is no room for is
// lost to the capture, never to the traffic.
//
// rte_pcapng of DPDK 22.11 names interfaces by ethdev port and has link type Ethernet only. A port's
// packets fit; an inner packet of a WireGuard interface gets an Ethernet header with zero addresses and
// counts as one of the TUN's port (or, without a host side, of the first port there is).
#include "capture_file.h"
#include "reclaim.h"
#include "server/api_server.h"
#include "tables/iface.h"
#include "trace.h"

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_pcapng.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CAPTURES_MAX 64 // over all clients
#define POOL_SIZE    1023
#define RING_SIZE    1024
#define SNAP_MAX     9216 // jumbo frame
#define POLL_MAX     256  // packets written by one poll, so that main gets back to the rest

struct capture {
	struct st_capture c;
	int client;
	uint32_t slot;
	struct capture_file file;
	uint64_t written;
	bool ended; // all that was asked for is written, or the file failed
	struct capture *next;
};

// What the lcores read: replaced whole. Slots, not pointers, go with the packets.
struct set {
	uint32_t n;
	struct {
		uint32_t if_id, peer_id, snaplen, slot;
	} e[];
};

static struct {
	struct rte_mempool *pool;
	struct rte_ring *ring; // copies; slot in the mbuf's hash.usr
	struct capture *list;
	struct capture *slots[CAPTURES_MAX];
	uint32_t count;
	uint64_t base_tsc, base_ns; // the same moment on both clocks
	struct set *_Atomic set;    // main: wo, lcore: ro
} captures;

// rte_pcapng converts the TSC with a state of its own that neither knows of several lcores nor of a TSC
// before its first call (it then adds 2^64 cycles for good). So the block carries the TSC itself up to main,
// which converts it. An enhanced packet block: type, length, interface, time (high, low), lengths.
struct block_head {
	uint32_t type, length, interface, time_high, time_low;
};

// ---- lcore -----------------------------------------------------------------------------------------

static struct rte_mbuf *stamp(struct rte_mbuf *c, uint64_t tsc)
{
	struct block_head *b;

	if (c == NULL)
		return NULL;
	b = rte_pktmbuf_mtod(c, struct block_head *);
	b->time_high = (uint32_t)(tsc >> 32);
	b->time_low = (uint32_t)tsc;
	return c;
}

static uint16_t ethdev_of(const struct iface *ifc)
{
	uint16_t port = ifc->is_wg ? ifc->host_port : ifc->eth_port;

	return port != NO_ETH_PORT ? port : (uint16_t)rte_eth_find_next(0);
}

static struct rte_mbuf *copy(const struct iface *ifc, struct rte_mbuf *m, uint32_t len, bool inbound)
{
	enum rte_pcapng_direction dir = inbound ? RTE_PCAPNG_DIRECTION_IN : RTE_PCAPNG_DIRECTION_OUT;
	bool ipv6 = packet_of(m)->flags & PACKET_F_IPV6;
	uint16_t port = ethdev_of(ifc);
	uint64_t now = rte_rdtsc();
	struct rte_ether_hdr *eth;
	struct rte_mbuf *c;

	if (port >= RTE_MAX_ETHPORTS)
		return NULL;
	if (!ifc->is_wg)
		return stamp(rte_pcapng_copy(port, 0, m, captures.pool, len, now, dir), now);
	// The headroom is free at this point: it gets the header for as long as the copy takes.
	eth = (void *)rte_pktmbuf_prepend(m, sizeof(*eth));
	if (eth == NULL)
		return NULL;
	memset(eth, 0, sizeof(*eth));
	eth->ether_type = ipv6 ? RTE_BE16(RTE_ETHER_TYPE_IPV6) : RTE_BE16(RTE_ETHER_TYPE_IPV4);
	c = stamp(rte_pcapng_copy(port, 0, m, captures.pool, len, now, dir), now);
	rte_pktmbuf_adj(m, sizeof(*eth));
	return c;
}

void capture_packets(struct lcore *lc, uint16_t if_id, uint32_t peer_id, struct rte_mbuf **m,
	unsigned int n, bool inbound)
{
	const struct set *set = atomic_load_explicit(&captures.set, memory_order_acquire);
	const struct iface *ifc = iface_get(if_id);

	if (set == NULL || ifc == NULL)
		return;
	for (uint32_t i = 0; i < set->n; i++) {
		if (set->e[i].if_id != if_id ||
			(set->e[i].peer_id != ST_NO_PEER && set->e[i].peer_id != peer_id))
			continue;
		for (unsigned int k = 0; k < n; k++) {
			struct rte_mbuf *c = copy(ifc, m[k], set->e[i].snaplen, inbound);

			if (c == NULL)
				continue;
			c->hash.usr = set->e[i].slot;
			if (rte_ring_mp_enqueue(captures.ring, c) != 0)
				rte_pktmbuf_free(c);
		}
	}
}

// ---- main ------------------------------------------------------------------------------------------

int captures_init(void)
{
	memset(&captures, 0, sizeof(captures));
	captures.pool = rte_pktmbuf_pool_create("captures", POOL_SIZE, 0, 0,
		(uint16_t)rte_pcapng_mbuf_size(SNAP_MAX), SOCKET_ID_ANY);
	if (captures.pool == NULL)
		return -rte_errno;
	captures.ring = rte_ring_create("captures", RING_SIZE, SOCKET_ID_ANY, RING_F_SC_DEQ);
	if (captures.ring == NULL) {
		rte_mempool_free(captures.pool);
		return -ENOMEM;
	}
	return 0;
}

static int publish(void)
{
	struct set *set = NULL;

	if (captures.count > 0) {
		set = malloc(sizeof(*set) + captures.count * sizeof(set->e[0]));
		if (set == NULL)
			return -ENOMEM;
		set->n = 0;
		for (struct capture *c = captures.list; c != NULL; c = c->next) {
			uint32_t snap = c->c.snaplen != 0 ? c->c.snaplen : SNAP_MAX;

			set->e[set->n].if_id = c->c.if_id;
			set->e[set->n].peer_id = c->c.peer_id;
			set->e[set->n].snaplen = RTE_MIN(snap, (uint32_t)SNAP_MAX);
			set->e[set->n].slot = c->slot;
			set->n++;
		}
		atomic_fetch_or_explicit(&trace_flags, CAPTURE_ON, memory_order_relaxed);
	} else {
		atomic_fetch_and_explicit(&trace_flags, ~(uint32_t)CAPTURE_ON, memory_order_relaxed);
	}
	reclaim_later(free, atomic_exchange_explicit(&captures.set, set, memory_order_acq_rel));
	return 0;
}

static int find_slot(void)
{
	for (int i = 0; i < CAPTURES_MAX; i++)
		if (captures.slots[i] == NULL)
			return i;
	return -ENOSPC;
}

static void capture_free(struct capture *c)
{
	captures.slots[c->slot] = NULL;
	capture_file_close(&c->file);
	free(c);
}

// The two clocks are set against each other when the first of a row of captures begins.
static void set_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	captures.base_tsc = rte_rdtsc();
	captures.base_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

unsigned int capture_count(int client)
{
	unsigned int n = 0;

	for (const struct capture *c = captures.list; c != NULL; c = c->next)
		n += c->client == client;
	return n;
}

static int capture_start(const struct st_capture *body, int fd, int client)
{
	int slot = find_slot();
	struct capture *c;
	int err;

	if (body->if_id == 0 || iface_get((uint16_t)body->if_id) == NULL)
		return -ENODEV;
	for (c = captures.list; c != NULL; c = c->next)
		if (c->client == client && c->c.key.id == body->key.id)
			return -EEXIST;
	if (slot < 0 || capture_count(client) == OBSERVED_MAX)
		return -ENOSPC;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	*c = (struct capture){.c = *body, .client = client, .slot = (uint32_t)slot};
	err = capture_file_open(&c->file, fd);
	if (err != 0) {
		free(c);
		return err;
	}
	if (captures.list == NULL)
		set_clock();
	c->next = captures.list;
	captures.list = c;
	captures.slots[slot] = c;
	captures.count++;
	(void)publish(); // without memory it captures as soon as the next change is published
	return 0;
}

int capture_add(const struct st_capture *c, int fd, int client)
{
	int err = c->if_id < ST_MAX_IFACES ? capture_start(c, fd, client) : -EINVAL;

	if (err != 0)
		close(fd);
	return err;
}

// Nothing more will be written: the client may read the file, or give up.
static void end(struct capture *c)
{
	c->ended = true;
	api_server_capture_ended(c->client, c->c.key.id);
}

// Nanoseconds since 1970 in place of the TSC.
static void convert_time(struct rte_mbuf *m)
{
	struct block_head *b = rte_pktmbuf_mtod(m, struct block_head *);
	uint64_t tsc = (uint64_t)b->time_high << 32 | b->time_low, hz = rte_get_tsc_hz();
	uint64_t delta = tsc > captures.base_tsc ? tsc - captures.base_tsc : 0;
	uint64_t ns = captures.base_ns + delta / hz * NS_PER_S + delta % hz * NS_PER_S / hz;

	b->time_high = (uint32_t)(ns >> 32);
	b->time_low = (uint32_t)ns;
}

static bool complete(const struct capture *c)
{
	return c->c.max_count != 0 && c->written >= c->c.max_count;
}

static void write_one(struct capture *c, struct rte_mbuf *m)
{
	int rc = -EAGAIN;

	if (c != NULL && !c->ended && !complete(c)) { // else removed since it was copied
		convert_time(m);
		rc = capture_file_write(&c->file, m);
	}
	rte_pktmbuf_free(m); // DPDK's header says that writing does; it does not
	if (rc == 0)
		c->written++;
	else if (rc != -EAGAIN)
		end(c);
}

static void write_copies(unsigned int max)
{
	struct rte_mbuf *m;

	for (unsigned int i = 0; i < max; i++) {
		if (rte_ring_sc_dequeue(captures.ring, (void **)&m) != 0)
			return;
		write_one(captures.slots[m->hash.usr % CAPTURES_MAX], m);
	}
}

static void write_and_flush(unsigned int max)
{
	write_copies(max);
	for (struct capture *c = captures.list; c != NULL; c = c->next) {
		int rc = c->ended ? -EAGAIN : capture_file_flush(&c->file);

		if (rc == 0 ? complete(c) : rc != -EAGAIN)
			end(c);
	}
}

void captures_poll(void)
{
	if (captures.ring != NULL)
		write_and_flush(POLL_MAX);
}

static unsigned int remove_matching(const uint32_t *id, int client)
{
	struct capture **at = &captures.list;
	unsigned int n = 0;

	if (captures.list != NULL)
		write_and_flush(RING_SIZE);
	while (*at != NULL) {
		struct capture *c = *at;

		if (c->client != client || (id != NULL && c->c.key.id != *id)) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		captures.count--;
		capture_free(c);
		n++;
	}
	if (n > 0)
		publish(); // on failure the old set's slots lead nowhere, which write_one expects
	return n;
}

int capture_remove(uint32_t id, int client)
{
	return remove_matching(&id, client) > 0 ? 0 : -ENOENT;
}

void capture_remove_client(int client)
{
	remove_matching(NULL, client);
}

void captures_fini(void)
{
	struct rte_mbuf *m;

	while (captures.list != NULL)
		remove_matching(NULL, captures.list->client);
	while (captures.ring != NULL && rte_ring_sc_dequeue(captures.ring, (void **)&m) == 0)
		rte_pktmbuf_free(m);
	rte_ring_free(captures.ring);
	rte_mempool_free(captures.pool);
	captures.ring = NULL;
	captures.pool = NULL;
}
