// SPDX-License-Identifier: BSD-3-Clause
//
// The mirror of the kernel: listens to rtnetlink, keeps account of what is stale, and brings the parts up to
// date together, so that a burst of events costs one reading. Main loop thread; a lost event (ENOBUFS) makes
// everything stale.
#include "netlink.h"

#include "../dp/dp.h"
#include "netlink_parts.h"

#include <glib-unix.h>

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#define FLUSH_MS       5
#define FLUSH_RETRY_MS 100
#define EVENTS_PER_RUN 64 // datagrams, then the loop gets its turn
#define MONITOR_RCVBUF (8 << 20)

guint netlink_key_hash(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint64_t h = 14695981039346656037ULL;
	size_t i;

	for (i = 0; i < len; i++)
		h = (h ^ b[i]) * 1099511628211ULL;
	return (guint)(h ^ h >> 32);
}

// ---- bringing up to date -------------------------------------------------------------------------

static void flush_schedule(struct netlink *nl, bool retry);

// Reads part if it is stale; what fails stays stale.
static void refresh(
	struct netlink *nl, unsigned int part, int (*read)(struct netlink *nl), const char *what)
{
	int ret;

	if (!(nl->stale & part))
		return;
	nl->stale &= ~part;
	ret = read(nl);
	if (!ret)
		return;
	nl->stale |= part;
	// The kernel's tables changed while we read them: as usual as it is harmless.
	if (ret != -EINTR && ret != -EBUSY)
		g_warning("netlink: cannot read the kernel's %s error=\"%s\"", what,
			g_strerror(-ret));
}

static void bring_up_to_date(struct netlink *nl)
{
	refresh(nl, STALE_LINKS, netlink_links_read, "devices");
	refresh(nl, STALE_NEXTHOPS, netlink_nexthops_read, "next hops");
	refresh(nl, STALE_ADDRS, netlink_addrs_read, "addresses");
	refresh(nl, STALE_RULES, netlink_rules_read, "rules");
	if (nl->stale & STALE_ROUTES)
		nl->stale &= ~(unsigned int)STALE_ROUTES_PUBLISH;
	refresh(nl, STALE_ROUTES, netlink_routes_read, "routes");
	if (nl->stale & STALE_ROUTES_PUBLISH && !(nl->stale & STALE_ROUTES)) {
		nl->stale &= ~(unsigned int)STALE_ROUTES_PUBLISH;
		netlink_routes_publish(nl);
	}
	refresh(nl, STALE_NEIGHS, netlink_neighs_read, "neighbours");
	if (nl->changed && !nl->stale) {
		nl->changed = false;
		if (nl->on_change)
			nl->on_change(nl->on_change_arg);
	}
}

static gboolean flush(gpointer arg)
{
	struct netlink *nl = arg;

	nl->flush = 0;
	bring_up_to_date(nl);
	if (nl->stale)
		flush_schedule(nl, true);
	return G_SOURCE_REMOVE;
}

// Reading all routes again and again must leave the loop most of its time.
static void flush_schedule(struct netlink *nl, bool retry)
{
	guint ms = retry ? FLUSH_RETRY_MS : FLUSH_MS;

	if (nl->flush || !nl->started)
		return;
	if (nl->stale & STALE_ROUTES)
		ms = MAX(ms, (guint)(nl->routes_read_us / 250));
	nl->flush = g_timeout_add(ms, flush, nl);
}

// ---- events --------------------------------------------------------------------------------------

static void event(struct netlink *nl, const struct nlmsghdr *nlh)
{
	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		netlink_link_event(nl, nlh);
		break;
	case RTM_NEWADDR:
		nl->stale |= STALE_ADDRS;
		nl->changed = true;
		break;
	case RTM_DELADDR:
		// IPv4 routes that prefer this source go without an event.
		nl->stale |= STALE_ADDRS | STALE_ROUTES;
		nl->changed = true;
		break;
	case RTM_NEWRULE:
	case RTM_DELRULE:
		nl->stale |= STALE_RULES;
		nl->changed = true;
		break;
	case RTM_NEWNEXTHOP:
		nl->stale |= STALE_NEXTHOPS | STALE_ROUTES_PUBLISH;
		nl->changed = true;
		break;
	case RTM_DELNEXTHOP:
		// Its routes go with it, without an event.
		nl->stale |= STALE_NEXTHOPS | STALE_ROUTES;
		nl->changed = true;
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		netlink_route_event(nl, nlh);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		netlink_neigh_event(nl, nlh);
		break;
	}
}

static gboolean readable(gint fd, GIOCondition condition, gpointer arg)
{
	uint8_t *buf = g_malloc(RTNL_BUF);
	struct netlink *nl = arg;
	int i;

	for (i = 0; i < EVENTS_PER_RUN; i++) {
		ssize_t n = recv(fd, buf, RTNL_BUF, MSG_DONTWAIT);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf;
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			g_message("netlink: events were lost, reading everything again");
			nl->stale = STALE_ALL;
			continue;
		}
		if (n <= 0)
			break;
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
			event(nl, nlh);
	}
	g_free(buf);
	if (nl->stale || nl->changed)
		flush_schedule(nl, false);
	return G_SOURCE_CONTINUE;
}

static gboolean sweep(gpointer arg)
{
	netlink_neighs_sweep(arg);
	return G_SOURCE_CONTINUE;
}

// ---- life ----------------------------------------------------------------------------------------

static int monitor_open(struct netlink *nl)
{
	static const int groups[] = {RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR,
		RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,
		RTNLGRP_IPV6_RULE, RTNLGRP_NEXTHOP};
	int size = MONITOR_RCVBUF, fd;
	size_t i;

	nl->monitor = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!nl->monitor || mnl_socket_bind(nl->monitor, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	fd = mnl_socket_get_fd(nl->monitor);
	// FORCE needs CAP_NET_ADMIN; without it the system's limit holds.
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	for (i = 0; i < G_N_ELEMENTS(groups); i++) {
		int group = groups[i];

		// Next hop objects came with Linux 5.3.
		if (mnl_socket_setsockopt(
			    nl->monitor, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 &&
			group != RTNLGRP_NEXTHOP)
			return -errno;
	}
	return 0;
}

struct netlink *netlink_new(struct dp *dp)
{
	struct netlink *nl = g_new0(struct netlink, 1);
	int e;

	nl->dp = dp;
	nl->mapped = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	nl->links = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	netlink_routes_init(nl);
	netlink_nexthops_init(nl);
	netlink_neighs_init(nl);
	nl->request = rtnl_open();
	nl->path = nl->request ? rtnl_open() : NULL;
	e = nl->path ? monitor_open(nl) : -errno;
	if (e) {
		netlink_free(nl);
		errno = -e;
		return NULL;
	}
	return nl;
}

void netlink_free(struct netlink *nl)
{
	if (!nl)
		return;
	if (nl->watch)
		g_source_remove(nl->watch);
	if (nl->flush)
		g_source_remove(nl->flush);
	if (nl->sweep)
		g_source_remove(nl->sweep);
	if (nl->monitor)
		mnl_socket_close(nl->monitor);
	rtnl_close(nl->path);
	rtnl_close(nl->request);
	netlink_routes_fini(nl);
	g_hash_table_destroy(nl->nexthops);
	g_hash_table_destroy(nl->holds);
	g_hash_table_destroy(nl->stale_neighs);
	g_hash_table_destroy(nl->links);
	g_hash_table_destroy(nl->mapped);
	if (nl->addrs)
		g_array_free(nl->addrs, TRUE);
	g_free(nl);
}

// Drops the name that stands for if_id; a name that comes again for another id moves.
static bool unmap(struct netlink *nl, uint32_t if_id, const char *keep)
{
	gpointer key, value;
	GHashTableIter it;
	bool had = false;

	g_hash_table_iter_init(&it, nl->mapped);
	while (g_hash_table_iter_next(&it, &key, &value)) {
		if (GPOINTER_TO_UINT(value) != if_id)
			continue;
		if (keep && !strcmp(key, keep))
			return false;
		had = true;
		g_hash_table_iter_remove(&it);
	}
	return had || keep;
}

void netlink_map_iface(struct netlink *nl, uint32_t if_id, const char *host_name)
{
	const char *name = host_name && *host_name ? host_name : NULL;

	if (!unmap(nl, if_id, name))
		return;
	if (name)
		g_hash_table_replace(nl->mapped, g_strdup(name), GUINT_TO_POINTER(if_id));
	netlink_links_map(nl);
	nl->stale |= STALE_ADDRS | STALE_RULES | STALE_ROUTES_PUBLISH | STALE_NEIGHS;
	nl->changed = true;
	flush_schedule(nl, false);
}

int netlink_start(struct netlink *nl)
{
	if (nl->started)
		return 0;
	nl->watch = g_unix_fd_add(mnl_socket_get_fd(nl->monitor), G_IO_IN | G_IO_ERR, readable, nl);
	nl->sweep = g_timeout_add_seconds(NETLINK_SWEEP_S, sweep, nl);
	nl->started = true;
	nl->stale = STALE_ALL;
	nl->changed = true;
	bring_up_to_date(nl);
	if (nl->stale)
		flush_schedule(nl, true);
	return 0;
}

void netlink_on_change(struct netlink *nl, netlink_changed fn, void *arg)
{
	nl->on_change = fn;
	nl->on_change_arg = arg;
}

void netlink_on_addrs(struct netlink *nl, netlink_addrs_changed fn, void *arg)
{
	nl->on_addrs = fn;
	nl->on_addrs_arg = arg;
	if (nl->addrs)
		fn((const struct st_addr_key *)nl->addrs->data, nl->addrs->len, arg);
}
