// SPDX-License-Identifier: BSD-3-Clause
//
// mac1, mac2 and cookie replies (paper sections 5.4.4 and 5.4.7). The caller passes the time in ms
// of a monotonic clock and the source as bytes: 4 or 16 of address followed by 2 of port, network
// order.
#pragma once

#include "messages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cookie_verdict {
	COOKIE_INVALID_MAC1, // silence; 0, the others are larger
	COOKIE_VALID_MAC1,   // fine unless under load
	COOKIE_VALID_MAC2,   // the sender owns its address
};

// Of an interface: checks what others send to us and makes cookie replies.
struct cookie_checker {
	uint8_t mac1_key[32];   // BLAKE2s("mac1----" || our public key)
	uint8_t cookie_key[32]; // BLAKE2s("cookie--" || our public key)
	uint8_t secret[32];
	uint64_t secret_birth_ms;
	bool has_secret;
};

// Of a peer: puts macs on what we send and takes cookie replies.
struct cookie {
	uint8_t mac1_key[32]; // from their public key
	uint8_t cookie_key[32];
	uint8_t cookie[COOKIE_LEN];
	uint64_t cookie_birth_ms;
	uint8_t last_mac1[COOKIE_LEN];
	bool has_cookie;
	bool has_last_mac1; // we sent something and a cookie reply to it is acceptable
};

void cookie_checker_init(struct cookie_checker *c, const uint8_t public_key[32]);
void cookie_init(struct cookie *c, const uint8_t their_public_key[32]);

// msg is a whole initiation or response; the macs are its last 32 bytes.
enum cookie_verdict cookie_validate(struct cookie_checker *c, const void *msg, size_t len,
	const uint8_t *src, size_t src_len, bool check_mac2, uint64_t now_ms);
// receiver: the sender index of the message being answered (as 4 wire bytes).
void cookie_create_reply(struct cookie_checker *c, struct message_cookie *ret_msg, const void *msg,
	size_t len, const uint8_t receiver[4], const uint8_t *src, size_t src_len, uint64_t now_ms);

void cookie_add_macs(struct cookie *c, void *msg, size_t len, uint64_t now_ms);
bool cookie_consume_reply(struct cookie *c, const struct message_cookie *msg, uint64_t now_ms);
