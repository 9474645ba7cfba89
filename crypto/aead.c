// SPDX-License-Identifier: BSD-3-Clause
//
// The registry of AEAD backends. Any thread may ask; nothing here is written after start.
#include "aead.h"

#include "aead_backends.h"

#include <string.h>

static const struct aead_backend *const backends[] = {
	&aead_ipsec_mb,
	&aead_sodium,
};

#define NB_BACKENDS (sizeof(backends) / sizeof(backends[0]))

static const struct aead_backend *fastest(void)
{
	if (aead_ipsec_mb.available() && aead_ipsec_mb_is_fast())
		return &aead_ipsec_mb;
	return aead_sodium.available() ? &aead_sodium : NULL;
}

const struct aead_backend *aead_backend_find(const char *name)
{
	if (name == NULL || strcmp(name, "auto") == 0)
		return fastest();
	for (size_t i = 0; i < NB_BACKENDS; i++) {
		if (strcmp(backends[i]->name, name) == 0)
			return backends[i]->available() ? backends[i] : NULL;
	}
	return NULL;
}

const struct aead_backend *aead_backend_at(unsigned int i)
{
	for (size_t k = 0; k < NB_BACKENDS; k++) {
		if (!backends[k]->available())
			continue;
		if (i-- == 0)
			return backends[k];
	}
	return NULL;
}
