// SPDX-License-Identifier: BSD-3-Clause
//
// A locked queue and a GSource whose ready time wakes the other thread.
#include "mailbox.h"

#include <stdbool.h>

#define RUN_AT_ONCE 256 // then other sources of the loop have their turn

struct letter {
	mailbox_call call;
	void *data;
};

struct mailbox {
	GMutex lock;
	GQueue letters; // of struct letter *; under lock
	GSource *source;
};

struct mailbox_source {
	GSource source;
	struct mailbox *mailbox;
};

static struct letter *take(struct mailbox *m)
{
	struct letter *l;

	g_mutex_lock(&m->lock);
	l = g_queue_pop_head(&m->letters);
	g_mutex_unlock(&m->lock);
	return l;
}

static bool run_one(struct mailbox *m)
{
	struct letter *l = take(m);

	if (!l)
		return false;
	l->call(l->data);
	g_free(l);
	return true;
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
	struct mailbox *m = ((struct mailbox_source *)source)->mailbox;

	// First, so that a letter posted from here on wakes us again.
	g_source_set_ready_time(source, -1);
	for (int i = 0; i < RUN_AT_ONCE; i++) {
		if (g_source_is_destroyed(source) || !run_one(m))
			return G_SOURCE_CONTINUE;
	}
	g_source_set_ready_time(source, 0);
	return G_SOURCE_CONTINUE;
}

struct mailbox *mailbox_new(GMainContext *context)
{
	static GSourceFuncs funcs = {.dispatch = dispatch};
	struct mailbox *m = g_new0(struct mailbox, 1);

	g_mutex_init(&m->lock);
	g_queue_init(&m->letters);
	m->source = g_source_new(&funcs, sizeof(struct mailbox_source));
	((struct mailbox_source *)m->source)->mailbox = m;
	g_source_attach(m->source, context);
	return m;
}

void mailbox_post(struct mailbox *m, mailbox_call call, void *data)
{
	struct letter *l = g_new(struct letter, 1);

	l->call = call;
	l->data = data;
	g_mutex_lock(&m->lock);
	g_queue_push_tail(&m->letters, l);
	g_source_set_ready_time(m->source, 0);
	g_mutex_unlock(&m->lock);
}

void mailbox_free(struct mailbox *m)
{
	if (!m)
		return;
	g_source_destroy(m->source);
	while (run_one(m))
		;
	g_source_unref(m->source);
	g_mutex_clear(&m->lock);
	g_free(m);
}
