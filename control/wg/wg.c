// SPDX-License-Identifier: BSD-3-Clause
//
// The set of WireGuard interfaces: its life, its clock, addresses and routes of the box; see wg.h. Main loop
// thread. One event source serves the timers of all peers.
#include "wg.h"

#include "../../crypto/ratelimiter.h"
#include "../config/overlay.h"
#include "../seal.h"
#include "stamps.h"
#include "wg_internal.h"

#include <sodium.h>

#include <string.h>
#include <time.h>

#define TIMERS_PER_DISPATCH  256
#define REFRESH_PER_DISPATCH 64
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
	wg->addrs = g_array_new(FALSE, FALSE, sizeof(struct st_addr_key));
	return wg;
}

void wg_set_own_relay(struct wg *wg,
	bool (*is_own_relay)(const struct st_addr *addr, uint16_t port_be, void *arg),
	void (*inside)(struct st_addr *addr, uint16_t port_be, void *arg), void *arg)
{
	wg->is_own_relay = is_own_relay;
	wg->inside = inside;
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

void wg_addrs_changed(struct wg *wg, const struct st_addr_key *addrs, unsigned int n)
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
