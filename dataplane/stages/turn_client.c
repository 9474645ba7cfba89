// SPDX-License-Identifier: BSD-3-Clause
//
// See turn_client.h.
#include "turn_client.h"

#include "turn.h"

static uint16_t be16(const uint8_t *b)
{
	return (uint16_t)(b[0] << 8 | b[1]);
}

static bool parse_channel(const uint8_t *h, uint32_t off, uint32_t len, struct turn_payload *ret)
{
	uint16_t number = be16(h);

	if (number < CHANNEL_MIN || number > CHANNEL_MAX || be16(h + 2) > len - TURN_CHANNEL_HEADER)
		return false;
	// What is behind is padding, which UDP may have.
	*ret = (struct turn_payload){
		.off = off + TURN_CHANNEL_HEADER, .len = be16(h + 2), .channel = number};
	return true;
}

// RFC 8656 section 11.4. What lacks one of the two, or is not understood, is the socket's.
static bool parse_indication(struct rte_mbuf *m, uint32_t off, uint32_t len, struct turn_payload *ret)
{
	struct stun_message msg;

	if (!stun_parse(m, off, len, &msg) || msg.len != len || msg.type != STUN_DATA ||
		msg.unknown || !msg.has_peer || !msg.has_data)
		return false;
	*ret = (struct turn_payload){.off = off + msg.data_off,
		.len = msg.data_len,
		.peer = msg.peer,
		.peer_port_be = msg.peer_port_be};
	return true;
}

bool turn_client_parse(struct rte_mbuf *m, uint32_t off, uint32_t len, struct turn_payload *ret)
{
	uint8_t buf[TURN_CHANNEL_HEADER];
	const uint8_t *h;

	if (len < TURN_CHANNEL_HEADER)
		return false;
	h = rte_pktmbuf_read(m, off, sizeof(buf), buf);
	if (h == NULL)
		return false;
	return h[0] >= CHANNEL_MIN >> 8 ? parse_channel(h, off, len, ret)
					: parse_indication(m, off, len, ret);
}
