// SPDX-License-Identifier: BSD-3-Clause
//
// What strangers send to the shared port, what a TURN server sends, and what peers signal. Whatever comes,
// nothing is sent but answers to whoever has the password, no pair moves, and a proper check is answered
// afterwards.
#include "../../control/addr.h"
#include "../../control/ice/ice_internal.h"
#include "../../control/ice/keep.h"

#include <stdlib.h>

#define expect(it) ((it) ? (void)0 : abort())

static const char ours_pwd[] = "ourpwdourpwdourpwdourpwd", their_pwd[] = "theirpwdtheirpwdtheirpwd";
static unsigned int sent;

static int env_send(const struct st_addr *local, const struct st_addr *remote, uint16_t port_be,
	const void *data, size_t len, void *arg)
{
	sent++;
	return 0;
}

static uint16_t env_port(void *arg)
{
	return 51820;
}

static void on_lost(const char *why, void *arg)
{
	abort();
}

static void on_regained(void *arg)
{
	abort();
}

static void on_moved(const struct ice_path *path, void *arg)
{
	abort();
}

static const struct ice_keep_ops ops = {on_lost, on_regained, on_moved, NULL, NULL};
static struct ice *ice;
static struct ice_agent *agent;
static struct ice_keep *keep;

static void begin(void)
{
	static const struct ice_env env = {.name = "fuzz", .send = env_send, .port = env_port};
	static const struct ice_agent_ops none;
	struct ice_attempt attempt = {.peer_id = 2};
	struct ice_path path = {.remote_port_be = htons(51820), .local_port_be = htons(51820)};

	addr_parse(&path.local, "10.0.0.1");
	addr_parse(&path.remote, "10.0.0.2");
	g_strlcpy(path.ours.ufrag, "ourufrag", sizeof(path.ours.ufrag));
	g_strlcpy(path.ours.pwd, ours_pwd, sizeof(path.ours.pwd));
	g_strlcpy(path.theirs.ufrag, "theirufrag", sizeof(path.theirs.ufrag));
	g_strlcpy(path.theirs.pwd, their_pwd, sizeof(path.theirs.pwd));
	ice = ice_new(&env, "/nonexistent");
	keep = ice_keep_new(ice, 1, &path, &ops, NULL);
	agent = ice_agent_new(ice, &attempt, &none, NULL);
}

static void receive(const char *from, const uint8_t *data, size_t len)
{
	struct wg_datagram d = {.remote_port_be = htons(51820), .len = (uint16_t)len, .data = data};

	addr_parse(&d.local, "10.0.0.1");
	addr_parse(&d.remote, from);
	(void)ice_receive(ice, &d);
}

// With the right password in place of what the input says, so that what lies behind is reached as well.
static void receive_signed(const char *from, const uint8_t *data, size_t len)
{
	uint8_t buf[WG_SOCKET_PAYLOAD];
	struct stun_out o;
	size_t n;

	stun_begin(&o, buf, sizeof(buf), STUN_BINDING | STUN_REQUEST, NULL);
	stun_add(&o, STUN_ATTR_USERNAME, "ourufrag:theirufrag", 19);
	while (len >= 4) {
		n = MIN((size_t)data[3] & 0x3f, len - 4);
		// Nominations of other pairs are what they should be.
		stun_add(&o, (uint16_t)(data[0] << 8 | data[1]), data + 4, n);
		data += 4 + n;
		len -= 4 + n;
	}
	n = stun_end(&o, ours_pwd, strlen(ours_pwd), true);
	if (n)
		receive(from, buf, n);
}

static void candidate(const uint8_t *data, size_t len)
{
	struct ice_candidate c, again;
	char *text = g_strndup((const char *)data, len), out[ICE_CANDIDATE_MAX];

	if (!ice_candidate_parse(&c, text)) {
		ice_candidate_print(out, &c);
		expect(!ice_candidate_parse(&again, out));
		expect(ice_same(&c.addr, c.port_be, &again.addr, again.port_be));
		expect(c.type == again.type && c.priority == again.priority);
	}
	(void)ice_agent_candidate(agent, text);
	g_free(text);
}

static void url(const uint8_t *data, size_t len)
{
	char *text = g_strndup((const char *)data, len), *list[] = {text, NULL}, *error = NULL;
	struct ice_url u;
	const char *why = NULL;

	expect(!ice_url_parse(&u, text, &why) == !why);
	expect(!ice_mappings_check(list, &error) == !error);
	g_free(error);
	g_free(text);
}

static void cut(const uint8_t *data, size_t len)
{
	uint8_t *copy = g_memdup2(data, len);
	size_t n = stun_cut(copy, len);

	expect(n <= len);
	g_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	if (!len || len > WG_SOCKET_PAYLOAD)
		return 0;
	if (!ice)
		begin();
	switch (in[0] % 5) {
	case 0:
		receive("10.0.0.9", in + 1, len - 1);
		break;
	case 1:
		receive_signed("10.0.0.9", in + 1, len - 1);
		break;
	case 2:
		candidate(in + 1, len - 1);
		break;
	case 3:
		url(in + 1, len - 1);
		break;
	case 4:
		cut(in + 1, len - 1);
		break;
	}
	sent = 0;
	// From elsewhere: whoever sends this much nonsense is not heard for a while.
	receive_signed("10.0.0.2", NULL, 0);
	expect(sent == 1);
	return 0;
}
