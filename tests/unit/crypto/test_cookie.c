// SPDX-License-Identifier: BSD-3-Clause
//
// Macs and cookies: known answers, the whole round, and each time at which something stops being valid.
#include "../../../crypto/cookie.h"
#include "../../../crypto/noise.h"
#include "check.h"
#include "vectors.h"

#define MAX_AGE COOKIE_SECRET_MAX_AGE_MS
#define LATENCY COOKIE_SECRET_LATENCY_MS

static const uint8_t src4[6] = {192, 0, 2, 1, 0xca, 0x6c};
static const uint8_t src6[18] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1, 0xca, 0x6c};

struct ends {
	struct cookie_checker checker; // the receiver
	struct cookie cookie;          // what the sender has of the receiver
	struct message_initiation msg;
};

static void ends_init(struct ends *e, uint64_t now_ms)
{
	uint8_t public_key[32];

	randombytes_buf(public_key, sizeof(public_key));
	cookie_checker_init(&e->checker, public_key);
	cookie_init(&e->cookie, public_key);
	randombytes_buf(&e->msg, sizeof(e->msg));
	cookie_add_macs(&e->cookie, &e->msg, sizeof(e->msg), now_ms);
}

static enum cookie_verdict verdict(struct ends *e, const uint8_t *src, size_t src_len, uint64_t now_ms)
{
	return cookie_validate(&e->checker, &e->msg, sizeof(e->msg), src, src_len, true, now_ms);
}

// The receiver answers with a cookie, the sender takes it.
static void give_cookie(struct ends *e, const uint8_t *src, size_t src_len, uint64_t now_ms)
{
	struct message_cookie reply;

	cookie_create_reply(
		&e->checker, &reply, &e->msg, sizeof(e->msg), e->msg.sender, src, src_len, now_ms);
	CU_ASSERT_EQUAL(reply.type[0], MESSAGE_COOKIE);
	CU_ASSERT(sodium_is_zero(reply.type + 1, 3));
	CU_ASSERT_EQUAL(memcmp(reply.receiver, e->msg.sender, 4), 0);
	CU_ASSERT(cookie_consume_reply(&e->cookie, &reply, now_ms));
}

static void send_again(struct ends *e, uint64_t now_ms)
{
	randombytes_buf(&e->msg, sizeof(e->msg));
	cookie_add_macs(&e->cookie, &e->msg, sizeof(e->msg), now_ms);
}

static void cookie_gives_the_known_macs_and_opens_the_known_reply(void)
{
	for (size_t i = 0; i < sizeof(handshake_vectors) / sizeof(handshake_vectors[0]); i++) {
		const struct handshake_vector *v = &handshake_vectors[i];
		struct message_initiation msg, bare;
		struct message_cookie reply;
		uint8_t public_key[32];
		struct cookie c;

		check_hex(public_key, 32, v->r_public);
		cookie_init(&c, public_key);
		check_hex((uint8_t *)&bare, sizeof(bare), v->initiation);
		memset(&bare.macs, 0xa5, sizeof(bare.macs));
		msg = bare;
		cookie_add_macs(&c, &msg, sizeof(msg), 0);
		CU_ASSERT(check_same(&msg, sizeof(msg), v->initiation));

		check_hex((uint8_t *)&reply, sizeof(reply), v->cookie_reply);
		CU_ASSERT(cookie_consume_reply(&c, &reply, 0));
		CU_ASSERT(check_same(c.cookie, COOKIE_LEN, v->cookie));
		msg = bare;
		cookie_add_macs(&c, &msg, sizeof(msg), 1);
		CU_ASSERT(check_same(&msg, sizeof(msg), v->initiation_mac2));
	}
}

static void cookie_round_proves_the_address(void)
{
	const struct {
		const uint8_t *src;
		size_t len;
	} srcs[] = {{src4, sizeof(src4)}, {src6, sizeof(src6)}};

	for (int i = 0; i < 2; i++) {
		struct ends e;

		ends_init(&e, 1000);
		CU_ASSERT_EQUAL(verdict(&e, srcs[i].src, srcs[i].len, 1000), COOKIE_VALID_MAC1);
		give_cookie(&e, srcs[i].src, srcs[i].len, 1000);
		send_again(&e, 1001);
		CU_ASSERT_EQUAL(verdict(&e, srcs[i].src, srcs[i].len, 1001), COOKIE_VALID_MAC2);
		// Not asked for, mac2 is not looked at.
		CU_ASSERT_EQUAL(cookie_validate(&e.checker, &e.msg, sizeof(e.msg), srcs[i].src,
					srcs[i].len, false, 1001),
			COOKIE_VALID_MAC1);
	}
}

static void cookie_is_bound_to_address_and_port(void)
{
	struct ends e;

	ends_init(&e, 1000);
	give_cookie(&e, src4, sizeof(src4), 1000);
	send_again(&e, 1001);
	for (size_t i = 0; i < sizeof(src4); i++) {
		uint8_t other[sizeof(src4)];

		memcpy(other, src4, sizeof(other));
		other[i] ^= 1;
		CU_ASSERT_EQUAL(verdict(&e, other, sizeof(other), 1001), COOKIE_VALID_MAC1);
	}
	CU_ASSERT_EQUAL(verdict(&e, src6, sizeof(src6), 1001), COOKIE_VALID_MAC1);
	CU_ASSERT_EQUAL(verdict(&e, src4, sizeof(src4), 1001), COOKIE_VALID_MAC2);
}

static void every_flipped_bit_of_a_message_is_noticed(void)
{
	struct ends e;

	ends_init(&e, 1000);
	give_cookie(&e, src4, sizeof(src4), 1000);
	send_again(&e, 1001);
	for (size_t bit = 0; bit < 8 * sizeof(e.msg); bit++) {
		uint8_t *byte = (uint8_t *)&e.msg + bit / 8;
		bool in_mac2 = bit / 8 >= sizeof(e.msg) - COOKIE_LEN;

		*byte ^= (uint8_t)(1 << bit % 8);
		CU_ASSERT_EQUAL(verdict(&e, src4, sizeof(src4), 1001),
			in_mac2 ? COOKIE_VALID_MAC1 : COOKIE_INVALID_MAC1);
		*byte ^= (uint8_t)(1 << bit % 8);
	}
	CU_ASSERT_EQUAL(verdict(&e, src4, sizeof(src4), 1001), COOKIE_VALID_MAC2);
}

static void mac1_is_for_one_receiver_and_one_length(void)
{
	struct ends e, other;

	ends_init(&e, 0);
	ends_init(&other, 0);
	other.msg = e.msg;
	CU_ASSERT_EQUAL(verdict(&other, src4, sizeof(src4), 0), COOKIE_INVALID_MAC1);
	for (size_t len = 0; len < sizeof(e.msg); len++)
		CU_ASSERT_EQUAL(
			cookie_validate(&e.checker, &e.msg, len, src4, sizeof(src4), false, 0),
			COOKIE_INVALID_MAC1);
}

static void sender_stops_using_a_cookie_before_the_receiver_forgets(void)
{
	static const uint8_t zero[COOKIE_LEN];
	struct ends e;

	ends_init(&e, 1000);
	give_cookie(&e, src4, sizeof(src4), 1000);
	send_again(&e, 1000 + MAX_AGE - LATENCY - 1);
	CU_ASSERT_EQUAL(verdict(&e, src4, sizeof(src4), 1000 + MAX_AGE - 1), COOKIE_VALID_MAC2);
	send_again(&e, 1000 + MAX_AGE - LATENCY);
	CU_ASSERT_EQUAL(memcmp(e.msg.macs.mac2, zero, sizeof(zero)), 0);
	CU_ASSERT(!e.cookie.has_cookie);
	CU_ASSERT(sodium_is_zero(e.cookie.cookie, COOKIE_LEN));
	CU_ASSERT_EQUAL(verdict(&e, src4, sizeof(src4), 1000 + MAX_AGE - LATENCY), COOKIE_VALID_MAC1);
}

static void receiver_changes_its_secret_after_two_minutes(void)
{
	struct ends e;

	ends_init(&e, 1000);
	give_cookie(&e, src4, sizeof(src4), 1000);
	send_again(&e, 2000);
	CU_ASSERT_EQUAL(verdict(&e, src4, sizeof(src4), 1000 + MAX_AGE - 1), COOKIE_VALID_MAC2);
	CU_ASSERT_EQUAL(verdict(&e, src4, sizeof(src4), 1000 + MAX_AGE), COOKIE_VALID_MAC1);
	// and a new cookie is as good as the first
	give_cookie(&e, src4, sizeof(src4), 1000 + MAX_AGE);
	send_again(&e, 1000 + MAX_AGE);
	CU_ASSERT_EQUAL(verdict(&e, src4, sizeof(src4), 1000 + MAX_AGE), COOKIE_VALID_MAC2);
}

static void reply_is_taken_once_and_only_for_what_was_sent(void)
{
	struct message_cookie reply;
	struct ends e;

	ends_init(&e, 0);
	cookie_create_reply(
		&e.checker, &reply, &e.msg, sizeof(e.msg), e.msg.sender, src4, sizeof(src4), 0);
	for (size_t bit = 0; bit < 8 * sizeof(reply); bit++) {
		struct message_cookie bad = reply;

		if (bit / 8 < offsetof(struct message_cookie, nonce))
			continue; // type and receiver are the caller's to check
		((uint8_t *)&bad)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CU_ASSERT(!cookie_consume_reply(&e.cookie, &bad, 0));
		CU_ASSERT(!e.cookie.has_cookie);
	}
	CU_ASSERT(cookie_consume_reply(&e.cookie, &reply, 0));
	CU_ASSERT(!cookie_consume_reply(&e.cookie, &reply, 0)); // nothing outstanding
	send_again(&e, 1);
	CU_ASSERT(!cookie_consume_reply(&e.cookie, &reply, 1)); // another mac1 is
	CU_ASSERT(e.cookie.has_cookie);

	cookie_init(&e.cookie, e.cookie.mac1_key);
	CU_ASSERT(!cookie_consume_reply(&e.cookie, &reply, 0)); // nothing was sent
}

static CU_TestInfo tests[] = {
	TEST(cookie_gives_the_known_macs_and_opens_the_known_reply),
	TEST(cookie_round_proves_the_address),
	TEST(cookie_is_bound_to_address_and_port),
	TEST(every_flipped_bit_of_a_message_is_noticed),
	TEST(mac1_is_for_one_receiver_and_one_length),
	TEST(sender_stops_using_a_cookie_before_the_receiver_forgets),
	TEST(receiver_changes_its_secret_after_two_minutes),
	TEST(reply_is_taken_once_and_only_for_what_was_sent),
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return sodium_init() < 0 ? 99 : run_tests("cookie", tests);
}
