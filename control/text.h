// SPDX-License-Identifier: BSD-3-Clause
//
// Text that others wrote, made fit to be shown: in JSON, in a log, on a terminal. Pure.
#pragma once

#include <stddef.h>

// At most size - 1 bytes and the NUL, cut where a character begins. What is no UTF-8 becomes U+FFFD, control
// characters "?". text NULL: "".
void text_copy(char *out, size_t size, const char *text);
