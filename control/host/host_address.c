// SPDX-License-Identifier: BSD-3-Clause
//
// Addresses of the config on the host devices. Ours carry IFA_PROTO; those that the config no longer has
// are removed, those of others stay. Main loop thread.
#include "../addr.h"
#include "../config/config.h"
#include "host_parts.h"

#include <glib.h>

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define ADDR_ATTR_PROTO 11 // IFA_PROTO, Linux 5.18; older kernels ignore it

struct wanted {
	uint32_t index;
	struct st_addr addr;
	uint8_t plen; // of the family
};

struct found {
	GArray *stale;        // of struct wanted
	const GArray *wanted; // of struct wanted
};

static uint8_t family_plen(const struct st_prefix *p)
{
	return prefix_is_v4(p) ? p->plen - 96 : p->plen;
}

static void message_fill(struct nlmsghdr *nlh, const struct wanted *w)
{
	rtnl_put_addr(nlh, IFA_LOCAL, &w->addr);
	rtnl_put_addr(nlh, IFA_ADDRESS, &w->addr);
	mnl_attr_put_u8(nlh, ADDR_ATTR_PROTO, HOST_PROTOCOL);
}

static struct ifaddrmsg header_of(const struct wanted *w)
{
	return (struct ifaddrmsg){
		.ifa_family = addr_is_v4(&w->addr) ? AF_INET : AF_INET6,
		.ifa_prefixlen = w->plen,
		.ifa_index = w->index,
		// Nobody else can have an address that the operator gave to this box.
		.ifa_flags = IFA_F_PERMANENT | IFA_F_NODAD,
	};
}

static int address_add(struct rtnl *r, const struct wanted *w)
{
	struct ifaddrmsg ifa = header_of(w);
	struct nlmsghdr *nlh =
		rtnl_message(r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &ifa, sizeof(ifa));

	message_fill(nlh, w);
	return rtnl_send(r, nlh, NULL, NULL);
}

static void address_del(struct rtnl *r, const struct wanted *w)
{
	struct ifaddrmsg ifa = header_of(w);
	struct nlmsghdr *nlh = rtnl_message(r, RTM_DELADDR, 0, &ifa, sizeof(ifa));
	char text[ADDR_TEXT_MAX];

	message_fill(nlh, w);
	if (rtnl_send(r, nlh, NULL, NULL) < 0)
		g_warning("host: cannot remove address=%s error=\"%s\"", addr_text(text, &w->addr),
			rtnl_error(r));
}

static int want_list(
	struct rtnl *r, GArray *wanted, const char *dev, const GPtrArray *list, char **ret_error)
{
	struct host_link link;
	int err = list->len ? host_link_get(r, dev, &link) : 0;

	if (err) {
		*ret_error = host_error(r, "find", dev, err);
		return err;
	}
	for (guint i = 0; i < list->len; i++) {
		const struct config_address *a = list->pdata[i];
		struct wanted w = {
			.index = link.index, .addr = a->addr, .plen = family_plen(&a->prefix)};

		g_array_append_val(wanted, w);
	}
	return 0;
}

static bool is_wanted(const GArray *wanted, const struct wanted *w)
{
	for (guint i = 0; i < wanted->len; i++) {
		const struct wanted *x = &g_array_index(wanted, struct wanted, i);

		if (x->index == w->index && x->plen == w->plen &&
			!memcmp(&x->addr, &w->addr, sizeof(x->addr)))
			return true;
	}
	return false;
}

static void found_take(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *a[ADDR_ATTR_PROTO + 1];
	struct found *f = arg;
	struct wanted w = {.index = ifa->ifa_index, .plen = ifa->ifa_prefixlen};

	rtnl_attrs(nlh, sizeof(*ifa), a, ADDR_ATTR_PROTO);
	if (!a[ADDR_ATTR_PROTO] || mnl_attr_get_u8(a[ADDR_ATTR_PROTO]) != HOST_PROTOCOL)
		return;
	if (rtnl_addr(a[IFA_LOCAL] ? a[IFA_LOCAL] : a[IFA_ADDRESS], ifa->ifa_family, &w.addr) &&
		!is_wanted(f->wanted, &w))
		g_array_append_val(f->stale, w);
}

static int stale_remove(struct rtnl *r, const GArray *wanted, bool *ret_removed)
{
	struct found f = {
		.stale = g_array_new(FALSE, FALSE, sizeof(struct wanted)), .wanted = wanted};
	int err = rtnl_dump(r, RTM_GETADDR, AF_UNSPEC, found_take, &f);

	for (guint i = 0; i < f.stale->len; i++)
		address_del(r, &g_array_index(f.stale, struct wanted, i));
	*ret_removed = f.stale->len > 0;
	g_array_free(f.stale, TRUE);
	return err == -EINTR ? 0 : err;
}

static int wanted_add(struct rtnl *r, const GArray *wanted, char **ret_error)
{
	for (guint i = 0; i < wanted->len; i++) {
		const struct wanted *w = &g_array_index(wanted, struct wanted, i);
		char text[ADDR_TEXT_MAX];
		int err = address_add(r, w);

		if (err && err != -EEXIST) {
			*ret_error = host_error(r, "add address", addr_text(text, &w->addr), err);
			return err;
		}
	}
	return 0;
}

int host_addresses_apply(struct rtnl *r, const struct config *c, char **ret_error)
{
	GArray *wanted = g_array_new(FALSE, FALSE, sizeof(struct wanted));
	bool removed = false;
	int err = 0;

	for (guint i = 0; i < c->ports->len && !err; i++) {
		const struct config_port *p = c->ports->pdata[i];

		if (p->host)
			err = want_list(r, wanted, p->name, p->addresses, ret_error);
	}
	for (guint i = 0; i < c->wgs->len && !err; i++) {
		const struct config_wg *w = c->wgs->pdata[i];

		err = want_list(r, wanted, w->name, w->addresses, ret_error);
	}
	if (!err)
		err = wanted_add(r, wanted, ret_error);
	if (!err) {
		err = stale_remove(r, wanted, &removed);
		if (err)
			*ret_error = host_error(r, "list addresses of", "all", err);
	}
	// With the first address of a subnet the kernel may remove the others of it.
	if (!err && removed)
		err = wanted_add(r, wanted, ret_error);
	g_array_free(wanted, TRUE);
	return err;
}
