// SPDX-License-Identifier: BSD-3-Clause
//
// The libsodium backend: the reference the others are checked against, and the one for CPUs without
// AVX2. Payloads in one piece take the library's own AEAD call; segmented ones are put together
// here from its ChaCha20 and Poly1305 (RFC 8439 section 2.8). A context belongs to one lcore.
#include "aead_backends.h"
#include "messages.h"

#include <sodium.h>

#include <stdlib.h>
#include <string.h>

#define BLOCK_LEN 64 // of ChaCha20's key stream

struct sodium_ctx {
	crypto_onetimeauth_poly1305_state mac;
	uint8_t stream[BLOCK_LEN];
	uint8_t computed[AEAD_TAG_LEN];
};

static const uint8_t zeros[BLOCK_LEN];

static bool available(void)
{
	return sodium_init() >= 0;
}

static void *ctx_new(void)
{
	struct sodium_ctx *c = aligned_alloc(64, (sizeof(*c) + 63) / 64 * 64);

	if (c != NULL)
		memset(c, 0, sizeof(*c));
	return c;
}

static void ctx_free(void *ctx)
{
	if (ctx == NULL)
		return;
	sodium_memzero(ctx, sizeof(struct sodium_ctx));
	free(ctx);
}

// XORs one segment that begins at byte pos of the key stream (which itself begins at block 1). A
// block cut by a segment boundary is generated once for either side of it.
static void xor_segment(struct sodium_ctx *c, const struct aead_op *op, const uint8_t *nonce,
	const struct aead_seg *seg, uint64_t pos)
{
	uint32_t off = pos % BLOCK_LEN;
	uint32_t done = 0;

	if (off != 0) {
		crypto_stream_chacha20_ietf_xor_ic(c->stream, zeros, BLOCK_LEN, nonce,
			(uint32_t)(1 + pos / BLOCK_LEN), op->key);
		for (; done < seg->len && off < BLOCK_LEN; done++, off++)
			seg->data[done] ^= c->stream[off];
	}
	if (done < seg->len)
		crypto_stream_chacha20_ietf_xor_ic(seg->data + done, seg->data + done,
			seg->len - done, nonce, (uint32_t)(1 + (pos + done) / BLOCK_LEN), op->key);
}

static void xor_segments(struct sodium_ctx *c, const struct aead_op *op, const uint8_t *nonce)
{
	uint64_t pos = 0;

	for (unsigned int i = 0; i < op->nb_segs; i++) {
		if (op->segs[i].len == 0)
			continue;
		xor_segment(c, op, nonce, &op->segs[i], pos);
		pos += op->segs[i].len;
	}
}

static void mac_padding(struct sodium_ctx *c, uint64_t len)
{
	crypto_onetimeauth_poly1305_update(&c->mac, zeros, -len % 16);
}

static void mac_segments(struct sodium_ctx *c, const struct aead_op *op, const uint8_t *nonce,
	uint8_t tag[AEAD_TAG_LEN])
{
	uint64_t total = 0;
	uint64_t lengths[2];

	crypto_stream_chacha20_ietf(c->stream, BLOCK_LEN, nonce, op->key);
	crypto_onetimeauth_poly1305_init(&c->mac, c->stream);
	if (op->aad_len != 0) {
		crypto_onetimeauth_poly1305_update(&c->mac, op->aad, op->aad_len);
		mac_padding(c, op->aad_len);
	}
	for (unsigned int i = 0; i < op->nb_segs; i++) {
		if (op->segs[i].len == 0)
			continue;
		crypto_onetimeauth_poly1305_update(&c->mac, op->segs[i].data, op->segs[i].len);
		total += op->segs[i].len;
	}
	mac_padding(c, total);
	lengths[0] = htole64(op->aad_len);
	lengths[1] = htole64(total);
	crypto_onetimeauth_poly1305_update(&c->mac, (const uint8_t *)lengths, sizeof(lengths));
	crypto_onetimeauth_poly1305_final(&c->mac, tag);
}

static void wipe(struct sodium_ctx *c)
{
	sodium_memzero(c, sizeof(*c));
}

static void seal_one(struct sodium_ctx *c, struct aead_op *op)
{
	uint8_t nonce[AEAD_NONCE_LEN];
	const struct aead_seg empty = {.data = c->stream, .len = 0};
	const struct aead_seg *seg = aead_single(op, &empty);

	aead_nonce(nonce, op->nonce);
	if (seg != NULL) {
		crypto_aead_chacha20poly1305_ietf_encrypt_detached(seg->data, op->tag, NULL,
			seg->data, seg->len, op->aad, op->aad_len, NULL, nonce, op->key);
		return;
	}
	xor_segments(c, op, nonce);
	mac_segments(c, op, nonce, op->tag);
	wipe(c);
}

static bool open_one(struct sodium_ctx *c, struct aead_op *op)
{
	uint8_t nonce[AEAD_NONCE_LEN];
	const struct aead_seg empty = {.data = c->stream, .len = 0};
	const struct aead_seg *seg = aead_single(op, &empty);
	bool ok;

	aead_nonce(nonce, op->nonce);
	if (seg != NULL)
		return crypto_aead_chacha20poly1305_ietf_decrypt_detached(seg->data, NULL, seg->data,
			       seg->len, op->tag, op->aad, op->aad_len, nonce, op->key) == 0;
	mac_segments(c, op, nonce, c->computed);
	ok = crypto_verify_16(c->computed, op->tag) == 0;
	if (ok)
		xor_segments(c, op, nonce);
	wipe(c);
	return ok;
}

static void seal(void *ctx, struct aead_op *ops, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		seal_one(ctx, &ops[i]);
}

static unsigned int open_burst(void *ctx, struct aead_op *ops, unsigned int n)
{
	unsigned int good = 0;

	for (unsigned int i = 0; i < n; i++) {
		ops[i].ok = open_one(ctx, &ops[i]);
		good += ops[i].ok;
	}
	return good;
}

const struct aead_backend aead_sodium = {
	.name = "sodium",
	.available = available,
	.ctx_new = ctx_new,
	.ctx_free = ctx_free,
	.seal = seal,
	.open = open_burst,
};
