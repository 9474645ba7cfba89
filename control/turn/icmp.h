// SPDX-License-Identifier: BSD-3-Clause
//
// ICMP errors about what left a relayed address (RFC 8656 section 11.5): which datagram one is about, and what its
// client is told. No sockets. Main loop thread.
//
//   listener_icmp.c -> turn_icmp_read -> turn_icmp_tell -> Data indication with an ICMP attribute
#pragma once

#include "core.h"

#include <netinet/in.h>

#define TURN_ICMP_PER_S 10 // indications to one client; whoever forges them gets no more through

struct turn_icmp {
	struct st_addr relay, peer; // source and destination of the datagram
	uint16_t relay_port_be, peer_port_be;
	uint8_t type, code;
	uint32_t mtu; // of "too big" and "fragmentation needed", else 0
};

// data begins with the ICMP header; protocol is IPPROTO_ICMP or IPPROTO_ICMPV6. False: not an error of section
// 11.5, broken, or about something else than UDP.
bool turn_icmp_read(struct turn_icmp *ret, int protocol, const uint8_t *data, size_t len);
// To the client whose relayed address it is about, when the peer has a permission; also with a channel.
void turn_icmp_tell(struct turn_core *c, const struct turn_icmp *e);
