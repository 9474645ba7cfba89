// SPDX-License-Identifier: BSD-3-Clause
//
// Ports at run time: attach, configure, start, pair with the host device, spread queues over lcores,
// and the reverse. main only; lcores see struct iface and struct lcore_plan.
#pragma once

#include <stdint.h>

struct st_stat_iface;
struct rte_mempool;

void ports_init(struct rte_mempool *pool);
int port_set(const void *body, const void *old);
void port_del(const void *body);
void lcore_plans_publish(void); // after any change of ports, host devices or lcores
void ports_poll(void); // link state; reports PORT_FAILED; host devices that went or came back
void ports_fini(void); // leaves persistent host devices up
int port_stats(uint16_t if_id, struct st_stat_iface *ret);
