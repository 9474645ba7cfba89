// SPDX-License-Identifier: BSD-3-Clause
//
// The mirror against the real kernel, in a network namespace of its own. dp is replaced by a table that
// shows what the data plane would have. Needs root.
#include "../../../../control/addr.h"
#include "../../../../control/dp/dp.h"
#include "../../../../control/host/netlink.h"
#include "../../suite.h"

#include <glib.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAN    7 // interface ids of the contract
#define LAN    9
#define WAIT_S 60

// ---- a data plane that remembers -------------------------------------------------------------------

struct object {
	uint16_t kind, len;
	uint8_t body[512];
	bool marked;
};

static GHashTable *objects; // struct object, by kind and key

static uint16_t key_len(uint16_t kind)
{
	switch (kind) {
	case ST_ADDR:
		return sizeof(struct st_addr_key);
	case ST_ROUTE:
		return sizeof(struct st_route_key);
	case ST_RULE:
		return sizeof(struct st_rule_key);
	case ST_NEIGH:
		return sizeof(struct st_neigh_key);
	}
	abort();
}

static guint object_hash(gconstpointer p)
{
	const struct object *o = p;
	guint h = o->kind;
	uint16_t i;

	for (i = 0; i < key_len(o->kind); i++)
		h = h * 31 + o->body[i];
	return h;
}

static gboolean object_equal(gconstpointer a, gconstpointer b)
{
	const struct object *x = a, *y = b;

	return x->kind == y->kind && !memcmp(x->body, y->body, key_len(x->kind));
}

static struct object *find(uint16_t kind, const void *key)
{
	struct object want = {.kind = kind};

	memcpy(want.body, key, key_len(kind));
	return g_hash_table_lookup(objects, &want);
}

void dp_set(struct dp *dp, uint16_t kind, const void *body, uint16_t body_len, const void *blob,
	uint16_t blob_len, dp_done done, void *arg)
{
	struct object *o = find(kind, body);

	if (!o) {
		o = g_new0(struct object, 1);
		o->kind = kind;
		memcpy(o->body, body, body_len);
		g_hash_table_add(objects, o);
	}
	o->len = body_len;
	o->marked = false;
	memcpy(o->body, body, body_len);
}

void dp_del(struct dp *dp, uint16_t kind, const void *key, uint16_t len)
{
	struct object *o = find(kind, key);

	CU_ASSERT_EQUAL(len, key_len(kind));
	if (o)
		g_hash_table_remove(objects, o);
}

void dp_replace_begin(struct dp *dp, uint16_t kind)
{
	GHashTableIter it;
	gpointer o;

	g_hash_table_iter_init(&it, objects);
	while (g_hash_table_iter_next(&it, &o, NULL))
		((struct object *)o)->marked |= ((struct object *)o)->kind == kind;
}

void dp_replace_end(struct dp *dp, uint16_t kind)
{
	GHashTableIter it;
	gpointer o;

	g_hash_table_iter_init(&it, objects);
	while (g_hash_table_iter_next(&it, &o, NULL)) {
		if (((struct object *)o)->kind == kind && ((struct object *)o)->marked)
			g_hash_table_iter_remove(&it);
	}
}

static unsigned int count(uint16_t kind)
{
	unsigned int n = 0;
	GHashTableIter it;
	gpointer o;

	g_hash_table_iter_init(&it, objects);
	while (g_hash_table_iter_next(&it, &o, NULL))
		n += ((struct object *)o)->kind == kind;
	return n;
}

// ---- what is in it ---------------------------------------------------------------------------------

static struct st_addr addr(const char *text)
{
	struct st_addr a;

	memset(&a, 0, sizeof(a));
	if (*text && !addr_parse(&a, text))
		CU_FAIL_FATAL("test address");
	return a;
}

static const struct st_route *route(uint32_t table, const char *prefix)
{
	struct st_route_key key;
	struct object *o;

	memset(&key, 0, sizeof(key));
	key.table = table;
	if (!prefix_parse(&key.dst, NULL, prefix))
		CU_FAIL_FATAL("test prefix");
	o = find(ST_ROUTE, &key);
	return o ? (const struct st_route *)o->body : NULL;
}

// "9 10.0.0.1 w1 | 7 - w2": interface, gateway, weight; or the action.
static const char *route_text(uint32_t table, const char *prefix)
{
	static const char *const actions[] = {"?", "unicast", "local", "broadcast", "blackhole",
		"unreachable", "prohibit", "throw"};
	const struct st_route *r = route(table, prefix);
	static char out[512];
	char text[ADDR_TEXT_MAX];
	unsigned int i;

	if (!r)
		return "none";
	if (r->action != ST_ROUTE_UNICAST)
		return actions[r->action];
	out[0] = 0;
	for (i = 0; i < r->nb_nexthops; i++) {
		const struct st_nexthop *nh = &r->nexthops[i];

		snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s%u %s w%u", i ? " | " : "",
			nh->if_id, addr_is_zero(&nh->gateway) ? "-" : addr_text(text, &nh->gateway),
			nh->weight);
	}
	return out;
}

static const struct st_neigh *neigh(uint32_t if_id, const char *text)
{
	struct st_neigh_key key = {.if_id = if_id, .addr = addr(text)};
	struct object *o = find(ST_NEIGH, &key);

	return o ? (const struct st_neigh *)o->body : NULL;
}

static bool has_addr(uint32_t if_id, const char *text)
{
	struct st_addr_key key = {.if_id = if_id, .addr = addr(text)};

	return find(ST_ADDR, &key) != NULL;
}

static const struct st_rule *rule(uint32_t priority, uint16_t family)
{
	struct st_rule_key key = {.priority = priority, .family = family};
	struct object *o = find(ST_RULE, &key);

	return o ? (const struct st_rule *)o->body : NULL;
}

// ---- the kernel ------------------------------------------------------------------------------------

static struct netlink *nl;
static unsigned int changes;
static GArray *told;

static void ip(const char *format, ...)
{
	char *command, *args;
	va_list ap;
	int ret;

	va_start(ap, format);
	args = g_strdup_vprintf(format, ap);
	va_end(ap);
	command = g_strconcat("ip ", args, NULL);
	ret = system(command);
	if (ret)
		printf("\n  failed: %s\n", command);
	CU_ASSERT_EQUAL(ret, 0);
	g_free(command);
	g_free(args);
}

static void on_change(void *arg)
{
	changes++;
}

static void on_addrs(const struct st_addr_key *addrs, unsigned int n, void *arg)
{
	g_array_set_size(told, 0);
	g_array_append_vals(told, addrs, n);
}

static bool was_told(uint32_t if_id, const char *text)
{
	struct st_addr_key a = {.if_id = if_id, .addr = addr(text)};
	guint i;

	for (i = 0; i < told->len; i++) {
		if (!memcmp(&g_array_index(told, struct st_addr_key, i), &a, sizeof(a)))
			return true;
	}
	return false;
}

static gboolean wake(gpointer arg)
{
	return G_SOURCE_CONTINUE;
}

#define WAIT(condition)                                                                            \
	do {                                                                                       \
		gint64 until = g_get_monotonic_time() + WAIT_S * G_USEC_PER_SEC;                   \
		while (!(condition) && g_get_monotonic_time() < until)                             \
			g_main_context_iteration(NULL, TRUE);                                      \
		CU_ASSERT(!!(condition));                                                          \
	} while (0)

#define WAIT_ROUTE(table, prefix, want) WAIT(!strcmp(route_text(table, prefix), want))

static void begin(void)
{
	ip("link add wan0 type veth peer name wan0p");
	ip("link add lan0 type veth peer name lan0p");
	ip("link add mgmt0 type veth peer name mgmt0p");
	ip("link set wan0p up; ip link set lan0p up; ip link set mgmt0p up");
	ip("link set wan0 up; ip link set lan0 up; ip link set mgmt0 up; ip link set lo up");
	ip("addr add 198.51.100.2/24 dev wan0; ip addr add 10.1.0.1/24 dev lan0");
	ip("-6 addr add 2001:db8:1::1/64 dev lan0 nodad; ip addr add 192.0.2.1/24 dev mgmt0");
	objects = g_hash_table_new_full(object_hash, object_equal, g_free, NULL);
	told = g_array_new(FALSE, FALSE, sizeof(struct st_addr_key));
	nl = netlink_new(NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(nl);
	netlink_map_iface(nl, WAN, "wan0");
	netlink_map_iface(nl, LAN, "lan0");
	netlink_on_change(nl, on_change, NULL);
	netlink_on_addrs(nl, on_addrs, NULL);
	CU_ASSERT_EQUAL_FATAL(netlink_start(nl), 0);
}

static void end(void)
{
	netlink_free(nl);
	nl = NULL;
	g_hash_table_destroy(objects);
	g_array_free(told, TRUE);
	ip("link del wan0; ip link del lan0; ip link del mgmt0");
}

// ---- tests -----------------------------------------------------------------------------------------

static void the_first_reading_mirrors_what_is_there(void)
{
	begin();
	WAIT(has_addr(LAN, "2001:db8:1::1"));
	CU_ASSERT_TRUE(has_addr(WAN, "198.51.100.2"));
	CU_ASSERT_TRUE(has_addr(LAN, "10.1.0.1"));
	CU_ASSERT_STRING_EQUAL(route_text(254, "10.1.0.0/24"), "9 - w1");
	CU_ASSERT_STRING_EQUAL(route_text(254, "2001:db8:1::/64"), "9 - w1");
	CU_ASSERT_STRING_EQUAL(route_text(254, "192.0.2.0/24"), "0 - w1");
	CU_ASSERT_STRING_EQUAL(route_text(255, "10.1.0.1/32"), "local");
	CU_ASSERT_STRING_EQUAL(route_text(255, "10.1.0.255/32"), "broadcast");
	CU_ASSERT_STRING_EQUAL(route_text(255, "2001:db8:1::1/128"), "local");
	CU_ASSERT_STRING_EQUAL(route_text(255, "192.0.2.1/32"), "local");
	CU_ASSERT_PTR_NOT_NULL(rule(0, AF_INET));
	CU_ASSERT_PTR_NOT_NULL(rule(32766, AF_INET6));
	CU_ASSERT_TRUE(was_told(0, "192.0.2.1") && was_told(0, "2001:db8:1::1"));
	CU_ASSERT_FALSE(was_told(0, "127.0.0.1") || was_told(0, "::1"));
	end();
}

static void addresses_follow_the_kernel(void)
{
	unsigned int before;

	begin();
	WAIT(changes > 0);
	before = changes;
	ip("addr add 203.0.113.9/28 dev wan0");
	WAIT(has_addr(WAN, "203.0.113.9") && was_told(0, "203.0.113.9") && changes > before);
	WAIT_ROUTE(254, "203.0.113.0/28", "7 - w1");
	ip("addr del 203.0.113.9/28 dev wan0");
	WAIT(!has_addr(WAN, "203.0.113.9") && !was_told(0, "203.0.113.9"));
	WAIT_ROUTE(254, "203.0.113.0/28", "none");
	// A link-local one is only ours where packets come to an lcore.
	ip("-6 addr add fe80::77/64 dev wan0 nodad; ip -6 addr add fe80::77/64 dev lan0 nodad");
	ip("-6 addr add fe80::78/64 dev mgmt0 nodad");
	WAIT(was_told(WAN, "fe80::77") && was_told(LAN, "fe80::77"));
	CU_ASSERT_FALSE(was_told(0, "fe80::77") || was_told(0, "fe80::78"));
	ip("addr add 203.0.113.9/28 dev mgmt0");
	WAIT(was_told(0, "203.0.113.9"));
	CU_ASSERT_FALSE(has_addr(WAN, "203.0.113.9") || has_addr(0, "203.0.113.9"));
	end();
}

static void routes_follow_the_kernel(void)
{
	begin();
	ip("route add 10.2.0.0/16 via 198.51.100.1 mtu 1400; ip route add default via "
	   "198.51.100.1");
	WAIT_ROUTE(254, "10.2.0.0/16", "7 198.51.100.1 w1");
	CU_ASSERT_EQUAL(route(254, "10.2.0.0/16")->mtu, 1400);
	WAIT_ROUTE(254, "0.0.0.0/0", "7 198.51.100.1 w1");
	ip("route replace 10.2.0.0/16 via 10.1.0.9");
	WAIT_ROUTE(254, "10.2.0.0/16", "9 10.1.0.9 w1");
	ip("route del 10.2.0.0/16");
	WAIT_ROUTE(254, "10.2.0.0/16", "none");

	ip("route add 10.3.0.0/16 nexthop via 198.51.100.1 weight 3 nexthop via 10.1.0.9 weight 1");
	WAIT_ROUTE(254, "10.3.0.0/16", "7 198.51.100.1 w3 | 9 10.1.0.9 w1");
	ip("-6 route add 2001:db8:7::/48 via 2001:db8:1::9 metric 5");
	WAIT_ROUTE(254, "2001:db8:7::/48", "9 2001:db8:1::9 w1");
	ip("-6 route append 2001:db8:7::/48 via 2001:db8:1::8 metric 5");
	WAIT_ROUTE(254, "2001:db8:7::/48", "9 2001:db8:1::9 w1 | 9 2001:db8:1::8 w1");
	ip("-6 route del 2001:db8:7::/48 via 2001:db8:1::9 metric 5");
	WAIT_ROUTE(254, "2001:db8:7::/48", "9 2001:db8:1::8 w1");
	ip("route add 10.4.0.0/16 via inet6 2001:db8:1::4 dev lan0");
	WAIT_ROUTE(254, "10.4.0.0/16", "9 2001:db8:1::4 w1");
	ip("route add 10.5.0.0/16 via 198.51.100.1 table 100");
	WAIT_ROUTE(100, "10.5.0.0/16", "7 198.51.100.1 w1");
	CU_ASSERT_STRING_EQUAL(route_text(254, "10.5.0.0/16"), "none");
	end();
}

static void the_lowest_metric_wins_and_its_end_uncovers_the_next(void)
{
	begin();
	ip("route add 10.6.0.0/16 via 198.51.100.1 metric 20");
	WAIT_ROUTE(254, "10.6.0.0/16", "7 198.51.100.1 w1");
	ip("route add 10.6.0.0/16 via 10.1.0.9 metric 10");
	WAIT_ROUTE(254, "10.6.0.0/16", "9 10.1.0.9 w1");
	ip("route add 10.6.0.0/16 via 10.1.0.7 metric 30");
	ip("route add 10.6.0.0/16 via 10.1.0.5 tos 0x10 metric 1");
	ip("route del 10.6.0.0/16 metric 10");
	WAIT_ROUTE(254, "10.6.0.0/16", "7 198.51.100.1 w1");
	ip("route del 10.6.0.0/16 metric 20");
	WAIT_ROUTE(254, "10.6.0.0/16", "9 10.1.0.7 w1");
	end();
}

static void special_routes_have_their_action(void)
{
	begin();
	ip("route add blackhole 10.10.0.0/16; ip route add unreachable 10.11.0.0/16");
	ip("route add prohibit 10.12.0.0/16; ip route add throw 10.13.0.0/16");
	ip("-6 route add unreachable 2001:db8:b::/48");
	WAIT_ROUTE(254, "10.10.0.0/16", "blackhole");
	WAIT_ROUTE(254, "10.11.0.0/16", "unreachable");
	WAIT_ROUTE(254, "10.12.0.0/16", "prohibit");
	WAIT_ROUTE(254, "10.13.0.0/16", "throw");
	WAIT_ROUTE(254, "2001:db8:b::/48", "unreachable");
	ip("route flush root 10.8.0.0/13");
	WAIT_ROUTE(254, "10.10.0.0/16", "none");
	WAIT_ROUTE(254, "10.13.0.0/16", "none");
	ip("-6 route del 2001:db8:b::/48");
	WAIT_ROUTE(254, "2001:db8:b::/48", "none");
	end();
}

static void routes_of_a_device_go_down_with_it(void)
{
	begin();
	ip("route add 10.2.0.0/16 via 198.51.100.1");
	WAIT_ROUTE(254, "10.2.0.0/16", "7 198.51.100.1 w1");
	ip("link set wan0 down");
	WAIT_ROUTE(254, "10.2.0.0/16", "none");
	WAIT_ROUTE(254, "198.51.100.0/24", "none");
	ip("link set wan0 up");
	WAIT_ROUTE(254, "198.51.100.0/24", "7 - w1");
	end();
}

static void next_hop_objects_are_resolved(void)
{
	begin();
	ip("nexthop add id 11 via 198.51.100.1 dev wan0; ip nexthop add id 12 via 10.1.0.9 dev "
	   "lan0");
	ip("nexthop add id 13 group 11,2/12,5; ip nexthop add id 14 blackhole");
	ip("route add 10.20.0.0/16 nhid 11; ip route add 10.21.0.0/16 nhid 13");
	ip("route add 10.22.0.0/16 nhid 14");
	WAIT_ROUTE(254, "10.20.0.0/16", "7 198.51.100.1 w1");
	WAIT_ROUTE(254, "10.21.0.0/16", "7 198.51.100.1 w2 | 9 10.1.0.9 w5");
	WAIT_ROUTE(254, "10.22.0.0/16", "blackhole");
	ip("nexthop replace id 11 via 10.1.0.77 dev lan0");
	WAIT_ROUTE(254, "10.20.0.0/16", "9 10.1.0.77 w1");
	WAIT_ROUTE(254, "10.21.0.0/16", "9 10.1.0.77 w2 | 9 10.1.0.9 w5");
	ip("nexthop del id 11");
	WAIT_ROUTE(254, "10.20.0.0/16", "none");
	WAIT_ROUTE(254, "10.21.0.0/16", "9 10.1.0.9 w5");
	ip("nexthop flush");
	end();
}

static void rules_are_seen_with_the_eyes_of_a_forwarded_packet(void)
{
	struct st_prefix any, want;
	const struct st_rule *r;

	begin();
	memset(&any, 0, sizeof(any));
	ip("rule add pref 100 from 10.1.0.0/24 to 10.9.0.0/16 iif lan0 ipproto udp lookup 100");
	ip("rule add pref 101 fwmark 0xca6c lookup 101; ip rule add pref 102 not fwmark 0xca6c "
	   "lookup 102");
	ip("rule add pref 103 lookup main suppress_prefixlength 0; ip rule add pref 104 iif mgmt0 "
	   "lookup 104");
	ip("rule add pref 105 oif wan0 lookup 105; ip rule add pref 106 not iif lan0 prohibit");
	ip("rule add pref 107 dport 53 lookup 107; ip rule add pref 108 uidrange 1000-1000 lookup "
	   "108");
	ip("rule add pref 109 fwmark 0/0xff blackhole; ip -6 rule add pref 110 from 2001:db8::/32 "
	   "unreachable");
	ip("rule add pref 111 from 10.1.0.0/24 lookup 111; ip rule add pref 111 from 10.2.0.0/24 "
	   "lookup 112");
	WAIT(rule(111, AF_INET) && rule(110, AF_INET6));

	r = rule(100, AF_INET);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r);
	CU_ASSERT_TRUE(prefix_parse(&want, NULL, "10.1.0.0/24"));
	CU_ASSERT_EQUAL(memcmp(&r->src, &want, sizeof(want)), 0);
	CU_ASSERT_TRUE(prefix_parse(&want, NULL, "10.9.0.0/16"));
	CU_ASSERT_EQUAL(memcmp(&r->dst, &want, sizeof(want)), 0);
	CU_ASSERT_TRUE(r->iif == LAN && r->ip_proto == 17 && r->table == 100);
	CU_ASSERT_TRUE(r->action == ST_RULE_TABLE && r->suppress_plen == -1 && !r->flags);
	CU_ASSERT_EQUAL(rule(101, AF_INET)->action, ST_RULE_NEVER);
	r = rule(102, AF_INET);
	CU_ASSERT_TRUE(r->action == ST_RULE_TABLE && r->table == 102 && !r->flags);
	CU_ASSERT_EQUAL(rule(103, AF_INET)->suppress_plen, 0);
	CU_ASSERT_EQUAL(rule(104, AF_INET)->action, ST_RULE_NEVER);
	CU_ASSERT_EQUAL(rule(105, AF_INET)->action, ST_RULE_NEVER);
	r = rule(106, AF_INET);
	CU_ASSERT_TRUE(
		r->action == ST_RULE_PROHIBIT && r->iif == LAN && r->flags == ST_RULE_F_INVERT);
	r = rule(107, AF_INET);
	CU_ASSERT_TRUE(r->action == ST_RULE_TABLE && r->dport_lo_be == htons(53) &&
		       r->dport_hi_be == htons(53) && r->sport_hi_be == 0);
	CU_ASSERT_EQUAL(rule(108, AF_INET)->action, ST_RULE_NEVER);
	CU_ASSERT_EQUAL(rule(109, AF_INET)->action, ST_RULE_BLACKHOLE);
	r = rule(110, AF_INET6);
	CU_ASSERT_TRUE(r->action == ST_RULE_UNREACHABLE && r->src.plen == 32);
	CU_ASSERT_EQUAL(memcmp(&r->dst, &any, sizeof(any)), 0);
	CU_ASSERT_EQUAL(rule(111, AF_INET)->table, 111);
	CU_ASSERT_PTR_NOT_NULL(
		find(ST_RULE, &(struct st_rule_key){.priority = 111, .family = AF_INET, .seq = 1}));
	ip("rule del pref 111 from 10.1.0.0/24");
	WAIT(rule(111, AF_INET) && rule(111, AF_INET)->table == 112);
	ip("rule flush; ip -6 rule flush; ip rule add pref 32766 lookup main; "
	   "ip -6 rule add pref 32766 lookup main; ip rule add pref 0 lookup local; "
	   "ip -6 rule add pref 0 lookup local");
	end();
}

static void neighbours_follow_the_kernel(void)
{
	begin();
	ip("neigh add 10.1.0.50 lladdr 02:00:00:00:00:50 dev lan0 nud permanent");
	WAIT(neigh(LAN, "10.1.0.50"));
	CU_ASSERT_EQUAL(neigh(LAN, "10.1.0.50")->mac[5], 0x50);
	ip("neigh change 10.1.0.50 lladdr 02:00:00:00:00:51 dev lan0 nud stale");
	WAIT(neigh(LAN, "10.1.0.50")->mac[5] == 0x51);
	ip("neigh add 2001:db8:1::50 lladdr 02:00:00:00:00:52 dev lan0 nud reachable");
	WAIT(neigh(LAN, "2001:db8:1::50"));
	ip("neigh change 10.1.0.50 dev lan0 nud failed");
	WAIT(!neigh(LAN, "10.1.0.50"));
	ip("neigh del 2001:db8:1::50 dev lan0");
	WAIT(!neigh(LAN, "2001:db8:1::50"));
	ip("neigh add 192.0.2.50 lladdr 02:00:00:00:00:53 dev mgmt0; "
	   "ip neigh add 10.1.0.51 lladdr 02:00:00:00:00:54 dev lan0");
	WAIT(neigh(LAN, "10.1.0.51"));
	CU_ASSERT_PTR_NULL(neigh(0, "192.0.2.50"));
	end();
}

static bool shown(const char *command, const char *want)
{
	char line[512];
	FILE *f = popen(command, "r");
	bool found = false;

	while (f && fgets(line, sizeof(line), f))
		found |= strstr(line, want) != NULL;
	if (f)
		pclose(f);
	return found;
}

static void next_hops_are_resolved_and_held(void)
{
	struct st_addr gw = addr("198.51.100.1"), host = addr("10.1.0.66");

	begin();
	// The other end of the WAN answers ARP for the gateway.
	ip("addr add 198.51.100.1/32 dev wan0p; sysctl -qw net.ipv4.conf.all.arp_ignore=0");
	ip("neigh add 198.51.100.1 lladdr 02:00:00:00:00:99 dev wan0 nud stale");
	WAIT(neigh(WAN, "198.51.100.1"));
	netlink_neigh_hold(nl, WAN, &gw);
	netlink_neigh_hold(nl, WAN, &gw);
	CU_ASSERT_TRUE(shown("ip neigh show dev wan0", "managed"));
	netlink_neigh_release(nl, WAN, &gw);
	CU_ASSERT_TRUE(shown("ip neigh show dev wan0", "managed"));
	netlink_neigh_probe(nl, WAN, &gw);
	CU_ASSERT_TRUE(shown("ip neigh show dev wan0", "managed"));
	// A flush does not end a hold, nor does the device going down and up.
	ip("link set wan0 down; ip link set wan0 up");
	WAIT(shown("ip neigh show dev wan0", "managed"));
	netlink_neigh_release(nl, WAN, &gw);
	CU_ASSERT_FALSE(shown("ip neigh show dev wan0", "managed"));
	netlink_neigh_release(nl, WAN, &gw);

	netlink_neigh_probe(nl, LAN, &host);
	CU_ASSERT_TRUE(shown("ip neigh show dev lan0", "10.1.0.66"));
	netlink_neigh_probe(nl, 200, &host);
	end();
}

static int path(struct netlink_path *ret, const char *remote, const char *local, uint32_t mark)
{
	struct st_addr r = addr(remote), l = addr(local);

	memset(ret, 0xee, sizeof(*ret));
	return netlink_path_get(nl,
		&(struct netlink_ask){.remote = &r,
			.local = &l,
			.mark = mark,
			.local_port_be = htons(51820),
			.remote_port_be = htons(51821)},
		ret);
}

static void expect_path(const char *remote, const char *local, uint32_t mark, const char *want)
{
	char out[160], a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX];
	struct netlink_path p;
	int e = path(&p, remote, local, mark);

	if (e)
		snprintf(out, sizeof(out), "%d", e);
	else
		snprintf(out, sizeof(out), "if %u from %s to %s mtu %u%s", p.if_id,
			addr_text(a, &p.local), addr_text(b, &p.nexthop), p.mtu,
			p.local_delivery ? " local" : "");
	if (strcmp(out, want))
		printf("\n  %s: wanted: %s\n  got:    %s\n", remote, want, out);
	CU_ASSERT_STRING_EQUAL(out, want);
}

static void paths_are_the_kernels_own_answer(void)
{
	struct netlink_path p;
	char text[32];
	int e;

	begin();
	ip("route add default via 198.51.100.1; ip route add 10.8.0.0/16 via 10.1.0.9 mtu 1300");
	ip("-6 route add default via 2001:db8:1::9; ip link set wan0 mtu 1480");
	ip("addr add 198.51.100.3/24 dev wan0; ip route add unreachable 10.30.0.0/16");
	ip("route add default via 10.1.0.9 table 77; ip rule add pref 50 fwmark 0x7 lookup 77");
	ip("rule add pref 51 from 198.51.100.3 lookup 77; ip route add prohibit 10.31.0.0/16");
	ip("rule add pref 52 ipproto udp dport 51821 to 10.40.0.0/16 lookup 77");
	WAIT_ROUTE(77, "0.0.0.0/0", "9 10.1.0.9 w1");
	WAIT(rule(52, AF_INET));
	expect_path("198.51.100.77", "", 0, "if 7 from 198.51.100.2 to 198.51.100.77 mtu 1480");
	expect_path("203.0.113.5", "", 0, "if 7 from 198.51.100.2 to 198.51.100.1 mtu 1480");
	expect_path("10.8.1.1", "", 0, "if 9 from 10.1.0.1 to 10.1.0.9 mtu 1300");
	expect_path("203.0.113.5", "", 7, "if 9 from 10.1.0.1 to 10.1.0.9 mtu 1500");
	expect_path("203.0.113.5", "198.51.100.3", 0, "if 9 from 198.51.100.3 to 10.1.0.9 mtu 1500");
	expect_path("203.0.113.5", "198.51.100.2", 0,
		"if 7 from 198.51.100.2 to 198.51.100.1 mtu 1480");
	expect_path("10.40.0.1", "", 0, "if 9 from 10.1.0.1 to 10.1.0.9 mtu 1500");
	expect_path("192.0.2.9", "", 0, "if 0 from 192.0.2.1 to 192.0.2.9 mtu 1500");
	expect_path("10.1.0.1", "", 0, "if 0 from 10.1.0.1 to 10.1.0.1 mtu 65535 local");
	expect_path("2001:db8:1::7", "", 0, "if 9 from 2001:db8:1::1 to 2001:db8:1::7 mtu 1500");
	expect_path("2001:db8:9::7", "", 0, "if 9 from 2001:db8:1::1 to 2001:db8:1::9 mtu 1500");
	snprintf(text, sizeof(text), "%d", -EHOSTUNREACH);
	expect_path("10.30.0.1", "", 0, text);
	snprintf(text, sizeof(text), "%d", -EACCES);
	expect_path("10.31.0.1", "", 0, text);
	// A source that is not ours: which error depends on the kernel.
	e = path(&p, "203.0.113.5", "203.0.113.6", 0);
	CU_ASSERT_TRUE(e == -EINVAL || e == -ENETUNREACH);
	snprintf(text, sizeof(text), "%d", -EAFNOSUPPORT);
	expect_path("203.0.113.5", "2001:db8:1::1", 0, text);
	ip("route del default; ip -6 route del default; ip rule del pref 50; ip rule del pref 51; "
	   "ip rule del pref 52");
	snprintf(text, sizeof(text), "%d", -ENETUNREACH);
	expect_path("203.0.113.5", "", 0, text);
	expect_path("2001:db8:9::7", "", 0, text);
	end();
}

static void a_path_to_a_link_local_address_is_on_its_interface(void)
{
	struct st_addr r = addr("fe80::99"), l = {0}, want = addr("fe80::77");
	struct netlink_ask ask = {.remote = &r, .local = &l};
	struct netlink_path p;

	begin();
	ip("-6 addr add fe80::77/64 dev wan0 nodad; ip -6 addr add fe80::78/64 dev lan0 nodad");
	WAIT(was_told(WAN, "fe80::77") && was_told(LAN, "fe80::78"));
	ask.ifindex = if_nametoindex("wan0");
	CU_ASSERT_EQUAL(netlink_path_get(nl, &ask, &p), 0);
	CU_ASSERT_EQUAL(p.if_id, WAN);
	CU_ASSERT_EQUAL(memcmp(&p.nexthop, &r, sizeof(r)), 0);
	ask.ifindex = if_nametoindex("lan0");
	CU_ASSERT_EQUAL(netlink_path_get(nl, &ask, &p), 0);
	CU_ASSERT_EQUAL(p.if_id, LAN);
	ask.ifindex = if_nametoindex("wan0");
	l = want;
	CU_ASSERT_EQUAL(netlink_path_get(nl, &ask, &p), 0);
	CU_ASSERT_EQUAL(memcmp(&p.local, &want, sizeof(want)), 0);
	end();
}

static void mapping_and_names_may_change_at_any_time(void)
{
	begin();
	netlink_map_iface(nl, 33, "mgmt0");
	WAIT(has_addr(33, "192.0.2.1"));
	WAIT_ROUTE(254, "192.0.2.0/24", "33 - w1");
	netlink_map_iface(nl, 33, "");
	WAIT(!has_addr(33, "192.0.2.1"));
	WAIT_ROUTE(254, "192.0.2.0/24", "0 - w1");
	netlink_map_iface(nl, 34, "later0");
	ip("link set mgmt0 down; ip link set mgmt0 name later0; ip link set later0 up");
	WAIT(has_addr(34, "192.0.2.1"));
	WAIT_ROUTE(254, "192.0.2.0/24", "34 - w1");
	ip("link set later0 down; ip link set later0 name mgmt0; ip link set mgmt0 up");
	WAIT(!has_addr(34, "192.0.2.1"));
	ip("link del lan0");
	WAIT(!has_addr(LAN, "10.1.0.1"));
	WAIT_ROUTE(254, "10.1.0.0/24", "none");
	ip("link add lan0 type veth peer name lan0p; ip link set lan0p up; ip link set lan0 up; "
	   "ip addr add 10.1.0.1/24 dev lan0");
	WAIT(has_addr(LAN, "10.1.0.1"));
	WAIT_ROUTE(254, "10.1.0.0/24", "9 - w1");
	end();
}

// More events than the socket holds, while nobody reads it.
static void lost_events_are_made_good(void)
{
	char name[] = "/tmp/strait-netlink-XXXXXX";
	int fd = mkstemp(name), i;
	FILE *f = fdopen(fd, "w");

	begin();
	WAIT(changes > 0);
	for (i = 0; i < 30000; i++)
		fprintf(f, "route add 10.%d.%d.0/24 via 198.51.100.1\n", 100 + i / 256, i % 256);
	for (i = 0; i < 29900; i++)
		fprintf(f, "route del 10.%d.%d.0/24\n", 100 + i / 256, i % 256);
	fflush(f);
	ip("-batch %s", name);
	fclose(f);
	unlink(name);
	WAIT_ROUTE(254, "10.217.47.0/24", "7 198.51.100.1 w1");
	WAIT_ROUTE(254, "10.100.0.0/24", "none");
	WAIT(count(ST_ROUTE) < 200);
	CU_ASSERT_TRUE(count(ST_ROUTE) >= 100);
	end();
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"the first reading mirrors what is there", the_first_reading_mirrors_what_is_there},
		{"addresses follow the kernel", addresses_follow_the_kernel},
		{"routes follow the kernel", routes_follow_the_kernel},
		{"the lowest metric wins and its end uncovers the next",
			the_lowest_metric_wins_and_its_end_uncovers_the_next},
		{"special routes have their action", special_routes_have_their_action},
		{"routes of a device go down with it", routes_of_a_device_go_down_with_it},
		{"next hop objects are resolved", next_hop_objects_are_resolved},
		{"rules are seen with the eyes of a forwarded packet",
			rules_are_seen_with_the_eyes_of_a_forwarded_packet},
		{"neighbours follow the kernel", neighbours_follow_the_kernel},
		{"next hops are resolved and held", next_hops_are_resolved_and_held},
		{"paths are the kernel's own answer", paths_are_the_kernels_own_answer},
		{"a path to a link-local address is on its interface",
			a_path_to_a_link_local_address_is_on_its_interface},
		{"mapping and names may change at any time", mapping_and_names_may_change_at_any_time},
		{"lost events are made good", lost_events_are_made_good},
		CU_TEST_INFO_NULL,
	};

	if (geteuid()) {
		puts("skipped: needs root for a network namespace");
		return 77;
	}
	if (unshare(CLONE_NEWNET)) {
		perror("unshare");
		return 99;
	}
	g_timeout_add(20, wake, NULL);
	return run_tests("netlink", tests);
}
