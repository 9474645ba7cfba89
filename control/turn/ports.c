// SPDX-License-Identifier: BSD-3-Clause
//
// Relay ports; see ports.h. Two bits per port say whether it is in use; what waits for a time waits in a queue in
// the order of that time. Main loop thread.
#include "ports.h"

#include <glib.h>
#include <sodium.h>

#include <string.h>

#define TRIES 16 // at random; then every port is looked at from a random one on

struct waiting {
	uint64_t until_ms;
	unsigned int address;
	uint16_t port;
	bool reserved; // by token; else in quarantine
	uint8_t token[TURN_TOKEN_LEN];
};

struct pool {
	uint8_t *used; // a bit per port from min on
	unsigned int unused;
};

struct turn_ports {
	uint16_t min, max;
	unsigned int addresses;
	struct pool *pools;
	GQueue quarantine, reserved; // of struct waiting *, soonest first
};

static unsigned int count(const struct turn_ports *p)
{
	return (unsigned int)p->max - p->min + 1;
}

struct turn_ports *turn_ports_new(unsigned int addresses, uint16_t min, uint16_t max)
{
	struct turn_ports *p = g_new0(struct turn_ports, 1);

	p->min = min;
	p->max = max;
	p->addresses = addresses;
	p->pools = g_new0(struct pool, addresses);
	for (unsigned int i = 0; i < addresses; i++) {
		p->pools[i].used = g_malloc0(count(p) / 8 + 1);
		p->pools[i].unused = count(p);
	}
	g_queue_init(&p->quarantine);
	g_queue_init(&p->reserved);
	return p;
}

void turn_ports_free(struct turn_ports *p)
{
	if (!p)
		return;
	for (unsigned int i = 0; i < p->addresses; i++)
		g_free(p->pools[i].used);
	g_free(p->pools);
	g_queue_clear_full(&p->quarantine, g_free);
	g_queue_clear_full(&p->reserved, g_free);
	g_free(p);
}

static bool is_used(const struct turn_ports *p, unsigned int address, unsigned int port)
{
	unsigned int bit = port - p->min;

	return p->pools[address].used[bit / 8] >> bit % 8 & 1;
}

static void mark(struct turn_ports *p, unsigned int address, unsigned int port, bool used)
{
	unsigned int bit = port - p->min;
	uint8_t *byte = &p->pools[address].used[bit / 8];

	*byte = used ? (uint8_t)(*byte | 1 << bit % 8) : (uint8_t)(*byte & ~(1 << bit % 8));
	p->pools[address].unused += used ? -1U : 1U;
}

static void release_due(struct turn_ports *p, GQueue *q, uint64_t now_ms)
{
	struct waiting *w;

	while ((w = g_queue_peek_head(q)) && w->until_ms <= now_ms) {
		mark(p, w->address, w->port, false);
		g_free(g_queue_pop_head(q));
	}
}

void turn_ports_tick(struct turn_ports *p, uint64_t now_ms)
{
	release_due(p, &p->quarantine, now_ms);
	release_due(p, &p->reserved, now_ms);
}

static bool fits(
	const struct turn_ports *p, unsigned int address, unsigned int port, enum turn_even even)
{
	if (is_used(p, address, port))
		return false;
	if (even == TURN_EVEN_ANY)
		return true;
	if (port & 1)
		return false;
	return even == TURN_EVEN_PORT || (port < p->max && !is_used(p, address, port + 1));
}

static unsigned int search(const struct turn_ports *p, unsigned int address, enum turn_even even)
{
	unsigned int n = count(p), at;

	if (!p->pools[address].unused)
		return 0;
	for (int i = 0; i < TRIES; i++) {
		at = p->min + randombytes_uniform(n);
		if (fits(p, address, at, even))
			return at;
	}
	at = randombytes_uniform(n);
	for (unsigned int i = 0; i < n; i++) {
		unsigned int port = p->min + (at + i) % n;

		if (fits(p, address, port, even))
			return port;
	}
	return 0;
}

static void wait_in(
	GQueue *q, unsigned int address, unsigned int port, uint64_t until_ms, const uint8_t *token)
{
	struct waiting *w = g_new0(struct waiting, 1);

	w->until_ms = until_ms;
	w->address = address;
	w->port = (uint16_t)port;
	w->reserved = token != NULL;
	if (token)
		memcpy(w->token, token, TURN_TOKEN_LEN);
	g_queue_push_tail(q, w);
}

uint16_t turn_ports_take(struct turn_ports *p, unsigned int address, enum turn_even even,
	uint64_t now_ms, uint32_t reservation_ms, uint8_t ret_token[TURN_TOKEN_LEN])
{
	unsigned int port;

	turn_ports_tick(p, now_ms);
	port = search(p, address, even);
	if (!port)
		return 0;
	mark(p, address, port, true);
	if (even == TURN_EVEN_RESERVE) {
		mark(p, address, port + 1, true);
		randombytes_buf(ret_token, TURN_TOKEN_LEN);
		wait_in(&p->reserved, address, port + 1, now_ms + reservation_ms, ret_token);
	}
	return (uint16_t)port;
}

bool turn_ports_redeem(struct turn_ports *p, const uint8_t token[TURN_TOKEN_LEN], uint64_t now_ms,
	unsigned int *ret_address, uint16_t *ret_port)
{
	turn_ports_tick(p, now_ms);
	for (GList *l = p->reserved.head; l; l = l->next) {
		struct waiting *w = l->data;

		if (sodium_memcmp(w->token, token, TURN_TOKEN_LEN))
			continue;
		*ret_address = w->address;
		*ret_port = w->port;
		g_free(w);
		g_queue_delete_link(&p->reserved, l);
		return true;
	}
	return false;
}

bool turn_ports_claim(struct turn_ports *p, unsigned int address, uint16_t port)
{
	if (address >= p->addresses || port < p->min || port > p->max || is_used(p, address, port))
		return false;
	mark(p, address, port, true);
	return true;
}

static int by_time(const void *a, const void *b, void *arg)
{
	const struct waiting *x = a, *y = b;

	return x->until_ms < y->until_ms ? -1 : x->until_ms > y->until_ms;
}

bool turn_ports_reserve(struct turn_ports *p, unsigned int address, uint16_t port,
	uint64_t until_ms, const uint8_t token[TURN_TOKEN_LEN])
{
	if (!turn_ports_claim(p, address, port))
		return false;
	wait_in(&p->reserved, address, port, until_ms, token);
	g_queue_sort(&p->reserved, by_time, NULL);
	return true;
}

void turn_ports_put(struct turn_ports *p, unsigned int address, uint16_t port, uint64_t now_ms,
	uint32_t quarantine_ms)
{
	if (address < p->addresses && port >= p->min && port <= p->max && is_used(p, address, port))
		wait_in(&p->quarantine, address, port, now_ms + quarantine_ms, NULL);
}

unsigned int turn_ports_unused(const struct turn_ports *p, unsigned int address)
{
	return p->pools[address].unused;
}

unsigned int turn_ports_total(const struct turn_ports *p)
{
	return count(p) * p->addresses;
}
