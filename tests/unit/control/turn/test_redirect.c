// SPDX-License-Identifier: BSD-3-Clause
//
// 300 Try Alternate (RFC 8489 section 10): who is sent elsewhere, where to, and who is not.
#include "core_rig.h"

#define LIST                                                                                       \
	"\"alternate_servers\": [{\"address\": \"192.0.2.77\", \"port\": 3479, \"tls_port\": "     \
	"443, "                                                                                    \
	"\"domain\": \"turn2.example.org\"}, {\"address\": \"2001:db8:7::7\"}]"

static char *with(const char *more)
{
	return g_strdup_printf("%s, %s", more, usual);
}

// The nth ALTERNATE-SERVER is this.
static bool sent_to(const struct client *c, unsigned int nth, const char *addr, uint16_t port)
{
	const uint8_t *v;
	struct st_addr a;
	uint16_t len;
	size_t n;

	v = attr(c, STUN_ATTR_ALTERNATE_SERVER, nth, &len);
	addr_parse(&a, addr);
	n = addr_is_v4(&a) ? 4 : 16;
	return v && len == 4 + n && v[0] == 0 && v[1] == (n == 4 ? STUN_FAMILY_V4 : STUN_FAMILY_V6) &&
	       (v[2] << 8 | v[3]) == port && !memcmp(v + 4, a.b + 16 - n, n);
}

static void a_drain_sends_newcomers_elsewhere(void)
{
	char *text = with(LIST);
	struct client c, v4, v6, nobody;

	begin_with(text);
	client_init(&c, "203.0.113.5", 1000);
	client_init(&v4, "203.0.113.5", 1001);
	client_init(&v6, "2001:db8:9::5", 1002);
	client_init(&nobody, "203.0.113.5", 1003);
	nobody.password = "guessed";
	CU_ASSERT_EQUAL(allocate(&c), 0);
	core.draining = true;
	CU_ASSERT_EQUAL(allocate(&v4), 300); // ask() has seen that it is signed
	CU_ASSERT_TRUE(sent_to(&v4, 0, "192.0.2.77", 3479));
	CU_ASSERT_TRUE(sent_to(&v4, 1, "2001:db8:7::7", 3478));
	CU_ASSERT_PTR_NULL(
		attr(&v4, STUN_ATTR_ALTERNATE_DOMAIN, 0, NULL)); // its certificate is no matter
	CU_ASSERT_EQUAL(allocate(&v6), 300);
	CU_ASSERT_TRUE(sent_to(&v6, 0, "2001:db8:7::7", 3478)); // its own family comes first
	CU_ASSERT_TRUE(sent_to(&v6, 1, "192.0.2.77", 3479));
	CU_ASSERT_EQUAL(allocate(&nobody), 401);
	CU_ASSERT_PTR_NULL(attr(&nobody, STUN_ATTR_ALTERNATE_SERVER, 0, NULL));
	CU_ASSERT_EQUAL(refresh(&c, 600), 0);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), 0);
	core.draining = false;
	CU_ASSERT_EQUAL(allocate(&v4), 0);
	end();
	g_free(text);
}

static void a_full_server_sends_newcomers_elsewhere(void)
{
	char *text = with(LIST ", \"limits\": {\"allocations\": 21}");
	struct client c;

	begin_with(text);
	for (uint16_t i = 0; i < 21; i++) { // 20 ports
		client_init(&c, "203.0.113.5", 1000 + i);
		CU_ASSERT_EQUAL(allocate(&c), i < 20 ? 0 : 300);
	}
	CU_ASSERT_TRUE(sent_to(&c, 0, "192.0.2.77", 3479));
	// The other family has ports, until the server has its fill.
	stun_add_u32(allocate_request(&c), STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 0);
	client_init(&c, "203.0.113.5", 2000);
	stun_add_u32(allocate_request(&c), STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 300);
	CU_ASSERT_EQUAL(core.stats.errors[300], 2);
	end();
	g_free(text);
}

static void what_no_other_server_could_give_is_refused_as_ever(void)
{
	char *text = with("\"alternate_servers\": [{\"address\": \"192.0.2.77\"}], \"limits\": "
			  "{\"allocations_per_user\": 1}");
	struct client c, v6;

	begin_with(text);
	client_init(&c, "203.0.113.5", 1000);
	stun_add(allocate_request(&c), STUN_ATTR_RESERVATION_TOKEN, "12345678", TURN_TOKEN_LEN);
	CU_ASSERT_EQUAL(ask(&c), 508);
	stun_add_u32(request(&c, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, 6u << 24);
	CU_ASSERT_EQUAL(ask(&c), 442);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT_EQUAL(refresh(&c, 0), 0);
	core.draining = true;
	client_init(&v6, "2001:db8:9::5", 1002); // there is none of its family
	CU_ASSERT_EQUAL(allocate(&v6), 508);
	CU_ASSERT_PTR_NULL(attr(&v6, STUN_ATTR_ALTERNATE_SERVER, 0, NULL));
	end();
	g_free(text);
}

static void several_servers_share_and_a_repeated_request_stays(void)
{
	char *text = with("\"alternate_servers\": [{\"address\": \"192.0.2.71\"}, {\"address\": "
			  "\"192.0.2.72\"}, {\"address\": \"192.0.2.73\"}]");
	unsigned int n[4] = {0};
	struct client c;

	begin_with(text);
	core.draining = true;
	client_init(&c, "203.0.113.5", 1000);
	for (int i = 0; i < 300; i++) {
		uint8_t first;

		CU_ASSERT_EQUAL(allocate(&c), 300);
		first = attr(&c, STUN_ATTR_ALTERNATE_SERVER, 0, NULL)[7];
		CU_ASSERT_FATAL(first >= 71 && first <= 73);
		n[first - 70]++;
		CU_ASSERT_EQUAL(deliver(&c), 300);
		CU_ASSERT_EQUAL(attr(&c, STUN_ATTR_ALTERNATE_SERVER, 0, NULL)[7], first);
	}
	CU_ASSERT(n[1] > 30 && n[2] > 30 && n[3] > 30);
	end();
	g_free(text);
}

static void a_tls_client_hears_the_port_and_the_name_of_the_certificate(void)
{
	static const char domain[] = "turn2.example.org";
	char *text = with(LIST);
	const uint8_t *v;
	struct client c;
	uint16_t len = 0;

	begin_with(text);
	core.draining = true;
	client_init(&c, "203.0.113.5", 1000);
	c.tuple.transport = TURN_TLS;
	c.tuple.stream = 7;
	CU_ASSERT_EQUAL(allocate(&c), 300);
	CU_ASSERT_TRUE(sent_to(&c, 0, "192.0.2.77", 443));
	CU_ASSERT_PTR_NULL(attr(&c, STUN_ATTR_ALTERNATE_DOMAIN, 0, NULL)); // it is of RFC 5389
	c.sha256 = true;
	CU_ASSERT_EQUAL(allocate(&c), 300);
	v = attr(&c, STUN_ATTR_ALTERNATE_DOMAIN, 0, &len);
	CU_ASSERT(v && len == strlen(domain) && !memcmp(v, domain, len));
	end();
	g_free(text);
}

static void an_alternate_server_is_another_one(void)
{
	static const char *const wrong[] = {"{\"address\": \"192.0.2.1\"}", "{\"port\": 3478}",
		"{\"address\": \"0.0.0.0\"}", "{\"address\": \"turn.example.org\"}",
		"{\"address\": \"192.0.2.9\", \"domain\": \"a b\"}",
		"{\"address\": \"192.0.2.9\", \"port\": 0}",
		"{\"address\": \"192.0.2.9\"}, {\"address\": \"192.0.2.9\"}"};

	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
		char *error = NULL,
		     *text = g_strdup_printf("{\"turn\": {\"realm\": \"example.org\", "
					     "\"alternate_servers\": [%s], %s}}",
			     wrong[i], usual);

		CU_ASSERT_PTR_NULL(config_parse("test.json", text, &error));
		CU_ASSERT_PTR_NOT_NULL_FATAL(error);
		CU_ASSERT_PTR_NOT_NULL(strstr(error, "alternate_servers"));
		g_free(error);
		g_free(text);
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		TEST(a_drain_sends_newcomers_elsewhere),
		TEST(a_full_server_sends_newcomers_elsewhere),
		TEST(what_no_other_server_could_give_is_refused_as_ever),
		TEST(several_servers_share_and_a_repeated_request_stays),
		TEST(a_tls_client_hears_the_port_and_the_name_of_the_certificate),
		TEST(an_alternate_server_is_another_one),
		CU_TEST_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : run_tests("turn/redirect", tests);
}
