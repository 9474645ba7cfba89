// SPDX-License-Identifier: BSD-3-Clause
//
// The connection to one peer: offer and answer over the signal service, ICE attempts, and the pairs they
// end in. Pure: the time is an argument (ms), everything done goes through the ops, nothing is read
// but the arguments. docs/ice.md has the drawing.
//
//   closed <- stop -- waiting --offer--> offered --answer or offer--> checking --nominated--> settled
//                        ^                  ^                            |        (and the way back, while
//                        +---- failed ------+----------------------------+         the old pair goes on)
//
// What signals of a peer says of itself is a session: the credentials of its agent, and an id where the
// peer sends one. Our own session lasts one attempt. When the peer begins anew while we are checking, its
// new session gets a new agent of ours under our old credentials, so that what we signalled stays true
// and two sides that both begin anew do not chase each other.
#pragma once

#include "../ice/ice.h"
#include "paths.h"

#include <stdbool.h>
#include <stdint.h>

#define CONN_SESSION_ID_LEN 5
#define CONN_CANDIDATES_MAX 20  // of each side: ICE_MAX_REMOTE; what is more is dropped and counted
#define CONN_CANDIDATE_LEN  512 // ICE_CANDIDATE_MAX
#define CONN_STALE_MAX      8   // sessions of the peer that a newer one took the place of
#define CONN_NEVER          UINT64_MAX
#define CONN_UFRAG_LEN      16 // as NetBird's
#define CONN_PWD_LEN        32

// The numbers on the wire (signalexchange.Body.Type).
enum conn_message_type {
	CONN_OFFER = 0,
	CONN_ANSWER = 1,
	CONN_CANDIDATE = 2,
	CONN_MODE = 4,
	CONN_GO_IDLE = 5,
};

struct conn_session {
	struct ice_credentials cred;
	uint8_t id[CONN_SESSION_ID_LEN];
	bool has_id;
};

struct conn_message {
	enum conn_message_type type;
	struct conn_session session; // OFFER, ANSWER. Empty credentials: this peer does no ICE
	const char *candidate;       // CANDIDATE
	bool direct;                 // MODE
	// OFFER, ANSWER: what the peer says of its program.
	bool direct_check; // it wants to be told a MODE (NetBird up to v0.18)
	bool strait;       // it is one of ours
	uint16_t wg_port;  // 0 = not said
};

enum conn_phase {
	CONN_CLOSED,
	CONN_IDLE,     // the peer wants no connection before there is traffic
	CONN_WAITING,  // for the next offer, or for the signal service
	CONN_OFFERED,  // for an answer
	CONN_CHECKING, // ICE at work
	CONN_SETTLED,  // a pair is in use, and no attempt under way
	CONN_PHASES,
};

const char *conn_phase_name(enum conn_phase phase);

// What an attempt is for.
enum conn_purpose {
	CONN_CONNECT,  // no pair, or a lost one
	CONN_ANSWERED, // the peer began it
	CONN_UPGRADE,  // relayed, to direct
	CONN_STANDBY,  // direct, and a relay to fall back to
};

enum conn_state { // as NetBird's, and as people want to see it
	CONN_DISCONNECTED,
	CONN_CONNECTING,
	CONN_CONNECTED,
};

struct conn_fsm;

struct conn_fsm_ops {
	// An agent of that generation. 0 or -errno. No call back from inside.
	int (*agent_new)(uint32_t generation, bool relay_only, const struct ice_credentials *ours,
		void *arg);
	int (*agent_remote)(uint32_t generation, const struct ice_credentials *theirs, void *arg);
	int (*agent_candidate)(uint32_t generation, const char *candidate, void *arg);
	void (*agent_free)(uint32_t generation, void *arg);
	// Of the pairs (paths.h).
	int (*path_keep)(uint32_t path_id, const struct ice_path *path, void *arg);
	void (*path_drop)(uint32_t path_id, void *arg);
	void (*paths_changed)(void *arg);
	// Never fails from here: what does not arrive is sent again by the schedule.
	void (*send)(const struct conn_message *m, void *arg);
	// One more offer now? unhurried: the peer has not answered for long. Bounds the offers of
	// all peers together.
	bool (*may_offer)(bool unhurried, void *arg);
	// It is our turn to begin a WireGuard handshake, unless there is a session.
	void (*handshake)(void *arg);
	// The peer went idle: its session is to end, so that the next packet asks for one.
	void (*idle)(void *arg);
	// Something that people want to see. what is a constant; detail may be NULL.
	void (*event)(const char *what, const char *detail, void *arg);
	uint32_t (*random)(uint32_t upper_bound, void *arg);
	bool (*have_relay)(void *arg); // a TURN server is configured
	bool (*port_reachable)(void *arg);
};

enum conn_timer {
	CONN_TIMER_OFFER,     // waiting: begin an attempt; offered: offer again
	CONN_TIMER_ANSWER,    // answer, some tens of ms after the offer
	CONN_TIMER_REPEAT,    // checking: say again what may have been lost
	CONN_TIMER_CHECK,     // checking has lasted too long
	CONN_TIMER_LINGER,    // the agent of a nominated pair goes
	CONN_TIMER_HANDSHAKE, // our turn
	CONN_TIMER_BETTER,    // upgrade or standby
	CONN_TIMERS,
};

// What came early, and what is ours to be said again.
struct conn_candidates {
	char *text[CONN_CANDIDATES_MAX]; // the oldest first
	uint64_t at[CONN_CANDIDATES_MAX];
	unsigned int n;
};

// What a peer may cost us: so much in a row, then one a second.
struct conn_allowance {
	unsigned int tokens;
	uint64_t at; // when it was filled
};

struct conn_stale {
	uint64_t hash;
	uint64_t until;
};

struct conn_fsm {
	const struct conn_fsm_ops *ops;
	void *arg;
	enum conn_phase phase;
	enum conn_purpose purpose;
	bool controlling;
	bool signal_up;
	uint64_t due[CONN_TIMERS];
	struct conn_allowance binds;   // agents that the peer's offers may still cost
	struct conn_allowance replies; // what its messages make us say

	uint32_t generation; // of the newest agent, never used twice
	bool agent;          // it lives
	bool nominated;      // and found a pair
	struct conn_session local, remote;
	bool has_local, has_remote; // remote: of this attempt, or of the pair in use
	bool answer_owed;           // the peer may not have our session
	unsigned int offers;        // without an answer
	unsigned int repeats;       // of this attempt
	unsigned int reoffered; // times that the peer offered the session that we think is connected
	unsigned int failures;  // attempts, since the last connection
	unsigned int better_tries;
	bool doubted; // the selected pair does not answer, and is not lost yet
	struct conn_candidates early, ours;
	struct conn_stale stale[CONN_STALE_MAX];

	struct conn_paths paths;

	// Of the peer.
	bool peer_strait, peer_direct_check, peer_no_ice;
	bool has_mode, peer_direct;
	uint16_t peer_wg_port;

	// For people.
	uint64_t entered_at;            // this phase
	uint64_t phase_ms[CONN_PHASES]; // without the current one's
	uint64_t began_at, bound_at;    // of the attempt
	uint32_t offer_ms, check_ms;    // of the last that succeeded
	uint64_t connected_at;
	uint64_t attempts, sent, received, refused, dropped;
	char last_failure[96];
};

void conn_fsm_init(struct conn_fsm *f, const struct conn_fsm_ops *ops, bool controlling, void *arg);
// Frees what it holds and calls agent_free and path_drop. Level-triggered: whatever comes later finds a
// closed object and does nothing.
void conn_fsm_stop(struct conn_fsm *f, uint64_t now);
// The memory alone: the process ends, agents are gone, pairs go on without it.
void conn_fsm_release(struct conn_fsm *f);
void conn_fsm_start(struct conn_fsm *f, uint64_t now);
// The pair that an earlier process sent on, still installed; before start, and before paths_restore_* of the
// others. The id that its keep gets.
uint32_t conn_fsm_restore(struct conn_fsm *f, const struct ice_path *path, uint64_t now);

void conn_fsm_signal(struct conn_fsm *f, bool up, uint64_t now);
void conn_fsm_message(struct conn_fsm *f, const struct conn_message *m, uint64_t now);
// Of agents; those of an older generation are ignored.
void conn_fsm_local_candidate(
	struct conn_fsm *f, uint32_t generation, const char *candidate, uint64_t now);
void conn_fsm_nominated(
	struct conn_fsm *f, uint32_t generation, const struct ice_path *path, uint64_t now);
void conn_fsm_failed(struct conn_fsm *f, uint32_t generation, const char *why, uint64_t now);
// Of pairs; those of pairs that are gone are ignored.
void conn_fsm_path_lost(struct conn_fsm *f, uint32_t path_id, const char *why, uint64_t now);
void conn_fsm_path_regained(struct conn_fsm *f, uint32_t path_id, uint64_t now);
// It does not answer, which is not a loss yet; or (trusted) it does. Between strait gateways doubt begins an attempt
// beside the pair: where a NAT has changed, the way is there again before anybody misses it.
void conn_fsm_path_doubted(struct conn_fsm *f, uint32_t path_id, uint64_t now);
void conn_fsm_path_trusted(struct conn_fsm *f, uint32_t path_id);
void conn_fsm_path_renominated(struct conn_fsm *f, uint32_t path_id, const struct ice_path *path);
// There is traffic for the peer: an idle one is woken.
void conn_fsm_traffic(struct conn_fsm *f, uint64_t now);
// Addresses of this box changed: what failed may work, and what is relayed may become direct.
void conn_fsm_network_changed(struct conn_fsm *f, uint64_t now);
// An operator's wish, or what ICE is made of changed: a new attempt now, beside the pair in use.
void conn_fsm_reconnect(struct conn_fsm *f, uint64_t now);

uint64_t conn_fsm_next(const struct conn_fsm *f); // CONN_NEVER = nothing is due
void conn_fsm_expire(struct conn_fsm *f, uint64_t now);
enum conn_state conn_fsm_state(const struct conn_fsm *f);
uint64_t conn_fsm_phase_ms(const struct conn_fsm *f, enum conn_phase phase, uint64_t now);
