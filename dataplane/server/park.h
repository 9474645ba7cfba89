// SPDX-License-Identifier: BSD-3-Clause
//
// SOCKET objects: descriptors of straitd parked here, so that the kernel keeps the sockets and their
// queues while straitd restarts. main only; nothing ever reads from them.
#pragma once

#include <stdint.h>

// The descriptor that came with the SET about to be made; socket_set takes it. Whatever set() left is
// closed by park_release.
void park_offer(int fd);
void park_release(void);
int park_fd(uint32_t socket_id); // for the dump; stays ours. -1 when unknown

int socket_set(const void *body, const void *old);
void socket_del(const void *body);
