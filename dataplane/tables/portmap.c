// SPDX-License-Identifier: BSD-3-Clause
//
// The port map. Addresses stand in a small open-addressed table that is copied and swapped when an
// address comes or goes; each address has an array of 65536 owners, changed in place byte by byte.
// Beside it main keeps what was SET: single ports in an array as well, wider ranges from the narrowest
// to the widest, so that a change costs its ports plus its ranges, not their product.
#include "portmap.h"

#include "../reclaim.h"

#include <rte_byteorder.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PORTS   65536
#define SLOTS   (2 * PORTMAP_MAX_ADDRS) // power of two, at most half full
#define NOBODYS 0                       // a port that no entry names; others are their owner + 1

_Static_assert((SLOTS & (SLOTS - 1)) == 0, "mask");

// A range of more than one port.
struct range {
	uint16_t lo, hi;
	uint8_t owner; // + 1
};

// What was SET for one address. main only.
struct entries {
	uint32_t count;
	uint32_t nb_ranges, room;
	struct range *ranges; // narrowest first, of equally narrow ones the last SET first
	uint8_t single[PORTS];
};

struct owners {
	struct st_addr addr;
	uint32_t if_id;
	struct entries *set;
	_Atomic uint8_t port[PORTS]; // main: wo, lcore: ro; by host-order port
};

struct addr_table {
	struct owners *slot[SLOTS];
};

static struct {
	struct addr_table *_Atomic table; // main: wo, lcore: ro
	uint32_t nb_addrs;
	uint32_t next[PORTS + 1]; // main: while a range is painted, the next port without an owner
	uint8_t paint[PORTS];
} pm;

static inline bool is_link_local(const struct st_addr *a)
{
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

static inline uint32_t slot_of(const struct st_addr *a, uint32_t if_id)
{
	uint64_t w[2];

	memcpy(w, a->b, sizeof(w));
	return (uint32_t)(((w[0] ^ (w[1] >> 7) ^ w[1] ^ if_id) * 0x9e3779b97f4a7c15ULL) >> 40) &
	       (SLOTS - 1);
}

static inline struct owners *owners_find(
	const struct addr_table *t, const struct st_addr *a, uint32_t if_id)
{
	for (uint32_t i = slot_of(a, if_id); t->slot[i] != NULL; i = (i + 1) & (SLOTS - 1))
		if (t->slot[i]->if_id == if_id && memcmp(&t->slot[i]->addr, a, sizeof(*a)) == 0)
			return t->slot[i];
	return NULL;
}

static inline struct addr_table *current(void)
{
	return atomic_load_explicit(&pm.table, memory_order_acquire);
}

static inline uint8_t owner_at(const struct st_addr *addr, uint32_t if_id, uint16_t port_be)
{
	struct owners *o = owners_find(current(), addr, if_id);

	return o == NULL ? NOBODYS
			 : atomic_load_explicit(
				   &o->port[rte_be_to_cpu_16(port_be)], memory_order_relaxed);
}

uint8_t portmap_lookup(const struct st_addr *addr, uint16_t if_id, uint16_t port_be)
{
	uint8_t owner = NOBODYS;

	if (is_link_local(addr))
		owner = owner_at(addr, if_id, port_be);
	if (owner == NOBODYS)
		owner = owner_at(addr, 0, port_be);
	return owner == NOBODYS ? ST_OWNER_KERNEL : (uint8_t)(owner - 1);
}

static void owners_free(void *arg)
{
	struct owners *o = arg;

	if (o == NULL)
		return;
	if (o->set != NULL)
		free(o->set->ranges);
	free(o->set);
	free(o);
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
			owners_free(t->slot[i]);
	free(t);
	memset(&pm, 0, sizeof(pm));
}

static void table_put(struct addr_table *t, struct owners *o)
{
	uint32_t i = slot_of(&o->addr, o->if_id);

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

static struct owners *owners_new(const struct st_portmap_key *key)
{
	struct owners *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	o->addr = key->addr;
	o->if_id = key->if_id;
	o->set = calloc(1, sizeof(*o->set));
	if (o->set != NULL)
		return o;
	free(o);
	return NULL;
}

static struct owners *owners_add(const struct st_portmap_key *key)
{
	struct owners *o;

	if (pm.nb_addrs == PORTMAP_MAX_ADDRS) {
		errno = ENOSPC;
		return NULL;
	}
	o = owners_new(key);
	if (o == NULL || table_swap(o, NULL) < 0) {
		owners_free(o);
		errno = ENOMEM;
		return NULL;
	}
	pm.nb_addrs++;
	return o;
}

// ---- what owns a port ------------------------------------------------------------------------------

// The first port from `port` on that has not been painted, with the way there shortened.
static uint32_t unpainted(uint32_t port)
{
	while (pm.next[port] != port)
		port = pm.next[port] = pm.next[pm.next[port]];
	return port;
}

static void paint(uint32_t lo, uint32_t hi, uint8_t owner)
{
	for (uint32_t p = unpainted(lo); p <= hi; p = unpainted(p)) {
		pm.paint[p] = owner;
		pm.next[p] = p + 1;
	}
}

// Narrow ones first; what is painted stays. Each port then gets its owner by one store, so that a
// look-up never meets a gap.
static void publish(struct owners *o, uint32_t lo, uint32_t hi)
{
	const struct entries *set = o->set;

	for (uint32_t p = lo; p <= hi + 1; p++)
		pm.next[p] = p;
	for (uint32_t p = lo; p <= hi; p++)
		if (set->single[p] != NOBODYS)
			paint(p, p, set->single[p]);
	for (uint32_t i = 0; i < set->nb_ranges && unpainted(lo) <= hi; i++) {
		const struct range *r = &set->ranges[i];

		if (r->lo <= hi && r->hi >= lo)
			paint(r->lo > lo ? r->lo : lo, r->hi < hi ? r->hi : hi, r->owner);
	}
	paint(lo, hi, NOBODYS);
	for (uint32_t p = lo; p <= hi; p++)
		atomic_store_explicit(&o->port[p], pm.paint[p], memory_order_relaxed);
}

static int ranges_reserve(struct entries *set)
{
	uint32_t room = set->room == 0 ? 16 : 2 * set->room;
	struct range *ranges;

	if (set->nb_ranges < set->room)
		return 0;
	ranges = realloc(set->ranges, room * sizeof(*ranges));
	if (ranges == NULL)
		return -ENOMEM;
	set->ranges = ranges;
	set->room = room;
	return 0;
}

static void range_insert(struct entries *set, struct range r)
{
	uint32_t i = 0;

	while (i < set->nb_ranges && set->ranges[i].hi - set->ranges[i].lo < r.hi - r.lo)
		i++;
	memmove(&set->ranges[i + 1], &set->ranges[i], (set->nb_ranges - i) * sizeof(r));
	set->ranges[i] = r;
	set->nb_ranges++;
}

static void range_drop(struct entries *set, uint16_t lo, uint16_t hi)
{
	for (uint32_t i = 0; i < set->nb_ranges; i++) {
		if (set->ranges[i].lo != lo || set->ranges[i].hi != hi)
			continue;
		set->nb_ranges--;
		memmove(&set->ranges[i], &set->ranges[i + 1],
			(set->nb_ranges - i) * sizeof(set->ranges[0]));
		return;
	}
}

// ---- objects ---------------------------------------------------------------------------------------

static int portmap_check(const struct st_portmap *m)
{
	if (rte_be_to_cpu_16(m->key.port_lo_be) > rte_be_to_cpu_16(m->key.port_hi_be))
		return -EINVAL;
	if (m->key.if_id >= ST_MAX_IFACES || (m->key.if_id != 0 && !is_link_local(&m->key.addr)))
		return -EINVAL;
	return m->owner <= ST_OWNER_PEER ? 0 : -EINVAL;
}

int portmap_set(const void *body, const void *old)
{
	const struct st_portmap *m = body;
	uint16_t lo = rte_be_to_cpu_16(m->key.port_lo_be), hi = rte_be_to_cpu_16(m->key.port_hi_be);
	uint8_t owner = (uint8_t)(m->owner + 1);
	struct owners *o;
	int rc = portmap_check(m);

	if (rc < 0)
		return rc;
	o = owners_find(current(), &m->key.addr, m->key.if_id);
	if (o == NULL)
		o = owners_add(&m->key);
	if (o == NULL)
		return -errno;
	if (lo == hi) {
		o->set->single[lo] = owner;
	} else {
		rc = ranges_reserve(o->set); // an address without entries may stay: it is nobody's
		if (rc < 0)
			return rc;
		if (old != NULL)
			range_drop(o->set, lo, hi);
		range_insert(o->set, (struct range){.lo = lo, .hi = hi, .owner = owner});
	}
	o->set->count += old == NULL;
	publish(o, lo, hi);
	return 0;
}

void portmap_del(const void *body)
{
	const struct st_portmap *m = body;
	uint16_t lo = rte_be_to_cpu_16(m->key.port_lo_be), hi = rte_be_to_cpu_16(m->key.port_hi_be);
	struct owners *o = owners_find(current(), &m->key.addr, m->key.if_id);

	if (o == NULL)
		return;
	if (lo == hi)
		o->set->single[lo] = NOBODYS;
	else
		range_drop(o->set, lo, hi);
	o->set->count--;
	publish(o, lo, hi);
	if (o->set->count > 0 || table_swap(NULL, o) < 0)
		return; // without memory an array without owners stays, which means the same
	pm.nb_addrs--;
	reclaim_later(owners_free, o);
}
