// SPDX-License-Identifier: BSD-3-Clause
//
// What is in a pcapng file of this machine's byte order (draft-ietf-opsawg-pcapng, sections 3 and 4.3), as strait-dp
// writes it.
#pragma once

#include <stdint.h>

struct pcapng_count {
	uint64_t packets;
	uint64_t bytes;          // as captured
	uint64_t original_bytes; // as they were; more where --snaplen cut
};

// Reads fd from its beginning, wherever its offset is. 0, or -errno (-EBADMSG: not pcapng, or cut within a block).
int pcapng_count(int fd, struct pcapng_count *ret);
