// SPDX-License-Identifier: BSD-3-Clause
//
// Internet checksums (RFC 1071, 1624). A "sum" is a one's complement sum of 16-bit words in memory
// order, folded or not, never inverted; only what goes into a header is inverted.
#pragma once

#include <rte_mbuf.h>

#include <stdint.h>
#include <string.h>

static inline uint16_t sum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

// Adds len bytes at p (any alignment); an odd last byte counts as the first of a word.
uint64_t sum_bytes(uint64_t sum, const void *p, uint32_t len);
// len bytes of a chain from off on.
uint64_t sum_mbuf(uint64_t sum, const struct rte_mbuf *m, uint32_t off, uint32_t len);

// An IPv4 header of ihl 32-bit words (5..15).
static inline uint64_t sum_words(const void *p, unsigned int words)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < words; i++) {
		uint32_t w;

		memcpy(&w, (const uint8_t *)p + 4 * i, 4);
		sum += w;
	}
	return sum;
}

// The checksum csum after one word of what it covers changed (RFC 1624, equation 3).
static inline uint16_t checksum_adjust(uint16_t csum, uint16_t from, uint16_t to)
{
	return (uint16_t)~sum_fold((uint64_t)(uint16_t)~csum + (uint16_t)~from + to);
}
