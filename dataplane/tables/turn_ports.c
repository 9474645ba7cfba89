// SPDX-License-Identifier: BSD-3-Clause
//
// Ports of peers that the relay does not serve (TURN_DENY_PORTS): a bit each. main keeps the ranges and
// writes whole words, so that a port in two ranges stays denied when one of them goes; lcores read.
#include "turn.h"

#include <arpa/inet.h>
#include <errno.h>

static struct turn_port_range {
	uint16_t lo, hi;
} ranges[TURN_DENY_PORTS_MAX];
static unsigned int nb_ranges;

_Atomic uint64_t turn_denied_ports[TURN_DENIED_WORDS];

static uint64_t word_of(unsigned int word)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i < nb_ranges; i++)
		for (unsigned int b = 0; b < 64; b++) {
			unsigned int port = word * 64 + b;

			if (port >= ranges[i].lo && port <= ranges[i].hi)
				bits |= 1ULL << b;
		}
	return bits;
}

// The words that a range touches.
static void write_words(uint16_t lo, uint16_t hi)
{
	for (unsigned int w = lo / 64; w <= hi / 64U; w++)
		atomic_store_explicit(&turn_denied_ports[w], word_of(w), memory_order_relaxed);
}

static unsigned int find(uint16_t lo, uint16_t hi)
{
	unsigned int i = 0;

	while (i < nb_ranges && (ranges[i].lo != lo || ranges[i].hi != hi))
		i++;
	return i;
}

int turn_deny_ports_set(const void *body, const void *old)
{
	const struct st_turn_deny_ports *d = body;
	uint16_t lo = ntohs(d->key.port_lo_be), hi = ntohs(d->key.port_hi_be);

	if (lo > hi)
		return -EINVAL;
	if (find(lo, hi) < nb_ranges)
		return 0;
	if (nb_ranges == TURN_DENY_PORTS_MAX)
		return -ENOSPC;
	ranges[nb_ranges++] = (struct turn_port_range){lo, hi};
	write_words(lo, hi);
	return 0;
}

void turn_deny_ports_del(const void *body)
{
	const struct st_turn_deny_ports *d = body;
	uint16_t lo = ntohs(d->key.port_lo_be), hi = ntohs(d->key.port_hi_be);
	unsigned int i = find(lo, hi);

	if (i == nb_ranges)
		return;
	ranges[i] = ranges[--nb_ranges];
	write_words(lo, hi);
}
