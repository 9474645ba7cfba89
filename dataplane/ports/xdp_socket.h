// SPDX-License-Identifier: BSD-3-Clause
//
// AF_XDP sockets that DPDK's driver opens, because it closes a port without closing them: the queue would
// stay taken until the process ends, and the packets in its rings would never come back. main only.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rte_mempool;

// The driver made a ring of that socket: SOL_XDP's option and its value.
void xdp_socket_note(int fd, int option, const void *value, uint32_t len);
// What was opened since the last call belongs to this DPDK port.
void xdp_sockets_assign(uint16_t eth);
// Behind the closing of the port: frees what its rings hold of the pool, and closes its sockets.
void xdp_sockets_close(uint16_t eth, struct rte_mempool *pool);
