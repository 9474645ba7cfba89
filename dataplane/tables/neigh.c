// SPDX-License-Identifier: BSD-3-Clause
//
// Neighbours. The MAC is the hash's data word itself, so a change is one store and a look-up touches
// nothing but the hash. Freed key slots come back after quiescence.
#include "neigh.h"

#include "../reclaim.h"

#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// The cap of ST_NEIGH and room to spare: a cuckoo hash does not fill up quite, and slots of deleted
// entries come back late.
#define NEIGH_SLOTS (65536 + 65536 / 2)
#define MAC_VALID   (1ULL << 48) // tells a MAC of zeros from no data

_Static_assert(sizeof(struct st_neigh_key) == 20, "hash key without padding");

// rte_hash_crc reads eight bytes at a time.
struct aligned_key {
	_Alignas(8) struct st_neigh_key key;
};

static struct rte_hash *table;
_Atomic uint32_t neigh_generation;

int neigh_tables_init(void)
{
	struct rte_hash_parameters params = {
		.name = "neigh",
		.entries = NEIGH_SLOTS,
		.key_len = sizeof(struct st_neigh_key),
		.hash_func = rte_hash_crc,
		.socket_id = SOCKET_ID_ANY,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF,
	};

	table = rte_hash_create(&params);
	return table == NULL ? -rte_errno : 0;
}

void neigh_tables_fini(void)
{
	rte_hash_free(table);
	table = NULL;
}

bool neigh_lookup(uint16_t if_id, const struct st_addr *addr, struct rte_ether_addr *ret_mac)
{
	struct aligned_key k = {.key = {.if_id = if_id, .addr = *addr}};
	void *data;
	uint64_t word;

	if (rte_hash_lookup_data(table, &k.key, &data) < 0)
		return false;
	word = (uint64_t)(uintptr_t)data;
	memcpy(ret_mac, &word, sizeof(*ret_mac)); // little endian: the low six bytes
	return true;
}

static void changed(void)
{
	atomic_fetch_add_explicit(&neigh_generation, 1, memory_order_release);
}

int neigh_set(const void *body, const void *old)
{
	const struct st_neigh *n = body;
	struct aligned_key k = {.key = n->key};
	uint64_t word = MAC_VALID;
	int rc;

	if (n->key.if_id == 0 || n->key.if_id >= ST_MAX_IFACES || n->pad != 0)
		return -EINVAL;
	memcpy(&word, n->mac, sizeof(n->mac));
	rc = rte_hash_add_key_data(table, &k.key, (void *)(uintptr_t)word);
	if (rc < 0)
		return rc;
	changed();
	return 0;
}

static void slot_free(void *arg)
{
	rte_hash_free_key_with_position(table, (int32_t)((uintptr_t)arg - 1));
}

void neigh_del(const void *body)
{
	const struct st_neigh *n = body;
	struct aligned_key k = {.key = n->key};
	int32_t slot = rte_hash_del_key(table, &k.key);

	if (slot < 0)
		return;
	reclaim_later(slot_free, (void *)((uintptr_t)slot + 1)); // + 1: slot 0 is not NULL
	changed();
}
