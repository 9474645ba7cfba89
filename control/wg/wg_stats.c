// SPDX-License-Identifier: BSD-3-Clause
//
// What the data plane counts of each peer, asked for once a second; and after events were lost, what it knows
// of sessions. Main loop thread.
#include "../dp/dp.h"
#include "wg_internal.h"

#include <string.h>

struct dump {
	struct wg *wg;
	void (*done)(void *arg);
	void *arg;
	bool initiate; // peers with staged packets and no session
};

static void stat_peer(const void *body, uint16_t len, void *arg)
{
	struct dump *d = arg;
	struct st_stat_peer s;
	struct peer *p;
	uint64_t now = wg_now();

	if (len != sizeof(s))
		return;
	memcpy(&s, body, sizeof(s));
	p = s.peer_id < ST_MAX_PEERS ? d->wg->peers[s.peer_id] : NULL;
	if (!p)
		return;
	p->rx_bytes = s.rx_bytes;
	p->tx_bytes = s.tx_bytes;
	p->staged = s.staged;
	if (s.any_received_age_ms != UINT32_MAX)
		p->last_received = MAX(p->last_received, now - MIN(s.any_received_age_ms, now));
	if (d->initiate)
		peer_reconcile(p, &s, now);
}

static void stats_done(int status, void *arg)
{
	struct dump *d = arg;

	d->wg->stats_at = wg_now();
	if (!d->done)
		d->wg->dumping_stats = false;
	else
		d->done(d->arg);
	g_free(d);
}

static void stats_dump(struct wg *wg, void (*done)(void *arg), void *arg, bool initiate)
{
	struct dump *d = g_new0(struct dump, 1);

	d->wg = wg;
	d->done = done;
	d->arg = arg;
	d->initiate = initiate;
	dp_dump(wg->dp, ST_STAT_PEER, stat_peer, stats_done, d);
}

void wg_stats_refresh(struct wg *wg, void (*done)(void *arg), void *arg)
{
	if (!done) {
		if (wg->dumping_stats || !wg->nb_peers || !dp_connected(wg->dp))
			return;
		wg->dumping_stats = true;
	}
	stats_dump(wg, done, arg, false);
}

static void stat_keypair(const void *body, uint16_t len, void *arg)
{
	struct dump *d = arg;
	struct st_stat_keypair k;
	struct peer *p;

	if (len != sizeof(k))
		return;
	memcpy(&k, body, sizeof(k));
	p = k.peer_id < ST_MAX_PEERS ? d->wg->peers[k.peer_id] : NULL;
	if (p)
		peer_slot_learnt(p, &k, wg_now());
}

static void reconcile_done(void *arg)
{
}

static void keypairs_done(int status, void *arg)
{
	struct dump *d = arg;

	if (!status)
		stats_dump(d->wg, reconcile_done, d->wg, true);
	g_free(d);
}

void wg_reconcile(struct wg *wg)
{
	struct dump *d = g_new0(struct dump, 1);

	d->wg = wg;
	dp_dump(wg->dp, ST_STAT_KEYPAIR, stat_keypair, keypairs_done, d);
}
