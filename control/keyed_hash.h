// SPDX-License-Identifier: BSD-3-Clause
//
// The hash for tables whose keys a remote can choose (addresses and ports): under a random key of the process, so
// that nobody can fill one bucket. GLib's own hashes have none. To be used by one thread of the process.
#pragma once

#include <glib.h>

#include <stddef.h>

guint keyed_hash(const void *data, size_t len);
// Of a string, in place of g_str_hash.
guint keyed_text_hash(gconstpointer text);
