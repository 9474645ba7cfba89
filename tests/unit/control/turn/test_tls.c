// SPDX-License-Identifier: BSD-3-Clause
//
// TLS clients of the TURN server, over loopback, with OpenSSL's client: what is negotiated, deadlines, and a
// certificate that changes under a connection.
#include "server_rig.h"

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTEN 34782

static SSL_CTX *ctx;

static struct config *config_with(const char *certificate, const char *key)
{
	char *text = g_strdup_printf(
		"\"listen\": [{\"address\": \"127.0.0.1\", \"port\": %d, \"transports\": [\"tcp\", "
		"\"tls\"]}], \"tls\": {\"certificate\": \"%s\", \"key\": \"%s\"}, %s",
		LISTEN, certificate, key, usual);
	struct config *c = parse_config(text);

	g_free(text);
	return c;
}

static void up(void)
{
	begin_server(config_with(TEST_DATA "/tls_cert.pem", TEST_DATA "/tls_key.pem"));
	ctx = SSL_CTX_new(TLS_client_method());
}

static void down(void)
{
	SSL_CTX_free(ctx);
	end_server();
}

static int dial(void)
{
	struct sockaddr_in to = on_loopback(LISTEN);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	CU_ASSERT_FATAL(!connect(fd, (struct sockaddr *)&to, sizeof(to)) || errno == EINPROGRESS);
	return fd;
}

static bool again(SSL *ssl, int r)
{
	int e = SSL_get_error(ssl, r);

	settle();
	usleep(1000);
	return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE;
}

// Whether the handshake went well.
static bool shake_hands(SSL *ssl)
{
	for (int i = 0, r; i < 10000; i++) {
		r = SSL_do_handshake(ssl);
		if (r == 1)
			return true;
		if (!again(ssl, r))
			break;
	}
	return false;
}

static SSL *session_new(void)
{
	SSL *ssl = SSL_new(ctx);

	SSL_set_fd(ssl, dial());
	SSL_set_connect_state(ssl);
	return ssl;
}

static SSL *session_open(void)
{
	SSL *ssl = session_new();

	CU_ASSERT_TRUE_FATAL(shake_hands(ssl));
	return ssl;
}

static void session_end(SSL *ssl)
{
	close(SSL_get_fd(ssl));
	SSL_free(ssl);
}

// Sends the request and waits for the answer; its code.
static int exchange(struct client *c, SSL *ssl)
{
	size_t len = stun_end(&c->o, NULL, 0, false);
	int n = -1;

	CU_ASSERT_EQUAL_FATAL(SSL_write(ssl, c->o.data, (int)len), (int)len);
	for (int i = 0; i < 10000 && n < 0; i++) {
		n = SSL_read(ssl, answer, sizeof(answer));
		if (n < 0 && !again(ssl, n))
			break;
	}
	CU_ASSERT_TRUE_FATAL(n > 0);
	CU_ASSERT_EQUAL_FATAL(stun_parse_strict(&c->m, answer, (size_t)n), 0);
	keep_nonce(c);
	return code_of(&c->m);
}

static void allocate_by(struct client *c, SSL *ssl)
{
	client_init(c, "127.0.0.1", 1);
	stun_add_u32(request(c, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
	CU_ASSERT_EQUAL_FATAL(exchange(c, ssl), 401);
	stun_add_u32(request(c, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
	sign(c);
	CU_ASSERT_EQUAL_FATAL(exchange(c, ssl), 0);
}

static void binding_by_tls_has_the_address_of_the_connection(void)
{
	struct sockaddr_in me;
	socklen_t len = sizeof(me);
	struct st_addr addr, mine;
	struct client c;
	uint16_t port_be;
	SSL *ssl;

	up();
	ssl = session_open();
	client_init(&c, "127.0.0.1", 1);
	request(&c, STUN_BINDING);
	CU_ASSERT_EQUAL(exchange(&c, ssl), 0);
	CU_ASSERT_EQUAL(c.m.len, 32);
	CU_ASSERT_EQUAL_FATAL(getsockname(SSL_get_fd(ssl), (struct sockaddr *)&me, &len), 0);
	CU_ASSERT_TRUE(stun_find_address(&c.m, STUN_ATTR_XOR_MAPPED_ADDRESS, &addr, &port_be));
	addr_parse(&mine, "127.0.0.1");
	CU_ASSERT_EQUAL(memcmp(&addr, &mine, sizeof(mine)), 0);
	CU_ASSERT_EQUAL(port_be, me.sin_port);
	session_end(ssl);
	down();
}

static void expect_alpn(const char *offered, const char *chosen)
{
	unsigned char wire[64];
	const unsigned char *got;
	unsigned int len = 0;
	SSL *ssl = session_new();

	wire[0] = (unsigned char)strlen(offered);
	memcpy(wire + 1, offered, wire[0]);
	if (wire[0])
		CU_ASSERT_EQUAL(SSL_set_alpn_protos(ssl, wire, 1 + wire[0]), 0);
	CU_ASSERT_TRUE(shake_hands(ssl));
	SSL_get0_alpn_selected(ssl, &got, &len);
	CU_ASSERT(len == strlen(chosen) && (!len || !memcmp(got, chosen, len)));
	session_end(ssl);
}

// RFC 7443; who offers neither, or something else, is served all the same.
static void both_protocols_of_stun_are_chosen(void)
{
	up();
	expect_alpn("stun.turn", "stun.turn");
	expect_alpn("stun.nat-discovery", "stun.nat-discovery");
	expect_alpn("h2", "");
	expect_alpn("", "");
	down();
}

static bool agrees(int version, const char *ciphers)
{
	SSL *ssl = session_new();
	bool ok;

	SSL_set_security_level(ssl, 0); // the client would take anything
	SSL_set_min_proto_version(ssl, version);
	SSL_set_max_proto_version(ssl, version);
	CU_ASSERT_EQUAL_FATAL(SSL_set_cipher_list(ssl, ciphers), 1);
	ok = shake_hands(ssl);
	session_end(ssl);
	return ok;
}

static void weak_ciphers_are_refused(void)
{
	static const char *const weak[] = {"ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384",
		"ECDHE-ECDSA-AES128-CCM8", "AECDH-AES128-SHA", "ECDHE-ECDSA-NULL-SHA",
		"ADH-AES128-SHA"};

	up();
	for (size_t i = 0; i < G_N_ELEMENTS(weak); i++)
		CU_ASSERT_FALSE(agrees(TLS1_2_VERSION, weak[i]));
	CU_ASSERT_FALSE(agrees(TLS1_1_VERSION, "ALL"));
	CU_ASSERT_TRUE(agrees(TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-"
					      "SHA256"));
	CU_ASSERT_TRUE(agrees(TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-"
					      "POLY1305"));
	CU_ASSERT_TRUE(agrees(TLS1_3_VERSION, "ALL"));
	down();
}

// Half a ClientHello, a byte now and then, has 10 s; who has shaken hands and says nothing has 30.
static void a_slow_handshake_ends_before_an_idle_connection(void)
{
	static const uint8_t hello[] = {0x16, 3, 1, 1, 0, 1, 0, 0, 0xfc, 3, 3};
	SSL *idle;
	int fd;

	up();
	idle = session_open();
	fd = dial();
	wait_connections(2);
	for (size_t i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(send(fd, hello + i, 1, MSG_NOSIGNAL), 1);
		for (int n = 0; n < 20; n++) {
			settle();
			usleep(1000);
		}
		CU_ASSERT_EQUAL(turn_streams_count(turn->streams), 2);
		pass(i < 2 ? 2 : 7);
	}
	CU_ASSERT_EQUAL(turn_streams_count(turn->streams), 1);
	pass(20);
	CU_ASSERT_EQUAL(turn_streams_count(turn->streams), 0);
	session_end(idle);
	close(fd);
	down();
}

static char *write_pem(const char *name, X509 *cert, EVP_PKEY *key)
{
	char *path = g_build_filename(run_dir, name, NULL);
	BIO *out = BIO_new_file(path, "w");

	if (cert)
		PEM_write_bio_X509(out, cert);
	else
		PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
	BIO_free(out);
	return path;
}

static X509 *make_certificate(const char *subject, EVP_PKEY *key)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);

	X509_NAME_add_entry_by_txt(
		name, "CN", MBSTRING_UTF8, (const unsigned char *)subject, -1, -1, 0);
	X509_set_issuer_name(x, name);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_sign(x, key, EVP_sha256());
	return x;
}

static bool is_of(SSL *ssl, const X509 *cert)
{
	X509 *theirs = SSL_get1_peer_certificate(ssl);
	bool same = theirs && !X509_cmp(theirs, cert);

	X509_free(theirs);
	return same;
}

static void a_new_certificate_ends_no_connection(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = make_certificate("next", key);
	char *cert_file, *key_file;
	struct client c, d;
	SSL *old, *fresh;

	up();
	cert_file = write_pem("cert.pem", cert, NULL);
	key_file = write_pem("key.pem", NULL, key);
	old = session_open();
	allocate_by(&c, old);
	CU_ASSERT_FALSE(is_of(old, cert));
	apply_config(config_with(cert_file, key_file));
	fresh = session_open();
	CU_ASSERT_TRUE(is_of(fresh, cert));
	allocate_by(&d, fresh);
	CU_ASSERT_EQUAL(turn_core_allocations(&turn->core), 2);
	stun_add_u32(request(&c, STUN_REFRESH), STUN_ATTR_LIFETIME, 600);
	sign(&c);
	CU_ASSERT_EQUAL(exchange(&c, old), 0);
	session_end(old);
	session_end(fresh);
	unlink(cert_file);
	unlink(key_file);
	down();
	X509_free(cert);
	EVP_PKEY_free(key);
	g_free(cert_file);
	g_free(key_file);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(binding_by_tls_has_the_address_of_the_connection),
		TEST(both_protocols_of_stun_are_chosen),
		TEST(weak_ciphers_are_refused),
		TEST(a_slow_handshake_ends_before_an_idle_connection),
		TEST(a_new_certificate_ends_no_connection),
		CU_TEST_INFO_NULL,
	};

	signal(SIGPIPE, SIG_IGN); // as straitd does
	return sodium_init() < 0 ? 1 : run_tests("turn/tls", tests);
}
