// SPDX-License-Identifier: BSD-3-Clause
//
// A peer of a WireGuard interface: identity, handshake, what is known of its sessions, timers, endpoint,
// allowed IPs, and the objects of the data plane made of it. peer.c holds the peer itself, peer_session.c
// its handshakes. Main loop thread; workers get copies (handshake.h).
#pragma once

#include "../../crypto/cookie.h"
#include "../../crypto/noise.h"
#include "../../dataplane/api/st_api.h"
#include "endpoint.h"
#include "handshake.h"
#include "timers.h"

#include <glib.h>

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct wg;
struct wg_iface;

#define PEER_SLOTS 3 // ST_SLOT_PREVIOUS, ST_SLOT_CURRENT, ST_SLOT_NEXT

struct peer_keypair {
	uint32_t index; // ours; 0 = empty slot
	uint32_t remote_index;
	uint64_t birth;
	bool initiator;
};

struct allowed_ip {
	struct st_prefix prefix;
	struct peer *peer;
	GList link; // in peer->allowed
};

struct peer {
	struct wg_iface *iface;
	GList link;      // in iface->peer_list
	uint32_t id;     // of the contract
	uint64_t serial; // never used twice by this process
	char name[64];
	struct noise_peer noise;
	bool usable; // key is not low-order and not our own
	struct cookie cookie;
	struct timers timers;
	struct endpoint endpoint;
	bool narrow;       // the path MTU shrank because a router said so
	struct conn *conn; // by signal service and ICE; NULL = configured or roaming
	GQueue allowed;

	struct noise_handshake hs; // our initiation under way, else NOISE_ZEROED
	uint64_t initiate_generation;
	uint64_t respond_generation;
	uint64_t clear_generation; // of peer_clear_sessions
	bool initiating;           // a worker is making the initiation
	bool lost; // had a session in a data plane that is gone; call it when the new one is ready

	// What the data plane holds, as far as straitd knows.
	struct peer_keypair slots[PEER_SLOTS];
	uint64_t last_received;      // 0 = never
	uint64_t rx_bytes, tx_bytes; // data, as the data plane counts it
	uint64_t handshake_rx_bytes, handshake_tx_bytes;
	uint32_t staged;

	uint8_t greatest[TAI64N_LEN]; // of its initiations that we accepted
	uint8_t stamp[TAI64N_LEN];    // of our last initiation; see stamps.h
	uint64_t last_initiation;     // when we accepted one; 0 = never
	int64_t handshake_us;         // wall clock of the last complete handshake; 0 = never
	uint64_t handshakes;
	const char *last_error; // a constant; NULL = none
};

// peer.c
struct peer *peer_new(struct wg_iface *iface, const uint8_t public_key[NOISE_KEY_LEN],
	const char *name);         // NULL: no peer id left
void peer_free(struct peer *p);    // with its objects, indices and allowed IPs
void peer_release(struct peer *p); // without: this process ends, the data plane goes on
void peer_rename(struct peer *p, const char *name);
void peer_rekey_identity(struct peer *p); // the interface's key changed
bool peer_set_psk(struct peer *p, const uint8_t psk[NOISE_KEY_LEN]);
void peer_set_keepalive(struct peer *p, uint16_t seconds);
int peer_add_allowed(struct peer *p, const struct st_prefix *prefix); // 0 or -ENOSPC
void peer_remove_allowed(struct peer *p, const struct st_prefix *prefix);
void peer_clear_allowed(struct peer *p);
void peer_configure_endpoint(struct peer *p, const char *host, uint16_t port);
void peer_install_endpoint(struct peer *p);
// PEER with its control blob; done may be NULL.
void peer_install(struct peer *p, void (*done)(int status, void *arg), void *arg);
bool peer_blob_load(struct peer *p, const void *blob, uint16_t len);
void peer_change_id(struct peer *p, uint32_t id); // to a free one; its sessions end
void peer_timers_changed(struct peer *p);         // after each call into timers.h

// peer_ids.c
uint32_t peer_id_alloc(struct wg *wg); // ST_NO_PEER = none left
void peer_id_bind(struct peer *p, uint32_t id);
void peer_id_release(struct peer *p);
void peer_id_free(struct wg *wg, uint32_t id); // that nobody has

// peer_session.c
bool peer_has_session(const struct peer *p, uint64_t now);
void peer_initiate(struct peer *p, bool retry);
void peer_keepalive(struct peer *p);
void peer_timers_due(struct peer *p, uint64_t now);
void peer_clear_sessions(struct peer *p, bool delete_keys);
// Results of workers; they own the job.
void peer_initiation_made(struct peer *p, struct handshake_job *job);
void peer_identified(struct peer *p, struct handshake_job *job);
void peer_response_made(struct peer *p, struct handshake_job *job);
void peer_response_consumed(struct peer *p, struct handshake_job *job);
// Events of the data plane.
void peer_key_needed(struct peer *p);
void peer_key_confirmed(struct peer *p, uint32_t index);
void peer_rekey_due(struct peer *p, uint32_t index);
void peer_key_gone(struct peer *p, uint32_t index);
void peer_activity(struct peer *p, const struct st_activity *a, uint64_t now);
void peer_seen_at(struct peer *p, const struct st_ev_endpoint *ev);
// Events were lost, or an earlier straitd heard them: timers as the data plane remembers its packets.
void peer_reconcile(struct peer *p, const struct st_stat_peer *s, uint64_t now);
// The session as the data plane reports it (recovery, after lost events).
void peer_slot_learnt(struct peer *p, const struct st_stat_keypair *k, uint64_t now);
