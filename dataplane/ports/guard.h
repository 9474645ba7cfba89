// SPDX-License-Identifier: BSD-3-Clause
//
// Keeps the kernel deaf on the raw interface under an AF_PACKET or AF_XDP port, which would otherwise
// see (and forward) each packet a second time. What is installed here stays when strait-dp is killed and
// is undone on a clean exit or when the port goes. main only.
#pragma once

void guard_init(void); // while few descriptors are open
// 0, or -errno with the remedy in the log: -ENODEV no such interface, -EADDRINUSE it has addresses.
int guard_install(const char *ifname);
void guard_remove(const char *ifname);
