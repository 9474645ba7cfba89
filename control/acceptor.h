// SPDX-License-Identifier: BSD-3-Clause
//
// Who connects to a listening stream socket, handed over one by one. Main loop thread. Out of descriptors it
// pauses: the kernel keeps the socket readable as long as somebody waits, and the main loop would spin on it.
#pragma once

struct acceptor {
	int fd;                             // listening, non-blocking; the owner's
	void (*welcome)(int fd, void *arg); // owns fd, non-blocking; may stop the acceptor, not free it
	void *arg;
	unsigned int source; // of clients, or of the end of a pause; 0 = stopped
};

void acceptor_start(struct acceptor *a); // nothing happens if it is
void acceptor_stop(struct acceptor *a);  // clients wait in the backlog
