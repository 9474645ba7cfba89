// SPDX-License-Identifier: BSD-3-Clause
//
// Mirror of the kernel's rules and routes. Rules are one immutable array, swapped by pointer; each table
// is an lpm. main writes; lcores read under QSBR.
#pragma once

#include "../api/st_api.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct route_result {
	uint8_t action; // enum st_route_action; 0 = no route
	uint8_t why;    // enum st_drop for the actions that drop
	uint16_t if_id; // UNICAST: egress, 0 = the kernel's way is not one of our interfaces
	uint16_t mtu;   // 0 = the interface's
	struct st_addr gateway; // all zero = on link
};

struct route_flow {
	struct st_addr src, dst;
	uint32_t hash; // chooses among equal-cost next hops
	uint16_t iif;
	uint8_t ip_proto;
	uint8_t tos;
	bool ipv6;
	bool has_ports; // UDP, TCP, SCTP, DCCP, and not a later fragment
	uint16_t sport_be, dport_be;
};

// Grows behind each change of rules, routes or interfaces: what was looked up before may not hold any more.
extern _Atomic uint32_t route_generation; // main: wo, lcore: ro (acquire)
void route_changed(void);                 // main

// Nothing is forwarded before the first sync of this process has ended: of rules and routes that come one by
// one, the first may lead to where a packet must not go. Only what is for the box itself gets through.
void route_synced(void);    // main, once
bool route_is_synced(void); // lcore

void route_lookup(const struct route_flow *flow, struct route_result *ret); // lcore
bool route_wants_ports(bool ipv6); // lcore: whether a rule looks at ports; else a flow needs none

int route_set(const void *body, const void *old);
void route_del(const void *body);
int rule_set(const void *body, const void *old);
void rule_del(const void *body);
int route_tables_init(void);
void route_tables_fini(void);
