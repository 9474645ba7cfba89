// SPDX-License-Identifier: BSD-3-Clause
//
// See inbox.h. One set of buffers serves all clients: what is left of a batch is copied. A session key passes through
// here, and nothing of it may stay.
#include "inbox.h"

#include "../api/st_api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS_PER_MSG 4 // taken off a datagram, so that no descriptor leaks; one is used

struct inbox_waiting {
	struct inbox_waiting *next;
	struct datagram d;
	_Alignas(8) uint8_t data[];
};

static int fd_take(struct msghdr *mh)
{
	int ret = -1;

	for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm != NULL; cm = CMSG_NXTHDR(mh, cm)) {
		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int), sizeof(fd));
			if (ret < 0)
				ret = fd;
			else
				close(fd);
		}
	}
	return ret;
}

static void end(struct datagram *d)
{
	if (d->fd >= 0)
		close(d->fd);
	explicit_bzero(d->data, d->len);
}

// Without memory the client loses its connection, as it would with an answer that nobody can keep.
static int wait(struct inbox *in, struct datagram *d)
{
	struct inbox_waiting *w = malloc(sizeof(*w) + d->len);

	if (w == NULL)
		return -ENOMEM;
	*w = (struct inbox_waiting){.d = *d};
	w->d.data = w->data;
	memcpy(w->data, d->data, d->len);
	d->fd = -1;
	if (in->tail != NULL)
		in->tail->next = w;
	else
		in->head = w;
	in->tail = w;
	return 0;
}

static struct inbox_waiting *unlink_first(struct inbox *in)
{
	struct inbox_waiting *w = in->head;

	in->head = w->next;
	if (in->head == NULL)
		in->tail = NULL;
	return w;
}

// False: take wants no more.
static bool take_waiting(struct inbox *in, inbox_take take, void *arg)
{
	while (in->head != NULL) {
		if (!take(&in->head->d, arg))
			return false;
		struct inbox_waiting *w = unlink_first(in);

		end(&w->d);
		free(w);
	}
	return true;
}

void inbox_clear(struct inbox *in)
{
	while (in->head != NULL) {
		struct inbox_waiting *w = unlink_first(in);

		end(&w->d);
		free(w);
	}
}

static int receive(int sock, struct datagram *d)
{
	static _Alignas(8) uint8_t buf[INBOX_BATCH][ST_MSG_MAX];
	_Alignas(struct cmsghdr) uint8_t control[INBOX_BATCH][CMSG_SPACE(FDS_PER_MSG * sizeof(int))];
	struct mmsghdr msgs[INBOX_BATCH];
	struct iovec iov[INBOX_BATCH];
	int n;

	for (int i = 0; i < INBOX_BATCH; i++) {
		iov[i] = (struct iovec){.iov_base = buf[i], .iov_len = sizeof(buf[i])};
		msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i],
						   .msg_iovlen = 1,
						   .msg_control = control[i],
						   .msg_controllen = sizeof(control[i])}};
	}
	n = recvmmsg(sock, msgs, INBOX_BATCH, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++)
		d[i] = (struct datagram){.data = buf[i],
			.len = msgs[i].msg_len,
			.flags = msgs[i].msg_hdr.msg_flags,
			.fd = fd_take(&msgs[i].msg_hdr)};
	return n;
}

int inbox_read(struct inbox *in, int sock, inbox_take take, void *arg)
{
	struct datagram d[INBOX_BATCH];
	bool wanted = take_waiting(in, take, arg);
	int n = wanted ? receive(sock, d) : 0, rc = n;

	for (int i = 0; i < n; i++) {
		if (d[i].len == 0)
			rc = -EPIPE; // the end of the connection, told as often as there is room
		if (rc >= 0) {
			wanted = wanted && take(&d[i], arg);
			if (!wanted && wait(in, &d[i]) < 0)
				rc = -ENOMEM;
		}
		end(&d[i]);
	}
	return rc < 0 || wanted ? rc : 0;
}
