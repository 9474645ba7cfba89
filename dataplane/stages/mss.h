// SPDX-License-Identifier: BSD-3-Clause
//
// TCP MSS clamping: the far ends of a tunnel cannot know its MTU, and many networks lose the ICMP that
// would tell them.
#pragma once

#include <rte_mbuf.h>

#include <stdint.h>

// Lowers the MSS option of a TCP SYN whose IP header is at packet.l3_off to what fits mtu.
void mss_clamp(struct rte_mbuf *m, uint16_t mtu);
