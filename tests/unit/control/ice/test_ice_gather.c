// SPDX-License-Identifier: BSD-3-Clause
//
// Candidates: which of the box's addresses are signalled and under which external ones, what STUN servers say of us,
// and which of the peer's are taken. Interfaces and clock are the test's (getifaddrs and g_get_monotonic_time are defined here
// and found before the libraries'), so is the STUN server.
#include "../../../../control/addr.h"
#include "../../../../control/ice/agent_internal.h"
#include "../../suite.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>

#define PORT 51820

static uint64_t clock_ms = 100000;

gint64 g_get_monotonic_time(void)
{
	return (gint64)clock_ms * 1000;
}

// ---- the box -------------------------------------------------------------------------------------------

static struct box {
	const char *name, *addr;
	unsigned int flags;
} box[16];

void freeifaddrs(struct ifaddrs *all)
{
	struct ifaddrs *next;

	for (; all; all = next) {
		next = all->ifa_next;
		g_free(all->ifa_addr);
		g_free(all);
	}
}

static bool kernel_fails;

int getifaddrs(struct ifaddrs **ret)
{
	*ret = NULL;
	if (kernel_fails) {
		errno = ENOBUFS;
		return -1;
	}
	for (size_t n = G_N_ELEMENTS(box); n-- > 0;) {
		struct sockaddr_storage *ss = g_new0(struct sockaddr_storage, 1);
		struct ifaddrs *i;
		struct st_addr a;

		if (!box[n].name || !addr_parse(&a, box[n].addr)) {
			g_free(ss);
			continue;
		}
		addr_to_sockaddr(ss, &a, 0);
		i = g_new0(struct ifaddrs, 1);
		i->ifa_next = *ret;
		i->ifa_name = (char *)box[n].name;
		i->ifa_flags = box[n].flags;
		i->ifa_addr = (struct sockaddr *)ss;
		*ret = i;
	}
	return 0;
}

static void box_is(const struct box *all, size_t n)
{
	memset(box, 0, sizeof(box));
	memcpy(box, all, n * sizeof(*all));
}

// ---- strait --------------------------------------------------------------------------------------------

static struct ice *ice;
static struct ice_settings settings;
static unsigned int asked;
static struct st_addr asked_server;
static uint16_t asked_port_be;
static uint8_t asked_tid[STUN_TID_LEN];
static GString *signalled;

static int env_send(const struct st_addr *local, const struct st_addr *remote, uint16_t port_be,
	const void *data, size_t len, void *arg)
{
	struct stun_msg m;

	CU_ASSERT_EQUAL_FATAL(stun_parse(&m, data, len), 0);
	CU_ASSERT_EQUAL(m.type, STUN_BINDING | STUN_REQUEST);
	asked++;
	asked_server = *remote;
	asked_port_be = port_be;
	memcpy(asked_tid, stun_tid(&m), sizeof(asked_tid));
	return 0;
}

static uint16_t env_port(void *arg)
{
	return PORT;
}

static bool env_overlay_address(const struct st_addr *a, void *arg)
{
	return addr_is_v4(a) && a->b[12] == 100;
}

static bool env_overlay_device(const char *name, void *arg)
{
	return !strcmp(name, "strait0");
}

// A relay with ports from 50000 on, which the NAT in front calls 198.51.100.77.
static void env_inside(struct st_addr *addr, uint16_t port_be, void *arg)
{
	struct st_addr external;

	addr_parse(&external, "198.51.100.77");
	if (ntohs(port_be) >= 50000 && !memcmp(addr, &external, sizeof(external)))
		addr_parse(addr, "10.0.3.1");
}

static void on_candidate(const char *text, void *arg)
{
	g_auto(GStrv) f = g_strsplit(text, " ", -1);

	// Without foundation and priority.
	g_string_append_printf(signalled, "%s %s %s", f[7], f[4], f[5]);
	if (g_strv_length(f) > 8)
		g_string_append_printf(signalled, " < %s %s", f[9], f[11]);
	g_string_append(signalled, "; ");
}

static void on_failed(const char *why, void *arg)
{
}

static const struct ice_agent_ops agent_ops = {on_candidate, NULL, on_failed};

static void begin(const struct box *all, size_t n, const struct ice_settings *s)
{
	static const struct ice_env env = {.name = "test",
		.send = env_send,
		.port = env_port,
		.overlay_address = env_overlay_address,
		.overlay_device = env_overlay_device,
		.inside = env_inside};
	char *error = NULL;

	box_is(all, n);
	asked = 0;
	CU_ASSERT_EQUAL_FATAL(ice_settings_check(s, &error), 0);
	ice = ice_new(&env, "/nonexistent");
	ice_apply(ice, s);
}

static void end(void)
{
	ice_free(ice);
}

// An attempt up to where libnice would come in.
static struct ice_agent *attempt(void)
{
	struct ice_attempt new = {.peer_id = 1};
	struct ice_agent *a = ice_agent_new(ice, &new, &agent_ops, NULL);

	a->stun = ice->stun;
	a->port_be = htons(PORT);
	a->begun = true;
	g_array_append_vals(a->bases, ice->hosts->data, ice->hosts->len);
	return a;
}

static void hosts_are(const char *wanted)
{
	struct ice_agent *a = attempt();

	signalled = g_string_new(NULL);
	agent_signal_hosts(a);
	if (strcmp(signalled->str, wanted))
		fprintf(stderr, "\nis \"%s\"\n", signalled->str);
	CU_ASSERT_STRING_EQUAL(signalled->str, wanted);
	g_string_free(signalled, TRUE);
	ice_agent_free(a);
}

// ---- hosts ---------------------------------------------------------------------------------------------

static const struct box plain[] = {
	{"wan", "192.0.2.1", IFF_UP}, {"wan", "2001:db8::1", IFF_UP}, {"lan", "10.1.0.1", IFF_UP}};

static void addresses_that_nobody_could_reach_are_not_signalled(void)
{
	static const struct box all[] = {
		{"lo0", "192.0.2.8", IFF_UP | IFF_LOOPBACK},
		{"off", "192.0.2.9", 0},
		{"wan", "127.0.0.2", IFF_UP},
		{"wan", "169.254.1.1", IFF_UP},
		{"wan", "fe80::1", IFF_UP},
		{"wan", "fec0::1", IFF_UP},
		{"wan", "::192.0.2.3", IFF_UP},
		{"wan", "100.64.0.1", IFF_UP}, // inside our tunnels
		{"strait0", "192.0.2.7", IFF_UP},
		{"docker0", "172.17.0.1", IFF_UP},
		{"wt0", "192.0.2.6", IFF_UP},
		{"wan", "192.0.2.1", IFF_UP},
		{"wan2", "192.0.2.1", IFF_UP}, // the same again
		{"wan", "2001:db8::1", IFF_UP},
	};

	begin(all, G_N_ELEMENTS(all), &settings);
	hosts_are("host 192.0.2.1 51820; host 2001:db8::1 51820; ");
	end();
}

static void the_blacklist_holds_beginnings_of_names_in_place_of_its_default(void)
{
	static char *list[] = {"la", "wt9", NULL};
	static const struct box all[] = {{"wan", "192.0.2.1", IFF_UP}, {"lan", "10.1.0.1", IFF_UP},
		{"elan", "10.3.0.1", IFF_UP}, {"docker0", "172.17.0.1", IFF_UP}};
	struct ice_settings s = {.interface_blacklist = list};

	begin(all, G_N_ELEMENTS(all), &s);
	hosts_are("host 192.0.2.1 51820; host 10.3.0.1 51820; host 172.17.0.1 51820; ");
	end();
}

static void without_ipv6_discovery_no_ipv6_is_signalled(void)
{
	struct ice_settings s = {.disable_ipv6_discovery = true};

	begin(plain, G_N_ELEMENTS(plain), &s);
	hosts_are("host 192.0.2.1 51820; host 10.1.0.1 51820; ");
	end();
}

static void an_external_address_alone_stands_for_all_of_its_family(void)
{
	static char *ips[] = {"203.0.113.9", NULL};
	struct ice_settings s = {.nat_external_ips = ips};

	begin(plain, G_N_ELEMENTS(plain), &s);
	hosts_are("host 203.0.113.9 51820; host 2001:db8::1 51820; ");
	end();
}

static void with_pairs_only_what_is_in_one_is_signalled(void)
{
	static char *ips[] = {"203.0.113.9/10.1.0.1", "2001:db8:9::9/wan", "203.0.113.8/none", NULL};
	struct ice_settings s = {.nat_external_ips = ips};

	begin(plain, G_N_ELEMENTS(plain), &s);
	hosts_are("host 2001:db8:9::9 51820; host 203.0.113.9 51820; ");
	// The interface comes later.
	box[3] = (struct box){"none", "10.4.0.1", IFF_UP};
	ice_hosts_refresh(ice);
	hosts_are("host 2001:db8:9::9 51820; host 203.0.113.9 51820; host 203.0.113.8 51820; ");
	end();
}

static void what_was_known_goes_on_when_the_kernel_does_not_answer(void)
{
	begin(plain, 2, &settings);
	hosts_are("host 192.0.2.1 51820; host 2001:db8::1 51820; ");
	kernel_fails = true;
	box[0].addr = "192.0.2.2";
	ice_hosts_refresh(ice);
	hosts_are("host 192.0.2.1 51820; host 2001:db8::1 51820; ");
	kernel_fails = false;
	ice_hosts_refresh(ice);
	hosts_are("host 192.0.2.2 51820; host 2001:db8::1 51820; ");
	end();
}

// ---- STUN servers --------------------------------------------------------------------------------------

static void begin_with_server(void)
{
	static struct ice_server server = {.url = "stun:192.0.2.53:3479"};
	struct ice_settings s = {.servers = &server, .nb_servers = 1};

	begin(plain, G_N_ELEMENTS(plain), &s); // asks already
}

// The server's, or of who says to be it: to what was asked last.
static void answer(const char *from, uint16_t class, const char *mapped)
{
	struct wg_datagram d = {.remote_port_be = htons(3479)};
	uint8_t buf[128];
	struct st_addr a;
	struct stun_out o;

	addr_parse(&d.local, "192.0.2.1");
	addr_parse(&d.remote, from);
	addr_parse(&a, mapped);
	stun_begin(&o, buf, sizeof(buf), STUN_BINDING | class, asked_tid);
	if (class == STUN_SUCCESS)
		stun_add_address(&o, STUN_ATTR_XOR_MAPPED_ADDRESS, &a, htons(40001));
	else
		stun_add_error(&o, 500, "Server Error");
	d.len = (uint16_t)stun_end(&o, NULL, 0, false);
	d.data = buf;
	CU_ASSERT_TRUE(ice_receive(ice, &d));
}

static unsigned int known(void)
{
	struct ice_reflexive all[4];

	return stun_client_get(ice->stun, all, 4);
}

static void one_answer_serves_all_attempts_for_25_seconds(void)
{
	begin_with_server();
	CU_ASSERT_EQUAL(asked, 1);
	CU_ASSERT_EQUAL(ntohs(asked_port_be), 3479);
	stun_client_ask(ice->stun); // another attempt, before the answer
	CU_ASSERT_EQUAL(asked, 1);
	CU_ASSERT_EQUAL(known(), 0);
	answer("192.0.2.53", STUN_SUCCESS, "203.0.113.1");
	CU_ASSERT_EQUAL(known(), 1);
	for (int n = 0; n < 24; n++) {
		clock_ms += 1000;
		stun_client_ask(ice->stun);
	}
	CU_ASSERT_EQUAL(asked, 1);
	clock_ms += 1001;
	stun_client_ask(ice->stun);
	CU_ASSERT_EQUAL(asked, 2);
	CU_ASSERT_EQUAL(known(), 1); // until the new one is there
	clock_ms += 25000;
	CU_ASSERT_EQUAL(known(), 0); // or does not come
	end();
}

static void an_answer_reaches_the_attempts_under_way_as_a_candidate_with_our_port(void)
{
	struct ice_agent *one, *two;

	begin_with_server();
	one = attempt();
	two = attempt();
	signalled = g_string_new(NULL);
	answer("192.0.2.53", STUN_SUCCESS, "203.0.113.1");
	CU_ASSERT_STRING_EQUAL(signalled->str, "srflx 203.0.113.1 40001 < 192.0.2.1 51820; "
					       "srflx 203.0.113.1 40001 < 192.0.2.1 51820; ");
	g_string_free(signalled, TRUE);
	ice_agent_free(one);
	ice_agent_free(two);
	end();
}

static void only_the_server_that_was_asked_is_believed(void)
{
	begin_with_server();
	answer("192.0.2.66", STUN_SUCCESS, "203.0.113.66"); // it knows the transaction
	CU_ASSERT_EQUAL(ice->counters.stun_spoofed, 1);
	CU_ASSERT_EQUAL(known(), 0);
	answer("192.0.2.53", STUN_ERROR, "203.0.113.1");
	CU_ASSERT_EQUAL(known(), 0);
	clock_ms += 1000;
	stun_client_ask(ice->stun); // the next attempt asks again
	CU_ASSERT_EQUAL(asked, 2);
	answer("192.0.2.53", STUN_SUCCESS, "224.0.0.1"); // nobody's address
	CU_ASSERT_EQUAL(known(), 0);
	stun_client_ask(ice->stun);
	CU_ASSERT_EQUAL(asked, 3);
	answer("192.0.2.53", STUN_SUCCESS, "203.0.113.1");
	CU_ASSERT_EQUAL(known(), 1);
	end();
}

// ---- what strait-ice tells --------------------------------------------------------------------------------

// libnice has a socket of its own towards a TURN server, and calls what the server sees of it server-reflexive:
// nothing of a peer ever arrives there.
static void of_what_libnice_calls_candidates_only_our_relays_are_signalled(void)
{
	struct ice_msg_candidate m = {.head.type = ICE_MSG_LOCAL_CANDIDATE, .type = ICE_MSG_SRFLX};
	struct st_addr mapped;
	struct ice_agent *a;

	begin(plain, G_N_ELEMENTS(plain), &settings);
	a = attempt();
	m.head.agent = a->number;
	addr_parse(&mapped, "203.0.113.1");
	ice_set_addr(&m.addr, &mapped, htons(40002));
	signalled = g_string_new(NULL);
	ice_agent_message(ice, &m.head, sizeof(m));
	m.type = ICE_MSG_RELAY; // of no allocation of ours
	ice_agent_message(ice, &m.head, sizeof(m));
	CU_ASSERT_STRING_EQUAL(signalled->str, "");
	g_string_free(signalled, TRUE);
	ice_agent_free(a);
	end();
}

// ---- candidates of the peer ---------------------------------------------------------------------------------

static void a_relay_of_ours_behind_a_nat_is_meant_by_its_address_inside(void)
{
	struct ice_agent *a;

	begin(plain, G_N_ELEMENTS(plain), &settings);
	a = attempt();
	CU_ASSERT_EQUAL(ice_agent_candidate(a, "1 1 udp 9 10.0.3.1 50000 typ host"), 0);
	CU_ASSERT_EQUAL(ice_agent_candidate(a, "1 1 udp 9 198.51.100.77 50000 typ relay raddr "
					       "10.0.0.9 rport 9"),
		-EALREADY);
	CU_ASSERT_EQUAL(ice_agent_candidate(a, "1 1 udp 9 198.51.100.77 40000 typ host"), 0);
	ice_agent_free(a);
	end();
}

static void candidates_are_taken_once_per_address_and_up_to_the_cap(void)
{
	struct ice_agent *a;
	char line[128];

	begin(plain, G_N_ELEMENTS(plain), &settings);
	a = attempt();
	CU_ASSERT_EQUAL(strlen(ice_agent_local(a)->ufrag), 16);
	CU_ASSERT_EQUAL(strlen(ice_agent_local(a)->pwd), 32);
	CU_ASSERT_EQUAL(ice_agent_candidate(a, "1 1 udp 9 10.0.0.1 7 typ host"), 0);
	// What pion signals behind no NAT; two of them make libnice abort.
	CU_ASSERT_EQUAL(
		ice_agent_candidate(a, "2 1 udp 8 10.0.0.1 7 typ srflx raddr 0.0.0.0 rport 7"),
		-EALREADY);
	CU_ASSERT_EQUAL(ice_agent_candidate(a, "1 1 udp 9 100.64.0.1 7 typ host"), -EHOSTUNREACH);
	CU_ASSERT_EQUAL(ice_agent_candidate(a, "1 1 udp 9 x.local 7 typ host"), -EADDRNOTAVAIL);
	CU_ASSERT_EQUAL(ice_agent_candidate(a, "1 1 udp"), -EINVAL);
	for (int n = 1; n < 40; n++) { // libnice itself takes 25
		g_snprintf(line, sizeof(line), "1 1 udp 9 10.0.1.%d 7 typ %s", n,
			n % 2 ? "relay raddr 10.9.9.9 rport 9" : "host");
		CU_ASSERT_EQUAL(ice_agent_candidate(a, line), n < ICE_MAX_REMOTE ? 0 : -ENOSPC);
	}
	CU_ASSERT_TRUE(ICE_MAX_REMOTE <= 25);
	CU_ASSERT_EQUAL(ice->counters.candidates_too_many, 40 - ICE_MAX_REMOTE);
	CU_ASSERT_EQUAL(ice->counters.candidates_taken, ICE_MAX_REMOTE);
	ice_agent_free(a);
	end();
}

static CU_TestInfo tests[] = {
	TEST(addresses_that_nobody_could_reach_are_not_signalled),
	TEST(the_blacklist_holds_beginnings_of_names_in_place_of_its_default),
	TEST(without_ipv6_discovery_no_ipv6_is_signalled),
	TEST(an_external_address_alone_stands_for_all_of_its_family),
	TEST(with_pairs_only_what_is_in_one_is_signalled),
	TEST(what_was_known_goes_on_when_the_kernel_does_not_answer),
	TEST(one_answer_serves_all_attempts_for_25_seconds),
	TEST(an_answer_reaches_the_attempts_under_way_as_a_candidate_with_our_port),
	TEST(only_the_server_that_was_asked_is_believed),
	TEST(of_what_libnice_calls_candidates_only_our_relays_are_signalled),
	TEST(a_relay_of_ours_behind_a_nat_is_meant_by_its_address_inside),
	TEST(candidates_are_taken_once_per_address_and_up_to_the_cap),
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return run_tests("ice gathering", tests);
}
