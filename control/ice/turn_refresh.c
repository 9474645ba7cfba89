// SPDX-License-Identifier: BSD-3-Clause
//
// An allocation that straitd is the client of: Refresh and ChannelBind for as long as it is used (RFC 8656 8,
// 12.1). Main loop thread.
#include "turn_client_internal.h"

#include <sodium.h>

#define LIFETIME_S          600
#define BIND_EVERY_S        240 // keeps the permission (300 s) and the channel (600 s)
#define RETRY_MS            500
#define TRIES               6
#define CODE_STALE_NONCE    438
#define CODE_NO_CREDENTIALS 401 // and a nonce: ours was none the server knew

// --- requests -------------------------------------------------------------------------------------------

static void authenticate(struct turn_client *t, struct stun_out *o)
{
	stun_add(o, STUN_ATTR_USERNAME, t->username, strlen(t->username));
	stun_add(o, STUN_ATTR_REALM, t->realm, t->realm_len);
	// After a restart there is none: any that is wrong makes the server tell its own.
	stun_add(o, STUN_ATTR_NONCE, t->nonce_len ? t->nonce : "0", t->nonce_len ? t->nonce_len : 1);
}

void turn_send_refresh(struct turn_client *t, uint32_t lifetime)
{
	uint8_t buf[STUN_MAX];
	struct stun_out o;
	size_t len;

	stun_begin(&o, buf, sizeof(buf), STUN_REFRESH | STUN_REQUEST, t->refresh.tid);
	stun_add_u32(&o, STUN_ATTR_LIFETIME, lifetime);
	authenticate(t, &o);
	len = stun_end(&o, t->key, sizeof(t->key), true);
	if (len)
		(void)turn_socket_send(t->socket, buf, len);
}

static void send_bind(struct turn_client *t, const struct turn_binding *b)
{
	uint8_t buf[STUN_MAX];
	struct stun_out o;
	size_t len;

	stun_begin(&o, buf, sizeof(buf), STUN_CHANNEL_BIND | STUN_REQUEST, t->bind.tid);
	stun_add_u32(&o, STUN_ATTR_CHANNEL_NUMBER, (uint32_t)b->number << 16);
	stun_add_address(&o, STUN_ATTR_XOR_PEER_ADDRESS, &b->peer, b->port_be);
	authenticate(t, &o);
	len = stun_end(&o, t->key, sizeof(t->key), true);
	if (len)
		(void)turn_socket_send(t->socket, buf, len);
}

// For a peer without a channel: what it sends would not be let through else.
static void send_permission(struct turn_client *t)
{
	uint8_t buf[STUN_MAX];
	struct stun_out o;
	size_t len;

	stun_begin(&o, buf, sizeof(buf), STUN_CREATE_PERMISSION | STUN_REQUEST, t->bind.tid);
	stun_add_address(&o, STUN_ATTR_XOR_PEER_ADDRESS, &t->peer, t->peer_port_be);
	authenticate(t, &o);
	len = stun_end(&o, t->key, sizeof(t->key), true);
	if (len)
		(void)turn_socket_send(t->socket, buf, len);
}

// --- their time -----------------------------------------------------------------------------------------

void turn_errand_begin(struct turn_errand *e, uint64_t now)
{
	randombytes_buf(e->tid, sizeof(e->tid));
	e->tries = 0;
	e->due = now;
}

static void errand_sent(struct turn_errand *e, uint64_t now)
{
	e->tries++;
	e->due = now + ((uint64_t)RETRY_MS << MIN(e->tries - 1, 4U));
}

// Half of what was granted, as libnice and pion do; so that two tries may be turn_lost.
void turn_refresh_later(struct turn_client *t, uint64_t now)
{
	uint32_t s = t->lifetime_s ? t->lifetime_s : LIFETIME_S;

	turn_errand_begin(&t->refresh, now + (uint64_t)s * 500);
}

void turn_client_verify(struct turn_client *t)
{
	if (!t->refresh.tries)
		turn_errand_begin(&t->refresh, ice_now());
}

uint64_t turn_client_tick(struct turn_client *t, uint64_t now)
{
	struct turn_binding *b;

	if (t->ended || !t->adopted)
		return UINT64_MAX;
	if (now >= t->refresh.due) {
		if (t->refresh.tries >= TRIES) {
			turn_lost(t, "the TURN server does not answer");
			return UINT64_MAX;
		}
		turn_send_refresh(t, LIFETIME_S);
		errand_sent(&t->refresh, now);
	}
	if (now >= t->bind.due) {
		b = turn_channel_add(t, &t->peer, t->peer_port_be, turn_channel_free_number(t));
		if (t->bind.tries >= TRIES) {
			// Send indications go on; the next round tries again.
			turn_errand_begin(&t->bind, now + turn_scaled(t, BIND_EVERY_S * 1000));
		} else {
			if (b)
				send_bind(t, b);
			else
				send_permission(t);
			errand_sent(&t->bind, now);
		}
	}
	return MIN(t->refresh.due, t->bind.due);
}

void turn_client_peer(struct turn_client *t, const struct st_addr *peer, uint16_t peer_port_be)
{
	t->peer = *peer;
	t->peer_port_be = peer_port_be;
	turn_errand_begin(&t->bind, ice_now());
}

// --- their answers --------------------------------------------------------------------------------------

void turn_lost(struct turn_client *t, const char *why)
{
	if (t->ended)
		return;
	t->ended = true;
	t->p.ice->counters.turn_lost++;
	if (t->adopted)
		t->ops->lost(why, t->arg);
}

static void own_error(struct turn_client *t, struct turn_errand *e, const struct stun_msg *m)
{
	int code = stun_error_code(m);
	uint64_t now = ice_now();

	if ((code == CODE_STALE_NONCE || code == CODE_NO_CREDENTIALS) && e->tries < TRIES) {
		unsigned int tries = e->tries;

		turn_take_challenge(t, m);
		turn_errand_begin(e, now); // at once, with the new nonce
		e->tries = tries;
		(void)turn_client_tick(t, now);
		return;
	}
	t->p.ice->counters.turn_refused++;
	if (e == &t->refresh)
		turn_lost(t, "the TURN server refuses to refresh the allocation");
	else
		turn_errand_begin(e, now + turn_scaled(t, BIND_EVERY_S * 1000));
}

// An answer to a request of straitd itself. False: it is none.
bool turn_own_answer(struct turn_client *t, const struct stun_msg *m)
{
	struct turn_errand *e = !memcmp(t->refresh.tid, stun_tid(m), STUN_TID_LEN) ? &t->refresh
				: !memcmp(t->bind.tid, stun_tid(m), STUN_TID_LEN)  ? &t->bind
										   : NULL;
	struct turn_binding *b;
	bool bound;

	if (!t->adopted || !e || !e->tries)
		return false;
	if (stun_class(m) == STUN_ERROR) {
		own_error(t, e, m);
		return true;
	}
	if (!stun_verify(m, t->key, sizeof(t->key))) {
		t->p.ice->counters.stun_bad_integrity++;
		return true;
	}
	turn_watch_success(t, m, NULL);
	if (e == &t->refresh) {
		turn_refresh_later(t, ice_now());
		return true;
	}
	turn_errand_begin(e, ice_now() + turn_scaled(t, BIND_EVERY_S * 1000));
	b = stun_method(m) == STUN_CHANNEL_BIND ? turn_channel_to(t, &t->peer, t->peer_port_be)
						: NULL;
	if (!b)
		return true;
	bound = turn_channel_ready(b);
	turn_channel_confirm(t, b);
	if (!bound)
		t->ops->bound(t->arg);
	return true;
}
