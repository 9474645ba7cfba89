// SPDX-License-Identifier: BSD-3-Clause
//
// A packet lcore: one thread that runs the staged table to completion over the queues assigned to it.
// Everything in struct lcore belongs to that thread unless its comment says otherwise.
#pragma once

#include "api/st_api.h"
#include "packet.h"

#include <rte_common.h>
#include <rte_mbuf.h>
#include <rte_rcu_qsbr.h>
#include <rte_ring.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LCORE_MAX    64
#define VEC_MAX      512 // packets in front of one stage
#define RX_BURST     32
#define LCORE_RX_MAX 128  // taken in by one pass, so that no vec can overflow by arrival alone
#define HANDOFF_RING 1024 // per ordered pair of lcores; also >= 100 ms of the loss tests' stream
#define EVENT_RING   4096 // per lcore, towards main
#define TO_MAIN_RING 256  // per lcore; rte_ring of mbufs for PACKET_IN

// Which pointers into the tables a packet may carry from one pass to the next: in a handoff ring keypair
// and peer (main frees these only after the rings have moved past, see reclaim_later_rings); in `again`,
// the neighbour queue and to_main none; in a staging queue the peer itself, which PEER_REMOVE empties.
struct vec {
	uint32_t n;
	struct rte_mbuf *m[VEC_MAX];
};

// Small buffers in front of a DPDK port or of another lcore's ring, flushed at the end of each pass.
#define OUTBUF_MAX 32
struct outbuf {
	uint32_t n;
	struct rte_mbuf *m[OUTBUF_MAX];
};

struct stage_stats {
	uint64_t calls, packets, cycles;
};

#define LCORE_RXQ_MAX 64

// What main assigned to an lcore: immutable, replaced whole, freed after quiescence.
struct lcore_plan {
	uint16_t nb_rx;
	struct lcore_rxq {
		uint16_t if_id;
		uint16_t eth_port;
		uint16_t queue;
		uint8_t host; // 1: the host device of if_id, 0: the port itself
		uint8_t tap;  // each look at it is a system call
	} rx[LCORE_RXQ_MAX];
	// For each DPDK port: the queue this lcore may transmit on, or TXQ_NONE and the lcore that may.
	struct lcore_txq {
		uint16_t queue;
		uint16_t owner; // lcore id; == own id when queue is ours
	} tx[RTE_MAX_ETHPORTS];
};
#define TXQ_NONE UINT16_MAX

// From an lcore to main.
struct lcore_event {
	uint32_t event; // enum st_event
	uint32_t peer_id;
	uint32_t index;
	uint32_t if_id;
	struct st_addr local, remote; // ENDPOINT_SEEN; NEIGH_NEEDED uses remote
	uint16_t local_port_be, remote_port_be;
	uint32_t pad;
};
_Static_assert(sizeof(struct lcore_event) == 56, "ring element, a multiple of 4");

// For main alone, beside enum st_event: the keypair `index` of `peer_id` has just left the slots (it was
// displaced by an install or a promotion), so that main takes it out of the tables. Not sent for
// LCORE_CMD_KEY_REMOVE and LCORE_CMD_PEER_REMOVE. If it is lost, the keypair goes with its expiry.
#define LCORE_EV_KEY_GONE 0x100

// From main to an lcore; main waits for `done` without blocking and frees the command. An lcore that is
// not the owner of the peer (it gave it away meanwhile) answers result = -EAGAIN and main asks the new
// owner; otherwise result is 0.
enum lcore_cmd_op {
	LCORE_CMD_KEY_INSTALL, // arg: struct keypair *, into the slots of its peer (owner lcore)
	LCORE_CMD_KEY_REMOVE,  // arg: struct keypair *, out of the slots
	LCORE_CMD_PEER_REMOVE, // arg: struct peer *, drop staged packets, clear the slots
	LCORE_CMD_KEEPALIVE,   // arg: struct peer *
	LCORE_CMD_STAGED_DROP, // arg: struct peer *
	// arg: struct rte_mbuf *, enters at packet_of(m)->target. For PACKET_OUT: IP header at data_off
	// (no Ethernet), iif 0 (iface_get(0) is NULL), l3_off, l4_off and flags set, checksums right.
	LCORE_CMD_PACKET,
};
struct lcore_cmd {
	enum lcore_cmd_op op;
	void *arg;
	int result;
	_Atomic int done; // lcore: wo (release), main: ro (acquire)
};

struct aead_backend;
struct peer;
struct reassembly;
struct aead_scratch;
struct turn_lcore;

#define LCORE_AT_POLL    ST_STAGE_COUNT
#define LCORE_AT_BETWEEN (ST_STAGE_COUNT + 1)
#define LCORE_AT_SLEEP   (ST_STAGE_COUNT + 2)

static inline void lcore_at(uint8_t *at, uint8_t place)
{
	__atomic_store_n(at, place, __ATOMIC_RELAXED);
}

struct lcore {
	uint16_t id;         // 0..nb-1, our own numbering
	unsigned int rte_id; // DPDK's lcore id
	uint64_t now;        // TSC, read once per pass
	struct vec in[ST_STAGE_COUNT];
	struct stage_stats stats[ST_STAGE_COUNT]; // main: ro (relaxed)
	uint64_t drops[ST_DROP_COUNT];            // main: ro (relaxed)
	struct iface_counts *counts;              // [ST_MAX_IFACES], main: ro
	void *aead_ctx;
	const struct aead_backend *aead;
	struct rte_mempool *pool;
	struct reassembly *frags; // stages/reassemble.c
	// stages/crypt.h: operations of one burst of wg_open and of wg_encrypt, which may run inside the
	// other's burst when the vecs between them are full.
	struct aead_scratch *opening, *sealing;
	struct turn_lcore *turn;                  // stages/turn.h
	struct vec again;                         // enters at packet_of(m)->target in the next pass
	struct rte_mbuf *neigh_head, *neigh_tail; // packets that wait for a neighbour
	uint16_t neigh_queued;
	uint32_t neigh_seen;       // neigh_generation when they were last tried
	struct peer *staged_peers; // peers of ours with staged packets, through peer->staged_next
	uint64_t staged_checked;   // TSC of the last look for old ones
	struct peer *give_peer;    // to be given away at the end of this pass ...
	uint16_t give_to;          // ... to this lcore
	uint64_t hz;               // TSC
	uint64_t icmp_tokens, icmp_stamp, icmp_cost; // rate limit of errors made here, in TSC units
	uint16_t ip_id;                              // of outer IPv4 headers
	uint16_t rx_next;                            // queue that the next pass polls first
	struct {
		uint64_t due;  // TSC from which on it is looked at again
		uint64_t wait; // the last pause
	} taps[LCORE_RXQ_MAX]; // by the queue's place in the plan
	uint16_t rx_behind;    // passes in a row in which a port had a whole burst waiting
	uint32_t tx_ports;     // DPDK ports with something in tx[]
	struct outbuf tx[RTE_MAX_ETHPORTS];
	uint64_t handoff_lcores; // lcores with something in out[]
	struct outbuf out[LCORE_MAX];
	const struct lcore_plan *_Atomic plan; // main: wo, lcore: ro
	struct rte_ring *handoff[LCORE_MAX]; // [from] SPSC of mbufs, this lcore consumes; created by main
	struct rte_ring *cmds;               // SPSC of struct lcore_cmd *, main produces
	struct rte_ring *events;             // SPSC of struct lcore_event, main consumes
	// SPSC of mbufs, main consumes: datagrams for PACKET_IN. Outer IP + UDP header from data_off on,
	// l3_off and l4_off set, packet_of(m)->hash = peer_id. lcores_init creates it.
	struct rte_ring *to_main;
	_Atomic uint64_t events_lost;                                  // lcore: wo, main: ro
	uint64_t loops, busy_loops, sleeps, busy_cycles, total_cycles; // main: ro (relaxed)
	uint64_t handoff_in, handoff_out;
	uint64_t idle_since;
	uint8_t at; // what it is doing: enum st_stage or LCORE_AT_*; main: ro (relaxed)
	int tid;    // of its thread; main: ro
} __rte_cache_aligned;

struct lcore_table {
	uint16_t nb;
	struct lcore *lc[LCORE_MAX];
	struct rte_rcu_qsbr *qsbr; // reporter id = lcore id; offline while asleep
	_Atomic int stop;
	int adaptive;            // 0: poll
	_Atomic uint32_t staged; // packets in staging queues; lcores: rw, capped by STAGED_MAX
};
extern struct lcore_table lcores; // filled by lcores_init before launch

// main.c calls these. Returns 0 or -errno.
int lcores_init(const char *aead_name, int adaptive, struct rte_mempool *pool);
int lcores_launch(void);
void lcores_stop(void); // asks, joins, frees the packets that the lcores still hold
void lcores_fini(void); // behind lcores_stop, when no table names an lcore any more
// Hands a command to lcore id; false when its ring is full (try again later).
bool lcore_command(uint16_t id, struct lcore_cmd *cmd);

// lcore side.
bool lcore_event_push(struct lcore *lc, const struct lcore_event *ev); // false: lost, and counted
unsigned int lcore_commands(struct lcore *lc); // carries out what main asked for; returns how many
// m enters this lcore's own next pass at stage target, which may lie to the left.
void lcore_again(struct lcore *lc, struct rte_mbuf *m, enum st_stage target);
void lcore_handoff_flush(struct lcore *lc);
// Passes m to another lcore, there to enter at stage target. Counts and frees when the ring is full.
void lcore_handoff(struct lcore *lc, uint16_t to, struct rte_mbuf *m, enum st_stage target);
// For straitd as PACKET_IN, with a datagram of at most ST_PACKET_MAX: IP header at l3_off, UDP header at l4_off.
// straitd sends it with its own socket. Counts and frees what is larger or finds the ring full.
void lcore_to_main(struct lcore *lc, struct rte_mbuf *m, uint32_t peer_id);
