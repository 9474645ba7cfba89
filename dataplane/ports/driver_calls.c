// SPDX-License-Identifier: BSD-3-Clause
//
// Calls of DPDK 22.11's drivers on their way to the kernel. Linked into the executable only,
// whose functions the driver finds first.
//
// setsockopt: net_af_xdp's rings are noted, and its memory is made the whole pool's (xdp_socket.h).
// net_af_packet always joins a fanout group that puts IPv4 fragments together in the kernel, and has no
// argument against it. What comes of that may be larger than the ring's frames and is then
// truncated, so that large fragmented packets could not pass; and the lcores, which reassemble what is for
// this box and route the rest as it is, would never see a fragment. That one flag is taken out.
//
// fcntl: net_tap has the kernel send a signal for each frame, by which it knows when it need not look. Each costs the
// sender more than the frame and takes main out of its sleep. The lcores look by the clock instead (stages/rx.c): they
// make no use of the signals, and without one the driver reads whenever it is asked.
//
// poll: with a full transmit ring net_af_packet waits for the kernel without limit, and with it everything
// else on that lcore. It is told at once instead that there is no room; stage tx tries again a few times
// and counts the drop.
#include "packet_ring.h"
#include "xdp_socket.h"

#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/if_xdp.h>
#include <linux/poll.h>
#include <net/if.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FANOUT_FLAGS_SHIFT 16

static int set_xdp(int fd, int name, const void *value, socklen_t len)
{
	struct xdp_umem_reg reg;
	int rc;

	if (name == XDP_UMEM_REG && len == sizeof(reg)) {
		memcpy(&reg, value, sizeof(reg));
		xdp_umem_cover(&reg);
		value = &reg;
	}
	rc = (int)syscall(SYS_setsockopt, fd, SOL_XDP, name, value, len);
	if (rc == 0)
		xdp_socket_note(fd, name, value, len);
	return rc;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	int fanout, rc;

	if (level == SOL_XDP)
		return set_xdp(fd, name, value, len);
	if (level != SOL_PACKET || name != PACKET_FANOUT || len != sizeof(fanout))
		return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
	memcpy(&fanout, value, sizeof(fanout));
	fanout &= ~(int)((unsigned int)PACKET_FANOUT_FLAG_DEFRAG << FANOUT_FLAGS_SHIFT);
	rc = (int)syscall(SYS_setsockopt, fd, level, name, &fanout, len);
	packet_ring_add(fd);
	return rc;
}

static bool is_tap(int fd)
{
	struct ifreq ifr;

	return ioctl(fd, TUNGETIFF, &ifr) == 0;
}

// The driver was compiled for large files, whose name it is.
int fcntl64(int fd, int cmd, ...);

int fcntl64(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long); // as glibc reads it, whatever was given
	va_end(ap);
	if (cmd == F_SETFL && (arg & O_ASYNC) != 0 && is_tap(fd))
		arg &= ~O_ASYNC;
	return (int)syscall(SYS_fcntl, fd, cmd, arg);
}

// <poll.h> would say that a poll() only writes to fds.
int poll(struct pollfd *fds, unsigned long n, int timeout);

int poll(struct pollfd *fds, unsigned long n, int timeout)
{
	struct timespec ts;

	if (n == 1 && timeout < 0 && packet_ring_known(fds[0].fd))
		timeout = 0;
	ts = (struct timespec){.tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1000000L};
	return (int)syscall(SYS_ppoll, fds, n, timeout < 0 ? NULL : &ts, NULL, 0);
}
