// SPDX-License-Identifier: BSD-3-Clause
//
// ICMP errors that anybody may send to the relay: what is read of one is what stands in it, within its bounds.
#include "../../control/turn/icmp.h"

#include <stdlib.h>
#include <string.h>

#define expect(it) ((it) ? (void)0 : abort())

static void read_as(int protocol, const uint8_t *icmp, size_t len)
{
	bool v4 = protocol == IPPROTO_ICMP;
	struct turn_icmp e;
	size_t head;

	if (!turn_icmp_read(&e, protocol, icmp, len))
		return;
	expect(len >= 8 + (v4 ? 24 : 44));
	head = v4 ? (icmp[8] & 15) * 4u : 40;
	expect(e.type == icmp[0] && e.code == icmp[1]);
	expect(!memcmp(e.relay.b + (v4 ? 12 : 0), icmp + 8 + (v4 ? 12 : 8), v4 ? 4 : 16));
	expect(!memcmp(e.peer.b + (v4 ? 12 : 0), icmp + 8 + (v4 ? 16 : 24), v4 ? 4 : 16));
	expect(8 + head + 4 <= len && !memcmp(&e.peer_port_be, icmp + 8 + head + 2, 2));
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	// Exactly as long as it is: one byte too far is seen.
	uint8_t *copy = calloc(1, len ? len : 1);

	expect(copy);
	if (len)
		memcpy(copy, in, len);
	read_as(IPPROTO_ICMP, copy, len);
	read_as(IPPROTO_ICMPV6, copy, len);
	free(copy);
	return 0;
}
