// SPDX-License-Identifier: BSD-3-Clause
//
// Hears ICMP errors for the TURN server; see icmp.h. Main loop thread, behind everything else that waits there. Relayed
// addresses of UDP clients have no socket that the kernel could tell, so a raw one of each family gets all errors.
#include "../addr.h"
#include "../log.h"
#include "icmp.h"
#include "server_parts.h"

#include <glib-unix.h>

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH     64 // of one dispatch; what the socket cannot hold meanwhile is lost, as ICMP may be
#define ERROR_MAX 640 // as much of one as is looked at
#define FILTER_NAME                                                                                \
	1 // ICMP_FILTER of linux/icmp.h, which does not go together with netinet/ip_icmp.h

struct turn_icmp_listener {
	struct turn *turn;
	int protocol, fd;
	unsigned int source;
};

// Nobody has checked it before a raw socket; of ICMPv6 the kernel has.
static bool sum_is_right(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

static void take(struct turn_icmp_listener *l, const uint8_t *data, size_t len, bool whole)
{
	struct turn_icmp e;

	if (l->protocol == IPPROTO_ICMP) { // with its IP header
		size_t head = len ? (data[0] & 15) * 4u : 0;

		if (head < sizeof(struct iphdr) || head >= len ||
			(whole && !sum_is_right(data + head, len - head)))
			return;
		data += head;
		len -= head;
	}
	if (turn_icmp_read(&e, l->protocol, data, len))
		turn_icmp_tell(&l->turn->core, &e);
}

static gboolean on_error(gint fd, GIOCondition cond, gpointer arg)
{
	struct turn_icmp_listener *l = arg;
	uint8_t buf[ERROR_MAX];

	turn_core_clock(&l->turn->core);
	for (int i = 0; i < BATCH; i++) {
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0)
			break;
		take(l, buf, MIN((size_t)n, sizeof(buf)), (size_t)n <= sizeof(buf));
	}
	return G_SOURCE_CONTINUE;
}

static int open_socket(int protocol)
{
	const uint32_t all_but = ~(1u << ICMP_DEST_UNREACH | 1u << ICMP_TIME_EXCEEDED);
	bool v4 = protocol == IPPROTO_ICMP;
	struct icmp6_filter six;
	int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol),
	    r;

	if (fd < 0)
		return -errno;
	ICMP6_FILTER_SETBLOCKALL(&six);
	ICMP6_FILTER_SETPASS(ICMP6_DST_UNREACH, &six);
	ICMP6_FILTER_SETPASS(ICMP6_PACKET_TOO_BIG, &six);
	ICMP6_FILTER_SETPASS(ICMP6_TIME_EXCEEDED, &six);
	r = v4 ? setsockopt(fd, SOL_RAW, FILTER_NAME, &all_but, sizeof(all_but))
	       : setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &six, sizeof(six));
	if (!r)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

void turn_icmp_open(struct turn *t)
{
	static const int protocols[TURN_FAMILIES] = {IPPROTO_ICMP, IPPROTO_ICMPV6};

	for (int f = 0; f < TURN_FAMILIES; f++) {
		struct turn_icmp_listener *l;
		int fd;

		if (t->icmp[f])
			continue;
		fd = open_socket(protocols[f]);
		if (fd < 0) {
			// The relay works without: clients hear nothing of unreachable peers.
			if (fd != -EAFNOSUPPORT)
				g_warning("turn: clients are told no ICMP errors, no raw socket "
					  "error=\"%s\"",
					g_strerror(-fd));
			continue;
		}
		l = g_new0(struct turn_icmp_listener, 1);
		*l = (struct turn_icmp_listener){.turn = t, .protocol = protocols[f], .fd = fd};
		l->source = g_unix_fd_add_full(G_PRIORITY_LOW, fd, G_IO_IN, on_error, l, NULL);
		t->icmp[f] = l;
	}
}

void turn_icmp_close(struct turn *t)
{
	for (int f = 0; f < TURN_FAMILIES; f++) {
		struct turn_icmp_listener *l = t->icmp[f];

		if (!l)
			continue;
		g_source_remove(l->source);
		close(l->fd);
		g_free(l);
		t->icmp[f] = NULL;
	}
}
