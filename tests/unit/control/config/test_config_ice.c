// SPDX-License-Identifier: BSD-3-Clause
//
// "ice" of the configuration: servers, signal, candidates, and the passwords of all of them.
#include "config_text.h"

#define ICE(rest)    WG("\"signal\":{\"url\":\"https://s.example\"},\"ice\":{" rest "}")
#define SERVER(rest) ICE("\"servers\":[{" rest "}]")

static void ice_parameters_are_checked(void)
{
	static const char servers[] = "t.json: $.wireguard[0].ice.servers[0]";
	static const char nat[] = "t.json: $.wireguard[0].ice.nat_external_ips[";

	expect(SERVER("\"url\":\"stun:stun.example.org\""), "");
	expect(SERVER("\"url\":\"stun:[2001:db8::1]:3478\""), "");
	expect(SERVER("\"url\":\"turn:192.0.2.1?transport=tcp\",\"username\":\"u\",\"password\":"
		      "\"p\""),
		"");
	expect(SERVER("\"url\":\"turns:t.example:5349\",\"secret\":\"some_secret\""), "");
	expect(SERVER("\"url\":\"turns://t.example:5349\",\"secret\":\"some_secret\""), servers);
	expect(SERVER("\"url\":\"stun:h?transport=udp\""), servers);
	expect(SERVER("\"url\":\"turn:h?transport=sctp\",\"secret\":\"s\""), servers);
	expect(SERVER("\"url\":\"http://h\""), servers);
	expect(SERVER("\"url\":\"stun:10.1\""), servers);
	expect(SERVER("\"url\":\"stun:h:70000\""), servers);
	expect(SERVER("\"url\":\"turn:h\""),
		"t.json: $.wireguard[0].ice.servers[0]: found a TURN server "
		"without credentials");
	expect(SERVER("\"url\":\"stun:h\",\"username\":\"u\",\"password\":\"p\""), servers);
	expect(SERVER("\"url\":\"turn:h\",\"username\":\"u\",\"password\":\"p\",\"secret\":\"s\""),
		servers);
	// External addresses: all or none are taken.
	expect(ICE("\"nat_external_ips\":[\"1.1.1.1\"]"), "");
	expect(ICE("\"nat_external_ips\":[\"1.1.1.1\",\"2001:db8::1\"]"), "");
	expect(ICE("\"nat_external_ips\":[\"1.1.1.1/10.0.0.1\",\"8.8.8.8/eth0\"]"), "");
	expect(ICE("\"nat_external_ips\":[\"1.1.1.1\",\"8.8.8.8/eth0\"]"), nat);
	expect(ICE("\"nat_external_ips\":[\"1.1.1.1\",\"8.8.8.8\"]"), nat);
	expect(ICE("\"nat_external_ips\":[\"1.1.1.1/eth0\",\"8.8.8.8/eth0\"]"), nat);
	expect(ICE("\"nat_external_ips\":[\"1.1.1.1/eth0\",\"nonsense/eth1\"]"), nat);
	expect(ICE("\"nat_external_ips\":[\"1.1.1.1/\"]"), nat);
	expect(ICE("\"disable_ipv6_discovery\":true,"
		   "\"interface_blacklist\":[\"eth9\"]"),
		"");
	expect(ICE("\"interface_blacklist\":[\"\"]"),
		"t.json: $.wireguard[0].ice.interface_blacklist[0]");
	expect(WG("\"ice\":{}"), "t.json: $.wireguard[0].ice: found \"ice\" without \"signal\"");
	expect(WG("\"signal\":{\"url\":\"grpc://s\"}"), "t.json: $.wireguard[0].signal.url");
	expect(WG("\"signal\":{\"url\":\"https://s/path\"}"), "t.json: $.wireguard[0].signal.url");
	expect(WG("\"signal\":{\"url\":\"http://s\",\"ca\":\"/ca.pem\"}"),
		"t.json: $.wireguard[0].signal.ca");
}

static void ice_and_an_endpoint_exclude_each_other(void)
{
	static const char signal[] =
		"{\"wireguard\":[{\"name\":\"strait0\",\"private_key\":\"" PRIVATE
		"\",\"signal\":{\"url\":\"http://s\"},\"peers\":["
		"{\"public_key\":\"" PUBLIC_A "\"},"
		"{\"public_key\":\"" PUBLIC_B "\",\"endpoint\":\"192.0.2.1:1\"}]}]}";
	char *error = NULL;
	struct config *c = config_parse("t.json", signal, &error);
	const struct config_wg *w;

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	w = c->wgs->pdata[0];
	CU_ASSERT_TRUE(((struct config_peer *)w->peers->pdata[0])->ice);
	CU_ASSERT_FALSE(((struct config_peer *)w->peers->pdata[1])->ice);
	config_free(c);
	expect(PEER("\"ice\":true"),
		"t.json: $.wireguard[0].peers[0].ice: found \"ice\": true without");
	expect(PEER("\"ice\":true,\"endpoint\":\"192.0.2.1:1\""),
		"t.json: $.wireguard[0].peers[0].ice: found \"ice\": true beside an \"endpoint\"");
}

static void passwords_come_from_private_files(void)
{
	g_autofree char *good = write_file("turn.secret", "some_secret\n", 0600);
	g_autofree char *open = write_file("open.secret", "some_secret\n", 0644);
	g_autofree char *text =
		g_strdup_printf(SERVER("\"url\":\"turn:h\",\"secret_file\":\"%s\""), good);
	g_autofree char *bad =
		g_strdup_printf(SERVER("\"url\":\"turn:h\",\"secret_file\":\"%s\""), open);
	char *error = NULL;
	struct config *c = config_parse("t.json", text, &error);
	const struct config_wg *w;
	const struct config_ice_server *s;

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	w = c->wgs->pdata[0];
	s = w->ice.servers->pdata[0];
	CU_ASSERT_STRING_EQUAL(s->secret, "some_secret");
	CU_ASSERT_TRUE(s->turn);
	CU_ASSERT_TRUE(w->ice.relay_standby);
	config_free(c);
	expect(bad, "t.json: $.wireguard[0].ice.servers[0].secret_file: found file");
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(ice_parameters_are_checked),
		TEST(ice_and_an_endpoint_exclude_each_other),
		TEST(passwords_come_from_private_files),
		CU_TEST_INFO_NULL,
	};

	return run_config_tests("config ice", tests);
}
