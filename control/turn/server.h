// SPDX-License-Identifier: BSD-3-Clause
//
// The TURN server of straitd: turn_core with its listeners, its place in the port map, and what an earlier
// straitd left. Main loop thread.
#pragma once

#include "../dp/dp.h"

#include <stdbool.h>
#include <stdint.h>

struct cJSON;
struct config;
struct turn;

// NULL with *ret_error. It does nothing until turn_apply is given a configuration that has a "turn".
struct turn *turn_new(struct dp *dp, const char *run_dir, char **ret_error);
void turn_free(struct turn *t); // sessions of UDP clients go on in the data plane
// The first or a changed configuration; must live until the next call. Without "turn" all sessions end. 0 or
// -errno with *ret_error, and then the former configuration goes on.
int turn_apply(struct turn *t, const struct config *c, char **ret_error);
// Ports of this box that single peers of WireGuard have for themselves: our clients may reach them as they may the
// "listen_port" of an interface.
void turn_set_peer_ports(struct turn *t, bool (*is_one)(uint16_t port_be, void *arg), void *arg);
void turn_addrs_changed(struct turn *t, const struct st_addr_key *addrs, unsigned int n);

// From the data plane; see dp_ops. turn_dp_item tells whether the item is of the TURN server.
void turn_dp_connected(struct turn *t, bool new_instance);
bool turn_dp_item(struct turn *t, const struct dp_item *item);
void turn_dp_recovered(struct turn *t);
void turn_dp_synced(struct turn *t);
// An address in the relay range of this box, whether somebody has it or not. turn is a struct turn.
bool turn_is_own_relay(const struct st_addr *addr, uint16_t port_be, void *turn);
// One that only the NAT in front calls ours (external_ip) becomes the relay address behind it, if the port is in the
// relay range: what leaves the box for it might not come back.
void turn_inside(struct st_addr *addr, uint16_t port_be, void *turn);
// A datagram for a relayed address of ours whose client came by TCP or TLS. False: it is for somebody else.
bool turn_dp_packet_in(struct turn *t, const struct st_packet_io *io, const void *data, uint16_t len);

// For the admin socket. The error is a text (g_free), NULL = fine.
void turn_status(struct turn *t, struct cJSON *into);
void turn_sessions(struct turn *t, struct cJSON *into);
char *turn_session(struct turn *t, uint32_t id, struct cJSON *into);
char *turn_kick(struct turn *t, uint32_t id);
// Also for the next straitd, until the machine boots. on NULL: changes nothing, and tells.
char *turn_drain(struct turn *t, const bool *on, struct cJSON *into);
