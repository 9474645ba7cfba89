// SPDX-License-Identifier: BSD-3-Clause
//
// Keys as text: both ways, and every form that is not the canonical one.
#include "../../../crypto/keys.h"
#include "check.h"

// Refused, with the output left alone.
static bool refused(bool (*from)(uint8_t *, const char *), const char *text)
{
	uint8_t key[32];

	memset(key, 0xa5, sizeof(key));
	if (from(key, text))
		return false;
	for (size_t i = 0; i < sizeof(key); i++) {
		if (key[i] != 0xa5)
			return false;
	}
	return true;
}

static void keys_have_the_known_text(void)
{
	char base64[KEY_BASE64_LEN], hex[KEY_HEX_LEN];
	uint8_t key[32] = {0}, back[32];

	key_to_base64(base64, key);
	CU_ASSERT_STRING_EQUAL(base64, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
	memset(key, 0xff, 32);
	key_to_base64(base64, key);
	CU_ASSERT_STRING_EQUAL(base64, "//////////////////////////////////////////8=");
	CU_ASSERT(key_from_base64(back, base64));
	CU_ASSERT_EQUAL(memcmp(key, back, 32), 0);
	// from a capture of wireguard-go
	CU_ASSERT(key_from_base64(back, "kLPywbSab7fuHvJ9pGDnWwI3ik0IVXj73NMdhAxzE3E="));
	CU_ASSERT(check_same(
		back, 32, "90b3f2c1b49a6fb7ee1ef27da460e75b02378a4d085578fbdcd31d840c731371"));
	key_to_hex(hex, back);
	CU_ASSERT_STRING_EQUAL(
		hex, "90b3f2c1b49a6fb7ee1ef27da460e75b02378a4d085578fbdcd31d840c731371");
}

static void keys_come_back_as_they_went(void)
{
	for (int i = 0; i < 5000; i++) {
		char base64[KEY_BASE64_LEN], hex[KEY_HEX_LEN];
		uint8_t key[32], back[32];

		randombytes_buf(key, sizeof(key));
		key_to_base64(base64, key);
		CU_ASSERT_EQUAL(strlen(base64), 44);
		CU_ASSERT(key_from_base64(back, base64));
		CU_ASSERT_EQUAL(memcmp(key, back, 32), 0);
		key_to_hex(hex, key);
		CU_ASSERT_EQUAL(strlen(hex), 64);
		memset(back, 0, sizeof(back));
		CU_ASSERT(key_from_hex(back, hex));
		CU_ASSERT_EQUAL(memcmp(key, back, 32), 0);
	}
}

static bool is_base64(int c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '+' || c == '/';
}

static void every_byte_that_is_no_base64_digit_is_refused_everywhere(void)
{
	for (int at = 0; at < 43; at++) {
		for (int c = 1; c < 256; c++) {
			char text[] = "kLPywbSab7fuHvJ9pGDnWwI3ik0IVXj73NMdhAxzE3E=";
			uint8_t key[32];

			text[at] = (char)c;
			// the last digit has rules of its own, see below
			CU_ASSERT(is_base64(c) || refused(key_from_base64, text));
			CU_ASSERT(!is_base64(c) || at == 42 || key_from_base64(key, text));
		}
	}
}

static void last_base64_digit_must_have_no_spare_bits(void)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char text[] = "kLPywbSab7fuHvJ9pGDnWwI3ik0IVXj73NMdhAxzE3E=";

	for (int i = 0; i < 64; i++) {
		uint8_t key[32];

		text[42] = digits[i];
		CU_ASSERT(i % 4 == 0 ? key_from_base64(key, text) : refused(key_from_base64, text));
	}
}

static void base64_of_another_length_or_form_is_refused(void)
{
	static const char *const forms[] = {
		"",
		"=",
		"kLPywbSab7fuHvJ9pGDnWwI3ik0IVXj73NMdhAxzE3E",   // no padding
		"kLPywbSab7fuHvJ9pGDnWwI3ik0IVXj73NMdhAxzE3E==", // too much of it
		"kLPywbSab7fuHvJ9pGDnWwI3ik0IVXj73NMdhAxzE3E=\n",
		"kLPywbSab7fuHvJ9pGDnWwI3ik0IVXj73NMdhAxzE3E= ",
		" kLPywbSab7fuHvJ9pGDnWwI3ik0IVXj73NMdhAxzE3E=",
		"kLPywbSab7fuHvJ9pGDnWwI3ik0IVXj73NMdhAxzE3EA", // 33 bytes
		"kLPywbSab7fuHvJ9pGDnWwI3ik0IVXj73NMdhAxzEw==", // 31 bytes
		"kLPywbSab7fuHvJ9pGDnWwI3ik0IVXj73NMd AxzE3E=",
		"kLPywbSab7fuHvJ9pGDnWwI3ik0IVXj73NMdhAxzE3E-",
		"_LPywbSab7fuHvJ9pGDnWwI3ik0IVXj73NMdhAxzE3E=", // the URL alphabet
		"90b3f2c1b49a6fb7ee1ef27da460e75b02378a4d085578fbdcd31d840c731371",
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		CU_ASSERT(refused(key_from_base64, forms[i]));
}

static void every_byte_that_is_no_lower_hex_digit_is_refused_everywhere(void)
{
	for (int at = 0; at < 64; at++) {
		for (int c = 1; c < 256; c++) {
			char text[] = "90b3f2c1b49a6fb7ee1ef27da460e75b"
				      "02378a4d085578fbdcd31d840c731371";
			bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
			uint8_t key[32];

			text[at] = (char)c;
			CU_ASSERT(digit ? key_from_hex(key, text) : refused(key_from_hex, text));
		}
	}
}

static void hex_of_another_length_is_refused(void)
{
	char text[80];

	for (size_t len = 0; len < sizeof(text); len++) {
		memset(text, '7', sizeof(text));
		text[len] = '\0';
		if (len != 64)
			CU_ASSERT(refused(key_from_hex, text));
	}
	CU_ASSERT(refused(
		key_from_hex, "0x90b3f2c1b49a6fb7ee1ef27da460e75b02378a4d085578fbdcd31d840c731"));
}

static void zero_key_is_known(void)
{
	uint8_t key[32] = {0};

	CU_ASSERT(key_is_zero(key));
	for (int bit = 0; bit < 256; bit++) {
		key[bit / 8] = (uint8_t)(1 << bit % 8);
		CU_ASSERT(!key_is_zero(key));
		key[bit / 8] = 0;
	}
}

static CU_TestInfo tests[] = {
	TEST(keys_have_the_known_text),
	TEST(keys_come_back_as_they_went),
	TEST(every_byte_that_is_no_base64_digit_is_refused_everywhere),
	TEST(last_base64_digit_must_have_no_spare_bits),
	TEST(base64_of_another_length_or_form_is_refused),
	TEST(every_byte_that_is_no_lower_hex_digit_is_refused_everywhere),
	TEST(hex_of_another_length_is_refused),
	TEST(zero_key_is_known),
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return sodium_init() < 0 ? 99 : run_tests("keys", tests);
}
