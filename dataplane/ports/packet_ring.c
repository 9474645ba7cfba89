// SPDX-License-Identifier: BSD-3-Clause
//
// See packet_ring.h. The kernel's count begins anew with each reading, so it is added up here.
#include "packet_ring.h"

#include <linux/if_packet.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>

#define FDS_MAX                                                                                    \
	65536 // a descriptor above it is not looked at; the parked sockets of straitd are 4096
#define IFACES_MAX 64 // of one more nothing is counted

static _Atomic int on[FDS_MAX]; // ifindex of the socket, 0 = none of them; main: wo
static int fds;                 // none from here on is one

static struct {
	int ifindex;
	uint64_t missed;
} sums[IFACES_MAX];

void packet_ring_add(int fd)
{
	struct sockaddr_ll sll = {0};
	socklen_t len = sizeof(sll);

	if (fd < 0 || fd >= FDS_MAX)
		return;
	if (getsockname(fd, (struct sockaddr *)&sll, &len) != 0 || sll.sll_family != AF_PACKET)
		return;
	atomic_store_explicit(&on[fd], sll.sll_ifindex, memory_order_relaxed);
	if (fd >= fds)
		fds = fd + 1;
}

bool packet_ring_known(int fd)
{
	return fd >= 0 && fd < FDS_MAX && atomic_load_explicit(&on[fd], memory_order_relaxed) != 0;
}

static uint64_t *sum_of(int ifindex)
{
	for (unsigned int i = 0; i < IFACES_MAX; i++) {
		if (sums[i].ifindex == 0)
			sums[i].ifindex = ifindex;
		if (sums[i].ifindex == ifindex)
			return &sums[i].missed;
	}
	return NULL;
}

static void read_one(int fd)
{
	struct tpacket_stats st;
	socklen_t len = sizeof(st);
	uint64_t *sum;

	if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &st, &len) != 0) {
		atomic_store_explicit(&on[fd], 0, memory_order_relaxed); // closed, or no packet socket
		return;
	}
	sum = sum_of(atomic_load_explicit(&on[fd], memory_order_relaxed));
	if (sum != NULL)
		*sum += st.tp_drops;
}

uint64_t packet_ring_missed(unsigned int ifindex)
{
	const uint64_t *sum;

	for (int fd = 0; fd < fds; fd++)
		if (packet_ring_known(fd))
			read_one(fd);
	sum = ifindex == 0 ? NULL : sum_of((int)ifindex);
	return sum == NULL ? 0 : *sum;
}
