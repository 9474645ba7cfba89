// SPDX-License-Identifier: BSD-3-Clause
//
// The configuration: one JSON document, comments allowed, read once into this struct. Everything is
// checked before anything starts; the first error names file, path in the document, what was found and
// what is allowed. docs/config.md is the schema. Immutable after config_load.
#pragma once

#include "../../dataplane/api/st_api.h"
#include "../turn/config.h"

#include <glib.h>

#include <stdbool.h>
#include <stdint.h>

struct config_dataplane {
	char *lcores;    // CPU list of the packet lcores, "0,1"
	int main_cpu;    // CPU of the data plane's main thread, -1 = not pinned
	char *hugepages; // "auto", "yes", "no"
	uint32_t memory_mb;
	uint32_t packets; // mbufs in the pool
	bool adaptive;    // idle: "adaptive" or "poll"
	char *aead;       // "auto", "ipsec_mb", "sodium"
};

struct config_route {
	struct st_prefix to;
	struct st_addr via; // all zero = on link
	char *dev;          // NULL = by via
	uint32_t table;     // 254
	uint32_t metric;
};

enum config_driver {
	DRIVER_PCI,
	DRIVER_AF_PACKET,
	DRIVER_AF_XDP,
	DRIVER_MEMIF,
	DRIVER_TAP,
	DRIVER_RING,
	DRIVER_NULL,
	DRIVER_PCAP,
	DRIVER_DEVARGS,
};

struct config_port {
	char *name; // also the host device's name
	enum config_driver driver;
	char *devargs;  // complete, as st_port wants it
	char *guard_if; // raw interface for AF_PACKET, AF_XDP; else NULL
	bool host;      // pair with a tap (default true)
	uint8_t mac[6];
	bool has_mac;
	uint16_t mtu, rx_queues, tx_queues, ring_size;
	GPtrArray *addresses; // of struct config_address *
};

struct config_address {
	struct st_addr addr;
	struct st_prefix prefix;
};

struct config_peer {
	char *name; // unique over the document; the base64 key when not given
	uint8_t public_key[32];
	uint8_t preshared_key[32];
	bool has_preshared_key;
	char *endpoint_host; // NULL = waits for the peer
	uint16_t endpoint_port;
	uint16_t keepalive;  // seconds, 0 = off
	GArray *allowed_ips; // of struct st_prefix
	bool ice;            // its endpoint is found by ICE
};

struct config_ice_server {
	char *url; // stun:, stuns:, turn:, turns:
	bool turn;
	char *username, *password; // of turn and turns; NULL when there is a secret
	char *secret;              // shared with the server; users are made of it for a time
};

struct config_ice {
	GPtrArray *servers;             // of struct config_ice_server *
	GPtrArray *nat_external_ips;    // of text, NULL = none
	GPtrArray *interface_blacklist; // of text, NULL = the default one
	bool disable_ipv6_discovery;
	bool port_reachable; // anybody's datagram to listen_port gets here
	bool port_per_peer;  // "port_mode"
	bool relay_standby;  // beside a direct path a relayed one is kept, between strait gateways
};

struct config_wg {
	char *name;
	uint8_t private_key[32]; // locked memory, wiped by config_free
	uint16_t listen_port;
	uint32_t fwmark;
	uint16_t mtu;
	bool mss_clamp;
	bool route_allowed_ips; // put routes of allowed IPs on the TUN (default true), as wg-quick does
	uint32_t table;         // for those routes, 254 by default
	char *signal_url;       // of the signal service, NULL = none
	char *signal_ca;        // PEM file, NULL = the system's
	struct config_ice ice;
	GPtrArray *addresses;           // of struct config_address *
	GPtrArray *peers;               // of struct config_peer *
	struct config_peer *peer_block; // locked memory that holds them all
};

struct config {
	char *file;
	char *run_dir; // /run/strait
	char *group;   // may use the admin socket
	struct config_dataplane dataplane;
	GPtrArray *ports;         // of struct config_port *
	GPtrArray *wgs;           // of struct config_wg *
	GPtrArray *routes;        // of struct config_route *
	struct turn_config *turn; // NULL = no relay
	double timer_scale; // hidden knob of the tests: all WireGuard times divided by this; 1
};

// NULL on failure; *ret_error is then a complete message to print (free with g_free).
struct config *config_load(const char *file, char **ret_error);
struct config *config_parse(const char *file, const char *text, char **ret_error); // tests, fuzzing
void config_free(struct config *c); // wipes keys; NULL is a no-op
void config_ice_server_free(void *server);
void config_secret_free(char *text); // wipes; NULL is a no-op
// The routing table that an allowed IP's route goes to: a default route of an interface with a mark goes
// to the table of that number, so that it does not meet the box's own in the main table.
uint32_t config_wg_table(const struct config_wg *w, const struct st_prefix *to);
// The command line of strait-dp for this document: "--lcores 0,1 --idle adaptive ...".
char *config_dp_args(const struct config *c);
