// SPDX-License-Identifier: BSD-3-Clause
//
// What straitd may do and where: not dumpable, few capabilities, one instance per run directory.
#pragma once

// Each returns 0 or -errno with *ret_error (g_free), a complete message.
// As root it makes the directory what it must be, the user's when there is one, with what root left in it.
int sandbox_run_dir(const char *dir, const char *user, const char *group, char **ret_error);
// A directory that we share with others, wg's sockets: root's, and the user's group may make sockets in it.
int sandbox_shared_dir(const char *dir, const char *user, char **ret_error);
// Takes the lock file of the run directory for as long as the process lives.
int sandbox_lock(const char *dir, char **ret_error);
// Not dumpable; keeps NET_ADMIN, NET_RAW, NET_BIND_SERVICE and IPC_LOCK; changes to user if not NULL.
int sandbox_enter(const char *user, char **ret_error);
