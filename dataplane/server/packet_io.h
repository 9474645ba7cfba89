// SPDX-License-Identifier: BSD-3-Clause
//
// The message pair for datagrams that the kernel cannot carry: PACKET_OUT puts one in front of the
// classifier as if it had been received, PACKET_IN hands one from an lcore to straitd. main only.
#pragma once

#include "../api/st_api.h"

#include <stdint.h>

struct rte_mempool;

void packet_io_init(struct rte_mempool *pool);
int packet_out(const struct st_packet_io *io, const void *data, uint16_t len);
void packet_in_poll(void); // drains the lcores' rings, at most PACKET_IN_RATE a second
