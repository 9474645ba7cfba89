// SPDX-License-Identifier: BSD-3-Clause
//
// Candidates and credentials as text; see candidate.h. Any thread.
#include "candidate.h"

#include "../addr.h"

#include <glib.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define UFRAG_MIN 4
#define PWD_MIN   22

static const char *const type_names[] = {
	[ICE_HOST] = "host", [ICE_SRFLX] = "srflx", [ICE_PRFLX] = "prflx", [ICE_RELAY] = "relay"};

const char *ice_type_name(enum ice_type type)
{
	return (unsigned int)type < G_N_ELEMENTS(type_names) ? type_names[type] : "unknown";
}

bool ice_address_usable(const struct st_addr *a)
{
	static const struct st_addr loopback = {.b[15] = 1};

	if (addr_is_zero(a))
		return false;
	if (addr_is_v4(a)) // 0/8, loopback, multicast, 240/4 with broadcast
		return a->b[12] && a->b[12] != 127 && a->b[12] < 224;
	return a->b[0] != 0xff && memcmp(a, &loopback, sizeof(loopback)) != 0;
}

static bool number(uint32_t *ret, const char *text, uint64_t max)
{
	guint64 v;

	if (!g_ascii_string_to_unsigned(text, 10, 0, max, &v, NULL))
		return false;
	*ret = (uint32_t)v;
	return true;
}

static bool ice_chars(const char *s, size_t min, size_t max)
{
	size_t len = strlen(s);

	if (len < min || len > max)
		return false;
	for (; *s; s++) {
		if (!g_ascii_isalnum(*s) && *s != '+' && *s != '/')
			return false;
	}
	return true;
}

bool ice_credentials_valid(const char *ufrag, const char *pwd)
{
	return ice_chars(ufrag, UFRAG_MIN, ICE_CRED_MAX) && ice_chars(pwd, PWD_MIN, ICE_CRED_MAX);
}

int ice_credentials_parse(struct ice_credentials *ret, const char *text)
{
	struct ice_credentials c = {0};
	const char *colon = strchr(text, ':');

	if (!colon || colon - text > ICE_CRED_MAX)
		return -EINVAL;
	if (!strcmp(text, ":"))
		return -ENOTSUP;
	memcpy(c.ufrag, text, (size_t)(colon - text));
	if (!ice_credentials_valid(c.ufrag, colon + 1))
		return -EINVAL;
	g_strlcpy(c.pwd, colon + 1, sizeof(c.pwd));
	*ret = c;
	return 0;
}

static bool type_parse(enum ice_type *ret, const char *text)
{
	for (unsigned int t = 0; t < G_N_ELEMENTS(type_names); t++) {
		if (!strcmp(text, type_names[t])) {
			*ret = (enum ice_type)t;
			return true;
		}
	}
	return false;
}

// Splits at blanks, any number of them. Fields behind max do not matter: they are extensions.
static unsigned int split(char *line, char **fields, unsigned int max)
{
	unsigned int n = 0;
	char *save = NULL;

	for (char *f = strtok_r(line, " \t\r\n", &save); f && n < max;
		f = strtok_r(NULL, " \t\r\n", &save))
		fields[n++] = f;
	return n;
}

static bool related_parse(struct ice_candidate *c, char **f)
{
	uint32_t port;

	// An address that we cannot read is no reason to refuse: nothing depends on it.
	if (strcmp(f[0], "raddr") || strcmp(f[2], "rport") || !number(&port, f[3], UINT16_MAX))
		return false;
	if (addr_parse(&c->related, f[1]))
		c->related_port_be = htons((uint16_t)port);
	return true;
}

int ice_candidate_parse(struct ice_candidate *ret, const char *text)
{
	struct ice_candidate c = {0};
	char line[ICE_CANDIDATE_MAX], *f[12];
	uint32_t component, port;
	unsigned int n;

	if (g_strlcpy(line, text, sizeof(line)) >= sizeof(line))
		return -EMSGSIZE;
	n = split(line, f, G_N_ELEMENTS(f));
	if (n && g_str_has_prefix(f[0], "candidate:"))
		f[0] += strlen("candidate:");
	if (n < 8 || strcmp(f[6], "typ") || !ice_chars(f[0], 1, ICE_FOUNDATION_MAX) ||
		!number(&component, f[1], 256) || component != 1 ||
		!number(&c.priority, f[3], INT32_MAX) || !number(&port, f[5], UINT16_MAX) ||
		!type_parse(&c.type, f[7]))
		return -EINVAL;
	if (g_ascii_strncasecmp(f[2], "udp", 3)) // as pion, which takes "udp4" as well
		return -EPROTONOSUPPORT;
	if (n >= 12 && !strcmp(f[8], "raddr") && !related_parse(&c, f + 8))
		return -EINVAL;
	if (!addr_parse(&c.addr, f[4]) || !ice_address_usable(&c.addr) || !port)
		return -EADDRNOTAVAIL;
	g_strlcpy(c.foundation, f[0], sizeof(c.foundation));
	c.port_be = htons((uint16_t)port);
	*ret = c;
	return 0;
}

void ice_candidate_print(char out[ICE_CANDIDATE_MAX], const struct ice_candidate *c)
{
	char addr[ADDR_TEXT_MAX], related[ADDR_TEXT_MAX];
	int n;

	n = g_snprintf(out, ICE_CANDIDATE_MAX, "%s 1 udp %u %s %u typ %s", c->foundation,
		c->priority, addr_text(addr, &c->addr), ntohs(c->port_be), ice_type_name(c->type));
	if (c->related_port_be)
		g_snprintf(out + n, ICE_CANDIDATE_MAX - (gulong)n, " raddr %s rport %u",
			addr_text(related, &c->related), ntohs(c->related_port_be));
}

static uint32_t crc32(uint32_t crc, const char *s)
{
	for (; *s; s++) {
		crc ^= (uint8_t)*s;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return crc;
}

void ice_candidate_foundation(struct ice_candidate *c, const struct st_addr *base)
{
	char addr[ADDR_TEXT_MAX];
	uint32_t crc = crc32(0xffffffff, ice_type_name(c->type));

	crc = crc32(crc, addr_text(addr, base));
	crc = crc32(crc, addr_is_v4(base) ? "udp4" : "udp6");
	g_snprintf(c->foundation, sizeof(c->foundation), "%u", ~crc);
}

uint32_t ice_candidate_priority(enum ice_type type, unsigned int rank)
{
	static const uint32_t preference[] = {
		[ICE_HOST] = 126, [ICE_SRFLX] = 100, [ICE_PRFLX] = 110, [ICE_RELAY] = 0};

	return preference[type] << 24 | (65535 - MIN(rank, 65535U)) << 8 | 255;
}
