// SPDX-License-Identifier: BSD-3-Clause
//
// Interfaces by id: ports and WireGuard interfaces. main writes; lcores read under QSBR. A struct iface
// is immutable once published, apart from the fields marked otherwise; a change publishes a new one.
#pragma once

#include "../api/st_api.h"

#include <rte_ether.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define NO_ETH_PORT UINT16_MAX

struct lpm;

struct iface {
	uint16_t if_id;
	bool is_wg;
	bool mss_clamp;
	uint16_t mtu;
	uint16_t eth_port;  // DPDK port, NO_ETH_PORT for a WGIF
	uint16_t host_port; // DPDK port of the tap or TUN, NO_ETH_PORT = none
	uint16_t nb_txq, nb_host_txq;
	uint16_t listen_port_be; // WGIF
	struct rte_ether_addr mac;
	uint64_t tx_offloads; // RTE_ETH_TX_OFFLOAD_* enabled on eth_port
	uint64_t rx_offloads;
	struct st_addr addr4, addr6; // sources for ICMP errors; all zero = none
	struct lpm *allowed_ips;     // WGIF: values are struct peer *; lives over republishing
	char name[ST_NAME_MAX];
};

// Per lcore, in struct lcore; main sums.
struct iface_counts {
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
	uint64_t host_rx_packets, host_tx_packets;
};

extern const struct iface *_Atomic iface_table[ST_MAX_IFACES]; // main: wo, lcore: ro

static inline const struct iface *iface_get(uint16_t if_id)
{
	return if_id < ST_MAX_IFACES
		       ? atomic_load_explicit(&iface_table[if_id], memory_order_acquire)
		       : NULL;
}

// Object handlers (see object.h).
int wgif_set(const void *body, const void *old);
void wgif_del(const void *body);
int ifaddr_set(const void *body, const void *old);
void ifaddr_del(const void *body);
// Publishes a new version of an iface (NULL: none any more) and reclaims the old one; fills in addr4 and
// addr6 from the ADDR objects. Takes iface. main only.
void iface_publish(uint16_t if_id, struct iface *iface);
struct iface *iface_new(const struct iface *from); // a copy to change and publish; from may be NULL
void iface_tables_fini(void);
