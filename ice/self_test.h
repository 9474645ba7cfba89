// SPDX-License-Identifier: BSD-3-Clause
//
// Does libnice go through the shim? Asked once at start, before any agent of a peer.
#pragma once

#define SELF_TEST_ADDRESS "192.0.2.1" // of no machine (RFC 5737)

// 0; -ENOTSUP: the host candidate is not the address and port that were given, or what libnice sends does
// not come out at the shim. Nothing reaches a network either way.
int self_test(void);
