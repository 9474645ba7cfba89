// SPDX-License-Identifier: BSD-3-Clause
//
// Policy rules as a forwarded packet meets them: it has mark 0, no outgoing device and no socket. What a
// rule asks beyond that is decided here, so that the data plane matches prefixes, device, protocol, ports
// and TOS.
#include "../dp/dp.h"
#include "netlink_parts.h"

#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define RULES_MAX 1024

// Attributes that Linux has beyond Debian 12's headers, of which it tells a mask with each single port.
#define FRA_SPORT_MASK_6_15 28
#define FRA_DPORT_MASK_6_15 29
#define ATTRS_MAX           FRA_DPORT_MASK_6_15

struct reading {
	struct netlink *nl;
	GArray *rules; // of struct st_rule
};

enum answer {
	ANSWER_ASK,     // the data plane decides
	ANSWER_NO,      // no forwarded packet has what the rule asks
	ANSWER_UNKNOWN, // forwarded packets may have it, and the data plane does not look
};

static bool exact_port(const struct nlattr *mask)
{
	return !mask || (mnl_attr_get_payload_len(mask) >= sizeof(uint16_t) &&
				mnl_attr_get_u16(mask) == UINT16_MAX);
}

static enum answer asks(const struct nlattr *const *tb)
{
	const struct fib_rule_uid_range *uids;
	uint32_t mark = rtnl_u32(tb[FRA_FWMARK], 0), mask = rtnl_u32(tb[FRA_FWMASK], UINT32_MAX);

	if (tb[FRA_FWMARK] && (mark & mask))
		return ANSWER_NO;
	if (tb[FRA_OIFNAME] || tb[FRA_TUN_ID])
		return ANSWER_NO;
	if (tb[FRA_L3MDEV] && mnl_attr_get_u8(tb[FRA_L3MDEV]))
		return ANSWER_NO;
	if (tb[FRA_UID_RANGE] && mnl_attr_get_payload_len(tb[FRA_UID_RANGE]) >= sizeof(*uids)) {
		// The kernel looks forwarded packets up as uid 0.
		uids = mnl_attr_get_payload(tb[FRA_UID_RANGE]);
		if (uids->start > 0)
			return ANSWER_NO;
	}
	if (tb[FRA_GOTO] || !exact_port(tb[FRA_SPORT_MASK_6_15]) ||
		!exact_port(tb[FRA_DPORT_MASK_6_15]))
		return ANSWER_UNKNOWN;
	for (int i = FRA_MAX + 1; i < FRA_SPORT_MASK_6_15; i++)
		if (tb[i])
			return ANSWER_UNKNOWN;
	if (rtnl_u32(tb[FRA_SUPPRESS_IFGROUP], UINT32_MAX) != UINT32_MAX)
		return ANSWER_UNKNOWN;
	return ANSWER_ASK;
}

static uint8_t action_of(uint8_t kernel)
{
	switch (kernel) {
	case FR_ACT_TO_TBL:
		return ST_RULE_TABLE;
	case FR_ACT_BLACKHOLE:
		return ST_RULE_BLACKHOLE;
	case FR_ACT_UNREACHABLE:
		return ST_RULE_UNREACHABLE;
	case FR_ACT_PROHIBIT:
		return ST_RULE_PROHIBIT;
	}
	return ST_RULE_NEVER;
}

static void prefix_set(struct st_prefix *p, const struct nlattr *a, uint8_t family, uint8_t plen)
{
	if (!plen || !rtnl_addr(a, family, &p->addr))
		return;
	p->plen = (uint8_t)(plen + (family == AF_INET ? 96 : 0));
}

static void range_set(uint16_t *lo_be, uint16_t *hi_be, const struct nlattr *a)
{
	const struct fib_rule_port_range *range;

	if (!a || mnl_attr_get_payload_len(a) < sizeof(*range))
		return;
	range = mnl_attr_get_payload(a);
	*lo_be = htons(range->start);
	*hi_be = htons(range->end);
}

// Fills the selectors. ANSWER_NO: not on a device of ours.
static enum answer select_by(struct netlink *nl, struct st_rule *rule, const struct fib_rule_hdr *h,
	const struct nlattr *const *tb)
{
	prefix_set(&rule->src, tb[FRA_SRC], h->family, h->src_len);
	prefix_set(&rule->dst, tb[FRA_DST], h->family, h->dst_len);
	rule->tos = h->tos;
	if (tb[FRA_IP_PROTO])
		rule->ip_proto = mnl_attr_get_u8(tb[FRA_IP_PROTO]);
	range_set(&rule->sport_lo_be, &rule->sport_hi_be, tb[FRA_SPORT_RANGE]);
	range_set(&rule->dport_lo_be, &rule->dport_hi_be, tb[FRA_DPORT_RANGE]);
	if (!tb[FRA_IIFNAME])
		return ANSWER_ASK;
	rule->iif =
		GPOINTER_TO_UINT(g_hash_table_lookup(nl->mapped, mnl_attr_get_str(tb[FRA_IIFNAME])));
	return rule->iif ? ANSWER_ASK : ANSWER_NO;
}

// The order of rules with one priority is the kernel's.
static uint16_t seq_next(const GArray *rules, uint32_t priority, uint16_t family)
{
	const struct st_rule *last;

	if (!rules->len)
		return 0;
	last = &g_array_index(rules, struct st_rule, rules->len - 1);
	return last->key.priority == priority && last->key.family == family ? last->key.seq + 1 : 0;
}

static void each_rule(const struct nlmsghdr *nlh, void *arg)
{
	const struct fib_rule_hdr *h = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[ATTRS_MAX + 1];
	struct reading *r = arg;
	enum answer answer, on_device;
	struct st_rule rule;
	bool known, invert;

	known = rtnl_attrs(nlh, sizeof(*h), tb, ATTRS_MAX);
	if ((h->family != AF_INET && h->family != AF_INET6) || r->rules->len == RULES_MAX)
		return;
	memset(&rule, 0, sizeof(rule));
	rule.key.priority = rtnl_u32(tb[FRA_PRIORITY], 0);
	rule.key.family = h->family;
	rule.key.seq = seq_next(r->rules, rule.key.priority, rule.key.family);
	rule.table = rtnl_u32(tb[FRA_TABLE], h->table);
	rule.action = action_of(h->action);
	rule.suppress_plen = (int16_t)rtnl_u32(tb[FRA_SUPPRESS_PREFIXLEN], UINT32_MAX);
	invert = h->flags & FIB_RULE_INVERT;
	answer = known ? asks(tb) : ANSWER_UNKNOWN;
	on_device = select_by(r->nl, &rule, h, tb);
	if (answer == ANSWER_UNKNOWN) {
		g_warning("rule: matches what strait does not know, forwarded packets ignore it "
			  "priority=%u family=%s",
			rule.key.priority, h->family == AF_INET ? "inet" : "inet6");
		rule.action = ST_RULE_NEVER;
	} else if (answer == ANSWER_NO || on_device == ANSWER_NO) {
		// One false condition makes the whole false; "not" turns that into always.
		memset(&rule.src, 0, sizeof(rule.src));
		memset(&rule.dst, 0, sizeof(rule.dst));
		rule.iif = rule.tos = rule.ip_proto = 0;
		rule.sport_lo_be = rule.sport_hi_be = rule.dport_lo_be = rule.dport_hi_be = 0;
		if (!invert)
			rule.action = ST_RULE_NEVER;
	} else if (invert) {
		rule.flags |= ST_RULE_F_INVERT;
	}
	g_array_append_val(r->rules, rule);
}

int netlink_rules_read(struct netlink *nl)
{
	struct reading r = {.nl = nl, .rules = g_array_new(FALSE, FALSE, sizeof(struct st_rule))};
	int ret = rtnl_dump(nl->request, RTM_GETRULE, AF_INET, each_rule, &r);
	guint i;

	if (!ret)
		ret = rtnl_dump(nl->request, RTM_GETRULE, AF_INET6, each_rule, &r);
	if (!ret) {
		dp_replace_begin(nl->dp, ST_RULE);
		for (i = 0; i < r.rules->len; i++)
			dp_set(nl->dp, ST_RULE, &g_array_index(r.rules, struct st_rule, i),
				sizeof(struct st_rule), NULL, 0, NULL, NULL);
		dp_replace_end(nl->dp, ST_RULE);
		if (r.rules->len == RULES_MAX)
			g_warning("rule: only the first %u rules are mirrored", RULES_MAX);
	}
	g_array_free(r.rules, TRUE);
	return ret;
}
