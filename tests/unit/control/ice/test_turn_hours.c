// SPDX-License-Identifier: BSD-3-Clause
//
// An allocation that straitd has taken over, for twelve hours: against a server of RFC 8656's lifetimes that
// forgets nothing and forgives nothing. The clock is the test's (g_get_monotonic_time is defined here and found
// before GLib's), the sockets are real.
#include "../../../../control/addr.h"
#include "../../../../control/ice/turn_client.h"
#include "../../suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOURS        12
#define STEP_MS      250
#define ALLOCATION_S 600
#define PERMISSION_S 300
#define CHANNEL_S    600
#define REUSE_S      300
#define NONCE_S      3600 // coturn's stale-nonce is ten minutes, ours an hour
#define LOSE_EVERY   7    // of what the client sends
#define CHANNEL      0x4000
#define REALM        "strait.test"
#define PEER_PORT_BE htons(51820)

static uint64_t clock_ms = 1000;

gint64 g_get_monotonic_time(void)
{
	return (gint64)clock_ms * 1000;
}

static struct {
	int fd;
	uint8_t key[STUN_KEY_LEN];
	char nonce[16];
	uint64_t allocation_until, permission_until, channel_until, nonce_until;
	unsigned int received, lost, refreshes, binds, stale, data, expired, bad;
	unsigned int other_binds, permissions, indications;
} server;

static struct ice *ice;
static struct st_addr peer, relayed;
static int client_fd;
static unsigned int losts;

static int take_socket(uint32_t socket_id, void *arg)
{
	int fd = client_fd;

	client_fd = -1;
	return fd;
}

static uint16_t port(void *arg)
{
	return 51820;
}

static void on_bound(void *arg)
{
}

static void on_lost(const char *why, void *arg)
{
	losts++;
}

// ---- the server ----------------------------------------------------------------------------------------

static void pair_open(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	int type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

	server.fd = socket(AF_INET, type, 0);
	client_fd = socket(AF_INET, type, 0);
	CU_ASSERT_EQUAL_FATAL(bind(server.fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	CU_ASSERT_EQUAL_FATAL(bind(client_fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(server.fd, (struct sockaddr *)&sin, &len), 0);
	CU_ASSERT_EQUAL_FATAL(connect(client_fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(client_fd, (struct sockaddr *)&sin, &len), 0);
	CU_ASSERT_EQUAL_FATAL(connect(server.fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
}

static void new_nonce(void)
{
	g_snprintf(server.nonce, sizeof(server.nonce), "%" G_GUINT64_FORMAT, clock_ms);
	server.nonce_until = clock_ms + NONCE_S * 1000;
}

static bool nonce_good(const struct stun_msg *m)
{
	uint16_t len;
	const uint8_t *v = stun_find(m, STUN_ATTR_NONCE, &len);

	return v && clock_ms < server.nonce_until && len == strlen(server.nonce) &&
	       !memcmp(v, server.nonce, len);
}

static void answer(const struct stun_msg *m, uint32_t lifetime, int error)
{
	uint8_t buf[256];
	struct stun_out o;
	size_t len;

	stun_begin(&o, buf, sizeof(buf), stun_method(m) | (error ? STUN_ERROR : STUN_SUCCESS),
		stun_tid(m));
	if (error) {
		stun_add_error(&o, error, "Stale Nonce");
		stun_add(&o, STUN_ATTR_REALM, REALM, strlen(REALM));
		stun_add(&o, STUN_ATTR_NONCE, server.nonce, strlen(server.nonce));
	} else if (lifetime) {
		stun_add_u32(&o, STUN_ATTR_LIFETIME, lifetime);
	}
	len = error ? stun_end(&o, NULL, 0, true)
		    : stun_end(&o, server.key, sizeof(server.key), true);
	CU_ASSERT_EQUAL(send(server.fd, buf, len, 0), (ssize_t)len);
}

static void request(const struct stun_msg *m)
{
	uint32_t number = 0, lifetime = 0;
	struct st_addr to;
	uint16_t to_port;

	if (!nonce_good(m)) {
		if (clock_ms >= server.nonce_until)
			new_nonce();
		server.stale++;
		answer(m, 0, 438);
		return;
	}
	if (!stun_verify(m, server.key, sizeof(server.key))) {
		server.bad++;
		return;
	}
	if (stun_method(m) == STUN_CREATE_PERMISSION) {
		server.permissions++;
		answer(m, 0, 0);
	} else if (stun_method(m) == STUN_REFRESH &&
		   stun_find_u32(m, STUN_ATTR_LIFETIME, &lifetime) && lifetime) {
		server.refreshes++;
		server.allocation_until = clock_ms + ALLOCATION_S * 1000;
		answer(m, ALLOCATION_S, 0);
	} else if (stun_method(m) == STUN_CHANNEL_BIND &&
		   stun_find_u32(m, STUN_ATTR_CHANNEL_NUMBER, &number) && number >> 16 == CHANNEL &&
		   stun_find_address(m, STUN_ATTR_XOR_PEER_ADDRESS, &to, &to_port) &&
		   !memcmp(&to, &peer, sizeof(to)) && to_port == PEER_PORT_BE) {
		server.binds++;
		server.channel_until = clock_ms + CHANNEL_S * 1000;
		server.permission_until = clock_ms + PERMISSION_S * 1000;
		answer(m, 0, 0);
	} else if (stun_method(m) == STUN_CHANNEL_BIND &&
		   (number >> 16 != CHANNEL || clock_ms >= server.channel_until + REUSE_S * 1000)) {
		server.other_binds++;
		answer(m, 0, 0);
	} else {
		server.bad++;
	}
}

static void serve(void)
{
	uint8_t buf[2048];
	struct stun_msg m;
	ssize_t len;

	while ((len = recv(server.fd, buf, sizeof(buf), 0)) > 0) {
		if (buf[0] == CHANNEL >> 8) {
			server.data++;
			continue;
		}
		if (++server.received % LOSE_EVERY == 0) {
			server.lost++;
			continue;
		}
		if (stun_parse(&m, buf, (size_t)len))
			server.bad++;
		else if (m.type == (STUN_SEND | STUN_INDICATION))
			server.indications++;
		else if (stun_class(&m) != STUN_REQUEST)
			server.bad++;
		else
			request(&m);
	}
	server.expired += clock_ms > server.allocation_until || clock_ms > server.channel_until ||
			  clock_ms > server.permission_until;
}

// ---- the client ----------------------------------------------------------------------------------------

static uint8_t *put(uint8_t *at, const void *data, size_t len)
{
	*at++ = (uint8_t)len;
	memcpy(at, data, len);
	return at + len;
}

static struct turn_client *take_over(void)
{
	static const struct turn_client_ops ops = {on_bound, on_lost};
	uint8_t saved[128] = {1}, *at = saved + 1;
	uint32_t lifetime = ALLOCATION_S;
	struct ice_path path = {.remote = peer, .remote_port_be = PEER_PORT_BE};
	struct turn_client *t;

	path.relay.address = relayed;
	path.relay.channel = CHANNEL;
	path.relay.channel_ready = true;
	addr_parse(&path.relay.server, "127.0.0.1");
	at = put(at, server.key, sizeof(server.key));
	at = put(at, &lifetime, sizeof(lifetime));
	at = put(at, "user", 4);
	at = put(at, REALM, strlen(REALM));
	t = turn_client_restore(ice, 1, &path, saved, (size_t)(at - saved));
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	turn_client_adopt(t, &peer, PEER_PORT_BE, &ops, NULL);
	return t;
}

static void begin(void)
{
	static const struct ice_env env = {.name = "test", .port = port, .take_socket = take_socket};

	memset(&server, 0, sizeof(server));
	losts = 0;
	ice = ice_new(&env, "/nonexistent");
	addr_parse(&peer, "198.51.100.7");
	addr_parse(&relayed, "192.0.2.9");
	stun_long_term_key(server.key, "user", REALM, strlen(REALM), "password");
	pair_open();
	new_nonce();
	// As libnice's own requests left it.
	server.allocation_until = clock_ms + ALLOCATION_S * 1000;
	server.channel_until = clock_ms + CHANNEL_S * 1000;
	server.permission_until = clock_ms + PERMISSION_S * 1000;
}

static void end(struct turn_client *t)
{
	turn_client_release(t);
	ice_free(ice);
	close(server.fd);
}

static void a_relayed_session_lasts_twelve_hours(void)
{
	struct turn_client *t;
	uint64_t from, due = 0;

	begin();
	t = take_over();
	from = clock_ms;
	while (clock_ms < from + (uint64_t)HOURS * 3600 * 1000 && !losts) {
		clock_ms += STEP_MS;
		if (clock_ms >= due)
			due = turn_client_tick(t, clock_ms);
		serve();
		while (g_main_context_iteration(NULL, FALSE))
			;
		if (clock_ms % 60000 < STEP_MS)
			CU_ASSERT_EQUAL(turn_client_send(t, &peer, PEER_PORT_BE, "data", 4), 0);
	}
	CU_ASSERT_EQUAL(losts, 0);
	CU_ASSERT_EQUAL(server.expired, 0); // in no step was anything run out
	CU_ASSERT_EQUAL(server.bad + server.other_binds + server.permissions + server.indications, 0);
	CU_ASSERT_TRUE(server.lost > 20); // and yet
	CU_ASSERT_TRUE(server.stale >= HOURS);
	CU_ASSERT_TRUE(server.refreshes >= HOURS * 3600 / ALLOCATION_S);
	CU_ASSERT_TRUE(server.binds >= HOURS * 3600 / PERMISSION_S);
	// Not more than it takes, either.
	CU_ASSERT_TRUE(server.refreshes < HOURS * 3600 / ALLOCATION_S * 3);
	CU_ASSERT_TRUE(server.binds < HOURS * 3600 / PERMISSION_S * 3);
	CU_ASSERT_TRUE(server.data >= HOURS * 60 - 1); // all of it as ChannelData
	end(t);
}

// The judge can find something: a server that goes away is noticed, and what runs out counts.
static void a_server_that_does_not_answer_is_noticed(void)
{
	struct turn_client *t;
	uint64_t from, due = 0;

	begin();
	t = take_over();
	from = clock_ms;
	while (clock_ms < from + 2 * ALLOCATION_S * 1000 && !losts) {
		uint8_t buf[2048];

		clock_ms += STEP_MS;
		if (clock_ms >= due)
			due = turn_client_tick(t, clock_ms);
		while (recv(server.fd, buf, sizeof(buf), 0) > 0)
			;
		serve();
	}
	CU_ASSERT_EQUAL(losts, 1);
	CU_ASSERT_TRUE(clock_ms < from + ALLOCATION_S * 1000); // before the allocation ended
	CU_ASSERT_TRUE(server.expired > 0);                    // the permission had
	end(t);
}

static void run_for(struct turn_client *t, unsigned int ms)
{
	for (uint64_t until = clock_ms + ms; clock_ms < until;) {
		clock_ms += STEP_MS;
		(void)turn_client_tick(t, clock_ms);
		serve();
		while (g_main_context_iteration(NULL, FALSE))
			;
	}
}

// The channel to where the peer was is nobody's to keep alive.
static void a_channel_that_ran_out_is_not_sent_on(void)
{
	struct turn_client *t;
	struct st_addr elsewhere;
	unsigned int data;

	begin();
	t = take_over();
	run_for(t, 1000);
	addr_parse(&elsewhere, "198.51.100.8");
	turn_client_peer(t, &elsewhere, PEER_PORT_BE);
	run_for(t, 60000);
	(void)turn_client_send(t, &peer, PEER_PORT_BE, "data", 4);
	run_for(t, STEP_MS);
	CU_ASSERT_EQUAL(server.data, 1); // it is still there
	run_for(t, CHANNEL_S * 1000);
	data = server.data;
	for (int n = 0; n < 2 * LOSE_EVERY; n++)
		(void)turn_client_send(t, &peer, PEER_PORT_BE, "data", 4);
	run_for(t, STEP_MS);
	CU_ASSERT_EQUAL(server.data, data);
	CU_ASSERT_TRUE(server.indications >= LOSE_EVERY);
	(void)turn_client_send(t, &elsewhere, PEER_PORT_BE, "data", 4);
	run_for(t, STEP_MS);
	CU_ASSERT_EQUAL(server.bad, 0);
	end(t);
}

// A peer that moves all day: each of its addresses is let through, by a channel as long as there are some.
static void a_peer_that_moves_all_day_is_let_through(void)
{
	unsigned int moves = 0, before;
	struct st_addr moved;
	struct turn_client *t;

	begin();
	t = take_over();
	for (; moves < 200; moves++) { // one a minute: old channels are free again in time
		g_autofree char *text = g_strdup_printf("203.0.113.%u", moves + 1);

		addr_parse(&moved, text);
		before = server.other_binds;
		turn_client_peer(t, &moved, PEER_PORT_BE);
		run_for(t, 60000);
		CU_ASSERT_TRUE(server.other_binds > before);
	}
	CU_ASSERT_EQUAL(server.permissions, 0);
	for (moves = 0; moves < 60; moves++) { // each two seconds: there are not so many
		g_autofree char *text = g_strdup_printf("198.18.0.%u", moves + 1);

		addr_parse(&moved, text);
		before = server.other_binds + server.permissions;
		turn_client_peer(t, &moved, PEER_PORT_BE);
		run_for(t, 2000);
		CU_ASSERT_TRUE(server.other_binds + server.permissions > before);
	}
	CU_ASSERT_TRUE(server.permissions > 20);
	CU_ASSERT_EQUAL(losts, 0);
	end(t);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_relayed_session_lasts_twelve_hours),
		TEST(a_server_that_does_not_answer_is_noticed),
		TEST(a_channel_that_ran_out_is_not_sent_on),
		TEST(a_peer_that_moves_all_day_is_let_through),
		CU_TEST_INFO_NULL,
	};

	return run_tests("turn hours", tests);
}
