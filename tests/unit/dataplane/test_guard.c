// SPDX-License-Identifier: BSD-3-Clause
//
// ports/guard.c against the kernel's nftables, in a network namespace of its own: what it makes, what it undoes,
// what it finds of a process that was killed, and what it refuses.
#include "env.h"
#include "ports/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/resource.h>

#define SKIPPED 77

static bool sh(const char *command)
{
	return system(command) == 0;
}

static char *table(const char *name)
{
	static char text[2000];
	char command[128];
	FILE *f;
	size_t n;

	snprintf(command, sizeof(command), "nft list table netdev %s 2>/dev/null", name);
	f = popen(command, "re");
	n = f == NULL ? 0 : fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	if (f != NULL)
		pclose(f);
	return text;
}

static char ipv6_disabled(const char *ifname)
{
	char path[96], c = '?';
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", ifname);
	fd = open(path, O_RDONLY);
	if (fd >= 0 && read(fd, &c, 1) != 1)
		c = '?';
	close(fd);
	return c;
}

static bool gro_is_on(const char *ifname)
{
	char command[96];

	snprintf(command, sizeof(command), "ethtool -k %s | grep -q '^generic-receive-offload: on'",
		ifname);
	return sh(command);
}

static void begin(void)
{
	CU_ASSERT_FATAL(sh("ip link add raw0 type veth peer name far0 && ip link set raw0 up && "
			   "ip link set far0 up && ethtool -K raw0 gro on >/dev/null"));
}

static void end(void)
{
	CU_ASSERT(sh("ip link delete raw0"));
	CU_ASSERT_STRING_EQUAL(table("strait_raw0"), "");
}

static void a_guard_drops_all_before_the_kernel_looks(void)
{
	begin();
	CU_ASSERT_EQUAL(guard_install("raw0"), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(table("strait_raw0"),
		"type filter hook ingress device \"raw0\" priority -500; policy drop;"));
	CU_ASSERT_EQUAL(ipv6_disabled("raw0"), '1');
	CU_ASSERT_FALSE(gro_is_on("raw0"));
	CU_ASSERT(sh("ip addr add 10.1.0.2/24 dev far0 && ip neigh add 10.1.0.1 lladdr "
		     "02:00:00:00:00:01 dev far0"));
	CU_ASSERT_FALSE(sh("ping -c 1 -W 1 10.1.0.1 >/dev/null"));
	guard_remove("raw0");
	CU_ASSERT_STRING_EQUAL(table("strait_raw0"), "");
	CU_ASSERT_EQUAL(ipv6_disabled("raw0"), '0');
	CU_ASSERT(gro_is_on("raw0"));
	end();
}

// A process that was killed leaves its guard: the next one keeps it up, and undoes what that one changed.
static void a_second_start_is_clean(void)
{
	begin();
	CU_ASSERT_EQUAL(guard_install("raw0"), 0);
	CU_ASSERT_EQUAL(guard_install("raw0"), 0);
	CU_ASSERT_EQUAL(guard_install("raw0"), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(table("strait_raw0"), "policy drop"));
	CU_ASSERT_PTR_NOT_NULL(strstr(table("strait_raw0"), "ipv6_was_on"));
	CU_ASSERT_PTR_NOT_NULL(strstr(table("strait_raw0"), "gro_was_on"));
	CU_ASSERT(sh("test $(nft list tables | wc -l) -eq 1"));
	guard_remove("raw0");
	CU_ASSERT_EQUAL(ipv6_disabled("raw0"), '0');
	CU_ASSERT(gro_is_on("raw0"));
	guard_remove("raw0"); // nothing is there any more
	end();
}

static void what_was_off_before_stays_off(void)
{
	begin();
	CU_ASSERT(sh("echo 1 > /proc/sys/net/ipv6/conf/raw0/disable_ipv6"));
	CU_ASSERT(sh("ethtool -K raw0 gro off"));
	CU_ASSERT_EQUAL(guard_install("raw0"), 0);
	CU_ASSERT_PTR_NULL(strstr(table("strait_raw0"), "was_on"));
	guard_remove("raw0");
	CU_ASSERT_EQUAL(ipv6_disabled("raw0"), '1');
	CU_ASSERT_FALSE(gro_is_on("raw0"));
	end();
}

static void an_interface_with_addresses_is_refused(void)
{
	begin();
	CU_ASSERT(sh("ip addr add 192.0.2.9/24 dev raw0"));
	CU_ASSERT_EQUAL(guard_install("raw0"), -EADDRINUSE);
	CU_ASSERT_STRING_EQUAL(table("strait_raw0"), "");
	CU_ASSERT(sh("ip addr flush dev raw0 && ip addr add 2001:db8::9/64 dev raw0"));
	CU_ASSERT_EQUAL(guard_install("raw0"), -EADDRINUSE);
	CU_ASSERT(sh("ip addr flush dev raw0 scope global")); // link-local may stay
	CU_ASSERT_EQUAL(guard_install("raw0"), 0);
	guard_remove("raw0");
	end();
}

static void names_are_no_way_into_nft(void)
{
	CU_ASSERT_EQUAL(guard_install("gone0"), -ENODEV);
	CU_ASSERT_EQUAL(guard_install(""), -EINVAL);
	CU_ASSERT_EQUAL(guard_install("a\" b"), -EINVAL);
	CU_ASSERT_EQUAL(guard_install("a/b"), -EINVAL);
	guard_remove("a\"; }\n");
	CU_ASSERT(sh("ip link add 'ra;w.0{' type veth peer name far1"));
	CU_ASSERT_EQUAL(guard_install("ra;w.0{"), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(table("strait_ra_3bw_2e0_7b"), "device \"ra;w.0{\""));
	guard_remove("ra;w.0{");
	CU_ASSERT_STRING_EQUAL(table("strait_ra_3bw_2e0_7b"), "");
	CU_ASSERT(sh("ip link delete far1"));
}

// libnftables asks select(), which knows none from 1024 on.
static void descriptors_of_any_number_may_be_open(void)
{
	enum { OPEN = 1500 };
	static int fds[OPEN];
	struct rlimit l;

	CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &l), 0);
	l.rlim_cur = l.rlim_max;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &l), 0);
	begin();
	for (int i = 0; i < OPEN; i++)
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CU_ASSERT_FATAL(fds[OPEN - 1] > 1024);
	for (int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(guard_install("raw0"), 0);
		guard_remove("raw0");
	}
	for (int i = 0; i < OPEN; i++)
		close(fds[i]);
	end();
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"a guard drops all before the kernel looks",
			a_guard_drops_all_before_the_kernel_looks},
		{"a second start is clean", a_second_start_is_clean},
		{"what was off before stays off", what_was_off_before_stays_off},
		{"an interface with addresses is refused", an_interface_with_addresses_is_refused},
		{"names are no way into nft", names_are_no_way_into_nft},
		{"descriptors of any number may be open", descriptors_of_any_number_may_be_open},
		CU_TEST_INFO_NULL,
	};

	// sysctl and sysfs show the namespace of who mounted them
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0)
		return SKIPPED;
	guard_init();
	return run_tests("guard", tests);
}
