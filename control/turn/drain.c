// SPDX-License-Identifier: BSD-3-Clause
//
// Draining: no new allocations until an operator says otherwise. A file in the run directory remembers it, so that a
// node that is being emptied does not fill up again because straitd was restarted; a boot of the machine ends it.
// Main loop thread.
#include "server_parts.h"

#include <cjson/cJSON.h>
#include <glib/gstdio.h>

#include <errno.h>

#define DRAIN_NAME "turn-draining"

void turn_drain_load(struct turn *t)
{
	g_autofree char *path = g_build_filename(t->run_dir, DRAIN_NAME, NULL);

	t->core.draining = g_file_test(path, G_FILE_TEST_EXISTS);
	if (t->core.draining)
		g_warning("turn: still draining, new sessions are refused until \"straitctl turn "
			  "drain "
			  "off\" file=%s",
			path);
}

// NULL or a text.
static char *remember(const struct turn *t, bool on)
{
	g_autofree char *path = g_build_filename(t->run_dir, DRAIN_NAME, NULL);
	GError *error = NULL;
	char *text;

	if (!on)
		return g_unlink(path) && errno != ENOENT
			       ? g_strdup_printf("cannot remove %s: %s", path, g_strerror(errno))
			       : NULL;
	if (g_file_set_contents_full(path, "", 0, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error))
		return NULL;
	text = g_strdup_printf("cannot remember it: %s", error->message);
	g_error_free(error);
	return text;
}

static char *change(struct turn *t, bool on)
{
	char *error = remember(t, on);

	if (error)
		return error;
	if (t->core.draining != on)
		g_message("turn: %s",
			on ? "draining, new sessions are refused" : "new sessions are taken again");
	t->core.draining = on;
	return NULL;
}

char *turn_drain(struct turn *t, const bool *on, cJSON *into)
{
	char *error;

	if (!t->applied)
		return g_strdup("the configuration has no \"turn\"");
	error = on ? change(t, *on) : NULL;
	if (error)
		return error;
	cJSON_AddBoolToObject(into, "draining", t->core.draining);
	cJSON_AddNumberToObject(into, "sessions", turn_core_allocations(&t->core));
	cJSON_AddBoolToObject(into, "empty", !turn_core_allocations(&t->core));
	return NULL;
}
