// SPDX-License-Identifier: BSD-3-Clause
//
// Gives up what strait-dp does not need, before any thread exists that could keep it.
#pragma once

struct options;

// With --user: the run directory becomes the user's. Before rights_drop; logs what failed.
int rights_run_dir(const struct options *o);
int rights_drop(const struct options *o); // logs what failed
