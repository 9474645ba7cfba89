// SPDX-License-Identifier: BSD-3-Clause
//
// Ports of the relay addresses: who has one, which were given back a moment ago (quarantine, so that a late
// datagram of an old peer does not meet a new client), and which wait for their RESERVATION-TOKEN. Choice is
// by the system's random generator (RFC 6056, RFC 8656 section 7.2). Main loop thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TURN_QUARANTINE_MS  5000
#define TURN_RESERVATION_MS 30000
#define TURN_TOKEN_LEN      8

struct turn_ports;

enum turn_even {
	TURN_EVEN_ANY,     // any port
	TURN_EVEN_PORT,    // an even one
	TURN_EVEN_RESERVE, // an even one, and the next is held for a token
};

struct turn_ports *turn_ports_new(unsigned int addresses, uint16_t min, uint16_t max);
void turn_ports_free(struct turn_ports *p);
// A free port of address index, or 0. With TURN_EVEN_RESERVE the one above is held until
// now_ms + reservation_ms for ret_token.
uint16_t turn_ports_take(struct turn_ports *p, unsigned int address, enum turn_even even,
	uint64_t now_ms, uint32_t reservation_ms, uint8_t ret_token[TURN_TOKEN_LEN]);
// The port that a token holds. False: unknown or over.
bool turn_ports_redeem(struct turn_ports *p, const uint8_t token[TURN_TOKEN_LEN], uint64_t now_ms,
	unsigned int *ret_address, uint16_t *ret_port);
// An allocation of an earlier straitd has it. False: it is taken, or out of the range.
bool turn_ports_claim(struct turn_ports *p, unsigned int address, uint16_t port);
// A port that an earlier process reserved, until until_ms. False if somebody has it.
bool turn_ports_reserve(struct turn_ports *p, unsigned int address, uint16_t port,
	uint64_t until_ms, const uint8_t token[TURN_TOKEN_LEN]);
// Back, after the quarantine.
void turn_ports_put(struct turn_ports *p, unsigned int address, uint16_t port, uint64_t now_ms,
	uint32_t quarantine_ms);
// Ends quarantines and reservations; also done by take and redeem.
void turn_ports_tick(struct turn_ports *p, uint64_t now_ms);
unsigned int turn_ports_unused(const struct turn_ports *p, unsigned int address);
unsigned int turn_ports_total(const struct turn_ports *p);
