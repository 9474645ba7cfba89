// SPDX-License-Identifier: BSD-3-Clause
//
// Consent to send on a nominated pair (RFC 7675): our checks, their pace, the peer's answers, and the moves to
// another pair that an answer allows. Main loop thread.
#include "keep_internal.h"

#include <sodium.h>

#define CONSENT_MS      5000  // RFC 7675 5.1, varied by a fifth each way
#define CONSENT_LOST_MS 30000 // likewise
#define FAST_MS         250   // while data goes out and nothing comes back
#define FAST_LOST_MS    1200 // of silence while we ask at that pace: with SILENCE_MS before it, 2 s
#define AGAIN_MS        1000 // an idle pair that did not answer is asked once more then
#define DOUBT_SLOW      2    // checks in a row without an answer
#define DOUBT_FAST      4
#define REMAPPED_MS     30000 // a NAT that changes all the time is not followed more often
#define PRFLX_PRIORITY  (110U << 24 | 65535U << 8 | 255)

// --- checks ---------------------------------------------------------------------------------------------

static uint64_t scaled(const struct ice_keep *k, uint64_t ms)
{
	return (uint64_t)((double)ms / k->ice->consent_scale);
}

int keep_send_to(struct ice_keep *k, const struct way *w, const void *data, size_t len)
{
	if (w->turn)
		return turn_client_send(w->turn, &w->remote, w->remote_port_be, data, len);
	return ice_send(
		k->ice, w->local_port_be, &w->local, &w->remote, w->remote_port_be, data, len);
}

// Where a datagram came from.
struct way keep_way_back(
	const struct ice_keep *k, const struct wg_datagram *d, struct turn_client *turn)
{
	return (struct way){
		.turn = turn,
		.local = d->local,
		.remote = d->remote,
		.local_port_be = d->local_port_be ? d->local_port_be : ice_shared_port(k->ice),
		.remote_port_be = d->remote_port_be,
	};
}

static struct check *check_take(struct ice_keep *k)
{
	struct check *c = &k->checks[k->next_check];

	k->next_check = (k->next_check + 1) % KEEP_CHECKS;
	if (c->used)
		g_hash_table_remove(k->ice->wheel->by_tid, c->tid);
	*c = (struct check){.keep = k, .used = true, .sent_us = g_get_monotonic_time()};
	randombytes_buf(c->tid, sizeof(c->tid));
	g_hash_table_add(k->ice->wheel->by_tid, c->tid);
	return c;
}

void keep_check(struct ice_keep *k, const struct way *w, bool nomination)
{
	struct check *c = check_take(k);
	uint8_t buf[STUN_HEADER_LEN + 2 * ICE_CRED_MAX + 128];
	char user[2 * ICE_CRED_MAX + 2];
	struct stun_out o;
	size_t len;

	c->turn = w->turn;
	c->local = w->local;
	c->remote = w->remote;
	c->local_port_be = w->local_port_be;
	c->remote_port_be = w->remote_port_be;
	c->nomination = nomination;
	c->controlling = k->path.controlling;
	g_snprintf(user, sizeof(user), "%s:%s", k->path.theirs.ufrag, k->path.ours.ufrag);
	stun_begin(&o, buf, sizeof(buf), STUN_BINDING | STUN_REQUEST, c->tid);
	stun_add(&o, STUN_ATTR_USERNAME, user, strlen(user));
	stun_add_u64(&o, k->path.controlling ? STUN_ATTR_ICE_CONTROLLING : STUN_ATTR_ICE_CONTROLLED,
		k->tie_breaker);
	stun_add_u32(&o, STUN_ATTR_PRIORITY, PRFLX_PRIORITY);
	if (nomination && k->path.controlling)
		stun_add(&o, STUN_ATTR_USE_CANDIDATE, NULL, 0);
	len = stun_end(&o, k->path.theirs.pwd, strlen(k->path.theirs.pwd), true);
	k->ice->counters.checks_sent++;
	(void)keep_send_to(k, w, buf, len);
}

static void keep_check_path(struct ice_keep *k, bool nomination)
{
	struct way w = {
		.turn = k->path.relayed ? k->turn : NULL,
		.local = k->path.local,
		.remote = k->path.remote,
		.local_port_be = k->path.local_port_be,
		.remote_port_be = k->path.remote_port_be,
	};

	keep_check(k, &w, nomination);
}

uint64_t keep_pace(const struct ice_keep *k)
{
	uint32_t fifth = CONSENT_MS / 5;

	if (k->fast_since)
		return FAST_MS;
	if (k->unanswered == 1)
		return scaled(k, AGAIN_MS);
	return scaled(k, CONSENT_MS - fifth + randombytes_uniform(2 * fifth));
}

// Whether it may be gone. How many unanswered checks that takes depends on the pace.
unsigned int keep_doubt_at(const struct ice_keep *k)
{
	return k->fast_since ? DOUBT_FAST : DOUBT_SLOW;
}

// --- time -----------------------------------------------------------------------------------------------

static void ask(struct ice_keep *k, uint64_t now, bool *ret_doubt)
{
	keep_check_path(k, false);
	k->unanswered++;
	k->check_due = now + keep_pace(k);
	*ret_doubt = k->unanswered == keep_doubt_at(k);
	// A NAT that forgot us took the allocation's 5-tuple as well: the server says so.
	if (*ret_doubt && k->turn && k->path.relayed)
		turn_client_verify(k->turn);
}

// Why the pair is lost now; NULL: it is not, or was before.
static const char *loss(const struct ice_keep *k, uint64_t now)
{
	if (k->lost)
		return NULL;
	if (k->fast_since && now > MAX(k->fast_since, k->heard) + FAST_LOST_MS - WHEEL_TICK_MS)
		return "nothing comes back while we send";
	if (k->turn_lost && k->path.relayed)
		return k->turn_lost;
	return now > k->answered + scaled(k, CONSENT_LOST_MS) ? "consent ran out" : NULL;
}

void keep_tick(struct ice_keep *k, uint64_t now)
{
	uint64_t due = UINT64_MAX;
	const char *why;
	bool doubt = false;

	if (k->fast_since && now >= k->fast_until)
		k->fast_since = 0;
	if (now >= k->check_due)
		ask(k, now, &doubt);
	if (k->turn)
		due = turn_client_tick(k->turn, now);
	why = loss(k, now);
	wheel_set(&k->ice->wheel->wheel, &k->entry, MIN(due, k->check_due));
	if (why) {
		k->lost = true;
		k->ice->counters.consent_lost++;
		k->ops->lost(why, k->arg);
	} else if (doubt && k->ops->doubt) {
		k->ops->doubt(false, k->arg);
	}
}

// --- answers --------------------------------------------------------------------------------------------

static void move_to(struct ice_keep *k, const struct check *c, const struct stun_msg *m)
{
	struct ice_path *p = &k->path;
	uint16_t port_be = c->local_port_be;

	k->ice->counters.renominations++;
	if (!ice_same(&p->remote, p->remote_port_be, &c->remote, c->remote_port_be)) {
		p->remote_type = ICE_PRFLX;
		k->mapped = (struct st_addr){0};
	}
	p->remote = c->remote;
	p->remote_port_be = c->remote_port_be;
	p->relayed = c->turn != NULL;
	if (c->turn) {
		turn_client_peer(c->turn, &c->remote, c->remote_port_be);
		turn_client_describe(c->turn, &c->remote, c->remote_port_be, &p->relay);
		p->local = p->relay.base;
		p->local_port_be = p->relay.base_port_be;
		p->local_type = ICE_RELAY;
		p->local_candidate = p->relay.address;
		p->local_candidate_port_be = p->relay.port_be;
		return;
	}
	p->local = c->local;
	p->local_port_be = port_be;
	if (!stun_find_address(m, STUN_ATTR_XOR_MAPPED_ADDRESS, &p->local_candidate,
		    &p->local_candidate_port_be)) {
		p->local_candidate = p->local;
		p->local_candidate_port_be = port_be;
	}
	p->local_type = ice_same(&p->local, port_be, &p->local_candidate, p->local_candidate_port_be)
				? ICE_HOST
				: ICE_SRFLX;
}

// True: the peer sees us elsewhere than before, so a NAT on the way has changed, and what the peer sends goes to where
// we were. Who controls tells it by nominating the pair from there; for the other side it is the owner's.
static bool remapped(struct ice_keep *k, const struct stun_msg *m)
{
	bool known = !addr_is_zero(&k->mapped);
	uint64_t now = ice_now();
	struct st_addr mapped;
	uint16_t port_be;

	if (k->path.relayed ||
		!stun_find_address(m, STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped, &port_be) ||
		ice_same(&mapped, port_be, &k->mapped, k->mapped_port_be) ||
		(k->remapped_at && now < k->remapped_at + REMAPPED_MS))
		return false;
	k->mapped = mapped;
	k->mapped_port_be = port_be;
	if (!known)
		return false;
	k->remapped_at = now;
	k->ice->counters.remapped++;
	if (k->path.controlling)
		keep_check_path(k, true);
	return true;
}

static void answered(struct ice_keep *k, const struct check *c, const struct stun_msg *m)
{
	uint32_t rtt = (uint32_t)MIN(g_get_monotonic_time() - c->sent_us, UINT32_MAX);
	bool moved = c->nomination, back;

	if (moved)
		move_to(k, c, m);
	else if ((c->turn != NULL) != k->path.relayed ||
		 !ice_same(&c->remote, c->remote_port_be, &k->path.remote, k->path.remote_port_be))
		return; // of the pair before
	k->answered = k->heard = ice_now();
	k->ever_heard = true;
	k->fast_since = 0;
	k->unanswered = 0;
	k->check_due = k->answered + keep_pace(k);
	k->path.rtt_us = MAX(rtt, 1U);
	back = k->lost;
	k->lost = false;
	if (moved)
		k->ops->renominated(&k->path, k->arg);
	else if (back)
		k->ops->regained(k->arg);
	else if (remapped(k, m) && k->ops->doubt)
		k->ops->doubt(true, k->arg);
	else if (k->ops->rtt)
		k->ops->rtt(rtt, k->arg);
}

bool ice_keeps_answer(struct ice *ice, const struct wg_datagram *d, const struct stun_msg *m,
	struct turn_client *turn)
{
	struct check *c = g_hash_table_lookup(ice->wheel->by_tid, stun_tid(m)), copy;
	struct ice_keep *k;

	if (!c)
		return false;
	k = c->keep;
	if (c->turn != turn ||
		!ice_same(&c->remote, c->remote_port_be, &d->remote, d->remote_port_be)) {
		ice->counters.stun_spoofed++;
		ice_mux_forged(ice, d, "an answer from another address than was asked");
		return true;
	}
	if (!stun_verify(m, k->path.theirs.pwd, strlen(k->path.theirs.pwd))) {
		ice->counters.stun_bad_integrity++;
		ice_mux_forged(ice, d, "an answer with a wrong MESSAGE-INTEGRITY");
		return true;
	}
	if (c->answered)
		return true;
	c->answered = true;
	copy = *c; // an op may free k
	if (stun_class(m) == STUN_SUCCESS) {
		if (addr_is_zero(&copy.local))
			copy.local = d->local;
		answered(k, &copy, m);
	} else if (stun_error_code(m) == KEEP_ROLE_CONFLICT) {
		ice->counters.role_conflicts++;
		// Against the role that the check had: another one may have been refused meanwhile. It is sent
		// again at once (RFC 8445 7.2.5.1).
		k->path.controlling = !copy.controlling;
		k->check_due = ice_now();
		keep_arm(k, k->check_due);
	}
	return true;
}
