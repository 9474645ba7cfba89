// SPDX-License-Identifier: BSD-3-Clause
//
// Fields of a control blob: a byte of length, then that many bytes. Bounds are checked on both ways.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// At *at, which moves on; false: more than 255 bytes, or no room before end.
static inline bool blob_put(uint8_t **at, const uint8_t *end, const void *data, size_t len)
{
	if (len > UINT8_MAX || (size_t)(end - *at) < len + 1)
		return false;
	*(*at)++ = (uint8_t)len;
	memcpy(*at, data, len);
	*at += len;
	return true;
}

// False: nothing is left, it is cut off, or longer than size.
static inline bool blob_get(
	const uint8_t **at, const uint8_t *end, void *out, size_t size, size_t *ret_len)
{
	size_t len;

	if (*at >= end)
		return false;
	len = *(*at)++;
	if (len > size || len > (size_t)(end - *at))
		return false;
	memcpy(out, *at, len);
	*at += len;
	*ret_len = len;
	return true;
}
