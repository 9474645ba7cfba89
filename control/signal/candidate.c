// SPDX-License-Identifier: BSD-3-Clause
//
// The grammar of NetBird's payloads. Strict where a later reader (libnice's SDP parser) would be lax, and
// as lax as pion where its peers are: the transport's case, what follows the type and the related address.
#include "candidate.h"

#include "../addr.h"

#include <glib.h>

#include <errno.h>
#include <string.h>

#define FIELDS_MAX 32 // more are extensions, which end the reading

static const char *const type_names[] = {
	[SIGNAL_CANDIDATE_HOST] = "host",
	[SIGNAL_CANDIDATE_SRFLX] = "srflx",
	[SIGNAL_CANDIDATE_PRFLX] = "prflx",
	[SIGNAL_CANDIDATE_RELAY] = "relay",
};

struct fields {
	char text[SIGNAL_CANDIDATE_MAX + 1];
	char *at[FIELDS_MAX];
	unsigned int n;
};

static int fields_split(struct fields *f, const char *text)
{
	char *save = NULL;

	if (strlen(text) > SIGNAL_CANDIDATE_MAX)
		return -EMSGSIZE;
	strcpy(f->text, text);
	f->n = 0;
	for (char *p = strtok_r(f->text, " ", &save); p && f->n < FIELDS_MAX;
		p = strtok_r(NULL, " ", &save))
		f->at[f->n++] = p;
	return 0;
}

// RFC 8839 section 5.1: ice-char is a letter, a digit, '+' or '/'. pion's ufrags are letters only.
static bool is_ice_chars(const char *s)
{
	for (; *s; s++) {
		if (!g_ascii_isalnum(*s) && *s != '+' && *s != '/')
			return false;
	}
	return true;
}

static bool read_number(const char *s, uint64_t max, uint64_t *ret)
{
	return g_ascii_string_to_unsigned(s, 10, 0, max, ret, NULL);
}

static bool read_type(const char *s, enum signal_candidate_type *ret)
{
	for (unsigned int i = 0; i < G_N_ELEMENTS(type_names); i++) {
		if (!strcmp(s, type_names[i])) {
			*ret = (enum signal_candidate_type)i;
			return true;
		}
	}
	return false;
}

// Nothing a check could be sent to: it would come back to us, or reach many.
static bool is_unusable(const struct st_addr *a)
{
	static const uint8_t loopback6[16] = {[15] = 1};

	if (addr_is_zero(a))
		return true;
	if (addr_is_v4(a)) // this network, loopback, multicast and what is above
		return a->b[12] == 0 || a->b[12] == 127 || a->b[12] >= 224;
	return !memcmp(a->b, loopback6, sizeof(loopback6)) || a->b[0] == 0xff;
}

static int read_related(const struct fields *f, struct signal_candidate *c)
{
	uint64_t port;

	if (f->n < 10 || strcmp(f->at[8], "raddr"))
		return 0; // an extension, or nothing
	if (f->n < 12 || strcmp(f->at[10], "rport") || !addr_parse(&c->related, f->at[9]) ||
		!read_number(f->at[11], UINT16_MAX, &port))
		return -EINVAL;
	c->has_related = true;
	c->related_port = (uint16_t)port;
	return 0;
}

static int read_address(const struct fields *f, struct signal_candidate *c)
{
	uint64_t port;

	if (!read_number(f->at[5], UINT16_MAX, &port))
		return -EINVAL;
	if (!addr_parse(&c->addr, f->at[4]))
		return -EADDRNOTAVAIL;
	c->port = (uint16_t)port;
	return port == 0 || is_unusable(&c->addr) ? -EADDRNOTAVAIL : 0;
}

int signal_candidate_parse(const char *text, struct signal_candidate *ret)
{
	struct signal_candidate c = {0};
	struct fields f;
	uint64_t number;
	int r = fields_split(&f, text);

	if (r)
		return r;
	if (f.n < 8 || strlen(f.at[0]) > SIGNAL_FOUNDATION_MAX || !is_ice_chars(f.at[0]) ||
		strcmp(f.at[6], "typ") || !read_type(f.at[7], &c.type) ||
		!read_number(f.at[3], UINT32_MAX, &number))
		return -EINVAL;
	strcpy(c.foundation, f.at[0]);
	c.priority = (uint32_t)number;
	if (!read_number(f.at[1], 256, &number))
		return -EINVAL;
	if (number != 1 || g_ascii_strncasecmp(f.at[2], "udp", 3))
		return -EPROTONOSUPPORT;
	r = read_address(&f, &c);
	if (!r)
		r = read_related(&f, &c);
	if (!r)
		*ret = c;
	return r;
}

int signal_credentials_parse(const char *text, struct signal_credentials *ret)
{
	const char *colon = strchr(text, ':');
	struct signal_credentials c = {0};
	size_t ufrag;

	if (!colon || strchr(colon + 1, ':'))
		return -EINVAL;
	ufrag = (size_t)(colon - text);
	if (ufrag == 0 && !colon[1])
		return -ENOTSUP;
	if (ufrag > SIGNAL_UFRAG_MAX || strlen(colon + 1) > SIGNAL_PWD_MAX)
		return -EMSGSIZE;
	memcpy(c.ufrag, text, ufrag);
	strcpy(c.pwd, colon + 1);
	// RFC 8839 section 5.4: at least 24 and 128 bits.
	if (ufrag < 4 || strlen(c.pwd) < 22 || !is_ice_chars(c.ufrag) || !is_ice_chars(c.pwd))
		return -EINVAL;
	*ret = c;
	return 0;
}

int signal_candidate_print(const struct signal_candidate *c, char *buf, size_t len)
{
	char addr[ADDR_TEXT_MAX], related[ADDR_TEXT_MAX];
	int n = g_snprintf(buf, len, "%s 1 udp %u %s %u typ %s", c->foundation, c->priority,
		addr_text(addr, &c->addr), c->port, type_names[c->type]);

	if (!c->has_related || c->related_port == 0)
		return n;
	return n + g_snprintf((size_t)n < len ? buf + n : buf, (size_t)n < len ? len - (size_t)n : 0,
			   " raddr %s rport %u", addr_text(related, &c->related), c->related_port);
}
