// SPDX-License-Identifier: BSD-3-Clause
//
// Tells the service manager how we are, if one asked to be told ($NOTIFY_SOCKET). Any thread.
#pragma once

// "READY=1", "RELOADING=1", "STOPPING=1", "STATUS=...". 0, also without a manager, or -errno.
int notify_send(const char *state);
// How long we may be silent before we are taken for hung, ms; 0 = nobody watches. Then send "WATCHDOG=1".
unsigned int notify_watchdog_ms(void);
