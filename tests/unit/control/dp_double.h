// SPDX-License-Identifier: BSD-3-Clause
//
// Stands in for control/dp/dp.c and control/host/netlink.c at their seams: it keeps what it is told and answers as
// a data plane would, from the main loop. What it was told is the tests' to look at.
#pragma once

#include "../../../control/dp/dp.h"

#include <glib.h>

struct netlink;

struct dp_double_object {
	uint16_t kind, body_len, blob_len;
	uint32_t expiry_ms;
	unsigned int sets; // how often it was sent
	uint8_t body[512];
	uint8_t blob[ST_BLOB_MAX];
};

struct dp {
	bool connected;
	int key_status;     // answer to dp_key_set
	int set_status;     // answer to dp_set
	bool hold;          // answers wait for dp_double_release
	GPtrArray *objects; // of struct dp_double_object *
	GArray *keys;       // of struct st_key, with their bytes
	GArray *log;        // of uint16_t: kinds in the order they were set, ST_KEY among them
	GArray *keypairs;   // of struct st_stat_keypair, told by dp_dump
	GArray *peers;      // of struct st_stat_peer, likewise
	unsigned int keepalives, staged_drops, packets_out, parked, unparked, keys_deleted;
	GPtrArray *held;
};

struct dp *dp_double_new(void);
void dp_double_free(struct dp *dp);
void dp_double_release(struct dp *dp);
const struct dp_double_object *dp_double_find(struct dp *dp, uint16_t kind, uint32_t first_word);
unsigned int dp_double_count(struct dp *dp, uint16_t kind);
// What netlink_path_get says next; 0 if_id = a device that is not ours.
void netlink_double_path(int status, uint32_t if_id);
extern unsigned int netlink_double_held;
extern unsigned int netlink_double_asked_ifindex; // of the last question
