// SPDX-License-Identifier: BSD-3-Clause
//
// STUN as bytes: the vectors of RFC 5769 and RFC 8489 appendix B.1, what must be refused, and the cut behind
// FINGERPRINT.
#include "../../../control/addr.h"
#include "../../../control/stun/stun.h"
#include "../../../control/stun/stun_digest.h"
#include "../suite.h"

#include <glib.h>
#include <sodium.h>

#include <arpa/inet.h>
#include <errno.h>
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

static void the_responses_of_rfc_5769_are_what_we_would_write(void)
{
	static const struct {
		const uint8_t *data;
		size_t len;
		const char *addr;
	} cases[] = {{response4, sizeof(response4), "192.0.2.1"},
		{response6, sizeof(response6), "2001:db8:1234:5678:11:2233:4455:6677"}};

	for (size_t i = 0; i < 2; i++) {
		uint8_t buf[256];
		struct stun_out o;
		struct st_addr a;

		addr_parse(&a, cases[i].addr);
		stun_begin(&o, buf, sizeof(buf), STUN_BINDING | STUN_SUCCESS, cases[i].data + 8);
		stun_add(&o, STUN_ATTR_SOFTWARE, "test vector", 11);
		buf[o.len - 1] = ' '; // the vector pads with a space
		stun_add_address(&o, STUN_ATTR_XOR_MAPPED_ADDRESS, &a, htons(32853));
		CU_ASSERT_EQUAL_FATAL(stun_end(&o, password, strlen(password), true), cases[i].len);
		CU_ASSERT_EQUAL(memcmp(buf, cases[i].data, cases[i].len), 0);
	}
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

static size_t from_hex(uint8_t *out, size_t size, const char *hex)
{
	size_t len = 0;

	CU_ASSERT_EQUAL_FATAL(sodium_hex2bin(out, size, hex, strlen(hex), " \n", &len, NULL), 0);
	return len;
}

// Section 2.4.
static const char long_term[] = "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aa"
				"e38383e382afe382b900000015001c"
				"662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b65"
				"78616d706c652e6f72670000080014"
				"f67024656dd64a3e02b8e0712e85c9a28ca89666";

static void the_long_term_request_of_rfc_5769_verifies(void)
{
	static const char user[] =
		"\xe3\x83\x9e\xe3\x83\x88\xe3\x83\xaa\xe3\x83\x83\xe3\x82\xaf\xe3\x82\xb9";
	uint8_t data[256], key[STUN_MD5_LEN];
	struct stun_msg m;
	size_t len = from_hex(data, sizeof(data), long_term);

	CU_ASSERT_EQUAL_FATAL(stun_parse_strict(&m, data, len), 0);
	stun_md5_colon(key, user, strlen(user), "example.org", 11, "TheMatrIX", 9);
	CU_ASSERT(stun_verify_by(&m, STUN_ATTR_MESSAGE_INTEGRITY, key, sizeof(key)));
	data[30] ^= 1;
	CU_ASSERT_FALSE(stun_verify_by(&m, STUN_ATTR_MESSAGE_INTEGRITY, key, sizeof(key)));
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
	static const uint8_t header[STUN_HEADER_LEN] = {0, 3, 0, 0, 0x21, 0x12, 0xa4, 0x42};

	memcpy(data, header, sizeof(header));
	memset(data + STUN_HEADER_LEN, 0, bytes + 4);
	data[3] = (uint8_t)(bytes + 4);
	data[20] = (uint8_t)(type >> 8);
	data[21] = (uint8_t)type;
	data[22] = (uint8_t)(said >> 8);
	data[23] = (uint8_t)said;
	return STUN_HEADER_LEN + 4 + bytes;
}

static void what_is_malformed_is_refused(void)
{
	uint8_t data[256];
	struct stun_msg m;
	size_t len = sizeof(request);

	memcpy(data, request, sizeof(request));
	for (size_t cut = 0; cut < len; cut++)
		CU_ASSERT_EQUAL(stun_parse_strict(&m, data, cut), -EBADMSG);
	data[4] ^= 1; // the cookie
	CU_ASSERT_EQUAL(stun_parse_strict(&m, data, len), -EBADMSG);
	data[4] ^= 1;
	data[0] |= 0x40; // the two top bits
	CU_ASSERT_EQUAL(stun_parse_strict(&m, data, len), -EBADMSG);
	data[0] &= 0x3f;
	data[len - 1] ^= 1; // FINGERPRINT
	CU_ASSERT_EQUAL(stun_parse_strict(&m, data, len), -EBADMSG);
	len = with_attr(data, STUN_ATTR_LIFETIME, 4, 4);
	CU_ASSERT_EQUAL(stun_parse_strict(&m, data, len), 0);
	len = with_attr(data, STUN_ATTR_LIFETIME, 5, 4);
	CU_ASSERT_EQUAL(stun_parse_strict(&m, data, len), -EBADMSG);
	len = with_attr(data, STUN_ATTR_LIFETIME, 65535, 4);
	CU_ASSERT_EQUAL(stun_parse_strict(&m, data, len), -EBADMSG);
	len = with_attr(data, STUN_ATTR_LIFETIME, 1, 2); // length is no multiple of 4
	CU_ASSERT_EQUAL(stun_parse_strict(&m, data, len), -EBADMSG);
}

static void what_stands_behind_the_integrity_does_not_count(void)
{
	static const uint8_t tid[STUN_TID_LEN] = {1};
	uint8_t buf[STUN_MAX];
	struct stun_out o;
	struct stun_msg m;
	uint16_t unknown[STUN_UNKNOWN_MAX];
	static const uint16_t known[] = {STUN_ATTR_LIFETIME};
	uint32_t v;

	stun_begin(&o, buf, sizeof(buf), STUN_ALLOCATE | STUN_REQUEST, tid);
	stun_add_u32(&o, STUN_ATTR_LIFETIME, 1);
	stun_add_u32(&o, STUN_ATTR_LIFETIME, 2); // a double: the first counts
	stun_add_integrity(&o, STUN_ATTR_MESSAGE_INTEGRITY, "k", 1);
	stun_add_u32(&o, STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
	stun_add_u32(&o, 0x7ff0, 0);
	stun_add_integrity(&o, STUN_ATTR_MESSAGE_INTEGRITY_SHA256, "k", 1);
	stun_add_u32(&o, STUN_ATTR_CHANNEL_NUMBER, 0);
	stun_add_fingerprint(&o);
	CU_ASSERT_EQUAL_FATAL(stun_parse_strict(&m, o.data, stun_end(&o, NULL, 0, false)), 0);
	CU_ASSERT(stun_find_u32(&m, STUN_ATTR_LIFETIME, &v) && v == 1);
	CU_ASSERT_PTR_NULL(stun_attr(&m, STUN_ATTR_REQUESTED_TRANSPORT).at);
	CU_ASSERT_PTR_NULL(stun_attr(&m, STUN_ATTR_CHANNEL_NUMBER).at);
	CU_ASSERT_EQUAL(stun_unknown(&m, known, G_N_ELEMENTS(known), unknown), 0);
	CU_ASSERT(stun_verify_by(&m, STUN_ATTR_MESSAGE_INTEGRITY, "k", 1));
	CU_ASSERT(stun_verify_by(&m, STUN_ATTR_MESSAGE_INTEGRITY_SHA256, "k", 1));
	CU_ASSERT_PTR_NOT_NULL(stun_attr(&m, STUN_ATTR_FINGERPRINT).at);
}

static void a_peer_in_mapped_spelling_is_not_taken_for_ipv4(void)
{
	static const uint8_t tid[STUN_TID_LEN] = {9};
	// ::ffff:127.0.0.1 as family IPv6, XORed by hand.
	uint8_t v[20] = {0, STUN_FAMILY_V6};
	const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, 127, 0, 0, 1};
	uint8_t buf[STUN_MAX];
	struct stun_out o;
	struct stun_msg m;
	struct st_addr a;
	uint16_t port;

	stun_begin(&o, buf, sizeof(buf), STUN_CREATE_PERMISSION | STUN_REQUEST, tid);
	for (int i = 0; i < 16; i++)
		v[4 + i] = mapped[i] ^ o.data[4 + i];
	stun_add(&o, STUN_ATTR_XOR_PEER_ADDRESS, v, sizeof(v));
	CU_ASSERT_EQUAL_FATAL(stun_parse_strict(&m, o.data, stun_end(&o, NULL, 0, false)), 0);
	CU_ASSERT_EQUAL(stun_first_address(&m, STUN_ATTR_XOR_PEER_ADDRESS, &a, &port), -EPERM);
}

static void every_peer_of_a_request_is_found(void)
{
	static const uint8_t tid[STUN_TID_LEN] = {7};
	static const char *const peers[] = {"198.51.100.1", "2001:db8::5", "203.0.113.9"};
	uint8_t buf[STUN_MAX];
	struct stun_out o;
	struct stun_msg m;
	struct st_addr a, want;
	uint16_t port;
	size_t at = 0;

	stun_begin(&o, buf, sizeof(buf), STUN_CREATE_PERMISSION | STUN_REQUEST, tid);
	for (int i = 0; i < 3; i++) {
		addr_parse(&a, peers[i]);
		stun_add_address(&o, STUN_ATTR_XOR_PEER_ADDRESS, &a, htons(1000 + i));
		stun_add_u32(&o, STUN_ATTR_SOFTWARE, 0);
	}
	stun_add_integrity(&o, STUN_ATTR_MESSAGE_INTEGRITY, tid, sizeof(tid));
	stun_add_address(&o, STUN_ATTR_XOR_PEER_ADDRESS, &a, 1);
	CU_ASSERT_EQUAL_FATAL(stun_parse_strict(&m, o.data, stun_end(&o, NULL, 0, false)), 0);
	for (int i = 0; i < 3; i++) {
		addr_parse(&want, peers[i]);
		CU_ASSERT_EQUAL(stun_next_address(&m, &at, STUN_ATTR_XOR_PEER_ADDRESS, &a, &port), 1);
		CU_ASSERT_EQUAL(memcmp(&a, &want, sizeof(a)), 0);
		CU_ASSERT_EQUAL(port, htons(1000 + i));
	}
	CU_ASSERT_EQUAL(stun_next_address(&m, &at, STUN_ATTR_XOR_PEER_ADDRESS, &a, &port), 0);
}

static void a_message_that_does_not_fit_is_not_sent(void)
{
	static const uint8_t tid[STUN_TID_LEN] = {7}, big[1500];
	uint8_t buf[STUN_MAX];
	struct stun_out o;

	stun_begin(&o, buf, sizeof(buf), STUN_DATA | STUN_INDICATION, tid);
	stun_add(&o, STUN_ATTR_DATA, big, sizeof(big));
	CU_ASSERT(stun_end(&o, NULL, 0, false) > sizeof(big));
	stun_add(&o, STUN_ATTR_DATA, big, sizeof(big));
	CU_ASSERT_EQUAL(stun_end(&o, NULL, 0, false), 0);
}

static void padding_is_zero_whatever_the_buffer_held(void)
{
	static const uint8_t tid[STUN_TID_LEN] = {3};
	uint8_t buf[STUN_MAX];
	struct stun_out o;

	for (size_t len = 0; len < 9; len++) {
		memset(buf, 0xee, sizeof(buf));
		stun_begin(&o, buf, sizeof(buf), STUN_ALLOCATE | STUN_SUCCESS, tid);
		stun_add(&o, STUN_ATTR_SOFTWARE, "software!", len);
		CU_ASSERT_EQUAL(stun_end(&o, NULL, 0, false),
			STUN_HEADER_LEN + 4 + ((len + 3) & ~(size_t)3));
		CU_ASSERT_EQUAL(o.data[STUN_HEADER_LEN + 3], len);
		for (size_t i = STUN_HEADER_LEN + 4 + len; i < o.len; i++)
			CU_ASSERT_EQUAL(o.data[i], 0);
	}
}

// RFC 8489 14.6 lets a use of STUN take cut ones; TURN takes whole ones only.
static void a_cut_sha256_verifies_nothing(void)
{
	static const uint8_t tid[STUN_TID_LEN] = {4};

	for (size_t len = 0; len <= STUN_SHA256_LEN; len += 4) {
		uint8_t mac[STUN_SHA256_LEN];
		uint8_t buf[STUN_MAX];
		struct stun_out o;
		struct stun_msg m;

		stun_begin(&o, buf, sizeof(buf), STUN_REFRESH | STUN_REQUEST, tid);
		stun_add_u32(&o, STUN_ATTR_LIFETIME, 600);
		// What the sender of a cut one computes: the header says the cut length.
		o.data[3] = (uint8_t)(o.len - STUN_HEADER_LEN + 4 + len);
		stun_hmac(true, mac, (const uint8_t *)"k", 1, o.data, o.len, NULL, 0);
		stun_add(&o, STUN_ATTR_MESSAGE_INTEGRITY_SHA256, mac, len);
		CU_ASSERT_EQUAL_FATAL(stun_parse_strict(&m, o.data, stun_end(&o, NULL, 0, false)), 0);
		CU_ASSERT_EQUAL(stun_verify_by(&m, STUN_ATTR_MESSAGE_INTEGRITY_SHA256, "k", 1),
			len == STUN_SHA256_LEN);
	}
}

// What the parser notes, and what is found, is inside of the message.
static void expect_inside(const struct stun_msg *m)
{
	uint16_t unknown[STUN_UNKNOWN_MAX], port;
	struct st_addr a;
	size_t at = 0;
	uint32_t v;

	CU_ASSERT(stun_unknown(m, NULL, 0, unknown) <= STUN_UNKNOWN_MAX);
	for (size_t n = 0; n + 4 <= m->len - STUN_HEADER_LEN; n += 4) {
		uint16_t type = (uint16_t)(m->data[STUN_HEADER_LEN + n] << 8 |
					   m->data[STUN_HEADER_LEN + n + 1]);
		struct stun_attr x = stun_attr(m, type);

		stun_find_u32(m, type, &v);
		CU_ASSERT(!x.at || (x.at >= m->data + STUN_HEADER_LEN + 4 &&
					   x.at + x.len <= m->data + m->len));
	}
	while (stun_next_address(m, &at, STUN_ATTR_XOR_PEER_ADDRESS, &a, &port) > 0)
		CU_ASSERT(at <= m->len);
	stun_verify(m, "key", 3);
	stun_verify_by(m, STUN_ATTR_MESSAGE_INTEGRITY_SHA256, "key", 3);
}

// In memory of exactly its length and at every alignment, so that a sanitizer sees one byte too many.
static void mutations_are_read_within_their_bounds(void)
{
	for (unsigned int i = 0; i < 20000; i++) {
		size_t cut = i % 3 ? sizeof(request)
				   : STUN_HEADER_LEN + randombytes_uniform(sizeof(request) - 20),
		       shift = i % 4;
		uint8_t *exact = g_malloc(cut + shift);
		struct stun_msg m;

		memcpy(exact + shift, request, cut);
		// Without it most mutations end there.
		if (i % 2)
			exact[shift + cut - 7] ^= 1; // FINGERPRINT's type
		for (unsigned int k = randombytes_uniform(4); k > 0; k--)
			exact[shift + randombytes_uniform((uint32_t)cut)] =
				(uint8_t)randombytes_random();
		// Mostly so that it gets past the header.
		if (i % 8) {
			exact[shift + 2] = (uint8_t)((cut - STUN_HEADER_LEN) >> 8);
			exact[shift + 3] = (uint8_t)(cut - STUN_HEADER_LEN) & 0xfc;
		}
		if (!stun_parse(&m, exact + shift, cut))
			expect_inside(&m);
		g_free(exact);
	}
}

// The fingerprint is the last attribute of what a server takes; ICE reads on.
static void what_follows_the_fingerprint_is_nothing_for_a_server(void)
{
	uint8_t buf[512];
	size_t len = with_tail(buf, request, sizeof(request));
	struct stun_msg m;

	CU_ASSERT_EQUAL(stun_parse_strict(&m, buf, len), -EBADMSG);
	CU_ASSERT_EQUAL(stun_parse(&m, buf, len), 0);
	CU_ASSERT_EQUAL(m.len, sizeof(request));
	CU_ASSERT_EQUAL(stun_parse_strict(&m, request, sizeof(request)), 0);
}

static void unknown_attributes_are_told_once_each(void)
{
	static const uint16_t known[] = {STUN_ATTR_LIFETIME};
	uint16_t unknown[STUN_UNKNOWN_MAX];
	uint8_t buf[STUN_MAX];
	struct stun_out o;
	struct stun_msg m;

	stun_begin(&o, buf, sizeof(buf), STUN_REFRESH | STUN_REQUEST, NULL);
	stun_add_u32(&o, STUN_ATTR_LIFETIME, 1);
	stun_add_u32(&o, 0x7ff1, 1);
	stun_add_u32(&o, 0xfff1, 1); // comprehension-optional
	stun_add_u32(&o, 0x7ff0, 1);
	stun_add_u32(&o, 0x7ff1, 1);
	CU_ASSERT_EQUAL_FATAL(stun_parse(&m, buf, stun_end(&o, "k", 1, true)), 0);
	CU_ASSERT_EQUAL_FATAL(stun_unknown(&m, known, G_N_ELEMENTS(known), unknown), 2);
	CU_ASSERT(unknown[0] == 0x7ff1 && unknown[1] == 0x7ff0);
	stun_begin(&o, buf, sizeof(buf), STUN_REFRESH | STUN_REQUEST, NULL);
	for (uint16_t i = 0; i < 40; i++)
		stun_add_u32(&o, 0x7000 + i, 1);
	CU_ASSERT_EQUAL_FATAL(stun_parse(&m, buf, stun_end(&o, NULL, 0, false)), 0);
	CU_ASSERT_EQUAL(stun_unknown(&m, known, G_N_ELEMENTS(known), unknown), STUN_UNKNOWN_MAX);
}

static CU_TestInfo tests[] = {
	TEST(the_vectors_of_rfc_5769_are_read_and_verified),
	TEST(every_changed_bit_of_a_message_with_integrity_is_noticed),
	TEST(lengths_that_do_not_fit_are_refused),
	TEST(what_is_built_is_read_again),
	TEST(the_long_term_key_is_md5_of_user_realm_and_password),
	TEST(what_follows_the_fingerprint_is_cut),
	TEST(it_is_cut_inside_of_channel_data),
	TEST(it_is_cut_inside_of_a_data_indication),
	TEST(the_responses_of_rfc_5769_are_what_we_would_write),
	TEST(the_long_term_request_of_rfc_5769_verifies),
	TEST(the_digests_of_rfc_8489_are_ours),
	TEST(what_is_malformed_is_refused),
	TEST(what_stands_behind_the_integrity_does_not_count),
	TEST(a_peer_in_mapped_spelling_is_not_taken_for_ipv4),
	TEST(every_peer_of_a_request_is_found),
	TEST(a_message_that_does_not_fit_is_not_sent),
	TEST(padding_is_zero_whatever_the_buffer_held),
	TEST(a_cut_sha256_verifies_nothing),
	TEST(mutations_are_read_within_their_bounds),
	TEST(what_follows_the_fingerprint_is_nothing_for_a_server),
	TEST(unknown_attributes_are_told_once_each),
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return sodium_init() < 0 ? 1 : run_tests("stun", tests);
}
