// SPDX-License-Identifier: BSD-3-Clause
//
// STUN and TURN messages as a server sees them (RFC 8489, RFC 8656): one pass over the bytes that checks
// everything and notes where each known attribute is, and a builder. No sockets, no clock, no state.
// The message of a stranger goes no further than turn_msg_parse.
#pragma once

#include "../../dataplane/api/st_api.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TURN_MSG_HEADER 20
#define TURN_TID_LEN    12
#define TURN_MSG_MAX    2048 // of what we build; a message that would be longer is not sent
#define TURN_COOKIE     0x2112a442u

enum turn_method {
	TURN_BINDING = 0x001,
	TURN_ALLOCATE = 0x003,
	TURN_REFRESH = 0x004,
	TURN_SEND = 0x006,
	TURN_DATA = 0x007,
	TURN_CREATE_PERMISSION = 0x008,
	TURN_CHANNEL_BIND = 0x009,
};

enum turn_class {
	TURN_REQUEST = 0,
	TURN_INDICATION = 1,
	TURN_SUCCESS = 2,
	TURN_ERROR = 3,
};

// What we look for. The places of the first of each kind are kept by this index.
enum turn_attr {
	TURN_A_USERNAME,
	TURN_A_REALM,
	TURN_A_NONCE,
	TURN_A_USERHASH,
	TURN_A_PASSWORD_ALGORITHM,
	TURN_A_PASSWORD_ALGORITHMS,
	TURN_A_MESSAGE_INTEGRITY,
	TURN_A_MESSAGE_INTEGRITY_SHA256,
	TURN_A_FINGERPRINT,
	TURN_A_CHANNEL_NUMBER,
	TURN_A_LIFETIME,
	TURN_A_XOR_PEER_ADDRESS,
	TURN_A_DATA,
	TURN_A_REQUESTED_ADDRESS_FAMILY,
	TURN_A_EVEN_PORT,
	TURN_A_REQUESTED_TRANSPORT,
	TURN_A_DONT_FRAGMENT,
	TURN_A_RESERVATION_TOKEN,
	TURN_A_ADDITIONAL_ADDRESS_FAMILY,
	TURN_A_MOBILITY_TICKET,
	TURN_A_COUNT
};

// Types on the wire.
#define TURN_T_USERNAME                  0x0006
#define TURN_T_MESSAGE_INTEGRITY         0x0008
#define TURN_T_ERROR_CODE                0x0009
#define TURN_T_UNKNOWN_ATTRIBUTES        0x000a
#define TURN_T_CHANNEL_NUMBER            0x000c
#define TURN_T_LIFETIME                  0x000d
#define TURN_T_XOR_PEER_ADDRESS          0x0012
#define TURN_T_DATA                      0x0013
#define TURN_T_REALM                     0x0014
#define TURN_T_NONCE                     0x0015
#define TURN_T_XOR_RELAYED_ADDRESS       0x0016
#define TURN_T_REQUESTED_ADDRESS_FAMILY  0x0017
#define TURN_T_EVEN_PORT                 0x0018
#define TURN_T_REQUESTED_TRANSPORT       0x0019
#define TURN_T_DONT_FRAGMENT             0x001a
#define TURN_T_MESSAGE_INTEGRITY_SHA256  0x001c
#define TURN_T_PASSWORD_ALGORITHM        0x001d
#define TURN_T_USERHASH                  0x001e
#define TURN_T_XOR_MAPPED_ADDRESS        0x0020
#define TURN_T_RESERVATION_TOKEN         0x0022
#define TURN_T_ADDITIONAL_ADDRESS_FAMILY 0x8000
#define TURN_T_ADDRESS_ERROR_CODE        0x8001
#define TURN_T_PASSWORD_ALGORITHMS       0x8002
#define TURN_T_ICMP                      0x8004
#define TURN_T_SOFTWARE                  0x8022
#define TURN_T_FINGERPRINT               0x8028
#define TURN_T_MOBILITY_TICKET           0x8030

#define TURN_FAMILY_V4 0x01
#define TURN_FAMILY_V6 0x02

// Bounds of RFC 8489 section 14, in bytes.
#define TURN_USERNAME_MAX 508
#define TURN_REALM_MAX    763
#define TURN_NONCE_MAX    763

#define TURN_UNKNOWN_MAX 16 // comprehension-required types that a 420 lists

struct turn_bytes {
	const uint8_t *at; // NULL: the attribute is not there
	uint16_t len;
};

struct turn_msg {
	const uint8_t *data;
	size_t len;
	uint16_t method; // enum turn_method, or another that we do not serve
	enum turn_class class;
	const uint8_t *tid;
	struct turn_bytes attr[TURN_A_COUNT]; // the first of each; what stands behind the integrity is not here
	uint16_t unknown[TURN_UNKNOWN_MAX]; // comprehension-required and not known, in their order
	unsigned int unknowns;
};

// What a message is in its first byte (RFC 8656 section 12).
static inline bool turn_msg_is_stun(const uint8_t *data, size_t len)
{
	return len >= TURN_MSG_HEADER && data[0] < 0x04;
}

// 0, or -EBADMSG: discard without an answer (RFC 8489 section 6.3: type, cookie, length, each attribute's
// bounds, and FINGERPRINT when there is one). ret points into data.
int turn_msg_parse(struct turn_msg *ret, const uint8_t *data, size_t len);
// Every XOR-PEER-ADDRESS of the message, in order; *at starts as 0. Returns 1, 0 at the end, -EBADMSG, or
// -EPERM: IPv4 in the clothes of IPv6, which no policy should have to see through.
int turn_msg_next_peer(
	const struct turn_msg *m, size_t *at, struct st_addr *ret, uint16_t *ret_port_be);
// The first one. 0, -EBADMSG when it is missing or malformed, -EPERM as above.
int turn_msg_peer(const struct turn_msg *m, struct st_addr *ret, uint16_t *ret_port_be);
// An attribute of exactly 4 bytes. False: missing or of another length.
bool turn_msg_u32(const struct turn_msg *m, enum turn_attr attr, uint32_t *ret);
// The integrity attribute (TURN_A_MESSAGE_INTEGRITY or ..._SHA256) verifies under key. Constant time.
bool turn_msg_verify(
	const struct turn_msg *m, enum turn_attr integrity, const uint8_t *key, size_t len);

// ---- building --------------------------------------------------------------------------------------

struct turn_out {
	uint8_t data[TURN_MSG_MAX];
	size_t len;
	bool full; // something did not fit: turn_out_end gives 0
};

void turn_out_begin(struct turn_out *o, uint16_t method, enum turn_class class,
	const uint8_t tid[TURN_TID_LEN]);
void turn_out_bytes(struct turn_out *o, uint16_t type, const void *value, size_t len);
void turn_out_u32(struct turn_out *o, uint16_t type, uint32_t value);
void turn_out_address(
	struct turn_out *o, uint16_t type, const struct st_addr *addr, uint16_t port_be);
// ERROR-CODE without a reason phrase: it is the number that clients read, and each byte is amplification.
void turn_out_error(struct turn_out *o, int code);
void turn_out_address_error(struct turn_out *o, uint8_t family, int code);
// type is TURN_T_MESSAGE_INTEGRITY or ..._SHA256; it covers what stands in front of it.
void turn_out_integrity(struct turn_out *o, uint16_t type, const uint8_t *key, size_t len);
void turn_out_fingerprint(struct turn_out *o);
size_t turn_out_end(struct turn_out *o); // the length, 0 = do not send
