// SPDX-License-Identifier: BSD-3-Clause
//
// strait-dp's command line: all the configuration it has. Read once, before anything else runs.
#pragma once

#include "log.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define OPTIONS_LCORES_MAX 64
#define OPTIONS_PCI_MAX    32

enum hugepages {
	HUGEPAGES_AUTO,
	HUGEPAGES_YES,
	HUGEPAGES_NO,
};

struct options {
	const char *run_dir;
	uint16_t cpus[OPTIONS_LCORES_MAX]; // one packet lcore on each
	uint32_t nb_cpus;
	int main_cpu; // -1: the first CPU this process may use
	enum hugepages hugepages;
	uint32_t memory_mb;
	uint32_t packets;       // 0: from the memory
	uint32_t turn_channels; // cap of CHANNEL and of PERMISSION
	bool adaptive;
	const char *aead;
	const char *file_prefix;
	uint32_t gid;     // of the socket; -1 = as it comes
	const char *user; // NULL: stays who it is
	uid_t uid;
	gid_t user_gid;
	uint32_t control_uid; // may control besides root and ourselves; -1 = nobody
	const char *pci[OPTIONS_PCI_MAX];
	uint32_t nb_pci;
	bool mlock;
	enum log_level log_level;
};

// 0: go on. 1: --help or --version was answered. -EINVAL: said why on stderr.
int options_parse(int argc, char **argv, struct options *ret);
