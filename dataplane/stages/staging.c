// SPDX-License-Identifier: BSD-3-Clause
//
// Staging queues. Each is touched by its peer's owner lcore only; a peer with staged packets is not given
// away, so that its place in the owner's list is as safe.
#include "staging.h"

#include "../stage.h"

static struct rte_mbuf *pop(struct lcore *lc, struct peer *peer)
{
	struct rte_mbuf *m = peer->staged_head;

	peer->staged_head = packet_of(m)->next;
	packet_of(m)->next = NULL;
	peer->staged--;
	atomic_fetch_sub_explicit(&lcores.staged, 1, memory_order_relaxed);
	return m;
}

static void unlink_peer(struct lcore *lc, struct peer *peer)
{
	struct peer **at = &lc->staged_peers;

	while (*at != NULL && *at != peer)
		at = &(*at)->staged_next;
	if (*at == peer)
		*at = peer->staged_next;
	peer->staged_next = NULL;
}

void staging_ask(struct lcore *lc, struct peer *peer)
{
	struct lcore_event ev = {.event = ST_EV_KEY_NEEDED, .peer_id = peer->id};

	// straitd paces handshakes by itself; once per second only keeps the event ring free.
	if (peer->key_asked != 0 && lc->now - peer->key_asked < lc->hz)
		return;
	if (lcore_event_push(lc, &ev))
		peer->key_asked = lc->now;
}

// Makes room for one more; false when the packet cannot be staged.
static bool make_room(struct lcore *lc, struct peer *peer)
{
	if (peer->staged >= MAX_STAGED_PACKETS ||
		(peer->staged > 0 &&
			atomic_load_explicit(&lcores.staged, memory_order_relaxed) >= STAGED_MAX))
		stage_drop(lc, pop(lc, peer), ST_DROP_wg_staged_full);
	if (atomic_fetch_add_explicit(&lcores.staged, 1, memory_order_relaxed) < STAGED_MAX)
		return true;
	atomic_fetch_sub_explicit(&lcores.staged, 1, memory_order_relaxed);
	return false;
}

void staging_add(struct lcore *lc, struct peer *peer, struct rte_mbuf *m)
{
	struct packet *p = packet_of(m);

	if (atomic_load_explicit(&peer->dead, memory_order_acquire)) {
		stage_drop(lc, m, ST_DROP_wg_peer_removed);
		return;
	}
	staging_ask(lc, peer);
	if (!make_room(lc, peer)) {
		if (peer->staged_head == NULL)
			unlink_peer(lc, peer);
		stage_drop(lc, m, ST_DROP_wg_staged_full);
		return;
	}
	p->next = NULL;
	p->stamp = lc->now;
	p->flags &= ~PACKET_F_BY_HANDOFF;
	if (peer->staged_head == NULL) {
		peer->staged_head = m;
		unlink_peer(lc, peer); // still listed if its only packet had to go
		peer->staged_next = lc->staged_peers;
		lc->staged_peers = peer;
	} else {
		packet_of(peer->staged_tail)->next = m;
	}
	peer->staged_tail = m;
	peer->staged++;
}

unsigned int staging_flush(struct lcore *lc, struct peer *peer)
{
	unsigned int n = peer->staged;

	if (n == 0)
		return 0;
	unlink_peer(lc, peer);
	// Not until it is empty: a full vec runs wg_encrypt on the spot, which stages what it cannot seal.
	for (unsigned int i = 0; i < n; i++)
		stage_push(lc, ST_STAGE_wg_encrypt, pop(lc, peer));
	return n;
}

void staging_clear(struct lcore *lc, struct peer *peer, enum st_drop why)
{
	unlink_peer(lc, peer);
	while (peer->staged_head != NULL)
		stage_drop(lc, pop(lc, peer), why);
}

void staging_expire(struct lcore *lc)
{
	struct peer *peer, *next;

	if (likely(lc->staged_peers == NULL) || lc->now - lc->staged_checked < lc->hz)
		return;
	lc->staged_checked = lc->now;
	for (peer = lc->staged_peers; peer != NULL; peer = next) {
		next = peer->staged_next;
		while (peer->staged_head != NULL &&
			lc->now - packet_of(peer->staged_head)->stamp > STAGED_TIMEOUT * lc->hz)
			stage_drop(lc, pop(lc, peer), ST_DROP_wg_staged_timeout);
		if (peer->staged_head == NULL)
			unlink_peer(lc, peer);
	}
}
