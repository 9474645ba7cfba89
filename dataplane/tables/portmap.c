// SPDX-License-Identifier: BSD-3-Clause
//
// The port map. Addresses stand in a small open-addressed table that is copied and swapped when an
// address comes or goes; each address has an array of 65536 owners, changed in place byte by byte.
// Ranges of one address may overlap: the one that was SET last counts.
#include "portmap.h"

#include "../reclaim.h"

#include <rte_byteorder.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PORTS 65536
#define SLOTS (2 * PORTMAP_MAX_ADDRS) // power of two, at most half full

_Static_assert((SLOTS & (SLOTS - 1)) == 0, "mask");

struct owners {
	struct st_addr addr;
	_Atomic uint8_t port[PORTS]; // main: wo, lcore: ro; by host-order port
};

struct addr_table {
	struct owners *slot[SLOTS];
};

static struct {
	struct addr_table *_Atomic table; // main: wo, lcore: ro
	struct range {
		struct st_portmap map;
	} * ranges; // in order of SET
	uint32_t nb_ranges, room;
	uint32_t nb_addrs;
} pm;

static inline uint32_t slot_of(const struct st_addr *a)
{
	uint64_t w[2];

	memcpy(w, a->b, sizeof(w));
	return (uint32_t)(((w[0] ^ (w[1] >> 7) ^ w[1]) * 0x9e3779b97f4a7c15ULL) >> 40) & (SLOTS - 1);
}

static inline struct owners *owners_find(const struct addr_table *t, const struct st_addr *a)
{
	for (uint32_t i = slot_of(a); t->slot[i] != NULL; i = (i + 1) & (SLOTS - 1))
		if (memcmp(&t->slot[i]->addr, a, sizeof(*a)) == 0)
			return t->slot[i];
	return NULL;
}

static inline struct addr_table *current(void)
{
	return atomic_load_explicit(&pm.table, memory_order_acquire);
}

uint8_t portmap_lookup(const struct st_addr *addr, uint16_t port_be)
{
	const struct owners *o = owners_find(current(), addr);

	if (o == NULL)
		return ST_OWNER_KERNEL;
	return atomic_load_explicit(&((struct owners *)(uintptr_t)o)->port[rte_be_to_cpu_16(port_be)],
		memory_order_relaxed);
}

int portmap_tables_init(void)
{
	struct addr_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return -ENOMEM;
	memset(&pm, 0, sizeof(pm));
	atomic_store_explicit(&pm.table, t, memory_order_release);
	return 0;
}

void portmap_tables_fini(void)
{
	struct addr_table *t = current();

	if (t != NULL)
		for (unsigned int i = 0; i < SLOTS; i++)
			free(t->slot[i]);
	free(t);
	free(pm.ranges);
	memset(&pm, 0, sizeof(pm));
}

static void table_put(struct addr_table *t, struct owners *o)
{
	uint32_t i = slot_of(&o->addr);

	while (t->slot[i] != NULL)
		i = (i + 1) & (SLOTS - 1);
	t->slot[i] = o;
}

// A copy of the table with `add` in it and without `gone`, swapped in.
static int table_swap(struct owners *add, const struct owners *gone)
{
	struct addr_table *old = current(), *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < SLOTS; i++)
		if (old->slot[i] != NULL && old->slot[i] != gone)
			table_put(t, old->slot[i]);
	if (add != NULL)
		table_put(t, add);
	atomic_store_explicit(&pm.table, t, memory_order_release);
	reclaim_later(free, old);
	return 0;
}

static struct owners *owners_add(const struct st_addr *addr)
{
	struct owners *o;

	if (pm.nb_addrs == PORTMAP_MAX_ADDRS) {
		errno = ENOSPC;
		return NULL;
	}
	o = calloc(1, sizeof(*o));
	if (o == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	o->addr = *addr;
	if (table_swap(o, NULL) < 0) {
		free(o);
		errno = ENOMEM;
		return NULL;
	}
	pm.nb_addrs++;
	return o;
}

static bool range_covers(const struct st_portmap *m, const struct st_addr *addr, uint32_t port)
{
	return port >= rte_be_to_cpu_16(m->key.port_lo_be) &&
	       port <= rte_be_to_cpu_16(m->key.port_hi_be) &&
	       memcmp(&m->key.addr, addr, sizeof(*addr)) == 0;
}

// Each port of the range gets its owner by one store, so that a look-up never meets a gap.
static void range_apply(struct owners *o, const struct st_portmap_key *key)
{
	uint32_t hi = rte_be_to_cpu_16(key->port_hi_be);

	for (uint32_t port = rte_be_to_cpu_16(key->port_lo_be); port <= hi; port++) {
		uint8_t owner = ST_OWNER_KERNEL;

		for (uint32_t i = pm.nb_ranges; i-- > 0;)
			if (range_covers(&pm.ranges[i].map, &key->addr, port)) {
				owner = (uint8_t)pm.ranges[i].map.owner;
				break;
			}
		atomic_store_explicit(&o->port[port], owner, memory_order_relaxed);
	}
}

static int range_reserve(void)
{
	uint32_t room = pm.room + 32;
	struct range *ranges;

	if (pm.nb_ranges < pm.room)
		return 0;
	ranges = realloc(pm.ranges, room * sizeof(*ranges));
	if (ranges == NULL)
		return -ENOMEM;
	pm.ranges = ranges;
	pm.room = room;
	return 0;
}

static void range_drop(const struct st_portmap_key *key)
{
	for (uint32_t i = 0; i < pm.nb_ranges; i++) {
		if (memcmp(&pm.ranges[i].map.key, key, sizeof(*key)) != 0)
			continue;
		pm.nb_ranges--;
		memmove(&pm.ranges[i], &pm.ranges[i + 1], (pm.nb_ranges - i) * sizeof(*pm.ranges));
		return;
	}
}

int portmap_set(const void *body, const void *old)
{
	const struct st_portmap *m = body;
	struct owners *o;
	int rc;

	if (rte_be_to_cpu_16(m->key.port_lo_be) > rte_be_to_cpu_16(m->key.port_hi_be))
		return -EINVAL;
	if (m->key.if_id != 0)
		return -ENOTSUP;
	if (m->owner != ST_OWNER_KERNEL && m->owner != ST_OWNER_WIREGUARD)
		return -EINVAL;
	rc = range_reserve();
	if (rc < 0)
		return rc;
	o = owners_find(current(), &m->key.addr);
	if (o == NULL)
		o = owners_add(&m->key.addr);
	if (o == NULL)
		return -errno;
	if (old != NULL)
		range_drop(&m->key);
	pm.ranges[pm.nb_ranges++].map = *m;
	range_apply(o, &m->key);
	return 0;
}

void portmap_del(const void *body)
{
	const struct st_portmap *m = body;
	struct owners *o = owners_find(current(), &m->key.addr);

	range_drop(&m->key);
	if (o == NULL)
		return;
	range_apply(o, &m->key);
	for (uint32_t i = 0; i < pm.nb_ranges; i++)
		if (memcmp(&pm.ranges[i].map.key.addr, &m->key.addr, sizeof(m->key.addr)) == 0)
			return;
	if (table_swap(NULL, o) < 0)
		return; // an array of KERNEL owners stays, which means the same
	pm.nb_addrs--;
	reclaim_later(free, o);
}
