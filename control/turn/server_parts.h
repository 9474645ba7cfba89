// SPDX-License-Identifier: BSD-3-Clause
//
// What the files of the TURN server share. Private to control/turn/.
#pragma once

#include "../seal.h"
#include "core.h"
#include "metrics.h"
#include "server.h"
#include "streams.h"

#include <glib.h>

struct config;

// A parked socket of an earlier straitd.
struct turn_old_socket {
	uint32_t id;
	char purpose[61];
	int fd; // -1 = taken
};

// Two sockets of one address and port. The kernel puts a message into one of them by its DSCP, which lcores set:
// clients with an allocation do not stand in line behind strangers.
enum turn_lane { TURN_LANE_KNOWN, TURN_LANE_OTHERS, TURN_LANES };

struct turn_udp_socket {
	struct turn_udp *udp;
	enum turn_lane lane;
	int fd; // -1: none, then the other lane takes all
	unsigned int source;
	uint32_t socket_id;
	bool parked;
};

struct turn_udp {
	struct turn *turn;
	struct st_addr addr; // all zero of a family: every address of it
	bool v4;
	uint16_t port;
	struct turn_udp_socket lanes[TURN_LANES];
};

struct turn {
	struct turn_core core;
	struct dp *dp;
	struct seal *seal;
	char *run_dir;
	const struct config *config; // whole document
	bool applied;                // core has a configuration
	GPtrArray *udp;              // of struct turn_udp *
	GArray *addrs;               // of struct st_addr: the box's
	GHashTable *portmaps;        // of struct st_portmap_key: entries of ours
	GArray *old_sockets;         // of struct turn_old_socket
	uint32_t next_socket_id;
	struct turn_recovered *recovered;
	struct turn_streams *streams;
	struct turn_metrics *metrics;
	struct turn_strangers *strangers;
	struct turn_icmp_listener *icmp[TURN_FAMILIES];
	unsigned int tick;
	unsigned int hook; // before_poll
};

// ---- drain.c -----------------------------------------------------------------------------------------

void turn_drain_load(struct turn *t); // what the straitd before was told

// ---- strangers.c -------------------------------------------------------------------------------------

// First messages of those who have nothing here yet wait until nobody else wants anything.
struct turn_strangers *turn_strangers_new(struct turn_core *core);
void turn_strangers_free(struct turn_strangers *s);
void turn_strangers_add(
	struct turn_strangers *s, const struct turn_tuple *from, const uint8_t *data, uint16_t len);
// The first few that wait, now: while more of them come the loop is never idle.
void turn_strangers_answer(struct turn_strangers *s);

// ---- udp_lanes.c -------------------------------------------------------------------------------------

// A bound socket of the lane, or -errno. That of the others comes second and joins the first.
int turn_lane_open(const struct turn_udp *u, enum turn_lane lane);

// ---- listener_udp.c ----------------------------------------------------------------------------------

// Opens what the configuration asks for and closes the rest. What is open already stays open.
int turn_udp_apply(struct turn *t, const struct turn_config *c, char **ret_error);
void turn_udp_close_all(struct turn *t, bool unpark);
void turn_udp_park(struct turn *t, bool again);
void turn_udp_send(struct turn *t, const struct turn_tuple *to, const void *data, size_t len);
bool turn_udp_is_listening(const struct turn *t, const struct st_addr *addr, uint16_t port);

// ---- listener_icmp.c ---------------------------------------------------------------------------------

// What is open already stays open. Without the right to raw sockets a warning.
void turn_icmp_open(struct turn *t);
void turn_icmp_close(struct turn *t);

// ---- portmap.c ---------------------------------------------------------------------------------------

// TURN_LISTEN for each address that listens, RELAY for the range of each relay address, and the kernel's
// list of ports that it must not give to others.
void turn_portmap_apply(struct turn *t);
