// SPDX-License-Identifier: BSD-3-Clause
//
// What straitd and strait-ice say to each other. Each shard, a thread of strait-ice with agents of its own,
// has one end of a SOCK_SEQPACKET pair; one datagram is one message: struct ice_msg, then the struct of its
// type, then bytes for ICE_MSG_DATAGRAM. Integers are in host order, addresses and ports in network order,
// an IPv4 address is v4-mapped. Both ends are of one build.
#pragma once

#include <stdint.h>

#define ICE_MSG_VERSION  1
#define ICE_SHARDS       4
#define ICE_FD_FIRST     3 // the first shard's end in strait-ice; the others follow
#define ICE_MSG_ADDRS    32
#define ICE_MSG_RELAYS   8
#define ICE_MSG_CRED     257
#define ICE_MSG_TEXT     520 // TURN user names and passwords (RFC 8489 14.3: 509 bytes)
#define ICE_MSG_DATA_MAX 2048
#define ICE_MSG_MAX      16384

enum ice_msg_type {
	// to strait-ice
	ICE_MSG_NEW = 1,          // ice_msg_new: gathers at once
	ICE_MSG_REMOTE,           // ice_msg_remote
	ICE_MSG_REMOTE_CANDIDATE, // ice_msg_candidate
	ICE_MSG_CLOSE,            // nothing behind; answered by ICE_MSG_CLOSED
	// both ways
	ICE_MSG_DATAGRAM, // ice_msg_datagram, bytes
	// to straitd
	ICE_MSG_READY,           // ice_msg_ready: first message of a shard, agent 0
	ICE_MSG_LOCAL_CANDIDATE, // ice_msg_candidate: of relays only; straitd knows the rest itself
	ICE_MSG_GATHERED,        // ice_msg_status: 0, or -errno when no address could be used
	ICE_MSG_SELECTED,        // ice_msg_selected
	ICE_MSG_FAILED,          // no pair is left; more remote candidates may change that
	ICE_MSG_CLOSED,          // the agent is gone, its number is free
};

struct ice_msg {
	uint16_t type; // enum ice_msg_type
	uint16_t pad;
	uint32_t agent; // chosen by straitd, never used twice within one strait-ice
};

struct ice_msg_addr {
	uint8_t addr[16];
	uint16_t port_be;
	uint16_t pad;
};

struct ice_msg_relay {
	struct ice_msg_addr server; // where the agent's datagrams for it are to be sent to, a name for straitd
	char username[ICE_MSG_TEXT];
	char password[ICE_MSG_TEXT];
};

struct ice_msg_new {
	struct ice_msg head;
	uint32_t controlling;
	uint32_t nb_addrs;
	uint32_t nb_relays;
	uint16_t port_be; // of all host candidates
	uint16_t relay_only;
	struct ice_msg_addr addrs[ICE_MSG_ADDRS]; // port 0
	struct ice_msg_relay relays[ICE_MSG_RELAYS];
	char ufrag[ICE_MSG_CRED];
	char pwd[ICE_MSG_CRED];
	uint8_t pad2[2];
};

struct ice_msg_remote {
	struct ice_msg head;
	char ufrag[ICE_MSG_CRED];
	char pwd[ICE_MSG_CRED];
	uint8_t pad[2];
};

// As in RFC 8445; the numbers of enum ice_type.
#define ICE_MSG_HOST  0
#define ICE_MSG_SRFLX 1
#define ICE_MSG_PRFLX 2
#define ICE_MSG_RELAY 3

struct ice_msg_candidate {
	struct ice_msg head;
	uint32_t type;
	uint32_t priority;
	struct ice_msg_addr addr;
	struct ice_msg_addr base; // of local ones
	char foundation[36];
};

// libnice has one socket per local address, for peers and for TURN servers alike: what the remote is says
// which real socket straitd uses.
struct ice_msg_datagram {
	struct ice_msg head;
	struct ice_msg_addr local;
	struct ice_msg_addr remote;
	uint32_t len; // bytes that follow
};

struct ice_msg_ready {
	struct ice_msg head;
	uint32_t version;
	int32_t self_test; // 0, or -errno: libnice does not go through the shim
};

struct ice_msg_status {
	struct ice_msg head;
	int32_t status;
};

struct ice_msg_selected {
	struct ice_msg head;
	uint32_t local_type;
	uint32_t remote_type;
	struct ice_msg_addr local;
	struct ice_msg_addr base;
	struct ice_msg_addr remote;
};

_Static_assert(sizeof(struct ice_msg_new) <= ICE_MSG_MAX, "one datagram");
