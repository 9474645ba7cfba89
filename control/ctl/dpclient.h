// SPDX-License-Identifier: BSD-3-Clause
//
// An observer's connection to strait-dp: HELLO, DUMP, TRACE, CAPTURE. Blocking, with a time limit.
#pragma once

#include "../../dataplane/api/st_api.h"

#include <stddef.h>

struct dpclient {
	int fd;
	uint32_t seq;
	struct st_hello hello;
	_Alignas(8) uint8_t buf[ST_MSG_MAX];
};

// 0 or -errno; -ENOENT and -ECONNREFUSED: it is not running.
int dpclient_open(struct dpclient *dp, const char *run_dir);
void dpclient_close(struct dpclient *dp);
// What went wrong and what to do about it. Points to static text.
const char *dpclient_explain(int err, const char *run_dir);
// A body shorter than min_len ends the dump with -EBADMSG. A longer one is a newer data plane's.
int dpclient_dump(struct dpclient *dp, uint16_t kind, size_t min_len,
	void (*item)(const void *body, void *arg), void *arg);
int dpclient_set(struct dpclient *dp, uint16_t kind, const void *body, size_t len, int fd);
int dpclient_del(struct dpclient *dp, uint16_t kind, const void *key, size_t len);
// The next event within timeout_ms (-1 = no limit), or until fd_watch (-1 = none) reports an error:
// 0, -ETIMEDOUT, -EPIPE (fd_watch), -EINTR, -ECONNRESET ... The body is in dp->buf behind the header.
int dpclient_event(struct dpclient *dp, int timeout_ms, int fd_watch, const struct st_msg **ret);
