// SPDX-License-Identifier: BSD-3-Clause
//
// ICMP errors that this box answers with. They are new packets, which enter the lcore's next pass at
// stage route; the packet they are about stays with the caller.
#pragma once

#include "../lcore.h"

#include <rte_mbuf.h>

#include <stdint.h>

enum icmp_kind {
	ICMP_KIND_NET_UNREACHABLE,
	ICMP_KIND_HOST_UNREACHABLE,
	ICMP_KIND_PROHIBITED,
	ICMP_KIND_TOO_BIG, // arg: the MTU
	ICMP_KIND_TTL,
};

// Token bucket per lcore, as Linux has it by default (icmp_msgs_per_sec, icmp_msgs_burst).
#define ICMP_PER_SECOND 1000
#define ICMP_BURST      50

// About m, whose IP header is at packet.l3_off, to its source. Nothing is sent, and icmp_limited counted,
// when the rate is used up or when none is due: for ICMP errors, later fragments, multicast, and what
// this box made itself.
void icmp_error(struct lcore *lc, struct rte_mbuf *m, enum icmp_kind kind, uint32_t arg);
