// SPDX-License-Identifier: BSD-3-Clause
//
// A gateway without devices for the suites of dataplane/: EAL, tables, two lcores played by the calling
// thread, and ring ports from which the test takes what was sent. Packets are pushed into stage rx.
//
//	LAN 10.0.0.1/24 (if 1) -- lcores -- WAN 192.0.2.1 (if 2), WireGuard wg0 (if 3) port 51820
//	peer 7 at 198.51.100.9:4500 or 2001:db8:9::9, allowed 10.9.0.0/16 and fd09::/16
#pragma once

#include "lcore.h"
#include "packet.h"
#include "stage.h"
#include "tables/iface.h"
#include "tables/peer.h"

#include <CUnit/Basic.h>
#include <rte_mbuf.h>

#include <stdbool.h>
#include <stdint.h>

#define RIG_LAN       1
#define RIG_WAN       2
#define RIG_WG        3
#define RIG_PEER      7
#define RIG_PORT      51820
#define RIG_PEER_PORT 4500
#define RIG_WAN_V4    0xc0000201 // 192.0.2.1
#define RIG_PEER_V4   0xc6336409 // 198.51.100.9
#define RIG_LAN_V4    0x0a000001 // 10.0.0.1
#define RIG_LAN_HOST  0x0a000005
#define RIG_FAR_HOST  0x0a090005 // 10.9.0.5, behind the peer
#define RIG_INDEX     0x11223344 // ours
#define RIG_REMOTE    0x55667788 // the peer's

enum rig_device { // DPDK ports
	RIG_DEV_LAN,
	RIG_DEV_LAN_TAP,
	RIG_DEV_WAN,
	RIG_DEV_WAN_TAP,
	RIG_DEV_TUN,
	RIG_DEVS,
};

struct rig {
	struct rte_mempool *pool;
	uint32_t pool_size;
	struct peer *peer;
	uint8_t to_peer[32], from_peer[32]; // keys by direction
};
extern struct rig rig;
extern struct st_ev_trace rig_trace; // the last one delivered
extern unsigned int rig_traces;
extern unsigned int rig_captures_ended;

struct rig_told { // the last event for the controller
	unsigned int count;
	uint16_t event, blob_len;
	_Alignas(8) uint8_t body[ST_MSG_MAX];
	uint8_t blob[ST_MSG_MAX];
};
extern struct rig_told rig_told;

int rig_init(const char *aead);
// With a packet pool like strait-dp's: a cache per lcore and, where there are some free, hugepages.
int rig_init_bench(const char *aead, uint32_t channels);
void rig_fini(void);
// A fresh peer with its endpoint; no session.
void rig_peer(bool ipv6);
void rig_key(uint32_t index, uint32_t role); // KEY object; installed by the owner's next pass
void rig_gone(void);                         // removes the peer and waits until it is freed

// Packets. Lengths are of the whole IP packet.
struct rte_mbuf *rig_udp4(uint32_t src, uint32_t dst, uint16_t sport, uint16_t dport, uint32_t len);
struct rte_mbuf *rig_udp6(const char *src, const char *dst, uint16_t dport, uint32_t len);
// What the peer sends: inner encrypted under counter, in an outer datagram. Takes inner (may be NULL:
// keepalive), padded to 16.
struct rte_mbuf *rig_seal(struct rte_mbuf *inner, uint32_t index, uint64_t counter, bool ipv6);
// Opens what was sent to the peer; the inner packet is in *m then. False: it is not a valid data packet.
bool rig_open(struct rte_mbuf *m, uint64_t *ret_counter);
void rig_fix_ipv4(struct rte_mbuf *m, uint32_t off); // header checksum
void rig_fix_udp4(struct rte_mbuf *m, uint32_t off);
void rig_ether(struct rte_mbuf *m, uint16_t if_id); // frame for our MAC of that interface

// As received on if_id by lcore id.
void rig_rx(uint16_t lcore, uint16_t if_id, struct rte_mbuf *m);
void rig_rx_host(uint16_t lcore, uint16_t if_id, struct rte_mbuf *m);
void rig_pass(uint16_t lcore);       // one pass now
void rig_passes(unsigned int n);     // of both lcores, with main's polling in between
void rig_skip(unsigned int seconds); // lets the lcores' clock jump ahead, for good
unsigned int rig_take(enum rig_device dev, struct rte_mbuf **m, unsigned int max);
struct rte_mbuf *rig_take_one(enum rig_device dev); // NULL unless exactly one was sent
uint64_t rig_drops(enum st_drop why);               // since the last call of rig_reset
uint64_t rig_drops_all(void);
bool rig_event(uint32_t event, struct lcore_event *ret); // next of this kind from any lcore
void rig_reset(void);                                    // counters, events and devices emptied
bool rig_pool_full(void);

struct rig_test {
	const char *name;
	void (*run)(void);
};
int rig_main(const char *suite, const struct rig_test *tests, size_t n);
