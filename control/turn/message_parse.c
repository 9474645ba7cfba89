// SPDX-License-Identifier: BSD-3-Clause
//
// Reading a STUN message; see message.h. Nothing here trusts a length that came with the message, and no
// value is read but through memcpy: attributes are aligned to 4 in the message, the message is not in memory.
#include "../stun_digest.h"
#include "message.h"

#include <errno.h>
#include <string.h>

static const uint16_t types[TURN_A_COUNT] = {
	[TURN_A_USERNAME] = TURN_T_USERNAME,
	[TURN_A_REALM] = TURN_T_REALM,
	[TURN_A_NONCE] = TURN_T_NONCE,
	[TURN_A_USERHASH] = TURN_T_USERHASH,
	[TURN_A_PASSWORD_ALGORITHM] = TURN_T_PASSWORD_ALGORITHM,
	[TURN_A_PASSWORD_ALGORITHMS] = TURN_T_PASSWORD_ALGORITHMS,
	[TURN_A_MESSAGE_INTEGRITY] = TURN_T_MESSAGE_INTEGRITY,
	[TURN_A_MESSAGE_INTEGRITY_SHA256] = TURN_T_MESSAGE_INTEGRITY_SHA256,
	[TURN_A_FINGERPRINT] = TURN_T_FINGERPRINT,
	[TURN_A_CHANNEL_NUMBER] = TURN_T_CHANNEL_NUMBER,
	[TURN_A_LIFETIME] = TURN_T_LIFETIME,
	[TURN_A_XOR_PEER_ADDRESS] = TURN_T_XOR_PEER_ADDRESS,
	[TURN_A_DATA] = TURN_T_DATA,
	[TURN_A_REQUESTED_ADDRESS_FAMILY] = TURN_T_REQUESTED_ADDRESS_FAMILY,
	[TURN_A_EVEN_PORT] = TURN_T_EVEN_PORT,
	[TURN_A_REQUESTED_TRANSPORT] = TURN_T_REQUESTED_TRANSPORT,
	[TURN_A_DONT_FRAGMENT] = TURN_T_DONT_FRAGMENT,
	[TURN_A_RESERVATION_TOKEN] = TURN_T_RESERVATION_TOKEN,
	[TURN_A_ADDITIONAL_ADDRESS_FAMILY] = TURN_T_ADDITIONAL_ADDRESS_FAMILY,
	[TURN_A_MOBILITY_TICKET] = TURN_T_MOBILITY_TICKET,
};

// Of an answer, which a server may ignore in a request but need not call unknown.
static const uint16_t of_answers[] = {0x0001, TURN_T_ERROR_CODE, TURN_T_UNKNOWN_ATTRIBUTES,
	TURN_T_XOR_RELAYED_ADDRESS, TURN_T_XOR_MAPPED_ADDRESS};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static size_t padded(size_t len)
{
	return (len + 3) & ~(size_t)3;
}

static int index_of(uint16_t type)
{
	for (int i = 0; i < TURN_A_COUNT; i++) {
		if (types[i] == type)
			return i;
	}
	return -1;
}

static void note_unknown(struct turn_msg *m, uint16_t type)
{
	if (type & 0x8000)
		return; // comprehension-optional
	for (size_t i = 0; i < sizeof(of_answers) / sizeof(of_answers[0]); i++) {
		if (of_answers[i] == type)
			return;
	}
	for (unsigned int i = 0; i < m->unknowns; i++) {
		if (m->unknown[i] == type)
			return;
	}
	if (m->unknowns < TURN_UNKNOWN_MAX)
		m->unknown[m->unknowns++] = type;
}

// Behind MESSAGE-INTEGRITY only its SHA-256 sister and FINGERPRINT count, behind that only FINGERPRINT.
static bool counts(const struct turn_msg *m, uint16_t type)
{
	if (m->attr[TURN_A_MESSAGE_INTEGRITY_SHA256].at)
		return type == TURN_T_FINGERPRINT;
	if (m->attr[TURN_A_MESSAGE_INTEGRITY].at)
		return type == TURN_T_MESSAGE_INTEGRITY_SHA256 || type == TURN_T_FINGERPRINT;
	return true;
}

static bool fingerprint_holds(const struct turn_msg *m, const uint8_t *value, uint16_t len)
{
	size_t before = (size_t)(value - m->data) - 4;

	// It is the last attribute, or it is none.
	return len == 4 && before + 8 == m->len &&
	       get32(value) == stun_crc32(m->data, before, NULL, 0);
}

static int walk(struct turn_msg *m)
{
	size_t at = TURN_MSG_HEADER;

	while (at < m->len) {
		uint16_t type, len;
		int i;

		if (m->len - at < 4)
			return -EBADMSG;
		type = get16(m->data + at);
		len = get16(m->data + at + 2);
		if (padded(len) > m->len - at - 4)
			return -EBADMSG;
		i = index_of(type);
		if (type == TURN_T_FINGERPRINT && !fingerprint_holds(m, m->data + at + 4, len))
			return -EBADMSG;
		if (!counts(m, type))
			;
		else if (i < 0)
			note_unknown(m, type);
		else if (!m->attr[i].at)
			m->attr[i] = (struct turn_bytes){m->data + at + 4, len};
		at += 4 + padded(len);
	}
	return 0;
}

int turn_msg_parse(struct turn_msg *ret, const uint8_t *data, size_t len)
{
	uint16_t type;

	memset(ret, 0, sizeof(*ret));
	if (len < TURN_MSG_HEADER || (data[0] & 0xc0) || get32(data + 4) != TURN_COOKIE)
		return -EBADMSG;
	if (get16(data + 2) & 3 || (size_t)get16(data + 2) + TURN_MSG_HEADER != len)
		return -EBADMSG;
	type = get16(data);
	ret->data = data;
	ret->len = len;
	ret->tid = data + 8;
	ret->class = (type >> 4 & 1) | (type >> 7 & 2);
	ret->method = (type & 0xf) | (type >> 1 & 0x70) | (type >> 2 & 0xf80);
	return walk(ret);
}

// The value of XOR-PEER-ADDRESS and its like: the port is XORed with the upper half of the cookie, the
// address with cookie and transaction id.
static int read_address(const struct turn_msg *m, const uint8_t *v, uint16_t len,
	struct st_addr *ret, uint16_t *ret_port_be)
{
	uint8_t port[2];

	if (len < 4)
		return -EBADMSG;
	port[0] = v[2] ^ 0x21;
	port[1] = v[3] ^ 0x12;
	memset(ret, 0, sizeof(*ret));
	if (v[1] == TURN_FAMILY_V4 && len == 8) {
		ret->b[10] = ret->b[11] = 0xff;
		for (int i = 0; i < 4; i++)
			ret->b[12 + i] = v[4 + i] ^ m->data[4 + i];
	} else if (v[1] == TURN_FAMILY_V6 && len == 20) {
		for (int i = 0; i < 16; i++)
			ret->b[i] = v[4 + i] ^ m->data[4 + i];
	} else {
		return -EBADMSG;
	}
	memcpy(ret_port_be, port, sizeof(port));
	return 0;
}

// An IPv6 family that carries a mapped IPv4 address would be taken for IPv4 from here on, under rules that
// its sender did not see: no client needs it.
static int read_peer(const struct turn_msg *m, const uint8_t *v, uint16_t len, struct st_addr *ret,
	uint16_t *ret_port_be)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	int r = read_address(m, v, len, ret, ret_port_be);

	if (!r && v[1] == TURN_FAMILY_V6 && !memcmp(ret->b, mapped, sizeof(mapped)))
		return -EPERM;
	return r;
}

int turn_msg_next_peer(
	const struct turn_msg *m, size_t *at, struct st_addr *ret, uint16_t *ret_port_be)
{
	size_t end = m->len;

	if (m->attr[TURN_A_MESSAGE_INTEGRITY].at)
		end = (size_t)(m->attr[TURN_A_MESSAGE_INTEGRITY].at - m->data) - 4;
	else if (m->attr[TURN_A_MESSAGE_INTEGRITY_SHA256].at)
		end = (size_t)(m->attr[TURN_A_MESSAGE_INTEGRITY_SHA256].at - m->data) - 4;
	if (!*at)
		*at = TURN_MSG_HEADER;
	while (*at < end) {
		const uint8_t *a = m->data + *at;
		uint16_t len = get16(a + 2);
		int r;

		*at += 4 + padded(len);
		if (get16(a) != TURN_T_XOR_PEER_ADDRESS)
			continue;
		r = read_peer(m, a + 4, len, ret, ret_port_be);
		return r ? r : 1;
	}
	return 0;
}

int turn_msg_peer(const struct turn_msg *m, struct st_addr *ret, uint16_t *ret_port_be)
{
	const struct turn_bytes *a = &m->attr[TURN_A_XOR_PEER_ADDRESS];

	return a->at ? read_peer(m, a->at, a->len, ret, ret_port_be) : -EBADMSG;
}

bool turn_msg_u32(const struct turn_msg *m, enum turn_attr attr, uint32_t *ret)
{
	if (!m->attr[attr].at || m->attr[attr].len != 4)
		return false;
	*ret = get32(m->attr[attr].at);
	return true;
}

bool turn_msg_verify(
	const struct turn_msg *m, enum turn_attr integrity, const uint8_t *key, size_t len)
{
	bool sha256 = integrity == TURN_A_MESSAGE_INTEGRITY_SHA256;
	const struct turn_bytes *a = &m->attr[integrity];
	uint8_t header[TURN_MSG_HEADER], mac[STUN_SHA256_LEN];
	size_t covered, want = sha256 ? STUN_SHA256_LEN : STUN_SHA1_LEN;

	// RFC 8489 14.6 lets a use of STUN allow cut ones; TURN does not.
	if (!a->at || a->len != want)
		return false;
	covered = (size_t)(a->at - m->data) - 4;
	memcpy(header, m->data, sizeof(header));
	header[2] = (uint8_t)((covered + 4 + want - TURN_MSG_HEADER) >> 8);
	header[3] = (uint8_t)(covered + 4 + want - TURN_MSG_HEADER);
	stun_hmac(sha256, mac, key, len, header, sizeof(header), m->data + sizeof(header),
		covered - sizeof(header));
	return stun_equal(mac, a->at, want);
}
