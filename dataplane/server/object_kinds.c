// SPDX-License-Identifier: BSD-3-Clause
//
// The table of object kinds: the one place that says which kinds exist, how long their keys are, what
// their caps are and who handles them. Order matters: sweeping and the end delete later kinds first, so
// a kind comes after those it refers to.
#include "../ports/port.h"
#include "../tables/iface.h"
#include "../tables/neigh.h"
#include "../tables/peer.h"
#include "../tables/portmap.h"
#include "../tables/route.h"
#include "../tables/turn.h"
#include "object.h"
#include "park.h"

#include <sodium.h>

#include <stddef.h>

static void key_scrub(void *body)
{
	struct st_key *k = body;

	sodium_memzero(k->send_key, sizeof(k->send_key));
	sodium_memzero(k->recv_key, sizeof(k->recv_key));
}

static uint32_t allowed_ip_owner(const void *body)
{
	return ((const struct st_allowed_ip *)body)->peer_id;
}

#define KIND(number, label, type, keytype, cap, fl, set_fn, del_fn)                                \
	{                                                                                          \
		.kind = (number), .name = (label), .key_len = sizeof(struct keytype),              \
		.body_len = sizeof(struct type), .flags = (fl), .max = (cap), .set = (set_fn),     \
		.del = (del_fn),                                                                   \
	}

const struct object_kind object_kinds[] = {
	KIND(ST_PORT, "port", st_port, st_port_key, ST_MAX_IFACES - 1, 0, port_set, port_del),
	KIND(ST_WGIF, "wgif", st_wgif, st_wgif_key, ST_MAX_IFACES - 1, 0, wgif_set, wgif_del),
	KIND(ST_ADDR, "addr", st_ifaddr, st_addr_key, 4096, 0, ifaddr_set, ifaddr_del),
	KIND(ST_ROUTE, "route", st_route, st_route_key, 1000000, 0, route_set, route_del),
	KIND(ST_RULE, "rule", st_rule, st_rule_key, 1024, 0, rule_set, rule_del),
	KIND(ST_NEIGH, "neigh", st_neigh, st_neigh_key, 65536, 0, neigh_set, neigh_del),
	KIND(ST_PORTMAP, "portmap", st_portmap, st_portmap_key, PORTMAP_MAX_ENTRIES, 0, portmap_set,
		portmap_del),
	KIND(ST_PEER, "peer", st_peer, st_peer_key, ST_MAX_PEERS, 0, peer_set, peer_del),
	{.kind = ST_ALLOWED_IP,
		.name = "allowed_ip",
		.key_len = sizeof(struct st_allowed_ip_key),
		.body_len = sizeof(struct st_allowed_ip),
		.max = 1000000,
		.set = allowed_ip_set,
		.del = allowed_ip_del,
		.owner = allowed_ip_owner,
		.owners = ST_MAX_PEERS},
	KIND(ST_ENDPOINT, "endpoint", st_endpoint, st_endpoint_key, ST_MAX_PEERS *ST_ENDPOINT_SLOTS,
		0, endpoint_set, endpoint_del),
	{.kind = ST_KEY,
		.name = "key",
		.key_len = sizeof(struct st_key_key),
		.body_len = sizeof(struct st_key),
		.max = 3 * ST_MAX_PEERS,
		.flags = KIND_F_ONCE | KIND_F_KEEP | KIND_F_SECRET,
		.set = key_set,
		.del = key_del,
		.scrub = key_scrub},
	KIND(ST_SOCKET, "socket", st_socket, st_socket_key, 4096, KIND_F_KEEP, socket_set, socket_del),
	KIND(ST_TURN_USER, "turn_user", st_turn_user, st_turn_user_key, TURN_USERS_MAX, 0,
		turn_user_set, turn_user_del),
	KIND(ST_RELAY, "relay", st_relay, st_relay_key, TURN_RELAYS_MAX, 0, turn_relay_set,
		turn_relay_del),
	KIND(ST_PERMISSION, "permission", st_permission, st_permission_key, TURN_CHANNELS_MAX, 0,
		turn_permission_set, turn_permission_del),
	KIND(ST_CHANNEL, "channel", st_channel, st_channel_key, TURN_CHANNELS_MAX, 0,
		turn_channel_set, turn_channel_del),
	KIND(ST_TURN_DENY_PORTS, "turn_deny_ports", st_turn_deny_ports, st_turn_deny_ports_key,
		TURN_DENY_PORTS_MAX, 0, turn_deny_ports_set, turn_deny_ports_del),
	{.kind = 0},
};
