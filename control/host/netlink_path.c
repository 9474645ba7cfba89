// SPDX-License-Identifier: BSD-3-Clause
//
// How a datagram of ours would leave the box: the kernel is asked with everything its rules may look at.
#include "../addr.h"
#include "netlink_parts.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>

#define ETHERNET_MTU 1500

struct asking {
	struct netlink *nl;
	const struct st_addr *remote;
	struct netlink_path *path;
	int status;
};

static uint16_t path_mtu(const struct netlink *nl, const struct nlattr *metrics, uint32_t ifindex)
{
	const struct netlink_link *l = netlink_link_get(nl, ifindex);
	uint32_t link_mtu = l && l->mtu ? l->mtu : ETHERNET_MTU, mtu = 0;
	const struct nlattr *tb[RTAX_MAX + 1];

	if (metrics) {
		rtnl_nested(metrics, tb, RTAX_MAX);
		mtu = rtnl_u32(tb[RTAX_MTU], 0);
	}
	// What a router reported stays in the kernel when the device's own MTU shrinks below it.
	mtu = mtu ? MIN(mtu, link_mtu) : link_mtu;
	return (uint16_t)MIN(mtu, UINT16_MAX);
}

static void gateway_of(const struct nlattr *const *tb, uint8_t family, struct st_addr *ret)
{
	const struct rtvia *via;

	if (rtnl_addr(tb[RTA_GATEWAY], family, ret) || !tb[RTA_VIA])
		return;
	via = mnl_attr_get_payload(tb[RTA_VIA]);
	if (mnl_attr_get_payload_len(tb[RTA_VIA]) == sizeof(via->rtvia_family) + 16 &&
		via->rtvia_family == AF_INET6)
		memcpy(ret->b, via->rtvia_addr, 16);
}

static void answer(const struct nlmsghdr *nlh, void *arg)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[RTA_MAX + 1];
	struct asking *a = arg;
	uint32_t ifindex;

	rtnl_attrs(nlh, sizeof(*rtm), tb, RTA_MAX);
	if (nlh->nlmsg_type != RTM_NEWROUTE)
		return;
	ifindex = rtnl_u32(tb[RTA_OIF], 0);
	switch (rtm->rtm_type) {
	case RTN_LOCAL:
	case RTN_ANYCAST:
		a->path->local_delivery = true;
		break;
	case RTN_UNICAST:
		a->path->if_id = netlink_link_if_id(a->nl, ifindex);
		break;
	case RTN_PROHIBIT:
		a->status = -EACCES;
		return;
	case RTN_BROADCAST:
	case RTN_MULTICAST:
		a->status = -EINVAL;
		return;
	default:
		a->status = -ENETUNREACH;
		return;
	}
	a->path->nexthop = *a->remote;
	gateway_of(tb, rtm->rtm_family, &a->path->nexthop);
	rtnl_addr(tb[RTA_PREFSRC], rtm->rtm_family, &a->path->local);
	a->path->mtu = path_mtu(a->nl, tb[RTA_METRICS], ifindex);
	a->status = 0;
}

static void put_datagram(struct nlmsghdr *nlh, const struct netlink_ask *ask)
{
	rtnl_put_addr(nlh, RTA_DST, ask->remote);
	if (!addr_is_zero(ask->local))
		rtnl_put_addr(nlh, RTA_SRC, ask->local);
	if (ask->ifindex)
		mnl_attr_put_u32(nlh, RTA_OIF, ask->ifindex);
	if (ask->mark)
		mnl_attr_put_u32(nlh, RTA_MARK, ask->mark);
	mnl_attr_put_u8(nlh, RTA_IP_PROTO, IPPROTO_UDP);
	if (ask->local_port_be)
		mnl_attr_put_u16(nlh, RTA_SPORT, ask->local_port_be);
	if (ask->remote_port_be)
		mnl_attr_put_u16(nlh, RTA_DPORT, ask->remote_port_be);
}

int netlink_path_get(struct netlink *nl, const struct netlink_ask *ask, struct netlink_path *ret)
{
	bool v4 = addr_is_v4(ask->remote), bound = !addr_is_zero(ask->local);
	struct rtmsg rtm = {
		.rtm_family = v4 ? AF_INET : AF_INET6,
		.rtm_dst_len = v4 ? 32 : 128,
	};
	struct netlink_path path = {.if_id = 0};
	struct asking asking = {
		.nl = nl, .remote = ask->remote, .path = &path, .status = -ENETUNREACH};
	struct nlmsghdr *nlh;
	int e;

	rtm.rtm_src_len = bound ? rtm.rtm_dst_len : 0;
	if (addr_is_zero(ask->remote) || (bound && addr_is_v4(ask->local) != v4))
		return -EAFNOSUPPORT;
	nlh = rtnl_message(nl->path, RTM_GETROUTE, 0, &rtm, sizeof(rtm));
	put_datagram(nlh, ask);
	if (bound)
		path.local = *ask->local;
	e = rtnl_send(nl->path, nlh, answer, &asking);
	if (e || asking.status)
		return e ? e : asking.status;
	*ret = path;
	return 0;
}
