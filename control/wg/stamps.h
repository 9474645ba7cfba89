// SPDX-License-Identifier: BSD-3-Clause
//
// TAI64N stamps of our initiations, strictly growing per peer (paper section 5.1): a peer that has seen a
// greater one refuses ours for good. Each peer has a stamp of its own, which its PEER object remembers;
// here is what no object remembers: the greatest stamp sent to anybody, in a file of the run directory,
// written before the initiation leaves. So stamps go on growing after both daemons were killed and the
// clock was set back. Main loop thread.
#pragma once

#include "../../crypto/messages.h"

#include <stdint.h>

#define STAMPS_NAME "stamps" // in the run directory

struct stamps;

// Never NULL. A broken file is named in a warning and kept aside as stamps.bad; where none can be written
// a warning says so, and stamps are as good as the clock over a restart of both daemons.
struct stamps *stamps_new(const char *run_dir);
void stamps_free(struct stamps *s);
// The next stamp for a peer: the time, or just above the last one that it got. `last` is all zero for a
// peer that got none since its object was made, and is renewed.
void stamps_next(struct stamps *s, uint8_t last[TAI64N_LEN], int64_t wall_us);
// A peer goes; should it come back it gets no smaller one.
void stamps_forget(struct stamps *s, const uint8_t last[TAI64N_LEN]);
