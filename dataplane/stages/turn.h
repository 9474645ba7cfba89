// SPDX-License-Identifier: BSD-3-Clause
//
// What the stages of the TURN relay share: the state of an lcore, and the one way in which a datagram
// leaves its headers and gets new ones (RFC 8656 sections 12 to 14).
#pragma once

#include "../lcore.h"
#include "../tables/turn.h"

#include <rte_mbuf.h>

#include <stdbool.h>
#include <stdint.h>

#define TURN_WAYS          256   // distinct (interface, MTU, gateway) remembered by an lcore
#define STUN_SOURCES       16384 // buckets of the per-source limit, by a keyed hash
#define STUN_PER_SOURCE    100 // Binding answers a second to an IPv4 address or IPv6 /64, per lcore
#define STUN_SOURCE_BURST  200
#define PUNT_KNOWN_RATE    50000 // STUN a second to straitd from clients with an allocation, per lcore
#define PUNT_KNOWN_BURST   5000
#define PUNT_OTHER_RATE    40000 // from all others together
#define PUNT_OTHER_BURST   1000
#define PUNT_ICMP_RATE     10000 // ICMP to the kernel, errors about relayed datagrams among it
#define PUNT_ICMP_BURST    1000
#define PUNT_OPTIONS_RATE  1000 // packets with IP options or IPv6 extensions, which few need
#define PUNT_OPTIONS_BURST 200
// Handing a message up costs as much as relaying fifty: an lcore that does not keep up with what arrives has no time
// for strangers, or those it knows wait in its ring behind them.
#define PUNT_BEHIND       32 // passes in a row with a whole burst (struct lcore) ...
#define PUNT_BEHIND_SHARE 10 // ... from which on others get this part of their rate

struct turn_way {
	uint8_t action; // enum st_route_action; 0 = no route
	uint8_t why;    // enum st_drop, for those that drop
	uint16_t if_id; // 0: not one of our interfaces
	uint16_t mtu;
	bool on_link; // the next hop is the destination
	struct st_addr gateway;
};

enum turn_punt {
	TURN_PUNT_KNOWN,
	TURN_PUNT_OTHER,
	TURN_PUNT_ICMP,
	TURN_PUNT_OPTIONS,
	TURN_PUNT_CAUSES,
};

// main sums (relaxed).
struct turn_counts {
	uint64_t packets[2], bytes[2];
	uint64_t send_indications, data_indications, hairpin, binding_requests, binding_limited;
};

struct turn_lcore {
	struct turn_counts counts;
	uint64_t random;                 // of transaction ids
	uint64_t seed[2];                // of the hash of sources
	uint64_t punt[TURN_PUNT_CAUSES]; // as turn_bucket: TSC until which tokens are used up
	uint64_t punt_cost[TURN_PUNT_CAUSES], punt_burst[TURN_PUNT_CAUSES];
	uint64_t source_cost, source_burst;
	uint32_t ways_generation; // of the routes that `ways` came from
	uint16_t nb_ways;
	struct turn_way other; // the last one that found no room
	struct turn_way ways[TURN_WAYS];
	uint64_t sources[STUN_SOURCES];
};

struct turn_lcore *turn_lcore_new(uint64_t hz);

// ---- limits (turn_limit.c) ----
bool turn_limit_binding(struct lcore *lc, const struct st_addr *src); // false: too many
bool turn_limit_punt(struct lcore *lc, enum turn_punt cause);

// ---- ways (turn_way.c) ----
// Where a datagram of this box from src to dst leaves. The cache belongs to the pair. Valid until the next
// call.
const struct turn_way *turn_way_find(struct lcore *lc, turn_way_cache *cache,
	const struct st_addr *src, const struct st_addr *dst, uint8_t tos);

// ---- rewriting (turn_rewrite.c) ----

// A received datagram, and what of it is to go on.
struct turn_from {
	const struct turn_key *key; // its addresses, either way round, and both ports
	uint32_t off, len;          // of the payload to be relayed, from data_off
	uint32_t begin;             // from data_off to the first byte behind the UDP header
	uint32_t end;               // to the first behind the datagram
};

// Its new headers. The payload gets a prefix and padding of zeros.
struct turn_to {
	const struct turn_key *key; // the new addresses and ports
	bool to_first;              // the key's first is the destination, else its second
	bool copy_df;               // DF as received; else as `df` says
	bool df;
	uint8_t prefix_len, pad;
	uint8_t prefix[48];
	turn_way_cache *way;
	struct turn_relay *relay;
	uint8_t direction; // ST_TURN_TO_*
};

// Polices, finds the way, checks TTL and size, rewrites, counts and pushes on; or drops.
void turn_forward(struct lcore *lc, struct rte_mbuf *m, const struct turn_from *from,
	const struct turn_to *to);

// ---- STUN (stun_parse.c, stun_binding.c) ----

#define STUN_COOKIE        0x2112a442
#define STUN_HEADER_LEN    20
#define STUN_BINDING       0x0001
#define STUN_BINDING_OK    0x0101
#define STUN_SEND          0x0016
#define STUN_DATA          0x0017
#define STUN_XOR_PEER      0x0012
#define STUN_ATTR_DATA     0x0013
#define STUN_DONT_FRAGMENT 0x001a
#define STUN_XOR_MAPPED    0x0020
#define STUN_FINGERPRINT   0x8028

struct stun_message {
	uint16_t type;
	uint32_t len;     // whole
	bool unknown;     // has comprehension-required attributes that this box does not know
	bool required;    // has comprehension-required attributes at all
	bool fingerprint; // has one; it has been checked
	bool has_peer, has_data, dont_fragment;
	struct st_addr peer;
	uint16_t peer_port_be;
	uint32_t data_off, data_len; // from the beginning of the message
};

// The message of len bytes at off. False: it is none (RFC 8489 section 6.3). The first 20 bytes are
// contiguous afterwards.
bool stun_parse(struct rte_mbuf *m, uint32_t off, uint32_t len, struct stun_message *ret);
uint32_t stun_fingerprint(const void *message, uint32_t len); // of the len bytes in front of it

// A Binding request without attributes that matter: becomes the answer, and is pushed to route.
void stun_binding_answer(struct lcore *lc, struct rte_mbuf *m, const struct stun_message *msg);
