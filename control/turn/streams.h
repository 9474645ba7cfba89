// SPDX-License-Identifier: BSD-3-Clause
//
// Clients that come by TCP or TLS: listeners, connections with their limits and deadlines, and the framing of
// RFC 8656 section 3 (STUN by its length, ChannelData padded to 4). Main loop thread.
#pragma once

#include "core.h"

struct turn;
struct turn_streams;
struct turn_tls;

#define TURN_HANDSHAKE_S 10   // to end a TLS handshake in
#define TURN_BARE_S      30   // without an allocation, whatever it says meanwhile
#define TURN_BARE_FRAME  4096 // longest message of one without an allocation: none of ours is longer
#define TURN_OUT_MAX                                                                               \
	(256u << 10) // unsent bytes of a connection; data beyond is dropped, as UDP would

struct turn_streams *turn_streams_new(struct turn *t);
void turn_streams_free(struct turn_streams *s);
// Opens and closes listeners; connections go on, and new ones get the new certificate. 0 or -errno.
int turn_streams_apply(struct turn_streams *s, const struct turn_config *c, char **ret_error);
void turn_streams_close_all(struct turn_streams *s);
// An answer, or data for a client. False: dropped.
bool turn_streams_send(
	struct turn_streams *s, const struct turn_tuple *to, const void *data, size_t len);
void turn_streams_tick(struct turn_streams *s); // deadlines
unsigned int turn_streams_count(const struct turn_streams *s);
