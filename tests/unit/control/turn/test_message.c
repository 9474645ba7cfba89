// SPDX-License-Identifier: BSD-3-Clause
//
// The STUN codec against the vectors of RFC 5769 and RFC 8489 appendix B.1, and against what must not pass.
#include "../../../../control/addr.h"
#include "../../../../control/stun_digest.h"
#include "../../../../control/turn/message.h"
#include "../../suite.h"

#include <glib.h>
#include <sodium.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static size_t from_hex(uint8_t *out, size_t size, const char *hex)
{
	size_t len = 0;

	CU_ASSERT_EQUAL_FATAL(sodium_hex2bin(out, size, hex, strlen(hex), " \n", &len, NULL), 0);
	return len;
}

// RFC 5769 section 2.1.
static const char sample_request[] = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e20746"
				     "5737420636c69656e74002400046e0001ff"
				     "80290008932ff9b151263b36000600096576746a3a6836765920202000080"
				     "0149aeaa70cbfd8cb56781ef2b5b2d3f249"
				     "c1b571a280280004e57a3bcf";
// Section 2.2, 2.3.
static const char response_v4[] =
	"0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e1"
	"12a643"
	"000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96";
static const char response_v6[] =
	"010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a14701"
	"13a9fa"
	"a5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c";
// Section 2.4.
static const char long_term[] = "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aa"
				"e38383e382afe382b900000015001c"
				"662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b65"
				"78616d706c652e6f72670000080014"
				"f67024656dd64a3e02b8e0712e85c9a28ca89666";
static const char short_password[] = "VOkJxbRl1RmTxUk/WvJxBt";

static void the_request_of_rfc_5769_verifies(void)
{
	struct turn_msg m;
	uint8_t data[256];
	size_t len = from_hex(data, sizeof(data), sample_request);

	CU_ASSERT_EQUAL_FATAL(turn_msg_parse(&m, data, len), 0);
	CU_ASSERT_EQUAL(m.method, TURN_BINDING);
	CU_ASSERT_EQUAL(m.class, TURN_REQUEST);
	CU_ASSERT_EQUAL(m.attr[TURN_A_USERNAME].len, 9);
	CU_ASSERT_EQUAL(memcmp(m.attr[TURN_A_USERNAME].at, "evtj:h6vY", 9), 0);
	CU_ASSERT(turn_msg_verify(&m, TURN_A_MESSAGE_INTEGRITY, (const uint8_t *)short_password,
		strlen(short_password)));
	CU_ASSERT_FALSE(turn_msg_verify(&m, TURN_A_MESSAGE_INTEGRITY, (const uint8_t *)"x", 1));
	CU_ASSERT_EQUAL(m.unknowns, 1);
	CU_ASSERT_EQUAL(m.unknown[0], 0x0024); // PRIORITY is ICE's
}

static void the_long_term_request_of_rfc_5769_verifies(void)
{
	static const char user[] =
		"\xe3\x83\x9e\xe3\x83\x88\xe3\x83\xaa\xe3\x83\x83\xe3\x82\xaf\xe3\x82\xb9";
	uint8_t data[256], key[STUN_MD5_LEN];
	struct turn_msg m;
	size_t len = from_hex(data, sizeof(data), long_term);

	CU_ASSERT_EQUAL_FATAL(turn_msg_parse(&m, data, len), 0);
	stun_md5_colon(key, user, strlen(user), "example.org", 11, "TheMatrIX", 9);
	CU_ASSERT(turn_msg_verify(&m, TURN_A_MESSAGE_INTEGRITY, key, sizeof(key)));
	data[30] ^= 1;
	CU_ASSERT_FALSE(turn_msg_verify(&m, TURN_A_MESSAGE_INTEGRITY, key, sizeof(key)));
}

static void the_responses_of_rfc_5769_verify_and_are_what_we_would_write(void)
{
	static const struct {
		const char *hex, *addr;
	} cases[] = {
		{response_v4, "192.0.2.1"}, {response_v6, "2001:db8:1234:5678:11:2233:4455:6677"}};

	for (size_t i = 0; i < 2; i++) {
		uint8_t data[256];
		size_t len = from_hex(data, sizeof(data), cases[i].hex);
		struct turn_out o;
		struct turn_msg m;
		struct st_addr a;

		CU_ASSERT_EQUAL_FATAL(turn_msg_parse(&m, data, len), 0);
		CU_ASSERT_EQUAL(m.class, TURN_SUCCESS);
		CU_ASSERT(turn_msg_verify(&m, TURN_A_MESSAGE_INTEGRITY,
			(const uint8_t *)short_password, strlen(short_password)));
		addr_parse(&a, cases[i].addr);
		turn_out_begin(&o, TURN_BINDING, TURN_SUCCESS, m.tid);
		turn_out_bytes(&o, TURN_T_SOFTWARE, "test vector", 11);
		o.data[o.len - 1] = ' '; // the vector pads with a space
		turn_out_address(&o, TURN_T_XOR_MAPPED_ADDRESS, &a, htons(32853));
		turn_out_integrity(&o, TURN_T_MESSAGE_INTEGRITY, (const uint8_t *)short_password,
			strlen(short_password));
		turn_out_fingerprint(&o);
		CU_ASSERT_EQUAL_FATAL(turn_out_end(&o), len);
		CU_ASSERT_EQUAL(memcmp(o.data, data, len), 0);
	}
}

// RFC 8489 B.1 prints a header length that does not fit its attributes; its digests are right.
static void the_digests_of_rfc_8489_are_ours(void)
{
	static const char user[] =
		"\xe3\x83\x9e\xe3\x83\x88\xe3\x83\xaa\xe3\x83\x83\xe3\x82\xaf\xe3\x82\xb9";
	uint8_t want[STUN_SHA256_LEN], got[STUN_SHA256_LEN], mac[STUN_SHA256_LEN],
		key[STUN_SHA256_LEN];
	uint8_t data[256];
	size_t len;

	from_hex(want, sizeof(want),
		"4a3cf38fef6992bda952c67804 17da0f24819415569e60b205c46e41407f1704");
	stun_sha256_colon(got, user, strlen(user), "example.org", 11, NULL, SIZE_MAX);
	CU_ASSERT_EQUAL(memcmp(got, want, sizeof(want)), 0);
	stun_sha256_colon(key, user, strlen(user), "example.org", 11, "TheMatrIX", 9);
	from_hex(mac, sizeof(mac),
		"e4686c8f0edeb59013e07090010a93efccbccc544c0a45d9f830aa6d6f735a01");
	len = from_hex(data, sizeof(data),
		"0001009c2112a44278ad3433c6ad72c029da412e001e00204a3cf38fef6992bda952c6780417da0f24"
		"819415"
		"569e60b205c46e41407f1704001500296f624d61744a6f73324141414366"
		"2f2f3439396b39353464364f4c33346f4c394653547679363473410000000014000b6578616d706c65"
		"2e6f7267"
		"00");
	stun_hmac(true, got, key, sizeof(key), data, len, NULL, 0);
	CU_ASSERT_EQUAL(memcmp(got, mac, sizeof(mac)), 0);
}

static size_t with_attr(uint8_t *data, uint16_t type, uint16_t said, size_t bytes)
{
	static const uint8_t header[TURN_MSG_HEADER] = {0, 3, 0, 0, 0x21, 0x12, 0xa4, 0x42};

	memcpy(data, header, sizeof(header));
	memset(data + TURN_MSG_HEADER, 0, bytes + 4);
	data[3] = (uint8_t)(bytes + 4);
	data[20] = (uint8_t)(type >> 8);
	data[21] = (uint8_t)type;
	data[22] = (uint8_t)(said >> 8);
	data[23] = (uint8_t)said;
	return TURN_MSG_HEADER + 4 + bytes;
}

static void what_is_malformed_is_refused(void)
{
	uint8_t data[256];
	struct turn_msg m;
	size_t len = from_hex(data, sizeof(data), sample_request);

	for (size_t cut = 0; cut < len; cut++)
		CU_ASSERT_EQUAL(turn_msg_parse(&m, data, cut), -EBADMSG);
	data[4] ^= 1; // the cookie
	CU_ASSERT_EQUAL(turn_msg_parse(&m, data, len), -EBADMSG);
	data[4] ^= 1;
	data[0] |= 0x40; // the two top bits
	CU_ASSERT_EQUAL(turn_msg_parse(&m, data, len), -EBADMSG);
	data[0] &= 0x3f;
	data[len - 1] ^= 1; // FINGERPRINT
	CU_ASSERT_EQUAL(turn_msg_parse(&m, data, len), -EBADMSG);
	len = with_attr(data, TURN_T_LIFETIME, 4, 4);
	CU_ASSERT_EQUAL(turn_msg_parse(&m, data, len), 0);
	len = with_attr(data, TURN_T_LIFETIME, 5, 4);
	CU_ASSERT_EQUAL(turn_msg_parse(&m, data, len), -EBADMSG);
	len = with_attr(data, TURN_T_LIFETIME, 65535, 4);
	CU_ASSERT_EQUAL(turn_msg_parse(&m, data, len), -EBADMSG);
	len = with_attr(data, TURN_T_LIFETIME, 1, 2); // length is no multiple of 4
	CU_ASSERT_EQUAL(turn_msg_parse(&m, data, len), -EBADMSG);
}

static void what_stands_behind_the_integrity_does_not_count(void)
{
	static const uint8_t tid[TURN_TID_LEN] = {1};
	struct turn_out o;
	struct turn_msg m;
	uint32_t v;

	turn_out_begin(&o, TURN_ALLOCATE, TURN_REQUEST, tid);
	turn_out_u32(&o, TURN_T_LIFETIME, 1);
	turn_out_u32(&o, TURN_T_LIFETIME, 2); // a double: the first counts
	turn_out_integrity(&o, TURN_T_MESSAGE_INTEGRITY, (const uint8_t *)"k", 1);
	turn_out_u32(&o, TURN_T_REQUESTED_TRANSPORT, 17u << 24);
	turn_out_u32(&o, 0x7ff0, 0);
	turn_out_integrity(&o, TURN_T_MESSAGE_INTEGRITY_SHA256, (const uint8_t *)"k", 1);
	turn_out_u32(&o, TURN_T_CHANNEL_NUMBER, 0);
	turn_out_fingerprint(&o);
	CU_ASSERT_EQUAL_FATAL(turn_msg_parse(&m, o.data, turn_out_end(&o)), 0);
	CU_ASSERT(turn_msg_u32(&m, TURN_A_LIFETIME, &v) && v == 1);
	CU_ASSERT_PTR_NULL(m.attr[TURN_A_REQUESTED_TRANSPORT].at);
	CU_ASSERT_PTR_NULL(m.attr[TURN_A_CHANNEL_NUMBER].at);
	CU_ASSERT_EQUAL(m.unknowns, 0);
	CU_ASSERT(turn_msg_verify(&m, TURN_A_MESSAGE_INTEGRITY, (const uint8_t *)"k", 1));
	CU_ASSERT(turn_msg_verify(&m, TURN_A_MESSAGE_INTEGRITY_SHA256, (const uint8_t *)"k", 1));
	CU_ASSERT_PTR_NOT_NULL(m.attr[TURN_A_FINGERPRINT].at);
}

static void a_peer_in_mapped_spelling_is_not_taken_for_ipv4(void)
{
	static const uint8_t tid[TURN_TID_LEN] = {9};
	// ::ffff:127.0.0.1 as family IPv6, XORed by hand.
	uint8_t v[20] = {0, TURN_FAMILY_V6};
	const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, 127, 0, 0, 1};
	struct turn_out o;
	struct turn_msg m;
	struct st_addr a;
	uint16_t port;

	turn_out_begin(&o, TURN_CREATE_PERMISSION, TURN_REQUEST, tid);
	for (int i = 0; i < 16; i++)
		v[4 + i] = mapped[i] ^ o.data[4 + i];
	turn_out_bytes(&o, TURN_T_XOR_PEER_ADDRESS, v, sizeof(v));
	CU_ASSERT_EQUAL_FATAL(turn_msg_parse(&m, o.data, turn_out_end(&o)), 0);
	CU_ASSERT_EQUAL(turn_msg_peer(&m, &a, &port), -EPERM);
}

static void every_peer_of_a_request_is_found(void)
{
	static const uint8_t tid[TURN_TID_LEN] = {7};
	static const char *const peers[] = {"198.51.100.1", "2001:db8::5", "203.0.113.9"};
	struct turn_out o;
	struct turn_msg m;
	struct st_addr a, want;
	uint16_t port;
	size_t at = 0;

	turn_out_begin(&o, TURN_CREATE_PERMISSION, TURN_REQUEST, tid);
	for (int i = 0; i < 3; i++) {
		addr_parse(&a, peers[i]);
		turn_out_address(&o, TURN_T_XOR_PEER_ADDRESS, &a, htons(1000 + i));
		turn_out_u32(&o, TURN_T_SOFTWARE, 0);
	}
	turn_out_integrity(&o, TURN_T_MESSAGE_INTEGRITY, tid, sizeof(tid));
	turn_out_address(&o, TURN_T_XOR_PEER_ADDRESS, &a, 1);
	CU_ASSERT_EQUAL_FATAL(turn_msg_parse(&m, o.data, turn_out_end(&o)), 0);
	for (int i = 0; i < 3; i++) {
		addr_parse(&want, peers[i]);
		CU_ASSERT_EQUAL(turn_msg_next_peer(&m, &at, &a, &port), 1);
		CU_ASSERT_EQUAL(memcmp(&a, &want, sizeof(a)), 0);
		CU_ASSERT_EQUAL(port, htons(1000 + i));
	}
	CU_ASSERT_EQUAL(turn_msg_next_peer(&m, &at, &a, &port), 0);
}

static void a_message_that_does_not_fit_is_not_sent(void)
{
	static const uint8_t tid[TURN_TID_LEN] = {7}, big[1500];
	struct turn_out o;

	turn_out_begin(&o, TURN_DATA, TURN_INDICATION, tid);
	turn_out_bytes(&o, TURN_T_DATA, big, sizeof(big));
	CU_ASSERT(turn_out_end(&o) > sizeof(big));
	turn_out_bytes(&o, TURN_T_DATA, big, sizeof(big));
	CU_ASSERT_EQUAL(turn_out_end(&o), 0);
}

static void padding_is_zero_whatever_the_buffer_held(void)
{
	static const uint8_t tid[TURN_TID_LEN] = {3};
	struct turn_out o;

	for (size_t len = 0; len < 9; len++) {
		memset(&o, 0xee, sizeof(o));
		turn_out_begin(&o, TURN_ALLOCATE, TURN_SUCCESS, tid);
		turn_out_bytes(&o, TURN_T_SOFTWARE, "software!", len);
		CU_ASSERT_EQUAL(turn_out_end(&o), TURN_MSG_HEADER + 4 + ((len + 3) & ~(size_t)3));
		CU_ASSERT_EQUAL(o.data[TURN_MSG_HEADER + 3], len);
		for (size_t i = TURN_MSG_HEADER + 4 + len; i < o.len; i++)
			CU_ASSERT_EQUAL(o.data[i], 0);
	}
}

// RFC 8489 14.6 lets a use of STUN take cut ones; TURN takes whole ones only.
static void a_cut_sha256_verifies_nothing(void)
{
	static const uint8_t tid[TURN_TID_LEN] = {4};

	for (size_t len = 0; len <= STUN_SHA256_LEN; len += 4) {
		uint8_t mac[STUN_SHA256_LEN];
		struct turn_out o;
		struct turn_msg m;

		turn_out_begin(&o, TURN_REFRESH, TURN_REQUEST, tid);
		turn_out_u32(&o, TURN_T_LIFETIME, 600);
		// What the sender of a cut one computes: the header says the cut length.
		o.data[3] = (uint8_t)(o.len - TURN_MSG_HEADER + 4 + len);
		stun_hmac(true, mac, (const uint8_t *)"k", 1, o.data, o.len, NULL, 0);
		turn_out_bytes(&o, TURN_T_MESSAGE_INTEGRITY_SHA256, mac, len);
		CU_ASSERT_EQUAL_FATAL(turn_msg_parse(&m, o.data, turn_out_end(&o)), 0);
		CU_ASSERT_EQUAL(turn_msg_verify(&m, TURN_A_MESSAGE_INTEGRITY_SHA256,
					(const uint8_t *)"k", 1),
			len == STUN_SHA256_LEN);
	}
}

// In memory of exactly its length and at every alignment, so that a sanitizer sees one byte too many.
static void mutations_are_read_within_their_bounds(void)
{
	uint8_t data[256], *exact;
	size_t len = from_hex(data, sizeof(data), sample_request);
	struct st_addr a;
	struct turn_msg m;
	uint16_t port;
	uint32_t v;

	for (unsigned int i = 0; i < 20000; i++) {
		size_t cut = i % 3 ? len : TURN_MSG_HEADER + randombytes_uniform((uint32_t)len - 20),
		       shift = i % 4, at = 0;

		exact = g_malloc(cut + shift);
		memcpy(exact + shift, data, cut);
		for (unsigned int k = randombytes_uniform(4); k > 0; k--)
			exact[shift + randombytes_uniform((uint32_t)cut)] =
				(uint8_t)randombytes_random();
		// Mostly so that it gets past the header.
		if (i % 8) {
			exact[shift + 2] = (uint8_t)((cut - TURN_MSG_HEADER) >> 8);
			exact[shift + 3] = (uint8_t)(cut - TURN_MSG_HEADER) & 0xfc;
		}
		if (!turn_msg_parse(&m, exact + shift, cut)) {
			for (int k = 0; k < TURN_A_COUNT; k++)
				turn_msg_u32(&m, k, &v);
			while (turn_msg_next_peer(&m, &at, &a, &port) > 0)
				;
			turn_msg_peer(&m, &a, &port);
			turn_msg_verify(&m, TURN_A_MESSAGE_INTEGRITY, data, 16);
			turn_msg_verify(&m, TURN_A_MESSAGE_INTEGRITY_SHA256, data, 16);
			for (int k = 0; k < TURN_A_COUNT; k++)
				CU_ASSERT(!m.attr[k].at ||
					  (m.attr[k].at >= m.data + TURN_MSG_HEADER &&
						  m.attr[k].at + m.attr[k].len <= m.data + m.len));
		}
		g_free(exact);
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		TEST(the_request_of_rfc_5769_verifies),
		TEST(the_long_term_request_of_rfc_5769_verifies),
		TEST(the_responses_of_rfc_5769_verify_and_are_what_we_would_write),
		TEST(the_digests_of_rfc_8489_are_ours),
		TEST(what_is_malformed_is_refused),
		TEST(what_stands_behind_the_integrity_does_not_count),
		TEST(a_peer_in_mapped_spelling_is_not_taken_for_ipv4),
		TEST(every_peer_of_a_request_is_found),
		TEST(a_message_that_does_not_fit_is_not_sent),
		TEST(padding_is_zero_whatever_the_buffer_held),
		TEST(a_cut_sha256_verifies_nothing),
		TEST(mutations_are_read_within_their_bounds),
		CU_TEST_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : run_tests("turn/message", tests);
}
