// SPDX-License-Identifier: BSD-3-Clause
//
// Host devices: the tap of a port, the TUN of a WireGuard interface. straitd makes them; here they are attached
// to as DPDK devices, and it is noticed when one of them was taken away or another one has its name. main only.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct device;

void host_devices_init(void);
// Returns the DPDK port or -errno.
int host_device_attach(const char *host_name, int is_tun, const uint8_t mac[6], uint16_t mtu);
void host_device_detach(uint16_t eth_port);
struct device *host_device_get(uint16_t eth_port);
// The kernel still has the very device that was attached, under its name.
bool host_device_is_there(uint16_t eth_port);
