// SPDX-License-Identifier: BSD-3-Clause
//
// Peers, keys, allowed IPs, endpoints and neighbours over the real store of objects; the test plays the
// lcores: it carries out their commands when it wants to.
#include "command.h"
#include "env.h"
#include "packet.h"
#include "ports/plan.h"
#include "server/object.h"
#include "tables/iface.h"
#include "tables/lpm.h"
#include "tables/neigh.h"
#include "tables/peer.h"
#include "tables/portmap.h"
#include "tables/route.h"

#include <rte_ip.h>
#include <rte_mbuf.h>

#include <errno.h>

#define WG 3

static struct rte_mempool *pool;

static void lcores_pass(void)
{
	for (int i = 0; i < 12; i++) {
		for (unsigned int l = 0; l < lcores.nb; l++)
			while (lcore_commands(lcores.lc[l]) > 0)
				;
		command_poll();
		reclaim_poll();
	}
}

static int put_peer(uint32_t id, uint8_t key)
{
	struct st_peer p = {.key = {id}, .if_id = WG, .name = "peer"};

	memset(p.public_key, key, sizeof(p.public_key));
	return object_set(ST_PEER, &p, sizeof(p), NULL, 0, 0);
}

static int del_peer(uint32_t id)
{
	return object_del(ST_PEER, &id, sizeof(id));
}

static int put_allowed(const char *net, int plen, uint32_t peer)
{
	struct st_allowed_ip a = {
		.key = {.if_id = WG, .prefix = env_prefix(net, plen)}, .peer_id = peer};

	return object_set(ST_ALLOWED_IP, &a, sizeof(a), NULL, 0, 0);
}

static struct st_endpoint endpoint(uint32_t peer, const char *local, const char *remote)
{
	return (struct st_endpoint){
		.key = {.peer_id = peer},
		.local = env_addr(local),
		.remote = env_addr(remote),
		.nexthop = env_addr(remote),
		.local_port_be = htons(51820),
		.remote_port_be = htons(4500),
		.if_id = 1,
		.path_mtu = 1500,
		.kind = ST_ENDPOINT_DIRECT,
	};
}

static int put_key(uint32_t index, uint32_t peer, uint32_t role)
{
	struct st_key k = {.key = {index}, .peer_id = peer, .remote_index = ~index, .role = role};

	memset(k.send_key, 1, 32);
	memset(k.recv_key, 2, 32);
	return object_set(ST_KEY, &k, sizeof(k), NULL, 0, 180000);
}

static struct keypair *find_key(uint32_t index)
{
	struct keypair *kp;

	keypair_lookup_bulk(&index, 1, &kp);
	return kp;
}

static struct peer *allowed(const char *addr)
{
	struct st_addr a = env_addr(addr);

	return lpm_lookup(iface_get(WG)->allowed_ips, strchr(addr, ':') != NULL, &a);
}

static void begin(void)
{
	struct st_wgif w = {.key = {WG},
		.name = "wg0",
		.mtu = 1420,
		.listen_port_be = htons(51820),
		.mss_clamp = 1};

	CU_ASSERT_EQUAL_FATAL(objects_init(), 0);
	object_clock(1);
	CU_ASSERT_EQUAL_FATAL(object_set(ST_WGIF, &w, sizeof(w), NULL, 0, 0), 0);
}

static void end(void)
{
	lcores_pass();
	object_clear(ST_PEER);
	lcores_pass();
	objects_fini();
	lcores_pass();
	CU_ASSERT_TRUE(command_passed(command_token()));
}

static void what_refers_to_nothing_is_refused(void)
{
	struct st_endpoint e = endpoint(1, "10.0.0.1", "10.0.0.2");
	struct st_peer p = {.key = {1}, .if_id = 9};

	begin();
	CU_ASSERT_EQUAL(object_set(ST_PEER, &p, sizeof(p), NULL, 0, 0), -ENODEV);
	CU_ASSERT_EQUAL(put_allowed("10.0.0.0", 8, 1), -ENOENT);
	CU_ASSERT_EQUAL(object_set(ST_ENDPOINT, &e, sizeof(e), NULL, 0, 0), -ENOENT);
	CU_ASSERT_EQUAL(put_key(1, 1, ST_KEY_INITIATOR), -ENOENT);
	CU_ASSERT_EQUAL(put_peer(1, 1), 0);
	CU_ASSERT_EQUAL(put_key(INDEX_STUN_COOKIE, 1, ST_KEY_INITIATOR), -EINVAL);
	e.remote = env_addr("2001:db8::1");
	CU_ASSERT_EQUAL(object_set(ST_ENDPOINT, &e, sizeof(e), NULL, 0, 0), -EAFNOSUPPORT);
	end();
}

static void an_identical_prefix_moves_to_the_new_peer(void)
{
	begin();
	CU_ASSERT_EQUAL(put_peer(1, 1), 0);
	CU_ASSERT_EQUAL(put_peer(2, 2), 0);
	CU_ASSERT_EQUAL(put_allowed("10.0.0.0", 8, 1), 0);
	CU_ASSERT_EQUAL(put_allowed("10.1.0.0", 16, 1), 0);
	CU_ASSERT_PTR_EQUAL(allowed("10.0.0.1"), peer_by_id(1));
	CU_ASSERT_EQUAL(put_allowed("10.0.0.0", 8, 2), 0);
	CU_ASSERT_PTR_EQUAL(allowed("10.0.0.1"), peer_by_id(2));
	CU_ASSERT_PTR_EQUAL(allowed("10.1.0.1"), peer_by_id(1));
	CU_ASSERT_EQUAL(del_peer(1), 0);
	CU_ASSERT_PTR_EQUAL(allowed("10.1.0.1"), peer_by_id(2));
	CU_ASSERT_EQUAL(del_peer(2), 0);
	CU_ASSERT_PTR_NULL(allowed("10.1.0.1"));
	CU_ASSERT_EQUAL(object_count(ST_ALLOWED_IP), 0);
	end();
}

static void a_key_is_found_until_its_peer_goes(void)
{
	uint32_t key = 77;

	begin();
	CU_ASSERT_EQUAL(put_peer(1, 1), 0);
	CU_ASSERT_EQUAL(put_key(key, 1, ST_KEY_RESPONDER), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(find_key(key));
	CU_ASSERT_EQUAL(find_key(key)->send_key[0], 1);
	CU_ASSERT_FALSE(command_passed(command_token()));
	lcores_pass();
	CU_ASSERT_TRUE(command_passed(command_token()));
	CU_ASSERT_PTR_EQUAL(peer_by_id(1)->slots[ST_SLOT_NEXT], find_key(key));
	CU_ASSERT_EQUAL(put_key(key, 1, ST_KEY_RESPONDER), -EEXIST);
	{
		const struct st_key *stored = object_find(ST_KEY, &key);
		static const uint8_t zeros[32];

		CU_ASSERT_PTR_NOT_NULL_FATAL(stored);
		CU_ASSERT_EQUAL(memcmp(stored->send_key, zeros, 32), 0);
		CU_ASSERT_EQUAL(memcmp(stored->recv_key, zeros, 32), 0);
	}
	CU_ASSERT_EQUAL(del_peer(1), 0);
	CU_ASSERT_PTR_NULL(find_key(key));
	CU_ASSERT_EQUAL(object_count(ST_KEY), 0);
	CU_ASSERT_EQUAL(put_key(key, 1, ST_KEY_RESPONDER), -ENOENT);
	end();
}

static void another_public_key_under_the_same_id_starts_from_nothing(void)
{
	begin();
	CU_ASSERT_EQUAL(put_peer(1, 1), 0);
	CU_ASSERT_EQUAL(put_key(5, 1, ST_KEY_INITIATOR), 0);
	CU_ASSERT_EQUAL(put_allowed("10.0.0.0", 8, 1), 0);
	lcores_pass();
	CU_ASSERT_EQUAL(put_peer(1, 1), 0); // the same again: nothing happens
	CU_ASSERT_PTR_NOT_NULL(find_key(5));
	CU_ASSERT_EQUAL(put_peer(1, 2), 0);
	CU_ASSERT_PTR_NULL(find_key(5));
	CU_ASSERT_PTR_NULL(allowed("10.0.0.1"));
	CU_ASSERT_EQUAL(object_count(ST_KEY), 0);
	end();
}

static void an_install_follows_a_peer_that_was_given_away(void)
{
	struct peer *peer;

	begin();
	CU_ASSERT_EQUAL(put_peer(0, 1), 0);
	peer = peer_by_id(0);
	CU_ASSERT_EQUAL(atomic_load(&peer->owner), 0);
	CU_ASSERT_EQUAL(put_key(9, 0, ST_KEY_RESPONDER), 0); // with lcore 0 already
	atomic_store(&peer->owner, 1);
	lcore_commands(lcores.lc[0]);
	CU_ASSERT_PTR_NULL(peer->slots[ST_SLOT_NEXT]);
	CU_ASSERT_FALSE(command_passed(command_token()));
	command_poll(); // hears of it and asks the new owner
	lcore_commands(lcores.lc[1]);
	command_poll();
	CU_ASSERT_TRUE(command_passed(command_token()));
	CU_ASSERT_PTR_EQUAL(peer->slots[ST_SLOT_NEXT], find_key(9));
	end();
}

static void a_removal_never_overtakes_an_install(void)
{
	struct peer *peer;
	uint32_t key = 10;

	begin();
	CU_ASSERT_EQUAL(put_peer(0, 1), 0);
	peer = peer_by_id(0);
	CU_ASSERT_EQUAL(put_key(key, 0, ST_KEY_RESPONDER), 0);
	atomic_store(&peer->owner, 1);
	CU_ASSERT_EQUAL(object_del(ST_KEY, &key, sizeof(key)), 0);
	lcore_commands(lcores.lc[1]); // would be the removal, if it were sent yet
	atomic_store(&peer->owner, 0);
	lcores_pass();
	CU_ASSERT_PTR_NULL(peer->slots[ST_SLOT_NEXT]);
	CU_ASSERT_PTR_NULL(peer->slots[ST_SLOT_CURRENT]);
	CU_ASSERT_TRUE(command_passed(command_token()));
	end();
}

static void displaced_keys_do_not_pile_up(void)
{
	begin();
	CU_ASSERT_EQUAL(put_peer(1, 1), 0);
	for (uint32_t i = 0; i < 50; i++) {
		CU_ASSERT_EQUAL(put_key(1000 + i, 1, ST_KEY_RESPONDER), 0);
		lcores_pass(); // nobody reads the events: as if they were lost
	}
	CU_ASSERT(object_count(ST_KEY) <= PEER_KEYS_MAX);
	CU_ASSERT_PTR_EQUAL(peer_by_id(1)->slots[ST_SLOT_NEXT], find_key(1049));
	CU_ASSERT_PTR_NULL(find_key(1000));
	end();
}

static void a_keypair_waits_for_packets_in_rings(void)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	struct keypair *kp;
	uint32_t key = 11;
	void *out;

	begin();
	CU_ASSERT_EQUAL(put_peer(0, 1), 0);
	CU_ASSERT_EQUAL(put_key(key, 0, ST_KEY_RESPONDER), 0);
	lcores_pass();
	kp = find_key(key);
	CU_ASSERT_PTR_NOT_NULL_FATAL(kp);
	packet_of(m)->keypair = kp;
	rte_ring_sp_enqueue(lcores.lc[0]->handoff[1], m);
	CU_ASSERT_EQUAL(object_del(ST_KEY, &key, sizeof(key)), 0);
	lcores_pass();
	lcores_pass();
	CU_ASSERT_EQUAL(kp->index, key); // under ASan: freed memory would be reported
	CU_ASSERT_EQUAL(kp->send_key[0], 1);
	rte_ring_sc_dequeue(lcores.lc[0]->handoff[1], &out);
	rte_pktmbuf_free(m);
	lcores_pass();
	end();
}

static void the_prebuilt_header_sums_up(void)
{
	struct st_endpoint e = endpoint(1, "192.0.2.1", "198.51.100.9");
	const struct endpoint *ep;
	struct rte_ipv4_hdr ip;

	begin();
	CU_ASSERT_EQUAL(put_peer(1, 1), 0);
	CU_ASSERT_EQUAL(object_set(ST_ENDPOINT, &e, sizeof(e), NULL, 0, 0), 0);
	ep = atomic_load(&peer_by_id(1)->endpoint);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ep);
	CU_ASSERT_EQUAL(ep->header_len, 28);
	memcpy(&ip, ep->header, sizeof(ip));
	CU_ASSERT_EQUAL(ip.fragment_offset, 0); // DF is clear
	CU_ASSERT_EQUAL(rte_ipv4_cksum(&ip), (uint16_t)~ep->ip_csum_base);
	e = endpoint(1, "2001:db8::1", "2001:db8::2");
	CU_ASSERT_EQUAL(object_set(ST_ENDPOINT, &e, sizeof(e), NULL, 0, 0), 0);
	ep = atomic_load(&peer_by_id(1)->endpoint);
	CU_ASSERT_EQUAL(ep->header_len, 48);
	CU_ASSERT_TRUE(ep->ipv6);
	end();
	CU_ASSERT_EQUAL(object_count(ST_ENDPOINT), 0);
}

static void a_link_local_endpoint_is_on_its_link(void)
{
	struct st_endpoint e = endpoint(1, "fe80::1", "fe80::9");
	struct st_addr local = env_addr("fe80::1"), near = env_addr("fe80::a"),
		       far = env_addr("2001:db8::9");
	const struct endpoint *ep;

	begin();
	CU_ASSERT_EQUAL(put_peer(1, 1), 0);
	CU_ASSERT_EQUAL(object_set(ST_ENDPOINT, &e, sizeof(e), NULL, 0, 0), 0);
	ep = atomic_load(&peer_by_id(1)->endpoint);
	CU_ASSERT_EQUAL(ep->link, e.if_id);
	// Beyond the link is another way, which straitd has to find.
	CU_ASSERT_PTR_NULL(endpoint_move(peer_by_id(1), ep, &local, &far, 1));
	ep = endpoint_move(peer_by_id(1), ep, &local, &near, 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ep);
	CU_ASSERT_EQUAL(ep->link, e.if_id);
	CU_ASSERT_EQUAL(memcmp(&ep->ep.nexthop, &near, sizeof(near)), 0);
	end();
}

static void a_wireguard_interface_takes_its_peers_along(void)
{
	uint32_t id = WG;

	begin();
	CU_ASSERT_EQUAL(put_peer(1, 1), 0);
	CU_ASSERT_EQUAL(put_allowed("10.0.0.0", 8, 1), 0);
	CU_ASSERT_EQUAL(object_del(ST_WGIF, &id, sizeof(id)), 0);
	CU_ASSERT_EQUAL(object_count(ST_PEER), 0);
	CU_ASSERT_EQUAL(object_count(ST_ALLOWED_IP), 0);
	CU_ASSERT_PTR_NULL(iface_get(WG));
	end();
}

static void addresses_outlive_a_change_of_their_interface(void)
{
	struct st_ifaddr a = {.key = {.if_id = WG, .addr = env_addr("10.9.0.1")}, .plen = 120};
	struct st_ifaddr ll = {.key = {.if_id = WG, .addr = env_addr("fe80::1")}, .plen = 64};
	struct st_ifaddr g = {.key = {.if_id = WG, .addr = env_addr("2001:db8::1")}, .plen = 64};
	struct st_wgif w = {.key = {WG}, .name = "wg0", .mtu = 1300};

	begin();
	CU_ASSERT_EQUAL(object_set(ST_ADDR, &a, sizeof(a), NULL, 0, 0), 0);
	CU_ASSERT_EQUAL(object_set(ST_ADDR, &ll, sizeof(ll), NULL, 0, 0), 0);
	CU_ASSERT_EQUAL(object_set(ST_ADDR, &g, sizeof(g), NULL, 0, 0), 0);
	CU_ASSERT_EQUAL(object_set(ST_WGIF, &w, sizeof(w), NULL, 0, 0), 0);
	CU_ASSERT_EQUAL(iface_get(WG)->mtu, 1300);
	CU_ASSERT_EQUAL(memcmp(&iface_get(WG)->addr4, &a.key.addr, 16), 0);
	CU_ASSERT_EQUAL(memcmp(&iface_get(WG)->addr6, &g.key.addr, 16), 0);
	CU_ASSERT_EQUAL(object_del(ST_ADDR, &g.key, sizeof(g.key)), 0);
	CU_ASSERT_EQUAL(memcmp(&iface_get(WG)->addr6, &ll.key.addr, 16), 0);
	end();
}

static void neighbours_come_change_and_go(void)
{
	struct st_neigh n = {
		.key = {.if_id = 1, .addr = env_addr("10.0.0.2")}, .mac = {2, 0, 0, 0, 0, 1}};
	struct st_addr addr = n.key.addr;
	struct rte_ether_addr mac;
	uint32_t generation = atomic_load(&neigh_generation);

	begin();
	CU_ASSERT_FALSE(neigh_lookup(1, &addr, &mac));
	CU_ASSERT_EQUAL(object_set(ST_NEIGH, &n, sizeof(n), NULL, 0, 0), 0);
	CU_ASSERT_TRUE(neigh_lookup(1, &addr, &mac));
	CU_ASSERT_EQUAL(memcmp(mac.addr_bytes, n.mac, 6), 0);
	CU_ASSERT_FALSE(neigh_lookup(2, &addr, &mac));
	memset(n.mac, 0, 6); // even this is a MAC, not "none"
	CU_ASSERT_EQUAL(object_set(ST_NEIGH, &n, sizeof(n), NULL, 0, 0), 0);
	CU_ASSERT_TRUE(neigh_lookup(1, &addr, &mac));
	CU_ASSERT_EQUAL(memcmp(mac.addr_bytes, n.mac, 6), 0);
	CU_ASSERT_EQUAL(object_del(ST_NEIGH, &n.key, sizeof(n.key)), 0);
	CU_ASSERT_FALSE(neigh_lookup(1, &addr, &mac));
	CU_ASSERT_EQUAL(atomic_load(&neigh_generation), generation + 3);
	n.key.if_id = 0;
	CU_ASSERT_EQUAL(object_set(ST_NEIGH, &n, sizeof(n), NULL, 0, 0), -EINVAL);
	end();
}

static int env_begin(void)
{
	if (env_eal("strait-test-peer") < 0)
		return -1;
	pool = rte_pktmbuf_pool_create(
		"packets", 1023, 0, PACKET_PRIV_SIZE, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (pool == NULL || lcores_init("auto", 1, pool) < 0)
		return -1;
	if (neigh_tables_init() < 0 || peer_tables_init() < 0 || route_tables_init() < 0 ||
		portmap_tables_init() < 0)
		return -1;
	return 0;
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"what refers to nothing is refused", what_refers_to_nothing_is_refused},
		{"an identical prefix moves to the new peer",
			an_identical_prefix_moves_to_the_new_peer},
		{"a key is found until its peer goes", a_key_is_found_until_its_peer_goes},
		{"another public key under the same id starts from nothing",
			another_public_key_under_the_same_id_starts_from_nothing},
		{"an install follows a peer that was given away",
			an_install_follows_a_peer_that_was_given_away},
		{"a removal never overtakes an install", a_removal_never_overtakes_an_install},
		{"displaced keys do not pile up", displaced_keys_do_not_pile_up},
		{"a keypair waits for packets in rings", a_keypair_waits_for_packets_in_rings},
		{"the prebuilt header sums up", the_prebuilt_header_sums_up},
		{"a link-local endpoint is on its link", a_link_local_endpoint_is_on_its_link},
		{"a WireGuard interface takes its peers along",
			a_wireguard_interface_takes_its_peers_along},
		{"addresses outlive a change of their interface",
			addresses_outlive_a_change_of_their_interface},
		{"neighbours come, change and go", neighbours_come_change_and_go},
		CU_TEST_INFO_NULL,
	};

	int failed;

	if (env_begin() < 0) {
		fprintf(stderr, "test_peer: DPDK does not start\n");
		return 1;
	}
	failed = run_tests("peer", tests);
	reclaim_drain();
	peer_tables_fini();
	neigh_tables_fini();
	route_tables_fini();
	portmap_tables_fini();
	iface_tables_fini();
	plan_fini();
	lcores_fini();
	return failed;
}
