// SPDX-License-Identifier: BSD-3-Clause
//
// Two connection objects, or one and a peer of another make, with a signal service and an ICE in between
// that the test owns: it loses, doubles, delays and reorders messages, cuts and heals paths, on a clock of
// its own. Used by test_conn_fsm.c and test_conn_sim.c.
#pragma once

#include "../../../../control/conn/fsm.h"

#include <glib.h>

#define WORLD_START   1000000ULL
#define WORLD_MAX_ICE 8

// One agent of ICE.
struct world_agent {
	bool used, relay_only, bound;
	uint32_t generation;
	struct ice_credentials ours, theirs;
	unsigned int candidates; // of the peer, that it was given
	bool gathered;
	uint64_t gather_at, found_at;
	bool told; // the outcome
};

struct world;

enum world_make {
	MAKE_STRAIT,
	MAKE_SEED, // NetBird of 2023, reduced to what signals and ICE see of it
};

// Seed-era NetBird: one blocking attempt after another.
struct world_seed {
	enum { SEED_SLEEPING, SEED_SENDING, SEED_WAITING, SEED_CHECKING, SEED_CONNECTED } state;
	uint64_t until;
	struct ice_credentials ours, theirs;
	unsigned int candidates;
	bool gathered;
	bool deaf_after_send; // it does not listen before its own call has returned
};

struct world_side {
	struct world *w;
	int n; // 0, 1
	enum world_make make;
	struct conn_fsm fsm;
	struct world_seed seed;
	struct world_agent agents[WORLD_MAX_ICE];
	uint32_t kept[16]; // path ids that have a keep
	unsigned int nb_kept;
	bool have_relay, port_reachable;
	int agent_error; // what agent_new answers
	int keep_error;  // what path_keep answers
	uint64_t connected_at;
	unsigned int offers, answers, candidates, modes, handshakes, idles, agents_made;
	bool last_mode;
	unsigned int tuples_changed;
	char events[4096];
};

struct world_mail {
	uint64_t at;
	uint64_t order;
	int to;
	struct conn_message m;
	char *candidate;
};

struct world {
	uint64_t now;
	GRand *rand;
	struct world_side side[2];
	GArray *mail; // of struct world_mail
	uint64_t orders;
	// The signal service.
	unsigned int lose_percent, double_percent;
	unsigned int delay_min_ms, delay_max_ms;
	bool swallow; // accepts and never delivers
	// The network.
	bool direct_works, relay_works;
	unsigned int ice_ms; // from both sides being ready to the nomination
	uint64_t messages;
};

extern const struct conn_fsm_ops world_ops;

struct world *world_new(uint32_t seed);
void world_free(struct world *w);
// Side n becomes a seed-era peer; before world_start.
void world_seed_era(struct world *w, int n);
void world_start(struct world *w);
void world_run(struct world *w, uint64_t ms);
// Until both are connected with each other; ms that it took, or UINT64_MAX after limit.
uint64_t world_connect(struct world *w, uint64_t limit);
bool world_connected(struct world *w); // both, and each with the other's session
// As after kill -9: nothing is known any more.
void world_restart(struct world *w, int n);
struct ice_path world_path(bool direct);
