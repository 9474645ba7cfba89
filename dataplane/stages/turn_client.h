// SPDX-License-Identifier: BSD-3-Clause
//
// What a TURN client of this box gets from its server and sends there, as far as lcores carry it:
// ChannelData and Data and Send indications (RFC 8656 sections 11 and 12). Runs on lcores.
#pragma once

#include "../api/st_api.h"

#include <rte_mbuf.h>

#include <stdbool.h>
#include <stdint.h>

#define TURN_CHANNEL_HEADER 4
#define CHANNEL_MIN         0x4000
#define CHANNEL_MAX         0x4fff

struct turn_payload {
	uint32_t off, len; // of what the peer sent
	uint16_t channel;  // 0: it came in a Data indication, which names the peer
	uint16_t peer_port_be;
	struct st_addr peer;
};

// The UDP payload of len bytes at off. False: there is no relayed data in it, or none that can be taken
// without knowing more of STUN; the datagram is as it was.
bool turn_client_parse(struct rte_mbuf *m, uint32_t off, uint32_t len, struct turn_payload *ret);
