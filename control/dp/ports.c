// SPDX-License-Identifier: BSD-3-Clause
//
// PORT objects: config entry to struct st_port, the interface id, the host device for netlink, and the
// retry of a port that failed. Main loop thread; it opens no device itself.
#include "ports.h"

#include "../config/config.h"
#include "../host/netlink.h"
#include "dp.h"
#include "ids.h"

#include <cjson/cJSON.h>
#include <glib.h>

#include <errno.h>
#include <string.h>

#define RETRY_S 5

struct port {
	struct ports *ports;
	struct st_port body;
	unsigned int requests; // answers outstanding; the port is freed with the last one
	unsigned int retry;
	bool removed;
	bool installed;
	int error; // of the last attempt, 0 = none
};

struct ports {
	struct dp *dp;
	struct netlink *nl;
	GHashTable *by_name; // name -> struct port
};

static void install(struct port *p);

static void port_unref(struct port *p)
{
	if (p->removed && !p->requests)
		g_free(p);
}

static void retry_cancel(struct port *p)
{
	if (p->retry)
		g_source_remove(p->retry);
	p->retry = 0;
}

static void port_remove(void *arg)
{
	struct port *p = arg;

	retry_cancel(p);
	p->removed = true;
	port_unref(p);
}

static void take_away(struct port *p)
{
	dp_del(p->ports->dp, ST_PORT, &p->body.key, sizeof(p->body.key));
	p->installed = false;
}

static int on_retry(void *arg)
{
	struct port *p = arg;

	p->retry = 0;
	take_away(p); // a port that stopped working has to be closed before it can be opened
	install(p);
	return G_SOURCE_REMOVE;
}

static void retry_later(struct port *p)
{
	if (!p->retry && !p->removed)
		p->retry = g_timeout_add_seconds(RETRY_S, on_retry, p);
}

static void on_installed(int status, void *arg)
{
	struct port *p = arg;

	p->requests--;
	if (p->removed) {
		port_unref(p);
		return;
	}
	// Away: the sync sends it, and cancelled: a later request answers for it.
	if (status == -ENOTCONN || status == -ECANCELED)
		return;
	if (status && status != p->error)
		g_critical(
			"port: the data plane cannot open it name=%s devargs=\"%s\" error=\"%s\" "
			"retry_s=%d",
			p->body.name, p->body.devargs, strerror(-status), RETRY_S);
	if (!status && !p->installed)
		g_message("port: open name=%s if_id=%u", p->body.name, p->body.key.if_id);
	p->error = status;
	p->installed = !status;
	if (status)
		retry_later(p);
	else
		retry_cancel(p); // it would close what works
}

static void install(struct port *p)
{
	p->requests++;
	dp_set(p->ports->dp, ST_PORT, &p->body, sizeof(p->body), NULL, 0, on_installed, p);
}

struct ports *ports_new(struct dp *dp, struct netlink *nl)
{
	struct ports *p = g_new0(struct ports, 1);

	p->dp = dp;
	p->nl = nl;
	p->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, port_remove);
	return p;
}

void ports_free(struct ports *p)
{
	if (!p)
		return;
	g_hash_table_destroy(p->by_name);
	g_free(p);
}

static void fill(struct st_port *b, const struct config_port *c, uint32_t if_id)
{
	memset(b, 0, sizeof(*b));
	b->key.if_id = if_id;
	g_strlcpy(b->name, c->name, sizeof(b->name));
	g_strlcpy(b->devargs, c->devargs, sizeof(b->devargs));
	if (c->host)
		g_strlcpy(b->host_name, c->name, sizeof(b->host_name));
	if (c->guard_if) {
		g_strlcpy(b->guard_if, c->guard_if, sizeof(b->guard_if));
		b->flags |= ST_PORT_F_GUARD;
	}
	if (c->has_mac)
		memcpy(b->mac, c->mac, sizeof(b->mac));
	b->mtu = c->mtu;
	b->rx_queues = c->rx_queues;
	b->tx_queues = c->tx_queues;
	b->ring_size = c->ring_size;
}

static int apply_one(struct ports *ps, const struct config_port *c, char **ret_error)
{
	struct port *p = g_hash_table_lookup(ps->by_name, c->name);
	uint32_t if_id = ids_get(c->name);
	struct st_port body;

	if (!if_id) {
		*ret_error = g_strdup_printf(
			"port %s: all %d interface ids are in use", c->name, ST_MAX_IFACES - 1);
		return -ENOSPC;
	}
	fill(&body, c, if_id);
	if (p && !memcmp(&p->body, &body, sizeof(body))) {
		netlink_map_iface(ps->nl, if_id, body.host_name);
		return 0;
	}
	if (p) {
		take_away(p);
		p->error = 0;
	} else {
		p = g_new0(struct port, 1);
		p->ports = ps;
		g_hash_table_insert(ps->by_name, g_strdup(c->name), p);
	}
	p->body = body;
	netlink_map_iface(ps->nl, if_id, body.host_name);
	install(p);
	return 0;
}

static bool wanted(const struct config *c, const char *name)
{
	for (unsigned int i = 0; i < c->ports->len; i++) {
		const struct config_port *p = c->ports->pdata[i];

		if (!strcmp(p->name, name))
			return true;
	}
	return false;
}

int ports_apply(struct ports *ps, const struct config *c, char **ret_error)
{
	GHashTableIter it;
	void *name, *port;

	g_hash_table_iter_init(&it, ps->by_name);
	while (g_hash_table_iter_next(&it, &name, &port)) {
		struct port *p = port;

		if (wanted(c, name))
			continue;
		netlink_map_iface(ps->nl, p->body.key.if_id, NULL);
		take_away(p);
		ids_put(name);
		g_hash_table_iter_remove(&it);
	}
	for (unsigned int i = 0; i < c->ports->len; i++) {
		int err = apply_one(ps, c->ports->pdata[i], ret_error);

		if (err)
			return err;
	}
	return 0;
}

static struct port *find(const struct ports *ps, uint32_t if_id)
{
	GHashTableIter it;
	void *p;

	g_hash_table_iter_init(&it, ps->by_name);
	while (g_hash_table_iter_next(&it, NULL, &p))
		if (((struct port *)p)->body.key.if_id == if_id)
			return p;
	return NULL;
}

void ports_failed(struct ports *ps, uint32_t if_id)
{
	struct port *p = find(ps, if_id);

	if (!p)
		return;
	g_critical("port: stopped working name=%s retry_s=%d", p->body.name, RETRY_S);
	p->error = -EIO;
	p->installed = false;
	retry_later(p);
}

void ports_away(struct ports *ps)
{
	GHashTableIter it;
	void *v;

	g_hash_table_iter_init(&it, ps->by_name);
	while (g_hash_table_iter_next(&it, NULL, &v))
		((struct port *)v)->installed = false;
}

// What the sync has sent had nobody to take the answers. Asking again costs nothing where it went well,
// and finds what was refused.
void ports_synced(struct ports *ps)
{
	GHashTableIter it;
	void *v;

	g_hash_table_iter_init(&it, ps->by_name);
	while (g_hash_table_iter_next(&it, NULL, &v)) {
		struct port *p = v;

		if (!p->installed && !p->requests)
			install(p);
	}
}

void ports_status(const struct ports *ps, struct cJSON *into)
{
	cJSON *array = cJSON_AddArrayToObject(into, "ports");
	GHashTableIter it;
	void *v;

	g_hash_table_iter_init(&it, ps->by_name);
	while (g_hash_table_iter_next(&it, NULL, &v)) {
		const struct port *p = v;
		cJSON *o = cJSON_CreateObject();

		cJSON_AddStringToObject(o, "name", p->body.name);
		cJSON_AddNumberToObject(o, "if_id", p->body.key.if_id);
		cJSON_AddStringToObject(o, "devargs", p->body.devargs);
		cJSON_AddStringToObject(o, "host_device", p->body.host_name);
		cJSON_AddStringToObject(o, "guard", p->body.guard_if);
		cJSON_AddNumberToObject(o, "mtu", p->body.mtu);
		cJSON_AddStringToObject(o, "state",
			p->installed ? "open"
			: p->error   ? "failed"
				     : "waiting");
		if (p->error)
			cJSON_AddStringToObject(o, "error", strerror(-p->error));
		cJSON_AddItemToArray(array, o);
	}
}
