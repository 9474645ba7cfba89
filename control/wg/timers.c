// SPDX-License-Identifier: BSD-3-Clause
//
// Timers of WireGuard peers; see timers.h. Main loop thread; it must not read a clock.
#include "timers.h"

#include "../../crypto/messages.h"

#include <glib.h>
#include <sodium.h>

static uint32_t scaled(double ms, double scale)
{
	double v = ms / scale;

	return v < 1 ? 1 : (uint32_t)v;
}

void timers_params_init(struct timers_params *p, double scale)
{
	p->rekey_timeout = scaled(REKEY_TIMEOUT_MS, scale);
	p->rekey_jitter = scaled(REKEY_TIMEOUT_JITTER_MS, scale);
	p->rekey_after = scaled(REKEY_AFTER_TIME_MS, scale);
	p->rekey_receiving =
		scaled(REJECT_AFTER_TIME_MS - KEEPALIVE_TIMEOUT_MS - REKEY_TIMEOUT_MS, scale);
	p->reject_after = scaled(REJECT_AFTER_TIME_MS, scale);
	p->keepalive = scaled(KEEPALIVE_TIMEOUT_MS, scale);
	p->new_handshake = scaled(KEEPALIVE_TIMEOUT_MS + REKEY_TIMEOUT_MS, scale);
	p->zero_keys = scaled(3.0 * REJECT_AFTER_TIME_MS, scale);
	p->second = scaled(1000, scale);
	p->flood_interval = scaled(INITIATIONS_INTERVAL_MS, scale);
	p->random = randombytes_uniform;
}

void timers_init(struct timers *t)
{
	*t = (struct timers){0};
	for (int i = 0; i < TIMER_COUNT; i++)
		t->due[i] = TIMERS_NEVER;
}

uint64_t timers_next(const struct timers *t)
{
	uint64_t next = TIMERS_NEVER;

	for (int i = 0; i < TIMER_COUNT; i++)
		next = MIN(next, t->due[i]);
	return next;
}

static bool armed(const struct timers *t, enum timer which)
{
	return t->due[which] != TIMERS_NEVER;
}

static void disarm(struct timers *t, enum timer which)
{
	t->due[which] = TIMERS_NEVER;
}

static uint64_t jitter(const struct timers_params *p)
{
	return p->random(p->rekey_jitter + 1);
}

// Any authenticated packet in either direction puts the persistent keepalive off.
static void traversal(struct timers *t, const struct timers_params *p, uint64_t when)
{
	if (t->persistent)
		t->due[TIMER_PERSISTENT] = when + (uint64_t)t->persistent * p->second;
}

void timers_data_sent(struct timers *t, const struct timers_params *p, uint64_t when)
{
	if (!armed(t, TIMER_NEW_HANDSHAKE))
		t->due[TIMER_NEW_HANDSHAKE] = when + p->new_handshake + jitter(p);
}

void timers_data_received(struct timers *t, const struct timers_params *p, uint64_t when)
{
	if (armed(t, TIMER_KEEPALIVE))
		t->need_another_keepalive = true;
	else
		t->due[TIMER_KEEPALIVE] = when + p->keepalive;
}

void timers_any_sent(struct timers *t, const struct timers_params *p, uint64_t when)
{
	disarm(t, TIMER_KEEPALIVE);
	traversal(t, p, when);
}

void timers_any_received(struct timers *t, const struct timers_params *p, uint64_t when)
{
	disarm(t, TIMER_NEW_HANDSHAKE);
	traversal(t, p, when);
}

bool timers_may_initiate(struct timers *t, const struct timers_params *p, uint64_t now)
{
	uint64_t allowed = t->last_handshake + p->rekey_timeout;

	if (!t->last_handshake || now >= allowed)
		return true;
	if (!armed(t, TIMER_RETRANSMIT))
		t->due[TIMER_RETRANSMIT] = allowed + jitter(p);
	return false;
}

void timers_initiation_sent(struct timers *t, const struct timers_params *p, uint64_t now)
{
	t->last_handshake = now;
	timers_any_sent(t, p, now);
	t->due[TIMER_RETRANSMIT] = now + p->rekey_timeout + jitter(p);
}

void timers_response_sent(struct timers *t, const struct timers_params *p, uint64_t now)
{
	t->last_handshake = now;
	timers_any_sent(t, p, now);
}

void timers_session_derived(struct timers *t, const struct timers_params *p, uint64_t now)
{
	t->due[TIMER_ZERO_KEYS] = now + p->zero_keys;
}

void timers_handshake_complete(struct timers *t)
{
	disarm(t, TIMER_RETRANSMIT);
	t->attempts = 0;
}

void timers_initiate_at(struct timers *t, uint64_t when)
{
	t->last_handshake = 0;
	t->attempts = 0;
	t->due[TIMER_RETRANSMIT] = when;
}

bool timers_set_persistent(
	struct timers *t, const struct timers_params *p, uint16_t seconds, uint64_t now)
{
	bool start = !t->persistent && seconds;

	if (t->persistent == seconds)
		return false;
	t->persistent = seconds;
	disarm(t, TIMER_PERSISTENT);
	traversal(t, p, now);
	return start;
}

// What was sent last has no answer yet, or something was received and nothing sent since.
static void restore_new_handshake(
	struct timers *t, const struct timers_params *p, const struct timers_history *h)
{
	uint64_t earliest = h->any_received + p->new_handshake;

	if (h->data_sent <= h->any_received)
		disarm(t, TIMER_NEW_HANDSHAKE);
	else if (!armed(t, TIMER_NEW_HANDSHAKE) || t->due[TIMER_NEW_HANDSHAKE] < earliest)
		t->due[TIMER_NEW_HANDSHAKE] = h->data_sent + p->new_handshake + jitter(p);
}

static void restore_keepalive(
	struct timers *t, const struct timers_params *p, const struct timers_history *h)
{
	uint64_t earliest = h->any_sent + p->keepalive;

	if (h->data_received <= h->any_sent)
		disarm(t, TIMER_KEEPALIVE);
	else if (!armed(t, TIMER_KEEPALIVE) || t->due[TIMER_KEEPALIVE] < earliest)
		t->due[TIMER_KEEPALIVE] = h->any_sent ? earliest : h->data_received + p->keepalive;
}

void timers_restore(struct timers *t, const struct timers_params *p, const struct timers_history *h,
	uint64_t now)
{
	uint64_t last = MAX(h->any_received, h->any_sent);

	restore_new_handshake(t, p, h);
	restore_keepalive(t, p, h);
	if (last)
		traversal(t, p, last);
}

static uint32_t expire_retransmit(struct timers *t, const struct timers_params *p, uint64_t now)
{
	disarm(t, TIMER_RETRANSMIT);
	// Beyond it, not at it, as Linux and wireguard-go do: 20 initiations in all, the last after 95 s.
	if (t->attempts > MAX_TIMER_HANDSHAKES) {
		disarm(t, TIMER_KEEPALIVE);
		t->attempts = 0;
		if (!armed(t, TIMER_ZERO_KEYS))
			t->due[TIMER_ZERO_KEYS] = now + p->zero_keys;
		return TIMERS_GAVE_UP;
	}
	t->attempts++;
	return TIMERS_RETRY | TIMERS_CLEAR_SOURCE;
}

static uint32_t expire_keepalive(struct timers *t, const struct timers_params *p, uint64_t now)
{
	disarm(t, TIMER_KEEPALIVE);
	if (t->need_another_keepalive) {
		t->need_another_keepalive = false;
		t->due[TIMER_KEEPALIVE] = now + p->keepalive;
	}
	return TIMERS_SEND_KEEPALIVE;
}

uint32_t timers_expire(struct timers *t, const struct timers_params *p, uint64_t now)
{
	uint32_t todo = 0;

	if (t->due[TIMER_RETRANSMIT] <= now)
		todo |= expire_retransmit(t, p, now);
	if (t->due[TIMER_KEEPALIVE] <= now)
		todo |= expire_keepalive(t, p, now);
	if (t->due[TIMER_NEW_HANDSHAKE] <= now) {
		disarm(t, TIMER_NEW_HANDSHAKE);
		todo |= TIMERS_INITIATE | TIMERS_CLEAR_SOURCE;
	}
	if (t->due[TIMER_ZERO_KEYS] <= now) {
		disarm(t, TIMER_ZERO_KEYS);
		todo |= TIMERS_ZERO_KEYS;
	}
	if (t->due[TIMER_PERSISTENT] <= now) {
		traversal(t, p, now);
		todo |= TIMERS_SEND_KEEPALIVE;
	}
	return todo;
}

// ---- heap ----------------------------------------------------------------------------------------

static void heap_put(struct timers_heap *h, size_t pos, struct timers *t)
{
	h->items[pos] = t;
	t->heap_pos = pos + 1;
}

static void heap_up(struct timers_heap *h, size_t pos)
{
	struct timers *t = h->items[pos];
	uint64_t key = timers_next(t);

	while (pos > 0) {
		size_t parent = (pos - 1) / 2;

		if (timers_next(h->items[parent]) <= key)
			break;
		heap_put(h, pos, h->items[parent]);
		pos = parent;
	}
	heap_put(h, pos, t);
}

static void heap_down(struct timers_heap *h, size_t pos)
{
	struct timers *t = h->items[pos];
	uint64_t key = timers_next(t);

	for (;;) {
		size_t child = 2 * pos + 1;

		if (child >= h->count)
			break;
		if (child + 1 < h->count &&
			timers_next(h->items[child + 1]) < timers_next(h->items[child]))
			child++;
		if (timers_next(h->items[child]) >= key)
			break;
		heap_put(h, pos, h->items[child]);
		pos = child;
	}
	heap_put(h, pos, t);
}

void timers_heap_update(struct timers_heap *h, struct timers *t)
{
	if (timers_next(t) == TIMERS_NEVER) {
		timers_heap_remove(h, t);
		return;
	}
	if (!t->heap_pos) {
		if (h->count == h->size) {
			h->size = h->size ? 2 * h->size : 64;
			h->items = g_renew(struct timers *, h->items, h->size);
		}
		heap_put(h, h->count++, t);
	}
	heap_up(h, t->heap_pos - 1);
	heap_down(h, t->heap_pos - 1);
}

void timers_heap_remove(struct timers_heap *h, struct timers *t)
{
	size_t pos;

	if (!t->heap_pos)
		return;
	pos = t->heap_pos - 1;
	t->heap_pos = 0;
	h->count--;
	if (pos == h->count)
		return;
	heap_put(h, pos, h->items[h->count]);
	heap_up(h, pos);
	heap_down(h, h->items[pos]->heap_pos - 1);
}

struct timers *timers_heap_first(const struct timers_heap *h)
{
	return h->count ? h->items[0] : NULL;
}

void timers_heap_fini(struct timers_heap *h)
{
	g_free(h->items);
	*h = (struct timers_heap){0};
}
