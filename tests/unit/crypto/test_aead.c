// SPDX-License-Identifier: BSD-3-Clause
//
// Every available AEAD backend against RFC 8439, against vectors made by another implementation
// (vectors.h), against the others, and against what must be refused: in the manner of Wycheproof.
#include "../../../crypto/aead.h"
#include "../../../crypto/noise.h"
#include "check.h"
#include "vectors.h"

#include <sys/mman.h>

#define MAX_BACKENDS 4
#define MAX_LEN      4200

static const struct aead_backend *backends[MAX_BACKENDS];
static void *ctxs[MAX_BACKENDS];
static unsigned int nb_backends;

static int backends_open(void)
{
	const struct aead_backend *b;

	while (nb_backends < MAX_BACKENDS && (b = aead_backend_at(nb_backends)) != NULL) {
		backends[nb_backends] = b;
		ctxs[nb_backends] = b->ctx_new();
		if (ctxs[nb_backends] == NULL)
			return -1;
		nb_backends++;
	}
	return nb_backends != 0 ? 0 : -1;
}

static int backends_close(void)
{
	for (unsigned int i = 0; i < nb_backends; i++)
		backends[i]->ctx_free(ctxs[i]);
	return 0;
}

// One packet in one piece, the way most of the tests want it.
struct packet {
	uint8_t key[32];
	uint64_t nonce;
	uint8_t aad[64];
	uint32_t aad_len;
	uint32_t len;
	uint8_t data[MAX_LEN];
	uint8_t tag[16];
};

static struct aead_op op_of(struct packet *p, struct aead_seg *seg)
{
	*seg = (struct aead_seg){.data = p->data, .len = p->len};
	return (struct aead_op){
		.key = p->key,
		.nonce = p->nonce,
		.aad = p->aad_len != 0 ? p->aad : NULL,
		.aad_len = p->aad_len,
		.nb_segs = 1,
		.segs = seg,
		.tag = p->tag,
	};
}

static void packet_seal(unsigned int b, struct packet *p)
{
	struct aead_seg seg;
	struct aead_op op = op_of(p, &seg);

	backends[b]->seal(ctxs[b], &op, 1);
}

static bool packet_open(unsigned int b, struct packet *p)
{
	struct aead_seg seg;
	struct aead_op op = op_of(p, &seg);
	unsigned int good;

	op.ok = true; // whatever was there before must be overwritten
	good = backends[b]->open(ctxs[b], &op, 1);
	CU_ASSERT_EQUAL(good, op.ok ? 1 : 0);
	return op.ok;
}

static void packet_random(struct packet *p, uint32_t len, uint32_t aad_len)
{
	randombytes_buf(p, sizeof(*p));
	p->len = len;
	p->aad_len = aad_len;
}

static bool packet_same(const struct packet *a, const struct packet *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0 &&
	       memcmp(a->tag, b->tag, 16) == 0;
}

// Cuts a payload at the given offsets (ascending, repeats give empty segments).
static unsigned int cut(
	struct aead_seg *segs, uint8_t *data, uint32_t len, const uint32_t *at, unsigned int n)
{
	uint32_t from = 0;

	for (unsigned int i = 0; i <= n; i++) {
		uint32_t to = i < n ? at[i] : len;

		segs[i] = (struct aead_seg){.data = data + from, .len = to - from};
		from = to;
	}
	return n + 1;
}

// ---- known answers -------------------------------------------------------------------------------

// Section 2.8.2's nonce does not begin with four zero bytes, so it has no form here; appendix A.5's does.
static void aead_gives_the_answer_of_rfc_8439_appendix_a5(void)
{
	static const char plain[] =
		"496e7465726e65742d4472616674732061726520647261667420646f63756d656e74732076616c69"
		"6420666f722061206d6178696d756d206f6620736978206d6f6e74687320616e64206d6179206265"
		"20757064617465642c207265706c616365642c206f72206f62736f6c65746564206279206f746865"
		"7220646f63756d656e747320617420616e792074696d652e20497420697320696e617070726f7072"
		"6961746520746f2075736520496e7465726e65742d447261667473206173207265666572656e6365"
		"206d6174657269616c206f7220746f2063697465207468656d206f74686572207468616e20617320"
		"2fe2809c776f726b20696e2070726f67726573732e2fe2809d";
	static const char cipher[] =
		"64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43ee"
		"a09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b9481"
		"14ad176e008d33bd60f982b1ff37c8559797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0"
		"f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523e"
		"af4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a0bb2316053fa7699"
		"1955ebd63159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130"
		"305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709b";

	for (unsigned int b = 0; b < nb_backends; b++) {
		struct packet p = {.nonce = 0x0807060504030201};

		check_hex(p.key, 32,
			"1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0");
		p.aad_len = (uint32_t)check_hex(p.aad, 64, "f33388860000000000004e91");
		p.len = (uint32_t)check_hex(p.data, MAX_LEN, plain);
		packet_seal(b, &p);
		CU_ASSERT(check_same(p.data, p.len, cipher));
		CU_ASSERT(check_same(p.tag, 16, "eead9d67890cbb22392336fea1851f38"));
		CU_ASSERT(packet_open(b, &p));
		CU_ASSERT(check_same(p.data, p.len, plain));
	}
}

static void aead_gives_the_known_answer_at_every_edge_length(void)
{
	for (unsigned int b = 0; b < nb_backends; b++) {
		for (size_t i = 0; i < sizeof(length_vectors) / sizeof(length_vectors[0]); i++) {
			uint32_t n = length_vectors[i].len;
			struct packet p = {.nonce = n * 0x0101010101ULL, .len = n, .aad_len = n % 21};
			uint8_t digest[32];
			bool plain = true;

			for (uint8_t k = 0; k < 32; k++)
				p.key[k] = k;
			for (uint32_t k = 0; k < p.aad_len; k++)
				p.aad[k] = (uint8_t)(k + n);
			for (uint32_t k = 0; k < n; k++)
				p.data[k] = (uint8_t)(k * 7 + n);
			packet_seal(b, &p);
			blake2s_hash(digest, p.data, n, p.tag, 16);
			CU_ASSERT(check_same(digest, 32, length_vectors[i].digest));
			CU_ASSERT(packet_open(b, &p));
			for (uint32_t k = 0; k < n; k++)
				plain = plain && p.data[k] == (uint8_t)(k * 7 + n);
			CU_ASSERT(plain);
		}
	}
}

static void aead_gives_the_known_answer_at_every_edge_nonce(void)
{
	for (unsigned int b = 0; b < nb_backends; b++) {
		for (size_t i = 0; i < sizeof(nonce_vectors) / sizeof(nonce_vectors[0]); i++) {
			const struct nonce_vector *v = &nonce_vectors[i];
			struct packet p = {.nonce = v->nonce, .len = 80};
			uint8_t sealed[96];

			check_hex(p.key, 32, v->key);
			for (uint8_t k = 0; k < 80; k++)
				p.data[k] = k;
			packet_seal(b, &p);
			memcpy(sealed, p.data, 80);
			memcpy(sealed + 80, p.tag, 16);
			CU_ASSERT(check_same(sealed, sizeof(sealed), v->sealed));
			CU_ASSERT(packet_open(b, &p));
		}
	}
}

static void poly1305_survives_its_carry_and_wrap_corner_cases(void)
{
	for (unsigned int b = 0; b < nb_backends; b++) {
		for (size_t i = 0; i < sizeof(edge_vectors) / sizeof(edge_vectors[0]); i++) {
			const struct edge_vector *v = &edge_vectors[i];

			// whole, and in two pieces, since that is other code
			for (uint32_t at = 0; at < 32; at += 5) {
				struct packet p = {.nonce = v->nonce};
				struct aead_seg segs[2];
				struct aead_op op = op_of(&p, segs);

				check_hex(p.key, 32, v->key);
				p.len = (uint32_t)check_hex(p.data, 32, v->plain);
				op.nb_segs = (uint16_t)cut(segs, p.data, p.len, &at, 1);
				backends[b]->seal(ctxs[b], &op, 1);
				CU_ASSERT(check_same(p.data, 32, v->cipher));
				CU_ASSERT(check_same(p.tag, 16, v->tag));
				CU_ASSERT_EQUAL(backends[b]->open(ctxs[b], &op, 1), 1);
				CU_ASSERT(check_same(p.data, 32, v->plain));
			}
		}
	}
}

// ---- refusal -------------------------------------------------------------------------------------

static void every_flipped_bit_of_the_tag_is_refused(void)
{
	static const uint32_t lens[] = {0, 1, 16, 64, 65, 1420};

	for (unsigned int b = 0; b < nb_backends; b++) {
		for (size_t l = 0; l < sizeof(lens) / sizeof(lens[0]); l++) {
			struct packet p;

			packet_random(&p, lens[l], 0);
			packet_seal(b, &p);
			for (unsigned int bit = 0; bit < 128; bit++) {
				struct packet bad = p;
				struct aead_seg segs[3];
				struct aead_op op;
				uint32_t at[2] = {p.len / 3, p.len / 2};

				bad.tag[bit / 8] ^= (uint8_t)(1 << bit % 8);
				CU_ASSERT(!packet_open(b, &bad));
				memcpy(bad.data, p.data, p.len);
				op = op_of(&bad, segs);
				op.nb_segs = (uint16_t)cut(segs, bad.data, bad.len, at, 2);
				CU_ASSERT_EQUAL(backends[b]->open(ctxs[b], &op, 1), 0);
				CU_ASSERT(!op.ok);
			}
			CU_ASSERT(packet_open(b, &p));
		}
	}
}

static void special_tags_are_refused(void)
{
	for (unsigned int b = 0; b < nb_backends; b++) {
		struct packet p, bad;

		packet_random(&p, 100, 0);
		packet_seal(b, &p);
		for (int kind = 0; kind < 5; kind++) {
			bad = p;
			for (int i = 0; i < 16; i++) {
				const uint8_t forms[] = {
					0x00, 0xff, 0x80, 0x01, (uint8_t)(p.tag[i] ^ 0xff)};

				bad.tag[i] = forms[kind];
			}
			CU_ASSERT(!packet_open(b, &bad));
		}
		bad = p;
		for (int i = 0; i < 16; i++)
			bad.tag[i] = p.tag[15 - i];
		CU_ASSERT(!packet_open(b, &bad));
	}
}

static void every_changed_byte_of_payload_aad_nonce_and_key_is_refused(void)
{
	for (unsigned int b = 0; b < nb_backends; b++) {
		struct packet p, bad;

		packet_random(&p, 300, 13);
		packet_seal(b, &p);
		for (uint32_t i = 0; i < p.len; i++) {
			bad = p;
			bad.data[i] ^= (uint8_t)(1 << i % 8);
			CU_ASSERT(!packet_open(b, &bad));
		}
		for (uint32_t i = 0; i < p.aad_len; i++) {
			bad = p;
			bad.aad[i] ^= 0x80;
			CU_ASSERT(!packet_open(b, &bad));
		}
		for (int i = 0; i < 64; i++) {
			bad = p;
			bad.nonce ^= 1ULL << i;
			CU_ASSERT(!packet_open(b, &bad));
		}
		for (int i = 0; i < 256; i++) {
			bad = p;
			bad.key[i / 8] ^= (uint8_t)(1 << i % 8);
			CU_ASSERT(!packet_open(b, &bad));
		}
		bad = p;
		bad.len--;
		CU_ASSERT(!packet_open(b, &bad));
		bad = p;
		bad.data[bad.len++] = 0;
		CU_ASSERT(!packet_open(b, &bad));
		bad = p;
		bad.aad_len = 0;
		CU_ASSERT(!packet_open(b, &bad));
		CU_ASSERT(packet_open(b, &p));
	}
}

// ---- segments ------------------------------------------------------------------------------------

static void compare_cut(unsigned int b, const struct packet *plain, const struct packet *sealed,
	const uint32_t *at, unsigned int n)
{
	struct aead_seg segs[AEAD_MAX_SEGS];
	struct packet p = *plain;
	struct aead_op op = op_of(&p, segs);

	memset(p.tag, 0, sizeof(p.tag));
	op.nb_segs = (uint16_t)cut(segs, p.data, p.len, at, n);
	backends[b]->seal(ctxs[b], &op, 1);
	CU_ASSERT(packet_same(&p, sealed));
	CU_ASSERT_EQUAL(backends[b]->open(ctxs[b], &op, 1), 1);
	CU_ASSERT_EQUAL(memcmp(p.data, plain->data, p.len), 0);
}

static void segments_may_be_cut_at_every_offset(void)
{
	static const uint32_t lens[] = {0, 1, 16, 63, 64, 65, 128, 200, 333, 1420};

	for (size_t l = 0; l < sizeof(lens) / sizeof(lens[0]); l++) {
		struct packet plain, sealed;

		packet_random(&plain, lens[l], l % 2 == 0 ? 0 : 12);
		sealed = plain;
		packet_seal(0, &sealed);
		for (unsigned int b = 0; b < nb_backends; b++) {
			for (uint32_t at = 0; at <= plain.len; at++)
				compare_cut(b, &plain, &sealed, &at, 1);
		}
	}
}

static void segments_may_be_cut_at_every_pair_of_offsets(void)
{
	struct packet plain, sealed;

	packet_random(&plain, 150, 0);
	sealed = plain;
	packet_seal(0, &sealed);
	for (unsigned int b = 0; b < nb_backends; b++) {
		for (uint32_t i = 0; i <= plain.len; i++) {
			for (uint32_t k = i; k <= plain.len; k++)
				compare_cut(b, &plain, &sealed, (uint32_t[]){i, k}, 2);
		}
	}
}

static void segments_may_be_many_and_single_bytes(void)
{
	for (unsigned int b = 0; b < nb_backends; b++) {
		for (uint32_t step = 1; step <= 65; step++) {
			struct packet plain, sealed;
			uint32_t at[AEAD_MAX_SEGS - 1];

			packet_random(&plain, step * AEAD_MAX_SEGS, 0);
			sealed = plain;
			packet_seal(0, &sealed);
			for (uint32_t i = 0; i < AEAD_MAX_SEGS - 1; i++)
				at[i] = (i + 1) * step;
			compare_cut(b, &plain, &sealed, at, AEAD_MAX_SEGS - 1);
		}
	}
}

static void no_segments_is_an_empty_payload(void)
{
	for (unsigned int b = 0; b < nb_backends; b++) {
		struct packet p, q;
		struct aead_seg seg;
		struct aead_op op;

		packet_random(&p, 0, 0);
		q = p;
		packet_seal(b, &p);
		op = op_of(&q, &seg);
		op.nb_segs = 0;
		op.segs = NULL;
		backends[b]->seal(ctxs[b], &op, 1);
		CU_ASSERT_EQUAL(memcmp(p.tag, q.tag, 16), 0);
		CU_ASSERT_EQUAL(backends[b]->open(ctxs[b], &op, 1), 1);
	}
}

// ---- bursts --------------------------------------------------------------------------------------

struct burst {
	struct packet packets[AEAD_BURST];
	struct aead_seg segs[AEAD_BURST][4];
	struct aead_op ops[AEAD_BURST];
};

static struct burst *burst_random(void)
{
	struct burst *u = calloc(1, sizeof(*u));

	CU_ASSERT_PTR_NOT_NULL_FATAL(u);
	for (unsigned int i = 0; i < AEAD_BURST; i++) {
		struct packet *p = &u->packets[i];
		uint32_t at[3];

		packet_random(p, randombytes_uniform(1500), i % 5 == 0 ? randombytes_uniform(40) : 0);
		u->ops[i] = op_of(p, u->segs[i]);
		if (i % 3 != 0)
			continue;
		at[0] = randombytes_uniform(p->len + 1);
		at[1] = at[0] + randombytes_uniform(p->len - at[0] + 1);
		at[2] = at[1] + randombytes_uniform(p->len - at[1] + 1);
		u->ops[i].nb_segs = (uint16_t)cut(u->segs[i], p->data, p->len, at, 3);
	}
	return u;
}

static void bursts_of_mixed_sizes_and_keys_equal_single_packets(void)
{
	for (unsigned int b = 0; b < nb_backends; b++) {
		for (unsigned int n = 0; n <= AEAD_BURST; n++) {
			struct burst *u = burst_random();
			struct packet *alone = malloc(sizeof(u->packets));
			unsigned int other = (b + 1) % nb_backends;

			CU_ASSERT_PTR_NOT_NULL_FATAL(alone);
			memcpy(alone, u->packets, sizeof(u->packets));
			backends[b]->seal(ctxs[b], u->ops, n);
			for (unsigned int i = 0; i < AEAD_BURST; i++) {
				if (i < n)
					packet_seal(other, &alone[i]);
				CU_ASSERT(packet_same(&alone[i], &u->packets[i]));
			}
			CU_ASSERT_EQUAL(backends[other]->open(ctxs[other], u->ops, n), n);
			free(alone);
			free(u);
		}
	}
}

static void one_bad_among_64_is_the_only_one_refused(void)
{
	for (unsigned int b = 0; b < nb_backends; b++) {
		for (unsigned int bad = 0; bad < AEAD_BURST; bad++) {
			struct burst *u = burst_random();
			struct packet *plain = malloc(sizeof(u->packets));

			CU_ASSERT_PTR_NOT_NULL_FATAL(plain);
			memcpy(plain, u->packets, sizeof(u->packets));
			backends[b]->seal(ctxs[b], u->ops, AEAD_BURST);
			u->packets[bad].tag[bad % 16] ^= 1;
			CU_ASSERT_EQUAL(
				backends[b]->open(ctxs[b], u->ops, AEAD_BURST), AEAD_BURST - 1);
			for (unsigned int i = 0; i < AEAD_BURST; i++) {
				CU_ASSERT_EQUAL(u->ops[i].ok, i != bad);
				if (i != bad)
					CU_ASSERT_EQUAL(memcmp(u->packets[i].data, plain[i].data,
								plain[i].len),
						0);
			}
			free(plain);
			free(u);
		}
	}
}

static void backends_agree_on_random_packets(void)
{
	for (unsigned int n = 0; n < 3000; n++) {
		struct packet plain, first;

		packet_random(&plain, randombytes_uniform(n % 8 == 0 ? 4096 : 300),
			randombytes_uniform(64));
		first = plain;
		packet_seal(0, &first);
		for (unsigned int b = 1; b < nb_backends; b++) {
			struct packet other = plain;

			packet_seal(b, &other);
			CU_ASSERT(packet_same(&first, &other));
			CU_ASSERT(packet_open(0, &other));
		}
		for (unsigned int b = 0; b < nb_backends; b++) {
			struct packet opened = first;

			CU_ASSERT(packet_open(b, &opened));
			CU_ASSERT_EQUAL(memcmp(opened.data, plain.data, plain.len), 0);
		}
	}
}

// ---- memory --------------------------------------------------------------------------------------

// A payload that ends, or begins, right at a page that cannot be touched; the assembler of a library is
// not seen by the sanitizers.
static void payloads_at_the_edge_of_a_page_touch_nothing_else(void)
{
	const size_t page = 4096;
	uint8_t *map =
		mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *start = map + page, *end = map + 3 * page;

	CU_ASSERT_FATAL(map != MAP_FAILED);
	CU_ASSERT_FATAL(mprotect(map, page, PROT_NONE) == 0);
	CU_ASSERT_FATAL(mprotect(end, page, PROT_NONE) == 0);
	for (unsigned int b = 0; b < nb_backends; b++) {
		for (uint32_t len = 0; len <= 1100; len++) {
			struct packet p;
			struct aead_seg seg;
			struct aead_op op;

			packet_random(&p, len, 0);
			op = op_of(&p, &seg);
			for (int side = 0; side < 2; side++) {
				uint8_t *outside = side == 0 ? start + len : end - len - 64;

				memset(start, 0xa5, 2 * page);
				seg.data = side == 0 ? start : end - len;
				memcpy(seg.data, p.data, len);
				backends[b]->seal(ctxs[b], &op, 1);
				CU_ASSERT_EQUAL(backends[b]->open(ctxs[b], &op, 1), 1);
				CU_ASSERT_EQUAL(memcmp(seg.data, p.data, len), 0);
				for (int i = 0; i < 64; i++)
					CU_ASSERT_EQUAL(outside[i], 0xa5);
			}
		}
	}
	munmap(map, 4 * page);
}

static void payloads_may_lie_at_any_alignment(void)
{
	static uint8_t room[64 + 700];

	for (unsigned int b = 0; b < nb_backends; b++) {
		for (uint32_t off = 0; off < 64; off++) {
			struct packet p, sealed;
			struct aead_seg seg;
			struct aead_op op;

			packet_random(&p, 600, 0);
			sealed = p;
			packet_seal(0, &sealed);
			op = op_of(&p, &seg);
			seg.data = room + off;
			memcpy(seg.data, p.data, p.len);
			backends[b]->seal(ctxs[b], &op, 1);
			CU_ASSERT_EQUAL(memcmp(seg.data, sealed.data, p.len), 0);
			CU_ASSERT_EQUAL(memcmp(p.tag, sealed.tag, 16), 0);
		}
	}
}

// ---- the registry --------------------------------------------------------------------------------

static void backends_are_found_by_name(void)
{
	const struct aead_backend *best = aead_backend_find("auto");

	CU_ASSERT_PTR_NOT_NULL_FATAL(best);
	CU_ASSERT_PTR_EQUAL(aead_backend_find(NULL), best);
	CU_ASSERT_PTR_EQUAL(aead_backend_find(best->name), best);
	CU_ASSERT_PTR_NULL(aead_backend_find(""));
	CU_ASSERT_PTR_NULL(aead_backend_find("Sodium"));
	CU_ASSERT_PTR_NOT_NULL(aead_backend_find("sodium"));
	CU_ASSERT_PTR_NULL(aead_backend_at(nb_backends));
	for (unsigned int i = 0; i < nb_backends; i++) {
		CU_ASSERT_PTR_EQUAL(aead_backend_find(backends[i]->name), backends[i]);
		backends[i]->ctx_free(NULL);
	}
#if defined(__x86_64__)
	// The comparisons of this file mean little with one backend: be sure that there are two.
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("pclmul")) {
		CU_ASSERT_EQUAL(nb_backends, 2);
		CU_ASSERT_STRING_EQUAL(best->name, "ipsec_mb");
	}
#endif
}

static CU_TestInfo tests[] = {
	TEST(backends_are_found_by_name),
	TEST(aead_gives_the_answer_of_rfc_8439_appendix_a5),
	TEST(aead_gives_the_known_answer_at_every_edge_length),
	TEST(aead_gives_the_known_answer_at_every_edge_nonce),
	TEST(poly1305_survives_its_carry_and_wrap_corner_cases),
	TEST(every_flipped_bit_of_the_tag_is_refused),
	TEST(special_tags_are_refused),
	TEST(every_changed_byte_of_payload_aad_nonce_and_key_is_refused),
	TEST(segments_may_be_cut_at_every_offset),
	TEST(segments_may_be_cut_at_every_pair_of_offsets),
	TEST(segments_may_be_many_and_single_bytes),
	TEST(no_segments_is_an_empty_payload),
	TEST(bursts_of_mixed_sizes_and_keys_equal_single_packets),
	TEST(one_bad_among_64_is_the_only_one_refused),
	TEST(backends_agree_on_random_packets),
	TEST(payloads_at_the_edge_of_a_page_touch_nothing_else),
	TEST(payloads_may_lie_at_any_alignment),
	CU_TEST_INFO_NULL,
};

int main(void)
{
	int failed;

	if (sodium_init() < 0 || backends_open() != 0)
		return 2;
	failed = run_tests("aead", tests);
	backends_close();
	return failed;
}
