// SPDX-License-Identifier: BSD-3-Clause
//
// Nominated pairs without an agent: consent (RFC 7675), answers to the peer's checks, its moves to another
// pair, and the allocation under a relayed pair. Main loop thread; one timer for all pairs.
#include "keep.h"

#include "turn_client.h"
#include "wheel.h"

#include <sodium.h>

#include <errno.h>

#define CONSENT_MS      5000  // RFC 7675 5.1, varied by a fifth each way
#define CONSENT_LOST_MS 30000 // likewise
#define SILENCE_MS      700   // we send and hear nothing
#define FAST_MS         250   // checks then
#define FAST_LOST_MS    1500  // of silence while we ask at that pace
#define FAST_FOR_MS     2000  // without further data we fall back
#define AGAIN_MS        1000  // an idle pair that did not answer is asked once more then
#define DOUBT_SLOW      2     // checks in a row without an answer that make us doubt the network
#define DOUBT_FAST      4
#define REMAPPED_MS     30000 // a NAT that changes all the time is not followed more often
#define CHECKS          8     // that an answer is recognised for
#define PRFLX_PRIORITY  (110U << 24 | 65535U << 8 | 255)
#define ROLE_CONFLICT   487

struct check {
	uint8_t tid[STUN_TID_LEN];
	bool used, nomination;
	uint16_t local_port_be, remote_port_be;
	struct st_addr local, remote;
	struct turn_client *turn;
	int64_t sent_us;
	struct ice_keep *keep;
};

struct ice_keep {
	struct wheel_entry entry; // first
	struct ice_owner owner;
	struct ice_keep *older; // of the same credentials: pairs of one attempt
	struct ice *ice;
	uint32_t peer_id;
	struct ice_path path;
	const struct ice_keep_ops *ops;
	void *arg;
	struct turn_client *turn; // NULL: no allocation
	uint64_t tie_breaker;
	struct check checks[CHECKS];
	unsigned int next_check;
	uint64_t check_due, answered, heard; // heard: an answer or an authentic check on the pair
	unsigned int unanswered;             // checks since the last answer
	struct st_addr mapped; // how the peer sees us; all zero: it has not said so yet
	uint16_t mapped_port_be;
	uint64_t remapped_at;
	uint64_t fast_since, fast_until; // 0 = the slow pace
	const char *turn_lost;           // why the allocation ended, until the next tick
	bool lost, ever_heard, detached;
};

struct ice_wheel {
	struct ice *ice;
	struct wheel wheel;
	GHashTable *by_tid; // of struct check
	guint timer;
};

// ---- timer ---------------------------------------------------------------------------------------------

static guint tid_hash(gconstpointer p)
{
	guint h;

	memcpy(&h, p, sizeof(h));
	return h;
}

static gboolean tid_equal(gconstpointer a, gconstpointer b)
{
	return !memcmp(a, b, STUN_TID_LEN);
}

static void keep_tick(struct ice_keep *k, uint64_t now);

static gboolean on_tick(gpointer arg)
{
	struct ice_wheel *w = arg;
	uint64_t now = ice_now();
	struct wheel_entry *e;

	while ((e = wheel_expire(&w->wheel, now)))
		keep_tick((struct ice_keep *)e, now);
	if (w->wheel.count)
		return G_SOURCE_CONTINUE;
	w->timer = 0;
	return G_SOURCE_REMOVE;
}

struct ice_wheel *ice_wheel_new(struct ice *ice)
{
	struct ice_wheel *w = g_new0(struct ice_wheel, 1);

	w->ice = ice;
	wheel_init(&w->wheel, ice_now());
	w->by_tid = g_hash_table_new(tid_hash, tid_equal);
	return w;
}

void ice_wheel_free(struct ice_wheel *w)
{
	if (w->timer)
		g_source_remove(w->timer);
	g_hash_table_destroy(w->by_tid);
	g_free(w);
}

static uint64_t scaled(const struct ice_keep *k, uint64_t ms)
{
	return (uint64_t)((double)ms / k->ice->consent_scale);
}

// ---- checks --------------------------------------------------------------------------------------------

// A way from us to somewhere.
struct way {
	struct turn_client *turn; // NULL: from the local address and port
	struct st_addr local, remote;
	uint16_t local_port_be, remote_port_be;
};

static int keep_send_to(struct ice_keep *k, const struct way *w, const void *data, size_t len)
{
	if (w->turn)
		return turn_client_send(w->turn, &w->remote, w->remote_port_be, data, len);
	return ice_send(
		k->ice, w->local_port_be, &w->local, &w->remote, w->remote_port_be, data, len);
}

// Where a datagram came from.
static struct way way_back(
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

	k->next_check = (k->next_check + 1) % CHECKS;
	if (c->used)
		g_hash_table_remove(k->ice->wheel->by_tid, c->tid);
	*c = (struct check){.keep = k, .used = true, .sent_us = g_get_monotonic_time()};
	randombytes_buf(c->tid, sizeof(c->tid));
	g_hash_table_add(k->ice->wheel->by_tid, c->tid);
	return c;
}

static void check_send(struct ice_keep *k, const struct way *w, bool nomination)
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

static void check_path(struct ice_keep *k, bool nomination)
{
	struct way w = {
		.turn = k->path.relayed ? k->turn : NULL,
		.local = k->path.local,
		.remote = k->path.remote,
		.local_port_be = k->path.local_port_be,
		.remote_port_be = k->path.remote_port_be,
	};

	check_send(k, &w, nomination);
}

static uint64_t next_pace(const struct ice_keep *k)
{
	uint32_t fifth = CONSENT_MS / 5;

	if (k->fast_since)
		return FAST_MS;
	if (k->unanswered == 1)
		return scaled(k, AGAIN_MS);
	return scaled(k, CONSENT_MS - fifth + randombytes_uniform(2 * fifth));
}

// Whether it may be gone. How many unanswered checks that takes depends on the pace.
static unsigned int doubt_at(const struct ice_keep *k)
{
	return k->fast_since ? DOUBT_FAST : DOUBT_SLOW;
}

// May call an op: nothing of k is used after it.
static void keep_tick(struct ice_keep *k, uint64_t now)
{
	uint64_t due = UINT64_MAX;
	const char *why = NULL;
	bool doubt = false;

	if (k->fast_since && now >= k->fast_until)
		k->fast_since = 0;
	if (now >= k->check_due) {
		check_path(k, false);
		k->unanswered++;
		k->check_due = now + next_pace(k);
		doubt = k->unanswered == doubt_at(k);
		// A NAT that forgot us took the allocation's 5-tuple as well: the server says so.
		if (doubt && k->turn && k->path.relayed)
			turn_client_verify(k->turn);
	}
	if (k->turn)
		due = turn_client_tick(k->turn, now);
	if (!k->lost && k->fast_since &&
		now > MAX(k->fast_since, k->heard) + FAST_LOST_MS - WHEEL_TICK_MS)
		why = "nothing comes back while we send";
	else if (!k->lost && k->turn_lost && k->path.relayed)
		why = k->turn_lost;
	else if (!k->lost && now > k->answered + scaled(k, CONSENT_LOST_MS))
		why = "consent ran out";
	wheel_set(&k->ice->wheel->wheel, &k->entry, MIN(due, k->check_due));
	if (why) {
		k->lost = true;
		k->ice->counters.consent_lost++;
		k->ops->lost(why, k->arg);
	} else if (doubt && k->ops->doubt) {
		k->ops->doubt(false, k->arg);
	}
}

static void arm(struct ice_keep *k, uint64_t due)
{
	struct ice_wheel *w = k->ice->wheel;

	if (!k->entry.next || due < k->entry.due)
		wheel_set(&w->wheel, &k->entry, due);
	if (!w->timer)
		w->timer = g_timeout_add(WHEEL_TICK_MS, on_tick, w);
}

void ice_keep_activity(struct ice_keep *k, const struct st_activity *a)
{
	uint64_t now = ice_now();

	if (a->flags & ST_ACT_ANY_RECEIVED && a->selected_received_age_ms < SILENCE_MS)
		k->heard = MAX(k->heard, now - a->selected_received_age_ms);
	if (!(a->flags & ST_ACT_DATA_SENT))
		return;
	if (now <= k->heard + SILENCE_MS) {
		k->fast_since = 0;
		return;
	}
	k->fast_until = now + FAST_FOR_MS;
	if (k->fast_since || k->lost)
		return;
	k->fast_since = now;
	k->check_due = now;
	arm(k, now);
}

void ice_keep_give_up(struct ice_keep *k)
{
	uint64_t now = ice_now();

	if (k->lost)
		return;
	k->lost = true;
	k->fast_since = k->check_due = now;
	k->fast_until = now + FAST_FOR_MS;
	arm(k, now);
}

// ---- the peer's checks ---------------------------------------------------------------------------------

static bool on_path(
	const struct ice_keep *k, const struct wg_datagram *d, const struct turn_client *turn)
{
	return (turn != NULL) == k->path.relayed &&
	       ice_same(&d->remote, d->remote_port_be, &k->path.remote, k->path.remote_port_be) &&
	       (turn || addr_is_zero(&d->local) ||
		       (!memcmp(&d->local, &k->path.local, sizeof(d->local)) &&
			       way_back(k, d, NULL).local_port_be == k->path.local_port_be));
}

static void respond(struct ice_keep *k, const struct wg_datagram *d, const struct stun_msg *m,
	struct turn_client *turn, int error)
{
	const char *pwd = k->path.ours.pwd;
	struct way back = way_back(k, d, turn);
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

static struct ice_keep *keep_of(struct ice_owner *o)
{
	return (struct ice_keep *)((char *)o - offsetof(struct ice_keep, owner));
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
		respond(k, d, m, turn, ROLE_CONFLICT);
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
			arm(k, k->check_due);
		}
		return;
	}
	// Nominated is what has been checked both ways: the answer to ours decides. Without a nomination the peer is
	// followed when the pair is dead: its address or NAT changed, and peers of other make do not say so.
	back = way_back(k, d, turn);
	if ((!k->path.controlling && stun_find(m, STUN_ATTR_USE_CANDIDATE, &len)) || k->lost ||
		k->unanswered >= doubt_at(k))
		check_send(k, &back, true);
}

// ---- answers to ours -----------------------------------------------------------------------------------

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
		check_path(k, true);
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
	k->check_due = k->answered + next_pace(k);
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
	copy = *c;
	g_hash_table_remove(ice->wheel->by_tid, c->tid);
	c->used = false;
	if (stun_class(m) == STUN_SUCCESS) {
		if (addr_is_zero(&copy.local))
			copy.local = d->local;
		answered(k, &copy, m);
	} else if (stun_error_code(m) == ROLE_CONFLICT) {
		ice->counters.role_conflicts++;
		k->path.controlling = !k->path.controlling;
	}
	return true;
}

// ---- the allocation ------------------------------------------------------------------------------------

static void on_bound(void *arg)
{
	struct ice_keep *k = arg;

	if (!k->path.relayed)
		return;
	turn_client_describe(k->turn, &k->path.remote, k->path.remote_port_be, &k->path.relay);
	k->ops->renominated(&k->path, k->arg);
}

// It may come out of a tick or of a datagram; the op is called from the next tick.
static void on_turn_lost(const char *why, void *arg)
{
	struct ice_keep *k = arg;

	k->turn_lost = g_intern_string(why);
	arm(k, ice_now());
}

static const struct turn_client_ops turn_ops = {on_bound, on_turn_lost};

// ---- life ----------------------------------------------------------------------------------------------

static struct ice_keep *keep_begin(struct ice *ice, uint32_t peer_id, const struct ice_path *path,
	const struct ice_keep_ops *ops, void *arg)
{
	struct ice_keep *k = g_new0(struct ice_keep, 1);
	struct ice_owner *old;

	k->ice = ice;
	k->peer_id = peer_id;
	k->path = *path;
	k->ops = ops;
	k->arg = arg;
	randombytes_buf(&k->tie_breaker, sizeof(k->tie_breaker));
	k->owner = (struct ice_owner){ICE_OWNER_KEEP, &k->path.ours};
	old = g_hash_table_lookup(ice->owners, k->path.ours.ufrag);
	if (old && old->kind == ICE_OWNER_KEEP)
		k->older = keep_of(old);
	if (old) // its agent: from here on checks are answered here
		ice_owner_remove(ice, old);
	(void)ice_owner_add(ice, &k->owner);
	g_hash_table_add(ice->keeps, k);
	k->answered = k->heard = ice_now();
	return k;
}

static void keep_start(struct ice_keep *k, uint64_t first_check)
{
	if (k->turn)
		turn_client_adopt(k->turn, &k->path.remote, k->path.remote_port_be, &turn_ops, k);
	k->check_due = first_check;
	arm(k, k->turn ? ice_now() : first_check);
}

struct ice_keep *ice_keep_new(struct ice *ice, uint32_t peer_id, const struct ice_path *path,
	const struct ice_keep_ops *ops, void *arg)
{
	struct turn_client *turn = NULL;
	struct ice_keep *k;

	if (path->relayed) {
		turn = ice_agent_relay(ice, &path->ours, &path->relay);
		if (!turn) {
			errno = ENOENT;
			return NULL;
		}
	}
	k = keep_begin(ice, peer_id, path, ops, arg);
	k->turn = turn;
	keep_start(k, ice_now() + next_pace(k));
	return k;
}

// The older pairs of its attempt go on answering.
static void owner_leave(struct ice_keep *k)
{
	struct ice_owner *o = g_hash_table_lookup(k->ice->owners, k->path.ours.ufrag);

	if (o == &k->owner) {
		ice_owner_remove(k->ice, o);
		if (k->older)
			(void)ice_owner_add(k->ice, &k->older->owner);
		return;
	}
	for (struct ice_keep *n = o && o->kind == ICE_OWNER_KEEP ? keep_of(o) : NULL; n;
		n = n->older) {
		if (n->older == k)
			n->older = k->older;
	}
}

void ice_keep_free(struct ice_keep *k)
{
	if (!k)
		return;
	for (unsigned int n = 0; n < CHECKS; n++) {
		if (k->checks[n].used)
			g_hash_table_remove(k->ice->wheel->by_tid, k->checks[n].tid);
	}
	wheel_remove(&k->ice->wheel->wheel, &k->entry);
	owner_leave(k);
	g_hash_table_remove(k->ice->keeps, k);
	if (k->detached)
		turn_client_detach(k->turn);
	else
		turn_client_release(k->turn);
	sodium_memzero(k, sizeof(*k));
	g_free(k);
}

void ice_keeps_detach(struct ice *ice)
{
	GHashTableIter it;
	gpointer key;

	g_hash_table_iter_init(&it, ice->keeps);
	while (g_hash_table_iter_next(&it, &key, NULL)) {
		((struct ice_keep *)key)->detached = true;
		ice_keep_free(key);
		g_hash_table_iter_init(&it, ice->keeps);
	}
}

void ice_keeps_park(struct ice *ice)
{
	GHashTableIter it;
	gpointer key;

	g_hash_table_iter_init(&it, ice->keeps);
	while (g_hash_table_iter_next(&it, &key, NULL)) {
		struct ice_keep *k = key;

		if (k->turn)
			turn_client_park(k->turn);
	}
}

int ice_keep_send(struct ice_keep *k, const void *data, size_t len)
{
	if (!k->path.relayed || !k->turn)
		return -EOPNOTSUPP;
	return turn_client_send(k->turn, &k->path.remote, k->path.remote_port_be, data, len);
}

const struct ice_path *ice_keep_path(const struct ice_keep *k)
{
	return &k->path;
}

uint32_t ice_keep_heard_ms(const struct ice_keep *k)
{
	return k->ever_heard ? (uint32_t)MIN(ice_now() - k->heard, UINT32_MAX - 1) : UINT32_MAX;
}

// ---- blob ----------------------------------------------------------------------------------------------

#define BLOB_VERSION     1
#define BLOB_CONTROLLING 0x1
#define BLOB_RELAYED     0x2
#define BLOB_HAS_TURN    0x4
#define BLOB_CHANNEL     0x8

struct blob {
	uint8_t version, flags, local_type, remote_type;
	uint16_t local_port_be, remote_port_be, local_candidate_port_be;
	uint16_t server_port_be, base_port_be, relay_port_be, channel;
	uint16_t pad;
	uint32_t rtt_us, socket_id;
	struct st_addr local, remote, local_candidate, server, base, relay;
};

static bool put_text(uint8_t **at, const uint8_t *end, const char *text)
{
	size_t len = strlen(text);

	if (len > UINT8_MAX || (size_t)(end - *at) < len + 1)
		return false;
	*(*at)++ = (uint8_t)len;
	memcpy(*at, text, len);
	*at += len;
	return true;
}

static bool get_text(const uint8_t **at, const uint8_t *end, char out[ICE_CRED_MAX + 1])
{
	size_t len = *at < end ? *(*at)++ : SIZE_MAX;

	if (len == SIZE_MAX || len > (size_t)(end - *at))
		return false;
	memcpy(out, *at, len);
	out[len] = 0;
	*at += len;
	return true;
}

static void blob_fill(struct blob *b, const struct ice_keep *k)
{
	const struct ice_path *p = &k->path;

	*b = (struct blob){
		.version = BLOB_VERSION,
		.flags = (uint8_t)((p->controlling ? BLOB_CONTROLLING : 0) |
				   (p->relayed ? BLOB_RELAYED : 0) |
				   (p->relay.channel_ready ? BLOB_CHANNEL : 0)),
		.local_type = p->local_type,
		.remote_type = p->remote_type,
		.local_port_be = p->local_port_be,
		.remote_port_be = p->remote_port_be,
		.local_candidate_port_be = p->local_candidate_port_be,
		.server_port_be = p->relay.server_port_be,
		.base_port_be = p->relay.base_port_be,
		.relay_port_be = p->relay.port_be,
		.channel = p->relay.channel,
		.rtt_us = p->rtt_us,
		.socket_id = p->relay.socket_id,
		.local = p->local,
		.remote = p->remote,
		.local_candidate = p->local_candidate,
		.server = p->relay.server,
		.base = p->relay.base,
		.relay = p->relay.address,
	};
}

static void blob_path(struct ice_path *p, const struct blob *b)
{
	*p = (struct ice_path){
		.local = b->local,
		.remote = b->remote,
		.local_port_be = b->local_port_be,
		.remote_port_be = b->remote_port_be,
		.local_type = b->local_type,
		.remote_type = b->remote_type,
		.controlling = b->flags & BLOB_CONTROLLING,
		.relayed = b->flags & BLOB_RELAYED,
		.local_candidate = b->local_candidate,
		.local_candidate_port_be = b->local_candidate_port_be,
		.rtt_us = b->rtt_us,
		.relay =
			{
				.server = b->server,
				.base = b->base,
				.address = b->relay,
				.server_port_be = b->server_port_be,
				.base_port_be = b->base_port_be,
				.port_be = b->relay_port_be,
				.channel = b->channel,
				.socket_id = b->socket_id,
				.channel_ready = b->flags & BLOB_CHANNEL,
			},
	};
}

int ice_keep_blob(const struct ice_keep *k, uint8_t *out, size_t size)
{
	const struct ice_path *p = &k->path;
	uint8_t *at = out + sizeof(struct blob), *end = out + size;
	struct blob b;
	int n;

	if (size < sizeof(b))
		return -ENOSPC;
	blob_fill(&b, k);
	if (!put_text(&at, end, p->ours.ufrag) || !put_text(&at, end, p->ours.pwd) ||
		!put_text(&at, end, p->theirs.ufrag) || !put_text(&at, end, p->theirs.pwd))
		return -ENOSPC;
	if (k->turn) {
		n = turn_client_save(k->turn, at, (size_t)(end - at));
		if (n < 0 && p->relayed)
			return n;
		if (n > 0) {
			b.flags |= BLOB_HAS_TURN;
			at += n;
		}
	}
	memcpy(out, &b, sizeof(b));
	return (int)(at - out);
}

struct ice_keep *ice_keep_from_blob(struct ice *ice, uint32_t peer_id, const uint8_t *blob,
	size_t len, const struct ice_keep_ops *ops, void *arg)
{
	const uint8_t *at = blob + sizeof(struct blob), *end = blob + len;
	struct turn_client *turn = NULL;
	struct ice_path path;
	struct ice_keep *k;
	struct blob b;

	errno = EINVAL;
	if (len < sizeof(b))
		return NULL;
	memcpy(&b, blob, sizeof(b));
	if (b.version != BLOB_VERSION || b.local_type > ICE_RELAY || b.remote_type > ICE_RELAY)
		return NULL;
	blob_path(&path, &b);
	if (!get_text(&at, end, path.ours.ufrag) || !get_text(&at, end, path.ours.pwd) ||
		!get_text(&at, end, path.theirs.ufrag) || !get_text(&at, end, path.theirs.pwd) ||
		!ice_credentials_valid(path.ours.ufrag, path.ours.pwd) ||
		!ice_credentials_valid(path.theirs.ufrag, path.theirs.pwd))
		return NULL;
	if (b.flags & BLOB_HAS_TURN)
		turn = turn_client_restore(ice, peer_id, &path, at, (size_t)(end - at));
	if (path.relayed && !turn)
		return NULL;
	k = keep_begin(ice, peer_id, &path, ops, arg);
	k->turn = turn;
	// Soon, but not all peers in one moment.
	keep_start(k, ice_now() + randombytes_uniform(1000));
	return k;
}
