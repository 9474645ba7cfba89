// SPDX-License-Identifier: BSD-3-Clause
//
// Sockets for libnice that are none. libnice makes, binds, reads and writes its UDP sockets by functions of
// GIO; this program defines those functions itself, so that an agent's datagrams come to shim_owner.send
// and are put in by shim_push. Each socket belongs to the thread that gathered.
#pragma once

#include "ice_msg.h"

#include <gio/gio.h>

#include <stdbool.h>
#include <stddef.h>

#define SHIM_QUEUE_MAX 64 // datagrams that wait for one socket; more are lost, as with UDP

struct shim_socket {
	struct shim_owner *owner; // NULL: closed
	struct ice_msg_addr local;
	GQueue in;
	GSList *sources;
};

struct shim_owner {
	void (*send)(struct shim_owner *o, const struct shim_socket *s,
		const struct ice_msg_addr *to, const uint8_t *data, size_t len);
	uint16_t port_be; // of all its sockets; libnice reaches TURN servers through them as well
	GSList *sockets;  // of struct shim_socket
};

// Sockets that this thread's libnice makes between the two calls are the owner's.
void shim_begin(struct shim_owner *o);
void shim_end(void);
// From here on nothing of the owner is used.
void shim_release(struct shim_owner *o);
// The socket of a local address, or NULL.
struct shim_socket *shim_find(const struct shim_owner *o, const struct ice_msg_addr *local);
void shim_push(
	struct shim_socket *s, const struct ice_msg_addr *from, const uint8_t *data, size_t len);
