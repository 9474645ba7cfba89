// SPDX-License-Identifier: BSD-3-Clause
//
// The contract's layout: a struct that changes within one ST_API_VERSION breaks straitd and strait-dp of
// different builds, so each size and the place of what stands behind a pad are written down here.
#include "api/st_api.h"
#include "env.h"

#include <stddef.h>

#define SIZE(type, n)      _Static_assert(sizeof(struct type) == (n), #type)
#define AT(type, field, n) _Static_assert(offsetof(struct type, field) == (n), #type "." #field)

_Static_assert(ST_API_VERSION == 2, "sizes below are those of version 2");

SIZE(st_msg, 24);
AT(st_msg, seq, 4);
AT(st_msg, status, 8);
AT(st_msg, body_len, 12);
AT(st_msg, blob_len, 14);
AT(st_msg, expiry_ms, 16);
SIZE(st_hello, 96);
AT(st_hello, instance, 8);
AT(st_hello, uptime_ms, 16);
AT(st_hello, lcores, 24);
AT(st_hello, aead, 32);
AT(st_hello, version_text, 64);
SIZE(st_addr, 16);
SIZE(st_prefix, 20);
AT(st_prefix, plen, 16);
SIZE(st_port_key, 4);
SIZE(st_port, 332);
AT(st_port, name, 4);
AT(st_port, devargs, 20);
AT(st_port, host_name, 276);
AT(st_port, guard_if, 292);
AT(st_port, mac, 308);
AT(st_port, mtu, 314);
AT(st_port, ring_size, 320);
AT(st_port, flags, 324);
SIZE(st_wgif, 44);
AT(st_wgif, name, 4);
AT(st_wgif, host_name, 20);
AT(st_wgif, mtu, 36);
AT(st_wgif, listen_port_be, 38);
SIZE(st_addr_key, 20);
SIZE(st_ifaddr, 24);
SIZE(st_route_key, 24);
SIZE(st_nexthop, 24);
SIZE(st_route, 220);
AT(st_route, action, 24);
AT(st_route, mtu, 26);
AT(st_route, nexthops, 28);
SIZE(st_rule_key, 8);
SIZE(st_rule, 76);
AT(st_rule, src, 8);
AT(st_rule, dst, 28);
AT(st_rule, iif, 48);
AT(st_rule, suppress_plen, 60);
AT(st_rule, action, 62);
SIZE(st_neigh_key, 20);
SIZE(st_neigh, 28);
SIZE(st_portmap_key, 24);
SIZE(st_portmap, 28);
SIZE(st_peer_key, 4);
SIZE(st_peer, 112);
AT(st_peer, public_key, 8);
AT(st_peer, name, 40);
AT(st_peer, flags, 104);
SIZE(st_allowed_ip_key, 24);
SIZE(st_allowed_ip, 28);
SIZE(st_endpoint_key, 8);
SIZE(st_endpoint, 92);
AT(st_endpoint, local, 8);
AT(st_endpoint, remote, 24);
AT(st_endpoint, nexthop, 40);
AT(st_endpoint, local_port_be, 56);
AT(st_endpoint, if_id, 60);
AT(st_endpoint, path_mtu, 64);
AT(st_endpoint, kind, 66);
AT(st_endpoint, relay_peer, 68);
AT(st_endpoint, channel, 86);
AT(st_endpoint, flags, 88);
SIZE(st_key_key, 4);
SIZE(st_key, 80);
AT(st_key, peer_id, 4);
AT(st_key, send_key, 16);
AT(st_key, recv_key, 48);
SIZE(st_socket, 64);
SIZE(st_trace, 16);
SIZE(st_capture, 24);
AT(st_capture, max_count, 16);
SIZE(st_stat_peer, 64);
SIZE(st_stat_keypair, 40);
SIZE(st_stat_iface, 152);
SIZE(st_stat_stage, 48);
SIZE(st_stat_drop, 48);
SIZE(st_stat_lcore, 72);
SIZE(st_stat_pool, 40);
SIZE(st_turn_user, 24);
SIZE(st_relay_key, 20);
SIZE(st_relay, 88);
SIZE(st_permission, 36);
SIZE(st_channel_key, 40);
SIZE(st_channel, 44);
SIZE(st_turn_deny_ports, 4);
SIZE(st_stat_relay, 88);
SIZE(st_stat_stall, 56);
SIZE(st_stat_turn, 88);
SIZE(st_ev_peer, 4);
SIZE(st_ev_key, 8);
SIZE(st_ev_endpoint, 48);
SIZE(st_activity, 28);
SIZE(st_ev_activity, 1800);
SIZE(st_ev_neigh, 20);
SIZE(st_ev_expired, 72);
SIZE(st_ev_overrun, 8);
SIZE(st_ev_link, 8);
SIZE(st_trace_hop, 16);
SIZE(st_ev_trace, 480);
SIZE(st_packet_io, 48);

_Static_assert(
	sizeof(struct st_msg) + sizeof(struct st_packet_io) + ST_PACKET_MAX <= ST_MSG_MAX, "fits");
_Static_assert(sizeof(struct st_msg) + sizeof(struct st_ev_activity) <= ST_MSG_MAX, "fits");
_Static_assert(sizeof(struct st_msg) + sizeof(struct st_port) + ST_BLOB_MAX <= ST_MSG_MAX, "fits");

static void numbers_stand_where_they_stood(void)
{
	CU_ASSERT_EQUAL(ST_OP_EVENT, 11);
	CU_ASSERT_EQUAL(ST_OP_STAGED_DROP, 12);
	CU_ASSERT_EQUAL(ST_KEY, 11);
	CU_ASSERT_EQUAL(ST_CAPTURE, 14);
	CU_ASSERT_EQUAL(ST_CHANNEL, 18);
	CU_ASSERT_EQUAL(ST_TURN_DENY_PORTS, 19);
	CU_ASSERT_EQUAL(ST_STAT_POOL, 70);
	CU_ASSERT_EQUAL(ST_EV_PORT_FAILED, 12);
	CU_ASSERT_EQUAL(ST_DROP_rx_short, 0);
	CU_ASSERT_EQUAL(ST_DROP_iface_down, 41);
	CU_ASSERT_EQUAL(ST_DROP_turn_malformed, 42);
	CU_ASSERT_EQUAL(ST_DROP_stun_limited, 49);
	CU_ASSERT_EQUAL(ST_DROP_not_synced, 50);
	CU_ASSERT_EQUAL(ST_DROP_turn_denied_port, 51);
	CU_ASSERT_EQUAL(ST_STAGE_COUNT, 13);
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"numbers stand where they stood", numbers_stand_where_they_stood},
		CU_TEST_INFO_NULL,
	};

	return run_tests("api_abi", tests);
}
