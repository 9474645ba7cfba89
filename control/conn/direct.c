// SPDX-License-Identifier: BSD-3-Clause
//
// The decision table of NetBird up to v0.18; see direct.h. Pure.
#include "direct.h"

#include "../addr.h"

#include <string.h>

bool direct_address_public(const struct st_addr *a)
{
	const uint8_t *b = a->b;

	if (addr_is_v4(a)) {
		b += 12;
		return b[0] != 127 && b[0] != 10 && !(b[0] == 172 && (b[1] & 0xf0) == 16) &&
		       !(b[0] == 192 && b[1] == 168) && !(b[0] == 169 && b[1] == 254) &&
		       !(b[0] == 224 && b[1] == 0 && b[2] == 0);
	}
	if ((b[0] & 0xfe) == 0xfc || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) ||
		(b[0] == 0xff && (b[1] & 0x0f) == 2))
		return false;
	for (int i = 0; i < 15; i++) {
		if (b[i])
			return true;
	}
	return b[15] != 1;
}

static bool hard_nat(const struct direct_end *e)
{
	return e->type == ICE_RELAY || e->type == ICE_PRFLX;
}

static bool host_public(const struct direct_end *e)
{
	return e->type == ICE_HOST && direct_address_public(&e->addr);
}

static bool private_of(const struct direct_end *e, enum ice_type type)
{
	return e->type == type && !direct_address_public(&e->addr);
}

// NetBird compares a /16 of IPv4; of IPv6 it takes any two for one network, which is a mistake.
static bool same_network(const struct st_addr *a, const struct st_addr *b)
{
	if (addr_is_v4(a) != addr_is_v4(b))
		return false;
	return !memcmp(a->b, b->b, addr_is_v4(a) ? 14 : 8);
}

bool direct_pair(const struct direct_end *local, const struct direct_end *remote, bool bind)
{
	bool near;

	if (bind && local->type != ICE_RELAY)
		return true;
	if (!hard_nat(local) && host_public(remote))
		return true;
	if (!hard_nat(remote) && host_public(local))
		return true;
	near = (private_of(local, ICE_HOST) && private_of(remote, ICE_HOST)) ||
	       (private_of(local, ICE_PRFLX) && private_of(remote, ICE_HOST)) ||
	       (private_of(local, ICE_HOST) && private_of(remote, ICE_PRFLX));
	return near && same_network(&local->addr, &remote->addr);
}

bool direct_mode(const struct ice_path *path, bool port_reachable)
{
	return port_reachable && !path->relayed && path->local_type == ICE_HOST &&
	       direct_address_public(&path->local);
}
