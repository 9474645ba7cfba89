// SPDX-License-Identifier: BSD-3-Clause
//
// UDP sockets of WireGuard interfaces: opening, checking adopted ones, receiving with the address that was
// hit, sending from a chosen one. Main loop thread; nothing here blocks or knows peers.
#pragma once

#include "../../dataplane/api/st_api.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WG_SOCKET_BATCH   64
#define WG_SOCKET_PAYLOAD 2048 // larger datagrams are cut and dropped

enum wg_family {
	WG_V4,
	WG_V6,
	WG_FAMILIES,
};

struct wg_datagram {
	struct st_addr remote;
	struct st_addr local; // what the sender aimed at
	uint16_t remote_port_be;
	uint16_t local_port_be; // of a peer's own port; 0 = the interface's
	int ifindex;            // it came in on, 0 = unknown
	uint16_t len;
	const uint8_t *data;
};

// Where a datagram goes.
struct wg_to {
	const struct st_addr *local; // all zero = the kernel's choice
	const struct st_addr *remote;
	uint16_t remote_port_be;
	uint8_t tos;
	int ifindex; // of a link-local remote, else ignored
};

typedef void (*wg_socket_received)(const struct wg_datagram *d, void *arg);

enum wg_family wg_family_of(const struct st_addr *a);
const char *wg_family_name(enum wg_family family); // "v4", "v6"
// Bound, non-blocking. port 0 = random. A descriptor or -errno (-EAFNOSUPPORT: no such family here).
int wg_socket_open(enum wg_family family, uint16_t port, uint32_t fwmark);
int wg_socket_mark(int fd, uint32_t fwmark);
// The port it is bound to, or -errno when it is no UDP socket of this family bound to the wildcard.
int wg_socket_port(int fd, enum wg_family family);
// Options that a socket from elsewhere may lack; 0 or -errno.
int wg_socket_prepare(int fd, enum wg_family family, uint32_t fwmark);
// Takes up to WG_SOCKET_BATCH datagrams; returns how many, or -errno.
int wg_socket_receive(int fd, wg_socket_received fn, void *arg);
int wg_socket_send(int fd, const struct wg_to *to, const void *data, size_t len); // 0 or -errno
// The same, together with others of this socket at the next flush, or when there are WG_SOCKET_BATCH. Who uses it flushes
// before the loop polls and before fd is closed. What the kernel does not take then is lost, as on the way.
void wg_socket_send_later(int fd, const struct wg_to *to, const void *data, size_t len);
void wg_socket_flush(void);
