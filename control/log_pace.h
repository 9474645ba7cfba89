// SPDX-License-Identifier: BSD-3-Clause
//
// The pace of a line that a remote can cause without end: one struct per peer and kind of line, at most one line a
// minute, which says how often it happened since the one before. One thread per struct.
#pragma once

#include <glib.h>

#include <stdint.h>

#define LOG_PACE_US (60 * (int64_t)G_USEC_PER_SEC)

struct log_pace {
	uint64_t count; // since the last line
	int64_t last;   // monotonic; 0 = never
};

// It happened once more. 0: no line now; else the count for the line.
static inline uint64_t log_pace_take(struct log_pace *p)
{
	int64_t now = g_get_monotonic_time();
	uint64_t count = ++p->count;

	if (p->last && now < p->last + LOG_PACE_US)
		return 0;
	*p = (struct log_pace){.last = now};
	return count;
}
