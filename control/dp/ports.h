// SPDX-License-Identifier: BSD-3-Clause
//
// PORT objects from the configuration: what strait-dp should have open, and whether it has. A port that
// the data plane cannot open is tried again every few seconds. Main loop thread.
#pragma once

#include <stdint.h>

struct cJSON;
struct config;
struct dp;
struct netlink;
struct ports;

struct ports *ports_new(struct dp *dp, struct netlink *nl);
void ports_free(struct ports *p);
// Makes the wanted ports those of c. A port whose device changed is closed and opened again.
// 0, or -ENOSPC with *ret_error (g_free): no interface id left.
int ports_apply(struct ports *p, const struct config *c, char **ret_error);
void ports_failed(struct ports *p, uint32_t if_id); // ST_EV_PORT_FAILED
// The data plane went away; it has taken what is wanted.
void ports_away(struct ports *p);
void ports_synced(struct ports *p);
void ports_status(const struct ports *p, struct cJSON *into); // array "ports"
