// SPDX-License-Identifier: BSD-3-Clause
//
// Neighbours: (interface, address) to MAC, an rte_hash with lock-free readers. main writes.
#pragma once

#include "../api/st_api.h"

#include <rte_ether.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

extern _Atomic uint32_t neigh_generation; // main: wo; grows with each change, wakes waiting packets

bool neigh_lookup(uint16_t if_id, const struct st_addr *addr, struct rte_ether_addr *ret_mac); // lcore

int neigh_set(const void *body, const void *old);
void neigh_del(const void *body);
int neigh_tables_init(void);
void neigh_tables_fini(void);
