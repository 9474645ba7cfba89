// SPDX-License-Identifier: BSD-3-Clause
//
// "signal" and "ice" of a WireGuard interface, and "ice" of its peers. Passwords come inline or from files
// of their own; what held them is wiped.
#include "../addr.h"
#include "config_read.h"

#include <cjson/cJSON.h>

#include <errno.h>
#include <string.h>

#define URL_MAX      512
#define TEXT_MAX     256
#define LIST_MAX     64
#define SERVERS_MAX  16  // ICE_MAX_SERVERS
#define PASSWORD_MAX 509 // RFC 8489 section 14.3
#define HOST_MAX     253

// ---- URLs (RFC 7064, RFC 7065) ---------------------------------------------------------------------------

static bool port_valid(const char *text)
{
	guint64 port;

	return g_ascii_string_to_unsigned(text, 10, 1, 65535, &port, NULL);
}

// "host", "host:port", "192.0.2.1:3478", "[2001:db8::1]:3478".
static bool host_port_valid(const char *text)
{
	g_autofree char *host = NULL;
	const char *end = text[0] == '[' ? strchr(text, ']') : NULL;
	struct st_addr a;

	if (text[0] == '[') {
		if (!end || (end[1] && (end[1] != ':' || !port_valid(end + 2))))
			return false;
		host = g_strndup(text + 1, (gsize)(end - text - 1));
		return addr_parse(&a, host) && !addr_is_v4(&a);
	}
	end = strchr(text, ':');
	if (end && !port_valid(end + 1))
		return false;
	host = end ? g_strndup(text, (gsize)(end - text)) : g_strdup(text);
	if (!*host || strlen(host) > HOST_MAX || host[0] == '-' || host[0] == '.')
		return false;
	for (const char *c = host; *c; c++) {
		if (!g_ascii_isalnum(*c) && !strchr("-._", *c))
			return false;
	}
	// What looks like an IPv4 address is one.
	return strspn(host, "0123456789.") != strlen(host) || addr_parse(&a, host);
}

static bool server_url_valid(const char *url, bool *ret_turn)
{
	const char *query = strchr(url, '?'), *rest;
	g_autofree char *plain = query ? g_strndup(url, (gsize)(query - url)) : g_strdup(url);
	bool turn = g_str_has_prefix(plain, "turn:") || g_str_has_prefix(plain, "turns:");

	if (!turn && !g_str_has_prefix(plain, "stun:") && !g_str_has_prefix(plain, "stuns:"))
		return false;
	if (query &&
		(!turn || (strcmp(query, "?transport=udp") && strcmp(query, "?transport=tcp"))))
		return false;
	rest = strchr(plain, ':') + 1;
	*ret_turn = turn;
	return strlen(url) <= URL_MAX && host_port_valid(rest);
}

// ---- servers ---------------------------------------------------------------------------------------------

static int check_credentials(const struct json_at *at, const struct config_ice_server *s, bool turn)
{
	if (!turn && (s->username || s->password || s->secret))
		return json_error(at, "a STUN server with credentials",
			"credentials at turn: and turns: alone");
	if (!turn)
		return 0;
	if (s->secret && (s->username || s->password))
		return json_error(at, "a \"secret\" and a user",
			"\"username\" with \"password\" or \"password_file\", or \"secret\" or "
			"\"secret_file\" alone");
	if (!s->secret && (!s->username || !s->password))
		return json_error(at, "a TURN server without credentials",
			"\"username\" with \"password\" or \"password_file\", or \"secret_file\"");
	return 0;
}

static int read_server(struct config_reader *r, const struct json_at *at, GPtrArray *servers)
{
	static const char *const keys[] = {
		"url", "username", "password", "password_file", "secret", "secret_file", NULL};
	static const char allowed[] = "stun:HOST[:PORT], stuns:HOST[:PORT], "
				      "turn:HOST[:PORT][?transport=udp|tcp] or "
				      "turns:HOST[:PORT][?transport=tcp], without //";
	struct config_ice_server *s = g_new0(struct config_ice_server, 1);
	struct json_at url_at = json_member(at, "url");
	const char *url = NULL, *user = NULL;
	bool turn = false;
	int ret = json_check_keys(at, keys);

	g_ptr_array_add(servers, s);
	if (!ret)
		ret = json_text(&url_at, allowed, &url);
	if (!ret && !server_url_valid(url, &turn))
		ret = json_error(&url_at, NULL, "%s", allowed);
	if (ret)
		return ret;
	s->url = g_strdup(url);
	s->turn = turn;
	ret = json_read_text(at, "username", "a name of 1 to 256 bytes", &user);
	if (!ret && user && (!*user || strlen(user) > TEXT_MAX)) {
		struct json_at user_at = json_member(at, "username");

		ret = json_error(&user_at, NULL, "a name of 1 to 256 bytes");
	}
	s->username = g_strdup(user);
	if (!ret)
		ret = config_secret_read(r, at, "password", PASSWORD_MAX, &s->password);
	if (!ret)
		ret = config_secret_read(r, at, "secret", PASSWORD_MAX, &s->secret);
	return ret ? ret : check_credentials(at, s, turn);
}

static int read_servers(struct config_reader *r, const struct json_at *ice, struct config_ice *c)
{
	struct json_at list = json_member(ice, "servers");
	const struct cJSON *item;
	int index = 0, ret;

	if (!list.item)
		return 0;
	ret = json_check_list(&list, "a list of servers [{\"url\": \"stun:...\"}]");
	cJSON_ArrayForEach (item, list.item) {
		struct json_at at = json_element(&list, item, index++);

		if (!ret && index > SERVERS_MAX)
			ret = json_error(&at, "one server too many", "at most %d", SERVERS_MAX);
		if (!ret)
			ret = read_server(r, &at, c->servers);
	}
	return ret;
}

// ---- addresses that others see ---------------------------------------------------------------------------

// The internal side is an address of this box or the name of one of its interfaces.
static bool internal_valid(const char *text)
{
	struct st_addr a;

	if (addr_parse(&a, text))
		return !addr_is_zero(&a);
	return *text && strlen(text) < ST_NAME_MAX && !strpbrk(text, "/ :");
}

// A mapping without an internal side is for all addresses of its family, so nothing may stand beside it.
static int check_mapping(const struct json_at *at, const char *text, GPtrArray *before)
{
	const char *slash = strchr(text, '/');
	g_autofree char *external = slash ? g_strndup(text, (gsize)(slash - text)) : g_strdup(text);
	struct st_addr a, other;

	if (!addr_parse(&a, external) || addr_is_zero(&a) || (slash && !internal_valid(slash + 1)))
		return json_error(at, NULL,
			"\"EXTERNAL\" or \"EXTERNAL/INTERNAL\", such as 192.0.2.1/10.0.0.5");
	for (guint n = 0; n < before->len; n++) {
		const char *b = before->pdata[n];
		const char *b_slash = strchr(b, '/');
		g_autofree char *b_external =
			b_slash ? g_strndup(b, (gsize)(b_slash - b)) : g_strdup(b);

		if (!addr_parse(&other, b_external) || addr_is_v4(&a) != addr_is_v4(&other))
			continue;
		if (!slash || !b_slash)
			return json_error(at,
				NULL, "one EXTERNAL alone for a family, or pairs EXTERNAL/INTERNAL alone");
		if (!strcmp(slash, b_slash))
			return json_error(at, NULL, "each INTERNAL once");
	}
	return 0;
}

static int check_prefix(const struct json_at *at, const char *text, GPtrArray *before)
{
	if (*text && strlen(text) < ST_NAME_MAX && !strpbrk(text, "/ "))
		return 0;
	return json_error(at, NULL, "the first 1 to 15 letters of interface names");
}

static int read_texts(const struct json_at *at, const char *key,
	int (*check)(const struct json_at *at, const char *text, GPtrArray *before), GPtrArray **ret)
{
	struct json_at list = json_member(at, key);
	const struct cJSON *item;
	int index = 0, e;

	if (!list.item)
		return 0;
	*ret = g_ptr_array_new_with_free_func(g_free);
	e = json_check_list(&list, "a list of texts");
	cJSON_ArrayForEach (item, list.item) {
		struct json_at entry = json_element(&list, item, index++);
		const char *text = NULL;

		if (!e && index > LIST_MAX)
			e = json_error(&entry, "one entry too many", "at most %d", LIST_MAX);
		if (!e)
			e = json_text(&entry, "a text", &text);
		if (!e)
			e = check(&entry, text, *ret);
		if (!e)
			g_ptr_array_add(*ret, g_strdup(text));
	}
	return e;
}

// ---- the interface ---------------------------------------------------------------------------------------

static int read_port_mode(const struct json_at *at, bool *ret_per_peer)
{
	static const char *const modes[] = {"single", "per-peer", NULL};
	unsigned int mode = *ret_per_peer;
	int ret = json_read_choice(at, "port_mode", modes, &mode);

	*ret_per_peer = mode;
	return ret;
}

static int read_ice(struct config_reader *r, const struct json_at *wg, struct config_wg *w)
{
	static const char *const keys[] = {"servers", "nat_external_ips", "interface_blacklist",
		"disable_ipv6_discovery", "port_reachable", "relay_standby", "port_mode", NULL};
	struct json_at at = json_member(wg, "ice");
	struct config_ice *c = &w->ice;
	int ret;

	if (!at.item)
		return 0;
	if (!w->signal_url)
		return json_error(&at, "\"ice\" without \"signal\"",
			"\"signal\": {\"url\": ...} beside it, by which peers find each other");
	ret = json_check_keys(&at, keys);
	if (!ret)
		ret = read_servers(r, &at, c);
	if (!ret)
		ret = read_texts(&at, "nat_external_ips", check_mapping, &c->nat_external_ips);
	if (!ret)
		ret = read_texts(&at, "interface_blacklist", check_prefix, &c->interface_blacklist);
	if (!ret)
		ret = json_read_bool(&at, "disable_ipv6_discovery", &c->disable_ipv6_discovery);
	if (!ret)
		ret = json_read_bool(&at, "port_reachable", &c->port_reachable);
	if (!ret)
		ret = json_read_bool(&at, "relay_standby", &c->relay_standby);
	if (!ret)
		ret = read_port_mode(&at, &c->port_per_peer);
	return ret;
}

// "http://HOST[:PORT]" or "https://HOST[:PORT]".
static bool signal_url_valid(const char *url)
{
	const char *rest = g_str_has_prefix(url, "https://")  ? url + 8
			   : g_str_has_prefix(url, "http://") ? url + 7
							      : NULL;

	return rest && strlen(url) <= URL_MAX && !strpbrk(rest, "/?#@") && host_port_valid(rest);
}

static int read_signal(const struct json_at *wg, struct config_wg *w)
{
	static const char *const keys[] = {"url", "ca", NULL};
	static const char allowed[] =
		"https://HOST[:PORT], or http://HOST[:PORT] for cleartext HTTP/2";
	struct json_at at = json_member(wg, "signal"), url_at, ca_at;
	const char *url = NULL, *ca = NULL;
	int ret;

	if (!at.item)
		return 0;
	ret = json_check_keys(&at, keys);
	url_at = json_member(&at, "url");
	ca_at = json_member(&at, "ca");
	if (!ret)
		ret = json_text(&url_at, allowed, &url);
	if (!ret && !signal_url_valid(url))
		ret = json_error(&url_at, NULL, "%s", allowed);
	if (!ret)
		ret = json_read_text(&at, "ca", "the path of a PEM file", &ca);
	if (!ret && ca && g_str_has_prefix(url, "http://"))
		ret = json_error(&ca_at, "\"ca\" with http://", "\"ca\" with https:// alone");
	if (ret)
		return ret;
	w->signal_url = g_strdup(url);
	w->signal_ca = ca ? config_path(&ca_at, ca) : NULL;
	return 0;
}

int config_ice_read(struct config_reader *r, const struct json_at *wg, struct config_wg *w)
{
	int ret = read_signal(wg, w);

	return ret ? ret : read_ice(r, wg, w);
}

int config_ice_read_peer(const struct json_at *peer, const struct config_wg *w, struct config_peer *p)
{
	struct json_at at = json_member(peer, "ice"), endpoint = json_member(peer, "endpoint");
	int ret;

	p->ice = w->signal_url && !endpoint.item;
	ret = json_read_bool(peer, "ice", &p->ice);
	if (ret)
		return ret;
	if (p->ice && endpoint.item)
		return json_error(&at, "\"ice\": true beside an \"endpoint\"",
			"one of the two: ICE finds the endpoint itself");
	if (p->ice && !w->signal_url)
		return json_error(&at, "\"ice\": true without \"signal\"",
			"\"signal\": {\"url\": ...} of the interface");
	return 0;
}

// ---- life ------------------------------------------------------------------------------------------------

void config_ice_server_free(void *p)
{
	struct config_ice_server *s = p;

	g_free(s->url);
	g_free(s->username);
	config_secret_free(s->password);
	config_secret_free(s->secret);
	g_free(s);
}

void config_ice_init(struct config_wg *w)
{
	w->ice = (struct config_ice){
		.servers = g_ptr_array_new_with_free_func(config_ice_server_free),
		.relay_standby = true};
}

void config_ice_free(struct config_wg *w)
{
	g_ptr_array_free(w->ice.servers, TRUE);
	if (w->ice.nat_external_ips)
		g_ptr_array_free(w->ice.nat_external_ips, TRUE);
	if (w->ice.interface_blacklist)
		g_ptr_array_free(w->ice.interface_blacklist, TRUE);
	g_free(w->signal_url);
	g_free(w->signal_ca);
}
