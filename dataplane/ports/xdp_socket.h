// SPDX-License-Identifier: BSD-3-Clause
//
// AF_XDP sockets that DPDK's driver opens, because it closes a port without closing them: the queue would
// stay taken until the process ends, and the packets in its rings would never come back. And the driver
// registers less memory than the pool spans. main only.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rte_mempool;
struct xdp_umem_reg;

// The pool whose packets the sockets send and receive.
void xdp_sockets_init(struct rte_mempool *pool);
// 0, or -ENOTSUP where the pool's memory is in pieces, of which a socket can use one only.
int xdp_pool_usable(void);
// What the driver is about to register becomes the whole of the pool's memory.
void xdp_umem_cover(struct xdp_umem_reg *reg);
// The driver made a ring of that socket: SOL_XDP's option and its value.
void xdp_socket_note(int fd, int option, const void *value, uint32_t len);
// What was opened since the last call belongs to this DPDK port.
void xdp_sockets_assign(uint16_t eth);
// Behind the closing of the port: frees what its rings hold of the pool, and closes its sockets.
void xdp_sockets_close(uint16_t eth);
