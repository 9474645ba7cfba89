// SPDX-License-Identifier: BSD-3-Clause
//
// "turn" of the configuration; see config.h. Main thread; reads the document and the secret files it names.
#include "config.h"

#include "../addr.h"
#include "../config/config_read.h"
#include "../json.h"
#include "config_parts.h"
#include "policy.h"

#include <cjson/cJSON.h>
#include <sodium.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SECRET_MAX      512
#define LISTEN_MAX      16
#define RELAYS_MAX      16
#define PREFIXES_MAX    1024
#define PORT_RANGES_MAX 64
#define SECRETS_MAX     16
#define USERS_MAX       4096
#define ALTERNATES_MAX  16
#define REALM_MAX       127 // characters; RFC 8489 section 14.9

// ---- secrets ---------------------------------------------------------------------------------------

static char *locked_copy(const char *text)
{
	size_t len = strlen(text) + 1;
	char *copy = sodium_malloc(len);

	if (!copy)
		g_error("no locked memory for a secret");
	memcpy(copy, text, len);
	return copy;
}

// what: "secret" or "password". RFC 8265 section 4.2 (OpaqueString): NFC.
static int take_secret(const struct json_at *at, const char *text, const char *what, char **ret)
{
	char *nfc;

	if (config_is_placeholder(text))
		return json_error(at, "a placeholder (not shown)",
			"a %s of your own, such as `openssl rand -base64 32` prints", what);
	nfc = g_utf8_normalize(text, -1, G_NORMALIZE_NFC);
	if (!text[0] || !nfc || strlen(nfc) > SECRET_MAX) {
		g_free(nfc);
		return json_error(at, "a text that is none (not shown)",
			"a %s of 1 to %d bytes of UTF-8", what, SECRET_MAX);
	}
	*ret = locked_copy(nfc);
	sodium_memzero(nfc, strlen(nfc));
	g_free(nfc);
	return 0;
}

// KEY or KEY_file of the object at; *ret NULL when neither is there.
static int read_secret(struct config_reader *r, const struct json_at *at, const char *key,
	const char *what, char **ret)
{
	g_autofree char *file_key = g_strconcat(key, "_file", NULL);
	struct json_at text_at = json_member(at, key), file_at = json_member(at, file_key);
	char *text = NULL;
	int e = config_secret_read(r, at, key, SECRET_MAX, &text);

	if (!e && text)
		e = take_secret(text_at.item ? &text_at : &file_at, text, what, ret);
	config_secret_free(text);
	return e;
}

// ---- lists -----------------------------------------------------------------------------------------

typedef int (*read_one)(struct config_reader *r, const struct json_at *at, struct turn_config *c);

static int read_each(struct config_reader *r, const struct json_at *at, const char *key,
	struct turn_config *c, int max, const char *allowed, read_one read)
{
	struct json_at list = json_member(at, key);
	const struct cJSON *item;
	int index = 0, e;

	if (!list.item)
		return 0;
	e = json_check_list(&list, allowed);
	if (!e && cJSON_GetArraySize(list.item) > max)
		return json_error(&list, "too long a list", "at most %d", max);
	cJSON_ArrayForEach (item, list.item) {
		struct json_at child = json_element(&list, item, index++);

		if (!e)
			e = read(r, &child, c);
	}
	return e;
}

static int read_secret_item(struct config_reader *r, const struct json_at *at, struct turn_config *c)
{
	static const char *const keys[] = {"secret", "secret_file", NULL};
	char *secret = NULL;
	int e;

	// A bare text is the secret itself.
	if (cJSON_IsString(at->item)) {
		r->inline_secrets = true;
		e = take_secret(at, at->item->valuestring, "secret", &secret);
	} else {
		e = cJSON_IsObject(at->item) ? json_check_keys(at, keys)
					     : json_error(at, "a value that is no text (not shown)",
						       "a secret, or {\"secret_file\": PATH}");
		if (!e)
			e = read_secret(r, at, "secret", "secret", &secret);
		if (!e && !secret)
			e = json_error(at, "neither", "\"secret\" or \"secret_file\"");
	}
	if (secret)
		g_ptr_array_add(c->secrets, secret);
	return e;
}

static int read_user(struct config_reader *r, const struct json_at *at, struct turn_config *c)
{
	static const char *const keys[] = {"name", "password", "password_file", NULL};
	static const char allowed[] =
		"a name of 1 to 508 bytes of UTF-8 without control characters";
	struct turn_config_user *u = g_new0(struct turn_config_user, 1);
	struct json_at name_at = json_member(at, "name");
	const char *name = "";
	int64_t expiry;
	int e = json_check_keys(at, keys);

	g_ptr_array_add(c->users, u);
	if (!e)
		e = json_text(&name_at, allowed, &name);
	if (e)
		return e;
	u->name = g_utf8_normalize(name, -1, G_NORMALIZE_NFC);
	if (!name[0] || !u->name || strlen(u->name) > 508)
		return json_error(&name_at, NULL, "%s", allowed);
	for (const char *p = u->name; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return json_error(&name_at, "a control character", "%s", allowed);
	}
	for (expiry = 0; g_ascii_isdigit(name[expiry]); expiry++)
		;
	if (expiry && (!name[expiry] || name[expiry] == ':'))
		return json_error(&name_at, NULL,
			"a name that is not a number: those are time-limited credentials");
	e = config_unique(r, &name_at, "each user once", "turn user %s", u->name);
	if (!e)
		e = read_secret(r, at, "password", "password", &u->password);
	if (!e && !u->password)
		e = json_error(at, "a user without password", "\"password\" or \"password_file\"");
	return e;
}

static int read_prefix(const struct json_at *at, GPtrArray *into)
{
	static const char allowed[] = "an IPv4 or IPv6 prefix such as 10.0.0.0/8";
	struct turn_config_prefix *p;
	const char *text = NULL;
	struct st_prefix prefix;
	struct st_addr host;
	int e = json_text(at, allowed, &text);

	if (e)
		return e;
	if (!prefix_parse(&prefix, &host, text))
		return json_error(at, NULL, "%s", allowed);
	if (memcmp(&host, &prefix.addr, sizeof(host)))
		return json_error(at, NULL, "a prefix without host bits");
	p = g_new0(struct turn_config_prefix, 1);
	p->prefix = prefix;
	p->text = g_strdup(text);
	g_ptr_array_add(into, p);
	return 0;
}

static int read_allow(struct config_reader *r, const struct json_at *at, struct turn_config *c)
{
	static const struct {
		const char *prefix, *why;
	} never[] = {
		{"127.0.0.0/8", "loopback"},
		{"0.0.0.0/8", "this network"},
		{"224.0.0.0/4", "multicast"},
		{"::1/128", "loopback"},
		{"ff00::/8", "multicast"},
		{"2002::/16", "6to4"},
		{"2001::/32", "Teredo"},
		{"64:ff9b::/96", "NAT64"},
	};
	const struct turn_config_prefix *p;
	int e = read_prefix(at, c->allow);

	if (e)
		return e;
	p = c->allow->pdata[c->allow->len - 1];
	for (size_t i = 0; i < G_N_ELEMENTS(never); i++) {
		struct st_prefix n;

		prefix_parse(&n, NULL, never[i].prefix);
		if (p->prefix.plen >= n.plen) {
			struct st_prefix cut = p->prefix;

			cut.plen = n.plen;
			prefix_mask(&cut);
			if (!memcmp(&cut, &n, sizeof(n)))
				return json_error(at, NULL,
					"no prefix of %s (%s): it is never relayed to",
					never[i].why, never[i].prefix);
		}
	}
	return 0;
}

static int read_deny(struct config_reader *r, const struct json_at *at, struct turn_config *c)
{
	return read_prefix(at, c->deny);
}

static int read_deny_port(struct config_reader *r, const struct json_at *at, struct turn_config *c)
{
	static const char allowed[] = "a port such as 25, or a range such as \"6000-6010\"";
	struct turn_config_ports p = {0};
	unsigned int lo, hi;
	int end = 0;

	if (cJSON_IsNumber(at->item) && at->item->valuedouble >= 1 &&
		at->item->valuedouble <= 65535 && at->item->valuedouble == (int)at->item->valuedouble)
		p.lo = p.hi = (uint16_t)at->item->valuedouble;
	else if (cJSON_IsString(at->item) &&
		 sscanf(at->item->valuestring, "%5u-%5u%n", &lo, &hi, &end) == 2 &&
		 !at->item->valuestring[end] && lo >= 1 && lo <= hi && hi <= 65535)
		p = (struct turn_config_ports){(uint16_t)lo, (uint16_t)hi};
	else
		return json_error(at, NULL, "%s", allowed);
	g_array_append_val(c->deny_ports, p);
	return 0;
}

// ---- addresses -------------------------------------------------------------------------------------

static bool usable(const struct st_addr *a)
{
	bool multicast = addr_is_v4(a) ? a->b[12] >= 224 : a->b[0] == 0xff;

	return !addr_is_zero(a) && !multicast;
}

int turn_config_read_addr(const struct json_at *at, const char *allowed, struct st_addr *ret)
{
	const char *text = NULL;
	int e = json_text(at, allowed, &text);

	if (e)
		return e;
	return addr_parse(ret, text) && usable(ret) ? 0 : json_error(at, NULL, "%s", allowed);
}

static int read_relay(struct config_reader *r, const struct json_at *at, struct turn_config *c)
{
	static const char *const keys[] = {"address", "external_ip", NULL};
	static const char allowed[] = "an address of this box such as 192.0.2.1, or "
				      "{\"address\": ..., \"external_ip\": ...}";
	struct turn_config_relay *relay = g_new0(struct turn_config_relay, 1);
	struct json_at addr_at = *at, ext_at;
	char text[ADDR_TEXT_MAX];
	const char *form;
	struct st_addr v4;
	int e = 0;

	g_ptr_array_add(c->relays, relay);
	if (cJSON_IsObject(at->item)) {
		e = json_check_keys(at, keys);
		addr_at = json_member(at, "address");
	}
	if (!e)
		e = turn_config_read_addr(&addr_at, allowed, &relay->addr);
	if (!e && !addr_is_v4(&relay->addr) && turn_policy_embedded(&relay->addr, &v4, &form))
		e = json_error(&addr_at, NULL, "no %s address (RFC 8656 section 21.4)", form);
	relay->external = relay->addr;
	if (!e && cJSON_IsObject(at->item)) {
		ext_at = json_member(at, "external_ip");
		if (ext_at.item)
			e = turn_config_read_addr(
				&ext_at, "the address that clients reach it by", &relay->external);
		if (!e && addr_is_v4(&relay->addr) != addr_is_v4(&relay->external))
			e = json_error(&ext_at, NULL, "an address of the family of \"address\"");
	}
	if (!e)
		e = config_unique(r, &addr_at, "each relay address once", "turn relay %s",
			addr_text(text, &relay->addr));
	return e;
}

static int read_transports(const struct json_at *at, struct turn_config_listen *l)
{
	static const char *const names[TURN_TRANSPORTS] = {"udp", "tcp", "tls"};
	struct json_at list = json_member(at, "transports");
	const struct cJSON *item;
	int index = 0, e;

	if (!list.item) {
		l->transports[TURN_UDP] = l->transports[TURN_TCP] = true;
		return 0;
	}
	e = json_check_list(&list, "a list of \"udp\", \"tcp\", \"tls\"");
	cJSON_ArrayForEach (item, list.item) {
		struct json_at child = json_element(&list, item, index++);
		int t;

		if (e)
			break;
		for (t = 0; t < TURN_TRANSPORTS; t++) {
			if (cJSON_IsString(item) && !strcmp(names[t], item->valuestring))
				break;
		}
		if (t == TURN_TRANSPORTS)
			e = json_error(&child, NULL, "\"udp\", \"tcp\" or \"tls\"");
		else
			l->transports[t] = true;
	}
	if (!e && !index)
		e = json_error(&list, "an empty list", "at least one of \"udp\", \"tcp\", \"tls\"");
	return e;
}

static int read_listen(struct config_reader *r, const struct json_at *at, struct turn_config *c)
{
	static const char *const keys[] = {"address", "port", "transports", NULL};
	struct turn_config_listen *l = g_new0(struct turn_config_listen, 1);
	struct json_at addr_at = json_member(at, "address");
	char text[ADDR_TEXT_MAX];
	int e = json_check_keys(at, keys);

	g_ptr_array_add(c->listen, l);
	l->port = 3478;
	if (!e && addr_at.item)
		e = turn_config_read_addr(
			&addr_at, "an address of this box; without it all of them", &l->addr);
	if (!e)
		e = json_read_u16(at, "port", 1, 65535, &l->port);
	if (!e)
		e = read_transports(at, l);
	if (!e)
		e = config_unique(r, at, "each address and port once", "turn listen %s %u",
			addr_text(text, &l->addr), l->port);
	return e;
}

// ---- the rest --------------------------------------------------------------------------------------

static int read_u64(const struct json_at *at, const char *key, uint64_t *ret)
{
	struct json_at child = json_member(at, key);

	if (!child.item)
		return 0;
	if (!cJSON_IsNumber(child.item) || child.item->valuedouble < 0 ||
		child.item->valuedouble > 1e12 ||
		child.item->valuedouble != (double)(uint64_t)child.item->valuedouble)
		return json_error(&child, NULL,
			"a whole number of bytes per second up to 1e12, 0 = no limit");
	*ret = (uint64_t)child.item->valuedouble;
	return 0;
}

static int read_limits(const struct json_at *turn, struct turn_config_limits *l)
{
	static const char *const keys[] = {"allocations", "allocations_per_user",
		"allocations_per_source", "allocations_per_user_s", "new_peers_per_user_min",
		"permissions_per_allocation", "channels_per_allocation", "connections",
		"connections_per_source", "handshakes_per_source_s", "replies_per_source_s",
		"replies_burst", "allocation_bytes_per_s", "allocation_burst_bytes",
		"user_bytes_per_s", "user_burst_bytes", NULL};
	const struct {
		const char *key;
		uint32_t min, max, *into;
	} numbers[] = {
		{"allocations", 1, 1u << 20, &l->allocations},
		{"allocations_per_user", 1, 1u << 20, &l->allocations_per_user},
		{"allocations_per_source", 1, 1u << 20, &l->allocations_per_source},
		{"allocations_per_user_s", 0, 1000000, &l->allocations_per_user_s},
		{"new_peers_per_user_min", 0, 1000000, &l->new_peers_per_user_min},
		{"permissions_per_allocation", 1, 4096, &l->permissions},
		{"channels_per_allocation", 1, 4096, &l->channels},
		{"connections", 1, 65536, &l->connections},
		{"connections_per_source", 1, 65536, &l->connections_per_source},
		{"handshakes_per_source_s", 1, 10000, &l->handshakes_per_source_s},
		{"replies_per_source_s", 0, 1000000, &l->replies_per_source_s},
		{"replies_burst", 1, 1000000, &l->replies_burst},
	};
	struct json_at at = json_member(turn, "limits");
	int e;

	if (!at.item)
		return 0;
	e = json_check_keys(&at, keys);
	for (size_t i = 0; i < G_N_ELEMENTS(numbers) && !e; i++)
		e = json_read_uint(
			&at, numbers[i].key, numbers[i].min, numbers[i].max, numbers[i].into);
	if (!e)
		e = read_u64(&at, "allocation_bytes_per_s", &l->bytes_per_s);
	if (!e)
		e = read_u64(&at, "allocation_burst_bytes", &l->burst_bytes);
	if (!e)
		e = read_u64(&at, "user_bytes_per_s", &l->user_bytes_per_s);
	if (!e)
		e = read_u64(&at, "user_burst_bytes", &l->user_burst_bytes);
	// A tenth of a second, and never less than some full packets.
	if (l->bytes_per_s && !l->burst_bytes)
		l->burst_bytes = MAX(l->bytes_per_s / 10, 65536);
	if (l->user_bytes_per_s && !l->user_burst_bytes)
		l->user_burst_bytes = MAX(l->user_bytes_per_s / 10, 65536);
	return e;
}

static int read_realm(const struct json_at *turn, struct turn_config *c)
{
	static const char allowed[] = "a realm of 1 to 127 characters such as example.org";
	struct json_at at = json_member(turn, "realm");
	const char *text = NULL;
	int e = json_text(&at, allowed, &text);

	if (e)
		return e;
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == '"' || *p == '\\' || *p == 0x7f)
			return json_error(
				&at, NULL, "%s, without quotes and control characters", allowed);
	}
	c->realm = g_utf8_normalize(text, -1, G_NORMALIZE_NFC);
	if (!text[0] || !c->realm || g_utf8_strlen(c->realm, -1) > REALM_MAX)
		return json_error(&at, NULL, "%s", allowed);
	return 0;
}

static int read_ports(const struct json_at *turn, struct turn_config *c)
{
	static const char *const keys[] = {"min", "max", NULL};
	struct json_at at = json_member(turn, "relay_ports");
	int e;

	if (!at.item)
		return 0;
	e = json_check_keys(&at, keys);
	if (!e)
		e = json_read_u16(&at, "min", 1024, 65535, &c->port_min);
	if (!e)
		e = json_read_u16(&at, "max", 1024, 65535, &c->port_max);
	if (!e && (c->port_min >= c->port_max))
		e = json_error(&at, NULL, "\"min\" below \"max\"");
	return e;
}

static int read_file(const struct json_at *at, const char *key, char **ret)
{
	struct json_at child = json_member(at, key);
	const char *path = NULL;
	int e = child.item ? json_text(&child, "the path of a PEM file", &path) : 0;

	if (!e && path) {
		*ret = config_path(&child, path);
		if (access(*ret, R_OK))
			return config_file_error(
				&child, *ret, g_strerror(errno), "a file that can be read");
	}
	return e;
}

static int read_tls(const struct json_at *turn, struct turn_config *c)
{
	static const char *const keys[] = {"certificate", "key", NULL};
	struct json_at at = json_member(turn, "tls");
	int e = 0;

	if (at.item) {
		e = json_check_keys(&at, keys);
		if (!e)
			e = read_file(&at, "certificate", &c->certificate);
		if (!e)
			e = read_file(&at, "key", &c->key);
		if (!e && (!c->certificate || !c->key))
			e = json_error(&at, "half of it", "both \"certificate\" and \"key\"");
	}
	for (guint i = 0; i < c->listen->len && !e; i++) {
		const struct turn_config_listen *l = c->listen->pdata[i];

		if (l->transports[TURN_TLS] && !c->certificate)
			e = json_error(turn, "\"tls\" among the transports, and no certificate",
				"\"tls\": {\"certificate\": FILE, \"key\": FILE} beside it");
	}
	return e;
}

static int read_metrics(const struct json_at *turn, struct turn_config *c)
{
	static const char *const keys[] = {"address", "port", NULL};
	struct json_at at = json_member(turn, "metrics"), addr_at;
	int e;

	if (!at.item)
		return 0;
	e = json_check_keys(&at, keys);
	addr_at = json_member(&at, "address");
	addr_parse(&c->metrics_addr, "127.0.0.1");
	c->metrics_port = 9641;
	if (!e && addr_at.item)
		e = turn_config_read_addr(
			&addr_at, "the address that /metrics is served on", &c->metrics_addr);
	if (!e)
		e = json_read_u16(&at, "port", 1, 65535, &c->metrics_port);
	return e;
}

static int check_whole(
	const struct config_reader *r, const struct json_at *turn, const struct turn_config *c)
{
	if (!c->secrets->len && !c->users->len)
		return json_error(turn, "nobody who may use it", "\"secrets\", \"users\", or both");
	if (!c->relays->len)
		return json_error(turn, "no relay address",
			"\"relay_addresses\": a list of addresses of this box");
	for (guint i = 0; i < c->listen->len; i++) {
		const struct turn_config_listen *l = c->listen->pdata[i];

		if (l->port >= c->port_min && l->port <= c->port_max)
			return json_error(turn, "a listening port inside of \"relay_ports\"",
				"ports of clients and of relayed addresses that do not overlap");
	}
	for (guint i = 0; i < r->c->wgs->len; i++) {
		const struct config_wg *w = r->c->wgs->pdata[i];

		if (w->listen_port >= c->port_min && w->listen_port <= c->port_max)
			return json_error(turn, "WireGuard's port inside of \"relay_ports\"",
				"a range that leaves out \"listen_port\" %u of %s", w->listen_port,
				w->name);
	}
	return 0;
}

static struct turn_config *config_new(void)
{
	struct turn_config *c = g_new0(struct turn_config, 1);

	c->listen = g_ptr_array_new_with_free_func(g_free);
	c->secrets = g_ptr_array_new();
	c->users = g_ptr_array_new();
	c->relays = g_ptr_array_new_with_free_func(g_free);
	c->allow = g_ptr_array_new();
	c->deny = g_ptr_array_new();
	c->alternates = g_ptr_array_new_with_free_func(turn_config_alternate_free);
	c->deny_ports = g_array_new(FALSE, FALSE, sizeof(struct turn_config_ports));
	c->port_min = 49152;
	c->port_max = 65535;
	c->max_lifetime_s = 3600;
	c->sha256 = c->software = true;
	c->limits = (struct turn_config_limits){
		.allocations = 100000,
		.allocations_per_user = 100,
		.allocations_per_source = 1000,
		.allocations_per_user_s = 50,
		.new_peers_per_user_min = 6000,
		.permissions = 128,
		.channels = 128,
		.connections = 4096,
		.connections_per_source = 256,
		.handshakes_per_source_s = 10,
		.replies_per_source_s = 20,
		.replies_burst = 100,
	};
	return c;
}

static void prefixes_free(GPtrArray *a)
{
	for (guint i = 0; i < a->len; i++) {
		struct turn_config_prefix *p = a->pdata[i];

		g_free(p->text);
		g_free(p);
	}
	g_ptr_array_free(a, TRUE);
}

void turn_config_free(struct turn_config *c)
{
	if (!c)
		return;
	for (guint i = 0; i < c->secrets->len; i++)
		sodium_free(c->secrets->pdata[i]);
	for (guint i = 0; i < c->users->len; i++) {
		struct turn_config_user *u = c->users->pdata[i];

		g_free(u->name);
		sodium_free(u->password);
		g_free(u);
	}
	g_ptr_array_free(c->secrets, TRUE);
	g_ptr_array_free(c->users, TRUE);
	g_ptr_array_free(c->listen, TRUE);
	g_ptr_array_free(c->relays, TRUE);
	g_ptr_array_free(c->alternates, TRUE);
	prefixes_free(c->allow);
	prefixes_free(c->deny);
	g_array_free(c->deny_ports, TRUE);
	g_free(c->realm);
	g_free(c->certificate);
	g_free(c->key);
	g_free(c);
}

static int read_switches(const struct json_at *at, struct turn_config *c)
{
	int e = json_read_bool(at, "strict_expiry", &c->strict_expiry);

	if (!e)
		e = json_read_bool(at, "rfc5766_channel_numbers", &c->rfc5766_channels);
	if (!e)
		e = json_read_bool(at, "sha256", &c->sha256);
	if (!e)
		e = json_read_bool(at, "software", &c->software);
	return e ? e : json_read_uint(at, "max_lifetime_s", 600, 3600, &c->max_lifetime_s);
}

static int read_lists(struct config_reader *r, const struct json_at *at, struct turn_config *c)
{
	const struct {
		const char *key;
		int max;
		const char *allowed;
		read_one read;
	} lists[] = {
		{"listen", LISTEN_MAX, "a list of objects such as [{\"port\": 3478}]", read_listen},
		{"secrets", SECRETS_MAX, "a list of secrets", read_secret_item},
		{"users", USERS_MAX, "a list of objects with \"name\" and \"password\"", read_user},
		{"relay_addresses", RELAYS_MAX, "a list of addresses of this box", read_relay},
		{"allow_peers", PREFIXES_MAX, "a list of prefixes such as [\"10.0.0.0/8\"]",
			read_allow},
		{"deny_peers", PREFIXES_MAX, "a list of prefixes such as [\"10.0.0.0/8\"]", read_deny},
		{"deny_peer_ports", PORT_RANGES_MAX, "a list such as [25, \"6000-6010\"]",
			read_deny_port},
		{"alternate_servers", ALTERNATES_MAX,
			"a list of objects such as [{\"address\": \"192.0.2.2\"}]",
			turn_config_read_alternate},
	};
	int e = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(lists) && !e; i++)
		e = read_each(r, at, lists[i].key, c, lists[i].max, lists[i].allowed, lists[i].read);
	return e;
}

static int default_listen(const struct json_at *turn, struct turn_config *c)
{
	struct turn_config_listen *l;

	if (c->listen->len)
		return 0;
	if (cJSON_HasObjectItem(turn->item, "listen"))
		return json_error(turn,
			"\"listen\" is empty", "what clients use, such as [{\"port\": 3478}], or no \"listen\" for UDP and TCP");
	l = g_new0(struct turn_config_listen, 1);
	l->port = 3478;
	l->transports[TURN_UDP] = l->transports[TURN_TCP] = true;
	g_ptr_array_add(c->listen, l);
	return 0;
}

int turn_config_read(struct config_reader *r, const struct json_at *at, struct turn_config **ret)
{
	static const char *const keys[] = {"listen", "realm", "secrets", "users", "relay_addresses",
		"relay_ports", "alternate_servers", "allow_peers", "deny_peers", "deny_peer_ports",
		"limits", "strict_expiry", "rfc5766_channel_numbers", "sha256", "software",
		"max_lifetime_s", "tls", "metrics", NULL};
	struct turn_config *c = config_new();
	int e = json_check_keys(at, keys);

	*ret = c;
	if (!e)
		e = read_realm(at, c);
	if (!e)
		e = read_lists(r, at, c);
	if (!e)
		e = read_ports(at, c);
	if (!e)
		e = read_limits(at, &c->limits);
	if (!e)
		e = read_switches(at, c);
	if (!e)
		e = default_listen(at, c);
	if (!e)
		e = read_tls(at, c);
	if (!e)
		e = read_metrics(at, c);
	return e ? e : check_whole(r, at, c);
}

int turn_config_relay_index(const struct turn_config *c, const struct st_addr *addr)
{
	for (guint i = 0; i < c->relays->len; i++) {
		const struct turn_config_relay *r = c->relays->pdata[i];

		if (!memcmp(&r->addr, addr, sizeof(*addr)) ||
			!memcmp(&r->external, addr, sizeof(*addr)))
			return (int)i;
	}
	return -1;
}

void turn_config_unmap(const struct turn_config *c, struct st_addr *peer)
{
	int index = turn_config_relay_index(c, peer);

	if (index >= 0)
		*peer = ((const struct turn_config_relay *)c->relays->pdata[index])->addr;
}
