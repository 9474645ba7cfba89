// SPDX-License-Identifier: BSD-3-Clause
//
// Sealing of secrets that leave this process: in control blobs that the data plane keeps for straitd, and
// in files of the run directory. XChaCha20-Poly1305 with a random nonce under a key that is kept in the
// run directory (tmpfs), mode 0600, so that what is sealed outlives straitd and ends with the boot.
// Main loop thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SEAL_KEY_NAME "seal.key" // in the run directory
#define SEAL_OVERHEAD 41         // version 1, nonce 24, tag 16

struct seal;

// The key of `run_dir`, made when there is none. A key file that is damaged, not ours or readable by others
// is named in a warning, kept aside as seal.key.bad, and a new key takes its place: what was sealed with
// it does not open any more. NULL with *ret_error when the directory cannot be used.
struct seal *seal_new(const char *run_dir, char **ret_error);
void seal_free(struct seal *s); // wipes the key; NULL is fine

// Seals plain_len bytes into out, which has room for plain_len + SEAL_OVERHEAD. `context` says what the
// secret belongs to (kind and key of its object, say): what was sealed for one does not open for another.
// Returns plain_len + SEAL_OVERHEAD. plain and out must not overlap.
size_t seal_close(const struct seal *s, uint8_t *out, const void *plain, size_t plain_len,
	const void *context, size_t context_len);
// Opens what seal_close made into out, which has room for sealed_len - SEAL_OVERHEAD. Returns the length of
// the plain text, or -EBADMSG: cut, changed, of another context, another version or another key.
// Nothing of a text that does not verify is left in out. The caller wipes the secret after use.
int seal_open(const struct seal *s, void *out, const uint8_t *sealed, size_t sealed_len,
	const void *context, size_t context_len);
// A key for something else than sealing: the same for the same purpose for as long as the sealing key lives.
#define SEAL_DERIVED_LEN 32
void seal_derive(const struct seal *s, const char *purpose, uint8_t out[SEAL_DERIVED_LEN]);
