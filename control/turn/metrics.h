// SPDX-License-Identifier: BSD-3-Clause
//
// /metrics for Prometheus: running totals of the relay, by libsoup on an address of its own, read only. Off unless
// configured. No label names a user. Main loop thread.
#pragma once

struct turn;
struct turn_config;
struct turn_metrics;

struct turn_metrics *turn_metrics_new(struct turn *t);
void turn_metrics_free(struct turn_metrics *m);
void turn_metrics_stop(struct turn_metrics *m); // nobody is answered until the next apply
// 0 or -errno with *ret_error.
int turn_metrics_apply(struct turn_metrics *m, const struct turn_config *c, char **ret_error);
