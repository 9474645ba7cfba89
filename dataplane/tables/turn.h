// SPDX-License-Identifier: BSD-3-Clause
//
// The tables of the TURN relay (RFC 8656): users, allocations (RELAY), permissions, channels. main
// creates, links and frees through the object handlers; lcores look up under QSBR and compare expiries
// with their own clock, so that an entry that main has not removed yet does nothing. A refresh changes
// the expiry in place.
//
// An allocation of a TCP or TLS client (ST_RELAY_F_CONTROL) stands in turn_relays only, where its port is
// found to be the kernel's; its permissions and channels are kept for the dump.
#pragma once

#include "../api/st_api.h"
#include "turn_hash.h"

#include <rte_byteorder.h>
#include <rte_common.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define TURN_USERS_MAX    65536
#define TURN_RELAYS_MAX   65536
#define TURN_CHANNELS_MAX 65536 // unless --turn-channels says otherwise; of permissions as well

#define TURN_DENY_PORTS_MAX 64

// A token bucket as a moment that lies the further ahead the more was sent: bytes cost time, and what
// would end later than `burst` from now is refused, unless nothing is owed. Lcores share it by compare
// and swap, so that over any time t all of them together pass at most burst_bytes (or one datagram, if
// that is larger) + t * bytes_per_s.
struct turn_bucket {
	_Atomic uint64_t until; // TSC; lcore: rw
	_Atomic uint64_t cost;  // TSC per byte, << TURN_COST_SHIFT; 0 = no limit; main: wo
	_Atomic uint64_t burst; // TSC; main: wo
};
#define TURN_COST_SHIFT 20

struct turn_user {
	struct turn_key key; // user_id
	struct turn_bucket bucket;
	uint32_t relays; // main: allocations that point here
	bool dead;       // main: no object any more, lives for its allocations
} __rte_cache_aligned;

// Of one lcore, which writes; main reads (relaxed) and sets `limited`.
struct turn_relay_counts {
	uint64_t packets[2], bytes[2], dropped[2]; // by ST_TURN_TO_*
	uint64_t stamp;                            // TSC of the last packet relayed, 0 = never
	_Atomic uint64_t limited; // has a bucket, its own or its user's; main: wo, lcore: ro
};
_Static_assert(sizeof(struct turn_relay_counts) == RTE_CACHE_LINE_SIZE, "one line");

// Where packets to one destination leave, as the lcore found it last: see stages/turn_way.h.
typedef _Atomic uint64_t turn_way_cache;

struct turn_relay {
	struct turn_key key; // relayed address, port
	uint32_t alloc_id;
	uint32_t flags;                 // ST_RELAY_F_*
	turn_way_cache to_client;       // lcore: rw
	struct turn_user *_Atomic user; // main: wo, lcore: ro; NULL = none
	struct turn_key client; // client, server, ports, family of the relayed address: turn_client_key
	struct turn_bucket bucket;
	struct turn_permission *permissions;                   // main
	uint32_t nb_permissions, nb_channels;                  // main: objects
	uint32_t user_id;                                      // main
	struct turn_relay_counts counts[] __rte_cache_aligned; // one per lcore
} __rte_cache_aligned;

// There is one for each peer address that has a PERMISSION or a CHANNEL; without PERMISSION it has expired.
struct turn_permission {
	struct turn_key key;     // relayed address, peer address, relayed port
	_Atomic uint64_t expiry; // TSC; main: wo, lcore: ro
	struct turn_relay *relay;
	turn_way_cache to_peer;              // lcore: rw
	struct turn_channel *channels;       // main
	struct turn_permission *prev, *next; // main: of the relay
	bool object;                         // main: there is a PERMISSION
} __rte_cache_aligned;

// Two lines: the way from the client needs the first and the second's key, the way from the peer both.
struct turn_channel {
	struct turn_key c2p; // client, server, ports, number
	struct turn_relay *relay;
	_Atomic uint64_t expiry;    // TSC; main: wo, lcore: ro
	turn_way_cache to_peer;     // lcore: rw
	struct turn_key p2c;        // relayed address, peer, ports
	_Atomic uint64_t permitted; // expiry of the permission; main: wo, lcore: ro
	turn_way_cache to_client;   // lcore: rw
	struct turn_channel *next;  // main: of the permission
} __rte_cache_aligned;
_Static_assert(sizeof(struct turn_channel) == 2 * RTE_CACHE_LINE_SIZE, "two lines");

struct turn_tables {
	struct turn_hash relays;      // by relayed address and port
	struct turn_hash clients;     // relays by the client's 5-tuple
	struct turn_hash permissions; // by relayed address and port, peer address
	struct turn_hash c2p, p2c;    // channels
};
extern struct turn_tables turn_tables; // main: wo, lcore: ro

// ---- keys: what the hashes compare, and where a packet's new addresses are taken from ----

static inline void turn_key_addrs(
	struct turn_key *k, const struct st_addr *first, const struct st_addr *second)
{
	memcpy(&k->w[0], first, sizeof(*first));
	memcpy(&k->w[2], second, sizeof(*second));
}

static inline const struct st_addr *turn_key_first(const struct turn_key *k)
{
	return (const void *)&k->w[0];
}

static inline const struct st_addr *turn_key_second(const struct turn_key *k)
{
	return (const void *)&k->w[2];
}

static inline uint64_t turn_ports(uint16_t first_be, uint16_t second_be, uint16_t number)
{
	return first_be | (uint64_t)second_be << 16 | (uint64_t)number << 32;
}

// The address of a v4 packet is v4-mapped.
static inline bool turn_addr_is_ipv4(const struct st_addr *a)
{
	uint64_t w[2];

	memcpy(w, a, sizeof(w));
	return w[0] == 0 && (uint32_t)w[1] == 0xffff0000U;
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "bytes 8..11 are 00 00 ff ff");

static inline void turn_client_key(struct turn_key *k, const struct st_addr *client,
	uint16_t client_port_be, const struct st_addr *server, uint16_t server_port_be,
	bool relay_ipv6)
{
	turn_key_addrs(k, client, server);
	k->w[4] = turn_ports(client_port_be, server_port_be, relay_ipv6);
}

static inline void turn_relay_key(struct turn_key *k, const struct st_addr *relay, uint16_t port_be)
{
	memcpy(&k->w[0], relay, sizeof(*relay));
	k->w[2] = k->w[3] = 0;
	k->w[4] = port_be;
}

static inline void turn_permission_key(struct turn_key *k, const struct st_addr *relay,
	uint16_t port_be, const struct st_addr *peer)
{
	turn_key_addrs(k, relay, peer);
	k->w[4] = port_be;
}

// ---- ports of peers ----
#define TURN_DENIED_WORDS (65536 / 64)
extern _Atomic uint64_t turn_denied_ports[TURN_DENIED_WORDS]; // a bit each; main: wo, lcore: ro

static inline bool turn_port_denied(uint16_t port_be)
{
	uint16_t port = rte_be_to_cpu_16(port_be);

	return atomic_load_explicit(&turn_denied_ports[port / 64], memory_order_relaxed) >> port % 64 &
	       1;
}

static inline bool turn_live(const _Atomic uint64_t *expiry, uint64_t now)
{
	return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)expiry, memory_order_relaxed) >
	       now;
}

// lcore. Takes len bytes out of the buckets of the allocation and its user, or out of neither: false.
bool turn_police(struct turn_relay *relay, uint64_t now, uint32_t len);

// ---- main: object handlers ----
int turn_user_set(const void *body, const void *old);
void turn_user_del(const void *body);
int turn_relay_set(const void *body, const void *old);
void turn_relay_del(const void *body);
int turn_permission_set(const void *body, const void *old);
void turn_permission_del(const void *body);
int turn_channel_set(const void *body, const void *old);
void turn_channel_del(const void *body);
int turn_deny_ports_set(const void *body, const void *old);
void turn_deny_ports_del(const void *body);
// lcores.nb must be known. For as many channels, and as many peer addresses.
int turn_tables_init(uint32_t channels);
void turn_tables_fini(void); // lcores have stopped and objects are gone
uint64_t turn_tables_bytes(void);

// ---- main: between the files of the tables ----
struct turn_relay *turn_relay_find(const struct st_relay_key *key);
struct turn_user *turn_user_find(uint32_t user_id);
void turn_user_put(struct turn_user *user); // one allocation less points to it; NULL is allowed
struct turn_permission *turn_permission_find(struct turn_relay *relay, const struct st_addr *peer);
// Found or made (without a PERMISSION object: expired); NULL when there is no memory.
struct turn_permission *turn_permission_get(struct turn_relay *relay, const struct st_addr *peer);
void turn_permission_tidy(struct turn_permission *perm); // goes if nothing needs it any more
void turn_bucket_set(struct turn_bucket *b, uint64_t bytes_per_s, uint64_t burst_bytes);
uint64_t turn_expiry(void); // of the object being SET, in TSC; UINT64_MAX = never
void turn_relay_key_of(const struct turn_relay *relay, struct st_relay_key *ret);
// For STAT_RELAY: sums over the lcores.
void turn_relay_stat(const struct turn_relay *relay, struct st_stat_relay *ret);
int turn_users_init(void);
void turn_users_fini(void);
int turn_relays_init(void);
void turn_relays_fini(void);
int turn_permissions_init(uint32_t max);
void turn_permissions_fini(void);
int turn_channels_init(uint32_t max);
void turn_channels_fini(void);
uint64_t turn_relays_bytes(void);
uint64_t turn_permissions_bytes(void);
uint64_t turn_channels_bytes(void);
