// SPDX-License-Identifier: BSD-3-Clause
//
// The set of WireGuard interfaces: life, configuration, events of the data plane; see wg.h. Main loop
// thread. One event source serves the timers of all peers.
#include "wg.h"

#include "../../crypto/ratelimiter.h"
#include "../config/config.h"
#include "../config/overlay.h"
#include "../dp/dp.h"
#include "../dp/ids.h"
#include "../seal.h"
#include "stamps.h"
#include "wg_internal.h"

#include <sodium.h>

#include <errno.h>
#include <string.h>
#include <time.h>

#define TIMERS_PER_DISPATCH  256
#define REFRESH_PER_DISPATCH 64
#define RECOVERY_REFRESH_MS  300
#define STATS_MIN_MS         1000
#define ASLEEP_MIN_MS        1000
#define KEY_GRACE_MS         5000 // an index stays reserved that much longer than its key lives

uint64_t wg_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

// How long the machine was suspended since it booted.
static uint64_t asleep_ms(void)
{
	struct timespec awake;

	clock_gettime(CLOCK_MONOTONIC, &awake);
	return wg_now() - ((uint64_t)awake.tv_sec * 1000 + (uint64_t)awake.tv_nsec / 1000000);
}

int64_t wg_wall_us(void)
{
	return g_get_real_time();
}

// ---- timers --------------------------------------------------------------------------------------

void wg_timer_rearm(struct wg *wg)
{
	const struct timers *first = timers_heap_first(&wg->heap);
	uint64_t now = wg_now(), due;

	if (!first) {
		g_source_set_ready_time(wg->timer, -1);
		return;
	}
	due = timers_next(first);
	g_source_set_ready_time(
		wg->timer, g_get_monotonic_time() + (due > now ? (int64_t)(due - now) * 1000 : 0));
}

static gboolean timers_due(gpointer arg)
{
	struct wg *wg = arg;
	uint64_t now = wg_now();

	for (int n = 0; n < TIMERS_PER_DISPATCH; n++) {
		struct timers *t = timers_heap_first(&wg->heap);

		if (!t || timers_next(t) > now)
			break;
		peer_timers_due((struct peer *)((char *)t - offsetof(struct peer, timers)), now);
	}
	wg_timer_rearm(wg);
	return G_SOURCE_CONTINUE;
}

static gboolean timer_dispatch(GSource *source, GSourceFunc fn, gpointer arg)
{
	return fn(arg);
}

static GSourceFuncs timer_funcs = {.dispatch = timer_dispatch};

// ---- once a second ---------------------------------------------------------------------------------

static void expire_keys(struct peer *p, uint64_t now)
{
	uint64_t limit = (uint64_t)p->iface->wg->params.reject_after + KEY_GRACE_MS;

	for (int i = 0; i < PEER_SLOTS; i++) {
		if (p->slots[i].index && now > p->slots[i].birth + limit)
			peer_key_gone(p, p->slots[i].index);
	}
}

static void housekeep_iface(struct wg_iface *i, uint64_t now)
{
	if (i->port_pending && !wg_iface_set_port(i, i->wanted_port))
		g_message("%s: listening on port %u", i->name, i->port);
	for (GList *l = i->peer_list.head; l; l = l->next)
		expire_keys(l->data, now);
}

// Session keys do not outlive a suspend, which may have been long. The lcores' clock stood still meanwhile,
// so they cannot know; peers handshake anew.
void wg_note_asleep(struct wg *wg, uint64_t asleep)
{
	bool slept = asleep > wg->asleep_ms + ASLEEP_MIN_MS;

	wg->asleep_ms = asleep;
	if (!slept)
		return;
	g_message("the machine was suspended: sessions end");
	for (uint32_t id = 0; id < wg->ids_end; id++) {
		struct peer *p = wg->peers[id];

		if (!p)
			continue;
		peer_clear_sessions(p, true);
		p->timers.last_handshake = 0;
	}
	wg_timer_rearm(wg);
}

static gboolean housekeep(gpointer arg)
{
	struct wg *wg = arg;
	uint64_t now = wg_now();

	wg_note_asleep(wg, asleep_ms());
	ratelimiter_gc(wg->limiter, now * 1000000);
	for (guint n = 0; n < wg->ifaces->len; n++)
		housekeep_iface(wg->ifaces->pdata[n], now);
	// A message per peer: less often when there are many.
	if (now >= wg->stats_at + MAX(STATS_MIN_MS, wg->nb_peers))
		wg_stats_refresh(wg, NULL, NULL);
	return G_SOURCE_CONTINUE;
}

// ---- statistics and lost events ----------------------------------------------------------------------

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

// ---- life ------------------------------------------------------------------------------------------

static void open_overlay(struct wg *wg, const char *run_dir)
{
	char *error = NULL;

	wg->seal = seal_new(run_dir, &error);
	if (!wg->seal)
		g_warning("wg: what wg(8) changes is lost with straitd error=\"%s\"", error);
	g_free(error);
	wg->overlay = overlay_new(run_dir, wg->seal);
}

struct wg *wg_new(struct dp *dp, struct netlink *nl, const char *run_dir)
{
	struct wg *wg;

	if (sodium_init() < 0)
		g_error("libsodium does not start");
	wg = g_new0(struct wg, 1);
	wg->dp = dp;
	wg->nl = nl;
	wg->asleep_ms = asleep_ms();
	wg->uapi_dir = g_strdup(WG_UAPI_DIR);
	wg->ifaces = g_ptr_array_new();
	wg->peers = g_new0(struct peer *, ST_MAX_PEERS);
	g_queue_init(&wg->free_ids);
	wg->index = wg_index_new();
	timers_params_init(&wg->params, 1);
	wg->timer = g_source_new(&timer_funcs, sizeof(GSource));
	g_source_set_callback(wg->timer, timers_due, wg, NULL);
	g_source_attach(wg->timer, NULL);
	wg->pool = handshake_pool_new(handshake_pool_threads(), wg_job_done, wg);
	wg->limiter = ratelimiter_new();
	wg->pmtu = wg_pmtu_new(wg);
	wg->stamps = stamps_new(run_dir);
	open_overlay(wg, run_dir);
	wg->housekeeping = g_timeout_add_seconds(1, housekeep, wg);
	wg->addrs = g_array_new(FALSE, FALSE, sizeof(struct st_addr));
	return wg;
}

void wg_set_own_relay(struct wg *wg,
	bool (*is_own_relay)(const struct st_addr *addr, uint16_t port_be, void *arg), void *arg)
{
	wg->is_own_relay = is_own_relay;
	wg->own_relay_arg = arg;
}

void wg_free(struct wg *wg)
{
	if (!wg)
		return;
	handshake_pool_free(wg->pool);
	while (wg->ifaces->len)
		wg_iface_release(wg->ifaces->pdata[wg->ifaces->len - 1]);
	g_source_destroy(wg->timer);
	g_source_unref(wg->timer);
	g_source_remove(wg->housekeeping);
	if (wg->refresh)
		g_source_remove(wg->refresh);
	wg_recovered_free(wg->recovered);
	timers_heap_fini(&wg->heap);
	wg_index_free(wg->index);
	ratelimiter_free(wg->limiter);
	wg_pmtu_free(wg->pmtu);
	stamps_free(wg->stamps);
	overlay_free(wg->overlay);
	seal_free(wg->seal);
	g_ptr_array_free(wg->ifaces, TRUE);
	g_array_free(wg->addrs, TRUE);
	g_free(wg->peers);
	g_queue_clear(&wg->free_ids);
	g_free(wg->uapi_dir);
	g_free(wg);
}

struct wg_iface *wg_iface_find(struct wg *wg, const char *name)
{
	for (guint n = 0; n < wg->ifaces->len; n++) {
		struct wg_iface *i = wg->ifaces->pdata[n];

		if (!strcmp(i->name, name))
			return i;
	}
	return NULL;
}

// ---- addresses and routes ----------------------------------------------------------------------------

static gboolean refresh_some(gpointer arg)
{
	struct wg *wg = arg;

	for (int n = 0; n < REFRESH_PER_DISPATCH;) {
		if (wg->refresh_at >= wg->ids_end) {
			wg->refresh = 0;
			return G_SOURCE_REMOVE;
		}
		if (wg->peers[wg->refresh_at]) {
			peer_install_endpoint(wg->peers[wg->refresh_at]);
			n++;
		}
		wg->refresh_at++;
	}
	return G_SOURCE_CONTINUE;
}

void wg_routes_changed(struct wg *wg)
{
	wg->refresh_at = 0;
	if (!wg->refresh)
		wg->refresh = g_idle_add_full(G_PRIORITY_DEFAULT + 5, refresh_some, wg, NULL);
}

void wg_addrs_changed(struct wg *wg, const struct st_addr *addrs, unsigned int n)
{
	if (n > WG_MAX_ADDRESSES) {
		g_warning("%u addresses, only %u of them take WireGuard's data", n, WG_MAX_ADDRESSES);
		n = WG_MAX_ADDRESSES;
	}
	g_array_set_size(wg->addrs, 0);
	if (n)
		g_array_append_vals(wg->addrs, addrs, n);
	for (guint k = 0; k < wg->ifaces->len; k++)
		wg_iface_portmap(wg->ifaces->pdata[k]);
}

// ---- the data plane comes and goes --------------------------------------------------------------------

static bool had_session(const struct peer *p, uint64_t now)
{
	uint64_t limit = p->iface->wg->params.reject_after;

	return peer_has_session(p, now) || (p->last_received && now < p->last_received + limit);
}

// Its sessions went with it. Whoever had one is called, a few at a time when they are many.
static void sessions_lost(struct wg *wg)
{
	uint64_t now = wg_now();

	for (uint32_t id = 0; id < wg->ids_end; id++) {
		struct peer *p = wg->peers[id];
		bool had = p && had_session(p, now);

		if (!p)
			continue;
		peer_clear_sessions(p, false);
		p->lost = p->lost || had;
	}
}

void wg_dp_connected(struct wg *wg, bool new_instance)
{
	if (wg->dp_seen && new_instance) {
		sessions_lost(wg);
		for (guint n = 0; n < wg->ifaces->len; n++)
			wg_iface_park(wg->ifaces->pdata[n], true);
	}
	if (!wg->dp_seen)
		wg->recovered = wg_recovered_new();
	wg->dp_seen = true;
}

void wg_dp_item(struct wg *wg, const struct dp_item *item)
{
	if (!wg->recovered)
		wg->recovered = wg_recovered_new();
	wg_recovered_add(wg->recovered, item);
}

static gboolean refresh_later(gpointer arg)
{
	struct wg *wg = arg;

	wg->refresh = 0;
	wg_routes_changed(wg);
	return G_SOURCE_REMOVE;
}

// What is configured has taken its share.
static void recovery_end(struct wg *wg)
{
	wg_recover_unpark(wg);
	wg_recover_free_ids(wg);
	g_clear_pointer(&wg->recovered, wg_recovered_free);
	for (guint n = 0; n < wg->ifaces->len; n++)
		wg_iface_park(wg->ifaces->pdata[n], false);
	// Old endpoints were taken as they were; ask the kernel once its routes are mirrored.
	if (!wg->refresh)
		wg->refresh = g_timeout_add(RECOVERY_REFRESH_MS, refresh_later, wg);
}

// The peer existed before the data plane told that it knows it.
static void adopt_peer(struct peer *p)
{
	struct wg *wg = p->iface->wg;
	uint32_t id = wg_recovered_peer_id(wg->recovered, p->iface->if_id, p->noise.public_key);

	if (id == ST_NO_PEER)
		return;
	if (id != p->id && wg->peers[id]) {
		uint32_t other = peer_id_alloc(wg);

		if (other == ST_NO_PEER)
			return;
		peer_change_id(wg->peers[id], other);
	}
	peer_change_id(p, id);
	wg_recover_peer(p);
	peer_install(p, NULL, NULL);
	if (!wg_recover_endpoint(p))
		peer_install_endpoint(p);
}

static void adopt_iface(struct wg_iface *i)
{
	for (GList *l = i->peer_list.head; l; l = l->next)
		adopt_peer(l->data);
	if (i->port_pending)
		(void)wg_iface_set_port(i, i->wanted_port);
	wg_iface_install(i);
}

void wg_dp_recovered(struct wg *wg)
{
	if (!wg->recovered)
		wg->recovered = wg_recovered_new();
	wg->recovery_done = true;
	for (guint n = 0; n < wg->ifaces->len; n++)
		adopt_iface(wg->ifaces->pdata[n]);
	// Without a configuration so far, it is wg_apply that takes the rest.
	if (wg->applied)
		recovery_end(wg);
}

void wg_dp_synced(struct wg *wg)
{
	uint32_t lost = 0, spread;
	uint64_t now = wg_now();

	for (uint32_t id = 0; id < wg->ids_end; id++)
		lost += wg->peers[id] && wg->peers[id]->lost;
	spread = lost > 16 ? lost / 4 : 1;
	for (uint32_t id = 0; id < wg->ids_end; id++) {
		struct peer *p = wg->peers[id];

		if (!p || (!p->lost && (!p->timers.persistent || peer_has_session(p, now))))
			continue;
		if (p->lost)
			timers_initiate_at(&p->timers, now + randombytes_uniform(spread));
		else
			peer_initiate(p, false);
		p->lost = false;
		peer_timers_changed(p);
	}
	wg_reconcile(wg);
}

static void event_activity(struct wg *wg, const void *body, uint16_t len)
{
	const struct st_ev_activity *ev = body;
	size_t head = offsetof(struct st_ev_activity, entries);
	uint64_t now = wg_now();

	if (len < head || ev->count > ST_ACTIVITY_MAX ||
		len < head + ev->count * sizeof(struct st_activity))
		return;
	for (uint32_t n = 0; n < ev->count; n++) {
		struct st_activity a;

		memcpy(&a, &ev->entries[n], sizeof(a));
		if (a.peer_id < ST_MAX_PEERS && wg->peers[a.peer_id])
			peer_activity(wg->peers[a.peer_id], &a, now);
	}
}

static void event_expired(struct wg *wg, const struct st_ev_expired *ev)
{
	uint32_t index;
	guint owner;

	if (ev->kind != ST_KEY)
		return;
	memcpy(&index, ev->key, sizeof(index));
	owner = GPOINTER_TO_UINT(wg_index_find(wg->index, index));
	if (owner && wg->peers[owner - 1])
		peer_key_gone(wg->peers[owner - 1], index);
}

// Every event about a peer begins with its id.
static struct peer *event_peer(struct wg *wg, const void *body, uint16_t len, size_t want)
{
	uint32_t id;

	if (len != want)
		return NULL;
	memcpy(&id, body, sizeof(id));
	return id < ST_MAX_PEERS ? wg->peers[id] : NULL;
}

void wg_dp_event(struct wg *wg, uint16_t event, const void *body, uint16_t len, const void *blob,
	uint16_t blob_len)
{
	const struct st_ev_key *key = body;
	struct peer *p;

	switch (event) {
	case ST_EV_KEY_NEEDED:
		p = event_peer(wg, body, len, sizeof(struct st_ev_peer));
		if (p)
			peer_key_needed(p);
		break;
	case ST_EV_KEY_CONFIRMED:
		p = event_peer(wg, body, len, sizeof(*key));
		if (p)
			peer_key_confirmed(p, key->index);
		break;
	case ST_EV_REKEY_DUE:
		p = event_peer(wg, body, len, sizeof(*key));
		if (p)
			peer_rekey_due(p, key->index);
		break;
	case ST_EV_ENDPOINT_SEEN:
		p = event_peer(wg, body, len, sizeof(struct st_ev_endpoint));
		if (p)
			peer_seen_at(p, body);
		break;
	case ST_EV_PEER_ACTIVITY:
		event_activity(wg, body, len);
		break;
	case ST_EV_EXPIRED:
		if (len == sizeof(struct st_ev_expired))
			event_expired(wg, body);
		break;
	case ST_EV_OVERRUN:
		wg_reconcile(wg);
		break;
	case ST_EV_PACKET_IN:
		if (len == sizeof(struct st_packet_io))
			wg_packet_in(wg, body, blob, blob_len);
		break;
	default: // not about WireGuard
		break;
	}
}

// ---- configuration -----------------------------------------------------------------------------------

static int apply_port(struct wg_iface *i, uint16_t port, char **ret_error)
{
	int r = wg_iface_set_port(i, port);

	if (!r)
		return 0;
	// It may be an earlier straitd's, parked in a data plane that we have not met yet.
	if (r == -EADDRINUSE && !i->wg->recovery_done) {
		g_warning("%s: port %u is in use; trying again", i->name, port);
		i->wanted_port = port;
		i->port_pending = true;
		return 0;
	}
	*ret_error =
		g_strdup_printf("interface %s: listen port %u: %s", i->name, port, g_strerror(-r));
	return r;
}

static void apply_allowed(struct peer *p, const GArray *wanted)
{
	GHashTable *keep = g_hash_table_new(g_direct_hash, g_direct_equal);
	GList *l, *next;

	for (guint n = 0; n < wanted->len; n++) {
		const struct st_prefix *prefix = &g_array_index(wanted, struct st_prefix, n);

		if (peer_add_allowed(p, prefix))
			g_warning("peer %s: too many allowed IPs", p->name);
		g_hash_table_add(keep, g_hash_table_lookup(p->iface->allowed, prefix));
	}
	for (l = p->allowed.head; l; l = next) {
		next = l->next;
		if (!g_hash_table_contains(keep, l->data))
			peer_remove_allowed(p, &((struct allowed_ip *)l->data)->prefix);
	}
	g_hash_table_destroy(keep);
}

static int apply_peer(struct wg_iface *i, const struct config_peer *c, char **ret_error)
{
	static const uint8_t no_psk[NOISE_KEY_LEN];
	struct peer *p = wg_iface_peer(i, c->public_key);

	if (i->identity && !memcmp(i->public_key, c->public_key, NOISE_KEY_LEN))
		return 0; // ourselves
	if (!p)
		p = peer_new(i, c->public_key, c->name);
	if (!p) {
		*ret_error =
			g_strdup_printf("interface %s: more than %d peers", i->name, ST_MAX_PEERS);
		return -ENOSPC;
	}
	peer_rename(p, c->name);
	peer_set_psk(p, c->has_preshared_key ? c->preshared_key : no_psk);
	apply_allowed(p, c->allowed_ips);
	peer_configure_endpoint(p, c->endpoint_host, c->endpoint_port);
	peer_set_keepalive(p, c->keepalive);
	return 0;
}

static void remove_other_peers(struct wg_iface *i, const struct config_wg *c)
{
	GHashTable *keep = g_hash_table_new(g_direct_hash, g_direct_equal);
	GList *l, *next;

	for (guint n = 0; n < c->peers->len; n++) {
		const struct config_peer *peer = c->peers->pdata[n];

		g_hash_table_add(keep, wg_iface_peer(i, peer->public_key));
	}
	for (l = i->peer_list.head; l; l = next) {
		next = l->next;
		if (!g_hash_table_contains(keep, l->data))
			peer_free(l->data);
	}
	g_hash_table_destroy(keep);
}

static int apply_iface(struct wg *wg, const struct config_wg *c, char **ret_error)
{
	struct wg_iface *i = wg_iface_find(wg, c->name);
	uint32_t if_id = i ? i->if_id : ids_get(c->name);
	int r;

	if (!if_id) {
		*ret_error = g_strdup_printf("interface %s: no interface id left", c->name);
		return -ENOSPC;
	}
	if (!i)
		i = wg_iface_new(wg, c->name, if_id);
	wg_iface_set_key(i, c->private_key);
	wg_iface_set_mtu(i, c->mtu, c->mss_clamp);
	r = wg_iface_set_fwmark(i, c->fwmark);
	if (r) {
		*ret_error = g_strdup_printf(
			"interface %s: fwmark %u: %s", c->name, c->fwmark, g_strerror(-r));
		return r;
	}
	r = apply_port(i, c->listen_port, ret_error);
	if (r)
		return r;
	remove_other_peers(i, c);
	for (guint n = 0; n < c->peers->len; n++) {
		r = apply_peer(i, c->peers->pdata[n], ret_error);
		if (r)
			return r;
	}
	r = i->uapi ? 0 : wg_uapi_open(i);
	// The gateway works without; `wg` does not.
	if (r)
		g_warning("interface %s: no UAPI socket: %s", c->name, g_strerror(-r));
	return 0;
}

static bool in_config(const struct config *c, const char *name)
{
	for (guint n = 0; n < c->wgs->len; n++) {
		if (!strcmp(((struct config_wg *)c->wgs->pdata[n])->name, name))
			return true;
	}
	return false;
}

static int apply_merged(
	struct wg *wg, const struct overlay *o, const struct config_wg *file, char **ret_error)
{
	struct config_wg *merged = overlay_merge(o, file);
	struct noise_identity id;
	struct wg_iface *i;
	int r = apply_iface(wg, merged, ret_error);

	overlay_merged_free(merged, file);
	i = wg_iface_find(wg, file->name);
	if (!i)
		return r;
	noise_identity_init(&id, file->private_key);
	memcpy(i->file_public_key, id.public_key, sizeof(i->file_public_key));
	noise_identity_fini(&id);
	return r;
}

static int apply_all(struct wg *wg, const struct config *c, const struct overlay *o, char **ret_error)
{
	int r = 0;

	for (guint n = 0; n < c->wgs->len && !r; n++)
		r = apply_merged(wg, o, c->wgs->pdata[n], ret_error);
	return r;
}

// The overlay must not keep a good configuration from being applied.
static int apply_without_overlay(struct wg *wg, const struct config *c, char **ret_error)
{
	struct overlay *none = overlay_new("", NULL);
	int r;

	g_clear_pointer(ret_error, g_free);
	r = apply_all(wg, c, none, ret_error);
	overlay_free(none);
	if (!r)
		overlay_keep_aside(wg->overlay);
	return r;
}

int wg_apply(struct wg *wg, const struct config *c, char **ret_error)
{
	int r;

	wg->applied = true;
	timers_params_init(&wg->params, c->timer_scale > 0 ? c->timer_scale : 1);
	for (guint n = wg->ifaces->len; n > 0; n--) {
		struct wg_iface *i = wg->ifaces->pdata[n - 1];

		if (!in_config(c, i->name))
			wg_iface_free(i);
	}
	r = apply_all(wg, c, wg->overlay, ret_error);
	if (r && !overlay_is_empty(wg->overlay))
		r = apply_without_overlay(wg, c, ret_error);
	if (!r) {
		wg->file = c;
		if (!overlay_is_empty(wg->overlay))
			wg_overlay_note(wg);
	}
	if (wg->recovery_done && wg->recovered)
		recovery_end(wg);
	return r;
}
