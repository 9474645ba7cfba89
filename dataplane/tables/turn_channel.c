// SPDX-License-Identifier: BSD-3-Clause
//
// Channels (RFC 8656 section 12): one entry under two keys, by the client's 5-tuple and number and by the
// relayed and the peer's transport address. Another number for the same peer is a new entry.
#include "../reclaim.h"
#include "../server/object.h"
#include "slab.h"
#include "turn.h"

#include <errno.h>
#include <stddef.h>

#define NUMBER_MIN 0x4000
#define NUMBER_MAX 0x7fff // beyond RFC 8656's 0x4fff: which clients get them is straitd's decision

static struct slab slab;

int turn_channels_init(uint32_t max)
{
	int rc;

	slab_init(&slab, sizeof(struct turn_channel), 2 * RTE_CACHE_LINE_SIZE);
	rc = turn_hash_init(&turn_tables.c2p, offsetof(struct turn_channel, c2p), 2, max);
	if (rc == 0)
		rc = turn_hash_init(&turn_tables.p2c, offsetof(struct turn_channel, p2c), 2, max);
	return rc;
}

void turn_channels_fini(void)
{
	turn_hash_fini(&turn_tables.c2p);
	turn_hash_fini(&turn_tables.p2c);
	slab_fini(&slab);
}

uint64_t turn_channels_bytes(void)
{
	return slab_bytes(&slab) + turn_hash_bytes(&turn_tables.c2p) +
	       turn_hash_bytes(&turn_tables.p2c);
}

static void channel_free(void *arg)
{
	slab_free(&slab, arg);
}

static struct turn_channel *find(const struct turn_permission *perm, uint16_t peer_port_be)
{
	struct turn_channel *c = perm->channels;

	while (c != NULL && (uint16_t)(c->p2c.w[4] >> 16) != peer_port_be)
		c = c->next;
	return c;
}

static uint16_t number_of(const struct turn_channel *c)
{
	return (uint16_t)(c->c2p.w[4] >> 32);
}

static struct turn_channel *channel_new(
	const struct st_channel *ch, struct turn_relay *relay, const struct turn_permission *perm)
{
	struct turn_channel *c = slab_alloc(&slab);

	if (c == NULL)
		return NULL;
	c->c2p = relay->client;
	c->c2p.w[4] = (c->c2p.w[4] & UINT32_MAX) | (uint64_t)ch->number << 32;
	turn_key_addrs(&c->p2c, &ch->key.relay.relay, &ch->key.peer);
	c->p2c.w[4] = turn_ports(ch->key.relay.relay_port_be, ch->key.peer_port_be, 0);
	c->relay = relay;
	atomic_store_explicit(&c->expiry, turn_expiry(), memory_order_relaxed);
	atomic_store_explicit(&c->permitted,
		atomic_load_explicit(&perm->expiry, memory_order_relaxed), memory_order_relaxed);
	return c;
}

// Those of a TCP client are straitd's own.
static bool on_lcores(const struct turn_channel *c)
{
	return !(c->relay->flags & ST_RELAY_F_CONTROL);
}

static int link_new(struct turn_permission *perm, struct turn_channel *c)
{
	if (on_lcores(c)) {
		if (turn_hash_add(&turn_tables.c2p, c) < 0)
			return -ENOMEM;
		if (turn_hash_add(&turn_tables.p2c, c) < 0) {
			turn_hash_del(&turn_tables.c2p, c);
			return -ENOMEM;
		}
	}
	c->next = perm->channels;
	perm->channels = c;
	c->relay->nb_channels++;
	return 0;
}

static void unlink_channel(struct turn_permission *perm, struct turn_channel *c)
{
	struct turn_channel **p = &perm->channels;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	c->relay->nb_channels--;
	if (on_lcores(c)) {
		turn_hash_del(&turn_tables.c2p, c);
		turn_hash_del(&turn_tables.p2c, c);
	}
	reclaim_later(channel_free, c);
}

static bool number_taken(struct turn_relay *relay, uint16_t number)
{
	struct turn_key k = relay->client;

	k.w[4] = (k.w[4] & UINT32_MAX) | (uint64_t)number << 32;
	return !(relay->flags & ST_RELAY_F_CONTROL) && turn_hash_find(&turn_tables.c2p, &k) != NULL;
}

static int add(const struct st_channel *ch, struct turn_relay *relay, struct turn_permission *perm)
{
	struct turn_channel *c;
	int rc;

	if (number_taken(relay, ch->number))
		return -EEXIST;
	c = channel_new(ch, relay, perm);
	if (c == NULL)
		return -ENOMEM;
	rc = link_new(perm, c);
	if (rc < 0)
		reclaim_later(channel_free, c); // a lcore may have met it
	return rc;
}

static int check(const struct st_channel *ch)
{
	if (ch->pad != 0 || ch->key.pad != 0 || ch->key.relay.pad != 0 ||
		ch->key.peer_port_be == 0 || ch->number < NUMBER_MIN || ch->number > NUMBER_MAX)
		return -EINVAL;
	if (turn_addr_is_ipv4(&ch->key.relay.relay) != turn_addr_is_ipv4(&ch->key.peer))
		return -EAFNOSUPPORT;
	return 0;
}

int turn_channel_set(const void *body, const void *old)
{
	const struct st_channel *ch = body;
	struct turn_relay *relay = turn_relay_find(&ch->key.relay);
	struct turn_permission *perm;
	struct turn_channel *c;
	int rc = check(ch);

	if (rc < 0)
		return rc;
	if (relay == NULL)
		return -ENOENT;
	perm = turn_permission_get(relay, &ch->key.peer);
	if (perm == NULL)
		return -ENOMEM;
	c = find(perm, ch->key.peer_port_be);
	if (c != NULL && number_of(c) == ch->number) {
		atomic_store_explicit(&c->expiry, turn_expiry(), memory_order_relaxed);
		object_set_in_place();
		return 0;
	}
	if (c != NULL && !number_taken(relay, ch->number))
		unlink_channel(perm, c);
	rc = add(ch, relay, perm);
	turn_permission_tidy(perm);
	return rc;
}

void turn_channel_del(const void *body)
{
	const struct st_channel *ch = body;
	struct turn_relay *relay = turn_relay_find(&ch->key.relay);
	struct turn_permission *perm =
		relay == NULL ? NULL : turn_permission_find(relay, &ch->key.peer);
	struct turn_channel *c = perm == NULL ? NULL : find(perm, ch->key.peer_port_be);

	if (c == NULL)
		return;
	unlink_channel(perm, c);
	turn_permission_tidy(perm);
}
