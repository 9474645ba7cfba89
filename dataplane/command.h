// SPDX-License-Identifier: BSD-3-Clause
//
// Requests of main to lcores. Those about a peer go to its owner one at a time and follow the peer when
// it is given away, so that an install can never overtake a removal. main only; never blocks.
#pragma once

#include "lcore.h"

#include <stdbool.h>
#include <stdint.h>

struct peer;

// done (may be NULL) is called from command_poll with arg when the lcore has carried it out.
int command_peer(struct peer *peer, enum lcore_cmd_op op, void *arg, void (*done)(void *arg));
int command_packet(uint16_t lcore, struct rte_mbuf *m); // takes m; -EAGAIN (m freed) when too many wait
void command_poll(void);
uint64_t command_token(void);        // a point in the sequence of commands ...
bool command_passed(uint64_t token); // ... up to which all have been carried out
// The lcores have stopped: what is under way and what comes counts as done.
void command_stop(void);
