// SPDX-License-Identifier: BSD-3-Clause
//
// Gives up what strait-dp does not need, before any thread exists that could keep it.
#pragma once

struct options;

int rights_drop(const struct options *o); // logs what failed
