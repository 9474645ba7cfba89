// SPDX-License-Identifier: BSD-3-Clause
//
// Box and Body of the signal protocol: vectors made with libsodium, and what two NetBird peers really sent
// (tests/data/netbird_signal.txt).
#include "../../../../control/ice/candidate.h"
#include "../../../../control/signal/body.h"
#include "../../../../control/signal/box.h"
#include "../../suite.h"

#include <CUnit/CUnit.h>
#include <glib.h>
#include <sodium.h>

#include <errno.h>
#include <string.h>

#define A_PRIVATE "AAIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eH2A="
#define A_PUBLIC  "B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9/AsrhtHHw="
#define B_PRIVATE "YGZnaGlqa2xtbm9wcXJzdHV2d3h5ent8fX5/gIGCg0Q="
#define B_PUBLIC  "VxR2nRFr92Q2rnS8eT0sMK0ZA8WaxSc4BcfiaYtBDDY="
#define OFFER                                                                                      \
	"12316162636465666768696a6b6c6d6e6f703a4142434445464748494a4b4c4d4e4f50515253545556575859" \
	"5a61626364656618ec94032206302e31362e30320101"
#define SEALED                                                                                     \
	"000102030405060708090a0b0c0d0e0f1011121314151617b9a5f3d63788ec38c2cedd79d979f46018606014" \
	"268cf1f1cbd63421df3054fa6b567595ae8ca7d17c1d0ea5f9601a0e4fec335af3e21d767a373f4e914e911a" \
	"7b1e70c3b3481ae53d9b439b263d95d9f19e"

static void key_of(uint8_t out[32], const char *base64)
{
	size_t len;

	CU_ASSERT_FATAL(sodium_base642bin(out, 32, base64, strlen(base64), NULL, &len, NULL,
				sodium_base64_VARIANT_ORIGINAL) == 0);
	CU_ASSERT_FATAL(len == 32);
}

static struct box_key box_between(const char *public, const char *private)
{
	struct box_key k;
	uint8_t pub[32], priv[32];

	key_of(pub, public);
	key_of(priv, private);
	CU_ASSERT_FATAL(box_key_make(&k, pub, priv));
	return k;
}

static size_t hex(uint8_t *out, size_t max, const char *text)
{
	size_t len = 0;

	CU_ASSERT_FATAL(sodium_hex2bin(out, max, text, strlen(text), NULL, &len, NULL) == 0);
	return len;
}

static struct signal_message offer_of_the_vector(void)
{
	return (struct signal_message){
		.type = SIGNAL_OFFER,
		.payload = "abcdefghijklmnop:ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef",
		.wg_listen_port = 51820,
		.version = "0.16.0",
		.features = {SIGNAL_FEATURE_DIRECT_CHECK},
		.n_features = 1,
	};
}

static void body_encodes_the_known_offer_answer_and_mode(void)
{
	static const struct {
		const char *expected;
		enum signal_type type;
		bool mode, direct;
	} cases[] = {
		{OFFER, SIGNAL_OFFER, false, false},
		{"0801" OFFER, SIGNAL_ANSWER, false, false},
		{"08042206302e31362e302a020801", SIGNAL_MODE, true, true},
		{"08042206302e31362e302a020800", SIGNAL_MODE, true, false},
	};

	for (unsigned int i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct signal_message m = offer_of_the_vector();
		uint8_t out[SIGNAL_BODY_MAX], expected[256];
		size_t len = hex(expected, sizeof(expected), cases[i].expected);

		m.type = cases[i].type;
		if (cases[i].mode) {
			m = (struct signal_message){.type = m.type, .version = "0.16.0"};
			m.has_direct = true;
			m.direct = cases[i].direct;
		}
		CU_ASSERT_EQUAL(body_encode(out, &m), (int)len);
		CU_ASSERT_EQUAL(memcmp(out, expected, len), 0);
	}
}

static void box_seals_and_opens_the_known_vector(void)
{
	struct box_key a = box_between(B_PUBLIC, A_PRIVATE), b = box_between(A_PUBLIC, B_PRIVATE);
	uint8_t plain[256], sealed[256], expected[256], nonce[BOX_NONCE_LEN], opened[256];
	size_t len = hex(plain, sizeof(plain), OFFER);

	CU_ASSERT_EQUAL_FATAL(hex(expected, sizeof(expected), SEALED), len + BOX_OVERHEAD);
	for (uint8_t i = 0; i < BOX_NONCE_LEN; i++)
		nonce[i] = i;
	box_seal_nonce(sealed, plain, len, &a, nonce);
	CU_ASSERT_EQUAL(memcmp(sealed, expected, len + BOX_OVERHEAD), 0);
	CU_ASSERT_TRUE(box_open(opened, sealed, len + BOX_OVERHEAD, &b));
	CU_ASSERT_EQUAL(memcmp(opened, plain, len), 0);
}

static void box_refuses_what_is_short_changed_or_for_another(void)
{
	struct box_key a = box_between(B_PUBLIC, A_PRIVATE), other = box_between(B_PUBLIC, B_PRIVATE);
	uint8_t sealed[256], out[256];
	size_t len = hex(sealed, sizeof(sealed), SEALED);

	for (size_t n = 0; n < len; n++)
		CU_ASSERT_FALSE(box_open(out, sealed, n, &a));
	CU_ASSERT_FALSE(box_open(out, sealed, len, &other));
	for (size_t i = 0; i < len; i++) {
		sealed[i] ^= 0x40;
		CU_ASSERT_FALSE(box_open(out, sealed, len, &a));
		sealed[i] ^= 0x40;
	}
	CU_ASSERT_TRUE(box_open(out, sealed, len, &a));
}

static void box_makes_no_key_of_a_low_order_point(void)
{
	uint8_t zero[32] = {0}, private[32];
	struct box_key k;

	key_of(private, A_PRIVATE);
	CU_ASSERT_FALSE(box_key_make(&k, zero, private));
}

static void box_never_takes_a_nonce_twice(void)
{
	struct box_key a = box_between(B_PUBLIC, A_PRIVATE);
	uint8_t one[BOX_OVERHEAD], two[BOX_OVERHEAD];

	box_seal(one, NULL, 0, &a);
	box_seal(two, NULL, 0, &a);
	CU_ASSERT_NOT_EQUAL(memcmp(one, two, BOX_NONCE_LEN), 0);
}

static void body_reads_what_it_wrote(void)
{
	struct signal_message m = offer_of_the_vector();
	const struct signal_message *got;
	uint8_t out[SIGNAL_BODY_MAX];
	struct body *b;
	int len;

	m.has_session_id = true;
	memcpy(m.session_id, "\1\2\0\4\5", SIGNAL_SESSION_ID_LEN);
	len = body_encode(out, &m);
	b = body_decode(out, (size_t)len);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b);
	got = body_message(b);
	CU_ASSERT_EQUAL(got->type, SIGNAL_OFFER);
	CU_ASSERT_STRING_EQUAL(got->payload, m.payload);
	CU_ASSERT_STRING_EQUAL(got->version, m.version);
	CU_ASSERT_EQUAL(got->wg_listen_port, 51820);
	CU_ASSERT_EQUAL(got->n_features, 1);
	CU_ASSERT_EQUAL(got->features[0], SIGNAL_FEATURE_DIRECT_CHECK);
	CU_ASSERT_TRUE(got->has_session_id);
	CU_ASSERT_EQUAL(memcmp(got->session_id, m.session_id, SIGNAL_SESSION_ID_LEN), 0);
	CU_ASSERT_FALSE(got->has_direct);
	body_free(b);
}

// What no field, an unpacked list, an absent Mode.direct, a type and a field of the future are.
static void body_takes_old_and_new_dialects(void)
{
	static const struct {
		const char *hex;
		unsigned int type, features;
		bool has_direct, direct;
	} cases[] = {
		{"", 0, 0, false, false},
		{"30013002", 0, 2, false, false},
		{"32020102", 0, 2, false, false},
		{"08042a00", 4, 0, true, false},
		{"0863", 99, 0, false, false},
		{"08053a040a020102420161", 5, 0, false, false},
		{"5200", 0, 0, false, false},
		{"3214"
		 "0102030405060708090a0b0c0d0e0f1011121314",
			0, SIGNAL_FEATURES_MAX, false, false},
	};

	for (unsigned int i = 0; i < G_N_ELEMENTS(cases); i++) {
		uint8_t in[64];
		struct body *b = body_decode(in, hex(in, sizeof(in), cases[i].hex));

		CU_ASSERT_PTR_NOT_NULL_FATAL(b);
		CU_ASSERT_EQUAL((unsigned int)body_message(b)->type, cases[i].type);
		CU_ASSERT_EQUAL(body_message(b)->n_features, cases[i].features);
		CU_ASSERT_EQUAL(body_message(b)->has_direct, cases[i].has_direct);
		CU_ASSERT_EQUAL(body_message(b)->direct, cases[i].direct);
		CU_ASSERT_FALSE(body_message(b)->has_session_id);
		body_free(b);
	}
}

static void body_refuses_what_is_none(void)
{
	static const char *const cases[] = {
		"ff",
		"12",
		"1205616263",
		"08",
		"52040102030405",
		"5206010203040506",
		"1201ff",
		"2202c328",
	};

	for (unsigned int i = 0; i < G_N_ELEMENTS(cases); i++) {
		uint8_t in[64];

		CU_ASSERT_PTR_NULL(body_decode(in, hex(in, sizeof(in), cases[i])));
	}
}

static void body_refuses_what_is_too_long_to_send(void)
{
	g_autofree char *payload = g_strnfill(SIGNAL_BODY_MAX, 'a');
	struct signal_message m = {.type = SIGNAL_CANDIDATE, .payload = payload};
	uint8_t out[SIGNAL_BODY_MAX];

	CU_ASSERT_EQUAL(body_encode(out, &m), -EMSGSIZE);
	payload[SIGNAL_BODY_MAX - 16] = 0;
	CU_ASSERT_TRUE(body_encode(out, &m) > 0);
}

// ---- real traffic -------------------------------------------------------------------------------

struct capture {
	uint8_t private[2][32], public[2][32];
	unsigned int n_keys, offers, candidates, modes;
};

static void check_payload(struct capture *c, const struct signal_message *m)
{
	struct ice_credentials credentials;
	struct ice_candidate candidate;
	char text[ICE_CANDIDATE_MAX];

	// NetBird leaves it out of candidates.
	CU_ASSERT_STRING_EQUAL(m->version, m->type == SIGNAL_CANDIDATE ? "" : "development");
	switch (m->type) {
	case SIGNAL_OFFER:
	case SIGNAL_ANSWER:
		c->offers++;
		CU_ASSERT_EQUAL(ice_credentials_parse(&credentials, m->payload), 0);
		CU_ASSERT_EQUAL(strlen(credentials.ufrag), 16);
		CU_ASSERT_EQUAL(strlen(credentials.pwd), 32);
		CU_ASSERT_EQUAL(m->wg_listen_port, 51820);
		CU_ASSERT_EQUAL(m->features[0], SIGNAL_FEATURE_DIRECT_CHECK);
		break;
	case SIGNAL_CANDIDATE:
		c->candidates++;
		CU_ASSERT_EQUAL(ice_candidate_parse(&candidate, m->payload), 0);
		ice_candidate_print(text, &candidate);
		CU_ASSERT_STRING_EQUAL(text, m->payload);
		break;
	case SIGNAL_MODE:
		c->modes++;
		CU_ASSERT_TRUE(m->has_direct);
		break;
	default:
		CU_FAIL("unexpected type");
	}
}

static size_t unbase64(uint8_t *out, size_t max, const char *text)
{
	size_t len = 0;

	CU_ASSERT_FATAL(sodium_base642bin(out, max, text, strlen(text), NULL, &len, NULL,
				sodium_base64_VARIANT_ORIGINAL) == 0);
	return len;
}

// The receiver opens the box with its own private key, as in life.
static void check_message(struct capture *c, char **field)
{
	uint8_t sender[32], body[1024], plain[1024], out[SIGNAL_BODY_MAX], opened[1024];
	unsigned int receiver;
	struct box_key key;
	struct body *b;
	size_t len, n;

	key_of(sender, field[1]);
	receiver = memcmp(sender, c->public[0], 32) ? 0 : 1;
	CU_ASSERT_TRUE(box_key_make(&key, sender, c->private[receiver]));
	len = unbase64(body, sizeof(body), field[3]);
	n = unbase64(plain, sizeof(plain), field[4]);
	CU_ASSERT_EQUAL_FATAL(len, n + BOX_OVERHEAD);
	CU_ASSERT_TRUE(box_open(opened, body, len, &key));
	CU_ASSERT_EQUAL(memcmp(opened, plain, n), 0);
	b = body_decode(opened, n);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b);
	check_payload(c, body_message(b));
	// What we would send for the same message is byte for byte what NetBird sent.
	CU_ASSERT_EQUAL(body_encode(out, body_message(b)), (int)n);
	CU_ASSERT_EQUAL(memcmp(out, plain, n), 0);
	body_free(b);
}

static void messages_of_real_peers_open_and_are_written_alike(void)
{
	struct capture c = {0};
	char *text = NULL;
	char **lines;

	CU_ASSERT_TRUE_FATAL(g_file_get_contents(TEST_DATA "/netbird_signal.txt", &text, NULL, NULL));
	lines = g_strsplit(text, "\n", -1);
	for (char **l = lines; *l; l++) {
		char **field = g_strsplit(*l, " ", 5);

		if (g_str_has_prefix(*l, "key ")) {
			key_of(c.private[c.n_keys], field[1]);
			key_of(c.public[c.n_keys++], field[2]);
		} else if (g_str_has_prefix(*l, "message ")) {
			check_message(&c, field);
		}
		g_strfreev(field);
	}
	CU_ASSERT_EQUAL(c.offers + c.candidates + c.modes, 22);
	CU_ASSERT_TRUE(c.offers >= 4 && c.candidates >= 4 && c.modes == 4);
	g_strfreev(lines);
	g_free(text);
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"body encodes the known offer, answer and mode",
			body_encodes_the_known_offer_answer_and_mode},
		{"box seals and opens the known vector", box_seals_and_opens_the_known_vector},
		{"box refuses what is short, changed or for another",
			box_refuses_what_is_short_changed_or_for_another},
		{"box makes no key of a low-order point", box_makes_no_key_of_a_low_order_point},
		{"box never takes a nonce twice", box_never_takes_a_nonce_twice},
		{"body reads what it wrote", body_reads_what_it_wrote},
		{"body takes old and new dialects", body_takes_old_and_new_dialects},
		{"body refuses what is none", body_refuses_what_is_none},
		{"body refuses what is too long to send", body_refuses_what_is_too_long_to_send},
		{"messages of real peers open and are written alike",
			messages_of_real_peers_open_and_are_written_alike},
		CU_TEST_INFO_NULL,
	};

	if (sodium_init() < 0)
		return 1;
	CU_basic_set_mode(CU_BRM_NORMAL);
	return run_tests("signal messages", tests);
}
