// SPDX-License-Identifier: BSD-3-Clause
//
// straitctl import: a coturn configuration as the "turn" of ours, on standard output. What could not be carried over
// is named on standard error, line by line, because a relay that silently lost a deny list is worse than none.
#include "../addr.h"
#include "ctl.h"

#include <cjson/cJSON.h>
#include <glib.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 4096

struct import {
	cJSON *turn, *limits, *ports, *tls, *metrics;
	cJSON *secrets, *users, *allow, *deny;
	GPtrArray *relay_ips, *listen_ips, *external; // of char *
	uint32_t port, tls_port;
	bool no_udp, no_tcp, no_tls, no_software, old_channels, with_metrics;
	unsigned int lost;
	int line;
};

static void lose(struct import *im, const char *option, const char *why)
{
	im->lost++;
	fprintf(stderr, "line %d: %s: not carried over: %s\n", im->line, option, why);
}

// ---- address ranges --------------------------------------------------------------------------------

static unsigned __int128 number_of(const struct st_addr *a)
{
	unsigned __int128 n = 0;

	for (int i = 0; i < 16; i++)
		n = n << 8 | a->b[i];
	return n;
}

static struct st_addr address_of(unsigned __int128 n)
{
	struct st_addr a;

	for (int i = 15; i >= 0; i--, n >>= 8)
		a.b[i] = (uint8_t)n;
	return a;
}

// The fewest prefixes that are exactly lo..hi.
static void add_range(cJSON *list, unsigned __int128 lo, unsigned __int128 hi)
{
	for (;;) {
		char text[PREFIX_TEXT_MAX];
		struct st_prefix p = {.plen = 128};
		unsigned __int128 size = 1;

		while (p.plen > 0 && !(lo & size) && lo + (size << 1) - 1 <= hi &&
			lo + (size << 1) - 1 >= lo) {
			size <<= 1;
			p.plen--;
		}
		p.addr = address_of(lo);
		cJSON_AddItemToArray(list, cJSON_CreateString(prefix_text(text, &p)));
		if (hi - lo <= size - 1) // size 0: all that there are
			return;
		lo += size;
	}
}

static void take_peers(struct import *im, cJSON *list, const char *option, const char *value)
{
	char **ends = g_strsplit(value, "-", 2);
	struct st_addr lo, hi;
	struct st_prefix p;

	if (strchr(value, '/') && prefix_parse(&p, NULL, value)) {
		char text[PREFIX_TEXT_MAX];

		cJSON_AddItemToArray(list, cJSON_CreateString(prefix_text(text, &p)));
	} else if (addr_parse(&lo, g_strstrip(ends[0])) &&
		   addr_parse(&hi, ends[1] ? g_strstrip(ends[1]) : ends[0]) &&
		   addr_is_v4(&lo) == addr_is_v4(&hi) && number_of(&lo) <= number_of(&hi)) {
		add_range(list, number_of(&lo), number_of(&hi));
	} else {
		lose(im, option, "neither an address nor a range");
	}
	g_strfreev(ends);
}

// ---- options ---------------------------------------------------------------------------------------

static void forget_user(struct import *im, const char *name)
{
	int n = 0;
	cJSON *u;

	cJSON_ArrayForEach (u, im->users) {
		if (!strcmp(cJSON_GetObjectItemCaseSensitive(u, "name")->valuestring, name)) {
			cJSON_DeleteItemFromArray(im->users, n);
			return;
		}
		n++;
	}
}

static void take_user(struct import *im, const char *option, const char *value)
{
	const char *colon = strchr(value, ':');
	cJSON *u;
	char *name;

	if (!colon || colon == value || !colon[1]) {
		lose(im, option, "not NAME:PASSWORD");
		return;
	}
	if (g_str_has_prefix(colon + 1, "0x")) {
		lose(im, option, "a stored key; the password itself is needed");
		return;
	}
	name = g_strndup(value, (gsize)(colon - value));
	forget_user(im, name); // the last one counts, as there
	u = cJSON_CreateObject();
	cJSON_AddStringToObject(u, "name", name);
	cJSON_AddStringToObject(u, "password", colon + 1);
	cJSON_AddItemToArray(im->users, u);
	g_free(name);
}

static bool is_on(const char *value)
{
	return !*value || !strcmp(value, "1") || !g_ascii_strcasecmp(value, "true") ||
	       !g_ascii_strcasecmp(value, "yes") || !g_ascii_strcasecmp(value, "on");
}

// What is so with us in any case, or has no meaning for us.
static bool is_settled(const char *option)
{
	static const char *const settled[] = {"fingerprint", "lt-cred-mech", "use-auth-secret",
		"no-cli", "no-dtls", "no-multicast-peers", "no-loopback-peers", "stale-nonce",
		"no-tlsv1", "no-tlsv1_1", "no-sslv2", "no-sslv3", "no-tcp-relay", "verbose",
		"Verbose", "log-file", "syslog", "syslog-facility", "simple-log", "no-stdout-log",
		"new-log-timestamp", "new-log-timestamp-format", "pidfile", "proc-user",
		"proc-group", "daemon", "relay-threads", "ne", "udp-self-balance", "no-rfc5780",
		"no-web-admin", "no-dynamic-ip-list", "no-dynamic-realms", "no-auth-pings",
		"response-origin-only-with-rfc5780", "no-stun-backward-compatibility", NULL};

	return g_strv_contains(settled, option);
}

// What an operator must do himself, or know.
static const char *why_lost(const char *option)
{
	static const char database[] = "users of a database; list them in \"users\"";
	static const char second[] = "a second port; add it to \"listen\" if clients use it";
	static const char alternate[] = "every client would be sent there; \"alternate_servers\" "
					"is for those that find no room";
	static const char clocks[] = "RFC 8656 fixes it";
	static const struct {
		const char *option, *why;
	} reasons[] = {
		{"userdb", database},
		{"db", database},
		{"psql-userdb", database},
		{"mysql-userdb", database},
		{"mongo-userdb", database},
		{"redis-userdb", database},
		{"alt-listening-port", second},
		{"alt-tls-listening-port", second},
		{"alternate-server", alternate},
		{"tls-alternate-server", alternate},
		{"aux-server", "a further address and port; add it to \"listen\""},
		{"channel-lifetime", clocks},
		{"permission-lifetime", clocks},
		{"no-auth", "nobody is relayed for without credentials"},
		{"pkey-pwd", "a key file is read without a password"},
		{"listening-device", "name its address in \"listen\""},
		{"relay-device", "name its address in \"relay_addresses\""},
		{"keep-address-family", "without a family it is IPv4, as RFC 8656 has it"},
		{"allow-loopback-peers", "this box is no peer of its clients"},
		{"prometheus-username-labels", "metrics have no labels of users"},
		{"tcp-proxy-port", "there is no PROXY protocol here"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(reasons); i++) {
		if (!strcmp(reasons[i].option, option))
			return reasons[i].why;
	}
	return "there is no such setting here";
}

// Numbers as they are, within what ours may be. 0 is "no limit" there and nothing that ours could be.
static bool take_numbers(struct import *im, const char *option, const char *value)
{
	const struct {
		const char *option, *key;
		cJSON *into;
		guint64 min, max;
		unsigned int times;
	} numbers[] = {
		{"user-quota", "allocations_per_user", im->limits, 1, 1u << 20, 1},
		{"total-quota", "allocations", im->limits, 1, 1u << 20, 1},
		// Each way counts for itself there, here both together.
		{"max-bps", "allocation_bytes_per_s", im->limits, 0, 500000000000, 2},
		{"min-port", "min", im->ports, 1024, 65535, 1},
		{"max-port", "max", im->ports, 1024, 65535, 1},
		{"max-allocate-lifetime", "max_lifetime_s", im->turn, 600, 3600, 1},
		{"prometheus-port", "port", im->metrics, 1, 65535, 1},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
		guint64 n;

		if (strcmp(option, numbers[i].option))
			continue;
		if (!g_ascii_string_to_unsigned(value, 10, numbers[i].min, numbers[i].max, &n, NULL)) {
			char *why = g_strdup_printf("no number of %" G_GUINT64_FORMAT
						    " to %" G_GUINT64_FORMAT,
				numbers[i].min, numbers[i].max);

			lose(im, option, why);
			g_free(why);
		} else {
			cJSON_DeleteItemFromObjectCaseSensitive(numbers[i].into, numbers[i].key);
			cJSON_AddNumberToObject(
				numbers[i].into, numbers[i].key, (double)n * numbers[i].times);
		}
		return true;
	}
	return false;
}

static void take_port(struct import *im, const char *option, const char *value, uint32_t *into)
{
	guint64 n;

	if (g_ascii_string_to_unsigned(value, 10, 1, 65535, &n, NULL))
		*into = (uint32_t)n;
	else
		lose(im, option, "not a port");
}

// The last one counts, as there.
static void take_text(cJSON *into, const char *key, const char *value)
{
	cJSON_DeleteItemFromObjectCaseSensitive(into, key);
	cJSON_AddStringToObject(into, key, value);
}

static bool take_switch(struct import *im, const char *option, const char *value)
{
	const struct {
		const char *option;
		bool *into;
	} switches[] = {{"no-udp", &im->no_udp}, {"no-tcp", &im->no_tcp}, {"no-tls", &im->no_tls},
		{"prometheus", &im->with_metrics}, {"no-software-attribute", &im->no_software},
		{"rfc5766-channel-numbers", &im->old_channels}};

	for (size_t i = 0; i < G_N_ELEMENTS(switches); i++) {
		if (strcmp(option, switches[i].option))
			continue;
		*switches[i].into = is_on(value);
		return true;
	}
	return false;
}

static void take_option(struct import *im, const char *option, const char *value)
{
	if (take_numbers(im, option, value) || take_switch(im, option, value))
		return;
	if (!strcmp(option, "realm"))
		take_text(im->turn, "realm", value);
	else if (!strcmp(option, "static-auth-secret"))
		cJSON_AddItemToArray(im->secrets, cJSON_CreateString(value));
	else if (!strcmp(option, "user"))
		take_user(im, option, value);
	else if (!strcmp(option, "listening-port"))
		take_port(im, option, value, &im->port);
	else if (!strcmp(option, "tls-listening-port"))
		take_port(im, option, value, &im->tls_port);
	else if (!strcmp(option, "listening-ip"))
		g_ptr_array_add(im->listen_ips, g_strdup(value));
	else if (!strcmp(option, "relay-ip"))
		g_ptr_array_add(im->relay_ips, g_strdup(value));
	else if (!strcmp(option, "external-ip"))
		g_ptr_array_add(im->external, g_strdup(value));
	else if (!strcmp(option, "denied-peer-ip"))
		take_peers(im, im->deny, option, value);
	else if (!strcmp(option, "allowed-peer-ip"))
		take_peers(im, im->allow, option, value);
	else if (!strcmp(option, "cert"))
		take_text(im->tls, "certificate", value);
	else if (!strcmp(option, "pkey"))
		take_text(im->tls, "key", value);
	else if (!strcmp(option, "prometheus-address"))
		take_text(im->metrics, "address", value);
	else if (!strcmp(option, "rest-api-separator") && !strcmp(value, ":"))
		;
	else if (!strcmp(option, "allocation-default-address-family") && !strcmp(value, "ipv4"))
		;
	else if (!is_settled(option))
		lose(im, option, why_lost(option));
}

static int read_file(struct import *im, const char *path)
{
	char line[LINE_MAX_BYTES];
	FILE *f = fopen(path, "re");

	if (!f)
		return ctl_error(CTL_FAILED, "%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		char *text = g_strstrip(line), *value;

		im->line++;
		if (!*text || *text == '#')
			continue;
		// "option=value"; blanks around it, or instead of it.
		value = text + strcspn(text, "= \t");
		if (*value) {
			*value++ = 0;
			value += strspn(value, "= \t");
		}
		take_option(im, text, value);
	}
	fclose(f);
	return CTL_OK;
}

// ---- the document ----------------------------------------------------------------------------------

// "PUBLIC" is of every relay address of its family, "PUBLIC/PRIVATE" of one.
static const char *external_of(const struct import *im, const char *relay, char out[ADDR_TEXT_MAX])
{
	for (guint i = 0; i < im->external->len; i++) {
		const char *e = im->external->pdata[i], *slash = strchr(e, '/');

		if (slash ? strcmp(slash + 1, relay) != 0 : !strchr(e, ':') != !strchr(relay, ':'))
			continue;
		g_strlcpy(out, e, slash ? MIN((gsize)(slash - e) + 1, ADDR_TEXT_MAX) : ADDR_TEXT_MAX);
		return out;
	}
	return NULL;
}

static void add_relays(struct import *im)
{
	const GPtrArray *from = im->relay_ips->len ? im->relay_ips : im->listen_ips;
	cJSON *list = cJSON_AddArrayToObject(im->turn, "relay_addresses");

	for (guint i = 0; i < from->len; i++) {
		char text[ADDR_TEXT_MAX];
		const char *relay = from->pdata[i], *external = external_of(im, relay, text);
		cJSON *o;

		if (!external) {
			cJSON_AddItemToArray(list, cJSON_CreateString(relay));
			continue;
		}
		o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "address", relay);
		cJSON_AddStringToObject(o, "external_ip", external);
		cJSON_AddItemToArray(list, o);
	}
	if (!from->len) {
		im->lost++;
		fprintf(stderr, "neither relay-ip nor listening-ip: name this box's addresses in "
				"\"relay_addresses\"\n");
	}
}

static void add_listener(struct import *im, cJSON *list, const char *address, uint32_t port, bool tls)
{
	cJSON *o = cJSON_CreateObject(), *transports;

	if (address)
		cJSON_AddStringToObject(o, "address", address);
	cJSON_AddNumberToObject(o, "port", port);
	transports = cJSON_AddArrayToObject(o, "transports");
	if (!tls && !im->no_udp)
		cJSON_AddItemToArray(transports, cJSON_CreateString("udp"));
	if (!tls && !im->no_tcp)
		cJSON_AddItemToArray(transports, cJSON_CreateString("tcp"));
	if (tls)
		cJSON_AddItemToArray(transports, cJSON_CreateString("tls"));
	if (cJSON_GetArraySize(transports))
		cJSON_AddItemToArray(list, o);
	else
		cJSON_Delete(o);
}

static void add_listeners(struct import *im)
{
	cJSON *list = cJSON_AddArrayToObject(im->turn, "listen");
	bool tls = im->tls->child && !im->no_tls;

	for (guint i = 0; i < MAX(im->listen_ips->len, 1); i++) {
		const char *address = im->listen_ips->len ? im->listen_ips->pdata[i] : NULL;

		add_listener(im, list, address, im->port, false);
		if (tls)
			add_listener(im, list, address, im->tls_port, true);
	}
	if (!list->child) {
		im->lost++;
		fprintf(stderr, "neither UDP nor TCP nor TLS is left: say in \"listen\" what "
				"clients use\n");
	}
}

// A list or object that has something in it is part of the document.
static void add_filled(struct import *im, const char *key, cJSON *item)
{
	if (item->child)
		cJSON_AddItemToObject(im->turn, key, item);
	else
		cJSON_Delete(item);
}

static void add_switches(struct import *im)
{
	if (im->no_software)
		cJSON_AddBoolToObject(im->turn, "software", false);
	if (im->old_channels)
		cJSON_AddBoolToObject(im->turn, "rfc5766_channel_numbers", true);
	if (im->with_metrics)
		cJSON_AddItemToObject(im->turn, "metrics", im->metrics);
	else
		cJSON_Delete(im->metrics);
}

static void print_notes(const struct import *im, bool user_quota)
{
	fprintf(stderr, "\"ports\" is yours to fill: the interfaces that strait drives.\n"
			"Special-purpose peers (private networks and the like) are denied here "
			"until \"allow_peers\" names them.\n");
	if (!user_quota)
		fprintf(stderr, "There is no user-quota there; here a user has 100 sessions until "
				"\"allocations_per_user\" in \"limits\" says another number.\n");
	if (im->lost)
		fprintf(stderr, "%u options were not carried over.\n", im->lost);
}

static int print(struct import *im)
{
	bool user_quota = cJSON_HasObjectItem(im->limits, "allocations_per_user");
	cJSON *doc = cJSON_CreateObject();
	char *text;

	add_relays(im);
	add_listeners(im);
	add_filled(im, "secrets", im->secrets);
	add_filled(im, "users", im->users);
	add_filled(im, "allow_peers", im->allow);
	add_filled(im, "deny_peers", im->deny);
	add_filled(im, "relay_ports", im->ports);
	add_filled(im, "limits", im->limits);
	add_filled(im, "tls", im->tls);
	add_switches(im);
	cJSON_AddArrayToObject(doc, "ports");
	cJSON_AddItemToObject(doc, "turn", im->turn);
	text = cJSON_Print(doc);
	if (!text)
		abort();
	puts(text);
	cJSON_free(text);
	cJSON_Delete(doc);
	print_notes(im, user_quota);
	return CTL_OK;
}

int import_run(const struct ctl *c, int argc, char **argv)
{
	struct import im = {
		.turn = cJSON_CreateObject(),
		.limits = cJSON_CreateObject(),
		.ports = cJSON_CreateObject(),
		.tls = cJSON_CreateObject(),
		.metrics = cJSON_CreateObject(),
		.secrets = cJSON_CreateArray(),
		.users = cJSON_CreateArray(),
		.allow = cJSON_CreateArray(),
		.deny = cJSON_CreateArray(),
		.relay_ips = g_ptr_array_new_with_free_func(g_free),
		.listen_ips = g_ptr_array_new_with_free_func(g_free),
		.external = g_ptr_array_new_with_free_func(g_free),
		.port = 3478,
		.tls_port = 5349,
	};
	int status = read_file(&im, argv[0]);

	if (!status)
		status = print(&im);
	g_ptr_array_free(im.relay_ips, TRUE);
	g_ptr_array_free(im.listen_ips, TRUE);
	g_ptr_array_free(im.external, TRUE);
	return status;
}
