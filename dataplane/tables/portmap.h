// SPDX-License-Identifier: BSD-3-Clause
//
// Who owns a UDP port of a local address: a small hash from address to an array of 65536 owners, so ranges
// cost nothing to look up. main writes; lcores read.
#pragma once

#include "../api/st_api.h"

#include <stdint.h>

#define PORTMAP_MAX_ADDRS   256 // 128 kB each; a further address is refused with -ENOSPC
#define PORTMAP_MAX_ENTRIES 16384

// lcore; enum st_portmap_owner. if_id: where the packet came in, which counts for link-local addresses.
uint8_t portmap_lookup(const struct st_addr *addr, uint16_t if_id, uint16_t port_be);

int portmap_set(const void *body, const void *old);
void portmap_del(const void *body);
int portmap_tables_init(void);
void portmap_tables_fini(void);
