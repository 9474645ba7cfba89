// SPDX-License-Identifier: BSD-3-Clause
//
// Routes of the config, and those that follow from allowed IPs, in the kernel's tables. Ours carry a
// protocol number of their own; those that the config no longer has are removed. A default route into a
// tunnel whose interface has a fwmark goes into a table of that number, with the two rules that keep the
// tunnel's own datagrams out of it. Main loop thread.
#include "../addr.h"
#include "../config/config.h"
#include "host_parts.h"

#include <glib.h>

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define RULE_SUPPRESS_PRIORITY 32500 // before main (32766)
#define RULE_MARK_PRIORITY     32501

struct wanted {
	struct st_prefix to;
	struct st_addr via; // all zero: on link
	uint32_t index;     // 0: by via
	uint32_t table;
	uint32_t metric;
	bool there; // in the kernel's table already
};

struct wanted_rule {
	uint8_t family;
	uint32_t mark; // 0: main without its default routes
};

struct wants {
	GArray *routes, *rules;
	GHashTable *by_prefix; // of routes: table, prefix and metric are unique
	GArray *stale_routes, *stale_rules;
};

static guint wanted_hash(gconstpointer p)
{
	const struct wanted *w = p;
	guint h = 2166136261U ^ w->table ^ w->metric;

	for (size_t i = 0; i < sizeof(w->to.addr.b); i++)
		h = (h ^ w->to.addr.b[i]) * 16777619U;
	return (h ^ w->to.plen) * 16777619U;
}

static gboolean wanted_equal(gconstpointer a, gconstpointer b)
{
	const struct wanted *x = a, *y = b;

	return x->table == y->table && x->metric == y->metric &&
	       !memcmp(&x->to, &y->to, sizeof(x->to));
}

static void want_rules(struct wants *w, uint8_t family, uint32_t mark)
{
	struct wanted_rule suppress = {.family = family}, marked = {.family = family, .mark = mark};

	g_array_append_val(w->rules, suppress);
	g_array_append_val(w->rules, marked);
}

static void want_peer(
	struct wants *w, const struct config_wg *wg, uint32_t index, const struct config_peer *peer)
{
	for (guint i = 0; i < peer->allowed_ips->len; i++) {
		const struct st_prefix *p = &g_array_index(peer->allowed_ips, struct st_prefix, i);
		struct wanted route = {.to = *p, .index = index, .table = config_wg_table(wg, p)};

		if (route.table != wg->table)
			want_rules(w, prefix_is_v4(p) ? AF_INET : AF_INET6, wg->fwmark);
		g_array_append_val(w->routes, route);
	}
}

static int index_of(struct rtnl *r, const char *dev, uint32_t *ret, char **ret_error)
{
	struct host_link link;
	int err = host_link_get(r, dev, &link);

	if (err)
		*ret_error = host_error(r, "find", dev, err);
	else
		*ret = link.index;
	return err;
}

static int want_all(struct rtnl *r, struct wants *w, const struct config *c, char **ret_error)
{
	int err = 0;

	for (guint i = 0; i < c->wgs->len && !err; i++) {
		const struct config_wg *wg = c->wgs->pdata[i];
		uint32_t index = 0;

		err = index_of(r, wg->name, &index, ret_error);
		for (guint j = 0; j < wg->peers->len && !err && wg->route_allowed_ips; j++)
			want_peer(w, wg, index, wg->peers->pdata[j]);
	}
	for (guint i = 0; i < c->routes->len && !err; i++) {
		const struct config_route *route = c->routes->pdata[i];
		struct wanted x = {.to = route->to,
			.via = route->via,
			.table = route->table,
			.metric = route->metric};

		if (route->dev)
			err = index_of(r, route->dev, &x.index, ret_error);
		g_array_append_val(w->routes, x);
	}
	return err;
}

static struct nlmsghdr *route_message(
	struct rtnl *r, uint16_t type, uint16_t flags, const struct wanted *w)
{
	bool v4 = prefix_is_v4(&w->to);
	struct rtmsg rtm = {
		.rtm_family = v4 ? AF_INET : AF_INET6,
		.rtm_dst_len = v4 ? w->to.plen - 96 : w->to.plen,
		.rtm_table = w->table < 256 ? (uint8_t)w->table : RT_TABLE_UNSPEC,
		.rtm_protocol = HOST_PROTOCOL,
		.rtm_scope = addr_is_zero(&w->via) && v4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
	};
	struct nlmsghdr *nlh = rtnl_message(r, type, flags, &rtm, sizeof(rtm));

	if (rtm.rtm_dst_len)
		rtnl_put_addr(nlh, RTA_DST, &w->to.addr);
	if (!addr_is_zero(&w->via))
		rtnl_put_addr(nlh, RTA_GATEWAY, &w->via);
	if (w->index)
		mnl_attr_put_u32(nlh, RTA_OIF, w->index);
	if (w->metric)
		mnl_attr_put_u32(nlh, RTA_PRIORITY, w->metric);
	mnl_attr_put_u32(nlh, RTA_TABLE, w->table);
	return nlh;
}

static struct nlmsghdr *rule_message(
	struct rtnl *r, uint16_t type, uint16_t flags, const struct wanted_rule *w)
{
	uint32_t table = w->mark ? w->mark : RT_TABLE_MAIN;
	struct fib_rule_hdr frh = {
		.family = w->family,
		.table = table < 256 ? (uint8_t)table : RT_TABLE_UNSPEC,
		.action = FR_ACT_TO_TBL,
		.flags = w->mark ? FIB_RULE_INVERT : 0,
	};
	struct nlmsghdr *nlh = rtnl_message(r, type, flags, &frh, sizeof(frh));

	mnl_attr_put_u32(nlh, FRA_TABLE, table);
	mnl_attr_put_u8(nlh, FRA_PROTOCOL, HOST_PROTOCOL);
	mnl_attr_put_u32(nlh, FRA_PRIORITY, w->mark ? RULE_MARK_PRIORITY : RULE_SUPPRESS_PRIORITY);
	if (w->mark)
		mnl_attr_put_u32(nlh, FRA_FWMARK, w->mark);
	else
		mnl_attr_put_u32(nlh, FRA_SUPPRESS_PREFIXLEN, 0);
	return nlh;
}

// The kernel gives an IPv6 route a metric of 1024 where none was asked for.
static struct wanted *route_wanted(const struct wants *w, const struct wanted *found)
{
	struct wanted key = *found, *x = g_hash_table_lookup(w->by_prefix, &key);

	if (!x && found->metric == 1024 && !prefix_is_v4(&found->to)) {
		key.metric = 0;
		x = g_hash_table_lookup(w->by_prefix, &key);
	}
	return x && (!x->index || x->index == found->index) ? x : NULL;
}

static void stale_route_take(const struct nlmsghdr *nlh, void *arg)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *a[RTA_TABLE + 1];
	struct wants *w = arg;
	struct wanted x = {.to.plen = rtm->rtm_dst_len}, *is;

	if (rtm->rtm_protocol != HOST_PROTOCOL)
		return;
	rtnl_attrs(nlh, sizeof(*rtm), a, RTA_TABLE);
	if (rtm->rtm_family == AF_INET) {
		x.to.plen += 96;
		x.to.addr.b[10] = x.to.addr.b[11] = 0xff;
	}
	if (a[RTA_DST])
		rtnl_addr(a[RTA_DST], rtm->rtm_family, &x.to.addr);
	if (a[RTA_GATEWAY])
		rtnl_addr(a[RTA_GATEWAY], rtm->rtm_family, &x.via);
	x.index = rtnl_u32(a[RTA_OIF], 0);
	x.table = rtnl_u32(a[RTA_TABLE], rtm->rtm_table);
	x.metric = rtnl_u32(a[RTA_PRIORITY], 0);
	is = route_wanted(w, &x);
	if (!is)
		g_array_append_val(w->stale_routes, x);
	else
		is->there =
			!(rtm->rtm_flags & RTNH_F_DEAD) && !memcmp(&is->via, &x.via, sizeof(x.via));
}

static void stale_rule_take(const struct nlmsghdr *nlh, void *arg)
{
	const struct fib_rule_hdr *frh = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *a[FRA_PROTOCOL + 1];
	struct wants *w = arg;
	struct wanted_rule x = {.family = frh->family};

	rtnl_attrs(nlh, sizeof(*frh), a, FRA_PROTOCOL);
	if (!a[FRA_PROTOCOL] || mnl_attr_get_u8(a[FRA_PROTOCOL]) != HOST_PROTOCOL)
		return;
	x.mark = rtnl_u32(a[FRA_FWMARK], 0);
	for (guint i = 0; i < w->rules->len; i++) {
		const struct wanted_rule *y = &g_array_index(w->rules, struct wanted_rule, i);

		if (x.family == y->family && x.mark == y->mark)
			return;
	}
	g_array_append_val(w->stale_rules, x);
}

static int stale_remove(struct rtnl *r, struct wants *w)
{
	int err = rtnl_dump(r, RTM_GETROUTE, AF_UNSPEC, stale_route_take, w);

	// The table changed meanwhile, so what was seen may be gone.
	for (guint i = 0; err && i < w->routes->len; i++)
		g_array_index(w->routes, struct wanted, i).there = false;
	if (!err || err == -EINTR)
		err = rtnl_dump(r, RTM_GETRULE, AF_UNSPEC, stale_rule_take, w);
	for (guint i = 0; i < w->stale_rules->len; i++)
		rtnl_send(r,
			rule_message(r, RTM_DELRULE, 0,
				&g_array_index(w->stale_rules, struct wanted_rule, i)),
			NULL, NULL);
	for (guint i = 0; i < w->stale_routes->len; i++) {
		const struct wanted *x = &g_array_index(w->stale_routes, struct wanted, i);
		char text[PREFIX_TEXT_MAX];

		if (rtnl_send(r, route_message(r, RTM_DELROUTE, 0, x), NULL, NULL) < 0)
			g_warning("host: cannot remove route=%s error=\"%s\"",
				prefix_text(text, &x->to), rtnl_error(r));
	}
	return err == -EINTR ? 0 : err;
}

static int wanted_add(struct rtnl *r, const struct wants *w, char **ret_error)
{
	char text[PREFIX_TEXT_MAX];
	int err;

	for (guint i = 0; i < w->routes->len; i++) {
		const struct wanted *x = &g_array_index(w->routes, struct wanted, i);

		if (x->there)
			continue;
		err = rtnl_send(r, route_message(r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, x),
			NULL, NULL);
		if (err) {
			*ret_error = host_error(r, "add route", prefix_text(text, &x->to), err);
			return err;
		}
	}
	for (guint i = 0; i < w->rules->len; i++) {
		err = rtnl_send(r,
			rule_message(r, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL,
				&g_array_index(w->rules, struct wanted_rule, i)),
			NULL, NULL);
		if (err && err != -EEXIST) {
			*ret_error = host_error(r, "add routing rule for", "the tunnel's mark", err);
			return err;
		}
	}
	return 0;
}

int host_routes_apply(struct rtnl *r, const struct config *c, char **ret_error)
{
	struct wants w = {
		.routes = g_array_new(FALSE, TRUE, sizeof(struct wanted)),
		.rules = g_array_new(FALSE, TRUE, sizeof(struct wanted_rule)),
		.stale_routes = g_array_new(FALSE, TRUE, sizeof(struct wanted)),
		.stale_rules = g_array_new(FALSE, TRUE, sizeof(struct wanted_rule)),
	};
	int err = want_all(r, &w, c, ret_error);

	w.by_prefix = g_hash_table_new(wanted_hash, wanted_equal);
	for (guint i = 0; i < w.routes->len; i++)
		g_hash_table_add(w.by_prefix, &g_array_index(w.routes, struct wanted, i));
	if (!err) {
		err = stale_remove(r, &w);
		if (err)
			*ret_error = host_error(r, "list routes of", "all", err);
	}
	if (!err)
		err = wanted_add(r, &w, ret_error);
	g_hash_table_destroy(w.by_prefix);
	g_array_free(w.routes, TRUE);
	g_array_free(w.rules, TRUE);
	g_array_free(w.stale_routes, TRUE);
	g_array_free(w.stale_rules, TRUE);
	return err;
}
