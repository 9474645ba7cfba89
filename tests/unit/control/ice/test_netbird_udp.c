// SPDX-License-Identifier: BSD-3-Clause
//
// What two NetBird peers and coturn really sent over UDP (tests/data/netbird_udp.txt): each datagram goes where it
// should, every integrity is right under the keys of the capture, initiations open, and our answers are byte for
// byte NetBird's.
#include "../../../../control/addr.h"
#include "../../../../control/ice/ice_internal.h"
#include "../../../../control/ice/keep.h"
#include "../../../../crypto/cookie.h"
#include "../../../../crypto/keys.h"
#include "../../../../crypto/noise.h"
#include "../../../../crypto/tai64n.h"
#include "../../suite.h"

#include <sodium.h>

#include <stdlib.h>

#define PAYLOAD_MAX 2048

struct datagram {
	struct st_addr from, to;
	uint16_t from_port_be, to_port_be;
	size_t len;
	uint8_t data[PAYLOAD_MAX];
};

struct counts {
	unsigned int checks, answers, plain, turn, turn_signed, sends, datas, channels;
	unsigned int initiations, responses, transport, other; // WireGuard
};

// Each capture has two.
static struct ice_credentials credentials[2];
static unsigned int nb_credentials;
static uint8_t turn_key[STUN_KEY_LEN];
static struct noise_identity identities[2];
static struct counts seen;

static struct sent {
	size_t len;
	uint8_t data[512];
} last;

// ---- the file ------------------------------------------------------------------------------------------

static void tuple_parse(struct st_addr *ret, uint16_t *ret_port_be, const char *text)
{
	g_auto(GStrv) part = g_strsplit(text, ":", 2);

	CU_ASSERT_TRUE_FATAL(addr_parse(ret, part[0]));
	*ret_port_be = htons((uint16_t)atoi(part[1]));
}

static struct datagram datagram_of(char **field)
{
	struct datagram d;
	g_autofree uint8_t *bytes = g_base64_decode(field[3], &d.len);

	tuple_parse(&d.from, &d.from_port_be, field[1]);
	tuple_parse(&d.to, &d.to_port_be, field[2]);
	CU_ASSERT_FATAL(d.len <= sizeof(d.data));
	memcpy(d.data, bytes, d.len);
	return d;
}

static char *data_text(const char *name)
{
	g_autofree char *path = g_build_filename(TEST_DATA, name, NULL);
	char *text = NULL;

	CU_ASSERT_FATAL(g_file_get_contents(path, &text, NULL, NULL));
	return text;
}

static void each_datagram(void (*fn)(struct datagram *d))
{
	g_autofree char *text = data_text("netbird_udp.txt");
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

	for (char **l = lines; *l; l++) {
		g_auto(GStrv) field = g_strsplit(*l, " ", 5);
		struct datagram d;

		if (g_str_has_prefix(*l, "turn "))
			stun_long_term_key(turn_key, field[1], field[2], strlen(field[2]), field[3]);
		if (g_str_has_prefix(*l, "credentials "))
			CU_ASSERT_EQUAL_FATAL(
				ice_credentials_parse(&credentials[nb_credentials++ % 2], field[1]),
				0);
		if (!g_str_has_prefix(*l, "datagram "))
			continue;
		d = datagram_of(field);
		fn(&d);
	}
}

static void identities_read(void)
{
	g_autofree char *text = data_text("netbird_signal.txt");
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	uint8_t private[NOISE_KEY_LEN];
	unsigned int have = 0;

	for (char **l = lines; *l; l++) {
		g_auto(GStrv) field = g_strsplit(*l, " ", 3);

		if (!g_str_has_prefix(*l, "key "))
			continue;
		CU_ASSERT_TRUE_FATAL(have < 2 && key_from_base64(private, field[1]));
		noise_identity_init(&identities[have++], private);
	}
	CU_ASSERT_EQUAL_FATAL(have, 2);
}

// ---- what each is --------------------------------------------------------------------------------------

static bool verified_by_either(const struct stun_msg *m)
{
	for (int n = 0; n < 2; n++) {
		if (stun_verify(m, credentials[n].pwd, strlen(credentials[n].pwd)))
			return true;
	}
	return false;
}

// A request is signed by the password of the side that USERNAME names first.
static void see_check(const struct stun_msg *m)
{
	uint16_t len;
	const uint8_t *user = stun_find(m, STUN_ATTR_USERNAME, &len);
	uint32_t priority;

	if (!user) { // to the STUN server
		CU_ASSERT_EQUAL(m->len, STUN_HEADER_LEN);
		seen.plain++;
		return;
	}
	for (int n = 0; n < 2; n++) {
		const struct ice_credentials *c = &credentials[n];
		bool theirs = len > strlen(c->ufrag) && user[strlen(c->ufrag)] == ':' &&
			      !memcmp(user, c->ufrag, strlen(c->ufrag));

		CU_ASSERT_EQUAL(stun_verify(m, c->pwd, strlen(c->pwd)), theirs);
	}
	CU_ASSERT_TRUE(stun_find_u32(m, STUN_ATTR_PRIORITY, &priority));
	CU_ASSERT_TRUE(m->fingerprint > 0);
	seen.checks++;
}

static void see_binding(const struct stun_msg *m)
{
	struct st_addr mapped;
	uint16_t port_be;

	if (stun_class(m) == STUN_REQUEST) {
		see_check(m);
		return;
	}
	CU_ASSERT_EQUAL(stun_class(m), STUN_SUCCESS);
	CU_ASSERT_TRUE(stun_find_address(m, STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped, &port_be));
	CU_ASSERT_TRUE(addr_is_v4(&mapped));
	if (!m->integrity) {
		seen.plain++;
		return;
	}
	CU_ASSERT_TRUE(verified_by_either(m));
	seen.answers++;
}

// Of one of the two, to the other: nobody else reads it, and the names in it are right.
static void open_initiation(const uint8_t *data)
{
	struct message_initiation msg;
	unsigned int opened = 0;

	memcpy(&msg, data, sizeof(msg));
	for (int n = 0; n < 2; n++) {
		uint8_t key[NOISE_KEY_LEN], stamp[TAI64N_LEN];
		struct cookie_checker macs;
		struct noise_handshake hs;
		struct noise_peer peer;

		cookie_checker_init(&macs, identities[n].public_key);
		if (!noise_consume_initiation_static(&hs, key, &identities[n], &msg))
			continue;
		opened++;
		CU_ASSERT_EQUAL(memcmp(key, identities[!n].public_key, sizeof(key)), 0);
		CU_ASSERT_TRUE(noise_peer_init(&peer, &identities[n], key, NULL));
		CU_ASSERT_TRUE(noise_consume_initiation_timestamp(&hs, stamp, &peer, &msg));
		CU_ASSERT_EQUAL(cookie_validate(&macs, &msg, sizeof(msg), NULL, 0, false, 1),
			COOKIE_VALID_MAC1);
	}
	CU_ASSERT_EQUAL(opened, 1);
}

static void see_wireguard(const uint8_t *data, size_t len)
{
	switch (data[0]) {
	case 1:
		CU_ASSERT_EQUAL_FATAL(len, sizeof(struct message_initiation));
		open_initiation(data);
		seen.initiations++;
		break;
	case 2:
		CU_ASSERT_EQUAL(len, sizeof(struct message_response));
		seen.responses++;
		break;
	case 4:
		CU_ASSERT_EQUAL(len % 16, 0);
		seen.transport++;
		break;
	default:
		seen.other++;
	}
}

// As ice_receive tells them apart.
static void see(const uint8_t *data, size_t len)
{
	struct stun_msg m;

	if (ice_is_wireguard(data, len)) {
		CU_ASSERT_FALSE(stun_looks_like(data, len));
		see_wireguard(data, len);
		return;
	}
	CU_ASSERT_TRUE(stun_looks_like(data, len));
	CU_ASSERT_EQUAL_FATAL(stun_parse(&m, data, len), 0);
	CU_ASSERT_EQUAL(m.len, len); // nothing behind FINGERPRINT, in 2023
	CU_ASSERT_EQUAL(stun_method(&m), STUN_BINDING);
	see_binding(&m);
}

static void see_indication(const struct stun_msg *m)
{
	struct st_addr peer;
	uint16_t port_be, len;
	const uint8_t *inner = stun_find(m, STUN_ATTR_DATA, &len);

	CU_ASSERT_TRUE(stun_find_address(m, STUN_ATTR_XOR_PEER_ADDRESS, &peer, &port_be));
	CU_ASSERT_PTR_NOT_NULL_FATAL(inner);
	if (stun_method(m) == STUN_SEND)
		seen.sends++;
	else
		seen.datas++;
	see(inner, len);
}

// Between NetBird and the TURN server.
static void see_turn(uint8_t *data, size_t len)
{
	struct stun_msg m;

	CU_ASSERT_EQUAL(stun_cut(data, len), len);
	if (data[0] == 0x40) { // the first 256 channels
		size_t inner = (size_t)data[2] << 8 | data[3];

		CU_ASSERT_FATAL(inner <= len - 4);
		seen.channels++;
		see(data + 4, inner);
		return;
	}
	CU_ASSERT_EQUAL_FATAL(stun_parse(&m, data, len), 0);
	if (stun_class(&m) == STUN_INDICATION) {
		see_indication(&m);
		return;
	}
	seen.turn++;
	if (!m.integrity) { // the first request, and the challenge
		CU_ASSERT_EQUAL(stun_method(&m), STUN_ALLOCATE);
		return;
	}
	CU_ASSERT_TRUE(stun_verify(&m, turn_key, sizeof(turn_key)));
	seen.turn_signed++;
}

static void see_datagram(struct datagram *d)
{
	if (d->from_port_be == htons(51820) || d->to_port_be == htons(51820))
		see(d->data, d->len);
	else
		see_turn(d->data, d->len);
}

static void every_datagram_is_told_apart_and_verifies(void)
{
	identities_read();
	each_datagram(see_datagram);
	// What the file holds.
	CU_ASSERT_EQUAL(seen.checks, 130);
	CU_ASSERT_EQUAL(seen.answers, 65);
	CU_ASSERT_EQUAL(seen.plain, 8);
	CU_ASSERT_EQUAL(seen.turn, 34);
	CU_ASSERT_EQUAL(seen.turn_signed, 30);
	CU_ASSERT_EQUAL(seen.sends, 9);
	CU_ASSERT_EQUAL(seen.datas, 1);
	CU_ASSERT_EQUAL(seen.channels, 79);
	CU_ASSERT_EQUAL(seen.initiations, 5);
	CU_ASSERT_EQUAL(seen.responses, 4);
	CU_ASSERT_EQUAL(seen.transport, 34);
	CU_ASSERT_EQUAL(seen.other, 0);
}

// ---- answers -------------------------------------------------------------------------------------------

static int env_send(const struct st_addr *local, const struct st_addr *remote, uint16_t port_be,
	const void *data, size_t len, void *arg)
{
	last.len = len;
	memcpy(last.data, data, MIN(len, sizeof(last.data)));
	return 0;
}

static uint16_t env_port(void *arg)
{
	return 51820;
}

static void on_lost(const char *why, void *arg)
{
}

static void on_back(void *arg)
{
}

static void on_moved(const struct ice_path *p, void *arg)
{
}

static const struct ice_keep_ops ops = {on_lost, on_back, on_moved, NULL, NULL};
static struct st_addr captured_at;
static GHashTable *theirs; // answers that left from there by the shared port, by transaction
static unsigned int compared;

static guint tid_hash(gconstpointer p)
{
	guint h;

	memcpy(&h, p, sizeof(h));
	return h;
}

static gboolean tid_equal(gconstpointer a, gconstpointer b)
{
	return !memcmp(a, b, STUN_TID_LEN);
}

static void note_answer(struct datagram *d)
{
	struct datagram *copy;

	if (memcmp(&d->from, &captured_at, sizeof(captured_at)) ||
		d->from_port_be != htons(51820) || d->data[0] != 1 || d->data[1] != 1)
		return;
	copy = g_memdup2(d, sizeof(*d));
	g_hash_table_replace(theirs, copy->data + 8, copy);
}

// We are the side that answered.
static void answer_as_netbird(struct datagram *d)
{
	static const struct ice_env env = {.name = "netbird", .send = env_send, .port = env_port};
	struct ice_path path = {
		.local = d->to,
		.remote = d->from,
		.local_port_be = d->to_port_be,
		.remote_port_be = d->from_port_be,
	};
	struct wg_datagram in = {.local = d->to,
		.remote = d->from,
		.remote_port_be = d->from_port_be,
		.len = (uint16_t)d->len,
		.data = d->data};
	const struct datagram *want;
	struct ice_keep *k;
	struct stun_msg m;
	struct ice *ice;
	uint16_t len;
	int ours;

	if (stun_parse(&m, d->data, d->len) || m.type != (STUN_BINDING | STUN_REQUEST) ||
		!stun_find(&m, STUN_ATTR_USERNAME, &len) ||
		!(want = g_hash_table_lookup(theirs, stun_tid(&m))))
		return;
	ours = stun_verify(&m, credentials[0].pwd, strlen(credentials[0].pwd)) ? 0 : 1;
	path.ours = credentials[ours];
	path.theirs = credentials[!ours];
	path.controlling = stun_find(&m, STUN_ATTR_ICE_CONTROLLED, &len) != NULL;
	ice = ice_new(&env, "/nonexistent");
	k = ice_keep_new(ice, 1, &path, &ops, NULL);
	last.len = 0;
	CU_ASSERT_TRUE(ice_receive(ice, &in));
	CU_ASSERT_EQUAL(last.len, want->len);
	CU_ASSERT_EQUAL(memcmp(last.data, want->data, MIN(last.len, want->len)), 0);
	compared++;
	ice_keep_free(k);
	ice_free(ice);
}

static void checks_get_the_very_answers_that_netbird_gave(void)
{
	theirs = g_hash_table_new_full(tid_hash, tid_equal, NULL, g_free);
	addr_parse(&captured_at, "10.1.0.2");
	each_datagram(note_answer);
	each_datagram(answer_as_netbird);
	CU_ASSERT_EQUAL(compared, g_hash_table_size(theirs));
	CU_ASSERT_EQUAL(compared, 6);
	g_hash_table_destroy(theirs);
}

static CU_TestInfo tests[] = {
	TEST(every_datagram_is_told_apart_and_verifies),
	TEST(checks_get_the_very_answers_that_netbird_gave),
	CU_TEST_INFO_NULL,
};

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	return run_tests("NetBird's UDP", tests);
}
