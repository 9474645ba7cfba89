// SPDX-License-Identifier: BSD-3-Clause
//
// PORT objects: the guard, the device, its host device, and what the lcores see of them. Once a second it is
// looked whether the kernel still has what is below them. main only.
#include "port.h"

#include "../lcore.h"
#include "../log.h"
#include "../reclaim.h"
#include "../server/api_server.h"
#include "../server/object.h"
#include "../tables/iface.h"
#include "device.h"
#include "guard.h"
#include "host_device.h"
#include "packet_ring.h"
#include "plan.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

struct port {
	bool used;
	bool link_up;
	bool failed;              // reported
	unsigned int guard_index; // of guard_if; 0: none
	struct st_port conf;
	struct device dev;
};

static struct {
	struct port ports[ST_MAX_IFACES];
	unsigned int host_tried[ST_MAX_IFACES];     // index of the last one that was attached again
	uint64_t polled;                            // TSC
	_Atomic uint32_t removed[RTE_MAX_ETHPORTS]; // EAL's interrupt thread: wo, main: rw
} pt;

// EAL's interrupt thread: only notes it; ports_poll tells.
static int device_removed(uint16_t eth, enum rte_eth_event_type event, void *arg, void *param)
{
	if (event == RTE_ETH_EVENT_INTR_RMV && eth < RTE_MAX_ETHPORTS)
		atomic_store_explicit(&pt.removed[eth], 1, memory_order_release);
	return 0;
}

void ports_init(struct rte_mempool *pool)
{
	memset(pt.ports, 0, sizeof(pt.ports));
	guard_init();
	device_init(pool);
	host_devices_init();
	if (rte_eth_dev_callback_register(
		    RTE_ETH_ALL, RTE_ETH_EVENT_INTR_RMV, device_removed, NULL) != 0)
		log_warning("port: removals of devices will not be noticed");
}

static void plan_add_device(uint16_t if_id, const struct device *d, uint16_t host)
{
	plan_add(&(struct plan_device){.if_id = if_id,
		.eth = d->eth,
		.nb_rxq = d->nb_rxq,
		.nb_txq = d->nb_txq,
		.host = host,
		.tap = device_is_tap(d)});
}

void lcore_plans_publish(void)
{
	int rc;

	plan_clear();
	for (uint16_t id = 1; id < ST_MAX_IFACES; id++) {
		const struct iface *iface = iface_get(id);

		if (iface == NULL)
			continue;
		if (!iface->is_wg)
			plan_add_device(id, &pt.ports[id].dev, 0);
		if (iface->host_port != NO_ETH_PORT)
			plan_add_device(id, host_device_get(iface->host_port), 1);
	}
	rc = plan_publish();
	if (rc < 0)
		log_error("plan: lcores keep their queues error=%s", strerror(-rc));
}

// ---- PORT ----

static bool text_ok(const char *text, size_t room)
{
	return memchr(text, '\0', room) != NULL;
}

static int port_check(const struct st_port *p)
{
	const struct iface *cur;

	if (p->key.if_id == 0 || p->key.if_id >= ST_MAX_IFACES)
		return -EINVAL;
	if (!text_ok(p->name, sizeof(p->name)) || !text_ok(p->devargs, sizeof(p->devargs)) ||
		!text_ok(p->host_name, sizeof(p->host_name)) ||
		!text_ok(p->guard_if, sizeof(p->guard_if)))
		return -EINVAL;
	if (p->name[0] == '\0' || p->devargs[0] == '\0' || p->mtu < 68)
		return -EINVAL;
	if ((p->flags & ~(uint32_t)ST_PORT_F_GUARD) != 0 || p->pad0 != 0 || p->pad1 != 0)
		return -EINVAL;
	if ((p->flags & ST_PORT_F_GUARD) != 0 && p->guard_if[0] == '\0')
		return -EINVAL;
	cur = iface_get((uint16_t)p->key.if_id);
	return cur != NULL && cur->is_wg ? -EEXIST : 0; // the id is a WireGuard interface's
}

static int iface_make(const struct port *port, uint16_t host_port)
{
	uint16_t if_id = (uint16_t)port->conf.key.if_id;
	struct iface *iface = iface_new(NULL);

	if (iface == NULL)
		return -ENOMEM;
	iface->if_id = if_id;
	iface->mtu = port->dev.mtu;
	iface->eth_port = port->dev.eth;
	iface->nb_txq = port->dev.nb_txq;
	iface->host_port = host_port;
	iface->nb_host_txq = host_port == NO_ETH_PORT ? 0 : host_device_get(host_port)->nb_txq;
	iface->mac = port->dev.mac;
	iface->rx_offloads = port->dev.rx_offloads;
	iface->tx_offloads = port->dev.tx_offloads;
	memcpy(iface->name, port->conf.name, sizeof(iface->name));
	iface_publish(if_id, iface);
	lcore_plans_publish();
	return 0;
}

static int attach(struct port *port)
{
	const struct st_port *p = &port->conf;
	char devargs[sizeof(p->devargs) + 16];
	int rc = device_args_number(p->devargs, p->key.if_id, devargs, sizeof(devargs));

	if (rc < 0)
		return rc;
	return device_attach(&(struct device_want){.label = p->name,
				     .devargs = devargs,
				     .mac = p->mac,
				     .mtu = p->mtu,
				     .rx_queues = p->rx_queues,
				     .tx_queues = p->tx_queues,
				     .ring_size = p->ring_size},
		&port->dev);
}

static void report(uint16_t event, uint32_t if_id, uint32_t up)
{
	struct st_ev_link ev = {.if_id = if_id, .up = up};

	api_server_event(event, &ev, sizeof(ev), NULL, 0);
}

static void link_check(struct port *port)
{
	struct rte_eth_link link = {0};
	bool up;

	if (rte_eth_link_get_nowait(port->dev.eth, &link) != 0)
		return;
	up = link.link_status == RTE_ETH_LINK_UP;
	if (up == port->link_up)
		return;
	port->link_up = up;
	log_info("port: link %s port=%s", up ? "up" : "down", port->conf.name);
	report(ST_EV_LINK, port->conf.key.if_id, up);
}

static bool guarded(const struct st_port *p)
{
	return (p->flags & ST_PORT_F_GUARD) != 0;
}

static int port_add(const struct st_port *p)
{
	struct port *port = &pt.ports[p->key.if_id];
	int host = NO_ETH_PORT, rc = 0;

	*port = (struct port){.used = true, .conf = *p, .guard_index = if_nametoindex(p->guard_if)};
	if (guarded(p))
		rc = guard_install(p->guard_if); // before the first frame can come up
	if (rc < 0)
		goto err;
	rc = attach(port);
	if (rc < 0)
		goto err_guard;
	if (p->host_name[0] != '\0')
		host = host_device_attach(p->host_name, 0, port->dev.mac.addr_bytes, p->mtu);
	rc = host < 0 ? host : iface_make(port, (uint16_t)host);
	if (rc < 0)
		goto err_device;
	log_info("port: up port=%s id=%u driver=%s rxq=%u txq=%u mtu=%u", p->name, p->key.if_id,
		port->dev.driver, port->dev.nb_rxq, port->dev.nb_txq, port->dev.mtu);
	// straitd gives the host device its routes with this: not with the next poll.
	link_check(port);
	return 0;

err_device:
	if (host >= 0 && host != NO_ETH_PORT)
		host_device_detach((uint16_t)host);
	device_detach(&port->dev);
err_guard:
	if (guarded(p))
		guard_remove(p->guard_if);
err:
	port->used = false;
	return rc;
}

// True if p differs from what is there in nothing but the MTU and its name.
static bool same_device(const struct st_port *p, const struct st_port *was)
{
	struct st_port a = *p, b = *was;

	a.mtu = b.mtu = 0;
	memset(a.name, 0, sizeof(a.name));
	memset(b.name, 0, sizeof(b.name));
	return memcmp(&a, &b, sizeof(a)) == 0;
}

// Live, because stopping a tap takes it down and the kernel then flushes its routes.
static int port_adjust(struct port *port, const struct st_port *p)
{
	uint16_t host = iface_get((uint16_t)p->key.if_id)->host_port;
	int rc = 0;

	if (p->mtu != port->conf.mtu)
		rc = device_mtu_set(&port->dev, p->mtu);
	if (rc == 0 && host != NO_ETH_PORT && p->mtu != port->conf.mtu)
		rc = device_mtu_set(host_device_get(host), p->mtu);
	if (rc < 0)
		return rc;
	port->conf = *p;
	return iface_make(port, host);
}

// Neither failed, nor gone because no form of it worked: there is something to keep.
static bool works(uint32_t if_id)
{
	return pt.ports[if_id].used && !pt.ports[if_id].failed;
}

int port_set(const void *body, const void *old)
{
	const struct st_port *p = body, *was = old;
	int rc = port_check(p);

	if (rc < 0)
		return rc;
	if (was != NULL && memcmp(p, was, sizeof(*p)) == 0 && works(p->key.if_id))
		return 0;
	if (was != NULL && same_device(p, was) && works(p->key.if_id))
		return port_adjust(&pt.ports[p->key.if_id], p);
	if (was == NULL)
		return port_add(p);
	port_del(was);
	rc = port_add(p);
	if (rc < 0 && port_add(was) < 0)
		log_error("port: neither the new nor the old form works, port is gone port=%s",
			was->name);
	return rc;
}

void port_del(const void *body)
{
	const struct st_port *p = body;
	const struct iface *iface;
	struct port *port;
	uint16_t host;

	if (p->key.if_id >= ST_MAX_IFACES)
		return;
	port = &pt.ports[p->key.if_id];
	iface = iface_get((uint16_t)p->key.if_id);
	if (!port->used || iface == NULL)
		return;
	host = iface->host_port;
	iface_publish((uint16_t)p->key.if_id, NULL);
	lcore_plans_publish();
	reclaim_wait();
	if (host != NO_ETH_PORT)
		host_device_detach(host);
	device_detach(&port->dev);
	if (guarded(&port->conf))
		guard_remove(port->conf.guard_if);
	port->used = false;
	log_info("port: removed port=%s id=%u", port->conf.name, p->key.if_id);
}

// ---- poll, end, counters ----

static void failure_check(struct port *port)
{
	bool gone = atomic_load_explicit(&pt.removed[port->dev.eth], memory_order_acquire) != 0;

	// Another one under the same name is nothing that the device below listens to.
	if (port->conf.guard_if[0] != '\0' && if_nametoindex(port->conf.guard_if) != port->guard_index)
		gone = true;
	if (device_gone(&port->dev))
		gone = true;
	if (!gone || port->failed)
		return;
	port->failed = true;
	log_error("port: its device is gone port=%s", port->conf.name);
	report(ST_EV_PORT_FAILED, port->conf.key.if_id, 0);
}

// "": it has none.
static const char *host_name_of(const struct iface *iface)
{
	struct st_wgif_key key = {iface->if_id};
	const struct st_wgif *w;

	if (!iface->is_wg)
		return pt.ports[iface->if_id].conf.host_name;
	w = object_find(ST_WGIF, &key);
	return w == NULL ? "" : w->host_name;
}

static bool host_replace(const struct iface *cur, uint16_t host_port)
{
	struct iface *iface = iface_new(cur);

	if (iface == NULL)
		return false;
	iface->host_port = host_port;
	iface->nb_host_txq = host_port == NO_ETH_PORT ? 0 : host_device_get(host_port)->nb_txq;
	iface_publish(iface->if_id, iface);
	lcore_plans_publish();
	return true;
}

static void host_lost(const struct iface *iface, const char *name)
{
	uint16_t was = iface->host_port;

	log_error("port: its host device is gone host=%s id=%u", name, iface->if_id);
	if (!host_replace(iface, NO_ETH_PORT))
		return;
	reclaim_wait();
	host_device_detach(was);
}

// straitd sets it up anew when it hears of the link: attaching took it down for a moment.
static void host_back(const struct iface *iface, const char *name)
{
	const uint8_t *mac = iface->is_wg ? NULL : iface->mac.addr_bytes;
	uint32_t id = iface->if_id;
	int port = host_device_attach(name, iface->is_wg, mac, iface->mtu);

	if (port < 0)
		return;
	if (!host_replace(iface, (uint16_t)port)) {
		host_device_detach((uint16_t)port);
		return;
	}
	log_info("port: its host device is back host=%s id=%u", name, id);
	report(ST_EV_LINK, id, 1);
}

static void host_check(uint16_t id)
{
	const struct iface *iface = iface_get(id);
	const char *name = iface == NULL ? "" : host_name_of(iface);
	unsigned int index;

	if (name[0] == '\0')
		return;
	if (iface->host_port != NO_ETH_PORT) {
		if (!host_device_is_there(iface->host_port)) {
			host_lost(iface, name);
			pt.host_tried[id] = 0;
		}
		return;
	}
	index = if_nametoindex(name);
	if (index == 0 || index == pt.host_tried[id])
		return;
	pt.host_tried[id] = index;
	host_back(iface, name);
}

void ports_poll(void)
{
	uint64_t now = rte_rdtsc();

	if (now - pt.polled < rte_get_tsc_hz())
		return;
	pt.polled = now;
	for (uint16_t i = 1; i < ST_MAX_IFACES; i++) {
		if (pt.ports[i].used) {
			link_check(&pt.ports[i]);
			failure_check(&pt.ports[i]);
		}
		host_check(i);
	}
}

// The process ends right after: closing the descriptors leaves persistent devices up, whereas stopping
// a tap would take it down. The guard goes last, when nothing is forwarded any more.
void ports_fini(void)
{
	for (unsigned int i = 1; i < ST_MAX_IFACES; i++)
		if (pt.ports[i].used) {
			device_quiet(&pt.ports[i].dev);
			if (guarded(&pt.ports[i].conf))
				guard_remove(pt.ports[i].conf.guard_if);
		}
}

static void counts_sum(uint16_t if_id, struct st_stat_iface *ret)
{
	for (unsigned int i = 0; i < lcores.nb; i++) {
		const struct iface_counts *c = &lcores.lc[i]->counts[if_id];

		ret->rx_packets += __atomic_load_n(&c->rx_packets, __ATOMIC_RELAXED);
		ret->rx_bytes += __atomic_load_n(&c->rx_bytes, __ATOMIC_RELAXED);
		ret->tx_packets += __atomic_load_n(&c->tx_packets, __ATOMIC_RELAXED);
		ret->tx_bytes += __atomic_load_n(&c->tx_bytes, __ATOMIC_RELAXED);
		ret->host_rx_packets += __atomic_load_n(&c->host_rx_packets, __ATOMIC_RELAXED);
		ret->host_tx_packets += __atomic_load_n(&c->host_tx_packets, __ATOMIC_RELAXED);
	}
}

// The network interface below a virtual device, 0 = none.
static unsigned int netdev_of(const char *devargs)
{
	const char *at = strstr(devargs, ",iface=");
	char name[IF_NAMESIZE];

	if (at == NULL)
		return 0;
	at += strlen(",iface=");
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, ","), at);
	return if_nametoindex(name);
}

static void device_counts(const struct port *port, struct st_stat_iface *ret)
{
	struct rte_eth_stats st;
	struct rte_eth_link link = {0};

	if (rte_eth_stats_get(port->dev.eth, &st) == 0) {
		ret->rx_missed = st.imissed + st.rx_nombuf;
		ret->rx_errors = st.ierrors;
		ret->tx_errors = st.oerrors;
	}
	if (rte_eth_link_get_nowait(port->dev.eth, &link) == 0) {
		ret->link_up = link.link_status == RTE_ETH_LINK_UP && !port->failed;
		ret->speed_mbps = link.link_speed == UINT32_MAX ? 0 : link.link_speed;
	}
	if (strncmp(port->dev.driver, "net_af_packet", strlen("net_af_packet")) == 0)
		ret->rx_missed += packet_ring_missed(netdev_of(port->conf.devargs));
	memcpy(ret->driver, port->dev.driver, sizeof(ret->driver));
	ret->rx_queues = port->dev.nb_rxq;
	ret->tx_queues = port->dev.nb_txq;
}

int port_stats(uint16_t if_id, struct st_stat_iface *ret)
{
	const struct iface *iface = iface_get(if_id);

	if (iface == NULL)
		return -ENOENT;
	*ret = (struct st_stat_iface){.if_id = if_id, .is_wg = iface->is_wg, .mtu = iface->mtu};
	memcpy(ret->name, iface->name, sizeof(ret->name));
	memcpy(ret->mac, iface->mac.addr_bytes, sizeof(ret->mac));
	counts_sum(if_id, ret);
	if (iface->is_wg)
		ret->link_up = 1;
	else
		device_counts(&pt.ports[if_id], ret);
	return 0;
}
