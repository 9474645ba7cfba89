// SPDX-License-Identifier: BSD-3-Clause
//
// One line, one write. Main thread only.
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
	enum log_level most;
	int to_journal; // stderr is the journal's: it wants <N> and no word for the level
} log_state = {.most = LOG_LEVEL_INFO};

void log_init(enum log_level most)
{
	log_state.most = most;
	log_state.to_journal = getenv("JOURNAL_STREAM") != NULL && !isatty(STDERR_FILENO);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	static const char *const words[] = {
		[LOG_LEVEL_ERROR] = "error ",
		[LOG_LEVEL_WARNING] = "warning ",
		[LOG_LEVEL_INFO] = "info ",
		[LOG_LEVEL_DEBUG] = "debug ",
	};
	char line[1024];
	va_list ap;
	int n, m;

	if (level > log_state.most)
		return;
	if (log_state.to_journal)
		n = snprintf(line, sizeof(line), "<%d>", level);
	else
		n = snprintf(line, sizeof(line), "%s", words[level]);
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if (m < 0)
		return;
	n += m;
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; // there is nowhere left to say so
}
