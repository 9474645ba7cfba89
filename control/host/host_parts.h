// SPDX-License-Identifier: BSD-3-Clause
//
// What the parts of the host side share. Private to control/host*.c; main loop thread.
#pragma once

#include "host.h"
#include "rtnl.h"

#include <stdbool.h>
#include <stdint.h>

#define HOST_PROTOCOL       83 // of addresses (IFA_PROTO) and routes (rtm_protocol): ours
#define HOST_ALIAS          "strait"
#define HOST_ARP_RETRANS_MS "200"
#define HOST_ARP_TRIES      "15"
#define HOST_RP_FILTER      "2" // loose: what comes up a tap or TUN was routed by strait already

struct host_link {
	uint32_t index; // 0: no such device
	uint32_t mtu;
	bool up;
	bool tun_driver, is_tap, multi_queue;
	bool ours; // carries our alias
	uint8_t mac[6];
};

struct host_device {
	const char *name;
	bool tap;           // false: TUN
	const uint8_t *mac; // NULL: as it is
	uint16_t mtu;
};

// host_device.c
int host_link_get(struct rtnl *r, const char *name, struct host_link *ret);
int host_device_apply(struct rtnl *r, const struct host_device *d, char **ret_error);
int host_device_remove(struct rtnl *r, const char *name, uint32_t index);
typedef void (*host_each_ours)(const char *name, uint32_t index, void *arg);
int host_devices_each(struct rtnl *r, host_each_ours fn, void *arg);

// host_address.c, host_route.c
int host_addresses_apply(struct rtnl *r, const struct config *c, char **ret_error);
int host_routes_apply(struct rtnl *r, const struct config *c, char **ret_error);

char *host_error(struct rtnl *r, const char *what, const char *name, int err);
