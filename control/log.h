// SPDX-License-Identifier: BSD-3-Clause
//
// Where g_warning() and its kin go: one line per record on stderr, "<level> <noun>: <what> key=value".
// The writer limits the rate of everything below error, because remotes can cause lines.
#pragma once

#include <stdbool.h>

void log_init(void); // installs the writer; level notice
// "error", "warning", "notice", "info" or "debug". False: no such level, nothing changed.
bool log_set_level(const char *name);
const char *log_level(void);
