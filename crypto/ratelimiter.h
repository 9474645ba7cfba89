// SPDX-License-Identifier: BSD-3-Clause
//
// Token bucket per source address, for handshake messages under load: 20 per second, burst 5; IPv4
// by /32, IPv6 by /64. The table is bounded; when it is full, unknown sources are refused.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RATELIMITER_PER_SECOND  20
#define RATELIMITER_BURST       5
#define RATELIMITER_MAX_ENTRIES 8192

struct ratelimiter;

struct ratelimiter *ratelimiter_new(void);
void ratelimiter_free(struct ratelimiter *r);
// addr: IPv6 or v4-mapped, 16 bytes.
bool ratelimiter_allow(struct ratelimiter *r, const uint8_t addr[16], uint64_t now_ns);
// Forgets sources silent for 1 s; call about once a second. Returns how many are left.
unsigned int ratelimiter_gc(struct ratelimiter *r, uint64_t now_ns);
