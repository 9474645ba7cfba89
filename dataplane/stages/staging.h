// SPDX-License-Identifier: BSD-3-Clause
//
// Packets that wait for a session: a queue per peer, kept by the peer's owner.
#pragma once

#include "../lcore.h"
#include "../tables/peer.h"

// Over all peers, so that dead peers cannot drain the packet pool. At the cap a packet is only staged in
// exchange for an older one of the same peer.
#define STAGED_MAX 8192
// Longer than straitd tries for a session (90 s); straitd has given up when this is over.
#define STAGED_TIMEOUT 95 // seconds

// Owner only. Tells straitd that there are packets for the peer, once in a second.
void staging_ask(struct lcore *lc, struct peer *peer);
// Owner only. Takes m, drops the oldest when the queue is full, and asks for a session.
void staging_add(struct lcore *lc, struct peer *peer, struct rte_mbuf *m);
// To wg_encrypt, oldest first. Returns how many.
unsigned int staging_flush(struct lcore *lc, struct peer *peer);
void staging_clear(struct lcore *lc, struct peer *peer, enum st_drop why);
void staging_expire(struct lcore *lc); // each pass; looks once per second
