// SPDX-License-Identifier: BSD-3-Clause
//
// What strait-signal tells about itself: a table for people, JSON for programs, and Prometheus text over
// HTTP. In the main thread.
#pragma once

#include "server.h"

struct cJSON;

struct report_source {
	const struct server *server;
	const char *const *listen;
	bool tls;
	int64_t started; // g_get_monotonic_time()
};

// Fills an empty object.
void report_json(const struct report_source *source, struct cJSON *ret);
void report_print(const struct cJSON *status); // a table on stdout

struct report_http;
// "HOST:PORT" or "PORT" (then on 127.0.0.1); GET /metrics. NULL with *ret_error (g_free).
struct report_http *report_http_new(
	const char *address, const struct report_source *source, char **ret_error);
void report_http_free(struct report_http *h); // NULL is a no-op
