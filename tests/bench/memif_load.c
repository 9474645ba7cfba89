// SPDX-License-Identifier: BSD-3-Clause
//
// A generator and sink over memif that costs less than what it measures: frames are made once and sent
// again and again, what comes back is counted and freed. It plays the clients of UDP sockets that it
// inherits, each with a channel bound already; the sockets themselves it only asks for their addresses.
//   usage: memif_load SOCKET CPU MAC-OF-SERVER SECONDS PAYLOAD FD NUMBER [FD NUMBER]...
// Prints how many frames came back, once a second, as a running total.
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BURST  32
#define FRAMES 512 // made at the beginning, spread over the flows

static struct rte_mbuf *frames[FRAMES];
static struct rte_mempool *pool;

static void die(const char *what)
{
	fprintf(stderr, "memif_load: %s\n", what);
	exit(1);
}

static void start(const char *path, const char *cpu)
{
	static char vdev[256], lcores[32];
	char *args[] = {"memif_load", "--no-pci", "--no-telemetry", "-m", "64", "--log-level=error",
		"--in-memory", "--lcores", lcores, "--vdev", vdev, NULL};
	struct rte_eth_conf conf = {0};
	struct rte_eth_link link;

	snprintf(vdev, sizeof(vdev), "net_memif0,role=client,id=0,socket=%s,socket-abstract=no",
		path);
	snprintf(lcores, sizeof(lcores), "0@%s", cpu);
	if (rte_eal_init((int)(sizeof(args) / sizeof(args[0])) - 1, args) < 0)
		die("DPDK does not start (32 free hugepages are needed)");
	pool = rte_pktmbuf_pool_create(
		"load", 8191, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (pool == NULL || rte_eth_dev_configure(0, 1, 1, &conf) != 0 ||
		rte_eth_rx_queue_setup(0, 0, 1024, SOCKET_ID_ANY, NULL, pool) != 0 ||
		rte_eth_tx_queue_setup(0, 0, 1024, SOCKET_ID_ANY, NULL) != 0 ||
		rte_eth_dev_start(0) != 0)
		die("memif does not start");
	for (int i = 0; i < 100; i++) {
		if (rte_eth_link_get_nowait(0, &link) == 0 && link.link_status)
			return;
		rte_delay_ms(100);
	}
	die("the other end of memif does not come");
}

static struct rte_mbuf *make_frame(int fd, uint16_t number, const char *mac, uint16_t payload)
{
	struct sockaddr_in from, to;
	socklen_t len = sizeof(from), len2 = sizeof(to);
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint16_t udp_len = (uint16_t)(8 + 4 + payload);
	struct rte_ether_hdr *eth;
	struct rte_ipv4_hdr *ip;
	struct rte_udp_hdr *udp;
	uint8_t *data;

	if (m == NULL || getsockname(fd, (struct sockaddr *)&from, &len) < 0 ||
		getpeername(fd, (struct sockaddr *)&to, &len2) < 0)
		die("no socket");
	eth = (void *)rte_pktmbuf_append(m, (uint16_t)(sizeof(*eth) + sizeof(*ip) + udp_len));
	ip = (void *)(eth + 1);
	udp = (void *)(ip + 1);
	data = (void *)(udp + 1);
	if (rte_ether_unformat_addr(mac, &eth->dst_addr) != 0)
		die("that is no MAC");
	eth->src_addr = (struct rte_ether_addr){{2, 0, 0, 0, 0, 0x77}};
	eth->ether_type = htons(RTE_ETHER_TYPE_IPV4);
	*ip = (struct rte_ipv4_hdr){.version_ihl = 0x45,
		.total_length = htons((uint16_t)(sizeof(*ip) + udp_len)),
		.time_to_live = 64,
		.next_proto_id = IPPROTO_UDP,
		.src_addr = from.sin_addr.s_addr,
		.dst_addr = to.sin_addr.s_addr};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	*udp = (struct rte_udp_hdr){
		.src_port = from.sin_port, .dst_port = to.sin_port, .dgram_len = htons(udp_len)};
	memset(data, 0x5a, 4U + payload);
	data[0] = (uint8_t)(number >> 8);
	data[1] = (uint8_t)number;
	data[2] = (uint8_t)(payload >> 8);
	data[3] = (uint8_t)payload;
	udp->dgram_cksum = rte_ipv4_udptcp_cksum(ip, udp);
	return m;
}

static uint64_t take_back(void)
{
	struct rte_mbuf *m[BURST];
	uint16_t n = rte_eth_rx_burst(0, 0, m, BURST);

	rte_pktmbuf_free_bulk(m, n);
	return n;
}

// The reference that the device drops when it has copied the frame.
static void send_some(uint32_t at)
{
	struct rte_mbuf **m = frames + at;
	uint16_t n;

	for (uint32_t i = 0; i < BURST; i++)
		rte_mbuf_refcnt_update(m[i], 1);
	n = rte_eth_tx_burst(0, 0, m, BURST);
	for (; n < BURST; n++)
		rte_mbuf_refcnt_update(m[n], -1);
}

int main(int argc, char **argv)
{
	uint64_t end, tell, hz, back = 0;
	int nb = (argc - 6) / 2;

	if (argc < 8) {
		fprintf(stderr,
			"usage: memif_load SOCKET CPU MAC-OF-SERVER SECONDS PAYLOAD FD NUMBER "
			"[FD NUMBER]...\n");
		return 2;
	}
	start(argv[1], argv[2]);
	for (int i = 0; i < FRAMES; i++) {
		char **flow = argv + 6 + 2 * (i % nb);

		frames[i] = make_frame(atoi(flow[0]), (uint16_t)strtoul(flow[1], NULL, 0), argv[3],
			(uint16_t)atoi(argv[5]));
	}
	hz = rte_get_tsc_hz();
	tell = rte_rdtsc() + hz;
	end = rte_rdtsc() + (uint64_t)atoi(argv[4]) * hz;
	for (uint32_t at = 0; rte_rdtsc() < end; at = (at + BURST) % FRAMES) {
		send_some(at);
		back += take_back();
		back += take_back();
		if (rte_rdtsc() < tell)
			continue;
		tell += hz;
		printf("%llu\n", (unsigned long long)back);
		fflush(stdout);
	}
	return 0;
}
