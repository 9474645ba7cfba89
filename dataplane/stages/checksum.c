// SPDX-License-Identifier: BSD-3-Clause
//
// Sums over payloads: the one place of the packet path that reads every byte besides the AEAD. 32-bit
// words are added up in 64-bit lanes, which is the same sum modulo 0xffff.
#include "checksum.h"

#include <immintrin.h>

static uint64_t sum_tail(uint64_t sum, const uint8_t *b, uint32_t len)
{
	uint64_t w = 0;

	for (; len >= 8; b += 8, len -= 8) {
		memcpy(&w, b, 8);
		sum += (w & 0xffffffff) + (w >> 32);
	}
	if (len > 0) {
		w = 0;
		memcpy(&w, b, len);
		sum += (w & 0xffffffff) + (w >> 32);
	}
	return sum;
}

// Of each lane's 64-bit words the sum S modulo 2^64 and the sum H of the upper halves, which cannot overflow.
// S - H * 2^32 is the sum of the lower halves, exactly, as that cannot either: three operations for 32 bytes.
__attribute__((target("avx2"))) static uint64_t sum_avx2(uint64_t sum, const uint8_t *b, uint32_t len)
{
	__m256i s0 = _mm256_setzero_si256(), s1 = s0, h0 = s0, h1 = s0;
	uint64_t lanes[4];

	for (; len >= 64; b += 64, len -= 64) {
		__m256i x = _mm256_loadu_si256((const void *)b);
		__m256i y = _mm256_loadu_si256((const void *)(b + 32));

		s0 = _mm256_add_epi64(s0, x);
		h0 = _mm256_add_epi64(h0, _mm256_srli_epi64(x, 32));
		s1 = _mm256_add_epi64(s1, y);
		h1 = _mm256_add_epi64(h1, _mm256_srli_epi64(y, 32));
	}
	h0 = _mm256_add_epi64(h0, h1);
	s0 = _mm256_sub_epi64(_mm256_add_epi64(s0, s1), _mm256_slli_epi64(h0, 32));
	_mm256_storeu_si256((void *)lanes, _mm256_add_epi64(s0, h0));
	return sum_tail(sum + lanes[0] + lanes[1] + lanes[2] + lanes[3], b, len);
}

uint64_t sum_bytes(uint64_t sum, const void *p, uint32_t len)
{
	// Resolved by the loader's own table of CPU features; a predicted branch afterwards.
	if (len >= 64 && __builtin_cpu_supports("avx2"))
		return sum_avx2(sum, p, len);
	return sum_tail(sum, p, len);
}

uint64_t sum_mbuf(uint64_t sum, const struct rte_mbuf *m, uint32_t off, uint32_t len)
{
	bool odd = false; // a segment that begins in the middle of a word counts swapped

	while (m != NULL && off >= m->data_len) {
		off -= m->data_len;
		m = m->next;
	}
	for (; m != NULL && len > 0; m = m->next, off = 0) {
		uint32_t n = RTE_MIN((uint32_t)m->data_len - off, len);
		const uint8_t *b = rte_pktmbuf_mtod_offset(m, const uint8_t *, off);

		if (odd) {
			uint16_t part = sum_fold(sum_bytes(0, b, n));

			sum += (uint16_t)(part << 8 | part >> 8);
		} else {
			sum = sum_bytes(sum, b, n);
		}
		odd ^= n & 1;
		len -= n;
	}
	return sum;
}
