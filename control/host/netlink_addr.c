// SPDX-License-Identifier: BSD-3-Clause
//
// Addresses: those of our host devices go to the data plane (sources of ICMP errors), those of every
// device to whoever expands wildcard binds. Read again as a whole on each change; there are few.
#include "../addr.h"
#include "../dp/dp.h"
#include "netlink_parts.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>

struct reading {
	struct netlink *nl;
	GArray *ours; // of struct st_ifaddr
	GArray *all;  // of struct st_addr_key
};

static bool loopback(const struct st_addr *a)
{
	static const struct st_addr v6 = {.b[15] = 1};

	return addr_is_v4(a) ? a->b[12] == 127 : !memcmp(a, &v6, sizeof(v6));
}

// Link-local ones only where packets of theirs come to an lcore.
static void add_to_all(struct reading *r, uint32_t if_id, const struct st_addr *addr)
{
	bool link_local = addr_is_link_local(addr);
	struct st_addr_key key = {.if_id = link_local ? if_id : 0, .addr = *addr};

	if (!loopback(addr) && (if_id || !link_local) && r->all->len < NETLINK_ADDRS_MAX)
		g_array_append_val(r->all, key);
}

static void each_addr(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[IFA_MAX + 1];
	struct st_ifaddr entry;
	struct reading *r = arg;
	uint32_t flags;

	rtnl_attrs(nlh, sizeof(*ifa), tb, IFA_MAX);
	flags = rtnl_u32(tb[IFA_FLAGS], ifa->ifa_flags);
	// Not yet, or never, ours to send from.
	if (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) && !(flags & IFA_F_OPTIMISTIC))
		return;
	memset(&entry, 0, sizeof(entry));
	if (!rtnl_addr(tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS], ifa->ifa_family,
		    &entry.key.addr))
		return;
	entry.key.if_id = netlink_link_if_id(r->nl, ifa->ifa_index);
	add_to_all(r, entry.key.if_id, &entry.key.addr);
	entry.plen = (uint8_t)(ifa->ifa_prefixlen + (ifa->ifa_family == AF_INET ? 96 : 0));
	if (entry.key.if_id && r->ours->len < NETLINK_ADDRS_MAX)
		g_array_append_val(r->ours, entry);
}

static gint addr_compare(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, sizeof(struct st_addr_key));
}

// Sorted, each once: an address may be on several devices.
static void sort_unique(GArray *addrs)
{
	guint i;

	g_array_sort(addrs, addr_compare);
	for (i = addrs->len; i > 1; i--) {
		if (!addr_compare(&g_array_index(addrs, struct st_addr_key, i - 1),
			    &g_array_index(addrs, struct st_addr_key, i - 2)))
			g_array_remove_index(addrs, i - 1);
	}
}

static void tell_all(struct netlink *nl, GArray *all)
{
	bool same;

	sort_unique(all);
	same = nl->addrs && nl->addrs->len == all->len &&
	       !memcmp(nl->addrs->data, all->data, all->len * sizeof(struct st_addr_key));
	if (same) {
		g_array_free(all, TRUE);
		return;
	}
	if (nl->addrs)
		g_array_free(nl->addrs, TRUE);
	nl->addrs = all;
	nl->changed = true;
	if (nl->on_addrs)
		nl->on_addrs((const struct st_addr_key *)all->data, all->len, nl->on_addrs_arg);
}

int netlink_addrs_read(struct netlink *nl)
{
	struct reading r = {
		.nl = nl,
		.ours = g_array_new(FALSE, FALSE, sizeof(struct st_ifaddr)),
		.all = g_array_new(FALSE, FALSE, sizeof(struct st_addr_key)),
	};
	int ret = rtnl_dump(nl->request, RTM_GETADDR, AF_UNSPEC, each_addr, &r);
	guint i;

	if (!ret) {
		dp_replace_begin(nl->dp, ST_ADDR);
		for (i = 0; i < r.ours->len; i++)
			dp_set(nl->dp, ST_ADDR, &g_array_index(r.ours, struct st_ifaddr, i),
				sizeof(struct st_ifaddr), NULL, 0, NULL, NULL);
		dp_replace_end(nl->dp, ST_ADDR);
		tell_all(nl, r.all);
	} else {
		g_array_free(r.all, TRUE);
	}
	g_array_free(r.ours, TRUE);
	return ret;
}
