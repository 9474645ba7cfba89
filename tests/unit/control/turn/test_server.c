// SPDX-License-Identifier: BSD-3-Clause
//
// The TURN server among the other parts of straitd: addresses of the box and tunnels of its WireGuard become
// policy, and a drain says when it is done.
#include "server_rig.h"

#include <cjson/cJSON.h>

#define WG_PORT 41820

static void on_answer(const struct turn_tuple *to, const void *data, size_t len, void *arg)
{
	on_send(to, data, len, arg);
}

static struct config *config_with(const char *wireguard)
{
	char *text = g_strdup_printf(
		     "{%s \"turn\": {\"realm\": \"example.org\", \"listen\": [{\"address\": "
		     "\"127.0.0.1\", \"port\": 34784}], \"relay_addresses\": [\"192.0.2.1\"], "
		     "\"allow_peers\": [\"10.0.0.0/8\", \"192.0.2.0/24\"], \"users\": [{\"name\": "
		     "\"alice\", \"password\": \"wonderland\"}]}}",
		     wireguard),
	     *error = NULL;
	struct config *c = config_parse("test.json", text, &error);

	if (!c)
		g_error("config: %s", error);
	g_free(text);
	return c;
}

#define WIREGUARD                                                                                  \
	"\"wireguard\": [{\"name\": \"wg0\", \"private_key\": "                                    \
	"\"yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\", \"listen_port\": 41820, "               \
	"\"addresses\": [\"10.7.0.1/24\"], \"peers\": [{\"public_key\": "                          \
	"\"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\", \"allowed_ips\": "                      \
	"[\"10.8.0.0/16\"]}]}], "

static void begin_box(const char *wireguard)
{
	begin_server(config_with(wireguard));
	turn->core.send = on_answer;
}

static void own(const char *const *addrs)
{
	struct st_addr_key keys[8];
	unsigned int n = 0;

	memset(keys, 0, sizeof(keys));
	for (; addrs[n]; n++)
		addr_parse(&keys[n].addr, addrs[n]);
	turn_addrs_changed(turn, keys, n);
	settle();
}

static int tell(struct client *c)
{
	unsigned int before = answers;

	if (c->nonce[0])
		sign(c);
	turn_core_clock(&turn->core);
	turn_core_receive(&turn->core, &c->tuple, c->o.data, stun_end(&c->o, NULL, 0, false));
	settle();
	CU_ASSERT_EQUAL_FATAL(answers, before + 1);
	CU_ASSERT_EQUAL_FATAL(stun_parse_strict(&c->m, answer, answer_len), 0);
	keep_nonce(c);
	return code_of(&c->m);
}

static int tell_permit(struct client *c, const char *peer)
{
	struct st_addr a;

	addr_parse(&a, peer);
	stun_add_address(request(c, STUN_CREATE_PERMISSION), STUN_ATTR_XOR_PEER_ADDRESS, &a, 0);
	return tell(c);
}

static int tell_bind(struct client *c, const char *peer, uint16_t port, uint16_t number)
{
	struct st_addr a;

	addr_parse(&a, peer);
	request(c, STUN_CHANNEL_BIND);
	stun_add_u32(&c->o, STUN_ATTR_CHANNEL_NUMBER, (uint32_t)number << 16);
	stun_add_address(&c->o, STUN_ATTR_XOR_PEER_ADDRESS, &a, htons(port));
	return tell(c);
}

static void come(struct client *c)
{
	client_init(c, "203.0.114.5", 1000);
	stun_add_u32(request(c, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
	CU_ASSERT_EQUAL_FATAL(tell(c), 401);
	stun_add_u32(request(c, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
	CU_ASSERT_EQUAL_FATAL(tell(c), 0);
}

static void addresses_of_the_box_are_no_peers(void)
{
	static const char *const before[] = {"192.0.2.1", "203.0.114.9", "10.1.1.1", NULL},
				 *const after[] = {"192.0.2.1", "203.0.114.8", NULL};
	struct client c;

	begin_box("");
	own(before);
	come(&c);
	CU_ASSERT_EQUAL(tell_permit(&c, "203.0.114.9"), 403);
	CU_ASSERT_EQUAL(tell_permit(&c, "10.1.1.1"), 403); // whatever allow_peers says
	CU_ASSERT_EQUAL(tell_bind(&c, "203.0.114.9", 22, 0x4000), 403);
	CU_ASSERT_EQUAL(tell_bind(&c, "192.0.2.1", 22, 0x4000), 403);
	CU_ASSERT_EQUAL(tell_bind(&c, "192.0.2.1", 50000, 0x4000), 0); // in the relay range
	CU_ASSERT_EQUAL(tell_bind(&c, "203.0.114.8", 22, 0x4001), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_CHANNEL), 2);
	// The kernel gets an address and loses two.
	own(after);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_CHANNEL), 1);
	CU_ASSERT_EQUAL(tell_permit(&c, "203.0.114.8"), 403);
	CU_ASSERT_EQUAL(tell_permit(&c, "203.0.114.9"), 0);
	CU_ASSERT_EQUAL(tell_permit(&c, "10.1.1.1"), 0);
	end_server();
}

static void what_is_inside_of_tunnels_is_no_peer(void)
{
	static const char *const addrs[] = {"192.0.2.1", "10.7.0.1", NULL};
	struct client c;

	begin_box("");
	own(addrs);
	come(&c);
	CU_ASSERT_EQUAL(tell_permit(&c, "10.7.0.5"), 0);
	CU_ASSERT_EQUAL(tell_bind(&c, "10.8.3.4", 80, 0x4000), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_CHANNEL), 1);
	apply_config(config_with(WIREGUARD)); // cuts off what it made inside
	settle();
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_CHANNEL), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 0);
	CU_ASSERT_EQUAL(tell_permit(&c, "10.7.0.5"), 403);
	CU_ASSERT_EQUAL(tell_permit(&c, "10.8.3.4"), 403);
	CU_ASSERT_EQUAL(tell_permit(&c, "10.9.0.1"), 0);
	CU_ASSERT_EQUAL(tell_bind(&c, "192.0.2.1", WG_PORT, 0x4001), 0); // WireGuard's own port
	CU_ASSERT_EQUAL(tell_bind(&c, "192.0.2.1", WG_PORT + 1, 0x4002), 403);
	end_server();
}

static void expect_drain(bool on, unsigned int sessions, bool empty)
{
	for (int i = 0; i < 2; i++) { // the second only asks, and changes nothing
		cJSON *reply = cJSON_CreateObject();

		CU_ASSERT_PTR_NULL(turn_drain(turn, i ? NULL : &on, reply));
		CU_ASSERT_EQUAL(cJSON_IsTrue(cJSON_GetObjectItem(reply, "draining")), on);
		CU_ASSERT_EQUAL(
			cJSON_GetNumberValue(cJSON_GetObjectItem(reply, "sessions")), sessions);
		CU_ASSERT_EQUAL(cJSON_IsTrue(cJSON_GetObjectItem(reply, "empty")), empty);
		cJSON_Delete(reply);
	}
}

static void a_drain_says_when_it_is_empty(void)
{
	struct client c, d;

	begin_box("");
	come(&c);
	expect_drain(true, 1, false);
	client_init(&d, "203.0.114.6", 1000);
	request(&d, STUN_ALLOCATE);
	CU_ASSERT_EQUAL(tell(&d), 401);
	stun_add_u32(request(&d, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
	CU_ASSERT_EQUAL(tell(&d), 508);
	stun_add_u32(request(&c, STUN_REFRESH), STUN_ATTR_LIFETIME, 600);
	CU_ASSERT_EQUAL(tell(&c), 0);
	expect_drain(true, 1, false);
	stun_add_u32(request(&c, STUN_REFRESH), STUN_ATTR_LIFETIME, 0);
	CU_ASSERT_EQUAL(tell(&c), 0);
	expect_drain(true, 0, true);
	expect_drain(false, 0, true);
	stun_add_u32(request(&d, STUN_ALLOCATE), STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
	CU_ASSERT_EQUAL(tell(&d), 0);
	end_server();
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(addresses_of_the_box_are_no_peers),
		TEST(what_is_inside_of_tunnels_is_no_peer),
		TEST(a_drain_says_when_it_is_empty),
		CU_TEST_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : run_tests("turn/server", tests);
}
