// SPDX-License-Identifier: BSD-3-Clause
//
// What the stages know about a packet: lives in the private area of its mbuf (PACKET_PRIV_SIZE), is
// reset by rx and valid until the mbuf is freed or transmitted. Whoever holds the mbuf owns it.
#pragma once

#include "api/st_api.h"

#include <rte_mbuf.h>

#include <stdbool.h>
#include <stdint.h>

struct keypair;
struct peer;
struct endpoint;
struct packet_trace;

#define PACKET_F_IPV6        0x0001 // of the outermost header at l3_off
#define PACKET_F_TRACED      0x0002
#define PACKET_F_FROM_HOST   0x0004 // came from the host device of iif
#define PACKET_F_AEAD_OK     0x0008
#define PACKET_F_BY_HANDOFF  0x0010 // arrived over a ring, from packet.from
#define PACKET_F_L2_DONE     0x0020 // Ethernet header is complete: tx as is
#define PACKET_F_OURS        0x0040 // made by this box (outer datagram, ICMP error): no error about it
#define PACKET_F_FRAGMENT    0x0080 // an IP fragment
#define PACKET_F_KEEPALIVE   0x0100 // wg_encrypt: no payload, packet.peer is set
#define PACKET_F_REASSEMBLED 0x0200 // came in fragments: punt cuts it again
#define PACKET_F_TO_HOST     0x0400 // out_port is a host device
#define PACKET_F_RELAYED     0x0800 // has been through turn_to_peer: from a relayed address of ours
#define PACKET_F_VIA_TURN    0x1000 // WireGuard data that a TURN server relayed: via_* say from whom
#define PACKET_F_PEER_PORT   0x2000 // came to a port that a peer has for itself

struct packet {
	uint16_t flags;
	uint16_t iif;            // if_id it entered on; the WGIF after decryption
	uint16_t oif;            // if_id it leaves on
	uint16_t l3_off;         // from data_off to the IP header under consideration
	uint16_t l4_off;         // likewise to the UDP header, 0 = none
	uint16_t wg_off;         // likewise to WireGuard's data message, classify .. wg_accept
	uint16_t wg_len;         // of that message, within classify
	uint8_t target;          // enum st_stage, for packets in a handoff ring
	uint8_t drop;            // enum st_drop, set with stage_drop
	uint8_t passes;          // through this box, for tunnels in tunnels; capped
	uint8_t ecn;             // outer ECN bits on the way in, inner on the way out
	uint16_t from;           // lcore that handed it off
	uint32_t hash;           // flow hash, 0 = not computed
	uint16_t mtu;            // l2out: largest IP packet for this way out
	uint16_t out_port;       // tx: DPDK port
	uint64_t counter;        // WireGuard nonce
	struct keypair *keypair; // classify .. wg_accept
	struct peer *peer;       // wg_encrypt, staging
	const struct endpoint *endpoint; // wg_encrypt .. l2out
	struct st_addr nexthop;          // route .. l2out; for l2out's neighbour look-up
	struct rte_mbuf *next;           // in a staging or neighbour queue
	uint64_t stamp;                  // TSC of arrival, or of entering a queue
	struct packet_trace *trace;      // with PACKET_F_TRACED
	struct st_addr via_peer;         // with PACKET_F_VIA_TURN: the peer, if via_channel is 0
	uint16_t via_peer_port_be;
	uint16_t via_channel; // ... or the channel the data came by
};

#define PACKET_PRIV_SIZE 128
_Static_assert(sizeof(struct packet) <= PACKET_PRIV_SIZE, "packet fits the private area");

static inline struct packet *packet_of(struct rte_mbuf *m)
{
	return (struct packet *)rte_mbuf_to_priv(m);
}
