// SPDX-License-Identifier: BSD-3-Clause
//
// Persistent taps and TUNs: made through /dev/net/tun in the form that strait-dp attaches to (multi_queue,
// with packet information), then set up over rtnetlink. An existing device is corrected, never remade: it
// may be in use. Main loop thread.
#include "host_parts.h"

#include <glib.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

// Of the kernel's IFLA_INFO_DATA for kind "tun", which older headers lack.
#define TUN_ATTR_TYPE        3
#define TUN_ATTR_MULTI_QUEUE 7
#define TUN_ATTR_MAX         9

char *host_error(struct rtnl *r, const char *what, const char *name, int err)
{
	const char *kernel = r ? rtnl_error(r) : "";

	return g_strdup_printf("host: cannot %s device=%s error=\"%s\"", what, name,
		*kernel ? kernel : g_strerror(-err));
}

static void link_info_parse(const struct nlattr *info, struct host_link *ret)
{
	const struct nlattr *a[IFLA_INFO_DATA + 1], *t[TUN_ATTR_MAX + 1];

	rtnl_nested(info, a, IFLA_INFO_DATA);
	if (!a[IFLA_INFO_KIND] || strncmp(mnl_attr_get_payload(a[IFLA_INFO_KIND]), "tun", 3))
		return;
	ret->tun_driver = true;
	if (!a[IFLA_INFO_DATA])
		return;
	rtnl_nested(a[IFLA_INFO_DATA], t, TUN_ATTR_MAX);
	ret->is_tap = t[TUN_ATTR_TYPE] && mnl_attr_get_u8(t[TUN_ATTR_TYPE]) == IFF_TAP;
	ret->multi_queue = t[TUN_ATTR_MULTI_QUEUE] && mnl_attr_get_u8(t[TUN_ATTR_MULTI_QUEUE]);
}

static const char *link_parse(const struct nlmsghdr *nlh, struct host_link *ret)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr
		*a[IFLA_LINKINFO + 1 > IFLA_IFALIAS + 1 ? IFLA_LINKINFO + 1 : IFLA_IFALIAS + 1];

	memset(ret, 0, sizeof(*ret));
	rtnl_attrs(nlh, sizeof(*ifi), a, G_N_ELEMENTS(a) - 1);
	ret->index = (uint32_t)ifi->ifi_index;
	ret->up = ifi->ifi_flags & IFF_UP;
	ret->mtu = rtnl_u32(a[IFLA_MTU], 0);
	if (a[IFLA_ADDRESS] && mnl_attr_get_payload_len(a[IFLA_ADDRESS]) == sizeof(ret->mac))
		memcpy(ret->mac, mnl_attr_get_payload(a[IFLA_ADDRESS]), sizeof(ret->mac));
	if (a[IFLA_LINKINFO])
		link_info_parse(a[IFLA_LINKINFO], ret);
	ret->ours = a[IFLA_IFALIAS] && !mnl_attr_validate(a[IFLA_IFALIAS], MNL_TYPE_NUL_STRING) &&
		    !strcmp(mnl_attr_get_str(a[IFLA_IFALIAS]), HOST_ALIAS);
	return a[IFLA_IFNAME] ? mnl_attr_get_str(a[IFLA_IFNAME]) : "";
}

static void link_take(const struct nlmsghdr *nlh, void *arg)
{
	if (nlh->nlmsg_type == RTM_NEWLINK)
		link_parse(nlh, arg);
}

int host_link_get(struct rtnl *r, const char *name, struct host_link *ret)
{
	struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC};
	struct nlmsghdr *nlh = rtnl_message(r, RTM_GETLINK, 0, &ifi, sizeof(ifi));
	int err;

	memset(ret, 0, sizeof(*ret));
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	err = rtnl_send(r, nlh, link_take, ret);
	if (!err && !ret->index)
		err = -ENODEV;
	return err;
}

static int device_create(const struct host_device *d)
{
	struct ifreq ifr = {.ifr_flags = (short)((d->tap ? IFF_TAP : IFF_TUN) | IFF_MULTI_QUEUE)};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	g_strlcpy(ifr.ifr_name, d->name, sizeof(ifr.ifr_name));
	if (ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETPERSIST, 1) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int device_set(struct rtnl *r, const struct host_device *d, const struct host_link *is)
{
	struct ifinfomsg ifi = {.ifi_index = (int)is->index};
	struct nlmsghdr *nlh;

	// A new MAC needs a device that is down on some kernels only; taps take it while up.
	ifi.ifi_flags = IFF_UP;
	ifi.ifi_change = IFF_UP;
	nlh = rtnl_message(r, RTM_NEWLINK, 0, &ifi, sizeof(ifi));
	if (is->mtu != d->mtu)
		mnl_attr_put_u32(nlh, IFLA_MTU, d->mtu);
	if (d->mac && memcmp(d->mac, is->mac, sizeof(is->mac)))
		mnl_attr_put(nlh, IFLA_ADDRESS, sizeof(is->mac), d->mac);
	if (!is->ours)
		mnl_attr_put_strz(nlh, IFLA_IFALIAS, HOST_ALIAS);
	return rtnl_send(r, nlh, NULL, NULL);
}

// Files under /proc/sys that may be missing (no IPv6, a read-only /proc) are not worth failing for.
static void sysctl_set(const char *group, const char *name, const char *key, const char *value)
{
	g_autofree char *path = g_strdup_printf("/proc/sys/net/%s/%s/%s", group, name, key);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		g_debug("host: cannot set %s error=\"%s\"", path, g_strerror(errno));
	if (fd >= 0)
		close(fd);
}

int host_device_apply(struct rtnl *r, const struct host_device *d, char **ret_error)
{
	struct host_link is;
	int err = host_link_get(r, d->name, &is);

	if (err == -ENODEV) {
		err = device_create(d);
		if (err) {
			*ret_error =
				host_error(NULL, d->tap ? "create tap" : "create TUN", d->name, err);
			return err;
		}
		err = host_link_get(r, d->name, &is);
	}
	if (err) {
		*ret_error = host_error(r, "look up", d->name, err);
		return err;
	}
	if (!is.tun_driver || is.is_tap != d->tap || !is.multi_queue) {
		*ret_error = g_strdup_printf(
			"host: device %s exists and is no multi_queue %s; rename the "
			"port or interface, or remove it: ip link del %s",
			d->name, d->tap ? "tap" : "TUN", d->name);
		return -EEXIST;
	}
	sysctl_set("ipv4/conf", d->name, "rp_filter", HOST_RP_FILTER);
	// A new address of the same subnet must not go, nor its routes, when the old one does.
	sysctl_set("ipv4/conf", d->name, "promote_secondaries", "1");
	// A port that is opened anew takes its device down for a moment.
	sysctl_set("ipv6/conf", d->name, "keep_addr_on_down", "1");
	if (!d->tap)
		sysctl_set("ipv6/conf", d->name, "addr_gen_mode", "1"); // no link-local: nobody is there
	// The kernel drops what it sends while strait-dp opens the device's queues, mostly the first ARP request: it is
	// not to wait a second with the next. Given up after 3 s as ever.
	sysctl_set("ipv4/neigh", d->name, "retrans_time_ms", HOST_ARP_RETRANS_MS);
	sysctl_set("ipv4/neigh", d->name, "mcast_solicit", HOST_ARP_TRIES);
	err = device_set(r, d, &is);
	if (err)
		*ret_error = host_error(r, "set up", d->name, err);
	return err;
}

int host_device_remove(struct rtnl *r, const char *name, uint32_t index)
{
	struct ifinfomsg ifi = {.ifi_index = (int)index};
	int err = rtnl_send(r, rtnl_message(r, RTM_DELLINK, 0, &ifi, sizeof(ifi)), NULL, NULL);

	if (err && err != -ENODEV)
		g_warning("host: cannot remove device=%s error=\"%s\"", name, rtnl_error(r));
	return err == -ENODEV ? 0 : err;
}

struct ours_found {
	GPtrArray *names;
	GArray *indices;
};

static void ours_take(const struct nlmsghdr *nlh, void *arg)
{
	struct ours_found *f = arg;
	struct host_link link;
	const char *name = link_parse(nlh, &link);

	if (!link.ours || !link.tun_driver)
		return;
	g_ptr_array_add(f->names, g_strdup(name));
	g_array_append_val(f->indices, link.index);
}

int host_devices_each(struct rtnl *r, host_each_ours fn, void *arg)
{
	struct ours_found f = {.names = g_ptr_array_new_with_free_func(g_free),
		.indices = g_array_new(FALSE, FALSE, sizeof(uint32_t))};
	int err = rtnl_dump(r, RTM_GETLINK, AF_UNSPEC, ours_take, &f);

	for (guint i = 0; i < f.names->len && (!err || err == -EINTR); i++)
		fn(f.names->pdata[i], g_array_index(f.indices, uint32_t, i), arg);
	g_ptr_array_free(f.names, TRUE);
	g_array_free(f.indices, TRUE);
	return err == -EINTR ? 0 : err;
}
