// SPDX-License-Identifier: BSD-3-Clause
//
// Which pairs of candidates NetBird calls direct (direct_pair), and what is told to peers up to v0.18 (MODE,
// direct_mode). strait sends on the pair that ICE validated, and calls it direct when no relay is in it, whatever
// NetBird's table says. Pure.
#pragma once

#include "../ice/ice.h"

#include <stdbool.h>

// Public as NetBird means it: neither loopback, link-local, RFC 1918 nor fc00::/7. 100.64.0.0/10 counts as
// public, as do multicast and unspecified addresses.
bool direct_address_public(const struct st_addr *a);

// One side of a pair. Only host and peer-reflexive candidates are asked for their address.
struct direct_end {
	enum ice_type type;
	struct st_addr addr;
};

// bind: the WireGuard port and the ICE port are one, as strait's are. True: NetBird would send without a
// proxy. Two private IPv6 addresses are of one network when their /64 is the same.
bool direct_pair(const struct direct_end *local, const struct direct_end *remote, bool bind);

// What MODE says. False forces an old peer onto the validated pair, which always works. True lets it send
// from and to WireGuard's own ports, so those must get through from anywhere.
bool direct_mode(const struct ice_path *path, bool port_reachable);
