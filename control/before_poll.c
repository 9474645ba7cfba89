// SPDX-License-Identifier: BSD-3-Clause
//
// See before_poll.h. GLib prepares each source before it polls, the most urgent first, and goes no further when one of
// them is ready; so these are in front of all.
#include "before_poll.h"

#include <glib.h>

struct hook {
	GSource source;
	void (*fn)(void *arg);
	void *arg;
};

static gboolean prepare(GSource *source, gint *timeout_ms)
{
	struct hook *h = (struct hook *)source;

	*timeout_ms = -1;
	h->fn(h->arg);
	return FALSE;
}

static gboolean check(GSource *source)
{
	return FALSE;
}

static gboolean dispatch(GSource *source, GSourceFunc fn, gpointer arg)
{
	return G_SOURCE_CONTINUE;
}

unsigned int before_poll_add(void (*fn)(void *arg), void *arg)
{
	static GSourceFuncs funcs = {.prepare = prepare, .check = check, .dispatch = dispatch};
	GSource *source = g_source_new(&funcs, sizeof(struct hook));
	struct hook *h = (struct hook *)source;
	unsigned int id;

	h->fn = fn;
	h->arg = arg;
	g_source_set_priority(source, G_MININT);
	id = g_source_attach(source, NULL);
	g_source_unref(source);
	return id;
}
