// SPDX-License-Identifier: BSD-3-Clause
//
// The TURN server without sockets, against the recording double of the data plane: each rule of RFC 8656 that a
// client can meet, each error code, what is installed and when an answer leaves.
#include "../../../../control/addr.h"
#include "../../../../control/config/config.h"
#include "../../../../control/seal.h"
#include "../../../../control/turn/core.h"
#include "../../../../control/turn/digest.h"
#include "../dp_double.h"
#include "suite.h"

#include <sodium.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define NO_ANSWER (-1)

static const char usual[] =
	"\"relay_addresses\": [\"192.0.2.1\", \"2001:db8:1::1\"], \"relay_ports\": {\"min\": "
	"50000, "
	"\"max\": 50019}, \"allow_peers\": [\"198.51.100.0/24\", \"2001:db8::/32\"], \"users\": "
	"[{\"name\": "
	"\"alice\", \"password\": \"wonderland\"}, {\"name\": \"bob\", \"password\": \"builder\"}]";

static struct dp *dp;
static struct turn_core core;
static struct config *config;
static struct seal *seal;
static char *run_dir;
static uint8_t answer[TURN_MSG_MAX];
static size_t answer_len;
static unsigned int answers;
static struct turn_tuple answered;

static void on_send(const struct turn_tuple *to, const void *data, size_t len, void *arg)
{
	answers++;
	answered = *to;
	answer_len = len;
	memcpy(answer, data, len);
}

static struct config *parse_config(const char *turn)
{
	char *text = g_strdup_printf("{\"turn\": {\"realm\": \"example.org\", %s}}", turn),
	     *error = NULL;
	struct config *c = config_parse("test.json", text, &error);

	if (!c)
		g_error("config: %s", error);
	g_free(text);
	return c;
}

static void begin_core(void)
{
	static const uint8_t master[TURN_NONCE_KEY] = "master key of the tests";

	turn_core_init(&core, dp, seal, master, NULL);
	core.send = on_send;
	turn_core_clock(&core);
	turn_core_apply(&core, config->turn);
}

static void begin_with(const char *turn)
{
	char *error = NULL;

	run_dir = g_dir_make_tmp("strait-turn-XXXXXX", NULL);
	seal = seal_new(run_dir, &error);
	dp = dp_double_new();
	config = parse_config(turn);
	begin_core();
	answers = 0;
}

static void end(void)
{
	char *key = g_build_filename(run_dir, SEAL_KEY_NAME, NULL);

	turn_core_fini(&core);
	config_free(config);
	dp_double_free(dp);
	seal_free(seal);
	unlink(key);
	rmdir(run_dir);
	g_free(key);
	g_free(run_dir);
}

static void settle(void)
{
	while (g_main_context_iteration(NULL, FALSE))
		;
}

// ---- a client --------------------------------------------------------------------------------------

struct client {
	struct turn_tuple tuple;
	const char *name, *password;
	bool sha256, userhash, spoil_list, fingerprint;
	char nonce[128];
	uint8_t tid[TURN_TID_LEN];
	struct turn_out o;
	struct turn_msg m; // the answer
};

static void client_init(struct client *c, const char *addr, uint16_t port)
{
	memset(c, 0, sizeof(*c));
	addr_parse(&c->tuple.client, addr);
	addr_parse(&c->tuple.server, addr_is_v4(&c->tuple.client) ? "192.0.2.1" : "2001:db8:1::1");
	c->tuple.client_port_be = htons(port);
	c->tuple.server_port_be = htons(3478);
	c->name = "alice";
	c->password = "wonderland";
}

static struct turn_out *request(struct client *c, uint16_t method)
{
	randombytes_buf(c->tid, sizeof(c->tid));
	turn_out_begin(&c->o, method, TURN_REQUEST, c->tid);
	return &c->o;
}

static void key_of(const struct client *c, uint8_t *key, size_t *len)
{
	if (c->sha256)
		turn_sha256_colon(key, c->name, strlen(c->name), "example.org", 11, c->password,
			strlen(c->password));
	else
		turn_md5_colon(key, c->name, strlen(c->name), "example.org", 11, c->password,
			strlen(c->password));
	*len = c->sha256 ? TURN_SHA256_LEN : TURN_MD5_LEN;
}

static void sign(struct client *c)
{
	static const uint8_t list[] = {0, 2, 0, 0, 0, 1, 0, 0}, bad[] = {0, 1, 0, 0};
	uint8_t key[TURN_KEY_MAX], hash[TURN_SHA256_LEN];
	size_t len;

	turn_sha256_colon(hash, c->name, strlen(c->name), "example.org", 11, NULL, SIZE_MAX);
	if (c->userhash)
		turn_out_bytes(&c->o, TURN_T_USERHASH, hash, sizeof(hash));
	else
		turn_out_bytes(&c->o, TURN_T_USERNAME, c->name, strlen(c->name));
	turn_out_bytes(&c->o, TURN_T_REALM, "example.org", 11);
	turn_out_bytes(&c->o, TURN_T_NONCE, c->nonce, strlen(c->nonce));
	if (c->sha256) {
		turn_out_bytes(&c->o, TURN_T_PASSWORD_ALGORITHMS, c->spoil_list ? bad : list,
			c->spoil_list ? sizeof(bad) : sizeof(list));
		turn_out_bytes(&c->o, TURN_T_PASSWORD_ALGORITHM, list, 4);
	}
	key_of(c, key, &len);
	turn_out_integrity(&c->o,
		c->sha256 ? TURN_T_MESSAGE_INTEGRITY_SHA256 : TURN_T_MESSAGE_INTEGRITY, key, len);
}

static int code_of(const struct turn_msg *m)
{
	const uint8_t *p = m->data + TURN_MSG_HEADER;

	if (m->class == TURN_SUCCESS)
		return 0;
	CU_ASSERT_EQUAL_FATAL(p[1], TURN_T_ERROR_CODE); // it comes first
	return p[6] * 100 + p[7];
}

// The code of the answer, 0 for success, NO_ANSWER.
static int deliver(struct client *c)
{
	unsigned int before = answers;

	turn_core_receive(&core, &c->tuple, c->o.data, turn_out_end(&c->o));
	settle();
	if (answers == before)
		return NO_ANSWER;
	CU_ASSERT_EQUAL(answers, before + 1);
	CU_ASSERT_EQUAL(memcmp(&answered, &c->tuple, sizeof(answered)), 0);
	CU_ASSERT_EQUAL_FATAL(turn_msg_parse(&c->m, answer, answer_len), 0);
	CU_ASSERT_EQUAL(memcmp(c->m.tid, c->o.data + 8, TURN_TID_LEN), 0);
	if (c->m.attr[TURN_A_NONCE].at) {
		memcpy(c->nonce, c->m.attr[TURN_A_NONCE].at, c->m.attr[TURN_A_NONCE].len);
		c->nonce[c->m.attr[TURN_A_NONCE].len] = 0;
	}
	return code_of(&c->m);
}

static bool signed_by(const struct client *c)
{
	uint8_t key[TURN_KEY_MAX];
	size_t len;

	key_of(c, key, &len);
	return turn_msg_verify(&c->m,
		c->sha256 ? TURN_A_MESSAGE_INTEGRITY_SHA256 : TURN_A_MESSAGE_INTEGRITY, key, len);
}

// Signs and delivers; every answer to it must be signed.
static int ask(struct client *c)
{
	int code;

	sign(c);
	code = deliver(c);
	if (code != NO_ANSWER && code != 401 && code != 438)
		CU_ASSERT(signed_by(c));
	return code;
}

static void learn_nonce(struct client *c)
{
	request(c, TURN_ALLOCATE);
	CU_ASSERT_EQUAL_FATAL(deliver(c), 401);
}

static struct turn_out *allocate_request(struct client *c)
{
	struct turn_out *o;

	if (!c->nonce[0])
		learn_nonce(c);
	o = request(c, TURN_ALLOCATE);
	turn_out_u32(o, TURN_T_REQUESTED_TRANSPORT, 17u << 24);
	return o;
}

static int allocate(struct client *c)
{
	allocate_request(c);
	return ask(c);
}

static int permit(struct client *c, const char *peer)
{
	struct turn_out *o = request(c, TURN_CREATE_PERMISSION);
	struct st_addr a;

	addr_parse(&a, peer);
	turn_out_address(o, TURN_T_XOR_PEER_ADDRESS, &a, htons(9));
	return ask(c);
}

static int bind_channel(struct client *c, const char *peer, uint16_t port, uint16_t number)
{
	struct turn_out *o = request(c, TURN_CHANNEL_BIND);
	struct st_addr a;

	addr_parse(&a, peer);
	turn_out_u32(o, TURN_T_CHANNEL_NUMBER, (uint32_t)number << 16);
	turn_out_address(o, TURN_T_XOR_PEER_ADDRESS, &a, htons(port));
	return ask(c);
}

static int refresh(struct client *c, uint32_t lifetime)
{
	turn_out_u32(request(c, TURN_REFRESH), TURN_T_LIFETIME, lifetime);
	return ask(c);
}

static const uint8_t *attr(const struct client *c, uint16_t type, unsigned int nth, uint16_t *ret_len)
{
	for (size_t at = TURN_MSG_HEADER; at < c->m.len;) {
		const uint8_t *p = c->m.data + at;
		uint16_t len = (uint16_t)(p[2] << 8 | p[3]);

		if ((p[0] << 8 | p[1]) == type && !nth--) {
			if (ret_len)
				*ret_len = len;
			return p + 4;
		}
		at += 4 + ((len + 3u) & ~3u);
	}
	return NULL;
}

static uint16_t relayed_port(const struct client *c, unsigned int nth)
{
	const uint8_t *v = attr(c, TURN_T_XOR_RELAYED_ADDRESS, nth, NULL);

	return v ? (uint16_t)((v[2] ^ 0x21) << 8 | (v[3] ^ 0x12)) : 0;
}

static uint32_t lifetime(const struct client *c)
{
	uint32_t v = 0;

	turn_msg_u32(&c->m, TURN_A_LIFETIME, &v);
	return v;
}

static const struct dp_double_object *object(uint16_t kind, unsigned int nth)
{
	for (guint n = 0; n < dp->objects->len; n++) {
		const struct dp_double_object *o = dp->objects->pdata[n];

		if (o->kind == kind && !nth--)
			return o;
	}
	return NULL;
}

// ---- authentication --------------------------------------------------------------------------------

static void a_stranger_is_challenged_and_leaves_no_state(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	turn_out_u32(request(&c, TURN_ALLOCATE), TURN_T_REQUESTED_TRANSPORT, 17u << 24);
	CU_ASSERT_EQUAL(deliver(&c), 401);
	CU_ASSERT(answer_len <= 128);
	CU_ASSERT_PTR_NOT_NULL(c.m.attr[TURN_A_REALM].at);
	CU_ASSERT_PTR_NOT_NULL(c.m.attr[TURN_A_NONCE].at);
	CU_ASSERT_PTR_NOT_NULL(c.m.attr[TURN_A_PASSWORD_ALGORITHMS].at);
	CU_ASSERT_PTR_NULL(c.m.attr[TURN_A_MESSAGE_INTEGRITY].at);
	CU_ASSERT_PTR_NULL(attr(&c, TURN_T_SOFTWARE, 0, NULL));
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
	request(&c, TURN_ALLOCATE);
	turn_out_integrity(&c.o, TURN_T_MESSAGE_INTEGRITY, c.tid, sizeof(c.tid));
	CU_ASSERT_EQUAL(deliver(&c), 400);
	CU_ASSERT_PTR_NULL(c.m.attr[TURN_A_MESSAGE_INTEGRITY].at);
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
	CU_ASSERT_PTR_NOT_NULL(c.m.attr[TURN_A_REALM].at);
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
	CU_ASSERT_PTR_NULL(c.m.attr[TURN_A_MESSAGE_INTEGRITY].at);
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
	uint8_t key[TURN_MD5_LEN];
	char hex[2 * TURN_MD5_LEN + 1];
	struct client c;

	turn_auth_password(password, "some_secret", "1700000000", 10);
	CU_ASSERT_STRING_EQUAL(password, "vedDdKcbCZ2u6/b/iLe6XuPw0QQ=");
	turn_md5_colon(key, "1700000000", 10, "wiretrustee.com", 15, password, strlen(password));
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

static void a_reload_to_strict_expiry_shortens_running_sessions(void)
{
#define SECRET "\"relay_addresses\": [\"192.0.2.1\"], \"secrets\": [\"s3\"]"
	char password[TURN_PASSWORD_LEN + 1], name[32];
	struct config *strict = parse_config(SECRET ", \"strict_expiry\": true");
	struct client c;

	begin_with(SECRET);
	client_init(&c, "203.0.113.5", 1000);
	g_snprintf(name, sizeof(name), "%lld", (long long)core.wall_s + 60);
	turn_auth_password(password, "s3", name, strlen(name));
	c.name = name;
	c.password = password;
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT_EQUAL(lifetime(&c), 600);
	turn_core_apply(&core, strict->turn);
	settle();
	CU_ASSERT_EQUAL(object(ST_RELAY, 0)->expiry_ms, 60000);
	core.now_ms += 62000;
	turn_core_tick(&core);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 0);
	turn_core_apply(&core, config->turn);
	config_free(strict);
	end();
#undef SECRET
}

static struct turn_kernel *open_none(struct turn_allocation *a, enum turn_family family, void *arg)
{
	static int nothing;

	return (struct turn_kernel *)&nothing;
}

static void close_none(struct turn_kernel *k, void *arg)
{
}

static uint64_t user_rate(void)
{
	struct st_turn_user body = {0};

	if (object(ST_TURN_USER, 0))
		memcpy(&body, object(ST_TURN_USER, 0)->body, sizeof(body));
	return body.bytes_per_s;
}

static void a_user_shares_its_limit_between_lcores_and_straitd(void)
{
	char *text = g_strdup_printf("%s, \"limits\": {\"user_bytes_per_s\": 100000}", usual);
	struct client udp, tcp;

	begin_with(text);
	core.kernel_open = open_none;
	core.kernel_close = close_none;
	client_init(&udp, "203.0.113.5", 1000);
	client_init(&tcp, "203.0.113.5", 1001);
	tcp.tuple.transport = TURN_TCP;
	tcp.tuple.stream = 7;
	CU_ASSERT_EQUAL(allocate(&udp), 0);
	CU_ASSERT_EQUAL(user_rate(), 100000);
	CU_ASSERT_EQUAL(allocate(&tcp), 0);
	CU_ASSERT_EQUAL(user_rate(), 50000);
	CU_ASSERT_EQUAL(refresh(&tcp, 0), 0);
	CU_ASSERT_EQUAL(user_rate(), 100000);
	CU_ASSERT_EQUAL(refresh(&udp, 0), 0);
	CU_ASSERT_PTR_NULL(object(ST_TURN_USER, 0));
	end();
	g_free(text);
}

static void answers_to_strangers_are_limited_per_source(void)
{
	struct client c, other;
	unsigned int n = 0;

	begin_with("\"relay_addresses\": [\"192.0.2.1\"], \"secrets\": [\"s3\"], \"limits\": "
		   "{\"replies_per_source_s\": 5, \"replies_burst\": 10}");
	client_init(&c, "203.0.113.5", 1000);
	client_init(&other, "203.0.113.6", 1000);
	for (int i = 0; i < 100; i++) {
		request(&c, TURN_ALLOCATE);
		n += deliver(&c) == 401;
	}
	CU_ASSERT_EQUAL(n, 10);
	request(&other, TURN_ALLOCATE);
	CU_ASSERT_EQUAL(deliver(&other), 401);
	core.now_ms += 1000;
	for (int i = 0; i < 100; i++) {
		request(&c, TURN_ALLOCATE);
		n += deliver(&c) == 401;
	}
	CU_ASSERT_EQUAL(n, 15);
	end();
}

// ---- Binding, unknown attributes, rubbish ------------------------------------------------------------

static void who_has_a_session_or_a_nonce_is_no_stranger(void)
{
	struct client c, d;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	client_init(&d, "203.0.113.5", 1001);
	request(&c, TURN_ALLOCATE);
	turn_out_end(&c.o);
	CU_ASSERT(turn_core_is_stranger(&core, &c.tuple, c.o.data, c.o.len));
	allocate_request(&c);
	sign(&c);
	turn_out_end(&c.o);
	CU_ASSERT_FALSE(turn_core_is_stranger(&core, &c.tuple, c.o.data, c.o.len));
	CU_ASSERT(turn_core_is_stranger(&core, &d.tuple, c.o.data, c.o.len)); // another's nonce
	CU_ASSERT_EQUAL(allocate(&c), 0);
	request(&c, TURN_REFRESH);
	turn_out_end(&c.o);
	CU_ASSERT_FALSE(turn_core_is_stranger(&core, &c.tuple, c.o.data, c.o.len));
	end();
}

static void binding_is_answered_with_32_bytes(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	request(&c, TURN_BINDING);
	CU_ASSERT_EQUAL(deliver(&c), 0);
	CU_ASSERT_EQUAL(answer_len, 32);
	request(&c, TURN_BINDING);
	turn_out_fingerprint(&c.o);
	CU_ASSERT_EQUAL(deliver(&c), 0);
	CU_ASSERT_PTR_NOT_NULL(c.m.attr[TURN_A_FINGERPRINT].at);
	end();
}

static void unknown_attributes_get_420_after_authentication(void)
{
	struct client c;
	const uint8_t *v;
	uint16_t len = 0;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	turn_out_u32(request(&c, TURN_ALLOCATE), 0x7ff1, 0);
	CU_ASSERT_EQUAL(deliver(&c), 401);
	turn_out_u32(allocate_request(&c), 0x7ff1, 0);
	turn_out_u32(&c.o, 0xfff1, 0); // comprehension-optional
	CU_ASSERT_EQUAL(ask(&c), 420);
	v = attr(&c, TURN_T_UNKNOWN_ATTRIBUTES, 0, &len);
	CU_ASSERT(v && len == 2 && v[0] == 0x7f && v[1] == 0xf1);
	end();
}

static void what_is_no_request_of_ours_gets_no_answer(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	turn_out_begin(&c.o, TURN_SEND, TURN_INDICATION, c.tid);
	CU_ASSERT_EQUAL(deliver(&c), NO_ANSWER);
	turn_out_begin(&c.o, TURN_ALLOCATE, TURN_SUCCESS, c.tid);
	CU_ASSERT_EQUAL(deliver(&c), NO_ANSWER);
	turn_out_begin(&c.o, 0x00a, TURN_REQUEST, c.tid); // Connect of RFC 6062
	CU_ASSERT_EQUAL(deliver(&c), NO_ANSWER);
	CU_ASSERT_EQUAL(core.stats.malformed, 3);
	end();
}

// ---- Allocate --------------------------------------------------------------------------------------

static void an_allocation_is_installed_before_its_answer_leaves(void)
{
	const struct dp_double_object *o;
	struct st_relay body;
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	learn_nonce(&c);
	dp->hold = true;
	CU_ASSERT_EQUAL(allocate(&c), NO_ANSWER);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_RELAY), 1);
	// The client is impatient: no second object, no second answer.
	CU_ASSERT_EQUAL(deliver(&c), NO_ANSWER);
	answers = 0;
	dp_double_release(dp);
	CU_ASSERT_EQUAL(answers, 1);
	CU_ASSERT_EQUAL_FATAL(turn_msg_parse(&c.m, answer, answer_len), 0);
	CU_ASSERT_EQUAL(code_of(&c.m), 0);
	CU_ASSERT(signed_by(&c));
	CU_ASSERT_EQUAL(lifetime(&c), 600);
	CU_ASSERT(relayed_port(&c, 0) >= 50000 && relayed_port(&c, 0) <= 50019);
	CU_ASSERT_PTR_NOT_NULL(attr(&c, TURN_T_XOR_MAPPED_ADDRESS, 0, NULL));
	o = object(ST_RELAY, 0);
	memcpy(&body, o->body, sizeof(body));
	CU_ASSERT_EQUAL(ntohs(body.key.relay_port_be), relayed_port(&c, 0));
	CU_ASSERT_EQUAL(body.client_port_be, c.tuple.client_port_be);
	CU_ASSERT_EQUAL(o->expiry_ms, 600000);
	end();
}

static void a_retransmitted_allocate_gets_the_same_answer_and_another_one_437(void)
{
	struct client c;
	uint16_t port;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	port = relayed_port(&c, 0);
	CU_ASSERT_EQUAL(deliver(&c), 0);
	CU_ASSERT_EQUAL(relayed_port(&c, 0), port);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 1);
	CU_ASSERT_EQUAL(allocate(&c), 437);
	end();
}

static void a_refused_install_is_508_and_leaves_nothing(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	learn_nonce(&c);
	dp->set_status = -ENOSPC;
	CU_ASSERT_EQUAL(allocate(&c), 508);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 0);
	dp->set_status = 0;
	CU_ASSERT_EQUAL(allocate(&c), 0);
	end();
}

static void transports_and_families_are_checked(void)
{
	static const char v4_only[] =
		"\"relay_addresses\": [\"192.0.2.1\"], \"users\": [{\"name\": \"alice\", "
		"\"password\": \"wonderland\"}]";
	struct client c;

	begin_with(v4_only);
	client_init(&c, "203.0.113.5", 1000);
	learn_nonce(&c);
	request(&c, TURN_ALLOCATE);
	CU_ASSERT_EQUAL(ask(&c), 400);
	turn_out_bytes(request(&c, TURN_ALLOCATE), TURN_T_REQUESTED_TRANSPORT, "\x11", 1);
	CU_ASSERT_EQUAL(ask(&c), 400);
	turn_out_u32(request(&c, TURN_ALLOCATE), TURN_T_REQUESTED_TRANSPORT, 6u << 24);
	CU_ASSERT_EQUAL(ask(&c), 442);
	turn_out_u32(allocate_request(&c), TURN_T_REQUESTED_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 440);
	turn_out_u32(allocate_request(&c), TURN_T_REQUESTED_ADDRESS_FAMILY, 7u << 24);
	CU_ASSERT_EQUAL(ask(&c), 440);
	turn_out_u32(allocate_request(&c), TURN_T_ADDITIONAL_ADDRESS_FAMILY, 1u << 24);
	CU_ASSERT_EQUAL(ask(&c), 400);
	turn_out_u32(allocate_request(&c), TURN_T_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
	turn_out_u32(&c.o, TURN_T_REQUESTED_ADDRESS_FAMILY, 1u << 24);
	CU_ASSERT_EQUAL(ask(&c), 400);
	turn_out_bytes(allocate_request(&c), TURN_T_MOBILITY_TICKET, NULL, 0);
	CU_ASSERT_EQUAL(ask(&c), 405);
	// One of two: a success that says which one is missing.
	turn_out_u32(allocate_request(&c), TURN_T_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 0);
	CU_ASSERT_PTR_NOT_NULL(attr(&c, TURN_T_ADDRESS_ERROR_CODE, 0, NULL));
	CU_ASSERT_PTR_NULL(attr(&c, TURN_T_XOR_RELAYED_ADDRESS, 1, NULL));
	end();
}

static void a_dual_allocation_has_two_addresses_that_end_one_by_one(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	turn_out_u32(allocate_request(&c), TURN_T_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 0);
	CU_ASSERT_PTR_NOT_NULL(attr(&c, TURN_T_XOR_RELAYED_ADDRESS, 1, NULL));
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_RELAY), 2);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), 0);
	CU_ASSERT_EQUAL(permit(&c, "2001:db8:2::1"), 0);
	turn_out_u32(request(&c, TURN_REFRESH), TURN_T_LIFETIME, 0);
	turn_out_u32(&c.o, TURN_T_REQUESTED_ADDRESS_FAMILY, 1u << 24);
	CU_ASSERT_EQUAL(ask(&c), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_RELAY), 1);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 1);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), 443);
	CU_ASSERT_EQUAL(refresh(&c, 0), 0);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 0);
	end();
}

static void even_ports_and_reservations(void)
{
	struct client c, d, e;
	uint8_t token[TURN_TOKEN_LEN];
	const uint8_t *v;
	uint16_t port, len = 0;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	client_init(&d, "203.0.113.5", 1001);
	client_init(&e, "203.0.113.5", 1002);
	turn_out_bytes(allocate_request(&c), TURN_T_EVEN_PORT, "\x80", 1);
	CU_ASSERT_EQUAL(ask(&c), 0);
	port = relayed_port(&c, 0);
	CU_ASSERT_EQUAL(port % 2, 0);
	v = attr(&c, TURN_T_RESERVATION_TOKEN, 0, &len);
	CU_ASSERT_FATAL(v && len == TURN_TOKEN_LEN);
	memcpy(token, v, len);
	turn_out_bytes(allocate_request(&d), TURN_T_RESERVATION_TOKEN, token, sizeof(token));
	turn_out_bytes(&d.o, TURN_T_EVEN_PORT, "\0", 1);
	CU_ASSERT_EQUAL(ask(&d), 400);
	turn_out_bytes(allocate_request(&d), TURN_T_RESERVATION_TOKEN, token, sizeof(token));
	CU_ASSERT_EQUAL(ask(&d), 0);
	CU_ASSERT_EQUAL(relayed_port(&d, 0), port + 1);
	turn_out_bytes(allocate_request(&e), TURN_T_RESERVATION_TOKEN, token, sizeof(token));
	CU_ASSERT_EQUAL(ask(&e), 508); // it is used up
	turn_out_bytes(allocate_request(&e), TURN_T_EVEN_PORT, "\x80", 1);
	turn_out_u32(&e.o, TURN_T_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&e), 400);
	turn_out_bytes(allocate_request(&e), TURN_T_EVEN_PORT, "\x80", 1);
	turn_out_bytes(&e.o, TURN_T_DONT_FRAGMENT, NULL, 0);
	CU_ASSERT_EQUAL(ask(&e), 0);
	// Nobody comes for it: after 30 s the port is free again.
	CU_ASSERT_EQUAL(turn_ports_unused(core.ports, 0), 20 - 4);
	core.now_ms += TURN_RESERVATION_MS + 1;
	turn_core_tick(&core);
	CU_ASSERT_EQUAL(turn_ports_unused(core.ports, 0), 20 - 3);
	end();
}

static void a_full_range_is_508_and_comes_back_whole(void)
{
	static struct client c[21];

	begin_with(usual);
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 21; i++) {
			client_init(&c[i], "203.0.113.5", (uint16_t)(1000 + i));
			CU_ASSERT_EQUAL(allocate(&c[i]), i < 20 ? 0 : 508);
			core.now_ms += 1000;
		}
		CU_ASSERT_EQUAL(turn_ports_unused(core.ports, 0), 0);
		for (int i = 0; i < 20; i++)
			CU_ASSERT_EQUAL(refresh(&c[i], 0), 0);
		CU_ASSERT_EQUAL(allocate(&c[20]), 508); // quarantine
		core.now_ms += TURN_QUARANTINE_MS + 1;
		turn_core_tick(&core);
		CU_ASSERT_EQUAL(turn_ports_unused(core.ports, 0), 20);
	}
	CU_ASSERT_EQUAL(dp->objects->len, 0);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 0);
	CU_ASSERT_EQUAL(turn_counts_size(core.by_user) + turn_counts_size(core.by_source), 0);
	end();
}

static void quotas_are_486_and_the_tables_cap_508(void)
{
	struct client c[5];

	begin_with(
		"\"relay_addresses\": [\"192.0.2.1\"], \"users\": [{\"name\": \"alice\", "
		"\"password\": "
		"\"wonderland\"}, {\"name\": \"bob\", \"password\": \"builder\"}], \"limits\": "
		"{\"allocations\": 3, \"allocations_per_user\": 2, \"allocations_per_source\": 2}");
	for (int i = 0; i < 5; i++)
		client_init(&c[i], i < 3 ? "203.0.113.5" : "203.0.113.6", (uint16_t)(1000 + i));
	CU_ASSERT_EQUAL(allocate(&c[0]), 0);
	CU_ASSERT_EQUAL(allocate(&c[1]), 0);
	CU_ASSERT_EQUAL(allocate(&c[3]), 486); // alice's third
	c[2].name = c[3].name = c[4].name = "bob";
	c[2].password = c[3].password = c[4].password = "builder";
	CU_ASSERT_EQUAL(allocate(&c[2]), 486); // the third of the address
	CU_ASSERT_EQUAL(allocate(&c[3]), 0);
	CU_ASSERT_EQUAL(allocate(&c[4]), 508);
	CU_ASSERT_EQUAL(refresh(&c[0], 600), 0); // who is there stays
	end();
}

static void a_drain_takes_nobody_new(void)
{
	struct client c, d;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	client_init(&d, "203.0.113.5", 1001);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	core.draining = true;
	CU_ASSERT_EQUAL(allocate(&d), 508);
	CU_ASSERT_EQUAL(refresh(&c, 600), 0);
	end();
}

static void lifetimes_are_between_600_and_3600(void)
{
	static const uint32_t asked[] = {1, 600, 700, 3600, 4000000000u},
			      granted[] = {600, 600, 700, 3600, 3600};
	struct client c;

	begin_with(usual);
	for (uint16_t i = 0; i < 5; i++) {
		client_init(&c, "203.0.113.5", 1000 + i);
		turn_out_u32(allocate_request(&c), TURN_T_LIFETIME, asked[i]);
		CU_ASSERT_EQUAL(ask(&c), 0);
		CU_ASSERT_EQUAL(lifetime(&c), granted[i]);
		CU_ASSERT_EQUAL(refresh(&c, asked[i]), 0);
		CU_ASSERT_EQUAL(lifetime(&c), granted[i]);
	}
	end();
}

static void an_allocation_ends_when_nobody_refreshes_it(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	for (int i = 0; i < 598; i++, core.now_ms += 1000)
		turn_core_tick(&core);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 1);
	CU_ASSERT_EQUAL(refresh(&c, 600), 0);
	for (int i = 0; i < 598; i++, core.now_ms += 1000)
		turn_core_tick(&core);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 1);
	for (int i = 0; i < 5; i++, core.now_ms += 1000)
		turn_core_tick(&core);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 0);
	CU_ASSERT_EQUAL(dp->objects->len, 0);
	CU_ASSERT_EQUAL(refresh(&c, 600), 437);
	end();
}

// ---- the allocation's owner -------------------------------------------------------------------------

static void without_an_allocation_it_is_437_and_of_another_user_441(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	learn_nonce(&c);
	CU_ASSERT_EQUAL(refresh(&c, 600), 437);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), 437);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4000), 437);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	c.name = "bob";
	c.password = "builder";
	CU_ASSERT_EQUAL(refresh(&c, 0), 441);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), 441);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4000), 441);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 1);
	end();
}

static void a_refresh_of_a_family_that_is_not_there_is_443(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	turn_out_u32(request(&c, TURN_REFRESH), TURN_T_REQUESTED_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 443);
	turn_out_u32(request(&c, TURN_REFRESH), TURN_T_REQUESTED_ADDRESS_FAMILY, 1u << 24);
	CU_ASSERT_EQUAL(ask(&c), 0);
	end();
}

// ---- permissions and channels ------------------------------------------------------------------------

static void a_permission_is_installed_for_300_s_and_refreshed_in_place(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	dp->hold = true;
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), NO_ANSWER);
	dp_double_release(dp);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.1"), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 1);
	CU_ASSERT_EQUAL(object(ST_PERMISSION, 0)->expiry_ms, 300000);
	CU_ASSERT_EQUAL(object(ST_PERMISSION, 0)->sets, 2);
	request(&c, TURN_CREATE_PERMISSION);
	CU_ASSERT_EQUAL(ask(&c), 400);
	CU_ASSERT_EQUAL(permit(&c, "2001:db8:2::1"), 443);
	end();
}

static void permissions_are_all_or_nothing(void)
{
	struct st_addr good, bad;
	struct turn_out *o;
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	addr_parse(&good, "198.51.100.1");
	addr_parse(&bad, "10.0.0.1");
	o = request(&c, TURN_CREATE_PERMISSION);
	turn_out_address(o, TURN_T_XOR_PEER_ADDRESS, &good, 9);
	turn_out_address(o, TURN_T_XOR_PEER_ADDRESS, &bad, 9);
	CU_ASSERT_EQUAL(ask(&c), 403);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 0);
	o = request(&c, TURN_CREATE_PERMISSION);
	turn_out_address(o, TURN_T_XOR_PEER_ADDRESS, &good, 9);
	turn_out_bytes(o, TURN_T_XOR_PEER_ADDRESS, "\0\3\0\0", 4);
	CU_ASSERT_EQUAL(ask(&c), 400);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 0);
	end();
}

static void permissions_and_channels_have_their_cap(void)
{
	char peer[32];
	struct client c;

	begin_with("\"relay_addresses\": [\"192.0.2.1\"], \"users\": [{\"name\": \"alice\", "
		   "\"password\": "
		   "\"wonderland\"}], \"allow_peers\": [\"198.51.100.0/24\"], \"limits\": "
		   "{\"permissions_per_allocation\": 3, \"channels_per_allocation\": 2}");
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	for (int i = 0; i < 4; i++) {
		g_snprintf(peer, sizeof(peer), "198.51.100.%d", i + 1);
		CU_ASSERT_EQUAL(permit(&c, peer), i < 3 ? 0 : 508);
	}
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 1, 0x4000), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 2, 0x4001), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 3, 0x4002), 508);
	core.now_ms += 301000; // the permissions are over, and make room
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.4"), 0);
	end();
}

static void a_channel_is_one_number_for_one_peer(void)
{
	const struct dp_double_object *o;
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4001), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 1);
	o = object(ST_CHANNEL, 0);
	CU_ASSERT_EQUAL(o->expiry_ms, 600000);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4001), 0); // a refresh
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_CHANNEL), 1);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4002), 400);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 10, 0x4001), 400);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 10, 0x4002), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 11, 0x3fff), 400);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 11, 0x5000), 400);
	CU_ASSERT_EQUAL(bind_channel(&c, "10.0.0.1", 11, 0x4003), 403);
	CU_ASSERT_EQUAL(bind_channel(&c, "2001:db8:2::1", 11, 0x4003), 443);
	request(&c, TURN_CHANNEL_BIND);
	turn_out_u32(&c.o, TURN_T_CHANNEL_NUMBER, 0x4003u << 16);
	CU_ASSERT_EQUAL(ask(&c), 400);
	core.now_ms += 601000 - 1000; // over after 600 s: number and peer are free
	refresh(&c, 3600);
	core.now_ms += 1000;
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4004), refresh(&c, 600) ? 437 : 0);
	end();
}

static void the_channel_numbers_of_rfc_5766_are_an_option(void)
{
	struct client c;

	begin_with("\"relay_addresses\": [\"192.0.2.1\"], \"users\": [{\"name\": \"alice\", "
		   "\"password\": "
		   "\"wonderland\"}], \"allow_peers\": [\"198.51.100.0/24\"], "
		   "\"rfc5766_channel_numbers\": true");
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 1, 0x7ffe), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 2, 0x7fff), 400);
	end();
}

static void a_reload_cuts_off_a_peer_that_is_denied_now(void)
{
	struct config *old;
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4001), 0);
	CU_ASSERT_EQUAL(permit(&c, "198.51.100.2"), 0);
	old = config;
	config = parse_config(
		"\"relay_addresses\": [\"192.0.2.1\", \"2001:db8:1::1\"], \"relay_ports\": "
		"{\"min\": 50000, "
		"\"max\": 50019}, \"allow_peers\": [\"198.51.100.0/24\"], \"deny_peers\": "
		"[\"198.51.100.1/32\"], \"secrets\": [\"others now\"]");
	turn_core_apply(&core, config->turn);
	config_free(old);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_CHANNEL), 0);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 1);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 1);
	// Its user is no more, its session is.
	CU_ASSERT_EQUAL(refresh(&c, 600), 0);
	end();
}

static void denied_ports_are_told_to_the_lcores(void)
{
	const char *head = "\"relay_addresses\": [\"192.0.2.1\"], \"secrets\": [\"s\"]";
	char *some = g_strconcat(head, ", \"deny_peer_ports\": [25, \"6000-6010\"]", NULL);
	struct st_turn_deny_ports d;
	struct config *old;

	begin_with(some);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_TURN_DENY_PORTS), 2);
	old = config;
	config = parse_config(head);
	turn_core_apply(&core, config->turn);
	config_free(old);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_TURN_DENY_PORTS), 0);
	old = config;
	config = parse_config(some);
	turn_core_apply(&core, config->turn);
	config_free(old);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_TURN_DENY_PORTS), 2);
	memcpy(&d, object(ST_TURN_DENY_PORTS, 1)->body, sizeof(d));
	CU_ASSERT(d.key.port_lo_be == htons(6000) && d.key.port_hi_be == htons(6010));
	g_free(some);
	end();
}

static void external_addresses_are_what_clients_see(void)
{
	struct st_permission p;
	const uint8_t *v;
	struct client c;
	struct st_addr inside;

	begin_with("\"relay_addresses\": [{\"address\": \"10.0.0.5\", \"external_ip\": "
		   "\"203.0.114.7\"}], \"users\": "
		   "[{\"name\": \"alice\", \"password\": \"wonderland\"}]");
	client_init(&c, "203.0.113.5", 1000);
	CU_ASSERT_EQUAL(allocate(&c), 0);
	v = attr(&c, TURN_T_XOR_RELAYED_ADDRESS, 0, NULL);
	CU_ASSERT(v[4] == (203 ^ 0x21) && v[5] == (0 ^ 0x12) && v[6] == (114 ^ 0xa4) &&
		  v[7] == (7 ^ 0x42));
	// Two of our clients meet by the address they were told.
	CU_ASSERT_EQUAL(permit(&c, "203.0.114.7"), 0);
	addr_parse(&inside, "10.0.0.5");
	memcpy(&p, object(ST_PERMISSION, 0)->body, sizeof(p));
	CU_ASSERT_EQUAL(memcmp(&p.key.peer, &inside, sizeof(inside)), 0);
	end();
}

// ---- after kill -9 -----------------------------------------------------------------------------------

static void everything_is_refreshable_after_a_restart(void)
{
	struct turn_recovered *old = turn_recovered_new();
	struct client c, d;
	uint16_t port;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	client_init(&d, "203.0.113.6", 1000);
	turn_out_u32(allocate_request(&c), TURN_T_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
	CU_ASSERT_EQUAL(ask(&c), 0);
	port = relayed_port(&c, 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4001), 0);
	CU_ASSERT_EQUAL(permit(&c, "2001:db8:2::1"), 0);
	d.sha256 = true;
	CU_ASSERT_EQUAL(allocate(&d), 0);
	allocate_request(&c);
	for (guint n = 0; n < dp->objects->len; n++) {
		const struct dp_double_object *o = dp->objects->pdata[n];
		struct dp_item item = {
			o->kind, o->body, o->body_len, o->blob, o->blob_len, o->expiry_ms, -1};

		turn_recovered_add(old, &item);
		// No password and no key is to be read in it.
		CU_ASSERT_PTR_NULL(memmem(o->blob, o->blob_len, "wonderland", 10));
	}
	turn_core_fini(&core);
	g_ptr_array_set_size(dp->objects, 0);
	begin_core();
	CU_ASSERT_EQUAL(turn_recovered_take(old, &core), 2);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_RELAY), 3);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_CHANNEL), 1);
	CU_ASSERT_EQUAL(dp_double_count(dp, ST_PERMISSION), 2);
	CU_ASSERT_EQUAL(turn_ports_unused(core.ports, 0), 20 - 2);
	CU_ASSERT_EQUAL(refresh(&c, 600), 0); // under the old nonce
	CU_ASSERT_EQUAL(refresh(&d, 600), 0);
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4002), 400); // it knows the old one
	CU_ASSERT_EQUAL(bind_channel(&c, "198.51.100.1", 9, 0x4001), 0);
	c.name = "bob";
	c.password = "builder";
	CU_ASSERT_EQUAL(refresh(&c, 600), 441);
	CU_ASSERT_EQUAL(turn_allocation_find(&core, &c.tuple)->relayed[TURN_V4].port, port);
	turn_recovered_free(old);
	end();
}

static void a_million_spoofed_first_packets_leave_nothing(void)
{
	struct client c;

	begin_with(usual);
	client_init(&c, "203.0.113.5", 1000);
	turn_out_u32(request(&c, TURN_ALLOCATE), TURN_T_REQUESTED_TRANSPORT, 17u << 24);
	for (uint32_t i = 0; i < 1000000; i++) {
		memcpy(c.tuple.client.b + 12, &i, 4);
		turn_core_receive(&core, &c.tuple, c.o.data, turn_out_end(&c.o));
	}
	CU_ASSERT_EQUAL(answers, 1000000);
	CU_ASSERT_EQUAL(turn_core_allocations(&core), 0);
	CU_ASSERT_EQUAL(turn_counts_size(core.by_source), 0);
	CU_ASSERT_EQUAL(dp->objects->len, 0);
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		TEST(a_stranger_is_challenged_and_leaves_no_state),
		TEST(credentials_are_checked_in_the_order_of_the_rfc),
		TEST(a_nonce_is_good_for_one_address_and_port_and_an_hour),
		TEST(sha256_and_userhash_work_and_a_bid_down_is_seen),
		TEST(anonymity_is_not_offered_with_secrets),
		TEST(time_limited_credentials_are_those_of_coturn_and_netbird),
		TEST(strict_expiry_ends_what_is_over),
		TEST(a_reload_to_strict_expiry_shortens_running_sessions),
		TEST(a_user_shares_its_limit_between_lcores_and_straitd),
		TEST(answers_to_strangers_are_limited_per_source),
		TEST(who_has_a_session_or_a_nonce_is_no_stranger),
		TEST(binding_is_answered_with_32_bytes),
		TEST(unknown_attributes_get_420_after_authentication),
		TEST(what_is_no_request_of_ours_gets_no_answer),
		TEST(an_allocation_is_installed_before_its_answer_leaves),
		TEST(a_retransmitted_allocate_gets_the_same_answer_and_another_one_437),
		TEST(a_refused_install_is_508_and_leaves_nothing),
		TEST(transports_and_families_are_checked),
		TEST(a_dual_allocation_has_two_addresses_that_end_one_by_one),
		TEST(even_ports_and_reservations),
		TEST(a_full_range_is_508_and_comes_back_whole),
		TEST(quotas_are_486_and_the_tables_cap_508),
		TEST(a_drain_takes_nobody_new),
		TEST(lifetimes_are_between_600_and_3600),
		TEST(an_allocation_ends_when_nobody_refreshes_it),
		TEST(without_an_allocation_it_is_437_and_of_another_user_441),
		TEST(a_refresh_of_a_family_that_is_not_there_is_443),
		TEST(a_permission_is_installed_for_300_s_and_refreshed_in_place),
		TEST(permissions_are_all_or_nothing),
		TEST(permissions_and_channels_have_their_cap),
		TEST(a_channel_is_one_number_for_one_peer),
		TEST(the_channel_numbers_of_rfc_5766_are_an_option),
		TEST(a_reload_cuts_off_a_peer_that_is_denied_now),
		TEST(denied_ports_are_told_to_the_lcores),
		TEST(external_addresses_are_what_clients_see),
		TEST(everything_is_refreshable_after_a_restart),
		TEST(a_million_spoofed_first_packets_leave_nothing),
		CU_TEST_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : run_tests("turn/core", tests);
}
