// SPDX-License-Identifier: BSD-3-Clause
//
// The shared port's demultiplexing and nominated pairs, against a socket that the test reads.
#include "../../../../control/addr.h"
#include "../../../../control/ice/ice_internal.h"
#include "../../../../control/ice/keep.h"
#include "../../suite.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

static struct sent {
	struct st_addr local, remote;
	uint16_t port_be;
	size_t len;
	uint8_t data[512];
} last;
static unsigned int sent;
static struct ice *ice;
static struct ice_path path;
static unsigned int losts, gains, moves, doubts, remaps;
static struct st_addr seen_as; // how the peer sees us
static struct ice_path moved;

static const char ours_ufrag[] = "ourufragourufrag",
		  ours_pwd[] = "ourpwdourpwdourpwdourpwdourpwd12";
static const char their_ufrag[] = "theirufragtheiru",
		  their_pwd[] = "theirpwdtheirpwdtheirpwdtheirpwd";

static int env_send(const struct st_addr *local, const struct st_addr *remote, uint16_t port_be,
	const void *data, size_t len, void *arg)
{
	last.local = *local;
	last.remote = *remote;
	last.port_be = port_be;
	last.len = len;
	memcpy(last.data, data, MIN(len, sizeof(last.data)));
	sent++;
	return 0;
}

static uint16_t shared_port;

static uint16_t env_port(void *arg)
{
	return shared_port;
}

static bool env_overlay(const struct st_addr *a, void *arg)
{
	return addr_is_v4(a) && a->b[12] == 100;
}

static void on_lost(const char *why, void *arg)
{
	losts++;
}

static void on_regained(void *arg)
{
	gains++;
}

static void on_moved(const struct ice_path *p, void *arg)
{
	moved = *p;
	moves++;
}

static void on_doubt(bool remapped, void *arg)
{
	*(remapped ? &remaps : &doubts) += 1;
}

static const struct ice_keep_ops ops = {on_lost, on_regained, on_moved, NULL, on_doubt};

static void fresh(const char *scale)
{
	static const struct ice_env env = {
		.name = "test", .send = env_send, .port = env_port, .overlay_address = env_overlay};

	ice_free(ice);
	shared_port = 51820;
	g_setenv("STRAIT_ICE_CONSENT_SCALE", scale, TRUE);
	ice = ice_new(&env, "/nonexistent");
	sent = losts = gains = moves = doubts = remaps = 0;
	memset(&path, 0, sizeof(path));
	addr_parse(&path.local, "10.0.0.1");
	seen_as = path.local;
	addr_parse(&path.remote, "10.0.0.2");
	path.local_port_be = path.remote_port_be = htons(51820);
	g_strlcpy(path.ours.ufrag, ours_ufrag, sizeof(path.ours.ufrag));
	g_strlcpy(path.ours.pwd, ours_pwd, sizeof(path.ours.pwd));
	g_strlcpy(path.theirs.ufrag, their_ufrag, sizeof(path.theirs.ufrag));
	g_strlcpy(path.theirs.pwd, their_pwd, sizeof(path.theirs.pwd));
}

static bool receive(const char *from, const void *data, size_t len)
{
	struct wg_datagram d = {.local = path.local,
		.remote_port_be = htons(51820),
		.len = (uint16_t)len,
		.data = data};

	addr_parse(&d.remote, from);
	return ice_receive(ice, &d);
}

struct ask {
	const char *user, *pwd;
	bool controlling, nominate;
};

static size_t request(uint8_t *buf, size_t size, const struct ask *a)
{
	struct stun_out o;

	stun_begin(&o, buf, size, STUN_BINDING | STUN_REQUEST, NULL);
	stun_add(&o, STUN_ATTR_USERNAME, a->user, strlen(a->user));
	stun_add_u64(&o, a->controlling ? STUN_ATTR_ICE_CONTROLLING : STUN_ATTR_ICE_CONTROLLED, 1);
	if (a->nominate)
		stun_add(&o, STUN_ATTR_USE_CANDIDATE, NULL, 0);
	stun_add_u32(&o, STUN_ATTR_PRIORITY, 1);
	return stun_end(&o, a->pwd, strlen(a->pwd), true);
}

static void run_ms(unsigned int ms)
{
	int64_t until = g_get_monotonic_time() + ms * 1000;

	while (g_get_monotonic_time() < until) {
		g_main_context_iteration(NULL, FALSE);
		g_usleep(1000);
	}
}

// Until a count is there, at most so long.
static void run_until(const unsigned int *count, unsigned int wanted, unsigned int ms)
{
	int64_t until = g_get_monotonic_time() + ms * 1000;

	while (*count < wanted && g_get_monotonic_time() < until)
		run_ms(1);
}

// The last thing that was sent, as a request: answered by the peer.
static void answer_from(const char *from, const char *pwd)
{
	struct stun_msg m;
	struct stun_out o;
	uint8_t buf[256];
	size_t len;

	CU_ASSERT_EQUAL_FATAL(stun_parse(&m, last.data, last.len), 0);
	CU_ASSERT_EQUAL_FATAL(m.type, STUN_BINDING | STUN_REQUEST);
	stun_begin(&o, buf, sizeof(buf), STUN_BINDING | STUN_SUCCESS, stun_tid(&m));
	stun_add_address(&o, STUN_ATTR_XOR_MAPPED_ADDRESS, &seen_as, path.local_port_be);
	len = stun_end(&o, pwd, strlen(pwd), true);
	CU_ASSERT_TRUE(receive(from, buf, len));
}

static void wireguard_comes_first_whatever_its_index_is(void)
{
	uint8_t data[148] = {1, 0, 0, 0, 0x21, 0x12, 0xa4, 0x42};

	fresh("1");
	for (uint8_t type = 1; type <= 4; type++) {
		data[0] = type;
		CU_ASSERT_TRUE(ice_is_wireguard(data, sizeof(data)));
		CU_ASSERT_FALSE(receive("10.0.0.2", data, sizeof(data)));
	}
	CU_ASSERT_FALSE(ice_is_wireguard(data, 31));
	CU_ASSERT_EQUAL(ice->counters.stun_received, 0);
}

static void the_punch_of_netbird_is_dropped_in_silence(void)
{
	fresh("1");
	CU_ASSERT_TRUE(receive("10.0.0.2", "nb", 2));
	CU_ASSERT_FALSE(receive("10.0.0.2", "xy", 2));
	CU_ASSERT_EQUAL(ice->counters.punches, 1);
	CU_ASSERT_EQUAL(sent, 0);
}

static void a_hundred_malformed_messages_change_nothing(void)
{
	char user[64];
	struct ask ask = {.user = user, .pwd = ours_pwd, .controlling = true};
	uint8_t bad[64] = {0, 1, 0, 44, 0x21, 0x12, 0xa4, 0x42}, good[256];
	struct ice_keep *k;

	fresh("1");
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	memset(bad + 20, 0xff, sizeof(bad) - 20);
	for (int n = 0; n < 100; n++)
		CU_ASSERT_TRUE(receive("10.0.0.2", bad, sizeof(bad)));
	CU_ASSERT_EQUAL(ice->counters.stun_malformed, 100);
	CU_ASSERT_EQUAL(sent, 0);
	g_snprintf(user, sizeof(user), "%s:%s", ours_ufrag, their_ufrag);
	CU_ASSERT_TRUE(receive("10.0.0.2", good, request(good, sizeof(good), &ask)));
	CU_ASSERT_EQUAL(sent, 1);
	ice_keep_free(k);
}

static void stun_out_of_our_tunnels_is_ignored(void)
{
	uint8_t buf[256];
	struct ask ask = {.user = "ourufragourufrag:x", .pwd = ours_pwd};
	struct ice_keep *k;

	fresh("1");
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	CU_ASSERT_TRUE(receive("100.64.0.7", buf, request(buf, sizeof(buf), &ask)));
	CU_ASSERT_EQUAL(ice->counters.stun_overlay, 1);
	CU_ASSERT_EQUAL(sent, 0);
	ice_keep_free(k);
}

static void strangers_and_wrong_passwords_get_no_answer(void)
{
	uint8_t buf[256];
	struct ask stranger = {.user = "nobody:x", .pwd = ours_pwd};
	struct ask liar = {.user = "ourufragourufrag:x", .pwd = "wrongwrongwrongwrongwrong"};
	struct ask plain = {.user = "ourufragourufrag", .pwd = ours_pwd};
	struct ice_keep *k;

	fresh("1");
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	CU_ASSERT_TRUE(receive("10.0.0.2", buf, request(buf, sizeof(buf), &stranger)));
	CU_ASSERT_TRUE(receive("10.0.0.2", buf, request(buf, sizeof(buf), &plain)));
	CU_ASSERT_EQUAL(ice->counters.stun_unknown_user, 2);
	CU_ASSERT_TRUE(receive("10.0.0.2", buf, request(buf, sizeof(buf), &liar)));
	CU_ASSERT_EQUAL(ice->counters.stun_bad_integrity, 1);
	CU_ASSERT_EQUAL(sent, 0);
	ice_keep_free(k);
}

static void a_flood_from_one_source_is_limited_and_what_is_true_is_not(void)
{
	uint8_t buf[256];
	struct ask liar = {.user = "ourufragourufrag:x", .pwd = "wrongwrongwrongwrongwrong"};
	struct ask ask = {.user = "ourufragourufrag:x", .pwd = ours_pwd, .controlling = true};
	struct ice_keep *k;
	size_t len;

	fresh("1");
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	len = request(buf, sizeof(buf), &liar);
	for (int n = 0; n < 5000; n++)
		receive("10.0.0.66", buf, len);
	CU_ASSERT_TRUE(ice->counters.stun_limited > 4000);
	CU_ASSERT_TRUE(ice->counters.stun_bad_integrity < 1000);
	len = request(buf, sizeof(buf), &ask);
	for (int n = 0; n < 5000; n++)
		receive("10.0.0.2", buf, len);
	CU_ASSERT_EQUAL(sent, 5000);
	ice_keep_free(k);
}

// Of each kind one: of nobody's, of ours from elsewhere, an answer that nobody asked for, and garbage.
static void from_everywhere(
	const uint8_t *stranger, const uint8_t *check, const uint8_t *answer, size_t len)
{
	static uint32_t n;
	struct wg_datagram d = {
		.local = path.local, .remote_port_be = htons(9), .len = (uint16_t)len};
	const uint8_t *all[] = {stranger, check, answer};

	for (unsigned int i = 0; i < 30000; i++) {
		addr_parse(&d.remote, i % 2 ? "11.0.0.0" : "2001:db8::");
		n++;
		memcpy(d.remote.b + (i % 2 ? 13 : 4), &n, 3);
		d.data = all[i % 3];
		(void)ice_receive(ice, &d);
	}
}

static void whoever_sends_from_however_many_addresses_costs_no_memory(void)
{
	struct ask nobody = {.user = "somebodysomebody:x", .pwd = ours_pwd};
	struct ask ours = {.user = "ourufragourufrag:x", .pwd = ours_pwd, .controlling = true};
	uint8_t stranger[256], check[256], answer[256];
	struct ice_keep *k;
	size_t before, len;

	fresh("1");
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	len = request(stranger, sizeof(stranger), &nobody);
	CU_ASSERT_EQUAL(request(check, sizeof(check), &ours), len);
	memcpy(answer, check, sizeof(answer));
	answer[0] = 1;
	answer[1] = 1;
	from_everywhere(stranger, check, answer, len);
	before = mallinfo2().uordblks;
	from_everywhere(stranger, check, answer, len);
	CU_ASSERT_TRUE(mallinfo2().uordblks < before + 4096);
	CU_ASSERT_EQUAL(ice->counters.stun_received, 60000);
	CU_ASSERT_EQUAL(ice->counters.checks_answered, 20000);
	CU_ASSERT_EQUAL(g_hash_table_size(ice->owners), 1);
	ice_keep_free(k);
}

static void checks_are_answered_at_once_with_the_address_seen(void)
{
	char user[64];
	struct ask ask = {.user = user, .pwd = ours_pwd, .controlling = true};
	struct stun_msg m;
	uint8_t buf[256];
	struct st_addr a;
	uint16_t port;
	struct ice_keep *k;

	fresh("1");
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	g_snprintf(user, sizeof(user), "%s:%s", ours_ufrag, their_ufrag);
	receive("10.0.0.2", buf, request(buf, sizeof(buf), &ask));
	CU_ASSERT_EQUAL_FATAL(stun_parse(&m, last.data, last.len), 0);
	CU_ASSERT_EQUAL(m.type, STUN_BINDING | STUN_SUCCESS);
	CU_ASSERT_EQUAL(memcmp(stun_tid(&m), buf + 8, STUN_TID_LEN), 0);
	CU_ASSERT_TRUE(stun_verify(&m, ours_pwd, strlen(ours_pwd)));
	CU_ASSERT_TRUE(stun_find_address(&m, STUN_ATTR_XOR_MAPPED_ADDRESS, &a, &port));
	CU_ASSERT_EQUAL(memcmp(&a, &path.remote, sizeof(a)), 0);
	CU_ASSERT_TRUE(ice_keep_heard_ms(k) < 1000);
	ice_keep_free(k);
}

// The first nomination of an attempt is often not its last: both pairs have one set of credentials.
static void both_pairs_of_an_attempt_answer_and_go_alone(void)
{
	struct ask ask = {.user = "ourufragourufrag:x", .pwd = ours_pwd, .controlling = true};
	struct ice_keep *first, *second;
	uint8_t buf[256];
	size_t len;

	fresh("1");
	first = ice_keep_new(ice, 1, &path, &ops, NULL);
	addr_parse(&path.remote, "10.0.0.3");
	second = ice_keep_new(ice, 1, &path, &ops, NULL);
	len = request(buf, sizeof(buf), &ask);
	receive("10.0.0.2", buf, len);
	CU_ASSERT_EQUAL(sent, 1);
	CU_ASSERT_TRUE(ice_keep_heard_ms(first) < 1000);
	CU_ASSERT_EQUAL(ice_keep_heard_ms(second), UINT32_MAX);
	receive("10.0.0.3", buf, len);
	CU_ASSERT_TRUE(ice_keep_heard_ms(second) < 1000);
	ice_keep_free(second);
	receive("10.0.0.2", buf, len);
	CU_ASSERT_EQUAL(sent, 3);
	ice_keep_free(first);
	receive("10.0.0.2", buf, len);
	CU_ASSERT_EQUAL(sent, 3);
}

static void consent_is_asked_for_and_its_loss_told_once(void)
{
	struct ice_keep *k;

	fresh("20"); // 250 ms, 1.5 s
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	for (int asked = 0; asked < 6; asked++) {
		unsigned int before = sent;

		run_until(&sent, before + 1, 5000);
		CU_ASSERT_TRUE_FATAL(sent > before);
		answer_from("10.0.0.2", their_pwd);
	}
	CU_ASSERT_EQUAL(losts, 0);
	CU_ASSERT_TRUE(ice_keep_path(k)->rtt_us > 0);
	run_until(&losts, 1, 15000);
	run_ms(600);
	CU_ASSERT_EQUAL(losts, 1);
	answer_from("10.0.0.2", their_pwd);
	CU_ASSERT_EQUAL(gains, 1);
	ice_keep_free(k);
}

static void answers_from_elsewhere_or_without_the_password_do_not_count(void)
{
	struct ice_keep *k;

	fresh("100");
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	run_until(&sent, 1, 10000);
	CU_ASSERT_TRUE_FATAL(sent > 0);
	answer_from("10.0.0.3", their_pwd);
	CU_ASSERT_EQUAL(ice->counters.stun_spoofed, 1);
	answer_from("10.0.0.2", "wrongwrongwrongwrongwrong");
	CU_ASSERT_EQUAL(ice->counters.stun_bad_integrity, 1);
	CU_ASSERT_EQUAL(ice_keep_heard_ms(k), UINT32_MAX);
	answer_from("10.0.0.2", their_pwd);
	CU_ASSERT_TRUE(ice_keep_heard_ms(k) < 1000);
	ice_keep_free(k);
}

static void silence_while_we_send_is_noticed(void)
{
	struct st_activity a = {.flags = ST_ACT_DATA_SENT, .selected_received_age_ms = UINT32_MAX};
	struct ice_keep *k;
	unsigned int before;

	fresh("1");
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	// By steps of 20 ms: on a machine that is busy with other things they last longer, and fewer do.
	for (unsigned int n = 0; !losts && n < 2400 / 20; n++) {
		ice_keep_activity(k, &a);
		run_ms(20);
	}
	CU_ASSERT_EQUAL(losts, 1);
	CU_ASSERT_TRUE(sent >= 4);
	// Data that comes on the pair is as good as an answer.
	answer_from("10.0.0.2", their_pwd);
	CU_ASSERT_EQUAL(gains, 1);
	a.flags |= ST_ACT_ANY_RECEIVED;
	a.selected_received_age_ms = 10;
	before = sent;
	for (int n = 0; n < 50; n++) {
		ice_keep_activity(k, &a);
		run_ms(20);
	}
	CU_ASSERT_TRUE(sent <= before + 1);
	CU_ASSERT_EQUAL(losts, 1);
	ice_keep_free(k);
}

// The relay that stands by took over, and nobody sends any more.
static void a_pair_given_up_tells_when_it_works_again(void)
{
	struct ask ask = {.user = "ourufragourufrag:x", .pwd = ours_pwd, .controlling = true};
	struct ice_keep *k;
	uint8_t buf[256];
	unsigned int before;

	fresh("1");
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	ice_keep_give_up(k);
	run_until(&sent, 2, 5000);
	CU_ASSERT_TRUE_FATAL(sent >= 2);
	answer_from("10.0.0.2", their_pwd);
	CU_ASSERT_EQUAL(losts, 0);
	CU_ASSERT_EQUAL(gains, 1);
	// The peer was first to find that it works.
	ice_keep_give_up(k);
	run_ms(2600); // the quick pace is over
	before = sent;
	CU_ASSERT_TRUE(receive("10.0.0.2", buf, request(buf, sizeof(buf), &ask)));
	run_until(&sent, before + 2, 2000);
	CU_ASSERT_EQUAL_FATAL(sent, before + 2); // the answer, and a check of our own
	answer_from("10.0.0.2", their_pwd);
	CU_ASSERT_EQUAL(gains, 2);
	ice_keep_free(k);
}

static void an_idle_pair_that_does_not_answer_is_doubted_once(void)
{
	struct ice_keep *k;

	fresh("20"); // 250 ms, again after 50
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	run_until(&sent, 1, 5000);
	answer_from("10.0.0.2", their_pwd);
	CU_ASSERT_EQUAL(doubts, 0);
	run_until(&doubts, 1, 5000);
	CU_ASSERT_EQUAL(losts, 0);
	run_ms(600); // two more checks
	CU_ASSERT_EQUAL(doubts, 1);
	answer_from("10.0.0.2", their_pwd);
	run_until(&doubts, 2, 5000);
	CU_ASSERT_EQUAL(doubts, 2);
	ice_keep_free(k);
}

static bool nominates(void)
{
	struct stun_msg m;
	uint16_t len;

	return !stun_parse(&m, last.data, last.len) && stun_find(&m, STUN_ATTR_USE_CANDIDATE, &len);
}

static void answered_next(void)
{
	unsigned int before = sent;

	run_until(&sent, before + 1, 5000);
	answer_from("10.0.0.2", their_pwd);
}

static void a_nat_that_gives_us_another_address_is_noticed(bool controlling)
{
	struct ice_keep *k;

	fresh("20");
	path.controlling = controlling;
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	answered_next();
	answered_next();
	CU_ASSERT_FALSE(nominates());
	CU_ASSERT_EQUAL(remaps, 0);
	addr_parse(&seen_as, "192.0.2.7");
	answered_next();
	CU_ASSERT_EQUAL(remaps, 1);
	CU_ASSERT_EQUAL(nominates(), controlling);
	if (controlling) {
		answer_from("10.0.0.2", their_pwd);
		CU_ASSERT_EQUAL(moves, 1);
		CU_ASSERT_EQUAL(moved.local_candidate.b[15], 7);
	}
	// One that changes all the time is not followed.
	addr_parse(&seen_as, "192.0.2.8");
	answered_next();
	CU_ASSERT_EQUAL(remaps, 1);
	CU_ASSERT_EQUAL(losts, 0);
	ice_keep_free(k);
}

static void who_controls_nominates_the_pair_from_its_new_address(void)
{
	a_nat_that_gives_us_another_address_is_noticed(true);
}

static void who_is_controlled_tells_its_owner_of_the_new_address(void)
{
	a_nat_that_gives_us_another_address_is_noticed(false);
}

static void a_controlling_peer_moves_us_only_to_a_pair_that_answers(void)
{
	struct ask ask = {
		.user = "ourufragourufrag:x", .pwd = ours_pwd, .controlling = true, .nominate = true};
	struct stun_msg m;
	uint8_t buf[256];
	struct ice_keep *k;

	fresh("1");
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	receive("10.0.0.9", buf, request(buf, sizeof(buf), &ask));
	CU_ASSERT_EQUAL(sent, 2); // the answer, and a check of our own
	CU_ASSERT_EQUAL(moves, 0);
	CU_ASSERT_EQUAL_FATAL(stun_parse(&m, last.data, last.len), 0);
	answer_from("10.0.0.9", their_pwd);
	CU_ASSERT_EQUAL(moves, 1);
	CU_ASSERT_EQUAL(moved.remote.b[15], 9);
	CU_ASSERT_EQUAL(ice_keep_path(k)->remote.b[15], 9);
	ask.nominate = false;
	receive("10.0.0.7", buf, request(buf, sizeof(buf), &ask));
	CU_ASSERT_EQUAL(sent, 3);
	ice_keep_free(k);
}

// NetBird answers each request twice on its shared port.
static void an_answer_that_comes_twice_counts_once_and_is_not_charged(void)
{
	struct ask ask = {
		.user = "ourufragourufrag:x", .pwd = ours_pwd, .controlling = true, .nominate = true};
	struct ice_keep *k;
	uint8_t buf[256];

	fresh("1");
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	for (unsigned int n = 0; n < 2000; n++) {
		const char *from = n % 2 ? "10.0.0.8" : "10.0.0.9";

		receive(from, buf, request(buf, sizeof(buf), &ask));
		answer_from(from, their_pwd);
		answer_from(from, their_pwd);
		CU_ASSERT_EQUAL_FATAL(moves, n + 1);
	}
	CU_ASSERT_EQUAL(ice->counters.stun_unmatched, 0);
	CU_ASSERT_EQUAL(ice->counters.stun_limited, 0);
	ice_keep_free(k);
}

// Peers of other make nominate once.
static void a_peer_is_followed_to_another_address_only_when_the_pair_is_dead(void)
{
	struct ask ask = {.user = "ourufragourufrag:x", .pwd = ours_pwd, .controlling = true};
	struct ice_keep *k;
	uint8_t buf[256];
	size_t len;

	fresh("20"); // 250 ms, again after 50
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	answered_next();
	len = request(buf, sizeof(buf), &ask);
	sent = 0;
	receive("10.0.0.9", buf, len);
	CU_ASSERT_EQUAL(sent, 1); // the answer
	run_until(&doubts, 1, 5000);
	sent = 0;
	receive("10.0.0.9", buf, len);
	CU_ASSERT_EQUAL(sent, 2); // and a check
	CU_ASSERT_EQUAL(moves, 0);
	answer_from("10.0.0.9", their_pwd);
	CU_ASSERT_EQUAL(moves, 1);
	CU_ASSERT_EQUAL(moved.remote.b[15], 9);
	CU_ASSERT_EQUAL(losts, 0);
	ice_keep_free(k);
}

static void a_role_conflict_is_decided_by_the_tie_breaker(void)
{
	// Ours is random: greater than 1.
	struct ask ask = {.user = "ourufragourufrag:x", .pwd = ours_pwd, .controlling = true};
	struct stun_msg m;
	uint8_t buf[256];
	struct ice_keep *k;

	fresh("1");
	path.controlling = true;
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	receive("10.0.0.2", buf, request(buf, sizeof(buf), &ask));
	CU_ASSERT_EQUAL_FATAL(stun_parse(&m, last.data, last.len), 0);
	CU_ASSERT_EQUAL(m.type, STUN_BINDING | STUN_ERROR);
	CU_ASSERT_EQUAL(stun_error_code(&m), 487);
	ice_keep_free(k);
	path.controlling = false;
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	ask.controlling = false;
	receive("10.0.0.2", buf, request(buf, sizeof(buf), &ask));
	CU_ASSERT_EQUAL_FATAL(stun_parse(&m, last.data, last.len), 0);
	CU_ASSERT_EQUAL(m.type, STUN_BINDING | STUN_SUCCESS);
	CU_ASSERT_TRUE(ice_keep_path(k)->controlling);
	ice_keep_free(k);
}

static void refuse_role(const struct sent *request)
{
	struct stun_msg m;
	struct stun_out o;
	uint8_t buf[256];
	size_t len;

	CU_ASSERT_EQUAL_FATAL(stun_parse(&m, request->data, request->len), 0);
	stun_begin(&o, buf, sizeof(buf), STUN_BINDING | STUN_ERROR, stun_tid(&m));
	stun_add_error(&o, 487, "Role Conflict");
	len = stun_end(&o, their_pwd, strlen(their_pwd), true);
	CU_ASSERT_TRUE(receive("10.0.0.2", buf, len));
}

// RFC 8445 7.2.5.1: the role of the check that was refused is the wrong one, whatever ours is by now.
static void two_refusals_of_one_role_change_it_once(void)
{
	struct ice_keep *k;
	struct sent first;

	fresh("100");
	path.controlling = true;
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	run_until(&sent, 1, 5000);
	first = last;
	run_until(&sent, 2, 5000);
	refuse_role(&first);
	CU_ASSERT_FALSE(ice_keep_path(k)->controlling);
	sent = 0;
	refuse_role(&last);
	refuse_role(&last);
	CU_ASSERT_FALSE(ice_keep_path(k)->controlling);
	run_until(&sent, 1, 5000); // asked again, in the other role
	CU_ASSERT_EQUAL(sent, 1);
	answer_from("10.0.0.2", their_pwd);
	CU_ASSERT_EQUAL(ice->counters.role_conflicts, 2);
	ice_keep_free(k);
}

static void a_pair_goes_on_from_the_new_port(void)
{
	struct ice_keep *k;

	fresh("1");
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(k);
	(void)ice_addresses_changed(ice);
	CU_ASSERT_EQUAL(moves, 0); // nothing changed for it
	shared_port = 51821;
	(void)ice_addresses_changed(ice);
	CU_ASSERT_EQUAL(moves, 1);
	CU_ASSERT_EQUAL(moved.local_port_be, htons(51821));
	CU_ASSERT_EQUAL(moved.remote_port_be, path.remote_port_be);
	run_ms(200);
	CU_ASSERT_TRUE(sent > 0); // asked at once
	(void)ice_addresses_changed(ice);
	CU_ASSERT_EQUAL(moves, 1);
	ice_keep_free(k);
}

// One peer's doubt about the network is no reason for another's attempt to go without the answer.
static void a_question_under_way_is_not_forgotten(void)
{
	const struct ice_server server = {.url = (char *)"stun:10.0.0.2:51820"};
	const struct ice_settings settings = {.servers = &server, .nb_servers = 1};
	struct ice_reflexive got[2];

	fresh("1");
	ice_apply(ice, &settings);
	g_array_set_size(ice->hosts, 0);
	g_array_append_val(ice->hosts, path.local);
	run_ms(50); // until its address is known
	stun_client_ask(ice->stun);
	CU_ASSERT_TRUE_FATAL(sent > 0);
	ice_network_doubt(ice);
	answer_from("10.0.0.2", "");
	CU_ASSERT_EQUAL(stun_client_get(ice->stun, got, 2), 1);
	CU_ASSERT_EQUAL(memcmp(&got[0].mapped, &seen_as, sizeof(seen_as)), 0);
	ice_network_doubt(ice); // the answer is
	CU_ASSERT_EQUAL(stun_client_get(ice->stun, got, 2), 0);
}

static void a_pair_goes_on_from_its_blob(void)
{
	uint8_t blob[ICE_PATH_BLOB_MAX], buf[256];
	struct ask ask = {.user = "ourufragourufrag:x", .pwd = ours_pwd, .controlling = true};
	struct ice_keep *k;
	int len;

	fresh("1");
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	len = ice_keep_blob(k, blob, sizeof(blob));
	CU_ASSERT_TRUE_FATAL(len > 0);
	CU_ASSERT_EQUAL(ice_keep_blob(k, buf, 100), -ENOSPC);
	fresh("1");
	for (int cut = 0; cut < len; cut++)
		CU_ASSERT_PTR_NULL(ice_keep_from_blob(ice, 1, blob, (size_t)cut, &ops, NULL));
	k = ice_keep_from_blob(ice, 1, blob, (size_t)len, &ops, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(k);
	receive("10.0.0.2", buf, request(buf, sizeof(buf), &ask));
	CU_ASSERT_EQUAL(sent, 1);
	CU_ASSERT_EQUAL(ice->counters.checks_answered, 1);
	run_until(&sent, 2, 5000); // within a second it asks by itself
	CU_ASSERT_EQUAL(sent, 2);
	ice_keep_free(k);
}

static CU_TestInfo tests[] = {
	TEST(wireguard_comes_first_whatever_its_index_is),
	TEST(the_punch_of_netbird_is_dropped_in_silence),
	TEST(a_hundred_malformed_messages_change_nothing),
	TEST(stun_out_of_our_tunnels_is_ignored),
	TEST(strangers_and_wrong_passwords_get_no_answer),
	TEST(a_flood_from_one_source_is_limited_and_what_is_true_is_not),
	TEST(whoever_sends_from_however_many_addresses_costs_no_memory),
	TEST(checks_are_answered_at_once_with_the_address_seen),
	TEST(both_pairs_of_an_attempt_answer_and_go_alone),
	TEST(consent_is_asked_for_and_its_loss_told_once),
	TEST(answers_from_elsewhere_or_without_the_password_do_not_count),
	TEST(silence_while_we_send_is_noticed),
	TEST(a_pair_given_up_tells_when_it_works_again),
	TEST(an_idle_pair_that_does_not_answer_is_doubted_once),
	TEST(who_controls_nominates_the_pair_from_its_new_address),
	TEST(who_is_controlled_tells_its_owner_of_the_new_address),
	TEST(a_controlling_peer_moves_us_only_to_a_pair_that_answers),
	TEST(an_answer_that_comes_twice_counts_once_and_is_not_charged),
	TEST(a_peer_is_followed_to_another_address_only_when_the_pair_is_dead),
	TEST(a_role_conflict_is_decided_by_the_tie_breaker),
	TEST(two_refusals_of_one_role_change_it_once),
	TEST(a_pair_goes_on_from_the_new_port),
	TEST(a_question_under_way_is_not_forgotten),
	TEST(a_pair_goes_on_from_its_blob),
	CU_TEST_INFO_NULL,
};

int main(void)
{
	int ret;

	ret = run_tests("ice mux", tests);
	ice_free(ice);
	return ret;
}
