// SPDX-License-Identifier: BSD-3-Clause
//
// CreatePermission (RFC 8656 section 10.2): all peers of the request, or none. Main loop thread.
#include "../addr.h"
#include "request.h"

#include <errno.h>
#include <string.h>

static int check_peer(struct turn_request *r, const struct st_addr *peer, uint16_t port_be)
{
	struct turn_denial why;

	if (!turn_allocation_for(r->alloc, peer))
		return 443;
	if (!turn_policy_allows(&r->core->policy, peer, &why))
		return turn_request_denied(r, peer, port_be, &why);
	return 0;
}

// "Forbidden" alone has cost operators days.
int turn_request_denied(struct turn_request *r, const struct st_addr *peer, uint16_t port_be,
	const struct turn_denial *why)
{
	char text[TUPLE_TEXT_MAX];
	char *name = g_strescape(r->identity->name, NULL);

	g_info("turn: peer denied peer=%s rule=\"%s\" user=\"%s\" allocation=%u",
		tuple_text(text, peer, port_be), why->rule, name, r->alloc->id);
	g_free(name);
	return 403;
}

// More of them than fit need not be told apart.
static void note_new(const struct turn_request *r, GArray *fresh, const struct st_addr *peer)
{
	for (guint i = 0; i < fresh->len; i++) {
		if (!memcmp(&g_array_index(fresh, struct st_addr, i), peer, sizeof(*peer)))
			return;
	}
	if (fresh->len <= r->core->config->limits.permissions)
		g_array_append_val(fresh, *peer);
}

// fresh: peers without a permission so far, each once.
static int check_all(struct turn_request *r, GArray *fresh)
{
	struct st_addr peer;
	uint16_t port_be;
	size_t at = 0;
	int n, code;

	if (!stun_attr(r->msg, STUN_ATTR_XOR_PEER_ADDRESS).at)
		return 400;
	while ((n = stun_next_address(r->msg, &at, STUN_ATTR_XOR_PEER_ADDRESS, &peer, &port_be)) > 0) {
		turn_config_unmap(r->core->config, &peer);
		code = check_peer(r, &peer, port_be);
		if (code)
			return code;
		if (!turn_permission_find(r->core, r->alloc, &peer))
			note_new(r, fresh, &peer);
	}
	if (n)
		return n == -EPERM ? 403 : 400;
	return 0;
}

static int check(struct turn_request *r)
{
	GArray *fresh = g_array_new(FALSE, FALSE, sizeof(struct st_addr));
	int code = check_all(r, fresh);

	turn_permissions_expire(r->core, r->alloc);
	if (!code && (r->alloc->permissions->len + fresh->len > r->core->config->limits.permissions ||
			     !turn_request_new_peers(r, fresh->len)))
		code = 508;
	g_array_free(fresh, TRUE);
	return code;
}

int turn_request_permission(struct turn_request *r)
{
	struct turn_later *later;
	uint8_t buf[STUN_MAX];
	struct stun_out o;
	struct st_addr peer;
	uint16_t port_be;
	size_t at = 0;
	int code;

	if (!r->alloc)
		return 437;
	code = check(r);
	if (code)
		return code;
	turn_reply_begin(&r->reply, &o, buf);
	later = turn_later_new(r->core, &r->reply, &o);
	while (stun_next_address(r->msg, &at, STUN_ATTR_XOR_PEER_ADDRESS, &peer, &port_be) > 0) {
		turn_config_unmap(r->core->config, &peer);
		turn_permission_put(r->core, r->alloc, &peer);
		turn_later_expect(later);
		turn_install_permission(r->core, r->alloc,
			turn_permission_find(r->core, r->alloc, &peer), turn_later_done, later);
	}
	turn_later_close(later);
	return 0;
}
