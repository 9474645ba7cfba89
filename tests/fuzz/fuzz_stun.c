// SPDX-License-Identifier: BSD-3-Clause
//
// STUN messages of strangers: whatever comes, everything that is found is inside of the message, and a message of
// ours that repeats what was read is read the same.
#include "../../control/stun/stun.h"

#include <sodium.h>

#include <stdlib.h>
#include <string.h>

#define expect(it) ((it) ? (void)0 : abort())

static void read_values(const struct stun_msg *m)
{
	static const uint16_t known[] = {STUN_ATTR_USERNAME, STUN_ATTR_LIFETIME};
	uint16_t unknown[STUN_UNKNOWN_MAX], port, len;
	struct st_addr addr;
	size_t at = 0;
	uint64_t v64;
	uint32_t v;

	// The types that are written in it, and what looks like one.
	for (size_t i = STUN_HEADER_LEN; i + 2 <= m->len; i += 4) {
		uint16_t type = (uint16_t)(m->data[i] << 8 | m->data[i + 1]);
		struct stun_attr a = stun_attr(m, type);

		expect(!a.at ||
			(a.at >= m->data + STUN_HEADER_LEN + 4 && a.at + a.len <= m->data + m->len));
		expect(stun_find(m, type, &len) == a.at);
		stun_find_u32(m, type, &v);
		stun_find_u64(m, type, &v64);
		stun_find_address(m, type, &addr, &port);
	}
	while (stun_next_address(m, &at, STUN_ATTR_XOR_PEER_ADDRESS, &addr, &port) > 0)
		expect(at <= m->len);
	expect(stun_unknown(m, known, 2, unknown) <= STUN_UNKNOWN_MAX);
	stun_error_code(m);
	stun_verify(m, "key", 3);
	stun_verify_by(m, STUN_ATTR_MESSAGE_INTEGRITY_SHA256, "key", 3);
}

static void write_again(const struct stun_msg *m)
{
	struct stun_attr user = stun_attr(m, STUN_ATTR_USERNAME);
	struct st_addr addr, back;
	uint16_t port, port_back;
	uint8_t buf[STUN_MAX];
	struct stun_out o;
	struct stun_msg n;
	bool peer = stun_find_address(m, STUN_ATTR_XOR_PEER_ADDRESS, &addr, &port);
	size_t len;

	stun_begin(&o, buf, sizeof(buf), m->type, stun_tid(m));
	if (user.at)
		stun_add(&o, STUN_ATTR_USERNAME, user.at, user.len);
	if (peer)
		stun_add_address(&o, STUN_ATTR_XOR_PEER_ADDRESS, &addr, port);
	stun_add_integrity(&o, STUN_ATTR_MESSAGE_INTEGRITY_SHA256, "key", 3);
	len = stun_end(&o, NULL, 0, true);
	if (!len)
		return;
	expect(!stun_parse_strict(&n, buf, len) && n.type == m->type);
	expect(stun_verify_by(&n, STUN_ATTR_MESSAGE_INTEGRITY_SHA256, "key", 3));
	expect(stun_attr(&n, STUN_ATTR_USERNAME).len == user.len);
	expect(!peer || (stun_find_address(&n, STUN_ATTR_XOR_PEER_ADDRESS, &back, &port_back) &&
				port == port_back && !memcmp(&addr, &back, sizeof(addr))));
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	// Exactly as long as it is: one byte too far is seen.
	uint8_t *copy = malloc(len ? len : 1);
	struct stun_msg m, strict;

	expect(copy && sodium_init() >= 0);
	if (len)
		memcpy(copy, in, len);
	if (!stun_parse(&m, copy, len)) {
		expect(m.len <= len && (m.len == len) == !stun_parse_strict(&strict, copy, len));
		read_values(&m);
		write_again(&m);
	} else {
		expect(stun_parse_strict(&strict, copy, len));
	}
	if (len)
		expect(stun_cut(copy, len) <= len);
	free(copy);
	return 0;
}
