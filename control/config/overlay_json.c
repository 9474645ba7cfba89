// SPDX-License-Identifier: BSD-3-Clause
//
// The overlay as a document: {"version": 1, "interfaces": [...]}. Keys are sealed, each for its own place.
// Reading is as strict as that of the configuration: one wrong thing and nothing of it is taken. Pure.
#include "../../crypto/keys.h"
#include "../addr.h"
#include "../json.h"
#include "../seal.h"
#include "overlay.h"

#include <cjson/cJSON.h>
#include <sodium.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VERSION    1
#define SEALED_LEN (32 + SEAL_OVERHEAD)
#define SEALED_B64 sodium_base64_ENCODED_LEN(SEALED_LEN, sodium_base64_VARIANT_ORIGINAL)
#define HOST_MAX   253

static const char *const change_names[] = {"added", "removed", "changed", NULL};

// What a sealed key belongs to: interface and peer, or interface alone.
static size_t context_of(char out[128], const char *iface, const uint8_t *public_key)
{
	char key[KEY_BASE64_LEN] = "";

	if (public_key)
		key_to_base64(key, public_key);
	return (size_t)snprintf(out, 128, "overlay %s %s", iface, key);
}

// ---- writing -------------------------------------------------------------------------------------------

static void add_sealed(struct cJSON *o, const char *name, const uint8_t secret[32],
	const struct seal *seal, const char *iface, const uint8_t *public_key)
{
	uint8_t sealed[SEALED_LEN];
	char context[128], text[SEALED_B64];
	size_t context_len = context_of(context, iface, public_key);

	seal_close(seal, sealed, secret, 32, context, context_len);
	sodium_bin2base64(text, sizeof(text), sealed, sizeof(sealed), sodium_base64_VARIANT_ORIGINAL);
	cJSON_AddStringToObject(o, name, text);
}

static struct cJSON *encode_peer(
	const struct overlay_iface *i, const struct overlay_peer *p, const struct seal *seal)
{
	struct cJSON *o = cJSON_CreateObject(), *list;
	char key[KEY_BASE64_LEN], text[PREFIX_TEXT_MAX];

	key_to_base64(key, p->public_key);
	cJSON_AddStringToObject(o, "public_key", key);
	cJSON_AddStringToObject(o, "change", change_names[p->change]);
	if (p->has_psk)
		add_sealed(o, "preshared_key", p->psk, seal, i->name, p->public_key);
	if (p->has_endpoint) {
		cJSON_AddStringToObject(o, "endpoint_host", p->host);
		cJSON_AddNumberToObject(o, "endpoint_port", p->port);
	}
	if (p->has_keepalive)
		cJSON_AddNumberToObject(o, "persistent_keepalive", p->keepalive);
	if (!p->has_allowed)
		return o;
	list = cJSON_AddArrayToObject(o, "allowed_ips");
	for (guint n = 0; n < p->allowed->len; n++)
		cJSON_AddItemToArray(list, cJSON_CreateString(prefix_text(text,
						   &g_array_index(p->allowed, struct st_prefix, n))));
	return o;
}

static struct cJSON *encode_iface(const struct overlay_iface *i, const struct seal *seal)
{
	struct cJSON *o = cJSON_CreateObject(), *list;
	GHashTableIter iter;
	gpointer p;

	cJSON_AddStringToObject(o, "name", i->name);
	if (i->has_key)
		add_sealed(o, "private_key", i->private_key, seal, i->name, NULL);
	if (i->has_port)
		cJSON_AddNumberToObject(o, "listen_port", i->port);
	if (i->has_fwmark)
		cJSON_AddNumberToObject(o, "fwmark", i->fwmark);
	list = cJSON_AddArrayToObject(o, "peers");
	g_hash_table_iter_init(&iter, i->peers);
	while (g_hash_table_iter_next(&iter, NULL, &p))
		cJSON_AddItemToArray(list, encode_peer(i, p, seal));
	return o;
}

struct cJSON *overlay_encode(const GPtrArray *ifaces, const struct seal *seal)
{
	struct cJSON *doc = cJSON_CreateObject(), *list;

	cJSON_AddNumberToObject(doc, "version", VERSION);
	list = cJSON_AddArrayToObject(doc, "interfaces");
	for (guint n = 0; n < ifaces->len; n++)
		cJSON_AddItemToArray(list, encode_iface(ifaces->pdata[n], seal));
	return doc;
}

// ---- reading -------------------------------------------------------------------------------------------

// *ret_has false: the member is not there.
static int read_sealed(const struct json_at *up, const char *name, const struct seal *seal,
	const char *iface, const uint8_t *public_key, uint8_t secret[32], bool *ret_has)
{
	struct json_at at = json_member(up, name);
	uint8_t sealed[SEALED_LEN];
	char context[128];
	const char *text = NULL;
	size_t len;

	if (!at.item)
		return 0;
	if (json_text(&at, "a sealed key", &text))
		return -EINVAL;
	if (sodium_base642bin(sealed, sizeof(sealed), text, strlen(text), NULL, &len, NULL,
		    sodium_base64_VARIANT_ORIGINAL) ||
		len != sizeof(sealed) ||
		seal_open(seal, secret, sealed, len, context,
			context_of(context, iface, public_key)) != 32)
		return json_error(
			&at, "what does not open", "a key sealed by this box since it started");
	*ret_has = true;
	return 0;
}

static int read_allowed(const struct json_at *up, struct overlay_peer *p)
{
	struct json_at at = json_member(up, "allowed_ips");
	const struct cJSON *item;
	int n = 0;

	if (!at.item)
		return 0;
	if (json_check_list(&at, "a list of prefixes"))
		return -EINVAL;
	p->has_allowed = true;
	p->allowed = g_array_new(FALSE, FALSE, sizeof(struct st_prefix));
	cJSON_ArrayForEach (item, at.item) {
		struct json_at element = json_element(&at, item, n++);
		struct st_prefix prefix;
		const char *text = NULL;

		if (json_text(&element, "a prefix", &text))
			return -EINVAL;
		if (!prefix_parse(&prefix, NULL, text))
			return json_error(&element, NULL, "a prefix");
		g_array_append_val(p->allowed, prefix);
	}
	return 0;
}

static int read_endpoint(const struct json_at *at, struct overlay_peer *p)
{
	const char *host = NULL;

	if (json_read_text(at, "endpoint_host", "a host", &host) ||
		json_read_u16(at, "endpoint_port", 0, UINT16_MAX, &p->port))
		return -EINVAL;
	if (!host)
		return 0;
	if (!*host || strlen(host) > HOST_MAX)
		return json_error(
			at, "an endpoint_host of a wrong length", "1 to %d letters", HOST_MAX);
	p->has_endpoint = true;
	p->host = g_strdup(host);
	return 0;
}

static int read_peer(const struct json_at *at, struct overlay_iface *i, const struct seal *seal)
{
	static const char *const keys[] = {"public_key", "change", "preshared_key", "endpoint_host",
		"endpoint_port", "persistent_keepalive", "allowed_ips", NULL};
	struct json_at keepalive;
	unsigned int change = OVERLAY_CHANGED;
	struct overlay_peer *p;
	const char *text = NULL;
	uint8_t key[32];

	if (json_check_keys(at, keys) || json_read_text(at, "public_key", "a key", &text) ||
		json_read_choice(at, "change", change_names, &change))
		return -EINVAL;
	if (!text || !key_from_base64(key, text) || g_hash_table_contains(i->peers, key))
		return json_error(
			at, "no public_key, a wrong one, or one twice", "44 base64 letters");
	p = overlay_iface_add(i, key, change);
	keepalive = json_member(at, "persistent_keepalive");
	p->has_keepalive = keepalive.item;
	if (json_read_u16(at, "persistent_keepalive", 0, UINT16_MAX, &p->keepalive) ||
		read_endpoint(at, p) || read_allowed(at, p))
		return -EINVAL;
	return read_sealed(at, "preshared_key", seal, i->name, key, p->psk, &p->has_psk);
}

static int read_peers(const struct json_at *up, struct overlay_iface *i, const struct seal *seal)
{
	struct json_at at = json_member(up, "peers");
	const struct cJSON *item;
	int n = 0;

	if (!at.item)
		return 0;
	if (json_check_list(&at, "a list of peers"))
		return -EINVAL;
	cJSON_ArrayForEach (item, at.item) {
		struct json_at element = json_element(&at, item, n++);

		if (read_peer(&element, i, seal))
			return -EINVAL;
	}
	return 0;
}

static int read_iface(const struct json_at *at, GPtrArray *ifaces, const struct seal *seal)
{
	static const char *const keys[] = {
		"name", "private_key", "listen_port", "fwmark", "peers", NULL};
	struct json_at port, fwmark;
	struct overlay_iface *i;
	const char *name = NULL;

	if (json_check_keys(at, keys) || json_read_text(at, "name", "a name", &name))
		return -EINVAL;
	if (!name || !*name || strlen(name) >= ST_NAME_MAX)
		return json_error(at, "no name or a long one", "an interface");
	i = overlay_iface_new(name);
	g_ptr_array_add(ifaces, i);
	port = json_member(at, "listen_port");
	fwmark = json_member(at, "fwmark");
	i->has_port = port.item;
	i->has_fwmark = fwmark.item;
	if (json_read_u16(at, "listen_port", 0, UINT16_MAX, &i->port) ||
		json_read_uint(at, "fwmark", 0, UINT32_MAX, &i->fwmark) ||
		read_sealed(at, "private_key", seal, name, NULL, i->private_key, &i->has_key))
		return -EINVAL;
	return read_peers(at, i, seal);
}

static int read_root(const struct json_at *root, GPtrArray *ifaces, const struct seal *seal)
{
	static const char *const keys[] = {"version", "interfaces", NULL};
	struct json_at at;
	const struct cJSON *item;
	uint32_t version = 0;
	int n = 0;

	if (json_check_keys(root, keys) ||
		json_read_uint(root, "version", VERSION, VERSION, &version))
		return -EINVAL;
	if (version != VERSION)
		return json_error(root, "no version", "version %d", VERSION);
	at = json_member(root, "interfaces");
	if (!at.item)
		return json_error(root, "no interfaces", "a list");
	if (json_check_list(&at, "a list of interfaces"))
		return -EINVAL;
	cJSON_ArrayForEach (item, at.item) {
		struct json_at element = json_element(&at, item, n++);

		if (read_iface(&element, ifaces, seal))
			return -EINVAL;
	}
	return 0;
}

GPtrArray *overlay_decode(
	const char *file, const char *text, const struct seal *seal, char **ret_error)
{
	struct json_doc doc = {.file = file};
	struct cJSON *json = json_parse(file, text, ret_error);
	GPtrArray *ifaces = overlay_ifaces_new();
	struct json_at root;

	if (json) {
		root = json_root(&doc, json);
		if (!read_root(&root, ifaces, seal)) {
			json_free(json);
			return ifaces;
		}
		*ret_error = doc.error;
		json_free(json);
	}
	g_ptr_array_free(ifaces, TRUE);
	return NULL;
}
