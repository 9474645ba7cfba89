// SPDX-License-Identifier: BSD-3-Clause
//
// Checks of the peer on a nominated pair and from elsewhere: answers, role conflicts (RFC 8445 7.3), and when
// the peer is followed. Main loop thread.
#include "keep_internal.h"

static bool on_path(
	const struct ice_keep *k, const struct wg_datagram *d, const struct turn_client *turn)
{
	return (turn != NULL) == k->path.relayed &&
	       ice_same(&d->remote, d->remote_port_be, &k->path.remote, k->path.remote_port_be) &&
	       (turn || addr_is_zero(&d->local) ||
		       (!memcmp(&d->local, &k->path.local, sizeof(d->local)) &&
			       keep_way_back(k, d, NULL).local_port_be == k->path.local_port_be));
}

static void respond(struct ice_keep *k, const struct wg_datagram *d, const struct stun_msg *m,
	struct turn_client *turn, int error)
{
	const char *pwd = k->path.ours.pwd;
	struct way back = keep_way_back(k, d, turn);
	uint8_t buf[256];
	struct stun_out o;
	size_t len;

	stun_begin(&o, buf, sizeof(buf), STUN_BINDING | (error ? STUN_ERROR : STUN_SUCCESS),
		stun_tid(m));
	if (error)
		stun_add_error(&o, error, "Role Conflict");
	else
		stun_add_address(&o, STUN_ATTR_XOR_MAPPED_ADDRESS, &d->remote, d->remote_port_be);
	len = stun_end(&o, pwd, strlen(pwd), true);
	(void)keep_send_to(k, &back, buf, len);
}

// RFC 8445 7.3.1.1. False: the peer has to change its role, and is told.
static bool roles_agree(struct ice_keep *k, const struct stun_msg *m)
{
	uint64_t theirs;
	bool same = stun_find_u64(m,
		k->path.controlling ? STUN_ATTR_ICE_CONTROLLING : STUN_ATTR_ICE_CONTROLLED, &theirs);

	if (!same)
		return true;
	k->ice->counters.role_conflicts++;
	if ((k->tie_breaker >= theirs) == k->path.controlling)
		return false;
	k->path.controlling = !k->path.controlling;
	return true;
}

// Of the pairs of one attempt that whose way it came; from elsewhere, the newest that can answer.
static struct ice_keep *keep_for(
	struct ice_keep *newest, const struct wg_datagram *d, const struct turn_client *turn)
{
	struct ice_keep *k;

	for (k = newest; k; k = k->older) {
		if (on_path(k, d, turn) && (!turn || turn == k->turn))
			return k;
	}
	for (k = newest; k && turn && turn != k->turn;)
		k = k->older;
	return k;
}

void ice_keep_stun(struct ice_owner *o, const struct wg_datagram *d, const struct stun_msg *m,
	struct turn_client *turn)
{
	struct ice_keep *k = keep_for(keep_of(o), d, turn);
	struct way back;
	uint16_t len;

	if (!k)
		return;
	if (!roles_agree(k, m)) {
		respond(k, d, m, turn, KEEP_ROLE_CONFLICT);
		return;
	}
	k->ice->counters.checks_answered++;
	respond(k, d, m, turn, 0);
	if (on_path(k, d, turn)) {
		k->heard = ice_now();
		k->ever_heard = true;
		if (k->lost) {
			// It came through: so may ours.
			k->check_due = k->heard;
			keep_arm(k, k->check_due);
		}
		return;
	}
	// Nominated is what has been checked both ways: the answer to ours decides. Without a nomination the peer is
	// followed when the pair is dead: its address or NAT changed, and peers of other make do not say so.
	back = keep_way_back(k, d, turn);
	if ((!k->path.controlling && stun_find(m, STUN_ATTR_USE_CANDIDATE, &len)) || k->lost ||
		k->unanswered >= keep_doubt_at(k))
		keep_check(k, &back, true);
}
