// SPDX-License-Identifier: BSD-3-Clause
//
// What gRPC's C core wants to say, in our log instead of on stderr.
#pragma once

// Before grpc_init; again changes nothing.
void grpc_log_begin(void);
