// SPDX-License-Identifier: BSD-3-Clause
//
// How the live interfaces differ from the configuration file, which is what wg(8) made of them: written
// down after each of its requests, and anew when the file changed. Main loop thread.
#include "../../crypto/keys.h"
#include "../addr.h"
#include "../config/overlay.h"
#include "wg_internal.h"

#include <sodium.h>

#include <errno.h>
#include <string.h>

static bool same_allowed(const struct peer *p, const struct config_peer *c)
{
	if (p->allowed.length != c->allowed_ips->len)
		return false;
	for (guint n = 0; n < c->allowed_ips->len; n++) {
		const struct st_prefix *prefix = &g_array_index(c->allowed_ips, struct st_prefix, n);
		const struct allowed_ip *a = g_hash_table_lookup(p->iface->allowed, prefix);

		if (!a || a->peer != p)
			return false;
	}
	return true;
}

static bool same_endpoint(const struct peer *p, const struct config_peer *c)
{
	const char *host = p->endpoint.host;

	return !g_strcmp0(host, c->endpoint_host) &&
	       (!host || p->endpoint.host_port == c->endpoint_port);
}

static void take_endpoint(struct overlay_peer *o, const struct peer *p)
{
	o->has_endpoint = true;
	o->host = g_strdup(p->endpoint.host);
	o->port = p->endpoint.host_port;
}

static void take_allowed(struct overlay_peer *o, const struct peer *p)
{
	o->has_allowed = true;
	o->allowed = g_array_new(FALSE, FALSE, sizeof(struct st_prefix));
	for (const GList *l = p->allowed.head; l; l = l->next)
		g_array_append_val(o->allowed, ((const struct allowed_ip *)l->data)->prefix);
}

static void diff_added(struct overlay_iface *i, const struct peer *p)
{
	struct overlay_peer *o = overlay_iface_add(i, p->noise.public_key, OVERLAY_ADDED);

	o->has_psk = !key_is_zero(p->noise.preshared_key);
	memcpy(o->psk, p->noise.preshared_key, sizeof(o->psk));
	if (p->endpoint.host)
		take_endpoint(o, p);
	o->keepalive = p->timers.persistent;
	o->has_keepalive = o->keepalive;
	take_allowed(o, p);
}

static void diff_known(struct overlay_iface *i, const struct peer *p, const struct config_peer *c)
{
	static const uint8_t none[NOISE_KEY_LEN];
	bool psk = sodium_memcmp(p->noise.preshared_key,
		c->has_preshared_key ? c->preshared_key : none, NOISE_KEY_LEN);
	bool endpoint = p->endpoint.host && !same_endpoint(p, c);
	bool keepalive = p->timers.persistent != c->keepalive;
	bool allowed = !same_allowed(p, c);
	struct overlay_peer *o;

	if (!psk && !endpoint && !keepalive && !allowed)
		return;
	o = overlay_iface_add(i, p->noise.public_key, OVERLAY_CHANGED);
	o->has_psk = psk;
	if (psk)
		memcpy(o->psk, p->noise.preshared_key, sizeof(o->psk));
	if (endpoint)
		take_endpoint(o, p);
	o->has_keepalive = keepalive;
	o->keepalive = p->timers.persistent;
	if (allowed)
		take_allowed(o, p);
}

static void diff_settings(
	struct overlay_iface *o, const struct wg_iface *i, const struct config_wg *c)
{
	static const uint8_t none[NOISE_KEY_LEN];
	const uint8_t *key = i->identity ? handshake_identity_get(i->identity)->private_key : none;

	// A private key is clamped when it is taken, so the public ones are compared.
	o->has_key = !i->identity || memcmp(i->public_key, i->file_public_key, NOISE_KEY_LEN);
	if (o->has_key)
		memcpy(o->private_key, key, sizeof(o->private_key));
	// A port that was chosen at random is kept as it came out.
	o->port = i->wanted_port ? i->wanted_port : i->port;
	o->has_port = o->port != c->listen_port;
	o->fwmark = i->fwmark;
	o->has_fwmark = i->fwmark != c->fwmark;
}

static struct overlay_iface *diff(struct wg_iface *i, const struct config_wg *c)
{
	struct overlay_iface *o = overlay_iface_new(i->name);
	GHashTable *live = g_hash_table_new(g_direct_hash, g_direct_equal);

	diff_settings(o, i, c);
	for (guint n = 0; n < c->peers->len; n++) {
		const struct config_peer *f = c->peers->pdata[n];
		struct peer *p = wg_iface_peer(i, f->public_key);

		if (p)
			diff_known(o, p, f);
		else if (memcmp(f->public_key, i->public_key, NOISE_KEY_LEN))
			overlay_iface_add(o, f->public_key, OVERLAY_REMOVED);
		g_hash_table_add(live, p);
	}
	for (GList *l = i->peer_list.head; l; l = l->next) {
		if (!g_hash_table_contains(live, l->data))
			diff_added(o, l->data);
	}
	g_hash_table_destroy(live);
	return o;
}

void wg_overlay_note(struct wg *wg)
{
	GPtrArray *ifaces;

	if (!wg->file) { // against what? What is noted stays.
		g_warning("overlay: what wg changed ends with the next reload, because the last "
			  "one failed and could not be taken back");
		return;
	}
	ifaces = overlay_ifaces_new();
	for (guint n = 0; n < wg->file->wgs->len; n++) {
		const struct config_wg *c = wg->file->wgs->pdata[n];
		struct wg_iface *i = wg_iface_find(wg, c->name);
		struct overlay_iface *o = i ? diff(i, c) : NULL;

		if (o && !overlay_iface_is_empty(o))
			g_ptr_array_add(ifaces, o);
		else if (o)
			overlay_iface_free(o);
	}
	overlay_replace(wg->overlay, ifaces);
}

const char *wg_overlay_source(const struct peer *p)
{
	const struct overlay_peer *o =
		overlay_find_peer(p->iface->wg->overlay, p->iface->name, p->noise.public_key);

	if (!o)
		return "config";
	return o->change == OVERLAY_ADDED ? "wg" : "config, changed by wg";
}

void wg_overlay_status(struct wg *wg, struct cJSON *into)
{
	overlay_describe(wg->overlay, into);
}

int wg_overlay_drop(struct wg *wg, char **ret_error)
{
	const struct config *file = wg->file;
	g_autofree char *ignored = NULL;
	int r = 0;

	if (!file && wg->applied) {
		*ret_error = g_strdup("the last reload failed and could not be taken back; "
				      "mend the configuration and reload first");
		return -EINVAL;
	}
	if (file)
		r = wg_apply_file(wg, file, ret_error);
	if (r)
		(void)wg_apply(wg, file, &ignored); // as it was
	else
		overlay_replace(wg->overlay, overlay_ifaces_new());
	return r;
}
