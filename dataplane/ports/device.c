// SPDX-License-Identifier: BSD-3-Clause
//
// DPDK devices. Only offloads of real hardware are used: the virtual drivers either have none or do the
// same work in software behind our back. main only.
#include "device.h"

#include "../lcore.h"
#include "../log.h"
#include "xdp_socket.h"

#include <rte_bus.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

// What net_tap calls a ring is the pieces that one frame may come in, each described anew to each read(): room for 64 kB.
#define TAP_RING     34
#define XDP_FILL     2048 // packets that net_af_xdp takes for the kernel to fill, per receive queue
#define RING_DEFAULT 1024 // descriptors; 100 ms of the loss tests' stream many times over

#define HARDWARE_RX                                                                                \
	(RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM |                            \
		RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_SCATTER)
#define HARDWARE_TX                                                                                \
	(RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM |                            \
		RTE_ETH_TX_OFFLOAD_MULTI_SEGS)
#define RSS_HASHES (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP)

static struct rte_mempool *device_pool;
static bool attached[RTE_MAX_ETHPORTS];

// Drivers without hardware below. segments: its transmit function takes chained mbufs.
static const struct soft_driver {
	const char *prefix; // of the driver's name
	bool segments;
} soft_drivers[] = {
	{"net_af_packet", true},
	{"net_af_xdp", false},
	{"net_tap", true},
	{"net_tun", true},
	{"net_memif", true},
	{"net_ring", true},
	{"net_null", true},
	{"net_pcap", true},
};

bool device_is_tap(const struct device *d)
{
	return strcmp(d->driver, "net_tap") == 0 || strcmp(d->driver, "net_tun") == 0;
}

static const struct soft_driver *soft_driver_find(const char *driver)
{
	for (unsigned int i = 0; i < RTE_DIM(soft_drivers); i++)
		if (strncmp(driver, soft_drivers[i].prefix, strlen(soft_drivers[i].prefix)) == 0)
			return &soft_drivers[i];
	return NULL;
}

void device_init(struct rte_mempool *pool)
{
	device_pool = pool;
	xdp_sockets_init(pool);
}

int device_args_number(const char *devargs, uint32_t number, char *ret, uint32_t room)
{
	size_t name = strcspn(devargs, ",");
	bool vdev = strncmp(devargs, "net_", 4) == 0;
	int n;

	if (vdev && name > 0 && !isdigit((unsigned char)devargs[name - 1]))
		n = snprintf(ret, room, "%.*s%u%s", (int)name, devargs, number, devargs + name);
	else
		n = snprintf(ret, room, "%s", devargs);
	return n < 0 || (uint32_t)n >= room ? -ENAMETOOLONG : 0;
}

// ---- attach ----

static bool is_pci(const char *devargs)
{
	return strncmp(devargs, "net_", 4) != 0;
}

static bool is_af_xdp(const char *devargs)
{
	return strncmp(devargs, "net_af_xdp", 10) == 0;
}

static void explain_pci(const char *label, const char *devargs)
{
	char path[128], target[128];
	size_t len = strcspn(devargs, ",");
	const char *driver;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.*s", (int)len, devargs);
	if (access(path, F_OK) != 0) {
		log_error("port: no such PCI device (give it as 0000:03:00.0) port=%s device=%s",
			label, devargs);
		return;
	}
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.*s/driver", (int)len, devargs);
	n = readlink(path, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	driver = strrchr(target, '/');
	driver = driver == NULL ? "none" : driver + 1;
	if (strcmp(driver, "vfio-pci") != 0)
		log_error("port: bind it with 'dpdk-devbind.py --bind=vfio-pci %.*s' port=%s "
			  "driver=%s",
			(int)len, devargs, label, driver);
	else
		log_error("port: cannot be used: is it in 'strait-dp --pci', is its IOMMU group "
			  "free? "
			  "port=%s device=%s",
			label, devargs);
}

static void explain_failure(const char *label, const char *devargs, int rc)
{
	if (is_pci(devargs))
		explain_pci(label, devargs);
	else if (strncmp(devargs, "net_memif", 9) == 0 && !rte_eal_has_hugepages())
		log_error("port: memif works with hugepages only: start strait-dp with --hugepages "
			  "yes "
			  "port=%s",
			label);
	else if (is_af_xdp(devargs) && xdp_pool_usable() != 0)
		log_error("port: AF_XDP needs the packets' memory in one piece: reserve more "
			  "hugepages or give fewer --packets port=%s device=%s",
			label, devargs);
	else if (is_af_xdp(devargs) && rte_mempool_avail_count(device_pool) < XDP_FILL)
		log_error(
			"port: AF_XDP keeps %d packets for each receive queue, and the others have "
			"them: start strait-dp with more --packets, or give more "
			"\"dataplane.packets\" port=%s device=%s",
			XDP_FILL, label, devargs);
	else if (is_af_xdp(devargs))
		log_error("port: AF_XDP needs an interface that exists, has no other XDP program "
			  "and as "
			  "many queues as asked for; 'net_af_packet,iface=...' works everywhere "
			  "port=%s device=%s error=%s",
			label, devargs, strerror(-rc));
	else if (strncmp(devargs, "net_tap", 7) == 0 || strncmp(devargs, "net_tun", 7) == 0)
		log_error("port: the device must be persistent and multi_queue and in no other use "
			  "port=%s device=%s error=%s",
			label, devargs, strerror(-rc));
	else
		log_error("port: cannot attach port=%s device=%s error=%s", label, devargs,
			strerror(-rc));
}

static int probe(const struct device_want *want, struct device *d)
{
	size_t len = strcspn(want->devargs, ",");
	int rc;

	if (len >= sizeof(d->name))
		return -ENAMETOOLONG;
	snprintf(d->name, sizeof(d->name), "%.*s", (int)len, want->devargs);
	// A PCI device of the command line was probed at start and waits; anything else is in use.
	if (rte_eth_dev_get_port_by_name(d->name, &d->eth) == 0)
		return is_pci(want->devargs) && !attached[d->eth] ? 0 : -EBUSY;
	rc = rte_dev_probe(want->devargs);
	if (rc < 0)
		return rc;
	rc = rte_eth_dev_get_port_by_name(d->name, &d->eth);
	return rc < 0 ? -ENODEV : 0;
}

static void remove_device(uint16_t eth)
{
	struct rte_eth_dev_info info;

	xdp_sockets_assign(eth); // none, but where attaching failed
	if (rte_eth_dev_info_get(eth, &info) != 0)
		return;
	rte_eth_dev_close(eth);
	if (info.device != NULL)
		rte_dev_remove(info.device);
	xdp_sockets_close(eth);
}

// ---- configure ----

static uint16_t queue_count(uint16_t wanted, uint16_t max)
{
	uint16_t n = wanted == 0 || wanted > lcores.nb ? lcores.nb : wanted;

	return n > max ? max : n;
}

static void queues_choose(
	const struct device_want *want, const struct rte_eth_dev_info *info, struct device *d)
{
	d->nb_rxq = queue_count(want->rx_queues, info->max_rx_queues);
	d->nb_txq = queue_count(want->tx_queues, info->max_tx_queues);
	if (want->paired)
		d->nb_rxq = d->nb_txq = RTE_MIN(d->nb_rxq, d->nb_txq);
}

static void offloads_choose(const struct rte_eth_dev_info *info, struct device *d)
{
	const struct soft_driver *soft = soft_driver_find(info->driver_name);

	if (soft != NULL) {
		d->rx_offloads = info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
		d->tx_offloads = 0;
		return;
	}
	d->rx_offloads = info->rx_offload_capa & HARDWARE_RX;
	d->tx_offloads = info->tx_offload_capa & HARDWARE_TX;
}

static uint16_t mtu_fit(const struct rte_eth_dev_info *info, uint16_t mtu)
{
	if (info->max_mtu != 0 && mtu > info->max_mtu)
		mtu = info->max_mtu;
	return RTE_MAX(mtu, info->min_mtu);
}

static int configure(const struct device_want *want, struct device *d)
{
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf = {0};
	int rc = rte_eth_dev_info_get(d->eth, &info);

	if (rc < 0)
		return rc;
	snprintf(d->driver, sizeof(d->driver), "%s", info.driver_name);
	queues_choose(want, &info, d);
	if (d->nb_rxq == 0 || d->nb_txq == 0)
		return -ENODEV;
	offloads_choose(&info, d);
	conf.rxmode.mtu = mtu_fit(&info, want->mtu);
	conf.rxmode.offloads = d->rx_offloads;
	conf.txmode.offloads = d->tx_offloads;
	if (d->nb_rxq > 1 && soft_driver_find(info.driver_name) == NULL &&
		(info.flow_type_rss_offloads & RSS_HASHES) != 0) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & RSS_HASHES;
	}
	return rte_eth_dev_configure(d->eth, d->nb_rxq, d->nb_txq, &conf);
}

static int queues_set_up(const struct device_want *want, const struct device *d)
{
	uint16_t nb_rx = want->ring_size != 0 ? want->ring_size : RING_DEFAULT, nb_tx = nb_rx;
	int socket = rte_eth_dev_socket_id(d->eth);
	int rc;

	if (device_is_tap(d))
		nb_rx = TAP_RING;
	rc = rte_eth_dev_adjust_nb_rx_tx_desc(d->eth, &nb_rx, &nb_tx);
	for (uint16_t q = 0; q < d->nb_rxq && rc == 0; q++)
		rc = rte_eth_rx_queue_setup(
			d->eth, q, nb_rx, (unsigned int)socket, NULL, device_pool);
	for (uint16_t q = 0; q < d->nb_txq && rc == 0; q++)
		rc = rte_eth_tx_queue_setup(d->eth, q, nb_tx, (unsigned int)socket, NULL);
	return rc;
}

static bool mac_given(const uint8_t *mac)
{
	static const uint8_t none[RTE_ETHER_ADDR_LEN];

	return mac != NULL && memcmp(mac, none, sizeof(none)) != 0;
}

// What the port listens to: its own address and all groups. A device that cannot filter hears all,
// and rx drops what is for others.
static void filters_set(const struct device_want *want, struct device *d)
{
	struct rte_ether_addr mac;
	bool promiscuous = false;

	rte_eth_macaddr_get(d->eth, &d->mac);
	if (mac_given(want->mac)) {
		memcpy(&mac, want->mac, sizeof(mac));
		if (!rte_is_same_ether_addr(&mac, &d->mac) &&
			rte_eth_dev_default_mac_addr_set(d->eth, &mac) != 0)
			promiscuous = true;
		d->mac = mac;
	}
	if (want->paired)
		return; // the kernel's end of a tap is not ours to filter
	if (rte_eth_allmulticast_enable(d->eth) != 0)
		promiscuous = true;
	if (promiscuous)
		(void)rte_eth_promiscuous_enable(d->eth); // -ENOTSUP: it hears all anyway
}

static int too_large(const struct device_want *want, const struct device *d)
{
	uint16_t room = rte_pktmbuf_data_room_size(device_pool) - RTE_PKTMBUF_HEADROOM;

	if ((d->rx_offloads & RTE_ETH_RX_OFFLOAD_SCATTER) != 0 ||
		want->mtu + RTE_ETHER_HDR_LEN <= room)
		return 0;
	log_error("port: this driver takes packets of at most %u bytes here, lower the mtu port=%s "
		  "mtu=%u",
		room - RTE_ETHER_HDR_LEN, want->label, want->mtu);
	return -EMSGSIZE;
}

int device_mtu_set(struct device *d, uint16_t mtu)
{
	int rc = rte_eth_dev_set_mtu(d->eth, mtu);

	if (rc == 0 || rc == -ENOTSUP)
		d->mtu = mtu; // where it cannot be told, the device does not limit it either
	return rc == -ENOTSUP ? 0 : rc;
}

// The driver does not tell its descriptors. -1: none.
static int tun_fd_find(const char *name)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	int found = -1;

	while (found < 0 && dir != NULL && (e = readdir(dir)) != NULL) {
		char target[32] = "";
		struct ifreq ifr = {0};
		int fd = atoi(e->d_name);

		if (readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1) < 0 ||
			strcmp(target, "/dev/net/tun") != 0)
			continue;
		if (ioctl(fd, TUNGETIFF, &ifr) == 0 && strcmp(ifr.ifr_name, name) == 0)
			found = fd;
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}

static int tun_fd_of(const struct device_want *want)
{
	const char *at = strstr(want->devargs, ",iface=");
	char name[IFNAMSIZ];

	if (at == NULL || (strncmp(want->devargs, "net_tap", 7) != 0 &&
				  strncmp(want->devargs, "net_tun", 7) != 0))
		return -1;
	at += strlen(",iface=");
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, ","), at);
	return tun_fd_find(name);
}

bool device_gone(const struct device *d)
{
	struct ifreq ifr = {0};

	return d->tun_fd >= 0 && ioctl(d->tun_fd, TUNGETIFF, &ifr) < 0 && errno == EBADFD;
}

int device_attach(const struct device_want *want, struct device *ret)
{
	const struct soft_driver *soft;
	struct device d = {0};
	int rc = is_af_xdp(want->devargs) ? xdp_pool_usable() : 0;

	if (rc == 0)
		rc = probe(want, &d);
	if (rc < 0) {
		explain_failure(want->label, want->devargs, rc);
		return rc;
	}
	rc = configure(want, &d);
	if (rc == 0)
		rc = too_large(want, &d);
	if (rc == 0)
		rc = queues_set_up(want, &d);
	if (rc == 0 && want->mtu != 0)
		rc = device_mtu_set(&d, want->mtu);
	if (rc == 0)
		rc = rte_eth_dev_start(d.eth);
	if (rc != 0) {
		explain_failure(want->label, want->devargs, rc < 0 ? rc : -EIO);
		remove_device(d.eth);
		return rc < 0 ? rc : -EIO;
	}
	filters_set(want, &d);
	d.tun_fd = tun_fd_of(want);
	soft = soft_driver_find(d.driver);
	if (soft != NULL && soft->segments)
		d.tx_offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS; // not to be asked for, but they do
	xdp_sockets_assign(d.eth);
	attached[d.eth] = true;
	*ret = d;
	return 0;
}

void device_quiet(struct device *d)
{
	if (rte_eth_promiscuous_get(d->eth) == 1)
		(void)rte_eth_promiscuous_disable(d->eth);
}

void device_detach(struct device *d)
{
	int rc;

	device_quiet(d);
	rc = rte_eth_dev_stop(d->eth);

	if (rc != 0 && rc != -ENODEV)
		log_warning("port: device does not stop device=%s error=%s", d->name, strerror(-rc));
	attached[d->eth] = false;
	remove_device(d->eth);
}
