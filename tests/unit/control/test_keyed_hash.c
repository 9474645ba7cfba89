// SPDX-License-Identifier: BSD-3-Clause
//
// control/keyed_hash.c: who chooses the keys of a table does not choose their buckets.
#include "../../../control/keyed_hash.h"
#include "../suite.h"

#include <stdint.h>
#include <string.h>

#define BLOCKS 4 // of 4 bytes, as an IPv6 address has

static guint fnv(guint state, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		state = (state ^ data[i]) * 16777619u;
	return state;
}

// Two blocks that take FNV-1a from a state to the same one: some 2^16 tries.
static guint find_pair(guint state, uint32_t ret[2])
{
	GHashTable *seen = g_hash_table_new(g_direct_hash, g_direct_equal);
	void *other;

	for (uint32_t i = 1;; i++) {
		uint32_t block = i * 2654435761u;
		guint h = fnv(state, (const uint8_t *)&block, sizeof(block));

		if (g_hash_table_lookup_extended(seen, GUINT_TO_POINTER(h), NULL, &other)) {
			ret[0] = GPOINTER_TO_UINT(other);
			ret[1] = block;
			g_hash_table_destroy(seen);
			return h;
		}
		g_hash_table_insert(seen, GUINT_TO_POINTER(h), GUINT_TO_POINTER(block));
	}
}

static void keys_that_were_made_to_collide_do_not(void)
{
	uint32_t pair[BLOCKS][2], key[BLOCKS];
	GHashTable *hashes = g_hash_table_new(g_direct_hash, g_direct_equal);
	guint state = 2166136261u;

	for (int i = 0; i < BLOCKS; i++)
		state = find_pair(state, pair[i]);
	for (unsigned int n = 0; n < 1u << BLOCKS; n++) {
		for (int i = 0; i < BLOCKS; i++)
			key[i] = pair[i][n >> i & 1];
		CU_ASSERT_EQUAL(fnv(2166136261u, (const uint8_t *)key, sizeof(key)), state);
		g_hash_table_add(hashes, GUINT_TO_POINTER(keyed_hash(key, sizeof(key))));
	}
	CU_ASSERT(g_hash_table_size(hashes) > 12); // by chance two may be equal, never many
	g_hash_table_destroy(hashes);
}

// "Bz" and "CY" are equal to g_str_hash, and so is every text of such pairs.
static void texts_that_were_made_to_collide_do_not(void)
{
	GHashTable *hashes = g_hash_table_new(g_direct_hash, g_direct_equal);
	guint same = 0;

	for (unsigned int n = 0; n < 4096; n++) {
		char text[25];

		for (int i = 0; i < 12; i++)
			memcpy(text + i * 2, n >> i & 1 ? "Bz" : "CY", 2);
		text[24] = 0;
		same = n == 0 ? g_str_hash(text) : same;
		CU_ASSERT_EQUAL(g_str_hash(text), same);
		g_hash_table_add(hashes, GUINT_TO_POINTER(keyed_text_hash(text)));
	}
	CU_ASSERT(g_hash_table_size(hashes) > 4090);
	g_hash_table_destroy(hashes);
}

static void equal_bytes_hash_equally(void)
{
	char a[] = "the same bytes", b[] = "the same bytes";

	CU_ASSERT_EQUAL(keyed_hash(a, sizeof(a)), keyed_hash(b, sizeof(b)));
	CU_ASSERT_NOT_EQUAL(keyed_hash(a, sizeof(a)), keyed_hash(b, sizeof(b) - 1));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(keys_that_were_made_to_collide_do_not),
		TEST(texts_that_were_made_to_collide_do_not),
		TEST(equal_bytes_hash_equally),
		CU_TEST_INFO_NULL,
	};

	return run_tests("keyed hash", tests);
}
