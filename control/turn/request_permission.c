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

struct peers {
	GArray *each; // of struct st_addr, each once
	guint fresh;  // of them without a permission so far
};

// More of them than fit need not be told apart: the request is refused.
static void note(struct turn_request *r, struct peers *p, const struct st_addr *peer)
{
	for (guint i = 0; i < p->each->len; i++) {
		if (!memcmp(&g_array_index(p->each, struct st_addr, i), peer, sizeof(*peer)))
			return;
	}
	if (p->each->len > MAX(r->core->config->limits.permissions, r->alloc->permissions->len))
		return;
	g_array_append_val(p->each, *peer);
	if (!turn_permission_find(r->core, r->alloc, peer))
		p->fresh++;
}

static int read_peers(struct turn_request *r, struct peers *p)
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
		note(r, p, &peer);
	}
	if (n)
		return n == -EPERM ? 403 : 400;
	return 0;
}

// What is there is renewed whatever became of the limit.
static bool has_room(struct turn_request *r, const struct peers *p)
{
	turn_permissions_expire(r->core, r->alloc);
	return !p->fresh ||
	       (r->alloc->permissions->len + p->fresh <= r->core->config->limits.permissions &&
		       turn_request_new_peers(r, p->fresh));
}

static void permit(struct turn_request *r, const struct peers *p)
{
	struct turn_later *later;
	uint8_t buf[STUN_MAX];
	struct stun_out o;

	turn_reply_begin(&r->reply, &o, buf);
	later = turn_later_new(r->core, &r->reply, &o);
	for (guint i = 0; i < p->each->len; i++) {
		const struct st_addr *peer = &g_array_index(p->each, struct st_addr, i);

		turn_permission_put(r->core, r->alloc, peer);
		turn_later_expect(later);
		turn_install_permission(r->core, r->alloc,
			turn_permission_find(r->core, r->alloc, peer), turn_later_done, later);
	}
	turn_later_close(later);
}

int turn_request_permission(struct turn_request *r)
{
	struct peers p = {0};
	int code;

	if (!r->alloc)
		return 437;
	p.each = g_array_new(FALSE, FALSE, sizeof(struct st_addr));
	code = read_peers(r, &p);
	if (!code && !has_room(r, &p))
		code = 508;
	if (!code)
		permit(r, &p);
	g_array_free(p.each, TRUE);
	return code;
}
