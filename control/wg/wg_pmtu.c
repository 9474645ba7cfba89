// SPDX-License-Identifier: BSD-3-Clause
//
// Path MTU. Routers answer datagrams that lcores sent, and their ICMP comes to the kernel, which checks it
// against our UDP socket and keeps an exception of its route. No netlink message tells of that, so raw
// sockets hear the same ICMP and straitd asks the kernel again for the way to that peer: what counts
// is the kernel's answer, never what stands in the packet. Only ICMP that quotes a datagram from an address and
// port of ours to one that a peer is sent to now is listened to (RFC 8201 section 4, RFC 5927 section 4): who
// is not on the way has to guess all four, and what it guesses wrong costs one look-up. Main loop thread.
#include "../addr.h"
#include "../keyed_hash.h"
#include "wg_internal.h"

#include <glib-unix.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PENDING_MAX    64 // peers that wait to be asked for; more ICMP within DELAY_MS is passed over
#define DELAY_MS       50 // the kernel hears the ICMP after us; and no more than 20 looks a second
#define KNOWN_MS       1000  // what endpoints are known for; an ICMP about a newer one comes again
#define LOOK_AGAIN_MS  60000 // exceptions end without a word
#define READS_PER_WAKE 32

struct known {
	struct wg_tuple tuple;
	uint32_t peer_id;
};

struct wg_pmtu {
	struct wg *wg;
	int fd[WG_FAMILIES]; // -1: none
	guint source[WG_FAMILIES], timer, again;
	uint32_t pending[PENDING_MAX]; // ids of peers
	unsigned int nb_pending;
	GHashTable *known; // set of struct known *, what is sent to at known_at; NULL before the first ICMP
	uint64_t known_at;
};

static guint known_hash(gconstpointer k)
{
	return keyed_hash(&((const struct known *)k)->tuple, sizeof(struct wg_tuple));
}

static gboolean known_equal(gconstpointer a, gconstpointer b)
{
	return !memcmp(a, b, sizeof(struct wg_tuple));
}

static void know(struct wg_pmtu *m, uint64_t now)
{
	const struct wg *wg = m->wg;

	if (m->known)
		g_hash_table_remove_all(m->known);
	else
		m->known = g_hash_table_new_full(known_hash, known_equal, g_free, NULL);
	m->known_at = now;
	for (uint32_t id = 0; id < wg->ids_end; id++) {
		const struct endpoint *e = wg->peers[id] ? &wg->peers[id]->endpoint : NULL;
		struct known *k;

		if (!e || !e->installed)
			continue;
		k = g_new0(struct known, 1);
		k->tuple = (struct wg_tuple){e->body.local, e->body.remote, e->body.local_port_be,
			e->body.remote_port_be};
		k->peer_id = id;
		g_hash_table_add(m->known, k);
	}
}

static void ask_again(struct peer *p)
{
	uint16_t before = p->endpoint.installed ? p->endpoint.body.path_mtu : 0;

	peer_install_endpoint(p);
	if (!p->endpoint.installed || p->endpoint.body.path_mtu == before)
		return;
	p->narrow = p->endpoint.body.path_mtu < before;
	g_message("%s: peer %s: path MTU %u, was %u", p->iface->name, p->name,
		p->endpoint.body.path_mtu, before);
}

static gboolean look(gpointer arg)
{
	struct wg_pmtu *m = arg;

	m->timer = 0;
	for (unsigned int k = 0; k < m->nb_pending; k++) {
		struct peer *p = m->wg->peers[m->pending[k]];

		if (p)
			ask_again(p);
	}
	m->nb_pending = 0;
	return G_SOURCE_REMOVE;
}

static gboolean look_at_narrow(gpointer arg)
{
	struct wg *wg = ((struct wg_pmtu *)arg)->wg;

	for (guint n = 0; n < wg->ifaces->len; n++) {
		struct wg_iface *i = wg->ifaces->pdata[n];

		for (GList *l = i->peer_list.head; l; l = l->next) {
			if (((struct peer *)l->data)->narrow)
				ask_again(l->data);
		}
	}
	return G_SOURCE_CONTINUE;
}

void wg_pmtu_told(struct wg_pmtu *m, const struct wg_tuple *quoted)
{
	const struct known like = {.tuple = *quoted}, *k;
	uint64_t now = wg_now();

	if (!m->known || now > m->known_at + KNOWN_MS)
		know(m, now);
	k = g_hash_table_lookup(m->known, &like);
	if (!k || m->nb_pending == PENDING_MAX)
		return;
	for (unsigned int n = 0; n < m->nb_pending; n++) {
		if (m->pending[n] == k->peer_id)
			return;
	}
	m->pending[m->nb_pending++] = k->peer_id;
	if (!m->timer)
		m->timer = g_timeout_add(DELAY_MS, look, m);
}

static void ports_fill(struct wg_tuple *t, const uint8_t *udp)
{
	memcpy(&t->local_port_be, udp, 2);
	memcpy(&t->remote_port_be, udp + 2, 2);
}

static struct st_addr addr4(const uint8_t *p)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	struct st_addr a;
	uint16_t port_be;

	memcpy(&sin.sin_addr, p, 4);
	(void)addr_from_sockaddr(&a, &port_be, (struct sockaddr *)&sin);
	return a;
}

// The raw socket gives the IPv4 header as well. What the router quotes follows the 8 bytes of ICMP; of a fragment
// only the first has the ports.
bool wg_pmtu_parse4(const uint8_t *p, size_t len, struct wg_tuple *ret)
{
	size_t head = len ? (size_t)(p[0] & 15) * 4 : 0, inner = head + 8, inner_head;

	if (head < 20 || len < inner + 20 || p[head] != ICMP_DEST_UNREACH ||
		p[head + 1] != ICMP_FRAG_NEEDED)
		return false;
	inner_head = (size_t)(p[inner] & 15) * 4;
	if (p[inner] >> 4 != 4 || inner_head < 20 || p[inner + 9] != IPPROTO_UDP ||
		(p[inner + 6] & 0x1f) || p[inner + 7] || len < inner + inner_head + 4)
		return false;
	ret->local = addr4(p + inner + 12);
	ret->remote = addr4(p + inner + 16);
	ports_fill(ret, p + inner + inner_head);
	return true;
}

// The raw socket gives ICMPv6 alone. The quoted datagram may be a first fragment.
bool wg_pmtu_parse6(const uint8_t *p, size_t len, struct wg_tuple *ret)
{
	size_t inner = sizeof(struct icmp6_hdr), udp = inner + sizeof(struct ip6_hdr);
	uint8_t next;

	if (len < udp + 4 || p[0] != ICMP6_PACKET_TOO_BIG || p[inner] >> 4 != 6)
		return false;
	next = p[inner + 6];
	if (next == IPPROTO_FRAGMENT && len >= udp + 8 + 4 && !(p[udp + 2] || p[udp + 3] & 0xf8)) {
		next = p[udp];
		udp += 8;
	}
	if (next != IPPROTO_UDP)
		return false;
	memcpy(ret->local.b, p + inner + 8, 16);
	memcpy(ret->remote.b, p + inner + 24, 16);
	ports_fill(ret, p + udp);
	return true;
}

static gboolean readable(gint fd, GIOCondition cond, gpointer arg)
{
	struct wg_pmtu *m = arg;
	struct wg_tuple quoted;
	uint8_t data[2048];

	for (int i = 0; i < READS_PER_WAKE; i++) {
		ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);

		if (n < 0)
			break;
		if (fd == m->fd[WG_V4] ? wg_pmtu_parse4(data, (size_t)n, &quoted)
				       : wg_pmtu_parse6(data, (size_t)n, &quoted))
			wg_pmtu_told(m, &quoted);
	}
	return G_SOURCE_CONTINUE;
}

static int open4(void)
{
	struct icmp_filter filter = {~(1U << ICMP_DEST_UNREACH)};
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP);

	if (fd >= 0)
		setsockopt(fd, SOL_RAW, ICMP_FILTER, &filter, sizeof(filter));
	return fd;
}

static int open6(void)
{
	struct icmp6_filter filter;
	int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMPV6);

	ICMP6_FILTER_SETBLOCKALL(&filter);
	ICMP6_FILTER_SETPASS(ICMP6_PACKET_TOO_BIG, &filter);
	if (fd >= 0)
		setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter));
	return fd;
}

struct wg_pmtu *wg_pmtu_new(struct wg *wg)
{
	struct wg_pmtu *m = g_new0(struct wg_pmtu, 1);

	m->wg = wg;
	m->fd[WG_V4] = open4();
	m->fd[WG_V6] = open6();
	for (int f = 0; f < WG_FAMILIES; f++) {
		if (m->fd[f] >= 0)
			m->source[f] = g_unix_fd_add(m->fd[f], G_IO_IN, readable, m);
		else if (errno != EAFNOSUPPORT)
			g_message("wg: smaller path MTUs are not noticed family=%s error=\"%s\"",
				wg_family_name(f), g_strerror(errno));
	}
	m->again = g_timeout_add(LOOK_AGAIN_MS, look_at_narrow, m);
	return m;
}

void wg_pmtu_free(struct wg_pmtu *m)
{
	for (int f = 0; f < WG_FAMILIES; f++) {
		if (m->fd[f] < 0)
			continue;
		g_source_remove(m->source[f]);
		close(m->fd[f]);
	}
	if (m->timer)
		g_source_remove(m->timer);
	g_source_remove(m->again);
	g_clear_pointer(&m->known, g_hash_table_destroy);
	g_free(m);
}
