// SPDX-License-Identifier: BSD-3-Clause
//
// What straitctl peers shows of a peer that is found by ICE: the object "ice" of its row.
#pragma once

#include <stddef.h>

struct cJSON;

void connections_format(char *out, size_t size, const struct cJSON *ice, const struct cJSON *row);
void connections_print(const struct cJSON *ice);
