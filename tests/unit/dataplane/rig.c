// SPDX-License-Identifier: BSD-3-Clause
//
// See rig.h.
#include "rig.h"

#include "command.h"
#include "crypto/aead.h"
#include "reclaim.h"
#include "server/api_server.h"
#include "server/object.h"
#include "stages/checksum.h"
#include "stages/header.h"
#include "tables/lpm.h"
#include "tables/neigh.h"
#include "tables/portmap.h"
#include "tables/route.h"
#include "tables/turn.h"

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#define POOL            8191
#define BENCH_CACHE     256 // as the packet pool of strait-dp
#define BENCH_HUGEPAGES 40

struct rig rig;
static uint64_t base[LCORE_MAX][ST_DROP_COUNT];
static struct lcore_plan *plans[2];
static uint64_t skipped;

static struct st_addr v4(uint32_t a)
{
	struct st_addr r;

	addr_from_ipv4(&r, rte_cpu_to_be_32(a));
	return r;
}

static struct st_addr v6(const char *s)
{
	struct st_addr r;

	inet_pton(AF_INET6, s, r.b);
	return r;
}

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "rig: %s: %d\n", what, rc);
	exit(2);
}

static struct iface *make_iface(uint16_t id, bool wg, uint16_t eth, uint16_t host, uint16_t mtu)
{
	struct iface *i = calloc(1, sizeof(*i));

	i->if_id = id;
	i->is_wg = wg;
	i->mtu = mtu;
	i->eth_port = eth;
	i->host_port = host;
	i->mac = (struct rte_ether_addr){{0x02, 0, 0, 0, 0, (uint8_t)id}};
	i->tx_offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	return i;
}

static void add_addr(uint16_t if_id, struct st_addr a)
{
	struct st_ifaddr i = {.key = {.if_id = if_id, .addr = a}, .plen = 128};

	must(ifaddr_set(&i, NULL), "address");
}

static void add_ifaces(void)
{
	struct iface *lan = make_iface(RIG_LAN, false, RIG_DEV_LAN, RIG_DEV_LAN_TAP, 1500);
	struct iface *wan = make_iface(RIG_WAN, false, RIG_DEV_WAN, RIG_DEV_WAN_TAP, 1500);
	struct iface *wg = make_iface(RIG_WG, true, NO_ETH_PORT, RIG_DEV_TUN, 1420);

	wg->mss_clamp = true;
	wg->listen_port_be = htons(RIG_PORT);
	wg->allowed_ips = lpm_new();
	iface_publish(RIG_LAN, lan);
	iface_publish(RIG_WAN, wan);
	iface_publish(RIG_WG, wg);
	add_addr(RIG_LAN, v4(RIG_LAN_V4));
	add_addr(RIG_LAN, v6("fd01::1"));
	add_addr(RIG_WAN, v4(RIG_WAN_V4));
	add_addr(RIG_WAN, v6("2001:db8:2::1"));
	add_addr(RIG_WG, v4(0x0a630001));
	add_addr(RIG_WG, v6("fd63::1"));
}

static void add_route(struct st_addr a, uint8_t plen, uint8_t action, uint32_t if_id)
{
	struct st_route r = {
		.key = {.table = 254, .dst = {.addr = a, .plen = plen}}, .action = action};

	if (if_id != 0 || action == ST_ROUTE_UNICAST) {
		r.nb_nexthops = 1;
		r.nexthops[0] = (struct st_nexthop){.if_id = if_id, .weight = 1};
	}
	must(route_set(&r, NULL), "route");
}

static void add_routes(void)
{
	for (int f = 0; f < 2; f++) {
		struct st_rule r = {.key = {.family = f ? AF_INET6 : AF_INET},
			.table = 254,
			.suppress_plen = -1,
			.action = ST_RULE_TABLE};

		r.src = r.dst = (struct st_prefix){.addr = f ? v6("::") : v4(0), .plen = f ? 0 : 96};
		must(rule_set(&r, NULL), "rule");
	}
	add_route(v4(RIG_WAN_V4), 128, ST_ROUTE_LOCAL, 0);
	add_route(v4(RIG_LAN_V4), 128, ST_ROUTE_LOCAL, 0);
	add_route(v6("2001:db8:2::1"), 128, ST_ROUTE_LOCAL, 0);
	add_route(v4(0x0a000000), 96 + 24, ST_ROUTE_UNICAST, RIG_LAN);
	add_route(v4(0x0a090000), 96 + 16, ST_ROUTE_UNICAST, RIG_WG);
	add_route(v4(0x0a0a0000), 96 + 16, ST_ROUTE_UNICAST, RIG_WG); // nobody's allowed IP
	add_route(v4(0x0a0b0000), 96 + 16, ST_ROUTE_BLACKHOLE, 0);
	add_route(v4(0x0a0c0000), 96 + 16, ST_ROUTE_PROHIBIT, 0);
	add_route(v4(0x0a0d0000), 96 + 16, ST_ROUTE_UNREACHABLE, 0);
	add_route(v4(0x0a0e0000), 96 + 16, ST_ROUTE_UNICAST, 0);       // a device that is not ours
	add_route(v4(0x0a0f0000), 96 + 16, ST_ROUTE_UNICAST, 99);      // gone
	add_route(v4(0xcb007100), 96 + 24, ST_ROUTE_UNICAST, RIG_WAN); // neighbours unknown
	add_route(v6("fd01::"), 64, ST_ROUTE_UNICAST, RIG_LAN);
	add_route(v6("fd09::"), 16, ST_ROUTE_UNICAST, RIG_WG);
}

static void add_neigh(uint16_t if_id, struct st_addr a)
{
	struct st_neigh n = {.key = {.if_id = if_id, .addr = a}, .mac = {2, 0, 0, 0, 1, 1}};

	must(neigh_set(&n, NULL), "neigh");
}

static void add_portmap(struct st_addr a)
{
	struct st_portmap p = {
		.key = {.addr = a, .port_lo_be = htons(RIG_PORT), .port_hi_be = htons(RIG_PORT)},
		.owner = ST_OWNER_WIREGUARD};

	must(portmap_set(&p, NULL), "portmap");
}

static void start_devices(void)
{
	for (uint16_t d = 0; d < RIG_DEVS; d++) {
		struct rte_eth_conf conf = {0};

		must(rte_eth_dev_configure(d, 1, 1, &conf), "configure");
		must(rte_eth_rx_queue_setup(d, 0, 512, SOCKET_ID_ANY, NULL, rig.pool), "rx queue");
		must(rte_eth_tx_queue_setup(d, 0, 512, SOCKET_ID_ANY, NULL), "tx queue");
		must(rte_eth_dev_start(d), "start");
	}
	// lcore 0 transmits on all but the WAN, which is lcore 1's.
	for (int i = 0; i < 2; i++) {
		plans[i] = calloc(1, sizeof(*plans[i]));
		for (int d = 0; d < RTE_MAX_ETHPORTS; d++)
			plans[i]->tx[d] = (struct lcore_txq){TXQ_NONE, (uint16_t)i};
		for (int d = 0; d < RIG_DEVS; d++)
			plans[i]->tx[d] = i == (d == RIG_DEV_WAN)
						  ? (struct lcore_txq){0, (uint16_t)i}
						  : (struct lcore_txq){TXQ_NONE, (uint16_t)!i};
		atomic_store(&lcores.lc[i]->plan, plans[i]);
	}
}

static unsigned int free_hugepages(void)
{
	FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");
	unsigned int n = 0;

	if (f == NULL || fscanf(f, "%u", &n) != 1)
		n = 0;
	if (f != NULL)
		fclose(f);
	return n;
}

static int start(const char *aead, bool huge, unsigned int cache, uint32_t channels)
{
	char *argv[] = {"test", huge ? "--in-memory" : "--no-huge", "--no-shconf", "--no-pci", "-m",
		huge ? "64" : "160", "--lcores", "0@0,1@0,2@1", "--log-level=4", "--no-telemetry",
		"--vdev=net_ring0", "--vdev=net_ring1", "--vdev=net_ring2", "--vdev=net_ring3",
		"--vdev=net_ring4", NULL};

	must(rte_eal_init(RTE_DIM(argv) - 1, argv), "eal");
	rig.pool_size = POOL;
	rig.pool = rte_pktmbuf_pool_create(
		"rig", POOL, cache, PACKET_PRIV_SIZE, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (rig.pool == NULL)
		return -ENOMEM;
	must(lcores_init(aead, 0, rig.pool), "lcores");
	must(objects_init(), "objects");
	must(neigh_tables_init(), "neigh");
	must(portmap_tables_init(), "portmap");
	must(route_tables_init(), "route");
	route_synced();
	must(peer_tables_init(), "peer");
	must(turn_tables_init(channels), "turn");
	start_devices();
	add_ifaces();
	add_routes();
	add_portmap(v4(RIG_WAN_V4));
	add_portmap(v6("2001:db8:2::1"));
	add_neigh(RIG_LAN, v4(RIG_LAN_HOST));
	add_neigh(RIG_LAN, v6("fd01::5"));
	add_neigh(RIG_WAN, v4(0xc0000202)); // gateway 192.0.2.2
	add_neigh(RIG_WAN, v6("2001:db8:2::2"));
	memset(rig.to_peer, 0x11, 32);
	memset(rig.from_peer, 0x22, 32);
	return 0;
}

int rig_init(const char *aead)
{
	return start(aead, false, 0, TURN_CHANNELS_MAX);
}

int rig_init_bench(const char *aead, uint32_t channels)
{
	return start(aead, free_hugepages() >= BENCH_HUGEPAGES, BENCH_CACHE, channels);
}

void rig_fini(void)
{
	lcores_fini();
	rte_eal_cleanup();
}

void rig_peer(bool ipv6)
{
	struct st_peer p = {.key = {.peer_id = RIG_PEER}, .if_id = RIG_WG, .name = "peer"};
	struct st_allowed_ip a4 = {
		.key = {.if_id = RIG_WG, .prefix = {.addr = v4(0x0a090000), .plen = 112}},
		.peer_id = RIG_PEER};
	struct st_allowed_ip a6 = {
		.key = {.if_id = RIG_WG, .prefix = {.addr = v6("fd09::"), .plen = 16}},
		.peer_id = RIG_PEER};
	struct st_endpoint e = {.key = {.peer_id = RIG_PEER},
		.local = ipv6 ? v6("2001:db8:2::1") : v4(RIG_WAN_V4),
		.remote = ipv6 ? v6("2001:db8:9::9") : v4(RIG_PEER_V4),
		.nexthop = ipv6 ? v6("2001:db8:2::2") : v4(0xc0000202),
		.local_port_be = htons(RIG_PORT),
		.remote_port_be = htons(RIG_PEER_PORT),
		.if_id = RIG_WAN,
		.path_mtu = 1500,
		.kind = ST_ENDPOINT_DIRECT};

	must(object_set(ST_PEER, &p, sizeof(p), NULL, 0, 0), "peer");
	must(object_set(ST_ALLOWED_IP, &a4, sizeof(a4), NULL, 0, 0), "allowed ip");
	must(object_set(ST_ALLOWED_IP, &a6, sizeof(a6), NULL, 0, 0), "allowed ip");
	must(object_set(ST_ENDPOINT, &e, sizeof(e), NULL, 0, 0), "endpoint");
	rig.peer = peer_by_id(RIG_PEER);
}

void rig_key(uint32_t index, uint32_t role)
{
	struct st_key k = {.key = {.index = index},
		.peer_id = RIG_PEER,
		.remote_index = RIG_REMOTE,
		.role = role};
	struct keypair *kp;

	memcpy(k.send_key, rig.to_peer, 32);
	memcpy(k.recv_key, rig.from_peer, 32);
	must(object_set(ST_KEY, &k, sizeof(k), NULL, 0, 0), "key");
	// Main took the time from a clock that has not jumped.
	keypair_lookup_bulk(&index, 1, &kp);
	kp->birth += skipped;
	kp->expiry += skipped;
	if (kp->initiator) {
		kp->rekey_at += skipped;
		kp->rekey_rx_at += skipped;
	}
}

void rig_gone(void)
{
	struct st_peer_key key = {.peer_id = RIG_PEER};

	must(object_del(ST_PEER, &key, sizeof(key)), "del peer");
	rig.peer = NULL;
	rig_passes(4);
}

// ---- packets ---------------------------------------------------------------------------------------

static void fill(uint8_t *at, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		at[i] = (uint8_t)(i * 7);
}

void rig_fix_ipv4(struct rte_mbuf *m, uint32_t off)
{
	struct rte_ipv4_hdr *h = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, off);

	h->hdr_checksum = 0;
	h->hdr_checksum = rte_ipv4_cksum(h);
}

void rig_fix_udp4(struct rte_mbuf *m, uint32_t off)
{
	struct rte_ipv4_hdr *h = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, off);
	struct rte_udp_hdr *u = (void *)(h + 1);

	u->dgram_cksum = 0;
	u->dgram_cksum = rte_ipv4_udptcp_cksum(h, u);
}

struct rte_mbuf *rig_udp4(uint32_t src, uint32_t dst, uint16_t sport, uint16_t dport, uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(rig.pool);
	struct rte_ipv4_hdr *h = (void *)rte_pktmbuf_append(m, (uint16_t)len);
	struct rte_udp_hdr *u = (void *)(h + 1);

	*h = (struct rte_ipv4_hdr){.version_ihl = 0x45,
		.total_length = htons((uint16_t)len),
		.packet_id = htons(77),
		.time_to_live = 64,
		.next_proto_id = IPPROTO_UDP,
		.src_addr = htonl(src),
		.dst_addr = htonl(dst)};
	*u = (struct rte_udp_hdr){
		.src_port = htons(sport), .dst_port = htons(dport), .dgram_len = htons(len - 20)};
	fill((void *)(u + 1), len - 28);
	rig_fix_udp4(m, 0);
	rig_fix_ipv4(m, 0);
	return m;
}

struct rte_mbuf *rig_udp6(const char *src, const char *dst, uint16_t dport, uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(rig.pool);
	struct rte_ipv6_hdr *h = (void *)rte_pktmbuf_append(m, (uint16_t)len);
	struct rte_udp_hdr *u = (void *)(h + 1);

	*h = (struct rte_ipv6_hdr){.vtc_flow = htonl(6U << 28),
		.payload_len = htons((uint16_t)(len - 40)),
		.proto = IPPROTO_UDP,
		.hop_limits = 64};
	inet_pton(AF_INET6, src, h->src_addr);
	inet_pton(AF_INET6, dst, h->dst_addr);
	*u = (struct rte_udp_hdr){.src_port = htons(RIG_PEER_PORT),
		.dst_port = htons(dport),
		.dgram_len = htons((uint16_t)(len - 40))};
	fill((void *)(u + 1), len - 48);
	u->dgram_cksum = rte_ipv6_udptcp_cksum(h, u);
	return m;
}

static const struct aead_backend *reference(void)
{
	return aead_backend_find("sodium") != NULL ? aead_backend_find("sodium")
						   : aead_backend_find("libsodium");
}

struct rte_mbuf *rig_seal(struct rte_mbuf *inner, uint32_t index, uint64_t counter, bool ipv6)
{
	uint32_t plain = inner != NULL ? RTE_ALIGN_CEIL(inner->pkt_len, 16) : 0;
	uint32_t head = ipv6 ? 48 : 28;
	struct rte_mbuf *m =
		ipv6 ? rig_udp6("2001:db8:9::9", "2001:db8:2::1", RIG_PORT, head + 32 + plain)
		     : rig_udp4(RIG_PEER_V4, RIG_WAN_V4, RIG_PEER_PORT, RIG_PORT, head + 32 + plain);
	uint8_t *d = rte_pktmbuf_mtod_offset(m, uint8_t *, head);
	struct aead_seg seg = {.data = d + 16, .len = plain};
	struct aead_op op = {.key = rig.from_peer,
		.nonce = counter,
		.nb_segs = 1,
		.segs = &seg,
		.tag = d + 16 + plain};
	void *ctx = reference()->ctx_new();

	memset(d, 0, 16 + plain);
	d[0] = 4;
	memcpy(d + 4, &index, 4);
	memcpy(d + 8, &counter, 8);
	if (inner != NULL)
		memcpy(d + 16, rte_pktmbuf_mtod(inner, void *), inner->pkt_len);
	rte_pktmbuf_free(inner);
	reference()->seal(ctx, &op, 1);
	reference()->ctx_free(ctx);
	if (ipv6) {
		struct rte_ipv6_hdr *h = rte_pktmbuf_mtod(m, void *);
		struct rte_udp_hdr *u = (void *)(h + 1);

		u->dgram_cksum = 0;
		u->dgram_cksum = rte_ipv6_udptcp_cksum(h, u);
	} else {
		rig_fix_udp4(m, 0);
	}
	return m;
}

bool rig_open(struct rte_mbuf *m, uint64_t *ret_counter)
{
	uint8_t *at = rte_pktmbuf_mtod_offset(m, uint8_t *, 14);
	uint32_t head = 14 + (at[0] >> 4 == 6 ? 48 : 28);
	uint8_t *d = rte_pktmbuf_mtod_offset(m, uint8_t *, head);
	uint32_t remote = RIG_REMOTE;
	struct aead_seg seg = {.data = d + 16, .len = m->pkt_len - head - 32};
	struct aead_op op = {.key = rig.to_peer, .nb_segs = 1, .segs = &seg, .tag = d + 16 + seg.len};
	void *ctx = reference()->ctx_new();

	CU_ASSERT(d[0] == 4 && d[1] == 0 && d[2] == 0 && d[3] == 0);
	CU_ASSERT(memcmp(d + 4, &remote, 4) == 0);
	memcpy(&op.nonce, d + 8, 8);
	*ret_counter = op.nonce;
	reference()->open(ctx, &op, 1);
	reference()->ctx_free(ctx);
	rte_pktmbuf_adj(m, (uint16_t)(head + 16));
	rte_pktmbuf_trim(m, 16);
	return op.ok;
}

void rig_ether(struct rte_mbuf *m, uint16_t if_id)
{
	bool ipv6 = *rte_pktmbuf_mtod(m, uint8_t *) >> 4 == 6;
	struct rte_ether_hdr *e = (void *)rte_pktmbuf_prepend(m, sizeof(*e));

	e->dst_addr = iface_get(if_id)->mac;
	e->src_addr = (struct rte_ether_addr){{2, 0, 0, 0, 1, 1}};
	e->ether_type = htons(ipv6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
}

// ---- running ---------------------------------------------------------------------------------------

static void push(uint16_t lcore, uint16_t if_id, struct rte_mbuf *m, uint16_t flags)
{
	struct lcore *lc = lcores.lc[lcore];
	struct packet *p = packet_of(m);

	memset(p, 0, sizeof(*p));
	p->iif = if_id;
	p->flags = flags;
	p->stamp = rte_rdtsc();
	stage_push(lc, ST_STAGE_rx, m);
}

void rig_rx(uint16_t lcore, uint16_t if_id, struct rte_mbuf *m)
{
	push(lcore, if_id, m, 0);
}

void rig_rx_host(uint16_t lcore, uint16_t if_id, struct rte_mbuf *m)
{
	push(lcore, if_id, m, PACKET_F_FROM_HOST);
}

void rig_skip(unsigned int seconds)
{
	skipped += seconds * rte_get_tsc_hz();
}

void rig_pass(uint16_t lcore)
{
	lcores.lc[lcore]->now = rte_rdtsc() + skipped;
	stages_run(lcores.lc[lcore]);
}

void rig_passes(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		rig_pass(0);
		rig_pass(1);
		command_poll();
		reclaim_poll();
	}
}

unsigned int rig_take(enum rig_device dev, struct rte_mbuf **m, unsigned int max)
{
	return rte_eth_rx_burst((uint16_t)dev, 0, m, (uint16_t)max);
}

struct rte_mbuf *rig_take_one(enum rig_device dev)
{
	struct rte_mbuf *m[8];
	unsigned int n = rig_take(dev, m, 8);

	if (n == 1)
		return m[0];
	rte_pktmbuf_free_bulk(m, n);
	return NULL;
}

uint64_t rig_drops(enum st_drop why)
{
	return lcores.lc[0]->drops[why] - base[0][why] + lcores.lc[1]->drops[why] - base[1][why];
}

uint64_t rig_drops_all(void)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < ST_DROP_COUNT; i++)
		sum += rig_drops(i);
	return sum;
}

bool rig_event(uint32_t event, struct lcore_event *ret)
{
	struct lcore_event ev;

	for (uint16_t i = 0; i < lcores.nb; i++)
		while (rte_ring_sc_dequeue_elem(lcores.lc[i]->events, &ev, sizeof(ev)) == 0)
			if (ev.event == event) {
				if (ret != NULL)
					*ret = ev;
				return true;
			}
	return false;
}

void rig_reset(void)
{
	struct rte_mbuf *m[32];
	unsigned int n;

	rig_passes(2);
	for (uint16_t d = 0; d < RIG_DEVS; d++)
		while ((n = rig_take(d, m, 32)) > 0)
			rte_pktmbuf_free_bulk(m, n);
	while (rig_event(UINT32_MAX, NULL))
		;
	for (uint16_t i = 0; i < lcores.nb; i++)
		memcpy(base[i], lcores.lc[i]->drops, sizeof(base[i]));
}

bool rig_pool_full(void)
{
	return rte_mempool_avail_count(rig.pool) == rig.pool_size;
}

int rig_main(const char *suite, const struct rig_test *tests, size_t n)
{
	unsigned int failures;
	CU_pSuite s;

	if (rig_init(NULL) != 0 || CU_initialize_registry() != CUE_SUCCESS)
		return 2;
	s = CU_add_suite(suite, NULL, NULL);
	if (s == NULL)
		return 2;
	for (size_t i = 0; i < n; i++)
		if (CU_add_test(s, tests[i].name, tests[i].run) == NULL)
			return 2;
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	failures = CU_get_number_of_failures();
	CU_cleanup_registry();
	rig_fini();
	return failures != 0;
}

// The suites have no clients: what they would be told stays here.
struct st_ev_trace rig_trace;
unsigned int rig_traces;
unsigned int rig_captures_ended;

bool api_server_capture_ended(int client, uint32_t id)
{
	rig_captures_ended++;
	return true;
}

bool api_server_trace(int client, const struct st_ev_trace *ev)
{
	rig_trace = *ev;
	rig_traces++;
	return true;
}

struct rig_told rig_told;

void api_server_event(
	uint16_t event, const void *body, uint16_t body_len, const void *blob, uint16_t blob_len)
{
	rig_told.count++;
	rig_told.event = event;
	rig_told.blob_len = blob_len;
	if (body_len > 0)
		memcpy(rig_told.body, body, body_len);
	if (blob_len > 0)
		memcpy(rig_told.blob, blob, blob_len);
}
