// SPDX-License-Identifier: BSD-3-Clause
//
// ChaCha20-Poly1305 (RFC 8439) over a vector of packets. This is the seam behind which backends
// live: every op of a burst has its own key, nonce and segments, so that a backend may compute
// several packets at once. In place, no allocation, no locks, no logging: lcores call it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AEAD_KEY_LEN  32
#define AEAD_MAX_SEGS 64
#define AEAD_BURST    64 // largest n of one call

struct aead_seg {
	uint8_t *data;
	uint32_t len; // 0 is allowed
};

struct aead_op {
	const uint8_t *key; // 32 bytes; the caller keeps it alive over the call
	uint64_t nonce;     // WireGuard's form: 4 zero bytes, then this as LE64
	const uint8_t *aad; // NULL for data packets
	uint32_t aad_len;
	uint16_t nb_segs; // 0..AEAD_MAX_SEGS; boundaries may fall anywhere
	bool ok;          // out, open only: the tag verified; if not, the contents are undefined
	struct aead_seg *segs; // payload, encrypted or decrypted in place
	uint8_t *tag;          // 16 bytes: seal writes it, open reads it
};

struct aead_backend {
	const char *name;
	bool (*available)(void);     // the CPU can run it; called once before anything else
	void *(*ctx_new)(void);      // one per lcore; NULL on failure
	void (*ctx_free)(void *ctx); // NULL is a no-op
	void (*seal)(void *ctx, struct aead_op *ops, unsigned int n);
	// Returns how many are ok.
	unsigned int (*open)(void *ctx, struct aead_op *ops, unsigned int n);
};

// "auto" (or NULL) gives the fastest available, otherwise the backend of that name or NULL.
const struct aead_backend *aead_backend_find(const char *name);
// i-th available backend or NULL past the last: for tests, benches and --help.
const struct aead_backend *aead_backend_at(unsigned int i);
