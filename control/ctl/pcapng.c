// SPDX-License-Identifier: BSD-3-Clause
//
// Counting the packets of a pcapng file; see pcapng.h. One thread, blocking.
#include "pcapng.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define SECTION_HEADER  0x0a0d0d0a
#define ENHANCED_PACKET 6
#define BLOCK_MIN       12 // type, length, length again

struct block {
	uint32_t type, length;
	uint32_t interface, time_high, time_low, captured, original; // of an enhanced packet block
};

// 1, 0 at the end of the file, or -errno.
static int block_read(int fd, off_t at, struct block *ret)
{
	ssize_t n;

	memset(ret, 0, sizeof(*ret));
	n = pread(fd, ret, sizeof(*ret), at);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	if (n < BLOCK_MIN || ret->length < BLOCK_MIN || ret->length % 4 ||
		(at == 0 && ret->type != SECTION_HEADER))
		return -EBADMSG;
	if (ret->type == ENHANCED_PACKET && ret->length < sizeof(*ret) + 4)
		return -EBADMSG;
	return 1;
}

int pcapng_count(int fd, struct pcapng_count *ret)
{
	off_t end = lseek(fd, 0, SEEK_END), at = 0;
	struct block b;
	int r;

	*ret = (struct pcapng_count){0};
	if (end < 0)
		return -errno;
	while ((r = block_read(fd, at, &b)) > 0) {
		at += b.length;
		if (at > end)
			return -EBADMSG;
		if (b.type != ENHANCED_PACKET)
			continue;
		ret->packets++;
		ret->bytes += b.captured;
		ret->original_bytes += b.original;
	}
	return r;
}
