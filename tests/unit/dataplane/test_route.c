// SPDX-License-Identifier: BSD-3-Clause
//
// tables/route.c: rules, suppression, equal-cost next hops and what each action means.
#include "env.h"
#include "tables/route.h"

#include <errno.h>
#include <sys/socket.h>

static struct st_route route_to(uint32_t table, const char *net, int plen, uint32_t if_id)
{
	return (struct st_route){
		.key = {.table = table, .dst = env_prefix(net, plen)},
		.action = ST_ROUTE_UNICAST,
		.nb_nexthops = 1,
		.nexthops = {{.if_id = if_id, .weight = 1}},
	};
}

static struct st_rule rule_of(uint32_t priority, uint32_t table)
{
	return (struct st_rule){
		.key = {.priority = priority, .family = AF_INET},
		.table = table,
		.suppress_plen = -1,
		.action = ST_RULE_TABLE,
	};
}

static struct route_result look(const char *src, const char *dst)
{
	struct route_flow f = {
		.src = env_addr(src), .dst = env_addr(dst), .ipv6 = strchr(dst, ':') != NULL};
	struct route_result r;

	route_lookup(&f, &r);
	return r;
}

static void begin(void)
{
	CU_ASSERT_EQUAL_FATAL(route_tables_init(), 0);
	route_synced();
}

static void end(void)
{
	reclaim_drain();
	route_tables_fini();
}

// Values of the tries are freed by deletion, as the object store does it.
static void drop(const struct st_route *r)
{
	route_del(r);
}

static void without_rules_there_is_no_route(void)
{
	struct st_route r = route_to(254, "10.0.0.0", 8, 1);

	begin();
	CU_ASSERT_EQUAL(route_set(&r, NULL), 0);
	CU_ASSERT_EQUAL(look("1.1.1.1", "10.0.0.1").action, 0);
	CU_ASSERT_EQUAL(look("1.1.1.1", "10.0.0.1").why, ST_DROP_no_route);
	drop(&r);
	end();
}

static void rules_are_tried_in_the_order_of_their_priority(void)
{
	struct st_rule late = rule_of(200, 2), early = rule_of(100, 1);
	struct st_route a = route_to(1, "10.0.0.0", 8, 1), b = route_to(2, "10.0.0.0", 16, 2);

	begin();
	CU_ASSERT_EQUAL(rule_set(&late, NULL), 0);
	CU_ASSERT_EQUAL(rule_set(&early, NULL), 0);
	CU_ASSERT_EQUAL(route_set(&a, NULL), 0);
	CU_ASSERT_EQUAL(route_set(&b, NULL), 0);
	CU_ASSERT_EQUAL(look("1.1.1.1", "10.0.0.1").if_id, 1);
	rule_del(&early);
	CU_ASSERT_EQUAL(look("1.1.1.1", "10.0.0.1").if_id, 2);
	CU_ASSERT_EQUAL(look("1.1.1.1", "10.1.0.1").action, 0);
	rule_del(&late);
	drop(&a);
	drop(&b);
	end();
}

static void selectors_and_inversion_choose_the_rule(void)
{
	struct st_rule from = rule_of(10, 1), rest = rule_of(20, 2);
	struct st_route a = route_to(1, "0.0.0.0", 0, 1), b = route_to(2, "0.0.0.0", 0, 2);
	struct route_flow f = {.src = env_addr("10.1.0.1"), .dst = env_addr("8.8.8.8")};
	struct route_result r;

	begin();
	from.src = env_prefix("10.1.0.0", 16);
	CU_ASSERT_EQUAL(rule_set(&from, NULL), 0);
	CU_ASSERT_EQUAL(rule_set(&rest, NULL), 0);
	CU_ASSERT_EQUAL(route_set(&a, NULL), 0);
	CU_ASSERT_EQUAL(route_set(&b, NULL), 0);
	CU_ASSERT_EQUAL(look("10.1.0.1", "8.8.8.8").if_id, 1);
	CU_ASSERT_EQUAL(look("10.2.0.1", "8.8.8.8").if_id, 2);
	from.flags = ST_RULE_F_INVERT;
	CU_ASSERT_EQUAL(rule_set(&from, &from), 0);
	CU_ASSERT_EQUAL(look("10.1.0.1", "8.8.8.8").if_id, 2);
	CU_ASSERT_EQUAL(look("10.2.0.1", "8.8.8.8").if_id, 1);
	from.flags = 0;
	from.src = (struct st_prefix){.plen = 0};
	from.iif = 3;
	from.ip_proto = 17;
	from.tos = 0x88;
	CU_ASSERT_EQUAL(rule_set(&from, &from), 0);
	f.iif = 3;
	f.ip_proto = 17;
	f.tos = 0x89; // ECN does not count
	route_lookup(&f, &r);
	CU_ASSERT_EQUAL(r.if_id, 1);
	f.iif = 4;
	route_lookup(&f, &r);
	CU_ASSERT_EQUAL(r.if_id, 2);
	from.action = ST_RULE_NEVER;
	CU_ASSERT_EQUAL(rule_set(&from, &from), 0);
	f.iif = 3;
	route_lookup(&f, &r);
	CU_ASSERT_EQUAL(r.if_id, 2);
	rule_del(&from);
	rule_del(&rest);
	drop(&a);
	drop(&b);
	end();
}

static uint32_t by_ports(bool has_ports, uint16_t sport, uint16_t dport)
{
	struct route_flow f = {.src = env_addr("10.1.0.1"),
		.dst = env_addr("8.8.8.8"),
		.ip_proto = 17,
		.has_ports = has_ports,
		.sport_be = htons(sport),
		.dport_be = htons(dport)};
	struct route_result r;

	route_lookup(&f, &r);
	return r.if_id;
}

static void ports_choose_the_rule(void)
{
	struct st_rule ports = rule_of(10, 1), rest = rule_of(20, 2);
	struct st_route a = route_to(1, "0.0.0.0", 0, 1), b = route_to(2, "0.0.0.0", 0, 2);

	begin();
	CU_ASSERT_EQUAL(rule_set(&rest, NULL), 0);
	CU_ASSERT_FALSE(route_wants_ports(false));
	ports.dport_lo_be = htons(1000);
	ports.dport_hi_be = htons(2000);
	CU_ASSERT_EQUAL(rule_set(&ports, NULL), 0);
	CU_ASSERT_TRUE(route_wants_ports(false));
	CU_ASSERT_FALSE(route_wants_ports(true));
	CU_ASSERT_EQUAL(route_set(&a, NULL), 0);
	CU_ASSERT_EQUAL(route_set(&b, NULL), 0);
	CU_ASSERT_EQUAL(by_ports(true, 5, 1000), 1);
	CU_ASSERT_EQUAL(by_ports(true, 5, 2000), 1);
	CU_ASSERT_EQUAL(by_ports(true, 5, 999), 2);
	CU_ASSERT_EQUAL(by_ports(true, 5, 2001), 2);
	CU_ASSERT_EQUAL(by_ports(true, 1500, 5), 2);
	CU_ASSERT_EQUAL(by_ports(false, 0, 0), 2); // a later fragment
	ports.sport_lo_be = ports.sport_hi_be = htons(7);
	CU_ASSERT_EQUAL(rule_set(&ports, &ports), 0);
	CU_ASSERT_EQUAL(by_ports(true, 5, 1000), 2);
	CU_ASSERT_EQUAL(by_ports(true, 7, 1000), 1);
	ports.flags = ST_RULE_F_INVERT;
	CU_ASSERT_EQUAL(rule_set(&ports, &ports), 0);
	CU_ASSERT_EQUAL(by_ports(true, 7, 1000), 2);
	CU_ASSERT_EQUAL(by_ports(true, 8, 1000), 1);
	CU_ASSERT_EQUAL(by_ports(false, 0, 0), 1);
	ports.sport_lo_be = htons(8);
	CU_ASSERT_EQUAL(rule_set(&ports, &ports), -EINVAL); // 8..7
	rule_del(&ports);
	CU_ASSERT_FALSE(route_wants_ports(false));
	rule_del(&rest);
	drop(&a);
	drop(&b);
	end();
}

static void before_the_first_sync_only_the_box_itself_is_reached(void)
{
	struct st_rule all = rule_of(10, 254);
	struct st_route def = route_to(254, "0.0.0.0", 0, 1), own = route_to(254, "10.0.0.1", 32, 0);
	uint32_t generation;

	CU_ASSERT_EQUAL_FATAL(route_tables_init(), 0);
	CU_ASSERT_EQUAL(look("1.1.1.1", "8.8.8.8").why, ST_DROP_not_synced);
	CU_ASSERT_EQUAL(rule_set(&all, NULL), 0);
	own.action = ST_ROUTE_LOCAL;
	own.nb_nexthops = 0;
	CU_ASSERT_EQUAL(route_set(&def, NULL), 0);
	CU_ASSERT_EQUAL(route_set(&own, NULL), 0);
	CU_ASSERT_EQUAL(look("1.1.1.1", "8.8.8.8").action, ST_ROUTE_BLACKHOLE);
	CU_ASSERT_EQUAL(look("1.1.1.1", "8.8.8.8").why, ST_DROP_not_synced);
	CU_ASSERT_EQUAL(look("1.1.1.1", "10.0.0.1").action, ST_ROUTE_LOCAL);
	generation = atomic_load(&route_generation);
	route_synced();
	CU_ASSERT_NOT_EQUAL(atomic_load(&route_generation), generation);
	CU_ASSERT_EQUAL(look("1.1.1.1", "8.8.8.8").if_id, 1);
	rule_del(&all);
	drop(&def);
	drop(&own);
	end();
}

// As wg-quick has it: "table main suppress_prefixlength 0" before the tunnel's table.
static void suppression_ignores_short_prefixes(void)
{
	struct st_rule main_rule = rule_of(10, 254), tunnel = rule_of(20, 51820);
	struct st_route def = route_to(254, "0.0.0.0", 0, 1), lan = route_to(254, "10.0.0.0", 8, 2);
	struct st_route wg = route_to(51820, "0.0.0.0", 0, 3);

	begin();
	main_rule.suppress_plen = 0;
	CU_ASSERT_EQUAL(rule_set(&main_rule, NULL), 0);
	CU_ASSERT_EQUAL(rule_set(&tunnel, NULL), 0);
	CU_ASSERT_EQUAL(route_set(&def, NULL), 0);
	CU_ASSERT_EQUAL(route_set(&lan, NULL), 0);
	CU_ASSERT_EQUAL(route_set(&wg, NULL), 0);
	CU_ASSERT_EQUAL(look("1.1.1.1", "8.8.8.8").if_id, 3);
	CU_ASSERT_EQUAL(look("1.1.1.1", "10.0.0.1").if_id, 2);
	rule_del(&main_rule);
	rule_del(&tunnel);
	drop(&def);
	drop(&lan);
	drop(&wg);
	end();
}

static void each_action_has_its_result(void)
{
	static const struct {
		uint8_t action, why;
	} cases[] = {
		{ST_ROUTE_BLACKHOLE, ST_DROP_route_blackhole},
		{ST_ROUTE_UNREACHABLE, ST_DROP_no_route},
		{ST_ROUTE_PROHIBIT, ST_DROP_route_prohibit},
	};
	struct st_rule rule = rule_of(10, 254), after = rule_of(20, 253);
	struct st_route r = route_to(254, "10.0.0.0", 8, 1), next = route_to(253, "0.0.0.0", 0, 9);

	begin();
	CU_ASSERT_EQUAL(rule_set(&rule, NULL), 0);
	CU_ASSERT_EQUAL(rule_set(&after, NULL), 0);
	CU_ASSERT_EQUAL(route_set(&next, NULL), 0);
	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		r.action = cases[i].action;
		r.nb_nexthops = 0;
		CU_ASSERT_EQUAL(route_set(&r, &r), 0);
		CU_ASSERT_EQUAL(look("1.1.1.1", "10.0.0.1").action, cases[i].action);
		CU_ASSERT_EQUAL(look("1.1.1.1", "10.0.0.1").why, cases[i].why);
	}
	r.action = ST_ROUTE_LOCAL;
	CU_ASSERT_EQUAL(route_set(&r, &r), 0);
	CU_ASSERT_EQUAL(look("1.1.1.1", "10.0.0.1").action, ST_ROUTE_LOCAL);
	r.action = ST_ROUTE_THROW;
	CU_ASSERT_EQUAL(route_set(&r, &r), 0);
	CU_ASSERT_EQUAL(look("1.1.1.1", "10.0.0.1").if_id, 9);
	rule.action = ST_RULE_PROHIBIT;
	CU_ASSERT_EQUAL(rule_set(&rule, &rule), 0);
	CU_ASSERT_EQUAL(look("1.1.1.1", "10.0.0.1").action, ST_ROUTE_PROHIBIT);
	rule_del(&rule);
	rule_del(&after);
	drop(&r);
	drop(&next);
	end();
}

static void equal_cost_next_hops_share_by_weight(void)
{
	struct st_rule rule = rule_of(10, 254);
	struct st_route r = route_to(254, "0.0.0.0", 0, 1);
	struct route_flow f = {.src = env_addr("10.1.0.1"), .dst = env_addr("8.8.8.8")};
	unsigned int hits[4] = {0};

	begin();
	r.nb_nexthops = 3;
	r.nexthops[0] = (struct st_nexthop){.if_id = 1, .weight = 1};
	r.nexthops[1] = (struct st_nexthop){.if_id = 2, .weight = 2};
	r.nexthops[2] = (struct st_nexthop){.if_id = 3, .weight = 5};
	CU_ASSERT_EQUAL(rule_set(&rule, NULL), 0);
	CU_ASSERT_EQUAL(route_set(&r, NULL), 0);
	for (uint32_t i = 0; i < 8000; i++) {
		struct route_result res, again;

		f.hash = i * 536870u;
		route_lookup(&f, &res);
		route_lookup(&f, &again);
		CU_ASSERT_EQUAL_FATAL(res.if_id, again.if_id);
		CU_ASSERT_FATAL(res.if_id >= 1 && res.if_id <= 3);
		hits[res.if_id]++;
	}
	CU_ASSERT(hits[1] > 900 && hits[1] < 1100);
	CU_ASSERT(hits[2] > 1900 && hits[2] < 2100);
	CU_ASSERT(hits[3] > 4900 && hits[3] < 5100);
	f.hash = UINT32_MAX;
	{
		struct route_result res;

		route_lookup(&f, &res);
		CU_ASSERT_EQUAL(res.if_id, 3);
	}
	rule_del(&rule);
	drop(&r);
	end();
}

static void families_have_rules_of_their_own(void)
{
	struct st_rule r4 = rule_of(10, 254), r6 = rule_of(10, 254);
	struct st_route d6 = route_to(254, "::", 0, 6);

	begin();
	r6.key.family = AF_INET6;
	CU_ASSERT_EQUAL(rule_set(&r4, NULL), 0);
	CU_ASSERT_EQUAL(route_set(&d6, NULL), 0);
	CU_ASSERT_EQUAL(look("1.1.1.1", "10.0.0.1").action, 0);
	CU_ASSERT_EQUAL(look("2001::1", "2001::2").action, 0);
	CU_ASSERT_EQUAL(rule_set(&r6, NULL), 0);
	CU_ASSERT_EQUAL(look("2001::1", "2001::2").if_id, 6);
	rule_del(&r4);
	rule_del(&r6);
	drop(&d6);
	end();
}

static void malformed_objects_are_refused(void)
{
	struct st_route r = route_to(254, "10.0.0.0", 8, 1);
	struct st_rule rule = rule_of(1, 254);

	begin();
	r.nexthops[0].weight = 0;
	CU_ASSERT_EQUAL(route_set(&r, NULL), -EINVAL);
	r = route_to(254, "10.0.0.1", 8, 1);
	CU_ASSERT_EQUAL(route_set(&r, NULL), -EINVAL);
	r = route_to(254, "10.0.0.0", 8, ST_MAX_IFACES);
	CU_ASSERT_EQUAL(route_set(&r, NULL), -EINVAL);
	r = route_to(254, "10.0.0.0", 8, 1);
	r.nb_nexthops = ST_MAX_NEXTHOPS + 1;
	CU_ASSERT_EQUAL(route_set(&r, NULL), -EINVAL);
	r = route_to(254, "10.0.0.0", 8, 1);
	r.action = 0;
	CU_ASSERT_EQUAL(route_set(&r, NULL), -EINVAL);
	rule.key.family = AF_UNIX;
	CU_ASSERT_EQUAL(rule_set(&rule, NULL), -EINVAL);
	rule = rule_of(1, 254);
	rule.action = 9;
	CU_ASSERT_EQUAL(rule_set(&rule, NULL), -EINVAL);
	end();
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"without rules there is no route", without_rules_there_is_no_route},
		{"rules are tried in the order of their priority",
			rules_are_tried_in_the_order_of_their_priority},
		{"selectors and inversion choose the rule", selectors_and_inversion_choose_the_rule},
		{"before the first sync only the box itself is reached",
			before_the_first_sync_only_the_box_itself_is_reached},
		{"ports choose the rule", ports_choose_the_rule},
		{"suppression ignores short prefixes", suppression_ignores_short_prefixes},
		{"each action has its result", each_action_has_its_result},
		{"equal-cost next hops share by weight", equal_cost_next_hops_share_by_weight},
		{"families have rules of their own", families_have_rules_of_their_own},
		{"malformed objects are refused", malformed_objects_are_refused},
		CU_TEST_INFO_NULL,
	};

	if (env_qsbr() < 0)
		return 1;
	return run_tests("route", tests);
}
