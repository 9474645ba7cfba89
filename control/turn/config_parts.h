// SPDX-License-Identifier: BSD-3-Clause
//
// What the readers of "turn" share. Private to control/turn/config*.c.
#pragma once

#include "config.h"

// A unicast address. 0, or -EINVAL with the document's error set.
int turn_config_read_addr(const struct json_at *at, const char *allowed, struct st_addr *ret);
int turn_config_read_alternate(
	struct config_reader *r, const struct json_at *at, struct turn_config *c);
void turn_config_alternate_free(void *alternate);
