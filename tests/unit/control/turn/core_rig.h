// SPDX-License-Identifier: BSD-3-Clause
//
// The TURN server without sockets on the recording double of the data plane, and a client by hand: it signs what
// it asks, remembers its nonce and takes answers apart. One server at a time, one binary per topic.
#pragma once

#include "../../../../control/addr.h"
#include "../../../../control/config/config.h"
#include "../../../../control/seal.h"
#include "../../../../control/stun/stun_digest.h"
#include "../../../../control/turn/core.h"
#include "../../suite.h"
#include "../dp_double.h"

#include <sodium.h>

#include <arpa/inet.h>
#include <string.h>

#define NO_ANSWER (-1)

static const char usual[] = "\"relay_addresses\": [\"192.0.2.1\", \"2001:db8:1::1\"], "
			    "\"relay_ports\": {\"min\": 50000, \"max\": 50019}, "
			    "\"allow_peers\": [\"198.51.100.0/24\", \"2001:db8::/32\"], "
			    "\"users\": [{\"name\": \"alice\", \"password\": \"wonderland\"}, "
			    "{\"name\": \"bob\", \"password\": \"builder\"}]";

static struct dp *dp;
static struct turn_core core;
static struct config *config;
static struct seal *seal;
static char *run_dir;
static uint8_t answer[STUN_MAX];
static size_t answer_len;
static unsigned int answers;
static struct turn_tuple answered;

static inline void on_send(const struct turn_tuple *to, const void *data, size_t len, void *arg)
{
	answers++;
	answered = *to;
	answer_len = len;
	memcpy(answer, data, len);
}

static inline struct config *parse_config(const char *turn)
{
	char *text = g_strdup_printf("{\"turn\": {\"realm\": \"example.org\", %s}}", turn),
	     *error = NULL;
	struct config *c = config_parse("test.json", text, &error);

	if (!c)
		g_error("config: %s", error);
	g_free(text);
	return c;
}

static inline void begin_core(void)
{
	static const uint8_t master[TURN_NONCE_KEY] = "master key of the tests";

	turn_core_init(&core, dp, seal, master, NULL);
	core.send = on_send;
	turn_core_clock(&core);
	turn_core_apply(&core, config->turn);
}

static inline void begin_with(const char *turn)
{
	char *error = NULL;

	run_dir = g_dir_make_tmp("strait-turn-XXXXXX", NULL);
	seal = seal_new(run_dir, &error);
	dp = dp_double_new();
	config = parse_config(turn);
	begin_core();
	answers = 0;
}

static inline void end(void)
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

static inline void settle(void)
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
	uint8_t tid[STUN_TID_LEN];
	struct stun_out o;
	uint8_t buf[STUN_MAX]; // of o
	struct stun_msg m;     // the answer
};

static inline void client_init(struct client *c, const char *addr, uint16_t port)
{
	memset(c, 0, sizeof(*c));
	addr_parse(&c->tuple.client, addr);
	addr_parse(&c->tuple.server, addr_is_v4(&c->tuple.client) ? "192.0.2.1" : "2001:db8:1::1");
	c->tuple.client_port_be = htons(port);
	c->tuple.server_port_be = htons(3478);
	c->name = "alice";
	c->password = "wonderland";
}

static inline struct stun_out *request(struct client *c, uint16_t method)
{
	randombytes_buf(c->tid, sizeof(c->tid));
	stun_begin(&c->o, c->buf, sizeof(c->buf), method | STUN_REQUEST, c->tid);
	return &c->o;
}

static inline void key_of(const struct client *c, uint8_t *key, size_t *len)
{
	if (c->sha256)
		stun_sha256_colon(key, c->name, strlen(c->name), "example.org", 11, c->password,
			strlen(c->password));
	else
		stun_md5_colon(key, c->name, strlen(c->name), "example.org", 11, c->password,
			strlen(c->password));
	*len = c->sha256 ? STUN_SHA256_LEN : STUN_MD5_LEN;
}

static inline void sign(struct client *c)
{
	static const uint8_t list[] = {0, 2, 0, 0, 0, 1, 0, 0}, bad[] = {0, 1, 0, 0};
	uint8_t key[TURN_KEY_MAX], hash[STUN_SHA256_LEN];
	size_t len;

	stun_sha256_colon(hash, c->name, strlen(c->name), "example.org", 11, NULL, SIZE_MAX);
	if (c->userhash)
		stun_add(&c->o, STUN_ATTR_USERHASH, hash, sizeof(hash));
	else
		stun_add(&c->o, STUN_ATTR_USERNAME, c->name, strlen(c->name));
	stun_add(&c->o, STUN_ATTR_REALM, "example.org", 11);
	stun_add(&c->o, STUN_ATTR_NONCE, c->nonce, strlen(c->nonce));
	if (c->sha256) {
		stun_add(&c->o, STUN_ATTR_PASSWORD_ALGORITHMS, c->spoil_list ? bad : list,
			c->spoil_list ? sizeof(bad) : sizeof(list));
		stun_add(&c->o, STUN_ATTR_PASSWORD_ALGORITHM, list, 4);
	}
	key_of(c, key, &len);
	stun_add_integrity(&c->o,
		c->sha256 ? STUN_ATTR_MESSAGE_INTEGRITY_SHA256 : STUN_ATTR_MESSAGE_INTEGRITY, key,
		len);
	if (c->fingerprint)
		stun_add_fingerprint(&c->o);
}

static inline int code_of(const struct stun_msg *m)
{
	const uint8_t *p = m->data + STUN_HEADER_LEN;

	if (stun_class(m) == STUN_SUCCESS)
		return 0;
	CU_ASSERT_EQUAL_FATAL(p[1], STUN_ATTR_ERROR_CODE); // it comes first
	return p[6] * 100 + p[7];
}

static inline bool has_fingerprint(const struct stun_out *o)
{
	return o->len >= STUN_HEADER_LEN + 8 && o->data[o->len - 8] == STUN_ATTR_FINGERPRINT >> 8 &&
	       o->data[o->len - 7] == (STUN_ATTR_FINGERPRINT & 0xff) && o->data[o->len - 5] == 4;
}

// The code of the answer, 0 for success, NO_ANSWER.
static inline int deliver(struct client *c)
{
	unsigned int before = answers;

	turn_core_receive(&core, &c->tuple, c->o.data, stun_end(&c->o, NULL, 0, false));
	settle();
	if (answers == before)
		return NO_ANSWER;
	CU_ASSERT_EQUAL(answers, before + 1);
	CU_ASSERT_EQUAL(memcmp(&answered, &c->tuple, sizeof(answered)), 0);
	CU_ASSERT_EQUAL_FATAL(stun_parse_strict(&c->m, answer, answer_len), 0);
	CU_ASSERT_EQUAL(memcmp(stun_tid(&c->m), c->o.data + 8, STUN_TID_LEN), 0);
	// Only one whose request had one needs it (RFC 8489 section 7.3); the parser has verified it.
	CU_ASSERT_EQUAL(c->m.fingerprint != 0, has_fingerprint(&c->o));
	if (stun_attr(&c->m, STUN_ATTR_NONCE).at) {
		memcpy(c->nonce, stun_attr(&c->m, STUN_ATTR_NONCE).at,
			stun_attr(&c->m, STUN_ATTR_NONCE).len);
		c->nonce[stun_attr(&c->m, STUN_ATTR_NONCE).len] = 0;
	}
	return code_of(&c->m);
}

static inline bool signed_by(const struct client *c)
{
	uint8_t key[TURN_KEY_MAX];
	size_t len;

	key_of(c, key, &len);
	return stun_verify_by(&c->m,
		c->sha256 ? STUN_ATTR_MESSAGE_INTEGRITY_SHA256 : STUN_ATTR_MESSAGE_INTEGRITY, key,
		len);
}

// Signs and delivers; every answer to it must be signed.
static inline int ask(struct client *c)
{
	int code;

	sign(c);
	code = deliver(c);
	if (code != NO_ANSWER && code != 401 && code != 438)
		CU_ASSERT(signed_by(c));
	return code;
}

static inline void learn_nonce(struct client *c)
{
	request(c, STUN_ALLOCATE);
	CU_ASSERT_EQUAL_FATAL(deliver(c), 401);
}

static inline struct stun_out *allocate_request(struct client *c)
{
	struct stun_out *o;

	if (!c->nonce[0])
		learn_nonce(c);
	o = request(c, STUN_ALLOCATE);
	stun_add_u32(o, STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
	return o;
}

static inline int allocate(struct client *c)
{
	allocate_request(c);
	return ask(c);
}

static inline int permit(struct client *c, const char *peer)
{
	struct stun_out *o = request(c, STUN_CREATE_PERMISSION);
	struct st_addr a;

	addr_parse(&a, peer);
	stun_add_address(o, STUN_ATTR_XOR_PEER_ADDRESS, &a, htons(9));
	return ask(c);
}

static inline int bind_channel(struct client *c, const char *peer, uint16_t port, uint16_t number)
{
	struct stun_out *o = request(c, STUN_CHANNEL_BIND);
	struct st_addr a;

	addr_parse(&a, peer);
	stun_add_u32(o, STUN_ATTR_CHANNEL_NUMBER, (uint32_t)number << 16);
	stun_add_address(o, STUN_ATTR_XOR_PEER_ADDRESS, &a, htons(port));
	return ask(c);
}

static inline int refresh(struct client *c, uint32_t lifetime)
{
	stun_add_u32(request(c, STUN_REFRESH), STUN_ATTR_LIFETIME, lifetime);
	return ask(c);
}

static inline const uint8_t *attr(
	const struct client *c, uint16_t type, unsigned int nth, uint16_t *ret_len)
{
	for (size_t at = STUN_HEADER_LEN; at < c->m.len;) {
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

static inline uint16_t relayed_port(const struct client *c, unsigned int nth)
{
	const uint8_t *v = attr(c, STUN_ATTR_XOR_RELAYED_ADDRESS, nth, NULL);

	return v ? (uint16_t)((v[2] ^ 0x21) << 8 | (v[3] ^ 0x12)) : 0;
}

static inline uint32_t lifetime(const struct client *c)
{
	uint32_t v = 0;

	stun_find_u32(&c->m, STUN_ATTR_LIFETIME, &v);
	return v;
}

static inline const struct dp_double_object *object(uint16_t kind, unsigned int nth)
{
	for (guint n = 0; n < dp->objects->len; n++) {
		const struct dp_double_object *o = dp->objects->pdata[n];

		if (o->kind == kind && !nth--)
			return o;
	}
	return NULL;
}
