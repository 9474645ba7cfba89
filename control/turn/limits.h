// SPDX-License-Identifier: BSD-3-Clause
//
// What one source or user may cost us: token buckets for what is asked again and again, and counts of the
// allocations that there are. Buckets are in a table of fixed size, so that spoofed sources cost no memory; the
// counts exist only where there is an allocation. Main loop thread.
#pragma once

#include "../../dataplane/api/st_api.h"

#include <glib.h>

#include <stdbool.h>
#include <stdint.h>

#define TURN_BUCKETS     16384
#define TURN_BUCKET_WAYS 4 // of a set; a newcomer takes the place of the one that was idle longest

struct turn_bucket {
	uint64_t owner; // keyed hash of its name, 0 = free
	uint32_t last_ms;
	float tokens;
};

struct turn_buckets {
	uint8_t key[16];
	struct turn_bucket *table;
	uint64_t limited; // times that nothing was left
};

struct turn_rate {
	uint32_t tokens; // come in period_ms; 0 = no limit
	uint32_t period_ms;
	uint32_t burst; // so many at most are kept
};

void turn_buckets_init(struct turn_buckets *b);
void turn_buckets_fini(struct turn_buckets *b);
// n tokens of the bucket that belongs to name, or none of them and false.
bool turn_buckets_take(struct turn_buckets *b, const void *name, size_t len,
	const struct turn_rate *rate, unsigned int n, uint64_t now_ms);
// What an address is as a source: an IPv4 address, or the /64 of an IPv6 address.
struct st_addr turn_source_of(const struct st_addr *addr);

// ---- bytes -----------------------------------------------------------------------------------------

// Of what is relayed. Parts of a byte count: between two datagrams there may come less than one.
struct turn_bytes {
	double left;
	uint64_t at_ms;
};

void turn_bytes_fill(struct turn_bytes *b, uint64_t per_s, uint64_t burst, uint64_t now_ms);

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
