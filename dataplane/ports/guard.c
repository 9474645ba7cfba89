// SPDX-License-Identifier: BSD-3-Clause
//
// One nftables table per guarded interface: a netdev ingress chain that drops all (AF_PACKET and XDP
// look before it). What else was changed on the interface is noted in the same table by the names of
// empty chains, so that even a later process can undo it. main only.
#include "guard.h"

#include "../log.h"
#include "xdp.h"

#include <nftables/libnftables.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#define TABLE_NAME_MAX 64
#define NOTE_IPV6      "ipv6_was_on"
#define NOTE_GRO       "gro_was_on"

struct notes {
	bool ipv6_was_on;
	bool gro_was_on;
};

// Interface names allow more than nftables identifiers do: what does not fit becomes _XX.
static void table_name(const char *ifname, char *ret, size_t room)
{
	size_t n = (size_t)snprintf(ret, room, "strait_");

	for (; *ifname != '\0' && n + 4 < room; ifname++) {
		unsigned char c = (unsigned char)*ifname;

		if (isalnum(c))
			ret[n++] = (char)c;
		else
			n += (size_t)snprintf(ret + n, room - n, "_%02x", c);
	}
	ret[n] = '\0';
}

// libnftables asks select(), which ends the process for a descriptor above FD_SETSIZE, and straitd's parked
// sockets may be more. A low one is kept for it.
static int low_fd = -1;

void guard_init(void)
{
	if (low_fd < 0)
		low_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static struct nft_ctx *nft_open(void)
{
	struct nft_ctx *nft;

	guard_init(); // if it failed before
	if (low_fd < 0 || low_fd >= FD_SETSIZE)
		return NULL;
	close(low_fd);
	low_fd = -1;
	nft = nft_ctx_new(NFT_CTX_DEFAULT); // opens its socket
	if (nft == NULL)
		guard_init();
	return nft;
}

static void nft_close(struct nft_ctx *nft)
{
	nft_ctx_free(nft);
	guard_init();
}

// Runs nft commands. With ret_out the output is kept there; with quiet an error is not worth a line.
static int nft_run(const char *commands, char *ret_out, size_t room, bool quiet)
{
	struct nft_ctx *nft = nft_open();
	int rc;

	if (nft == NULL)
		return -ENOMEM;
	nft_ctx_buffer_output(nft);
	nft_ctx_buffer_error(nft);
	rc = nft_run_cmd_from_buffer(nft, commands);
	if (rc == 0 && ret_out != NULL)
		snprintf(ret_out, room, "%s", nft_ctx_get_output_buffer(nft));
	if (rc != 0 && !quiet) {
		char first[160];

		snprintf(first, sizeof(first), "%s", nft_ctx_get_error_buffer(nft));
		first[strcspn(first, "\n")] = '\0';
		log_error("guard: nftables refused: %s", first);
	}
	nft_close(nft);
	return rc == 0 ? 0 : -EIO;
}

// ---- what the kernel does with the interface besides ----

static int sysctl_disable_ipv6(const char *ifname, int value, int *ret_was)
{
	char path[96], text[8] = "";
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", ifname);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		*ret_was = 1;
		return errno == ENOENT ? 0 : -errno; // no IPv6 in this kernel: nothing to switch off
	}
	n = read(fd, text, sizeof(text) - 1);
	*ret_was = n > 0 ? text[0] - '0' : 0;
	n = pwrite(fd, value != 0 ? "1" : "0", 1, 0);
	close(fd);
	return n == 1 ? 0 : -EIO;
}

static int ethtool_value(const char *ifname, uint32_t cmd, uint32_t *value)
{
	struct ethtool_value ev = {.cmd = cmd, .data = *value};
	struct ifreq ifr = {.ifr_data = (void *)&ev};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;

	if (fd < 0)
		return -errno;
	memcpy(ifr.ifr_name, ifname, strnlen(ifname, sizeof(ifr.ifr_name) - 1));
	rc = ioctl(fd, SIOCETHTOOL, &ifr) < 0 ? -errno : 0;
	close(fd);
	if (rc == 0)
		*value = ev.data;
	return rc;
}

// A receiver that merges packets would hand us frames larger than the MTU. Not every driver can.
static bool gro_switch_off(const char *ifname)
{
	uint32_t was = 0, off = 0;

	if (ethtool_value(ifname, ETHTOOL_GGRO, &was) < 0 || was == 0)
		return false;
	return ethtool_value(ifname, ETHTOOL_SGRO, &off) == 0;
}

// The program of an AF_XDP port that was killed, or has just been closed.
static void xdp_clear(const char *ifname)
{
	unsigned int ifindex = if_nametoindex(ifname);
	int rc = ifindex == 0 ? 0 : xdp_detach(ifindex);

	if (rc < 0)
		log_warning("guard: XDP program stays if=%s error=%s", ifname, strerror(-rc));
}

// ---- addresses ----

static bool is_link_local6(const struct sockaddr *sa)
{
	const struct sockaddr_in6 *s6 = (const struct sockaddr_in6 *)(const void *)sa;

	return sa->sa_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&s6->sin6_addr);
}

// Addresses belong on the host device; on a deaf interface they would be unreachable.
static int refuse_addresses(const char *ifname)
{
	struct ifaddrs *all, *a;
	char text[INET6_ADDRSTRLEN] = "";

	if (getifaddrs(&all) < 0)
		return -errno;
	for (a = all; a != NULL; a = a->ifa_next) {
		if (a->ifa_addr == NULL || strcmp(a->ifa_name, ifname) != 0)
			continue;
		if (a->ifa_addr->sa_family == AF_INET)
			inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)a->ifa_addr)->sin_addr,
				text, sizeof(text));
		else if (a->ifa_addr->sa_family == AF_INET6 && !is_link_local6(a->ifa_addr))
			inet_ntop(AF_INET6, &((struct sockaddr_in6 *)(void *)a->ifa_addr)->sin6_addr,
				text, sizeof(text));
		if (text[0] != '\0')
			break;
	}
	freeifaddrs(all);
	if (text[0] == '\0')
		return 0;
	log_error("guard: raw interface still has addresses, put them on the port's host device "
		  "and run 'ip address flush dev %s' if=%s address=%s",
		ifname, ifname, text);
	return -EADDRINUSE;
}

// ---- the table ----

static bool name_quotable(const char *ifname)
{
	return ifname[0] != '\0' && strpbrk(ifname, "\"\\\n/ ") == NULL;
}

// True if a table of an earlier process is there; its notes still hold.
static bool notes_read(const char *table, struct notes *ret)
{
	char cmd[TABLE_NAME_MAX + 32], out[1024];

	snprintf(cmd, sizeof(cmd), "list table netdev %s", table);
	if (nft_run(cmd, out, sizeof(out), true) < 0)
		return false;
	ret->ipv6_was_on = strstr(out, NOTE_IPV6) != NULL;
	ret->gro_was_on = strstr(out, NOTE_GRO) != NULL;
	return true;
}

static int table_install(const char *table, const char *ifname, const struct notes *notes)
{
	char cmd[768];

	// One transaction: an older table is replaced without a moment in between.
	snprintf(cmd, sizeof(cmd),
		"add table netdev %s\n"
		"delete table netdev %s\n"
		"add table netdev %s\n"
		"add chain netdev %s ingress { type filter hook ingress device \"%s\" priority "
		"-500; "
		"policy drop; }\n"
		"%s%s%s%s%s%s",
		table, table, table, table, ifname, notes->ipv6_was_on ? "add chain netdev " : "",
		notes->ipv6_was_on ? table : "", notes->ipv6_was_on ? " " NOTE_IPV6 "\n" : "",
		notes->gro_was_on ? "add chain netdev " : "", notes->gro_was_on ? table : "",
		notes->gro_was_on ? " " NOTE_GRO "\n" : "");
	return nft_run(cmd, NULL, 0, false);
}

int guard_install(const char *ifname)
{
	char table[TABLE_NAME_MAX];
	struct notes notes = {0};
	bool known;
	int rc, was = 0;

	if (!name_quotable(ifname))
		return -EINVAL;
	if (if_nametoindex(ifname) == 0) {
		log_error("guard: no such interface if=%s", ifname);
		return -ENODEV;
	}
	rc = refuse_addresses(ifname);
	if (rc < 0)
		return rc;
	table_name(ifname, table, sizeof(table));
	known = notes_read(table, &notes);
	if (known)
		xdp_clear(ifname); // behind the drop that is still there
	// The drop comes first: a moment without it would let the kernel forward.
	rc = table_install(table, ifname, &notes);
	if (rc < 0)
		return rc;
	rc = sysctl_disable_ipv6(ifname, 1, &was);
	if (rc < 0)
		log_warning("guard: cannot disable IPv6 if=%s error=%s", ifname, strerror(-rc));
	if (!known)
		notes.ipv6_was_on = rc == 0 && was == 0;
	notes.gro_was_on = gro_switch_off(ifname) || notes.gro_was_on;
	return table_install(table, ifname, &notes);
}

void guard_remove(const char *ifname)
{
	char table[TABLE_NAME_MAX], cmd[TABLE_NAME_MAX + 32];
	struct notes notes = {0};
	uint32_t on = 1;
	int was;

	if (!name_quotable(ifname))
		return;
	table_name(ifname, table, sizeof(table));
	if (!notes_read(table, &notes))
		return;
	xdp_clear(ifname);
	if (notes.ipv6_was_on && sysctl_disable_ipv6(ifname, 0, &was) < 0)
		log_warning("guard: cannot enable IPv6 again if=%s", ifname);
	if (notes.gro_was_on && ethtool_value(ifname, ETHTOOL_SGRO, &on) < 0)
		log_warning("guard: cannot enable GRO again if=%s", ifname);
	snprintf(cmd, sizeof(cmd), "delete table netdev %s", table);
	(void)nft_run(cmd, NULL, 0, false);
}
