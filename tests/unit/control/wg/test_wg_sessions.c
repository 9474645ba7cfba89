// SPDX-License-Identifier: BSD-3-Clause
//
// Sessions, endpoints and the port map between straitd and the data plane.
#include "../../../../control/addr.h"
#include "../../../../control/dp/ids.h"
#include "wg_pair.h"

#include <sodium.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>

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

// The loopback device is a port of ours called lo here.
static void a_link_local_peer_is_on_an_interface(void)
{
	struct st_ev_endpoint ev = {0};
	const struct dp_double_object *o;
	struct st_endpoint body;
	uint32_t lo;

	up("127.0.0.1");
	CU_ASSERT_EQUAL(ids_take("lo", 77), 0);
	lo = 77;
	netlink_double_path(0, lo);
	ev.peer_id = a.peer->id;
	ev.if_id = lo;
	addr_parse(&ev.remote, "fe80::9");
	addr_parse(&ev.local, "fe80::1");
	ev.remote_port_be = htons(4444);
	wg_dp_event(a.wg, ST_EV_ENDPOINT_SEEN, &ev, sizeof(ev), NULL, 0);
	CU_ASSERT_STRING_EQUAL(a.peer->endpoint.scope, "lo");
	CU_ASSERT_EQUAL(netlink_double_asked_ifindex, if_nametoindex("lo"));
	o = dp_double_find(a.dp, ST_ENDPOINT, a.peer->id);
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	memcpy(&body, o->body, sizeof(body));
	CU_ASSERT_EQUAL(body.if_id, lo);
	// Back to an address that is the same everywhere.
	addr_parse(&ev.remote, "2001:db8::9");
	wg_dp_event(a.wg, ST_EV_ENDPOINT_SEEN, &ev, sizeof(ev), NULL, 0);
	CU_ASSERT_STRING_EQUAL(a.peer->endpoint.scope, "");
	CU_ASSERT_EQUAL(netlink_double_asked_ifindex, 0);
	// As configured. Without an interface, or with one that does not exist, there is no way.
	peer_configure_endpoint(a.peer, "fe80::9%lo", 51820);
	CU_ASSERT_STRING_EQUAL(a.peer->endpoint.scope, "lo");
	CU_ASSERT_EQUAL(a.peer->endpoint.error, 0);
	peer_configure_endpoint(a.peer, "fe80::9%nosuch", 51820);
	CU_ASSERT_EQUAL(a.peer->endpoint.error, -ENODEV);
	CU_ASSERT_PTR_NULL(dp_double_find(a.dp, ST_ENDPOINT, a.peer->id));
	peer_configure_endpoint(a.peer, "fe80::9", 51820);
	CU_ASSERT_EQUAL(a.peer->endpoint.error, -EINVAL);
	ids_put("lo");
	down();
}

// Of one address, for the listen port alone.
static void check_portmap(const struct st_addr_key *addr)
{
	uint32_t first_word;
	struct st_portmap body;
	const struct dp_double_object *o;

	memcpy(&first_word, &addr->addr, sizeof(first_word));
	o = dp_double_find(a.dp, ST_PORTMAP, first_word);
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	memcpy(&body, o->body, sizeof(body));
	CU_ASSERT_FALSE(memcmp(&body.key.addr, &addr->addr, sizeof(addr->addr)));
	CU_ASSERT_EQUAL(body.key.if_id, addr->if_id);
	CU_ASSERT_EQUAL(ntohs(body.key.port_lo_be), a.iface->port);
	CU_ASSERT_EQUAL(ntohs(body.key.port_hi_be), a.iface->port);
	CU_ASSERT_EQUAL(body.owner, ST_OWNER_WIREGUARD);
}

static void the_port_map_follows_addresses_and_port(void)
{
	struct st_addr_key addrs[4] = {0};

	up("127.0.0.1");
	addr_parse(&addrs[0].addr, "127.0.0.1");
	addr_parse(&addrs[1].addr, "192.0.2.1");
	addr_parse(&addrs[2].addr, "2001:db8::1");
	addr_parse(&addrs[3].addr, "fe80::1");
	addrs[3].if_id = 9;
	wg_addrs_changed(a.wg, addrs, 4);
	CU_ASSERT_EQUAL(dp_double_count(a.dp, ST_PORTMAP), 3);
	check_portmap(&addrs[1]);
	check_portmap(&addrs[3]);
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
	struct st_addr_key addr = {0};

	up("127.0.0.1");
	CU_ASSERT_NOT_EQUAL(ids_get("lo"), 0); // a device of ours
	addr_parse(&addr.addr, "192.0.2.1");
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
	addr_parse(&addr.addr, "192.0.2.2");
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

static void a_session_that_is_installed_under_an_earlier_key_is_none(void)
{
	uint8_t key[NOISE_KEY_LEN];

	up("127.0.0.1");
	a.dp->hold = true;
	peer_initiate(a.peer, false);
	CU_ASSERT_TRUE_FATAL(WAIT(a.dp->held->len)); // the answer to KEY
	CU_ASSERT_EQUAL(a.dp->keys->len, 1);
	randombytes_buf(key, sizeof(key));
	wg_iface_set_key(a.iface, key);
	dp_double_release(a.dp);
	CU_ASSERT_FALSE(peer_has_session(a.peer, wg_now()));
	CU_ASSERT_EQUAL(a.wg->counters.sessions_initiated, 0);
	CU_ASSERT_EQUAL(a.dp->keys->len, 0);
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

int main(void)
{
	CU_TestInfo tests[] = {
		{"a new data plane gets handshakes for lost sessions only",
			a_new_data_plane_gets_handshakes_for_lost_sessions_only},
		{"events drive the session", events_drive_the_session},
		{"an authenticated packet from elsewhere moves the endpoint",
			an_authenticated_packet_from_elsewhere_moves_the_endpoint},
		{"a link-local peer is on an interface", a_link_local_peer_is_on_an_interface},
		{"the port map follows addresses and port", the_port_map_follows_addresses_and_port},
		{"data that comes before the port map waits for it",
			data_that_comes_before_the_port_map_waits_for_it},
		{"a prefix moves to the peer that got it last",
			a_prefix_moves_to_the_peer_that_got_it_last},
		{"activity starts and stops the timers", activity_starts_and_stops_the_timers},
		{"keys are deleted when the peer was silent too long",
			keys_are_deleted_when_the_peer_was_silent_too_long},
		{"a session that is installed under an earlier key is none",
			a_session_that_is_installed_under_an_earlier_key_is_none},
		{"handshakes given up take what waits for them along",
			handshakes_given_up_take_what_waits_for_them_along},
		{"ids of peers are given out and taken back without a search",
			ids_of_peers_are_given_out_and_taken_back_without_a_search},
		{"all 65536 ids can be given out", all_65536_ids_can_be_given_out},
		CU_TEST_INFO_NULL,
	};

	return pair_tests("wg_sessions", tests);
}
