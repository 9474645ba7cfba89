// SPDX-License-Identifier: BSD-3-Clause
//
// What strait-ice may do: compute, and talk over the descriptors it was given.
#pragma once

// Before any thread: no capability, not dumpable, ends with its parent, few descriptors.
int sandbox_begin(void); // 0 or -errno
// After the self-test, for this and all later threads: no socket, no program, no file can be opened.
int sandbox_close(void);
