// SPDX-License-Identifier: BSD-3-Clause
//
// "wireguard" of the configuration: interfaces and their peers. Both live in locked memory, because keys
// are part of them; all peers of an interface share one block, since the kernel limits a process to
// 65530 mappings and each block takes several.
#include "../../crypto/keys.h"
#include "../addr.h"
#include "config_read.h"

#include <cjson/cJSON.h>
#include <sodium.h>

#include <errno.h>
#include <string.h>

#define DEFAULT_LISTEN_PORT 51820
#define DEFAULT_WG_MTU      1420
#define MAIN_TABLE          254
#define PEER_NAME_MAX       63 // struct st_peer
#define ALLOWED_IPS_MAX     (1u << 20)
#define HOST_NAME_TEXT_MAX  253

// ---- peers ---------------------------------------------------------------------------------------

static const char prefix_allowed[] = "an IPv4 or IPv6 prefix such as 10.0.0.0/8";

uint32_t config_wg_table(const struct config_wg *w, const struct st_prefix *to)
{
	bool is_default = to->plen == (prefix_is_v4(to) ? 96 : 0);

	return is_default && w->fwmark && w->table == MAIN_TABLE ? w->fwmark : w->table;
}

static int read_allowed_ip(struct config_reader *r, const struct json_at *at, struct config_wg *w,
	struct config_peer *p)
{
	char net_text[PREFIX_TEXT_MAX];
	const char *text = NULL;
	struct st_prefix prefix;
	struct st_addr host;
	int ret = json_text(at, prefix_allowed, &text);

	if (ret)
		return ret;
	if (!prefix_parse(&prefix, &host, text))
		return json_error(at, NULL, "%s", prefix_allowed);
	prefix_text(net_text, &prefix);
	if (memcmp(&host, &prefix.addr, sizeof(host)))
		return json_error(at, NULL, "a prefix without host bits: %s", net_text);
	ret = config_unique(r, at, "each prefix at one peer of an interface", "allowed %s %s",
		w->name, net_text);
	if (ret)
		return ret;
	if (w->route_allowed_ips) {
		ret = config_unique(r, at,
			"one interface per prefix and routing table; set \"table\" or "
			"\"route_allowed_ips\": false",
			"route %u %s 0", config_wg_table(w, &prefix), net_text);
		if (ret)
			return ret;
	}
	if (++r->allowed_ips > ALLOWED_IPS_MAX)
		return json_error(at, "one prefix too many", "at most %u", ALLOWED_IPS_MAX);
	g_array_append_val(p->allowed_ips, prefix);
	return 0;
}

static int read_allowed_ips(struct config_reader *r, const struct json_at *peer,
	struct config_wg *w, struct config_peer *p)
{
	struct json_at list = json_member(peer, "allowed_ips");
	const struct cJSON *item;
	int index = 0, ret;

	if (!list.item)
		return 0;
	ret = json_check_list(&list, "a list of prefixes such as [\"10.0.0.0/8\"]");
	cJSON_ArrayForEach (item, list.item) {
		struct json_at at = json_element(&list, item, index++);

		if (!ret)
			ret = read_allowed_ip(r, &at, w, p);
	}
	return ret;
}

static bool host_name_valid(const char *host)
{
	size_t len = strlen(host), i;

	if (!len || len > HOST_NAME_TEXT_MAX || host[0] == '-' || host[0] == '.')
		return false;
	for (i = 0; i < len; i++) {
		if (!g_ascii_isalnum(host[i]) && !strchr("-._", host[i]))
			return false;
	}
	return true;
}

// What looks like an IPv4 address must be one: the resolver reads "10.1" as 10.0.0.1.
static bool host_valid(const char *host, bool bracketed)
{
	char scope[ST_NAME_MAX];
	struct st_addr a;

	if (addr_parse_scoped(&a, scope, host))
		return !addr_is_zero(&a) && addr_is_v4(&a) != bracketed &&
		       addr_is_link_local(&a) == !!scope[0];
	return !bracketed && host_name_valid(host) && strspn(host, "0123456789.") != strlen(host);
}

static int read_endpoint(const struct json_at *peer, struct config_peer *p)
{
	static const char allowed[] =
		"HOST:PORT or [IPv6]:PORT, such as vpn.example.org:51820; "
		"a link-local address with its interface, [fe80::1%wan]:51820";
	struct json_at at = json_member(peer, "endpoint");
	const char *text = NULL, *colon;
	bool bracketed;
	guint64 port;
	char *host;
	int r;

	if (!at.item)
		return 0;
	r = json_text(&at, allowed, &text);
	if (r)
		return r;
	colon = strrchr(text, ':');
	if (!colon || !g_ascii_string_to_unsigned(colon + 1, 10, 1, 65535, &port, NULL))
		return json_error(&at, NULL, "%s", allowed);
	bracketed = text[0] == '[' && colon > text && colon[-1] == ']';
	host = bracketed ? g_strndup(text + 1, (gsize)(colon - text - 2))
			 : g_strndup(text, (gsize)(colon - text));
	if (!host_valid(host, bracketed)) {
		g_free(host);
		return json_error(&at, NULL, "%s", allowed);
	}
	p->endpoint_host = host;
	p->endpoint_port = (uint16_t)port;
	return 0;
}

// Printable wherever it is shown, an argument of straitctl as it is, and two that look alike are not made by
// spaces nobody sees.
static bool peer_name_valid(const char *text)
{
	size_t len = strlen(text);

	if (!len || len > PEER_NAME_MAX || !g_utf8_validate(text, -1, NULL))
		return false;
	if (text[0] == '-' || text[0] == ' ' || text[len - 1] == ' ')
		return false;
	for (const char *c = text; *c; c = g_utf8_next_char(c)) {
		gunichar u = g_utf8_get_char(c);

		if (u != ' ' && !g_unichar_isgraph(u))
			return false;
	}
	return true;
}

static int read_peer_name(struct config_reader *r, const struct json_at *peer, struct config_peer *p)
{
	static const char allowed[] =
		"a name of 1 to 63 bytes of printable UTF-8, without a space at "
		"either end or a \"-\" at its beginning";
	struct json_at at = json_member(peer, "name");
	char base64[KEY_BASE64_LEN];
	const char *text = NULL;
	int ret;

	if (at.item) {
		ret = json_text(&at, allowed, &text);
		if (ret)
			return ret;
		if (!peer_name_valid(text))
			return json_error(&at, NULL, "%s", allowed);
		p->name = g_strdup(text);
	} else {
		key_to_base64(base64, p->public_key);
		p->name = g_strdup(base64);
	}
	return config_unique(r, at.item ? &at : peer,
		"each peer name once in the document (without a name it is the public key)",
		"peer-name %s", p->name);
}

static int check_public_key(struct config_reader *r, const struct json_at *peer,
	struct config_wg *w, struct config_peer *p)
{
	struct json_at at = json_member(peer, "public_key");
	char base64[KEY_BASE64_LEN];
	int ret = config_key_public(&at, p->public_key);

	if (ret)
		return ret;
	if (!memcmp(r->own_public, p->public_key, sizeof(r->own_public)))
		return json_error(
			&at, "this interface's own public key", "the public key of the other side");
	key_to_base64(base64, p->public_key);
	return config_unique(
		r, &at, "each public key once per interface", "peer-key %s %s", w->name, base64);
}

static int read_peer(struct config_reader *r, const struct json_at *at, struct config_wg *w,
	struct config_peer *p)
{
	static const char *const keys[] = {"name", "public_key", "preshared_key",
		"preshared_key_file", "endpoint", "persistent_keepalive", "allowed_ips", "ice", NULL};
	int ret = json_check_keys(at, keys);

	if (!ret)
		ret = check_public_key(r, at, w, p);
	if (!ret)
		ret = read_peer_name(r, at, p);
	if (!ret)
		ret = config_key_read(
			r, at, "preshared_key", p->preshared_key, &p->has_preshared_key);
	if (!ret)
		ret = read_endpoint(at, p);
	if (!ret)
		ret = config_ice_read_peer(at, w, p);
	if (!ret)
		ret = json_read_u16(at, "persistent_keepalive", 0, UINT16_MAX, &p->keepalive);
	if (!ret)
		ret = read_allowed_ips(r, at, w, p);
	if (!ret && ++r->peers > ST_MAX_PEERS)
		ret = json_error(at, "one peer too many", "at most %u", ST_MAX_PEERS);
	return ret;
}

static int read_peers(struct config_reader *r, const struct json_at *wg, struct config_wg *w)
{
	struct json_at list = json_member(wg, "peers");
	const struct cJSON *item;
	size_t n;
	int index = 0, ret;

	if (!list.item)
		return 0;
	ret = json_check_list(&list, "a list of peers [{...}]");
	if (ret)
		return ret;
	n = (size_t)cJSON_GetArraySize(list.item);
	if (!n)
		return 0;
	w->peer_block = sodium_allocarray(n, sizeof(*w->peer_block));
	if (!w->peer_block)
		return json_error(&list, "more peers than memory", "fewer, or more memory");
	memset(w->peer_block, 0, n * sizeof(*w->peer_block));
	crypto_scalarmult_base(r->own_public, w->private_key);
	cJSON_ArrayForEach (item, list.item) {
		struct json_at at = json_element(&list, item, index);
		struct config_peer *p = &w->peer_block[index++];

		p->allowed_ips = g_array_new(FALSE, FALSE, sizeof(struct st_prefix));
		g_ptr_array_add(w->peers, p);
		ret = read_peer(r, &at, w, p);
		if (ret)
			return ret;
	}
	return 0;
}

// ---- interfaces ----------------------------------------------------------------------------------

// A number, or "0x..." as people write marks.
static int read_fwmark(const struct json_at *wg, uint32_t *ret)
{
	static const char allowed[] =
		"a whole number from 0 to 4294967295, or a text such as \"0x51820\"";
	struct json_at at = json_member(wg, "fwmark");
	guint64 n;

	if (!cJSON_IsString(at.item))
		return json_read_uint(wg, "fwmark", 0, UINT32_MAX, ret);
	if (strncmp(at.item->valuestring, "0x", 2) ||
		!g_ascii_string_to_unsigned(at.item->valuestring + 2, 16, 0, UINT32_MAX, &n, NULL))
		return json_error(&at, NULL, "%s", allowed);
	*ret = (uint32_t)n;
	return 0;
}

static int read_private_key(struct config_reader *r, const struct json_at *wg, struct config_wg *w)
{
	struct json_at at = json_member(wg, "private_key");
	bool found = false;
	int ret = config_key_read(r, wg, "private_key", w->private_key, &found);

	if (!ret && !found)
		ret = json_error(&at, NULL,
			"a key of 44 base64 characters, or \"private_key_file\" instead");
	return ret;
}

static int read_listen_port(struct config_reader *r, const struct json_at *wg, struct config_wg *w)
{
	struct json_at at = json_member(wg, "listen_port");
	int ret = json_read_u16(wg, "listen_port", 1, UINT16_MAX, &w->listen_port);

	if (!ret)
		ret = config_unique(r, at.item ? &at : wg,
			"a listen_port of its own for each interface (51820 by default)",
			"listen-port %u", w->listen_port);
	return ret;
}

static int read_name(struct config_reader *r, const struct json_at *wg, struct config_wg *w)
{
	struct json_at at = json_member(wg, "name");
	int ret = config_read_ifname(&at, &w->name);

	if (!ret)
		ret = config_unique(r, &at, "a name of its own for each port and interface",
			"interface %s", w->name);
	return ret;
}

static int read_wg(struct config_reader *r, const struct json_at *at, struct config_wg *w)
{
	static const char *const keys[] = {"name", "private_key", "private_key_file", "listen_port",
		"fwmark", "mtu", "mss_clamp", "route_allowed_ips", "table", "addresses", "peers",
		"signal", "ice", NULL};
	int ret = json_check_keys(at, keys);

	if (!ret)
		ret = read_name(r, at, w);
	if (!ret)
		ret = read_private_key(r, at, w);
	if (!ret)
		ret = read_listen_port(r, at, w);
	if (!ret)
		ret = read_fwmark(at, &w->fwmark);
	if (!ret)
		ret = json_read_u16(at, "mtu", CONFIG_MTU_MIN, CONFIG_MTU_MAX, &w->mtu);
	if (!ret)
		ret = json_read_bool(at, "mss_clamp", &w->mss_clamp);
	if (!ret)
		ret = json_read_bool(at, "route_allowed_ips", &w->route_allowed_ips);
	if (!ret)
		ret = json_read_uint(at, "table", 1, CONFIG_TABLE_MAX, &w->table);
	if (!ret)
		ret = config_read_addresses(r, at, w->addresses);
	if (!ret)
		ret = config_ice_read(r, at, w);
	if (!ret)
		ret = read_peers(r, at, w);
	return ret;
}

int config_wg_read(struct config_reader *r, const struct json_at *at)
{
	struct config_wg *w = sodium_malloc(sizeof(*w));

	if (!w)
		return json_error(at, "more interfaces than memory", "fewer, or more memory");
	*w = (struct config_wg){
		.listen_port = DEFAULT_LISTEN_PORT,
		.mtu = DEFAULT_WG_MTU,
		.mss_clamp = true,
		.route_allowed_ips = true,
		.table = MAIN_TABLE,
		.addresses = g_ptr_array_new_with_free_func(g_free),
		.peers = g_ptr_array_new(),
	};
	config_ice_init(w);
	g_ptr_array_add(r->c->wgs, w);
	return read_wg(r, at, w);
}

void config_wg_free(struct config_wg *w)
{
	guint i;

	if (!w)
		return;
	for (i = 0; i < w->peers->len; i++) {
		struct config_peer *p = g_ptr_array_index(w->peers, i);

		g_free(p->name);
		g_free(p->endpoint_host);
		g_array_free(p->allowed_ips, TRUE);
	}
	g_ptr_array_free(w->peers, TRUE);
	g_ptr_array_free(w->addresses, TRUE);
	config_ice_free(w);
	g_free(w->name);
	sodium_free(w->peer_block); // both wipe
	sodium_free(w);
}
