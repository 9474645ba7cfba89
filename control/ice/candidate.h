// SPDX-License-Identifier: BSD-3-Clause
//
// The two texts of NetBird's signal messages: candidates as pion writes them (RFC 8839 section 5.1 without
// "candidate:"), and "ufrag:pwd" of an offer or answer. No state.
#pragma once

#include "ice.h"

#define ICE_CANDIDATE_MAX  512 // longer lines are refused unread
#define ICE_FOUNDATION_MAX 32  // RFC 8839; libnice's limit as well

struct ice_candidate {
	enum ice_type type;
	struct st_addr addr;
	uint16_t port_be;
	uint32_t priority;
	char foundation[ICE_FOUNDATION_MAX + 1];
	struct st_addr related; // all zero = none; raddr
	uint16_t related_port_be;
};

// 0; -EMSGSIZE too long; -EINVAL not the grammar, or a component other than 1; -EPROTONOSUPPORT not UDP ("udp4" and "udp6" are);
// -EADDRNOTAVAIL a name (mDNS), multicast, loopback, unspecified, port 0. Unknown extensions are skipped.
int ice_candidate_parse(struct ice_candidate *ret, const char *text);
// Into ICE_CANDIDATE_MAX bytes.
void ice_candidate_print(char out[ICE_CANDIDATE_MAX], const struct ice_candidate *c);
// Foundation as NetBird makes it: the CRC-32 of type, base address and "udp4" or "udp6", in decimal.
void ice_candidate_foundation(struct ice_candidate *c, const struct st_addr *base);
// RFC 8445 5.1.2.1, type preferences as NetBird's; local preference by rank, 0 the best.
uint32_t ice_candidate_priority(enum ice_type type, unsigned int rank);
// Datagrams may go there: no multicast, loopback, unspecified or broadcast address.
bool ice_address_usable(const struct st_addr *a);
// 0, -ENOTSUP: ":" alone, a peer that does no ICE, or -EINVAL. *ret is filled, or left.
int ice_credentials_parse(struct ice_credentials *ret, const char *text);
// 4 to 256 (ufrag) or 22 to 256 (pwd) characters of ALPHA / DIGIT / "+" / "/".
bool ice_credentials_valid(const char *ufrag, const char *pwd);
