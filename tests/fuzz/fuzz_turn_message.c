// SPDX-License-Identifier: BSD-3-Clause
//
// STUN messages of strangers: whatever comes, every place that the parser notes is inside of the message, and a
// message of ours that repeats what was read is read the same.
#include "../../control/turn/message.h"

#include <sodium.h>

#include <stdlib.h>
#include <string.h>

#define expect(it) ((it) ? (void)0 : abort())

static void expect_inside(const struct turn_msg *m)
{
	for (int i = 0; i < TURN_A_COUNT; i++) {
		const struct turn_bytes *a = &m->attr[i];

		expect(!a->at || (a->at >= m->data + TURN_MSG_HEADER + 4 &&
					 a->at + a->len <= m->data + m->len));
	}
	expect(m->unknowns <= TURN_UNKNOWN_MAX);
}

static void read_values(const struct turn_msg *m)
{
	static const uint8_t key[16] = "key";
	struct st_addr addr;
	uint16_t port;
	size_t at = 0;
	uint32_t v;

	for (int i = 0; i < TURN_A_COUNT; i++)
		turn_msg_u32(m, i, &v);
	turn_msg_peer(m, &addr, &port);
	while (turn_msg_next_peer(m, &at, &addr, &port) > 0)
		expect(at <= m->len);
	turn_msg_verify(m, TURN_A_MESSAGE_INTEGRITY, key, sizeof(key));
	turn_msg_verify(m, TURN_A_MESSAGE_INTEGRITY_SHA256, key, sizeof(key));
}

static void write_again(const struct turn_msg *m)
{
	struct turn_out o;
	struct turn_msg n;
	struct st_addr addr, back;
	uint16_t port, port_back;
	size_t len;

	turn_out_begin(&o, m->method, m->class, m->tid);
	if (m->attr[TURN_A_USERNAME].at)
		turn_out_bytes(&o, TURN_T_USERNAME, m->attr[TURN_A_USERNAME].at,
			m->attr[TURN_A_USERNAME].len);
	if (!turn_msg_peer(m, &addr, &port))
		turn_out_address(&o, TURN_T_XOR_PEER_ADDRESS, &addr, port);
	turn_out_fingerprint(&o);
	len = turn_out_end(&o);
	if (!len)
		return;
	expect(!turn_msg_parse(&n, o.data, len));
	expect(n.method == m->method && n.class == m->class);
	if (!turn_msg_peer(m, &addr, &port))
		expect(!turn_msg_peer(&n, &back, &port_back) && port == port_back &&
			!memcmp(&addr, &back, sizeof(addr)));
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	// Exactly as long as it is: one byte too far is seen.
	uint8_t *copy = malloc(len ? len : 1);
	struct turn_msg m;

	expect(copy && sodium_init() >= 0);
	if (len)
		memcpy(copy, in, len);
	if (!turn_msg_parse(&m, copy, len)) {
		expect_inside(&m);
		read_values(&m);
		write_again(&m);
	}
	free(copy);
	return 0;
}
