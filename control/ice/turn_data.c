// SPDX-License-Identifier: BSD-3-Clause
//
// What passes through an allocation: ChannelData, Data and Send indications (RFC 8656 11, 12), for libnice,
// ice_keep and WireGuard. Main loop thread.
#include "turn_client_internal.h"

#include <errno.h>

// --- in -------------------------------------------------------------------------------------------------

// STUN and WireGuard of a peer, out of ChannelData or a Data indication.
static void inner(struct turn_client *t, const struct st_addr *peer, uint16_t port_be,
	const uint8_t *data, size_t len, bool *ret_forward)
{
	struct ice *ice = t->p.ice;
	struct wg_datagram d = {
		.remote = *peer,
		.local = t->relayed,
		.remote_port_be = port_be,
		.len = (uint16_t)len,
		.data = data,
	};

	*ret_forward = false;
	if (!ice_is_wireguard(data, len) && stun_looks_like(data, len)) {
		if (t->adopted)
			ice_mux_stun(ice, &d, t);
		else
			*ret_forward = true;
		return;
	}
	// To an address of this box: the lcores know no port map for the relayed one, and data goes down to them.
	if (addr_is_v4(&t->p.base) == addr_is_v4(peer))
		d.local = t->p.base;
	if (ice->env.wireguard)
		ice->env.wireguard(t->p.peer_id, &d, ice->env.arg);
}

// Success of a Binding: a check of ours has worked.
static bool is_answer(const uint8_t *data, size_t len)
{
	return len >= STUN_HEADER_LEN && data[0] == 1 && data[1] == 1;
}

static void to_agent(struct turn_client *t, const uint8_t *data, size_t len, bool answer)
{
	uint8_t copy[WG_SOCKET_PAYLOAD];
	size_t cut;

	if (len > sizeof(copy))
		return;
	memcpy(copy, data, len);
	cut = stun_cut(copy, len);
	t->p.ice->counters.stun_cut += cut != len;
	if (answer && ice_agent_hold(t->p.ice, t->p.agent, &t->p.base, &t->p.token, t->p.port_be,
			      copy, cut))
		return;
	ice_link_datagram(t->p.ice->link, t->p.agent, &t->p.base, t->p.local_port_be, &t->p.token,
		t->p.port_be, copy, cut);
}

static void channel_data(struct turn_client *t, const uint8_t *data, size_t len)
{
	uint16_t number = (uint16_t)(data[0] << 8 | data[1]);
	size_t inner_len = (size_t)data[2] << 8 | data[3];
	const struct turn_binding *b = turn_channel_numbered(t, number);
	bool forward;

	if (!b || inner_len > len - 4)
		return;
	inner(t, &b->peer, b->port_be, data + 4, inner_len, &forward);
	if (forward)
		to_agent(t, data, len, is_answer(data + 4, inner_len));
}

static void indication(struct turn_client *t, const struct stun_msg *m)
{
	struct st_addr peer;
	uint16_t port_be, len;
	const uint8_t *v = stun_find(m, STUN_ATTR_DATA, &len);
	bool forward;

	if (stun_method(m) != STUN_DATA || !v ||
		!stun_find_address(m, STUN_ATTR_XOR_PEER_ADDRESS, &peer, &port_be))
		return;
	inner(t, &peer, port_be, v, len, &forward);
	if (forward)
		to_agent(t, m->data, m->len, is_answer(v, len));
}

static void on_received(const uint8_t *data, size_t len, void *arg)
{
	struct turn_client *t = arg;
	const struct turn_pending *p;
	struct stun_msg m;

	if (len >= 4 && (data[0] & 0xc0) == 0x40) {
		channel_data(t, data, len);
		return;
	}
	if (stun_parse(&m, data, len)) {
		t->p.ice->counters.stun_malformed++;
		return;
	}
	if (stun_class(&m) == STUN_INDICATION) {
		indication(t, &m);
		return;
	}
	if (turn_own_answer(t, &m) || t->adopted)
		return;
	p = turn_pending_find(t, stun_tid(&m));
	if (!p) {
		t->p.ice->counters.stun_unmatched++;
		return;
	}
	if (stun_class(&m) == STUN_SUCCESS)
		turn_watch_success(t, &m, p);
	else
		turn_take_challenge(t, &m);
	to_agent(t, data, len, false);
}

static void on_closed(const char *why, void *arg)
{
	g_info("ice: TURN stream ended error=\"%s\"", why);
	turn_lost(arg, why);
}

const struct turn_socket_ops turn_client_socket_ops = {on_received, on_closed};

// --- out ------------------------------------------------------------------------------------------------

static int send_channel(struct turn_client *t, uint16_t number, const void *data, size_t len)
{
	uint8_t buf[4 + ST_PACKET_MAX];

	if (len > ST_PACKET_MAX)
		return -EMSGSIZE;
	buf[0] = (uint8_t)(number >> 8);
	buf[1] = (uint8_t)number;
	buf[2] = (uint8_t)(len >> 8);
	buf[3] = (uint8_t)len;
	memcpy(buf + 4, data, len);
	return turn_socket_send(t->socket, buf, 4 + len);
}

int turn_client_send(struct turn_client *t, const struct st_addr *peer, uint16_t peer_port_be,
	const void *data, size_t len)
{
	const struct turn_binding *b = turn_channel_to(t, peer, peer_port_be);
	uint8_t buf[ST_PACKET_MAX + 128];
	struct stun_out o;

	if (turn_channel_ready(b))
		return send_channel(t, b->number, data, len);
	stun_begin(&o, buf, sizeof(buf), STUN_SEND | STUN_INDICATION, NULL);
	stun_add_address(&o, STUN_ATTR_XOR_PEER_ADDRESS, peer, peer_port_be);
	stun_add(&o, STUN_ATTR_DATA, data, len);
	len = stun_end(&o, NULL, 0, false);
	return len ? turn_socket_send(t->socket, buf, len) : -EMSGSIZE;
}
