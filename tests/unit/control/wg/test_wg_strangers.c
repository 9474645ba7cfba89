// SPDX-License-Identifier: BSD-3-Clause
//
// What strangers send, and what they get.
#include "../../../../control/addr.h"
#include "../../../../crypto/cookie.h"
#include "wg_pair.h"

#include <sodium.h>

#include <arpa/inet.h>
#include <string.h>

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

int main(void)
{
	CU_TestInfo tests[] = {
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
		CU_TEST_INFO_NULL,
	};

	return pair_tests("wg_strangers", tests);
}
