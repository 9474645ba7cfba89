// SPDX-License-Identifier: BSD-3-Clause
//
// STUN as bytes: the vectors of RFC 5769, what must be refused, and the cut behind FINGERPRINT.
#include "../../../control/addr.h"
#include "../../../control/stun.h"
#include "../suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char password[] = "VOkJxbRl1RmTxUk/WvJxBt";

// RFC 5769 2.1, 2.2, 2.3.
static const uint8_t request[] = {0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7,
	0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x10, 0x53, 0x54,
	0x55, 0x4e, 0x20, 0x74, 0x65, 0x73, 0x74, 0x20, 0x63, 0x6c, 0x69, 0x65, 0x6e, 0x74, 0x00,
	0x24, 0x00, 0x04, 0x6e, 0x00, 0x01, 0xff, 0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1,
	0x51, 0x26, 0x3b, 0x36, 0x00, 0x06, 0x00, 0x09, 0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68, 0x36,
	0x76, 0x59, 0x20, 0x20, 0x20, 0x00, 0x08, 0x00, 0x14, 0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8,
	0xcb, 0x56, 0x78, 0x1e, 0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49, 0xc1, 0xb5, 0x71, 0xa2, 0x80,
	0x28, 0x00, 0x04, 0xe5, 0x7a, 0x3b, 0xcf};
static const uint8_t response4[] = {0x01, 0x01, 0x00, 0x3c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7,
	0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74,
	0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63, 0x74, 0x6f, 0x72, 0x20, 0x00, 0x20, 0x00, 0x08,
	0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43, 0x00, 0x08, 0x00, 0x14, 0x2b, 0x91, 0xf5,
	0x99, 0xfd, 0x9e, 0x90, 0xc3, 0x8c, 0x74, 0x89, 0xf9, 0x2a, 0xf9, 0xba, 0x53, 0xf0, 0x6b,
	0xe7, 0xd7, 0x80, 0x28, 0x00, 0x04, 0xc0, 0x7d, 0x4c, 0x96};
static const uint8_t response6[] = {0x01, 0x01, 0x00, 0x48, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7,
	0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74,
	0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63, 0x74, 0x6f, 0x72, 0x20, 0x00, 0x20, 0x00, 0x14,
	0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4,
	0xb5, 0xbe, 0xd2, 0xb9, 0xd9, 0x00, 0x08, 0x00, 0x14, 0xa3, 0x82, 0x95, 0x4e, 0x4b, 0xe6,
	0x7b, 0xf1, 0x17, 0x84, 0xc9, 0x7c, 0x82, 0x92, 0xc2, 0x75, 0xbf, 0xe3, 0xed, 0x41, 0x80,
	0x28, 0x00, 0x04, 0xc8, 0xfb, 0x0b, 0x4c};

static void the_vectors_of_rfc_5769_are_read_and_verified(void)
{
	struct stun_msg m;
	uint16_t len, port;
	uint32_t priority;
	struct st_addr a, want;

	CU_ASSERT_EQUAL_FATAL(stun_parse(&m, request, sizeof(request)), 0);
	CU_ASSERT_EQUAL(m.type, STUN_BINDING | STUN_REQUEST);
	CU_ASSERT_TRUE(stun_verify(&m, password, strlen(password)));
	CU_ASSERT_FALSE(stun_verify(&m, "wrong", 5));
	CU_ASSERT_TRUE(stun_find_u32(&m, STUN_ATTR_PRIORITY, &priority));
	CU_ASSERT_EQUAL(priority, 0x6e0001ff);
	CU_ASSERT_PTR_NOT_NULL(stun_find(&m, STUN_ATTR_USERNAME, &len));
	CU_ASSERT_EQUAL(len, 9);

	CU_ASSERT_EQUAL_FATAL(stun_parse(&m, response4, sizeof(response4)), 0);
	CU_ASSERT_TRUE(stun_verify(&m, password, strlen(password)));
	CU_ASSERT_TRUE(stun_find_address(&m, STUN_ATTR_XOR_MAPPED_ADDRESS, &a, &port));
	CU_ASSERT_TRUE(addr_parse(&want, "192.0.2.1"));
	CU_ASSERT_EQUAL(memcmp(&a, &want, sizeof(a)), 0);
	CU_ASSERT_EQUAL(ntohs(port), 32853);

	CU_ASSERT_EQUAL_FATAL(stun_parse(&m, response6, sizeof(response6)), 0);
	CU_ASSERT_TRUE(stun_verify(&m, password, strlen(password)));
	CU_ASSERT_TRUE(stun_find_address(&m, STUN_ATTR_XOR_MAPPED_ADDRESS, &a, &port));
	CU_ASSERT_TRUE(addr_parse(&want, "2001:db8:1234:5678:11:2233:4455:6677"));
	CU_ASSERT_EQUAL(memcmp(&a, &want, sizeof(a)), 0);
}

static void every_changed_bit_of_a_message_with_integrity_is_noticed(void)
{
	struct stun_msg m;
	uint8_t copy[sizeof(request)];

	for (size_t bit = 0; bit < sizeof(request) * 8; bit++) {
		memcpy(copy, request, sizeof(copy));
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CU_ASSERT_TRUE(stun_parse(&m, copy, sizeof(copy)) ||
			       !stun_verify(&m, password, strlen(password)) || !m.fingerprint);
	}
}

static void lengths_that_do_not_fit_are_refused(void)
{
	struct stun_msg m;
	uint8_t copy[sizeof(request) + 4];

	for (size_t len = 0; len < sizeof(request); len++)
		CU_ASSERT_EQUAL(stun_parse(&m, request, len), -EBADMSG);
	memcpy(copy, request, sizeof(request));
	CU_ASSERT_EQUAL(stun_parse(&m, copy, sizeof(copy)), -EBADMSG);
	copy[23] = 0xff; // SOFTWARE longer than the message
	CU_ASSERT_EQUAL(stun_parse(&m, copy, sizeof(request)), -EBADMSG);
}

static void what_is_built_is_read_again(void)
{
	static const uint8_t tid[STUN_TID_LEN] = {1, 2, 3};
	struct st_addr a, b;
	struct stun_out o;
	struct stun_msg m;
	uint8_t buf[256];
	uint64_t tie;
	uint16_t port;
	size_t len;

	addr_parse(&a, "2001:db8::7");
	stun_begin(&o, buf, sizeof(buf), STUN_BINDING | STUN_ERROR, tid);
	stun_add_u64(&o, STUN_ATTR_ICE_CONTROLLING, 0x0123456789abcdef);
	stun_add_address(&o, STUN_ATTR_XOR_PEER_ADDRESS, &a, htons(4242));
	stun_add_error(&o, 487, "Role Conflict");
	len = stun_end(&o, "key", 3, true);
	CU_ASSERT_EQUAL_FATAL(stun_parse(&m, buf, len), 0);
	CU_ASSERT_TRUE(stun_verify(&m, "key", 3));
	CU_ASSERT_TRUE(stun_find_u64(&m, STUN_ATTR_ICE_CONTROLLING, &tie));
	CU_ASSERT_EQUAL(tie, 0x0123456789abcdef);
	CU_ASSERT_TRUE(stun_find_address(&m, STUN_ATTR_XOR_PEER_ADDRESS, &b, &port));
	CU_ASSERT_EQUAL(memcmp(&a, &b, sizeof(a)), 0);
	CU_ASSERT_EQUAL(ntohs(port), 4242);
	CU_ASSERT_EQUAL(stun_error_code(&m), 487);
	stun_begin(&o, buf, 24, STUN_BINDING, tid);
	stun_add_u64(&o, STUN_ATTR_ICE_CONTROLLING, 1);
	CU_ASSERT_EQUAL(stun_end(&o, NULL, 0, false), 0);
}

static void attributes_behind_the_integrity_do_not_count(void)
{
	struct stun_out o;
	struct stun_msg m;
	uint8_t buf[256];
	uint16_t len;
	size_t n;

	stun_begin(&o, buf, sizeof(buf), STUN_BINDING | STUN_REQUEST, NULL);
	(void)stun_end(&o, "key", 3, false);
	stun_add(&o, STUN_ATTR_USE_CANDIDATE, NULL, 0);
	n = stun_end(&o, NULL, 0, true);
	CU_ASSERT_EQUAL_FATAL(stun_parse(&m, buf, n), 0);
	CU_ASSERT_TRUE(stun_verify(&m, "key", 3));
	CU_ASSERT_PTR_NULL(stun_find(&m, STUN_ATTR_USE_CANDIDATE, &len));
}

static void the_long_term_key_is_md5_of_user_realm_and_password(void)
{
	static const uint8_t want[STUN_KEY_LEN] = {0x30, 0x9e, 0x4e, 0xe5, 0xa2, 0x2e, 0xf4, 0xf4,
		0x6e, 0xda, 0xf8, 0x4e, 0x22, 0x79, 0x89, 0xa8};
	uint8_t key[STUN_KEY_LEN];
	const char *realm = "wiretrustee.com";

	stun_long_term_key(key, "1700000000", realm, strlen(realm), "vedDdKcbCZ2u6/b/iLe6XuPw0QQ=");
	CU_ASSERT_EQUAL(memcmp(key, want, sizeof(key)), 0);
}

// What current NetBird peers send: an attribute of their own behind FINGERPRINT.
static size_t with_tail(uint8_t *out, const uint8_t *msg, size_t len)
{
	static const uint8_t tail[] = {
		0x81, 0x00, 0x00, 0x08, 'c', 'a', 'n', 'd', 'i', 'd', 'i', 'd'};

	memcpy(out, msg, len);
	memcpy(out + len, tail, sizeof(tail));
	len += sizeof(tail);
	out[2] = (uint8_t)((len - STUN_HEADER_LEN) >> 8);
	out[3] = (uint8_t)(len - STUN_HEADER_LEN);
	return len;
}

static void what_follows_the_fingerprint_is_cut(void)
{
	uint8_t buf[512];
	size_t len = with_tail(buf, request, sizeof(request));

	CU_ASSERT_EQUAL(stun_cut(buf, len), sizeof(request));
	CU_ASSERT_EQUAL(memcmp(buf, request, sizeof(request)), 0);
	CU_ASSERT_EQUAL(stun_cut(buf, sizeof(request)), sizeof(request));
}

static void it_is_cut_inside_of_channel_data(void)
{
	uint8_t buf[512] = {0x40, 0x01};
	size_t inner = with_tail(buf + 4, request, sizeof(request));

	buf[2] = (uint8_t)(inner >> 8);
	buf[3] = (uint8_t)inner;
	CU_ASSERT_EQUAL(stun_cut(buf, 4 + inner), 4 + sizeof(request));
	CU_ASSERT_EQUAL(buf[3], sizeof(request));
	CU_ASSERT_EQUAL(memcmp(buf + 4, request, sizeof(request)), 0);
}

static void it_is_cut_inside_of_a_data_indication(void)
{
	uint8_t inner[256], buf[512];
	size_t inner_len = with_tail(inner, request, sizeof(request)), len;
	struct st_addr peer, got;
	struct stun_out o;
	struct stun_msg m;
	const uint8_t *data;
	uint16_t port, data_len;

	addr_parse(&peer, "198.51.100.9");
	// DATA in front: what follows it has to move.
	stun_begin(&o, buf, sizeof(buf), STUN_DATA | STUN_INDICATION, NULL);
	stun_add(&o, STUN_ATTR_DATA, inner, inner_len);
	stun_add_address(&o, STUN_ATTR_XOR_PEER_ADDRESS, &peer, htons(99));
	len = stun_end(&o, NULL, 0, true);
	len = stun_cut(buf, len);
	CU_ASSERT_EQUAL_FATAL(stun_parse(&m, buf, len), 0);
	CU_ASSERT_EQUAL(m.fingerprint, 0);
	data = stun_find(&m, STUN_ATTR_DATA, &data_len);
	CU_ASSERT_PTR_NOT_NULL_FATAL(data);
	CU_ASSERT_EQUAL(data_len, sizeof(request));
	CU_ASSERT_EQUAL(memcmp(data, request, sizeof(request)), 0);
	CU_ASSERT_TRUE(stun_find_address(&m, STUN_ATTR_XOR_PEER_ADDRESS, &got, &port));
	CU_ASSERT_EQUAL(memcmp(&got, &peer, sizeof(got)), 0);
}

static CU_TestInfo tests[] = {
	TEST(the_vectors_of_rfc_5769_are_read_and_verified),
	TEST(every_changed_bit_of_a_message_with_integrity_is_noticed),
	TEST(lengths_that_do_not_fit_are_refused),
	TEST(what_is_built_is_read_again),
	TEST(attributes_behind_the_integrity_do_not_count),
	TEST(the_long_term_key_is_md5_of_user_realm_and_password),
	TEST(what_follows_the_fingerprint_is_cut),
	TEST(it_is_cut_inside_of_channel_data),
	TEST(it_is_cut_inside_of_a_data_indication),
	CU_TEST_INFO_NULL,
};

int main(void)
{

	return run_tests("stun", tests);
}
