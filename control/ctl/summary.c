// SPDX-License-Identifier: BSD-3-Clause
//
// One line about a packet. It trusts no length in the packet, only the one it is given.
#include "summary.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define ETHER_LEN 14

static unsigned int be16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static const char *proto_text(uint8_t proto, char out[16])
{
	switch (proto) {
	case 1:
		return "icmp";
	case 6:
		return "tcp";
	case 17:
		return "udp";
	case 58:
		return "icmp6";
	}
	snprintf(out, 16, "proto %u", proto);
	return out;
}

static void put_ports(char *out, size_t size, uint8_t proto, const uint8_t *p, size_t len)
{
	static const char *const wg[] = {"", " handshake initiation", " handshake response",
		" cookie reply", " WireGuard data"};
	uint8_t type;

	*out = 0;
	if ((proto != 6 && proto != 17) || len < 8)
		return;
	type = proto == 17 && len >= 12 && !p[9] && !p[10] && !p[11] && p[8] <= 4 ? p[8] : 0;
	snprintf(out, size, " %u > %u%s", be16(p), be16(p + 2), wg[type]);
}

static void put_ip(char out[SUMMARY_MAX], int family, const uint8_t *p, size_t len)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN], name[16], ports[64];
	size_t addr = family == AF_INET ? 4 : 16, at = family == AF_INET ? 12 : 8;
	size_t head = family == AF_INET ? (size_t)(p[0] & 15) * 4 : 40;
	uint8_t proto = family == AF_INET ? p[9] : p[6];

	inet_ntop(family, p + at, src, sizeof(src));
	inet_ntop(family, p + at + addr, dst, sizeof(dst));
	put_ports(ports, sizeof(ports), proto, p + head, len > head ? len - head : 0);
	snprintf(out, SUMMARY_MAX, "%s > %s %s%s", src, dst, proto_text(proto, name), ports);
}

const char *summary_text(char out[SUMMARY_MAX], const uint8_t *p, size_t len)
{
	unsigned int type = len >= ETHER_LEN ? be16(p + 12) : 0;
	const uint8_t *ip = p;
	size_t n = len;

	if (type == 0x0800 || type == 0x86dd) {
		ip += ETHER_LEN;
		n -= ETHER_LEN;
	} else if (type == 0x0806) {
		snprintf(out, SUMMARY_MAX, "ARP");
		return out;
	}
	if (n >= 20 && ip[0] >> 4 == 4)
		put_ip(out, AF_INET, ip, n);
	else if (n >= 40 && ip[0] >> 4 == 6)
		put_ip(out, AF_INET6, ip, n);
	else if (len >= ETHER_LEN)
		snprintf(out, SUMMARY_MAX, "ethertype %04x", type);
	else
		snprintf(out, SUMMARY_MAX, "short frame");
	return out;
}
