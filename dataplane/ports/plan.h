// SPDX-License-Identifier: BSD-3-Clause
//
// Builds and publishes what each lcore polls and transmits on. main only.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct plan_device {
	uint16_t if_id;
	uint16_t eth;
	uint16_t nb_rxq, nb_txq;
	uint16_t host; // 1: the host device of if_id
	bool tap;      // each look at a receive queue is a system call
};

void plan_clear(void);
void plan_add(const struct plan_device *d);
int plan_publish(void); // -ENOMEM: the old plans stay
uint16_t plan_rx_lcore(uint16_t eth, uint16_t queue, uint16_t nb_lcores);
uint16_t plan_tx_owner(uint16_t eth, uint16_t queue, uint16_t nb_queues, uint16_t nb_lcores);
void plan_fini(void); // the lcores have stopped
