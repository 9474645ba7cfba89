// SPDX-License-Identifier: BSD-3-Clause
//
// 300 Try Alternate (RFC 8489 section 10): who cannot have an allocation here is told where else to ask. Only who
// is authenticated is told, in a signed answer, so that nobody else can send a client away (section 14.15). Main
// loop thread.
#include "../addr.h"
#include "request.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_of_family(const struct turn_config_alternate *a, bool v4)
{
	return addr_is_v4(&a->addr) == v4;
}

// One of the family, another for the next transaction: by its random id, so that a repeated request gets the
// same answer.
static const struct turn_config_alternate *choose(const struct turn_request *r, bool v4)
{
	const GPtrArray *all = r->core->config->alternates;
	unsigned int n = 0, wanted;

	for (guint i = 0; i < all->len; i++)
		n += is_of_family(all->pdata[i], v4);
	if (!n)
		return NULL;
	wanted = stun_tid(r->msg)[STUN_TID_LEN - 1] % n;
	for (guint i = 0;; i++) {
		if (is_of_family(all->pdata[i], v4) && !wanted--)
			return all->pdata[i];
	}
}

static void add_server(
	const struct turn_request *r, struct stun_out *o, const struct turn_config_alternate *a)
{
	uint16_t port = r->reply.to.transport == TURN_TLS ? a->tls_port : a->port;

	stun_add_plain_address(o, STUN_ATTR_ALTERNATE_SERVER, &a->addr, htons(port));
}

bool turn_request_redirect(struct turn_request *r)
{
	bool v4 = addr_is_v4(&r->reply.to.client);
	const struct turn_config_alternate *same = choose(r, v4), *other = choose(r, !v4);
	uint8_t buf[STUN_MAX];
	struct stun_out o;

	if (!same)
		return false;
	turn_reply_error_begin(r->core, &r->reply, 300, &o, buf);
	add_server(r, &o, same);
	if (other)
		add_server(r, &o, other);
	// By SHA-256 the client shows that it knows the attribute.
	if (same->domain && r->reply.to.transport == TURN_TLS &&
		r->reply.integrity == STUN_ATTR_MESSAGE_INTEGRITY_SHA256)
		stun_add(&o, STUN_ATTR_ALTERNATE_DOMAIN, same->domain, strlen(same->domain));
	turn_reply_error_send(r->core, &r->reply, &o);
	return true;
}
