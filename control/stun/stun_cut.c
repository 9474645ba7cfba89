// SPDX-License-Identifier: BSD-3-Clause
//
// Cutting what stands behind FINGERPRINT off; see stun.h. Main loop thread.
#include "stun.h"
#include "stun_bytes.h"

#include <string.h>

#define CHANNEL_DATA_HEAD 4

static size_t cut_message(uint8_t *data, size_t len)
{
	struct stun_msg m;

	if (stun_parse(&m, data, len) || m.len == len)
		return len;
	stun_put16(data + 2, (uint16_t)(m.len - STUN_HEADER_LEN));
	return m.len;
}

static size_t cut_channel_data(uint8_t *data, size_t len)
{
	size_t inner = stun_get16(data + 2), cut;

	if (inner > len - CHANNEL_DATA_HEAD)
		return len;
	cut = cut_message(data + CHANNEL_DATA_HEAD, inner);
	if (cut == inner)
		return len;
	stun_put16(data + 2, (uint16_t)cut);
	return CHANNEL_DATA_HEAD + cut;
}

// The message is rebuilt from its own attributes: DATA shrinks, and an outer FINGERPRINT would be wrong.
static size_t cut_indication(uint8_t *data, const struct stun_msg *m)
{
	uint16_t inner;
	const uint8_t *value = stun_find(m, STUN_ATTR_DATA, &inner);
	size_t at = value ? (size_t)(value - data) : 0, end = m->len, rest, cut;

	if (!value)
		return m->len;
	cut = cut_message(data + at, inner);
	if (cut == inner)
		return m->len;
	if (m->fingerprint)
		end = m->fingerprint;
	rest = at + stun_padded(inner);
	stun_put16(data + at - 2, (uint16_t)cut);
	memset(data + at + cut, 0, stun_padded(cut) - cut);
	memmove(data + at + stun_padded(cut), data + rest, end - rest);
	end -= rest - (at + stun_padded(cut));
	stun_put16(data + 2, (uint16_t)(end - STUN_HEADER_LEN));
	return end;
}

size_t stun_cut(uint8_t *data, size_t len)
{
	struct stun_msg m;

	if (len >= CHANNEL_DATA_HEAD && (data[0] & 0xc0) == 0x40)
		return cut_channel_data(data, len);
	if (!stun_looks_like(data, len))
		return len;
	len = cut_message(data, len);
	if (!stun_parse(&m, data, len) && m.type == (STUN_DATA | STUN_INDICATION))
		return cut_indication(data, &m);
	return len;
}
