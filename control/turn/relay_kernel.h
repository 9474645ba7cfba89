// SPDX-License-Identifier: BSD-3-Clause
//
// Relayed addresses of TCP and TLS clients: UDP sockets of the kernel, read and written here under the same
// rules as the lcores keep for others (RFC 8656 sections 11 and 12). Main loop thread. What goes to an
// address that lcores own on this very box, or comes from one, passes by PACKET_OUT and PACKET_IN.
#pragma once

#include "core.h"

struct turn;
struct turn_kernel;

// A socket on the address and port of this family; NULL: not to be had.
struct turn_kernel *turn_kernel_open(struct turn_allocation *a, enum turn_family family, void *turn);
void turn_kernel_close(struct turn_kernel *k, void *turn);
// ChannelData or a Send indication of a client. False: it is neither, and a matter of turn_core.
bool turn_kernel_from_client(
	struct turn *t, const struct turn_tuple *from, const uint8_t *frame, size_t len);
// A datagram from an address of this box to a relayed one. False: the latter is not ours.
bool turn_kernel_packet_in(
	struct turn *t, const struct st_packet_io *io, const void *data, uint16_t len);
