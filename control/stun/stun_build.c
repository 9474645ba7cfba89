// SPDX-License-Identifier: BSD-3-Clause
//
// Writing STUN messages; see stun.h. Main loop thread, because of the digests.
#include "../addr.h"
#include "stun.h"
#include "stun_bytes.h"
#include "stun_digest.h"

#include <sodium.h>

#include <arpa/inet.h>
#include <string.h>

void stun_begin(struct stun_out *o, uint8_t *buf, size_t size, uint16_t type,
	const uint8_t tid[STUN_TID_LEN])
{
	*o = (struct stun_out){.data = buf, .len = STUN_HEADER_LEN, .size = size};
	if (size < STUN_HEADER_LEN) {
		o->full = true;
		return;
	}
	stun_put16(buf, type);
	stun_put16(buf + 2, 0);
	stun_put32(buf + 4, STUN_COOKIE);
	if (tid)
		memcpy(buf + 8, tid, STUN_TID_LEN);
	else
		randombytes_buf(buf + 8, STUN_TID_LEN);
}

static uint8_t *attr_room(struct stun_out *o, uint16_t type, size_t len)
{
	uint8_t *at = o->data + o->len;

	if (o->full || len > UINT16_MAX || STUN_ATTR_HEAD + stun_padded(len) > o->size - o->len) {
		o->full = true;
		return NULL;
	}
	stun_put16(at, type);
	stun_put16(at + 2, (uint16_t)len);
	memset(at + STUN_ATTR_HEAD + len, 0, stun_padded(len) - len);
	o->len += STUN_ATTR_HEAD + stun_padded(len);
	stun_put16(o->data + 2, (uint16_t)(o->len - STUN_HEADER_LEN));
	return at + STUN_ATTR_HEAD;
}

void stun_add(struct stun_out *o, uint16_t type, const void *value, size_t len)
{
	uint8_t *at = attr_room(o, type, len);

	if (at && len)
		memcpy(at, value, len);
}

void stun_add_u32(struct stun_out *o, uint16_t type, uint32_t value)
{
	uint8_t b[4];

	stun_put32(b, value);
	stun_add(o, type, b, sizeof(b));
}

void stun_add_u64(struct stun_out *o, uint16_t type, uint64_t value)
{
	uint8_t b[8];

	stun_put32(b, (uint32_t)(value >> 32));
	stun_put32(b + 4, (uint32_t)value);
	stun_add(o, type, b, sizeof(b));
}

// mask: 16 bytes, of which the first two are the port's as well.
static void add_address(struct stun_out *o, uint16_t type, const struct st_addr *a,
	uint16_t port_be, const uint8_t *mask)
{
	bool v4 = addr_is_v4(a);
	size_t len = v4 ? 4 : 16;
	uint8_t *at = attr_room(o, type, 4 + len);

	if (!at)
		return;
	at[0] = 0;
	at[1] = v4 ? STUN_FAMILY_V4 : STUN_FAMILY_V6;
	stun_put16(at + 2, (uint16_t)(ntohs(port_be) ^ stun_get16(mask)));
	for (size_t i = 0; i < len; i++)
		at[4 + i] = a->b[sizeof(a->b) - len + i] ^ mask[i];
}

void stun_add_address(struct stun_out *o, uint16_t type, const struct st_addr *a, uint16_t port_be)
{
	add_address(o, type, a, port_be, o->data + 4); // the cookie and the transaction id
}

void stun_add_plain_address(
	struct stun_out *o, uint16_t type, const struct st_addr *a, uint16_t port_be)
{
	static const uint8_t none[16];

	add_address(o, type, a, port_be, none);
}

void stun_add_error(struct stun_out *o, int code, const char *reason)
{
	size_t len = strlen(reason);
	uint8_t *at = attr_room(o, STUN_ATTR_ERROR_CODE, 4 + len);

	if (!at)
		return;
	at[0] = at[1] = 0;
	at[2] = (uint8_t)(code / 100);
	at[3] = (uint8_t)(code % 100);
	memcpy(at + 4, reason, len);
}

void stun_add_built(struct stun_out *o, const void *attributes, size_t len)
{
	if (o->full || len > o->size - o->len) {
		o->full = true;
		return;
	}
	memcpy(o->data + o->len, attributes, len);
	o->len += len;
	stun_put16(o->data + 2, (uint16_t)(o->len - STUN_HEADER_LEN));
}

void stun_add_integrity(struct stun_out *o, uint16_t type, const void *key, size_t key_len)
{
	bool sha256 = type == STUN_ATTR_MESSAGE_INTEGRITY_SHA256;
	size_t before = o->len;
	uint8_t *at = attr_room(o, type, sha256 ? STUN_SHA256_LEN : STUN_SHA1_LEN);

	if (at)
		stun_hmac(sha256, at, key, key_len, o->data, before, NULL, 0);
}

void stun_add_fingerprint(struct stun_out *o)
{
	size_t before = o->len;
	uint8_t *at = attr_room(o, STUN_ATTR_FINGERPRINT, 4);

	if (at)
		stun_put32(at, stun_crc32(o->data, before, NULL, 0));
}

size_t stun_end(struct stun_out *o, const void *key, size_t key_len, bool fingerprint)
{
	if (key)
		stun_add_integrity(o, STUN_ATTR_MESSAGE_INTEGRITY, key, key_len);
	if (fingerprint)
		stun_add_fingerprint(o);
	return o->full ? 0 : o->len;
}
