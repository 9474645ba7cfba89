// SPDX-License-Identifier: BSD-3-Clause
//
// The port of a peer's own, where one UDP port for all cannot be had or is not wanted: two sockets with one
// number, in the port map like the interface's, so that lcores take WireGuard data from it, and parked, so
// that it outlives straitd. It is opened with the first attempt and lasts as long as the peer. Main loop
// thread.
#pragma once

#include "ice_internal.h"

struct ice_ports *ice_ports_new(struct ice *ice);
void ice_ports_free(struct ice_ports *ps); // closes; what is parked and mapped stays
// The peer's, opened now if it has none. NULL with errno.
struct ice_port *ice_port_get(struct ice_ports *ps, uint32_t peer_id);
// The one with this number; NULL: it is none of a peer.
struct ice_port *ice_port_find(const struct ice_ports *ps, uint16_t port_be);
uint16_t ice_port_number(const struct ice_port *p); // network order
struct stun_client *ice_port_stun(const struct ice_port *p);
int ice_port_send(const struct ice_port *p, const struct st_addr *local,
	const struct st_addr *remote, uint16_t remote_port_be, const void *data, size_t len);
void ice_ports_park(struct ice_ports *ps);          // the data plane is new, or there again
void ice_ports_hosts_changed(struct ice_ports *ps); // port map entries follow
void ice_ports_stun_forget(struct ice_ports *ps);
unsigned int ice_ports_count(const struct ice_ports *ps);
