// SPDX-License-Identifier: BSD-3-Clause
//
// Routes of every table. A prefix may have several routes; the data plane gets the one the kernel would
// use: without TOS, of the lowest metric, the first among equals.
//
// Plain events change one prefix. Where an event does not say how the prefix looks afterwards (append,
// replace or parts of a multipath route), and where the kernel removes routes without an event, all routes
// are read again (STALE_ROUTES).
#include "../addr.h"
#include "../dp/dp.h"
#include "netlink_parts.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define DISTURBED_MAX 3 // readings in a row

struct hop {
	uint32_t ifindex;
	struct st_addr gateway;
	uint16_t weight;
	bool usable; // not dead, no encapsulation
};

struct route {
	struct route *next;
	uint32_t metric;
	uint32_t nexthop_id; // 0: the hops below
	uint16_t mtu;
	uint8_t tos, type, protocol;
	uint8_t n;
	struct hop hops[];
};

// ---- the store -----------------------------------------------------------------------------------

static guint key_hash(gconstpointer p)
{
	return netlink_key_hash(p, sizeof(struct st_route_key));
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
	return !memcmp(a, b, sizeof(struct st_route_key));
}

static void list_free(gpointer p)
{
	struct route *r = p, *next;

	for (; r; r = next) {
		next = r->next;
		g_free(r);
	}
}

void netlink_routes_init(struct netlink *nl)
{
	// Lists change in place, so their heads are never freed by the table itself.
	nl->routes = g_hash_table_new_full(key_hash, key_equal, g_free, NULL);
}

static void clear(struct netlink *nl)
{
	gpointer list;
	GHashTableIter it;

	g_hash_table_iter_init(&it, nl->routes);
	while (g_hash_table_iter_next(&it, NULL, &list)) {
		list_free(list);
		g_hash_table_iter_remove(&it);
	}
}

void netlink_routes_fini(struct netlink *nl)
{
	clear(nl);
	g_hash_table_destroy(nl->routes);
}

static void list_set(struct netlink *nl, const struct st_route_key *key, struct route *list)
{
	if (list)
		g_hash_table_replace(nl->routes, g_memdup2(key, sizeof(*key)), list);
	else
		g_hash_table_remove(nl->routes, key);
}

static void list_insert(struct route **list, struct route *r)
{
	while (*list && (*list)->metric <= r->metric)
		list = &(*list)->next;
	r->next = *list;
	*list = r;
}

static bool same_route(const struct route *a, const struct route *b)
{
	return a->metric == b->metric && a->type == b->type && a->tos == b->tos &&
	       a->protocol == b->protocol && a->nexthop_id == b->nexthop_id && a->n == b->n &&
	       !memcmp(a->hops, b->hops, a->n * sizeof(struct hop));
}

// ---- reading a message ---------------------------------------------------------------------------

static void hop_fill(
	struct hop *hop, const struct nlattr *const *tb, uint8_t family, unsigned int flags)
{
	const struct rtvia *via;
	size_t len;

	rtnl_addr(tb[RTA_GATEWAY], family, &hop->gateway);
	if (tb[RTA_VIA]) {
		via = mnl_attr_get_payload(tb[RTA_VIA]);
		len = mnl_attr_get_payload_len(tb[RTA_VIA]);
		if (len == sizeof(via->rtvia_family) + 16 && via->rtvia_family == AF_INET6)
			memcpy(hop->gateway.b, via->rtvia_addr, 16);
	}
	hop->usable = !(flags & RTNH_F_DEAD) && !tb[RTA_ENCAP];
}

static void multipath_read(struct route *r, const struct nlattr *a, uint8_t family)
{
	const struct rtnexthop *nh = mnl_attr_get_payload(a);
	int left = mnl_attr_get_payload_len(a);

	for (; RTNH_OK(nh, left) && r->n < ST_MAX_NEXTHOPS; nh = RTNH_NEXT(nh)) {
		const struct nlattr *tb[RTA_MAX + 1] = {NULL}, *in;
		struct hop *hop = &r->hops[r->n++];
		int len = nh->rtnh_len - (int)RTNH_LENGTH(0);

		for (in = (const struct nlattr *)RTNH_DATA(nh); mnl_attr_ok(in, len);
			len -= MNL_ALIGN(in->nla_len), in = mnl_attr_next(in)) {
			if (mnl_attr_get_type(in) <= RTA_MAX)
				tb[mnl_attr_get_type(in)] = in;
		}
		hop->ifindex = (uint32_t)nh->rtnh_ifindex;
		hop->weight = (uint16_t)(nh->rtnh_hops + 1);
		hop_fill(hop, tb, family, nh->rtnh_flags);
		left -= RTNH_ALIGN(nh->rtnh_len);
	}
}

static uint16_t metrics_mtu(const struct nlattr *a)
{
	const struct nlattr *tb[RTAX_MAX + 1];

	if (!a)
		return 0;
	rtnl_nested(a, tb, RTAX_MAX);
	return (uint16_t)MIN(rtnl_u32(tb[RTAX_MTU], 0), UINT16_MAX);
}

// NULL: not a route that forwarded packets can take.
static struct route *parse(const struct nlmsghdr *nlh, struct st_route_key *key)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[RTA_MAX + 1];
	struct route *r;

	rtnl_attrs(nlh, sizeof(*rtm), tb, RTA_MAX);
	if ((rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6) ||
		(rtm->rtm_flags & RTM_F_CLONED) || rtm->rtm_src_len || rtm->rtm_type == RTN_UNSPEC)
		return NULL;
	memset(key, 0, sizeof(*key));
	key->table = rtnl_u32(tb[RTA_TABLE], rtm->rtm_table);
	if (rtm->rtm_family == AF_INET)
		key->dst.addr.b[10] = key->dst.addr.b[11] = 0xff;
	rtnl_addr(tb[RTA_DST], rtm->rtm_family, &key->dst.addr);
	key->dst.plen = (uint8_t)(rtm->rtm_dst_len + (rtm->rtm_family == AF_INET ? 96 : 0));

	r = g_malloc0(sizeof(*r) + ST_MAX_NEXTHOPS * sizeof(struct hop));
	r->metric = rtnl_u32(tb[RTA_PRIORITY], 0);
	r->nexthop_id = rtnl_u32(tb[RTA_NH_ID], 0);
	r->mtu = metrics_mtu(tb[RTA_METRICS]);
	r->tos = rtm->rtm_tos;
	r->type = rtm->rtm_type;
	r->protocol = rtm->rtm_protocol;
	if (tb[RTA_MULTIPATH]) {
		multipath_read(r, tb[RTA_MULTIPATH], rtm->rtm_family);
	} else if (tb[RTA_OIF]) {
		r->hops[0].ifindex = rtnl_u32(tb[RTA_OIF], 0);
		r->hops[0].weight = 1;
		hop_fill(&r->hops[0], tb, rtm->rtm_family, rtm->rtm_flags);
		r->n = 1;
	}
	return g_realloc(r, sizeof(*r) + r->n * sizeof(struct hop));
}

// ---- publishing ----------------------------------------------------------------------------------

static uint8_t action_of(uint8_t type)
{
	switch (type) {
	case RTN_UNICAST:
		return ST_ROUTE_UNICAST;
	case RTN_LOCAL:
	case RTN_ANYCAST:
		return ST_ROUTE_LOCAL;
	case RTN_BROADCAST:
	case RTN_MULTICAST:
		return ST_ROUTE_BROADCAST;
	case RTN_BLACKHOLE:
		return ST_ROUTE_BLACKHOLE;
	case RTN_UNREACHABLE:
		return ST_ROUTE_UNREACHABLE;
	case RTN_PROHIBIT:
		return ST_ROUTE_PROHIBIT;
	case RTN_THROW:
		return ST_ROUTE_THROW;
	}
	return 0;
}

// False: the kernel would not use it either.
static bool express(const struct netlink *nl, const struct route *r, struct st_route *out)
{
	uint8_t i;

	out->action = action_of(r->type);
	out->mtu = r->mtu;
	out->nb_nexthops = 0;
	memset(out->nexthops, 0, sizeof(out->nexthops));
	if (!out->action || r->tos)
		return false;
	if (out->action != ST_ROUTE_UNICAST)
		return true;
	if (r->nexthop_id && netlink_nexthop_is_blackhole(nl, r->nexthop_id)) {
		out->action = ST_ROUTE_BLACKHOLE;
		return true;
	}
	if (r->nexthop_id && netlink_nexthop_resolve(nl, r->nexthop_id, out))
		return true;
	for (i = 0; i < r->n; i++) {
		if (!r->hops[i].usable)
			continue;
		out->nexthops[out->nb_nexthops++] = (struct st_nexthop){
			.if_id = netlink_link_if_id(nl, r->hops[i].ifindex),
			.gateway = r->hops[i].gateway,
			.weight = r->hops[i].weight,
		};
	}
	return out->nb_nexthops > 0;
}

static void publish(struct netlink *nl, const struct st_route_key *key, const struct route *list)
{
	struct st_route out;

	memset(&out, 0, sizeof(out));
	out.key = *key;
	while (list && !express(nl, list, &out))
		list = list->next;
	if (list)
		dp_set(nl->dp, ST_ROUTE, &out, sizeof(out), NULL, 0, NULL, NULL);
	else
		dp_del(nl->dp, ST_ROUTE, key, sizeof(*key));
}

void netlink_routes_publish(struct netlink *nl)
{
	gpointer key, list;
	GHashTableIter it;

	dp_replace_begin(nl->dp, ST_ROUTE);
	g_hash_table_iter_init(&it, nl->routes);
	while (g_hash_table_iter_next(&it, &key, &list))
		publish(nl, key, list);
	dp_replace_end(nl->dp, ST_ROUTE);
}

// ---- events and reading all ----------------------------------------------------------------------

// Whether the prefix has a route of this metric already, so that the event alone does not say what the
// prefix looks like now.
static bool has_metric(const struct route *list, uint32_t metric)
{
	for (; list; list = list->next) {
		if (list->metric == metric)
			return true;
	}
	return false;
}

static bool take_route(struct route **list, const struct route *gone)
{
	struct route *r;

	for (; (r = *list); list = &r->next) {
		if (same_route(r, gone)) {
			*list = r->next;
			g_free(r);
			return true;
		}
	}
	return false;
}

static bool room(struct netlink *nl)
{
	if (g_hash_table_size(nl->routes) < NETLINK_ROUTES_MAX)
		return true;
	if (!nl->routes_full)
		g_warning("route: only the first %u prefixes are mirrored", NETLINK_ROUTES_MAX);
	nl->routes_full = true;
	return false;
}

void netlink_route_event(struct netlink *nl, const struct nlmsghdr *nlh)
{
	struct st_route_key key;
	struct route *r = parse(nlh, &key), *list;

	if (!r)
		return;
	nl->changed = true;
	list = g_hash_table_lookup(nl->routes, &key);
	if (nl->stale & STALE_ROUTES) {
		// All of it is about to be read.
		g_free(r);
		return;
	}
	if (nlh->nlmsg_type == RTM_DELROUTE) {
		if (!take_route(&list, r))
			nl->stale |= STALE_ROUTES;
		g_free(r);
	} else if (!list && !room(nl)) {
		g_free(r);
		return;
	} else if (has_metric(list, r->metric)) {
		nl->stale |= STALE_ROUTES;
		g_free(r);
	} else {
		list_insert(&list, r);
	}
	list_set(nl, &key, list);
	publish(nl, &key, list);
}

static void each_route(const struct nlmsghdr *nlh, void *arg)
{
	struct netlink *nl = arg;
	struct st_route_key key;
	struct route *r = parse(nlh, &key), *list;

	if (!r)
		return;
	list = g_hash_table_lookup(nl->routes, &key);
	if (!list && !room(nl)) {
		g_free(r);
		return;
	}
	list_insert(&list, r);
	list_set(nl, &key, list);
}

int netlink_routes_read(struct netlink *nl)
{
	gint64 start = g_get_monotonic_time();
	int ret;

	clear(nl);
	nl->routes_full = false;
	ret = rtnl_dump(nl->request, RTM_GETROUTE, AF_INET, each_route, nl);
	if (!ret)
		ret = rtnl_dump(nl->request, RTM_GETROUTE, AF_INET6, each_route, nl);
	// While a routing daemon is busy the kernel never gets through undisturbed. The events of what changed
	// meanwhile wait in the monitor's queue and mend what this reading missed.
	nl->routes_disturbed = ret == -EINTR ? nl->routes_disturbed + 1 : 0;
	if (nl->routes_disturbed >= DISTURBED_MAX)
		ret = 0;
	if (!ret)
		netlink_routes_publish(nl);
	nl->routes_read_us = g_get_monotonic_time() - start;
	return ret;
}
