// SPDX-License-Identifier: BSD-3-Clause
//
// BLAKE2s, HMAC and HKDF against known answers.
#include "../../../crypto/noise.h"
#include "check.h"
#include "vectors.h"

static void blake2s_gives_the_known_answers(void)
{
	uint8_t in[1024], key[32], out[32];

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)i;
	memcpy(key, in, sizeof(key));
	for (size_t i = 0; i < sizeof(blake2s_vectors) / sizeof(blake2s_vectors[0]); i++) {
		const struct blake2s_vector *v = &blake2s_vectors[i];

		if (v->key_len == 0)
			blake2s_hash(out, in, v->len, NULL, 0);
		else
			blake2s_mac(out, v->out_len, key, v->key_len, in, v->len);
		CU_ASSERT(check_same(out, v->out_len, v->out));
		// hash is over the concatenation, wherever it is cut
		for (size_t cut = 0; v->key_len == 0 && cut <= v->len; cut++) {
			blake2s_hash(out, in, cut, in + cut, v->len - cut);
			CU_ASSERT(check_same(out, 32, v->out));
		}
	}
}

// RFC 7693 appendix B, and the official keyed vector for an empty input.
static void blake2s_gives_the_published_answers(void)
{
	uint8_t key[32], out[32];

	blake2s_hash(out, "abc", 3, NULL, 0);
	CU_ASSERT(check_same(
		out, 32, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"));
	for (uint8_t i = 0; i < 32; i++)
		key[i] = i;
	blake2s_mac(out, 32, key, 32, NULL, 0);
	CU_ASSERT(check_same(
		out, 32, "48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49"));
}

// The inputs of RFC 7693 appendix E. That one hashes keyed and unkeyed outputs together; strait has
// no unkeyed BLAKE2s with short outputs, so this is the keyed half, with the answer from hashlib.
static void fill(uint8_t *out, size_t len, uint32_t seed)
{
	uint32_t a = 0xDEAD4BAD * seed, b = 1;

	for (size_t i = 0; i < len; i++) {
		uint32_t t = a + b;

		a = b;
		b = t;
		out[i] = (uint8_t)(t >> 24);
	}
}

static void blake2s_keyed_gives_one_answer_over_many_lengths(void)
{
	static const size_t out_lens[] = {16, 20, 28, 32};
	static const size_t in_lens[] = {0, 3, 64, 65, 255, 1024};
	uint8_t all[4 * 6 * 32], in[1024], key[32], out[32];
	size_t len = 0;

	for (size_t o = 0; o < 4; o++) {
		for (size_t i = 0; i < 6; i++) {
			fill(in, in_lens[i], (uint32_t)in_lens[i]);
			fill(key, out_lens[o], (uint32_t)out_lens[o]);
			blake2s_mac(out, out_lens[o], key, out_lens[o], in, in_lens[i]);
			memcpy(all + len, out, out_lens[o]);
			len += out_lens[o];
		}
	}
	blake2s_hash(out, all, len, NULL, 0);
	CU_ASSERT(check_same(out, 32, blake2s_keyed_self_test));
}

static void hmac_and_hkdf_give_the_known_answers(void)
{
	for (size_t i = 0; i < sizeof(kdf_vectors) / sizeof(kdf_vectors[0]); i++) {
		const struct kdf_vector *v = &kdf_vectors[i];
		uint8_t ck[32], in[256], out[3][32];
		size_t len = check_hex(in, sizeof(in), v->in);

		check_hex(ck, sizeof(ck), v->ck);
		noise_hmac(out[0], ck, in, len);
		CU_ASSERT(check_same(out[0], 32, v->hmac));

		noise_kdf(out[0], out[1], out[2], ck, in, len);
		for (int k = 0; k < 3; k++)
			CU_ASSERT(check_same(out[k], 32, v->out[k]));
		memset(out, 0, sizeof(out));
		noise_kdf(out[0], out[1], NULL, ck, in, len);
		CU_ASSERT(check_same(out[0], 32, v->out[0]));
		CU_ASSERT(check_same(out[1], 32, v->out[1]));
		CU_ASSERT(sodium_is_zero(out[2], 32));
		// in place, as the handshake uses it
		noise_kdf(ck, NULL, NULL, ck, in, len);
		CU_ASSERT(check_same(ck, 32, v->out[0]));
	}
}

static CU_TestInfo tests[] = {
	TEST(blake2s_gives_the_known_answers),
	TEST(blake2s_gives_the_published_answers),
	TEST(blake2s_keyed_gives_one_answer_over_many_lengths),
	TEST(hmac_and_hkdf_give_the_known_answers),
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return sodium_init() < 0 ? 99 : run_tests("blake2s", tests);
}
