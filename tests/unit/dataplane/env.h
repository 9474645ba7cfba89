// SPDX-License-Identifier: BSD-3-Clause
//
// What suites of tables and of main's side need around them: a QSBR with one reader played by the test,
// an EAL without hugepages for those that use rte_hash, addresses from text, and CUnit's frame.
#pragma once

#include "../suite.h"
#include "lcore.h"
#include "reclaim.h"

#include <rte_eal.h>
#include <rte_rcu_qsbr.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENV_READER 0

// lcores.nb stays as it is: no lcore runs, the test reports for reader 0.
static inline int env_qsbr(void)
{
	size_t size = rte_rcu_qsbr_get_memsize(4);

	lcores.qsbr = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_CACHE_LINE_ROUNDUP(size));
	if (lcores.qsbr == NULL || rte_rcu_qsbr_init(lcores.qsbr, 4) != 0)
		return -1;
	return 0;
}

static inline int env_eal(const char *name)
{
	char prefix[64];
	char *argv[] = {(char *)(uintptr_t)name, "--no-huge", "--no-shconf", "--no-pci",
		"--no-telemetry", "-m", "64", "--log-level=error", "--file-prefix", prefix,
		"--lcores", "0@0,1@0,2@0", NULL};

	snprintf(prefix, sizeof(prefix), "%s-%d", name, (int)getpid());
	return rte_eal_init(sizeof(argv) / sizeof(argv[0]) - 1, argv) < 0 ? -1 : 0;
}

static inline struct st_addr env_addr(const char *text)
{
	struct st_addr a = {{0}};

	if (strchr(text, ':') != NULL) {
		inet_pton(AF_INET6, text, a.b);
		return a;
	}
	a.b[10] = a.b[11] = 0xff;
	inet_pton(AF_INET, text, a.b + 12);
	return a;
}

static inline struct st_prefix env_prefix(const char *text, int plen)
{
	return (struct st_prefix){.addr = env_addr(text),
		.plen = (uint8_t)(plen + (strchr(text, ':') != NULL ? 0 : 96))};
}
