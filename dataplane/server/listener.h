// SPDX-License-Identifier: BSD-3-Clause
//
// The socket that the contract's server listens at. main only.
#pragma once

#include <stdint.h>

// Mode 0660, group gid unless (gid_t)-1. A file that nobody listens behind is replaced; -EADDRINUSE where
// somebody does. Returns the descriptor or -errno.
int listener_open(const char *path, uint32_t gid, int backlog);
