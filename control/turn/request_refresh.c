// SPDX-License-Identifier: BSD-3-Clause
//
// Refresh (RFC 8656 section 7.3). Main loop thread.
#include "request.h"

// Which of the two relayed addresses it is about.
static int chosen(const struct turn_request *r, bool ret[TURN_FAMILIES])
{
	struct stun_attr f = stun_attr(r->msg, STUN_ATTR_REQUESTED_ADDRESS_FAMILY);
	bool all = !f.at;

	if (!all && f.len != 4)
		return 400;
	ret[TURN_V4] = r->alloc->relayed[TURN_V4].used && (all || f.at[0] == STUN_FAMILY_V4);
	ret[TURN_V6] = r->alloc->relayed[TURN_V6].used && (all || f.at[0] == STUN_FAMILY_V6);
	return ret[TURN_V4] || ret[TURN_V6] ? 0 : 443;
}

static void end(struct turn_request *r, const bool which[TURN_FAMILIES])
{
	struct turn_allocation *a = r->alloc;

	for (int f = 0; f < TURN_FAMILIES; f++) {
		if (which[f])
			turn_relayed_drop(r->core, a, f);
	}
	if (!a->relayed[TURN_V4].used && !a->relayed[TURN_V6].used)
		turn_allocation_free(r->core, a);
	else
		turn_allocation_schedule(r->core, a);
}

int turn_request_refresh(struct turn_request *r)
{
	uint32_t lifetime = TURN_LIFETIME_S;
	bool which[TURN_FAMILIES];
	struct turn_later *later;
	uint8_t buf[STUN_MAX];
	struct stun_out o;
	int code;

	if (!r->alloc)
		return 437;
	code = chosen(r, which);
	if (code)
		return code;
	if (stun_find_u32(r->msg, STUN_ATTR_LIFETIME, &lifetime) && lifetime)
		lifetime = MAX(TURN_LIFETIME_S, MIN(lifetime, r->core->config->max_lifetime_s));
	if (lifetime)
		lifetime = turn_identity_lifetime(r->core, &r->alloc->identity, lifetime);
	turn_reply_begin(&r->reply, &o, buf);
	stun_add_u32(&o, STUN_ATTR_LIFETIME, lifetime);
	if (!lifetime) {
		end(r, which);
		turn_reply_send(r->core, &r->reply, &o);
		return 0;
	}
	later = turn_later_new(r->core, &r->reply, &o);
	for (int f = 0; f < TURN_FAMILIES; f++) {
		if (!which[f])
			continue;
		r->alloc->relayed[f].until_ms =
			r->core->now_ms + turn_core_scaled_ms(r->core, lifetime);
		turn_later_expect(later);
		turn_install_relay(r->core, r->alloc, f, turn_later_done, later);
	}
	turn_allocation_schedule(r->core, r->alloc);
	turn_later_close(later);
	return 0;
}
