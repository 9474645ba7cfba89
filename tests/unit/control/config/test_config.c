// SPDX-License-Identifier: BSD-3-Clause
//
// The configuration: a full document becomes the struct, every mistake names file, place, what was found
// and what is allowed, and no message ever quotes a key.
#include "../../../../control/addr.h"
#include "../../../../control/config/config.h"
#include "../../suite.h"

#include <glib.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRIVATE   "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define PRIVATE_B "mBiFvXa7bWbUyNQJGrAoW1yk6i5yPmpiWY0YkVYZfUU="
#define PUBLIC    "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=" // of PRIVATE
#define PUBLIC_A  "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define PUBLIC_B  "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="
#define PSK       "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE="

#define PORT_WAN   "{\"name\":\"wan\",\"driver\":\"null\"}"
#define WG(rest)   "{\"wireguard\":[{\"name\":\"strait0\",\"private_key\":\"" PRIVATE "\"," rest "}]}"
#define PEER(rest) WG("\"peers\":[{\"public_key\":\"" PUBLIC_A "\"," rest "}]")
#define PORT(rest) "{\"ports\":[{\"name\":\"wan\"," rest "}]}"

static char *dir;

// The error of a text, or "" when it is fine.
static char *error_of(const char *text)
{
	char *error = NULL;
	struct config *c = config_parse("t.json", text, &error);

	if (c) {
		config_free(c);
		CU_ASSERT_PTR_NULL(error);
		return g_strdup("");
	}
	return error ? error : g_strdup("NULL without an error");
}

static void expect(const char *text, const char *want)
{
	char *error = error_of(text);
	bool as_wanted = g_str_has_prefix(error, want) && (*want || !*error);

	if (!as_wanted)
		printf("\n  document: %s\n  wanted: %s\n  got:    %s\n", text, want, error);
	CU_ASSERT(as_wanted);
	CU_ASSERT_PTR_NULL(strstr(error, PRIVATE));
	CU_ASSERT_PTR_NULL(strstr(error, PSK));
	g_free(error);
}

static char *write_file(const char *name, const char *text, mode_t mode)
{
	char *path = g_build_filename(dir, name, NULL);

	CU_ASSERT_TRUE_FATAL(g_file_set_contents(path, text, -1, NULL));
	CU_ASSERT_EQUAL_FATAL(chmod(path, mode), 0);
	return path;
}

// ---- what is read --------------------------------------------------------------------------------

static const char full[] =
	"{ // a comment\n"
	" \"run_dir\": \"/run/strait-a\", \"group\": \"wheel\", \"timer_scale\": 2.5,\n"
	" \"dataplane\": {\"lcores\": \"2-3,5\", \"main_cpu\": 1, \"hugepages\": \"no\", "
	"\"memory_mb\": 300,\n"
	"   \"packets\": 32768, \"idle\": \"poll\", \"aead\": \"sodium\"},\n"
	" \"ports\": [\n"
	"  {\"name\": \"wan\", \"driver\": \"af_packet\", \"interface\": \"eth1\", \"queues\": 2,\n"
	"   \"mac\": \"02:00:00:00:0a:01\", \"addresses\": [\"198.51.100.2/24\", "
	"\"2001:db8:1::2/64\"]},\n"
	"  {\"name\": \"lan\", \"driver\": \"pci\", \"address\": \"03:00.1\", \"mtu\": 9000, "
	"\"rx_queues\": 2,\n"
	"   \"tx_queues\": 3, \"ring_size\": 1024, \"host\": false}\n"
	" ],\n"
	" /* block\n comment with \"quotes\" */\n"
	" \"wireguard\": [{\"name\": \"strait0\", \"private_key\": \"" PRIVATE
	"\", \"listen_port\": 4500,\n"
	"  \"fwmark\": \"0xca6c\", \"mtu\": 1400, \"mss_clamp\": false, \"route_allowed_ips\": "
	"false,\n"
	"  \"table\": 100, \"addresses\": [\"10.9.0.1/24\"],\n"
	"  \"peers\": [\n"
	"   {\"name\": \"branch // a\", \"public_key\": \"" PUBLIC_A "\", \"preshared_key\": \"" PSK
	"\",\n"
	"    \"endpoint\": \"vpn.example.org:51820\", \"persistent_keepalive\": 25,\n"
	"    \"allowed_ips\": [\"10.1.0.0/16\", \"2001:db8:a::/48\", \"0.0.0.0/0\", \"::/0\"]},\n"
	"   {\"public_key\": \"" PUBLIC_B "\", \"endpoint\": \"[2001:db8::9]:1\"}]}],\n"
	" \"routes\": [{\"to\": \"0.0.0.0/0\", \"via\": \"198.51.100.1\"},\n"
	"  {\"to\": \"10.7.0.0/16\", \"dev\": \"strait0\", \"table\": 7, \"metric\": 9}]\n"
	"}\n";

static void a_full_document_becomes_the_struct(void)
{
	const struct config_port *wan, *lan;
	const struct config_peer *a, *b;
	const struct config_route *route;
	const struct config_wg *wg;
	char text[PREFIX_TEXT_MAX];
	char *error = NULL, *args;
	struct config *c = config_parse("t.json", full, &error);

	CU_ASSERT_PTR_NULL(error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_STRING_EQUAL(c->file, "t.json");
	CU_ASSERT_EQUAL(c->timer_scale, 2.5);
	args = config_dp_args(c);
	CU_ASSERT_STRING_EQUAL(args,
		"--run-dir /run/strait-a --lcores 2-3,5 --main-cpu 1 --hugepages no --memory 300 "
		"--packets 32768 --idle poll --aead sodium --group wheel --pci 0000:03:00.1");
	g_free(args);

	CU_ASSERT_EQUAL_FATAL(c->ports->len, 2);
	wan = g_ptr_array_index(c->ports, 0);
	CU_ASSERT_STRING_EQUAL(wan->name, "wan");
	CU_ASSERT_EQUAL(wan->driver, DRIVER_AF_PACKET);
	CU_ASSERT_STRING_EQUAL(wan->guard_if, "eth1");
	CU_ASSERT_STRING_EQUAL(wan->devargs,
		"net_af_packet,iface=eth1,qpairs=2,blocksz=65536,framesz=2048,framecnt=2048");
	CU_ASSERT_TRUE(wan->has_mac && wan->mac[0] == 2 && wan->mac[4] == 10 && wan->mac[5] == 1);
	CU_ASSERT_TRUE(wan->host && wan->mtu == 1500);
	CU_ASSERT_EQUAL_FATAL(wan->addresses->len, 2);
	CU_ASSERT_STRING_EQUAL(
		prefix_text(text, &((struct config_address *)wan->addresses->pdata[0])->prefix),
		"198.51.100.0/24");
	CU_ASSERT_STRING_EQUAL(
		addr_text(text, &((struct config_address *)wan->addresses->pdata[1])->addr),
		"2001:db8:1::2");
	lan = g_ptr_array_index(c->ports, 1);
	CU_ASSERT_STRING_EQUAL(lan->devargs, "0000:03:00.1");
	CU_ASSERT_PTR_NULL(lan->guard_if);
	CU_ASSERT_FALSE(lan->host || lan->has_mac);
	CU_ASSERT_TRUE(lan->mtu == 9000 && lan->rx_queues == 2 && lan->tx_queues == 3);
	CU_ASSERT_EQUAL(lan->ring_size, 1024);

	CU_ASSERT_EQUAL_FATAL(c->wgs->len, 1);
	wg = g_ptr_array_index(c->wgs, 0);
	CU_ASSERT_EQUAL(wg->listen_port, 4500);
	CU_ASSERT_EQUAL(wg->fwmark, 0xca6c);
	CU_ASSERT_EQUAL(wg->mtu, 1400);
	CU_ASSERT_FALSE(wg->mss_clamp || wg->route_allowed_ips);
	CU_ASSERT_EQUAL(wg->table, 100);
	CU_ASSERT_EQUAL(wg->private_key[0], 0xc8);
	CU_ASSERT_EQUAL_FATAL(wg->peers->len, 2);
	a = g_ptr_array_index(wg->peers, 0);
	CU_ASSERT_STRING_EQUAL(a->name, "branch // a");
	CU_ASSERT_EQUAL(a->public_key[0], 0xc5);
	CU_ASSERT_TRUE(a->has_preshared_key && a->preshared_key[0] == 0x16);
	CU_ASSERT_STRING_EQUAL(a->endpoint_host, "vpn.example.org");
	CU_ASSERT_TRUE(a->endpoint_port == 51820 && a->keepalive == 25);
	CU_ASSERT_EQUAL_FATAL(a->allowed_ips->len, 4);
	CU_ASSERT_STRING_EQUAL(prefix_text(text, &g_array_index(a->allowed_ips, struct st_prefix, 2)),
		"0.0.0.0/0");
	b = g_ptr_array_index(wg->peers, 1);
	CU_ASSERT_STRING_EQUAL(b->name, PUBLIC_B);
	CU_ASSERT_STRING_EQUAL(b->endpoint_host, "2001:db8::9");
	CU_ASSERT_FALSE(b->has_preshared_key || b->keepalive);

	CU_ASSERT_EQUAL_FATAL(c->routes->len, 2);
	route = g_ptr_array_index(c->routes, 0);
	CU_ASSERT_STRING_EQUAL(addr_text(text, &route->via), "198.51.100.1");
	CU_ASSERT_PTR_NULL(route->dev);
	CU_ASSERT_EQUAL(route->table, 254);
	route = g_ptr_array_index(c->routes, 1);
	CU_ASSERT_STRING_EQUAL(route->dev, "strait0");
	CU_ASSERT_TRUE(route->table == 7 && route->metric == 9 && addr_is_zero(&route->via));
	config_free(c);
}

static void an_empty_document_has_defaults(void)
{
	char *error = NULL, *args;
	struct config *c = config_parse("t.json", "{}", &error);

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	args = config_dp_args(c);
	CU_ASSERT_STRING_EQUAL(args,
		"--run-dir /run/strait --lcores 0 --main-cpu -1 --hugepages auto "
		"--memory 512 --packets 65536 --idle adaptive --aead auto "
		"--group strait");
	g_free(args);
	CU_ASSERT_EQUAL(c->ports->len + c->wgs->len + c->routes->len, 0);
	CU_ASSERT_EQUAL(c->timer_scale, 1);
	config_free(c);
	config_free(NULL);
}

static void each_driver_becomes_a_device_string(void)
{
	static const struct {
		const char *rest, *devargs;
	} rows[] = {
		{"\"driver\":\"pci\",\"address\":\"0000:AF:00.0\"", "0000:af:00.0"},
		{"\"driver\":\"af_packet\",\"interface\":\"e\"",
			"net_af_packet,iface=e,qpairs=1,blocksz=65536,framesz=2048,framecnt=2048"},
		{"\"driver\":\"af_packet\",\"interface\":\"e\",\"mtu\":1964,\"frames\":1001,"
		 "\"qdisc_bypass\":true",
			"net_af_packet,iface=e,qpairs=1,blocksz=65536,framesz=2048,framecnt=992,"
			"qdisc_bypass=1"},
		{"\"driver\":\"af_xdp\",\"interface\":\"e\",\"start_queue\":1,\"queues\":2,"
		 "\"force_copy\":true",
			"net_af_xdp,iface=e,start_queue=1,queue_count=2,busy_budget=64,force_copy="
			"1"},
		{"\"driver\":\"memif\",\"socket\":\"/run/m.sock\",\"role\":\"client\",\"id\":3",
			"net_memif,role=client,id=3,socket=/run/"
			"m.sock,socket-abstract=no,bsize=2048,"
			"rsize=11"},
		{"\"driver\":\"tap\",\"interface\":\"wire0\"", "net_tap,iface=wire0"},
		{"\"driver\":\"ring\"", "net_ring"},
		{"\"driver\":\"null\"", "net_null,size=64,copy=0,no-rx=1"},
		{"\"driver\":\"pcap\",\"rx_pcap\":\"/a.pcap\",\"tx_pcap\":\"/"
		 "b.pcap\",\"infinite_rx\":true",
			"net_pcap,rx_pcap=/a.pcap,tx_pcap=/b.pcap,infinite_rx=1"},
		{"\"driver\":\"devargs\",\"devargs\":\"0000:03:00.0,rx_vec_en=1\"",
			"0000:03:00.0,rx_vec_en=1"},
	};
	size_t i;

	for (i = 0; i < G_N_ELEMENTS(rows); i++) {
		char *text = g_strdup_printf(PORT("%s"), rows[i].rest), *error = NULL;
		struct config *c = config_parse("t.json", text, &error);

		if (error)
			puts(error);
		CU_ASSERT_PTR_NOT_NULL_FATAL(c);
		CU_ASSERT_STRING_EQUAL(
			((struct config_port *)c->ports->pdata[0])->devargs, rows[i].devargs);
		config_free(c);
		g_free(text);
	}
}

// ---- what is refused -----------------------------------------------------------------------------

static void syntax_errors_have_line_and_column(void)
{
	expect("", "t.json:1:1: found the end of the file, allowed: JSON");
	expect("{", "t.json:1:2: found the end of the file, allowed: JSON");
	expect("{\n  \"ports\": [\n  ],\n}", "t.json:4:1: found '}', allowed: JSON");
	expect("{ /* \n\n */ \"group\": x }", "t.json:3:14: found 'x', allowed: JSON");
	expect("{\"group\": \"a\" // b\n \"run_dir\": 1}", "t.json:2:2: found '\"', allowed: JSON");
	expect("{} {}", "t.json:1:4: found '{', allowed: JSON");
	expect("{\n/* never ends", "t.json:2:1: found a comment without end, allowed: ");
	expect("{\"group\":\"a\\u0000b\"}", "t.json:1:12: found \\u0000, allowed: ");
	expect("{\"group\":\"\xff\"}", "t.json:1:11: found a byte that is not UTF-8, allowed: ");
	expect("{\"gr\xc3\xb6sse\": \n\x01}", "t.json:2:1: found a control character, allowed: ");
	expect("{\"group\":\"a\nb\"}",
		"t.json:1:12: found a line break or control character in a text");
	expect("{,}", "t.json:1:2: found ',', allowed: JSON");
	expect("{\"group\" 1}", "t.json:1:10: found '1', allowed: JSON");
	expect("{\"group\": \"a", "t.json:1:11: found a text without end, allowed: ");
	expect("{\"group\": \"a\\", "t.json:1:11: found a text without end, allowed: ");
	expect("[]", "t.json: $: found a list, allowed: an object {...}");
	expect("7", "t.json: $: found 7, allowed: an object {...}");
}

static void unknown_and_double_keys_are_refused(void)
{
	expect("{\"prots\": []}",
		"t.json: $.prots: found an unknown key (did you mean \"ports\"?), "
		"allowed: run_dir, group, ");
	expect("{\"zzzzzzzz\": 1}", "t.json: $.zzzzzzzz: found an unknown key, allowed: ");
	expect("{\"Ports\": []}",
		"t.json: $.Ports: found an unknown key (did you mean \"ports\"?)");
	expect("{\"a b\": 1}", "t.json: $[\"a b\"]: found an unknown key");
	expect("{\"group\":\"a\",\"group\":\"a\"}",
		"t.json: $.group: found this key a second time, allowed: each key once");
	expect(PORT("\"driver\":\"null\",\"adresses\":[]"),
		"t.json: $.ports[0].adresses: found an unknown key (did you mean \"addresses\"?)");
	expect(PORT("\"driver\":\"pci\",\"address\":\"00:01.0\",\"interface\":\"eth0\""),
		"t.json: $.ports[0].interface: found an unknown key");
	expect(PEER("\"allowed_ip\":[]"),
		"t.json: $.wireguard[0].peers[0].allowed_ip: found an unknown "
		"key (did you mean \"allowed_ips\"?)");
}

static void nat_is_refused_by_name_wherever_it_stands(void)
{
	expect("{\"nat\": true}", "t.json: $.nat: found nat, allowed: no address translation");
	expect("{\"whatever\": [1, {\"MASQUERADE\": 1}]}",
		"t.json: $.whatever[1].MASQUERADE: found masquerade, allowed: no address "
		"translation");
	expect(PORT("\"driver\":\"null\",\"snat\":\"198.51.100.2\""),
		"t.json: $.ports[0].snat: found snat, allowed: no address translation");
}

static void wrong_types_and_ranges_are_refused(void)
{
	expect("{\"ports\": {}}",
		"t.json: $.ports: found an object, allowed: a list of objects [{...}]");
	expect("{\"ports\": [1]}", "t.json: $.ports[0]: found 1, allowed: an object {...}");
	expect("{\"wireguard\": [null]}",
		"t.json: $.wireguard[0]: found null, allowed: an object {...}");
	expect("{\"dataplane\": {\"idle\": \"fast\"}}",
		"t.json: $.dataplane.idle: found \"fast\", allowed: one of adaptive, poll");
	expect("{\"dataplane\": {\"packets\": \"many\"}}",
		"t.json: $.dataplane.packets: found \"many\", allowed: a whole number from 4096 to "
		"4194304");
	expect("{\"dataplane\": {\"packets\": 5000.5}}",
		"t.json: $.dataplane.packets: found 5000.5, ");
	expect("{\"dataplane\": {\"packets\": 1000000, \"memory_mb\": 512}}",
		"t.json: $.dataplane.memory_mb: found 512, allowed: \"memory_mb\" of at least 2537 "
		"for "
		"1000000 packets");
	expect("{\"dataplane\": {\"main_cpu\": -2}}",
		"t.json: $.dataplane.main_cpu: found -2, allowed: ");
	expect("{\"dataplane\": {\"main_cpu\": -1}}", "");
	expect(PORT("\"driver\":\"null\",\"mtu\":100"),
		"t.json: $.ports[0].mtu: found 100, allowed: a whole number from 576 to 9216");
	expect(PORT("\"driver\":\"null\",\"host\":\"yes\""),
		"t.json: $.ports[0].host: found \"yes\", allowed: true or false");
	expect(PORT("\"driver\":\"null\",\"ring_size\":1000"),
		"t.json: $.ports[0].ring_size: found 1000, allowed: 0 (the device's default) or a "
		"power");
	expect("{\"run_dir\": \"run\"}",
		"t.json: $.run_dir: found \"run\", allowed: an absolute path");
	expect("{\"run_dir\": \"/run/a b\"}", "t.json: $.run_dir: found \"/run/a b\", allowed: ");
	expect("{\"group\": \"$(id)\"}",
		"t.json: $.group: found \"$(id)\", allowed: the name of a group");
	expect("{\"group\": \"a\\u001b[31m\"}", "t.json: $.group: found \"a\\x1b[31m\", allowed: ");
	expect("{\"timer_scale\": 0}",
		"t.json: $.timer_scale: found 0, allowed: a number from 1 to 1000");
}

static void cpu_lists_are_checked(void)
{
	static const char *const bad[] = {"", ",", "0,", "a", "1-", "-1", "3-2", "0,0", "0-3,2",
		"1024", "0 1", "0-64", "99999999999999999999999"};
	size_t i;

	for (i = 0; i < G_N_ELEMENTS(bad); i++) {
		char *text = g_strdup_printf("{\"dataplane\":{\"lcores\":\"%s\"}}", bad[i]);

		expect(text, "t.json: $.dataplane.lcores: found ");
		g_free(text);
	}
	expect("{\"dataplane\":{\"lcores\":\"0-63\"}}", "");
	expect("{\"dataplane\":{\"lcores\":\"1023,7,8-9\"}}", "");
}

static void port_parameters_are_checked(void)
{
	expect("{\"ports\":[{}]}",
		"t.json: $.ports[0].driver: found nothing, allowed: one of pci, af_packet");
	expect("{\"ports\":[{\"driver\":\"null\"}]}",
		"t.json: $.ports[0].name: found nothing, allowed: an interface name");
	expect(PORT("\"driver\":\"dpdk\""),
		"t.json: $.ports[0].driver: found \"dpdk\", allowed: one of pci, ");
	expect("{\"ports\":[{\"driver\":\"null\",\"name\":\"sixteen-letters-\"}]}",
		"t.json: $.ports[0].name: found \"sixteen-letters-\", allowed: an interface name "
		"of 1 to 15");
	expect("{\"ports\":[{\"driver\":\"null\",\"name\":\"a/b\"}]}",
		"t.json: $.ports[0].name: found ");
	expect("{\"ports\":[{\"driver\":\"null\",\"name\":\"all\"}]}",
		"t.json: $.ports[0].name: found ");
	expect(PORT("\"driver\":\"pci\""),
		"t.json: $.ports[0].address: found nothing, allowed: a PCI address");
	expect(PORT("\"driver\":\"pci\",\"address\":\"03:00\""),
		"t.json: $.ports[0].address: found \"03:00\"");
	expect(PORT("\"driver\":\"pci\",\"address\":\"03:00.9\""),
		"t.json: $.ports[0].address: found ");
	expect(PORT("\"driver\":\"af_packet\""),
		"t.json: $.ports[0].interface: found nothing, allowed: ");
	expect(PORT("\"driver\":\"af_packet\",\"interface\":\"a,b=1\""),
		"t.json: $.ports[0].interface: ");
	expect(PORT("\"driver\":\"af_packet\",\"interface\":\"wan\""),
		"t.json: $.ports[0].interface: found \"wan\", as at $.ports[0].name, allowed: ");
	expect(PORT("\"driver\":\"af_packet\",\"interface\":\"e\",\"mtu\":1965"),
		"t.json: $.ports[0].mtu: found 1965, allowed: an MTU of at most 1964 with "
		"af_packet");
	expect(PORT("\"driver\":\"memif\",\"socket\":\"m\",\"role\":\"server\""),
		"t.json: $.ports[0].socket: found \"m\", allowed: an absolute path");
	expect(PORT("\"driver\":\"memif\",\"socket\":\"/m\""),
		"t.json: $.ports[0].role: found nothing, allowed: server or client");
	expect(PORT("\"driver\":\"memif\",\"socket\":\"/m\",\"role\":\"master\""),
		"t.json: $.ports[0].role: found \"master\", allowed: one of server, client");
	expect(PORT("\"driver\":\"pcap\""), "t.json: $.ports[0].rx_pcap: found nothing, allowed: ");
	expect(PORT("\"driver\":\"devargs\",\"devargs\":\"net_null, size=1\""),
		"t.json: $.ports[0].devargs: ");
	expect(PORT("\"driver\":\"null\",\"mac\":\"01:00:5e:00:00:01\""),
		"t.json: $.ports[0].mac: found \"01:00:5e:00:00:01\", allowed: a unicast MAC");
	expect(PORT("\"driver\":\"null\",\"mac\":\"02:00:00:00:00\""),
		"t.json: $.ports[0].mac: found ");
	expect(PORT("\"driver\":\"null\",\"addresses\":[\"10.0.0.1\"]"),
		"t.json: $.ports[0].addresses[0]: found \"10.0.0.1\", allowed: an address with "
		"prefix length");
	expect(PORT("\"driver\":\"null\",\"addresses\":[\"224.0.0.1/4\"]"),
		"t.json: $.ports[0].addresses[0]");
	expect(PORT("\"driver\":\"null\",\"host\":false,\"addresses\":[\"10.0.0.1/8\"]"),
		"t.json: $.ports[0].addresses: found addresses on a port without host device, "
		"allowed: ");
	expect("{\"ports\":[" PORT_WAN "," PORT_WAN "]}",
		"t.json: $.ports[1].name: found \"wan\", as at $.ports[0].name, allowed: a name of "
		"its own");
}

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

// ---- files ---------------------------------------------------------------------------------------

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

// A sample with its placeholders replaced by keys is a valid document; without, it is refused for them.
static void check_sample(const char *name)
{
	static const char *const public_keys[] = {PUBLIC_A, PUBLIC_B, PSK};
	char *path = g_build_filename(SAMPLES, name, NULL), *text = NULL, *error = NULL;
	char *key = write_file("sample.key", PRIVATE "\n", 0600), *quoted;
	unsigned int n = 0;
	struct config *c;
	GString *out;

	CU_ASSERT_TRUE_FATAL(g_file_get_contents(path, &text, NULL, NULL));
	out = g_string_new(text);
	quoted = g_strdup_printf("_file\": \"%s\"", key);
	for (;;) {
		char *at = strstr(out->str, "\"REPLACE"), *end = at ? strchr(at + 1, '"') : NULL;

		if (!end)
			break;
		g_string_erase(out, at - out->str + 1, end - at - 1);
		g_string_insert(out, at - out->str + 1, public_keys[n++ % 3]);
	}
	for (;;) {
		char *at = strstr(out->str, "_file\": \"/etc/"),
		     *end = at ? strchr(at + 9, '"') : NULL;

		if (!end)
			break;
		g_string_erase(out, at - out->str, end - at + 1);
		g_string_insert(out, at - out->str, quoted);
	}
	c = config_parse(name, out->str, &error);
	if (error)
		puts(error);
	CU_ASSERT_PTR_NOT_NULL(c);
	config_free(c);
	g_free(error);
	error = NULL;
	if (n) {
		c = config_parse(name, text, &error);
		CU_ASSERT_PTR_NULL(c);
		g_free(error);
	}
	g_string_free(out, TRUE);
	g_free(quoted);
	g_free(text);
	g_free(path);
	g_free(key);
}

static void the_samples_are_valid_but_for_their_keys(void)
{
	GDir *samples = g_dir_open(SAMPLES, 0, NULL);
	unsigned int n = 0;
	const char *name;

	CU_ASSERT_PTR_NOT_NULL_FATAL(samples);
	while ((name = g_dir_read_name(samples))) {
		if (g_str_has_suffix(name, ".json")) {
			check_sample(name);
			n++;
		}
	}
	g_dir_close(samples);
	CU_ASSERT_TRUE(n >= 4);
}

static void remove_dir(void)
{
	GDir *d = g_dir_open(dir, 0, NULL);
	const char *name;

	while (d && (name = g_dir_read_name(d))) {
		char *path = g_build_filename(dir, name, NULL);

		unlink(path);
		g_free(path);
	}
	if (d)
		g_dir_close(d);
	rmdir(dir);
	g_free(dir);
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"a full document becomes the struct", a_full_document_becomes_the_struct},
		{"an empty document has defaults", an_empty_document_has_defaults},
		{"each driver becomes a device string", each_driver_becomes_a_device_string},
		{"syntax errors have line and column", syntax_errors_have_line_and_column},
		{"unknown and double keys are refused", unknown_and_double_keys_are_refused},
		{"nat is refused by name wherever it stands",
			nat_is_refused_by_name_wherever_it_stands},
		{"wrong types and ranges are refused", wrong_types_and_ranges_are_refused},
		{"cpu lists are checked", cpu_lists_are_checked},
		{"port parameters are checked", port_parameters_are_checked},
		{"wireguard parameters are checked", wireguard_parameters_are_checked},
		{"keys are checked and never shown", keys_are_checked_and_never_shown},
		{"ice parameters are checked", ice_parameters_are_checked},
		{"ice and an endpoint exclude each other", ice_and_an_endpoint_exclude_each_other},
		{"passwords come from private files", passwords_come_from_private_files},
		{"the own public key is no peer", the_own_public_key_is_no_peer},
		{"peers are unique", peers_are_unique},
		{"prefixes and endpoints are checked", prefixes_and_endpoints_are_checked},
		{"routes are checked", routes_are_checked},
		{"a default route into a marked tunnel has a table of its own",
			a_default_route_into_a_marked_tunnel_has_a_table_of_its_own},
		{"files are read and keys in them kept private",
			files_are_read_and_keys_in_them_kept_private},
		{"key files are read strictly", key_files_are_read_strictly},
		{"the samples are valid but for their keys", the_samples_are_valid_but_for_their_keys},
		CU_TEST_INFO_NULL,
	};
	int ret;

	dir = g_dir_make_tmp("strait-config-XXXXXX", NULL);
	if (!dir)
		return 99;
	ret = run_tests("config", tests);
	remove_dir();
	return ret;
}
