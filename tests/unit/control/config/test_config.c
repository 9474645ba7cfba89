// SPDX-License-Identifier: BSD-3-Clause
//
// The document: it becomes the struct, every mistake names file, place, what was found and what is allowed; ports,
// and the samples of configs/.
#include "../../../../control/addr.h"
#include "config_text.h"

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

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_full_document_becomes_the_struct),
		TEST(an_empty_document_has_defaults),
		TEST(each_driver_becomes_a_device_string),
		TEST(syntax_errors_have_line_and_column),
		TEST(unknown_and_double_keys_are_refused),
		TEST(nat_is_refused_by_name_wherever_it_stands),
		TEST(wrong_types_and_ranges_are_refused),
		TEST(cpu_lists_are_checked),
		TEST(port_parameters_are_checked),
		TEST(the_samples_are_valid_but_for_their_keys),
		CU_TEST_INFO_NULL,
	};

	return run_config_tests("config", tests);
}
