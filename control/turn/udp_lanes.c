// SPDX-License-Identifier: BSD-3-Clause
//
// The two sockets that share a listening UDP port, and the kernel's choice between them; see server_parts.h. Main loop
// thread. A program that the sockets' group runs looks at the DSCP of each datagram. What comes by a device that is not
// ours has the DSCP of its sender, who may choose a lane by it: listener_udp.c asks again who is a stranger.
#include "../addr.h"
#include "../wg/wg_socket.h"
#include "server_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define OTHERS_RCVBUF                                                                              \
	(256 << 10) // some hundred messages; later ones are dropped, and asked again by who is somebody

// ---- which socket a datagram goes to ---------------------------------------------------------------

// Returns the index of a socket in the group, which is in the order of their binding.
static int choose_by_dscp(int fd, bool v4)
{
	struct sock_filter code[] = {
		v4 ? (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)SKF_NET_OFF + 1)
		   : (struct sock_filter)BPF_STMT(BPF_LD | BPF_H | BPF_ABS, (uint32_t)SKF_NET_OFF),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, v4 ? 2 : 6),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x3f),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ST_TURN_KNOWN_DSCP, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, TURN_LANE_KNOWN),
		BPF_STMT(BPF_RET | BPF_K, TURN_LANE_OTHERS),
	};
	struct sock_fprog program = {.len = G_N_ELEMENTS(code), .filter = code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) < 0
		       ? -errno
		       : 0;
}

// ---- opening ---------------------------------------------------------------------------------------

static int set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int bind_to(int fd, const struct turn_udp *u)
{
	struct st_addr any = {{0}};
	struct sockaddr_storage ss;
	socklen_t len;
	int r;

	if (u->v4)
		addr_parse(&any, "0.0.0.0");
	len = addr_to_sockaddr(&ss, addr_is_zero(&u->addr) ? &any : &u->addr, htons(u->port));
	// The address may come later, by a routing daemon or a lease.
	r = set(fd, IPPROTO_IP, IP_FREEBIND, 1);
	if (!r && !u->v4)
		r = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (!r && bind(fd, (struct sockaddr *)&ss, len) < 0)
		r = -errno;
	return r ? r : wg_socket_prepare(fd, u->v4 ? WG_V4 : WG_V6, 0);
}

// The first one is bound alone, so that a port which another program has is refused, and is shared only now.
static int prepare_others(int fd, const struct turn_udp *u)
{
	int r = set(u->lanes[TURN_LANE_KNOWN].fd, SOL_SOCKET, SO_REUSEPORT, 1);

	if (!r)
		r = set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (!r)
		r = bind_to(fd, u);
	if (!r)
		r = set(fd, SOL_SOCKET, SO_RCVBUF, OTHERS_RCVBUF);
	return r ? r : choose_by_dscp(fd, u->v4);
}

int turn_lane_open(const struct turn_udp *u, enum turn_lane lane)
{
	int fd = socket(u->v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;

	if (fd < 0)
		return -errno;
	r = lane == TURN_LANE_KNOWN ? bind_to(fd, u) : prepare_others(fd, u);
	if (!r)
		return fd;
	close(fd);
	return r;
}
