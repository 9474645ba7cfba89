// SPDX-License-Identifier: BSD-3-Clause
//
// The log writer of straitd. Any thread may log: the limiter has a lock, and a record is one write(), so
// lines do not mix. It never prints anything but what it was given, and no control characters of it.
#include "log.h"

#include <glib.h>

#include <string.h>
#include <unistd.h>

#define BURST      200 // lines at once
#define PER_SECOND 50  // and then
#define LINE_SIZE  1024

static const struct {
	const char *name;
	GLogLevelFlags flag;
} levels[] = {
	{"error", G_LOG_LEVEL_CRITICAL},
	{"warning", G_LOG_LEVEL_WARNING},
	{"notice", G_LOG_LEVEL_MESSAGE},
	{"info", G_LOG_LEVEL_INFO},
	{"debug", G_LOG_LEVEL_DEBUG},
};

static GMutex lock;
static int max_level = 2; // index in levels; written by main, read by any thread (g_atomic)
static int64_t tokens_at; // under lock
static double tokens = BURST;
static unsigned int suppressed;

static int level_index(GLogLevelFlags flags)
{
	if (flags & G_LOG_LEVEL_ERROR)
		return 0;
	for (unsigned int i = 0; i < G_N_ELEMENTS(levels); i++)
		if (flags & levels[i].flag)
			return (int)i;
	return G_N_ELEMENTS(levels) - 1;
}

static void put_line(const char *level, const char *text)
{
	char line[LINE_SIZE];
	int n = g_snprintf(line, sizeof(line) - 1, "%s %s", level, text);

	n = MIN(n, (int)sizeof(line) - 2);
	for (int i = 0; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	// A log that cannot be written has nowhere to be reported.
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}

// True: the line may go out. *ret_missed: how many did not, since the last that did.
static bool take_token(unsigned int *ret_missed)
{
	int64_t now = g_get_monotonic_time();
	bool ok;

	g_mutex_lock(&lock);
	tokens = MIN(BURST, tokens + (double)(now - tokens_at) * PER_SECOND / 1e6);
	tokens_at = now;
	ok = tokens >= 1;
	*ret_missed = ok ? suppressed : 0;
	if (ok) {
		tokens--;
		suppressed = 0;
	} else {
		suppressed++;
	}
	g_mutex_unlock(&lock);
	return ok;
}

static GLogWriterOutput writer(GLogLevelFlags flags, const GLogField *fields, gsize n, gpointer arg)
{
	int level = level_index(flags);
	const char *text = NULL;
	unsigned int missed = 0;

	if (level > g_atomic_int_get(&max_level))
		return G_LOG_WRITER_HANDLED;
	for (gsize i = 0; i < n; i++)
		if (!strcmp(fields[i].key, "MESSAGE"))
			text = fields[i].value;
	if (!text || (level > 0 && !take_token(&missed)))
		return G_LOG_WRITER_HANDLED;
	if (missed) {
		char note[64];

		g_snprintf(note, sizeof(note), "log: lines left out count=%u", missed);
		put_line("warning", note);
	}
	put_line(levels[level].name, text);
	return G_LOG_WRITER_HANDLED;
}

void log_init(void)
{
	tokens_at = g_get_monotonic_time();
	g_log_set_writer_func(writer, NULL, NULL);
}

bool log_set_level(const char *name)
{
	for (unsigned int i = 0; i < G_N_ELEMENTS(levels); i++) {
		if (strcmp(levels[i].name, name))
			continue;
		g_atomic_int_set(&max_level, (int)i);
		return true;
	}
	return false;
}

const char *log_level(void)
{
	return levels[g_atomic_int_get(&max_level)].name;
}
