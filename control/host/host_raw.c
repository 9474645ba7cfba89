// SPDX-License-Identifier: BSD-3-Clause
//
// Raw interfaces under AF_PACKET and AF_XDP ports: their MAC, and the check that the kernel does not use
// them itself. Main loop thread.
#include "../addr.h"
#include "../config/config.h"
#include "host_parts.h"

#include <glib.h>

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>

bool host_mac(const char *name, uint8_t ret_mac[6])
{
	struct rtnl *r = rtnl_open();
	struct host_link link;
	int err;

	if (!r)
		return false;
	err = host_link_get(r, name, &link);
	rtnl_close(r);
	if (err)
		return false;
	memcpy(ret_mac, link.mac, sizeof(link.mac));
	return true;
}

struct raw_addresses {
	uint32_t index;
	const char *name;
	GString *commands; // that move them
	GString *list;     // as the config wants them
};

static void address_take(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *a[IFA_FLAGS + 1];
	struct raw_addresses *raw = arg;
	char text[ADDR_TEXT_MAX];
	struct st_addr addr;

	// Link-local ones are made by the kernel and go when the guard turns IPv6 off there.
	if (ifa->ifa_index != raw->index ||
		(ifa->ifa_family == AF_INET6 && ifa->ifa_scope == RT_SCOPE_LINK))
		return;
	rtnl_attrs(nlh, sizeof(*ifa), a, IFA_FLAGS);
	if (!rtnl_addr(a[IFA_LOCAL] ? a[IFA_LOCAL] : a[IFA_ADDRESS], ifa->ifa_family, &addr))
		return;
	addr_text(text, &addr);
	g_string_append_printf(raw->commands, "  ip address del %s/%u dev %s\n", text,
		ifa->ifa_prefixlen, raw->name);
	g_string_append_printf(
		raw->list, "%s\"%s/%u\"", raw->list->len ? ", " : "", text, ifa->ifa_prefixlen);
}

static int check_one(struct rtnl *r, const struct config_port *p, char **ret_error)
{
	struct raw_addresses raw = {.name = p->guard_if};
	struct host_link link;
	int err = host_link_get(r, p->guard_if, &link);

	if (err) {
		*ret_error =
			g_strdup_printf("port %s: no interface \"%s\" on this machine (ip link "
					"shows those that exist)",
				p->name, p->guard_if);
		return err;
	}
	raw.index = link.index;
	raw.commands = g_string_new(NULL);
	raw.list = g_string_new(NULL);
	do {
		g_string_truncate(raw.commands, 0);
		g_string_truncate(raw.list, 0);
		err = rtnl_dump(r, RTM_GETADDR, AF_UNSPEC, address_take, &raw);
	} while (err == -EINTR);
	if (!err && raw.list->len) {
		*ret_error = g_strdup_printf(
			"port %s: interface %s has addresses, so the kernel would answer beside "
			"strait. Move them to the port:\n%sand put into the port \"%s\" of the "
			"config:\n  \"addresses\": [%s]",
			p->name, p->guard_if, raw.commands->str, p->name, raw.list->str);
		err = -EADDRINUSE;
	} else if (err) {
		*ret_error = host_error(r, "list addresses of", p->guard_if, err);
	}
	g_string_free(raw.commands, TRUE);
	g_string_free(raw.list, TRUE);
	return err;
}

int host_check_raw(const struct config *c, char **ret_error)
{
	struct rtnl *r = rtnl_open();
	int err = 0;

	if (!r) {
		err = -errno;
		*ret_error = g_strdup_printf("host: cannot open rtnetlink: %s", g_strerror(-err));
		return err;
	}
	for (guint i = 0; i < c->ports->len && !err; i++) {
		const struct config_port *p = c->ports->pdata[i];

		if (p->guard_if)
			err = check_one(r, p, ret_error);
	}
	rtnl_close(r);
	return err;
}
