// SPDX-License-Identifier: BSD-3-Clause
//
// The other way of socket_shim.h, for a libnice that does not go through GIO: this process has a network
// namespace of its own with a TUN in it that has the box's addresses. libnice binds them as if it were
// outside; what it sends comes out of the TUN as IP packets and goes to straitd, which has the real sockets.
// One reader, in the first shard; any shard writes.
#include "self_test.h"
#include "socket_shim.h"

#include <glib-unix.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TUN_NAME      "ice0"
#define TUN_MTU       1500
#define BATCH         64
#define PACKET_MAX    (sizeof(struct ip6_packet) + ICE_MSG_DATA_MAX)
#define PRIVATE_FIRST 20000 // ports for agents whose own is still in use
#define PRIVATE_LAST  65000

struct ip4_packet {
	struct iphdr ip;
	struct udphdr udp;
	uint8_t data[];
};

struct ip6_packet {
	struct ipv6hdr ip;
	struct udphdr udp;
	uint8_t data[];
};

static struct {
	int fd;
	GMutex lock;       // of by_port and of what it leads to
	GHashTable *ports; // bound port, network order -> struct shim_owner *
} tun = {.fd = -1};

const bool shim_has_sockets = true;

// ---- the namespace -------------------------------------------------------------------------------------

// Where we may not as we are, a user namespace gives the right over what is made in it.
static int namespace_enter(void)
{
	if (!unshare(CLONE_NEWNET) || !unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return 0;
	return -errno;
}

static int tun_open(void)
{
	struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	g_strlcpy(r.ifr_name, TUN_NAME, sizeof(r.ifr_name));
	if (!ioctl(fd, TUNSETIFF, &r)) {
		tun.fd = fd;
		return 0;
	}
	close(fd);
	return -errno;
}

static int tun_up(int sock)
{
	struct ifreq r = {0};

	g_strlcpy(r.ifr_name, TUN_NAME, sizeof(r.ifr_name));
	r.ifr_mtu = TUN_MTU;
	if (ioctl(sock, SIOCSIFMTU, &r))
		return -errno;
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	return ioctl(sock, SIOCSIFFLAGS, &r) ? -errno : 0;
}

// The n-th address, an alias as all after the first are.
static int add_v4(int sock, const struct in_addr *a, unsigned int n)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = *a};
	struct ifreq r = {0};

	g_snprintf(r.ifr_name, sizeof(r.ifr_name), n ? TUN_NAME ":%u" : TUN_NAME, n);
	memcpy(&r.ifr_addr, &sin, sizeof(sin));
	return ioctl(sock, SIOCSIFADDR, &r) && errno != EEXIST ? -errno : 0;
}

static int add_v6(int sock6, const struct in6_addr *a)
{
	struct in6_ifreq r = {.ifr6_addr = *a, .ifr6_prefixlen = 128};

	r.ifr6_ifindex = (int)if_nametoindex(TUN_NAME);
	return ioctl(sock6, SIOCSIFADDR, &r) && errno != EEXIST ? -errno : 0;
}

static int routes(int sock, int sock6)
{
	struct rtentry r = {.rt_flags = RTF_UP, .rt_dev = (char *)TUN_NAME};
	struct in6_rtmsg r6 = {.rtmsg_flags = RTF_UP, .rtmsg_metric = 1};

	r.rt_dst.sa_family = r.rt_genmask.sa_family = AF_INET;
	if (ioctl(sock, SIOCADDRT, &r))
		return -errno;
	r6.rtmsg_ifindex = (int)if_nametoindex(TUN_NAME);
	if (sock6 >= 0 && ioctl(sock6, SIOCADDRT, &r6))
		return -errno;
	return 0;
}

static int configure(int sock, int sock6, char **addresses)
{
	unsigned int n = 0;
	struct in6_addr a6;
	struct in_addr a;
	int r = tun_up(sock);

	inet_pton(AF_INET, SELF_TEST_ADDRESS, &a);
	if (!r)
		r = add_v4(sock, &a, n++);
	for (; !r && *addresses; addresses++) {
		if (inet_pton(AF_INET, *addresses, &a) == 1)
			r = add_v4(sock, &a, n++);
		else if (sock6 >= 0 && inet_pton(AF_INET6, *addresses, &a6) == 1)
			r = add_v6(sock6, &a6);
		else
			r = -EINVAL;
	}
	return r ? r : routes(sock, sock6);
}

int shim_prepare(char **addresses)
{
	int sock, sock6, r = namespace_enter();

	tun.ports = g_hash_table_new(NULL, NULL);
	if (!r)
		r = tun_open();
	if (r)
		return r;
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sock6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0); // may be none
	r = sock < 0 ? -errno : configure(sock, sock6, addresses);
	if (sock >= 0)
		close(sock);
	if (sock6 >= 0)
		close(sock6);
	return r;
}

// ---- owners and their ports ----------------------------------------------------------------------------

uint16_t shim_port(struct shim_owner *o)
{
	uint16_t port_be = o->port_be;

	g_mutex_lock(&tun.lock);
	for (unsigned int n = PRIVATE_FIRST;
		g_hash_table_contains(tun.ports, GUINT_TO_POINTER(port_be)); n++) {
		port_be = n <= PRIVATE_LAST ? htons((uint16_t)n) : 0;
		if (!port_be)
			break;
	}
	o->bound_be = port_be;
	if (port_be)
		g_hash_table_insert(tun.ports, GUINT_TO_POINTER(port_be), o);
	g_mutex_unlock(&tun.lock);
	return port_be;
}

void shim_begin(struct shim_owner *o)
{
}

void shim_end(void)
{
}

void shim_release(struct shim_owner *o)
{
	g_mutex_lock(&tun.lock);
	if (g_hash_table_lookup(tun.ports, GUINT_TO_POINTER(o->bound_be)) == o)
		g_hash_table_remove(tun.ports, GUINT_TO_POINTER(o->bound_be));
	g_slist_free_full(o->sockets, g_free);
	o->sockets = NULL;
	g_mutex_unlock(&tun.lock);
}

static struct shim_socket *socket_of(struct shim_owner *o, const struct ice_msg_addr *local)
{
	struct shim_socket *s;

	for (GSList *l = o->sockets; l; l = l->next) {
		s = l->data;
		if (!memcmp(s->local.addr, local->addr, sizeof(local->addr)))
			return s;
	}
	if (g_slist_length(o->sockets) > ICE_MSG_ADDRS)
		return NULL;
	s = g_new0(struct shim_socket, 1);
	s->owner = o;
	s->local = *local;
	s->local.port_be = o->port_be;
	o->sockets = g_slist_prepend(o->sockets, s);
	return s;
}

struct shim_socket *shim_find(struct shim_owner *o, const struct ice_msg_addr *local)
{
	struct shim_socket *s;

	g_mutex_lock(&tun.lock);
	s = socket_of(o, local);
	g_mutex_unlock(&tun.lock);
	return s;
}

// ---- to libnice ----------------------------------------------------------------------------------------

static uint32_t sum_of(const void *data, size_t len, uint32_t sum)
{
	const uint8_t *b = data;

	for (; len > 1; len -= 2, b += 2)
		sum += (uint32_t)b[0] << 8 | b[1];
	return len ? sum + ((uint32_t)b[0] << 8) : sum;
}

static uint16_t folded(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static bool is_v4(const struct ice_msg_addr *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(a->addr, mapped, sizeof(mapped));
}

static size_t packet_v4(uint8_t *out, const struct shim_socket *to, const struct ice_msg_addr *from,
	const uint8_t *data, size_t len)
{
	struct ip4_packet *p = (struct ip4_packet *)out;
	size_t total = sizeof(*p) + len;

	p->ip = (struct iphdr){.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP};
	p->ip.tot_len = htons((uint16_t)total);
	memcpy(&p->ip.saddr, from->addr + 12, 4);
	memcpy(&p->ip.daddr, to->local.addr + 12, 4);
	p->ip.check = folded(sum_of(&p->ip, sizeof(p->ip), 0));
	// No checksum (RFC 768): it never was on a wire.
	p->udp = (struct udphdr){.source = from->port_be, .dest = to->owner->bound_be};
	p->udp.len = htons((uint16_t)(sizeof(p->udp) + len));
	memcpy(p->data, data, len);
	return total;
}

static size_t packet_v6(uint8_t *out, const struct shim_socket *to, const struct ice_msg_addr *from,
	const uint8_t *data, size_t len)
{
	struct ip6_packet *p = (struct ip6_packet *)out;
	size_t udp_len = sizeof(p->udp) + len;
	uint32_t sum;

	p->ip = (struct ipv6hdr){.version = 6, .hop_limit = 64, .nexthdr = IPPROTO_UDP};
	p->ip.payload_len = htons((uint16_t)udp_len);
	memcpy(&p->ip.saddr, from->addr, 16);
	memcpy(&p->ip.daddr, to->local.addr, 16);
	p->udp = (struct udphdr){.source = from->port_be, .dest = to->owner->bound_be};
	p->udp.len = htons((uint16_t)udp_len);
	memcpy(p->data, data, len);
	sum = sum_of(&p->ip.saddr, 32, (uint32_t)udp_len + IPPROTO_UDP);
	p->udp.check = folded(sum_of(&p->udp, udp_len, sum));
	if (!p->udp.check)
		p->udp.check = 0xffff;
	return sizeof(*p) + len;
}

void shim_push(struct shim_socket *s, const struct ice_msg_addr *from, const uint8_t *data, size_t len)
{
	_Alignas(8) uint8_t packet[PACKET_MAX];
	size_t n;

	if (len > ICE_MSG_DATA_MAX || is_v4(from) != is_v4(&s->local))
		return;
	n = is_v4(from) ? packet_v4(packet, s, from, data, len)
			: packet_v6(packet, s, from, data, len);
	(void)!write(tun.fd, packet, n);
}

// ---- from libnice --------------------------------------------------------------------------------------

static bool parse_v4(const uint8_t *b, size_t len, struct ice_msg_addr *from,
	struct ice_msg_addr *to, size_t *ret_udp)
{
	const struct iphdr *ip = (const struct iphdr *)b;

	if (len < sizeof(*ip) || ip->protocol != IPPROTO_UDP || ip->frag_off & htons(0x3fff))
		return false;
	from->addr[10] = from->addr[11] = to->addr[10] = to->addr[11] = 0xff;
	memcpy(from->addr + 12, &ip->saddr, 4);
	memcpy(to->addr + 12, &ip->daddr, 4);
	*ret_udp = (size_t)ip->ihl * 4;
	return true;
}

static bool parse_v6(const uint8_t *b, size_t len, struct ice_msg_addr *from,
	struct ice_msg_addr *to, size_t *ret_udp)
{
	const struct ipv6hdr *ip = (const struct ipv6hdr *)b;

	// The kernel's own neighbour and multicast messages are none.
	if (len < sizeof(*ip) || ip->nexthdr != IPPROTO_UDP)
		return false;
	memcpy(from->addr, &ip->saddr, 16);
	memcpy(to->addr, &ip->daddr, 16);
	*ret_udp = sizeof(*ip);
	return true;
}

static void packet_out(const uint8_t *b, size_t len)
{
	struct ice_msg_addr from = {0}, to = {0};
	const struct udphdr *udp;
	struct shim_owner *o;
	struct shim_socket *s;
	size_t at;
	bool ok;

	ok = b[0] >> 4 == 4   ? parse_v4(b, len, &from, &to, &at)
	     : b[0] >> 4 == 6 ? parse_v6(b, len, &from, &to, &at)
			      : false;
	if (!ok || len < at + sizeof(*udp) || len - at - sizeof(*udp) > ICE_MSG_DATA_MAX)
		return;
	udp = (const struct udphdr *)(b + at);
	to.port_be = udp->dest;
	g_mutex_lock(&tun.lock);
	o = g_hash_table_lookup(tun.ports, GUINT_TO_POINTER(udp->source));
	s = o ? socket_of(o, &from) : NULL;
	if (s)
		o->send(o, s, &to, b + at + sizeof(*udp), len - at - sizeof(*udp));
	g_mutex_unlock(&tun.lock);
}

static gboolean on_readable(gint fd, GIOCondition cond, gpointer arg)
{
	_Alignas(8) uint8_t packet[PACKET_MAX];

	for (int n = 0; n < BATCH; n++) {
		ssize_t len = read(fd, packet, sizeof(packet));

		if (len <= 0)
			break;
		packet_out(packet, (size_t)len);
	}
	return G_SOURCE_CONTINUE;
}

GSource *shim_source_new(void)
{
	GSource *source = g_unix_fd_source_new(tun.fd, G_IO_IN);

	g_source_set_callback(source, G_SOURCE_FUNC(on_readable), NULL, NULL);
	return source;
}
