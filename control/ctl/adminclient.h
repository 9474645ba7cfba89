// SPDX-License-Identifier: BSD-3-Clause
//
// One question to straitd's admin socket, or following what it says. Blocking, with a time limit.
#pragma once

struct cJSON;

// Sends request (and frees it) and reads the reply: *ret (cJSON_Delete), without "ok".
// 0; 1 with *ret_error (free): straitd refused; or -errno.
int adminclient_ask(const char *run_dir, struct cJSON *request, struct cJSON **ret, char **ret_error);
// The same with each line that straitd sends, the reply first, until Ctrl-C (0) or its end (-errno).
int adminclient_follow(const char *run_dir, struct cJSON *request,
	void (*fn)(const struct cJSON *line, void *arg), void *arg);
struct cJSON *adminclient_request(const char *verb);
const char *adminclient_explain(int err, const char *run_dir); // static text
