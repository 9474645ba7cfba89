// SPDX-License-Identifier: BSD-3-Clause
//
// Ports of single peers; see peer_port.h.
#include "peer_port.h"

#include "../dp/dp.h"

#include <glib-unix.h>

#include <errno.h>
#include <unistd.h>

#define SOCKET_ID_FIRST 0x40000000U // above those of TURN clients
#define OPEN_TRIES      16          // the number that one family got may be taken in the other

struct ice_port {
	struct ice_ports *ports;
	uint32_t peer_id;
	uint16_t port_be;
	int fd[WG_FAMILIES]; // -1 = not of this machine
	guint source[WG_FAMILIES];
	GArray *mapped; // of struct st_portmap_key
	struct stun_client *stun;
};

struct ice_ports {       // counted: answers of the data plane may come after its end
	struct ice *ice; // NULL = that was
	struct log_pace refused;
	GHashTable *by_peer;   // peer id -> struct ice_port *
	GHashTable *by_number; // port_be -> the same
};

static uint32_t socket_id(const struct ice_port *p, enum wg_family family)
{
	return SOCKET_ID_FIRST + p->peer_id * WG_FAMILIES + family;
}

// ---- in ------------------------------------------------------------------------------------------------

static void on_datagram(const struct wg_datagram *d, void *arg)
{
	struct ice_port *p = arg;
	struct wg_datagram own = *d;
	const struct ice_env *env = &p->ports->ice->env;

	own.local_port_be = p->port_be;
	env->wireguard(p->peer_id, &own, env->arg); // which gives us what is none
}

static gboolean on_readable(gint fd, GIOCondition cond, gpointer arg)
{
	(void)wg_socket_receive(fd, on_datagram, arg);
	return G_SOURCE_CONTINUE;
}

// ---- the data plane ------------------------------------------------------------------------------------

// A SET under way.
struct mapping {
	struct ice_ports *ports;
	uint32_t peer_id;
	struct st_portmap_key key;
};

static void unmap_one(struct ice_port *p, const struct st_portmap_key *key)
{
	for (guint n = 0; n < p->mapped->len; n++) {
		if (memcmp(&g_array_index(p->mapped, struct st_portmap_key, n), key, sizeof(*key)))
			continue;
		dp_del(p->ports->ice->env.dp, ST_PORTMAP, key, sizeof(*key));
		g_array_remove_index_fast(p->mapped, n);
		return;
	}
}

// Without its entry the lcores take the port for the kernel's, and no data of the peer would pass. The next attempt
// asks again.
static void refused(struct ice_ports *ps, const struct mapping *m, int status)
{
	struct ice_port *p = g_hash_table_lookup(ps->by_peer, GUINT_TO_POINTER(m->peer_id));
	const char *why =
		status == -ENOSPC
			? "the port map is full: \"port_mode\" \"single\" needs one port for all"
			: g_strerror(-status);
	uint64_t count;

	if (!p || p->port_be != m->key.port_lo_be)
		return;
	unmap_one(p, &m->key);
	ps->ice->counters.ports_refused++;
	count = log_pace_take(&ps->refused);
	if (count)
		g_warning(
			"ice: ports of peers refused interface=%s peer=%u count=%" G_GUINT64_FORMAT
			" why=\"%s\"",
			ps->ice->env.name, m->peer_id, count, why);
	ice_agents_no_port(ps->ice, m->peer_id, why);
}

static void on_mapped(int status, void *arg)
{
	struct mapping *m = arg;

	// -ENOTCONN: it is sent when the data plane is there.
	if (status && status != -ENOTCONN && m->ports->ice)
		refused(m->ports, m, status);
	g_rc_box_release(m->ports);
	g_free(m);
}

static void map_one(struct ice_port *p, const struct st_addr *addr)
{
	struct st_portmap body = {
		.key = {.addr = *addr, .port_lo_be = p->port_be, .port_hi_be = p->port_be},
		.owner = ST_OWNER_PEER,
	};
	struct mapping *m = g_new0(struct mapping, 1);

	*m = (struct mapping){g_rc_box_acquire(p->ports), p->peer_id, body.key};
	g_array_append_val(p->mapped, body.key);
	dp_set(p->ports->ice->env.dp, ST_PORTMAP, &body, sizeof(body), NULL, 0, on_mapped, m);
}

static void map(struct ice_port *p)
{
	const struct ice *ice = p->ports->ice;
	GArray *before = p->mapped;

	p->mapped = g_array_new(FALSE, FALSE, sizeof(struct st_portmap_key));
	for (guint n = 0; ice->env.dp && n < ice->hosts->len; n++)
		map_one(p, &g_array_index(ice->hosts, struct st_addr, n));
	for (guint n = 0; n < before->len; n++) {
		const struct st_portmap_key *old = &g_array_index(before, struct st_portmap_key, n);
		bool kept = false;

		for (guint k = 0; k < p->mapped->len; k++)
			kept |= !memcmp(old, &g_array_index(p->mapped, struct st_portmap_key, k),
				sizeof(*old));
		if (!kept)
			dp_del(ice->env.dp, ST_PORTMAP, old, sizeof(*old));
	}
	g_array_unref(before);
}

static void park(struct ice_port *p)
{
	const struct ice *ice = p->ports->ice;
	char purpose[sizeof(((struct st_socket *)NULL)->purpose)];

	if (!ice->env.dp || !dp_connected(ice->env.dp))
		return;
	g_snprintf(purpose, sizeof(purpose), "ice %s peer %u port %u", ice->env.name, p->peer_id,
		ntohs(p->port_be));
	for (int f = 0; f < WG_FAMILIES; f++) {
		if (p->fd[f] >= 0)
			dp_socket_park(ice->env.dp, socket_id(p, f), purpose, p->fd[f]);
	}
}

static void unpark(struct ice_port *p)
{
	struct dp *dp = p->ports->ice->env.dp;

	for (int f = 0; dp && f < WG_FAMILIES; f++) {
		if (p->fd[f] >= 0)
			dp_socket_unpark(dp, socket_id(p, f));
	}
	for (guint n = 0; dp && n < p->mapped->len; n++)
		dp_del(dp, ST_PORTMAP, &g_array_index(p->mapped, struct st_portmap_key, n),
			sizeof(struct st_portmap_key));
}

// ---- life ----------------------------------------------------------------------------------------------

static void port_free(gpointer arg)
{
	struct ice_port *p = arg;

	g_hash_table_remove(p->ports->by_number, GUINT_TO_POINTER(p->port_be));
	for (int f = 0; f < WG_FAMILIES; f++) {
		if (p->source[f])
			g_source_remove(p->source[f]);
		if (p->fd[f] >= 0)
			close(p->fd[f]);
	}
	stun_client_free(p->stun);
	g_array_unref(p->mapped);
	g_free(p);
}

static void adopt(struct ice_port *p, const int fd[WG_FAMILIES], uint16_t port)
{
	struct ice_ports *ps = p->ports;

	p->port_be = htons(port);
	p->mapped = g_array_new(FALSE, FALSE, sizeof(struct st_portmap_key));
	p->stun = stun_client_new(ps->ice, p->port_be);
	for (int f = 0; f < WG_FAMILIES; f++) {
		p->fd[f] = fd[f];
		if (fd[f] >= 0)
			p->source[f] = g_unix_fd_add(fd[f], G_IO_IN, on_readable, p);
	}
	g_hash_table_insert(ps->by_peer, GUINT_TO_POINTER(p->peer_id), p);
	g_hash_table_insert(ps->by_number, GUINT_TO_POINTER(p->port_be), p);
	map(p);
	park(p);
}

static void close_both(int fd[WG_FAMILIES])
{
	for (int f = 0; f < WG_FAMILIES; f++) {
		if (fd[f] >= 0)
			close(fd[f]);
		fd[f] = -1;
	}
}

// The port, or -errno.
static int open_both(int fd[WG_FAMILIES], uint32_t fwmark)
{
	int port = 0;

	fd[WG_V6] = -1;
	fd[WG_V4] = wg_socket_open(WG_V4, 0, fwmark);
	if (fd[WG_V4] >= 0)
		port = wg_socket_port(fd[WG_V4], WG_V4);
	else if (fd[WG_V4] != -EAFNOSUPPORT)
		return fd[WG_V4];
	fd[WG_V6] = port < 0 ? port : wg_socket_open(WG_V6, (uint16_t)port, fwmark);
	if (fd[WG_V6] >= 0)
		return port ? port : wg_socket_port(fd[WG_V6], WG_V6);
	if (fd[WG_V6] == -EAFNOSUPPORT && port > 0)
		return port;
	port = fd[WG_V6];
	close_both(fd);
	return port;
}

static struct ice_port *port_open(struct ice_ports *ps, uint32_t peer_id)
{
	const struct ice_env *env = &ps->ice->env;
	int fd[WG_FAMILIES] = {-1, -1}, port = -EADDRINUSE;
	struct ice_port *p;

	for (int n = 0; n < OPEN_TRIES && port == -EADDRINUSE; n++)
		port = open_both(fd, env->fwmark ? env->fwmark(env->arg) : 0);
	if (port < 0) {
		errno = -port;
		return NULL;
	}
	p = g_new0(struct ice_port, 1);
	p->ports = ps;
	p->peer_id = peer_id;
	adopt(p, fd, (uint16_t)port);
	return p;
}

struct ice_port *ice_port_get(struct ice_ports *ps, uint32_t peer_id)
{
	struct ice_port *p = g_hash_table_lookup(ps->by_peer, GUINT_TO_POINTER(peer_id));
	const struct ice_env *env = &ps->ice->env;

	if (!p)
		return port_open(ps, peer_id);
	for (int f = 0; env->fwmark && f < WG_FAMILIES; f++) {
		if (p->fd[f] >= 0)
			(void)wg_socket_mark(p->fd[f], env->fwmark(env->arg));
	}
	map(p);
	return p;
}

void ice_peer_recover(struct ice *ice, uint32_t peer_id)
{
	struct ice_port *p = g_new0(struct ice_port, 1);
	int fd[WG_FAMILIES], port = 0;

	p->ports = ice->ports;
	p->peer_id = peer_id;
	for (int f = 0; f < WG_FAMILIES; f++) {
		int r;

		fd[f] = ice->env.take_socket ? ice->env.take_socket(socket_id(p, f), ice->env.arg)
					     : -1;
		r = fd[f] < 0 ? 0 : wg_socket_port(fd[f], f);
		if (r > 0 && (!port || r == port)) {
			port = r;
		} else if (fd[f] >= 0) {
			close(fd[f]);
			fd[f] = -1;
		}
	}
	if (port)
		adopt(p, fd, (uint16_t)port);
	else
		g_free(p);
}

void ice_peer_gone(struct ice *ice, uint32_t peer_id)
{
	struct ice_port *p = g_hash_table_lookup(ice->ports->by_peer, GUINT_TO_POINTER(peer_id));

	if (!p)
		return;
	unpark(p);
	g_hash_table_remove(ice->ports->by_peer, GUINT_TO_POINTER(peer_id));
}

struct ice_ports *ice_ports_new(struct ice *ice)
{
	struct ice_ports *ps = g_rc_box_new0(struct ice_ports);

	ps->ice = ice;
	ps->by_number = g_hash_table_new(NULL, NULL);
	ps->by_peer = g_hash_table_new_full(NULL, NULL, NULL, port_free);
	return ps;
}

void ice_ports_free(struct ice_ports *ps)
{
	g_hash_table_destroy(ps->by_peer);
	g_hash_table_destroy(ps->by_number);
	ps->ice = NULL;
	g_rc_box_release(ps);
}

// ---- use -----------------------------------------------------------------------------------------------

struct ice_port *ice_port_find(const struct ice_ports *ps, uint16_t port_be)
{
	return g_hash_table_lookup(ps->by_number, GUINT_TO_POINTER(port_be));
}

uint16_t ice_port_number(const struct ice_port *p)
{
	return p->port_be;
}

struct stun_client *ice_port_stun(const struct ice_port *p)
{
	return p->stun;
}

int ice_port_send(const struct ice_port *p, const struct st_addr *local,
	const struct st_addr *remote, uint16_t remote_port_be, const void *data, size_t len)
{
	struct wg_to to = {.local = local, .remote = remote, .remote_port_be = remote_port_be};
	int fd = p->fd[wg_family_of(remote)];

	return fd < 0 ? -EAFNOSUPPORT : wg_socket_send(fd, &to, data, len);
}

int ice_port_fd(const struct ice *ice, uint16_t port_be, enum wg_family family)
{
	const struct ice_port *p = ice_port_find(ice->ports, port_be);

	return p ? p->fd[family] : -1;
}

static void each(struct ice_ports *ps, void (*fn)(struct ice_port *p))
{
	GHashTableIter it;
	gpointer value;

	g_hash_table_iter_init(&it, ps->by_peer);
	while (g_hash_table_iter_next(&it, NULL, &value))
		fn(value);
}

void ice_ports_park(struct ice_ports *ps)
{
	each(ps, park);
}

void ice_ports_hosts_changed(struct ice_ports *ps)
{
	each(ps, map);
}

static void forget(struct ice_port *p)
{
	stun_client_forget(p->stun);
}

void ice_ports_stun_forget(struct ice_ports *ps)
{
	each(ps, forget);
}

unsigned int ice_ports_count(const struct ice_ports *ps)
{
	return g_hash_table_size(ps->by_peer);
}
