// SPDX-License-Identifier: BSD-3-Clause
//
// Tells the service manager how we are, if one asked to be told ($NOTIFY_SOCKET). Any thread.
#pragma once

// "READY=1", "RELOADING=1", "STOPPING=1", "STATUS=...". 0, also without a manager, or -errno.
int notify_send(const char *state);
