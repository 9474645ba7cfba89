// SPDX-License-Identifier: BSD-3-Clause
//
// IP fragmentation by copying, so that the fragments are whole mbufs that any device can send.
#pragma once

#include <rte_mbuf.h>

#include <stdbool.h>
#include <stdint.h>

#define FRAGMENT_MAX 64 // pieces of one packet: 64 kB at IPv6's smallest MTU

// Cuts the packet whose IP header is at the start of m (packet.l3_off 0) into fragments of at most mtu
// bytes, each with a copy of m's packet data. m is left to the caller. Returns how many, or -EMSGSIZE when
// FRAGMENT_MAX or the MTU are too small, -ENOMEM when the pool is empty. IPv6 gets fragment headers.
int fragment_packet(struct rte_mempool *pool, struct rte_mbuf *m, uint16_t mtu, uint32_t id,
	struct rte_mbuf *out[FRAGMENT_MAX]);

// Whether the packet at packet.l3_off may be cut on this box: IPv4 without DF; IPv6 only if it is our own.
bool fragment_allowed(struct rte_mbuf *m);
