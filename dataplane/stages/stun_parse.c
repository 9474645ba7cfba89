// SPDX-License-Identifier: BSD-3-Clause
//
// Reads a STUN message (RFC 8489 section 5) in front of an lcore, as far as it can be answered or relayed
// there. Nothing outside of its bounds is looked at, whatever the attributes say.
#include "header.h"
#include "turn.h"

#include <rte_net_crc.h>

#define ATTR_LEN    4
#define OPTIONAL    0x8000
#define FINGER_XOR  0x5354554e
#define FINGER_LEN  8 // with its header
#define FAMILY_IPV4 1
#define FAMILY_IPV6 2

#define MESSAGE_INTEGRITY        0x0008
#define MESSAGE_INTEGRITY_SHA256 0x001c

struct stun_header {
	rte_be16_t type, len;
	rte_be32_t cookie;
	uint8_t transaction[12];
};
_Static_assert(sizeof(struct stun_header) == STUN_HEADER_LEN, "wire format");

// Comprehension-required attributes that this box knows: in an indication they mean nothing.
static bool known(uint16_t type)
{
	switch (type) {
	case 0x0001: // MAPPED-ADDRESS
	case 0x0006: // USERNAME
	case MESSAGE_INTEGRITY:
	case 0x0009: // ERROR-CODE
	case 0x000a: // UNKNOWN-ATTRIBUTES
	case 0x000c: // CHANNEL-NUMBER
	case 0x000d: // LIFETIME
	case STUN_XOR_PEER:
	case STUN_ATTR_DATA:
	case 0x0014: // REALM
	case 0x0015: // NONCE
	case 0x0016: // XOR-RELAYED-ADDRESS
	case 0x0017: // REQUESTED-ADDRESS-FAMILY
	case 0x0018: // EVEN-PORT
	case 0x0019: // REQUESTED-TRANSPORT
	case STUN_DONT_FRAGMENT:
	case MESSAGE_INTEGRITY_SHA256:
	case 0x001d: // PASSWORD-ALGORITHM
	case 0x001e: // USERHASH
	case STUN_XOR_MAPPED:
	case 0x0022: // RESERVATION-TOKEN
		return true;
	default:
		return false;
	}
}

// Section 14.2: XORed with the cookie and, for IPv6, the transaction id.
static bool take_peer(
	const uint8_t *v, uint32_t len, const struct stun_header *h, struct stun_message *ret)
{
	uint16_t port;

	if (len < 8 || len != (v[1] == FAMILY_IPV6 ? 20U : 8U) ||
		(v[1] != FAMILY_IPV4 && v[1] != FAMILY_IPV6))
		return false;
	memcpy(&port, v + 2, 2);
	ret->peer_port_be = port ^ rte_cpu_to_be_16(STUN_COOKIE >> 16);
	if (v[1] == FAMILY_IPV4) {
		rte_be32_t ip;

		memcpy(&ip, v + 4, 4);
		addr_from_ipv4(&ret->peer, ip ^ h->cookie);
	} else {
		const uint8_t *mask = (const uint8_t *)&h->cookie;

		for (unsigned int i = 0; i < 16; i++)
			ret->peer.b[i] = v[4 + i] ^ mask[i];
		// Another spelling of an IPv4 address would get past what is said about that address.
		if (turn_addr_is_ipv4(&ret->peer))
			return false;
	}
	ret->has_peer = true;
	return true;
}

uint32_t stun_fingerprint(const void *message, uint32_t len)
{
	return rte_net_crc_calc(message, len, RTE_NET_CRC32_ETH) ^ FINGER_XOR;
}

// Over what stands in front of it, in one piece; a chain that does not fit into one mbuf counts as wrong.
static bool fingerprint_right(struct rte_mbuf *m, uint32_t off, uint32_t len)
{
	rte_be32_t value;

	if (m->data_len < off + len + FINGER_LEN && rte_pktmbuf_linearize(m) != 0)
		return false;
	memcpy(&value, rte_pktmbuf_mtod_offset(m, const uint8_t *, off + len + ATTR_LEN), 4);
	return rte_be_to_cpu_32(value) ==
	       stun_fingerprint(rte_pktmbuf_mtod_offset(m, const void *, off), len);
}

struct walk {
	struct rte_mbuf *m;
	uint32_t off; // of the message
	struct stun_header h;
	bool sealed; // behind MESSAGE-INTEGRITY nothing counts but FINGERPRINT
};

static bool take_attribute(
	struct walk *w, uint16_t type, uint32_t at, uint32_t len, struct stun_message *ret)
{
	uint8_t buf[20];
	const void *v;

	if (type == STUN_FINGERPRINT) {
		ret->fingerprint = true;
		// It is the last one.
		return len == 4 && at + 4 == ret->len &&
		       fingerprint_right(w->m, w->off, at - ATTR_LEN);
	}
	if (w->sealed)
		return true;
	if (!(type & OPTIONAL)) {
		ret->required = true;
		ret->unknown |= !known(type);
	}
	if (type == MESSAGE_INTEGRITY || type == MESSAGE_INTEGRITY_SHA256) {
		w->sealed = true;
	} else if (type == STUN_ATTR_DATA && !ret->has_data) {
		ret->has_data = true;
		ret->data_off = at;
		ret->data_len = len;
	} else if (type == STUN_DONT_FRAGMENT) {
		ret->dont_fragment = true;
	} else if (type == STUN_XOR_PEER && !ret->has_peer) {
		v = len > sizeof(buf) ? NULL : rte_pktmbuf_read(w->m, w->off + at, len, buf);
		return v != NULL && take_peer(v, len, &w->h, ret);
	}
	return true;
}

bool stun_parse(struct rte_mbuf *m, uint32_t off, uint32_t len, struct stun_message *ret)
{
	struct walk w = {.m = m, .off = off};
	uint32_t at = STUN_HEADER_LEN;

	*ret = (struct stun_message){.len = len};
	if (len < STUN_HEADER_LEN || !mbuf_pull(m, off + STUN_HEADER_LEN))
		return false;
	memcpy(&w.h, rte_pktmbuf_mtod_offset(m, const void *, off), sizeof(w.h));
	ret->type = rte_be_to_cpu_16(w.h.type);
	if (ret->type >> 14 != 0 || w.h.cookie != RTE_BE32(STUN_COOKIE) || len % 4 != 0 ||
		rte_be_to_cpu_16(w.h.len) != len - STUN_HEADER_LEN)
		return false;
	while (at < len) {
		uint16_t head[2];
		const void *v = rte_pktmbuf_read(m, off + at, ATTR_LEN, head);
		uint32_t n;

		if (v == NULL)
			return false;
		memcpy(head, v, sizeof(head));
		n = rte_be_to_cpu_16(head[1]);
		if (n > len - at - ATTR_LEN ||
			!take_attribute(&w, rte_be_to_cpu_16(head[0]), at + ATTR_LEN, n, ret))
			return false;
		at += ATTR_LEN + RTE_ALIGN_CEIL(n, 4);
	}
	return true;
}
