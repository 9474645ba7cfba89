// SPDX-License-Identifier: BSD-3-Clause
//
// The shared tables under ThreadSanitizer: one writer (main's part) churns tries, routes, neighbours, the
// port map and interfaces through their handlers; readers on plain pthreads look up under QSBR, as lcores
// do. Built with -Db_sanitize=thread it fails on any report; without, it still checks what readers see.
#include "env.h"
#include "reclaim.h"
#include "tables/iface.h"
#include "tables/lpm.h"
#include "tables/neigh.h"
#include "tables/peer.h"
#include "tables/portmap.h"
#include "tables/route.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define READERS 3
#define ROUNDS  20000

static _Atomic int stop;
static _Atomic uint64_t seen, wrong;
static struct lpm *trie;
static uint64_t stored[256];

static void read_once(uint32_t i)
{
	struct st_addr a = env_addr("10.0.0.1"), src = env_addr("10.9.0.1");
	struct route_flow f = {.src = src};
	struct route_result r;
	struct rte_ether_addr mac;
	const struct iface *iface;
	const uint64_t *value;

	a.b[13] = (uint8_t)i;
	f.dst = a;
	f.hash = i * 2654435761u;
	value = lpm_lookup(trie, false, &a);
	if (value != NULL && (*value < 1000 || *value >= 1256))
		atomic_fetch_add(&wrong, 1);
	route_lookup(&f, &r);
	if (r.action == ST_ROUTE_UNICAST && r.if_id != 1 && r.if_id != 2)
		atomic_fetch_add(&wrong, 1);
	if (neigh_lookup(1, &a, &mac) && (mac.addr_bytes[0] != 2 || mac.addr_bytes[5] != (uint8_t)i))
		atomic_fetch_add(&wrong, 1);
	if (portmap_lookup(&src, 1, htons(51820)) > ST_OWNER_WIREGUARD)
		atomic_fetch_add(&wrong, 1);
	iface = iface_get(5);
	if (iface != NULL && (iface->mtu < 1000 || iface->if_id != 5))
		atomic_fetch_add(&wrong, 1);
	atomic_fetch_add_explicit(&seen, value != NULL, memory_order_relaxed);
}

static void *reader(void *arg)
{
	unsigned int id = (unsigned int)(uintptr_t)arg;
	uint32_t i = id * 77;

	rte_rcu_qsbr_thread_register(lcores.qsbr, id);
	rte_rcu_qsbr_thread_online(lcores.qsbr, id);
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		for (int n = 0; n < 32; n++)
			read_once(i++);
		rte_rcu_qsbr_quiescent(lcores.qsbr, id);
	}
	rte_rcu_qsbr_thread_offline(lcores.qsbr, id);
	rte_rcu_qsbr_thread_unregister(lcores.qsbr, id);
	return NULL;
}

static void write_trie(uint32_t i)
{
	struct st_prefix p = env_prefix("10.0.0.0", 16 + (int)(i % 3) * 8);
	void *old;

	p.addr.b[13] = (uint8_t)(i / 3);
	if (i & 0x400)
		lpm_del(trie, false, &p);
	else if (lpm_set(trie, false, &p, &stored[i % 256], &old) != 0)
		atomic_fetch_add(&wrong, 1);
}

static void write_route(uint32_t i)
{
	struct st_route r = {
		.key = {.table = 254, .dst = env_prefix("10.0.0.0", 16)},
		.action = ST_ROUTE_UNICAST,
		.nb_nexthops = 2,
		.nexthops = {{.if_id = 1, .weight = 1}, {.if_id = 2, .weight = (uint16_t)(1 + i % 5)}},
	};
	struct st_rule rule = {.key = {.priority = 10 + i % 4, .family = AF_INET},
		.table = 254,
		.suppress_plen = -1,
		.action = ST_RULE_TABLE};

	r.key.dst.addr.b[13] = (uint8_t)(i / 2);
	if (i & 1)
		route_del(&r);
	else
		route_set(&r, NULL);
	if (i % 16 == 0)
		rule_set(&rule, NULL);
	else if (i % 16 == 9)
		rule_del(&rule);
}

static void write_rest(uint32_t i)
{
	struct st_neigh n = {.key = {.if_id = 1, .addr = env_addr("10.0.0.1")}, .mac = {2}};
	struct st_portmap m = {.key = {.addr = env_addr("10.9.0.1"),
				       .port_lo_be = htons(51820),
				       .port_hi_be = htons(51821)},
		.owner = ST_OWNER_WIREGUARD};
	struct iface *iface = iface_new(iface_get(5));

	n.key.addr.b[13] = n.mac[5] = (uint8_t)(i / 2);
	if (i & 1)
		neigh_del(&n);
	else if (neigh_set(&n, NULL) != 0)
		atomic_fetch_add(&wrong, 1);
	if (i & 1)
		portmap_del(&m);
	else if (portmap_set(&m, NULL) != 0)
		atomic_fetch_add(&wrong, 1);
	if (iface != NULL) {
		iface->mtu = (uint16_t)(1000 + i % 500);
		iface_publish(5, iface);
	}
}

static int begin(void)
{
	if (env_eal("strait-tsan") < 0 || env_qsbr() < 0 || neigh_tables_init() < 0 ||
		portmap_tables_init() < 0 || route_tables_init() < 0)
		return -1;
	route_synced();
	trie = lpm_new();
	for (unsigned int i = 0; i < 256; i++)
		stored[i] = 1000 + i;
	return trie == NULL ? -1 : 0;
}

int main(void)
{
	pthread_t threads[READERS];

	if (begin() < 0) {
		fprintf(stderr, "tsan_tables: DPDK does not start\n");
		return 1;
	}
	for (unsigned int i = 0; i < READERS; i++)
		if (pthread_create(&threads[i], NULL, reader, (void *)(uintptr_t)i) != 0)
			return 1;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		write_trie(i);
		write_route(i);
		write_rest(i);
		reclaim_poll();
	}
	atomic_store(&stop, 1);
	for (unsigned int i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	printf("tsan_tables: %u rounds, %llu hits, %llu wrong\n", ROUNDS, (unsigned long long)seen,
		(unsigned long long)wrong);
	return wrong == 0 && seen > 0 ? 0 : 1;
}
