// SPDX-License-Identifier: BSD-3-Clause
//
// A connection object by itself: what is said to it, what it was seen to do, on a clock that the test moves.
#pragma once

#include "../../suite.h"
#include "conn_world.h"

#include <stdlib.h>
#include <string.h>

#define CANDIDATE "1 1 udp 2130706431 198.51.100.9 9 typ host"

static struct world *w;
static struct world_side *a, *b;
static struct conn_fsm *f;

static inline void fresh(void)
{
	w = world_new(1);
	a = &w->side[0];
	b = &w->side[1];
	f = &a->fsm;
}

// Side b hears and says nothing by itself.
static inline void fresh_alone(void)
{
	fresh();
	b->make = MAKE_SEED;
	b->seed.until = UINT64_MAX;
	conn_fsm_signal(f, true, w->now);
	conn_fsm_start(f, w->now);
}

static inline void done(void)
{
	world_free(w);
}

static inline struct conn_message session(enum conn_message_type type, const char *ufrag)
{
	struct conn_message m = {.type = type};

	g_strlcpy(m.session.cred.ufrag, ufrag, sizeof(m.session.cred.ufrag));
	g_strlcpy(m.session.cred.pwd, "passwordpasswordpasswordpassword", sizeof(m.session.cred.pwd));
	return m;
}

static inline void hear(const struct conn_message *m)
{
	conn_fsm_message(f, m, w->now);
}

static inline void hear_offer(const char *ufrag)
{
	struct conn_message m = session(CONN_OFFER, ufrag);

	hear(&m);
}

static inline void hear_candidate(void)
{
	struct conn_message m = {.type = CONN_CANDIDATE, .candidate = CANDIDATE};

	hear(&m);
}

static inline void nominate(bool direct)
{
	struct ice_path path = world_path(direct);

	path.ours = f->local.cred;
	path.theirs = f->remote.cred;
	conn_fsm_nominated(f, f->generation, &path, w->now);
}

static inline void connected_alone(void)
{
	fresh_alone();
	world_run(w, 200);
	hear_offer("peerone");
	nominate(true);
	CU_ASSERT_EQUAL(conn_fsm_state(f), CONN_CONNECTED);
}

static inline bool had(const char *event)
{
	return strstr(a->events, event) != NULL;
}
