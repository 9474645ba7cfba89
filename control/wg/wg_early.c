// SPDX-License-Identifier: BSD-3-Clause
//
// Data packets that reach the socket although they came in by a device of ours: for a moment after the port
// or an address was new the lcores do not know yet that they are theirs. They wait here until strait-dp
// has the port map and go down then; passed down before, they would come back up. Main loop thread.
#include "../dp/dp.h"
#include "wg_internal.h"

#include <string.h>

#define EARLY_MAX      1024 // packets of an interface that wait; later ones are dropped
#define EARLY_GRACE_MS 1000 // what was queued in the socket meanwhile

struct early_packet {
	struct st_packet_io io;
	uint16_t len;
	uint8_t data[];
};

// Outlives the interface as long as answers are due.
struct wg_early {
	struct wg_iface *iface; // NULL: gone
	unsigned int pending;   // entries of the port map that strait-dp has not confirmed
	bool failed;            // one of them was refused
	uint64_t ready_at;
	GQueue packets;
};

struct wg_early *wg_early_new(struct wg_iface *i)
{
	struct wg_early *e = g_rc_box_new0(struct wg_early);

	e->iface = i;
	g_queue_init(&e->packets);
	return e;
}

static void early_clear(void *arg)
{
	struct wg_early *e = arg;

	g_queue_clear_full(&e->packets, g_free);
}

void wg_early_free(struct wg_early *e)
{
	e->iface = NULL;
	g_rc_box_release_full(e, early_clear);
}

static void flush(struct wg_early *e)
{
	struct wg *wg = e->iface->wg;
	struct early_packet *p;

	while ((p = g_queue_pop_head(&e->packets))) {
		if (e->failed) {
			wg->counters.data_dropped++;
		} else {
			wg->counters.data_passed_down++;
			dp_packet_out(wg->dp, &p->io, p->data, p->len);
		}
		g_free(p);
	}
}

static void confirmed(int status, void *arg)
{
	struct wg_early *e = arg;

	e->pending--;
	e->failed = e->failed || status;
	if (!e->pending && e->iface) {
		e->ready_at = e->failed ? 0 : wg_now();
		flush(e);
	}
	g_rc_box_release_full(e, early_clear);
}

void wg_early_portmap(struct wg_early *e, const struct st_portmap *body)
{
	if (!e->pending++)
		e->failed = false;
	dp_set(e->iface->wg->dp, ST_PORTMAP, body, sizeof(*body), NULL, 0, confirmed,
		g_rc_box_acquire(e));
}

bool wg_early_take(struct wg_early *e, const struct st_packet_io *io, const void *data, uint16_t len)
{
	struct early_packet *p;

	if (!e->pending || e->packets.length >= EARLY_MAX)
		return false;
	p = g_malloc(sizeof(*p) + len);
	p->io = *io;
	p->len = len;
	memcpy(p->data, data, len);
	g_queue_push_tail(&e->packets, p);
	return true;
}

bool wg_early_just_ready(const struct wg_early *e)
{
	return !e->pending && e->ready_at && wg_now() < e->ready_at + EARLY_GRACE_MS;
}
