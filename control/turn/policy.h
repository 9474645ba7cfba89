// SPDX-License-Identifier: BSD-3-Clause
//
// Which peers may be relayed to (RFC 8656 section 21.4). Everything of special purpose is denied unless the
// configuration allows it; addresses of this box and of its tunnels are denied whatever it says, but for
// our own relay addresses and our own WireGuard ports. Main loop thread.
#pragma once

#include "config.h"

#include <glib.h>

struct turn_policy {
	const struct turn_config *config;
	GHashTable *own;     // of struct st_addr: addresses of this box
	GArray *inner;       // of struct st_prefix: what is reached through our tunnels
	GArray *wg_ports_be; // of uint16_t: WireGuard's UDP ports on our addresses
	bool (*is_wireguard)(
		uint16_t port_be, void *arg); // other ports that are WireGuard's; NULL: none
	void *is_wireguard_arg;
	bool test_loopback; // STRAIT_TURN_TEST_LOOPBACK in the environment: 127/8 and ::1 count as public
};

// Why a peer is refused; NULL = it is not.
struct turn_denial {
	const char *rule; // for a log line: "loopback", "deny list 10.0.0.0/8"; in buf or static
	char buf[96];
};

void turn_policy_init(struct turn_policy *p);
void turn_policy_fini(struct turn_policy *p);
void turn_policy_apply(struct turn_policy *p, const struct turn_config *c);
void turn_policy_own(struct turn_policy *p, const struct st_addr *addrs, unsigned int n);
void turn_policy_tunnels(struct turn_policy *p, const struct st_prefix *prefixes, unsigned int n,
	const uint16_t *wg_ports_be, unsigned int nb_ports);
// By address alone, as permissions are.
bool turn_policy_allows(
	const struct turn_policy *p, const struct st_addr *peer, struct turn_denial *ret);
// By address and port, as channels and datagrams are. Implies the above.
bool turn_policy_allows_port(const struct turn_policy *p, const struct st_addr *peer,
	uint16_t port_be, struct turn_denial *ret);
// The IPv4 address inside of ::ffff:0:0/96, ::/96, 64:ff9b::/96, 2002::/16, 2001::/32; false: none is.
bool turn_policy_embedded(const struct st_addr *a, struct st_addr *ret_v4, const char **ret_form);
bool turn_prefix_has(const struct st_prefix *prefix, const struct st_addr *a);
