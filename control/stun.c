// SPDX-License-Identifier: BSD-3-Clause
//
// STUN messages as bytes; see stun.h. Main loop thread, because of the digests.
#include "stun.h"

#include "addr.h"
#include "stun_digest.h"

#include <sodium.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define ATTR_HEADER       4
#define FAMILY_V4         1
#define FAMILY_V6         2
#define CHANNEL_DATA_HEAD 4

static uint16_t get16(const uint8_t *b)
{
	return (uint16_t)(b[0] << 8 | b[1]);
}

static uint32_t get32(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void put16(uint8_t *b, uint16_t v)
{
	b[0] = (uint8_t)(v >> 8);
	b[1] = (uint8_t)v;
}

static void put32(uint8_t *b, uint32_t v)
{
	put16(b, (uint16_t)(v >> 16));
	put16(b + 2, (uint16_t)v);
}

static size_t padded(size_t len)
{
	return (len + 3) & ~(size_t)3;
}

// A message up to an attribute, whose own length the header already counts.
static void count_in(
	uint8_t header[STUN_HEADER_LEN], const uint8_t *data, size_t upto, size_t value_len)
{
	memcpy(header, data, STUN_HEADER_LEN);
	put16(header + 2, (uint16_t)(upto + ATTR_HEADER + value_len - STUN_HEADER_LEN));
}

static uint32_t fingerprint_of(const uint8_t *data, size_t upto)
{
	uint8_t header[STUN_HEADER_LEN];

	count_in(header, data, upto, 4);
	return stun_crc32(header, sizeof(header), data + sizeof(header), upto - sizeof(header));
}

static void integrity_of(uint8_t out[STUN_SHA1_LEN], const uint8_t *data, size_t upto,
	const void *key, size_t key_len)
{
	uint8_t header[STUN_HEADER_LEN];

	count_in(header, data, upto, STUN_SHA1_LEN);
	stun_hmac(false, out, key, key_len, header, sizeof(header), data + sizeof(header),
		upto - sizeof(header));
}

bool stun_looks_like(const uint8_t *data, size_t len)
{
	return len >= STUN_HEADER_LEN && !(data[0] & 0xc0) && get32(data + 4) == STUN_COOKIE;
}

int stun_parse(struct stun_msg *ret, const uint8_t *data, size_t len)
{
	struct stun_msg m = {.data = data, .len = len};

	if (!stun_looks_like(data, len) || len % 4 || (size_t)get16(data + 2) + STUN_HEADER_LEN != len)
		return -EBADMSG;
	m.type = get16(data);
	for (size_t at = STUN_HEADER_LEN; at < len;) {
		uint16_t type, value_len;

		if (len - at < ATTR_HEADER)
			return -EBADMSG;
		type = get16(data + at);
		value_len = get16(data + at + 2);
		if (padded(value_len) > len - at - ATTR_HEADER)
			return -EBADMSG;
		if (type == STUN_ATTR_MESSAGE_INTEGRITY && !m.integrity) {
			if (value_len != STUN_SHA1_LEN)
				return -EBADMSG;
			m.integrity = at;
		}
		at += ATTR_HEADER + padded(value_len);
		if (type == STUN_ATTR_FINGERPRINT) {
			if (value_len != 4)
				return -EBADMSG;
			m.fingerprint = at - ATTR_HEADER - 4;
			m.len = at;
			break;
		}
	}
	if (m.fingerprint &&
		get32(data + m.fingerprint + ATTR_HEADER) != fingerprint_of(data, m.fingerprint))
		return -EBADMSG;
	*ret = m;
	return 0;
}

const uint8_t *stun_find(const struct stun_msg *m, uint16_t type, uint16_t *ret_len)
{
	size_t end = m->integrity ? m->integrity : m->fingerprint ? m->fingerprint : m->len;

	for (size_t at = STUN_HEADER_LEN; at < end;) {
		uint16_t value_len = get16(m->data + at + 2);

		if (get16(m->data + at) == type) {
			*ret_len = value_len;
			return m->data + at + ATTR_HEADER;
		}
		at += ATTR_HEADER + padded(value_len);
	}
	return NULL;
}

bool stun_find_u32(const struct stun_msg *m, uint16_t type, uint32_t *ret)
{
	uint16_t len;
	const uint8_t *v = stun_find(m, type, &len);

	if (!v || len != 4)
		return false;
	*ret = get32(v);
	return true;
}

bool stun_find_u64(const struct stun_msg *m, uint16_t type, uint64_t *ret)
{
	uint16_t len;
	const uint8_t *v = stun_find(m, type, &len);

	if (!v || len != 8)
		return false;
	*ret = (uint64_t)get32(v) << 32 | get32(v + 4);
	return true;
}

// The cookie and the transaction id are what addresses are XORed with: bytes 4 to 19 of the header.
static void address_xor(uint8_t *b, size_t len, const uint8_t *header)
{
	for (size_t i = 0; i < len; i++)
		b[i] ^= header[4 + i];
}

bool stun_find_address(
	const struct stun_msg *m, uint16_t type, struct st_addr *ret, uint16_t *ret_port_be)
{
	struct st_addr a = {.b = {[10] = 0xff, [11] = 0xff}};
	uint16_t len;
	const uint8_t *v = stun_find(m, type, &len);
	bool v4 = v && len == 8 && v[1] == FAMILY_V4;

	if (!v || !(v4 || (len == 20 && v[1] == FAMILY_V6)))
		return false;
	memcpy(a.b + (v4 ? 12 : 0), v + 4, v4 ? 4 : 16);
	address_xor(a.b + (v4 ? 12 : 0), v4 ? 4 : 16, m->data);
	*ret_port_be = htons((uint16_t)(get16(v + 2) ^ STUN_COOKIE >> 16));
	*ret = a;
	return true;
}

int stun_error_code(const struct stun_msg *m)
{
	uint16_t len;
	const uint8_t *v = stun_find(m, STUN_ATTR_ERROR_CODE, &len);

	if (!v || len < 4 || (v[2] & 7) < 3 || (v[2] & 7) > 6 || v[3] > 99)
		return 0;
	return (v[2] & 7) * 100 + v[3];
}

bool stun_verify(const struct stun_msg *m, const void *key, size_t key_len)
{
	uint8_t mac[STUN_SHA1_LEN];

	if (!m->integrity)
		return false;
	integrity_of(mac, m->data, m->integrity, key, key_len);
	return stun_equal(mac, m->data + m->integrity + ATTR_HEADER, sizeof(mac));
}

void stun_long_term_key(uint8_t out[STUN_KEY_LEN], const char *user, const char *realm,
	size_t realm_len, const char *password)
{
	stun_md5_colon(out, user, strlen(user), realm, realm_len, password, strlen(password));
}

// ---- building ------------------------------------------------------------------------------------------

void stun_begin(struct stun_out *o, uint8_t *buf, size_t size, uint16_t type,
	const uint8_t tid[STUN_TID_LEN])
{
	*o = (struct stun_out){.data = buf, .len = STUN_HEADER_LEN, .size = size};
	if (size < STUN_HEADER_LEN) {
		o->full = true;
		return;
	}
	put16(buf, type);
	put32(buf + 4, STUN_COOKIE);
	if (tid)
		memcpy(buf + 8, tid, STUN_TID_LEN);
	else
		randombytes_buf(buf + 8, STUN_TID_LEN);
}

static uint8_t *attr_room(struct stun_out *o, uint16_t type, size_t len)
{
	uint8_t *at = o->data + o->len;

	if (o->full || len > UINT16_MAX || ATTR_HEADER + padded(len) > o->size - o->len) {
		o->full = true;
		return NULL;
	}
	put16(at, type);
	put16(at + 2, (uint16_t)len);
	memset(at + ATTR_HEADER + len, 0, padded(len) - len);
	o->len += ATTR_HEADER + padded(len);
	return at + ATTR_HEADER;
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

	put32(b, value);
	stun_add(o, type, b, sizeof(b));
}

void stun_add_u64(struct stun_out *o, uint16_t type, uint64_t value)
{
	uint8_t b[8];

	put32(b, (uint32_t)(value >> 32));
	put32(b + 4, (uint32_t)value);
	stun_add(o, type, b, sizeof(b));
}

void stun_add_address(struct stun_out *o, uint16_t type, const struct st_addr *a, uint16_t port_be)
{
	bool v4 = addr_is_v4(a);
	uint8_t *at = attr_room(o, type, v4 ? 8 : 20);

	if (!at)
		return;
	at[0] = 0;
	at[1] = v4 ? FAMILY_V4 : FAMILY_V6;
	put16(at + 2, (uint16_t)(ntohs(port_be) ^ STUN_COOKIE >> 16));
	memcpy(at + 4, a->b + (v4 ? 12 : 0), v4 ? 4 : 16);
	address_xor(at + 4, v4 ? 4 : 16, o->data);
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

size_t stun_end(struct stun_out *o, const void *key, size_t key_len, bool fingerprint)
{
	uint8_t *at;
	size_t upto;

	upto = o->len;
	if (key && (at = attr_room(o, STUN_ATTR_MESSAGE_INTEGRITY, STUN_SHA1_LEN)))
		integrity_of(at, o->data, upto, key, key_len);
	upto = o->len;
	if (fingerprint && (at = attr_room(o, STUN_ATTR_FINGERPRINT, 4)))
		put32(at, fingerprint_of(o->data, upto));
	if (o->full)
		return 0;
	put16(o->data + 2, (uint16_t)(o->len - STUN_HEADER_LEN));
	return o->len;
}

// ---- cutting -------------------------------------------------------------------------------------------

static size_t cut_message(uint8_t *data, size_t len)
{
	struct stun_msg m;

	if (stun_parse(&m, data, len) || m.len == len)
		return len;
	put16(data + 2, (uint16_t)(m.len - STUN_HEADER_LEN));
	return m.len;
}

static size_t cut_channel_data(uint8_t *data, size_t len)
{
	size_t inner = get16(data + 2), cut;

	if (inner > len - CHANNEL_DATA_HEAD)
		return len;
	cut = cut_message(data + CHANNEL_DATA_HEAD, inner);
	if (cut == inner)
		return len;
	put16(data + 2, (uint16_t)cut);
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
	rest = at + padded(inner);
	put16(data + at - 2, (uint16_t)cut);
	memset(data + at + cut, 0, padded(cut) - cut);
	memmove(data + at + padded(cut), data + rest, end - rest);
	end -= rest - (at + padded(cut));
	put16(data + 2, (uint16_t)(end - STUN_HEADER_LEN));
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
