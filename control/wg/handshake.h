// SPDX-License-Identifier: BSD-3-Clause
//
// The threads that do X25519. A job carries copies of all it needs, a worker computes on it, and the main
// loop gets it back and decides whether it still counts. So no peer is ever shared between threads.
//
// Two queues. What strangers can make us do (messages that came in) is bounded by MAX_QUEUED_HANDSHAKES.
// What follows from a known peer (our initiations, our responses) goes first; it is bounded by one job
// of each kind per peer.
#pragma once

#include "../../crypto/noise.h"
#include "../../dataplane/api/st_api.h"

#include <stdbool.h>
#include <stdint.h>

// An interface's key, shared by jobs under way after the interface has changed or lost it.
struct handshake_identity;

struct handshake_identity *handshake_identity_new(const struct noise_identity *id);
struct handshake_identity *handshake_identity_ref(struct handshake_identity *i);
void handshake_identity_unref(struct handshake_identity *i); // the last one wipes it
const struct noise_identity *handshake_identity_get(const struct handshake_identity *i);

// Where a datagram came from and which address of ours it hit.
struct handshake_source {
	struct st_addr remote;
	struct st_addr local;
	uint16_t remote_port_be;
	int ifindex; // it came in on
};

enum handshake_kind {
	HANDSHAKE_IDENTIFY, // an initiation came: hs and public_key come out
	HANDSHAKE_COMPLETE, // a response came to hs: keys come out
	HANDSHAKE_INITIATE, // hs and initiation come out
	HANDSHAKE_RESPOND,  // to hs: response and keys come out
};

struct handshake_job {
	struct handshake_job *next;
	enum handshake_kind kind;
	bool ok; // out
	struct handshake_identity *identity;
	struct noise_peer peer;
	struct noise_handshake hs;
	struct noise_keys keys;
	struct message_initiation initiation;
	struct message_response response;
	uint8_t public_key[NOISE_KEY_LEN];
	uint8_t timestamp[TAI64N_LEN];
	uint32_t local_index;
	uint32_t remote_index; // of the session, out with keys

	// For the main loop, to find out whether what the job was made for still exists.
	uint64_t iface_serial;
	uint64_t peer_serial;
	uint64_t generation;
	uint32_t peer_id;
	struct handshake_source source;
};

struct handshake_pool;

// Called in the thread that runs the default main context; owns the job (handshake_job_free).
typedef void (*handshake_done)(struct handshake_job *job, void *arg);

struct handshake_pool *handshake_pool_new(unsigned int threads, handshake_done done, void *arg);
void handshake_pool_free(struct handshake_pool *p); // joins the threads, frees what was queued
unsigned int handshake_pool_threads(void);          // how many this machine should have

struct handshake_job *handshake_job_new(
	enum handshake_kind kind, struct handshake_identity *identity);
void handshake_job_free(struct handshake_job *job); // wipes
// False: the queue of this kind is full and the job was not taken.
bool handshake_pool_push(struct handshake_pool *p, struct handshake_job *job);
unsigned int handshake_pool_queued(struct handshake_pool *p); // messages from strangers
// The computation itself, on any thread.
void handshake_job_run(struct handshake_job *job);
