// SPDX-License-Identifier: BSD-3-Clause
//
// The Linux side of our interfaces: persistent multi_queue taps and TUNs, their MAC, MTU, addresses and
// routes from the config, checks of the raw interfaces, reserved ports, and warnings about rules that
// forwarded packets will not see. Devices outlive every daemon; `straitctl host remove` takes them away.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct config;
struct config_route;

// Creates what is missing, corrects what differs, removes devices, addresses and routes that an earlier
// config put there and this one does not have. The kernel itself remembers what is ours: a device by its
// alias, an address and a route by their protocol number. 0 or -errno with *ret_error (g_free).
int host_apply(const struct config *c, char **ret_error);
int host_remove_all(const struct config *c);
// MAC of a raw interface, for the tap paired with it.
bool host_mac(const char *name, uint8_t ret_mac[6]);
// Refuses a guarded raw interface that has addresses; the message names the commands to move them.
int host_check_raw(const struct config *c, char **ret_error);
// One warning per nftables rule in a forward or postrouting hook; returns how many.
int host_warn_nftables(void);
