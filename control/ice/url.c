// SPDX-License-Identifier: BSD-3-Clause
//
// URLs of STUN and TURN servers; see url.h. Any thread.
#include "url.h"

#include <glib.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define PORT_PLAIN 3478
#define PORT_TLS   5349

static const struct {
	const char *name;
	bool turn, secure;
} schemes[] = {
	{"stun:", false, false},
	{"stuns:", false, true},
	{"turn:", true, false},
	{"turns:", true, true},
};

static bool host_valid(const char *host)
{
	size_t len = strlen(host);

	if (!len || len > ICE_HOST_MAX)
		return false;
	return strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") ==
	       len;
}

static bool literal_v6(const char *host)
{
	struct in6_addr a;

	return inet_pton(AF_INET6, host, &a) == 1;
}

static bool port_parse(uint16_t *ret, const char *text)
{
	guint64 v;

	if (!g_ascii_string_to_unsigned(text, 10, 1, UINT16_MAX, &v, NULL))
		return false;
	*ret = (uint16_t)v;
	return true;
}

// host[:port] or [v6][:port]; rest is writable.
static const char *authority(struct ice_url *u, char *rest)
{
	char *host = rest, *colon;

	if (*rest == '[') {
		char *end = strchr(++host, ']');

		if (!end)
			return "an IPv6 address needs a closing bracket";
		*end = 0;
		if (!literal_v6(host))
			return "what stands in brackets is no IPv6 address";
		colon = end + 1;
		if (*colon && *colon != ':')
			return "only :port may follow the bracket";
	} else {
		colon = strchr(host, ':');
		if (!colon)
			colon = host + strlen(host);
		if (*colon && strchr(colon + 1, ':'))
			return "an IPv6 address stands in brackets";
	}
	if (*colon) {
		*colon = 0;
		if (!port_parse(&u->port, colon + 1))
			return "the port is a number from 1 to 65535";
	}
	if (*rest != '[' && !host_valid(host))
		return "the host is empty or has characters that no name has";
	g_strlcpy(u->host, host, sizeof(u->host));
	return NULL;
}

static const char *query(struct ice_url *u, bool secure, const char *text)
{
	if (!u->turn)
		return "stun and stuns take no ?transport=";
	if (!strcmp(text, "transport=tcp")) {
		u->transport = secure ? ICE_TLS : ICE_TCP;
		return NULL;
	}
	if (strcmp(text, "transport=udp"))
		return "after ? only transport=udp or transport=tcp is allowed";
	if (secure)
		return "turns with transport=udp means DTLS, which is not supported";
	return NULL;
}

static const char *parse(struct ice_url *u, const char *text)
{
	char rest[ICE_HOST_MAX + 64], *mark;
	const char *why = NULL;
	size_t n;

	for (n = 0; n < G_N_ELEMENTS(schemes); n++) {
		if (!g_ascii_strncasecmp(text, schemes[n].name, strlen(schemes[n].name)))
			break;
	}
	if (n == G_N_ELEMENTS(schemes))
		return "it begins with stun:, stuns:, turn: or turns:";
	text += strlen(schemes[n].name);
	if (g_str_has_prefix(text, "//"))
		return "no // follows the scheme: turn:host:port";
	if (strlen(text) >= sizeof(rest))
		return "it is too long";
	g_strlcpy(rest, text, sizeof(rest));
	u->turn = schemes[n].turn;
	u->port = schemes[n].secure ? PORT_TLS : PORT_PLAIN;
	u->transport = schemes[n].secure ? ICE_TLS : ICE_UDP;
	mark = strchr(rest, '?');
	if (mark) {
		*mark = 0;
		why = query(u, schemes[n].secure, mark + 1);
	}
	return why ? why : authority(u, rest);
}

int ice_url_parse(struct ice_url *ret, const char *text, const char **ret_why)
{
	struct ice_url u = {0};
	const char *why = parse(&u, text);

	if (why) {
		*ret_why = why;
		return -EINVAL;
	}
	*ret = u;
	return 0;
}
