// SPDX-License-Identifier: BSD-3-Clause
//
// The relay's tables with one writer, who adds, refreshes and removes allocations, permissions and channels,
// and readers on plain pthreads that look up under QSBR and share a byte bucket. Built with
// -Db_sanitize=thread it fails on any report; without, it still checks what readers see.
#include "env.h"
#include "tables/turn.h"

#include <rte_cycles.h>

#include <pthread.h>
#include <stdatomic.h>

#define READERS  3
#define ROUNDS   40000
#define CHANNELS 512
#define BULK     16
#define BURST    100000
#define RATE     1000000
#define BITE     1000

static _Atomic int stop;
static _Atomic uint64_t seen, wrong, eaten;
static struct turn_relay *limited;

static struct st_relay relay_body(uint32_t i)
{
	struct st_relay r = {.key = {.relay = env_addr("192.0.2.1"),
				     .relay_port_be = htons((uint16_t)(50000 + i))},
		.alloc_id = i,
		.client = env_addr("198.51.100.1"),
		.server = env_addr("192.0.2.1"),
		.client_port_be = htons((uint16_t)(1000 + i)),
		.server_port_be = htons(3478)};

	return r;
}

static struct st_channel channel_body(uint32_t i)
{
	struct st_channel c = {.key = {.relay = relay_body(i).key,
				       .peer = env_addr("203.0.113.1"),
				       .peer_port_be = htons((uint16_t)(2000 + i))},
		.number = (uint16_t)(0x4000 + i)};

	return c;
}

static struct turn_key p2c_key(uint32_t i)
{
	struct st_channel c = channel_body(i);
	struct turn_key k;

	turn_key_addrs(&k, &c.key.relay.relay, &c.key.peer);
	k.w[4] = turn_ports(c.key.relay.relay_port_be, c.key.peer_port_be, 0);
	return k;
}

static void read_once(uint32_t at)
{
	struct turn_key keys[BULK];
	void *found[BULK];

	for (uint32_t i = 0; i < BULK; i++)
		keys[i] = p2c_key((at + i) % CHANNELS);
	turn_hash_lookup_bulk(&turn_tables.p2c, keys, BULK, found);
	for (uint32_t i = 0; i < BULK; i++) {
		const struct turn_channel *c = found[i];
		uint32_t id = (at + i) % CHANNELS;

		if (c == NULL)
			continue;
		atomic_fetch_add_explicit(&seen, 1, memory_order_relaxed);
		if (!turn_key_equal(&c->p2c, &keys[i]) || c->relay->alloc_id != id ||
			(uint16_t)(c->c2p.w[4] >> 32) != 0x4000 + id)
			atomic_fetch_add(&wrong, 1);
		if (!turn_live(&c->expiry, rte_rdtsc()))
			atomic_fetch_add(&wrong, 1);
		(void)turn_live(&c->permitted, 0);
	}
	if (turn_police(limited, rte_rdtsc(), BITE))
		atomic_fetch_add_explicit(&eaten, BITE, memory_order_relaxed);
}

static void *reader(void *arg)
{
	unsigned int id = (unsigned int)(uintptr_t)arg;
	uint32_t i = id * 77;

	rte_rcu_qsbr_thread_register(lcores.qsbr, id);
	rte_rcu_qsbr_thread_online(lcores.qsbr, id);
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		read_once(i++);
		rte_rcu_qsbr_quiescent(lcores.qsbr, id);
	}
	rte_rcu_qsbr_thread_offline(lcores.qsbr, id);
	rte_rcu_qsbr_thread_unregister(lcores.qsbr, id);
	return NULL;
}

// A relay comes with its channel, is refreshed, and goes, each id at another phase; the tables grow and
// shrink meanwhile.
static void write_once(uint32_t round)
{
	uint32_t i = round * 7 % CHANNELS;
	struct st_relay r = relay_body(i);
	struct st_channel c = channel_body(i);
	struct st_permission p = {.key = {.relay = c.key.relay, .peer = c.key.peer}};

	switch (round / CHANNELS % 4) {
	case 0:
		if (turn_relay_set(&r, NULL) != 0 || turn_channel_set(&c, NULL) != 0)
			atomic_fetch_add(&wrong, 1);
		break;
	case 1:
		if (turn_permission_set(&p, NULL) != 0 || turn_channel_set(&c, NULL) != 0)
			atomic_fetch_add(&wrong, 1);
		break;
	case 2:
		turn_channel_del(&c);
		if (turn_channel_set(&c, NULL) != 0)
			atomic_fetch_add(&wrong, 1);
		break;
	default:
		turn_relay_del(&r);
	}
}

static int begin(void)
{
	struct st_relay r = relay_body(5000);

	if (env_eal("strait-tsan-turn") < 0 || env_qsbr() < 0 || turn_tables_init(CHANNELS) < 0)
		return -1;
	r.bytes_per_s = RATE;
	r.burst_bytes = BURST;
	if (turn_relay_set(&r, NULL) != 0)
		return -1;
	limited = turn_relay_find(&r.key);
	return 0;
}

// What a sanitizer of memory would otherwise miss: the hashes' buckets lie in pages of their own.
static void end(void)
{
	for (uint32_t i = 0; i < CHANNELS; i++) {
		struct st_relay r = relay_body(i);

		if (turn_relay_find(&r.key) != NULL)
			turn_relay_del(&r);
	}
	turn_relay_del(&(struct st_relay){.key = relay_body(5000).key});
	reclaim_poll();
	turn_tables_fini();
}

int main(void)
{
	pthread_t threads[READERS];
	uint64_t start;
	double most;

	if (begin() < 0) {
		fprintf(stderr, "tsan_turn: DPDK does not start\n");
		return 1;
	}
	start = rte_rdtsc();
	for (unsigned int i = 0; i < READERS; i++)
		if (pthread_create(&threads[i], NULL, reader, (void *)(uintptr_t)i) != 0)
			return 1;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		write_once(i);
		reclaim_poll();
	}
	atomic_store(&stop, 1);
	for (unsigned int i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	most = BURST + (double)(rte_rdtsc() - start) / (double)rte_get_tsc_hz() * RATE;
	printf("tsan_turn: %u rounds, %llu hits, %llu wrong, %llu of at most %.0f bytes\n", ROUNDS,
		(unsigned long long)seen, (unsigned long long)wrong, (unsigned long long)eaten, most);
	end();
	return wrong == 0 && seen > 0 && eaten >= BURST - BITE && (double)eaten <= most ? 0 : 1;
}
