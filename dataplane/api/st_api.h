// SPDX-License-Identifier: BSD-3-Clause
//
// The contract between straitd (control) and strait-dp (data plane).
//
// Transport: AF_UNIX SOCK_SEQPACKET. One datagram is one message: struct st_msg, then body_len bytes
// of a fixed-width struct, then blob_len bytes of control blob. Integers are in host order (both ends
// are on one machine), addresses and ports inside objects are in network order where the name says
// "be". An IPv4 address is carried v4-mapped (::ffff:a.b.c.d), so no struct has a v4-only address.
//
// Who may send what: one CONTROLLER (straitd) may do everything; any number of OBSERVERS (straitctl)
// may only DUMP, TRACE and CAPTURE. The role is asked for in HELLO and checked against SO_PEERCRED.
//
// Objects. Each kind is a match-action entry: the body struct begins with its key, named ..._key, which
// is memcmp-able (no implicit padding anywhere; every pad must be 0). SET is idempotent and replaces
// the whole object. The reply to SET or DEL is sent when every lcore has seen the change. New kinds get
// new numbers; an existing struct never changes within one ST_API_VERSION.
//
// Expiry is relative, in ms, counted by the data plane's own clock from receipt; 0 means never.
//
// Control blob: up to ST_BLOB_MAX bytes that the data plane keeps with the object, never reads, and
// returns in DUMP. It is how straitd remembers things over its own restart.
#pragma once

#include <stdint.h>

#define ST_API_VERSION 2
#define ST_SOCKET_NAME "dp.sock" // in the run directory, /run/strait by default
#define ST_BLOB_MAX    1024
#define ST_MSG_MAX     12288 // no datagram is larger
#define ST_NAME_MAX    16    // IFNAMSIZ: interface names, NUL-terminated

#define ST_MAX_IFACES   256   // ports and WireGuard interfaces share one id space, 1..255; 0 = none
#define ST_MAX_PEERS    65536 // peer ids are dense, 0..ST_MAX_PEERS-1, chosen by straitd
#define ST_MAX_NEXTHOPS 8
#define ST_NO_PEER      UINT32_MAX

// ---- header --------------------------------------------------------------------------------------

enum st_op {
	ST_OP_HELLO = 1, // both ways; body st_hello. Must be first; anything else before it: EPROTO
	ST_OP_SET = 2,   // kind, body, blob. fd by SCM_RIGHTS for ST_SOCKET and ST_CAPTURE
	ST_OP_DEL = 3,   // kind, body = key only
	ST_OP_DUMP = 4,  // kind; answered by ST_OP_ITEM..., then ST_OP_REPLY
	ST_OP_ITEM = 5,  // one dumped object (seq of the DUMP); fd by SCM_RIGHTS for ST_SOCKET
	ST_OP_SYNC_BEGIN = 6, // mark every object but KEY, SOCKET
	ST_OP_SYNC_END = 7,   // remove what is still marked
	ST_OP_KEEPALIVE = 8,  // body st_peer_key: send one empty data packet under the current key
	ST_OP_PACKET_OUT = 9, // body st_packet_io + datagram as blob (blob_len up to ST_PACKET_MAX)
	ST_OP_REPLY = 10,     // answer to a request: same seq, status 0 or -errno
	ST_OP_EVENT = 11,     // kind is an enum st_event; seq 0
	ST_OP_STAGED_DROP = 12, // body st_peer_key: drop what waits for a session
};

struct st_msg {
	uint16_t op;        // enum st_op
	uint16_t kind;      // enum st_kind, or enum st_event for ST_OP_EVENT
	uint32_t seq;       // chosen by the requester, echoed in replies; 0 for events
	int32_t status;     // replies: 0 or -errno
	uint16_t body_len;  // bytes of body
	uint16_t blob_len;  // bytes of blob behind the body
	uint32_t expiry_ms; // SET: 0 = never. ITEM: what is left, 0 = never
	uint32_t pad;
};

#define ST_ROLE_OBSERVER   0
#define ST_ROLE_CONTROLLER 1

struct st_hello {
	uint32_t version; // ST_API_VERSION; a mismatch is answered with -EPROTONOSUPPORT and a close
	uint32_t role;    // ST_ROLE_*
	uint64_t instance; // reply: random per start of strait-dp, tells a restart from a reconnect
	uint64_t uptime_ms; // reply
	uint32_t lcores;    // reply: number of packet lcores
	uint32_t pid;       // reply
	char aead[32];      // reply: name of the AEAD backend in use
	char version_text[32];
};

enum st_kind {
	// objects: SET, DEL, DUMP, swept by SYNC
	ST_PORT = 1,
	ST_WGIF = 2,
	ST_ADDR = 3,
	ST_ROUTE = 4,
	ST_RULE = 5,
	ST_NEIGH = 6,
	ST_PORTMAP = 7,
	ST_PEER = 8,
	ST_ALLOWED_IP = 9,
	ST_ENDPOINT = 10,
	// objects with rules of their own
	ST_KEY = 11,     // installed once, never swept; DUMP gives st_key without key bytes
	ST_SOCKET = 12,  // a parked descriptor; never swept
	ST_TRACE = 13,   // observer: sample packets; lives as long as the connection
	ST_CAPTURE = 14, // observer: pcapng to the passed fd; lives as long as the connection
	// the TURN relay: SET, DEL, DUMP, swept by SYNC
	ST_TURN_USER = 15,
	ST_RELAY = 16,
	ST_PERMISSION = 17,
	ST_CHANNEL = 18,
	ST_TURN_DENY_PORTS = 19,
	// read-only: DUMP
	ST_STAT_PEER = 64,
	ST_STAT_KEYPAIR = 65,
	ST_STAT_IFACE = 66,
	ST_STAT_STAGE = 67,
	ST_STAT_DROP = 68,
	ST_STAT_LCORE = 69,
	ST_STAT_POOL = 70,
	ST_STAT_RELAY = 71,
	ST_STAT_TURN = 72,
	ST_STAT_STALL = 73,
};

// ---- addresses -----------------------------------------------------------------------------------

struct st_addr {
	uint8_t b[16]; // IPv6, or v4-mapped IPv4; network order
};

struct st_prefix {
	struct st_addr addr; // host bits are 0
	uint8_t plen;        // counted in 128 bits: an IPv4 /24 is 120, 0.0.0.0/0 is 96
	uint8_t pad[3];
};

// ---- PORT: an Ethernet port and the host device paired with it ------------------------------------

struct st_port_key {
	uint32_t if_id;
};

#define ST_PORT_F_GUARD 0x1 // install the netdev ingress drop on guard_if (AF_PACKET and AF_XDP)

struct st_port {
	struct st_port_key key;
	char name[ST_NAME_MAX]; // as in the config
	char devargs[256]; // DPDK device string: "0000:03:00.0", "net_af_packet,iface=eth1", ...
			   // for a vdev without an instance number strait-dp appends the if_id
	char host_name[ST_NAME_MAX]; // persistent tap that exists already; "" = no host side
	char guard_if[ST_NAME_MAX];  // raw interface that the kernel must not hear, "" = none
	uint8_t mac[6];              // all zero: keep the device's own
	uint16_t mtu;                // IP MTU
	uint16_t rx_queues;          // 0 = as many as lcores, at most what the device has
	uint16_t tx_queues;          // likewise
	uint16_t ring_size;          // descriptors per queue, 0 = default
	uint16_t pad0;
	uint32_t flags; // ST_PORT_F_*
	uint32_t pad1;
};

// ---- WGIF: a WireGuard interface and the TUN paired with it ----------------------------------------

struct st_wgif_key {
	uint32_t if_id;
};

struct st_wgif {
	struct st_wgif_key key;
	char name[ST_NAME_MAX];
	char host_name[ST_NAME_MAX]; // persistent TUN that exists already; "" = no host side
	uint16_t mtu;                // inner MTU, 1420 by default
	uint16_t listen_port_be; // of ports that are ST_OWNER_WIREGUARD, data for its keypairs is taken on this one
	uint16_t mss_clamp; // 1: clamp TCP MSS to the MTU in both directions
	uint16_t pad;
};

// ---- ADDR: an address of an interface (source of ICMP errors) --------------------------------------

struct st_addr_key {
	uint32_t if_id;
	struct st_addr addr;
};

struct st_ifaddr {
	struct st_addr_key key;
	uint8_t plen; // in 128 bits
	uint8_t pad[3];
};

// ---- ROUTE, RULE: mirror of the kernel's tables ----------------------------------------------------

enum st_route_action {
	ST_ROUTE_UNICAST = 1,
	ST_ROUTE_LOCAL = 2,       // to the host device of the interface it came in on
	ST_ROUTE_BROADCAST = 3,   // likewise
	ST_ROUTE_BLACKHOLE = 4,   // drop
	ST_ROUTE_UNREACHABLE = 5, // drop, ICMP host unreachable / no route
	ST_ROUTE_PROHIBIT = 6,    // drop, ICMP administratively prohibited
	ST_ROUTE_THROW = 7,       // next rule
};

struct st_route_key {
	uint32_t table;
	struct st_prefix dst;
};

struct st_nexthop {
	uint32_t if_id;         // 0: not one of ours, forwarded packets get unreachable
	struct st_addr gateway; // all zero: on link
	uint16_t weight;        // 1..256
	uint16_t pad;
};

struct st_route {
	struct st_route_key key;
	uint8_t action; // enum st_route_action
	uint8_t nb_nexthops;
	uint16_t mtu; // 0: the interface's
	struct st_nexthop nexthops[ST_MAX_NEXTHOPS];
};

struct st_rule_key {
	uint32_t priority;
	uint16_t family; // AF_INET, AF_INET6
	uint16_t seq;    // order among rules of one priority
};

#define ST_RULE_F_INVERT 0x1

enum st_rule_action {
	ST_RULE_TABLE = 1,
	ST_RULE_BLACKHOLE = 2,
	ST_RULE_UNREACHABLE = 3,
	ST_RULE_PROHIBIT = 4,
	ST_RULE_NEVER = 5, // selects something no forwarded packet has (mark, uid, oif, l3mdev)
};

struct st_rule {
	struct st_rule_key key;
	struct st_prefix src; // plen 0 = any (of the family)
	struct st_prefix dst;
	uint32_t iif; // 0 = any
	uint32_t table;
	uint32_t flags;
	int16_t suppress_plen; // drop a result whose prefix is this long or shorter (family's bits); -1 = off
	uint8_t action;   // enum st_rule_action
	uint8_t ip_proto; // 0 = any
	uint8_t tos;      // 0 = any
	uint8_t pad[3];
	// UDP, TCP, SCTP, DCCP ports, inclusive; 0..0: any. A later fragment matches no port.
	uint16_t sport_lo_be, sport_hi_be;
	uint16_t dport_lo_be, dport_hi_be;
};

// ---- NEIGH -----------------------------------------------------------------------------------------

struct st_neigh_key {
	uint32_t if_id;
	struct st_addr addr;
};

struct st_neigh {
	struct st_neigh_key key;
	uint8_t mac[6];
	uint16_t pad;
};

// ---- PORTMAP: who owns a UDP port of this box ------------------------------------------------------

enum st_portmap_owner {
	ST_OWNER_KERNEL = 0,    // what is not in the map
	ST_OWNER_WIREGUARD = 1, // WireGuard and ICE; lcores take type 4, the rest goes to the socket
	// A socket of ours towards a TURN server. Lcores take WireGuard data out of ChannelData and Data
	// indications; the rest goes to the socket as it came.
	ST_OWNER_TURN_CLIENT = 2,
	// Clients of our TURN server. Lcores take ChannelData, Send indications and plain Binding
	// requests; other STUN goes to the socket, the rest is dropped (RFC 8656 section 12). Of what goes to
	// the socket, messages of clients that have a RELAY bear ST_TURN_KNOWN_DSCP, and no others do.
	ST_OWNER_TURN_LISTEN = 3,
	// Relayed transport addresses. A datagram without a RELAY object is dropped.
	ST_OWNER_RELAY = 4,
	// A port that one WireGuard peer has for itself (ICE with a port per peer): as WIREGUARD, for data of
	// any interface's keypair.
	ST_OWNER_PEER = 5,
};

#define ST_TURN_KNOWN_DSCP 48 // CS6

// Of entries that overlap on a port the narrowest range counts, of equally narrow ones the last SET.
struct st_portmap_key {
	struct st_addr addr; // an exact local address; straitd expands wildcards
	uint32_t if_id;      // of a link-local address, else 0
	uint16_t port_lo_be;
	uint16_t port_hi_be; // inclusive
};

struct st_portmap {
	struct st_portmap_key key;
	uint32_t owner; // enum st_portmap_owner
};

// ---- PEER, ALLOWED_IP, ENDPOINT, KEY ---------------------------------------------------------------

struct st_peer_key {
	uint32_t peer_id;
};

struct st_peer {
	struct st_peer_key key;
	uint32_t if_id; // of its WGIF
	uint8_t public_key[32];
	char name[64]; // for people; straitctl capture peer NAME
	uint32_t flags;
	uint32_t pad;
};

struct st_allowed_ip_key {
	uint32_t if_id;
	struct st_prefix prefix;
};

struct st_allowed_ip {
	struct st_allowed_ip_key key;
	uint32_t peer_id; // an identical prefix moves to the new peer
};

enum st_endpoint_kind {
	ST_ENDPOINT_DIRECT = 1,  // UDP out of a port of ours
	ST_ENDPOINT_CONTROL = 2, // by PACKET_IN to straitd, which sends it with its socket
	// Our candidate is a relay: the datagram goes to the TURN server at `remote`, in ChannelData when
	// channel is not 0, else in a Send indication to relay_peer.
	ST_ENDPOINT_CHANNEL = 3,
};

// Authenticated packets from elsewhere are no reason to move: no ENDPOINT_SEEN for tuples that another
// slot of the peer names; for others it is sent, and straitd decides (ICE: only nomination moves us).
#define ST_ENDPOINT_F_NOMINATED 0x1

#define ST_ENDPOINT_SLOTS 4 // per peer

struct st_endpoint_key {
	uint32_t peer_id;
	uint32_t slot; // 0: where we send. 1..: validated tuples beside it, which are only listened to
};

struct st_endpoint {
	struct st_endpoint_key key;
	struct st_addr local; // source address, never unspecified
	struct st_addr remote;
	struct st_addr nexthop; // gateway, or remote when on link; its MAC comes from NEIGH
	uint16_t local_port_be;
	uint16_t remote_port_be;
	uint32_t if_id;    // egress: a port, or a WireGuard interface (tunnel in a tunnel)
	uint16_t path_mtu; // outer IP MTU; larger outer packets are fragmented
	uint8_t kind;      // enum st_endpoint_kind
	uint8_t pad;
	struct st_addr relay_peer; // CHANNEL: the peer's address as the TURN server sees it, else zeros
	uint16_t relay_peer_port_be;
	uint16_t channel; // CHANNEL: 0x4000..0x4fff, or 0: not bound yet
	uint32_t flags;   // ST_ENDPOINT_F_*
};

struct st_key_key {
	uint32_t index; // our receiver index, as in the packets (host order of the LE32)
};

#define ST_KEY_RESPONDER 0
#define ST_KEY_INITIATOR 1 // becomes current at once; staged packets or a keepalive go out

// SET only with a new index: a known one is -EEXIST. straitd wipes its copy on the reply.
struct st_key {
	struct st_key_key key;
	uint32_t peer_id;
	uint32_t remote_index;
	uint32_t role;        // ST_KEY_*
	uint8_t send_key[32]; // zero in a DUMP
	uint8_t recv_key[32]; // zero in a DUMP
};

// ---- TURN_USER, RELAY, PERMISSION, CHANNEL: the TURN relay (RFC 8656) -------------------------------
//
// straitd answers the STUN messages; what it granted is installed here before its answer leaves.
// Expiry is the header's expiry_ms: a refresh is a SET of the same object, which changes the expiry in
// place. Deleting a RELAY deletes its PERMISSIONs and CHANNELs.

struct st_turn_user_key {
	uint32_t user_id; // chosen by straitd, 1..
};

// A token bucket shared by the allocations of a user, both directions counted together. When it is
// deleted, its allocations go on without a limit of the user.
struct st_turn_user {
	struct st_turn_user_key key;
	uint32_t pad;
	uint64_t bytes_per_s; // of UDP payload; 0 = no limit
	uint64_t burst_bytes;
};

struct st_relay_key {
	struct st_addr relay; // the relayed transport address, as bound here (before external_ip)
	uint16_t relay_port_be;
	uint16_t pad;
};

#define ST_RELAY_F_CONTROL                                                                         \
	0x1 // client by TCP or TLS: the port belongs to a kernel socket of straitd

// An allocation. The client's 5-tuple is (client, server, UDP). Two of different families may share it
// (dual allocation), others are refused with -EEXIST. A SET with another client, server, alloc_id or flag
// is a new allocation: permissions and channels of the old one go.
struct st_relay {
	struct st_relay_key key;
	uint32_t alloc_id; // chosen by straitd, for people and for STAT_RELAY
	uint32_t user_id;  // 0: no bucket of a user; an unknown one is -ENOENT
	uint32_t flags;    // ST_RELAY_F_*
	struct st_addr client, server;
	uint16_t client_port_be, server_port_be;
	uint32_t pad;
	uint64_t bytes_per_s; // of this allocation; 0 = no limit
	uint64_t burst_bytes;
};

// RFC 8656 section 9: by IP address alone.
struct st_permission_key {
	struct st_relay_key relay;
	struct st_addr peer;
};

struct st_permission {
	struct st_permission_key key;
};

// RFC 8656 section 12. Client to peer needs the channel alone, peer to client the permission as well;
// without a channel that lives but with a permission a peer's datagram becomes a Data indication.
struct st_channel_key {
	struct st_relay_key relay;
	struct st_addr peer;
	uint16_t peer_port_be;
	uint16_t pad;
};

struct st_channel {
	struct st_channel_key key;
	uint16_t number; // 0x4000..0x7ffe
	uint16_t pad;
};

// ---- TURN_DENY_PORTS: ports of peers that nobody may reach through the relay ------------------------

// Both ends are in it. Send indications to such a port, and datagrams from it that would become Data
// indications, are dropped; that no channel leads there is straitd's decision.
struct st_turn_deny_ports_key {
	uint16_t port_lo_be, port_hi_be;
};

struct st_turn_deny_ports {
	struct st_turn_deny_ports_key key;
};

// ---- SOCKET: a descriptor parked over a restart of straitd -----------------------------------------

struct st_socket_key {
	uint32_t socket_id;
};

struct st_socket {
	struct st_socket_key key;
	char purpose[60]; // straitd's own name for it
};

// ---- TRACE, CAPTURE --------------------------------------------------------------------------------

struct st_trace_key {
	uint32_t id;
};

// Trace every one_in-th packet entering on if_id (0 = any) until count were taken.
struct st_trace {
	struct st_trace_key key;
	uint32_t if_id;
	uint32_t count;
	uint32_t one_in;
};

struct st_capture_key {
	uint32_t id;
};

// if_id: a port (packets as on the wire) or a WGIF (inner packets). peer_id narrows a WGIF to one peer.
struct st_capture {
	struct st_capture_key key;
	uint32_t if_id;
	uint32_t peer_id;   // ST_NO_PEER = any
	uint32_t snaplen;   // 0 = whole
	uint64_t max_count; // 0 = until the connection closes
};

// ---- read-only kinds -------------------------------------------------------------------------------

struct st_stat_peer {
	uint32_t peer_id;
	uint32_t owner_lcore;
	uint64_t rx_bytes, tx_bytes; // as wg counts them
	uint64_t rx_packets, tx_packets;
	// Ages in ms, UINT32_MAX = never: what straitd rebuilds its timers from after a restart.
	uint32_t any_received_age_ms;      // authenticated, keepalives included
	uint32_t any_sent_age_ms;          // data packets, keepalives included
	uint32_t data_received_age_ms;     // with payload
	uint32_t data_sent_age_ms;         // likewise
	uint32_t selected_received_age_ms; // authenticated, on the tuple of ENDPOINT slot 0
	uint32_t staged;                   // packets waiting for a session
};

#define ST_SLOT_PREVIOUS 0
#define ST_SLOT_CURRENT  1
#define ST_SLOT_NEXT     2

struct st_stat_keypair {
	uint32_t index;
	uint32_t remote_index;
	uint32_t peer_id;
	uint8_t slot; // ST_SLOT_*
	uint8_t role; // ST_KEY_*
	uint16_t pad;
	uint32_t age_ms;
	uint32_t pad2;
	uint64_t sent;     // next send counter
	uint64_t received; // greatest authenticated counter + 1
};

struct st_stat_iface {
	uint32_t if_id;
	uint32_t is_wg; // 0: port, 1: WireGuard interface
	char name[ST_NAME_MAX];
	char driver[32];
	uint8_t mac[6];
	uint16_t mtu;
	uint32_t link_up;
	uint32_t speed_mbps;
	uint16_t rx_queues, tx_queues;
	uint32_t pad;
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
	uint64_t rx_missed, rx_errors, tx_errors;
	uint64_t host_rx_packets, host_tx_packets; // from and to the host device
};

struct st_stat_stage {
	uint32_t lcore;
	uint32_t stage;
	char name[ST_NAME_MAX];
	uint64_t calls, packets, cycles;
};

struct st_stat_drop {
	uint32_t lcore;
	uint32_t reason;
	char name[32];
	uint64_t packets;
};

struct st_stat_lcore {
	uint32_t lcore; // 0..lcores-1
	uint32_t cpu;
	uint64_t loops, busy_loops, sleeps;
	uint64_t busy_cycles, total_cycles;
	uint64_t handoff_in, handoff_out;
	uint64_t tsc_hz;
};

struct st_stat_pool {
	char name[32];
	uint32_t size, available;
};

#define ST_TURN_TO_PEER   0
#define ST_TURN_TO_CLIENT 1

struct st_stat_relay {
	struct st_relay_key key;
	uint32_t alloc_id;
	uint64_t packets[2], bytes[2]; // by ST_TURN_TO_*, of UDP payload relayed
	uint64_t dropped[2];           // policed, no permission, expired
	uint32_t idle_ms;              // since a packet was relayed; UINT32_MAX = never
	uint32_t permissions, channels;
	uint32_t pad;
};

// Totals of the relay, one item.
struct st_stat_turn {
	uint64_t packets[2], bytes[2];
	uint64_t send_indications, data_indications;
	uint64_t hairpin;
	uint64_t binding_requests, binding_limited;
	uint32_t relays, permissions, channels, users;
};

// An lcore that made no pass for a while, since the start. longest_* are of its longest time: how much of it
// the thread ran and waited for a CPU (the rest it slept), how much the hypervisor took from its CPU, and for
// how long main did not look meanwhile.
struct st_stat_stall {
	uint32_t lcore;
	uint32_t stalls;
	uint64_t total_ms;
	uint32_t longest_ms;
	uint32_t longest_ran_ms, longest_waited_ms, longest_stolen_ms, longest_main_ms;
	uint32_t longest_age_ms;      // since it ended; UINT32_MAX: there was none
	char longest_in[ST_NAME_MAX]; // a stage, "poll", "between" or "sleep"
};

// ---- events (data plane -> controller; TRACE, and EXPIRED of a CAPTURE, go to their observer) ----

enum st_event {
	ST_EV_KEY_NEEDED = 1, // st_ev_peer: packets are staged (or dropped) for want of a session
	ST_EV_KEY_CONFIRMED = 2, // st_ev_key: first authenticated packet on the responder's `next`
	ST_EV_REKEY_DUE = 3,     // st_ev_key: age or message count
	ST_EV_ENDPOINT_SEEN = 4, // st_ev_endpoint: authenticated packet from another tuple
	ST_EV_PEER_ACTIVITY = 5, // st_ev_activity
	ST_EV_NEIGH_NEEDED = 6,  // st_ev_neigh: a packet waits for this neighbour
	ST_EV_EXPIRED = 7, // kind in st_ev_expired; the object is gone. CAPTURE: its file is complete
	ST_EV_OVERRUN = 8,      // st_ev_overrun: events were lost; DUMP what matters
	ST_EV_LINK = 9,         // st_ev_link
	ST_EV_TRACE = 10,       // st_ev_trace
	ST_EV_PACKET_IN = 11,   // st_packet_io, datagram as blob: send it with the peer's socket
	ST_EV_PORT_FAILED = 12, // st_ev_link: a port stopped working
};

struct st_ev_peer {
	uint32_t peer_id;
};

struct st_ev_key {
	uint32_t peer_id;
	uint32_t index;
};

struct st_ev_endpoint {
	uint32_t peer_id;
	uint32_t if_id; // port it came in on
	struct st_addr local;
	struct st_addr remote;
	uint16_t local_port_be;
	uint16_t remote_port_be;
	uint32_t pad;
};

#define ST_ACT_DATA_SENT      0x1 // a data packet with payload went out
#define ST_ACT_KEEPALIVE_SENT 0x2
#define ST_ACT_DATA_RECEIVED  0x4 // authenticated, with payload
#define ST_ACT_ANY_RECEIVED   0x8 // authenticated, keepalives included

// At most one entry per peer and 50 ms. Flags say what happened since the last entry; the ages are
// those of the newest of each, so that timers can be set exactly.
struct st_activity {
	uint32_t peer_id;
	uint32_t flags;
	uint32_t data_sent_age_ms;
	uint32_t data_received_age_ms;
	uint32_t any_received_age_ms;
	uint32_t any_sent_age_ms;
	uint32_t selected_received_age_ms; // authenticated, on the tuple of ENDPOINT slot 0
};

#define ST_ACTIVITY_MAX 64

struct st_ev_activity {
	uint32_t count; // entries that follow; body_len says the same
	uint32_t pad;
	struct st_activity entries[ST_ACTIVITY_MAX];
};

struct st_ev_neigh {
	struct st_neigh_key key;
};

struct st_ev_expired {
	uint32_t kind;
	uint32_t pad;
	uint8_t key[64]; // the object's key, zero-filled
};

struct st_ev_overrun {
	uint64_t lost;
};

struct st_ev_link {
	uint32_t if_id;
	uint32_t up;
};

struct st_trace_hop {
	uint8_t stage;
	uint8_t pad;
	uint16_t drop;   // reason + 1 when it ended here, else 0
	uint32_t tsc_ns; // since rx
	uint32_t iif, oif;
};

#define ST_TRACE_HOPS 24
#define ST_TRACE_SNAP 64

struct st_ev_trace {
	uint32_t id; // st_trace_key
	uint32_t lcore;
	uint64_t seq;
	uint32_t pkt_len;
	uint32_t peer_id; // ST_NO_PEER when none
	uint32_t nb_hops;
	uint32_t snap_len;
	struct st_trace_hop hops[ST_TRACE_HOPS];
	uint8_t snap[ST_TRACE_SNAP]; // first bytes as received
};

#define ST_PACKET_MAX 9216

// A datagram that the kernel cannot carry. OUT enters the classifier as if it had been received from
// `remote` at `local`: straitd received a data packet for an lcore-owned port with its own socket (it
// came over an interface that is not one of ours), or has one for an lcore-owned port of this box. IN is
// the datagram from `local` to `remote`: see ST_ENDPOINT_CONTROL; without a peer it is the relay's. Is
// `remote` a port of straitd's own (the relayed address of a TCP client, WireGuard and ICE), it has been
// received there from the relayed address `local`; else straitd sends it with its socket at `local`.
struct st_packet_io {
	uint32_t peer_id; // IN: ST_NO_PEER from the relay
	uint32_t if_id;   // OUT: 0
	struct st_addr local;
	struct st_addr remote;
	uint16_t local_port_be;
	uint16_t remote_port_be;
	uint32_t pad;
};

// ---- names -----------------------------------------------------------------------------------------

// Drop reasons: name, what it means. The order is part of the ABI; new ones go to the end.
#define ST_DROP_REASONS(X)                                                                         \
	X(rx_short, "frame too short for its headers")                                             \
	X(rx_not_our_mac, "unicast frame for another station")                                     \
	X(rx_bad_ip, "IP header malformed: version, length, header checksum")                      \
	X(rx_vlan, "tagged frame, and no host side to take it")                                    \
	X(rx_port_down, "port is being removed")                                                   \
	X(frag_tiny, "outer fragment too small to be honest")                                      \
	X(frag_overlap, "outer fragment overlaps or exceeds 64 kB")                                \
	X(frag_table_full, "reassembly table or its per-source share is full")                     \
	X(frag_timeout, "fragments of a packet did not all come in time")                          \
	X(udp_bad_length, "UDP length below 8 or beyond the packet")                               \
	X(udp_bad_checksum, "UDP checksum wrong")                                                  \
	X(wg_malformed, "WireGuard data packet below 32 bytes")                                    \
	X(wg_no_session, "receiver index unknown on this port")                                    \
	X(wg_expired, "keypair past REJECT_AFTER_TIME")                                            \
	X(wg_bad_tag, "AEAD tag does not verify")                                                  \
	X(wg_replay, "counter seen before, behind the window, or at its limit")                    \
	X(wg_inner_version, "plaintext is neither IPv4 nor IPv6")                                  \
	X(wg_inner_length, "inner length below its header or beyond the plaintext")                \
	X(wg_not_allowed, "inner source is not an allowed IP of this peer")                        \
	X(wg_no_peer, "inner destination is nobody's allowed IP")                                  \
	X(wg_no_endpoint, "peer has no endpoint")                                                  \
	X(wg_staged_full, "oldest of 128 staged packets, or the global staging cap")               \
	X(wg_staged_timeout, "no session came for staged packets")                                 \
	X(wg_nonce_limit, "keypair sent REJECT_AFTER_MESSAGES")                                    \
	X(wg_peer_removed, "peer was removed with packets under way")                              \
	X(ttl_exceeded, "TTL or hop limit reached 0")                                              \
	X(no_route, "no route to destination")                                                     \
	X(route_blackhole, "blackhole route or rule")                                              \
	X(route_prohibit, "prohibit route or rule")                                                \
	X(route_martian, "source or destination must not be forwarded")                            \
	X(mtu_exceeded, "too big for the next hop, and must not be fragmented")                    \
	X(frag_failed, "could not be fragmented")                                                  \
	X(neigh_unresolved, "no MAC of the next hop came in time")                                 \
	X(neigh_queue_full, "too many packets wait for neighbours")                                \
	X(no_host_device, "for the host, and the interface has no host side")                      \
	X(host_full, "host device did not take it")                                                \
	X(tx_full, "port's transmit ring full")                                                    \
	X(handoff_full, "ring to the owning lcore full")                                           \
	X(no_mbuf, "packet pool empty")                                                            \
	X(loop, "went through this box too often (tunnel in a tunnel, routing loop)")              \
	X(icmp_limited, "ICMP error not sent: rate limit, or none is due for such a packet")       \
	X(iface_down, "outgoing interface is down or gone")                                        \
	X(turn_malformed, "STUN message or ChannelData whose lengths or attributes are wrong")     \
	X(turn_not_turn, "neither STUN nor ChannelData on a port of the TURN server")              \
	X(turn_no_allocation, "relayed address or client without an allocation")                   \
	X(turn_no_channel, "channel number not bound, or its binding expired")                     \
	X(turn_no_permission, "no live permission for this peer")                                  \
	X(turn_policed, "over the byte rate of the allocation or its user")                        \
	X(turn_hairpin, "would pass the relay of this box a second time")                          \
	X(stun_limited, "STUN over the rate of its source, or more than straitd is given")         \
	X(not_synced, "held until straitd has installed everything after a start of strait-dp")    \
	X(turn_denied_port, "port of a peer that the relay must not serve")                        \
	X(host_icmp_limited, "ICMP to this box, more than its kernel is given")                    \
	X(host_options_limited, "IP options or IPv6 extensions, more than the kernel is given")

enum st_drop {
#define X(name, text) ST_DROP_##name,
	ST_DROP_REASONS(X)
#undef X
		ST_DROP_COUNT
};

// Stages, in the order of the table: a packet only ever moves to the right.
#define ST_STAGES(X)                                                                               \
	X(rx)                                                                                      \
	X(reassemble)                                                                              \
	X(classify)                                                                                \
	X(turn_to_peer)                                                                            \
	X(wg_open)                                                                                 \
	X(wg_accept)                                                                               \
	X(route)                                                                                   \
	X(wg_encrypt)                                                                              \
	X(turn_to_client)                                                                          \
	X(l2out)                                                                                   \
	X(punt)                                                                                    \
	X(drop)                                                                                    \
	X(tx)

enum st_stage {
#define X(name) ST_STAGE_##name,
	ST_STAGES(X)
#undef X
		ST_STAGE_COUNT
};
