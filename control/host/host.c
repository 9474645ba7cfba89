// SPDX-License-Identifier: BSD-3-Clause
//
// Applies a config to the kernel: devices, addresses, routes, reserved ports; and takes devices away that
// are ours and that no config wants. Main loop thread; see host.h.
#include "host.h"

#include "../config/config.h"
#include "host_parts.h"

#include <glib.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RESERVED_PORTS "/proc/sys/net/ipv4/ip_local_reserved_ports"

static int port_apply(struct rtnl *r, const struct config_port *p, char **ret_error)
{
	struct host_device d = {.name = p->name, .tap = true, .mtu = p->mtu};
	uint8_t raw[6];

	// The tap speaks for the port, so it has the port's MAC; of other drivers strait-dp knows it and
	// gives it to the tap when it attaches.
	if (p->has_mac)
		d.mac = p->mac;
	else if (p->guard_if && host_mac(p->guard_if, raw))
		d.mac = raw;
	return host_device_apply(r, &d, ret_error);
}

static bool name_wanted(const struct config *c, const char *name)
{
	for (guint i = 0; i < c->ports->len; i++) {
		const struct config_port *p = c->ports->pdata[i];

		if (p->host && !strcmp(p->name, name))
			return true;
	}
	for (guint i = 0; i < c->wgs->len; i++)
		if (!strcmp(((const struct config_wg *)c->wgs->pdata[i])->name, name))
			return true;
	return false;
}

struct removal {
	struct rtnl *r;
	const struct config *keep; // NULL: none
	int err;
};

static void remove_unwanted(const char *name, uint32_t index, void *arg)
{
	struct removal *rm = arg;
	int err;

	if (rm->keep && name_wanted(rm->keep, name))
		return;
	err = host_device_remove(rm->r, name, index);
	if (err)
		rm->err = err;
}

static int devices_apply(struct rtnl *r, const struct config *c, char **ret_error)
{
	struct removal rm = {.r = r, .keep = c};
	int err = 0;

	for (guint i = 0; i < c->ports->len && !err; i++) {
		const struct config_port *p = c->ports->pdata[i];

		if (p->host)
			err = port_apply(r, p, ret_error);
	}
	for (guint i = 0; i < c->wgs->len && !err; i++) {
		const struct config_wg *w = c->wgs->pdata[i];
		struct host_device d = {.name = w->name, .tap = false, .mtu = w->mtu};

		err = host_device_apply(r, &d, ret_error);
	}
	if (err)
		return err;
	err = host_devices_each(r, remove_unwanted, &rm);
	if (err)
		*ret_error = host_error(r, "list", "all", err);
	return err;
}

static bool list_has(const char *list, uint16_t port)
{
	g_auto(GStrv) items = g_strsplit(list, ",", -1);

	for (char **i = items; *i; i++) {
		unsigned int lo, hi;
		int n = sscanf(*i, "%u-%u", &lo, &hi);

		if (n >= 1 && port >= lo && port <= (n == 2 ? hi : lo))
			return true;
	}
	return false;
}

// The ephemeral range of the kernel must not hand out our listen ports to others.
static void ports_reserve(const struct config *c)
{
	g_autofree char *was = NULL;
	g_autoptr(GString) list = NULL;
	FILE *f;

	if (!g_file_get_contents(RESERVED_PORTS, &was, NULL, NULL))
		return;
	list = g_string_new(g_strstrip(was));
	for (guint i = 0; i < c->wgs->len; i++) {
		uint16_t port = ((const struct config_wg *)c->wgs->pdata[i])->listen_port;

		if (port && !list_has(list->str, port))
			g_string_append_printf(list, "%s%u", list->len ? "," : "", port);
	}
	f = fopen(RESERVED_PORTS, "we");
	if (!f || fputs(list->str, f) < 0)
		g_warning("host: cannot reserve listen ports file=" RESERVED_PORTS " error=\"%s\"",
			g_strerror(errno));
	if (f)
		fclose(f);
}

int host_apply(const struct config *c, char **ret_error)
{
	struct rtnl *r = rtnl_open();
	int err;

	if (!r) {
		err = -errno;
		*ret_error = g_strdup_printf("host: cannot open rtnetlink: %s", g_strerror(-err));
		return err;
	}
	err = devices_apply(r, c, ret_error);
	if (!err)
		err = host_addresses_apply(r, c, ret_error);
	if (!err)
		err = host_routes_apply(r, c, ret_error);
	if (!err)
		ports_reserve(c);
	rtnl_close(r);
	return err;
}

int host_remove_all(const struct config *c)
{
	struct removal rm = {.r = rtnl_open()};
	int err;

	(void)c;
	if (!rm.r)
		return -errno;
	err = host_devices_each(rm.r, remove_unwanted, &rm);
	rtnl_close(rm.r);
	return err ? err : rm.err;
}
