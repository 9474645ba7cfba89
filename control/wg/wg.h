// SPDX-License-Identifier: BSD-3-Clause
//
// WireGuard interfaces of straitd: peers, handshakes, timers, endpoints. The data plane has the
// sessions; this has the identities. Main loop thread; X25519 runs on workers.
#pragma once

#include "../../dataplane/api/st_api.h"

#include <stdbool.h>
#include <stdint.h>

#define WG_UAPI_DIR "/var/run/wireguard" // wg(8) looks there

struct config;
struct cJSON;
struct dp;
struct dp_item;
struct netlink;
struct wg;

struct wg *wg_new(struct dp *dp, struct netlink *nl, const char *run_dir);
// What this box relays itself: datagrams to such an address, which the kernel would keep, go through the
// data plane. inside makes the relay address of what only a NAT in front calls ours.
void wg_set_own_relay(struct wg *wg,
	bool (*is_own_relay)(const struct st_addr *addr, uint16_t port_be, void *arg),
	void (*inside)(struct st_addr *addr, uint16_t port_be, void *arg), void *arg);
void wg_free(struct wg *wg); // this end only: what is in the data plane goes on
// Applies the difference to what is there; unchanged peers keep their sessions. Interface
// ids come from ids.h. 0 or -errno with *ret_error: peers are as they were where the system refuses a port or mark.
// c must live until the next call or wg_free.
int wg_apply(struct wg *wg, const struct config *c, char **ret_error);
// After wg_apply, when nobody else refused that configuration: the overlay is noted against it. Before that the
// former configuration and its overlay can come back.
void wg_config_settled(struct wg *wg);
// That one is about to be freed, though it was refused.
void wg_config_gone(struct wg *wg, const struct config *c);
// Next to a living data plane straitd starts in this order: wg_new, wg_dp_connected, items, wg_apply,
// wg_dp_recovered, wg_dp_synced. Without one, wg_apply comes first and the rest when it appears.
// Wire these to dp_ops, netlink_on_change and netlink_on_addrs.
void wg_dp_connected(struct wg *wg, bool new_instance);
void wg_dp_item(struct wg *wg, const struct dp_item *item);
void wg_dp_recovered(struct wg *wg);
void wg_dp_synced(struct wg *wg); // dp_ops.synced: the wanted objects are in, handshakes may start
void wg_dp_event(struct wg *wg, uint16_t event, const void *body, uint16_t len, const void *blob,
	uint16_t blob_len);
void wg_routes_changed(struct wg *wg);
void wg_addrs_changed(struct wg *wg, const struct st_addr_key *addrs, unsigned int n);
// The overlay of what wg(8) changed, as an array "changes".
void wg_overlay_status(struct wg *wg, struct cJSON *into);
int wg_overlay_drop(struct wg *wg, char **ret_error); // back to the configuration file
// For the admin socket: arrays "interfaces" and "peers" (docs/operations.md shows the fields).
void wg_status(struct wg *wg, struct cJSON *into);
