// SPDX-License-Identifier: BSD-3-Clause
//
// Token buckets, and a table of connections that forgets idle ones.
#include "admission.h"

#include "../../keyed_hash.h"
#include "server.h"

#include <glib.h>

#include <arpa/inet.h>
#include <string.h>

#define BURST_S      10
#define FORGET_AFTER (BURST_S * G_USEC_PER_SEC)

struct connections {
	GHashTable *by_name; // of struct connection *
	GHashTable *hosts;   // of struct host *, those with connections
	uint32_t max_per_host;
};

bool bucket_take(struct bucket *b, uint32_t per_second, int64_t now)
{
	double full = (double)per_second * BURST_S;

	if (b->filled == 0)
		b->tokens = full;
	else
		b->tokens += (double)(now - b->filled) / G_USEC_PER_SEC * per_second;
	b->filled = now;
	b->tokens = MIN(b->tokens, full);
	if (b->tokens < 1)
		return false;
	b->tokens -= 1;
	return true;
}

// ---- hosts --------------------------------------------------------------------------------------

// "ipv6:%5B2001:db8::1%5D:5678" is gRPC's name of such a connection. A host has a whole /64.
static char *host_name_v6(const char *name)
{
	char *plain = g_uri_unescape_string(name, NULL), *end = plain ? strchr(plain, ']') : NULL;
	char text[INET6_ADDRSTRLEN];
	struct in6_addr a;
	bool good = false;

	if (end && plain[0] == '[') {
		*end = 0;
		good = inet_pton(AF_INET6, plain + 1, &a) == 1;
	}
	g_free(plain);
	if (!good)
		return NULL;
	memset(a.s6_addr + 8, 0, 8);
	return g_strdup(inet_ntop(AF_INET6, &a, text, sizeof(text)));
}

static char *host_name(const char *name)
{
	const char *port = strrchr(name, ':');
	char *v6 = g_str_has_prefix(name, "ipv6:") ? host_name_v6(name + strlen("ipv6:")) : NULL;

	return v6 ? v6 : g_strndup(name, port ? (gsize)(port - name) : strlen(name));
}

static void host_free(void *host)
{
	struct host *h = host;

	g_free(h->name);
	g_free(h);
}

// NULL: it has as many connections as it may.
static struct host *host_get(struct connections *c, const char *connection)
{
	char *name = host_name(connection);
	struct host *h = g_hash_table_lookup(c->hosts, name);

	if (h) {
		g_free(name);
	} else {
		h = g_new0(struct host, 1);
		h->name = name;
		g_hash_table_insert(c->hosts, h->name, h);
	}
	if (h->connections >= c->max_per_host)
		return NULL;
	h->connections++;
	return h;
}

static void host_put(struct connections *c, struct host *h)
{
	if (--h->connections == 0)
		g_hash_table_remove(c->hosts, h->name);
}

// ---- connections --------------------------------------------------------------------------------

struct connections *connections_new(uint32_t max_per_host)
{
	struct connections *c = g_new0(struct connections, 1);

	c->by_name = g_hash_table_new_full(keyed_text_hash, g_str_equal, g_free, g_free);
	c->hosts = g_hash_table_new_full(keyed_text_hash, g_str_equal, NULL, host_free);
	c->max_per_host = max_per_host;
	return c;
}

void connections_free(struct connections *c)
{
	if (!c)
		return;
	g_hash_table_unref(c->by_name);
	g_hash_table_unref(c->hosts);
	g_free(c);
}

struct connection *connections_get(struct connections *c, const char *name, int64_t now)
{
	struct connection *n = g_hash_table_lookup(c->by_name, name);
	struct host *h;

	if (!n) {
		h = g_hash_table_size(c->by_name) < SERVER_CONNECTIONS_MAX ? host_get(c, name) : NULL;
		if (!h)
			return NULL;
		n = g_new0(struct connection, 1);
		n->host = h;
		g_hash_table_insert(c->by_name, g_strdup(name), n);
	}
	n->used = now;
	return n;
}

bool connections_stream_begin(struct connections *c, struct connection *n, uint32_t max)
{
	if (n->streams >= max || n->host->streams >= c->max_per_host)
		return false;
	n->streams++;
	n->host->streams++;
	return true;
}

void connections_stream_end(struct connection *n)
{
	n->streams--;
	n->host->streams--;
}

void connections_sweep(struct connections *c, int64_t now)
{
	GHashTableIter iter;
	void *value;

	g_hash_table_iter_init(&iter, c->by_name);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct connection *n = value;

		if (n->streams > 0 || now - n->used <= FORGET_AFTER)
			continue;
		host_put(c, n->host);
		g_hash_table_iter_remove(&iter);
	}
}

uint32_t connections_count(const struct connections *c)
{
	return g_hash_table_size(c->by_name);
}
