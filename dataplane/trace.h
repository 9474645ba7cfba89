// SPDX-License-Identifier: BSD-3-Clause
//
// Sampled traces and captures. An lcore writes into records from a fixed pool and hands finished ones
// to main over a ring; nothing is allocated and nothing waits. Off costs one predicted branch.
#pragma once

#include "lcore.h"

#include <stdbool.h>

#define OBSERVED_MAX 8 // traces, and captures, of one client; one more is -ENOSPC

struct packet_trace {
	struct st_ev_trace ev;
	uint64_t start; // TSC
	int client;
};

// What the lcores look at: one word, nonzero while any trace or capture is on. main: wo, lcore: ro.
#define TRACE_ON   0x1
#define CAPTURE_ON 0x2
extern _Atomic uint32_t trace_flags;

// lcore
void trace_sample(struct lcore *lc, struct rte_mbuf *m);               // rx: maybe start a trace
void trace_hop(struct lcore *lc, enum st_stage stage, struct vec *in); // before each stage, if TRACE_ON
void trace_end(struct lcore *lc, struct rte_mbuf *m, int drop);        // -1 = transmitted
// Copies of packets of if_id (peer_id ST_NO_PEER for a port) at the L2 or inner L3 header.
void capture_packets(struct lcore *lc, uint16_t if_id, uint32_t peer_id, struct rte_mbuf **m,
	unsigned int n, bool inbound);

// main
int trace_init(void);
void trace_fini(void);
int trace_add(const struct st_trace *t, int client); // client: api_server's handle
unsigned int trace_count(int client);
int trace_remove(uint32_t id, int client); // -ENOENT when this client has no such trace
void trace_remove_client(int client);
int capture_add(const struct st_capture *c, int fd, int client); // takes fd, closes it on error
unsigned int capture_count(int client);
int capture_remove(uint32_t id, int client);
void capture_remove_client(int client);
void trace_poll(void);    // delivers records to api_server_trace, packets to pcapng
void captures_poll(void); // called by trace_poll
int captures_init(void);
void captures_fini(void);
