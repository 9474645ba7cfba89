// SPDX-License-Identifier: BSD-3-Clause
//
// A configuration with what wg(8) changed on top becomes interfaces and peers: only what differs is touched,
// so that sessions stay. Main loop thread.
#include "../config/config.h"
#include "../config/overlay.h"
#include "../dp/ids.h"
#include "wg_internal.h"

#include <errno.h>
#include <string.h>

static int apply_port(struct wg_iface *i, uint16_t port, char **ret_error)
{
	int r = wg_iface_set_port(i, port);

	if (!r)
		return 0;
	// It may be an earlier straitd's, parked in a data plane that we have not met yet.
	if (r == -EADDRINUSE && !i->wg->recovery_done) {
		g_warning("%s: port %u is in use; trying again", i->name, port);
		i->wanted_port = port;
		i->port_pending = true;
		return 0;
	}
	*ret_error =
		g_strdup_printf("interface %s: listen port %u: %s", i->name, port, g_strerror(-r));
	return r;
}

static void apply_allowed(struct peer *p, const GArray *wanted)
{
	GHashTable *keep = g_hash_table_new(g_direct_hash, g_direct_equal);
	GList *l, *next;

	for (guint n = 0; n < wanted->len; n++) {
		const struct st_prefix *prefix = &g_array_index(wanted, struct st_prefix, n);

		if (peer_add_allowed(p, prefix))
			g_warning("peer %s: too many allowed IPs", p->name);
		g_hash_table_add(keep, g_hash_table_lookup(p->iface->allowed, prefix));
	}
	for (l = p->allowed.head; l; l = next) {
		next = l->next;
		if (!g_hash_table_contains(keep, l->data))
			peer_remove_allowed(p, &((struct allowed_ip *)l->data)->prefix);
	}
	g_hash_table_destroy(keep);
}

static int apply_peer(struct wg_iface *i, const struct config_peer *c, char **ret_error)
{
	static const uint8_t no_psk[NOISE_KEY_LEN];
	struct peer *p = wg_iface_peer(i, c->public_key);

	if (i->identity && !memcmp(i->public_key, c->public_key, NOISE_KEY_LEN))
		return 0; // ourselves
	if (!p)
		p = peer_new(i, c->public_key, c->name);
	if (!p) {
		*ret_error =
			g_strdup_printf("interface %s: more than %d peers", i->name, ST_MAX_PEERS);
		return -ENOSPC;
	}
	peer_rename(p, c->name);
	peer_set_psk(p, c->has_preshared_key ? c->preshared_key : no_psk);
	apply_allowed(p, c->allowed_ips);
	peer_configure_endpoint(p, c->endpoint_host, c->endpoint_port);
	peer_set_keepalive(p, c->keepalive);
	return 0;
}

static void remove_other_peers(struct wg_iface *i, const struct config_wg *c)
{
	GHashTable *keep = g_hash_table_new(g_direct_hash, g_direct_equal);
	GList *l, *next;

	for (guint n = 0; n < c->peers->len; n++) {
		const struct config_peer *peer = c->peers->pdata[n];

		g_hash_table_add(keep, wg_iface_peer(i, peer->public_key));
	}
	for (l = i->peer_list.head; l; l = next) {
		next = l->next;
		if (!g_hash_table_contains(keep, l->data))
			peer_free(l->data);
	}
	g_hash_table_destroy(keep);
}

// What the system may refuse, before a peer is touched.
static int claim_iface(struct wg *wg, const struct config_wg *c, char **ret_error)
{
	struct wg_iface *i = wg_iface_find(wg, c->name);
	uint32_t if_id = i ? i->if_id : ids_get(c->name);
	int r;

	if (!if_id) {
		*ret_error = g_strdup_printf("interface %s: no interface id left", c->name);
		return -ENOSPC;
	}
	if (!i)
		i = wg_iface_new(wg, c->name, if_id);
	wg_iface_set_mtu(i, c->mtu, c->mss_clamp);
	r = wg_iface_set_fwmark(i, c->fwmark);
	if (r) {
		*ret_error = g_strdup_printf(
			"interface %s: fwmark %u: %s", c->name, c->fwmark, g_strerror(-r));
		return r;
	}
	return apply_port(i, c->listen_port, ret_error);
}

static void note_file_key(struct wg_iface *i, const uint8_t private_key[NOISE_KEY_LEN])
{
	struct noise_identity id;

	noise_identity_init(&id, private_key);
	memcpy(i->file_public_key, id.public_key, sizeof(i->file_public_key));
	noise_identity_fini(&id);
}

static int apply_iface(struct wg_iface *i, const struct config_wg *c, char **ret_error)
{
	int r;

	wg_iface_set_key(i, c->private_key);
	remove_other_peers(i, c);
	for (guint n = 0; n < c->peers->len; n++) {
		r = apply_peer(i, c->peers->pdata[n], ret_error);
		if (r)
			return r;
	}
	r = i->uapi ? 0 : wg_uapi_open(i);
	// The gateway works without; `wg` does not.
	if (r)
		g_warning("interface %s: no UAPI socket: %s", c->name, g_strerror(-r));
	return 0;
}

static bool in_config(const struct config *c, const char *name)
{
	for (guint n = 0; n < c->wgs->len; n++) {
		if (!strcmp(((struct config_wg *)c->wgs->pdata[n])->name, name))
			return true;
	}
	return false;
}

static int apply_over(struct wg *wg, const struct config *c, const struct overlay *o, char **ret_error)
{
	guint n_ifaces = c->wgs->len;
	struct config_wg **merged = g_new0(struct config_wg *, n_ifaces);
	int r = 0;

	for (guint n = 0; n < n_ifaces; n++)
		merged[n] = overlay_merge(o, c->wgs->pdata[n]);
	for (guint n = 0; n < n_ifaces && !r; n++)
		r = claim_iface(wg, merged[n], ret_error);
	for (guint n = 0; n < n_ifaces && !r; n++) {
		const struct config_wg *file = c->wgs->pdata[n];
		struct wg_iface *i = wg_iface_find(wg, file->name);

		note_file_key(i, file->private_key);
		r = apply_iface(i, merged[n], ret_error);
	}
	for (guint n = 0; n < n_ifaces; n++)
		overlay_merged_free(merged[n], c->wgs->pdata[n]);
	g_free(merged);
	return r;
}

int wg_apply_file(struct wg *wg, const struct config *c, char **ret_error)
{
	struct overlay *none = overlay_new("", NULL);
	int r = apply_over(wg, c, none, ret_error);

	overlay_free(none);
	return r;
}

int wg_apply(struct wg *wg, const struct config *c, char **ret_error)
{
	int r;

	wg->applied = true;
	wg->file = NULL;
	wg->overlay_misfit = false;
	timers_params_init(&wg->params, c->timer_scale > 0 ? c->timer_scale : 1);
	for (guint n = wg->ifaces->len; n > 0; n--) {
		struct wg_iface *i = wg->ifaces->pdata[n - 1];

		if (!in_config(c, i->name))
			wg_iface_free(i);
	}
	r = apply_over(wg, c, wg->overlay, ret_error);
	// The overlay must not keep a good configuration from being applied.
	if (r && !overlay_is_empty(wg->overlay)) {
		g_clear_pointer(ret_error, g_free);
		r = wg_apply_file(wg, c, ret_error);
		wg->overlay_misfit = !r;
	}
	if (!r)
		wg->file = c;
	if (wg->recovery_done && wg->recovered)
		wg_recovery_end(wg);
	return r;
}

void wg_config_settled(struct wg *wg)
{
	if (wg->overlay_misfit)
		overlay_keep_aside(wg->overlay);
	else if (!overlay_is_empty(wg->overlay))
		wg_overlay_note(wg);
	wg->overlay_misfit = false;
}

void wg_config_gone(struct wg *wg, const struct config *c)
{
	if (wg->file == c)
		wg->file = NULL;
}
