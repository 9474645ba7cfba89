// SPDX-License-Identifier: BSD-3-Clause
//
// Datagrams of a client, taken off its socket several at a time. What the client may not ask yet, because answers or a
// dump of its own come first, waits here. main only; nothing blocks.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INBOX_BATCH 16 // at most so many wait of one client

struct inbox {
	struct inbox_waiting *head, *tail;
};

struct datagram {
	uint8_t *data; // aligned for struct st_msg; the inbox's
	size_t len;
	int flags; // MSG_TRUNC, MSG_CTRUNC
	int fd;    // that came along; whoever takes it sets -1, -1 = none
};

// Takes a datagram; false: no more for now, what comes then waits.
typedef bool (*inbox_take)(struct datagram *d, void *arg);

// Those that wait, then one call's worth of the socket, to `take`. How many were taken off the socket, 0 = there was
// none or take does not want more, or -errno: the client is gone (-EPIPE: it closed).
int inbox_read(struct inbox *in, int sock, inbox_take take, void *arg);
void inbox_clear(struct inbox *in);
