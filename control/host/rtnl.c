// SPDX-License-Identifier: BSD-3-Clause
//
// rtnetlink requests (rtnl.h). No state of the kernel is kept here.
#include "rtnl.h"

#include "../addr.h"

#include <glib.h>

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>

struct rtnl {
	struct mnl_socket *socket;
	uint32_t seq;
	char error[160];
	uint8_t out[8192]; // one request
	uint8_t in[RTNL_BUF];
};

struct rtnl *rtnl_open(void)
{
	struct rtnl *r = g_new0(struct rtnl, 1);
	int on = 1;

	r->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!r->socket || mnl_socket_bind(r->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		int e = errno;

		rtnl_close(r);
		errno = e;
		return NULL;
	}
	// Better messages where the kernel has them; without them it works as well.
	mnl_socket_setsockopt(r->socket, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(r->socket, NETLINK_CAP_ACK, &on, sizeof(on));
	return r;
}

void rtnl_close(struct rtnl *r)
{
	if (!r)
		return;
	if (r->socket)
		mnl_socket_close(r->socket);
	g_free(r);
}

struct nlmsghdr *rtnl_message(
	struct rtnl *r, uint16_t type, uint16_t flags, const void *header, size_t header_len)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(r->out);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++r->seq;
	memcpy(mnl_nlmsg_put_extra_header(nlh, header_len), header, header_len);
	return nlh;
}

// The status of an error message; keeps its text.
static int error_status(struct rtnl *r, const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *a;

	if (nlh->nlmsg_len < mnl_nlmsg_size(sizeof(*err)))
		return -EBADMSG;
	if (!err->error)
		return 0;
	g_strlcpy(r->error, g_strerror(-err->error), sizeof(r->error));
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS) || !(nlh->nlmsg_flags & NLM_F_CAPPED))
		return err->error;
	mnl_attr_for_each (a, nlh, sizeof(*err)) {
		if (mnl_attr_get_type(a) == NLMSGERR_ATTR_MSG &&
			!mnl_attr_validate(a, MNL_TYPE_NUL_STRING))
			g_strlcpy(r->error, mnl_attr_get_str(a), sizeof(r->error));
	}
	return err->error;
}

// Returns 1 while more is to come, else 0 or -errno.
static int handle(struct rtnl *r, const struct nlmsghdr *nlh, rtnl_each each, void *arg)
{
	if (nlh->nlmsg_type == NLMSG_ERROR)
		return error_status(r, nlh);
	if (nlh->nlmsg_type == NLMSG_DONE) {
		const int *status = mnl_nlmsg_get_payload(nlh);

		return nlh->nlmsg_len >= mnl_nlmsg_size(sizeof(*status)) && *status < 0 ? *status : 0;
	}
	if (nlh->nlmsg_type >= NLMSG_MIN_TYPE && each)
		each(nlh, arg);
	return 1;
}

int rtnl_send(struct rtnl *r, struct nlmsghdr *nlh, rtnl_each each, void *arg)
{
	bool dump = (nlh->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP, disturbed = false;
	int ret = 1;

	r->error[0] = 0;
	if (!dump)
		nlh->nlmsg_flags |= NLM_F_ACK;
	if (mnl_socket_sendto(r->socket, nlh, nlh->nlmsg_len) < 0)
		goto err;
	while (ret == 1) {
		ssize_t n = mnl_socket_recvfrom(r->socket, r->in, sizeof(r->in));
		const struct nlmsghdr *in = (const struct nlmsghdr *)r->in;
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			goto err;
		for (; ret == 1 && mnl_nlmsg_ok(in, left); in = mnl_nlmsg_next(in, &left)) {
			// What is left of an earlier answer is not ours.
			if (in->nlmsg_seq != r->seq)
				continue;
			disturbed |= !!(in->nlmsg_flags & NLM_F_DUMP_INTR);
			ret = handle(r, in, each, arg);
		}
	}
	return ret ? ret : disturbed ? -EINTR : 0;
err:
	ret = errno ? -errno : -EIO;
	g_strlcpy(r->error, g_strerror(-ret), sizeof(r->error));
	return ret;
}

int rtnl_dump(struct rtnl *r, uint16_t type, uint8_t family, rtnl_each each, void *arg)
{
	// Each of these headers begins with its family.
	union {
		uint8_t family;
		struct ifinfomsg link;
		struct rtmsg route;
	} header = {.family = 0};
	size_t len = type == RTM_GETLINK ? sizeof(header.link) : sizeof(header.route);

	header.family = family;
	return rtnl_send(r, rtnl_message(r, type, NLM_F_DUMP, &header, len), each, arg);
}

const char *rtnl_error(const struct rtnl *r)
{
	return r->error;
}

static bool attr_take(const struct nlattr *a, const struct nlattr **ret, unsigned int max)
{
	unsigned int type = mnl_attr_get_type(a);

	if (type > max)
		return false;
	ret[type] = a;
	return true;
}

bool rtnl_attrs(
	const struct nlmsghdr *nlh, size_t header_len, const struct nlattr **ret, unsigned int max)
{
	const struct nlattr *a;
	bool known = true;

	memset(ret, 0, (max + 1) * sizeof(*ret));
	if (nlh->nlmsg_len < mnl_nlmsg_size(header_len))
		return false;
	mnl_attr_for_each (a, nlh, header_len)
		known &= attr_take(a, ret, max);
	return known;
}

bool rtnl_nested(const struct nlattr *nest, const struct nlattr **ret, unsigned int max)
{
	const struct nlattr *a;
	bool known = true;

	memset(ret, 0, (max + 1) * sizeof(*ret));
	mnl_attr_for_each_nested (a, nest)
		known &= attr_take(a, ret, max);
	return known;
}

uint32_t rtnl_u32(const struct nlattr *a, uint32_t otherwise)
{
	return a && mnl_attr_get_payload_len(a) >= 4 ? mnl_attr_get_u32(a) : otherwise;
}

bool rtnl_addr(const struct nlattr *a, uint8_t family, struct st_addr *ret)
{
	static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (!a)
		return false;
	if (family == AF_INET && mnl_attr_get_payload_len(a) == 4) {
		memcpy(ret->b, v4_mapped, 12);
		memcpy(ret->b + 12, mnl_attr_get_payload(a), 4);
		return true;
	}
	if (family == AF_INET6 && mnl_attr_get_payload_len(a) == 16) {
		memcpy(ret->b, mnl_attr_get_payload(a), 16);
		return true;
	}
	return false;
}

void rtnl_put_addr(struct nlmsghdr *nlh, uint16_t type, const struct st_addr *a)
{
	if (addr_is_v4(a))
		mnl_attr_put(nlh, type, 4, a->b + 12);
	else
		mnl_attr_put(nlh, type, 16, a->b);
}
