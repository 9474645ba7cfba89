// SPDX-License-Identifier: BSD-3-Clause
//
// A way to a TURN server: a connected UDP socket, or a TCP or TLS stream cut into messages (RFC 8656
// section 12.5). Main loop thread, nothing waits.
#pragma once

#include "ice.h"

struct turn_socket;

struct turn_socket_ops {
	void (*received)(const uint8_t *data, size_t len, void *arg);
	// A stream ended or could not be made. UDP never says so.
	void (*closed)(const char *why, void *arg);
};

struct turn_socket_params {
	struct st_addr server, base; // base all zero: the kernel's choice
	uint16_t server_port_be;
	enum ice_transport transport;
	const char *host; // whose certificate TLS asks for
	uint32_t fwmark;
};

// NULL with errno.
struct turn_socket *turn_socket_new(
	const struct turn_socket_params *p, const struct turn_socket_ops *ops, void *arg);
// UDP, bound and connected already; the descriptor is taken in any case.
struct turn_socket *turn_socket_from_fd(int fd, const struct turn_socket_ops *ops, void *arg);
void turn_socket_free(struct turn_socket *s); // no op comes after it
// 0 or -errno. What a stream cannot take yet is queued, up to a limit (-ENOBUFS).
int turn_socket_send(struct turn_socket *s, const void *data, size_t len);
// Our end; false: there is none yet.
bool turn_socket_local(const struct turn_socket *s, struct st_addr *ret, uint16_t *ret_port_be);
int turn_socket_fd(const struct turn_socket *s); // of UDP, else -1
