// SPDX-License-Identifier: BSD-3-Clause
//
// ports/port.c with real devices in a network namespace of its own: AF_PACKET on a veth and pcap files. Two
// lcores are played by the test; what they count is exact.
#include "command.h"
#include "env.h"
#include "ports/port.h"
#include "server/api_server.h"
#include "server/object.h"
#include "stage.h"
#include "tables/iface.h"
#include "tables/neigh.h"
#include "tables/peer.h"
#include "tables/portmap.h"
#include "tables/route.h"
#include "tables/turn.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>

#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sched.h>

#define SKIPPED 77
#define PORT    5
#define POOL    8191
#define LIMIT_S 20

static const uint8_t port_mac[6] = {2, 0, 0, 0, 0, PORT};
static struct rte_mempool *pool;
static char dir[] = "/tmp/strait-test-port-XXXXXX";

// ---- what a strait-dp has around its ports -----------------------------------------------------------

static unsigned int failures_told;

void api_server_event(
	uint16_t event, const void *body, uint16_t body_len, const void *blob, uint16_t blob_len)
{
	failures_told += event == ST_EV_PORT_FAILED;
}

bool api_server_trace(int client, const struct st_ev_trace *ev)
{
	return true;
}

bool api_server_capture_ended(int client, uint32_t id)
{
	return true;
}

static bool set_up(void)
{
	char *argv[] = {"test", "--no-huge", "--no-shconf", "--no-pci", "-m", "192", "--lcores",
		"0@0,1@0,2@0", "--log-level=4", "--no-telemetry", NULL};

	if (rte_eal_init(RTE_DIM(argv) - 1, argv) < 0 || mkdtemp(dir) == NULL)
		return false;
	pool = rte_pktmbuf_pool_create(
		"packets", POOL, 0, PACKET_PRIV_SIZE, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (pool == NULL || lcores_init("auto", 0, pool) != 0 || objects_init() != 0 ||
		neigh_tables_init() != 0 || portmap_tables_init() != 0 ||
		route_tables_init() != 0 || peer_tables_init() != 0 || turn_tables_init(64) != 0)
		return false;
	route_synced();
	ports_init(pool);
	return true;
}

static void passes(void)
{
	for (uint16_t i = 0; i < lcores.nb; i++) {
		lcores.lc[i]->now = rte_rdtsc();
		stages_run(lcores.lc[i]);
	}
	reclaim_poll();
}

static uint64_t received(uint16_t lcore)
{
	return lcores.lc[lcore]->counts[PORT].rx_packets;
}

static uint64_t drops(enum st_drop why)
{
	return lcores.lc[0]->drops[why] + lcores.lc[1]->drops[why];
}

static uint64_t drops_all(void)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < ST_DROP_COUNT; i++)
		sum += drops(i);
	return sum;
}

// ---- PORT objects ----------------------------------------------------------------------------------

static struct st_port port_of(const char *devargs)
{
	struct st_port p = {.key = {.if_id = PORT}, .mtu = 1500};

	memcpy(p.mac, port_mac, sizeof(p.mac));

	snprintf(p.name, sizeof(p.name), "p");
	snprintf(p.devargs, sizeof(p.devargs), "%s", devargs);
	return p;
}

static struct st_port pcap_port(const char *file)
{
	char devargs[128];

	snprintf(devargs, sizeof(devargs), "net_pcap,rx_pcap=%s/%s,tx_pcap=%s/out", dir, file, dir);
	return port_of(devargs);
}

static int put(const struct st_port *p)
{
	return object_set(ST_PORT, p, sizeof(*p), NULL, 0, 0);
}

static void gone(void)
{
	struct st_port_key key = {PORT};

	CU_ASSERT_EQUAL(object_del(ST_PORT, &key, sizeof(key)), 0);
	CU_ASSERT_PTR_NULL(iface_get(PORT));
	for (int i = 0; i < 4; i++)
		passes();
	CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), POOL);
}

static void pcap_header(const char *file)
{
	static const uint32_t header[] = {0xa1b2c3d4, 0x00040002, 0, 0, 65535, 1};
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	f = fopen(path, "we");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_EQUAL(fwrite(header, sizeof(header), 1, f), 1);
	fclose(f);
}

static void pcap_frame(const char *file, const void *data, uint32_t len)
{
	const uint32_t record[] = {0, 0, len, len};
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	f = fopen(path, "ae");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_EQUAL(fwrite(record, sizeof(record), 1, f), 1);
	CU_ASSERT_EQUAL(fwrite(data, len, 1, f), 1);
	fclose(f);
}

static void remove_file(const char *file)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	CU_ASSERT_EQUAL(unlink(path), 0);
}

static void nonsense_is_refused(void)
{
	struct st_port good = pcap_port("none"), p = good;

	p.key.if_id = 0;
	CU_ASSERT_EQUAL(put(&p), -EINVAL);
	p = good;
	p.mtu = 67;
	CU_ASSERT_EQUAL(put(&p), -EINVAL);
	p = good;
	p.name[0] = '\0';
	CU_ASSERT_EQUAL(put(&p), -EINVAL);
	p = good;
	memset(p.devargs, 'x', sizeof(p.devargs)); // no end
	CU_ASSERT_EQUAL(put(&p), -EINVAL);
	p = good;
	p.flags = ST_PORT_F_GUARD; // of what?
	CU_ASSERT_EQUAL(put(&p), -EINVAL);
	CU_ASSERT(put(&good) < 0); // there is no such file
	CU_ASSERT_PTR_NULL(iface_get(PORT));
}

static void a_change_that_fails_leaves_the_port_as_it_was(void)
{
	struct st_port was, bad = pcap_port("none");

	pcap_header("in");
	was = pcap_port("in");
	CU_ASSERT_EQUAL(put(&was), 0);
	CU_ASSERT(put(&bad) < 0);
	CU_ASSERT_PTR_NOT_NULL(iface_get(PORT));
	CU_ASSERT_EQUAL(put(&was), 0);
	gone();
	remove_file("in");
}

static void a_port_that_no_form_worked_for_comes_back(void)
{
	struct st_port was, bad = pcap_port("none"), other;

	pcap_header("in");
	was = pcap_port("in");
	CU_ASSERT_EQUAL(put(&was), 0);
	remove_file("in");
	CU_ASSERT(put(&bad) < 0); // and the old form does not work either
	CU_ASSERT_PTR_NULL(iface_get(PORT));
	other = was;
	other.mtu = 1400;
	CU_ASSERT(put(&other) < 0);
	CU_ASSERT(put(&was) < 0); // there is still no such file
	pcap_header("in");
	CU_ASSERT_EQUAL(put(&was), 0);
	CU_ASSERT_PTR_NOT_NULL(iface_get(PORT));
	gone();
	remove_file("in");
}

// ---- frames ----------------------------------------------------------------------------------------

#define FLOWS 200

static bool sh(const char *command)
{
	return system(command) == 0;
}

// To the port's own MAC, or to some other one: UDP of flow to where no packet may go. len is the frame's.
static uint8_t *frame(uint32_t len, uint16_t flow, bool ours)
{
	static _Alignas(4) uint8_t buf[10000];
	uint8_t *at = buf + 2; // so that the IP header is aligned
	struct ether_header *e = (void *)at;
	struct iphdr *ip = (void *)(e + 1);
	struct udphdr *udp = (void *)(ip + 1);

	memset(at, 0, len);
	memcpy(e->ether_dhost, port_mac, sizeof(port_mac));
	if (!ours)
		e->ether_dhost[5] ^= 0x55;
	e->ether_shost[0] = 2;
	e->ether_type = htons(ETHERTYPE_IP);
	*ip = (struct iphdr){.version = 4,
		.ihl = 5,
		.tot_len = htons((uint16_t)(len - sizeof(*e))),
		.ttl = 64,
		.protocol = IPPROTO_UDP,
		.saddr = htonl(0x0a000002),
		.daddr = htonl(0x7f000001)};
	ip->check = rte_ipv4_cksum((void *)ip);
	udp->source = htons(flow);
	udp->dest = htons(9);
	udp->len = htons((uint16_t)(len - sizeof(*e) - sizeof(*ip)));
	return at;
}

static int raw_socket(const char *ifname)
{
	struct sockaddr_ll sll = {
		.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(ifname)};
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&sll, sizeof(sll)), 0);
	return fd;
}

// n frames of different flows in at ifname.
static void send_frames(const char *ifname, unsigned int n, uint32_t len, bool ours)
{
	int fd = raw_socket(ifname);

	for (unsigned int i = 0; i < n; i++) {
		CU_ASSERT_EQUAL(
			send(fd, frame(len, (uint16_t)(1000 + i), ours), len, 0), (ssize_t)len);
		if (i % 50 == 49)
			passes(); // rings are finite
	}
	close(fd);
}

static uint64_t counted[2], counted_bytes, dropped, dropped_for[ST_DROP_COUNT];

static uint64_t bytes(void)
{
	return lcores.lc[0]->counts[PORT].rx_bytes + lcores.lc[1]->counts[PORT].rx_bytes;
}

static void count_from_here(void)
{
	for (int i = 0; i < 3; i++)
		passes();
	counted[0] = received(0);
	counted[1] = received(1);
	counted_bytes = bytes();
	dropped = drops_all();
	for (unsigned int i = 0; i < ST_DROP_COUNT; i++)
		dropped_for[i] = drops(i);
}

static uint64_t arrived(void)
{
	return received(0) - counted[0] + received(1) - counted[1];
}

// True when n more have come in, and no more than that; whatever else comes is left to the next look.
static bool arrive(unsigned int n)
{
	time_t end = time(NULL) + LIMIT_S;

	while (arrived() < n && time(NULL) < end)
		passes();
	passes();
	return arrived() == n;
}

static void veth(unsigned int mtu)
{
	char command[512];

	// IPv6 would speak up by itself.
	snprintf(command, sizeof(command),
		"ip link add p0 type veth peer name far0 && ip link set p0 mtu %u && "
		"ip link set far0 mtu %u && echo 1 > /proc/sys/net/ipv6/conf/p0/disable_ipv6 && "
		"echo 1 > /proc/sys/net/ipv6/conf/far0/disable_ipv6 && ip link set p0 up && "
		"ip link set far0 up",
		mtu, mtu);
	CU_ASSERT_FATAL(sh(command));
}

static void each_queue_of_a_port_gets_packets_for_its_lcore(void)
{
	struct st_port p = port_of("net_af_packet,iface=p0,qpairs=2,framecnt=2048,blocksz=65536");
	struct st_stat_iface st;

	veth(1500);
	p.rx_queues = p.tx_queues = 2;
	CU_ASSERT_EQUAL_FATAL(put(&p), 0);
	CU_ASSERT_EQUAL(port_stats(PORT, &st), 0);
	CU_ASSERT_EQUAL(st.rx_queues, 2);
	count_from_here();
	send_frames("far0", FLOWS, 100, false);
	CU_ASSERT(arrive(FLOWS));
	// The flows are spread by a hash: of 200 fewer than 20 on one side is not chance.
	CU_ASSERT(received(0) - counted[0] >= FLOWS / 10);
	CU_ASSERT(received(1) - counted[1] >= FLOWS / 10);
	CU_ASSERT_EQUAL(drops_all() - dropped, FLOWS);
	CU_ASSERT_EQUAL(port_stats(PORT, &st), 0);
	CU_ASSERT_EQUAL(st.rx_missed, 0);
	gone();
	CU_ASSERT(sh("ip link delete p0"));
}

// ---- frames that are too large ---------------------------------------------------------------------

// n frames of len come in, each is dropped for why; cut: not all of it.
static void expect_frames(unsigned int n, uint32_t len, enum st_drop why, bool cut)
{
	CU_ASSERT(arrive(n));
	CU_ASSERT_EQUAL(drops(why) - dropped_for[why], n);
	CU_ASSERT_EQUAL(drops_all() - dropped, n);
	CU_ASSERT(cut ? bytes() - counted_bytes < (uint64_t)n * len
		      : bytes() - counted_bytes == (uint64_t)n * len);
}

static void sent_and_dropped(const char *far, uint32_t len, enum st_drop why, bool cut)
{
	count_from_here();
	send_frames(far, 100, len, true);
	expect_frames(100, len, why, cut);
}

// The kernel cuts what is longer than a frame of the ring.
static void oversized_frames_of_af_packet_are_counted(void)
{
	struct st_port p = port_of("net_af_packet,iface=p0,qpairs=2,framecnt=2048,blocksz=65536");

	veth(9500);
	CU_ASSERT_EQUAL_FATAL(put(&p), 0);
	CU_ASSERT(sh("ip link set p0 mtu 9500")); // which the port had set to its own
	sent_and_dropped("far0", 1514, ST_DROP_route_martian, false);
	sent_and_dropped("far0", 1600, ST_DROP_route_martian, false);
	sent_and_dropped("far0", 3000, ST_DROP_rx_bad_ip, true);
	sent_and_dropped("far0", 9500, ST_DROP_rx_bad_ip, true);
	gone();
	CU_ASSERT(sh("ip link delete p0"));
}

static void oversized_frames_of_a_tap_come_in_pieces(void)
{
	struct st_port p = port_of("net_tap,iface=t0");

	CU_ASSERT_FATAL(
		sh("ip tuntap add mode tap multi_queue name t0 && ip link set t0 mtu 9500 && "
		   "echo 1 > /proc/sys/net/ipv6/conf/t0/disable_ipv6 && ip link set t0 up"));
	CU_ASSERT_EQUAL_FATAL(put(&p), 0);
	CU_ASSERT(sh("ip link set t0 mtu 9500"));
	sent_and_dropped("t0", 1514, ST_DROP_route_martian, false);
	sent_and_dropped("t0", 3000, ST_DROP_route_martian, false);
	sent_and_dropped("t0", 9500, ST_DROP_route_martian, false);
	gone();
	CU_ASSERT(sh("ip link delete t0"));
}

static void oversized_frames_of_a_pcap_file_come_in_pieces(void)
{
	static const uint32_t lens[] = {1600, 3000, 9500};

	for (unsigned int k = 0; k < RTE_DIM(lens); k++) {
		struct st_port p = pcap_port("in");

		pcap_header("in");
		for (uint16_t i = 0; i < 100; i++)
			pcap_frame("in", frame(lens[k], i, true), lens[k]);
		count_from_here();
		CU_ASSERT_EQUAL_FATAL(put(&p), 0);
		expect_frames(100, lens[k], ST_DROP_route_martian, false);
		gone();
		remove_file("in");
	}
}

static void tear_down(void)
{
	char command[96];

	for (uint16_t i = 0; i < lcores.nb; i++)
		free((void *)(uintptr_t)atomic_load(&lcores.lc[i]->plan));
	lcores_fini();
	rte_eal_cleanup();
	snprintf(command, sizeof(command), "rm -r %s", dir);
	sh(command);
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"nonsense is refused", nonsense_is_refused},
		{"a change that fails leaves the port as it was",
			a_change_that_fails_leaves_the_port_as_it_was},
		{"a port that no form worked for comes back",
			a_port_that_no_form_worked_for_comes_back},
		{"each queue of a port gets packets for its lcore",
			each_queue_of_a_port_gets_packets_for_its_lcore},
		{"oversized frames of AF_PACKET are counted",
			oversized_frames_of_af_packet_are_counted},
		{"oversized frames of a tap come in pieces", oversized_frames_of_a_tap_come_in_pieces},
		{"oversized frames of a pcap file come in pieces",
			oversized_frames_of_a_pcap_file_come_in_pieces},
		CU_TEST_INFO_NULL,
	};
	int rc;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0)
		return SKIPPED;
	if (!set_up())
		return 1;
	rc = run_tests("port", tests);
	tear_down();
	return rc;
}
