// SPDX-License-Identifier: BSD-3-Clause
//
// What the two daemons know, as JSON: the contract's dumps turned into arrays of objects, and straitd's
// own answers.
#pragma once

#include "ctl.h"
#include "dpclient.h"

struct cJSON;

// Opens the data plane for a verb that cannot do without it: CTL_OK, or says why and what to do.
int gather_open(struct dpclient *dp, const struct ctl *c);
// What a failed dump ends a verb with; CTL_OK for 0.
int gather_status(int err, const struct ctl *c);

// Names of interfaces by id, kept in names[ST_MAX_IFACES][ST_NAME_MAX].
struct gather_names {
	char names[ST_MAX_IFACES][ST_NAME_MAX];
};
int gather_names(struct dpclient *dp, struct gather_names *ret);
const char *gather_name(const struct gather_names *n, uint32_t if_id); // "-" for 0

// Each adds to an array; 0 or -errno.
int gather_ifaces(struct dpclient *dp, struct cJSON *array);
int gather_lcores(struct dpclient *dp, struct cJSON *array);
int gather_pools(struct dpclient *dp, struct cJSON *array);
int gather_peers(struct dpclient *dp, struct cJSON *array);
// Drops of all lcores and reasons.
int gather_drop_total(struct dpclient *dp, uint64_t *ret);
// straitd's own peers joined by public key and interface: what only it knows is added.
void gather_join_peers(struct cJSON *array, struct cJSON *from_straitd);
