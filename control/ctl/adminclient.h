// SPDX-License-Identifier: BSD-3-Clause
//
// One question to straitd's admin socket. Blocking, with a time limit.
#pragma once

struct cJSON;

// Sends request (and frees it) and reads the reply: *ret (cJSON_Delete), without "ok".
// 0; 1 with *ret_error (free): straitd refused; or -errno.
int adminclient_ask(const char *run_dir, struct cJSON *request, struct cJSON **ret, char **ret_error);
struct cJSON *adminclient_request(const char *verb);
const char *adminclient_explain(int err, const char *run_dir); // static text
