// SPDX-License-Identifier: BSD-3-Clause
//
// AF_PACKET sockets of DPDK's driver: what the kernel dropped because their receive rings were full, which
// the driver's own counters do not tell. main only.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// A socket that has been bound to its interface; driver_calls.c tells each. A descriptor given again is new.
void packet_ring_add(int fd);
bool packet_ring_known(int fd); // any thread
// Frames of the interface that found the rings full, over all sockets there were on it.
uint64_t packet_ring_missed(unsigned int ifindex);
