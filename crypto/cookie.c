// SPDX-License-Identifier: BSD-3-Clause
//
// mac1, mac2 and cookies (paper sections 5.3, 5.4.4, 5.4.7): what lets a loaded responder ask a
// sender to prove its address before it does any X25519. One thread per struct; time is the
// caller's.
#include "cookie.h"

#include "noise.h"

#include <sodium.h>

#include <string.h>

#define MACS_LEN sizeof(struct message_macs)

static void label_key(uint8_t out[32], const char label[8], const uint8_t public_key[NOISE_KEY_LEN])
{
	blake2s_hash(out, label, 8, public_key, NOISE_KEY_LEN);
}

void cookie_checker_init(struct cookie_checker *c, const uint8_t public_key[NOISE_KEY_LEN])
{
	sodium_memzero(c, sizeof(*c));
	label_key(c->mac1_key, "mac1----", public_key);
	label_key(c->cookie_key, "cookie--", public_key);
}

void cookie_init(struct cookie *c, const uint8_t their_public_key[NOISE_KEY_LEN])
{
	sodium_memzero(c, sizeof(*c));
	label_key(c->mac1_key, "mac1----", their_public_key);
	label_key(c->cookie_key, "cookie--", their_public_key);
}

// ---- the receiver -----------------------------------------------------------------------------

// The cookie of a source. The secret behind it is replaced every two minutes, whoever asks first.
static void make_cookie(struct cookie_checker *c, uint8_t out[COOKIE_LEN], const uint8_t *src,
	size_t src_len, uint64_t now_ms)
{
	if (!c->has_secret || now_ms - c->secret_birth_ms >= COOKIE_SECRET_MAX_AGE_MS) {
		randombytes_buf(c->secret, sizeof(c->secret));
		c->secret_birth_ms = now_ms;
		c->has_secret = true;
	}
	blake2s_mac(out, COOKIE_LEN, c->secret, sizeof(c->secret), src, src_len);
}

static bool mac_matches(const uint8_t *key, size_t key_len, const void *msg, size_t covered,
	const uint8_t mac[COOKIE_LEN])
{
	uint8_t computed[COOKIE_LEN];
	bool same;

	blake2s_mac(computed, sizeof(computed), key, key_len, msg, covered);
	same = crypto_verify_16(computed, mac) == 0;
	sodium_memzero(computed, sizeof(computed));
	return same;
}

enum cookie_verdict cookie_validate(struct cookie_checker *c, const void *msg, size_t len,
	const uint8_t *src, size_t src_len, bool check_mac2, uint64_t now_ms)
{
	const uint8_t *macs;
	uint8_t cookie[COOKIE_LEN];
	bool owns;

	if (len < MACS_LEN)
		return COOKIE_INVALID_MAC1;
	macs = (const uint8_t *)msg + len - MACS_LEN;
	if (!mac_matches(c->mac1_key, sizeof(c->mac1_key), msg, len - MACS_LEN, macs))
		return COOKIE_INVALID_MAC1;
	if (!check_mac2)
		return COOKIE_VALID_MAC1;
	make_cookie(c, cookie, src, src_len, now_ms);
	owns = mac_matches(cookie, sizeof(cookie), msg, len - COOKIE_LEN, macs + COOKIE_LEN);
	sodium_memzero(cookie, sizeof(cookie));
	return owns ? COOKIE_VALID_MAC2 : COOKIE_VALID_MAC1;
}

void cookie_create_reply(struct cookie_checker *c, struct message_cookie *ret_msg, const void *msg,
	size_t len, const uint8_t receiver[4], const uint8_t *src, size_t src_len, uint64_t now_ms)
{
	const uint8_t *mac1 = (const uint8_t *)msg + len - MACS_LEN;
	uint8_t cookie[COOKIE_LEN];

	memset(ret_msg->type, 0, sizeof(ret_msg->type));
	ret_msg->type[0] = MESSAGE_COOKIE;
	memcpy(ret_msg->receiver, receiver, sizeof(ret_msg->receiver));
	randombytes_buf(ret_msg->nonce, sizeof(ret_msg->nonce));
	make_cookie(c, cookie, src, src_len, now_ms);
	crypto_aead_xchacha20poly1305_ietf_encrypt(ret_msg->encrypted_cookie, NULL, cookie,
		sizeof(cookie), mac1, COOKIE_LEN, NULL, ret_msg->nonce, c->cookie_key);
	sodium_memzero(cookie, sizeof(cookie));
}

// ---- the sender -------------------------------------------------------------------------------

void cookie_add_macs(struct cookie *c, void *msg, size_t len, uint64_t now_ms)
{
	uint8_t *mac1 = (uint8_t *)msg + len - MACS_LEN;
	uint8_t *mac2 = mac1 + COOKIE_LEN;

	blake2s_mac(mac1, COOKIE_LEN, c->mac1_key, sizeof(c->mac1_key), msg, len - MACS_LEN);
	memcpy(c->last_mac1, mac1, COOKIE_LEN);
	c->has_last_mac1 = true;

	// The receiver may have changed its secret a moment before the cookie is two minutes old.
	if (c->has_cookie && now_ms - c->cookie_birth_ms >=
				     COOKIE_SECRET_MAX_AGE_MS - COOKIE_SECRET_LATENCY_MS) {
		sodium_memzero(c->cookie, sizeof(c->cookie));
		c->has_cookie = false;
	}
	if (c->has_cookie)
		blake2s_mac(mac2, COOKIE_LEN, c->cookie, sizeof(c->cookie), msg, len - COOKIE_LEN);
	else
		memset(mac2, 0, COOKIE_LEN);
}

bool cookie_consume_reply(struct cookie *c, const struct message_cookie *msg, uint64_t now_ms)
{
	uint8_t cookie[COOKIE_LEN];

	if (!c->has_last_mac1)
		return false;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(cookie, NULL, NULL, msg->encrypted_cookie,
		    sizeof(msg->encrypted_cookie), c->last_mac1, sizeof(c->last_mac1), msg->nonce,
		    c->cookie_key) != 0)
		return false;
	memcpy(c->cookie, cookie, sizeof(cookie));
	c->cookie_birth_ms = now_ms;
	c->has_cookie = true;
	c->has_last_mac1 = false;
	sodium_memzero(cookie, sizeof(cookie));
	return true;
}
