// SPDX-License-Identifier: BSD-3-Clause
//
// The host side against the real kernel, in a network namespace of its own: what a config puts there, what a
// later one takes away, and what is refused. Needs root.
#include "../../../../control/config/config.h"
#include "../../../../control/host/host.h"
#include "../../suite.h"

#include <glib.h>

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEY  "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define PEER "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="

static char *run_dir;

static const char gateway[] =
	"\"ports\":[{\"name\":\"wan\",\"driver\":\"null\",\"mac\":\"02:00:00:00:00:07\",\"mtu\":"
	"1400,"
	"\"addresses\":[\"198.51.100.2/24\",\"2001:db8:5::2/64\"]},"
	"{\"name\":\"quiet\",\"driver\":\"null\",\"host\":false}],"
	"\"wireguard\":[{\"name\":\"strait0\",\"private_key\":\"" KEY "\",\"listen_port\":4711,"
	"\"addresses\":[\"10.9.0.1/24\"],\"peers\":[{\"public_key\":\"" PEER
	"\",\"allowed_ips\":[\"10.2.0.0/24\",\"2001:db8:2::/48\"]}]}],"
	"\"routes\":[{\"to\":\"10.7.0.0/16\",\"via\":\"198.51.100.1\",\"metric\":5},"
	"{\"to\":\"10.8.0.0/16\",\"dev\":\"strait0\",\"table\":300}]";

static struct config *parse(const char *body)
{
	char *text = g_strdup_printf("{\"run_dir\":\"%s\",%s}", run_dir, body), *error = NULL;
	struct config *c = config_parse("t.json", text, &error);

	if (!c)
		puts(error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	g_free(text);
	return c;
}

static void apply(const char *body)
{
	struct config *c = parse(body);
	char *error = NULL;
	int ret = host_apply(c, &error);

	if (ret)
		printf("\n  %s\n", error);
	CU_ASSERT_EQUAL(ret, 0);
	g_free(error);
	config_free(c);
}

static void remove_all(void)
{
	struct config *c = parse("\"ports\":[]");

	CU_ASSERT_EQUAL(host_remove_all(c), 0);
	config_free(c);
}

static void expect_refused(const char *body, int (*fn)(const struct config *c, char **ret_error),
	int status, const char *want)
{
	struct config *c = parse(body);
	char *error = NULL;

	CU_ASSERT_EQUAL(fn(c, &error), status);
	CU_ASSERT_PTR_NOT_NULL_FATAL(error);
	if (!strstr(error, want))
		printf("\n  wanted: %s\n  got:    %s\n", want, error);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, want));
	g_free(error);
	config_free(c);
}

// Whether the output of a command has the text; one line is enough.
static bool shows(const char *command, const char *want)
{
	FILE *f = popen(command, "r");
	char line[1024];
	bool found = false;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	while (fgets(line, sizeof(line), f))
		found |= strstr(line, want) != NULL;
	pclose(f);
	return found;
}

static void run(const char *command)
{
	CU_ASSERT_EQUAL(system(command), 0);
}

static void a_config_makes_devices_addresses_and_routes(void)
{
	apply(gateway);
	CU_ASSERT_TRUE(shows("ip -d link show wan", "tun type tap"));
	CU_ASSERT_TRUE(shows("ip -d link show wan", "persist on"));
	CU_ASSERT_TRUE(shows("ip -d link show wan", "multi_queue"));
	CU_ASSERT_TRUE(shows("ip -d link show wan", "pi on"));
	CU_ASSERT_TRUE(shows("ip link show wan", "02:00:00:00:00:07"));
	CU_ASSERT_TRUE(shows("ip link show wan", "mtu 1400"));
	CU_ASSERT_TRUE(shows("ip link show wan", ",UP"));
	CU_ASSERT_TRUE(shows("ip -d link show strait0", "tun type tun"));
	CU_ASSERT_TRUE(shows("ip link show strait0", "mtu 1420"));
	CU_ASSERT_FALSE(shows("ip link", "quiet"));
	CU_ASSERT_TRUE(shows("ip addr show wan", "198.51.100.2/24"));
	CU_ASSERT_TRUE(shows("ip -6 addr show wan", "2001:db8:5::2/64"));
	CU_ASSERT_FALSE(shows("ip -6 addr show wan", "2001:db8:5::2/64 scope global tentative"));
	CU_ASSERT_TRUE(shows("ip addr show strait0", "10.9.0.1/24"));
	CU_ASSERT_TRUE(shows("ip route", "10.2.0.0/24 dev strait0"));
	CU_ASSERT_TRUE(shows("ip -6 route", "2001:db8:2::/48 dev strait0"));
	CU_ASSERT_TRUE(shows("ip route", "10.7.0.0/16 via 198.51.100.1 dev wan"));
	CU_ASSERT_TRUE(shows("ip route", "metric 5"));
	CU_ASSERT_TRUE(shows("ip route show table 300", "10.8.0.0/16 dev strait0"));
	CU_ASSERT_TRUE(shows("cat /proc/sys/net/ipv4/conf/wan/rp_filter", "2"));
	CU_ASSERT_TRUE(shows("cat /proc/sys/net/ipv4/neigh/wan/retrans_time_ms", "200"));
	CU_ASSERT_TRUE(shows("cat /proc/sys/net/ipv4/neigh/wan/mcast_solicit", "15"));
	CU_ASSERT_TRUE(shows("cat /proc/sys/net/ipv4/ip_local_reserved_ports", "4711"));
	remove_all();
}

static void applying_again_changes_nothing_and_keeps_the_devices(void)
{
	char before[64], after[64];
	FILE *f;

	apply(gateway);
	f = popen("ip -o link show wan | cut -d: -f1", "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(fgets(before, sizeof(before), f));
	pclose(f);
	run("ip route add 10.77.0.0/16 via 198.51.100.9; ip addr add 198.51.100.77/24 dev wan");
	apply(gateway);
	f = popen("ip -o link show wan | cut -d: -f1", "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(fgets(after, sizeof(after), f));
	pclose(f);
	CU_ASSERT_STRING_EQUAL(before, after);
	// What others put there stays.
	CU_ASSERT_TRUE(shows("ip route", "10.77.0.0/16 via 198.51.100.9"));
	CU_ASSERT_TRUE(shows("ip addr show wan", "198.51.100.77/24"));
	CU_ASSERT_TRUE(shows("ip route", "10.2.0.0/24 dev strait0"));
	remove_all();
}

static int route_events_open(void)
{
	struct sockaddr_nl addr = {
		.nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

// Of routes that straitd sets; the kernel's own for an address come when it has been found to be unique.
static unsigned int events_taken(int fd)
{
	_Alignas(struct nlmsghdr) char buf[8192];
	unsigned int n = 0;
	ssize_t len;

	while ((len = recv(fd, buf, sizeof(buf), 0)) > 0) {
		const struct nlmsghdr *h = (const void *)buf;

		for (size_t left = (size_t)len; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
			n += ((const struct rtmsg *)NLMSG_DATA(h))->rtm_protocol == 83;
	}
	return n;
}

// Each event would have all routes read and all paths asked for again.
static void routes_that_are_there_are_not_set_again(void)
{
	int fd;

	apply(gateway);
	fd = route_events_open();
	apply(gateway);
	CU_ASSERT_EQUAL(events_taken(fd), 0);
	run("ip route change 10.7.0.0/16 via 198.51.100.9 metric 5 proto 83; "
	    "ip -6 route del 2001:db8:2::/48 dev strait0");
	apply(gateway);
	CU_ASSERT_TRUE(events_taken(fd) > 0);
	CU_ASSERT_TRUE(shows("ip route", "10.7.0.0/16 via 198.51.100.1 dev wan"));
	CU_ASSERT_TRUE(shows("ip -6 route", "2001:db8:2::/48 dev strait0"));
	// A metric that only IPv6 has without being asked.
	run("ip route del 10.2.0.0/24 dev strait0; "
	    "ip route add 10.2.0.0/24 dev strait0 metric 1024 proto 83");
	apply(gateway);
	CU_ASSERT_TRUE(shows("ip route", "10.2.0.0/24 dev strait0 proto 83 scope link"));
	CU_ASSERT_FALSE(shows("ip route", "metric 1024"));
	close(fd);
	remove_all();
}

static void what_a_later_config_has_not_is_taken_away(void)
{
	apply(gateway);
	apply("\"ports\":[{\"name\":\"wan\",\"driver\":\"null\",\"mtu\":1500,"
	      "\"addresses\":[\"198.51.100.3/24\"]}],"
	      "\"routes\":[{\"to\":\"10.7.0.0/16\",\"via\":\"198.51.100.9\",\"metric\":5}]");
	CU_ASSERT_FALSE(shows("ip link", "strait0"));
	CU_ASSERT_TRUE(shows("ip link show wan", "mtu 1500"));
	CU_ASSERT_FALSE(shows("ip addr show wan", "198.51.100.2/24"));
	CU_ASSERT_FALSE(shows("ip -6 addr show wan", "2001:db8:5::2"));
	// It came into the subnet second, and stays when the first goes.
	CU_ASSERT_TRUE(shows("ip addr show wan", "198.51.100.3/24"));
	CU_ASSERT_TRUE(shows("ip route", "10.7.0.0/16 via 198.51.100.9 dev wan"));
	CU_ASSERT_FALSE(shows("ip route", "10.7.0.0/16 via 198.51.100.1"));
	CU_ASSERT_FALSE(shows("ip route", "10.2.0.0/24"));
	remove_all();
	CU_ASSERT_FALSE(shows("ip link", "wan"));
}

static void a_marked_default_tunnel_has_its_table_and_rules(void)
{
	static const char body[] =
		"\"ports\":[{\"name\":\"wan\",\"driver\":\"null\",\"addresses\":[\"198.51.100.2/"
		"24\"]}],"
		"\"wireguard\":[{\"name\":\"strait0\",\"private_key\":\"" KEY "\",\"fwmark\":51,"
		"\"peers\":[{\"public_key\":\"" PEER
		"\",\"allowed_ips\":[\"0.0.0.0/0\",\"::/0\"]}]}],"
		"\"routes\":[{\"to\":\"0.0.0.0/0\",\"via\":\"198.51.100.1\"}]";

	apply(body);
	apply(body);
	CU_ASSERT_TRUE(shows("ip route", "default via 198.51.100.1 dev wan"));
	CU_ASSERT_TRUE(shows("ip route show table 51", "default dev strait0"));
	CU_ASSERT_TRUE(shows("ip -6 route show table 51", "default dev strait0"));
	CU_ASSERT_TRUE(shows("ip rule", "not from all fwmark 0x33 lookup 51"));
	CU_ASSERT_TRUE(shows("ip rule", "lookup main suppress_prefixlength 0"));
	CU_ASSERT_TRUE(shows("ip -6 rule", "not from all fwmark 0x33 lookup 51"));
	CU_ASSERT_TRUE(shows("ip route get 203.0.113.1", "dev strait0"));
	CU_ASSERT_TRUE(shows("ip route get 203.0.113.1 mark 51", "dev wan"));
	apply("\"ports\":[{\"name\":\"wan\",\"driver\":\"null\",\"addresses\":[\"198.51.100.2/"
	      "24\"]}]");
	CU_ASSERT_FALSE(shows("ip rule", "fwmark 0x33"));
	CU_ASSERT_FALSE(shows("ip rule", "suppress_prefixlength"));
	CU_ASSERT_FALSE(shows("ip -6 rule", "fwmark 0x33"));
	remove_all();
}

static void a_foreign_device_of_that_name_is_refused_and_stays(void)
{
	run("ip link add wan type veth peer name other");
	expect_refused(gateway, host_apply, -EEXIST, "ip link del wan");
	remove_all();
	CU_ASSERT_TRUE(shows("ip link", "wan"));
	run("ip link del wan; ip tuntap add dev wan mode tun");
	expect_refused(gateway, host_apply, -EEXIST, "ip link del wan");
	run("ip link del wan");
	remove_all();
}

static void impossible_routes_are_named(void)
{
	expect_refused("\"ports\":[{\"name\":\"wan\",\"driver\":\"null\"}],"
		       "\"routes\":[{\"to\":\"10.7.0.0/16\",\"via\":\"203.0.113.1\"}]",
		host_apply, -ENETUNREACH, "10.7.0.0/16");
	remove_all();
}

static void the_tap_of_a_kernel_interface_has_its_mac(void)
{
	uint8_t mac[6] = {0};

	run("ip link add eth9 address 02:00:00:00:99:01 type veth peer name eth9p");
	CU_ASSERT_TRUE(host_mac("eth9", mac));
	CU_ASSERT_TRUE(mac[0] == 2 && mac[4] == 0x99 && mac[5] == 1);
	CU_ASSERT_FALSE(host_mac("eth10", mac));
	apply("\"ports\":[{\"name\":\"wan\",\"driver\":\"af_packet\",\"interface\":\"eth9\"}]");
	CU_ASSERT_TRUE(shows("ip link show wan", "02:00:00:00:99:01"));
	remove_all();
	run("ip link del eth9");
}

static void a_raw_interface_with_addresses_is_refused_with_the_remedy(void)
{
	static const char body[] =
		"\"ports\":[{\"name\":\"wan\",\"driver\":\"af_packet\",\"interface\":\"eth9\"}]";
	struct config *c = parse(body);
	char *error = NULL;

	expect_refused(body, host_check_raw, -ENODEV, "eth9");
	run("ip link add eth9 type veth peer name eth9p; ip link set eth9 up; ip link set eth9p "
	    "up");
	CU_ASSERT_EQUAL(host_check_raw(c, &error), 0); // a link-local address alone does not count
	run("ip addr add 192.0.2.9/24 dev eth9; ip -6 addr add 2001:db8:9::9/64 dev eth9 nodad");
	expect_refused(body, host_check_raw, -EADDRINUSE, "del 192.0.2.9/24 dev eth9");
	expect_refused(body, host_check_raw, -EADDRINUSE,
		"\"addresses\": [\"192.0.2.9/24\", "
		"\"2001:db8:9::9/64\"]");
	config_free(c);
	run("ip link del eth9");
}

static void rules_that_forwarded_packets_miss_are_counted(void)
{
	CU_ASSERT_EQUAL(host_warn_nftables(), 0);
	run("nft 'table inet t { chain f { type filter hook forward priority 0; tcp dport 22 drop; "
	    "udp dport 53 accept; }; chain in { type filter hook input priority 0; tcp dport 22 "
	    "accept; }; }'");
	run("nft 'table ip n { chain p { type nat hook postrouting priority 100; oifname wan "
	    "masquerade; }; }'");
	CU_ASSERT_EQUAL(host_warn_nftables(), 3);
	// Other chains have no hook, and what jumps there is not looked for.
	run("i=0; { while [ $i -lt 200 ]; do echo \"add chain inet t c$i\"; "
	    "j=0; while [ $j -lt 10 ]; do echo \"add rule inet t c$i counter\"; j=$((j + 1)); "
	    "done; "
	    "i=$((i + 1)); done; } | nft -f -");
	CU_ASSERT_EQUAL(host_warn_nftables(), 3);
	run("nft flush ruleset");
	CU_ASSERT_EQUAL(host_warn_nftables(), 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"a config makes devices, addresses and routes",
			a_config_makes_devices_addresses_and_routes},
		{"applying again changes nothing and keeps the devices",
			applying_again_changes_nothing_and_keeps_the_devices},
		{"routes that are there are not set again", routes_that_are_there_are_not_set_again},
		{"what a later config has not is taken away",
			what_a_later_config_has_not_is_taken_away},
		{"a marked default tunnel has its table and rules",
			a_marked_default_tunnel_has_its_table_and_rules},
		{"a foreign device of that name is refused and stays",
			a_foreign_device_of_that_name_is_refused_and_stays},
		{"impossible routes are named", impossible_routes_are_named},
		{"the tap of a kernel interface has its mac",
			the_tap_of_a_kernel_interface_has_its_mac},
		{"a raw interface with addresses is refused with the remedy",
			a_raw_interface_with_addresses_is_refused_with_the_remedy},
		{"rules that forwarded packets miss are counted",
			rules_that_forwarded_packets_miss_are_counted},
		CU_TEST_INFO_NULL,
	};
	int ret;

	if (geteuid()) {
		puts("skipped: needs root for a network namespace");
		return 77;
	}
	run_dir = g_dir_make_tmp("strait-host-XXXXXX", NULL);
	if (!run_dir || unshare(CLONE_NEWNET)) {
		perror("unshare");
		return 99;
	}
	if (system("ip link set lo up"))
		return 99;
	ret = run_tests("host", tests);
	rmdir(run_dir);
	g_free(run_dir);
	return ret;
}
