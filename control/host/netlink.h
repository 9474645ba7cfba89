// SPDX-License-Identifier: BSD-3-Clause
//
// The kernel's view of the world (libmnl): mirrors addresses, routes, rules and neighbours of our host
// devices into the data plane, and answers how a datagram of ours would leave the box.
#pragma once

#include "../../dataplane/api/st_api.h"

#include <stdbool.h>
#include <stdint.h>

struct dp;
struct netlink;

typedef void (*netlink_changed)(void *arg); // routes, rules, addresses or links changed; coalesced
// if_id is that of a link-local address's interface, else 0.
typedef void (*netlink_addrs_changed)(const struct st_addr_key *addrs, unsigned int n, void *arg);

struct netlink *netlink_new(struct dp *dp);
void netlink_free(struct netlink *nl);
// Tells which kernel device is the host side of if_id; "" or NULL removes.
void netlink_map_iface(struct netlink *nl, uint32_t if_id, const char *host_name);
// False: the kernel has no device of one of these names.
bool netlink_ifaces_present(const struct netlink *nl);
int netlink_start(struct netlink *nl); // dumps, mirrors, subscribes
void netlink_on_change(struct netlink *nl, netlink_changed fn, void *arg);
// All addresses of the box that datagrams can be sent to (every device; link-local ones of our host devices
// only), for the port map.
void netlink_on_addrs(struct netlink *nl, netlink_addrs_changed fn, void *arg);

struct netlink_path {
	uint32_t if_id;         // 0: leaves by a device that is not ours
	struct st_addr local;   // source the kernel chose (or the one asked for)
	struct st_addr nexthop; // gateway, or remote when on link
	uint16_t mtu;
	bool local_delivery; // the address is one of this box
};
// A UDP datagram of ours.
struct netlink_ask {
	const struct st_addr *remote;
	const struct st_addr *local; // all zero = the kernel's choice
	uint32_t mark;
	uint32_t ifindex; // it must leave by: that of a link-local remote; 0 = any
	uint16_t local_port_be, remote_port_be;
};
// What the kernel would do with it. 0 or -errno (-ENETUNREACH, -EHOSTUNREACH ...).
int netlink_path_get(struct netlink *nl, const struct netlink_ask *ask, struct netlink_path *ret);
// Keeps the MAC of a next hop known: a managed neighbour (NTF_EXT_MANAGED). Counted per (if, addr).
void netlink_neigh_hold(struct netlink *nl, uint32_t if_id, const struct st_addr *addr);
void netlink_neigh_release(struct netlink *nl, uint32_t if_id, const struct st_addr *addr);
// Asks the kernel to resolve once (ST_EV_NEIGH_NEEDED).
void netlink_neigh_probe(struct netlink *nl, uint32_t if_id, const struct st_addr *addr);
