// SPDX-License-Identifier: BSD-3-Clause
//
// UDP sockets of WireGuard interfaces; see wg_socket.h. Main loop thread. The receive buffers are shared
// by all sockets, so a callback must not keep pointers into them.
#include "wg_socket.h"

#include "../addr.h"

#include <glib.h>

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RCVBUF_BYTES (4 << 20)
#define CONTROL_LEN  256

struct batch {
	struct mmsghdr msgs[WG_SOCKET_BATCH];
	struct iovec iov[WG_SOCKET_BATCH];
	struct sockaddr_storage remote[WG_SOCKET_BATCH];
	uint8_t data[WG_SOCKET_BATCH][WG_SOCKET_PAYLOAD];
	_Alignas(struct cmsghdr) uint8_t control[WG_SOCKET_BATCH][CONTROL_LEN];
};

static struct batch rx;

static struct {
	int fd;
	unsigned int n;
	struct batch batch;
} tx;

enum wg_family wg_family_of(const struct st_addr *a)
{
	return addr_is_v4(a) ? WG_V4 : WG_V6;
}

const char *wg_family_name(enum wg_family family)
{
	return family == WG_V4 ? "v4" : "v6";
}

static int option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

int wg_socket_mark(int fd, uint32_t fwmark)
{
	return option(fd, SOL_SOCKET, SO_MARK, (int)fwmark);
}

// DF stays clear: the kernel may fragment what a path does not carry whole.
static int prepare_family(int fd, enum wg_family family)
{
	int r;

	if (family == WG_V4) {
		r = option(fd, IPPROTO_IP, IP_PKTINFO, 1);
		return r ? r : option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
	}
	r = option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	return r ? r : option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
}

int wg_socket_prepare(int fd, enum wg_family family, uint32_t fwmark)
{
	int r = prepare_family(fd, family);

	if (r)
		return r;
	// Beyond rmem_max needs CAP_NET_ADMIN; without it the largest the system gives will do.
	if (option(fd, SOL_SOCKET, SO_RCVBUFFORCE, RCVBUF_BYTES))
		(void)option(fd, SOL_SOCKET, SO_RCVBUF, RCVBUF_BYTES);
	r = wg_socket_mark(fd, fwmark);
	// Mark 0 is what a socket has without asking.
	return r == -EPERM && !fwmark ? 0 : r;
}

static int bind_wildcard(int fd, enum wg_family family, uint16_t port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int r;

	if (family == WG_V4)
		r = bind(fd, (struct sockaddr *)&v4, sizeof(v4));
	else
		r = bind(fd, (struct sockaddr *)&v6, sizeof(v6));
	return r < 0 ? -errno : 0;
}

int wg_socket_open(enum wg_family family, uint16_t port, uint32_t fwmark)
{
	int fd, r = 0;

	fd = socket(
		family == WG_V4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (family == WG_V6)
		r = option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (!r)
		r = wg_socket_prepare(fd, family, fwmark);
	if (!r)
		r = bind_wildcard(fd, family, port);
	if (r) {
		close(fd);
		// A kernel without IPv6 addresses on any device.
		return r == -EADDRNOTAVAIL ? -EAFNOSUPPORT : r;
	}
	return fd;
}

int wg_socket_port(int fd, enum wg_family family)
{
	struct sockaddr_storage ss;
	struct st_addr addr;
	socklen_t len = sizeof(ss);
	uint16_t port_be;
	int type = 0;
	socklen_t type_len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0)
		return -errno;
	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return -errno;
	if (type != SOCK_DGRAM || ss.ss_family != (family == WG_V4 ? AF_INET : AF_INET6) ||
		!addr_from_sockaddr(&addr, &port_be, (struct sockaddr *)&ss) ||
		!addr_is_zero(&addr) || !port_be)
		return -EINVAL;
	return ntohs(port_be);
}

static void address_hit(struct wg_datagram *d, struct msghdr *h)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	uint16_t port_be;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			v4.sin_addr = info.ipi_addr;
			d->ifindex = info.ipi_ifindex;
			(void)addr_from_sockaddr(&d->local, &port_be, (struct sockaddr *)&v4);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			v6.sin6_addr = info.ipi6_addr;
			d->ifindex = (int)info.ipi6_ifindex;
			(void)addr_from_sockaddr(&d->local, &port_be, (struct sockaddr *)&v6);
		}
	}
}

int wg_socket_receive(int fd, wg_socket_received fn, void *arg)
{
	int n;

	for (int i = 0; i < WG_SOCKET_BATCH; i++) {
		rx.iov[i] = (struct iovec){rx.data[i], sizeof(rx.data[i])};
		rx.msgs[i].msg_hdr = (struct msghdr){
			.msg_name = &rx.remote[i],
			.msg_namelen = sizeof(rx.remote[i]),
			.msg_iov = &rx.iov[i],
			.msg_iovlen = 1,
			.msg_control = rx.control[i],
			.msg_controllen = sizeof(rx.control[i]),
		};
	}
	n = recvmmsg(fd, rx.msgs, WG_SOCKET_BATCH, 0, NULL);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		struct wg_datagram d = {.len = (uint16_t)rx.msgs[i].msg_len, .data = rx.data[i]};

		if (rx.msgs[i].msg_hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
			continue;
		if (!addr_from_sockaddr(
			    &d.remote, &d.remote_port_be, (struct sockaddr *)&rx.remote[i]))
			continue;
		address_hit(&d, &rx.msgs[i].msg_hdr);
		fn(&d, arg);
	}
	return n;
}

static void *control_add(struct msghdr *h, struct cmsghdr **at, int level, int type, size_t len)
{
	struct cmsghdr *c = *at ? CMSG_NXTHDR(h, *at) : CMSG_FIRSTHDR(h);

	*at = c;
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	return CMSG_DATA(c);
}

static size_t control_fill(struct msghdr *h, const struct st_addr *local, bool v4, uint8_t tos)
{
	struct cmsghdr *at = NULL;
	int tclass = tos;
	size_t used = CMSG_SPACE(sizeof(tclass));

	memcpy(control_add(h, &at, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS,
		       sizeof(tclass)),
		&tclass, sizeof(tclass));
	if (addr_is_zero(local) || addr_is_v4(local) != v4)
		return used;
	if (v4) {
		struct in_pktinfo info = {0};

		memcpy(&info.ipi_spec_dst, local->b + 12, 4);
		memcpy(control_add(h, &at, IPPROTO_IP, IP_PKTINFO, sizeof(info)), &info,
			sizeof(info));
		return used + CMSG_SPACE(sizeof(info));
	} else {
		struct in6_pktinfo info = {0};

		memcpy(&info.ipi6_addr, local->b, 16);
		memcpy(control_add(h, &at, IPPROTO_IPV6, IPV6_PKTINFO, sizeof(info)), &info,
			sizeof(info));
		return used + CMSG_SPACE(sizeof(info));
	}
}

// iov, name and control are the caller's.
static void head_fill(struct msghdr *h, const struct wg_to *to)
{
	memset(h->msg_control, 0, CONTROL_LEN);
	h->msg_controllen = CONTROL_LEN;
	h->msg_namelen = addr_to_sockaddr(h->msg_name, to->remote, to->remote_port_be);
	if (addr_is_link_local(to->remote))
		((struct sockaddr_in6 *)h->msg_name)->sin6_scope_id = (uint32_t)to->ifindex;
	h->msg_iovlen = 1;
	h->msg_controllen = control_fill(h, to->local, addr_is_v4(to->remote), to->tos);
}

int wg_socket_send(int fd, const struct wg_to *to, const void *data, size_t len)
{
	_Alignas(struct cmsghdr) uint8_t control[CONTROL_LEN];
	struct sockaddr_storage name;
	struct iovec iov = {(void *)data, len};
	struct msghdr h = {.msg_name = &name, .msg_iov = &iov, .msg_control = control};

	head_fill(&h, to);
	return sendmsg(fd, &h, MSG_DONTWAIT) < 0 ? -errno : 0;
}

void wg_socket_flush(void)
{
	unsigned int at = 0;

	while (at < tx.n) {
		int sent = sendmmsg(tx.fd, tx.batch.msgs + at, tx.n - at, MSG_DONTWAIT);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS))
			break;
		at += sent > 0 ? (unsigned int)sent : 1; // one that cannot go is in nobody's way
	}
	tx.n = 0;
}

void wg_socket_send_later(int fd, const struct wg_to *to, const void *data, size_t len)
{
	unsigned int i;

	if (tx.n == WG_SOCKET_BATCH || (tx.n && (tx.fd != fd || len > WG_SOCKET_PAYLOAD)))
		wg_socket_flush();
	if (len > WG_SOCKET_PAYLOAD) {
		wg_socket_send(fd, to, data, len);
		return;
	}
	i = tx.n++;
	tx.fd = fd;
	memcpy(tx.batch.data[i], data, len);
	tx.batch.iov[i] = (struct iovec){tx.batch.data[i], len};
	tx.batch.msgs[i].msg_hdr = (struct msghdr){.msg_name = &tx.batch.remote[i],
		.msg_iov = &tx.batch.iov[i],
		.msg_control = tx.batch.control[i]};
	head_fill(&tx.batch.msgs[i].msg_hdr, to);
}
