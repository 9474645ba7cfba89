// SPDX-License-Identifier: BSD-3-Clause
//
// Figures as people read them.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct cJSON;

#define HUMAN_MAX 40

const char *human_bytes(char out[HUMAN_MAX], uint64_t bytes);  // "1.23 MiB"
const char *human_span(char out[HUMAN_MAX], uint64_t seconds); // "3 h 12 min"

// Column formats: bytes; an age in ms ("4 s ago", "never"); a share in percent.
void human_format_bytes(char *out, size_t size, const struct cJSON *value, const struct cJSON *row);
void human_format_age_ms(char *out, size_t size, const struct cJSON *value, const struct cJSON *row);
void human_format_percent(char *out, size_t size, const struct cJSON *value, const struct cJSON *row);
