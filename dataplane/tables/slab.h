// SPDX-License-Identifier: BSD-3-Clause
//
// Elements of one size in chunks of 2 MB, which the kernel may back by huge pages: a table of a million
// entries takes few TLB entries and no header per element. main only.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct slab {
	uint32_t size;  // of an element
	void *spare;    // freed elements, linked through their first word
	uint8_t *fresh; // what is left of the newest chunk
	size_t fresh_len;
	void **chunks;
	uint32_t nb_chunks;
};

void slab_init(struct slab *s, uint32_t size, uint32_t align);
void *slab_alloc(struct slab *s); // zeroed; NULL when there is no memory
void slab_free(struct slab *s, void *element);
void slab_fini(struct slab *s); // frees all elements with it
uint64_t slab_bytes(const struct slab *s);

// Zeroed memory of its own for large arrays, huge pages where the kernel has them.
void *pages_alloc(size_t len);
// Likewise, but mostly address space: small pages, each taken at its first use.
void *pages_reserve(size_t len);
void pages_touch(void *p, size_t len); // takes them from the kernel now, not at their first use
void pages_free(void *p, size_t len);
