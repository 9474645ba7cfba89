// SPDX-License-Identifier: BSD-3-Clause
//
// Where a capture goes: a regular file or a pipe of a client, as pcapng. Nothing here waits for who reads the
// pipe, whatever the client does to its descriptor. main only.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rte_mbuf;
struct rte_pcapng;

struct capture_file {
	struct rte_pcapng *pcapng;
	int pipe;         // the client's, -1: it is a file, which pcapng has
	int stage;        // reading end of our own pipe, which pcapng writes to
	uint32_t pending; // bytes in it
};

// Takes fd unless it fails. -EINVAL: neither file nor pipe; -EBADF: not for writing.
int capture_file_open(struct capture_file *f, int fd);
void capture_file_close(struct capture_file *f);
// A copy of rte_pcapng_copy, which stays the caller's. -EAGAIN: no room, nothing of it was taken; any other
// error: of no use any more.
int capture_file_write(struct capture_file *f, struct rte_mbuf *m);
// 0: the client has all of it; -EAGAIN: it is behind; any other error: of no use any more.
int capture_file_flush(struct capture_file *f);
