// SPDX-License-Identifier: BSD-3-Clause
//
// "alternate_servers" of the configuration; see config.h. Main thread.
#include "../addr.h"
#include "../config/config_read.h"
#include "../json.h"
#include "config.h"
#include "config_parts.h"

#include <string.h>

#define DOMAIN_MAX 253 // RFC 1035: what can be written of 255 bytes

static int read_domain(const struct json_at *at, char **ret)
{
	static const char allowed[] =
		"the name in the certificate of that server, such as turn2.example.org";
	struct json_at child = json_member(at, "domain");
	const char *text = NULL;
	int e = child.item ? json_text(&child, allowed, &text) : 0;

	if (e || !text)
		return e;
	if (!text[0] || strlen(text) > DOMAIN_MAX ||
		strspn(text, "-.0123456789abcdefghijklmnopqrstuvwxyz"
			     "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(text))
		return json_error(&child, NULL, "%s", allowed);
	*ret = g_strdup(text);
	return 0;
}

int turn_config_read_alternate(
	struct config_reader *r, const struct json_at *at, struct turn_config *c)
{
	static const char *const keys[] = {"address", "port", "tls_port", "domain", NULL};
	struct turn_config_alternate *a = g_new0(struct turn_config_alternate, 1);
	struct json_at addr_at = json_member(at, "address");
	char text[ADDR_TEXT_MAX];
	int e = json_check_keys(at, keys);

	g_ptr_array_add(c->alternates, a);
	a->port = 3478;
	a->tls_port = 5349;
	if (!e)
		e = turn_config_read_addr(
			&addr_at, "the address of another TURN server such as 192.0.2.2", &a->addr);
	if (!e && turn_config_relay_index(c, &a->addr) >= 0)
		e = json_error(&addr_at, NULL, "another server, not an address of this one");
	if (!e)
		e = json_read_u16(at, "port", 1, 65535, &a->port);
	if (!e)
		e = json_read_u16(at, "tls_port", 1, 65535, &a->tls_port);
	if (!e)
		e = read_domain(at, &a->domain);
	if (!e)
		e = config_unique(r, &addr_at, "each alternate server once", "turn alternate %s %u",
			addr_text(text, &a->addr), a->port);
	return e;
}

void turn_config_alternate_free(void *alternate)
{
	struct turn_config_alternate *a = alternate;

	g_free(a->domain);
	g_free(a);
}
