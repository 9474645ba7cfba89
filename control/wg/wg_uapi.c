// SPDX-License-Identifier: BSD-3-Clause
//
// What wg(8) may ask of an interface and change in it. Main loop thread. Changes made here are kept in the
// overlay (overlay.h) and win over the configuration file. Routes are not touched, as wg(8) does not
// touch them either.
#include "../../crypto/keys.h"
#include "../addr.h"
#include "uapi.h"
#include "wg_internal.h"

#include <sodium.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static int set_private_key(const uint8_t key[NOISE_KEY_LEN], void *arg)
{
	struct wg_iface *i = arg;

	wg_iface_set_key(i, key);
	return 0;
}

static int set_listen_port(uint16_t port, void *arg)
{
	return -wg_iface_set_port(arg, port);
}

static int set_fwmark(uint32_t fwmark, void *arg)
{
	return -wg_iface_set_fwmark(arg, fwmark);
}

static int replace_peers(void *arg)
{
	struct wg_iface *i = arg;

	while (i->peer_list.head)
		peer_free(i->peer_list.head->data);
	return 0;
}

static int set_allowed(struct peer *p, const struct uapi_peer *c)
{
	int r = 0;

	if (c->replace_allowed)
		peer_clear_allowed(p);
	for (guint n = 0; n < c->allowed->len && !r; n++) {
		const struct uapi_allowed *a = &g_array_index(c->allowed, struct uapi_allowed, n);

		if (a->remove)
			peer_remove_allowed(p, &a->prefix);
		else
			r = peer_add_allowed(p, &a->prefix);
	}
	return -r;
}

static void set_endpoint(struct peer *p, const struct uapi_peer *c)
{
	char host[SCOPED_TEXT_MAX];

	// The same endpoint again takes a peer back from where it roamed.
	peer_configure_endpoint(p, NULL, 0);
	peer_configure_endpoint(
		p, addr_text_scoped(host, &c->endpoint, c->endpoint_scope), c->endpoint_port);
}

static int set_peer(const struct uapi_peer *c, void *arg)
{
	struct wg_iface *i = arg;
	struct peer *p = wg_iface_peer(i, c->public_key);
	char name[KEY_BASE64_LEN];
	int r;

	if (c->remove) {
		if (p && !c->continued)
			peer_free(p);
		return 0;
	}
	if (!p && (c->update_only || c->continued))
		return 0;
	if (!p && i->identity && !memcmp(i->public_key, c->public_key, NOISE_KEY_LEN))
		return 0; // ourselves
	if (!p) {
		key_to_base64(name, c->public_key);
		p = peer_new(i, c->public_key, name);
	}
	if (!p)
		return ENOSPC;
	if (c->has_psk)
		peer_set_psk(p, c->psk);
	r = set_allowed(p, c);
	if (c->has_endpoint)
		set_endpoint(p, c);
	if (c->has_keepalive)
		peer_set_keepalive(p, c->keepalive);
	return r;
}

// ---- get -------------------------------------------------------------------------------------------

static void add_key(GString *out, const char *name, const uint8_t key[NOISE_KEY_LEN])
{
	char hex[KEY_HEX_LEN];

	key_to_hex(hex, key);
	g_string_append_printf(out, "%s=%s\n", name, hex);
	sodium_memzero(hex, sizeof(hex));
}

static void add_prefix(GString *out, const struct st_prefix *prefix)
{
	char text[PREFIX_TEXT_MAX];

	g_string_append_printf(out, "allowed_ip=%s\n", prefix_text(text, prefix));
}

static void add_peer(GString *out, const struct peer *p)
{
	char tuple[TUPLE_TEXT_MAX + ST_NAME_MAX];

	add_key(out, "public_key", p->noise.public_key);
	add_key(out, "preshared_key", p->noise.preshared_key);
	g_string_append(out, "protocol_version=1\n");
	if (p->endpoint.known)
		g_string_append_printf(out, "endpoint=%s\n",
			tuple_text_scoped(tuple, &p->endpoint.remote, p->endpoint.port_be,
				p->endpoint.scope));
	g_string_append_printf(out,
		"last_handshake_time_sec=%" G_GINT64_FORMAT "\n"
		"last_handshake_time_nsec=%" G_GINT64_FORMAT "\n"
		"tx_bytes=%" G_GUINT64_FORMAT "\nrx_bytes=%" G_GUINT64_FORMAT "\n"
		"persistent_keepalive_interval=%u\n",
		p->handshake_us / G_USEC_PER_SEC, p->handshake_us % G_USEC_PER_SEC * 1000,
		p->tx_bytes + p->handshake_tx_bytes, p->rx_bytes + p->handshake_rx_bytes,
		p->timers.persistent);
	for (const GList *l = p->allowed.head; l; l = l->next)
		add_prefix(out, &((const struct allowed_ip *)l->data)->prefix);
}

static GString *describe(const struct wg_iface *i)
{
	// Large from the start, so that no copy of the key is left behind by growing.
	GString *out = g_string_sized_new(
		1024 + 512 * i->peer_list.length + 64 * g_hash_table_size(i->allowed));

	if (i->identity)
		add_key(out, "private_key", handshake_identity_get(i->identity)->private_key);
	g_string_append_printf(out, "listen_port=%u\n", i->port);
	if (i->fwmark)
		g_string_append_printf(out, "fwmark=%u\n", i->fwmark);
	for (const GList *l = i->peer_list.head; l; l = l->next)
		add_peer(out, l->data);
	return out;
}

struct get {
	struct uapi_client *client;
	struct wg_iface *iface; // valid unless the client is orphaned
};

static void get_ready(void *arg)
{
	struct get *g = arg;

	uapi_get_done(g->client, uapi_client_orphaned(g->client) ? NULL : describe(g->iface));
	g_free(g);
}

// With the counters of this moment, if the data plane is there to tell them.
static void get(struct uapi_client *client, void *arg)
{
	struct wg_iface *i = arg;
	struct get *g = g_new0(struct get, 1);

	g->client = client;
	g->iface = i;
	wg_stats_refresh(i->wg, get_ready, g);
}

static void set_done(void *arg)
{
	wg_overlay_note(((struct wg_iface *)arg)->wg);
}

static const struct uapi_ops ops = {
	.set = {set_private_key, set_listen_port, set_fwmark, replace_peers, set_peer, set_done},
	.get = get,
};

int wg_uapi_open(struct wg_iface *i)
{
	int r;

	i->uapi = uapi_new(i->wg->uapi_dir, i->name, &ops, i, &r);
	return r;
}

void wg_uapi_close(struct wg_iface *i)
{
	uapi_free(i->uapi);
	i->uapi = NULL;
}
