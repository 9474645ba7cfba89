// SPDX-License-Identifier: BSD-3-Clause
//
// ICMP errors; see icmp.h. Main loop thread. Who sent one is not known: it counts only as far as the datagram in it
// left a relayed address of ours for a peer that its client has a permission for.
#include "icmp.h"

#include "../addr.h"

#include <sodium.h>

#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#define ICMP_LEN  8 // of the header of an error, both families
#define PORTS_LEN 4 // all that is looked at of the UDP header

static bool is_error(int protocol, uint8_t type)
{
	if (protocol == IPPROTO_ICMP)
		return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED;
	return type == ICMP6_DST_UNREACH || type == ICMP6_PACKET_TOO_BIG ||
	       type == ICMP6_TIME_EXCEEDED;
}

static uint32_t mtu_of(int protocol, const uint8_t *icmp)
{
	if (protocol == IPPROTO_ICMP)
		return icmp[0] == ICMP_DEST_UNREACH && icmp[1] == ICMP_FRAG_NEEDED
			       ? (uint32_t)icmp[6] << 8 | icmp[7]
			       : 0;
	return icmp[0] == ICMP6_PACKET_TOO_BIG ? (uint32_t)icmp[4] << 24 | (uint32_t)icmp[5] << 16 |
							 (uint32_t)icmp[6] << 8 | icmp[7]
					       : 0;
}

static void take_ports(struct turn_icmp *ret, const uint8_t *udp)
{
	memcpy(&ret->relay_port_be, udp, 2);
	memcpy(&ret->peer_port_be, udp + 2, 2);
}

static bool read_v4(struct turn_icmp *ret, const uint8_t *ip, size_t len)
{
	static const struct st_addr mapped = {.b = {[10] = 0xff, [11] = 0xff}};
	size_t head;

	if (len < sizeof(struct iphdr) || ip[0] >> 4 != 4)
		return false;
	head = (ip[0] & 15) * 4u;
	// Ports are in the first fragment only.
	if (head < sizeof(struct iphdr) || len < head + PORTS_LEN || ip[9] != IPPROTO_UDP ||
		(ip[6] & 0x1f) || ip[7])
		return false;
	ret->relay = ret->peer = mapped;
	memcpy(ret->relay.b + 12, ip + 12, 4);
	memcpy(ret->peer.b + 12, ip + 16, 4);
	take_ports(ret, ip + head);
	return true;
}

static bool read_v6(struct turn_icmp *ret, const uint8_t *ip, size_t len)
{
	if (len < sizeof(struct ip6_hdr) + PORTS_LEN || ip[0] >> 4 != 6 || ip[6] != IPPROTO_UDP)
		return false;
	memcpy(ret->relay.b, ip + 8, 16);
	memcpy(ret->peer.b, ip + 24, 16);
	take_ports(ret, ip + sizeof(struct ip6_hdr));
	return true;
}

bool turn_icmp_read(struct turn_icmp *ret, int protocol, const uint8_t *data, size_t len)
{
	if (len < ICMP_LEN || !is_error(protocol, data[0]))
		return false;
	ret->type = data[0];
	ret->code = data[1];
	ret->mtu = mtu_of(protocol, data);
	return protocol == IPPROTO_ICMP ? read_v4(ret, data + ICMP_LEN, len - ICMP_LEN)
					: read_v6(ret, data + ICMP_LEN, len - ICMP_LEN);
}

static bool may_tell(const struct turn_core *c, struct turn_allocation *a)
{
	uint64_t second = c->now_ms / 1000;

	if (a->icmp_second != second) {
		a->icmp_second = second;
		a->icmp_told = 0;
	}
	return a->icmp_told++ < TURN_ICMP_PER_S;
}

void turn_icmp_tell(struct turn_core *c, const struct turn_icmp *e)
{
	struct turn_allocation *a = turn_allocation_by_relayed(c, &e->relay, e->relay_port_be);
	uint8_t buf[STUN_MAX], value[8] = {0, 0, e->type, e->code};
	struct stun_out o;

	if (!a || !turn_permission_find(c, a, &e->peer))
		return;
	if (!may_tell(c, a)) {
		c->stats.icmp_limited++;
		return;
	}
	for (int i = 0; i < 4; i++)
		value[4 + i] = (uint8_t)(e->mtu >> (24 - 8 * i));
	stun_begin(&o, buf, sizeof(buf), STUN_DATA | STUN_INDICATION, NULL);
	stun_add_address(&o, STUN_ATTR_XOR_PEER_ADDRESS, &e->peer, e->peer_port_be);
	stun_add(&o, STUN_ATTR_ICMP, value, sizeof(value));
	c->stats.icmp_told++;
	c->send(&a->tuple, o.data, stun_end(&o, NULL, 0, false), c->arg);
}
