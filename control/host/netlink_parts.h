// SPDX-License-Identifier: BSD-3-Clause
//
// What the parts of the mirror share. Private to control/netlink*.c; main loop thread.
//
// netlink.c listens and decides what is stale; each part keeps or re-reads its share of the kernel's state
// and hands it to dp, which sends only what differs.
#pragma once

#include "netlink.h"
#include "rtnl.h"

#include <glib.h>

struct dp;

enum netlink_stale {
	STALE_LINKS = 0x1,
	STALE_ADDRS = 0x2,
	STALE_RULES = 0x4,
	STALE_NEXTHOPS = 0x8,
	STALE_ROUTES = 0x10,         // read again
	STALE_ROUTES_PUBLISH = 0x20, // what is known suffices, but interfaces or next hops differ
	STALE_NEIGHS = 0x40,
	STALE_ALL = 0x7f,
};

struct netlink_link {
	char name[ST_NAME_MAX];
	uint32_t if_id; // 0: not one of ours
	uint32_t mtu;
	bool up;
};

struct netlink {
	struct dp *dp;
	struct rtnl *request; // dumps and neighbour requests
	struct rtnl *path;
	struct mnl_socket *monitor;
	guint watch, flush, sweep;
	unsigned int stale; // enum netlink_stale
	bool changed;       // something the users of netlink_on_change must know
	bool started;
	gint64 routes_read_us;    // how long the last reading of all routes took
	GHashTable *mapped;       // host device name -> if_id
	GHashTable *links;        // ifindex -> struct netlink_link
	GHashTable *routes;       // struct st_route_key -> struct route list
	GHashTable *nexthops;     // id -> struct nexthop
	GHashTable *holds;        // struct st_neigh_key -> count
	GHashTable *stale_neighs; // struct st_neigh_key, to be verified by the sweep
	unsigned int routes_disturbed;
	bool routes_full;
	bool no_managed; // the kernel is older than 5.16
	netlink_changed on_change;
	void *on_change_arg;
	netlink_addrs_changed on_addrs;
	void *on_addrs_arg;
	GArray *addrs; // of struct st_addr_key, as last told
};

#define NETLINK_ADDRS_MAX  4096
#define NETLINK_ROUTES_MAX (1u << 20)
#define NETLINK_HOLDS_MAX  65536
#define NETLINK_SWEEP_S    30 // stale neighbours are verified this often

guint netlink_key_hash(const void *p, size_t len);

// netlink_link.c
void netlink_link_event(struct netlink *nl, const struct nlmsghdr *nlh);
int netlink_links_read(struct netlink *nl);
void netlink_links_map(struct netlink *nl); // if_ids from nl->mapped
const struct netlink_link *netlink_link_get(const struct netlink *nl, uint32_t ifindex);
uint32_t netlink_link_if_id(const struct netlink *nl, uint32_t ifindex); // 0 = not ours
uint32_t netlink_link_index(const struct netlink *nl, uint32_t if_id);   // 0 = no such device

// netlink_addr.c, netlink_rule.c
int netlink_addrs_read(struct netlink *nl);
int netlink_rules_read(struct netlink *nl);

// netlink_route.c, netlink_nexthop.c
void netlink_routes_init(struct netlink *nl);
void netlink_routes_fini(struct netlink *nl);
void netlink_route_event(struct netlink *nl, const struct nlmsghdr *nlh);
int netlink_routes_read(struct netlink *nl);
void netlink_routes_publish(struct netlink *nl);
void netlink_nexthops_init(struct netlink *nl);
int netlink_nexthops_read(struct netlink *nl);
// Appends the hops of object id to r; false when it is unknown or cannot be expressed.
bool netlink_nexthop_resolve(const struct netlink *nl, uint32_t id, struct st_route *r);
bool netlink_nexthop_is_blackhole(const struct netlink *nl, uint32_t id);

// netlink_neigh.c
void netlink_neighs_init(struct netlink *nl);
void netlink_neigh_event(struct netlink *nl, const struct nlmsghdr *nlh);
int netlink_neighs_read(struct netlink *nl);
void netlink_neighs_sweep(struct netlink *nl);
