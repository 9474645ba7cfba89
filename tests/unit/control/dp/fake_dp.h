// SPDX-License-Identifier: BSD-3-Clause
//
// A data plane for tests of the contract's client: it keeps objects as strait-dp does, with mark and
// sweep, in the main loop of the test, and can be told to misbehave.
#pragma once

#include "../../../../dataplane/api/st_api.h"

#include <glib.h>

#include <stdbool.h>

struct fake_dp {
	char *dir, *path;
	int listen_fd, fd; // fd -1: nobody is connected
	unsigned int listen_source, source;
	GHashTable *objects; // "kind:key" -> struct fake_object
	GArray *log;         // of struct st_msg, as received
	uint64_t instance;
	uint32_t version;
	bool mute;     // reads, answers later
	bool deaf;     // does not even read
	bool no_hello; // takes connections and says nothing
	int refuse;    // status of every SET
	int sock_fd;   // descriptor of the last SOCKET
	GArray *owed;  // seq of answers held back by mute
	unsigned int connects;
	unsigned int max_owed;
};

struct fake_object {
	uint16_t kind, body_len, blob_len;
	bool marked;
	uint8_t data[ST_MSG_MAX];
};

struct fake_dp *fake_dp_new(void);
void fake_dp_free(struct fake_dp *f);
void fake_dp_hang_up(struct fake_dp *f);
void fake_dp_restart(struct fake_dp *f); // a new instance without objects
void fake_dp_unmute(struct fake_dp *f);
void fake_dp_send(struct fake_dp *f, const void *data, size_t len);
void fake_dp_event(struct fake_dp *f, uint16_t event, const void *body, uint16_t len);
void fake_dp_put(struct fake_dp *f, uint16_t kind, uint16_t key_len, const void *body, uint16_t len);
const struct fake_object *fake_dp_find(
	struct fake_dp *f, uint16_t kind, const void *key, uint16_t key_len);
unsigned int fake_dp_count(struct fake_dp *f, uint16_t kind);
unsigned int fake_dp_received(struct fake_dp *f, uint16_t op, uint16_t kind); // kind 0 = any
void fake_dp_forget(struct fake_dp *f);                                       // clears the log
// Runs the main loop until *flag or 5 s are over.
bool fake_dp_wait(bool (*done)(void *arg), void *arg);
void fake_dp_settle(void); // runs what is due, and 30 ms more
