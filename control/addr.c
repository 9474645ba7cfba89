// SPDX-License-Identifier: BSD-3-Clause
//
// Addresses and prefixes as text and as sockaddr. Pure functions, any thread. Every address is 16
// bytes, IPv4 v4-mapped; a prefix length counts 128 bits, so that an IPv4 prefix is 96 longer than
// people write.
#include "addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

#define V4_PLEN 96

bool addr_is_v4(const struct st_addr *a)
{
	return !memcmp(a->b, v4_mapped, sizeof(v4_mapped));
}

bool addr_is_zero(const struct st_addr *a)
{
	static const uint8_t zero[16];

	return !memcmp(a->b, zero, 16) || (addr_is_v4(a) && !memcmp(a->b + 12, zero, 4));
}

bool addr_is_link_local(const struct st_addr *a)
{
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

bool addr_parse(struct st_addr *ret, const char *text)
{
	struct st_addr a;

	if (inet_pton(AF_INET, text, a.b + 12) == 1)
		memcpy(a.b, v4_mapped, sizeof(v4_mapped));
	else if (inet_pton(AF_INET6, text, a.b) != 1)
		return false;
	*ret = a;
	return true;
}

bool addr_parse_scoped(struct st_addr *ret, char ret_scope[ST_NAME_MAX], const char *text)
{
	const char *percent = strchr(text, '%');
	size_t len = percent ? (size_t)(percent - text) : strlen(text);
	size_t scope_len = percent ? strlen(percent + 1) : 0;
	char host[ADDR_TEXT_MAX];
	struct st_addr a;

	if (len >= sizeof(host) || scope_len >= ST_NAME_MAX || (percent && !scope_len))
		return false;
	memcpy(host, text, len);
	host[len] = 0;
	if (!addr_parse(&a, host) || (percent && !addr_is_link_local(&a)))
		return false;
	*ret = a;
	memset(ret_scope, 0, ST_NAME_MAX);
	if (percent)
		memcpy(ret_scope, percent + 1, scope_len);
	return true;
}

const char *addr_text(char out[ADDR_TEXT_MAX], const struct st_addr *a)
{
	if (addr_is_v4(a))
		inet_ntop(AF_INET, a->b + 12, out, ADDR_TEXT_MAX);
	else
		inet_ntop(AF_INET6, a->b, out, ADDR_TEXT_MAX);
	return out;
}

bool prefix_is_v4(const struct st_prefix *p)
{
	return p->plen >= V4_PLEN && addr_is_v4(&p->addr);
}

// Digits only, no sign, no leading zero, at most max.
static bool plen_parse(unsigned int *ret, const char *text, unsigned int max)
{
	unsigned int n = 0, digits = 0;

	for (; text[digits]; digits++) {
		if (text[digits] < '0' || text[digits] > '9' || digits == 3)
			return false;
		n = n * 10 + (unsigned int)(text[digits] - '0');
	}
	if (!digits || n > max || (digits > 1 && text[0] == '0'))
		return false;
	*ret = n;
	return true;
}

bool prefix_parse(struct st_prefix *ret, struct st_addr *ret_host, const char *text)
{
	const char *slash = strchr(text, '/');
	char host[ADDR_TEXT_MAX];
	struct st_prefix p;
	unsigned int plen, bits;
	size_t len = slash ? (size_t)(slash - text) : strlen(text);

	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = 0;
	memset(&p, 0, sizeof(p));
	if (!addr_parse(&p.addr, host))
		return false;
	// "::ffff:10.0.0.0/104" is written as an IPv6 prefix but means an IPv4 one; people who want
	// that can write it as such, and shorter than /96 it would swallow both families.
	if (addr_is_v4(&p.addr) && strchr(host, ':'))
		return false;
	bits = addr_is_v4(&p.addr) ? 32 : 128;
	plen = bits;
	if (slash && !plen_parse(&plen, slash + 1, bits))
		return false;
	p.plen = (uint8_t)(plen + 128 - bits);
	if (ret_host)
		*ret_host = p.addr;
	prefix_mask(&p);
	*ret = p;
	return true;
}

const char *prefix_text(char out[PREFIX_TEXT_MAX], const struct st_prefix *p)
{
	char text[ADDR_TEXT_MAX];
	int plen = prefix_is_v4(p) ? p->plen - V4_PLEN : p->plen;

	snprintf(out, PREFIX_TEXT_MAX, "%s/%d", addr_text(text, &p->addr), plen);
	return out;
}

void prefix_mask(struct st_prefix *p)
{
	unsigned int i;

	for (i = 0; i < 16; i++) {
		unsigned int from = i * 8;

		if (from >= p->plen)
			p->addr.b[i] = 0;
		else if (p->plen - from < 8)
			p->addr.b[i] &= (uint8_t)(0xff << (8 - (p->plen - from)));
	}
}

socklen_t addr_to_sockaddr(struct sockaddr_storage *ret, const struct st_addr *a, uint16_t port_be)
{
	memset(ret, 0, sizeof(*ret));
	if (addr_is_v4(a)) {
		struct sockaddr_in *in = (struct sockaddr_in *)ret;

		in->sin_family = AF_INET;
		in->sin_port = port_be;
		memcpy(&in->sin_addr, a->b + 12, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = port_be;
	memcpy(&in6->sin6_addr, a->b, 16);
	return sizeof(*in6);
}

bool addr_from_sockaddr(struct st_addr *ret, uint16_t *ret_port_be, const struct sockaddr *sa)
{
	uint16_t port;

	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

		memcpy(ret->b, v4_mapped, sizeof(v4_mapped));
		memcpy(ret->b + 12, &in->sin_addr, 4);
		port = in->sin_port;
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

		memcpy(ret->b, &in6->sin6_addr, 16);
		port = in6->sin6_port;
	} else {
		return false;
	}
	if (ret_port_be)
		*ret_port_be = port;
	return true;
}

const char *tuple_text(char out[TUPLE_TEXT_MAX], const struct st_addr *a, uint16_t port_be)
{
	char text[ADDR_TEXT_MAX];

	snprintf(out, TUPLE_TEXT_MAX, addr_is_v4(a) ? "%s:%u" : "[%s]:%u", addr_text(text, a),
		ntohs(port_be));
	return out;
}

const char *addr_text_scoped(char out[SCOPED_TEXT_MAX], const struct st_addr *a, const char *scope)
{
	char text[ADDR_TEXT_MAX];

	snprintf(out, SCOPED_TEXT_MAX, "%s%s%s", addr_text(text, a), *scope ? "%" : "", scope);
	return out;
}

const char *tuple_text_scoped(char out[TUPLE_TEXT_MAX + ST_NAME_MAX], const struct st_addr *a,
	uint16_t port_be, const char *scope)
{
	char text[SCOPED_TEXT_MAX];

	snprintf(out, TUPLE_TEXT_MAX + ST_NAME_MAX, addr_is_v4(a) ? "%s:%u" : "[%s]:%u",
		addr_text_scoped(text, a, scope), ntohs(port_be));
	return out;
}
