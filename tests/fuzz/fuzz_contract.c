// SPDX-License-Identifier: BSD-3-Clause
//
// The contract's decoder and every handler behind it but PORT's: the input is a run of datagrams, each
// with a length byte pair in front, from a greeted controller. The harness plays the lcores. Whatever
// comes in, the server must answer, stay alive, and hold nothing when the connection and objects are gone.
#include "command.h"
#include "lcore.h"
#include "packet.h"
#include "ports/port.h"
#include "reclaim.h"
#include "server/api_server.h"
#include "server/object.h"
#include "server/packet_io.h"
#include "stage.h"
#include "tables/neigh.h"
#include "tables/peer.h"
#include "tables/portmap.h"
#include "tables/route.h"
#include "tables/turn.h"
#include "trace.h"

#include <rte_eal.h>
#include <rte_mbuf.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char path[64];

// What only DPDK's own memory points to looks lost to LeakSanitizer, which does not scan it.
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static void need(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_contract: %s\n", what);
	abort();
}

static void lcores_pass(void)
{
	for (int i = 0; i < 8; i++) {
		for (unsigned int l = 0; l < lcores.nb; l++)
			stages_run(lcores.lc[l]);
		command_poll();
		reclaim_poll();
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct st_hello self = {.version = ST_API_VERSION};
	char prefix[32];
	char *args[] = {"fuzz_contract", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry",
		"-m", "96", "--log-level=error", "--file-prefix", prefix, "--lcores", "0@0,1@0,2@0",
		NULL};
	struct rte_mempool *pool;

	snprintf(prefix, sizeof(prefix), "strait-fuzz-%d", (int)getpid());
	snprintf(path, sizeof(path), "/tmp/strait-fuzz-%d.sock", (int)getpid());
	need(rte_eal_init(sizeof(args) / sizeof(args[0]) - 1, args) >= 0, "DPDK does not start");
	pool = rte_pktmbuf_pool_create(
		"packets", 2047, 0, PACKET_PRIV_SIZE, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	need(pool != NULL && lcores_init("auto", 1, pool) == 0, "no lcores");
	need(neigh_tables_init() == 0 && portmap_tables_init() == 0 && route_tables_init() == 0 &&
			peer_tables_init() == 0 && turn_tables_init(TURN_CHANNELS_MAX) == 0 &&
			trace_init() == 0,
		"no tables");
	packet_io_init(pool);
	need(objects_init() == 0 && api_server_init(path, (uint32_t)-1, &self) >= 0, "no server");
	lcore_plans_publish();
	return 0;
}

static int dial(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct {
		struct st_msg hdr;
		struct st_hello hello;
	} m = {.hdr = {.op = ST_OP_HELLO, .body_len = sizeof(m.hello)},
		.hello = {.version = ST_API_VERSION, .role = ST_ROLE_CONTROLLER}};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);

	memcpy(sa.sun_path, path, sizeof(path));
	need(fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0, "cannot connect");
	need(send(fd, &m, sizeof(m), 0) > 0, "cannot greet");
	api_server_poll();
	return fd;
}

// Devices of this machine are out of bounds.
static bool tame(uint8_t *data, size_t len)
{
	struct st_msg hdr = {0};

	memcpy(&hdr, data, len < sizeof(hdr) ? len : sizeof(hdr));
	if (hdr.op == ST_OP_SET && hdr.kind == ST_PORT)
		return false;
	if (hdr.op == ST_OP_SET && hdr.kind == ST_WGIF && len == sizeof(hdr) + sizeof(struct st_wgif))
		memset(data + sizeof(hdr) + offsetof(struct st_wgif, host_name), 0, ST_NAME_MAX);
	return true;
}

static void read_all(int fd)
{
	static uint8_t buf[ST_MSG_MAX];

	do
		api_server_poll();
	while (recv(fd, buf, sizeof(buf), 0) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t kinds[] = {ST_PEER, ST_WGIF, ST_ADDR, ST_ROUTE, ST_RULE, ST_NEIGH,
		ST_PORTMAP, ST_ALLOWED_IP, ST_ENDPOINT, ST_KEY, ST_SOCKET, ST_CHANNEL,
		ST_PERMISSION, ST_RELAY, ST_TURN_USER, ST_TURN_DENY_PORTS};
	static uint64_t now = 1;
	uint8_t buf[ST_MSG_MAX + 64];
	int fd = dial();

	while (size >= 2) {
		size_t len = (size_t)(data[0] | data[1] << 8) % sizeof(buf);

		data += 2;
		size -= 2;
		if (len > size)
			len = size;
		memcpy(buf, data, len);
		data += len;
		size -= len;
		if (len == 0 || !tame(buf, len))
			continue;
		object_clock(++now);
		if (send(fd, buf, len, 0) < 0)
			break;
		api_server_poll();
		lcores_pass();
		read_all(fd);
	}
	close(fd);
	api_server_poll();
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		object_clear(kinds[i]);
	lcores_pass();
	need(command_passed(command_token()), "a command was never done");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		need(object_count(kinds[i]) == 0, "an object stayed");
	return 0;
}
