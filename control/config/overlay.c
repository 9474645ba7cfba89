// SPDX-License-Identifier: BSD-3-Clause
//
// The overlay as a model, its file, and what it makes of a configuration; see overlay.h. Main loop thread.
#include "overlay.h"

#include "../../crypto/keys.h"
#include "../addr.h"
#include "../json.h"

#include <cjson/cJSON.h>
#include <glib/gstdio.h>
#include <sodium.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct overlay {
	char *path;
	const struct seal *seal; // NULL = no file
	GPtrArray *ifaces;
};

static guint key_hash(gconstpointer key)
{
	guint h;

	memcpy(&h, key, sizeof(h)); // public keys are as good as random
	return h;
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
	return !memcmp(a, b, 32);
}

// ---- model ---------------------------------------------------------------------------------------------

static void peer_free(void *arg)
{
	struct overlay_peer *p = arg;

	g_free(p->host);
	if (p->allowed)
		g_array_free(p->allowed, TRUE);
	sodium_memzero(p, sizeof(*p));
	g_free(p);
}

struct overlay_iface *overlay_iface_new(const char *name)
{
	struct overlay_iface *i = g_new0(struct overlay_iface, 1);

	g_strlcpy(i->name, name, sizeof(i->name));
	i->peers = g_hash_table_new_full(key_hash, key_equal, NULL, peer_free);
	return i;
}

void overlay_iface_free(struct overlay_iface *i)
{
	g_hash_table_destroy(i->peers);
	sodium_memzero(i, sizeof(*i));
	g_free(i);
}

bool overlay_iface_is_empty(const struct overlay_iface *i)
{
	return !i->has_key && !i->has_port && !i->has_fwmark && !g_hash_table_size(i->peers);
}

struct overlay_peer *overlay_iface_add(
	struct overlay_iface *i, const uint8_t public_key[32], enum overlay_change change)
{
	struct overlay_peer *p = g_new0(struct overlay_peer, 1);

	memcpy(p->public_key, public_key, sizeof(p->public_key));
	p->change = change;
	g_hash_table_replace(i->peers, p->public_key, p);
	return p;
}

GPtrArray *overlay_ifaces_new(void)
{
	return g_ptr_array_new_with_free_func((GDestroyNotify)overlay_iface_free);
}

bool overlay_is_empty(const struct overlay *o)
{
	return !o->ifaces->len;
}

const struct overlay_iface *overlay_find(const struct overlay *o, const char *name)
{
	for (guint n = 0; n < o->ifaces->len; n++) {
		const struct overlay_iface *i = o->ifaces->pdata[n];

		if (!strcmp(i->name, name))
			return i;
	}
	return NULL;
}

const struct overlay_peer *overlay_find_peer(
	const struct overlay *o, const char *name, const uint8_t public_key[32])
{
	const struct overlay_iface *i = overlay_find(o, name);

	return i ? g_hash_table_lookup(i->peers, public_key) : NULL;
}

// ---- file ----------------------------------------------------------------------------------------------

static void move_aside(const struct overlay *o, const char *why)
{
	g_autofree char *aside = g_strconcat(o->path, ".bad", NULL);

	g_warning(
		"overlay: changes made by wg are not in force, kept as %s; the configuration file "
		"goes on error=\"%s\"",
		aside, why);
	if (o->seal && rename(o->path, aside))
		g_warning("overlay: cannot keep it error=\"%s\"", strerror(errno));
}

static void load(struct overlay *o)
{
	g_autofree char *text = NULL;
	g_autoptr(GError) gerror = NULL;
	char *error = NULL;
	GPtrArray *ifaces;

	if (!g_file_get_contents(o->path, &text, NULL, &gerror)) {
		if (!g_error_matches(gerror, G_FILE_ERROR, G_FILE_ERROR_NOENT))
			move_aside(o, gerror->message);
		return;
	}
	ifaces = overlay_decode(o->path, text, o->seal, &error);
	if (!ifaces) {
		move_aside(o, error);
		g_free(error);
		return;
	}
	g_ptr_array_free(o->ifaces, TRUE);
	o->ifaces = ifaces;
}

struct overlay *overlay_new(const char *run_dir, const struct seal *seal)
{
	struct overlay *o = g_new0(struct overlay, 1);

	o->path = g_build_filename(run_dir, OVERLAY_NAME, NULL);
	o->seal = seal;
	o->ifaces = overlay_ifaces_new();
	if (seal)
		load(o);
	return o;
}

void overlay_free(struct overlay *o)
{
	if (!o)
		return;
	g_ptr_array_free(o->ifaces, TRUE);
	g_free(o->path);
	g_free(o);
}

static void save(const struct overlay *o)
{
	g_autoptr(GError) error = NULL;
	struct cJSON *doc;
	char *text;

	if (overlay_is_empty(o)) {
		if (g_unlink(o->path) && errno != ENOENT)
			g_warning("overlay: cannot remove file=%s error=\"%s\"", o->path,
				strerror(errno));
		return;
	}
	doc = overlay_encode(o->ifaces, o->seal);
	text = cJSON_Print(doc);
	if (!text || !g_file_set_contents_full(
			     o->path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error))
		g_warning("overlay: what wg changed lasts until straitd ends only error=\"%s\"",
			error ? error->message : "out of memory");
	cJSON_free(text);
	cJSON_Delete(doc);
}

void overlay_replace(struct overlay *o, GPtrArray *ifaces)
{
	g_ptr_array_free(o->ifaces, TRUE);
	o->ifaces = ifaces;
	if (o->seal)
		save(o);
}

void overlay_keep_aside(struct overlay *o)
{
	move_aside(o, "they do not fit the configuration file");
	g_ptr_array_set_size(o->ifaces, 0);
}

// ---- over the configuration ------------------------------------------------------------------------------

static GArray *allowed_copy(const GArray *from)
{
	GArray *a = g_array_new(FALSE, FALSE, sizeof(struct st_prefix));

	if (from && from->len)
		g_array_append_vals(a, from->data, from->len);
	return a;
}

// m is zeroed. file NULL: the file does not have the peer.
static struct config_peer *peer_merge(
	struct config_peer *m, const struct overlay_peer *p, const struct config_peer *file)
{
	char key[KEY_BASE64_LEN];

	if (file)
		*m = *file;
	memcpy(m->public_key, p->public_key, sizeof(m->public_key));
	key_to_base64(key, p->public_key);
	m->name = g_strdup(file ? file->name : key);
	if (p->has_psk) {
		memcpy(m->preshared_key, p->psk, sizeof(m->preshared_key));
		m->has_preshared_key = !key_is_zero(p->psk);
	}
	m->endpoint_host = g_strdup(p->has_endpoint ? p->host : m->endpoint_host);
	if (p->has_endpoint)
		m->endpoint_port = p->port;
	if (p->has_keepalive)
		m->keepalive = p->keepalive;
	m->allowed_ips = allowed_copy(p->has_allowed ? p->allowed : m->allowed_ips);
	return m;
}

// In place of the file's peer: itself, one of its own, or none.
static void merge_peer(GPtrArray *into, const struct overlay_iface *i, struct config_peer *file,
	struct config_peer **next)
{
	const struct overlay_peer *p = g_hash_table_lookup(i->peers, file->public_key);

	if (!p)
		g_ptr_array_add(into, file);
	else if (p->change != OVERLAY_REMOVED)
		g_ptr_array_add(into, peer_merge((*next)++, p, file));
}

static void merge_added(GPtrArray *into, const struct overlay_iface *i,
	const struct config_wg *file, struct config_peer *next)
{
	GHashTable *known = g_hash_table_new(key_hash, key_equal);
	GHashTableIter iter;
	gpointer value;

	for (guint n = 0; n < file->peers->len; n++)
		g_hash_table_add(known, ((struct config_peer *)file->peers->pdata[n])->public_key);
	g_hash_table_iter_init(&iter, i->peers);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		const struct overlay_peer *p = value;

		if (p->change == OVERLAY_ADDED && !g_hash_table_contains(known, p->public_key))
			g_ptr_array_add(into, peer_merge(next++, p, NULL));
	}
	g_hash_table_destroy(known);
}

// One block for all: each block of locked memory is three mappings, of which a process has 65530.
static struct config_peer *peers_alloc(size_t n)
{
	struct config_peer *block = sodium_allocarray(n, sizeof(*block));

	if (!block)
		g_error("no locked memory for preshared keys; raise LimitMEMLOCK");
	memset(block, 0, n * sizeof(*block));
	return block;
}

struct config_wg *overlay_merge(const struct overlay *o, const struct config_wg *file)
{
	const struct overlay_iface *i = overlay_find(o, file->name);
	struct config_wg *m = sodium_malloc(sizeof(*m));
	struct config_peer *next;

	if (!m)
		g_error("no locked memory for a private key; raise LimitMEMLOCK");
	*m = *file;
	next = m->peer_block =
		i && g_hash_table_size(i->peers) ? peers_alloc(g_hash_table_size(i->peers)) : NULL;
	m->peers = g_ptr_array_sized_new(file->peers->len);
	for (guint n = 0; n < file->peers->len; n++) {
		if (i)
			merge_peer(m->peers, i, file->peers->pdata[n], &next);
		else
			g_ptr_array_add(m->peers, file->peers->pdata[n]);
	}
	if (!i)
		return m;
	merge_added(m->peers, i, file, next);
	if (i->has_key)
		memcpy(m->private_key, i->private_key, sizeof(m->private_key));
	if (i->has_port)
		m->listen_port = i->port;
	if (i->has_fwmark)
		m->fwmark = i->fwmark;
	return m;
}

void overlay_merged_free(struct config_wg *m, const struct config_wg *file)
{
	GHashTable *borrowed = g_hash_table_new(g_direct_hash, g_direct_equal);

	for (guint n = 0; n < file->peers->len; n++)
		g_hash_table_add(borrowed, file->peers->pdata[n]);
	for (guint n = 0; n < m->peers->len; n++) {
		struct config_peer *p = m->peers->pdata[n];

		if (g_hash_table_contains(borrowed, p))
			continue;
		g_free(p->name);
		g_free(p->endpoint_host);
		g_array_free(p->allowed_ips, TRUE);
	}
	g_hash_table_destroy(borrowed);
	g_ptr_array_free(m->peers, TRUE);
	sodium_free(m->peer_block); // both wipe
	sodium_free(m);
}

// ---- for people ------------------------------------------------------------------------------------------

static void add_row(struct cJSON *rows, const struct overlay_iface *i, const char *peer,
	const char *change, const char *what)
{
	struct cJSON *row = cJSON_CreateObject();

	cJSON_AddStringToObject(row, "interface", i->name);
	cJSON_AddStringToObject(row, "peer", peer);
	cJSON_AddStringToObject(row, "change", change);
	cJSON_AddStringToObject(row, "what", what);
	cJSON_AddItemToArray(rows, row);
}

static void describe_iface(struct cJSON *rows, const struct overlay_iface *i)
{
	g_autofree char *port = g_strdup_printf("listen_port %u", i->port);
	g_autofree char *fwmark = g_strdup_printf("fwmark %u", i->fwmark);

	if (i->has_key)
		add_row(rows, i, "", "changed", "private_key");
	if (i->has_port)
		add_row(rows, i, "", "changed", port);
	if (i->has_fwmark)
		add_row(rows, i, "", "changed", fwmark);
}

static void describe_peer(
	struct cJSON *rows, const struct overlay_iface *i, const struct overlay_peer *p)
{
	static const char *const changes[] = {"added", "removed", "changed"};
	g_autoptr(GString) what = g_string_new(NULL);
	char key[KEY_BASE64_LEN], text[PREFIX_TEXT_MAX];

	if (p->has_psk)
		g_string_append(what, "preshared_key, ");
	if (p->has_endpoint)
		g_string_append_printf(what,
			strchr(p->host, ':') ? "endpoint [%s]:%u, " : "endpoint %s:%u, ", p->host,
			p->port);
	if (p->has_keepalive)
		g_string_append_printf(what, "persistent_keepalive %u, ", p->keepalive);
	if (p->has_allowed)
		g_string_append(what, "allowed_ips");
	for (guint n = 0; p->has_allowed && n < p->allowed->len; n++)
		g_string_append_printf(what, " %s",
			prefix_text(text, &g_array_index(p->allowed, struct st_prefix, n)));
	if (g_str_has_suffix(what->str, ", "))
		g_string_truncate(what, what->len - 2);
	key_to_base64(key, p->public_key);
	add_row(rows, i, key, changes[p->change], what->str);
}

void overlay_describe(const struct overlay *o, struct cJSON *into)
{
	struct cJSON *rows = cJSON_AddArrayToObject(into, "changes");

	for (guint n = 0; n < o->ifaces->len; n++) {
		const struct overlay_iface *i = o->ifaces->pdata[n];
		GHashTableIter iter;
		gpointer value;

		describe_iface(rows, i);
		g_hash_table_iter_init(&iter, i->peers);
		while (g_hash_table_iter_next(&iter, NULL, &value))
			describe_peer(rows, i, value);
	}
}
