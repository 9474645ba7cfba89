// SPDX-License-Identifier: BSD-3-Clause
//
// See host_device.h.
#include "host_device.h"

#include "../api/st_api.h"
#include "../log.h"
#include "device.h"

#include <rte_ethdev.h>

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

struct host {
	struct device dev;
	char name[IF_NAMESIZE];
	unsigned int index; // of the kernel
};

static struct {
	struct host hosts[RTE_MAX_ETHPORTS]; // by DPDK port
	uint32_t number;                     // for the next net_tap or net_tun
} hd;

void host_devices_init(void)
{
	memset(hd.hosts, 0, sizeof(hd.hosts));
	hd.number = ST_MAX_IFACES; // ports of driver tap are net_tap and their id
}

int host_device_attach(const char *host_name, int is_tun, const uint8_t mac[6], uint16_t mtu)
{
	struct host host = {.index = if_nametoindex(host_name)};
	char devargs[128];
	int rc, n;

	if (host.index == 0) {
		log_error("port: host device does not exist (straitd makes it) host=%s", host_name);
		return -ENODEV;
	}
	n = snprintf(devargs, sizeof(devargs), "%s%u,iface=%s", is_tun ? "net_tun" : "net_tap",
		hd.number++, host_name);
	// Without it net_tap would give the device a random address.
	if (mac != NULL)
		snprintf(devargs + n, sizeof(devargs) - (size_t)n,
			",mac=%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
			mac[4], mac[5]);
	rc = device_attach(
		&(struct device_want){
			.label = host_name, .devargs = devargs, .mac = mac, .mtu = mtu, .paired = true},
		&host.dev);
	if (rc < 0)
		return rc;
	snprintf(host.name, sizeof(host.name), "%s", host_name);
	hd.hosts[host.dev.eth] = host;
	return host.dev.eth;
}

void host_device_detach(uint16_t eth_port)
{
	if (eth_port < RTE_MAX_ETHPORTS)
		device_detach(&hd.hosts[eth_port].dev);
}

struct device *host_device_get(uint16_t eth_port)
{
	return &hd.hosts[eth_port].dev;
}

bool host_device_is_there(uint16_t eth_port)
{
	return if_nametoindex(hd.hosts[eth_port].name) == hd.hosts[eth_port].index;
}
