// SPDX-License-Identifier: BSD-3-Clause
//
// The backends that aead.c knows. Nobody else includes this: callers go through the registry.
#pragma once

#include "aead.h"

extern const struct aead_backend aead_sodium;
extern const struct aead_backend aead_ipsec_mb;

// Whether ipsec-mb has wide code for this CPU; with SSE alone libsodium is as good.
bool aead_ipsec_mb_is_fast(void);
