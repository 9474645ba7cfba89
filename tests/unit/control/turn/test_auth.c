// SPDX-License-Identifier: BSD-3-Clause
//
// Long-term credentials (RFC 8489 section 9.2): challenges, nonces, both algorithms, time-limited secrets.
#include "core_rig.h"

static void a_stranger_is_challenged_and_leaves_no_state(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	stun_add_u32(request(&c, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
	CU_ASSERT_EQUAL(deliver(&c), 401);
	CU_ASSERT(answer_len <= 128);
	CU_ASSERT_PTR_NOT_NULL(stun_attr(&c.m, STUN_ATTR_REALM).at);
	CU_ASSERT_PTR_NOT_NULL(stun_attr(&c.m, STUN_ATTR_NONCE).at);
	CU_ASSERT_PTR_NOT_NULL(stun_attr(&c.m, STUN_ATTR_PASSWORD_ALGORITHMS).at);
	CU_ASSERT_PTR_NULL(stun_attr(&c.m, STUN_ATTR_MESSAGE_INTEGRITY).at);
	CU_ASSERT_PTR_NULL(attr(&c, STUN_ATTR_SOFTWARE, 0, NULL));
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 0);
	CU_ASSERT_EQUAL(dp->objects->len, 0);
	end();
}

static void credentials_are_checked_in_the_order_of_the_rfc(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	learn_nonce(&c);
	// Integrity without USERNAME, REALM, NONCE.
	request(&c, STUN_ALLOCATE);
	stun_add_integrity(&c.o, STUN_ATTR_MESSAGE_INTEGRITY, c.tid, sizeof(c.tid));
	CU_ASSERT_EQUAL(deliver(&c), 400);
	CU_ASSERT_PTR_NULL(stun_attr(&c.m, STUN_ATTR_MESSAGE_INTEGRITY).at);
	c.name = "mallory";
	CU_ASSERT_EQUAL(allocate(&c), 401);
	c.name = "alice";
	c.password = "guess";
	CU_ASSERT_EQUAL(allocate(&c), 401);
	// A wrong password with a stale nonce is still 401, a right one 438.
	strcpy(c.nonce, "obMatJos2gAAA0123456789012345678901");
	CU_ASSERT_EQUAL(allocate(&c), 401);
	c.password = "wonderland";
	strcpy(c.nonce, "obMatJos2gAAA0123456789012345678901");
	CU_ASSERT_EQUAL(allocate(&c), 438);
	CU_ASSERT_PTR_NOT_NULL(stun_attr(&c.m, STUN_ATTR_REALM).at);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	end();
}

static void a_nonce_is_good_for_one_address_and_port_and_an_hour(void)
{
	struct client c, d;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	client_init(&d, "203.0.113.5", 1001);
	learn_nonce(&c);
	strcpy(d.nonce, c.nonce);
	CU_ASSERT_EQUAL(allocate(&d), 438);
	CU_ASSERT_EQUAL(allocate(&d), 0);
	core.boot_s += TURN_NONCE_LIFE_S + 1;
	CU_ASSERT_EQUAL(allocate(&c), 438);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	end();
}

static void sha256_and_userhash_work_and_a_bid_down_is_seen(void)
{
	struct client c;
	char nonce[128];

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	learn_nonce(&c);
	CU_ASSERT_EQUAL(memcmp(c.nonce, "obMatJos2wAAA", 13), 0); // both features
	strcpy(nonce, c.nonce);
	c.sha256 = c.userhash = true;
	// Somebody on the path has cut the list that the server sent.
	c.spoil_list = true;
	allocate_request(&c);
	sign(&c);
	CU_ASSERT_EQUAL(deliver(&c), 400);
	c.spoil_list = false;
	// Or the features in the nonce: then the nonce is none of ours.
	memcpy(c.nonce + 9, "AAAA", 4);
	c.sha256 = c.userhash = false;
	CU_ASSERT_EQUAL(allocate(&c), 438);
	c.sha256 = c.userhash = true;
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT_PTR_NULL(stun_attr(&c.m, STUN_ATTR_MESSAGE_INTEGRITY).at);
	CU_ASSERT_EQUAL(refresh(&c, 600), 0);
	end();
}

static void anonymity_is_not_offered_with_secrets(void)
{
	struct client c;

	begin_with("\"relay_addresses\": [\"192.0.2.1\"], \"secrets\": [\"some_secret\"]");
	client_init(&c, "203.0.113.5", 1000);
	learn_nonce(&c);
	CU_ASSERT_EQUAL(memcmp(c.nonce, "obMatJos2gAAA", 13), 0);
	end();
}

static void time_limited_credentials_are_those_of_coturn_and_netbird(void)
{
	char password[TURN_PASSWORD_LEN + 1], name[32];
	uint8_t key[STUN_MD5_LEN];
	char hex[2 * STUN_MD5_LEN + 1];
	struct client c;

	turn_auth_password(password, "some_secret", "1700000000", 10);
	CU_ASSERT_STRING_EQUAL(password, "vedDdKcbCZ2u6/b/iLe6XuPw0QQ=");
	stun_md5_colon(key, "1700000000", 10, "wiretrustee.com", 15, password, strlen(password));
	CU_ASSERT_STRING_EQUAL(sodium_bin2hex(hex, sizeof(hex), key, sizeof(key)),
		"309e4ee5a22ef4f46edaf84e227989a8");

	begin_with("\"relay_addresses\": [\"192.0.2.1\"], \"secrets\": [\"new\", \"some_secret\"]");
	client_init(&c, "203.0.113.5", 1000);
	c.name = "1700000000";
	c.password = "vedDdKcbCZ2u6/b/iLe6XuPw0QQ=";
	CU_ASSERT_EQUAL(allocate(&c), 401); // long over
	g_snprintf(name, sizeof(name), "%lld:carol", (long long)core.wall_s + 60);
	turn_auth_password(password, "some_secret", name, strlen(name));
	c.name = name;
	c.password = password;
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT_EQUAL(turn_counts_get(core.by_user, "carol"), 1);
	// It is over now, and the session goes on.
	core.wall_s += 120;
	CU_ASSERT_EQUAL(refresh(&c, 600), 0);
	end();
}

static void strict_expiry_ends_what_is_over(void)
{
	char password[TURN_PASSWORD_LEN + 1], name[32];
	struct client c;

	begin_with("\"relay_addresses\": [\"192.0.2.1\"], \"secrets\": [\"s3\"], "
		   "\"strict_expiry\": true");
	client_init(&c, "203.0.113.5", 1000);
	g_snprintf(name, sizeof(name), "%lld", (long long)core.wall_s + 60);
	turn_auth_password(password, "s3", name, strlen(name));
	c.name = name;
	c.password = password;
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT_EQUAL(lifetime(&c), 60);
	CU_ASSERT_EQUAL(object(ST_RELAY, 0)->expiry_ms, 60000); // lcores keep it as well
	core.wall_s += 20;
	core.now_ms += 20000;
	CU_ASSERT_EQUAL(refresh(&c, 600), 0);
	CU_ASSERT_EQUAL(lifetime(&c), 40);
	core.wall_s += 41;
	core.now_ms += 42000;
	turn_core_tick(&core);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 0);
	CU_ASSERT_EQUAL(refresh(&c, 600), 401);
	end();
}

static void every_challenge_offers_what_an_answer_needs(void)
{
	char *without = g_strconcat(usual, ", \"sha256\": false", NULL);
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	strcpy(c.nonce, "obMatJos2wAAA0123456789012345678901");
	CU_ASSERT_EQUAL(allocate(&c), 438);
	CU_ASSERT_PTR_NOT_NULL(stun_attr(&c.m, STUN_ATTR_REALM).at);
	CU_ASSERT_PTR_NOT_NULL(stun_attr(&c.m, STUN_ATTR_NONCE).at);
	CU_ASSERT_PTR_NOT_NULL(stun_attr(&c.m, STUN_ATTR_PASSWORD_ALGORITHMS).at);
	CU_ASSERT_PTR_NULL(stun_attr(&c.m, STUN_ATTR_MESSAGE_INTEGRITY).at);
	end();
	begin_with(without);
	client_init(&c, "203.0.113.5", 1000);
	learn_nonce(&c);
	CU_ASSERT_EQUAL(memcmp(c.nonce, "obMatJos2AAAA", 13), 0);
	CU_ASSERT_PTR_NULL(stun_attr(&c.m, STUN_ATTR_PASSWORD_ALGORITHMS).at);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	end();
	g_free(without);
}

// What of PASSWORD-ALGORITHM and PASSWORD-ALGORITHMS comes in a request whose nonce offered them.
static int ask_with_algorithms(
	struct client *c, const void *list, size_t list_len, const void *one, size_t one_len)
{
	uint8_t key[TURN_KEY_MAX];
	size_t len;

	allocate_request(c);
	stun_add(&c->o, STUN_ATTR_USERNAME, c->name, strlen(c->name));
	stun_add(&c->o, STUN_ATTR_REALM, "example.org", 11);
	stun_add(&c->o, STUN_ATTR_NONCE, c->nonce, strlen(c->nonce));
	if (list)
		stun_add(&c->o, STUN_ATTR_PASSWORD_ALGORITHMS, list, list_len);
	if (one)
		stun_add(&c->o, STUN_ATTR_PASSWORD_ALGORITHM, one, one_len);
	key_of(c, key, &len);
	stun_add_integrity(&c->o,
		c->sha256 ? STUN_ATTR_MESSAGE_INTEGRITY_SHA256 : STUN_ATTR_MESSAGE_INTEGRITY, key,
		len);
	return deliver(c);
}

static void algorithms_that_were_not_offered_are_400(void)
{
	static const uint8_t list[] = {0, 2, 0, 0, 0, 1, 0, 0},
			     swapped[] = {0, 1, 0, 0, 0, 2, 0, 0}, md5[] = {0, 1, 0, 0},
			     third[] = {0, 3, 0, 0}, parameters[] = {0, 2, 0, 4, 0, 0, 0, 0};
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	c.sha256 = true;
	CU_ASSERT_EQUAL(ask_with_algorithms(&c, list, sizeof(list), NULL, 0), 400);
	CU_ASSERT_EQUAL(ask_with_algorithms(&c, NULL, 0, list, 4), 400);
	CU_ASSERT_EQUAL(ask_with_algorithms(&c, swapped, sizeof(swapped), list, 4), 400);
	CU_ASSERT_EQUAL(ask_with_algorithms(&c, list, sizeof(list), third, 4), 400);
	CU_ASSERT_EQUAL(ask_with_algorithms(&c, list, sizeof(list), parameters, 8), 400);
	CU_ASSERT_PTR_NULL(stun_attr(&c.m, STUN_ATTR_MESSAGE_INTEGRITY_SHA256).at); // of nobody yet
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 0);
	// MD5 may be chosen with the list, and is what is meant without.
	c.sha256 = false;
	CU_ASSERT_EQUAL(ask_with_algorithms(&c, list, sizeof(list), md5, 4), 0);
	CU_ASSERT_EQUAL(refresh(&c, 0), 0);
	CU_ASSERT_EQUAL(ask_with_algorithms(&c, NULL, 0, NULL, 0), 0);
	end();
}

static void names_of_nobody_are_401(void)
{
	char longest[STUN_USERNAME_MAX + 2];
	static const char *const wrong[] = {"", "al\xff\xfe", "alice\n", "Alice", "alice%s%n"};
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
		c.name = wrong[i];
		CU_ASSERT_EQUAL(allocate(&c), 401);
		CU_ASSERT_PTR_NULL(stun_attr(&c.m, STUN_ATTR_MESSAGE_INTEGRITY).at);
	}
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	c.name = longest; // of 509 bytes
	CU_ASSERT_EQUAL(allocate(&c), 401);
	c.name = "mallory";
	c.sha256 = c.userhash = true;
	CU_ASSERT_EQUAL(allocate(&c), 401);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 0);
	end();
}

static void a_changed_nonce_is_stale_whatever_was_changed(void)
{
	char nonce[128];
	struct client c;
	size_t len;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	learn_nonce(&c);
	strcpy(nonce, c.nonce);
	len = strlen(nonce);
	CU_ASSERT_EQUAL(len, TURN_NONCE_LEN);
	for (size_t i = 0; i < len; i++) {
		strcpy(c.nonce, nonce);
		// The last character has bits that encode nothing: a change there is refused as well.
		c.nonce[i] = nonce[i] == 'A' ? 'B' : 'A';
		core.now_ms += 100;
		CU_ASSERT_EQUAL(allocate(&c), 438);
	}
	strcpy(c.nonce, nonce);
	c.nonce[len - 1] = 0; // a shorter one
	CU_ASSERT_EQUAL(allocate(&c), 438);
	strcpy(c.nonce, nonce);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	end();
}

static void a_nonce_is_of_one_transport_and_outlives_a_restart(void)
{
	struct client udp, tcp;

	begin_with(usual);
	client_init(&udp, "203.0.113.5", 1000);
	client_init(&tcp, "203.0.113.5", 1000);
	tcp.tuple.transport = TURN_TCP;
	learn_nonce(&udp);
	strcpy(tcp.nonce, udp.nonce);
	request(&tcp, STUN_REFRESH);
	CU_ASSERT_EQUAL(ask(&tcp), 438);
	turn_core_fini(&core);
	begin_core();
	CU_ASSERT_EQUAL(allocate(&udp), 0);
	end();
}

// Nonces are made under a key of the hour, and live for an hour: most see the next key.
static void a_nonce_goes_on_when_the_key_of_the_hour_changes(void)
{
	struct client c, d;

	begin_with(usual);
	core.boot_s = 7 * TURN_NONCE_LIFE_S - 10;
	client_init(&c, "203.0.113.5", 1000);
	client_init(&d, "203.0.113.5", 1001);
	learn_nonce(&c);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	core.boot_s += 20; // of the next hour
	CU_ASSERT_EQUAL(refresh(&c, 600), 0);
	CU_ASSERT_EQUAL(allocate(&d), 0); // under the new key
	CU_ASSERT_EQUAL(refresh(&c, 600), 0);
	core.boot_s += TURN_NONCE_LIFE_S - 20;
	CU_ASSERT_EQUAL(refresh(&c, 600), 0); // its last second
	core.boot_s++;
	CU_ASSERT_EQUAL(refresh(&c, 600), 438);
	CU_ASSERT_EQUAL(refresh(&c, 600), 0); // by the nonce that came along
	CU_ASSERT_EQUAL(refresh(&d, 600), 0);
	core.boot_s += 2 * TURN_NONCE_LIFE_S; // the key in its place in the cache is another
	CU_ASSERT_EQUAL(refresh(&d, 600), 438);
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		TEST(a_stranger_is_challenged_and_leaves_no_state),
		TEST(credentials_are_checked_in_the_order_of_the_rfc),
		TEST(a_nonce_is_good_for_one_address_and_port_and_an_hour),
		TEST(a_nonce_goes_on_when_the_key_of_the_hour_changes),
		TEST(sha256_and_userhash_work_and_a_bid_down_is_seen),
		TEST(anonymity_is_not_offered_with_secrets),
		TEST(time_limited_credentials_are_those_of_coturn_and_netbird),
		TEST(strict_expiry_ends_what_is_over),
		TEST(every_challenge_offers_what_an_answer_needs),
		TEST(algorithms_that_were_not_offered_are_400),
		TEST(names_of_nobody_are_401),
		TEST(a_changed_nonce_is_stale_whatever_was_changed),
		TEST(a_nonce_is_of_one_transport_and_outlives_a_restart),
		CU_TEST_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : run_tests("turn/auth", tests);
}
