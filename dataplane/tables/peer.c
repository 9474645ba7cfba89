// SPDX-License-Identifier: BSD-3-Clause
//
// Peers: creation, and removal in steps. Unlinked: no id, no allowed IP, no endpoint, no key in the
// hash. Emptied: its owner drops what is staged. Freed: when no lcore and no packet in a ring names it.
// main only.
#include "peer.h"

#include "../command.h"
#include "../lcore.h"
#include "../reclaim.h"
#include "../server/object.h"
#include "iface.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct peer *peers[ST_MAX_PEERS];

struct peer *peer_by_id(uint32_t peer_id)
{
	return peer_id < ST_MAX_PEERS ? peers[peer_id] : NULL;
}

struct peer *peer_next(uint32_t *cursor)
{
	while (*cursor < ST_MAX_PEERS) {
		struct peer *peer = peers[(*cursor)++];

		if (peer != NULL)
			return peer;
	}
	return NULL;
}

static inline uint64_t counter(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static void newest(uint64_t *ret, const uint64_t *stamp)
{
	uint64_t s = counter(stamp);

	if (s > *ret)
		*ret = s;
}

void peer_counts_sum(const struct peer *peer, struct peer_counts *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (unsigned int i = 0; i < lcores.nb; i++) {
		const struct peer_counts *c = &peer->counts[i];

		ret->rx_bytes += counter(&c->rx_bytes);
		ret->rx_packets += counter(&c->rx_packets);
		ret->tx_bytes += counter(&c->tx_bytes);
		ret->tx_packets += counter(&c->tx_packets);
		newest(&ret->data_sent, &c->data_sent);
		newest(&ret->any_sent, &c->any_sent);
		newest(&ret->data_received, &c->data_received);
		newest(&ret->any_received, &c->any_received);
	}
}

int peer_tables_init(void)
{
	memset(peers, 0, sizeof(peers));
	return keypair_tables_init();
}

void peer_tables_fini(void)
{
	keypair_tables_fini();
}

static struct peer *peer_new(const struct st_peer *p)
{
	size_t size = sizeof(struct peer) + lcores.nb * sizeof(struct peer_counts);
	struct peer *peer = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_CACHE_LINE_ROUNDUP(size));

	if (peer == NULL)
		return NULL;
	memset(peer, 0, size);
	peer->main = calloc(1, sizeof(*peer->main));
	if (peer->main == NULL) {
		free(peer);
		return NULL;
	}
	peer->id = p->key.peer_id;
	peer->if_id = (uint16_t)p->if_id;
	atomic_init(&peer->owner, (uint16_t)(p->key.peer_id % lcores.nb));
	return peer;
}

static int peer_check(const struct st_peer *p)
{
	const struct iface *iface;

	if (p->key.peer_id >= ST_MAX_PEERS || p->flags != 0 || p->pad != 0)
		return -EINVAL;
	if (memchr(p->name, '\0', sizeof(p->name)) == NULL)
		return -EINVAL;
	iface = p->if_id < ST_MAX_IFACES ? iface_get((uint16_t)p->if_id) : NULL;
	return iface != NULL && iface->is_wg ? 0 : -ENODEV;
}

int peer_set(const void *body, const void *old)
{
	const struct st_peer *p = body, *was = old;
	struct peer *peer;
	int rc = peer_check(p);

	if (rc < 0)
		return rc;
	if (was != NULL && was->if_id == p->if_id &&
		memcmp(was->public_key, p->public_key, sizeof(p->public_key)) == 0)
		return 0; // name and blob live in the store
	peer = peer_new(p);
	if (peer == NULL)
		return -ENOMEM;
	if (was != NULL)
		peer_del(was); // somebody else under the same id: nothing of the old one may remain
	peers[p->key.peer_id] = peer;
	return 0;
}

// ---- removal ----

static void keys_remove(struct peer *peer)
{
	for (int i = 0; i < PEER_KEYS_MAX; i++) {
		struct st_key_key key;

		if (peer->main->keys[i] == NULL)
			continue;
		key.index = peer->main->keys[i]->index;
		object_del(ST_KEY, &key, sizeof(key));
	}
}

static void allowed_ips_remove(const struct peer *peer)
{
	const struct st_allowed_ip *a;

	while ((a = object_owned(ST_ALLOWED_IP, peer->id)) != NULL) {
		struct st_allowed_ip_key key = a->key;

		object_del(ST_ALLOWED_IP, &key, sizeof(key));
	}
}

static void peer_free(void *arg)
{
	struct peer *peer = arg;

	endpoint_spare_free(peer);
	free(peer->main);
	free(peer);
}

static void emptied(void *arg)
{
	reclaim_later_rings(peer_free, arg);
}

static void unlinked(void *arg)
{
	// Every lcore has seen `dead` by now, so nothing is staged behind the command.
	(void)command_peer(arg, LCORE_CMD_PEER_REMOVE, arg, emptied);
}

void peer_del(const void *body)
{
	const struct st_peer *p = body;
	struct peer *peer = peer_by_id(p->key.peer_id);

	if (peer == NULL)
		return;
	keys_remove(peer);
	for (uint32_t slot = 0; slot < ST_ENDPOINT_SLOTS; slot++) {
		struct st_endpoint_key ep = {.peer_id = p->key.peer_id, .slot = slot};

		object_del(ST_ENDPOINT, &ep, sizeof(ep));
	}
	allowed_ips_remove(peer);
	atomic_store_explicit(&peer->dead, true, memory_order_release);
	peers[peer->id] = NULL;
	reclaim_later_rings(unlinked, peer);
}
