// SPDX-License-Identifier: BSD-3-Clause
//
// Reading STUN messages; see stun.h. Main loop thread, because of the digests.
#include "../addr.h"
#include "stun.h"
#include "stun_bytes.h"
#include "stun_digest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

// A message up to an attribute, whose own length the header already counts.
static void count_in(
	uint8_t header[STUN_HEADER_LEN], const struct stun_msg *m, size_t upto, size_t value_len)
{
	memcpy(header, m->data, STUN_HEADER_LEN);
	stun_put16(header + 2, (uint16_t)(upto + STUN_ATTR_HEAD + value_len - STUN_HEADER_LEN));
}

static bool fingerprint_holds(const struct stun_msg *m)
{
	uint8_t header[STUN_HEADER_LEN];

	count_in(header, m, m->fingerprint, 4);
	return stun_get32(m->data + m->fingerprint + STUN_ATTR_HEAD) ==
	       stun_crc32(header, sizeof(header), m->data + sizeof(header),
		       m->fingerprint - sizeof(header));
}

bool stun_looks_like(const uint8_t *data, size_t len)
{
	return len >= STUN_HEADER_LEN && !(data[0] & 0xc0) && stun_get32(data + 4) == STUN_COOKIE;
}

// False: of a length that it cannot have.
static bool note(struct stun_msg *m, size_t at, uint16_t type, uint16_t len)
{
	if (type == STUN_ATTR_FINGERPRINT) {
		m->fingerprint = at;
		return len == 4;
	}
	if (m->integrity_sha256)
		return true;
	if (type == STUN_ATTR_MESSAGE_INTEGRITY_SHA256)
		m->integrity_sha256 = at;
	if (type != STUN_ATTR_MESSAGE_INTEGRITY || m->integrity)
		return true;
	m->integrity = at;
	return len == STUN_SHA1_LEN;
}

int stun_parse(struct stun_msg *ret, const uint8_t *data, size_t len)
{
	struct stun_msg m = {.data = data, .len = len};

	if (!stun_looks_like(data, len) || len % 4 ||
		(size_t)stun_get16(data + 2) + STUN_HEADER_LEN != len)
		return -EBADMSG;
	m.type = stun_get16(data);
	for (size_t at = STUN_HEADER_LEN; at < m.len;) {
		uint16_t type, value_len;

		if (len - at < STUN_ATTR_HEAD)
			return -EBADMSG;
		type = stun_get16(data + at);
		value_len = stun_get16(data + at + 2);
		if (stun_padded(value_len) > len - at - STUN_ATTR_HEAD ||
			!note(&m, at, type, value_len))
			return -EBADMSG;
		at += STUN_ATTR_HEAD + stun_padded(value_len);
		if (m.fingerprint)
			m.len = at;
	}
	if (m.fingerprint && !fingerprint_holds(&m))
		return -EBADMSG;
	*ret = m;
	return 0;
}

int stun_parse_strict(struct stun_msg *ret, const uint8_t *data, size_t len)
{
	struct stun_msg m;
	int e = stun_parse(&m, data, len);

	if (e || m.len != len)
		return -EBADMSG;
	*ret = m;
	return 0;
}

static size_t end_of_covered(const struct stun_msg *m)
{
	if (m->integrity)
		return m->integrity;
	if (m->integrity_sha256)
		return m->integrity_sha256;
	return m->fingerprint ? m->fingerprint : m->len;
}

// The next attribute; *at, which starts as 0, is behind it afterwards.
static const uint8_t *next(const struct stun_msg *m, size_t *at, uint16_t *ret_type, uint16_t *ret_len)
{
	const uint8_t *a;

	if (!*at)
		*at = STUN_HEADER_LEN;
	if (*at >= end_of_covered(m))
		return NULL;
	a = m->data + *at;
	*ret_type = stun_get16(a);
	*ret_len = stun_get16(a + 2);
	*at += STUN_ATTR_HEAD + stun_padded(*ret_len);
	return a + STUN_ATTR_HEAD;
}

static struct stun_attr attr_at(const struct stun_msg *m, size_t at)
{
	if (!at)
		return (struct stun_attr){0};
	return (struct stun_attr){m->data + at + STUN_ATTR_HEAD, stun_get16(m->data + at + 2)};
}

struct stun_attr stun_attr(const struct stun_msg *m, uint16_t type)
{
	struct stun_attr a;
	size_t at = 0;
	uint16_t t;

	if (type == STUN_ATTR_MESSAGE_INTEGRITY)
		return attr_at(m, m->integrity);
	if (type == STUN_ATTR_MESSAGE_INTEGRITY_SHA256)
		return attr_at(m, m->integrity_sha256);
	if (type == STUN_ATTR_FINGERPRINT)
		return attr_at(m, m->fingerprint);
	while ((a.at = next(m, &at, &t, &a.len))) {
		if (t == type)
			return a;
	}
	return (struct stun_attr){0};
}

const uint8_t *stun_find(const struct stun_msg *m, uint16_t type, uint16_t *ret_len)
{
	struct stun_attr a = stun_attr(m, type);

	if (a.at)
		*ret_len = a.len;
	return a.at;
}

bool stun_find_u32(const struct stun_msg *m, uint16_t type, uint32_t *ret)
{
	uint16_t len;
	const uint8_t *v = stun_find(m, type, &len);

	if (!v || len != 4)
		return false;
	*ret = stun_get32(v);
	return true;
}

bool stun_find_u64(const struct stun_msg *m, uint16_t type, uint64_t *ret)
{
	uint16_t len;
	const uint8_t *v = stun_find(m, type, &len);

	if (!v || len != 8)
		return false;
	*ret = (uint64_t)stun_get32(v) << 32 | stun_get32(v + 4);
	return true;
}

// The port is XORed with the upper half of the cookie, the address with the cookie and the transaction id, which are
// bytes 4 to 19 of the header.
static int read_address(const struct stun_msg *m, const uint8_t *v, uint16_t len,
	struct st_addr *ret, uint16_t *ret_port_be)
{
	struct st_addr a = {.b = {[10] = 0xff, [11] = 0xff}};
	bool v4 = len == 8 && v[1] == STUN_FAMILY_V4;
	size_t from = v4 ? 12 : 0;

	if (!v4 && (len != 20 || v[1] != STUN_FAMILY_V6))
		return -EBADMSG;
	for (size_t i = from; i < sizeof(a.b); i++)
		a.b[i] = v[4 + i - from] ^ m->data[4 + i - from];
	if (!v4 && addr_is_v4(&a))
		return -EPERM;
	*ret_port_be = htons((uint16_t)(stun_get16(v + 2) ^ STUN_COOKIE >> 16));
	*ret = a;
	return 0;
}

int stun_next_address(const struct stun_msg *m, size_t *at, uint16_t type, struct st_addr *ret,
	uint16_t *ret_port_be)
{
	const uint8_t *v;
	uint16_t t, len;
	int e;

	while ((v = next(m, at, &t, &len))) {
		if (t != type)
			continue;
		e = read_address(m, v, len, ret, ret_port_be);
		return e ? e : 1;
	}
	return 0;
}

int stun_first_address(
	const struct stun_msg *m, uint16_t type, struct st_addr *ret, uint16_t *ret_port_be)
{
	struct stun_attr a = stun_attr(m, type);

	return a.at ? read_address(m, a.at, a.len, ret, ret_port_be) : -EBADMSG;
}

bool stun_find_address(
	const struct stun_msg *m, uint16_t type, struct st_addr *ret, uint16_t *ret_port_be)
{
	return !stun_first_address(m, type, ret, ret_port_be);
}

static bool is_in(uint16_t type, const uint16_t *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (list[i] == type)
			return true;
	}
	return false;
}

unsigned int stun_unknown(const struct stun_msg *m, const uint16_t *known, size_t known_len,
	uint16_t ret[STUN_UNKNOWN_MAX])
{
	unsigned int n = 0;
	uint16_t type, len;
	size_t at = 0;

	while (n < STUN_UNKNOWN_MAX && next(m, &at, &type, &len)) {
		if (!(type & 0x8000) && !is_in(type, known, known_len) && !is_in(type, ret, n))
			ret[n++] = type;
	}
	return n;
}

int stun_error_code(const struct stun_msg *m)
{
	uint16_t len;
	const uint8_t *v = stun_find(m, STUN_ATTR_ERROR_CODE, &len);

	if (!v || len < 4 || (v[2] & 7) < 3 || (v[2] & 7) > 6 || v[3] > 99)
		return 0;
	return (v[2] & 7) * 100 + v[3];
}

bool stun_verify_by(const struct stun_msg *m, uint16_t type, const void *key, size_t key_len)
{
	bool sha256 = type == STUN_ATTR_MESSAGE_INTEGRITY_SHA256;
	size_t at = sha256 ? m->integrity_sha256 : m->integrity;
	size_t len = sha256 ? STUN_SHA256_LEN : STUN_SHA1_LEN;
	uint8_t header[STUN_HEADER_LEN], mac[STUN_SHA256_LEN];

	// RFC 8489 14.6 lets a use of STUN allow cut ones; neither ICE nor TURN does.
	if (!at || stun_get16(m->data + at + 2) != len)
		return false;
	count_in(header, m, at, len);
	stun_hmac(sha256, mac, key, key_len, header, sizeof(header), m->data + sizeof(header),
		at - sizeof(header));
	return stun_equal(mac, m->data + at + STUN_ATTR_HEAD, len);
}

bool stun_verify(const struct stun_msg *m, const void *key, size_t key_len)
{
	return stun_verify_by(m, STUN_ATTR_MESSAGE_INTEGRITY, key, key_len);
}

void stun_long_term_key(uint8_t out[STUN_KEY_LEN], const char *user, const char *realm,
	size_t realm_len, const char *password)
{
	stun_md5_colon(out, user, strlen(user), realm, realm_len, password, strlen(password));
}
