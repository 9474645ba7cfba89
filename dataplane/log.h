// SPDX-License-Identifier: BSD-3-Clause
//
// Log lines of strait-dp's main thread: "<level> <noun>: <what> key=value ...", one record per line, to
// stderr, where systemd reads the level from the <N> in front if it is asked to. Lcores never log.
#pragma once

enum log_level {
	LOG_LEVEL_ERROR = 3, // as in syslog
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

void log_init(enum log_level most);
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
