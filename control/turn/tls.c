// SPDX-License-Identifier: BSD-3-Clause
//
// TLS by OpenSSL; see tls.h. Main loop thread. OpenSSL keeps its errors in a queue of the thread, which is
// emptied wherever something failed, so that one connection does not hear of another's.
#include "tls.h"

#include <glib.h>

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

struct turn_tls {
	SSL_CTX *ctx;
};

struct turn_tls_session {
	SSL *ssl;
};

// What the client offers and we speak; a client without ALPN is fine.
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen,
	const unsigned char *in, unsigned int inlen, void *arg)
{
	static const unsigned char ours[] = "\x09stun.turn\x12stun.nat-discovery";

	if (SSL_select_next_proto((unsigned char **)out, outlen, ours, sizeof(ours) - 1, in,
		    inlen) == OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_OK;
	return SSL_TLSEXT_ERR_NOACK;
}

static struct turn_tls *fail(SSL_CTX *ctx, const char *what, const char *file, char **ret_error)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	*ret_error =
		g_strdup_printf("turn: %s %s: %s", what, file, reason ? reason : "cannot be used");
	ERR_clear_error();
	SSL_CTX_free(ctx);
	return NULL;
}

struct turn_tls *turn_tls_new(const char *certificate, const char *key, char **ret_error)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct turn_tls *t;

	if (!ctx)
		return fail(ctx, "TLS", "", ret_error);
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx,
		SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
	if (SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1)
		return fail(ctx, "TLS ciphers", "", ret_error);
	if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
		return fail(ctx, "certificate", certificate, ret_error);
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		return fail(ctx, "private key", key, ret_error);
	if (SSL_CTX_check_private_key(ctx) != 1)
		return fail(ctx, "private key is not the certificate's:", key, ret_error);
	t = g_new0(struct turn_tls, 1);
	t->ctx = ctx;
	return t;
}

void turn_tls_free(struct turn_tls *t)
{
	if (!t)
		return;
	SSL_CTX_free(t->ctx); // sessions hold it
	g_free(t);
}

struct turn_tls_session *turn_tls_accept(struct turn_tls *t, int fd)
{
	struct turn_tls_session *s = g_new0(struct turn_tls_session, 1);

	s->ssl = SSL_new(t->ctx);
	if (s->ssl && SSL_set_fd(s->ssl, fd) == 1) {
		SSL_set_accept_state(s->ssl);
		return s;
	}
	ERR_clear_error();
	turn_tls_session_free(s);
	return NULL;
}

void turn_tls_session_free(struct turn_tls_session *s)
{
	if (!s)
		return;
	SSL_free(s->ssl);
	g_free(s);
}

static int explain(const struct turn_tls_session *s, int r, bool *ret_write)
{
	int e = SSL_get_error(s->ssl, r);

	ERR_clear_error();
	*ret_write = e == SSL_ERROR_WANT_WRITE;
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	return e == SSL_ERROR_ZERO_RETURN ? 0 : -ECONNRESET;
}

int turn_tls_handshake(struct turn_tls_session *s, bool *ret_write)
{
	int r = SSL_do_handshake(s->ssl);

	if (r == 1)
		return 0;
	r = explain(s, r, ret_write);
	return r ? r : -ECONNRESET;
}

ssize_t turn_tls_read(struct turn_tls_session *s, void *out, size_t size)
{
	int r = SSL_read(s->ssl, out, (int)MIN(size, (size_t)G_MAXINT));
	bool want_write;

	return r > 0 ? r : explain(s, r, &want_write);
}

ssize_t turn_tls_write(struct turn_tls_session *s, const void *data, size_t len)
{
	int r = SSL_write(s->ssl, data, (int)MIN(len, (size_t)G_MAXINT));
	bool want_write;

	if (r > 0)
		return r;
	r = explain(s, r, &want_write);
	return r ? r : -EPIPE;
}
