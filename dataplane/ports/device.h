// SPDX-License-Identifier: BSD-3-Clause
//
// One DPDK Ethernet device at run time: probe, configure, start, and the reverse. Knows what the drivers
// can really do; says in the log what is wrong and what helps. main only.
#pragma once

#include <rte_dev.h>
#include <rte_ether.h>

#include <stdbool.h>
#include <stdint.h>

struct rte_mempool;

struct device_want {
	const char *label;             // for the log: port or host device
	const char *devargs;           // with an instance number
	const uint8_t *mac;            // NULL or zero: the device's own
	uint16_t mtu;                  // IP MTU
	uint16_t rx_queues, tx_queues; // 0 = as many as lcores
	uint16_t ring_size;            // 0 = default
	bool paired;                   // as many rx as tx queues (tap)
};

struct device {
	uint16_t eth;
	uint16_t nb_rxq, nb_txq;
	uint64_t rx_offloads, tx_offloads;
	struct rte_ether_addr mac;
	char name[RTE_DEV_NAME_MAX_LEN]; // as the bus knows it
	char driver[32];
	uint16_t mtu;
	int tun_fd; // one that net_tap has on its device, the driver's; -1: another driver
};

void device_init(struct rte_mempool *pool);
int device_attach(const struct device_want *want, struct device *ret);
void device_quiet(struct device *d);  // undoes what would stay on a raw interface
void device_detach(struct device *d); // stops, closes and removes it
bool device_is_tap(const struct device *d);
// The kernel's end of a tap was deleted. It may have been moved to another namespace or renamed: that is no loss.
bool device_gone(const struct device *d);
int device_mtu_set(struct device *d, uint16_t mtu);
// "net_af_packet,iface=x" and 3 give "net_af_packet3,iface=x"; anything else is copied. -ENAMETOOLONG.
int device_args_number(const char *devargs, uint32_t number, char *ret, uint32_t room);
