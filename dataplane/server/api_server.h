// SPDX-License-Identifier: BSD-3-Clause
//
// The contract's server: clients, roles, replies held until every lcore has seen a change, dumps with
// back-pressure, events to the controller. main only; nothing here blocks.
#pragma once

#include "../api/st_api.h"

#include <stdbool.h>
#include <stdint.h>

// Listens on path (mode 0660, group gid unless (gid_t)-1). Returns the epoll descriptor to wait on, or
// -errno.
// self: what HELLO answers; its uptime_ms is the CLOCK_MONOTONIC ms of the start.
int api_server_init(const char *path, uint32_t gid, const struct st_hello *self);
void api_server_control_uid(uint32_t uid); // who may control besides root and ourselves
void api_server_fini(void);
// Each turn of main's loop: who has been silent for too long is closed. CLOCK_MONOTONIC.
void api_server_clock(uint64_t now_ms);
void api_server_poll(void);    // serves what is ready and sends held replies that have come due
bool api_server_holding(void); // replies wait for quiescence: poll again soon

// To the controller, if there is one; bounded, an overflow becomes ST_EV_OVERRUN.
void api_server_event(
	uint16_t event, const void *body, uint16_t body_len, const void *blob, uint16_t blob_len);
// Events that were lost before they came here.
void api_server_lost(uint64_t n);
// A finished trace to the client that asked for it. False when that client's queue is full.
bool api_server_trace(int client, const struct st_ev_trace *ev);
// A capture that reached its count or whose descriptor takes no more, to the client that asked for it.
bool api_server_capture_ended(int client, uint32_t id);
