// SPDX-License-Identifier: BSD-3-Clause
//
// Next hop objects of the kernel (`ip nexthop`, FRR): routes may name one by id instead of carrying their
// hops. Read again as a whole on each change.
#include "netlink_parts.h"

#include <errno.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <string.h>

struct nexthop {
	uint32_t ifindex; // 0: a group
	struct st_addr gateway;
	bool blackhole;
	bool dead;  // or encapsulated: nothing the data plane can send
	uint32_t n; // members of a group
	struct {
		uint32_t id;
		uint16_t weight;
	} member[ST_MAX_NEXTHOPS];
};

void netlink_nexthops_init(struct netlink *nl)
{
	nl->nexthops = g_hash_table_new_full(NULL, NULL, NULL, g_free);
}

static void group_read(struct nexthop *nh, const struct nlattr *a)
{
	const struct nexthop_grp *grp = mnl_attr_get_payload(a);
	size_t n = mnl_attr_get_payload_len(a) / sizeof(*grp), i;

	for (i = 0; i < n && nh->n < ST_MAX_NEXTHOPS; i++, nh->n++) {
		nh->member[nh->n].id = grp[i].id;
		nh->member[nh->n].weight = (uint16_t)(grp[i].weight + 1);
	}
}

static void each_nexthop(const struct nlmsghdr *nlh, void *arg)
{
	const struct nhmsg *h = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[NHA_MAX + 1];
	struct netlink *nl = arg;
	struct nexthop *nh;
	uint32_t id;

	rtnl_attrs(nlh, sizeof(*h), tb, NHA_MAX);
	id = rtnl_u32(tb[NHA_ID], 0);
	if (!id || tb[NHA_FDB])
		return;
	nh = g_new0(struct nexthop, 1);
	nh->ifindex = rtnl_u32(tb[NHA_OIF], 0);
	nh->blackhole = !!tb[NHA_BLACKHOLE];
	nh->dead = (h->nh_flags & RTNH_F_DEAD) || tb[NHA_ENCAP];
	rtnl_addr(tb[NHA_GATEWAY], h->nh_family, &nh->gateway);
	if (tb[NHA_GROUP])
		group_read(nh, tb[NHA_GROUP]);
	g_hash_table_replace(nl->nexthops, GUINT_TO_POINTER(id), nh);
}

int netlink_nexthops_read(struct netlink *nl)
{
	struct nhmsg h = {.nh_family = AF_UNSPEC};
	int ret;

	g_hash_table_remove_all(nl->nexthops);
	ret = rtnl_send(nl->request,
		rtnl_message(nl->request, RTM_GETNEXTHOP, NLM_F_DUMP, &h, sizeof(h)), each_nexthop,
		nl);
	// Kernels before 5.3 have none.
	return ret == -EOPNOTSUPP || ret == -EINVAL ? 0 : ret;
}

static const struct nexthop *get(const struct netlink *nl, uint32_t id)
{
	return g_hash_table_lookup(nl->nexthops, GUINT_TO_POINTER(id));
}

bool netlink_nexthop_is_blackhole(const struct netlink *nl, uint32_t id)
{
	const struct nexthop *nh = get(nl, id);

	return nh &&
	       (nh->blackhole || (nh->n == 1 && netlink_nexthop_is_blackhole(nl, nh->member[0].id)));
}

static void append(
	const struct netlink *nl, const struct nexthop *nh, uint16_t weight, struct st_route *r)
{
	struct st_nexthop *out = &r->nexthops[r->nb_nexthops];

	if (nh->dead || r->nb_nexthops == ST_MAX_NEXTHOPS)
		return;
	out->if_id = netlink_link_if_id(nl, nh->ifindex);
	out->gateway = nh->gateway;
	out->weight = weight;
	r->nb_nexthops++;
}

bool netlink_nexthop_resolve(const struct netlink *nl, uint32_t id, struct st_route *r)
{
	const struct nexthop *nh = get(nl, id), *member;
	uint32_t i;

	if (!nh)
		return false;
	if (nh->ifindex)
		append(nl, nh, 1, r);
	for (i = 0; i < nh->n; i++) {
		member = get(nl, nh->member[i].id);
		if (member && member->ifindex)
			append(nl, member, nh->member[i].weight, r);
	}
	return r->nb_nexthops > 0;
}
