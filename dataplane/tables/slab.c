// SPDX-License-Identifier: BSD-3-Clause
//
// See slab.h. Chunks are given back at the end only.
#include "slab.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK (2UL << 20)

// mmap aligns to small pages: take more and give the ends back.
void *pages_alloc(size_t len)
{
	size_t align = len >= CHUNK ? CHUNK : 4096, slack = len >= CHUNK ? CHUNK : 0, front;
	uint8_t *p =
		mmap(NULL, len + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	front = (align - (uintptr_t)p % align) % align;
	if (front > 0)
		munmap(p, front);
	if (slack > front)
		munmap(p + front + len, slack - front);
	(void)madvise(p + front, len, MADV_HUGEPAGE);
	return p + front;
}

void *pages_reserve(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void pages_touch(void *p, size_t len)
{
	(void)madvise(p, len, MADV_POPULATE_WRITE);
}

void pages_free(void *p, size_t len)
{
	if (p != NULL)
		munmap(p, len);
}

void slab_init(struct slab *s, uint32_t size, uint32_t align)
{
	memset(s, 0, sizeof(*s));
	s->size = (size + align - 1) / align * align;
}

static int chunk_add(struct slab *s)
{
	void **chunks = realloc(s->chunks, (s->nb_chunks + 1) * sizeof(*chunks));

	if (chunks == NULL)
		return -1;
	s->chunks = chunks;
	s->fresh = pages_alloc(CHUNK);
	if (s->fresh == NULL) {
		s->fresh_len = 0;
		return -1;
	}
	s->fresh_len = CHUNK;
	s->chunks[s->nb_chunks++] = s->fresh;
	return 0;
}

void *slab_alloc(struct slab *s)
{
	void *element = s->spare;

	if (element != NULL) {
		memcpy(&s->spare, element, sizeof(s->spare));
		memset(element, 0, s->size);
		return element;
	}
	if (s->fresh_len < s->size && chunk_add(s) < 0)
		return NULL;
	element = s->fresh;
	s->fresh += s->size;
	s->fresh_len -= s->size;
	return element;
}

void slab_free(struct slab *s, void *element)
{
	if (element == NULL)
		return;
	memcpy(element, &s->spare, sizeof(s->spare));
	s->spare = element;
}

void slab_fini(struct slab *s)
{
	for (uint32_t i = 0; i < s->nb_chunks; i++)
		pages_free(s->chunks[i], CHUNK);
	free(s->chunks);
	memset(s, 0, sizeof(*s));
}

uint64_t slab_bytes(const struct slab *s)
{
	return s->nb_chunks * CHUNK;
}
