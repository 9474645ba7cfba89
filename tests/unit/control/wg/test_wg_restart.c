// SPDX-License-Identifier: BSD-3-Clause
//
// What a restart of straitd and a reload leave as it was.
#include "../../../../control/config/config.h"
#include "../../../../control/wg/stamps.h"
#include "wg_pair.h"

#include <cjson/cJSON.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// ---- restart of straitd ------------------------------------------------------------------------

static void give(struct wg *wg, uint16_t kind, const struct dp_double_object *o)
{
	struct dp_item item = {.kind = kind,
		.body = o->body,
		.body_len = o->body_len,
		.blob = o->blob,
		.blob_len = o->blob_len,
		.fd = -1};

	wg_dp_item(wg, &item);
}

static void give_socket(struct wg *wg, uint32_t id, const char *purpose, int fd)
{
	struct st_socket body = {.key.socket_id = id};
	struct dp_item item = {
		.kind = ST_SOCKET, .body = &body, .body_len = sizeof(body), .fd = dup(fd)};

	g_strlcpy(body.purpose, purpose, sizeof(body.purpose));
	wg_dp_item(wg, &item);
}

static void a_restart_takes_back_identity_session_endpoint_and_socket(void)
{
	struct side old;
	struct st_stat_keypair k = {0};
	struct dp_item stat = {.kind = ST_STAT_KEYPAIR, .body = &k, .body_len = sizeof(k), .fd = -1};
	char purpose[60];
	uint8_t private_key[NOISE_KEY_LEN], stamp[TAI64N_LEN], before[TAI64N_LEN];
	struct peer *p;
	uint32_t index;
	int fd;

	up("127.0.0.1");
	CU_ASSERT_TRUE(handshake());
	index = b.peer->slots[ST_SLOT_NEXT].index;
	peer_key_confirmed(b.peer, index);
	stamps_next(b.wg->stamps, b.peer->stamp, 3 * wg_wall_us()); // the clock was set back since
	memcpy(before, b.peer->stamp, sizeof(before));
	peer_install(b.peer, NULL, NULL);
	g_strlcpy(b.peer->endpoint.scope, "wan", ST_NAME_MAX);
	peer_install_endpoint(b.peer);
	old = b;
	memcpy(private_key, handshake_identity_get(b.iface->identity)->private_key, 32);

	b.dp = dp_double_new();
	b.wg = wg_new(b.dp, NULL, "/nowhere");
	wg_dp_connected(b.wg, false);
	give(b.wg, ST_WGIF, dp_double_find(old.dp, ST_WGIF, old.iface->if_id));
	give(b.wg, ST_PEER, dp_double_find(old.dp, ST_PEER, old.peer->id));
	give(b.wg, ST_ENDPOINT, dp_double_find(old.dp, ST_ENDPOINT, old.peer->id));
	k = (struct st_stat_keypair){.index = index,
		.peer_id = old.peer->id,
		.slot = ST_SLOT_CURRENT,
		.role = ST_KEY_RESPONDER,
		.age_ms = 1000};
	wg_dp_item(b.wg, &stat);
	for (int f = 0; f < WG_FAMILIES; f++) {
		g_snprintf(purpose, sizeof(purpose), "wg wgb %s %u", wg_family_name(f),
			old.iface->port);
		give_socket(b.wg, old.iface->if_id * 2 + f, purpose, old.iface->sockets[f].fd);
	}
	// Not what it says, and nobody's.
	give_socket(b.wg, 99, "wg wgb v4 1", old.iface->sockets[0].fd);
	give_socket(b.wg, 98, "garbage", old.iface->sockets[0].fd);
	wg_dp_recovered(b.wg);
	b.iface = wg_iface_new(b.wg, "wgb", old.iface->if_id);
	wg_iface_set_key(b.iface, private_key);
	CU_ASSERT_EQUAL(wg_iface_set_port(b.iface, old.iface->port), 0);
	CU_ASSERT_TRUE(b.iface->sockets[WG_V4].parked);
	fd = b.iface->sockets[WG_V4].fd;
	CU_ASSERT_EQUAL(wg_socket_port(fd, WG_V4), old.iface->port);
	p = peer_new(b.iface, a.iface->public_key, "a");
	peer_configure_endpoint(p, NULL, 0);
	CU_ASSERT_EQUAL(p->id, old.peer->id);
	CU_ASSERT_FALSE(memcmp(p->greatest, old.peer->greatest, TAI64N_LEN));
	CU_ASSERT_EQUAL(p->handshake_us, old.peer->handshake_us);
	CU_ASSERT_TRUE(peer_has_session(p, wg_now()));
	CU_ASSERT_PTR_NOT_NULL(wg_index_find(b.wg->index, index));
	CU_ASSERT_TRUE(p->endpoint.known && p->endpoint.roamed);
	CU_ASSERT_STRING_EQUAL(p->endpoint.scope, "wan");
	CU_ASSERT_EQUAL(p->endpoint.port_be, old.peer->endpoint.port_be);
	stamps_next(b.wg->stamps, p->stamp, wg_wall_us());
	memcpy(stamp, p->stamp, sizeof(stamp));
	CU_ASSERT_TRUE(memcmp(stamp, before, TAI64N_LEN) > 0);
	wg_recover_unpark(b.wg);
	CU_ASSERT_EQUAL(b.dp->unparked, 2);
	settle();
	CU_ASSERT_EQUAL(b.wg->counters.initiations_sent, 0);
	b.peer = p;
	side_down(&old);
	down();
}

// As many as there may be, each key on two interfaces.
static void every_peer_of_old_is_found_by_interface_and_key(void)
{
	struct wg_recovered *r = wg_recovered_new();
	struct st_peer body = {.public_key = {1}};
	struct dp_item item = {.kind = ST_PEER, .body = &body, .body_len = sizeof(body), .fd = -1};
	unsigned int wrong = 0;

	for (uint32_t id = 0; id < ST_MAX_PEERS; id++) {
		body.key.peer_id = id;
		body.if_id = 1 + id % 2;
		body.public_key[0] = (uint8_t)(id >> 1);
		body.public_key[1] = (uint8_t)(id >> 9);
		wg_recovered_add(r, &item);
	}
	for (uint32_t id = 0; id < ST_MAX_PEERS; id++) {
		body.public_key[0] = (uint8_t)(id >> 1);
		body.public_key[1] = (uint8_t)(id >> 9);
		wrong += wg_recovered_peer_id(r, 1 + id % 2, body.public_key) != id;
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(wg_recovered_peer_id(r, 3, body.public_key), ST_NO_PEER);
	// Told again, it has another key by now.
	memset(body.public_key, 0xff, sizeof(body.public_key));
	body.key.peer_id = 0;
	body.if_id = 1;
	wg_recovered_add(r, &item);
	CU_ASSERT_EQUAL(wg_recovered_peer_id(r, 1, body.public_key), 0);
	memset(body.public_key, 0, sizeof(body.public_key));
	CU_ASSERT_EQUAL(wg_recovered_peer_id(r, 1, body.public_key), ST_NO_PEER);
	wg_recovered_free(r);
}

// ---- configuration and status ------------------------------------------------------------------

static struct config *document(unsigned int port, const char *peers)
{
	char *error = NULL;
	g_autofree char *text = g_strdup_printf(
		"{\"wireguard\": [{\"name\": \"wgc\", \"private_key\": "
		"\"YAnSXJIUQTXTyUQ1VScjWvYgbwZjEGzLAfNSQPWuvlY=\", \"listen_port\": %u, "
		"\"peers\": [%s]}]}",
		port, peers);
	struct config *c = config_parse("test", text, &error);

	if (!c)
		fprintf(stderr, "%s\n", error);
	g_free(error);
	return c;
}

#define PEER1                                                                                      \
	"{\"name\": \"one\", \"public_key\": "                                                     \
	"\"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\", "                                       \
	"\"endpoint\": \"127.0.0.1:9\", \"allowed_ips\": [\"10.0.0.0/8\", \"fd00::/8\"]}"
#define PEER2                                                                                      \
	"{\"name\": \"two\", \"public_key\": "                                                     \
	"\"TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=\", "                                       \
	"\"allowed_ips\": [\"10.9.0.0/16\"]}"

static struct config *applied; // the interfaces refer to it

static void apply(struct wg *wg, unsigned int port, const char *peers)
{
	struct config *c = document(port, peers);
	char *error = NULL;

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(wg_apply(wg, c, &error), 0);
	CU_ASSERT_PTR_NULL(error);
	config_free(applied);
	applied = c;
}

static void a_reload_touches_only_what_differs(void)
{
	struct wg_iface *i;
	struct peer *one;
	struct cJSON *status, *peers;
	uint64_t serial;

	up("127.0.0.1");
	apply(a.wg, 58211, PEER1 "," PEER2);
	i = wg_iface_find(a.wg, "wgc");
	CU_ASSERT_PTR_NOT_NULL_FATAL(i);
	CU_ASSERT_EQUAL(a.wg->ifaces->len, 1); // wga is not in the document
	CU_ASSERT_EQUAL(dp_double_count(a.dp, ST_PEER), 2);
	CU_ASSERT_EQUAL(dp_double_count(a.dp, ST_ALLOWED_IP), 3);
	CU_ASSERT_EQUAL(dp_double_count(a.dp, ST_ENDPOINT), 1);
	CU_ASSERT_NOT_EQUAL(i->port, 0);
	one = i->peer_list.head->data;
	serial = one->serial;
	status = cJSON_CreateObject();
	wg_status(a.wg, status);
	peers = cJSON_GetObjectItem(status, "peers");
	CU_ASSERT_EQUAL(cJSON_GetArraySize(peers), 2);
	CU_ASSERT_STRING_EQUAL(cJSON_GetObjectItem(cJSON_GetArrayItem(peers, 1), "state")->valuestring,
		"no endpoint");
	cJSON_Delete(status);
	apply(a.wg, 58211, PEER1);
	CU_ASSERT_EQUAL(i->peer_list.length, 1);
	CU_ASSERT_EQUAL(((struct peer *)i->peer_list.head->data)->serial, serial);
	CU_ASSERT_EQUAL(dp_double_count(a.dp, ST_PEER), 1);
	CU_ASSERT_EQUAL(dp_double_count(a.dp, ST_ALLOWED_IP), 2);
	settle();
	down();
	g_clear_pointer(&applied, config_free);
}

// An earlier straitd's parked socket has it, and the data plane has not told yet.
static void a_port_that_is_taken_is_opened_when_it_is_free(void)
{
	int taken = wg_socket_open(WG_V4, 58212, 0);
	struct wg_iface *i;

	CU_ASSERT_TRUE_FATAL(taken >= 0);
	up("127.0.0.1");
	a.wg->recovery_done = false;
	apply(a.wg, 58211, "");
	i = wg_iface_find(a.wg, "wgc");
	apply(a.wg, 58212, "");
	CU_ASSERT_TRUE(i->port_pending);
	CU_ASSERT_EQUAL(i->port, 58211);
	close(taken);
	for (int n = 0; n < 10 && i->port != 58212; n++)
		(void)WAIT(i->port == 58212); // looked at once a second
	CU_ASSERT_EQUAL(i->port, 58212);
	CU_ASSERT_FALSE(i->port_pending);
	// Back to the one that is open: nothing waits.
	taken = wg_socket_open(WG_V4, 58211, 0);
	apply(a.wg, 58211, "");
	CU_ASSERT_TRUE(i->port_pending);
	apply(a.wg, 58212, "");
	CU_ASSERT_FALSE(i->port_pending);
	close(taken);
	down();
	g_clear_pointer(&applied, config_free);
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"a restart takes back identity, session, endpoint and socket",
			a_restart_takes_back_identity_session_endpoint_and_socket},
		{"every peer of old is found by interface and key",
			every_peer_of_old_is_found_by_interface_and_key},
		{"a reload touches only what differs", a_reload_touches_only_what_differs},
		{"a port that is taken is opened when it is free",
			a_port_that_is_taken_is_opened_when_it_is_free},
		CU_TEST_INFO_NULL,
	};

	return pair_tests("wg_restart", tests);
}
