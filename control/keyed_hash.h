// SPDX-License-Identifier: BSD-3-Clause
//
// The hash for tables whose keys a remote can choose (addresses and ports): under a random key of the process, so
// that nobody can fill one bucket. GLib's own hashes have none. Main loop thread.
#pragma once

#include <glib.h>

#include <stddef.h>

guint keyed_hash(const void *data, size_t len);
