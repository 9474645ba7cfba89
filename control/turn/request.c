// SPDX-License-Identifier: BSD-3-Clause
//
// Messages of clients: discard, answer Binding, authenticate, hand to the handler of the method, answer.
// Main loop thread. Before authentication nothing is remembered and an answer costs its source a token.
#include "request.h"

#include "../addr.h"
#include "../log.h"

#include <sodium.h>

#include <string.h>

#define SOFTWARE "strait " STRAIT_VERSION

// ---- answers ---------------------------------------------------------------------------------------

void turn_reply_begin(const struct turn_reply *r, struct stun_out *o, uint8_t buf[STUN_MAX])
{
	stun_begin(o, buf, STUN_MAX, r->method | STUN_SUCCESS, r->tid);
}

static void finish(struct turn_core *c, const struct turn_reply *r, struct stun_out *o)
{
	size_t len;

	if (r->integrity)
		stun_add_integrity(o, r->integrity, r->key, r->key_len);
	len = stun_end(o, NULL, 0, r->fingerprint);
	if (len)
		c->send(&r->to, o->data, len, c->arg);
}

void turn_reply_send(struct turn_core *c, const struct turn_reply *r, struct stun_out *o)
{
	// Only to who is authenticated: to anybody else it is amplification.
	if (r->integrity && c->config->software &&
		(r->method == STUN_ALLOCATE || r->method == STUN_REFRESH))
		stun_add(o, STUN_ATTR_SOFTWARE, SOFTWARE, strlen(SOFTWARE));
	c->stats.successes[r->method]++;
	finish(c, r, o);
}

void turn_reply_error_begin(struct turn_core *c, const struct turn_reply *r, int code,
	struct stun_out *o, uint8_t buf[STUN_MAX])
{
	c->stats.errors[code]++;
	stun_begin(o, buf, STUN_MAX, r->method | STUN_ERROR, r->tid);
	stun_add_error(o, code, "");
}

void turn_reply_error_send(struct turn_core *c, const struct turn_reply *r, struct stun_out *o)
{
	finish(c, r, o);
}

void turn_reply_error(struct turn_core *c, const struct turn_reply *r, int code)
{
	uint8_t buf[STUN_MAX];
	struct stun_out o;

	turn_reply_error_begin(c, r, code, &o, buf);
	finish(c, r, &o);
}

// ---- answers that wait for the data plane ----------------------------------------------------------

struct turn_later {
	struct turn_core *core; // NULL: the server ended meanwhile
	struct turn_reply reply;
	unsigned int waiting;
	bool closed;
	int status;
	void (*then)(struct turn_core *c, uint32_t id, int status);
	uint32_t id;
	GList link;
	size_t len;
	uint8_t body[]; // attributes of the success
};

static GQueue waiting_list = G_QUEUE_INIT; // so that an end of the server can tell them

struct turn_later *turn_later_new(
	struct turn_core *c, const struct turn_reply *r, const struct stun_out *o)
{
	size_t len = o->len - STUN_HEADER_LEN;
	struct turn_later *l = g_malloc0(sizeof(*l) + len);

	l->core = c;
	l->reply = *r;
	l->len = len;
	memcpy(l->body, o->data + STUN_HEADER_LEN, len);
	l->link.data = l;
	g_queue_push_tail_link(&waiting_list, &l->link);
	return l;
}

void turn_later_expect(struct turn_later *l)
{
	l->waiting++;
}

void turn_later_then(
	struct turn_later *l, void (*fn)(struct turn_core *c, uint32_t id, int status), uint32_t id)
{
	l->then = fn;
	l->id = id;
}

static void later_end(struct turn_later *l)
{
	struct turn_core *c = l->core;
	uint8_t buf[STUN_MAX];
	struct stun_out o;

	if (c) {
		turn_reply_begin(&l->reply, &o, buf);
		stun_add_built(&o, l->body, l->len);
		if (l->then)
			l->then(c, l->id, l->status);
		if (l->status)
			turn_reply_error(c, &l->reply, 508);
		else
			turn_reply_send(c, &l->reply, &o);
	}
	g_queue_unlink(&waiting_list, &l->link);
	sodium_memzero(l, sizeof(*l));
	g_free(l);
}

void turn_later_done(int status, void *arg)
{
	struct turn_later *l = arg;

	if (status && !l->status)
		l->status = status;
	if (!--l->waiting && l->closed)
		later_end(l);
}

void turn_later_close(struct turn_later *l)
{
	l->closed = true;
	if (!l->waiting)
		later_end(l);
}

void turn_later_forget_all(struct turn_core *c)
{
	for (GList *i = waiting_list.head; i; i = i->next) {
		struct turn_later *l = i->data;

		if (l->core == c)
			l->core = NULL;
	}
}

// ---- what is known ---------------------------------------------------------------------------------

unsigned int turn_unknown(const struct stun_msg *m, uint16_t ret[STUN_UNKNOWN_MAX])
{
	static const uint16_t known[] = {STUN_ATTR_USERNAME, STUN_ATTR_CHANNEL_NUMBER,
		STUN_ATTR_LIFETIME, STUN_ATTR_XOR_PEER_ADDRESS, STUN_ATTR_DATA, STUN_ATTR_REALM,
		STUN_ATTR_NONCE, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, STUN_ATTR_EVEN_PORT,
		STUN_ATTR_REQUESTED_TRANSPORT, STUN_ATTR_DONT_FRAGMENT,
		STUN_ATTR_PASSWORD_ALGORITHM, STUN_ATTR_USERHASH, STUN_ATTR_RESERVATION_TOKEN,
		// Of answers, which a server may ignore in a request but need not call unknown.
		STUN_ATTR_MAPPED_ADDRESS, STUN_ATTR_ERROR_CODE, STUN_ATTR_UNKNOWN_ATTRIBUTES,
		STUN_ATTR_XOR_RELAYED_ADDRESS, STUN_ATTR_XOR_MAPPED_ADDRESS};

	return stun_unknown(m, known, G_N_ELEMENTS(known), ret);
}

// ---- who asks --------------------------------------------------------------------------------------

static struct turn_nonce_source source_of(const struct turn_tuple *t)
{
	return (struct turn_nonce_source){t->client, t->client_port_be, t->transport};
}

// 400, 401, 438 and 420 to somebody who is nobody yet.
static bool may_answer_stranger(struct turn_core *c, const struct turn_tuple *from)
{
	const struct turn_config_limits *l = &c->config->limits;
	struct turn_rate rate = {l->replies_per_source_s, 1000, l->replies_burst};
	struct st_addr source = turn_source_of(&from->client);

	return turn_buckets_take(&c->replies, &source, sizeof(source), &rate, 1, c->now_ms);
}

static void challenge(struct turn_core *c, const struct turn_reply *r, int code)
{
	struct turn_nonce_source source = source_of(&r->to);
	uint8_t buf[STUN_MAX];
	struct stun_out o;

	if (!may_answer_stranger(c, &r->to))
		return;
	turn_reply_error_begin(c, r, code, &o, buf);
	if (code != 400)
		turn_auth_challenge(&c->auth, &o, &source, c->boot_s);
	finish(c, r, &o);
}

static void answer_unknown(
	struct turn_core *c, const struct turn_reply *r, const uint16_t *unknown, unsigned int n)
{
	uint8_t list[2 * STUN_UNKNOWN_MAX];
	uint8_t buf[STUN_MAX];
	struct stun_out o;

	for (unsigned int i = 0; i < n; i++) {
		list[2 * i] = (uint8_t)(unknown[i] >> 8);
		list[2 * i + 1] = (uint8_t)unknown[i];
	}
	turn_reply_error_begin(c, r, 420, &o, buf);
	stun_add(&o, STUN_ATTR_UNKNOWN_ATTRIBUTES, list, 2 * (size_t)n);
	finish(c, r, &o);
}

static void answer_binding(struct turn_core *c, const struct turn_reply *r, const struct stun_msg *m)
{
	uint8_t buf[STUN_MAX];
	uint16_t unknown[STUN_UNKNOWN_MAX];
	unsigned int n;
	struct stun_out o;

	if (!may_answer_stranger(c, &r->to))
		return;
	n = turn_unknown(m, unknown);
	if (n) {
		answer_unknown(c, r, unknown, n);
		return;
	}
	turn_reply_begin(r, &o, buf);
	stun_add_address(&o, STUN_ATTR_XOR_MAPPED_ADDRESS, &r->to.client, r->to.client_port_be);
	turn_reply_send(c, r, &o);
}

static int dispatch(struct turn_request *r)
{
	switch (stun_method(r->msg)) {
	case STUN_ALLOCATE:
		return turn_request_allocate(r);
	case STUN_REFRESH:
		return turn_request_refresh(r);
	case STUN_CREATE_PERMISSION:
		return turn_request_permission(r);
	default:
		return turn_request_channel(r);
	}
}

bool turn_request_within(struct turn_request *r, struct turn_buckets *b,
	const struct turn_rate *rate, unsigned int n)
{
	const char *name = turn_auth_quota_name(r->identity);

	if (!name)
		name = r->identity->name;
	return turn_buckets_take(b, name, strlen(name), rate, n, r->core->now_ms);
}

bool turn_request_new_peers(struct turn_request *r, unsigned int n)
{
	uint32_t per_min = r->core->config->limits.new_peers_per_user_min;
	struct turn_rate rate = {per_min, 60000, per_min};

	return !n || turn_request_within(r, &r->core->new_peers, &rate, n);
}

bool turn_request_is_owners(const struct turn_request *r)
{
	const struct turn_identity *a = &r->alloc->identity, *b = r->identity;

	return a->name_len == b->name_len && !memcmp(a->name, b->name, a->name_len);
}

static void serve(struct turn_core *c, struct turn_request *r)
{
	struct turn_nonce_source source = source_of(&r->reply.to);
	uint16_t unknown[STUN_UNKNOWN_MAX];
	struct turn_auth_result auth;
	unsigned int n;
	int code;

	r->alloc = turn_allocation_find(c, &r->reply.to);
	turn_auth_check(&c->auth, r->msg, &source, r->alloc ? &r->alloc->identity : NULL, c->boot_s,
		c->wall_s, &auth);
	if (auth.code) {
		challenge(c, &r->reply, auth.code);
		return;
	}
	// cppcheck-suppress autoVariables ; until the end of this call
	r->identity = &auth.identity;
	r->reply.integrity = auth.integrity;
	r->reply.key_len = auth.identity.key_len;
	memcpy(r->reply.key, auth.identity.key, sizeof(r->reply.key));
	n = turn_unknown(r->msg, unknown);
	if (n)
		answer_unknown(c, &r->reply, unknown, n);
	else if (r->alloc && stun_method(r->msg) != STUN_ALLOCATE && !turn_request_is_owners(r))
		turn_reply_error(c, &r->reply, 441);
	else if ((code = dispatch(r)))
		turn_reply_error(c, &r->reply, code);
	r->identity = NULL;
	sodium_memzero(&auth, sizeof(auth));
	sodium_memzero(&r->reply.key, sizeof(r->reply.key));
}

static bool is_served(uint16_t method)
{
	return method == STUN_BINDING || method == STUN_ALLOCATE || method == STUN_REFRESH ||
	       method == STUN_CREATE_PERMISSION || method == STUN_CHANNEL_BIND;
}

bool turn_core_is_stranger(
	const struct turn_core *c, const struct turn_tuple *from, const uint8_t *data, size_t len)
{
	struct turn_nonce_source source = source_of(from);
	struct stun_attr nonce;
	struct stun_msg m;

	if (stun_parse_strict(&m, data, len) || g_hash_table_contains(c->by_tuple, from))
		return false; // what is no message costs nothing more
	nonce = stun_attr(&m, STUN_ATTR_NONCE);
	return !nonce.at || turn_nonce_check(nonce.at, nonce.len, c->auth.master, &source,
				    c->boot_s, c->auth.nonce_life_s) != TURN_NONCE_GOOD;
}

void turn_core_receive(
	struct turn_core *c, const struct turn_tuple *from, const uint8_t *data, size_t len)
{
	struct turn_request r = {.core = c};
	struct stun_msg m;

	// Indications never get an answer, and those of a client are the lcores' and relay_kernel.c's.
	if (stun_parse_strict(&m, data, len) || stun_class(&m) != STUN_REQUEST ||
		!is_served(stun_method(&m))) {
		c->stats.malformed++;
		return;
	}
	c->stats.requests[stun_method(&m)]++;
	r.msg = &m;
	r.reply.to = *from;
	r.reply.method = stun_method(&m);
	r.reply.fingerprint = m.fingerprint != 0;
	memcpy(r.reply.tid, stun_tid(&m), STUN_TID_LEN);
	if (stun_method(&m) == STUN_BINDING)
		answer_binding(c, &r.reply, &m);
	else
		serve(c, &r);
}
