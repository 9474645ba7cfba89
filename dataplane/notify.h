// SPDX-License-Identifier: BSD-3-Clause
//
// Tells the service manager how we are, if one asked to be told ($NOTIFY_SOCKET, $WATCHDOG_USEC). main only.
#pragma once

#include <stdint.h>

void notify_send(const char *text); // sd_notify(3): "READY=1", "STOPPING=1"
void notify_alive(uint64_t now_ms); // from each turn of the main loop; sends when half the time is over
