// SPDX-License-Identifier: BSD-3-Clause
//
// The intel-ipsec-mb backend. Payloads in one piece go through its burst of jobs, which completes
// ChaCha20-Poly1305 within the call; segmented ones through its direct init/update/finalize calls.
// A context, with the library's manager in it, belongs to one lcore.
#include "aead_backends.h"
#include "messages.h"

#include <intel-ipsec-mb.h>
#include <sodium.h>

#include <stdlib.h>
#include <string.h>

_Static_assert(AEAD_BURST <= IMB_MAX_BURST_SIZE, "a burst fits the library's");

struct ipsec_mb_ctx {
	IMB_MGR *mgr; // in the memory behind this struct
	size_t size;  // of that memory and this struct together
	struct chacha20_poly1305_context_data direct;
	uint8_t nonces[AEAD_BURST][AEAD_NONCE_LEN];
	uint8_t tags[AEAD_BURST][AEAD_TAG_LEN]; // computed by open
	uint8_t nothing[16];                    // a place for payloads and AADs of length 0
};

static bool available(void)
{
	const uint64_t needed = IMB_CPUFLAGS_SSE;

	return sodium_init() >= 0 && (imb_get_feature_flags() & needed) == needed;
}

bool aead_ipsec_mb_is_fast(void)
{
	return (imb_get_feature_flags() & IMB_CPUFLAGS_AVX2) == IMB_CPUFLAGS_AVX2;
}

static size_t round_up(size_t n)
{
	return (n + 63) / 64 * 64;
}

static void *ctx_new(void)
{
	size_t head = round_up(sizeof(struct ipsec_mb_ctx));
	size_t size = head + round_up(imb_get_mb_mgr_size());
	struct ipsec_mb_ctx *c = aligned_alloc(64, size);

	if (c == NULL)
		return NULL;
	memset(c, 0, size);
	c->size = size;
	c->mgr = imb_set_pointers_mb_mgr((uint8_t *)c + head, 0, 1);
	if (c->mgr == NULL)
		goto err_free;
	init_mb_mgr_auto(c->mgr, NULL);
	if (imb_get_errno(c->mgr) != 0)
		goto err_free;
	return c;

err_free:
	sodium_memzero(c, size);
	free(c);
	return NULL;
}

static void ctx_free(void *ctx)
{
	struct ipsec_mb_ctx *c = ctx;

	if (c == NULL)
		return;
	sodium_memzero(c, c->size);
	free(c);
}

static void job_fill(IMB_JOB *job, const struct aead_op *op, const struct aead_seg *seg,
	const uint8_t *nonce, uint8_t *tag)
{
	job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
	job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
	job->enc_keys = op->key;
	job->dec_keys = op->key;
	job->key_len_in_bytes = AEAD_KEY_LEN;
	job->src = seg->data;
	job->dst = seg->data;
	job->cipher_start_src_offset_in_bytes = 0;
	job->msg_len_to_cipher_in_bytes = seg->len;
	job->hash_start_src_offset_in_bytes = 0;
	job->msg_len_to_hash_in_bytes = seg->len;
	job->iv = nonce;
	job->iv_len_in_bytes = AEAD_NONCE_LEN;
	job->auth_tag_output = tag;
	job->auth_tag_output_len_in_bytes = AEAD_TAG_LEN;
	job->u.CHACHA20_POLY1305.aad = op->aad;
	job->u.CHACHA20_POLY1305.aad_len_in_bytes = op->aad_len;
}

static void run_direct(struct ipsec_mb_ctx *c, const struct aead_op *op, const uint8_t *nonce,
	uint8_t *tag, bool encrypt)
{
	const uint8_t *aad = op->aad_len != 0 ? op->aad : c->nothing;

	IMB_CHACHA20_POLY1305_INIT(c->mgr, op->key, &c->direct, nonce, aad, op->aad_len);
	for (unsigned int i = 0; i < op->nb_segs; i++) {
		const struct aead_seg *seg = &op->segs[i];

		if (seg->len == 0)
			continue;
		if (encrypt)
			IMB_CHACHA20_POLY1305_ENC_UPDATE(
				c->mgr, op->key, &c->direct, seg->data, seg->data, seg->len);
		else
			IMB_CHACHA20_POLY1305_DEC_UPDATE(
				c->mgr, op->key, &c->direct, seg->data, seg->data, seg->len);
	}
	IMB_CHACHA20_POLY1305_ENC_FINALIZE(c->mgr, &c->direct, tag, AEAD_TAG_LEN);
	sodium_memzero(&c->direct, sizeof(c->direct));
}

// Computes all tags: into the ops when sealing, into c->tags when opening.
static void run(struct ipsec_mb_ctx *c, struct aead_op *ops, unsigned int n, bool encrypt)
{
	const struct aead_seg empty = {.data = c->nothing, .len = 0};
	IMB_JOB *jobs[AEAD_BURST];
	unsigned int nb_jobs = 0;

	if (n == 0)
		return;
	// The manager's queue is empty between calls, so all the jobs asked for are there, and this
	// pair of algorithms completes within the submit. Were it ever otherwise, packets would go
	// out in the clear: stop instead.
	if (IMB_GET_NEXT_BURST(c->mgr, n, jobs) != n)
		abort();
	for (unsigned int i = 0; i < n; i++) {
		const struct aead_seg *seg = aead_single(&ops[i], &empty);
		uint8_t *tag = encrypt ? ops[i].tag : c->tags[i];

		aead_nonce(c->nonces[i], ops[i].nonce);
		if (seg == NULL) {
			run_direct(c, &ops[i], c->nonces[i], tag, encrypt);
			continue;
		}
		job_fill(jobs[nb_jobs], &ops[i], seg, c->nonces[i], tag);
		jobs[nb_jobs]->cipher_direction = encrypt ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
		jobs[nb_jobs]->chain_order = encrypt ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
		nb_jobs++;
	}
	if (nb_jobs != 0 && IMB_SUBMIT_BURST_NOCHECK(c->mgr, nb_jobs, jobs) != nb_jobs)
		abort();
}

static void seal(void *ctx, struct aead_op *ops, unsigned int n)
{
	run(ctx, ops, n, true);
}

static unsigned int open_burst(void *ctx, struct aead_op *ops, unsigned int n)
{
	struct ipsec_mb_ctx *c = ctx;
	unsigned int good = 0;

	run(c, ops, n, false);
	for (unsigned int i = 0; i < n; i++) {
		ops[i].ok = crypto_verify_16(c->tags[i], ops[i].tag) == 0;
		good += ops[i].ok;
	}
	return good;
}

const struct aead_backend aead_ipsec_mb = {
	.name = "ipsec_mb",
	.available = available,
	.ctx_new = ctx_new,
	.ctx_free = ctx_free,
	.seal = seal,
	.open = open_burst,
};
