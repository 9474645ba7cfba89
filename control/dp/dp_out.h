// SPDX-License-Identifier: BSD-3-Clause
//
// One encoded message on its way to the data plane. A secret one lives in locked memory and is wiped
// when it has been sent. Main loop thread.
#pragma once

#include "../../dataplane/api/st_api.h"

#include <stdbool.h>
#include <stddef.h>

struct dp_out {
	size_t len;
	int fd; // goes along and is closed with the message; -1 = none
	bool secret;
	uint32_t request; // seq of a request that waits for the answer, 0 = nobody waits
	uint8_t *data;
};

struct dp_parts {
	uint16_t op, kind;
	const void *body;
	uint16_t body_len;
	const void *blob;
	uint16_t blob_len;
	uint32_t expiry_ms;
	bool secret;
};

struct dp_out *dp_out_new(const struct dp_parts *p, uint32_t seq);
void dp_out_free(void *out); // NULL is a no-op; a GDestroyNotify
const struct st_msg *dp_out_header(const struct dp_out *o);
