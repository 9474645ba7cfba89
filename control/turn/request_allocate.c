// SPDX-License-Identifier: BSD-3-Clause
//
// Allocate (RFC 8656 section 7.2), in the order of its checks. Main loop thread.
#include "../addr.h"
#include "../log.h"
#include "request.h"

#include <arpa/inet.h>
#include <string.h>

#define PROTO_UDP 17

struct wish {
	bool family[TURN_FAMILIES];
	bool additional; // IPv6 beside IPv4: one of both is enough
	enum turn_even even;
	bool redeems; // by RESERVATION-TOKEN
	unsigned int index;
	uint16_t port;
};

static bool has(const struct turn_request *r, uint16_t a)
{
	return stun_attr(r->msg, a).at != NULL;
}

static bool family_served(const struct turn_core *c, enum turn_family f)
{
	for (guint i = 0; i < c->config->relays->len; i++) {
		const struct turn_config_relay *relay = c->config->relays->pdata[i];

		if (addr_is_v4(&relay->addr) == (f == TURN_V4))
			return true;
	}
	return false;
}

static int check_transport(const struct turn_request *r)
{
	struct stun_attr t = stun_attr(r->msg, STUN_ATTR_REQUESTED_TRANSPORT);

	if (!t.at || t.len != 4)
		return 400;
	return t.at[0] == PROTO_UDP ? 0 : 442;
}

static int read_family(const struct turn_request *r, uint16_t attr, enum turn_family *ret)
{
	struct stun_attr a = stun_attr(r->msg, attr);

	if (a.len != 4)
		return 400;
	if (a.at[0] != STUN_FAMILY_V4 && a.at[0] != STUN_FAMILY_V6)
		return 440;
	*ret = a.at[0] == STUN_FAMILY_V4 ? TURN_V4 : TURN_V6;
	return 0;
}

static int read_families(const struct turn_request *r, struct wish *w)
{
	enum turn_family f = TURN_V4;
	int code;

	if (has(r, STUN_ATTR_REQUESTED_ADDRESS_FAMILY) && has(r, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY))
		return 400;
	if (has(r, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY)) {
		code = read_family(r, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, &f);
		if (code || f == TURN_V4)
			return code == 440 ? 440 : 400;
		w->additional = true;
		w->family[TURN_V4] = w->family[TURN_V6] = true;
		if (!family_served(r->core, TURN_V4) && !family_served(r->core, TURN_V6))
			return 440;
		return 0;
	}
	if (has(r, STUN_ATTR_REQUESTED_ADDRESS_FAMILY)) {
		code = read_family(r, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, &f);
		if (code)
			return code;
	}
	w->family[f] = true;
	return family_served(r->core, f) ? 0 : 440;
}

static int read_even(const struct turn_request *r, struct wish *w)
{
	struct stun_attr e = stun_attr(r->msg, STUN_ATTR_EVEN_PORT);

	if (!e.at)
		return 0;
	if (e.len != 1)
		return 400;
	w->even = e.at[0] & 0x80 ? TURN_EVEN_RESERVE : TURN_EVEN_PORT;
	return w->even == TURN_EVEN_RESERVE && w->additional ? 400 : 0;
}

// The token is looked up last of all, because that uses it up.
static int check_token(const struct turn_request *r)
{
	if (!has(r, STUN_ATTR_RESERVATION_TOKEN))
		return 0;
	if (has(r, STUN_ATTR_EVEN_PORT) || has(r, STUN_ATTR_REQUESTED_ADDRESS_FAMILY) ||
		has(r, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY))
		return 400;
	return stun_attr(r->msg, STUN_ATTR_RESERVATION_TOKEN).len == TURN_TOKEN_LEN ? 0 : 508;
}

static int check_quota(const struct turn_request *r)
{
	const struct turn_config_limits *l = &r->core->config->limits;
	const char *name = turn_auth_quota_name(r->identity);
	char *source;
	bool over;

	if (r->core->draining || turn_core_allocations(r->core) >= l->allocations)
		return 508;
	if (name && turn_counts_get(r->core->by_user, name) >= l->allocations_per_user)
		return 486;
	source = turn_source_name(&r->reply.to.client);
	over = turn_counts_get(r->core->by_source, source) >= l->allocations_per_source;
	g_free(source);
	return over ? 486 : 0;
}

// An allocation holds its port for a while after its end: who makes and ends them all the time would have the
// range to himself within his quota.
static bool within_rate(struct turn_request *r)
{
	const struct turn_config_limits *l = &r->core->config->limits;
	struct turn_rate rate = {l->allocations_per_user_s, 1000,
		MAX(l->allocations_per_user_s, l->allocations_per_user)};

	return turn_request_within(r, &r->core->new_allocations, &rate, 1);
}

static int redeem(const struct turn_request *r, struct wish *w)
{
	struct stun_attr t = stun_attr(r->msg, STUN_ATTR_RESERVATION_TOKEN);
	const struct turn_config_relay *relay;

	if (!t.at)
		return 0;
	if (!turn_ports_redeem(r->core->ports, t.at, r->core->now_ms, &w->index, &w->port))
		return 508;
	relay = r->core->config->relays->pdata[w->index];
	w->redeems = true;
	w->family[TURN_V4] = addr_is_v4(&relay->addr);
	w->family[TURN_V6] = !w->family[TURN_V4];
	return 0;
}

static int check(struct turn_request *r, struct wish *w)
{
	int code;

	// RFC 8016 section 3.2: we do not move allocations.
	if (has(r, STUN_ATTR_MOBILITY_TICKET))
		return 405;
	code = check_transport(r);
	if (!code)
		code = check_token(r);
	if (!code)
		code = read_families(r, w);
	if (!code)
		code = read_even(r, w);
	if (!code)
		code = check_quota(r);
	if (!code && !within_rate(r))
		code = 486;
	return code ? code : redeem(r, w);
}

// Of several addresses of a family the one with most ports unused.
static int best_address(const struct turn_core *c, enum turn_family f)
{
	unsigned int most = 0;
	int best = -1;

	for (guint i = 0; i < c->config->relays->len; i++) {
		const struct turn_config_relay *relay = c->config->relays->pdata[i];
		unsigned int n = turn_ports_unused(c->ports, i);

		if (addr_is_v4(&relay->addr) == (f == TURN_V4) && (best < 0 || n > most)) {
			best = (int)i;
			most = n;
		}
	}
	return best;
}

static int take(struct turn_request *r, struct turn_allocation *a, enum turn_family f,
	const struct wish *w, uint32_t lifetime_ms)
{
	struct turn_core *c = r->core;
	struct turn_relayed *x = &a->relayed[f];
	const struct turn_config_relay *relay;
	int index = w->redeems ? (int)w->index : best_address(c, f);

	if (index < 0)
		return 440;
	x->index = (unsigned int)index;
	x->port = w->redeems ? w->port
			     : turn_ports_take(c->ports, x->index, w->even, c->now_ms,
				       turn_core_scaled_ms(c, TURN_RESERVATION_MS / 1000), a->token);
	if (!x->port)
		return 508;
	a->has_token = a->has_token || w->even == TURN_EVEN_RESERVE;
	relay = c->config->relays->pdata[index];
	x->addr = relay->addr;
	x->external = relay->external;
	x->until_ms = c->now_ms + lifetime_ms;
	turn_relayed_enter(c, a, f);
	if (a->tuple.transport == TURN_UDP)
		return 0;
	x->kernel = c->kernel_open ? c->kernel_open(a, f, c->arg) : NULL;
	if (x->kernel)
		return 0;
	turn_relayed_drop(c, a, f);
	return 508;
}

static int take_all(struct turn_request *r, struct turn_allocation *a, const struct wish *w,
	uint32_t lifetime_ms)
{
	bool one = false;
	int code = 0;

	for (int f = 0; f < TURN_FAMILIES; f++) {
		int e = w->family[f] ? take(r, a, f, w, lifetime_ms) : 0;

		one = one || (w->family[f] && !e);
		if (!e)
			continue;
		code = e;
		a->error_family = f == TURN_V4 ? STUN_FAMILY_V4 : STUN_FAMILY_V6;
		a->error_code = e;
	}
	return one ? 0 : code;
}

static uint32_t lifetime_left(const struct turn_core *c, const struct turn_allocation *a)
{
	uint64_t until = MAX(a->relayed[TURN_V4].until_ms, a->relayed[TURN_V6].until_ms);

	return until > c->now_ms ? (uint32_t)((double)(until - c->now_ms) * c->scale / 1000 + 0.5)
				 : 0;
}

static void add_address_error(struct stun_out *o, uint8_t family, int code)
{
	stun_add_u32(o, STUN_ATTR_ADDRESS_ERROR_CODE,
		(uint32_t)family << 24 | (uint32_t)(code / 100) << 8 | (uint32_t)(code % 100));
}

static void fill(const struct turn_request *r, const struct turn_allocation *a, struct stun_out *o,
	uint8_t buf[STUN_MAX])
{
	turn_reply_begin(&r->reply, o, buf);
	for (int f = 0; f < TURN_FAMILIES; f++) {
		const struct turn_relayed *x = &a->relayed[f];

		if (x->used)
			stun_add_address(
				o, STUN_ATTR_XOR_RELAYED_ADDRESS, &x->external, htons(x->port));
	}
	stun_add_u32(o, STUN_ATTR_LIFETIME, lifetime_left(r->core, a));
	stun_add_address(
		o, STUN_ATTR_XOR_MAPPED_ADDRESS, &r->reply.to.client, r->reply.to.client_port_be);
	if (a->has_token)
		stun_add(o, STUN_ATTR_RESERVATION_TOKEN, a->token, sizeof(a->token));
	if (a->error_code)
		add_address_error(o, a->error_family, a->error_code);
}

static void installed(struct turn_core *c, uint32_t id, int status)
{
	struct turn_allocation *a = turn_allocation_by_id(c, id);

	if (!a)
		return;
	a->installing = false;
	if (status)
		turn_allocation_free(c, a);
}

static void install(struct turn_request *r, struct turn_allocation *a)
{
	struct turn_later *later;
	uint8_t buf[STUN_MAX];
	struct stun_out o;

	fill(r, a, &o, buf);
	later = turn_later_new(r->core, &r->reply, &o);
	turn_later_then(later, installed, a->id);
	a->installing = true;
	for (int f = 0; f < TURN_FAMILIES; f++) {
		if (!a->relayed[f].used)
			continue;
		turn_later_expect(later);
		turn_install_relay(r->core, a, f, turn_later_done, later);
	}
	turn_later_close(later);
}

// The same request once more: the same answer. Another one: the client is mistaken.
static int again(struct turn_request *r)
{
	struct turn_allocation *a = r->alloc;
	uint8_t buf[STUN_MAX];
	struct stun_out o;

	if (memcmp(a->tid, stun_tid(r->msg), STUN_TID_LEN) || !turn_request_is_owners(r))
		return 437;
	if (a->installing)
		return 0; // its answer is under way
	fill(r, a, &o, buf);
	turn_reply_send(r->core, &r->reply, &o);
	return 0;
}

// Where there is no room now there may be some elsewhere; a token is of this server alone.
static int refuse(struct turn_request *r, int code)
{
	return code == 508 && !has(r, STUN_ATTR_RESERVATION_TOKEN) && turn_request_redirect(r)
		       ? 0
		       : code;
}

int turn_request_allocate(struct turn_request *r)
{
	uint32_t lifetime = TURN_LIFETIME_S;
	struct turn_allocation *a;
	struct wish w = {0};
	int code;

	if (r->alloc)
		return again(r);
	code = check(r, &w);
	if (code)
		return refuse(r, code);
	stun_find_u32(r->msg, STUN_ATTR_LIFETIME, &lifetime);
	lifetime = MAX(TURN_LIFETIME_S, MIN(lifetime, r->core->config->max_lifetime_s));
	lifetime = turn_identity_lifetime(r->core, r->identity, lifetime);
	a = turn_allocation_new(r->core, &r->reply.to, r->identity, 0, 0);
	memcpy(a->tid, stun_tid(r->msg), STUN_TID_LEN);
	code = take_all(r, a, &w, turn_core_scaled_ms(r->core, lifetime));
	if (code) {
		turn_allocation_free(r->core, a);
		return refuse(r, code);
	}
	turn_allocation_schedule(r->core, a);
	install(r, a);
	return 0;
}
