// SPDX-License-Identifier: BSD-3-Clause
//
// Two WireGuard devices of straitd against each other over loopback: real sockets, real workers, real
// handshakes. Only the data plane and the kernel's routes are doubles (dp_double.c).
#include "../../../../control/addr.h"
#include "../../../../control/config/config.h"
#include "../../../../control/dp/ids.h"
#include "../../../../control/wg/stamps.h"
#include "../../../../control/wg/wg_internal.h"
#include "../../../../crypto/cookie.h"
#include "../../../../crypto/keys.h"
#include "../../suite.h"
#include "../dp_double.h"

#include <cjson/cJSON.h>
#include <sodium.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct side {
	struct dp *dp;
	struct wg *wg;
	struct wg_iface *iface;
	struct peer *peer; // the other side
};

static struct side a, b;
static char *uapi_dir;

// ---- bench ---------------------------------------------------------------------------------------

static gboolean too_late(gpointer arg)
{
	*(bool *)arg = true;
	return G_SOURCE_REMOVE;
}

// Runs the main loop until the condition holds. False after two seconds.
#define WAIT(condition)                                                                            \
	({                                                                                         \
		bool late = false;                                                                 \
		guint timer = g_timeout_add(2000, too_late, &late);                                \
		while (!(condition) && !late)                                                      \
			g_main_context_iteration(NULL, TRUE);                                      \
		if (!late)                                                                         \
			g_source_remove(timer);                                                    \
		!late;                                                                             \
	})

// Lets everything happen that can happen now.
static void settle(void)
{
	bool done = false;

	g_timeout_add(60, too_late, &done);
	while (!done)
		g_main_context_iteration(NULL, TRUE);
}

static void side_up(struct side *s, const char *name)
{
	uint8_t key[NOISE_KEY_LEN];

	*s = (struct side){.dp = dp_double_new()};
	s->wg = wg_new(s->dp, NULL, "/nowhere");
	g_free(s->wg->uapi_dir);
	s->wg->uapi_dir = g_strdup(uapi_dir);
	wg_dp_connected(s->wg, false);
	wg_dp_recovered(s->wg);
	g_clear_pointer(&s->wg->recovered, wg_recovered_free);
	s->iface = wg_iface_new(s->wg, name, name[2] == 'a' ? 1 : 2);
	randombytes_buf(key, sizeof(key));
	wg_iface_set_key(s->iface, key);
	CU_ASSERT_EQUAL_FATAL(wg_iface_set_port(s->iface, 0), 0);
}

static void up(const char *host)
{
	netlink_double_path(0, 0);
	netlink_double_held = 0;
	side_up(&a, "wga");
	side_up(&b, "wgb");
	a.peer = peer_new(a.iface, b.iface->public_key, "b");
	b.peer = peer_new(b.iface, a.iface->public_key, "a");
	CU_ASSERT_PTR_NOT_NULL_FATAL(a.peer);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b.peer);
	peer_configure_endpoint(a.peer, host, b.iface->port);
}

static void side_down(struct side *s)
{
	wg_free(s->wg);
	dp_double_free(s->dp);
}

static void down(void)
{
	side_down(&a);
	side_down(&b);
}

// A stamp for the next initiation of a.
static void next_stamp(uint8_t out[TAI64N_LEN])
{
	stamps_next(a.wg->stamps, a.peer->stamp, wg_wall_us());
	memcpy(out, a.peer->stamp, TAI64N_LEN);
}

static const struct st_key *last_key(const struct side *s)
{
	return s->dp->keys->len ? &g_array_index(s->dp->keys, struct st_key, s->dp->keys->len - 1)
				: NULL;
}

static bool handshake(void)
{
	peer_initiate(a.peer, false);
	return WAIT(peer_has_session(a.peer, wg_now()));
}

static uint8_t blob_stamp(const struct side *s)
{
	const struct dp_double_object *o = dp_double_find(s->dp, ST_PEER, s->peer->id);

	return !memcmp(o->blob + 4, s->peer->greatest, TAI64N_LEN);
}

// ---- handshakes ----------------------------------------------------------------------------------

static void two_devices_get_the_same_keys(const char *host)
{
	const struct st_key *ka, *kb;

	up(host);
	CU_ASSERT_TRUE_FATAL(handshake());
	ka = last_key(&a);
	kb = last_key(&b);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ka);
	CU_ASSERT_PTR_NOT_NULL_FATAL(kb);
	CU_ASSERT_EQUAL(ka->role, ST_KEY_INITIATOR);
	CU_ASSERT_EQUAL(kb->role, ST_KEY_RESPONDER);
	CU_ASSERT_EQUAL(ka->key.index, kb->remote_index);
	CU_ASSERT_EQUAL(kb->key.index, ka->remote_index);
	CU_ASSERT_FALSE(memcmp(ka->send_key, kb->recv_key, 32));
	CU_ASSERT_FALSE(memcmp(ka->recv_key, kb->send_key, 32));
	CU_ASSERT_TRUE(memcmp(ka->recv_key, ka->send_key, 32));
	// The responder learnt where the initiator is, and the answer left from the address it hit.
	CU_ASSERT_TRUE(b.peer->endpoint.known);
	CU_ASSERT_EQUAL(ntohs(b.peer->endpoint.port_be), a.iface->port);
	CU_ASSERT_FALSE(addr_is_zero(&b.peer->endpoint.local));
	CU_ASSERT_TRUE(b.peer->endpoint.roamed);
	CU_ASSERT_FALSE(a.peer->endpoint.roamed);
	CU_ASSERT_EQUAL(b.peer->slots[ST_SLOT_NEXT].index, kb->key.index);
	CU_ASSERT_FALSE(peer_has_session(b.peer, wg_now()));
	peer_key_confirmed(b.peer, kb->key.index);
	CU_ASSERT_TRUE(peer_has_session(b.peer, wg_now()));
	down();
}

static void two_devices_get_the_same_keys_over_ipv4(void)
{
	two_devices_get_the_same_keys("127.0.0.1");
}

static void two_devices_get_the_same_keys_over_ipv6(void)
{
	two_devices_get_the_same_keys("::1");
}

static void the_response_waits_for_the_key_and_the_timestamp(void)
{
	up("127.0.0.1");
	b.dp->hold = true;
	peer_initiate(a.peer, false);
	CU_ASSERT_TRUE(WAIT(b.dp->keys->len == 1));
	settle();
	CU_ASSERT_EQUAL(b.wg->counters.responses_sent, 0);
	CU_ASSERT_EQUAL(a.dp->keys->len, 0);
	// The stamp is in the PEER's blob before the KEY.
	CU_ASSERT_TRUE(blob_stamp(&b));
	dp_double_release(b.dp);
	CU_ASSERT_EQUAL(b.wg->counters.responses_sent, 1);
	CU_ASSERT_TRUE(WAIT(peer_has_session(a.peer, wg_now())));
	down();
}

static void a_refused_key_means_no_response(void)
{
	up("127.0.0.1");
	b.dp->key_status = -ENOSPC;
	peer_initiate(a.peer, false);
	CU_ASSERT_TRUE(WAIT(b.wg->counters.install_failed == 1));
	settle();
	CU_ASSERT_EQUAL(b.wg->counters.responses_sent, 0);
	CU_ASSERT_FALSE(peer_has_session(a.peer, wg_now()));
	CU_ASSERT_EQUAL(b.peer->slots[ST_SLOT_NEXT].index, 0);
	CU_ASSERT_EQUAL(wg_index_count(b.wg->index), 0);
	down();
}

static void without_a_data_plane_nothing_is_answered_or_noted(void)
{
	static const uint8_t zero[TAI64N_LEN];

	up("127.0.0.1");
	b.dp->connected = false;
	peer_initiate(a.peer, false);
	CU_ASSERT_TRUE(WAIT(b.wg->counters.no_dataplane == 1));
	CU_ASSERT_EQUAL(b.wg->counters.responses_sent, 0);
	CU_ASSERT_FALSE(memcmp(b.peer->greatest, zero, sizeof(zero)));
	// And we do not start one ourselves.
	peer_configure_endpoint(b.peer, "127.0.0.1", a.iface->port);
	peer_initiate(b.peer, false);
	settle();
	CU_ASSERT_EQUAL(b.wg->counters.initiations_sent, 0);
	down();
}

static void a_preshared_key_must_be_the_same_on_both_sides(void)
{
	uint8_t psk[NOISE_KEY_LEN] = {1, 2, 3};

	up("127.0.0.1");
	CU_ASSERT_TRUE(peer_set_psk(a.peer, psk));
	CU_ASSERT_FALSE(peer_set_psk(a.peer, psk));
	peer_initiate(a.peer, false);
	CU_ASSERT_TRUE(WAIT(a.wg->counters.unauthenticated == 1));
	CU_ASSERT_EQUAL(a.dp->keys->len, 0);
	peer_set_psk(b.peer, psk);
	a.peer->timers.last_handshake = 0;
	b.peer->last_initiation = 0;
	usleep(30000); // a later TAI64N
	CU_ASSERT_TRUE(handshake());
	down();
}

static void a_changed_preshared_key_waits_for_the_next_handshake(void)
{
	uint8_t psk[NOISE_KEY_LEN] = {4, 5, 6};

	up("127.0.0.1");
	CU_ASSERT_TRUE(handshake());
	CU_ASSERT_TRUE(peer_set_psk(a.peer, psk));
	CU_ASSERT_TRUE(peer_has_session(a.peer, wg_now()));
	CU_ASSERT_EQUAL(a.dp->keys->len, 1);
	a.peer->timers.last_handshake = 0;
	b.peer->last_initiation = 0;
	usleep(30000); // a later TAI64N
	peer_initiate(a.peer, false);
	CU_ASSERT_TRUE(WAIT(a.wg->counters.unauthenticated == 1));
	CU_ASSERT_TRUE(peer_has_session(a.peer, wg_now()));
	CU_ASSERT_EQUAL(a.dp->keys->len, 1);
	down();
}

static bool source_known(void)
{
	return !addr_is_zero(&a.peer->endpoint.local);
}

static void the_sticky_source_goes_with_the_port_and_the_mark(void)
{
	uint16_t port;

	up("127.0.0.1");
	CU_ASSERT_FALSE(source_known());
	CU_ASSERT_TRUE(handshake());
	CU_ASSERT_TRUE(source_known()); // where the response came to
	port = a.iface->port;
	while (wg_iface_set_port(a.iface, ++port) == -EADDRINUSE)
		CU_ASSERT_NOT_EQUAL_FATAL(port, a.iface->port);
	CU_ASSERT_FALSE(source_known());
	a.peer->endpoint.local = a.peer->endpoint.remote;
	CU_ASSERT_EQUAL(wg_iface_set_fwmark(a.iface, 7), 0);
	CU_ASSERT_FALSE(source_known());
	CU_ASSERT_TRUE(peer_has_session(a.peer, wg_now()));
	down();
}

static void the_same_private_key_again_changes_nothing(void)
{
	uint8_t key[NOISE_KEY_LEN];

	up("127.0.0.1");
	CU_ASSERT_TRUE(handshake());
	memcpy(key, handshake_identity_get(a.iface->identity)->private_key, sizeof(key));
	wg_iface_set_key(a.iface, key);
	CU_ASSERT_TRUE(peer_has_session(a.peer, wg_now()));
	CU_ASSERT_EQUAL(a.dp->keys->len, 1);
	down();
}

static void both_sides_may_start_at_once(void)
{
	up("127.0.0.1");
	peer_configure_endpoint(b.peer, "127.0.0.1", a.iface->port);
	peer_initiate(a.peer, false);
	peer_initiate(b.peer, false);
	CU_ASSERT_TRUE(WAIT(peer_has_session(a.peer, wg_now())));
	CU_ASSERT_TRUE(WAIT(peer_has_session(b.peer, wg_now())));
	settle();
	// What a sends with, b can receive with, in whatever slot, and the other way round.
	for (int n = 0; n < 2; n++) {
		const struct peer *from = n ? b.peer : a.peer, *to = n ? a.peer : b.peer;
		uint32_t index = from->slots[ST_SLOT_CURRENT].remote_index;

		CU_ASSERT_TRUE(to->slots[ST_SLOT_CURRENT].index == index ||
			       to->slots[ST_SLOT_PREVIOUS].index == index ||
			       to->slots[ST_SLOT_NEXT].index == index);
	}
	down();
}

static void initiations_are_limited_per_peer(void)
{
	up("127.0.0.1");
	CU_ASSERT_TRUE(handshake());
	for (int n = 0; n < 10; n++)
		peer_initiate(a.peer, false);
	settle();
	CU_ASSERT_EQUAL(a.wg->counters.initiations_sent, 1);
	down();
}

static void the_stamp_is_remembered_before_the_initiation_leaves(void)
{
	const struct dp_double_object *o;
	uint8_t first[TAI64N_LEN];

	up("127.0.0.1");
	peer_initiate(a.peer, false);
	memcpy(first, a.peer->stamp, sizeof(first));
	CU_ASSERT_EQUAL(a.wg->counters.initiations_sent, 0);
	o = dp_double_find(a.dp, ST_PEER, a.peer->id);
	CU_ASSERT_FALSE(memcmp(o->blob + 32, first, sizeof(first)));
	CU_ASSERT_TRUE(WAIT(peer_has_session(a.peer, wg_now())));
	// A peer that is removed and comes back gets a greater one, whatever the clock says.
	peer_free(a.peer);
	a.peer = peer_new(a.iface, b.iface->public_key, "b");
	stamps_next(a.wg->stamps, a.peer->stamp, 1);
	CU_ASSERT_TRUE(memcmp(a.peer->stamp, first, sizeof(first)) > 0);
	down();
}

static void before_the_data_plane_has_told_what_it_holds_nothing_is_initiated(void)
{
	up("127.0.0.1");
	a.wg->recovery_done = false;
	peer_initiate(a.peer, false);
	settle();
	CU_ASSERT_EQUAL(a.wg->counters.initiations_sent, 0);
	CU_ASSERT_EQUAL(b.wg->counters.received, 0);
	a.wg->recovery_done = true;
	CU_ASSERT_TRUE(handshake());
	down();
}

static void a_low_order_or_own_key_never_starts_a_handshake(void)
{
	static const uint8_t one[NOISE_KEY_LEN] = {1};
	struct peer *p;

	up("127.0.0.1");
	p = peer_new(a.iface, one, "low");
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	peer_configure_endpoint(p, "127.0.0.1", b.iface->port);
	peer_initiate(p, false);
	settle();
	CU_ASSERT_EQUAL(a.wg->counters.initiations_sent, 0);
	CU_ASSERT_EQUAL(b.wg->counters.received, 0);
	CU_ASSERT_STRING_EQUAL(p->last_error, "public key of the peer is not usable");
	down();
}

static void a_changed_private_key_ends_sessions_and_our_own_peer(void)
{
	uint8_t key[NOISE_KEY_LEN];
	struct noise_identity id;

	up("127.0.0.1");
	CU_ASSERT_TRUE(handshake());
	randombytes_buf(key, sizeof(key));
	noise_identity_init(&id, key);
	CU_ASSERT_PTR_NOT_NULL(peer_new(a.iface, id.public_key, "me"));
	wg_iface_set_key(a.iface, id.private_key);
	CU_ASSERT_PTR_NULL(wg_iface_peer(a.iface, id.public_key));
	CU_ASSERT_FALSE(peer_has_session(a.peer, wg_now()));
	CU_ASSERT_EQUAL(a.dp->keys->len, 0);
	CU_ASSERT_EQUAL(wg_index_count(a.wg->index), 0);
	// The same key again changes nothing.
	randombytes_buf(key, sizeof(key));
	wg_iface_set_key(b.iface, key);
	CU_ASSERT_TRUE(peer_has_session(b.peer, wg_now()) == false);
	noise_identity_fini(&id);
	down();
}

static void handshakes_count_in_the_transfer(void)
{
	up("127.0.0.1");
	CU_ASSERT_TRUE(handshake());
	CU_ASSERT_EQUAL(a.peer->handshake_tx_bytes, sizeof(struct message_initiation));
	CU_ASSERT_EQUAL(a.peer->handshake_rx_bytes, sizeof(struct message_response));
	CU_ASSERT_EQUAL(b.peer->handshake_rx_bytes, sizeof(struct message_initiation));
	CU_ASSERT_EQUAL(b.peer->handshake_tx_bytes, sizeof(struct message_response));
	down();
}

static void a_suspend_ends_the_sessions(void)
{
	up("127.0.0.1");
	CU_ASSERT_TRUE(handshake());
	wg_note_asleep(a.wg, a.wg->asleep_ms + 10); // clocks read one after the other
	CU_ASSERT_TRUE(peer_has_session(a.peer, wg_now()));
	wg_note_asleep(a.wg, a.wg->asleep_ms + 60000);
	CU_ASSERT_FALSE(peer_has_session(a.peer, wg_now()));
	CU_ASSERT_EQUAL(a.dp->keys->len, 0);
	CU_ASSERT_EQUAL(wg_index_count(a.wg->index), 0);
	usleep(30000);
	CU_ASSERT_TRUE(handshake()); // at once, not after REKEY_TIMEOUT
	down();
}

// A socket in the place of the peer that says with which traffic class a datagram came.
static int class_socket(int family, uint16_t *ret_port)
{
	struct sockaddr_storage ss = {.ss_family = (sa_family_t)family};
	socklen_t len = sizeof(ss);
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0), one = 1;

	if (family == AF_INET)
		setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &one, sizeof(one));
	else
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, &one, sizeof(one));
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&ss, len), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	*ret_port = ntohs(((struct sockaddr_in *)&ss)->sin_port); // at the same place in both
	return fd;
}

// -1: nothing came, or it does not say.
static int class_received(int fd)
{
	_Alignas(struct cmsghdr) char control[64];
	char data[256];
	struct iovec iov = {data, sizeof(data)};
	struct msghdr h = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *c;

	if (recvmsg(fd, &h, 0) != sizeof(struct message_initiation))
		return -1;
	c = CMSG_FIRSTHDR(&h);
	return c ? *(uint8_t *)CMSG_DATA(c) : -1;
}

static void handshake_messages_are_af41(void)
{
	static const struct {
		int family;
		const char *host;
	} table[] = {{AF_INET, "127.0.0.1"}, {AF_INET6, "::1"}};

	for (int n = 0; n < 2; n++) {
		uint16_t port;
		int fd = class_socket(table[n].family, &port);

		up(table[n].host);
		peer_configure_endpoint(a.peer, table[n].host, port);
		peer_initiate(a.peer, false);
		CU_ASSERT_TRUE(WAIT(a.wg->counters.initiations_sent == 1));
		CU_ASSERT_EQUAL(class_received(fd), HANDSHAKE_DSCP);
		close(fd);
		down();
	}
}

// ---- what strangers send ---------------------------------------------------------------------------

static void replayed_initiations_are_silent(void)
{
	struct message_initiation msg;
	struct noise_handshake hs;
	uint8_t stamp[TAI64N_LEN];
	struct wg_datagram d = {.len = sizeof(msg), .data = (const uint8_t *)&msg};

	up("127.0.0.1");
	addr_parse(&d.remote, "127.0.0.1");
	addr_parse(&d.local, "127.0.0.1");
	d.remote_port_be = htons(a.iface->port);
	next_stamp(stamp);
	CU_ASSERT_TRUE_FATAL(noise_create_initiation(&hs, &msg,
		handshake_identity_get(a.iface->identity), &a.peer->noise, 77, stamp, NULL));
	cookie_add_macs(&a.peer->cookie, &msg, sizeof(msg), wg_now());
	wg_receive(&d, b.iface);
	CU_ASSERT_TRUE(WAIT(b.wg->counters.responses_sent == 1));
	wg_receive(&d, b.iface);
	CU_ASSERT_TRUE(WAIT(b.wg->counters.replayed == 1));
	settle();
	CU_ASSERT_EQUAL(b.wg->counters.responses_sent, 1);
	// A newer stamp at once is flooding, and is not noted.
	b.peer->last_initiation = wg_now();
	next_stamp(stamp);
	noise_create_initiation(&hs, &msg, handshake_identity_get(a.iface->identity),
		&a.peer->noise, 78, stamp, NULL);
	cookie_add_macs(&a.peer->cookie, &msg, sizeof(msg), wg_now());
	b.wg->params.flood_interval = 10000;
	wg_receive(&d, b.iface);
	CU_ASSERT_TRUE(WAIT(b.wg->counters.flooding == 1));
	CU_ASSERT_TRUE(memcmp(stamp, b.peer->greatest, sizeof(stamp)) > 0);
	down();
}

static void every_mutated_byte_of_an_initiation_is_met_with_silence(void)
{
	struct message_initiation good, msg;
	struct noise_handshake hs;
	uint8_t stamp[TAI64N_LEN];
	struct wg_datagram d = {.len = sizeof(msg), .data = (const uint8_t *)&msg};
	const struct wg_counters *c;

	up("127.0.0.1");
	c = &b.wg->counters;
	addr_parse(&d.remote, "127.0.0.1");
	addr_parse(&d.local, "127.0.0.1");
	d.remote_port_be = htons(a.iface->port);
	next_stamp(stamp);
	noise_create_initiation(&hs, &good, handshake_identity_get(a.iface->identity),
		&a.peer->noise, 77, stamp, NULL);
	// Up to mac1; with a fresh mac1 the Noise layer has to find the fault.
	for (size_t n = 8; n < offsetof(struct message_initiation, macs); n++) {
		msg = good;
		((uint8_t *)&msg)[n] ^= 0x40;
		cookie_add_macs(&a.peer->cookie, &msg, sizeof(msg), wg_now());
		wg_receive(&d, b.iface);
	}
	CU_ASSERT_TRUE(WAIT(c->unauthenticated == offsetof(struct message_initiation, macs) - 8));
	msg = good;
	wg_receive(&d, b.iface);
	CU_ASSERT_EQUAL(c->invalid_mac, 1);
	d.len--;
	wg_receive(&d, b.iface);
	CU_ASSERT_EQUAL(c->malformed, 1);
	settle();
	CU_ASSERT_EQUAL(c->responses_sent + c->cookies_sent, 0);
	CU_ASSERT_FALSE(b.peer->endpoint.known);
	down();
}

static void random_initiation(struct wg_datagram *d, struct message_initiation *msg)
{
	struct cookie cookie;

	randombytes_buf(msg, sizeof(*msg));
	memcpy(msg->type, "\1\0\0\0", 4);
	cookie_init(&cookie, b.iface->public_key);
	cookie_add_macs(&cookie, msg, sizeof(*msg), wg_now());
	*d = (struct wg_datagram){.len = sizeof(*msg), .data = (const uint8_t *)msg};
	addr_parse(&d->remote, "127.0.0.1");
	addr_parse(&d->local, "127.0.0.1");
	d->remote_port_be = htons((uint16_t)(1 + randombytes_uniform(65535)));
}

static void a_flood_is_bounded_and_answered_by_cookies_alone(void)
{
	struct message_initiation msg;
	const struct wg_counters *c;
	struct wg_datagram d;

	up("127.0.0.1");
	c = &b.wg->counters;
	for (int n = 0; n < 8000; n++) {
		random_initiation(&d, &msg);
		wg_receive(&d, b.iface);
		CU_ASSERT_TRUE(handshake_pool_queued(b.wg->pool) <= MAX_QUEUED_HANDSHAKES);
	}
	CU_ASSERT_TRUE(c->cookies_sent > 1000);
	CU_ASSERT_EQUAL(c->responses_sent, 0);
	CU_ASSERT_TRUE(handshake_pool_queued(b.wg->pool) <= UNDER_LOAD_QUEUED + 1);
	CU_ASSERT_EQUAL(wg_index_count(b.wg->index), 0);
	// The real peer is asked for a cookie first and gets in with it.
	peer_initiate(a.peer, false);
	CU_ASSERT_TRUE(WAIT(a.wg->counters.cookies_received == 1));
	a.peer->timers.last_handshake = 0;
	b.wg->under_load_until = wg_now() + 5000;
	usleep(30000);
	peer_initiate(a.peer, true);
	CU_ASSERT_TRUE(WAIT(peer_has_session(a.peer, wg_now())));
	down();
}

static void a_response_under_load_is_answered_by_a_cookie_too(void)
{
	up("127.0.0.1");
	a.wg->under_load_until = wg_now() + 10000;
	peer_initiate(a.peer, false);
	CU_ASSERT_TRUE(WAIT(b.wg->counters.cookies_received == 1));
	CU_ASSERT_EQUAL(a.wg->counters.cookies_sent, 1);
	CU_ASSERT_FALSE(peer_has_session(a.peer, wg_now()));
	// The next response carries the cookie.
	a.peer->timers.last_handshake = 0;
	usleep(30000);
	peer_initiate(a.peer, true);
	CU_ASSERT_TRUE(WAIT(peer_has_session(a.peer, wg_now())));
	CU_ASSERT_EQUAL(a.wg->counters.cookies_sent, 1);
	down();
}

static void a_cookie_nobody_waits_for_is_refused(void)
{
	struct message_cookie msg = {.type = {MESSAGE_COOKIE}};
	struct wg_datagram d = {.len = sizeof(msg), .data = (const uint8_t *)&msg};
	uint32_t index;

	up("127.0.0.1");
	CU_ASSERT_TRUE(handshake());
	index = a.peer->slots[ST_SLOT_CURRENT].index;
	memcpy(msg.receiver, &index, sizeof(index));
	wg_receive(&d, a.iface); // of the right index, but sealed by nobody
	index++;
	memcpy(msg.receiver, &index, sizeof(index));
	wg_receive(&d, a.iface);
	CU_ASSERT_EQUAL(a.wg->counters.cookies_refused, 2);
	CU_ASSERT_EQUAL(a.wg->counters.cookies_received, 0);
	CU_ASSERT_FALSE(a.peer->cookie.has_cookie);
	down();
}

static void an_index_is_never_stuns_cookie(void)
{
	static const uint8_t magic[4] = {0x21, 0x12, 0xa4, 0x42}; // RFC 8489 section 5
	uint32_t index;
	int owner;

	up("127.0.0.1");
	memcpy(&index, magic, sizeof(index));
	CU_ASSERT_FALSE(wg_index_take(a.wg->index, index, &owner));
	CU_ASSERT_FALSE(wg_index_take(a.wg->index, 0, &owner));
	CU_ASSERT_TRUE(wg_index_take(a.wg->index, 7, &owner));
	CU_ASSERT_FALSE(wg_index_take(a.wg->index, 7, &owner));
	wg_index_put(a.wg->index, 7);
	down();
}

static void a_proven_source_is_limited_under_load(void)
{
	struct message_initiation msg;
	struct wg_datagram d;

	up("127.0.0.1");
	b.wg->under_load_until = wg_now() + 10000;
	peer_initiate(a.peer, false);
	CU_ASSERT_TRUE(WAIT(a.wg->counters.cookies_received == 1));
	random_initiation(&d, &msg);
	d.remote_port_be = htons(a.iface->port);
	cookie_add_macs(&a.peer->cookie, &msg, sizeof(msg), wg_now());
	for (int n = 0; n < 20; n++)
		wg_receive(&d, b.iface);
	CU_ASSERT_TRUE(b.wg->counters.rate_limited >= 13);
	CU_ASSERT_TRUE(b.wg->counters.rate_limited <= 15);
	down();
}

// ---- the data plane --------------------------------------------------------------------------------

static void a_new_data_plane_gets_handshakes_for_lost_sessions_only(void)
{
	uint8_t other[NOISE_KEY_LEN];
	struct peer *idle;

	up("127.0.0.1");
	randombytes_buf(other, sizeof(other));
	idle = peer_new(a.iface, other, "idle");
	peer_configure_endpoint(idle, "127.0.0.1", b.iface->port);
	CU_ASSERT_TRUE(handshake());
	a.dp->parked = 0;
	usleep(30000);
	wg_dp_connected(a.wg, true);
	CU_ASSERT_FALSE(peer_has_session(a.peer, wg_now()));
	CU_ASSERT_EQUAL(a.dp->parked, 2);
	settle();
	CU_ASSERT_EQUAL(a.wg->counters.initiations_sent, 1);
	wg_dp_synced(a.wg);
	CU_ASSERT_TRUE(WAIT(peer_has_session(a.peer, wg_now())));
	CU_ASSERT_EQUAL(a.wg->counters.initiations_sent, 2);
	CU_ASSERT_EQUAL(idle->timers.last_handshake, 0);
	down();
}

static void events_drive_the_session(void)
{
	struct st_ev_peer needed = {0};
	struct st_ev_key due = {0};
	struct st_ev_expired expired = {.kind = ST_KEY};
	uint32_t index;

	up("127.0.0.1");
	needed.peer_id = due.peer_id = a.peer->id;
	wg_dp_event(a.wg, ST_EV_KEY_NEEDED, &needed, sizeof(needed), NULL, 0);
	CU_ASSERT_TRUE(WAIT(peer_has_session(a.peer, wg_now())));
	index = a.peer->slots[ST_SLOT_CURRENT].index;
	a.peer->timers.last_handshake = 0;
	usleep(30000);
	due.index = index + 1;
	wg_dp_event(a.wg, ST_EV_REKEY_DUE, &due, sizeof(due), NULL, 0);
	settle();
	CU_ASSERT_EQUAL(a.wg->counters.initiations_sent, 1);
	due.index = index;
	wg_dp_event(a.wg, ST_EV_REKEY_DUE, &due, sizeof(due), NULL, 0);
	CU_ASSERT_TRUE(WAIT(a.peer->slots[ST_SLOT_CURRENT].index != index));
	CU_ASSERT_EQUAL(a.peer->slots[ST_SLOT_PREVIOUS].index, index);
	memcpy(expired.key, &index, sizeof(index));
	wg_dp_event(a.wg, ST_EV_EXPIRED, &expired, sizeof(expired), NULL, 0);
	CU_ASSERT_EQUAL(a.peer->slots[ST_SLOT_PREVIOUS].index, 0);
	CU_ASSERT_PTR_NULL(wg_index_find(a.wg->index, index));
	// A body of another length, or a peer that is not there, is no event.
	wg_dp_event(a.wg, ST_EV_KEY_NEEDED, &needed, 2, NULL, 0);
	needed.peer_id = UINT32_MAX;
	wg_dp_event(a.wg, ST_EV_KEY_NEEDED, &needed, sizeof(needed), NULL, 0);
	down();
}

static void an_authenticated_packet_from_elsewhere_moves_the_endpoint(void)
{
	struct st_ev_endpoint ev = {0};
	const struct dp_double_object *o;
	struct st_endpoint body;

	up("127.0.0.1");
	netlink_double_path(0, 9);
	ev.peer_id = a.peer->id;
	addr_parse(&ev.remote, "192.0.2.9");
	addr_parse(&ev.local, "192.0.2.1");
	ev.remote_port_be = htons(4444);
	wg_dp_event(a.wg, ST_EV_ENDPOINT_SEEN, &ev, sizeof(ev), NULL, 0);
	o = dp_double_find(a.dp, ST_ENDPOINT, a.peer->id);
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	memcpy(&body, o->body, sizeof(body));
	CU_ASSERT_EQUAL(body.kind, ST_ENDPOINT_DIRECT);
	CU_ASSERT_EQUAL(body.if_id, 9);
	CU_ASSERT_FALSE(memcmp(&body.local, &ev.local, sizeof(ev.local)));
	CU_ASSERT_FALSE(memcmp(&body.remote, &ev.remote, sizeof(ev.remote)));
	CU_ASSERT_EQUAL(netlink_double_held, 1);
	// The route is gone: so is the object, and the neighbour is let go.
	netlink_double_path(-ENETUNREACH, 0);
	wg_routes_changed(a.wg);
	settle();
	CU_ASSERT_PTR_NULL(dp_double_find(a.dp, ST_ENDPOINT, a.peer->id));
	CU_ASSERT_EQUAL(netlink_double_held, 0);
	// A way that leads into the tunnel itself is none.
	netlink_double_path(0, a.iface->if_id);
	wg_routes_changed(a.wg);
	settle();
	CU_ASSERT_PTR_NULL(dp_double_find(a.dp, ST_ENDPOINT, a.peer->id));
	CU_ASSERT_EQUAL(a.peer->endpoint.error, -ELOOP);
	down();
}

// Of one address, on every interface, for the listen port alone.
static void check_portmap(const struct st_addr *addr)
{
	uint32_t first_word;
	struct st_portmap body;
	const struct dp_double_object *o;

	memcpy(&first_word, addr, sizeof(first_word));
	o = dp_double_find(a.dp, ST_PORTMAP, first_word);
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	memcpy(&body, o->body, sizeof(body));
	CU_ASSERT_FALSE(memcmp(&body.key.addr, addr, sizeof(*addr)));
	CU_ASSERT_EQUAL(body.key.if_id, 0);
	CU_ASSERT_EQUAL(ntohs(body.key.port_lo_be), a.iface->port);
	CU_ASSERT_EQUAL(ntohs(body.key.port_hi_be), a.iface->port);
	CU_ASSERT_EQUAL(body.owner, ST_OWNER_WIREGUARD);
}

static void the_port_map_follows_addresses_and_port(void)
{
	struct st_addr addrs[3];

	up("127.0.0.1");
	addr_parse(&addrs[0], "127.0.0.1");
	addr_parse(&addrs[1], "192.0.2.1");
	addr_parse(&addrs[2], "2001:db8::1");
	wg_addrs_changed(a.wg, addrs, 3);
	CU_ASSERT_EQUAL(dp_double_count(a.dp, ST_PORTMAP), 2);
	check_portmap(&addrs[1]);
	CU_ASSERT_EQUAL(wg_iface_set_port(a.iface, 0), 0);
	wg_addrs_changed(a.wg, addrs, 2);
	CU_ASSERT_EQUAL(dp_double_count(a.dp, ST_PORTMAP), 1);
	wg_addrs_changed(a.wg, NULL, 0);
	CU_ASSERT_EQUAL(dp_double_count(a.dp, ST_PORTMAP), 0);
	down();
}

static void data_that_comes_before_the_port_map_waits_for_it(void)
{
	uint8_t packet[32] = {MESSAGE_DATA};
	struct wg_datagram d = {.len = sizeof(packet), .data = packet, .ifindex = 1}; // lo
	struct st_addr addr;

	up("127.0.0.1");
	CU_ASSERT_NOT_EQUAL(ids_get("lo"), 0); // a device of ours
	addr_parse(&addr, "192.0.2.1");
	addr_parse(&d.local, "192.0.2.1");
	addr_parse(&d.remote, "192.0.2.9");
	a.dp->hold = true;
	wg_addrs_changed(a.wg, &addr, 1);
	for (int n = 0; n < 2000; n++)
		wg_receive(&d, a.iface);
	CU_ASSERT_EQUAL(a.dp->packets_out, 0);
	dp_double_release(a.dp);
	CU_ASSERT_EQUAL(a.dp->packets_out, 1024);
	CU_ASSERT_EQUAL(a.wg->counters.data_dropped, 2000 - 1024);
	// What stood in the socket goes down as well; long after the lcores had a reason.
	wg_receive(&d, a.iface);
	CU_ASSERT_EQUAL(a.dp->packets_out, 1025);
	usleep(1050000);
	wg_receive(&d, a.iface);
	CU_ASSERT_EQUAL(a.dp->packets_out, 1025);
	CU_ASSERT_EQUAL(a.wg->counters.data_dropped, 2000 - 1024 + 1);
	// The same addresses again are no new map.
	a.dp->hold = true;
	wg_addrs_changed(a.wg, &addr, 1);
	CU_ASSERT_EQUAL(a.dp->held->len, 0);
	a.dp->hold = false;
	// From a device that is not ours it goes down at any time.
	ids_put("lo");
	wg_receive(&d, a.iface);
	CU_ASSERT_EQUAL(a.dp->packets_out, 1026);
	// Answers that come after the interface is gone.
	addr_parse(&addr, "192.0.2.2");
	a.dp->hold = true;
	wg_addrs_changed(a.wg, &addr, 1);
	wg_iface_free(a.iface);
	dp_double_release(a.dp);
	down();
}

static void a_prefix_moves_to_the_peer_that_got_it_last(void)
{
	struct st_prefix prefix;
	struct peer *second;
	uint8_t key[NOISE_KEY_LEN];
	const struct dp_double_object *o;
	struct st_allowed_ip body;

	up("127.0.0.1");
	randombytes_buf(key, sizeof(key));
	second = peer_new(a.iface, key, "second");
	prefix_parse(&prefix, NULL, "10.1.2.3/8");
	CU_ASSERT_EQUAL(peer_add_allowed(a.peer, &prefix), 0);
	CU_ASSERT_EQUAL(peer_add_allowed(second, &prefix), 0);
	CU_ASSERT_EQUAL(a.peer->allowed.length, 0);
	CU_ASSERT_EQUAL(second->allowed.length, 1);
	CU_ASSERT_EQUAL(dp_double_count(a.dp, ST_ALLOWED_IP), 1);
	o = dp_double_find(a.dp, ST_ALLOWED_IP, a.iface->if_id);
	memcpy(&body, o->body, sizeof(body));
	CU_ASSERT_EQUAL(body.peer_id, second->id);
	// What is not its own a peer cannot take away.
	peer_remove_allowed(a.peer, &prefix);
	CU_ASSERT_EQUAL(second->allowed.length, 1);
	peer_free(second);
	CU_ASSERT_EQUAL(dp_double_count(a.dp, ST_ALLOWED_IP), 0);
	CU_ASSERT_EQUAL(dp_double_count(a.dp, ST_PEER), 1);
	down();
}

static void activity_starts_and_stops_the_timers(void)
{
	struct st_ev_activity ev = {.count = 1};
	uint16_t len = offsetof(struct st_ev_activity, entries) + sizeof(struct st_activity);
	struct timers *t;
	uint64_t now;

	up("127.0.0.1");
	CU_ASSERT_TRUE(handshake());
	t = &a.peer->timers;
	ev.entries[0] = (struct st_activity){.peer_id = a.peer->id,
		.flags = ST_ACT_DATA_SENT,
		.data_sent_age_ms = 40,
		.any_sent_age_ms = 40};
	now = wg_now();
	wg_dp_event(a.wg, ST_EV_PEER_ACTIVITY, &ev, len, NULL, 0);
	CU_ASSERT_TRUE(t->due[TIMER_NEW_HANDSHAKE] >= now - 40 + 15000);
	CU_ASSERT_TRUE(t->due[TIMER_NEW_HANDSHAKE] <= now + 15340);
	ev.entries[0].flags = ST_ACT_DATA_RECEIVED | ST_ACT_ANY_RECEIVED;
	wg_dp_event(a.wg, ST_EV_PEER_ACTIVITY, &ev, len, NULL, 0);
	CU_ASSERT_EQUAL(t->due[TIMER_NEW_HANDSHAKE], TIMERS_NEVER);
	CU_ASSERT_NOT_EQUAL(t->due[TIMER_KEEPALIVE], TIMERS_NEVER);
	// Truncated: nothing happens.
	ev.count = 2;
	ev.entries[0].flags = ST_ACT_DATA_SENT;
	wg_dp_event(a.wg, ST_EV_PEER_ACTIVITY, &ev, len, NULL, 0);
	CU_ASSERT_NOT_EQUAL(t->due[TIMER_KEEPALIVE], TIMERS_NEVER);
	// Old enough, and we made the session: sending renews it.
	ev.count = 1;
	a.peer->slots[ST_SLOT_CURRENT].birth -= 120001;
	t->last_handshake = 0;
	usleep(30000);
	wg_dp_event(a.wg, ST_EV_PEER_ACTIVITY, &ev, len, NULL, 0);
	CU_ASSERT_TRUE(WAIT(a.wg->counters.sessions_initiated == 2));
	down();
}

static void keys_are_deleted_when_the_peer_was_silent_too_long(void)
{
	up("127.0.0.1");
	CU_ASSERT_TRUE(handshake());
	a.peer->timers.due[TIMER_ZERO_KEYS] = wg_now();
	peer_timers_changed(a.peer);
	CU_ASSERT_TRUE(WAIT(a.dp->keys_deleted == 1));
	CU_ASSERT_FALSE(peer_has_session(a.peer, wg_now()));
	CU_ASSERT_EQUAL(wg_index_count(a.wg->index), 0);
	down();
}

static void handshakes_given_up_take_what_waits_for_them_along(void)
{
	struct st_ev_peer ev;

	up("127.0.0.1");
	ev.peer_id = a.peer->id;
	a.peer->timers.attempts = MAX_TIMER_HANDSHAKES + 1;
	a.peer->timers.due[TIMER_RETRANSMIT] = wg_now();
	peer_timers_changed(a.peer);
	CU_ASSERT_TRUE(WAIT(a.dp->staged_drops == 1));
	CU_ASSERT_EQUAL(a.wg->counters.initiations_sent, 0);
	// The next packet begins anew.
	wg_dp_event(a.wg, ST_EV_KEY_NEEDED, &ev, sizeof(ev), NULL, 0);
	CU_ASSERT_TRUE(WAIT(peer_has_session(a.peer, wg_now())));
	CU_ASSERT_EQUAL(a.dp->staged_drops, 1);
	down();
}

static void ids_of_peers_are_given_out_and_taken_back_without_a_search(void)
{
	uint8_t key[NOISE_KEY_LEN] = {9};
	gint64 began;
	uint32_t first;

	up("127.0.0.1");
	first = a.peer->id;
	began = g_get_monotonic_time();
	// Four times as many as rest, and none rests forever.
	for (uint32_t n = 0; n < 4096; n++) {
		struct peer *p;

		memcpy(key + 4, &n, sizeof(n));
		p = peer_new(a.iface, key, "passing");
		CU_ASSERT_PTR_NOT_NULL_FATAL(p);
		CU_ASSERT_NOT_EQUAL_FATAL(p->id, first);
		CU_ASSERT_FATAL(p->id <= 1200);
		peer_free(p);
	}
	CU_ASSERT_TRUE(g_get_monotonic_time() - began < 120 * G_USEC_PER_SEC);
	CU_ASSERT_TRUE(a.wg->ids_end <= 1200);
	down();
}

static void all_65536_ids_can_be_given_out(void)
{
	up("127.0.0.1");
	// Nobody in them: only the numbers count.
	for (uint32_t n = 1; n < ST_MAX_PEERS; n++)
		CU_ASSERT_NOT_EQUAL_FATAL(peer_id_alloc(a.wg), ST_NO_PEER);
	CU_ASSERT_EQUAL(peer_id_alloc(a.wg), ST_NO_PEER);
	peer_id_free(a.wg, 777);
	CU_ASSERT_EQUAL(peer_id_alloc(a.wg), 777);
	CU_ASSERT_EQUAL(peer_id_alloc(a.wg), ST_NO_PEER);
	peer_id_free(a.wg, a.peer->id); // in use: it was taken by its number
	CU_ASSERT_EQUAL(peer_id_alloc(a.wg), ST_NO_PEER);
	down();
}

// ---- restart of straitd ----------------------------------------------------------------------------

static void give(struct wg *wg, uint16_t kind, const struct dp_double_object *o)
{
	struct dp_item item = {.kind = kind,
		.body = o->body,
		.body_len = o->body_len,
		.blob = o->blob,
		.blob_len = o->blob_len,
		.fd = -1};

	wg_dp_item(wg, &item);
}

static void give_socket(struct wg *wg, uint32_t id, const char *purpose, int fd)
{
	struct st_socket body = {.key.socket_id = id};
	struct dp_item item = {
		.kind = ST_SOCKET, .body = &body, .body_len = sizeof(body), .fd = dup(fd)};

	g_strlcpy(body.purpose, purpose, sizeof(body.purpose));
	wg_dp_item(wg, &item);
}

static void a_restart_takes_back_identity_session_endpoint_and_socket(void)
{
	struct side old;
	struct st_stat_keypair k = {0};
	struct dp_item stat = {.kind = ST_STAT_KEYPAIR, .body = &k, .body_len = sizeof(k), .fd = -1};
	char purpose[60];
	uint8_t private_key[NOISE_KEY_LEN], stamp[TAI64N_LEN], before[TAI64N_LEN];
	struct peer *p;
	uint32_t index;
	int fd;

	up("127.0.0.1");
	CU_ASSERT_TRUE(handshake());
	index = b.peer->slots[ST_SLOT_NEXT].index;
	peer_key_confirmed(b.peer, index);
	stamps_next(b.wg->stamps, b.peer->stamp, 3 * wg_wall_us()); // the clock was set back since
	memcpy(before, b.peer->stamp, sizeof(before));
	peer_install(b.peer, NULL, NULL);
	old = b;
	memcpy(private_key, handshake_identity_get(b.iface->identity)->private_key, 32);

	b.dp = dp_double_new();
	b.wg = wg_new(b.dp, NULL, "/nowhere");
	wg_dp_connected(b.wg, false);
	give(b.wg, ST_WGIF, dp_double_find(old.dp, ST_WGIF, old.iface->if_id));
	give(b.wg, ST_PEER, dp_double_find(old.dp, ST_PEER, old.peer->id));
	give(b.wg, ST_ENDPOINT, dp_double_find(old.dp, ST_ENDPOINT, old.peer->id));
	k = (struct st_stat_keypair){.index = index,
		.peer_id = old.peer->id,
		.slot = ST_SLOT_CURRENT,
		.role = ST_KEY_RESPONDER,
		.age_ms = 1000};
	wg_dp_item(b.wg, &stat);
	for (int f = 0; f < WG_FAMILIES; f++) {
		g_snprintf(purpose, sizeof(purpose), "wg wgb %s %u", wg_family_name(f),
			old.iface->port);
		give_socket(b.wg, old.iface->if_id * 2 + f, purpose, old.iface->sockets[f].fd);
	}
	// Not what it says, and nobody's.
	give_socket(b.wg, 99, "wg wgb v4 1", old.iface->sockets[0].fd);
	give_socket(b.wg, 98, "garbage", old.iface->sockets[0].fd);
	wg_dp_recovered(b.wg);
	b.iface = wg_iface_new(b.wg, "wgb", old.iface->if_id);
	wg_iface_set_key(b.iface, private_key);
	CU_ASSERT_EQUAL(wg_iface_set_port(b.iface, old.iface->port), 0);
	CU_ASSERT_TRUE(b.iface->sockets[WG_V4].parked);
	fd = b.iface->sockets[WG_V4].fd;
	CU_ASSERT_EQUAL(wg_socket_port(fd, WG_V4), old.iface->port);
	p = peer_new(b.iface, a.iface->public_key, "a");
	peer_configure_endpoint(p, NULL, 0);
	CU_ASSERT_EQUAL(p->id, old.peer->id);
	CU_ASSERT_FALSE(memcmp(p->greatest, old.peer->greatest, TAI64N_LEN));
	CU_ASSERT_EQUAL(p->handshake_us, old.peer->handshake_us);
	CU_ASSERT_TRUE(peer_has_session(p, wg_now()));
	CU_ASSERT_PTR_NOT_NULL(wg_index_find(b.wg->index, index));
	CU_ASSERT_TRUE(p->endpoint.known && p->endpoint.roamed);
	CU_ASSERT_EQUAL(p->endpoint.port_be, old.peer->endpoint.port_be);
	stamps_next(b.wg->stamps, p->stamp, wg_wall_us());
	memcpy(stamp, p->stamp, sizeof(stamp));
	CU_ASSERT_TRUE(memcmp(stamp, before, TAI64N_LEN) > 0);
	wg_recover_unpark(b.wg);
	CU_ASSERT_EQUAL(b.dp->unparked, 2);
	settle();
	CU_ASSERT_EQUAL(b.wg->counters.initiations_sent, 0);
	b.peer = p;
	side_down(&old);
	down();
}

// ---- configuration and status ------------------------------------------------------------------------

static struct config *document(const char *peers)
{
	char *error = NULL;
	g_autofree char *text = g_strdup_printf(
		"{\"wireguard\": [{\"name\": \"wgc\", \"private_key\": "
		"\"YAnSXJIUQTXTyUQ1VScjWvYgbwZjEGzLAfNSQPWuvlY=\", \"listen_port\": 58211, "
		"\"peers\": [%s]}]}",
		peers);
	struct config *c = config_parse("test", text, &error);

	if (!c)
		fprintf(stderr, "%s\n", error);
	g_free(error);
	return c;
}

#define PEER1                                                                                      \
	"{\"name\": \"one\", \"public_key\": "                                                     \
	"\"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\", "                                       \
	"\"endpoint\": \"127.0.0.1:9\", \"allowed_ips\": [\"10.0.0.0/8\", \"fd00::/8\"]}"
#define PEER2                                                                                      \
	"{\"name\": \"two\", \"public_key\": "                                                     \
	"\"TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=\", "                                       \
	"\"allowed_ips\": [\"10.9.0.0/16\"]}"

static struct config *applied; // the interfaces refer to it

static void apply(struct wg *wg, const char *peers)
{
	struct config *c = document(peers);
	char *error = NULL;

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(wg_apply(wg, c, &error), 0);
	CU_ASSERT_PTR_NULL(error);
	config_free(applied);
	applied = c;
}

static void a_reload_touches_only_what_differs(void)
{
	struct wg_iface *i;
	struct peer *one;
	struct cJSON *status, *peers;
	uint64_t serial;

	up("127.0.0.1");
	apply(a.wg, PEER1 "," PEER2);
	i = wg_iface_find(a.wg, "wgc");
	CU_ASSERT_PTR_NOT_NULL_FATAL(i);
	CU_ASSERT_EQUAL(a.wg->ifaces->len, 1); // wga is not in the document
	CU_ASSERT_EQUAL(dp_double_count(a.dp, ST_PEER), 2);
	CU_ASSERT_EQUAL(dp_double_count(a.dp, ST_ALLOWED_IP), 3);
	CU_ASSERT_EQUAL(dp_double_count(a.dp, ST_ENDPOINT), 1);
	CU_ASSERT_NOT_EQUAL(i->port, 0);
	one = i->peer_list.head->data;
	serial = one->serial;
	status = cJSON_CreateObject();
	wg_status(a.wg, status);
	peers = cJSON_GetObjectItem(status, "peers");
	CU_ASSERT_EQUAL(cJSON_GetArraySize(peers), 2);
	CU_ASSERT_STRING_EQUAL(cJSON_GetObjectItem(cJSON_GetArrayItem(peers, 1), "state")->valuestring,
		"no endpoint");
	cJSON_Delete(status);
	apply(a.wg, PEER1);
	CU_ASSERT_EQUAL(i->peer_list.length, 1);
	CU_ASSERT_EQUAL(((struct peer *)i->peer_list.head->data)->serial, serial);
	CU_ASSERT_EQUAL(dp_double_count(a.dp, ST_PEER), 1);
	CU_ASSERT_EQUAL(dp_double_count(a.dp, ST_ALLOWED_IP), 2);
	settle();
	down();
	g_clear_pointer(&applied, config_free);
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"two devices get the same keys over IPv4", two_devices_get_the_same_keys_over_ipv4},
		{"two devices get the same keys over IPv6", two_devices_get_the_same_keys_over_ipv6},
		{"the response waits for the key and the timestamp",
			the_response_waits_for_the_key_and_the_timestamp},
		{"a refused key means no response", a_refused_key_means_no_response},
		{"without a data plane nothing is answered or noted",
			without_a_data_plane_nothing_is_answered_or_noted},
		{"a preshared key must be the same on both sides",
			a_preshared_key_must_be_the_same_on_both_sides},
		{"a changed preshared key waits for the next handshake",
			a_changed_preshared_key_waits_for_the_next_handshake},
		{"the sticky source goes with the port and the mark",
			the_sticky_source_goes_with_the_port_and_the_mark},
		{"the same private key again changes nothing",
			the_same_private_key_again_changes_nothing},
		{"both sides may start at once", both_sides_may_start_at_once},
		{"initiations are limited per peer", initiations_are_limited_per_peer},
		{"the stamp is remembered before the initiation leaves",
			the_stamp_is_remembered_before_the_initiation_leaves},
		{"before the data plane has told what it holds nothing is initiated",
			before_the_data_plane_has_told_what_it_holds_nothing_is_initiated},
		{"a low-order key never starts a handshake",
			a_low_order_or_own_key_never_starts_a_handshake},
		{"a changed private key ends sessions and our own peer",
			a_changed_private_key_ends_sessions_and_our_own_peer},
		{"handshakes count in the transfer", handshakes_count_in_the_transfer},
		{"a suspend ends the sessions", a_suspend_ends_the_sessions},
		{"handshake messages are AF41", handshake_messages_are_af41},
		{"an index is never STUN's cookie", an_index_is_never_stuns_cookie},
		{"replayed initiations are silent", replayed_initiations_are_silent},
		{"every mutated byte of an initiation is met with silence",
			every_mutated_byte_of_an_initiation_is_met_with_silence},
		{"a flood is bounded and answered by cookies alone",
			a_flood_is_bounded_and_answered_by_cookies_alone},
		{"a response under load is answered by a cookie, too",
			a_response_under_load_is_answered_by_a_cookie_too},
		{"a cookie nobody waits for is refused", a_cookie_nobody_waits_for_is_refused},
		{"a proven source is limited under load", a_proven_source_is_limited_under_load},
		{"a new data plane gets handshakes for lost sessions only",
			a_new_data_plane_gets_handshakes_for_lost_sessions_only},
		{"events drive the session", events_drive_the_session},
		{"an authenticated packet from elsewhere moves the endpoint",
			an_authenticated_packet_from_elsewhere_moves_the_endpoint},
		{"the port map follows addresses and port", the_port_map_follows_addresses_and_port},
		{"data that comes before the port map waits for it",
			data_that_comes_before_the_port_map_waits_for_it},
		{"a prefix moves to the peer that got it last",
			a_prefix_moves_to_the_peer_that_got_it_last},
		{"activity starts and stops the timers", activity_starts_and_stops_the_timers},
		{"keys are deleted when the peer was silent too long",
			keys_are_deleted_when_the_peer_was_silent_too_long},
		{"handshakes given up take what waits for them along",
			handshakes_given_up_take_what_waits_for_them_along},
		{"ids of peers are given out and taken back without a search",
			ids_of_peers_are_given_out_and_taken_back_without_a_search},
		{"all 65536 ids can be given out", all_65536_ids_can_be_given_out},
		{"a restart takes back identity, session, endpoint and socket",
			a_restart_takes_back_identity_session_endpoint_and_socket},
		{"a reload touches only what differs", a_reload_touches_only_what_differs},
		CU_TEST_INFO_NULL,
	};
	int ret;

	uapi_dir = g_dir_make_tmp("strait-uapi-XXXXXX", NULL);
	if (!uapi_dir)
		return 99;
	ret = run_tests("wg", tests);
	rmdir(uapi_dir);
	g_free(uapi_dir);
	return ret;
}
