// SPDX-License-Identifier: BSD-3-Clause
//
// straitd as a whole. Main loop thread.
//
// The start has one rule: what a living data plane remembers is taken back before anything new is given
// to it. Interface ids, parked sockets and sessions come from its dump, and only then is the config
// applied and the sync allowed to sweep. When nobody answers the config is applied at once.
#include "daemon.h"

#include "config/config.h"
#include "conn/conn.h"
#include "conn/events.h"
#include "dp/dp.h"
#include "dp/ids.h"
#include "dp/ports.h"
#include "host/host.h"
#include "host/netlink.h"
#include "notify.h"
#include "turn/server.h"
#include "wg/wg.h"

#include <cjson/cJSON.h>
#include <glib.h>

#include <errno.h>
#include <string.h>

#define RECOVERY_WAIT_S 10 // a data plane that is there but does not answer
#define ABSENT_POLL_MS  20

struct daemon {
	struct config *config;
	char *run_dir; // from the command line, wins over the file's; NULL = the file's
	struct dp *dp;
	struct netlink *nl;
	struct wg *wg;
	struct conns *conns;
	struct events *events;
	struct ports *ports;
	struct turn *turn;
	struct admin *admin;
	bool applied, mirroring;
	unsigned int wait_timer, poll_timer;
	int64_t started_us, reloaded_us;
	struct st_hello hello;
	void (*failed)(void *arg);
	void *failed_arg;
};

// ---- applying a configuration ----------------------------------------------------------------------

// Once, when the interfaces have their ids and before WireGuard asks for paths.
static int start_mirror(struct daemon *d, char **ret_error)
{
	int err = d->mirroring ? 0 : netlink_start(d->nl);

	if (err)
		*ret_error = g_strdup_printf(
			"cannot mirror the kernel's routes and addresses: %s", strerror(-err));
	d->mirroring = !err;
	return err;
}

static int apply(struct daemon *d, const struct config *c, char **ret_error)
{
	int err = ports_apply(d->ports, c, ret_error);

	if (err)
		return err;
	for (unsigned int i = 0; i < c->wgs->len; i++) {
		const struct config_wg *wg = c->wgs->pdata[i];
		uint32_t if_id = ids_get(wg->name);

		if (!if_id) {
			*ret_error =
				g_strdup_printf("interface %s: all %d interface ids are in use",
					wg->name, ST_MAX_IFACES - 1);
			return -ENOSPC;
		}
		netlink_map_iface(d->nl, if_id, wg->name);
	}
	err = start_mirror(d, ret_error);
	if (!err)
		err = wg_apply(d->wg, c, ret_error);
	if (!err)
		err = conns_apply(d->conns, c, ret_error);
	return err ? err : turn_apply(d->turn, c, ret_error);
}

static void stop_waiting(struct daemon *d)
{
	if (d->wait_timer)
		g_source_remove(d->wait_timer);
	if (d->poll_timer)
		g_source_remove(d->poll_timer);
	d->wait_timer = d->poll_timer = 0;
}

static int first_apply(struct daemon *d, char **ret_error)
{
	int err;

	d->applied = true;
	stop_waiting(d);
	err = apply(d, d->config, ret_error);
	if (err)
		return err;
	wg_config_settled(d->wg);
	g_message("straitd: ready config=%s ports=%u interfaces=%u", d->config->file,
		d->config->ports->len, d->config->wgs->len);
	notify_send("READY=1\nSTATUS=running");
	return 0;
}

// From a callback, where nobody can be given an error.
static void first_apply_or_fail(struct daemon *d)
{
	char *error = NULL;

	if (d->applied || !first_apply(d, &error))
		return;
	g_critical("straitd: cannot start error=\"%s\"", error ? error : "unknown");
	g_free(error);
	d->failed(d->failed_arg);
}

static int on_wait_over(void *arg)
{
	struct daemon *d = arg;

	d->wait_timer = 0;
	g_warning("straitd: strait-dp has not told what it holds, starting without waited_s=%d",
		RECOVERY_WAIT_S);
	first_apply_or_fail(d);
	return G_SOURCE_REMOVE;
}

static int on_poll_absent(void *arg)
{
	struct daemon *d = arg;

	if (!dp_absent(d->dp))
		return G_SOURCE_CONTINUE;
	d->poll_timer = 0;
	first_apply_or_fail(d);
	return G_SOURCE_REMOVE;
}

// ---- from the data plane ---------------------------------------------------------------------------

static void on_connected(const struct st_hello *hello, bool new_instance, void *arg)
{
	struct daemon *d = arg;

	d->hello = *hello;
	wg_dp_connected(d->wg, new_instance);
	conns_dp_connected(d->conns);
	turn_dp_connected(d->turn, new_instance);
}

static void take_id(const char name[ST_NAME_MAX], uint32_t if_id)
{
	char copy[ST_NAME_MAX + 1] = "";
	int err;

	memcpy(copy, name, ST_NAME_MAX);
	err = ids_take(copy, if_id);
	if (err)
		g_warning("straitd: interface id of the data plane not taken back name=%s if_id=%u "
			  "error=\"%s\"",
			copy, if_id, strerror(-err));
}

static void on_item(const struct dp_item *item, void *arg)
{
	struct daemon *d = arg;

	if (item->kind == ST_PORT && item->body_len == sizeof(struct st_port)) {
		const struct st_port *p = item->body;

		take_id(p->name, p->key.if_id);
		return;
	}
	if (item->kind == ST_WGIF && item->body_len == sizeof(struct st_wgif)) {
		const struct st_wgif *w = item->body;

		take_id(w->name, w->key.if_id);
	}
	if (!turn_dp_item(d->turn, item))
		wg_dp_item(d->wg, item);
}

static void on_recovered(void *arg)
{
	struct daemon *d = arg;

	first_apply_or_fail(d);
	wg_dp_recovered(d->wg);
	turn_dp_recovered(d->turn);
}

static void on_synced(void *arg)
{
	struct daemon *d = arg;

	g_message("straitd: data plane has the whole configuration");
	ports_synced(d->ports);
	wg_dp_synced(d->wg);
	turn_dp_synced(d->turn);
}

static void on_disconnected(void *arg)
{
	struct daemon *d = arg;

	ports_away(d->ports);
	// Or it died while we waited for its dump.
	first_apply_or_fail(d);
}

static const char *name_of(uint32_t if_id)
{
	const char *name = ids_name(if_id);

	return name ? name : "?";
}

// A port that was opened anew has taken its host device down for a moment: the kernel dropped what it
// routed there.
static void take_link(struct daemon *d, const struct st_ev_link *link)
{
	g_autofree char *error = NULL;

	g_message("port: link %s name=%s", link->up ? "up" : "down", name_of(link->if_id));
	if (link->up && host_apply(d->config, &error))
		g_warning("%s", error);
}

static void on_event(uint16_t event, const void *body, uint16_t len, const void *blob,
	uint16_t blob_len, void *arg)
{
	const struct st_ev_link *link = body;
	const struct st_ev_neigh *neigh = body;
	struct daemon *d = arg;

	switch (event) {
	case ST_EV_LINK:
		if (len == sizeof(*link))
			take_link(d, link);
		break;
	case ST_EV_PORT_FAILED:
		if (len == sizeof(*link))
			ports_failed(d->ports, link->if_id);
		break;
	case ST_EV_NEIGH_NEEDED:
		if (len == sizeof(*neigh))
			netlink_neigh_probe(d->nl, neigh->key.if_id, &neigh->key.addr);
		break;
	case ST_EV_PACKET_IN:
		if (len == sizeof(struct st_packet_io) &&
			turn_dp_packet_in(d->turn, body, blob, blob_len))
			break;
		// fall through
	default:
		wg_dp_event(d->wg, event, body, len, blob, blob_len);
	}
}

static const struct dp_ops dp_ops = {
	.connected = on_connected,
	.item = on_item,
	.recovered = on_recovered,
	.synced = on_synced,
	.disconnected = on_disconnected,
	.event = on_event,
};

// Somebody deleted or renamed a host device. strait-dp attaches to the new one.
static void remake_devices(struct daemon *d)
{
	g_autofree char *error = NULL;

	if (netlink_ifaces_present(d->nl))
		return;
	g_warning("host: a host device is gone, making it again");
	if (host_apply(d->config, &error))
		g_warning("%s", error);
}

static void on_routes_changed(void *arg)
{
	struct daemon *d = arg;

	remake_devices(d);
	wg_routes_changed(d->wg);
	conns_routes_changed(d->conns);
}

static void on_addrs_changed(const struct st_addr_key *addrs, unsigned int n, void *arg)
{
	struct daemon *d = arg;

	wg_addrs_changed(d->wg, addrs, n);
	conns_addrs_changed(d->conns);
	turn_addrs_changed(d->turn, addrs, n);
}

// ---- life ------------------------------------------------------------------------------------------

static void fix_run_dir(struct daemon *d, struct config *c)
{
	if (!d->run_dir)
		return;
	g_free(c->run_dir);
	c->run_dir = g_strdup(d->run_dir);
}

struct daemon *daemon_new(
	struct config *config, const char *run_dir, void (*failed)(void *arg), void *arg)
{
	struct daemon *d = g_new0(struct daemon, 1);

	d->config = config;
	d->run_dir = g_strdup(run_dir);
	fix_run_dir(d, config);
	d->failed = failed;
	d->failed_arg = arg;
	d->started_us = d->reloaded_us = g_get_monotonic_time();
	return d;
}

void daemon_free(struct daemon *d)
{
	if (!d)
		return;
	stop_waiting(d);
	admin_free(d->admin);
	conns_free(d->conns);
	turn_free(d->turn);
	wg_free(d->wg);
	events_free(d->events);
	ports_free(d->ports);
	netlink_free(d->nl);
	dp_free(d->dp);
	config_free(d->config);
	g_free(d->run_dir);
	g_free(d);
}

static int make_parts(struct daemon *d, char **ret_error)
{
	char *path = g_build_filename(d->config->run_dir, ST_SOCKET_NAME, NULL);

	d->dp = dp_new(path, &dp_ops, d);
	if (!d->dp)
		*ret_error = g_strdup_printf(
			"cannot use the data plane's socket %s: %s", path, strerror(errno));
	g_free(path);
	if (!d->dp)
		return -errno;
	d->nl = netlink_new(d->dp);
	if (!d->nl) {
		*ret_error = g_strdup_printf("cannot open netlink: %s", strerror(errno));
		return -errno;
	}
	d->wg = wg_new(d->dp, d->nl, d->config->run_dir);
	if (!d->wg) {
		*ret_error = g_strdup_printf("cannot start WireGuard: %s", strerror(errno));
		return -errno;
	}
	d->events = events_new();
	d->conns = conns_new(d->wg, d->events);
	d->turn = turn_new(d->dp, d->config->run_dir, ret_error);
	if (!d->turn)
		return -EIO;
	wg_set_own_relay(d->wg, turn_is_own_relay, turn_inside, d->turn);
	turn_set_peer_ports(d->turn, conns_have_port, d->conns);
	d->ports = ports_new(d->dp, d->nl);
	netlink_on_change(d->nl, on_routes_changed, d);
	netlink_on_addrs(d->nl, on_addrs_changed, d);
	return 0;
}

static void on_conn_event(const struct cJSON *event, void *arg)
{
	struct daemon *d = arg;

	if (d->admin && admin_followed(d->admin))
		admin_push(d->admin, event);
}

static int open_admin(struct daemon *d, char **ret_error)
{
	char *path = g_build_filename(d->config->run_dir, ADMIN_SOCKET_NAME, NULL);

	d->admin = admin_new(path, d->config->group, daemon_verbs, d);
	if (!d->admin)
		*ret_error = g_strdup_printf(
			"cannot open the admin socket %s: %s", path, strerror(errno));
	g_free(path);
	if (!d->admin)
		return -errno;
	events_listen(d->events, on_conn_event, d);
	return 0;
}

int daemon_start(struct daemon *d, char **ret_error)
{
	int err = host_check_raw(d->config, ret_error);

	if (!err)
		err = host_apply(d->config, ret_error);
	if (!err)
		err = make_parts(d, ret_error);
	if (!err)
		err = open_admin(d, ret_error);
	if (err)
		return err;
	host_warn_nftables();
	dp_start(d->dp);
	if (dp_absent(d->dp))
		return first_apply(d, ret_error);
	g_message("straitd: asking the data plane what it holds");
	d->wait_timer = g_timeout_add_seconds(RECOVERY_WAIT_S, on_wait_over, d);
	d->poll_timer = g_timeout_add(ABSENT_POLL_MS, on_poll_absent, d);
	return 0;
}

// ---- reload ----------------------------------------------------------------------------------------

static void note(cJSON *list, const char *what)
{
	g_warning("straitd: a change needs a restart setting=%s", what);
	if (list)
		cJSON_AddItemToArray(list, cJSON_CreateString(what));
}

static void note_restart(const struct config *a, const struct config *b, cJSON *notes)
{
	const struct config_dataplane *x = &a->dataplane, *y = &b->dataplane;
	cJSON *list = notes ? cJSON_AddArrayToObject(notes, "needs_restart") : NULL;

	if (g_strcmp0(x->lcores, y->lcores))
		note(list, "dataplane.lcores");
	if (x->main_cpu != y->main_cpu)
		note(list, "dataplane.main_cpu");
	if (g_strcmp0(x->hugepages, y->hugepages))
		note(list, "dataplane.hugepages");
	if (x->memory_mb != y->memory_mb)
		note(list, "dataplane.memory_mb");
	if (x->packets != y->packets)
		note(list, "dataplane.packets");
	if (x->adaptive != y->adaptive)
		note(list, "dataplane.idle");
	if (g_strcmp0(x->aead, y->aead))
		note(list, "dataplane.aead");
	if (g_strcmp0(a->run_dir, b->run_dir))
		note(list, "run_dir");
	if (g_strcmp0(a->group, b->group))
		note(list, "group");
}

static void cannot_go_back(const char *error)
{
	g_critical("straitd: cannot go back to the old configuration error=\"%s\"",
		error ? error : "unknown");
}

// Back to what ran before, as far as the kernel lets us.
static void roll_back(struct daemon *d)
{
	g_autofree char *host_error = NULL, *error = NULL;

	if (host_apply(d->config, &host_error))
		cannot_go_back(host_error);
	// Also then: peers and sessions that are back are better than none.
	if (apply(d, d->config, &error))
		cannot_go_back(error);
}

static int apply_new(struct daemon *d, struct config *c, char **ret_error)
{
	int err = host_check_raw(c, ret_error);

	if (err)
		return err;
	err = host_apply(c, ret_error);
	if (!err)
		err = apply(d, c, ret_error);
	if (err)
		roll_back(d);
	return err;
}

static int reload(struct daemon *d, cJSON *notes, char **ret_error)
{
	struct config *c = config_load(d->config->file, ret_error);
	int err;

	if (!c)
		return -EINVAL;
	fix_run_dir(d, c);
	note_restart(d->config, c, notes);
	// The sockets are where they are until then.
	g_free(c->run_dir);
	c->run_dir = g_strdup(d->config->run_dir);
	err = apply_new(d, c, ret_error);
	if (err) {
		wg_config_gone(d->wg, c);
		config_free(c);
		return err;
	}
	wg_config_settled(d->wg);
	config_free(d->config);
	d->config = c;
	d->reloaded_us = g_get_monotonic_time();
	return 0;
}

char *daemon_starting(const struct daemon *d)
{
	return d->applied ? NULL : g_strdup("still starting: the data plane has not answered yet");
}

int daemon_reload(struct daemon *d, struct cJSON *notes, char **ret_error)
{
	int err;

	*ret_error = daemon_starting(d);
	if (*ret_error)
		return -EAGAIN;
	notify_send("RELOADING=1");
	err = reload(d, notes, ret_error);
	notify_send("READY=1");
	if (err)
		g_critical("straitd: reload refused, the old configuration goes on error=\"%s\"",
			*ret_error ? *ret_error : strerror(-err));
	else
		g_message("straitd: reloaded config=%s", d->config->file);
	return err;
}

void daemon_overlay_status(struct daemon *d, struct cJSON *into)
{
	wg_overlay_status(d->wg, into);
}

int daemon_overlay_drop(struct daemon *d, char **ret_error)
{
	g_message("straitd: dropping what wg changed");
	return wg_overlay_drop(d->wg, ret_error);
}

// ---- status ----------------------------------------------------------------------------------------

void daemon_status(struct daemon *d, struct cJSON *into)
{
	int64_t now = g_get_monotonic_time();
	cJSON *dp = cJSON_AddObjectToObject(into, "dataplane");

	cJSON_AddStringToObject(into, "config", d->config->file);
	cJSON_AddNumberToObject(into, "uptime_s", (double)((now - d->started_us) / 1000000));
	cJSON_AddNumberToObject(into, "since_reload_s", (double)((now - d->reloaded_us) / 1000000));
	cJSON_AddBoolToObject(into, "applied", d->applied);
	cJSON_AddBoolToObject(dp, "connected", dp_connected(d->dp));
	if (dp_connected(d->dp)) {
		cJSON_AddNumberToObject(dp, "pid", d->hello.pid);
		cJSON_AddNumberToObject(dp, "lcores", d->hello.lcores);
		cJSON_AddStringToObject(dp, "aead", d->hello.aead);
		cJSON_AddStringToObject(dp, "version", d->hello.version_text);
	}
}

void daemon_wg_status(struct daemon *d, struct cJSON *into)
{
	wg_status(d->wg, into);
}

void daemon_conn_status(struct daemon *d, struct cJSON *into)
{
	conns_status(d->conns, into);
}

void daemon_events(struct daemon *d, uint64_t since, unsigned int max, struct cJSON *into)
{
	events_since(d->events, since, max, into);
}

struct conn *daemon_conn(struct daemon *d, const char *peer, char **ret_error)
{
	bool known = false;
	struct conn *c = conns_find(d->conns, peer, &known);

	if (!c)
		*ret_error = known ? g_strdup_printf("peer %s does not use ICE", peer)
				   : g_strdup_printf("no peer %s", peer);
	return c;
}

void daemon_ports_status(struct daemon *d, struct cJSON *into)
{
	ports_status(d->ports, into);
}

struct turn *daemon_turn(struct daemon *d)
{
	return d->turn;
}
