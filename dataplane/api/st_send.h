// SPDX-License-Identifier: BSD-3-Clause
//
// How both ends put a message of st_api.h on the socket: in one piece, with at most one descriptor beside it.
#pragma once

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

// iov: header, body and blob as they follow. fd: passed with the message, the caller keeps its own; -1 = none.
// flags of send(2). 0 or -errno.
static inline int st_send(int sock, const struct iovec *iov, size_t n, int fd, int flags)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct msghdr mh = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = n};

	if (fd >= 0) {
		struct cmsghdr *c;

		mh.msg_control = control;
		mh.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(sock, &mh, flags | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

#define ST_SEND_BATCH 64

// Whole messages without descriptors, at most ST_SEND_BATCH of them, by one call. How many went, or -errno when none did.
static inline int st_send_batch(int sock, struct iovec *iov, unsigned int n, int flags)
{
	struct mmsghdr msgs[ST_SEND_BATCH];
	int sent;

	for (unsigned int i = 0; i < n; i++)
		msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
	sent = sendmmsg(sock, msgs, n, flags | MSG_NOSIGNAL);
	return sent < 0 ? -errno : sent;
}
