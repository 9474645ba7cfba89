// SPDX-License-Identifier: BSD-3-Clause
//
// packet_ring.c: frames that a full receive ring costs are counted. In a network namespace of its own.
#include "env.h"
#include "ports/packet_ring.h"

#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define FRAMES  8
#define SENT    100
#define SKIPPED 77

static int ring_open(int ifindex)
{
	struct tpacket_req req = {.tp_block_size = 4096 * 4,
		.tp_block_nr = 1,
		.tp_frame_size = 2048,
		.tp_frame_nr = FRAMES};
	struct sockaddr_ll sll = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = ifindex};
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), v = TPACKET_V2;

	CU_ASSERT_EQUAL(setsockopt(fd, SOL_PACKET, PACKET_VERSION, &v, sizeof(v)), 0);
	CU_ASSERT_EQUAL(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)), 0);
	CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&sll, sizeof(sll)), 0);
	return fd;
}

static void send_some(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < SENT; i++)
		(void)sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
	close(fd);
}

static void what_a_full_ring_costs_is_counted(void)
{
	unsigned int lo = if_nametoindex("lo");
	int fd = ring_open((int)lo);
	uint64_t first;

	packet_ring_add(fd);
	CU_ASSERT_TRUE(packet_ring_known(fd));
	CU_ASSERT_FALSE(packet_ring_known(fd + 1));
	CU_ASSERT_EQUAL(packet_ring_missed(lo), 0);
	send_some();
	first = packet_ring_missed(lo);
	CU_ASSERT(first >= SENT - FRAMES);
	send_some();
	CU_ASSERT(packet_ring_missed(lo) >= first + SENT); // adds up over readings
	first = packet_ring_missed(lo);
	CU_ASSERT_EQUAL(packet_ring_missed(lo + 1), 0);
	close(fd);
	CU_ASSERT_EQUAL(packet_ring_missed(lo), first); // the count stays, the descriptor goes
	CU_ASSERT_FALSE(packet_ring_known(fd));
}

// Beside the sockets that straitd has parked.
static void a_socket_with_a_high_number_is_known(void)
{
	unsigned int lo = if_nametoindex("lo");
	int low = ring_open((int)lo), high;
	uint64_t before = packet_ring_missed(lo);
	struct rlimit l;

	CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &l), 0);
	l.rlim_cur = l.rlim_max;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &l), 0);
	high = fcntl(low, F_DUPFD, 4200);
	CU_ASSERT_FATAL(high >= 4200);
	close(low);
	packet_ring_add(high);
	CU_ASSERT_TRUE(packet_ring_known(high));
	send_some();
	CU_ASSERT(packet_ring_missed(lo) >= before + SENT - FRAMES);
	close(high);
	(void)packet_ring_missed(lo);
	CU_ASSERT_FALSE(packet_ring_known(high));
}

static bool namespace_enter(void)
{
	struct ifreq r = {.ifr_flags = IFF_UP};
	int fd;

	if (unshare(CLONE_NEWNET) != 0)
		return false;
	strcpy(r.ifr_name, "lo");
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (ioctl(fd, SIOCSIFFLAGS, &r) != 0)
		return false;
	close(fd);
	return true;
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"what a full ring costs is counted", what_a_full_ring_costs_is_counted},
		{"a socket with a high number is known", a_socket_with_a_high_number_is_known},
		CU_TEST_INFO_NULL,
	};

	return namespace_enter() ? run_tests("packet_ring", tests) : SKIPPED;
}
