// SPDX-License-Identifier: BSD-3-Clause
//
// The kernel's devices by index, and which of them are the host side of an interface of ours.
#include "netlink_parts.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

const struct netlink_link *netlink_link_get(const struct netlink *nl, uint32_t ifindex)
{
	return g_hash_table_lookup(nl->links, GUINT_TO_POINTER(ifindex));
}

uint32_t netlink_link_if_id(const struct netlink *nl, uint32_t ifindex)
{
	const struct netlink_link *l = netlink_link_get(nl, ifindex);

	return l ? l->if_id : 0;
}

uint32_t netlink_link_index(const struct netlink *nl, uint32_t if_id)
{
	gpointer key, value;
	GHashTableIter it;

	g_hash_table_iter_init(&it, nl->links);
	while (if_id && g_hash_table_iter_next(&it, &key, &value)) {
		if (((struct netlink_link *)value)->if_id == if_id)
			return GPOINTER_TO_UINT(key);
	}
	return 0;
}

bool netlink_ifaces_present(const struct netlink *nl)
{
	GHashTableIter it;
	gpointer value;
	guint n = 0;

	g_hash_table_iter_init(&it, nl->links);
	while (g_hash_table_iter_next(&it, NULL, &value))
		n += ((struct netlink_link *)value)->if_id != 0;
	return n == g_hash_table_size(nl->mapped);
}

static uint32_t mapped_id(const struct netlink *nl, const char *name)
{
	return GPOINTER_TO_UINT(g_hash_table_lookup(nl->mapped, name));
}

void netlink_links_map(struct netlink *nl)
{
	struct netlink_link *l;
	gpointer value;
	GHashTableIter it;

	g_hash_table_iter_init(&it, nl->links);
	while (g_hash_table_iter_next(&it, NULL, &value)) {
		l = value;
		l->if_id = mapped_id(nl, l->name);
	}
}

// The kernel drops IPv4 routes of a device that goes down without a word, and all neighbours.
static void link_changed(struct netlink *nl, bool ours)
{
	nl->stale |= STALE_ADDRS | STALE_ROUTES;
	if (ours)
		nl->stale |= STALE_NEIGHS | STALE_RULES;
	nl->changed = true;
}

void netlink_link_event(struct netlink *nl, const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[IFLA_MAX + 1];
	struct netlink_link now = {.up = false}, *known;
	gpointer key;

	rtnl_attrs(nlh, sizeof(*ifi), tb, IFLA_MAX);
	// A bridge tells about its ports in a family of its own.
	if (ifi->ifi_family != AF_UNSPEC)
		return;
	key = GUINT_TO_POINTER((guint)ifi->ifi_index);
	known = g_hash_table_lookup(nl->links, key);
	if (nlh->nlmsg_type == RTM_DELLINK) {
		if (known)
			link_changed(nl, known->if_id != 0);
		g_hash_table_remove(nl->links, key);
		return;
	}
	if (!tb[IFLA_IFNAME])
		return;
	g_strlcpy(now.name, mnl_attr_get_str(tb[IFLA_IFNAME]), sizeof(now.name));
	now.if_id = mapped_id(nl, now.name);
	now.mtu = rtnl_u32(tb[IFLA_MTU], 0);
	now.up = ifi->ifi_flags & IFF_UP;
	if (known && known->up == now.up && known->mtu == now.mtu && !strcmp(known->name, now.name))
		return;
	link_changed(nl, now.if_id || (known && known->if_id));
	g_hash_table_replace(nl->links, key, g_memdup2(&now, sizeof(now)));
}

static void each_link(const struct nlmsghdr *nlh, void *arg)
{
	netlink_link_event(arg, nlh);
}

int netlink_links_read(struct netlink *nl)
{
	g_hash_table_remove_all(nl->links);
	link_changed(nl, true);
	return rtnl_dump(nl->request, RTM_GETLINK, AF_UNSPEC, each_link, nl);
}
