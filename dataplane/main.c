// SPDX-License-Identifier: BSD-3-Clause
//
// strait-dp: start, main loop, end. The main thread owns everything but what lcore.h gives to the packet
// lcores; it sleeps in epoll and is woken by the contract's socket, signals and a tick.
#include "../crypto/aead.h"
#include "command.h"
#include "eal.h"
#include "lcore.h"
#include "log.h"
#include "notify.h"
#include "options.h"
#include "packet.h"
#include "ports/port.h"
#include "reclaim.h"
#include "rights.h"
#include "server/api_server.h"
#include "server/events.h"
#include "server/object.h"
#include "server/packet_io.h"
#include "server/stats.h"
#include "tables/iface.h"
#include "tables/neigh.h"
#include "tables/peer.h"
#include "tables/portmap.h"
#include "tables/route.h"
#include "tables/turn.h"
#include "trace.h"
#include "watchdog.h"

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <sodium.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define POOL_CACHE 256

// How soon main looks at the lcores' rings: they make no system call, so nothing wakes it.
#define TICK_BUSY_US 1000 // while there was something within the last second
#define TICK_IDLE_US 4000 // the latency of a first KEY_NEEDED
#define TICK_HOLD_US 100  // answers wait for an lcore to finish its pass
#define BUSY_FOR_MS  1000

static struct {
	int epfd, sigfd, timerfd;
	uint32_t tick_us;
	uint64_t busy_until; // ms
	struct rte_mempool *pool;
} loop;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

// ---- set-up ----

static int watch(int fd, uint32_t id)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = id};

	return epoll_ctl(loop.epfd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

enum { WATCH_API, WATCH_SIGNAL, WATCH_TICK };

static int signals_block(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	loop.sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return loop.sigfd < 0 ? -errno : 0;
}

static void tick_set(uint32_t us)
{
	struct itimerspec its = {.it_interval.tv_nsec = us * 1000L, .it_value.tv_nsec = us * 1000L};

	if (us == loop.tick_us)
		return;
	loop.tick_us = us;
	timerfd_settime(loop.timerfd, 0, &its, NULL);
}

static int tables_init(uint32_t channels)
{
	int rc = neigh_tables_init();

	if (rc == 0)
		rc = portmap_tables_init();
	if (rc == 0)
		rc = route_tables_init();
	if (rc == 0)
		rc = peer_tables_init();
	if (rc == 0)
		rc = turn_tables_init(channels);
	if (rc == 0)
		rc = objects_init();
	if (rc == 0)
		rc = trace_init();
	object_limit(ST_PERMISSION, channels);
	object_limit(ST_CHANNEL, channels);
	return rc;
}

static struct rte_mempool *pool_create(const struct options *o)
{
	uint32_t n = o->packets;
	struct rte_mempool *pool;

	// Half the memory is for packets if nobody says how many.
	if (n == 0)
		n = (uint32_t)((uint64_t)o->memory_mb * 1024 * 1024 / 2 /
			       (RTE_MBUF_DEFAULT_BUF_SIZE + sizeof(struct rte_mbuf) +
				       PACKET_PRIV_SIZE + 2 * RTE_CACHE_LINE_SIZE));
	// Lcores may share a CPU: with the default ring one that is preempted in the middle of an
	// operation leaves the others spinning for its whole absence.
	pool = rte_pktmbuf_pool_create_by_ops("packets", n, POOL_CACHE, PACKET_PRIV_SIZE,
		RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY, "ring_mt_rts");
	if (pool == NULL)
		log_error("main: no memory for the packets packets=%u memory_mb=%u", n, o->memory_mb);
	return pool;
}

static int api_open(const struct options *o)
{
	struct st_hello self = {.version = ST_API_VERSION, .uptime_ms = now_ms()};
	char path[256];
	int fd;

	self.lcores = lcores.nb;
	self.pid = (uint32_t)getpid();
	randombytes_buf(&self.instance, sizeof(self.instance));
	snprintf(self.aead, sizeof(self.aead), "%s", lcores.lc[0]->aead->name);
	snprintf(self.version_text, sizeof(self.version_text), "%s", STRAIT_VERSION);
	if (mkdir(o->run_dir, 0755) < 0 && errno != EEXIST) {
		log_error("main: cannot make run directory path=%s error=%s", o->run_dir,
			strerror(errno));
		return -errno;
	}
	snprintf(path, sizeof(path), "%s/%s", o->run_dir, ST_SOCKET_NAME);
	api_server_control_uid(o->control_uid);
	fd = api_server_init(path, o->gid, &self);
	if (fd == -EADDRINUSE)
		log_error("main: another strait-dp serves this run directory path=%s", path);
	else if (fd < 0)
		log_error("main: cannot listen path=%s error=%s", path, strerror(-fd));
	return fd;
}

static int loop_init(const struct options *o)
{
	int api, rc;

	loop.epfd = epoll_create1(EPOLL_CLOEXEC);
	loop.timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (loop.epfd < 0 || loop.timerfd < 0)
		return -errno;
	tick_set(TICK_IDLE_US);
	api = api_open(o);
	if (api < 0)
		return api;
	rc = watch(api, WATCH_API);
	if (rc == 0)
		rc = watch(loop.sigfd, WATCH_SIGNAL);
	if (rc == 0)
		rc = watch(loop.timerfd, WATCH_TICK);
	return rc;
}

static int start(const struct options *o)
{
	int rc;

	loop.pool = pool_create(o);
	if (loop.pool == NULL)
		return -ENOMEM;
	rc = lcores_init(o->aead, o->adaptive, loop.pool);
	if (rc < 0) {
		log_error("main: lcores cannot be set up aead=%s error=%s", o->aead, strerror(-rc));
		return rc;
	}
	rc = tables_init(o->turn_channels);
	if (rc < 0) {
		log_error("main: tables cannot be set up (more --memory?) error=%s", strerror(-rc));
		return rc;
	}
	ports_init(loop.pool);
	packet_io_init(loop.pool);
	stats_init(loop.pool);
	lcore_plans_publish();
	rc = lcores_launch();
	if (rc < 0) {
		log_error("main: lcores do not start error=%s", strerror(-rc));
		return rc;
	}
	return loop_init(o);
}

// ---- loop ----

static bool stop_asked(void)
{
	struct signalfd_siginfo si;
	bool stop = false;

	while (read(loop.sigfd, &si, sizeof(si)) == sizeof(si))
		if (si.ssi_signo != SIGHUP)
			stop = true;
	return stop;
}

static void turn(void)
{
	uint64_t now = now_ms();
	bool busy;

	object_clock(now);
	api_server_clock(now);
	api_server_poll();
	busy = events_poll();
	packet_in_poll();
	command_poll();
	busy = object_expire(now, events_expired) || busy;
	reclaim_poll();
	trace_poll();
	ports_poll();
	watchdog_poll();
	notify_alive(now);
	if (api_server_holding())
		api_server_poll(); // most answers are due by now: the lcores pass in microseconds
	if (busy)
		loop.busy_until = now + BUSY_FOR_MS;
	if (api_server_holding())
		tick_set(TICK_HOLD_US);
	else
		tick_set(now < loop.busy_until ? TICK_BUSY_US : TICK_IDLE_US);
}

static void run(void)
{
	for (;;) {
		struct epoll_event evs[4];
		int n = epoll_wait(loop.epfd, evs, 4, -1);
		uint64_t ticks;

		if (n < 0)
			continue; // a signal
		for (int i = 0; i < n; i++) {
			if (evs[i].data.u32 == WATCH_SIGNAL && stop_asked())
				return;
			if (evs[i].data.u32 == WATCH_TICK &&
				read(loop.timerfd, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
				log_warning("main: tick error=%s", strerror(errno));
		}
		turn();
	}
}

// Devices are neither stopped nor closed: the process ends, and persistent host devices stay as they are.
static void stop(void)
{
	notify_send("STOPPING=1");
	api_server_fini();
	lcores_stop();
	command_stop();
	ports_fini();
	trace_fini();
	object_clear(ST_KEY);
	reclaim_drain(); // wipes them
}

int main(int argc, char **argv)
{
	struct options o;
	int rc = options_parse(argc, argv, &o);

	if (rc != 0)
		return rc < 0 ? 2 : 0;
	log_init(o.log_level);
	if (sodium_init() < 0) {
		log_error("main: libsodium does not start");
		return 1;
	}
	eal_hugepages_reserve(&o);
	if (signals_block() < 0 || rights_run_dir(&o) < 0 || rights_drop(&o) < 0 ||
		eal_start(&o, argv[0]) < 0)
		return 1;
	if (o.mlock && mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		log_warning("main: memory is not locked error=%s", strerror(errno));
	if (start(&o) < 0)
		return 1;
	log_info("main: ready run_dir=%s lcores=%u aead=%s hugepages=%s idle=%s", o.run_dir,
		lcores.nb, lcores.lc[0]->aead->name, rte_eal_has_hugepages() ? "yes" : "no",
		o.adaptive ? "adaptive" : "poll");
	notify_send("READY=1");
	run();
	stop();
	log_info("main: stopped");
	return 0;
}
