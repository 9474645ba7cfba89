// SPDX-License-Identifier: BSD-3-Clause
//
// What one source may cost us: a token bucket per source for answers to requests without credentials, and
// counts of allocations per user and per source. The buckets are a table of fixed size, so that spoofed
// sources cost no memory; the counts exist only where there is an allocation. Main loop thread.
#pragma once

#include "../../dataplane/api/st_api.h"

#include <glib.h>

#include <stdbool.h>
#include <stdint.h>

#define TURN_SOURCE_BUCKETS 16384
#define TURN_SOURCE_WAYS    4 // of a set; a newcomer takes the place of the one that was idle longest

struct turn_source_bucket {
	uint64_t source; // keyed hash of the source, 0 = free
	uint32_t last_ms;
	uint32_t millitokens;
};

struct turn_sources {
	uint8_t key[16];
	struct turn_source_bucket *buckets;
	uint64_t limited; // answers that were not given
};

void turn_sources_init(struct turn_sources *s);
void turn_sources_fini(struct turn_sources *s);
// One answer more to addr: an IPv4 address, or the /64 of an IPv6 address. False: not now.
bool turn_sources_take(struct turn_sources *s, const struct st_addr *addr, uint64_t now_ms,
	uint32_t per_s, uint32_t burst);

// ---- counts by name --------------------------------------------------------------------------------

struct turn_counts;

struct turn_counts *turn_counts_new(void);
void turn_counts_free(struct turn_counts *c);
unsigned int turn_counts_get(const struct turn_counts *c, const char *name);
void turn_counts_add(struct turn_counts *c, const char *name);
void turn_counts_sub(struct turn_counts *c, const char *name);
unsigned int turn_counts_size(const struct turn_counts *c); // names with a count
// The name of a source in such a table: its address, an IPv6 one's /64.
char *turn_source_name(const struct st_addr *addr); // g_free
