// SPDX-License-Identifier: BSD-3-Clause
//
// See capture_file.h. O_NONBLOCK belongs to what client and we share: each can take it from the other. So a
// client's pipe is never written to: what is for it stands in a pipe of our own and is moved by splice(),
// which is told with each call not to wait. What the client has no room for stays there, to its last byte.
#include "capture_file.h"

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_pcapng.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PENDING_MAX 32768   // half a pipe: a page of it may be half empty
#define PIPE_WANTED 1048576 // of the client's, if it may have so much

static int pcapng_open(struct capture_file *f, int fd)
{
	f->pcapng = rte_pcapng_fdopen(fd, NULL, NULL, "strait " STRAIT_VERSION, NULL);
	return f->pcapng != NULL ? 0 : -(rte_errno != 0 ? rte_errno : EIO);
}

static int stage_open(struct capture_file *f, int fd)
{
	int own[2], head = 0, rc;

	if (pipe2(own, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	rc = pcapng_open(f, own[1]);
	if (rc < 0) {
		close(own[0]);
		close(own[1]);
		return rc;
	}
	(void)ioctl(own[0], FIONREAD, &head); // what a pcapng begins with
	f->pipe = fd;
	f->stage = own[0];
	f->pending = (uint32_t)head;
	(void)fcntl(fd, F_SETPIPE_SZ, PIPE_WANTED);
	return 0;
}

int capture_file_open(struct capture_file *f, int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	*f = (struct capture_file){.pipe = -1, .stage = -1};
	if (flags < 0 || fstat(fd, &st) < 0)
		return -errno;
	if ((flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	if (S_ISREG(st.st_mode))
		return pcapng_open(f, fd);
	return S_ISFIFO(st.st_mode) ? stage_open(f, fd) : -EINVAL;
}

void capture_file_close(struct capture_file *f)
{
	rte_pcapng_close(f->pcapng);
	if (f->pipe < 0)
		return;
	close(f->stage);
	close(f->pipe);
}

int capture_file_flush(struct capture_file *f)
{
	while (f->pending > 0) {
		ssize_t n = splice(f->stage, NULL, f->pipe, NULL, f->pending, SPLICE_F_NONBLOCK);

		if (n <= 0)
			return n < 0 && errno != EINTR ? -errno : -EAGAIN;
		f->pending -= (uint32_t)n;
	}
	return 0;
}

int capture_file_write(struct capture_file *f, struct rte_mbuf *m)
{
	uint32_t len = m->pkt_len;
	ssize_t n;

	if (f->pending + len > PENDING_MAX) {
		int rc = capture_file_flush(f);

		if (rc < 0 && (rc != -EAGAIN || f->pending + len > PENDING_MAX))
			return rc;
	}
	errno = 0;
	n = rte_pcapng_write_packets(f->pcapng, &m, 1);
	if (n < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (n != (ssize_t)len) // a torn block: behind it a file is of no use
		return -EIO;
	if (f->pipe >= 0)
		f->pending += len;
	return 0;
}
