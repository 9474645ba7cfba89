// SPDX-License-Identifier: BSD-3-Clause
//
// Session keys: the hash from receiver index to keypair, KEY objects, and their removal in three steps:
// out of the hash, out of the slots by command to the owner, wiped and freed when no lcore and no packet
// in a ring can name it. main writes; lcores look up.
#include "../command.h"
#include "../lcore.h"
#include "../reclaim.h"
#include "../server/object.h"
#include "peer.h"

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <sodium.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// The cap of ST_KEY and room to spare: a cuckoo hash does not fill up quite, and slots of deleted
// entries come back late.
#define KEYPAIR_SLOTS (3 * ST_MAX_PEERS + ST_MAX_PEERS)
#define LOOKUP_MAX    64

static struct rte_hash *table;

// rte_hash publishes and reads its data word with release and acquire inside a library that is not
// instrumented; ThreadSanitizer is told so.
#if defined(__SANITIZE_THREAD__)
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define SANITIZER_ACQUIRE(p) __tsan_acquire(p)
#define SANITIZER_RELEASE(p) __tsan_release(p)
#else
#define SANITIZER_ACQUIRE(p) ((void)(p))
#define SANITIZER_RELEASE(p) ((void)(p))
#endif

int keypair_tables_init(void)
{
	struct rte_hash_parameters params = {
		.name = "keypair",
		.entries = KEYPAIR_SLOTS,
		.key_len = sizeof(uint32_t),
		.hash_func = rte_hash_crc,
		.socket_id = SOCKET_ID_ANY,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF,
	};

	table = rte_hash_create(&params);
	return table == NULL ? -rte_errno : 0;
}

void keypair_tables_fini(void)
{
	rte_hash_free(table);
	table = NULL;
}

void keypair_lookup_bulk(const uint32_t *indices, unsigned int n, struct keypair **ret)
{
	const void *keys[LOOKUP_MAX];
	void *data[LOOKUP_MAX];
	uint64_t hits = 0;

	for (unsigned int i = 0; i < n; i++)
		keys[i] = &indices[i];
	rte_hash_lookup_bulk_data(table, keys, n, &hits, data);
	for (unsigned int i = 0; i < n; i++) {
		ret[i] = (hits >> i & 1) != 0 ? data[i] : NULL;
		SANITIZER_ACQUIRE(ret[i]);
	}
}

static void slot_free(void *arg)
{
	rte_hash_free_key_with_position(table, (int32_t)((uintptr_t)arg - 1));
}

static void keypair_free(void *arg)
{
	struct keypair *kp = arg;

	sodium_memzero(kp, sizeof(*kp));
	free(kp);
}

// ---- the keys of a peer ----

static int key_check(const struct st_key *k)
{
	if (k->key.index == INDEX_STUN_COOKIE)
		return -EINVAL;
	if (k->role != ST_KEY_RESPONDER && k->role != ST_KEY_INITIATOR)
		return -EINVAL;
	return 0;
}

static bool in_slots(const struct peer *peer, const struct keypair *kp)
{
	// A promotion stores the new place before it clears the old one, and moves to the left only:
	// read from right to left, a keypair on its way cannot be missed.
	for (int slot = ST_SLOT_NEXT; slot >= ST_SLOT_PREVIOUS; slot--)
		if (atomic_load_explicit(&((struct peer *)(uintptr_t)peer)->slots[slot],
			    memory_order_acquire) == kp)
			return true;
	return false;
}

// A place for one more. When the news of displaced keys got lost, the oldest of them goes here.
static int place_find(struct peer *peer)
{
	const struct keypair *oldest = NULL;
	struct st_key_key key;

	for (int i = 0; i < PEER_KEYS_MAX; i++) {
		const struct keypair *kp = peer->main->keys[i];

		if (kp == NULL)
			return i;
		if (!in_slots(peer, kp) && (oldest == NULL || kp->birth < oldest->birth))
			oldest = kp;
	}
	if (oldest == NULL)
		return -ENOSPC;
	key.index = oldest->index;
	object_del(ST_KEY, &key, sizeof(key));
	for (int i = 0; i < PEER_KEYS_MAX; i++)
		if (peer->main->keys[i] == NULL)
			return i;
	return -ENOSPC;
}

// The life of a keypair is the expiry of its object, 180 s by the protocol; the two moments at which an
// initiator asks for a new one keep their proportion to it (120 and 165 of 180).
static void times_set(struct keypair *kp)
{
	uint64_t ms = object_setting_expiry(), life;

	if (ms == 0 || ms > REJECT_AFTER_TIME_MS)
		ms = REJECT_AFTER_TIME_MS;
	life = ms * rte_get_tsc_hz() / 1000;
	kp->birth = rte_rdtsc();
	kp->expiry = kp->birth + life;
	kp->rekey_at = kp->initiator ? kp->birth + life / 180 * 120 : UINT64_MAX;
	kp->rekey_rx_at = kp->initiator ? kp->birth + life / 180 * 165 : UINT64_MAX;
}

static struct keypair *keypair_new(const struct st_key *k, struct peer *peer)
{
	struct keypair *kp = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*kp));

	if (kp == NULL)
		return NULL;
	memset(kp, 0, sizeof(*kp));
	memcpy(kp->send_key, k->send_key, sizeof(kp->send_key));
	memcpy(kp->recv_key, k->recv_key, sizeof(kp->recv_key));
	kp->index = k->key.index;
	kp->remote_index = k->remote_index;
	kp->initiator = k->role == ST_KEY_INITIATOR;
	kp->peer = peer;
	replay_init(&kp->replay);
	times_set(kp);
	return kp;
}

int key_set(const void *body, const void *old)
{
	const struct st_key *k = body;
	struct peer *peer = peer_by_id(k->peer_id);
	struct keypair *kp;
	int rc = key_check(k), place;
	int32_t slot;

	if (rc < 0)
		return rc;
	if (peer == NULL)
		return -ENOENT;
	place = place_find(peer);
	if (place < 0)
		return place;
	kp = keypair_new(k, peer);
	if (kp == NULL)
		return -ENOMEM;
	SANITIZER_RELEASE(kp);
	rc = rte_hash_add_key_data(table, &kp->index, kp);
	if (rc < 0) {
		keypair_free(kp);
		return rc;
	}
	rc = command_peer(peer, LCORE_CMD_KEY_INSTALL, kp, NULL);
	if (rc < 0) {
		slot = rte_hash_del_key(table, &kp->index);
		if (slot >= 0)
			reclaim_later(slot_free, (void *)((uintptr_t)slot + 1));
		reclaim_later_rings(keypair_free, kp);
		return rc;
	}
	peer->main->keys[place] = kp;
	return 0;
}

static void slots_left(void *arg)
{
	reclaim_later_rings(keypair_free, arg);
}

void key_del(const void *body)
{
	const struct st_key *k = body;
	struct peer *peer = peer_by_id(k->peer_id);
	struct keypair *kp = NULL;
	int32_t slot;

	if (peer == NULL)
		return;
	for (int i = 0; i < PEER_KEYS_MAX; i++)
		if (peer->main->keys[i] != NULL && peer->main->keys[i]->index == k->key.index) {
			kp = peer->main->keys[i];
			peer->main->keys[i] = NULL;
		}
	if (kp == NULL)
		return;
	slot = rte_hash_del_key(table, &kp->index);
	if (slot >= 0)
		reclaim_later(slot_free, (void *)((uintptr_t)slot + 1)); // + 1: slot 0 is not NULL
	// Without memory for the command the keypair stays allocated: the slots may still name it.
	(void)command_peer(peer, LCORE_CMD_KEY_REMOVE, kp, slots_left);
}
