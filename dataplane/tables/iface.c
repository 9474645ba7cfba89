// SPDX-License-Identifier: BSD-3-Clause
//
// The table of interfaces, WGIF objects and the addresses that ICMP errors are sent from. main only; the
// lcores read iface_table. Ports fill in their side in port.c and publish through here.
#include "iface.h"

#include "../ports/host_device.h"
#include "../ports/port.h"
#include "../reclaim.h"
#include "../server/object.h"
#include "lpm.h"
#include "route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct iface *_Atomic iface_table[ST_MAX_IFACES];

// ADDR objects by interface. They may come before their interface and outlive it.
static struct {
	struct st_ifaddr *list;
	uint32_t n, room;
} addrs[ST_MAX_IFACES];

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool is_v4(const struct st_addr *a)
{
	return memcmp(a->b, v4_mapped, sizeof(v4_mapped)) == 0;
}

static bool is_link_local6(const struct st_addr *a)
{
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

// The first of each family; an IPv6 link-local one only for want of a better.
static void fill_sources(struct iface *iface)
{
	static const struct st_addr none;
	bool got6 = false;

	iface->addr4 = none;
	iface->addr6 = none;
	for (uint32_t i = addrs[iface->if_id].n; i-- > 0;) {
		const struct st_addr *a = &addrs[iface->if_id].list[i].key.addr;

		if (is_v4(a)) {
			iface->addr4 = *a;
		} else if (!is_link_local6(a) || !got6) {
			iface->addr6 = *a;
			got6 = got6 || !is_link_local6(a);
		}
	}
}

struct iface *iface_new(const struct iface *from)
{
	struct iface *iface = calloc(1, sizeof(*iface));

	if (iface == NULL)
		return NULL;
	if (from != NULL) {
		*iface = *from;
	} else {
		iface->eth_port = NO_ETH_PORT;
		iface->host_port = NO_ETH_PORT;
	}
	return iface;
}

void iface_publish(uint16_t if_id, struct iface *iface)
{
	const struct iface *old = iface_get(if_id);

	if (iface != NULL) {
		iface->if_id = if_id;
		fill_sources(iface);
	}
	atomic_store_explicit(&iface_table[if_id], iface, memory_order_release);
	route_changed();
	reclaim_later(free, (void *)(uintptr_t)old);
}

// ---- WGIF ----

static bool name_ok(const char *name)
{
	return memchr(name, '\0', ST_NAME_MAX) != NULL;
}

static int wgif_check(const struct st_wgif *w, const struct iface *cur)
{
	if (w->key.if_id == 0 || w->key.if_id >= ST_MAX_IFACES)
		return -EINVAL;
	if (!name_ok(w->name) || !name_ok(w->host_name) || w->name[0] == '\0')
		return -EINVAL;
	if (w->mtu < 68)
		return -EINVAL;
	if (cur != NULL && !cur->is_wg)
		return -EEXIST; // the id is a port's
	return 0;
}

// The TUN stays attached while its name stays; otherwise the old one goes and the new one comes.
static int wgif_host_port(const struct st_wgif *w, const struct st_wgif *was, uint16_t *ret_port)
{
	int port;

	if (w->host_name[0] == '\0') {
		*ret_port = NO_ETH_PORT;
		return 0;
	}
	if (was != NULL && strcmp(w->host_name, was->host_name) == 0 && w->mtu == was->mtu) {
		*ret_port = iface_get((uint16_t)w->key.if_id)->host_port;
		return 0;
	}
	port = host_device_attach(w->host_name, 1, NULL, w->mtu);
	if (port < 0)
		return port;
	*ret_port = (uint16_t)port;
	return 0;
}

// Ends what the lcores do with a host device that is no longer in the iface, then lets it go.
static void host_port_release(uint16_t host_port)
{
	lcore_plans_publish();
	if (host_port == NO_ETH_PORT)
		return;
	reclaim_wait();
	host_device_detach(host_port);
}

static void wgif_fill(struct iface *iface, const struct st_wgif *w)
{
	iface->is_wg = true;
	iface->mss_clamp = w->mss_clamp != 0;
	iface->mtu = w->mtu;
	iface->listen_port_be = w->listen_port_be;
	memcpy(iface->name, w->name, sizeof(iface->name));
}

int wgif_set(const void *body, const void *old)
{
	const struct st_wgif *w = body, *was = old;
	uint16_t if_id = (uint16_t)w->key.if_id, old_port = NO_ETH_PORT;
	const struct iface *cur = w->key.if_id < ST_MAX_IFACES ? iface_get(if_id) : NULL;
	struct iface *iface;
	int rc = wgif_check(w, cur);

	if (rc < 0)
		return rc;
	// A name can be attached once: with another MTU under the same name the old one goes first.
	if (cur != NULL && cur->host_port != NO_ETH_PORT &&
		(strcmp(w->host_name, was->host_name) != 0 || w->mtu != was->mtu)) {
		old_port = cur->host_port;
		iface = iface_new(cur);
		if (iface == NULL)
			return -ENOMEM;
		iface->host_port = NO_ETH_PORT;
		iface_publish(if_id, iface);
		host_port_release(old_port);
		was = NULL;
		cur = iface;
	}
	iface = iface_new(cur);
	if (iface == NULL)
		return -ENOMEM;
	if (iface->allowed_ips == NULL)
		iface->allowed_ips = lpm_new();
	rc = iface->allowed_ips == NULL ? -ENOMEM : wgif_host_port(w, was, &iface->host_port);
	if (rc < 0) {
		if (cur == NULL)
			lpm_free(iface->allowed_ips);
		free(iface);
		return rc;
	}
	iface->if_id = if_id;
	wgif_fill(iface, w);
	iface_publish(if_id, iface);
	lcore_plans_publish();
	return 0;
}

static void allowed_ips_free(void *arg)
{
	lpm_free(arg);
}

// Peers of the interface go with it; straitd deletes them first, so there are none as a rule.
static void peers_remove(uint32_t if_id)
{
	struct object_cursor c;
	struct object_view v;

	if (object_cursor_open(&c, ST_PEER) < 0)
		return;
	while (object_cursor_next(&c, &v)) {
		const struct st_peer *p = v.body;
		struct st_peer_key key = p->key;

		if (p->if_id == if_id)
			object_del(ST_PEER, &key, sizeof(key));
	}
	object_cursor_close(&c);
}

void wgif_del(const void *body)
{
	const struct st_wgif *w = body;
	uint16_t if_id = (uint16_t)w->key.if_id, host_port;
	const struct iface *cur = iface_get(if_id);
	struct lpm *allowed_ips;

	if (cur == NULL)
		return;
	peers_remove(w->key.if_id);
	host_port = cur->host_port;
	allowed_ips = cur->allowed_ips;
	iface_publish(if_id, NULL);
	host_port_release(host_port);
	reclaim_later(allowed_ips_free, allowed_ips);
}

// ---- ADDR ----

static void republish(uint16_t if_id)
{
	const struct iface *cur = iface_get(if_id);
	struct iface *iface = cur == NULL ? NULL : iface_new(cur);

	if (iface != NULL)
		iface_publish(if_id, iface);
}

int ifaddr_set(const void *body, const void *old)
{
	const struct st_ifaddr *a = body;
	uint32_t id = a->key.if_id;

	if (id == 0 || id >= ST_MAX_IFACES || a->plen > 128)
		return -EINVAL;
	if (old != NULL)
		return 0; // only the prefix length can differ, which nothing here uses
	if (addrs[id].n == addrs[id].room) {
		uint32_t room = addrs[id].room + 8;
		struct st_ifaddr *list = realloc(addrs[id].list, room * sizeof(*list));

		if (list == NULL)
			return -ENOMEM;
		addrs[id].list = list;
		addrs[id].room = room;
	}
	addrs[id].list[addrs[id].n++] = *a;
	republish((uint16_t)id);
	return 0;
}

void ifaddr_del(const void *body)
{
	const struct st_ifaddr *a = body;
	uint32_t id = a->key.if_id;

	for (uint32_t i = 0; i < addrs[id].n; i++) {
		if (memcmp(&addrs[id].list[i].key, &a->key, sizeof(a->key)) != 0)
			continue;
		addrs[id].n--;
		memmove(&addrs[id].list[i], &addrs[id].list[i + 1],
			(addrs[id].n - i) * sizeof(addrs[id].list[0]));
		republish((uint16_t)id);
		return;
	}
}

void iface_tables_fini(void)
{
	for (unsigned int i = 0; i < ST_MAX_IFACES; i++) {
		free(addrs[i].list);
		addrs[i].list = NULL;
		addrs[i].n = addrs[i].room = 0;
	}
}
