// SPDX-License-Identifier: BSD-3-Clause
//
// The TURN server's ports: in the port map of the data plane, and kept from the kernel's choice of ephemeral
// ports, which overlaps the relay range. Main loop thread.
#include "../addr.h"
#include "../config/config.h"
#include "../keyed_hash.h"
#include "server_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RESERVED_FILE "/proc/sys/net/ipv4/ip_local_reserved_ports"

static guint key_hash(gconstpointer p)
{
	return keyed_hash(p, sizeof(struct st_portmap_key));
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
	return !memcmp(a, b, sizeof(struct st_portmap_key));
}

static bool is_loopback(const struct st_addr *a)
{
	static const struct st_addr v6 = {.b[15] = 1};

	return (addr_is_v4(a) && a->b[12] == 127) || !memcmp(a, &v6, sizeof(v6));
}

static void want(struct turn *t, GHashTable *wanted, const struct st_addr *addr, uint16_t lo,
	uint16_t hi, uint32_t owner)
{
	struct st_portmap body = {
		.key = {.addr = *addr, .port_lo_be = htons(lo), .port_hi_be = htons(hi)},
		.owner = owner};

	g_hash_table_add(wanted, g_memdup2(&body.key, sizeof(body.key)));
	dp_set(t->dp, ST_PORTMAP, &body, sizeof(body), NULL, 0, NULL, NULL);
}

static void want_listeners(struct turn *t, GHashTable *wanted)
{
	for (guint i = 0; i < t->addrs->len; i++) {
		const struct st_addr *a = &g_array_index(t->addrs, struct st_addr, i);

		if (is_loopback(a) || addr_is_link_local(a))
			continue;
		for (guint n = 0; n < t->udp->len; n++) {
			const struct turn_udp *u = t->udp->pdata[n];

			if (turn_udp_is_listening(t, a, u->port))
				want(t, wanted, a, u->port, u->port, ST_OWNER_TURN_LISTEN);
		}
	}
}

// Added to what an administrator put there; nothing is taken away from that list.
static void reserve_ports(const struct turn_config *c)
{
	char *have = NULL, *text;

	if (!g_file_get_contents(RESERVED_FILE, &have, NULL, NULL))
		return;
	g_strstrip(have);
	text = g_strdup_printf("%s%s%u-%u\n", have, have[0] ? "," : "", c->port_min, c->port_max);
	g_free(have);
	// The file is the kernel's: it is written in place.
	FILE *f = fopen(RESERVED_FILE, "we");

	if (!f || fputs(text, f) < 0 || fflush(f))
		g_warning("turn: the kernel may give relay ports to others: cannot write %s "
			  "error=\"%s\"",
			RESERVED_FILE, g_strerror(errno));
	if (f)
		fclose(f);
	g_free(text);
}

void turn_portmap_apply(struct turn *t)
{
	const struct turn_config *c = t->config ? t->config->turn : NULL;
	GHashTable *wanted = g_hash_table_new_full(key_hash, key_equal, g_free, NULL);
	GHashTableIter iter;
	gpointer stale;

	if (c) {
		want_listeners(t, wanted);
		for (guint i = 0; i < c->relays->len; i++) {
			const struct turn_config_relay *r = c->relays->pdata[i];

			want(t, wanted, &r->addr, c->port_min, c->port_max, ST_OWNER_RELAY);
		}
		reserve_ports(c);
	}
	if (t->portmaps) {
		g_hash_table_iter_init(&iter, t->portmaps);
		while (g_hash_table_iter_next(&iter, &stale, NULL)) {
			if (!g_hash_table_contains(wanted, stale))
				dp_del(t->dp, ST_PORTMAP, stale, sizeof(struct st_portmap_key));
		}
		g_hash_table_destroy(t->portmaps);
	}
	t->portmaps = wanted;
}
