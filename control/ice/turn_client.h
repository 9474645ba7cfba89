// SPDX-License-Identifier: BSD-3-Clause
//
// One allocation at a TURN server (RFC 8656). While the attempt runs libnice is its client and this only
// watches and carries; once a pair over it is nominated it is taken over: straitd refreshes it from then
// on, and sends and receives through it. Main loop thread.
#pragma once

#include "ice_internal.h"

struct turn_client;
struct ice_keep;

struct turn_client_params {
	struct ice *ice;
	uint32_t agent, peer_id;
	struct st_addr base;             // libnice's local address
	struct st_addr token;            // the server as libnice knows it
	struct st_addr server;           // as it is
	uint16_t port_be, local_port_be; // of the server; of libnice's socket
	enum ice_transport transport;
	const char *host, *username, *password;
};

struct turn_client *turn_client_new(const struct turn_client_params *p); // NULL: no socket
void turn_client_free(struct turn_client *t); // closes, and says nothing to the server
// Refresh with lifetime 0, then as turn_client_free.
void turn_client_release(struct turn_client *t);

// libnice wants this sent to the server.
void turn_client_from_agent(struct turn_client *t, const uint8_t *data, size_t len);
bool turn_client_allocated(const struct turn_client *t);
bool turn_client_is(const struct turn_client *t, const struct st_addr *relayed, uint16_t port_be);
void turn_client_describe(const struct turn_client *t, const struct st_addr *peer,
	uint16_t peer_port_be, struct ice_relay *ret);
void turn_client_mapped(const struct turn_client *t, struct st_addr *ret, uint16_t *ret_port_be);
struct turn_key {
	uint8_t key[STUN_KEY_LEN];
	bool known;
};

void turn_client_key(const struct turn_client *t, struct turn_key *ret);
// What a server would answer to a Refresh with lifetime 0. The length, 0 = it is no Refresh.
size_t turn_client_farewell(
	const struct turn_key *key, const uint8_t *request, size_t len, uint8_t *out, size_t size);

struct turn_client_ops {
	void (*bound)(void *arg); // a channel to the peer was confirmed
	void (*lost)(const char *why, void *arg);
};

// From now on straitd is the client, and traffic goes to this peer.
void turn_client_adopt(struct turn_client *t, const struct st_addr *peer, uint16_t peer_port_be,
	const struct turn_client_ops *ops, void *arg);
void turn_client_peer(struct turn_client *t, const struct st_addr *peer, uint16_t peer_port_be);
// Asks the server whether the allocation is there, with the next tick: `lost` when it is not.
void turn_client_verify(struct turn_client *t);
// Refreshes what is due. When to call again, in ms of ice_now().
uint64_t turn_client_tick(struct turn_client *t, uint64_t now);
int turn_client_send(struct turn_client *t, const struct st_addr *peer, uint16_t peer_port_be,
	const void *data, size_t len);
void turn_client_park(struct turn_client *t);   // the data plane is new or there again
void turn_client_detach(struct turn_client *t); // straitd ends, the parked socket and the rest stay

// For the blob: what a later straitd needs to go on. The length, or -ENOSPC.
int turn_client_save(const struct turn_client *t, uint8_t *out, size_t size);
// NULL with errno.
struct turn_client *turn_client_restore(struct ice *ice, uint32_t peer_id,
	const struct ice_path *path, const uint8_t *saved, size_t len);
