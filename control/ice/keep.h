// SPDX-License-Identifier: BSD-3-Clause
//
// Nominated pairs, as the other files of this folder see them; see ice.h.
#pragma once

#include "ice_internal.h"

struct ice_wheel *ice_wheel_new(struct ice *ice);
void ice_wheel_free(struct ice_wheel *w);
// An authentic check of the peer of a keep; turn: it came through that relay.
void ice_keep_stun(struct ice_owner *o, const struct wg_datagram *d, const struct stun_msg *m,
	struct turn_client *turn);
// True: it answers a check of a keep, or pretends to.
bool ice_keeps_answer(struct ice *ice, const struct wg_datagram *d, const struct stun_msg *m,
	struct turn_client *turn);
void ice_keeps_port_changed(struct ice *ice, uint16_t before_be); // what was the shared port
void ice_keeps_park(struct ice *ice);                             // the data plane is there again
void ice_keeps_detach(struct ice *ice);                           // straitd ends
