// SPDX-License-Identifier: BSD-3-Clause
//
// tables/lpm.c against a linear oracle, with churn.
#include "env.h"
#include "tables/lpm.h"

#include <errno.h>

#define RULES  400
#define ROUNDS 40000

struct entry {
	bool used, ipv6;
	struct st_prefix p;
	uintptr_t value;
};
static struct entry oracle[RULES];
static uint64_t seed = 0x9e3779b97f4a7c15ULL;

static uint32_t rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % n;
}

static void mask(struct st_prefix *p)
{
	for (unsigned int i = p->plen; i < 128; i++)
		p->addr.b[i / 8] &= (uint8_t) ~(0x80 >> (i % 8));
}

// Few distinct bits, so that prefixes nest, share and collide.
static struct st_addr random_addr(bool ipv6)
{
	struct st_addr a = {{0}};

	if (!ipv6)
		a.b[10] = a.b[11] = 0xff;
	for (int i = ipv6 ? 0 : 12; i < 16; i++)
		a.b[i] = (uint8_t)(rnd(3) == 0 ? rnd(256) : rnd(2) * 0x80);
	return a;
}

static struct st_prefix random_prefix(bool ipv6)
{
	struct st_prefix p = {.addr = random_addr(ipv6)};

	p.plen = (uint8_t)(ipv6 ? rnd(129) : 96 + rnd(33));
	mask(&p);
	return p;
}

static bool covers(const struct st_prefix *p, const struct st_addr *a)
{
	for (unsigned int i = 0; i < p->plen; i++)
		if (((p->addr.b[i / 8] ^ a->b[i / 8]) & (0x80 >> (i % 8))) != 0)
			return false;
	return true;
}

static uintptr_t oracle_lookup(bool ipv6, const struct st_addr *a, uint8_t *ret_plen)
{
	const struct entry *best = NULL;

	for (int i = 0; i < RULES; i++)
		if (oracle[i].used && oracle[i].ipv6 == ipv6 && covers(&oracle[i].p, a) &&
			(best == NULL || oracle[i].p.plen > best->p.plen))
			best = &oracle[i];
	if (best != NULL)
		*ret_plen = best->p.plen;
	return best == NULL ? 0 : best->value;
}

static struct entry *oracle_find(bool ipv6, const struct st_prefix *p)
{
	for (int i = 0; i < RULES; i++)
		if (oracle[i].used && oracle[i].ipv6 == ipv6 && oracle[i].p.plen == p->plen &&
			memcmp(&oracle[i].p.addr, &p->addr, sizeof(p->addr)) == 0)
			return &oracle[i];
	return NULL;
}

static unsigned int set_one(struct lpm *l)
{
	struct entry *slot = NULL;
	struct st_prefix p;
	bool ipv6 = rnd(2);
	void *old;

	for (int i = 0; i < RULES && slot == NULL; i++)
		if (!oracle[i].used)
			slot = &oracle[i];
	if (slot == NULL)
		return 0;
	p = random_prefix(ipv6);
	if (oracle_find(ipv6, &p) != NULL)
		return 0;
	*slot = (struct entry){.used = true, .ipv6 = ipv6, .p = p, .value = 1 + rnd(1000000)};
	return lpm_set(l, ipv6, &p, (void *)slot->value, &old) != 0 || old != NULL;
}

static unsigned int compare(const struct lpm *l)
{
	bool ipv6 = rnd(2);
	struct st_addr a = random_addr(ipv6);
	uint8_t want_plen = 0, plen = 0;
	uintptr_t want;

	if (rnd(2)) { // near a prefix that is there
		const struct entry *e = &oracle[rnd(RULES)];

		if (e->used) {
			ipv6 = e->ipv6;
			a = e->p.addr;
			a.b[15] ^= (uint8_t)rnd(4);
		}
	}
	want = oracle_lookup(ipv6, &a, &want_plen);
	return lpm_lookup_plen(l, ipv6, &a, &plen) != (void *)want || plen != want_plen ||
	       lpm_lookup(l, ipv6, &a) != (void *)want;
}

static unsigned int used(void)
{
	unsigned int n = 0;

	for (int i = 0; i < RULES; i++)
		n += oracle[i].used;
	return n;
}

static void lookups_agree_with_a_linear_search_during_churn(void)
{
	struct lpm *l = lpm_new();
	unsigned int wrong = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(l);
	memset(oracle, 0, sizeof(oracle));
	for (int i = 0; i < ROUNDS; i++) {
		struct entry *victim = &oracle[rnd(RULES)];

		wrong += set_one(l);
		if (victim->used && rnd(3) == 0) {
			wrong += lpm_del(l, victim->ipv6, &victim->p) != (void *)victim->value;
			victim->used = false;
		}
		wrong += compare(l);
		wrong += compare(l);
		reclaim_poll();
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(lpm_count(l), used());
	for (int i = 0; i < RULES; i++)
		if (oracle[i].used)
			wrong += lpm_del(l, oracle[i].ipv6, &oracle[i].p) != (void *)oracle[i].value;
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(lpm_count(l), 0);
	memset(oracle, 0, sizeof(oracle));
	CU_ASSERT_EQUAL(compare(l), 0);
	reclaim_drain();
	lpm_free(l);
}

static void a_replaced_value_is_handed_back(void)
{
	struct lpm *l = lpm_new();
	struct st_prefix p = env_prefix("10.0.0.0", 8);
	struct st_addr a = env_addr("10.1.2.3");
	void *old = &p;

	CU_ASSERT_EQUAL(lpm_set(l, false, &p, (void *)1, &old), 0);
	CU_ASSERT_PTR_NULL(old);
	CU_ASSERT_EQUAL(lpm_set(l, false, &p, (void *)2, &old), 0);
	CU_ASSERT_PTR_EQUAL(old, (void *)1);
	CU_ASSERT_PTR_EQUAL(lpm_lookup(l, false, &a), (void *)2);
	CU_ASSERT_EQUAL(lpm_count(l), 1);
	CU_ASSERT_PTR_EQUAL(lpm_del(l, false, &p), (void *)2);
	CU_ASSERT_PTR_NULL(lpm_del(l, false, &p));
	CU_ASSERT_PTR_NULL(lpm_lookup(l, false, &a));
	reclaim_drain();
	lpm_free(l);
}

static void an_ipv6_default_does_not_match_ipv4(void)
{
	struct lpm *l = lpm_new();
	struct st_prefix p = env_prefix("::", 0);
	struct st_addr a4 = env_addr("10.1.2.3"), a6 = env_addr("2001:db8::1");
	void *old;

	CU_ASSERT_EQUAL(lpm_set(l, true, &p, (void *)6, &old), 0);
	CU_ASSERT_PTR_NULL(lpm_lookup(l, false, &a4));
	CU_ASSERT_PTR_EQUAL(lpm_lookup(l, true, &a6), (void *)6);
	p = env_prefix("0.0.0.0", 0);
	CU_ASSERT_EQUAL(lpm_set(l, false, &p, (void *)4, &old), 0);
	CU_ASSERT_PTR_EQUAL(lpm_lookup(l, false, &a4), (void *)4);
	CU_ASSERT_PTR_EQUAL(lpm_lookup(l, true, &a6), (void *)6);
	reclaim_drain();
	lpm_free(l);
}

static void a_host_route_beats_every_shorter_prefix(void)
{
	struct lpm *l = lpm_new();
	struct st_addr a = env_addr("10.1.2.3"), b = env_addr("10.1.2.2");
	uint8_t plen = 0;
	void *old;

	for (int len = 0; len <= 32; len++) {
		struct st_prefix p = env_prefix("10.1.2.3", len);

		mask(&p);
		CU_ASSERT_EQUAL(lpm_set(l, false, &p, (void *)(uintptr_t)(len + 1), &old), 0);
	}
	CU_ASSERT_PTR_EQUAL(lpm_lookup_plen(l, false, &a, &plen), (void *)33);
	CU_ASSERT_EQUAL(plen, 128);
	CU_ASSERT_PTR_EQUAL(lpm_lookup_plen(l, false, &b, &plen), (void *)32);
	CU_ASSERT_EQUAL(plen, 127);
	reclaim_drain();
	lpm_free(l);
}

static void bad_arguments_are_refused(void)
{
	struct lpm *l = lpm_new();
	struct st_prefix p = {.plen = 129};
	void *old;

	CU_ASSERT_EQUAL(lpm_set(l, true, &p, (void *)1, &old), -EINVAL);
	p.plen = 0;
	CU_ASSERT_EQUAL(lpm_set(l, true, &p, NULL, &old), -EINVAL);
	lpm_free(l);
	lpm_free(NULL);
}

static void a_removed_node_stays_readable_until_the_reader_is_quiescent(void)
{
	struct lpm *l = lpm_new();
	struct st_prefix p = env_prefix("10.0.0.0", 8);
	uint64_t token;
	void *old;

	rte_rcu_qsbr_thread_register(lcores.qsbr, ENV_READER);
	rte_rcu_qsbr_thread_online(lcores.qsbr, ENV_READER);
	CU_ASSERT_EQUAL(lpm_set(l, false, &p, (void *)1, &old), 0);
	CU_ASSERT_PTR_EQUAL(lpm_del(l, false, &p), (void *)1);
	token = reclaim_token();
	reclaim_poll();
	CU_ASSERT_FALSE(reclaim_passed(token));
	rte_rcu_qsbr_quiescent(lcores.qsbr, ENV_READER);
	CU_ASSERT_TRUE(reclaim_passed(token));
	reclaim_poll();
	rte_rcu_qsbr_thread_offline(lcores.qsbr, ENV_READER);
	rte_rcu_qsbr_thread_unregister(lcores.qsbr, ENV_READER);
	lpm_free(l);
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"a replaced value is handed back", a_replaced_value_is_handed_back},
		{"an IPv6 default does not match IPv4", an_ipv6_default_does_not_match_ipv4},
		{"a host route beats every shorter prefix", a_host_route_beats_every_shorter_prefix},
		{"bad arguments are refused", bad_arguments_are_refused},
		{"a removed node stays until the reader is quiescent",
			a_removed_node_stays_readable_until_the_reader_is_quiescent},
		{"lookups agree with a linear search during churn",
			lookups_agree_with_a_linear_search_during_churn},
		CU_TEST_INFO_NULL,
	};

	if (env_qsbr() < 0)
		return 1;
	return run_tests("lpm", tests);
}
