// SPDX-License-Identifier: BSD-3-Clause
//
// Reassembly of outer UDP fragments for this box. One bounded table per lcore.
#pragma once

#include "../lcore.h"

#include <stdint.h>

#define REASSEMBLY_PACKETS    512  // under way at once; one more is refused
#define REASSEMBLY_PER_SOURCE 32   // ... of sources with the same hash, so that none takes all
#define REASSEMBLY_FRAGMENTS  64   // of one packet; more are too small to be honest
#define REASSEMBLY_MBUFS      2048 // fragments held, over all packets
#define REASSEMBLY_SECONDS    5    // from the first fragment seen to the last

struct reassembly *reassembly_new(uint32_t seed);
void reassembly_free(struct reassembly *r);            // with the fragments in it
void reassemble_expire(struct lcore *lc);              // each pass
uint32_t reassembly_count(const struct reassembly *r); // packets under way
