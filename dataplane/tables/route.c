// SPDX-License-Identifier: BSD-3-Clause
//
// Rules and routes. A look-up walks the family's rules, an immutable array with the tables' tries in it,
// so the usual three rules (local, main, default) cost three trie look-ups, one of them empty. main
// writes; route values and arrays are replaced whole.
#include "route.h"

#include "../reclaim.h"
#include "lpm.h"

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define TABLES_MAX     4096 // routing tables; a route of one more is refused with -ENOSPC
#define TABLE_BUCKETS  256
#define V4_MAPPED_PLEN 96
#define WEIGHT_MAX     256
#define DSCP_MASK      0xfc

struct table {
	struct table *next;
	struct lpm *lpm;
	uint32_t id;
};

// What a trie gives.
struct route {
	uint8_t action; // enum st_route_action
	uint8_t why;
	uint8_t nb;
	uint16_t mtu;
	uint32_t weights; // sum
	struct st_nexthop nexthops[];
};

struct rule {
	struct lpm *lpm; // of its table
	struct st_addr src, src_mask, dst, dst_mask;
	uint16_t iif;
	int16_t suppress; // in 128 bits; -1 = off
	uint8_t action;
	uint8_t ip_proto;
	uint8_t tos;
	bool ports;                                      // looks at ports ...
	uint16_t sport_lo, sport_hi, dport_lo, dport_hi; // ... inclusive; 0..65535: any
	bool any;                                        // no selector at all
	bool invert;
	uint32_t table;         // main only
	struct st_rule_key key; // main only
};

struct rules {
	uint32_t n;
	bool ports; // one of them looks at ports
	struct rule r[];
};

static struct {
	struct table *buckets[TABLE_BUCKETS];
	uint32_t nb_tables;
	struct rules *_Atomic rules[2]; // by family; main: wo, lcore: ro
	_Atomic bool synced;            // main: wo, lcore: ro
} rt;

_Atomic uint32_t route_generation = 1;

void route_changed(void)
{
	atomic_fetch_add_explicit(&route_generation, 1, memory_order_release);
}

// ---- tables ----

static struct table *table_get(uint32_t id)
{
	struct table **bucket = &rt.buckets[id % TABLE_BUCKETS], *t;

	for (t = *bucket; t != NULL; t = t->next)
		if (t->id == id)
			return t;
	if (rt.nb_tables == TABLES_MAX) {
		errno = ENOSPC;
		return NULL;
	}
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	t->id = id;
	t->lpm = lpm_new();
	if (t->lpm == NULL) {
		free(t);
		errno = ENOMEM;
		return NULL;
	}
	t->next = *bucket;
	*bucket = t;
	rt.nb_tables++;
	return t;
}

int route_tables_init(void)
{
	memset(&rt, 0, sizeof(rt));
	for (int v6 = 0; v6 < 2; v6++) {
		struct rules *none = calloc(1, sizeof(*none));

		if (none == NULL)
			return -ENOMEM;
		atomic_store_explicit(&rt.rules[v6], none, memory_order_release);
	}
	return 0;
}

// The objects are gone by now, so the tries are empty of values.
void route_tables_fini(void)
{
	for (unsigned int i = 0; i < TABLE_BUCKETS; i++)
		while (rt.buckets[i] != NULL) {
			struct table *t = rt.buckets[i];

			rt.buckets[i] = t->next;
			lpm_free(t->lpm);
			free(t);
		}
	for (int v6 = 0; v6 < 2; v6++)
		free(atomic_exchange(&rt.rules[v6], NULL));
	rt.nb_tables = 0;
}

// ---- routes ----

static bool is_v6_prefix(const struct st_prefix *p)
{
	static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

	return p->plen < V4_MAPPED_PLEN || memcmp(p->addr.b, v4_mapped, sizeof(v4_mapped)) != 0;
}

static bool host_bits_clear(const struct st_prefix *p)
{
	unsigned int whole = p->plen / 8;

	if (whole == 16)
		return true;
	if ((p->addr.b[whole] & (0xff >> (p->plen % 8))) != 0)
		return false;
	for (unsigned int i = whole + 1; i < 16; i++)
		if (p->addr.b[i] != 0)
			return false;
	return true;
}

static int route_check(const struct st_route *r)
{
	if (r->key.dst.plen > 128 || !host_bits_clear(&r->key.dst))
		return -EINVAL;
	if (r->action < ST_ROUTE_UNICAST || r->action > ST_ROUTE_THROW)
		return -EINVAL;
	if (r->nb_nexthops > ST_MAX_NEXTHOPS ||
		(r->action == ST_ROUTE_UNICAST && r->nb_nexthops == 0))
		return -EINVAL;
	for (unsigned int i = 0; i < r->nb_nexthops; i++) {
		const struct st_nexthop *nh = &r->nexthops[i];

		if (nh->if_id >= ST_MAX_IFACES || nh->weight == 0 || nh->weight > WEIGHT_MAX)
			return -EINVAL;
	}
	return 0;
}

static uint8_t why_of(uint8_t action)
{
	switch (action) {
	case ST_ROUTE_BLACKHOLE:
		return ST_DROP_route_blackhole;
	case ST_ROUTE_PROHIBIT:
		return ST_DROP_route_prohibit;
	default:
		return ST_DROP_no_route;
	}
}

static struct route *route_new(const struct st_route *r)
{
	struct route *ret = calloc(1, sizeof(*ret) + r->nb_nexthops * sizeof(ret->nexthops[0]));

	if (ret == NULL)
		return NULL;
	ret->action = r->action;
	ret->why = why_of(r->action);
	ret->mtu = r->mtu;
	ret->nb = r->nb_nexthops;
	memcpy(ret->nexthops, r->nexthops, r->nb_nexthops * sizeof(ret->nexthops[0]));
	for (unsigned int i = 0; i < r->nb_nexthops; i++)
		ret->weights += r->nexthops[i].weight;
	return ret;
}

int route_set(const void *body, const void *old)
{
	const struct st_route *r = body;
	struct table *t;
	struct route *route;
	void *was = NULL;
	int rc = route_check(r);

	if (rc < 0)
		return rc;
	t = table_get(r->key.table);
	if (t == NULL)
		return -errno;
	route = route_new(r);
	if (route == NULL)
		return -ENOMEM;
	rc = lpm_set(t->lpm, is_v6_prefix(&r->key.dst), &r->key.dst, route, &was);
	if (rc < 0) {
		free(route);
		return rc;
	}
	route_changed();
	reclaim_later(free, was);
	return 0;
}

void route_del(const void *body)
{
	const struct st_route *r = body;
	struct table *t = table_get(r->key.table);

	void *was = t == NULL ? NULL : lpm_del(t->lpm, is_v6_prefix(&r->key.dst), &r->key.dst);

	route_changed();
	reclaim_later(free, was);
}

// ---- rules ----

static struct st_addr mask_addr(unsigned int plen)
{
	struct st_addr m = {{0}};

	for (unsigned int i = 0; i < plen; i++)
		m.b[i / 8] |= (uint8_t)(0x80 >> (i % 8));
	return m;
}

static bool range_ok(uint16_t lo_be, uint16_t hi_be)
{
	return rte_be_to_cpu_16(lo_be) <= rte_be_to_cpu_16(hi_be);
}

static int rule_check(const struct st_rule *r)
{
	if (r->key.family != AF_INET && r->key.family != AF_INET6)
		return -EINVAL;
	if (r->src.plen > 128 || r->dst.plen > 128 || r->iif >= ST_MAX_IFACES)
		return -EINVAL;
	if (!host_bits_clear(&r->src) || !host_bits_clear(&r->dst))
		return -EINVAL;
	if (r->action < ST_RULE_TABLE || r->action > ST_RULE_NEVER)
		return -EINVAL;
	if ((r->flags & ~(uint32_t)ST_RULE_F_INVERT) != 0)
		return -EINVAL;
	if (!range_ok(r->sport_lo_be, r->sport_hi_be) || !range_ok(r->dport_lo_be, r->dport_hi_be))
		return -EINVAL;
	return 0;
}

// 0..0 is any port.
static void range_fill(uint16_t lo_be, uint16_t hi_be, uint16_t *ret_lo, uint16_t *ret_hi)
{
	*ret_lo = rte_be_to_cpu_16(lo_be);
	*ret_hi = hi_be == 0 ? UINT16_MAX : rte_be_to_cpu_16(hi_be);
}

static int rule_fill(struct rule *rule, const struct st_rule *r)
{
	struct table *t = r->action == ST_RULE_TABLE ? table_get(r->table) : NULL;
	int bits = r->key.family == AF_INET ? V4_MAPPED_PLEN : 0;

	if (r->action == ST_RULE_TABLE && t == NULL)
		return -errno;
	*rule = (struct rule){
		.lpm = t == NULL ? NULL : t->lpm,
		.src = r->src.addr,
		.src_mask = mask_addr(r->src.plen),
		.dst = r->dst.addr,
		.dst_mask = mask_addr(r->dst.plen),
		.iif = (uint16_t)r->iif,
		.suppress = r->suppress_plen < 0 ? -1 : (int16_t)(r->suppress_plen + bits),
		.action = r->action,
		.ip_proto = r->ip_proto,
		.tos = r->tos,
		.invert = (r->flags & ST_RULE_F_INVERT) != 0,
		.table = r->table,
		.key = r->key,
	};
	rule->ports = r->sport_hi_be != 0 || r->dport_hi_be != 0;
	range_fill(r->sport_lo_be, r->sport_hi_be, &rule->sport_lo, &rule->sport_hi);
	range_fill(r->dport_lo_be, r->dport_hi_be, &rule->dport_lo, &rule->dport_hi);
	rule->any = r->src.plen == 0 && r->dst.plen == 0 && r->iif == 0 && r->ip_proto == 0 &&
		    r->tos == 0 && !rule->ports && !rule->invert;
	return 0;
}

static bool rule_before(const struct st_rule_key *a, const struct st_rule_key *b)
{
	return a->priority != b->priority ? a->priority < b->priority : a->seq < b->seq;
}

// A copy of the family's rules without `key` and, if add is not NULL, with it in its place.
static int rules_swap(const struct st_rule_key *key, const struct rule *add)
{
	struct rules *_Atomic *at = &rt.rules[key->family == AF_INET6];
	struct rules *old = atomic_load_explicit(at, memory_order_relaxed), *now;
	uint32_t n = 0;

	now = malloc(sizeof(*now) + (old->n + 1) * sizeof(now->r[0]));
	if (now == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < old->n; i++) {
		if (memcmp(&old->r[i].key, key, sizeof(*key)) == 0)
			continue;
		if (add != NULL && rule_before(key, &old->r[i].key)) {
			now->r[n++] = *add;
			add = NULL;
		}
		now->r[n++] = old->r[i];
	}
	if (add != NULL)
		now->r[n++] = *add;
	now->n = n;
	now->ports = false;
	for (uint32_t i = 0; i < n; i++)
		now->ports = now->ports || now->r[i].ports;
	atomic_store_explicit(at, now, memory_order_release);
	reclaim_later(free, old);
	return 0;
}

int rule_set(const void *body, const void *old)
{
	const struct st_rule *r = body;
	struct rule rule;
	int rc = rule_check(r);

	if (rc == 0)
		rc = rule_fill(&rule, r);
	if (rc == 0)
		rc = rules_swap(&r->key, &rule);
	route_changed();
	return rc;
}

// Without memory for the smaller array the rule is made one that never matches.
void rule_del(const void *body)
{
	const struct st_rule *r = body;
	struct rules *rules;

	if (rules_swap(&r->key, NULL) == 0) {
		route_changed();
		return;
	}
	rules = atomic_load_explicit(&rt.rules[r->key.family == AF_INET6], memory_order_relaxed);
	for (uint32_t i = 0; i < rules->n; i++)
		if (memcmp(&rules->r[i].key, &r->key, sizeof(r->key)) == 0)
			__atomic_store_n(
				&rules->r[i].action, (uint8_t)ST_RULE_NEVER, __ATOMIC_RELEASE);
	route_changed();
}

// ---- look-up ----

static inline bool addr_in(
	const struct st_addr *a, const struct st_addr *net, const struct st_addr *mask)
{
	uint64_t x[2], n[2], m[2];

	memcpy(x, a->b, sizeof(x));
	memcpy(n, net->b, sizeof(n));
	memcpy(m, mask->b, sizeof(m));
	return (((x[0] ^ n[0]) & m[0]) | ((x[1] ^ n[1]) & m[1])) == 0;
}

static bool ports_match(const struct rule *r, const struct route_flow *f)
{
	uint16_t sport = rte_be_to_cpu_16(f->sport_be), dport = rte_be_to_cpu_16(f->dport_be);

	return f->has_ports && sport >= r->sport_lo && sport <= r->sport_hi &&
	       dport >= r->dport_lo && dport <= r->dport_hi;
}

bool route_wants_ports(bool ipv6)
{
	return atomic_load_explicit(&rt.rules[ipv6], memory_order_acquire)->ports;
}

static bool rule_matches(const struct rule *r, const struct route_flow *f)
{
	bool match = addr_in(&f->src, &r->src, &r->src_mask) &&
		     addr_in(&f->dst, &r->dst, &r->dst_mask) && (r->iif == 0 || r->iif == f->iif) &&
		     (r->ip_proto == 0 || r->ip_proto == f->ip_proto) &&
		     (r->tos == 0 || ((r->tos ^ f->tos) & DSCP_MASK) == 0) &&
		     (!r->ports || ports_match(r, f));

	return match != r->invert;
}

// hash * weights / 2^32 is even over 0..weights-1, without a division.
static const struct st_nexthop *pick(const struct route *r, uint32_t hash)
{
	uint32_t point = (uint32_t)(((uint64_t)hash * r->weights) >> 32), i = 0;

	while (i + 1u < r->nb && point >= r->nexthops[i].weight)
		point -= r->nexthops[i++].weight;
	return &r->nexthops[i];
}

static void result_fill(const struct route *r, const struct route_flow *f, struct route_result *ret)
{
	*ret = (struct route_result){.action = r->action, .why = r->why, .mtu = r->mtu};
	if (r->nb > 0) {
		const struct st_nexthop *nh = r->nb == 1 ? &r->nexthops[0] : pick(r, f->hash);

		ret->if_id = (uint16_t)nh->if_id;
		ret->gateway = nh->gateway;
	}
}

static void result_refuse(uint8_t rule_action, struct route_result *ret)
{
	static const uint8_t action[] = {
		[ST_RULE_BLACKHOLE] = ST_ROUTE_BLACKHOLE,
		[ST_RULE_UNREACHABLE] = ST_ROUTE_UNREACHABLE,
		[ST_RULE_PROHIBIT] = ST_ROUTE_PROHIBIT,
	};

	*ret = (struct route_result){
		.action = action[rule_action], .why = why_of(action[rule_action])};
}

void route_synced(void)
{
	if (atomic_exchange_explicit(&rt.synced, true, memory_order_release))
		return;
	route_changed();
}

bool route_is_synced(void)
{
	return atomic_load_explicit(&rt.synced, memory_order_acquire);
}

static void look_up(const struct route_flow *flow, struct route_result *ret)
{
	const struct rules *rules = atomic_load_explicit(&rt.rules[flow->ipv6], memory_order_acquire);

	for (uint32_t i = 0; i < rules->n; i++) {
		const struct rule *r = &rules->r[i];
		uint8_t action = __atomic_load_n(&r->action, __ATOMIC_RELAXED), plen = 0;
		const struct route *route;

		if (action == ST_RULE_NEVER || (!r->any && !rule_matches(r, flow)))
			continue;
		if (action != ST_RULE_TABLE) {
			result_refuse(action, ret);
			return;
		}
		route = lpm_lookup_plen(r->lpm, flow->ipv6, &flow->dst, &plen);
		if (route == NULL || route->action == ST_ROUTE_THROW)
			continue;
		if (r->suppress >= 0 && plen <= r->suppress)
			continue;
		result_fill(route, flow, ret);
		return;
	}
	*ret = (struct route_result){.action = 0, .why = ST_DROP_no_route};
}

void route_lookup(const struct route_flow *flow, struct route_result *ret)
{
	bool synced = route_is_synced(); // before the look-up: what it finds is as new

	look_up(flow, ret);
	if (unlikely(!synced) && ret->action != ST_ROUTE_LOCAL && ret->action != ST_ROUTE_BROADCAST)
		*ret = (struct route_result){.action = ST_ROUTE_BLACKHOLE, .why = ST_DROP_not_synced};
}
