// SPDX-License-Identifier: BSD-3-Clause
//
// The connections of one WireGuard interface: its client of the signal service, its ICE, and the difference
// that a configuration makes; see conn.h. Main loop thread.
#include "../addr.h"
#include "../config/config.h"
#include "../wg/wg_internal.h"
#include "conn_internal.h"

#include <sodium.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define TIMERS_PER_DISPATCH 256
#define DOUBT_EVERY_MS      10000
#define REST_TTL_S          (12 * 3600) // of users made from a secret, as NetBird's
#define REST_RENEW_S        (REST_TTL_S * 3 / 4)

// ---- what the interface lends to ICE -------------------------------------------------------------------------

static int env_send(const struct st_addr *local, const struct st_addr *remote,
	uint16_t remote_port_be, const void *data, size_t len, void *arg)
{
	struct wg_to to = {.local = local, .remote = remote, .remote_port_be = remote_port_be};
	const struct conn_iface *ci = arg;

	return wg_iface_send_to(ci->wg, 0, &to, data, len);
}

static uint16_t env_port(void *arg)
{
	return ((struct conn_iface *)arg)->wg->port;
}

static uint32_t env_fwmark(void *arg)
{
	return ((struct conn_iface *)arg)->wg->fwmark;
}

static bool prefix_contains(const struct st_prefix *p, const struct st_addr *a)
{
	struct st_prefix net = {.addr = *a, .plen = p->plen};

	prefix_mask(&net);
	return !memcmp(&net.addr, &p->addr, sizeof(net.addr));
}

// An address inside one of our tunnels. A default route does not make every address one.
static bool env_overlay_address(const struct st_addr *a, void *arg)
{
	const struct wg *wg = ((struct conn_iface *)arg)->wg->wg;
	unsigned int least = addr_is_v4(a) ? 97 : 1;

	for (guint n = 0; n < wg->ifaces->len; n++) {
		const struct wg_iface *i = wg->ifaces->pdata[n];
		struct st_prefix net = {.addr = *a};

		for (unsigned int plen = 128; plen >= least; plen--) {
			net.plen = (uint8_t)plen;
			prefix_mask(&net);
			if (g_hash_table_contains(i->allowed, &net) && prefix_contains(&net, a))
				return true;
		}
	}
	return false;
}

static bool env_overlay_device(const char *name, void *arg)
{
	return wg_iface_find(((struct conn_iface *)arg)->wg->wg, name) != NULL;
}

static void env_inside(struct st_addr *addr, uint16_t port_be, void *arg)
{
	const struct wg *wg = ((struct conn_iface *)arg)->wg->wg;

	if (wg->inside)
		wg->inside(addr, port_be, wg->own_relay_arg);
}

static void env_wireguard(uint32_t peer_id, const struct wg_datagram *d, void *arg)
{
	wg_receive(d, ((struct conn_iface *)arg)->wg);
}

static int env_take_socket(uint32_t socket_id, void *arg)
{
	return wg_recover_take_socket(((struct conn_iface *)arg)->wg->wg, socket_id);
}

static void ice_start(struct conn_iface *ci)
{
	struct ice_env env = {
		.dp = ci->wg->wg->dp,
		.send = env_send,
		.port = env_port,
		.fwmark = env_fwmark,
		.overlay_address = env_overlay_address,
		.overlay_device = env_overlay_device,
		.inside = env_inside,
		.wireguard = env_wireguard,
		.take_socket = env_take_socket,
		.arg = ci,
	};

	memcpy(env.name, ci->wg->name, sizeof(env.name));
	ci->ice = ice_new(&env, NULL);
}

int conn_port_fd(const struct conn_iface *ci, uint16_t port_be, enum wg_family family)
{
	return ice_port_fd(ci->ice, port_be, family);
}

bool conns_have_port(uint16_t port_be, void *conns)
{
	const struct conns *cs = conns;

	for (guint n = 0; n < cs->ifaces->len; n++) {
		for (int family = 0; family < WG_FAMILIES; family++) {
			if (conn_port_fd(cs->ifaces->pdata[n], port_be, family) >= 0)
				return true;
		}
	}
	return false;
}

bool conn_receive(struct conn_iface *ci, const struct wg_datagram *d)
{
	return !ice_is_wireguard(d->data, d->len) && ice_receive(ci->ice, d);
}

// ---- signal service --------------------------------------------------------------------------------------------

static void each_conn(struct conn_iface *ci, void (*fn)(struct conn *c, void *arg), void *arg)
{
	for (GList *l = ci->wg->peer_list.head; l; l = l->next) {
		struct conn *c = ((struct peer *)l->data)->conn;

		if (c)
			fn(c, arg);
	}
}

static void tell_signal(struct conn *c, void *arg)
{
	conn_fsm_signal(&c->fsm, c->iface->signal_up, wg_now());
	conn_timer_update(c);
}

static void on_ready(bool up, void *arg)
{
	struct conn_iface *ci = arg;

	ci->signal_up = up;
	events_add(ci->conns->events, ci->wg->name, "", up ? "signal-up" : "signal-down", NULL);
	g_message("signal: %s interface=%s url=%s", up ? "connected" : "lost", ci->wg->name,
		ci->signal_url);
	each_conn(ci, tell_signal, NULL);
}

static void on_message(const struct signal_message *m, void *arg)
{
	struct conn_iface *ci = arg;
	struct peer *p = wg_iface_peer(ci->wg, m->peer);

	if (p && p->conn)
		conn_message(p->conn, m);
}

static void on_refused(const uint8_t *key, const char *why, uint64_t count, void *arg)
{
	struct conn_iface *ci = arg;
	struct peer *p = key ? wg_iface_peer(ci->wg, key) : NULL;

	if (p && p->conn)
		p->conn->fsm.refused += count;
	g_message(
		"signal: messages refused interface=%s peer=%s why=\"%s\" count=%" G_GUINT64_FORMAT,
		ci->wg->name, p ? p->name : "", why, count);
}

static const struct signal_ops signal_ops = {
	.ready = on_ready, .message = on_message, .refused = on_refused};

static void add_to_signal(struct conn *c, void *arg)
{
	signal_client_peer_add(c->iface->signal, c->peer->noise.public_key);
	tell_signal(c, NULL);
}

// Again when the service is another.
static int signal_start(struct conn_iface *ci, const struct config_wg *c, char **ret_error)
{
	const struct noise_identity *id = handshake_identity_get(ci->wg->identity);
	struct signal_settings settings = {.url = c->signal_url,
		.ca_file = c->signal_ca,
		.private_key = id->private_key,
		.public_key = id->public_key};
	struct signal_client *client;

	if (ci->signal && !g_strcmp0(ci->signal_url, c->signal_url) &&
		!g_strcmp0(ci->signal_ca, c->signal_ca))
		return 0;
	client = signal_client_new(&settings, &signal_ops, ci, ret_error);
	if (!client)
		return -EINVAL;
	signal_client_free(ci->signal);
	ci->signal = client;
	ci->signal_up = false;
	g_free(ci->signal_url);
	g_free(ci->signal_ca);
	ci->signal_url = g_strdup(c->signal_url);
	ci->signal_ca = g_strdup(c->signal_ca);
	each_conn(ci, add_to_signal, NULL);
	return 0;
}

// ---- settings of ICE ---------------------------------------------------------------------------------------------

// The time-limited scheme of coturn (use-auth-secret), as NetBird uses it: the user is the end of its
// time, the password the base64 of HMAC-SHA1 over it.
static void rest_credentials(const char *secret, struct ice_server *ret)
{
	int64_t expiry = g_get_real_time() / G_USEC_PER_SEC + REST_TTL_S;
	GHmac *hmac = g_hmac_new(G_CHECKSUM_SHA1, (const guchar *)secret, strlen(secret));
	guint8 digest[20];
	gsize len = sizeof(digest);

	ret->username = g_strdup_printf("%" G_GINT64_FORMAT, expiry);
	g_hmac_update(hmac, (const guchar *)ret->username, (gssize)strlen(ret->username));
	g_hmac_get_digest(hmac, digest, &len);
	g_hmac_unref(hmac);
	ret->password = g_base64_encode(digest, len);
}

// True: there is a user that ends.
static bool fill_servers(const GPtrArray *from, struct ice_server *servers)
{
	bool rest = false;

	for (guint n = 0; n < from->len; n++) {
		const struct config_ice_server *s = from->pdata[n];

		servers[n].url = s->url;
		if (s->secret) {
			rest_credentials(s->secret, &servers[n]);
			rest = true;
		} else {
			servers[n].username = g_strdup(s->username);
			servers[n].password = g_strdup(s->password);
		}
	}
	return rest;
}

static char **texts(const GPtrArray *list)
{
	char **ret = list ? g_new0(char *, list->len + 1) : NULL;

	for (guint n = 0; ret && n < list->len; n++)
		ret[n] = g_strdup(list->pdata[n]);
	return ret;
}

static int on_renew(void *arg);

static int settings_apply(struct conn_iface *ci, char **ret_error)
{
	struct ice_server servers[ICE_MAX_SERVERS] = {{0}};
	struct ice_settings s = ci->settings;
	int r;

	s.servers = servers;
	s.nb_servers = MIN(ci->servers->len, ICE_MAX_SERVERS);
	if (ci->renew)
		g_source_remove(ci->renew);
	ci->renew = 0;
	if (fill_servers(ci->servers, servers))
		ci->renew = g_timeout_add_seconds(REST_RENEW_S, on_renew, ci);
	r = ice_settings_check(&s, ret_error);
	if (!r)
		ice_apply(ci->ice, &s);
	for (unsigned int n = 0; n < s.nb_servers; n++) {
		g_free(servers[n].username);
		config_secret_free(servers[n].password);
	}
	return r;
}

static int on_renew(void *arg)
{
	struct conn_iface *ci = arg;
	char *error = NULL;

	ci->renew = 0;
	if (settings_apply(ci, &error))
		g_warning("ice: credentials not renewed error=\"%s\"", error);
	g_free(error);
	return G_SOURCE_REMOVE;
}

static void settings_take(struct conn_iface *ci, const struct config_ice *c)
{
	g_ptr_array_set_size(ci->servers, 0);
	ci->relays = 0;
	for (guint n = 0; n < c->servers->len; n++) {
		const struct config_ice_server *s = c->servers->pdata[n];
		struct config_ice_server *copy = g_new0(struct config_ice_server, 1);

		copy->url = g_strdup(s->url);
		copy->turn = s->turn;
		copy->username = g_strdup(s->username);
		copy->password = g_strdup(s->password);
		copy->secret = g_strdup(s->secret);
		g_ptr_array_add(ci->servers, copy);
		ci->relays += s->turn;
	}
	g_strfreev(ci->settings.nat_external_ips);
	g_strfreev(ci->settings.interface_blacklist);
	ci->settings.nat_external_ips = texts(c->nat_external_ips);
	ci->settings.interface_blacklist = texts(c->interface_blacklist);
	ci->settings.disable_ipv6_discovery = c->disable_ipv6_discovery;
	ci->settings.port_per_peer = c->port_per_peer;
	ci->port_reachable = c->port_reachable;
	ci->relay_standby = c->relay_standby;
}

// What a reload changed, so that an unchanged file does not disturb anything.
static char *settings_text(const struct config_ice *c)
{
	GString *out = g_string_new(NULL);
	char *hash;

	for (guint n = 0; n < c->servers->len; n++) {
		const struct config_ice_server *s = c->servers->pdata[n];

		g_string_append_printf(out, "%s %s %s %s\n", s->url, s->username ? s->username : "",
			s->password ? s->password : "", s->secret ? s->secret : "");
	}
	for (guint n = 0; c->nat_external_ips && n < c->nat_external_ips->len; n++)
		g_string_append_printf(out, "nat %s\n", (char *)c->nat_external_ips->pdata[n]);
	for (guint n = 0; c->interface_blacklist && n < c->interface_blacklist->len; n++)
		g_string_append_printf(out, "not %s\n", (char *)c->interface_blacklist->pdata[n]);
	g_string_append_printf(out, "%d %d %d %d", c->disable_ipv6_discovery, c->port_reachable,
		c->relay_standby, c->port_per_peer);
	hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, out->str, (gssize)out->len);
	sodium_memzero(out->str, out->len);
	g_string_free(out, TRUE);
	return hash;
}

// ---- life --------------------------------------------------------------------------------------------------------

static gboolean timers_dispatch(GSource *source, GSourceFunc callback, gpointer arg)
{
	return callback(arg);
}

static GSourceFuncs timer_funcs = {.dispatch = timers_dispatch};

static gboolean timers_due(gpointer arg)
{
	struct conn_iface *ci = arg;
	uint64_t now = wg_now();

	for (int n = 0; n < TIMERS_PER_DISPATCH; n++) {
		GSequenceIter *first = g_sequence_get_begin_iter(ci->timers);
		struct conn *c = g_sequence_iter_is_end(first) ? NULL : g_sequence_get(first);

		if (!c || c->due > now)
			break;
		conn_due(c, now);
		if (c->due <= now)
			break; // the next dispatch, others first
	}
	conn_timers_rearm(ci);
	return G_SOURCE_CONTINUE;
}

static struct conn_iface *iface_new(struct conns *cs, struct wg_iface *wg)
{
	struct conn_iface *ci = g_new0(struct conn_iface, 1);

	ci->conns = cs;
	ci->wg = wg;
	ci->timers = g_sequence_new(NULL);
	ci->servers = g_ptr_array_new_with_free_func(config_ice_server_free);
	pace_init(&ci->pace, wg_now());
	ci->source = g_source_new(&timer_funcs, sizeof(GSource));
	g_source_set_callback(ci->source, timers_due, ci, NULL);
	g_source_attach(ci->source, NULL);
	memcpy(ci->public_key, wg->public_key, sizeof(ci->public_key));
	ice_start(ci);
	wg->conns = ci;
	g_ptr_array_add(cs->ifaces, ci);
	return ci;
}

void conn_iface_free(struct conn_iface *ci, bool keep_paths)
{
	if (!ci)
		return;
	for (GList *l = ci->wg->peer_list.head; l; l = l->next) {
		struct peer *p = l->data;

		if (p->conn)
			conn_free(p->conn, keep_paths);
	}
	ci->wg->conns = NULL;
	g_ptr_array_remove(ci->conns->ifaces, ci);
	if (ci->renew)
		g_source_remove(ci->renew);
	signal_client_free(ci->signal);
	ice_free(ci->ice);
	g_source_destroy(ci->source);
	g_source_unref(ci->source);
	g_sequence_free(ci->timers);
	g_ptr_array_unref(ci->servers);
	g_strfreev(ci->settings.nat_external_ips);
	g_strfreev(ci->settings.interface_blacklist);
	g_free(ci->settings_hash);
	g_free(ci->signal_url);
	g_free(ci->signal_ca);
	g_free(ci);
}

struct conns *conns_new(struct wg *wg, struct events *events)
{
	struct conns *cs = g_new0(struct conns, 1);

	cs->wg = wg;
	cs->events = events;
	cs->ifaces = g_ptr_array_new();
	return cs;
}

void conns_free(struct conns *cs)
{
	if (!cs)
		return;
	while (cs->ifaces->len)
		conn_iface_free(cs->ifaces->pdata[cs->ifaces->len - 1], true);
	g_ptr_array_unref(cs->ifaces);
	g_free(cs);
}

// ---- configuration -----------------------------------------------------------------------------------------------

static void apply_peers(struct conn_iface *ci, const struct config_wg *c)
{
	GList *l;

	for (l = ci->wg->peer_list.head; l; l = l->next) {
		struct conn *conn = ((struct peer *)l->data)->conn;

		if (conn)
			conn->mark = true;
	}
	for (guint n = 0; n < c->peers->len; n++) {
		const struct config_peer *cp = c->peers->pdata[n];
		struct peer *p = cp->ice ? wg_iface_peer(ci->wg, cp->public_key) : NULL;

		if (!p)
			continue;
		if (!p->conn)
			conn_peer_begin(ci, p);
		p->conn->mark = false;
	}
	for (l = ci->wg->peer_list.head; l; l = l->next) {
		struct peer *p = l->data;

		if (!p->conn || !p->conn->mark)
			continue;
		conn_free(p->conn, false);
		peer_install_endpoint(p);
	}
}

static int apply_iface(
	struct conns *cs, struct wg_iface *wg, const struct config_wg *c, char **ret_error)
{
	struct conn_iface *ci = wg->conns;
	g_autofree char *hash = settings_text(&c->ice);
	int r;

	// Another key is another end: nothing of the old one goes on.
	if (ci && memcmp(ci->public_key, wg->public_key, sizeof(ci->public_key))) {
		conn_iface_free(ci, false);
		ci = NULL;
	}
	if (!ci)
		ci = iface_new(cs, wg);
	if (g_strcmp0(hash, ci->settings_hash)) {
		settings_take(ci, &c->ice);
		r = settings_apply(ci, ret_error);
		if (r)
			return r;
		g_free(ci->settings_hash);
		ci->settings_hash = g_steal_pointer(&hash);
	}
	r = signal_start(ci, c, ret_error);
	if (!r)
		apply_peers(ci, c);
	return r;
}

int conns_apply(struct conns *cs, const struct config *c, char **ret_error)
{
	for (guint n = 0; n < c->wgs->len; n++) {
		const struct config_wg *cw = c->wgs->pdata[n];
		struct wg_iface *wg = wg_iface_find(cs->wg, cw->name);
		int r = 0;

		if (!wg)
			continue;
		if (cw->signal_url && wg->identity)
			r = apply_iface(cs, wg, cw, ret_error);
		else
			conn_iface_free(wg->conns, false);
		if (r)
			return r;
	}
	return 0;
}

// ---- the world changes -------------------------------------------------------------------------------------------

static bool is_ours(const struct wg *wg, const struct st_addr *a)
{
	for (guint n = 0; n < wg->addrs->len; n++) {
		if (!memcmp(&g_array_index(wg->addrs, struct st_addr_key, n).addr, a, sizeof(*a)))
			return true;
	}
	return false;
}

static void give_up_gone(struct conn *c, const struct conn_path *p)
{
	if (p && !is_ours(c->iface->wg->wg, p->path.relayed ? &p->path.relay.base : &p->path.local))
		conn_path_give_up(c, p, "the local address is gone");
}

static void network_changed(struct conn *c, void *arg)
{
	// What stands by first: a pair from the same address is not to be switched to.
	give_up_gone(c, c->fsm.paths.fallback);
	give_up_gone(c, c->fsm.paths.selected);
	conn_fsm_network_changed(&c->fsm, wg_now());
	conn_timer_update(c);
}

// Of a change it is told once, by whichever of the two that follow comes first.
static void hosts_look(struct conn_iface *ci)
{
	enum ice_hosts_change change = ice_addresses_changed(ci->ice);

	if (change != ICE_HOSTS_SAME && ci->signal)
		signal_client_network_changed(ci->signal,
			change == ICE_HOSTS_GONE ? SIGNAL_NETWORK_MOVED : SIGNAL_NETWORK_DOUBT);
}

void conns_addrs_changed(struct conns *cs)
{
	for (guint n = 0; n < cs->ifaces->len; n++) {
		struct conn_iface *ci = cs->ifaces->pdata[n];

		hosts_look(ci);
		each_conn(ci, network_changed, NULL);
	}
}

// The peer sends to the old port until it hears where we are.
static void port_changed(struct conn *c, void *arg)
{
	const struct conn_path *s = c->fsm.paths.selected;

	if (!s || s->path.relayed || s->path.local_port_be != htons(c->iface->wg->port))
		return;
	conn_fsm_reconnect(&c->fsm, wg_now());
	conn_timer_update(c);
}

void conn_port_changed(struct conn_iface *ci)
{
	hosts_look(ci);
	each_conn(ci, port_changed, NULL);
}

void conn_iface_doubt(struct conn_iface *ci)
{
	uint64_t now = wg_now();

	if (ci->doubted_at && now < ci->doubted_at + DOUBT_EVERY_MS)
		return;
	ci->doubted_at = now;
	ice_network_doubt(ci->ice);
	if (ci->signal)
		signal_client_network_changed(ci->signal, SIGNAL_NETWORK_DOUBT);
}

void conns_routes_changed(struct conns *cs)
{
	for (guint n = 0; n < cs->ifaces->len; n++) {
		struct conn_iface *ci = cs->ifaces->pdata[n];

		if (ci->signal && !ci->signal_up)
			signal_client_network_changed(ci->signal, SIGNAL_NETWORK_ROUTES);
	}
}

void conns_dp_connected(struct conns *cs)
{
	for (guint n = 0; n < cs->ifaces->len; n++)
		ice_dp_connected(((struct conn_iface *)cs->ifaces->pdata[n])->ice);
}
