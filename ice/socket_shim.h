// SPDX-License-Identifier: BSD-3-Clause
//
// Sockets for libnice that are none: an agent's datagrams come to shim_owner.send and are put in by shim_push.
// Two ways. socket_shim.c (strait-ice): libnice makes, binds, reads and writes its UDP sockets by functions of
// GIO, and the program defines those functions itself; each socket belongs to the thread that gathered.
// socket_tun.c (strait-ice-tun): libnice has kernel sockets in a network namespace that holds nothing but a
// TUN, and the program is at the TUN's other end.
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
	uint16_t port_be;  // of all its sockets; libnice reaches TURN servers through them as well
	uint16_t bound_be; // what libnice bound instead: shim_port
	GSList *sockets;   // of struct shim_socket
};

// At the program's start, with its rights still there; argv has the addresses that agents will bind. 0 or
// -errno.
int shim_prepare(char **addresses);
// libnice needs system calls for sockets.
extern const bool shim_has_sockets;
// What libnice shall bind instead of o->port_be, in network order; 0 = none is free.
uint16_t shim_port(struct shim_owner *o);
// What reads that libnice sends, for the context of one thread; NULL: nothing has to.
GSource *shim_source_new(void);
// Sockets that this thread's libnice makes between the two calls are the owner's.
void shim_begin(struct shim_owner *o);
void shim_end(void);
// From here on nothing of the owner is used.
void shim_release(struct shim_owner *o);
// The socket of a local address, or NULL.
struct shim_socket *shim_find(struct shim_owner *o, const struct ice_msg_addr *local);
void shim_push(
	struct shim_socket *s, const struct ice_msg_addr *from, const uint8_t *data, size_t len);
