// SPDX-License-Identifier: BSD-3-Clause
//
// The TURN server of straitd as a whole on the double of the data plane, with listeners on loopback and a clock that
// can be put forward. One server at a time.
#pragma once

#include "../../../../control/turn/server_parts.h"
#include "core_rig.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct turn *turn;
static gint64 ahead_us; // of the clock

// Instead of GLib's: the deadlines of connections are on the system's clock.
gint64 g_get_monotonic_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000 + ahead_us;
}

static inline void pass(unsigned int seconds)
{
	ahead_us += seconds * G_USEC_PER_SEC;
	turn_core_clock(&turn->core);
	turn_core_tick(&turn->core);
	turn_streams_tick(turn->streams);
	settle();
}

static inline void apply_config(struct config *c)
{
	struct config *old = config;
	char *error = NULL;

	config = c;
	CU_ASSERT_EQUAL_FATAL(turn_apply(turn, config, &error), 0);
	config_free(old);
}

static inline void begin_server(struct config *c)
{
	char *error = NULL;

	run_dir = g_dir_make_tmp("strait-turn-XXXXXX", NULL);
	dp = dp_double_new();
	config = NULL;
	turn = turn_new(dp, run_dir, &error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(turn);
	turn_dp_connected(turn, true);
	apply_config(c);
	turn_dp_recovered(turn);
	turn_dp_synced(turn);
}

static inline void end_server(void)
{
	char *key = g_build_filename(run_dir, SEAL_KEY_NAME, NULL);

	turn_free(turn);
	config_free(config);
	dp_double_free(dp);
	unlink(key);
	rmdir(run_dir);
	g_free(key);
	g_free(run_dir);
	settle();
}

static inline struct sockaddr_in on_loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline void wait_connections(unsigned int n)
{
	for (int i = 0; i < 10000 && turn_streams_count(turn->streams) != n; i++) {
		settle();
		usleep(1000);
	}
	CU_ASSERT_EQUAL_FATAL(turn_streams_count(turn->streams), n);
}

static inline void keep_nonce(struct client *c)
{
	struct stun_attr nonce = stun_attr(&c->m, STUN_ATTR_NONCE);

	if (!nonce.at)
		return;
	memcpy(c->nonce, nonce.at, nonce.len);
	c->nonce[nonce.len] = 0;
}
