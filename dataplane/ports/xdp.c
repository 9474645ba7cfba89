// SPDX-License-Identifier: BSD-3-Clause
//
// One RTM_SETLINK with an XDP descriptor of -1. libxdp leaves its program behind when a socket closes on
// kernels where it cannot count its users, and then refuses to attach to the interface again.
#include "xdp.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct setlink {
	struct nlmsghdr nlh;
	struct ifinfomsg ifi;
	struct nlattr xdp;
	struct nlattr fd;
	int32_t fd_value;
};

static int answer(int sock)
{
	_Alignas(8) char buf[1024];
	const struct nlmsghdr *nlh = (const void *)buf;
	const struct nlmsgerr *err = NLMSG_DATA(nlh);
	ssize_t n = recv(sock, buf, sizeof(buf), 0);

	if (n < 0)
		return -errno;
	if ((size_t)n < NLMSG_LENGTH(sizeof(*err)) || nlh->nlmsg_type != NLMSG_ERROR)
		return -EBADMSG;
	return err->error;
}

int xdp_detach(unsigned int ifindex)
{
	struct setlink msg = {
		.nlh = {.nlmsg_len = sizeof(msg),
			.nlmsg_type = RTM_SETLINK,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.ifi = {.ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex},
		.xdp = {.nla_len = sizeof(msg.xdp) + sizeof(msg.fd) + sizeof(msg.fd_value),
			.nla_type = NLA_F_NESTED | IFLA_XDP},
		.fd = {.nla_len = sizeof(msg.fd) + sizeof(msg.fd_value), .nla_type = IFLA_XDP_FD},
		.fd_value = -1,
	};
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), rc;

	if (sock < 0)
		return -errno;
	rc = send(sock, &msg, sizeof(msg), 0) < 0 ? -errno : answer(sock);
	close(sock);
	return rc;
}
