// SPDX-License-Identifier: BSD-3-Clause
//
// STUN messages (RFC 8489) as bytes, for ICE and for the TURN server alike: checking, looking up attributes,
// building, MESSAGE-INTEGRITY of both kinds and FINGERPRINT. No sockets, no clock, no state. Nothing here trusts
// a length that came with the message. The message of a stranger goes no further than stun_parse.
#pragma once

#include "../../dataplane/api/st_api.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STUN_HEADER_LEN   20
#define STUN_TID_LEN      12
#define STUN_COOKIE       0x2112a442U
#define STUN_KEY_LEN      16   // long-term key: MD5(user:realm:password)
#define STUN_USERNAME_MAX 508  // bytes (RFC 8489 section 14.3)
#define STUN_TEXT_MAX     763  // of REALM, NONCE, SOFTWARE in bytes
#define STUN_MAX          2048 // of what we build
#define STUN_UNKNOWN_MAX  16   // comprehension-required types that a 420 lists

// Methods and classes; a message's type is a method with a class.
#define STUN_BINDING           0x0001
#define STUN_ALLOCATE          0x0003
#define STUN_REFRESH           0x0004
#define STUN_SEND              0x0006
#define STUN_DATA              0x0007
#define STUN_CREATE_PERMISSION 0x0008
#define STUN_CHANNEL_BIND      0x0009

#define STUN_REQUEST    0x0000
#define STUN_INDICATION 0x0010
#define STUN_SUCCESS    0x0100
#define STUN_ERROR      0x0110
#define STUN_CLASS_MASK 0x0110

#define STUN_ATTR_MAPPED_ADDRESS            0x0001
#define STUN_ATTR_USERNAME                  0x0006
#define STUN_ATTR_MESSAGE_INTEGRITY         0x0008
#define STUN_ATTR_ERROR_CODE                0x0009
#define STUN_ATTR_UNKNOWN_ATTRIBUTES        0x000a
#define STUN_ATTR_CHANNEL_NUMBER            0x000c
#define STUN_ATTR_LIFETIME                  0x000d
#define STUN_ATTR_XOR_PEER_ADDRESS          0x0012
#define STUN_ATTR_DATA                      0x0013
#define STUN_ATTR_REALM                     0x0014
#define STUN_ATTR_NONCE                     0x0015
#define STUN_ATTR_XOR_RELAYED_ADDRESS       0x0016
#define STUN_ATTR_REQUESTED_ADDRESS_FAMILY  0x0017
#define STUN_ATTR_EVEN_PORT                 0x0018
#define STUN_ATTR_REQUESTED_TRANSPORT       0x0019
#define STUN_ATTR_DONT_FRAGMENT             0x001a
#define STUN_ATTR_MESSAGE_INTEGRITY_SHA256  0x001c
#define STUN_ATTR_PASSWORD_ALGORITHM        0x001d
#define STUN_ATTR_USERHASH                  0x001e
#define STUN_ATTR_XOR_MAPPED_ADDRESS        0x0020
#define STUN_ATTR_RESERVATION_TOKEN         0x0022
#define STUN_ATTR_PRIORITY                  0x0024
#define STUN_ATTR_USE_CANDIDATE             0x0025
#define STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY 0x8000
#define STUN_ATTR_ADDRESS_ERROR_CODE        0x8001
#define STUN_ATTR_PASSWORD_ALGORITHMS       0x8002
#define STUN_ATTR_ALTERNATE_DOMAIN          0x8003
#define STUN_ATTR_ICMP                      0x8004
#define STUN_ATTR_SOFTWARE                  0x8022
#define STUN_ATTR_ALTERNATE_SERVER          0x8023
#define STUN_ATTR_FINGERPRINT               0x8028
#define STUN_ATTR_ICE_CONTROLLED            0x8029
#define STUN_ATTR_ICE_CONTROLLING           0x802a
#define STUN_ATTR_MOBILITY_TICKET           0x8030

#define STUN_FAMILY_V4 0x01
#define STUN_FAMILY_V6 0x02

struct stun_msg {
	const uint8_t *data;
	size_t len; // up to the end of FINGERPRINT: what follows it does not count
	uint16_t type;
	// Offsets of the attributes that count, 0 = none: behind MESSAGE-INTEGRITY its SHA-256 sister and FINGERPRINT,
	// behind that sister FINGERPRINT alone (RFC 8489 14.5, 14.6).
	size_t integrity, integrity_sha256, fingerprint;
};

static inline uint16_t stun_class(const struct stun_msg *m)
{
	return m->type & STUN_CLASS_MASK;
}

static inline uint16_t stun_method(const struct stun_msg *m)
{
	return m->type & (uint16_t)~STUN_CLASS_MASK;
}

static inline const uint8_t *stun_tid(const struct stun_msg *m)
{
	return m->data + 8;
}

// Two top bits zero, the cookie: what decides whether a datagram is STUN at all.
bool stun_looks_like(const uint8_t *data, size_t len);
// 0, or -EBADMSG: lengths that do not fit, no cookie, or a FINGERPRINT that is wrong. Something may stand behind
// FINGERPRINT, as some peers of ICE have it.
int stun_parse(struct stun_msg *ret, const uint8_t *data, size_t len);
// The same, and FINGERPRINT is the last attribute if it is there (RFC 8489 14.7): what a server takes.
int stun_parse_strict(struct stun_msg *ret, const uint8_t *data, size_t len);
// The first attribute of this type that counts. at NULL: not there.
struct stun_attr {
	const uint8_t *at;
	uint16_t len;
};

struct stun_attr stun_attr(const struct stun_msg *m, uint16_t type);
const uint8_t *stun_find(const struct stun_msg *m, uint16_t type, uint16_t *ret_len); // the same
bool stun_find_u32(const struct stun_msg *m, uint16_t type, uint32_t *ret);
bool stun_find_u64(const struct stun_msg *m, uint16_t type, uint64_t *ret);
// XOR-MAPPED-ADDRESS and its like. 0, -EBADMSG: missing or malformed, or -EPERM: IPv4 in the clothes of IPv6. It
// would be taken for IPv4 from here on, under rules that its sender did not see; nobody needs it.
int stun_first_address(
	const struct stun_msg *m, uint16_t type, struct st_addr *ret, uint16_t *ret_port_be);
bool stun_find_address(
	const struct stun_msg *m, uint16_t type, struct st_addr *ret, uint16_t *ret_port_be);
// Each of them in order; *at starts as 0. 1, 0 at the end, -EBADMSG or -EPERM.
int stun_next_address(const struct stun_msg *m, size_t *at, uint16_t type, struct st_addr *ret,
	uint16_t *ret_port_be);
// Comprehension-required types that are not in known, each once, in their order. Returns how many.
unsigned int stun_unknown(const struct stun_msg *m, const uint16_t *known, size_t known_len,
	uint16_t ret[STUN_UNKNOWN_MAX]);
int stun_error_code(const struct stun_msg *m); // 300..699, 0 = none
// MESSAGE-INTEGRITY is there and right. Constant time.
bool stun_verify(const struct stun_msg *m, const void *key, size_t key_len);
// The same of MESSAGE-INTEGRITY or, in its whole length, MESSAGE-INTEGRITY-SHA256.
bool stun_verify_by(const struct stun_msg *m, uint16_t type, const void *key, size_t key_len);
void stun_long_term_key(uint8_t out[STUN_KEY_LEN], const char *user, const char *realm,
	size_t realm_len, const char *password);

// Building. What does not fit makes stun_end return 0. Padding is zero: what was in the buffer must not leave.
struct stun_out {
	uint8_t *data;
	size_t len, size;
	bool full;
};

void stun_begin(struct stun_out *o, uint8_t *buf, size_t size, uint16_t type,
	const uint8_t tid[STUN_TID_LEN]); // NULL: a random one
void stun_add(struct stun_out *o, uint16_t type, const void *value, size_t len);
void stun_add_u32(struct stun_out *o, uint16_t type, uint32_t value);
void stun_add_u64(struct stun_out *o, uint16_t type, uint64_t value);
void stun_add_address(struct stun_out *o, uint16_t type, const struct st_addr *a, uint16_t port_be);
void stun_add_plain_address( // MAPPED-ADDRESS and its like: not XORed
	struct stun_out *o, uint16_t type, const struct st_addr *a, uint16_t port_be);
void stun_add_error(struct stun_out *o, int code, const char *reason);
// Attributes of another message, with their heads.
void stun_add_built(struct stun_out *o, const void *attributes, size_t len);
// They cover what stands in front of them. type is MESSAGE-INTEGRITY or its SHA-256 sister.
void stun_add_integrity(struct stun_out *o, uint16_t type, const void *key, size_t key_len);
void stun_add_fingerprint(struct stun_out *o);
// key NULL: no MESSAGE-INTEGRITY. The message's length, or 0: do not send.
size_t stun_end(struct stun_out *o, const void *key, size_t key_len, bool fingerprint);

// What libnice is given may not go on behind FINGERPRINT. Cuts a STUN message there, and the one inside of
// ChannelData or of a Data indication; other data stays as it is. The new length.
size_t stun_cut(uint8_t *data, size_t len);
