// SPDX-License-Identifier: BSD-3-Clause
//
// The connection of a peer as straitd has it: a configuration's interface and peers, agents and pairs of ICE, the
// data plane's objects before a double. The main loop does not run: nothing is gathered, and the test says what was
// nominated. The clock is moved by the test (clock_gettime and g_get_real_time are defined here and found before the
// libraries').
#include "../../../../control/addr.h"
#include "../../../../control/config/config.h"
#include "../../../../control/conn/conn_internal.h"
#include "../../../../control/ice/keep_internal.h"
#include "../../../../control/wg/wg_internal.h"
#include "../../../../crypto/keys.h"
#include "../../suite.h"
#include "../dp_double.h"

#include <cjson/cJSON.h>
#include <sodium.h>

#include <arpa/inet.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// Our public key begins with '5', the 57th of the alphabet by value and the 5th in the order of text.
#define PRIVATE "8Nes+uSAlp+wxMkwzZtNBzO34AVhwXSDaWWUeWl88mg="
#define PLUS    "+Pj4AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxw="
#define LETTER  "AAECKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4/QEFCQ0Q="
#define PWD     "passwordpasswordpasswordpassword"

#define PEER(name, key, net)                                                                       \
	"{\"name\": \"" name "\", \"public_key\": \"" key "\", \"allowed_ips\": [\"" net "\"]}"
#define PEER_PLUS   PEER("plus", PLUS, "10.0.1.0/24")
#define PEER_LETTER PEER("letter", LETTER, "10.0.2.0/24")
#define RELAY       "{\"url\": \"turn:192.0.2.53\", \"secret\": \"opensesame\"}"

static char *dir;
static struct dp *dp;
static struct wg *wg;
static struct events *events;
static struct conns *conns;
static struct config *config;
static struct conn *c; // of the peer "plus"
static uint64_t ahead_ms;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = (int)syscall(SYS_clock_gettime, id, ts);

	ts->tv_sec += (time_t)(ahead_ms / 1000);
	ts->tv_nsec += (long)(ahead_ms % 1000) * 1000000;
	if (ts->tv_nsec >= 1000000000) {
		ts->tv_sec++;
		ts->tv_nsec -= 1000000000;
	}
	return r;
}

gint64 g_get_real_time(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (gint64)ts.tv_sec * G_USEC_PER_SEC + ts.tv_nsec / 1000;
}

static struct conn *conn_named(const char *name)
{
	bool known;
	struct conn *found = conns_find(conns, name, &known);

	CU_ASSERT_PTR_NOT_NULL_FATAL(found);
	return found;
}

// The file with these servers and peers, as at the start or after a reload.
static void apply(const char *servers, const char *peers)
{
	g_autofree char *text = g_strdup_printf(
		"{\"wireguard\": [{\"name\": \"wgp\", \"private_key\": \"" PRIVATE "\", "
		"\"listen_port\": 58217, \"signal\": {\"url\": \"http://127.0.0.1:1\"}, "
		"\"ice\": {\"servers\": [%s]}, \"peers\": [%s]}]}",
		servers, peers);
	struct config *old = config;
	char *error = NULL;

	config = config_parse("test", text, &error);
	if (!config)
		fprintf(stderr, "%s\n", error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(config);
	CU_ASSERT_EQUAL_FATAL(wg_apply(wg, config, &error), 0);
	CU_ASSERT_EQUAL_FATAL(conns_apply(conns, config, &error), 0);
	config_free(old);
}

// told: what strait-dp holds is known before the configuration.
static void up_when(bool told)
{
	netlink_double_path(0, 100); // a port
	dp = dp_double_new();
	wg = wg_new(dp, NULL, dir);
	g_free(wg->uapi_dir);
	wg->uapi_dir = g_strdup(dir);
	wg_dp_connected(wg, false);
	if (told)
		wg_dp_recovered(wg);
	events = events_new();
	conns = conns_new(wg, events);
	apply("", PEER_PLUS "," PEER_LETTER);
	c = conn_named("plus");
}

static void up(void)
{
	up_when(true);
}

static void down(void)
{
	conns_free(conns);
	events_free(events);
	wg_free(wg);
	dp_double_free(dp);
	config_free(config);
	config = NULL;
}

// ---- what the peer says --------------------------------------------------------------------------------

static void hear_offer(const char *payload, const char *version, bool direct_check)
{
	struct signal_message m = {.type = SIGNAL_OFFER,
		.payload = payload,
		.version = version,
		.features = {SIGNAL_FEATURE_DIRECT_CHECK},
		.n_features = direct_check,
		.wg_listen_port = 51820};

	conn_message(c, &m);
}

static void hear_candidate(const char *text)
{
	struct signal_message m = {.type = SIGNAL_CANDIDATE, .payload = text};

	conn_message(c, &m);
}

static void hear_direct(void)
{
	struct signal_message m = {.type = SIGNAL_MODE, .has_direct = true, .direct = true};

	conn_message(c, &m);
}

static void nominate_of(const char *remote, uint16_t port, enum ice_type remote_type)
{
	struct ice_path path = {.ours = c->fsm.local.cred,
		.theirs = c->fsm.remote.cred,
		.controlling = c->fsm.controlling,
		.local_type = ICE_HOST,
		.remote_type = remote_type,
		.local_port_be = htons(c->iface->wg->port),
		.remote_port_be = htons(port),
		.rtt_us = 1500};

	addr_parse(&path.local, "127.0.0.1");
	path.local_candidate = path.local;
	path.local_candidate_port_be = path.local_port_be;
	addr_parse(&path.remote, remote);
	conn_fsm_nominated(&c->fsm, c->agent_generation, &path, wg_now());
}

static void nominate(const char *remote, uint16_t port)
{
	nominate_of(remote, port, ICE_HOST);
}

// ---- candidates ----------------------------------------------------------------------------------------

static char *remote_candidates(void)
{
	cJSON *o = cJSON_CreateObject(), *v;
	GString *out = g_string_new(NULL);

	conn_candidates(c, o);
	cJSON_ArrayForEach (v, cJSON_GetObjectItem(o, "remote"))
		g_string_append_printf(out, "%s;", v->valuestring);
	cJSON_Delete(o);
	return g_string_free(out, FALSE);
}

static void remote_are(const char *wanted)
{
	g_autofree char *is = remote_candidates();

	if (strcmp(is, wanted))
		fprintf(stderr, "\nis \"%s\"\n", is);
	CU_ASSERT_STRING_EQUAL(is, wanted);
}

static void candidates_shown_are_those_of_the_last_attempt(void)
{
	up();
	hear_candidate("1 1 udp 9 192.0.2.1 7 typ host"); // before the offer
	remote_are("");
	hear_offer("peerone:" PWD, "", false);
	hear_candidate("1 1 udp 9 192.0.2.1 7 typ host");
	hear_candidate("2 1 udp 9 192.0.2.2 7 typ host");
	hear_candidate("3 1 udp 9 127.0.0.1 7 typ host"); // refused
	remote_are("1 1 udp 9 192.0.2.1 7 typ host;2 1 udp 9 192.0.2.2 7 typ host;");
	// Longer than what comes early is kept: the peer began anew.
	ahead_ms += 11000;
	hear_offer("peertwo:" PWD, "", false);
	remote_are("");
	hear_candidate("4 1 udp 9 192.0.2.4 7 typ host");
	remote_are("4 1 udp 9 192.0.2.4 7 typ host;");
	// They stay to be looked at when the pair is in use.
	nominate("192.0.2.4", 7);
	ahead_ms += 11000;
	conn_due(c, wg_now());
	CU_ASSERT_PTR_NULL(c->agent);
	remote_are("4 1 udp 9 192.0.2.4 7 typ host;");
	down();
}

// ---- role ----------------------------------------------------------------------------------------------

static void the_role_is_decided_by_the_texts_of_the_keys(void)
{
	const uint8_t *ours;

	up();
	ours = c->iface->wg->public_key;
	CU_ASSERT_TRUE(memcmp(ours, conn_named("plus")->peer->noise.public_key, 32) < 0);
	CU_ASSERT_TRUE(conn_named("plus")->fsm.controlling);
	CU_ASSERT_TRUE(memcmp(ours, conn_named("letter")->peer->noise.public_key, 32) > 0);
	CU_ASSERT_FALSE(conn_named("letter")->fsm.controlling);
	down();
}

// ---- following -----------------------------------------------------------------------------------------

static void seen_from(const char *remote, uint16_t port)
{
	struct st_addr from, local;

	addr_parse(&from, remote);
	addr_parse(&local, "127.0.0.1");
	conn_seen(c, &from, htons(port), &local);
}

static void heard_on_the_pair(void)
{
	struct st_activity a = {
		.peer_id = c->peer->id, .flags = ST_ACT_ANY_RECEIVED, .selected_received_age_ms = 0};

	conn_activity(c, &a);
}

// Where data for the peer goes.
static uint16_t sent_to_port(void)
{
	const struct dp_double_object *o = dp_double_find(dp, ST_ENDPOINT, c->peer->id);

	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	return ntohs(((const struct st_endpoint *)o->body)->remote_port_be);
}

// A NetBird up to v0.18 on 192.0.2.9:7, and what it says of itself.
static void connected_to_old(const char *version, bool direct)
{
	up();
	hear_offer("peerone:" PWD, version, true);
	nominate("192.0.2.9", 7);
	if (direct)
		hear_direct();
	CU_ASSERT_EQUAL(sent_to_port(), 7);
}

static void a_peer_that_said_direct_is_followed_after_a_second_of_silence(void)
{
	connected_to_old("0.16.0", true);
	seen_from("192.0.2.9", 51820);
	CU_ASSERT_FALSE(c->follows); // the pair is new
	ahead_ms += 900;
	heard_on_the_pair();
	ahead_ms += 900;
	seen_from("192.0.2.9", 51820);
	CU_ASSERT_FALSE(c->follows); // and was heard 0.9 s ago
	CU_ASSERT_EQUAL(sent_to_port(), 7);
	ahead_ms += 200;
	seen_from("192.0.2.8", 51820); // another address
	CU_ASSERT_FALSE(c->follows);
	seen_from("192.0.2.9", 51820);
	CU_ASSERT_TRUE(c->follows);
	CU_ASSERT_EQUAL(sent_to_port(), 51820);
	down();
}

static void it_is_followed_until_the_next_nomination(void)
{
	struct conn_keep *k;

	connected_to_old("0.16.0", true);
	ahead_ms += 1100;
	seen_from("192.0.2.9", 51820);
	CU_ASSERT_TRUE_FATAL(c->follows);
	// Of the same pair, by its keep.
	k = conn_keep_of(c, c->fsm.paths.selected);
	k->keep->ops->renominated(&k->keep->path, k->keep->arg);
	CU_ASSERT_FALSE(c->follows);
	CU_ASSERT_EQUAL(sent_to_port(), 7);
	ahead_ms += 1100;
	seen_from("192.0.2.9", 51820);
	CU_ASSERT_TRUE_FATAL(c->follows);
	// Of another attempt.
	hear_offer("peertwo:" PWD, "0.16.0", true);
	nominate("192.0.2.9", 9);
	CU_ASSERT_FALSE(c->follows);
	CU_ASSERT_EQUAL(sent_to_port(), 9);
	down();
}

// A change of the listen port moves our end of every pair; only an answer brings a lost one back.
static void a_lost_pair_that_moved_is_lost(void)
{
	const struct conn_path *p;
	struct conn_keep *k;

	connected_to_old("0.30.0", false);
	p = c->fsm.paths.selected;
	k = conn_keep_of(c, p);
	conn_path_give_up(c, p, "the test says so");
	CU_ASSERT_TRUE_FATAL(p->lost);
	k->keep->ops->renominated(&k->keep->path, k->keep->arg);
	CU_ASSERT_TRUE(p->lost);
	CU_ASSERT_NOT_EQUAL(conn_fsm_state(&c->fsm), CONN_CONNECTED);
	k->keep->lost = false; // as an answer does
	k->keep->ops->renominated(&k->keep->path, k->keep->arg);
	CU_ASSERT_FALSE(p->lost);
	CU_ASSERT_EQUAL(conn_fsm_state(&c->fsm), CONN_CONNECTED);
	down();
}

static void nobody_else_is_followed(void)
{
	connected_to_old("0.16.0", false);
	ahead_ms += 5000;
	seen_from("192.0.2.9", 51820);
	CU_ASSERT_FALSE(c->follows);
	down();
	connected_to_old("strait/1", true);
	ahead_ms += 5000;
	seen_from("192.0.2.9", 51820);
	CU_ASSERT_FALSE(c->follows);
	CU_ASSERT_EQUAL(sent_to_port(), 7);
	down();
}

// ---- a data plane that tells late ----------------------------------------------------------------------

// What an earlier straitd installed of a peer.
static void recover(const struct peer *p, uint32_t id)
{
	struct st_peer body = {.key = {id}, .if_id = p->iface->if_id};
	struct dp_item item = {.kind = ST_PEER, .body = &body, .body_len = sizeof(body), .fd = -1};

	memcpy(body.public_key, p->noise.public_key, sizeof(body.public_key));
	wg_dp_item(wg, &item);
}

// The two have each other's ids, and one of them a pair already.
static void a_connection_follows_its_peers_id(void)
{
	struct peer *plus, *letter;
	uint32_t one, two;

	up_when(false);
	plus = c->peer;
	letter = conn_named("letter")->peer;
	one = plus->id;
	two = letter->id;
	hear_offer("peerone:" PWD, "", false);
	nominate("192.0.2.9", 7);
	CU_ASSERT_PTR_NOT_NULL(dp_double_find(dp, ST_ENDPOINT, one));
	recover(plus, two);
	recover(letter, one);
	wg_dp_recovered(wg);
	CU_ASSERT_EQUAL(plus->id, two);
	CU_ASSERT_EQUAL(letter->id, one);
	CU_ASSERT_PTR_NULL(dp_double_find(dp, ST_ENDPOINT, one));
	CU_ASSERT_PTR_NOT_NULL(conn_named("letter"));
	c = conn_named("plus");
	CU_ASSERT_PTR_EQUAL(c->peer, plus);
	CU_ASSERT_PTR_NULL(c->fsm.paths.selected);
	hear_offer("peertwo:" PWD, "", false);
	nominate("192.0.2.9", 7);
	CU_ASSERT_EQUAL(sent_to_port(), 7); // of the id that it has
	CU_ASSERT_EQUAL(conn_keep_of(c, c->fsm.paths.selected)->keep->peer_id, two);
	CU_ASSERT_PTR_NULL(dp_double_find(dp, ST_ENDPOINT, one));
	down();
}

// As at each start: the configuration is applied when the data plane has told all, and then it is asked who is new.
static void a_connection_with_the_right_id_stays(void)
{
	struct conn *before;
	uint32_t id;

	up_when(false);
	before = c;
	id = c->peer->id;
	hear_offer("peerone:" PWD, "", false);
	nominate("192.0.2.9", 7);
	recover(c->peer, id);
	wg_dp_recovered(wg);
	CU_ASSERT_PTR_EQUAL(conn_named("plus"), before);
	CU_ASSERT_PTR_NOT_NULL(c->fsm.paths.selected);
	CU_ASSERT_EQUAL(sent_to_port(), 7);
	down();
}

// ---- what people are told ------------------------------------------------------------------------------

static cJSON *status(void)
{
	cJSON *o = cJSON_CreateObject();

	conn_peer_status(c, o);
	return o;
}

static const cJSON *ice_field(const cJSON *o, const char *name)
{
	return cJSON_GetObjectItem(cJSON_GetObjectItem(o, "ice"), name);
}

static void a_peers_status_says_how_it_stands(void)
{
	const cJSON *path;
	cJSON *o;

	up();
	hear_offer("peerone:" PWD, "0.16.0", false);
	ahead_ms += 2500;
	conn_fsm_failed(&c->fsm, c->agent_generation, "no pair of candidates works", wg_now());
	o = status();
	CU_ASSERT_STRING_EQUAL(ice_field(o, "state")->valuestring, "disconnected");
	CU_ASSERT_STRING_EQUAL(
		ice_field(o, "last_failure")->valuestring, "no pair of candidates works");
	CU_ASSERT_DOUBLE_EQUAL(
		cJSON_GetObjectItem(ice_field(o, "seconds_in"), "checking")->valuedouble, 2.5, 0.4);
	CU_ASSERT_PTR_NULL(ice_field(o, "path"));
	cJSON_Delete(o);

	hear_offer("peertwo:" PWD, "0.16.0", false);
	nominate("192.0.2.9", 7);
	c->peer->rx_bytes = 1000;
	c->peer->tx_bytes = 300;
	o = status();
	path = ice_field(o, "path");
	CU_ASSERT_STRING_EQUAL(ice_field(o, "state")->valuestring, "connected");
	CU_ASSERT_STRING_EQUAL(ice_field(o, "role")->valuestring, "controlling");
	CU_ASSERT_EQUAL(cJSON_GetObjectItem(path, "rtt_us")->valueint, 1500);
	CU_ASSERT_TRUE(cJSON_IsNull(cJSON_GetObjectItem(path, "stun_age_ms"))); // not heard yet
	CU_ASSERT_STRING_EQUAL(cJSON_GetObjectItem(path, "remote")->valuestring, "192.0.2.9:7");
	CU_ASSERT_EQUAL(cJSON_GetObjectItem(ice_field(o, "bytes"), "rx_direct")->valueint, 1000);
	CU_ASSERT_EQUAL(cJSON_GetObjectItem(ice_field(o, "bytes"), "tx_direct")->valueint, 300);
	CU_ASSERT_EQUAL(cJSON_GetObjectItem(ice_field(o, "bytes"), "rx_relayed")->valueint, 0);
	cJSON_Delete(o);
	down();
}

static void events_name_the_peer_and_what_happened(void)
{
	cJSON *o = cJSON_CreateObject(), *e;
	GString *out = g_string_new(NULL);

	up();
	hear_offer("peerone:" PWD, "0.16.0", false);
	nominate("192.0.2.9", 7);
	events_since(events, 0, EVENTS_REPLY, o);
	cJSON_ArrayForEach (e, cJSON_GetObjectItem(o, "events"))
		g_string_append_printf(out, "%s %s %s; ",
			cJSON_GetObjectItem(e, "interface")->valuestring,
			cJSON_GetObjectItem(e, "peer")->valuestring,
			cJSON_GetObjectItem(e, "event")->valuestring);
	CU_ASSERT_STRING_EQUAL(out->str, "wgp plus checking; wgp plus nominated; ");
	g_string_free(out, TRUE);
	cJSON_Delete(o);
	down();
}

static void bytes_count_for_the_kind_of_path_they_went(void)
{
	const struct dp_double_object *o;
	unsigned int sets;

	up();
	hear_offer("peerone:" PWD, "0.16.0", false);
	nominate_of("192.0.2.9", 7, ICE_RELAY);
	o = dp_double_find(dp, ST_PEER, c->peer->id);
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	sets = o->sets;
	c->peer->rx_bytes = 1000;
	c->peer->tx_bytes = 300;
	hear_offer("peertwo:" PWD, "0.16.0", false);
	nominate("192.0.2.9", 7);
	c->peer->rx_bytes += 50;
	c->peer->tx_bytes += 7;
	conn_bytes(c);
	CU_ASSERT_EQUAL(c->rx_relayed, 1000);
	CU_ASSERT_EQUAL(c->tx_relayed, 300);
	CU_ASSERT_EQUAL(c->rx_direct, 50);
	CU_ASSERT_EQUAL(c->tx_direct, 7);
	// The data plane's counters and keys hang on the PEER, which has not been touched.
	CU_ASSERT_EQUAL(o->sets, sets);
	down();
}

// ---- reloads -------------------------------------------------------------------------------------------

static void settled(void)
{
	hear_offer("peerone:" PWD, "0.16.0", false);
	nominate("192.0.2.9", 7);
	ahead_ms += 11000;
	conn_due(c, wg_now());
	CU_ASSERT_EQUAL(g_hash_table_size(c->iface->ice->keeps), 1);
	CU_ASSERT_PTR_NULL(c->agent); // its pair needs none
}

static void a_reload_leaves_a_pair_alone_whose_peer_did_not_change(void)
{
	const struct dp_double_object *o;
	const struct conn_path *path;
	unsigned int sets;

	up();
	settled();
	path = c->fsm.paths.selected;
	o = dp_double_find(dp, ST_ENDPOINT, c->peer->id);
	sets = o->sets;
	apply("", PEER_PLUS "," PEER("letter", LETTER, "10.0.3.0/24"));
	apply("", PEER_PLUS);
	apply("", PEER_LETTER "," PEER_PLUS);
	CU_ASSERT_PTR_EQUAL(conn_named("plus"), c);
	CU_ASSERT_PTR_EQUAL(c->fsm.paths.selected, path);
	CU_ASSERT_EQUAL(c->fsm.attempts, 1);
	CU_ASSERT_PTR_EQUAL(dp_double_find(dp, ST_ENDPOINT, c->peer->id), o);
	CU_ASSERT_EQUAL(o->sets, sets);
	down();
}

// NetBird's had a second life beside the next one.
static void a_peer_that_is_removed_and_added_again_begins_anew(void)
{
	const struct ice *ice;

	up();
	settled();
	hear_offer("peertwo:" PWD, "0.16.0", false); // and an attempt is under way
	ice = c->iface->ice;
	apply("", PEER_LETTER);
	CU_ASSERT_EQUAL(g_hash_table_size(ice->keeps), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_ENDPOINT), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PEER), 1);
	apply("", PEER_LETTER "," PEER_PLUS);
	c = conn_named("plus");
	CU_ASSERT_EQUAL(g_sequence_get_length(c->iface->timers), 2);
	CU_ASSERT_EQUAL(c->fsm.phase, CONN_WAITING);
	CU_ASSERT_EQUAL(c->fsm.attempts, 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_ENDPOINT), 0);
	hear_offer("peerthree:" PWD, "0.16.0", false);
	nominate("192.0.2.9", 9);
	CU_ASSERT_EQUAL(sent_to_port(), 9);
	CU_ASSERT_EQUAL(g_hash_table_size(ice->keeps), 1);
	down();
}

static void an_empty_list_of_servers_means_none(void)
{
	up();
	apply(RELAY, PEER_PLUS);
	CU_ASSERT_EQUAL(c->iface->relays, 1);
	CU_ASSERT_EQUAL(c->iface->ice->servers->len, 1);
	apply("", PEER_PLUS);
	CU_ASSERT_EQUAL(c->iface->relays, 0);
	CU_ASSERT_EQUAL(c->iface->ice->servers->len, 0);
	down();
}

static const char *relay_user(void)
{
	const struct ice_known_server *s = c->iface->ice->servers->pdata[0];

	return s->username;
}

static void users_made_from_a_secret_are_renewed_before_they_end(void)
{
	g_autofree char *first = NULL;
	int64_t ends;

	up();
	apply(RELAY, PEER_PLUS);
	first = g_strdup(relay_user());
	ends = g_ascii_strtoll(first, NULL, 10) - g_get_real_time() / G_USEC_PER_SEC;
	CU_ASSERT_TRUE(ends > 12 * 3600 - 60 && ends <= 12 * 3600);
	ahead_ms += (9 * 3600 - 60) * 1000;
	while (g_main_context_iteration(NULL, FALSE))
		;
	CU_ASSERT_STRING_EQUAL(relay_user(), first);
	ahead_ms += 120 * 1000;
	while (g_main_context_iteration(NULL, FALSE))
		;
	CU_ASSERT_TRUE(g_ascii_strtoll(relay_user(), NULL, 10) >
		       g_ascii_strtoll(first, NULL, 10) + 9 * 3600 - 120);
	down();
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(candidates_shown_are_those_of_the_last_attempt),
		TEST(the_role_is_decided_by_the_texts_of_the_keys),
		TEST(a_peer_that_said_direct_is_followed_after_a_second_of_silence),
		TEST(it_is_followed_until_the_next_nomination),
		TEST(a_lost_pair_that_moved_is_lost),
		TEST(nobody_else_is_followed),
		TEST(a_connection_follows_its_peers_id),
		TEST(a_connection_with_the_right_id_stays),
		TEST(a_peers_status_says_how_it_stands),
		TEST(events_name_the_peer_and_what_happened),
		TEST(bytes_count_for_the_kind_of_path_they_went),
		TEST(a_reload_leaves_a_pair_alone_whose_peer_did_not_change),
		TEST(a_peer_that_is_removed_and_added_again_begins_anew),
		TEST(an_empty_list_of_servers_means_none),
		TEST(users_made_from_a_secret_are_renewed_before_they_end),
		CU_TEST_INFO_NULL,
	};
	int ret;

	if (sodium_init() < 0)
		return 1;
	dir = g_dir_make_tmp("strait-conn-XXXXXX", NULL);
	if (!dir)
		return 99;
	ret = run_tests("the connection of a peer", tests);
	rmdir(dir);
	g_free(dir);
	return ret;
}
