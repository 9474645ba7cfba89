// SPDX-License-Identifier: BSD-3-Clause
//
// TLS of the TURN server's clients, by OpenSSL: the certificate in use, and a connection's end of it on a
// non-blocking socket. TLS 1.2 and later, ALPN stun.turn and stun.nat-discovery (RFC 7443). Main loop thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct turn_tls;         // a certificate with its key
struct turn_tls_session; // one connection

// NULL with *ret_error that names the file. Sessions keep the one they began with.
struct turn_tls *turn_tls_new(const char *certificate, const char *key, char **ret_error);
void turn_tls_free(struct turn_tls *t);

struct turn_tls_session *turn_tls_accept(struct turn_tls *t, int fd);
void turn_tls_session_free(struct turn_tls_session *s); // fd stays
// 0 = done, -EAGAIN with *ret_write (wait until it can be written, else read), or another -errno.
int turn_tls_handshake(struct turn_tls_session *s, bool *ret_write);
// As read and write: > 0, 0 at the end, -EAGAIN, or another -errno.
ssize_t turn_tls_read(struct turn_tls_session *s, void *out, size_t size);
ssize_t turn_tls_write(struct turn_tls_session *s, const void *data, size_t len);
