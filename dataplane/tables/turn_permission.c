// SPDX-License-Identifier: BSD-3-Clause
//
// Permissions (RFC 8656 section 9): by relayed transport address and peer IP address. Channels of the
// same peer address hang on one and carry a copy of its expiry, so that a lcore needs no look-up for it.
#include "../reclaim.h"
#include "../server/object.h"
#include "slab.h"
#include "turn.h"

#include <errno.h>
#include <stddef.h>

static struct slab slab;

int turn_permissions_init(uint32_t max)
{
	slab_init(&slab, sizeof(struct turn_permission), RTE_CACHE_LINE_SIZE);
	return turn_hash_init(
		&turn_tables.permissions, offsetof(struct turn_permission, key), 1, max);
}

void turn_permissions_fini(void)
{
	turn_hash_fini(&turn_tables.permissions);
	slab_fini(&slab);
}

uint64_t turn_permissions_bytes(void)
{
	return slab_bytes(&slab) + turn_hash_bytes(&turn_tables.permissions);
}

static void permission_free(void *arg)
{
	slab_free(&slab, arg);
}

struct turn_permission *turn_permission_find(struct turn_relay *relay, const struct st_addr *peer)
{
	struct turn_key k;

	turn_permission_key(&k, turn_key_first(&relay->key), (uint16_t)relay->key.w[4], peer);
	return turn_hash_find(&turn_tables.permissions, &k);
}

struct turn_permission *turn_permission_get(struct turn_relay *relay, const struct st_addr *peer)
{
	struct turn_permission *perm = turn_permission_find(relay, peer);

	if (perm != NULL)
		return perm;
	perm = slab_alloc(&slab);
	if (perm == NULL)
		return NULL;
	turn_permission_key(&perm->key, turn_key_first(&relay->key), (uint16_t)relay->key.w[4], peer);
	perm->relay = relay;
	if (turn_hash_add(&turn_tables.permissions, perm) < 0) {
		slab_free(&slab, perm);
		return NULL;
	}
	perm->next = relay->permissions;
	if (perm->next != NULL)
		perm->next->prev = perm;
	relay->permissions = perm;
	return perm;
}

void turn_permission_tidy(struct turn_permission *perm)
{
	if (perm->object || perm->channels != NULL)
		return;
	if (perm->prev != NULL)
		perm->prev->next = perm->next;
	else
		perm->relay->permissions = perm->next;
	if (perm->next != NULL)
		perm->next->prev = perm->prev;
	turn_hash_del(&turn_tables.permissions, perm);
	reclaim_later(permission_free, perm);
}

static void expiry_set(struct turn_permission *perm, uint64_t expiry)
{
	atomic_store_explicit(&perm->expiry, expiry, memory_order_relaxed);
	for (struct turn_channel *c = perm->channels; c != NULL; c = c->next)
		atomic_store_explicit(&c->permitted, expiry, memory_order_relaxed);
}

int turn_permission_set(const void *body, const void *old)
{
	const struct st_permission *p = body;
	struct turn_relay *relay = turn_relay_find(&p->key.relay);
	struct turn_permission *perm;

	if (p->key.relay.pad != 0)
		return -EINVAL;
	if (turn_addr_is_ipv4(&p->key.relay.relay) != turn_addr_is_ipv4(&p->key.peer))
		return -EAFNOSUPPORT;
	if (relay == NULL)
		return -ENOENT;
	perm = turn_permission_get(relay, &p->key.peer);
	if (perm == NULL)
		return -ENOMEM;
	if (perm->object)
		object_set_in_place();
	else
		relay->nb_permissions++;
	perm->object = true;
	expiry_set(perm, turn_expiry());
	return 0;
}

void turn_permission_del(const void *body)
{
	const struct st_permission *p = body;
	struct turn_relay *relay = turn_relay_find(&p->key.relay);
	struct turn_permission *perm =
		relay == NULL ? NULL : turn_permission_find(relay, &p->key.peer);

	if (perm == NULL || !perm->object)
		return;
	perm->object = false;
	relay->nb_permissions--;
	expiry_set(perm, 0);
	turn_permission_tidy(perm);
}
