// SPDX-License-Identifier: BSD-3-Clause
//
// DPDK 22.11's net_af_packet always joins a fanout group that puts IPv4 fragments together in the kernel,
// and has no argument against it. What comes of that may be larger than the ring's frames and is then
// truncated, so that large fragmented packets could not pass; and the lcores, which reassemble what is for
// this box and route the rest as it is, would never see a fragment. So strait-dp takes that one flag
// out on its way to the kernel. Linked into the executable only, whose setsockopt the driver finds first.
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FANOUT_FLAGS_SHIFT 16

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	int fanout;

	if (level != SOL_PACKET || name != PACKET_FANOUT || len != sizeof(fanout))
		return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
	memcpy(&fanout, value, sizeof(fanout));
	fanout &= ~(PACKET_FANOUT_FLAG_DEFRAG << FANOUT_FLAGS_SHIFT);
	return (int)syscall(SYS_setsockopt, fd, level, name, &fanout, len);
}
