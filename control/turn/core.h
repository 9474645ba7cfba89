// SPDX-License-Identifier: BSD-3-Clause
//
// The TURN server without its sockets: what it knows, what it does with a message of a client, and what it
// installs in the data plane. Listeners give it messages and take its answers; tests do the same.
// Main loop thread only.
//
//   listener -> turn_core_receive -> auth -> request_*.c -> allocation.c -> dp_set ... done -> send
//
// An answer that promises something leaves when the data plane has it on every lcore.
#pragma once

#include "../dp/dp.h"
#include "../stun/stun.h"
#include "auth.h"
#include "config.h"
#include "limits.h"
#include "policy.h"
#include "ports.h"

#include <glib.h>

#include <stdbool.h>
#include <stdint.h>

struct seal;
struct turn_kernel;
struct turn_user;

#define TURN_PERMISSION_S     300 // RFC 8656 section 9
#define TURN_CHANNEL_S        600 // section 12
#define TURN_LIFETIME_S       600 // section 7.2, default
#define TURN_CHANNEL_MIN      0x4000
#define TURN_CHANNEL_MAX      0x4fff
#define TURN_CHANNEL_MAX_5766 0x7ffe
#define TURN_WHEEL_SLOTS      4096 // of a second of timer_scale; no lifetime is longer

enum turn_family {
	TURN_V4,
	TURN_V6,
	TURN_FAMILIES,
};

// A client's 5-tuple. Padding is zero: it is hashed as it is.
struct turn_tuple {
	struct st_addr client, server;
	uint16_t client_port_be, server_port_be;
	uint16_t transport; // enum turn_transport
	uint16_t pad;
	uint32_t stream; // connection of a TCP or TLS client, 0 for UDP
};

struct turn_permission {
	struct st_addr peer;
	uint64_t until_ms;
};

struct turn_channel {
	struct st_addr peer;
	uint16_t peer_port_be;
	uint16_t number;
	uint64_t until_ms;
};

// One relayed transport address of an allocation; a dual allocation has two.
struct turn_relayed {
	bool used;
	struct st_relay_key key; // addr and port
	unsigned int index;      // of its address in the configuration's list
	struct st_addr addr, external;
	uint16_t port;
	uint64_t until_ms;
	struct turn_kernel *kernel; // TCP and TLS clients; NULL: lcores relay
};

struct turn_allocation {
	uint32_t id;
	struct turn_tuple tuple;
	struct turn_identity identity;
	uint8_t tid[STUN_TID_LEN]; // of the Allocate that made it
	uint8_t token[TURN_TOKEN_LEN];
	bool has_token;
	bool installing;      // the answer to its Allocate waits for the data plane
	uint8_t error_family; // of an additional address that could not be had, for ADDRESS-ERROR-CODE
	int error_code;
	uint32_t user_id;       // TURN_USER, 0 = none
	struct turn_user *user; // NULL = none
	int64_t created_wall_s;
	struct turn_relayed relayed[TURN_FAMILIES];
	GArray *permissions; // of struct turn_permission
	GArray *channels;    // of struct turn_channel
	char *source_name;
	GList wheel; // its place in a slot
	unsigned int slot;
	uint64_t icmp_second; // when it was last told of an ICMP error, and how often in that second
	unsigned int icmp_told;
	uint64_t packets[2], bytes[2]; // relayed by us, for TCP and TLS clients
};

// Totals since the start of straitd.
struct turn_stats {
	uint64_t requests[STUN_CHANNEL_BIND + 1]; // by method
	uint64_t successes[STUN_CHANNEL_BIND + 1];
	uint64_t errors[600]; // by code
	uint64_t malformed;
	uint64_t strangers_dropped; // too many of them waited
	uint64_t allocations_made, allocations_ended;
	uint64_t packets_passed_down; // of UDP clients that came by a device that is not ours
	uint64_t stream_packets[2], stream_bytes[2];
	uint64_t kernel_dropped;
	uint64_t icmp_told, icmp_limited; // errors that clients heard of; beyond TURN_ICMP_PER_S
};

struct turn_core {
	struct dp *dp;
	const struct seal *seal;
	const struct turn_config *config;
	struct turn_auth auth;
	struct turn_policy policy;
	struct turn_ports *ports;
	struct turn_buckets replies;                    // to strangers, by source
	struct turn_buckets new_allocations, new_peers; // by user
	struct turn_counts *by_user, *by_source;
	GHashTable *users;      // quota name -> struct turn_user *
	GHashTable *by_tuple;   // struct turn_tuple -> struct turn_allocation
	GHashTable *by_relayed; // struct st_relay_key -> struct turn_allocation
	GHashTable *by_id;
	uint32_t next_id, next_user_id;
	unsigned int by_transport[TURN_TRANSPORTS];
	GQueue wheel[TURN_WHEEL_SLOTS];
	uint64_t wheel_at; // second of the last slot looked at
	bool draining;
	double scale; // lifetimes are divided by it
	struct turn_stats stats;
	// The clocks, set by whoever calls in.
	uint64_t now_ms; // monotonic
	uint32_t boot_s;
	int64_t wall_s;
	void (*send)(const struct turn_tuple *to, const void *data, size_t len, void *arg);
	// A relayed address whose datagrams the kernel carries. NULL of open: only UDP clients.
	struct turn_kernel *(*kernel_open)(
		struct turn_allocation *a, enum turn_family family, void *arg);
	void (*kernel_close)(struct turn_kernel *k, void *arg);
	void *arg;
};

void turn_core_init(struct turn_core *c, struct dp *dp, const struct seal *seal,
	const uint8_t master[TURN_NONCE_KEY], void *arg);
void turn_core_fini(struct turn_core *c);  // what is installed stays
void turn_core_clock(struct turn_core *c); // reads the system's clocks
// The first, or a changed configuration: limits, lists and secrets count at once. Peers and relay addresses
// that are not allowed any more are cut off. config must live until the next call.
void turn_core_apply(struct turn_core *c, const struct turn_config *config);
// Addresses of the box or prefixes of tunnels changed: ends what the policy does not allow any more.
void turn_core_recheck(struct turn_core *c);
// A message of a client: its first byte is below 4 (RFC 8656 section 12). Wrong ones are counted and dropped.
void turn_core_receive(
	struct turn_core *c, const struct turn_tuple *from, const uint8_t *data, size_t len);
// Comprehension-required attributes that this server does not understand; returns how many.
unsigned int turn_unknown(const struct stun_msg *m, uint16_t ret[STUN_UNKNOWN_MAX]);
// Whether it can wait: it comes from a 5-tuple without an allocation and has no nonce that was given to it.
bool turn_core_is_stranger(
	const struct turn_core *c, const struct turn_tuple *from, const uint8_t *data, size_t len);
// Once a second or more often.
void turn_core_tick(struct turn_core *c);
// No configuration any more: sessions end, and what waits for the data plane is not answered.
void turn_core_stop(struct turn_core *c);
// The connection of a TCP or TLS client is gone, and its allocation with it.
void turn_core_client_gone(struct turn_core *c, const struct turn_tuple *tuple);
unsigned int turn_core_allocations(const struct turn_core *c);
uint32_t turn_core_scaled_ms(const struct turn_core *c, uint32_t seconds);

// ---- allocation.c ----------------------------------------------------------------------------------

// Sessions of one user share user_bytes_per_s. While some are on lcores and some in straitd, either has half.
struct turn_user {
	uint32_t id;
	unsigned int on_lcores, in_kernel; // sessions
	struct turn_bytes bytes;           // of those in straitd
};

// Relayed addresses whose time is over end, and the last takes the allocation along: false.
bool turn_allocation_lives(struct turn_core *c, struct turn_allocation *a);
// One that lives, or NULL.
struct turn_allocation *turn_allocation_find(struct turn_core *c, const struct turn_tuple *tuple);
struct turn_allocation *turn_allocation_by_id(struct turn_core *c, uint32_t id);
struct turn_allocation *turn_allocation_by_relayed(
	struct turn_core *c, const struct st_addr *addr, uint16_t port_be);
// Entered in all tables, counted, with nothing installed. id 0: the next one. user_id 0: by identity.
struct turn_allocation *turn_allocation_new(struct turn_core *c, const struct turn_tuple *tuple,
	const struct turn_identity *identity, uint32_t id, uint32_t user_id);
// Gone everywhere at once; its ports go to quarantine.
void turn_allocation_free(struct turn_core *c, struct turn_allocation *a);
// addr and port are set.
void turn_relayed_enter(struct turn_core *c, struct turn_allocation *a, enum turn_family family);
void turn_relayed_drop(struct turn_core *c, struct turn_allocation *a, enum turn_family family);
// Puts it where the wheel will look at it next; call after each change of a deadline.
void turn_allocation_schedule(struct turn_core *c, struct turn_allocation *a);
// With strict_expiry at most what the credential has left, in seconds of timer_scale.
uint32_t turn_identity_lifetime(
	const struct turn_core *c, const struct turn_identity *identity, uint32_t lifetime);
// Relayed addresses that live longer than that end when it does.
void turn_allocation_shorten(struct turn_core *c, struct turn_allocation *a);
struct turn_relayed *turn_allocation_for(struct turn_allocation *a, const struct st_addr *peer);

// The time a permission or channel of this peer lives on; NULL when there is none or it is over.
struct turn_permission *turn_permission_find(
	struct turn_core *c, struct turn_allocation *a, const struct st_addr *peer);
struct turn_channel *turn_channel_by_number(
	struct turn_core *c, struct turn_allocation *a, uint16_t number);
struct turn_channel *turn_channel_by_peer(struct turn_core *c, struct turn_allocation *a,
	const struct st_addr *peer, uint16_t port_be);
// Forgets those that are over, so that they do not count.
void turn_permissions_expire(struct turn_core *c, struct turn_allocation *a);
// It is there, or one more is within the limit. Forgets those that are over.
bool turn_permission_fits(struct turn_core *c, struct turn_allocation *a, const struct st_addr *peer);
bool turn_channel_fits(struct turn_core *c, struct turn_allocation *a, uint16_t number);
// New or anew; what fits.
void turn_permission_put(struct turn_core *c, struct turn_allocation *a, const struct st_addr *peer);
void turn_channel_put(struct turn_core *c, struct turn_allocation *a, const struct st_addr *peer,
	uint16_t port_be, uint16_t number);
// Ends permissions and channels that the policy does not allow.
void turn_allocation_recheck(struct turn_core *c, struct turn_allocation *a);

// ---- install.c: objects of the data plane ----------------------------------------------------------

// Nothing to do for a relayed address of the kernel: done is called later, all the same.
void turn_install_relay(struct turn_core *c, struct turn_allocation *a, enum turn_family family,
	dp_done done, void *arg);
void turn_install_permission(struct turn_core *c, struct turn_allocation *a,
	const struct turn_permission *p, dp_done done, void *arg);
void turn_install_channel(struct turn_core *c, struct turn_allocation *a,
	const struct turn_channel *ch, dp_done done, void *arg);
void turn_install_user(struct turn_core *c, const struct turn_user *user);
// Bytes per second, or of a burst, that either side of a user's sessions may use of the whole.
uint64_t turn_user_share(const struct turn_user *user, uint64_t whole);
void turn_remove_user(struct turn_core *c, uint32_t user_id);
// Of the configuration; old is the one before, or NULL.
void turn_install_denied_ports(struct turn_core *c, const struct turn_config *old);
// The relay with all that hangs on it.
void turn_remove_relay(struct turn_core *c, struct turn_allocation *a, enum turn_family family);
void turn_remove_permission(struct turn_core *c, struct turn_allocation *a,
	const struct turn_permission *p, bool expired);
void turn_remove_channel(struct turn_core *c, struct turn_allocation *a,
	const struct turn_channel *ch, bool expired);

// ---- recover.c: what an earlier straitd installed ----------------------------------------------------

struct turn_recovered;

struct turn_recovered *turn_recovered_new(void);
void turn_recovered_free(struct turn_recovered *r);
void turn_recovered_add(struct turn_recovered *r, const struct dp_item *item);
// Makes allocations of it, as far as the configuration still has their addresses and ports. Returns how many.
unsigned int turn_recovered_take(struct turn_recovered *r, struct turn_core *c);

// The control blob of a RELAY. Returns its length; 0 = it does not fit.
uint16_t turn_blob_save(const struct turn_core *c, const struct turn_allocation *a,
	const struct st_relay_key *key, uint8_t *out, size_t size);
