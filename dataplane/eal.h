// SPDX-License-Identifier: BSD-3-Clause
//
// Starts DPDK's environment as the options say. main only, once.
#pragma once

struct options;

void eal_hugepages_reserve(const struct options *o);         // before privileges go
int eal_start(const struct options *o, const char *program); // logs what failed
