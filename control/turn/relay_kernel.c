// SPDX-License-Identifier: BSD-3-Clause
//
// Relaying by the kernel's sockets; see relay_kernel.h. Main loop thread.
#include "relay_kernel.h"

#include "../addr.h"
#include "server_parts.h"

#include <glib-unix.h>
#include <sodium.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATAGRAM_MAX       65535
#define PACKETS_PER_WAKEUP 64
#define INDICATION_MAX     (DATAGRAM_MAX + 64)

struct turn_kernel {
	struct turn *turn;
	struct turn_allocation *allocation;
	enum turn_family family;
	struct st_relay_key key;
	int fd;
	unsigned int source;
	struct turn_bytes bytes; // of limits.bytes_per_s, both directions
};

static struct {
	uint8_t in[DATAGRAM_MAX + 1];
	uint8_t out[INDICATION_MAX];
} buffers; // the main loop thread's

// ---- limits and counts -----------------------------------------------------------------------------

static bool may_pass(struct turn_kernel *k, size_t len)
{
	const struct turn_config_limits *l = &k->turn->core.config->limits;
	struct turn_user *user = l->user_bytes_per_s ? k->allocation->user : NULL;
	uint64_t now = k->turn->core.now_ms;

	if (l->bytes_per_s)
		turn_bytes_fill(&k->bytes, l->bytes_per_s, l->burst_bytes, now);
	if (user)
		turn_bytes_fill(&user->bytes, turn_user_share(user, l->user_bytes_per_s),
			turn_user_share(user, l->user_burst_bytes), now);
	if ((l->bytes_per_s && k->bytes.left < (double)len) ||
		(user && user->bytes.left < (double)len))
		return false;
	k->bytes.left -= l->bytes_per_s ? (double)len : 0;
	if (user)
		user->bytes.left -= (double)len;
	return true;
}

static void count(struct turn_kernel *k, int direction, size_t len)
{
	k->allocation->packets[direction]++;
	k->allocation->bytes[direction] += len;
	k->turn->core.stats.stream_packets[direction]++;
	k->turn->core.stats.stream_bytes[direction] += len;
}

static void drop(struct turn *t)
{
	t->core.stats.kernel_dropped++;
}

// ---- to the client ---------------------------------------------------------------------------------

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

// A Data indication in buffers.out.
static size_t indication(const struct st_addr *peer, uint16_t port_be, const void *data, size_t len)
{
	struct stun_out o;

	stun_begin(&o, buffers.out, sizeof(buffers.out), STUN_DATA | STUN_INDICATION, NULL);
	stun_add_address(&o, STUN_ATTR_XOR_PEER_ADDRESS, peer, port_be);
	stun_add(&o, STUN_ATTR_DATA, data, len);
	return stun_end(&o, NULL, 0, false);
}

static void to_client(struct turn_kernel *k, const struct st_addr *peer, uint16_t port_be,
	const uint8_t *data, size_t len)
{
	struct turn_core *c = &k->turn->core;
	const struct turn_channel *ch;
	size_t n;

	if (!turn_permission_find(c, k->allocation, peer) || len > DATAGRAM_MAX - 64 ||
		!may_pass(k, len)) {
		drop(k->turn);
		return;
	}
	ch = turn_channel_by_peer(c, k->allocation, peer, port_be);
	if (ch) {
		put16(buffers.out, ch->number);
		put16(buffers.out + 2, len);
		memcpy(buffers.out + 4, data, len);
		n = 4 + len;
	} else {
		n = indication(peer, port_be, data, len);
	}
	if (turn_streams_send(k->turn->streams, &k->allocation->tuple, buffers.out, n))
		count(k, ST_TURN_TO_CLIENT, len);
	else
		drop(k->turn);
}

static gboolean on_datagrams(gint fd, GIOCondition cond, gpointer arg)
{
	struct turn_kernel *k = arg;

	turn_core_clock(&k->turn->core);
	for (int i = 0; i < PACKETS_PER_WAKEUP; i++) {
		struct sockaddr_storage from;
		socklen_t from_len = sizeof(from);
		struct st_addr peer;
		uint16_t port_be;
		ssize_t n = recvfrom(fd, buffers.in, sizeof(buffers.in), MSG_DONTWAIT,
			(struct sockaddr *)&from, &from_len);

		if (n < 0)
			break;
		if (addr_from_sockaddr(&peer, &port_be, (struct sockaddr *)&from))
			to_client(k, &peer, port_be, buffers.in, (size_t)n);
	}
	return G_SOURCE_CONTINUE;
}

// ---- to the peer -----------------------------------------------------------------------------------

static struct turn_kernel *find(struct turn *t, const struct st_addr *addr, uint16_t port_be)
{
	struct turn_allocation *a = turn_allocation_by_relayed(&t->core, addr, port_be);

	return a ? turn_allocation_for(a, addr)->kernel : NULL;
}

// To a relayed address that lcores have: the kernel would loop it on lo, where nobody listens.
static bool send_inside(struct turn_kernel *k, const struct st_addr *peer, uint16_t port_be,
	const uint8_t *data, size_t len)
{
	struct st_packet_io io = {.peer_id = ST_NO_PEER,
		.local = *peer,
		.local_port_be = port_be,
		.remote = k->key.relay,
		.remote_port_be = k->key.relay_port_be};

	return len <= ST_PACKET_MAX && dp_packet_out(k->turn->dp, &io, data, (uint16_t)len);
}

static bool send_outside(struct turn_kernel *k, const struct st_addr *peer, uint16_t port_be,
	const uint8_t *data, size_t len, bool dont_fragment)
{
	int discover = dont_fragment ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT;
	struct sockaddr_storage ss;
	socklen_t ss_len = addr_to_sockaddr(&ss, peer, port_be);

	if (k->family == TURN_V4)
		setsockopt(k->fd, IPPROTO_IP, IP_MTU_DISCOVER, &discover, sizeof(discover));
	return sendto(k->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&ss,
		       ss_len) >= 0;
}

static void to_peer(struct turn_kernel *k, const struct st_addr *peer, uint16_t port_be,
	const uint8_t *data, size_t len, bool dont_fragment)
{
	struct turn_kernel *other = find(k->turn, peer, port_be);
	bool sent;

	if (!may_pass(k, len))
		sent = false;
	else if (other)
		sent = true; // whatever becomes of it at the other's
	else if (turn_is_own_relay(peer, port_be, k->turn))
		sent = send_inside(k, peer, port_be, data, len);
	else
		sent = send_outside(k, peer, port_be, data, len, dont_fragment);
	if (!sent) {
		drop(k->turn);
		return;
	}
	count(k, ST_TURN_TO_PEER, len);
	if (other)
		to_client(other, &k->key.relay, k->key.relay_port_be, data, len);
}

static void take_channel_data(
	struct turn *t, struct turn_allocation *a, const uint8_t *frame, size_t len)
{
	uint16_t number = (uint16_t)(frame[0] << 8 | frame[1]);
	size_t said = (size_t)frame[2] << 8 | frame[3];
	const struct turn_channel *ch = turn_channel_by_number(&t->core, a, number);
	const struct turn_relayed *x = ch ? turn_allocation_for(a, &ch->peer) : NULL;

	if (x && x->kernel && said <= len - 4)
		to_peer(x->kernel, &ch->peer, ch->peer_port_be, frame + 4, said, false);
	else
		drop(t);
}

// Anything wrong with an indication: not a word.
static void take_send(struct turn *t, struct turn_allocation *a, const struct stun_msg *m)
{
	struct stun_attr data = stun_attr(m, STUN_ATTR_DATA);
	uint16_t unknown[STUN_UNKNOWN_MAX];
	const struct turn_relayed *x;
	struct turn_denial why;
	struct st_addr peer;
	uint16_t port_be;

	if (stun_first_address(m, STUN_ATTR_XOR_PEER_ADDRESS, &peer, &port_be) || !data.at ||
		turn_unknown(m, unknown)) {
		drop(t);
		return;
	}
	turn_config_unmap(t->core.config, &peer);
	x = turn_allocation_for(a, &peer);
	if (!x || !x->kernel || !turn_permission_find(&t->core, a, &peer) ||
		!turn_policy_allows_port(&t->core.policy, &peer, port_be, &why)) {
		drop(t);
		return;
	}
	to_peer(x->kernel, &peer, port_be, data.at, data.len,
		stun_attr(m, STUN_ATTR_DONT_FRAGMENT).at != NULL);
}

bool turn_kernel_from_client(
	struct turn *t, const struct turn_tuple *from, const uint8_t *frame, size_t len)
{
	struct turn_allocation *a;
	struct stun_msg m;

	if ((frame[0] & 0xc0) == 0x40) {
		a = turn_allocation_find(&t->core, from);
		if (a)
			take_channel_data(t, a, frame, len);
		else
			drop(t);
		return true;
	}
	if (stun_parse_strict(&m, frame, len) || stun_method(&m) != STUN_SEND ||
		stun_class(&m) != STUN_INDICATION)
		return false;
	a = turn_allocation_find(&t->core, from);
	if (a)
		take_send(t, a, &m);
	else
		drop(t);
	return true;
}

bool turn_kernel_packet_in(
	struct turn *t, const struct st_packet_io *io, const void *data, uint16_t len)
{
	struct turn_kernel *k = find(t, &io->remote, io->remote_port_be);

	if (k)
		to_client(k, &io->local, io->local_port_be, data, len);
	return k != NULL;
}

// ---- life ------------------------------------------------------------------------------------------

static int open_socket(const struct turn_relayed *x)
{
	const int one = 1, dont = IP_PMTUDISC_DONT;
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&ss, &x->addr, htons(x->port));
	bool v4 = ss.ss_family == AF_INET;
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one));
	if (v4)
		setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &dont, sizeof(dont));
	else
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (!bind(fd, (struct sockaddr *)&ss, len))
		return fd;
	close(fd);
	return -errno;
}

struct turn_kernel *turn_kernel_open(struct turn_allocation *a, enum turn_family family, void *turn)
{
	const struct turn_relayed *x = &a->relayed[family];
	struct turn *t = turn;
	struct turn_kernel *k;
	int fd = open_socket(x);

	if (fd < 0) {
		g_warning("turn: no socket for a relayed address port=%u error=\"%s\"", x->port,
			g_strerror(-fd));
		return NULL;
	}
	k = g_new0(struct turn_kernel, 1);
	k->turn = t;
	k->allocation = a;
	k->family = family;
	k->key = (struct st_relay_key){.relay = x->addr, .relay_port_be = htons(x->port)};
	k->fd = fd;
	k->bytes = (struct turn_bytes){(double)t->core.config->limits.burst_bytes, t->core.now_ms};
	k->source = g_unix_fd_add(fd, G_IO_IN, on_datagrams, k);
	return k;
}

void turn_kernel_close(struct turn_kernel *k, void *turn)
{
	g_source_remove(k->source);
	close(k->fd);
	g_free(k);
}
