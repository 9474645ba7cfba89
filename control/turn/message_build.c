// SPDX-License-Identifier: BSD-3-Clause
//
// Writing a STUN message; see message.h. Padding is zero: what was in the buffer before must not leave.
#include "../addr.h"
#include "../stun_digest.h"
#include "message.h"

#include <string.h>

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

void turn_out_begin(
	struct turn_out *o, uint16_t method, enum turn_class class, const uint8_t tid[TURN_TID_LEN])
{
	uint16_t type = (uint16_t)((method & 0xf) | (method & 0x70) << 1 | (method & 0xf80) << 2 |
				   (class & 1) << 4 | (class & 2) << 7);

	o->len = TURN_MSG_HEADER;
	o->full = false;
	put16(o->data, type);
	put16(o->data + 2, 0);
	put32(o->data + 4, TURN_COOKIE);
	memcpy(o->data + 8, tid, TURN_TID_LEN);
}

// Room for a value behind its head; NULL when there is none.
static uint8_t *add(struct turn_out *o, uint16_t type, size_t len)
{
	size_t whole = (len + 3) & ~(size_t)3;
	uint8_t *at = o->data + o->len;

	if (o->full || whole + 4 > sizeof(o->data) - o->len) {
		o->full = true;
		return NULL;
	}
	put16(at, type);
	put16(at + 2, (uint16_t)len);
	memset(at + 4 + len, 0, whole - len);
	o->len += 4 + whole;
	put16(o->data + 2, (uint16_t)(o->len - TURN_MSG_HEADER));
	return at + 4;
}

void turn_out_bytes(struct turn_out *o, uint16_t type, const void *value, size_t len)
{
	uint8_t *at = add(o, type, len);

	if (at && len)
		memcpy(at, value, len);
}

void turn_out_u32(struct turn_out *o, uint16_t type, uint32_t value)
{
	uint8_t b[4];

	put32(b, value);
	turn_out_bytes(o, type, b, sizeof(b));
}

void turn_out_address(struct turn_out *o, uint16_t type, const struct st_addr *addr, uint16_t port_be)
{
	bool v4 = addr_is_v4(addr);
	uint8_t *at = add(o, type, v4 ? 8 : 20);
	const uint8_t *from = v4 ? addr->b + 12 : addr->b;

	if (!at)
		return;
	at[0] = 0;
	at[1] = v4 ? TURN_FAMILY_V4 : TURN_FAMILY_V6;
	memcpy(at + 2, &port_be, 2);
	at[2] ^= 0x21;
	at[3] ^= 0x12;
	for (int i = 0; i < (v4 ? 4 : 16); i++)
		at[4 + i] = from[i] ^ o->data[4 + i];
}

void turn_out_error(struct turn_out *o, int code)
{
	turn_out_u32(o, TURN_T_ERROR_CODE, (uint32_t)(code / 100) << 8 | (uint32_t)(code % 100));
}

void turn_out_address_error(struct turn_out *o, uint8_t family, int code)
{
	turn_out_u32(o, TURN_T_ADDRESS_ERROR_CODE,
		(uint32_t)family << 24 | (uint32_t)(code / 100) << 8 | (uint32_t)(code % 100));
}

void turn_out_integrity(struct turn_out *o, uint16_t type, const uint8_t *key, size_t len)
{
	bool sha256 = type == TURN_T_MESSAGE_INTEGRITY_SHA256;
	size_t before = o->len;
	uint8_t *at = add(o, type, sha256 ? STUN_SHA256_LEN : STUN_SHA1_LEN);

	if (at)
		stun_hmac(sha256, at, key, len, o->data, before, NULL, 0);
}

void turn_out_fingerprint(struct turn_out *o)
{
	size_t before = o->len;
	uint8_t *at = add(o, TURN_T_FINGERPRINT, 4);

	if (at)
		put32(at, stun_crc32(o->data, before, NULL, 0));
}

size_t turn_out_end(struct turn_out *o)
{
	return o->full ? 0 : o->len;
}
