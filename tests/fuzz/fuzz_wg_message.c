// SPDX-License-Identifier: BSD-3-Clause
//
// Handshake messages. The input is XORed over a valid initiation, response or cookie reply, so that the
// fuzzer gets past the AEADs where it leaves bytes alone; what is changed must be refused, what is not
// must be taken. The first byte picks the message.
#include "../../crypto/cookie.h"
#include "../../crypto/noise.h"

#include <sodium.h>

#include <stdlib.h>
#include <string.h>

#define expect(it) ((it) ? (void)0 : abort())

// Whether the message still is the valid one, up to covered bytes.
static bool mutate(void *msg, size_t len, size_t covered, const uint8_t *in, size_t in_len)
{
	len = in_len < len ? in_len : len;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)msg)[i] ^= in[i];
	return sodium_is_zero(in, len < covered ? len : covered);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	static const uint8_t i_key[32] = {1}, r_key[32] = {2}, e[2][32] = {{4}, {5}};
	static const uint8_t src[6] = {192, 0, 2, 1, 0, 9}, stamp[TAI64N_LEN] = {0x40};
	struct noise_identity i, r;
	struct noise_peer i_of_r, r_of_i;
	struct noise_handshake hs_i, hs_r;
	struct message_initiation first, sent;
	struct message_response second;
	struct message_cookie third;
	struct cookie_checker checker;
	struct cookie cookie;
	uint8_t who[32], when[TAI64N_LEN];
	bool same = true, taken;
	if (len == 0 || sodium_init() < 0)
		return 0;
	noise_identity_init(&i, i_key);
	noise_identity_init(&r, r_key);
	expect(noise_peer_init(&i_of_r, &i, r.public_key, e[0]));
	expect(noise_peer_init(&r_of_i, &r, i.public_key, e[0]));
	cookie_checker_init(&checker, r.public_key);
	cookie_init(&cookie, r.public_key);
	expect(noise_create_initiation(&hs_i, &first, &i, &i_of_r, 7, stamp, e[0]));
	cookie_add_macs(&cookie, &first, sizeof(first), 0);
	sent = first;
	if (in[0] % 3 == 2) {
		cookie_create_reply(&checker, &third, &first, sizeof(first), first.sender, src, 6, 0);
		same = mutate(
			(uint8_t *)&third + 8, sizeof(third) - 8, sizeof(third), in + 1, len - 1);
		expect(cookie_consume_reply(&cookie, &third, 0) == same);
		return 0;
	}
	if (in[0] % 3 == 0)
		same = mutate(&first, sizeof(first), sizeof(first) - COOKIE_LEN, in + 1, len - 1);
	taken = cookie_validate(&checker, &first, sizeof(first), src, 6, true, 0) > 0;
	expect(taken == same); // mac1 covers all but mac2
	taken = noise_consume_initiation_static(&hs_r, who, &r, &first) &&
		noise_consume_initiation_timestamp(&hs_r, when, &r_of_i, &first);
	memcpy(sent.sender, first.sender, 4); // covered by mac1 alone
	expect(taken == (memcmp(&first, &sent, sizeof(first) - sizeof(first.macs)) == 0));
	if (in[0] % 3 == 0)
		return 0;
	expect(noise_create_response(&hs_r, &second, &r_of_i, 9, e[1]));
	same = mutate(
		(uint8_t *)&second + 8, sizeof(second) - 8 - 32, sizeof(second), in + 1, len - 1);
	expect(noise_consume_response(&hs_i, &i, &i_of_r, &second) == same);
	return 0;
}
