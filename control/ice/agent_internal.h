// SPDX-License-Identifier: BSD-3-Clause
//
// What the agent_*.c files share: one attempt. Main loop thread. Nobody else includes this.
#pragma once

#include "ice_internal.h"
#include "relay_wait.h"
#include "turn_client.h"

#define AGENT_MAX_RELAYS (ICE_MSG_RELAYS * 4)

// What libnice thinks a TURN server's address is. TCP and TLS servers may share one with a UDP server, so
// they get an address of the documentation ranges.
struct relay_token {
	struct st_addr addr, server;
	uint16_t port_be;
	enum ice_transport transport;
	char *host, *username, *password;
};

struct agent_relay {
	struct st_addr base;
	unsigned int token;
	struct turn_client *turn; // NULL: taken over by an ice_keep, or there is no socket
	struct turn_key taken;    // to answer libnice's last Refresh with
};

struct ice_agent {
	struct ice_owner owner; // first
	struct ice *ice;
	uint32_t number, peer_id;
	bool controlling, relay_only;
	const struct ice_agent_ops *ops;
	void *arg;
	struct ice_credentials ours, theirs;
	bool known, begun, ended, freed, nominated, nothing_left;
	uint64_t asked_ms, begun_ms, last_candidate_ms;
	guint timer;
	uint16_t port_be;
	struct stun_client *stun; // of that port
	GArray *remotes;          // of struct ice_candidate
	GPtrArray *locals;        // signalled, text
	GArray *bases;            // of struct st_addr, told to libnice
	GArray *tokens;           // of struct relay_token
	GArray *relays;           // of struct agent_relay
	uint32_t rtt_us;          // of the last answered check, and to whom
	struct st_addr rtt_remote;
	struct relay_wait *relay_wait; // NULL where the peer controls
};

// agent.c
void agent_end(struct ice_agent *a, const char *why); // calls `failed`, once
void agent_destroy(struct ice_agent *a);

// agent_candidate.c
bool agent_is_base(const struct ice_agent *a, const struct st_addr *addr); // told to libnice
void agent_signal(struct ice_agent *a, struct ice_candidate *c, const struct st_addr *base);
void agent_signal_hosts(struct ice_agent *a);
void agent_signal_reflexive(struct ice_agent *a);
// The candidate that the peer signalled, NULL: it did not.
const struct ice_candidate *agent_remote_find(
	const struct ice_agent *a, const struct st_addr *addr, uint16_t port_be);

// agent_relay.c
void agent_token_clear(gpointer token);
void agent_collect_tokens(struct ice_agent *a);
int agent_token_find(const struct ice_agent *a, const struct st_addr *addr, uint16_t port_be);
// The socket from that base to the server, made when there is none; NULL: too many.
struct agent_relay *agent_relay_get(
	struct ice_agent *a, const struct st_addr *base, unsigned int token);
struct turn_client *agent_relay_with(
	const struct ice_agent *a, const struct st_addr *address, uint16_t port_be);
// The allocation is an ice_keep's by now: libnice's last Refresh is answered here.
void agent_relay_farewell(
	struct ice_agent *a, const struct agent_relay *r, const uint8_t *data, size_t len);

// agent_message.c
void agent_tell_remote(struct ice_agent *a, const struct ice_candidate *c);
bool agent_tell_new(struct ice_agent *a);

// agent_datagram.c
// What libnice wants to send: to a TURN server, or to a peer.
void agent_datagram(struct ice_agent *a, const struct ice_msg_datagram *m, const uint8_t *data);
