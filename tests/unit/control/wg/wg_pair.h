// SPDX-License-Identifier: BSD-3-Clause
//
// Two WireGuard devices of straitd against each other over loopback: real sockets, real workers, real
// handshakes. Only the data plane and the kernel's routes are doubles (dp_double.c).
#pragma once

#include "../../../../control/wg/stamps.h"
#include "../../../../control/wg/wg_internal.h"
#include "../../suite.h"
#include "../dp_double.h"

#include <sodium.h>

#include <string.h>
#include <unistd.h>

struct side {
	struct dp *dp;
	struct wg *wg;
	struct wg_iface *iface;
	struct peer *peer; // the other side
};

static struct side a, b;
static char *uapi_dir; // of their UAPI sockets

static inline gboolean too_late(gpointer arg)
{
	*(bool *)arg = true;
	return G_SOURCE_REMOVE;
}

// Runs the main loop until the condition holds. False after two seconds.
#define WAIT(condition)                                                                            \
	({                                                                                         \
		bool late = false;                                                                 \
		guint timer = g_timeout_add(2000, too_late, &late);                                \
		while (!(condition) && !late)                                                      \
			g_main_context_iteration(NULL, TRUE);                                      \
		if (!late)                                                                         \
			g_source_remove(timer);                                                    \
		!late;                                                                             \
	})

// Lets everything happen that can happen now.
static inline void settle(void)
{
	bool done = false;

	g_timeout_add(60, too_late, &done);
	while (!done)
		g_main_context_iteration(NULL, TRUE);
}

static inline void side_up(struct side *s, const char *name)
{
	uint8_t key[NOISE_KEY_LEN];

	*s = (struct side){.dp = dp_double_new()};
	s->wg = wg_new(s->dp, NULL, "/nowhere");
	g_free(s->wg->uapi_dir);
	s->wg->uapi_dir = g_strdup(uapi_dir);
	wg_dp_connected(s->wg, false);
	wg_dp_recovered(s->wg);
	g_clear_pointer(&s->wg->recovered, wg_recovered_free);
	s->iface = wg_iface_new(s->wg, name, name[2] == 'a' ? 1 : 2);
	randombytes_buf(key, sizeof(key));
	wg_iface_set_key(s->iface, key);
	CU_ASSERT_EQUAL_FATAL(wg_iface_set_port(s->iface, 0), 0);
}

static inline void up(const char *host)
{
	netlink_double_path(0, 0);
	netlink_double_held = 0;
	side_up(&a, "wga");
	side_up(&b, "wgb");
	a.peer = peer_new(a.iface, b.iface->public_key, "b");
	b.peer = peer_new(b.iface, a.iface->public_key, "a");
	CU_ASSERT_PTR_NOT_NULL_FATAL(a.peer);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b.peer);
	peer_configure_endpoint(a.peer, host, b.iface->port);
}

static inline void side_down(struct side *s)
{
	wg_free(s->wg);
	dp_double_free(s->dp);
}

static inline void down(void)
{
	side_down(&a);
	side_down(&b);
}

// A stamp for the next initiation of a.
static inline void next_stamp(uint8_t out[TAI64N_LEN])
{
	stamps_next(a.wg->stamps, a.peer->stamp, wg_wall_us());
	memcpy(out, a.peer->stamp, TAI64N_LEN);
}

static inline const struct st_key *last_key(const struct side *s)
{
	return s->dp->keys->len ? &g_array_index(s->dp->keys, struct st_key, s->dp->keys->len - 1)
				: NULL;
}

static inline bool handshake(void)
{
	peer_initiate(a.peer, false);
	return WAIT(peer_has_session(a.peer, wg_now()));
}

static inline uint8_t blob_stamp(const struct side *s)
{
	const struct dp_double_object *o = dp_double_find(s->dp, ST_PEER, s->peer->id);

	return !memcmp(o->blob + 4, s->peer->greatest, TAI64N_LEN);
}

// What main() returns.
static inline int pair_tests(const char *name, CU_TestInfo *tests)
{
	int ret;

	uapi_dir = g_dir_make_tmp("strait-uapi-XXXXXX", NULL);
	if (!uapi_dir)
		return 99;
	ret = run_tests(name, tests);
	rmdir(uapi_dir);
	g_free(uapi_dir);
	return ret;
}
