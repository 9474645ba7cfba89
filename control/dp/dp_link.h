// SPDX-License-Identifier: BSD-3-Clause
//
// The connection of straitd to strait-dp: connect, HELLO, datagrams in and out, and again whenever it is
// lost. It knows nothing of objects. Main loop thread only.
#pragma once

#include "../../dataplane/api/st_api.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#define DP_LINK_BATCH 64

struct dp_link;

struct dp_link_ops {
	void (*up)(const struct st_hello *hello, void *arg);
	// fd is -1 or a descriptor that the callee owns.
	void (*message)(
		const struct st_msg *m, const void *body, const void *blob, int fd, void *arg);
	void (*writable)(void *arg); // after a send that gave -EAGAIN
	void (*down)(void *arg);     // only after up
};

struct dp_link *dp_link_new(const char *path, const struct dp_link_ops *ops, void *arg);
void dp_link_free(struct dp_link *l);
void dp_link_start(struct dp_link *l);
bool dp_link_is_up(const struct dp_link *l);
// True once an attempt to connect has been refused and none has succeeded since: nobody is there.
bool dp_link_is_absent(const struct dp_link *l);
// Whole datagrams, at most DP_LINK_BATCH; one with a descriptor goes alone. How many went, or none and -EAGAIN (then, and
// when some remain, writable() will be called) or -ENOTCONN. The caller keeps fd.
int dp_link_send(struct dp_link *l, struct iovec *iov, unsigned int n, int fd);
// The other end broke the protocol: close and connect again. Safe inside message().
void dp_link_break(struct dp_link *l, const char *why);
