// SPDX-License-Identifier: BSD-3-Clause
//
// struct signal_message to and from the protobuf Body inside the box. Pure functions.
#pragma once

#include "signal_client.h"

#include <stddef.h>
#include <stdint.h>

struct body; // a decoded Body; owns the strings of its message

// Writes at most SIGNAL_BODY_MAX bytes; returns their number, or -EMSGSIZE, -EINVAL.
int body_encode(uint8_t out[SIGNAL_BODY_MAX], const struct signal_message *m);
// NULL: no Body, or a string that is not UTF-8, or a session id of another length than 5.
struct body *body_decode(const uint8_t *plain, size_t len);
// peer is left zero. The type may be one that enum signal_type doesn't name.
const struct signal_message *body_message(const struct body *b);
struct signal_message *body_message_edit(struct body *b); // to fill in the peer
void body_free(struct body *b);
