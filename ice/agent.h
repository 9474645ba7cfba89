// SPDX-License-Identifier: BSD-3-Clause
//
// One libnice agent: what straitd asks of it, and what it tells. A shard is a thread with its own main
// context and its own end of a socket pair; its agents live and die in it.
#pragma once

#include "ice_msg.h"
#include "socket_shim.h"

#include <glib.h>

struct shard {
	int fd; // blocking; datagrams are sent without waiting
	GMainContext *context;
	GMainLoop *loop;
	GHashTable *agents; // number -> struct agent
};

struct agent;

// Gathers at once. What goes wrong is told to straitd.
void agent_new(struct shard *shard, const struct ice_msg_new *msg);
void agent_remote(struct agent *a, const struct ice_msg_remote *msg);
void agent_remote_candidate(struct agent *a, const struct ice_msg_candidate *msg);
void agent_datagram(struct agent *a, const struct ice_msg_datagram *msg, const uint8_t *data);
void agent_close(struct agent *a); // it goes when its allocations are given back
