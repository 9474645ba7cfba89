// SPDX-License-Identifier: BSD-3-Clause
//
// ChannelBind (RFC 8656 section 12.2). Main loop thread.
#include "request.h"

#include <errno.h>

static bool number_fits(const struct turn_core *c, uint32_t number)
{
	return number >= TURN_CHANNEL_MIN &&
	       number <= (c->config->rfc5766_channels ? TURN_CHANNEL_MAX_5766 : TURN_CHANNEL_MAX);
}

// A number belongs to one peer and a peer has one number, for as long as the binding lives.
static bool is_free(
	struct turn_request *r, const struct st_addr *peer, uint16_t port_be, uint16_t number)
{
	const struct turn_channel *a = turn_channel_by_number(r->core, r->alloc, number);
	const struct turn_channel *b = turn_channel_by_peer(r->core, r->alloc, peer, port_be);

	return a == b;
}

static int check(struct turn_request *r, struct st_addr *peer, uint16_t *port_be, uint16_t *number)
{
	struct turn_denial why;
	uint32_t value;
	int e;

	if (!stun_find_u32(r->msg, STUN_ATTR_CHANNEL_NUMBER, &value) ||
		!number_fits(r->core, value >> 16))
		return 400;
	e = stun_first_address(r->msg, STUN_ATTR_XOR_PEER_ADDRESS, peer, port_be);
	if (e)
		return e == -EPERM ? 403 : 400;
	turn_config_unmap(r->core->config, peer);
	*number = (uint16_t)(value >> 16);
	if (!is_free(r, peer, *port_be, *number))
		return 400;
	if (!turn_allocation_for(r->alloc, peer))
		return 443;
	if (!turn_policy_allows_port(&r->core->policy, peer, *port_be, &why))
		return turn_request_denied(r, peer, *port_be, &why);
	return 0;
}

// For both or for none: an error leaves nothing.
static bool has_room(struct turn_request *r, const struct st_addr *peer, uint16_t number)
{
	return turn_permission_fits(r->core, r->alloc, peer) &&
	       turn_channel_fits(r->core, r->alloc, number);
}

int turn_request_channel(struct turn_request *r)
{
	const struct turn_channel *ch;
	const struct turn_permission *p;
	struct turn_later *later;
	uint8_t buf[STUN_MAX];
	struct stun_out o;
	struct st_addr peer;
	uint16_t port_be, number;
	int code;

	if (!r->alloc)
		return 437;
	code = check(r, &peer, &port_be, &number);
	if (code)
		return code;
	if (!has_room(r, &peer, number) ||
		!turn_request_new_peers(r, !turn_channel_by_number(r->core, r->alloc, number)))
		return 508;
	turn_permission_put(r->core, r->alloc, &peer);
	turn_channel_put(r->core, r->alloc, &peer, port_be, number);
	p = turn_permission_find(r->core, r->alloc, &peer);
	ch = turn_channel_by_number(r->core, r->alloc, number);
	turn_reply_begin(&r->reply, &o, buf);
	later = turn_later_new(r->core, &r->reply, &o);
	turn_later_expect(later);
	turn_install_permission(r->core, r->alloc, p, turn_later_done, later);
	turn_later_expect(later);
	turn_install_channel(r->core, r->alloc, ch, turn_later_done, later);
	turn_later_close(later);
	return 0;
}
