// SPDX-License-Identifier: BSD-3-Clause
//
// What is done once at the end of each turn of the main loop, before it looks for new events: what has been put together
// meanwhile leaves in one system call. Main loop thread.
#pragma once

// A source of GLib's, for g_source_remove. fn must not run the loop.
unsigned int before_poll_add(void (*fn)(void *arg), void *arg);
