// SPDX-License-Identifier: BSD-3-Clause
//
// Takes a left-over XDP program off an interface. main only.
#pragma once

int xdp_detach(unsigned int ifindex); // 0 also when there was none
