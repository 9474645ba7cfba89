// SPDX-License-Identifier: BSD-3-Clause
//
// One connection of the contract: its queue of outgoing datagrams, the replies that are held until every
// lcore has seen a change, and a dump under way. main only; nothing blocks.
#pragma once

#include "../api/st_api.h"
#include "inbox.h"
#include "object.h"

#include <stdbool.h>
#include <stdint.h>

#define CLIENT_EVENTS_MAX 4096 // events queued for one client; further ones are counted as lost
#define CLIENT_QUEUE_MAX  1024 // replies queued or held before no more requests are read

struct out_msg;
struct held;

struct client {
	int fd; // -1: this place is free
	int handle;
	bool greeted;
	bool controller;
	bool dead;                     // to be closed by the server's loop
	uint32_t interest;             // epoll events that are asked for
	uint64_t moved;                // datagrams in and out
	uint64_t moved_then, since_ms; // when it was last looked whether any did
	struct out_msg *out_head, *out_tail;
	uint32_t nb_out, nb_events;
	uint64_t lost; // events not yet told by OVERRUN
	struct held *held_head, *held_tail;
	uint32_t nb_held;
	struct inbox inbox;
	struct {
		bool active;
		bool objects; // else a stat kind
		uint16_t kind;
		uint32_t seq;
		uint32_t at;
		struct object_cursor cursor;
	} dump;
};

struct client_msg {
	struct st_msg hdr; // body_len and blob_len say what follows
	const void *body;
	const void *blob;
	int fd; // to be passed along (stays ours), -1 = none
};

void client_open(struct client *c, int fd, int handle);
void client_close(struct client *c); // frees all it holds; does not know traces and captures
void client_send(struct client *c, const struct client_msg *msg);
bool client_event(struct client *c, const struct client_msg *msg); // false: queue full
void client_flush(struct client *c);
// Answers seq, behind the answers that are held already; at once if nothing has to be waited for.
void client_reply(struct client *c, const struct st_msg *request, int status, bool hold);
void client_release(struct client *c); // sends held answers that have come due
int client_dump_begin(struct client *c, const struct st_msg *request);
void client_dump_continue(struct client *c);
bool client_full(const struct client *c); // no more requests for now
