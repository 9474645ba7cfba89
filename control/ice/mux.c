// SPDX-License-Identifier: BSD-3-Clause
//
// The one UDP port: what comes to it and is no WireGuard goes to an attempt, to a nominated pair, or to our
// own STUN questions. Requests by the local ufrag and only with the right MESSAGE-INTEGRITY, answers by the
// transaction and the address that was asked. Main loop thread.
#include "ice_internal.h"
#include "keep.h"
#include "peer_port.h"

#include <sodium.h>

#include <errno.h>

#define TRANSACTION_MS  40000 // RFC 8489 6.2.1: 39.5 s
#define TRANSACTION_MAX 65536 // beyond it answers are not recognised; peers ask again
#define SOURCES         4096  // rate limits, by a hash of the source; power of two
#define SOURCE_RATE     100 // useless messages per second from one address; then all of it is dropped
#define SOURCE_BURST    500
#define PUNCH_LEN       2

// ---- transactions --------------------------------------------------------------------------------------

struct transaction {
	uint8_t tid[STUN_TID_LEN];
	uint16_t remote_port_be;
	struct st_addr remote;
	uint32_t agent; // 0 = ours
	uint64_t at;
	int64_t sent_us;
};

struct ice_transactions {
	GHashTable *by_tid;
	GQueue order; // oldest first
};

static guint tid_hash(gconstpointer p)
{
	guint h;

	memcpy(&h, p, sizeof(h)); // random by RFC 8489
	return h;
}

static gboolean tid_equal(gconstpointer a, gconstpointer b)
{
	return !memcmp(a, b, STUN_TID_LEN);
}

struct ice_transactions *ice_transactions_new(void)
{
	struct ice_transactions *t = g_new0(struct ice_transactions, 1);

	t->by_tid = g_hash_table_new(tid_hash, tid_equal);
	g_queue_init(&t->order);
	return t;
}

void ice_transactions_free(struct ice_transactions *t)
{
	g_hash_table_destroy(t->by_tid);
	g_queue_clear_full(&t->order, g_free);
	g_free(t);
}

static void expire(struct ice_transactions *t, uint64_t now)
{
	struct transaction *first;

	while ((first = g_queue_peek_head(&t->order)) && now > first->at + TRANSACTION_MS) {
		g_hash_table_remove(t->by_tid, first->tid);
		g_free(g_queue_pop_head(&t->order));
	}
}

void ice_transactions_add(struct ice *ice, const uint8_t tid[STUN_TID_LEN], uint32_t agent,
	const struct st_addr *remote, uint16_t remote_port_be)
{
	struct ice_transactions *t = ice->transactions;
	uint64_t now = ice_now();
	struct transaction *x;

	expire(t, now);
	if (g_hash_table_contains(t->by_tid, tid))
		return; // sent again
	if (t->order.length >= TRANSACTION_MAX) {
		ice->counters.transactions_full++;
		return;
	}
	x = g_new0(struct transaction, 1);
	memcpy(x->tid, tid, STUN_TID_LEN);
	x->remote = *remote;
	x->remote_port_be = remote_port_be;
	x->agent = agent;
	x->at = now;
	x->sent_us = g_get_monotonic_time();
	g_hash_table_insert(t->by_tid, x->tid, x);
	g_queue_push_tail(&t->order, x);
}

// ---- limits --------------------------------------------------------------------------------------------

struct source {
	uint32_t hash;
	uint32_t tokens;
	uint64_t at;
};

// Only what turns out to be useless is charged: a thousand peers behind one address are welcome. Two sources
// in one place push each other out and have a full bucket each time: a limit against floods, no account.
struct ice_limiter {
	uint32_t seed;
	struct source sources[SOURCES];
};

struct ice_limiter *ice_limiter_new(void)
{
	struct ice_limiter *l = g_new0(struct ice_limiter, 1);

	l->seed = randombytes_random();
	return l;
}

void ice_limiter_free(struct ice_limiter *l)
{
	g_free(l);
}

// The bucket of a source, IPv6: of its /64. Filled for the time that has passed.
static struct source *source_of(struct ice_limiter *l, const struct st_addr *a, uint64_t now)
{
	size_t from = addr_is_v4(a) ? 12 : 0, to = addr_is_v4(a) ? 16 : 8;
	uint32_t h = 2166136261U ^ l->seed;
	struct source *s;
	uint64_t grown;

	for (size_t n = from; n < to; n++)
		h = (h ^ a->b[n]) * 16777619U;
	s = &l->sources[(h ^ h >> 16) % SOURCES];
	if (s->hash != h) {
		*s = (struct source){.hash = h, .tokens = SOURCE_BURST, .at = now};
		return s;
	}
	grown = (now - s->at) * SOURCE_RATE / 1000;
	if (grown) {
		s->tokens = (uint32_t)MIN(s->tokens + grown, SOURCE_BURST);
		s->at = now;
	}
	return s;
}

// ---- owners --------------------------------------------------------------------------------------------

bool ice_owner_add(struct ice *ice, struct ice_owner *o)
{
	if (g_hash_table_contains(ice->owners, o->ours->ufrag))
		return false;
	return g_hash_table_insert(ice->owners, (gpointer)o->ours->ufrag, o);
}

void ice_owner_remove(struct ice *ice, struct ice_owner *o)
{
	if (g_hash_table_lookup(ice->owners, o->ours->ufrag) == o)
		g_hash_table_remove(ice->owners, o->ours->ufrag);
}

static struct ice_owner *owner_of(struct ice *ice, const struct stun_msg *m)
{
	char ufrag[ICE_CRED_MAX + 1];
	uint16_t len;
	const uint8_t *name = stun_find(m, STUN_ATTR_USERNAME, &len);
	const uint8_t *colon = name ? memchr(name, ':', len) : NULL;

	if (!colon || (size_t)(colon - name) > ICE_CRED_MAX)
		return NULL;
	memcpy(ufrag, name, (size_t)(colon - name));
	ufrag[colon - name] = 0;
	return g_hash_table_lookup(ice->owners, ufrag);
}

// ---- in ------------------------------------------------------------------------------------------------

void ice_mux_forged(struct ice *ice, const struct wg_datagram *d, const char *why)
{
	uint64_t count = log_pace_take(&ice->forged);
	char text[TUPLE_TEXT_MAX];

	if (count)
		g_message("ice: forged STUN ignored interface=%s from=%s why=\"%s\" "
			  "count=%" G_GUINT64_FORMAT,
			ice->env.name, tuple_text(text, &d->remote, d->remote_port_be), why, count);
}

// Each says whether the message was of use.
static bool request(struct ice *ice, const struct wg_datagram *d, const struct stun_msg *m,
	struct turn_client *turn)
{
	struct ice_owner *o = owner_of(ice, m);

	if (!o) {
		ice->counters.stun_unknown_user++;
		return false;
	}
	if (!stun_verify(m, o->ours->pwd, strlen(o->ours->pwd))) {
		ice->counters.stun_bad_integrity++;
		ice_mux_forged(ice, d, "a check with a wrong MESSAGE-INTEGRITY");
		return false;
	}
	if (o->kind == ICE_OWNER_AGENT)
		ice_agent_stun(o, d, m, turn);
	else
		ice_keep_stun(o, d, m, turn);
	return true;
}

static struct stun_client *stun_of(const struct ice *ice, const struct wg_datagram *d)
{
	const struct ice_port *p = ice_port_find(ice->ports, d->local_port_be);

	return p ? ice_port_stun(p) : ice->stun;
}

static bool answer(struct ice *ice, const struct wg_datagram *d, const struct stun_msg *m,
	struct turn_client *turn)
{
	struct transaction *x;

	if (ice_keeps_answer(ice, d, m, turn))
		return true;
	if (!turn && stun_client_answer(stun_of(ice, d), d, m))
		return true;
	x = g_hash_table_lookup(ice->transactions->by_tid, stun_tid(m));
	if (!x || turn) {
		ice->counters.stun_unmatched++;
		return false;
	}
	if (!ice_same(&x->remote, x->remote_port_be, &d->remote, d->remote_port_be)) {
		ice->counters.stun_spoofed++;
		ice_mux_forged(ice, d, "an answer from another address than was asked");
		return false;
	}
	ice_agent_answer(ice, x->agent, d, stun_class(m) == STUN_SUCCESS,
		(uint32_t)MIN(g_get_monotonic_time() - x->sent_us, UINT32_MAX));
	return true;
}

static bool stun(struct ice *ice, const struct wg_datagram *d, struct turn_client *turn)
{
	struct ice_counters *c = &ice->counters;
	struct stun_msg m;

	if (stun_parse(&m, d->data, d->len)) {
		c->stun_malformed++;
		return false;
	}
	if (m.len != d->len)
		c->stun_cut++;
	if (stun_method(&m) != STUN_BINDING) {
		c->stun_other++;
		return false;
	}
	switch (stun_class(&m)) {
	case STUN_REQUEST:
		return request(ice, d, &m, turn);
	case STUN_INDICATION:
		c->stun_indications++;
		return false;
	default:
		return answer(ice, d, &m, turn);
	}
}

void ice_mux_stun(struct ice *ice, const struct wg_datagram *d, struct turn_client *turn)
{
	(void)stun(ice, d, turn);
}

bool ice_is_wireguard(const uint8_t *data, size_t len)
{
	return len >= 32 && data[0] >= 1 && data[0] <= 4 && !data[1] && !data[2] && !data[3];
}

bool ice_receive(struct ice *ice, const struct wg_datagram *d)
{
	const struct ice_env *env = &ice->env;
	struct ice_counters *c = &ice->counters;
	struct source *s;

	if (d->len == PUNCH_LEN && !memcmp(d->data, "nb", PUNCH_LEN)) {
		c->punches++;
		return true;
	}
	if (ice_is_wireguard(d->data, d->len) || !stun_looks_like(d->data, d->len))
		return false;
	c->stun_received++;
	if (env->overlay_address && (env->overlay_address(&d->remote, env->arg) ||
					    env->overlay_address(&d->local, env->arg))) {
		c->stun_overlay++;
		return true;
	}
	s = source_of(ice->limiter, &d->remote, ice_now());
	if (!s->tokens)
		c->stun_limited++;
	else if (!stun(ice, d, NULL))
		s->tokens--;
	return true;
}

int ice_send(struct ice *ice, uint16_t local_port_be, const struct st_addr *local,
	const struct st_addr *remote, uint16_t remote_port_be, const void *data, size_t len)
{
	const struct ice_port *p = ice_port_find(ice->ports, local_port_be);
	int r = p ? ice_port_send(p, local, remote, remote_port_be, data, len)
		  : ice->env.send(local, remote, remote_port_be, data, len, ice->env.arg);

	if (r)
		ice->counters.send_failed++;
	return r;
}

uint16_t ice_shared_port(const struct ice *ice)
{
	return htons(ice->env.port(ice->env.arg));
}
