// SPDX-License-Identifier: BSD-3-Clause
//
// Who may begin a session, and what both sides have then.
#include "../../../../control/addr.h"
#include "../../../../control/wg/stamps.h"
#include "wg_pair.h"

#include <sodium.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
		CU_TEST_INFO_NULL,
	};

	return pair_tests("wg_handshake", tests);
}
