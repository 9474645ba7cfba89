// SPDX-License-Identifier: BSD-3-Clause
//
// Where Prometheus' /metrics listens: libsoup serves it, but has no limit to connections and none to the time of one,
// so who reaches the address could hold file descriptors that clients need. A connection is for one request. Main
// loop thread.
#pragma once

#include <libsoup/soup.h>

#define SCRAPE_CONNECTIONS 16 // at once; the next one is closed
#define SCRAPE_S           10 // a connection's life, whatever it does

struct scrape;

// server is not listening; it outlives the scrape. NULL with *ret_error.
struct scrape *scrape_new(SoupServer *server, GSocketAddress *address, GError **ret_error);
void scrape_free(struct scrape *s); // does not wait for connections; NULL is a no-op
