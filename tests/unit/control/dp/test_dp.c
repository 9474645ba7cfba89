// SPDX-License-Identifier: BSD-3-Clause
//
// control/dp/dp.c, dp_store.c, dp_link.c and dp_out.c against a data plane of the test's own. The oracle is
// always the same: after everything has settled it holds exactly what was wanted.
#include "../../../../control/dp/dp.h"
#include "../../suite.h"
#include "fake_dp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fake_dp *fake;
static struct dp *dp;
static unsigned int nb_connected, nb_new_instance, nb_items, nb_recovered, nb_synced, nb_gone;
static unsigned int nb_events, last_event, nb_done, nb_done_ok;
static int last_status, item_fd = -1;
static void (*in_recovered)(void), (*in_connected)(void);

static void on_connected(const struct st_hello *hello, bool new_instance, void *arg)
{
	nb_connected++;
	nb_new_instance += new_instance;
	if (in_connected)
		in_connected();
}

static void on_item(const struct dp_item *item, void *arg)
{
	CU_ASSERT_EQUAL(nb_recovered, 0);
	nb_items++;
	if (item->fd >= 0)
		item_fd = item->fd;
}

static void on_recovered(void *arg)
{
	nb_recovered++;
	// Nothing may be swept before the owner has said what it wants.
	CU_ASSERT_EQUAL(fake_dp_received(fake, ST_OP_SYNC_BEGIN, 0), 0);
	if (in_recovered)
		in_recovered();
}

static void on_synced(void *arg)
{
	nb_synced++;
}

static void on_disconnected(void *arg)
{
	nb_gone++;
}

static void on_event(uint16_t event, const void *body, uint16_t body_len, const void *blob,
	uint16_t blob_len, void *arg)
{
	nb_events++;
	last_event = event;
}

static const struct dp_ops ops = {
	on_connected, on_item, on_recovered, on_synced, on_disconnected, on_event};

static void on_done(int status, void *arg)
{
	nb_done++;
	nb_done_ok += !status;
	last_status = status;
}

static void begin(void)
{
	fake = fake_dp_new();
	dp = dp_new(fake->path, &ops, NULL);
	nb_connected = nb_new_instance = nb_items = nb_recovered = nb_synced = nb_gone = 0;
	nb_events = last_event = nb_done = nb_done_ok = 0;
	last_status = 1;
	item_fd = -1;
	in_recovered = in_connected = NULL;
}

static void end(void)
{
	dp_free(dp);
	fake_dp_free(fake);
	if (item_fd >= 0)
		close(item_fd);
}

static bool synced_times(void *arg)
{
	return nb_synced >= GPOINTER_TO_UINT(arg);
}

static bool done_times(void *arg)
{
	return nb_done >= GPOINTER_TO_UINT(arg);
}

static bool wait_synced(unsigned int n)
{
	return fake_dp_wait(synced_times, GUINT_TO_POINTER(n));
}

static bool wait_done(unsigned int n)
{
	return fake_dp_wait(done_times, GUINT_TO_POINTER(n));
}

static bool connects_times(void *arg)
{
	return fake->connects >= GPOINTER_TO_UINT(arg);
}

static struct st_route route(uint32_t n, uint16_t mtu)
{
	struct st_route r;

	memset(&r, 0, sizeof(r));
	r.key.table = 254;
	memcpy(r.key.dst.addr.b + 12, &n, 4);
	r.key.dst.plen = 128;
	r.mtu = mtu;
	return r;
}

static void set_route(uint32_t n, uint16_t mtu, dp_done done)
{
	struct st_route r = route(n, mtu);

	dp_set(dp, ST_ROUTE, &r, sizeof(r), NULL, 0, done, NULL);
}

static void del_route(uint32_t n)
{
	struct st_route r = route(n, 0);

	dp_del(dp, ST_ROUTE, &r.key, sizeof(r.key));
}

static bool holds_route(uint32_t n, uint16_t mtu)
{
	struct st_route r = route(n, mtu);
	const struct fake_object *o = fake_dp_find(fake, ST_ROUTE, &r.key, sizeof(r.key));

	return o && !memcmp(o->data, &r, sizeof(r));
}

static void set_one_of_each_backwards(void)
{
	static const struct {
		uint16_t kind, len;
	} kinds[] = {
		{ST_ENDPOINT, sizeof(struct st_endpoint)},
		{ST_ALLOWED_IP, sizeof(struct st_allowed_ip)},
		{ST_PEER, sizeof(struct st_peer)},
		{ST_PORTMAP, sizeof(struct st_portmap)},
		{ST_NEIGH, sizeof(struct st_neigh)},
		{ST_ROUTE, sizeof(struct st_route)},
		{ST_RULE, sizeof(struct st_rule)},
		{ST_ADDR, sizeof(struct st_ifaddr)},
		{ST_WGIF, sizeof(struct st_wgif)},
		{ST_PORT, sizeof(struct st_port)},
	};
	static const uint8_t zero[ST_MSG_MAX];

	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
		dp_set(dp, kinds[i].kind, zero, kinds[i].len, NULL, 0, NULL, NULL);
}

static void a_sync_installs_every_kind_behind_what_it_refers_to(void)
{
	static const uint16_t order[] = {ST_PORT, ST_WGIF, ST_ADDR, ST_RULE, ST_ROUTE, ST_NEIGH,
		ST_PORTMAP, ST_PEER, ST_ALLOWED_IP, ST_ENDPOINT};
	unsigned int k = 0;

	begin();
	set_one_of_each_backwards();
	dp_start(dp);
	CU_ASSERT(wait_synced(1));
	for (unsigned int i = 0; i < fake->log->len; i++) {
		struct st_msg *m = &g_array_index(fake->log, struct st_msg, i);

		if (m->op == ST_OP_SET && k < G_N_ELEMENTS(order))
			CU_ASSERT_EQUAL(m->kind, order[k++]);
	}
	CU_ASSERT_EQUAL(k, G_N_ELEMENTS(order));
	CU_ASSERT_EQUAL(fake_dp_received(fake, ST_OP_SYNC_BEGIN, 0), 1);
	CU_ASSERT_EQUAL(fake_dp_received(fake, ST_OP_SYNC_END, 0), 1);
	end();
}

static void want_route_seven(void)
{
	set_route(7, 1500, NULL);
}

static void the_first_connect_hands_out_what_was_there_before_it_sweeps(void)
{
	struct st_peer peer = {.key = {.peer_id = 3}};
	struct st_socket sock = {.key = {.socket_id = 1}};
	struct st_route old = route(9, 1400), kept = route(7, 1500);

	begin();
	fake_dp_put(fake, ST_PEER, sizeof(peer.key), &peer, sizeof(peer));
	fake_dp_put(fake, ST_SOCKET, sizeof(sock.key), &sock, sizeof(sock));
	fake_dp_put(fake, ST_ROUTE, sizeof(old.key), &old, sizeof(old));
	fake_dp_put(fake, ST_ROUTE, sizeof(kept.key), &kept, sizeof(kept));
	in_recovered = want_route_seven;
	dp_start(dp);
	CU_ASSERT(wait_synced(1));
	CU_ASSERT_EQUAL(nb_items, 2);
	CU_ASSERT_EQUAL(nb_recovered, 1);
	CU_ASSERT_EQUAL(nb_new_instance, 0);
	CU_ASSERT(holds_route(7, 1500));
	CU_ASSERT_EQUAL(fake_dp_count(fake, ST_ROUTE), 1);
	CU_ASSERT_EQUAL(fake_dp_count(fake, ST_PEER), 0);
	CU_ASSERT_EQUAL(fake_dp_count(fake, ST_SOCKET), 1); // never swept
	end();
}

static void an_unchanged_object_is_not_sent_again(void)
{
	begin();
	dp_start(dp);
	CU_ASSERT(wait_synced(1));
	set_route(1, 1500, on_done);
	CU_ASSERT(wait_done(1));
	fake_dp_forget(fake);
	set_route(1, 1500, on_done);
	CU_ASSERT_EQUAL(nb_done, 1); // not from inside the call
	CU_ASSERT(wait_done(2));
	CU_ASSERT_EQUAL(fake_dp_received(fake, ST_OP_SET, 0), 0);
	set_route(1, 1400, on_done);
	CU_ASSERT(wait_done(3));
	CU_ASSERT_EQUAL(fake_dp_received(fake, ST_OP_SET, ST_ROUTE), 1);
	CU_ASSERT_EQUAL(nb_done_ok, 3);
	CU_ASSERT(holds_route(1, 1400));
	end();
}

static void a_changed_blob_alone_is_a_change(void)
{
	struct st_peer p = {.key = {.peer_id = 1}};
	const struct fake_object *o;

	begin();
	dp_start(dp);
	CU_ASSERT(wait_synced(1));
	dp_set(dp, ST_PEER, &p, sizeof(p), "one", 3, on_done, NULL);
	dp_set(dp, ST_PEER, &p, sizeof(p), "two!", 4, on_done, NULL);
	CU_ASSERT(wait_done(2));
	o = fake_dp_find(fake, ST_PEER, &p.key, sizeof(p.key));
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	CU_ASSERT_EQUAL(o->blob_len, 4);
	CU_ASSERT(!memcmp(o->data + sizeof(p), "two!", 4));
	end();
}

static void a_refused_object_is_tried_again_when_it_is_wanted_again(void)
{
	begin();
	dp_start(dp);
	CU_ASSERT(wait_synced(1));
	fake->refuse = -ENOSPC;
	set_route(1, 1500, on_done);
	CU_ASSERT(wait_done(1));
	CU_ASSERT_EQUAL(last_status, -ENOSPC);
	fake->refuse = 0;
	set_route(1, 1500, on_done);
	CU_ASSERT(wait_done(2));
	CU_ASSERT_EQUAL(last_status, 0);
	CU_ASSERT(holds_route(1, 1500));
	end();
}

static void a_lost_connection_fails_what_waits_and_the_next_one_installs_it(void)
{
	begin();
	dp_start(dp);
	CU_ASSERT(wait_synced(1));
	fake->mute = true;
	set_route(1, 1500, on_done);
	fake_dp_settle();
	CU_ASSERT_EQUAL(nb_done, 0);
	fake->mute = false;
	fake_dp_restart(fake);
	CU_ASSERT(wait_done(1));
	CU_ASSERT_EQUAL(last_status, -ENOTCONN);
	CU_ASSERT(wait_synced(2));
	CU_ASSERT_EQUAL(nb_gone, 1);
	CU_ASSERT_EQUAL(nb_connected, 2);
	CU_ASSERT_EQUAL(nb_new_instance, 1);
	CU_ASSERT_EQUAL(nb_recovered, 1); // dumps are for the first connect only
	CU_ASSERT(holds_route(1, 1500));
	CU_ASSERT_EQUAL(nb_done, 1); // once
	end();
}

static void a_lost_connection_to_the_same_instance_is_no_restart(void)
{
	begin();
	dp_start(dp);
	CU_ASSERT(wait_synced(1));
	fake_dp_hang_up(fake);
	CU_ASSERT(wait_synced(2));
	CU_ASSERT_EQUAL(nb_new_instance, 0);
	end();
}

static void without_a_data_plane_calls_fail_later_and_wants_are_kept(void)
{
	struct st_key key = {.key = {.index = 5}};

	begin();
	set_route(1, 1500, on_done);
	dp_key_set(dp, &key, 1000, on_done, NULL);
	dp_dump(dp, ST_PEER, NULL, on_done, NULL);
	CU_ASSERT_EQUAL(nb_done, 0);
	CU_ASSERT(wait_done(3));
	CU_ASSERT_EQUAL(nb_done_ok, 0);
	CU_ASSERT_EQUAL(last_status, -ENOTCONN);
	dp_start(dp);
	CU_ASSERT(wait_synced(1));
	CU_ASSERT(holds_route(1, 1500));
	CU_ASSERT_EQUAL(fake_dp_count(fake, ST_KEY), 0); // keys are not remembered
	end();
}

static void replace_deletes_what_was_not_repeated(void)
{
	begin();
	dp_start(dp);
	CU_ASSERT(wait_synced(1));
	for (uint32_t i = 0; i < 10; i++)
		set_route(i, 1500, NULL);
	dp_replace_begin(dp, ST_ROUTE);
	for (uint32_t i = 0; i < 10; i += 2)
		set_route(i, 1500, NULL);
	dp_replace_end(dp, ST_ROUTE);
	set_route(100, 1, on_done);
	CU_ASSERT(wait_done(1));
	CU_ASSERT_EQUAL(fake_dp_count(fake, ST_ROUTE), 6);
	CU_ASSERT(holds_route(4, 1500));
	CU_ASSERT(!holds_route(5, 1500));
	end();
}

static void many_requests_are_under_way_at_once_but_not_more_than_the_window(void)
{
	begin();
	dp_start(dp);
	CU_ASSERT(wait_synced(1));
	fake->mute = true;
	for (uint32_t i = 0; i < 20000; i++)
		set_route(i, 1500, on_done);
	for (int i = 0; i < 1000 && fake->max_owed < 256; i++)
		fake_dp_settle();
	for (int i = 0; i < 5; i++)
		fake_dp_settle(); // and what comes beyond the window
	CU_ASSERT(fake->max_owed >= 256);
	CU_ASSERT(fake->max_owed <= 1024);
	fake_dp_unmute(fake);
	CU_ASSERT(wait_done(20000));
	CU_ASSERT_EQUAL(nb_done_ok, 20000);
	CU_ASSERT_EQUAL(fake_dp_count(fake, ST_ROUTE), 20000);
	end();
}

static void a_hundred_thousand_routes_go_in_within_seconds(void)
{
	enum { AIM_S = 5 };
	int64_t start = g_get_monotonic_time();

	begin();
	for (uint32_t i = 0; i < 100000; i++)
		set_route(i, 1500, NULL);
	dp_start(dp);
	CU_ASSERT(wait_synced(1));
	CU_ASSERT_EQUAL(fake_dp_count(fake, ST_ROUTE), 100000);
	CU_ASSERT(g_get_monotonic_time() - start < 10 * AIM_S * G_USEC_PER_SEC);
	end();
}

static void too_many_waiting_changes_become_a_new_sync(void)
{
	begin();
	dp_start(dp);
	CU_ASSERT(wait_synced(1));
	fake->mute = true;
	for (uint32_t i = 0; i < 70000; i++)
		set_route(i % 1000, (uint16_t)(1 + i / 1000), i == 69999 ? on_done : NULL);
	del_route(5);
	fake_dp_settle();
	fake_dp_unmute(fake);
	CU_ASSERT(wait_done(1));
	CU_ASSERT_EQUAL(last_status, 0);
	CU_ASSERT(wait_synced(2));
	CU_ASSERT_EQUAL(fake_dp_count(fake, ST_ROUTE), 999);
	CU_ASSERT(holds_route(999, 70));
	CU_ASSERT(fake_dp_received(fake, ST_OP_SET, ST_ROUTE) < 10000);
	end();
}

// Random changes, hang-ups, restarts and silences; at the end it holds what is wanted and nothing else.
static void churn_ends_in_exactly_the_wanted_state(void)
{
	uint16_t want[64] = {0};
	unsigned int n = 0;

	begin();
	srand(1);
	dp_start(dp);
	for (unsigned int i = 0; i < 20000; i++) {
		uint32_t k = (uint32_t)rand() % 64;

		if (rand() % 3) {
			want[k] = (uint16_t)(1 + rand() % 5);
			set_route(k, want[k], rand() % 2 ? on_done : NULL);
		} else {
			want[k] = 0;
			del_route(k);
		}
		if (rand() % 1000 == 0)
			fake_dp_hang_up(fake);
		if (rand() % 2000 == 0)
			fake_dp_restart(fake);
		if (rand() % 7 == 0)
			g_main_context_iteration(NULL, FALSE);
		if (rand() % 500 == 0)
			fake_dp_settle();
	}
	fake_dp_hang_up(fake);
	n = nb_synced;
	CU_ASSERT(wait_synced(n + 1));
	fake_dp_settle();
	n = 0;
	for (uint32_t k = 0; k < 64; k++) {
		if (want[k])
			CU_ASSERT(holds_route(k, want[k]));
		n += want[k] != 0;
	}
	CU_ASSERT_EQUAL(fake_dp_count(fake, ST_ROUTE), n);
	end();
}

// The same without a sync at the end: the order of what was sent has to be right by itself.
static void changes_behind_and_before_the_walk_keep_their_order(void)
{
	static uint16_t want[4096];
	unsigned int n = 0;

	begin();
	srand(2);
	for (uint32_t k = 0; k < 4096; k++)
		set_route(k, want[k] = 9, NULL);
	fake->mute = true; // the walk stops at the window, so changes meet all its parts
	dp_start(dp);
	for (unsigned int i = 0; i < 12000; i++) {
		uint32_t k = (uint32_t)rand() % 4096;

		want[k] = rand() % 2 ? (uint16_t)(1 + rand() % 5) : 0;
		if (want[k])
			set_route(k, want[k], NULL);
		else
			del_route(k);
		if (i % 10 == 0)
			g_main_context_iteration(NULL, FALSE);
		if (i % 100 == 50) {
			fake_dp_unmute(fake);
			g_main_context_iteration(NULL, FALSE);
			fake->mute = true;
		}
	}
	fake_dp_unmute(fake);
	CU_ASSERT(wait_synced(1));
	set_route(100000, 1, on_done);
	CU_ASSERT(wait_done(1));
	for (uint32_t k = 0; k < 4096; k++) {
		if (want[k])
			CU_ASSERT(holds_route(k, want[k]));
		n += want[k] != 0;
	}
	CU_ASSERT_EQUAL(fake_dp_count(fake, ST_ROUTE), n + 1);
	end();
}

static void a_full_socket_is_waited_for(void)
{
	begin();
	dp_start(dp);
	CU_ASSERT(wait_synced(1));
	fake->deaf = true;
	for (uint32_t i = 0; i < 30000; i++)
		set_route(i, 1500, on_done);
	fake_dp_settle();
	CU_ASSERT(nb_done < 30000);
	fake->deaf = false;
	fake_dp_hang_up(fake);
	CU_ASSERT(wait_done(30000));
	CU_ASSERT(wait_synced(2));
	CU_ASSERT_EQUAL(fake_dp_count(fake, ST_ROUTE), 30000);
	end();
}

static void another_version_is_refused_and_tried_again_slowly(void)
{
	begin();
	fake->version = ST_API_VERSION + 1;
	dp_start(dp);
	CU_ASSERT(fake_dp_wait(connects_times, GUINT_TO_POINTER(2)));
	CU_ASSERT_EQUAL(nb_connected, 0);
	CU_ASSERT(!dp_connected(dp));
	CU_ASSERT(!dp_absent(dp));
	fake->version = ST_API_VERSION;
	CU_ASSERT(wait_synced(1));
	end();
}

static void garbage_ends_the_connection_and_not_the_daemon(void)
{
	struct st_msg item = {.op = ST_OP_ITEM, .kind = ST_PEER, .seq = 12345};
	struct st_msg lies = {.op = ST_OP_REPLY, .seq = 1, .body_len = 100};
	struct st_msg odd = {.op = 77};
	const struct {
		const void *data;
		size_t len;
	} bad[] = {{"x", 1}, {&item, sizeof(item)}, {&lies, sizeof(lies)}, {&odd, sizeof(odd)}};

	begin();
	set_route(1, 1500, NULL);
	dp_start(dp);
	CU_ASSERT(wait_synced(1));
	for (unsigned int i = 0; i < G_N_ELEMENTS(bad); i++) {
		fake_dp_send(fake, bad[i].data, bad[i].len);
		CU_ASSERT(wait_synced(2 + i));
		CU_ASSERT_EQUAL(nb_gone, 1 + i);
	}
	CU_ASSERT(holds_route(1, 1500));
	end();
}

static void an_answer_to_nothing_is_passed_over(void)
{
	struct st_msg m = {.op = ST_OP_REPLY, .seq = 4000000};

	begin();
	dp_start(dp);
	CU_ASSERT(wait_synced(1));
	fake_dp_send(fake, &m, sizeof(m));
	fake_dp_settle();
	CU_ASSERT_EQUAL(nb_gone, 0);
	end();
}

static void events_come_through_and_those_before_recovery_become_an_overrun(void)
{
	struct st_ev_peer ev = {.peer_id = 1};

	begin();
	dp_start(dp);
	fake->mute = true;
	CU_ASSERT(fake_dp_wait(connects_times, GUINT_TO_POINTER(1)));
	fake_dp_settle();
	CU_ASSERT_EQUAL(nb_recovered, 0);
	fake_dp_event(fake, ST_EV_KEY_NEEDED, &ev, sizeof(ev));
	fake_dp_settle();
	CU_ASSERT_EQUAL(nb_events, 0);
	fake_dp_unmute(fake);
	CU_ASSERT(wait_synced(1));
	CU_ASSERT_EQUAL(nb_events, 1);
	CU_ASSERT_EQUAL(last_event, ST_EV_OVERRUN);
	fake_dp_event(fake, ST_EV_KEY_NEEDED, &ev, sizeof(ev));
	fake_dp_settle();
	CU_ASSERT_EQUAL(last_event, ST_EV_KEY_NEEDED);
	end();
}

static void a_parked_socket_is_the_same_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct stat a, b;

	begin();
	dp_start(dp);
	CU_ASSERT(wait_synced(1));
	dp_socket_park(dp, 1, "test", fd);
	fake_dp_settle();
	CU_ASSERT(fake->sock_fd >= 0);
	CU_ASSERT_FATAL(!fstat(fd, &a) && !fstat(fake->sock_fd, &b));
	CU_ASSERT_EQUAL(a.st_ino, b.st_ino);
	dp_socket_unpark(dp, 1);
	fake_dp_settle();
	CU_ASSERT_EQUAL(fake_dp_count(fake, ST_SOCKET), 0);
	close(fd);
	end();
}

static void keys_and_keepalives_come_behind_the_objects_set_before_them(void)
{
	struct st_peer p = {.key = {.peer_id = 1}};
	struct st_key key = {.key = {.index = 5}, .peer_id = 1};
	int peer_at = -1, key_at = -1;

	begin();
	dp_set(dp, ST_PEER, &p, sizeof(p), NULL, 0, NULL, NULL);
	fake->mute = true;
	dp_start(dp);
	fake_dp_settle();
	dp_key_set(dp, &key, 1000, on_done, NULL);
	dp_keepalive(dp, 1);
	dp_staged_drop(dp, 1);
	fake_dp_unmute(fake);
	CU_ASSERT(wait_done(1));
	CU_ASSERT_EQUAL(last_status, 0);
	for (unsigned int i = 0; i < fake->log->len; i++) {
		struct st_msg *m = &g_array_index(fake->log, struct st_msg, i);

		if (m->op == ST_OP_SET && m->kind == ST_PEER)
			peer_at = (int)i;
		if (m->op == ST_OP_SET && m->kind == ST_KEY) {
			key_at = (int)i;
			CU_ASSERT_EQUAL(m->expiry_ms, 1000);
		}
	}
	CU_ASSERT(peer_at >= 0 && key_at > peer_at);
	fake_dp_settle();
	CU_ASSERT_EQUAL(fake_dp_received(fake, ST_OP_KEEPALIVE, 0), 1);
	CU_ASSERT_EQUAL(fake_dp_received(fake, ST_OP_STAGED_DROP, 0), 1);
	end();
}

static void set_a_key(void)
{
	struct st_key key = {.key = {.index = 5}, .peer_id = 900};

	if (nb_connected == 2)
		dp_key_set(dp, &key, 1000, on_done, NULL);
}

// Place in the log of the last SET of a kind, or -1.
static int last_set(uint16_t kind)
{
	int at = -1;

	for (unsigned int i = 0; i < fake->log->len; i++) {
		const struct st_msg *m = &g_array_index(fake->log, struct st_msg, i);

		if (m->op == ST_OP_SET && m->kind == kind)
			at = (int)i;
	}
	return at;
}

static void a_key_does_not_wait_for_a_resync(void)
{
	struct st_wgif wgif = {.key = {.if_id = 7}};

	begin();
	dp_set(dp, ST_WGIF, &wgif, sizeof(wgif), NULL, 0, NULL, NULL);
	for (uint32_t n = 0; n < 5000; n++)
		set_route(n, 1500, NULL);
	for (uint32_t n = 0; n < 1000; n++) {
		struct st_peer p = {.key = {.peer_id = n}, .if_id = 7};
		struct st_endpoint e = {.key = {.peer_id = n}};

		dp_set(dp, ST_PEER, &p, sizeof(p), NULL, 0, NULL, NULL);
		dp_set(dp, ST_ENDPOINT, &e, sizeof(e), NULL, 0, NULL, NULL);
	}
	dp_start(dp);
	CU_ASSERT(wait_synced(1));
	in_connected = set_a_key;
	fake_dp_forget(fake);
	fake_dp_restart(fake);
	CU_ASSERT(wait_synced(2));
	CU_ASSERT_EQUAL(nb_done_ok, 1);
	// WGIF, PEER, ENDPOINT and the KEY first, then the rest, each once.
	CU_ASSERT(last_set(ST_KEY) > 0);
	CU_ASSERT(last_set(ST_KEY) < 10);
	CU_ASSERT_EQUAL(last_set(ST_WGIF), last_set(ST_KEY) - 3);
	CU_ASSERT(last_set(ST_ROUTE) > 5000);
	CU_ASSERT_EQUAL(fake_dp_received(fake, ST_OP_SET, ST_PEER), 1000);
	CU_ASSERT_EQUAL(fake_dp_received(fake, ST_OP_SET, ST_ENDPOINT), 1000);
	CU_ASSERT_EQUAL(fake_dp_count(fake, ST_PEER), 1000);
	CU_ASSERT_EQUAL(fake_dp_count(fake, ST_ROUTE), 5000);
	end();
}

static void wrong_lengths_are_refused_here(void)
{
	uint8_t body[8] = {0};

	begin();
	dp_set(dp, ST_ROUTE, body, sizeof(body), NULL, 0, on_done, NULL);
	CU_ASSERT(wait_done(1));
	CU_ASSERT_EQUAL(last_status, -EINVAL);
	end();
}

static GLogWriterOutput quiet(GLogLevelFlags l, const GLogField *f, gsize n, gpointer arg)
{
	return G_LOG_WRITER_HANDLED;
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"a_sync_installs_every_kind_behind_what_it_refers_to",
			a_sync_installs_every_kind_behind_what_it_refers_to},
		{"the_first_connect_hands_out_what_was_there_before_it_sweeps",
			the_first_connect_hands_out_what_was_there_before_it_sweeps},
		{"an_unchanged_object_is_not_sent_again", an_unchanged_object_is_not_sent_again},
		{"a_changed_blob_alone_is_a_change", a_changed_blob_alone_is_a_change},
		{"a_refused_object_is_tried_again_when_it_is_wanted_again",
			a_refused_object_is_tried_again_when_it_is_wanted_again},
		{"a_lost_connection_fails_what_waits_and_the_next_one_installs_it",
			a_lost_connection_fails_what_waits_and_the_next_one_installs_it},
		{"a_lost_connection_to_the_same_instance_is_no_restart",
			a_lost_connection_to_the_same_instance_is_no_restart},
		{"without_a_data_plane_calls_fail_later_and_wants_are_kept",
			without_a_data_plane_calls_fail_later_and_wants_are_kept},
		{"replace_deletes_what_was_not_repeated", replace_deletes_what_was_not_repeated},
		{"many_requests_are_under_way_at_once_but_not_more_than_the_window",
			many_requests_are_under_way_at_once_but_not_more_than_the_window},
		{"a_hundred_thousand_routes_go_in_within_seconds",
			a_hundred_thousand_routes_go_in_within_seconds},
		{"too_many_waiting_changes_become_a_new_sync",
			too_many_waiting_changes_become_a_new_sync},
		{"churn_ends_in_exactly_the_wanted_state", churn_ends_in_exactly_the_wanted_state},
		{"changes_behind_and_before_the_walk_keep_their_order",
			changes_behind_and_before_the_walk_keep_their_order},
		{"a_full_socket_is_waited_for", a_full_socket_is_waited_for},
		{"another_version_is_refused_and_tried_again_slowly",
			another_version_is_refused_and_tried_again_slowly},
		{"garbage_ends_the_connection_and_not_the_daemon",
			garbage_ends_the_connection_and_not_the_daemon},
		{"an_answer_to_nothing_is_passed_over", an_answer_to_nothing_is_passed_over},
		{"events_come_through_and_those_before_recovery_become_an_overrun",
			events_come_through_and_those_before_recovery_become_an_overrun},
		{"a_parked_socket_is_the_same_socket", a_parked_socket_is_the_same_socket},
		{"keys_and_keepalives_come_behind_the_objects_set_before_them",
			keys_and_keepalives_come_behind_the_objects_set_before_them},
		{"a_key_does_not_wait_for_a_resync", a_key_does_not_wait_for_a_resync},
		{"wrong_lengths_are_refused_here", wrong_lengths_are_refused_here},
		CU_TEST_INFO_NULL,
	};

	g_log_set_writer_func(quiet, NULL, NULL);
	return run_tests("dp", tests);
}
