// SPDX-License-Identifier: BSD-3-Clause
//
// "wireguard" of the configuration: keys and their files, peers, prefixes, endpoints and routes. No message ever
// quotes a key.
#include "config_text.h"

static void wireguard_parameters_are_checked(void)
{
	expect("{\"wireguard\":[{\"name\":\"w\"}]}",
		"t.json: $.wireguard[0].private_key: found nothing, allowed: a key of 44 base64");
	expect(WG("\"listen_port\":0"), "t.json: $.wireguard[0].listen_port: found 0, allowed: ");
	expect(WG("\"fwmark\":\"12\""), "t.json: $.wireguard[0].fwmark: found \"12\", allowed: ");
	expect(WG("\"fwmark\":\"0x\""), "t.json: $.wireguard[0].fwmark: found \"0x\", allowed: ");
	expect(WG("\"fwmark\":4294967296"),
		"t.json: $.wireguard[0].fwmark: found 4294967296, allowed: ");
	expect(WG("\"fwmark\":4294967295"), "");
	expect(WG("\"table\":0"), "t.json: $.wireguard[0].table: found 0, allowed: ");
	expect("{\"ports\":[" PORT_WAN "],\"wireguard\":[{\"name\":\"wan\"}]}",
		"t.json: $.wireguard[0].name: found \"wan\", as at $.ports[0].name, allowed: ");
	expect("{\"wireguard\":[{\"name\":\"a\",\"private_key\":\"" PRIVATE "\"},"
	       "{\"name\":\"b\",\"private_key\":\"" PRIVATE_B "\"}]}",
		"t.json: $.wireguard[1]: found the same as at $.wireguard[0], allowed: a "
		"listen_port of its "
		"own");
}

static void keys_are_checked_and_never_shown(void)
{
	expect("{\"wireguard\":[{\"name\":\"w\",\"private_key\":\"secret\"}]}",
		"t.json: $.wireguard[0].private_key: found a text that is no key (not shown), "
		"allowed: ");
	expect("{\"wireguard\":[{\"name\":\"w\",\"private_key\":\"<your private key>\"}]}",
		"t.json: $.wireguard[0].private_key: found a placeholder (not shown), allowed: ");
	expect("{\"wireguard\":[{\"name\":\"w\","
	       "\"private_key\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}]}",
		"t.json: $.wireguard[0].private_key: found a placeholder (not shown), allowed: ");
	expect("{\"wireguard\":[{\"name\":\"w\",\"private_key\":[\"" PRIVATE "\"]}]}",
		"t.json: $.wireguard[0].private_key: found a value that is no text (not shown), "
		"allowed: ");
	expect(WG("\"private_key_file\":\"k\""), "t.json: $.wireguard[0].private_key_file: found "
						 "the key inline and by file, allowed: ");
	expect(WG("\"peers\":[{}]"),
		"t.json: $.wireguard[0].peers[0].public_key: found nothing, allowed: ");
	expect(WG("\"peers\":[{\"public_key\":\"REPLACE: key of branch-a\"}]"),
		"t.json: $.wireguard[0].peers[0].public_key: found a placeholder (not shown), "
		"allowed: ");
	// The last character has bits that a canonical key does not.
	expect(WG("\"peers\":[{\"public_key\":\"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dh=\"}]"),
		"t.json: $.wireguard[0].peers[0].public_key: found a text that is no key (not "
		"shown)");
	expect(WG("\"peers\":[{\"public_key\":\"HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=\"}]"),
		"t.json: $.wireguard[0].peers[0].public_key: found this interface's own public "
		"key");
}

static void the_own_public_key_is_no_peer(void)
{
	expect(WG("\"peers\":[{\"public_key\":\"" PUBLIC_A "\"},{\"public_key\":\"" PUBLIC "\"}]"),
		"t.json: $.wireguard[0].peers[1].public_key: found this interface's own public "
		"key");
}

static void peers_are_unique(void)
{
	expect(WG("\"peers\":[{\"public_key\":\"" PUBLIC_A "\"},{\"public_key\":\"" PUBLIC_A
		  "\"}]"),
		"t.json: $.wireguard[0].peers[1].public_key: found \"" PUBLIC_A
		"\", as at $.wireguard[0].peers[0].public_key, allowed: each public key once");
	expect(WG("\"peers\":[{\"name\":\"a\",\"public_key\":\"" PUBLIC_A "\"},{\"name\":\"a\","
		  "\"public_key\":\"" PUBLIC_B "\"}]"),
		"t.json: $.wireguard[0].peers[1].name: found \"a\", as at "
		"$.wireguard[0].peers[0].name");
	expect(WG("\"peers\":[{\"public_key\":\"" PUBLIC_A "\",\"allowed_ips\":[\"10.0.0.0/8\"]},"
		  "{\"public_key\":\"" PUBLIC_B
		  "\",\"allowed_ips\":[\"10.0.0.0/16\",\"10.0.0.0/8\"]}]"),
		"t.json: $.wireguard[0].peers[1].allowed_ips[1]: found \"10.0.0.0/8\", as at "
		"$.wireguard[0].peers[0].allowed_ips[0], allowed: each prefix at one peer");
	expect(PEER("\"name\":\"\""),
		"t.json: $.wireguard[0].peers[0].name: found \"\", allowed: ");
	expect(PEER("\"name\":\"a\\nb\""),
		"t.json: $.wireguard[0].peers[0].name: found \"a\\x0ab\", ");
}

static void prefixes_and_endpoints_are_checked(void)
{
	static const char *const endpoints[] = {"host", "host:", ":1", "host:0", "host:65536",
		"host:+1", "host:1x", "[::1]", "::1:51820", "[10.0.0.1]:1", "[host]:1", "10.1:1",
		"10.0.0.256:1", "0.0.0.0:1", "[::]:1", "a b:1", "-x:1", "host:1:2", "[::1:1",
		"::1]:1", "[fe80::1]:1", "fe80::1%wan:1", "[2001:db8::1%wan]:1", "[fe80::1%]:1",
		"[fe80::1%abcdefghijklmnop]:1"};
	size_t i;

	expect(PEER("\"allowed_ips\":[\"10.0.0.0/8\",\"10.0.0.0/33\"]"),
		"t.json: $.wireguard[0].peers[0].allowed_ips[1]: found \"10.0.0.0/33\", allowed: "
		"an IPv4 or "
		"IPv6 prefix such as 10.0.0.0/8");
	expect(PEER("\"allowed_ips\":[\"10.0.0.1/8\"]"),
		"t.json: $.wireguard[0].peers[0].allowed_ips[0]: found \"10.0.0.1/8\", allowed: a "
		"prefix "
		"without host bits: 10.0.0.0/8");
	expect(PEER("\"allowed_ips\":[7]"),
		"t.json: $.wireguard[0].peers[0].allowed_ips[0]: found 7, ");
	expect(PEER("\"allowed_ips\":\"10.0.0.0/8\""),
		"t.json: $.wireguard[0].peers[0].allowed_ips: found \"10.0.0.0/8\", allowed: a "
		"list of");
	for (i = 0; i < G_N_ELEMENTS(endpoints); i++) {
		char *text = g_strdup_printf(PEER("\"endpoint\":\"%s\""), endpoints[i]);

		expect(text, "t.json: $.wireguard[0].peers[0].endpoint: found ");
		g_free(text);
	}
	expect(PEER("\"endpoint\":\"a-1.example:65535\""), "");
	expect(PEER("\"endpoint\":\"[fe80::1%wan]:51820\""), "");
	expect(PEER("\"persistent_keepalive\":65536"),
		"t.json: $.wireguard[0].peers[0].persistent_keepalive: found 65536, allowed: ");
}

static void routes_are_checked(void)
{
	expect("{\"routes\":[{}]}", "t.json: $.routes[0].to: found nothing, allowed: ");
	expect("{\"routes\":[{\"to\":\"10.0.0.0/8\"}]}",
		"t.json: $.routes[0]: found a route without \"via\" and \"dev\", allowed: ");
	expect("{\"routes\":[{\"to\":\"10.0.0.1/8\",\"via\":\"10.9.9.9\"}]}",
		"t.json: $.routes[0].to: found \"10.0.0.1/8\", allowed: a prefix without host "
		"bits");
	expect("{\"routes\":[{\"to\":\"::/0\",\"via\":\"10.9.9.9\"}]}",
		"t.json: $.routes[0].via: found \"10.9.9.9\", allowed: ");
	expect("{\"routes\":[{\"to\":\"::/0\",\"dev\":\"eth9\"}]}",
		"t.json: $.routes[0].dev: found \"eth9\", allowed: the name of a port or WireGuard "
		"interface");
	expect("{\"routes\":[{\"to\":\"::/0\",\"via\":\"fe80::1\"},{\"to\":\"::/"
	       "0\",\"via\":\"fe80::2\"}]}",
		"t.json: $.routes[1]: found the same as at $.routes[0], allowed: ");
	expect("{\"routes\":[{\"to\":\"::/0\",\"via\":\"fe80::1\"},{\"to\":\"::/"
	       "0\",\"via\":\"fe80::2\","
	       "\"metric\":5}]}",
		"");
	expect("{\"wireguard\":[{\"name\":\"a\",\"private_key\":\"" PRIVATE
	       "\",\"peers\":[{\"public_key\":"
	       "\"" PUBLIC_A "\",\"allowed_ips\":[\"10.0.0.0/8\"]}]}],"
	       "\"routes\":[{\"to\":\"10.0.0.0/8\",\"via\":\"10.9.9.9\"}]}",
		"t.json: $.routes[0]: found the same as at $.wireguard[0].peers[0].allowed_ips[0], "
		"allowed: ");
}

static void a_default_route_into_a_marked_tunnel_has_a_table_of_its_own(void)
{
	static const char tunnel[] =
		"{\"wireguard\":[{\"name\":\"a\",\"private_key\":\"" PRIVATE "\",%s\"peers\":[{"
		"\"public_key\":\"" PUBLIC_A "\",\"allowed_ips\":[\"0.0.0.0/0\"]}]}],"
		"\"routes\":[{\"to\":\"0.0.0.0/0\",\"via\":\"198.51.100.1\"}]}";
	char *marked = g_strdup_printf(tunnel, "\"fwmark\":51820,");
	char *plain = g_strdup_printf(tunnel, "");

	expect(marked, "");
	expect(plain,
		"t.json: $.routes[0]: found the same as at $.wireguard[0].peers[0].allowed_ips[0]");
	g_free(marked);
	g_free(plain);
}

static void expect_load(const char *path, const char *want)
{
	char *error = NULL;
	struct config *c = config_load(path, &error);

	if (!want) {
		CU_ASSERT_PTR_NOT_NULL(c);
	} else {
		CU_ASSERT_PTR_NULL(c);
		CU_ASSERT_PTR_NOT_NULL_FATAL(error);
		CU_ASSERT_TRUE(g_str_has_prefix(error, path));
		CU_ASSERT_PTR_NOT_NULL(strstr(error, want));
		CU_ASSERT_PTR_NULL(strstr(error, PRIVATE));
		if (!strstr(error, want))
			printf("\n  wanted: %s\n  got:    %s\n", want, error);
	}
	g_free(error);
	config_free(c);
}

static void files_are_read_and_keys_in_them_kept_private(void)
{
	char *missing = g_build_filename(dir, "missing.json", NULL);
	char *open_doc = write_file("open.json", WG("\"mtu\":1400"), 0644);
	char *empty = write_file("empty.json", "", 0644);
	char *plain = write_file("plain.json", "{}", 0644);

	expect_load(missing, ": found No such file or directory, allowed: a file that can be read");
	expect_load(dir, ": found Is a directory, allowed: ");
	expect_load(empty, ":1:1: found the end of the file");
	expect_load(plain, NULL);
	expect_load(open_doc,
		": $: found keys in a document of mode 0644, allowed: mode 0600 or less (run: "
		"chmod 600 ");
	CU_ASSERT_EQUAL(chmod(open_doc, 0600), 0);
	expect_load(open_doc, NULL);
	g_free(missing);
	g_free(open_doc);
	g_free(empty);
	g_free(plain);
}

static void key_files_are_read_strictly(void)
{
	char *key = write_file("key", PRIVATE "\n", 0640);
	char *doc = write_file("doc.json",
		"{\"wireguard\":[{\"name\":\"w\",\"private_key_file\":\"key\"}]}", 0644);
	struct config *c;
	char *error = NULL;

	expect_load(doc, "mode 0640, others may read or write it, allowed: mode 0600 or less; run: "
			 "chmod 600");
	CU_ASSERT_EQUAL(chmod(key, 0600), 0);
	c = config_load(doc, &error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(((struct config_wg *)c->wgs->pdata[0])->private_key[31], 0x69);
	config_free(c);

	g_free(write_file("key", PRIVATE " " PRIVATE, 0600));
	expect_load(
		doc, "$.wireguard[0].private_key_file: found a text that is no key (not shown)");
	g_free(write_file("key", "", 0600));
	expect_load(doc, "found a text that is no key (not shown)");
	CU_ASSERT_EQUAL(unlink(key), 0);
	expect_load(doc, "key\": No such file or directory, allowed: a file that can be read");
	CU_ASSERT_EQUAL(mkfifo(key, 0600), 0);
	expect_load(doc, "key\": not a regular file, allowed: a file that holds one key");
	CU_ASSERT_EQUAL(unlink(key), 0);
	g_free(key);
	g_free(doc);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(wireguard_parameters_are_checked),
		TEST(keys_are_checked_and_never_shown),
		TEST(the_own_public_key_is_no_peer),
		TEST(peers_are_unique),
		TEST(prefixes_and_endpoints_are_checked),
		TEST(routes_are_checked),
		TEST(a_default_route_into_a_marked_tunnel_has_a_table_of_its_own),
		TEST(files_are_read_and_keys_in_them_kept_private),
		TEST(key_files_are_read_strictly),
		CU_TEST_INFO_NULL,
	};

	return run_config_tests("config wg", tests);
}
