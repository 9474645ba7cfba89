// SPDX-License-Identifier: BSD-3-Clause
//
// A process without a file descriptor left, and whether its main loop rests meanwhile.
#pragma once

#include <glib.h>

#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 256

static struct {
	struct rlimit before;
	int fds[DESCRIPTORS_MAX];
	unsigned int n;
} descriptors;

static inline void descriptors_use_up(void)
{
	struct rlimit few;

	getrlimit(RLIMIT_NOFILE, &descriptors.before);
	few = descriptors.before;
	few.rlim_cur = DESCRIPTORS_MAX;
	setrlimit(RLIMIT_NOFILE, &few);
	for (int fd; (fd = dup(STDOUT_FILENO)) >= 0;)
		descriptors.fds[descriptors.n++] = fd;
}

static inline void descriptors_give_back(void)
{
	while (descriptors.n)
		close(descriptors.fds[--descriptors.n]);
	setrlimit(RLIMIT_NOFILE, &descriptors.before);
}

// A loop that spins does so thousands of times in half a second.
static inline bool main_loop_rests(void)
{
	gint64 end = g_get_monotonic_time() + G_USEC_PER_SEC / 2;
	unsigned int dispatched = 0;

	while (g_get_monotonic_time() < end) {
		if (g_main_context_iteration(NULL, FALSE))
			dispatched++;
		else
			g_usleep(1000);
	}
	return dispatched < 50;
}
