// SPDX-License-Identifier: BSD-3-Clause
//
// Peers that are found by a signal service and ICE: what makes the state machine of fsm.h move in straitd.
// An interface with "signal" in its configuration has a client of the signal service and one ICE; each
// of its ICE peers has a struct conn. Nominated pairs become ENDPOINT objects: slot 0 is sent on, the
// others are listened to. Main loop thread.
#pragma once

#include "../../dataplane/api/st_api.h"
#include "../wg/wg_socket.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;
struct config;
struct conn;
struct conn_iface;
struct conns;
struct events;
struct peer;
struct wg;
struct wg_iface;

struct conns *conns_new(struct wg *wg, struct events *events);
// The process ends: what is installed stays for the next one.
void conns_free(struct conns *cs);
// After wg_apply with the same configuration. 0 or -errno with *ret_error (g_free).
int conns_apply(struct conns *cs, const struct config *c, char **ret_error);
void conns_addrs_changed(struct conns *cs);
void conns_routes_changed(struct conns *cs);
// By the peer's name or public key. NULL: no such peer (*ret_known false), or none that uses ICE.
struct conn *conns_find(const struct conns *cs, const char *peer, bool *ret_known);
// A peer has that port for itself. conns is a struct conns.
bool conns_have_port(uint16_t port_be, void *conns);
void conns_dp_connected(struct conns *cs);
// The signal clients and ICE of all interfaces: array "connections".
void conns_status(struct conns *cs, struct cJSON *into);

// Hooks of wg_*.c and peer*.c. i->conns and p->conn are NULL where there is no ICE.
// A datagram of the shared port. True: it was not WireGuard's.
bool conn_receive(struct conn_iface *ci, const struct wg_datagram *d);
// The socket of a port that one peer has for itself; -1: it is none.
int conn_port_fd(const struct conn_iface *ci, uint16_t port_be, enum wg_family family);
void conn_port_changed(struct conn_iface *ci); // the interface listens on another one
void conn_iface_free(struct conn_iface *ci, bool keep_paths); // with the connections of its peers
void conn_peer_begin(struct conn_iface *ci, struct peer *p);
void conn_peer_gone(struct peer *p); // it is removed, or will have another id
// Whether a handshake may start while there is no session.
bool conn_may_initiate(const struct conn *c);
void conn_traffic(struct conn *c); // packets wait for a session
void conn_activity(struct conn *c, const struct st_activity *a);
// An authenticated packet or message came from there.
void conn_seen(struct conn *c, const struct st_addr *remote, uint16_t remote_port_be,
	const struct st_addr *local);
// A WireGuard message by way of our relay. False: there is none on the path in use.
bool conn_send(struct conn *c, const void *data, size_t len);
void conn_refresh(struct conn *c); // ask the kernel again for the ways of all slots

void conn_peer_status(const struct conn *c, struct cJSON *into);
void conn_candidates(const struct conn *c, struct cJSON *into); // arrays "local", "remote"
void conn_reconnect(struct conn *c);
