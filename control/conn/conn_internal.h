// SPDX-License-Identifier: BSD-3-Clause
//
// What conn.c (one peer), conn_iface.c (one interface), conn_status.c and conn_path.c share. Private to them.
#pragma once

#include "../ice/ice.h"
#include "../log_pace.h"
#include "../signal/signal_client.h"
#include "../wg/endpoint.h"
#include "conn.h"
#include "events.h"
#include "fsm.h"
#include "pace.h"

#include <glib.h>

#define CONN_KEEPS    3 // selected, standing by, retired
#define CONN_EXTRA    2 // slots 1 and 2
#define CONN_SEEN_MAX CONN_CANDIDATES_MAX

struct conn_keep {
	struct conn *conn;
	struct ice_keep *keep; // NULL: not kept, its relay socket is gone
	uint32_t path_id;      // 0 = free
	uint32_t rtt_us;
};

struct conn {
	struct conn_iface *iface;
	struct peer *peer;
	struct conn_fsm fsm;
	GSequenceIter *timer; // in iface->timers
	uint64_t due;         // what it is sorted by
	struct ice_agent *agent;
	uint32_t agent_generation;
	struct conn_keep keeps[CONN_KEEPS];
	struct endpoint extra[CONN_EXTRA];
	GPtrArray *local_seen, *remote_seen; // candidates of the last attempt, for people

	// A peer of old that said MODE direct and sends from WireGuard's own port.
	bool follows; // on the pair follow_path: its peer sends from elsewhere
	uint32_t follow_path;
	struct st_addr follow_addr;
	uint16_t follow_port_be;
	uint64_t selected_heard_at; // ms; authenticated, on slot 0
	uint64_t silent_since;      // we send and hear nothing on slot 0; 0 = not so
	uint32_t selected_id;       // and since when it is what we send on
	uint64_t selected_since;

	struct log_pace refused;                               // what it said and we did not take
	char version[32];                                      // the peer's
	uint64_t rx_direct, rx_relayed, tx_direct, tx_relayed; // bytes
	uint64_t rx_last, tx_last;
	bool relayed; // where what comes on top of them goes
	bool mark;
};

struct conn_iface {
	struct conns *conns;
	struct wg_iface *wg;
	struct ice *ice;
	struct signal_client *signal;
	char *signal_url, *signal_ca;
	bool signal_up;
	bool port_reachable, relay_standby;
	uint8_t public_key[32];       // ours, as it was
	unsigned int relays;          // TURN servers
	struct ice_settings settings; // without its servers
	char *settings_hash;
	GPtrArray *servers; // of struct config_ice_server *, copies
	unsigned int renew; // of credentials made from a secret
	struct pace pace;
	GSequence *timers; // of struct conn *, by due
	GSource *source;
	uint64_t send_refused;
	uint64_t doubted_at; // ms; 0 = never
};

struct conns {
	struct wg *wg;
	struct events *events;
	GPtrArray *ifaces; // of struct conn_iface *
};

// conn.c
struct conn *conn_new(struct conn_iface *ci, struct peer *p);
void conn_free(struct conn *c, bool keep_paths); // keep_paths: objects stay installed, pairs alive
void conn_start(struct conn *c);
void conn_message(struct conn *c, const struct signal_message *m);
void conn_timer_update(struct conn *c); // after each call into fsm.h
void conn_due(struct conn *c, uint64_t now);
void conn_timers_rearm(struct conn_iface *ci);

// conn_iface.c
void conn_iface_doubt(struct conn_iface *ci); // is the signal service still there?

// conn_path.c
int conn_path_keep(uint32_t path_id, const struct ice_path *path, void *conn);
void conn_path_drop(uint32_t path_id, void *conn);
// Before its keep says so; the keep tells when it works again.
void conn_path_give_up(struct conn *c, const struct conn_path *p, const char *why);
void conn_paths_install(void *conn);
void conn_paths_uninstall(struct conn *c);
bool conn_path_recover(struct conn *c); // true: pairs of an earlier straitd go on
struct conn_keep *conn_keep_of(const struct conn *c, const struct conn_path *p);
void conn_bytes(struct conn *c); // by the kind of path they went

extern const struct conn_fsm_ops conn_ops;
