// SPDX-License-Identifier: BSD-3-Clause
//
// One WireGuard interface: its key, listen port with two sockets, mark, port map entries and the WGIF
// object; see wg_internal.h. Main loop thread. It does not touch the TUN, which host.c makes.
#include "../addr.h"
#include "../conn/conn.h"
#include "../dp/dp.h"
#include "../dp/ids.h"
#include "../host/netlink.h"
#include "uapi.h"
#include "wg_internal.h"

#include <glib-unix.h>
#include <sodium.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SOCKET_PRIORITY   (G_PRIORITY_DEFAULT + 10) // strangers come last
#define RANDOM_PORT_TRIES 16

static guint key_hash(gconstpointer key)
{
	guint h;

	// Public keys are as good as random.
	memcpy(&h, key, sizeof(h));
	return h;
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
	return !memcmp(a, b, NOISE_KEY_LEN);
}

static guint bytes_hash(const uint8_t *b, size_t len)
{
	guint h = 2166136261U;

	for (size_t i = 0; i < len; i++)
		h = (h ^ b[i]) * 16777619U;
	return h;
}

static guint prefix_hash(gconstpointer p)
{
	return bytes_hash(p, sizeof(struct st_prefix));
}

static gboolean prefix_equal(gconstpointer a, gconstpointer b)
{
	return !memcmp(a, b, sizeof(struct st_prefix));
}

static guint portmap_hash(gconstpointer p)
{
	return bytes_hash(p, sizeof(struct st_portmap_key));
}

static gboolean portmap_equal(gconstpointer a, gconstpointer b)
{
	return !memcmp(a, b, sizeof(struct st_portmap_key));
}

struct wg_iface *wg_iface_new(struct wg *wg, const char *name, uint32_t if_id)
{
	struct wg_iface *i = g_new0(struct wg_iface, 1);

	i->wg = wg;
	g_strlcpy(i->name, name, sizeof(i->name));
	i->if_id = if_id;
	i->serial = ++wg->next_serial;
	i->mtu = 1420;
	for (int f = 0; f < WG_FAMILIES; f++)
		i->sockets[f].fd = -1;
	i->peers = g_hash_table_new(key_hash, key_equal);
	g_queue_init(&i->peer_list);
	i->allowed = g_hash_table_new(prefix_hash, prefix_equal);
	i->portmaps = g_hash_table_new_full(portmap_hash, portmap_equal, g_free, NULL);
	i->early = wg_early_new(i);
	g_ptr_array_add(wg->ifaces, i);
	netlink_map_iface(wg->nl, if_id, name);
	return i;
}

static void socket_close(struct wg_iface *i, enum wg_family family)
{
	struct wg_port *s = &i->sockets[family];

	if (s->fd < 0)
		return;
	g_source_remove(s->source);
	close(s->fd);
	*s = (struct wg_port){.fd = -1};
}

static uint32_t socket_id(const struct wg_iface *i, enum wg_family family)
{
	return i->if_id * WG_FAMILIES + family;
}

static void portmap_clear(struct wg_iface *i)
{
	GHashTableIter iter;
	gpointer key;

	g_hash_table_iter_init(&iter, i->portmaps);
	while (g_hash_table_iter_next(&iter, &key, NULL)) {
		dp_del(i->wg->dp, ST_PORTMAP, key, sizeof(struct st_portmap_key));
		g_hash_table_iter_remove(&iter);
	}
}

void wg_iface_release(struct wg_iface *i)
{
	struct wg *wg = i->wg;

	wg_uapi_close(i);
	while (i->peer_list.head)
		peer_release(i->peer_list.head->data);
	for (int f = 0; f < WG_FAMILIES; f++)
		socket_close(i, f);
	handshake_identity_unref(i->identity);
	g_hash_table_destroy(i->peers);
	g_hash_table_destroy(i->allowed);
	g_hash_table_destroy(i->portmaps);
	wg_early_free(i->early);
	g_ptr_array_remove(wg->ifaces, i);
	sodium_memzero(i, sizeof(*i));
	g_free(i);
}

void wg_iface_free(struct wg_iface *i)
{
	struct st_wgif_key key = {i->if_id};
	struct wg *wg = i->wg;

	wg_uapi_close(i);
	conn_iface_free(i->conns, false);
	while (i->peer_list.head)
		peer_free(i->peer_list.head->data);
	portmap_clear(i);
	for (int f = 0; f < WG_FAMILIES; f++) {
		if (i->sockets[f].parked)
			dp_socket_unpark(wg->dp, socket_id(i, f));
	}
	dp_del(wg->dp, ST_WGIF, &key, sizeof(key));
	netlink_map_iface(wg->nl, i->if_id, NULL);
	ids_put(i->name);
	wg_iface_release(i);
}

// ---- key -----------------------------------------------------------------------------------------

static bool same_key(const struct wg_iface *i, const struct noise_identity *id)
{
	const struct noise_identity *old;

	if (!i->identity || !id->has_key)
		return !i->identity && !id->has_key;
	old = handshake_identity_get(i->identity);
	return !sodium_memcmp(old->private_key, id->private_key, sizeof(id->private_key));
}

void wg_iface_set_key(struct wg_iface *i, const uint8_t private_key[NOISE_KEY_LEN])
{
	struct noise_identity id;
	struct peer *self;

	noise_identity_init(&id, private_key);
	if (same_key(i, &id)) {
		noise_identity_fini(&id);
		return;
	}
	handshake_identity_unref(i->identity);
	i->identity = id.has_key ? handshake_identity_new(&id) : NULL;
	i->identity_serial = ++i->wg->next_serial;
	memset(i->public_key, 0, sizeof(i->public_key));
	if (id.has_key)
		memcpy(i->public_key, id.public_key, sizeof(i->public_key));
	noise_identity_fini(&id);
	cookie_checker_init(&i->checker, i->public_key);
	self = wg_iface_peer(i, i->public_key);
	if (self)
		peer_free(self);
	for (GList *l = i->peer_list.head; l; l = l->next) {
		struct peer *p = l->data;

		// The sessions were made by somebody who we are no more.
		peer_clear_sessions(p, true);
		peer_rekey_identity(p);
		p->timers.last_handshake = 0;
	}
}

struct peer *wg_iface_peer(struct wg_iface *i, const uint8_t public_key[NOISE_KEY_LEN])
{
	return g_hash_table_lookup(i->peers, public_key);
}

// ---- port ----------------------------------------------------------------------------------------

static gboolean socket_readable(gint fd, GIOCondition cond, gpointer arg)
{
	int r = wg_socket_receive(fd, wg_receive, arg);

	// Errors of earlier sends arrive here too; they end nothing.
	if (r < 0 && r != -EAGAIN && r != -EINTR && r != -ECONNREFUSED)
		g_debug("wireguard socket: %s", g_strerror(-r));
	return G_SOURCE_CONTINUE;
}

static void socket_adopt(struct wg_iface *i, enum wg_family family, int fd, bool parked)
{
	struct wg_port *s = &i->sockets[family];
	GSource *source = g_unix_fd_source_new(fd, G_IO_IN);

	g_source_set_callback(source, G_SOURCE_FUNC(socket_readable), i, NULL);
	g_source_set_priority(source, SOCKET_PRIORITY);
	s->fd = fd;
	s->source = g_source_attach(source, NULL);
	s->parked = parked;
	g_source_unref(source);
}

struct opened {
	int fd[WG_FAMILIES];
	bool parked[WG_FAMILIES];
	uint16_t port;
};

static void opened_close(struct opened *o)
{
	for (int f = 0; f < WG_FAMILIES; f++) {
		if (o->fd[f] >= 0)
			close(o->fd[f]);
		o->fd[f] = -1;
	}
}

// One family. A machine without that family is served on the other alone.
static int open_family(struct wg_iface *i, struct opened *o, enum wg_family family)
{
	int fd = wg_recover_socket(i, family, o->port);
	int r;

	o->parked[family] = fd >= 0;
	if (fd < 0)
		fd = wg_socket_open(family, o->port, i->fwmark);
	if (fd == -EAFNOSUPPORT)
		return 0;
	if (fd < 0)
		return fd;
	o->fd[family] = fd;
	r = wg_socket_port(fd, family);
	if (r > 0)
		o->port = (uint16_t)r;
	return r < 0 ? r : 0;
}

static int open_both(struct wg_iface *i, struct opened *o, uint16_t port)
{
	int r;

	*o = (struct opened){.fd = {-1, -1}, .port = port};
	r = open_family(i, o, WG_V4);
	if (!r)
		r = open_family(i, o, WG_V6);
	if (!r && o->fd[WG_V4] < 0 && o->fd[WG_V6] < 0)
		r = -EAFNOSUPPORT;
	if (r)
		opened_close(o);
	return r;
}

static void port_replace(struct wg_iface *i, const struct opened *o)
{
	for (int f = 0; f < WG_FAMILIES; f++) {
		if (i->sockets[f].parked && !o->parked[f])
			dp_socket_unpark(i->wg->dp, socket_id(i, f));
		socket_close(i, f);
		if (o->fd[f] >= 0)
			socket_adopt(i, f, o->fd[f], o->parked[f]);
	}
	i->port = o->port;
	wg_iface_park(i, false);
	wg_iface_install(i);
	wg_iface_portmap(i);
	for (GList *l = i->peer_list.head; l; l = l->next)
		endpoint_clear_source(&((struct peer *)l->data)->endpoint);
	wg_iface_refresh_endpoints(i);
	if (i->conns)
		conn_port_changed(i->conns);
}

int wg_iface_set_port(struct wg_iface *i, uint16_t port)
{
	struct opened o;
	int r = -EADDRINUSE;

	if (i->port && (port == i->port || (port == i->wanted_port && !i->port_pending))) {
		i->wanted_port = port;
		i->port_pending = false;
		return 0;
	}
	// At random: the port that the first family got may be taken in the other.
	for (int n = 0; n < (port ? 1 : RANDOM_PORT_TRIES) && r == -EADDRINUSE; n++)
		r = open_both(i, &o, port);
	if (r)
		return r;
	i->wanted_port = port;
	i->port_pending = false;
	port_replace(i, &o);
	return 0;
}

int wg_iface_set_fwmark(struct wg_iface *i, uint32_t fwmark)
{
	int r;

	if (i->fwmark == fwmark)
		return 0;
	for (int f = 0; f < WG_FAMILIES; f++) {
		r = i->sockets[f].fd < 0 ? 0 : wg_socket_mark(i->sockets[f].fd, fwmark);
		if (r)
			return r;
	}
	i->fwmark = fwmark;
	for (GList *l = i->peer_list.head; l; l = l->next)
		endpoint_clear_source(&((struct peer *)l->data)->endpoint);
	wg_iface_refresh_endpoints(i);
	return 0;
}

void wg_iface_set_mtu(struct wg_iface *i, uint16_t mtu, bool mss_clamp)
{
	i->mtu = mtu;
	i->mss_clamp = mss_clamp;
	wg_iface_install(i);
}

void wg_iface_park(struct wg_iface *i, bool again)
{
	for (int f = 0; f < WG_FAMILIES; f++) {
		struct wg_port *s = &i->sockets[f];
		char purpose[sizeof(((struct st_socket *)NULL)->purpose)];

		if (s->fd < 0 || (s->parked && !again) || !dp_connected(i->wg->dp))
			continue;
		g_snprintf(purpose, sizeof(purpose), "wg %s %s %u", i->name, wg_family_name(f),
			i->port);
		dp_socket_park(i->wg->dp, socket_id(i, f), purpose, s->fd);
		s->parked = true;
	}
}

// ---- objects ---------------------------------------------------------------------------------------

void wg_iface_install(struct wg_iface *i)
{
	struct st_wgif body = {
		.key.if_id = i->if_id,
		.mtu = i->mtu,
		.listen_port_be = htons(i->port),
		.mss_clamp = i->mss_clamp,
	};

	memcpy(body.name, i->name, sizeof(body.name));
	memcpy(body.host_name, i->name, sizeof(body.host_name));
	dp_set(i->wg->dp, ST_WGIF, &body, sizeof(body), NULL, 0, NULL, NULL);
}

static bool is_loopback(const struct st_addr *a)
{
	static const struct st_addr v6 = {.b[15] = 1};

	return (addr_is_v4(a) && a->b[12] == 127) || !memcmp(a, &v6, sizeof(v6));
}

void wg_iface_portmap(struct wg_iface *i)
{
	GHashTable *wanted = g_hash_table_new_full(portmap_hash, portmap_equal, g_free, NULL);
	GHashTableIter iter;
	gpointer stale;

	for (guint n = 0; i->port && n < i->wg->addrs->len; n++) {
		const struct st_addr_key *own = &g_array_index(i->wg->addrs, struct st_addr_key, n);
		const struct st_addr *a = &own->addr;
		struct st_portmap body = {
			.key = {.addr = *a,
				.if_id = own->if_id,
				.port_lo_be = htons(i->port),
				.port_hi_be = htons(i->port)},
			.owner = ST_OWNER_WIREGUARD,
		};

		// Nothing comes off a wire for these.
		if (is_loopback(a) || i->sockets[wg_family_of(a)].fd < 0)
			continue;
		if (!g_hash_table_contains(i->portmaps, &body.key))
			wg_early_portmap(i->early, &body);
		g_hash_table_add(wanted, g_memdup2(&body.key, sizeof(body.key)));
	}
	g_hash_table_iter_init(&iter, i->portmaps);
	while (g_hash_table_iter_next(&iter, &stale, NULL)) {
		if (!g_hash_table_contains(wanted, stale))
			dp_del(i->wg->dp, ST_PORTMAP, stale, sizeof(struct st_portmap_key));
	}
	g_hash_table_destroy(i->portmaps);
	i->portmaps = wanted;
}

// ---- endpoints -------------------------------------------------------------------------------------

static bool is_tunnel(uint32_t if_id, void *arg)
{
	const struct wg *wg = arg;

	for (guint n = 0; n < wg->ifaces->len; n++) {
		if (((struct wg_iface *)wg->ifaces->pdata[n])->if_id == if_id)
			return true;
	}
	return false;
}

void wg_iface_env(struct wg_iface *i, struct endpoint_env *ret)
{
	*ret = (struct endpoint_env){
		.dp = i->wg->dp,
		.nl = i->wg->nl,
		.if_id = i->if_id,
		.fwmark = i->fwmark,
		.port = i->port,
		.is_tunnel = is_tunnel,
		.arg = i->wg,
	};
}

void wg_iface_refresh_endpoints(struct wg_iface *i)
{
	for (GList *l = i->peer_list.head; l; l = l->next)
		peer_install_endpoint(l->data);
}

int wg_iface_socket(const struct wg_iface *i, uint16_t local_port_be, const struct st_addr *remote)
{
	enum wg_family family = wg_family_of(remote);
	int fd = local_port_be && local_port_be != htons(i->port) && i->conns
			 ? conn_port_fd(i->conns, local_port_be, family)
			 : -1;

	return fd < 0 ? i->sockets[family].fd : fd;
}

// In from the wire's side of the lcores, as if the relayed address were somebody else's. The kernel's choice of a
// source towards an address of this box is that address.
static int send_to_relay(struct wg_iface *i, uint16_t local_port_be, const struct wg_to *to,
	const void *data, size_t len)
{
	struct st_packet_io io = {
		.peer_id = ST_NO_PEER,
		.local = *to->remote,
		.local_port_be = to->remote_port_be,
		.remote = addr_is_zero(to->local) ? *to->remote : *to->local,
		.remote_port_be = local_port_be ? local_port_be : htons(i->port),
	};

	if (len > ST_PACKET_MAX)
		return -EMSGSIZE;
	dp_packet_out(i->wg->dp, &io, data, (uint16_t)len);
	return 0;
}

int wg_iface_send_to(struct wg_iface *i, uint16_t local_port_be, const struct wg_to *to,
	const void *data, size_t len)
{
	const struct wg *wg = i->wg;
	int fd = wg_iface_socket(i, local_port_be, to->remote);

	if (fd < 0)
		return -EAFNOSUPPORT;
	if (wg->is_own_relay && wg->is_own_relay(to->remote, to->remote_port_be, wg->own_relay_arg))
		return send_to_relay(i, local_port_be, to, data, len);
	return wg_socket_send(fd, to, data, len);
}

void wg_iface_send(struct wg_iface *i, struct peer *p, uint8_t tos, const void *data, size_t len)
{
	struct endpoint *e = &p->endpoint;
	uint16_t port_be = e->pin ? e->pin->local_port_be : 0;
	struct wg_to to = {&e->local, &e->remote, e->port_be, tos, (int)endpoint_ifindex(e)};
	int r;

	if (!e->known || (p->conn && conn_send(p->conn, data, len)))
		return;
	r = wg_iface_send_to(i, port_be, &to, data, len);
	if ((r == -EINVAL || r == -EADDRNOTAVAIL) && !addr_is_zero(&e->local)) {
		// The sticky address is gone.
		endpoint_clear_source(e);
		peer_install_endpoint(p);
		r = wg_iface_send_to(i, port_be, &to, data, len);
	}
	if (!r) {
		p->handshake_tx_bytes += len;
		return;
	}
	i->wg->counters.send_failed++;
	p->last_error = g_intern_string(g_strerror(-r));
}
