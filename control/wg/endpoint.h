// SPDX-License-Identifier: BSD-3-Clause
//
// Where a peer is: its configured host and port, the address it was last seen at, the address of ours it
// talks to (sticky source), and the ENDPOINT object made of it with the kernel's answer to how a datagram
// would get there. Names are resolved in the background. Main loop thread; it never sends a packet.
#pragma once

#include "../../dataplane/api/st_api.h"

#include <gio/gio.h>

#include <stdbool.h>
#include <stdint.h>

struct dp;
struct netlink;

#define ENDPOINT_HOST_MAX 255

struct endpoint;

// What ICE nominated: the tuple is given, the kernel is asked for the way there alone. Nothing that arrives
// moves it.
#define ENDPOINT_PIN_BLOB_MAX (ST_BLOB_MAX - 20)
struct endpoint_pin {
	struct st_addr local, remote, relay_peer; // as of struct st_endpoint
	uint16_t local_port_be, remote_port_be, relay_peer_port_be, channel;
	uint16_t kind; // enum st_endpoint_kind
	uint16_t blob_len;
	uint8_t blob[ENDPOINT_PIN_BLOB_MAX]; // kept with the object
};

// A name got an address (changed), or was asked for in vain.
typedef void (*endpoint_resolved)(struct endpoint *e, bool changed, void *arg);

struct endpoint {
	struct st_addr remote;
	struct st_addr local;    // sticky source, all zero = the kernel's choice
	char scope[ST_NAME_MAX]; // interface of a link-local remote, "" = none is known
	uint16_t port_be;
	bool known;  // remote is valid
	bool roamed; // remote was learnt from a packet, not from the config
	char *host;  // as configured; NULL = none
	uint16_t host_port;
	int error;                // why there is no ENDPOINT object, -errno; 0 = fine
	uint32_t slot;            // of the peer's; 0 = where we send
	struct endpoint_pin *pin; // NULL: configured or learnt

	GCancellable *resolving;
	guint retry;
	unsigned int failures;
	endpoint_resolved resolved;
	void *resolved_arg;

	bool installed; // body is wanted of the data plane
	struct st_endpoint body;
	bool held; // body.nexthop is a managed neighbour
};

// What is the same for all endpoints of an interface.
struct endpoint_env {
	struct dp *dp;
	struct netlink *nl;
	uint32_t if_id; // of the WireGuard interface
	uint32_t fwmark;
	uint16_t port; // its listen port, 0 = not open yet
	bool (*is_tunnel)(uint32_t if_id, void *arg);
	void *arg;
};

// Where an authenticated packet came from.
struct endpoint_from {
	struct st_addr remote;
	struct st_addr local; // of ours, that it was sent to
	uint16_t remote_port_be;
	const char *scope; // interface of a link-local remote, else ""
};

void endpoint_init(struct endpoint *e, endpoint_resolved resolved, void *arg);
void endpoint_fini(struct endpoint *e);
// NULL host: nothing configured; what is known stays. Numeric hosts are known at once and replace what a
// packet taught; names are asked for. The same host and port again change nothing. A link-local address
// bears its interface: fe80::1%wan.
void endpoint_configure(struct endpoint *e, const char *host, uint16_t port);
// Asks for the name again, if there is one and no question is under way.
void endpoint_resolve(struct endpoint *e);
// An authenticated packet came from there. True: something changed.
bool endpoint_seen(struct endpoint *e, const struct endpoint_from *from);
void endpoint_clear_source(struct endpoint *e);
// The device that datagrams to a link-local remote must leave by; 0: it has none, or is not link-local.
unsigned int endpoint_ifindex(const struct endpoint *e);
// Asks the kernel for the way and sets the ENDPOINT object to it, or deletes it. 0 or -errno.
int endpoint_install(struct endpoint *e, const struct endpoint_env *env, uint32_t peer_id);
void endpoint_uninstall(struct endpoint *e, const struct endpoint_env *env, uint32_t peer_id);
// To that tuple; NULL: to none, what was pinned is forgotten. The next install follows.
void endpoint_pin(struct endpoint *e, const struct endpoint_pin *pin);
// As the data plane has it from an earlier straitd.
void endpoint_recover_pinned(struct endpoint *e, const struct endpoint_env *env,
	const struct st_endpoint *body, const struct endpoint_pin *pin);
// The pin's blob within an ENDPOINT's, NULL: it was not pinned.
const uint8_t *endpoint_pin_blob(const void *blob, uint16_t blob_len, uint16_t *ret_len);
// What the data plane had from an earlier straitd. False: it does not fit what is configured now.
bool endpoint_recover(struct endpoint *e, const struct endpoint_env *env,
	const struct st_endpoint *body, const void *blob, uint16_t blob_len);
const char *endpoint_error_text(int error);
