// SPDX-License-Identifier: BSD-3-Clause
//
// Numbers and lengths of STUN on the wire. Private to control/stun/.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define STUN_ATTR_HEAD 4 // type and length

static inline uint16_t stun_get16(const uint8_t *b)
{
	return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t stun_get32(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline void stun_put16(uint8_t *b, uint16_t v)
{
	b[0] = (uint8_t)(v >> 8);
	b[1] = (uint8_t)v;
}

static inline void stun_put32(uint8_t *b, uint32_t v)
{
	stun_put16(b, (uint16_t)(v >> 16));
	stun_put16(b + 2, (uint16_t)v);
}

static inline size_t stun_padded(size_t len)
{
	return (len + 3) & ~(size_t)3;
}
