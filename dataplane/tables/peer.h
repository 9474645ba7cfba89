// SPDX-License-Identifier: BSD-3-Clause
//
// Peers, their keypairs and endpoints.
//
// Ownership. Each peer has an owner lcore. The owner alone touches the slots, the replay windows and the
// staging queue; wg_accept and staging run there. Any lcore may seal with the current keypair (its send
// counter is atomic) and open with any keypair (the keys never change). The owner gives a peer away
// between two passes by a release store to `owner`; packets that reach the old owner later are
// forwarded by it. main creates and frees, and asks the owner by command for everything else.
#pragma once

#include "../../crypto/messages.h"
#include "../../crypto/replay.h"
#include "../api/st_api.h"

#include <rte_common.h>
#include <rte_mbuf.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct keypair {
	uint8_t send_key[NOISE_KEY_LEN]; // ro after install; wiped when freed
	uint8_t recv_key[NOISE_KEY_LEN];
	uint32_t index; // ours
	uint32_t remote_index;
	struct peer *peer;
	uint64_t birth, expiry; // TSC; expiry = birth + REJECT_AFTER_TIME
	uint64_t rekey_at;      // TSC: birth + 120 s for an initiator, UINT64_MAX for a responder
	uint64_t rekey_rx_at;   // TSC: birth + 165 s for an initiator, likewise
	bool initiator;
	_Atomic bool rekey_asked; // lcore: rw (relaxed); one REKEY_DUE per keypair from sending
	bool rekey_rx_asked;      // owner: rw
	_Atomic uint64_t send_counter __rte_cache_aligned; // lcore: rw, relaxed fetch_add
	struct replay replay __rte_cache_aligned;          // owner: rw
};

#define ENDPOINT_TURN_MAX 48 // a Send indication to an IPv6 peer

// Immutable; replaced whole.
struct endpoint {
	struct st_endpoint ep;
	uint8_t header[48]; // prebuilt outer IP + UDP header, lengths and checksums 0; 28 or 48 bytes
	uint8_t udp_off;    // of the UDP header
	uint8_t header_len; // all that stands in front of WireGuard's message, a TURN header included
	bool ipv6;
	uint16_t link; // interface of a link-local remote, else 0
	bool moved;    // put there by an lcore; reported until straitd has set it
	// Behind the UDP header when the kind is CHANNEL, lengths 0: a ChannelData header, or a Send
	// indication up to its DATA attribute's value.
	uint8_t turn_len;
	uint8_t turn[ENDPOINT_TURN_MAX];
	uint32_t tuple; // the same as long as a slot 0 is replaced by one with the same tuple
	// Both as rte_raw_cksum gives them: words as they stand in memory, folded.
	uint16_t ip_csum_base;  // sum of the IPv4 header's constant words, folded, not inverted
	uint16_t udp_csum_base; // sum of pseudo header and ports, without lengths
};

// Per (peer, lcore); that lcore writes, main reads (relaxed).
struct peer_counts {
	uint64_t rx_bytes, rx_packets, tx_bytes, tx_packets;
	uint64_t data_sent, any_sent, data_received, any_received; // TSC of the last one, 0 = never
} __rte_cache_aligned;

struct peer {
	uint32_t id;
	uint16_t if_id;
	_Atomic uint16_t owner;           // lcore id; the owner: wo (release), others: ro (acquire)
	struct keypair *_Atomic slots[3]; // ST_SLOT_*; owner: wo (release), lcore: ro (acquire)
	const struct endpoint *_Atomic endpoint; // slot 0: where we send; main and owner: exchange, lcore: ro
	struct endpoint *_Atomic spare; // for the next move; main makes it, the owner takes it
	const struct endpoint *_Atomic retired; // what a move replaced; the owner puts it, main frees it
	_Atomic bool dead;                 // main: wo. Unlinked; nothing may be staged any more
	_Atomic uint32_t activity_pending; // an ACTIVITY event is on its way; lcore sets, main clears
	struct peer_main *main;            // main only: keys, commands, what was reported
	// owner only
	struct rte_mbuf *staged_head, *staged_tail; // through packet_of(m)->next
	uint16_t staged;                            // main: ro (relaxed)
	uint16_t handoff_from;                      // lcore whose handed-off packets came last ...
	uint32_t handoff_run;     // ... and how many in a row without one of another source
	uint64_t key_asked;       // TSC of the last KEY_NEEDED
	struct peer *staged_next; // in its owner's list of peers with staged packets
	struct st_addr seen_local,
		seen_remote; // last ENDPOINT_SEEN reported, to report each change once
	uint16_t seen_port_be;
	uint64_t seen_stamp;
	// The last authenticated packet on the tuple of slot 0: TSC, and which tuple that was (release).
	// main: ro
	_Atomic uint64_t selected_stamp;
	_Atomic uint32_t selected_tuple;
	// Slots 1..: tuples that are listened to. main: wo, lcore: ro
	const struct endpoint *_Atomic listened[ST_ENDPOINT_SLOTS - 1];
	struct peer_counts counts[]; // one per lcore
} __rte_cache_aligned;

// ---- look-ups on lcores ----
// Receiver indices to keypairs, NULL where unknown. n <= 64. rte_hash with lock-free readers.
void keypair_lookup_bulk(const uint32_t *indices, unsigned int n, struct keypair **ret);

// ---- the peer's owner ----
// An authenticated packet came from remote to that address of ours, in the family and by the port of slot 0,
// which is `from`: answers go there and come from here, before straitd has heard of it. NULL: not now,
// straitd will do it.
const struct endpoint *endpoint_move(struct peer *peer, const struct endpoint *from,
	const struct st_addr *local, const struct st_addr *remote, uint16_t remote_port_be);

// ---- main only ----
int peer_set(const void *body, const void *old);
void peer_del(const void *body);
int allowed_ip_set(const void *body, const void *old);
void allowed_ip_del(const void *body);
int endpoint_set(const void *body, const void *old);
void endpoint_del(const void *body);
void endpoint_spare(struct peer *peer);      // after a move: the owner may move the peer once more
void endpoint_spare_free(struct peer *peer); // nobody sees the peer any more
// TSC of the last authenticated packet on the tuple of slot 0 as it is now; 0 = never.
uint64_t endpoint_selected_stamp(struct peer *peer);
int key_set(const void *body, const void *old); // -EEXIST for a known index
void key_del(const void *body);
struct peer *peer_by_id(uint32_t peer_id);
// Passes *cursor along the peers (begin with 0); NULL at the end.
struct peer *peer_next(uint32_t *cursor);
// Sums over the lcores; the times are TSC stamps of the newest, 0 = never.
void peer_counts_sum(const struct peer *peer, struct peer_counts *ret);
int peer_tables_init(void);
void peer_tables_fini(void); // lcores have stopped and objects are gone
int keypair_tables_init(void);
void keypair_tables_fini(void);

// What main alone knows about a peer. keypair.c owns keys, command.c the queue, activity.c the rest.
#define PEER_KEYS_MAX 8 // three in slots, others on their way out
struct command;
struct peer_main {
	struct keypair *keys[PEER_KEYS_MAX];
	struct command *cmd_head, *cmd_tail; // one at a time is with the owner
	uint8_t dirty;                       // turns left in which its counters are looked at
	uint64_t seen[4]; // newest stamps reported: data sent, any sent, data received, any received
};
