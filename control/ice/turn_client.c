// SPDX-License-Identifier: BSD-3-Clause
//
// One allocation at a TURN server; see turn_client.h.
#include "turn_client.h"

#include "../dp/dp.h"
#include "turn_socket.h"

#include <sodium.h>

#include <errno.h>
#include <unistd.h>

#define CHANNEL_FIRST       0x4000
#define CHANNEL_LAST        0x4fff
#define MAX_CHANNELS        32 // of one allocation; more peers get Send indications
#define LIFETIME_S          600
#define BIND_EVERY_S        240 // keeps the permission (300 s) and the channel (600 s)
#define RETRY_MS            500
#define TRIES               6
#define MAX_PENDING         32      // requests of libnice that are watched
#define SOCKET_ID_FIRST     0x10000 // below are those of WireGuard interfaces
#define SOCKET_IDS          0x3fff0000U
#define TEXT_MAX            764
#define SAVED_VERSION       1
#define CODE_STALE_NONCE    438
#define CODE_NO_CREDENTIALS 401 // and a nonce: ours was none the server knew

struct binding {
	struct st_addr peer;
	uint16_t port_be, number;
	bool confirmed;
};

struct pending {
	uint8_t tid[STUN_TID_LEN];
	uint16_t method, number; // number: of a ChannelBind
	struct st_addr peer;
	uint16_t port_be;
};

// A request of our own that is repeated until it is answered.
struct errand {
	uint8_t tid[STUN_TID_LEN];
	unsigned int tries; // 0 = none under way
	uint64_t due;       // of the next try, or of the next time
};

struct turn_client {
	struct turn_client_params p;
	char *host, *username, *password;
	struct turn_socket *socket;
	uint32_t socket_id;
	bool parked, mapped_port, ended;

	struct st_addr relayed, mapped;
	uint16_t relayed_port_be, mapped_port_be;
	bool allocated, adopted;
	uint32_t lifetime_s;
	uint8_t key[STUN_KEY_LEN];
	bool has_key;
	char realm[TEXT_MAX], nonce[TEXT_MAX];
	uint16_t realm_len, nonce_len;

	struct binding channels[MAX_CHANNELS];
	unsigned int nb_channels;
	struct pending pending[MAX_PENDING]; // ring
	unsigned int next_pending;

	struct st_addr peer;
	uint16_t peer_port_be;
	struct errand refresh, bind;
	const struct turn_client_ops *ops;
	void *arg;
};

static uint64_t scaled(const struct turn_client *t, uint64_t ms)
{
	return (uint64_t)((double)ms / t->p.ice->turn_scale);
}

// ---- channels ------------------------------------------------------------------------------------------

static struct binding *channel_to(
	const struct turn_client *t, const struct st_addr *peer, uint16_t port)
{
	for (unsigned int n = 0; n < t->nb_channels; n++) {
		if (ice_same(&t->channels[n].peer, t->channels[n].port_be, peer, port))
			return (struct binding *)&t->channels[n];
	}
	return NULL;
}

static const struct binding *channel_number(const struct turn_client *t, uint16_t number)
{
	for (unsigned int n = 0; n < t->nb_channels; n++) {
		if (t->channels[n].number == number)
			return &t->channels[n];
	}
	return NULL;
}

static struct binding *channel_add(
	struct turn_client *t, const struct st_addr *peer, uint16_t port_be, uint16_t number)
{
	struct binding *b = channel_to(t, peer, port_be);

	if (b || t->nb_channels == MAX_CHANNELS)
		return b;
	b = &t->channels[t->nb_channels++];
	*b = (struct binding){.peer = *peer, .port_be = port_be, .number = number};
	return b;
}

static uint16_t channel_free_number(const struct turn_client *t)
{
	uint16_t n = CHANNEL_FIRST;

	while (n < CHANNEL_LAST && channel_number(t, n))
		n++;
	return n;
}

// ---- what the server says -------------------------------------------------------------------------------

static void take_text(char *to, uint16_t *to_len, const struct stun_msg *m, uint16_t attr)
{
	uint16_t len;
	const uint8_t *v = stun_find(m, attr, &len);

	if (!v || len >= TEXT_MAX)
		return;
	memcpy(to, v, len);
	*to_len = len;
}

static void take_challenge(struct turn_client *t, const struct stun_msg *m)
{
	take_text(t->realm, &t->realm_len, m, STUN_ATTR_REALM);
	take_text(t->nonce, &t->nonce_len, m, STUN_ATTR_NONCE);
	if (t->password && t->realm_len) {
		stun_long_term_key(t->key, t->username, t->realm, t->realm_len, t->password);
		t->has_key = true;
	}
}

static void watch_success(struct turn_client *t, const struct stun_msg *m, const struct pending *p)
{
	uint32_t lifetime;
	struct binding *b;

	switch (stun_method(m)) {
	case STUN_ALLOCATE:
		if (!stun_find_address(
			    m, STUN_ATTR_XOR_RELAYED_ADDRESS, &t->relayed, &t->relayed_port_be))
			return;
		(void)stun_find_address(
			m, STUN_ATTR_XOR_MAPPED_ADDRESS, &t->mapped, &t->mapped_port_be);
		t->allocated = true;
		// fallthrough
	case STUN_REFRESH:
		if (stun_find_u32(m, STUN_ATTR_LIFETIME, &lifetime))
			t->lifetime_s = lifetime;
		break;
	case STUN_CHANNEL_BIND:
		b = p ? channel_add(t, &p->peer, p->port_be, p->number) : NULL;
		if (b)
			b->confirmed = true;
		break;
	}
}

static const struct pending *pending_find(const struct turn_client *t, const uint8_t *tid)
{
	for (unsigned int n = 0; n < MAX_PENDING; n++) {
		if (t->pending[n].method && !memcmp(t->pending[n].tid, tid, STUN_TID_LEN))
			return &t->pending[n];
	}
	return NULL;
}

static void lost(struct turn_client *t, const char *why)
{
	if (t->ended)
		return;
	t->ended = true;
	t->p.ice->counters.turn_lost++;
	if (t->adopted)
		t->ops->lost(why, t->arg);
}

// ---- our own requests -----------------------------------------------------------------------------------

static void authenticate(struct turn_client *t, struct stun_out *o)
{
	stun_add(o, STUN_ATTR_USERNAME, t->username, strlen(t->username));
	stun_add(o, STUN_ATTR_REALM, t->realm, t->realm_len);
	// After a restart there is none: any that is wrong makes the server tell its own.
	stun_add(o, STUN_ATTR_NONCE, t->nonce_len ? t->nonce : "0", t->nonce_len ? t->nonce_len : 1);
}

static void send_refresh(struct turn_client *t, uint32_t lifetime)
{
	uint8_t buf[STUN_MAX];
	struct stun_out o;
	size_t len;

	stun_begin(&o, buf, sizeof(buf), STUN_REFRESH | STUN_REQUEST, t->refresh.tid);
	stun_add_u32(&o, STUN_ATTR_LIFETIME, lifetime);
	authenticate(t, &o);
	len = stun_end(&o, t->key, sizeof(t->key), true);
	if (len)
		(void)turn_socket_send(t->socket, buf, len);
}

static void send_bind(struct turn_client *t, const struct binding *b)
{
	uint8_t buf[STUN_MAX];
	struct stun_out o;
	size_t len;

	stun_begin(&o, buf, sizeof(buf), STUN_CHANNEL_BIND | STUN_REQUEST, t->bind.tid);
	stun_add_u32(&o, STUN_ATTR_CHANNEL_NUMBER, (uint32_t)b->number << 16);
	stun_add_address(&o, STUN_ATTR_XOR_PEER_ADDRESS, &b->peer, b->port_be);
	authenticate(t, &o);
	len = stun_end(&o, t->key, sizeof(t->key), true);
	if (len)
		(void)turn_socket_send(t->socket, buf, len);
}

static void errand_begin(struct errand *e, uint64_t now)
{
	randombytes_buf(e->tid, sizeof(e->tid));
	e->tries = 0;
	e->due = now;
}

static void errand_sent(struct errand *e, uint64_t now)
{
	e->tries++;
	e->due = now + ((uint64_t)RETRY_MS << MIN(e->tries - 1, 4U));
}

// Half of what was granted, as libnice and pion do; so that two tries may be lost.
static void refresh_later(struct turn_client *t, uint64_t now)
{
	uint32_t s = t->lifetime_s ? t->lifetime_s : LIFETIME_S;

	errand_begin(&t->refresh, now + (uint64_t)s * 500);
}

void turn_client_verify(struct turn_client *t)
{
	if (!t->refresh.tries)
		errand_begin(&t->refresh, ice_now());
}

uint64_t turn_client_tick(struct turn_client *t, uint64_t now)
{
	struct binding *b;

	if (t->ended || !t->adopted)
		return UINT64_MAX;
	if (now >= t->refresh.due) {
		if (t->refresh.tries >= TRIES) {
			lost(t, "the TURN server does not answer");
			return UINT64_MAX;
		}
		send_refresh(t, LIFETIME_S);
		errand_sent(&t->refresh, now);
	}
	if (now >= t->bind.due) {
		b = channel_add(t, &t->peer, t->peer_port_be, channel_free_number(t));
		if (b && t->bind.tries < TRIES) {
			send_bind(t, b);
			errand_sent(&t->bind, now);
		} else {
			// Send indications go on; the next round tries again.
			errand_begin(&t->bind, now + scaled(t, BIND_EVERY_S * 1000));
		}
	}
	return MIN(t->refresh.due, t->bind.due);
}

static void own_error(struct turn_client *t, struct errand *e, const struct stun_msg *m)
{
	int code = stun_error_code(m);
	uint64_t now = ice_now();

	if ((code == CODE_STALE_NONCE || code == CODE_NO_CREDENTIALS) && e->tries < TRIES) {
		unsigned int tries = e->tries;

		take_challenge(t, m);
		errand_begin(e, now); // at once, with the new nonce
		e->tries = tries;
		(void)turn_client_tick(t, now);
		return;
	}
	t->p.ice->counters.turn_refused++;
	if (e == &t->refresh)
		lost(t, "the TURN server refuses to refresh the allocation");
	else
		errand_begin(e, now + scaled(t, BIND_EVERY_S * 1000));
}

// An answer to a request of straitd itself. False: it is none.
static bool own_answer(struct turn_client *t, const struct stun_msg *m)
{
	struct errand *e = !memcmp(t->refresh.tid, stun_tid(m), STUN_TID_LEN) ? &t->refresh
			   : !memcmp(t->bind.tid, stun_tid(m), STUN_TID_LEN)  ? &t->bind
									      : NULL;
	struct binding *b;

	if (!t->adopted || !e || !e->tries)
		return false;
	if (stun_class(m) == STUN_ERROR) {
		own_error(t, e, m);
		return true;
	}
	if (!stun_verify(m, t->key, sizeof(t->key))) {
		t->p.ice->counters.stun_bad_integrity++;
		return true;
	}
	watch_success(t, m, NULL);
	if (e == &t->refresh) {
		refresh_later(t, ice_now());
		return true;
	}
	errand_begin(e, ice_now() + scaled(t, BIND_EVERY_S * 1000));
	b = channel_to(t, &t->peer, t->peer_port_be);
	if (b && !b->confirmed) {
		b->confirmed = true;
		t->ops->bound(t->arg);
	}
	return true;
}

// ---- in ------------------------------------------------------------------------------------------------

// STUN and WireGuard of a peer, out of ChannelData or a Data indication.
static void inner(struct turn_client *t, const struct st_addr *peer, uint16_t port_be,
	const uint8_t *data, size_t len, bool *ret_forward)
{
	struct ice *ice = t->p.ice;
	struct wg_datagram d = {
		.remote = *peer,
		.local = t->relayed,
		.remote_port_be = port_be,
		.len = (uint16_t)len,
		.data = data,
	};

	*ret_forward = false;
	if (!ice_is_wireguard(data, len) && stun_looks_like(data, len)) {
		if (t->adopted)
			ice_mux_stun(ice, &d, t);
		else
			*ret_forward = true;
		return;
	}
	// To an address of this box: the lcores know no port map for the relayed one, and data goes down to them.
	if (addr_is_v4(&t->p.base) == addr_is_v4(peer))
		d.local = t->p.base;
	if (ice->env.wireguard)
		ice->env.wireguard(t->p.peer_id, &d, ice->env.arg);
}

// Success of a Binding: a check of ours has worked.
static bool is_answer(const uint8_t *data, size_t len)
{
	return len >= STUN_HEADER_LEN && data[0] == 1 && data[1] == 1;
}

static void to_agent(struct turn_client *t, const uint8_t *data, size_t len, bool answer)
{
	uint8_t copy[WG_SOCKET_PAYLOAD];
	size_t cut;

	if (len > sizeof(copy))
		return;
	memcpy(copy, data, len);
	cut = stun_cut(copy, len);
	t->p.ice->counters.stun_cut += cut != len;
	if (answer && ice_agent_hold(t->p.ice, t->p.agent, &t->p.base, &t->p.token, t->p.port_be,
			      copy, cut))
		return;
	ice_link_datagram(t->p.ice->link, t->p.agent, &t->p.base, t->p.local_port_be, &t->p.token,
		t->p.port_be, copy, cut);
}

static void channel_data(struct turn_client *t, const uint8_t *data, size_t len)
{
	uint16_t number = (uint16_t)(data[0] << 8 | data[1]);
	size_t inner_len = (size_t)data[2] << 8 | data[3];
	const struct binding *b = channel_number(t, number);
	bool forward;

	if (!b || inner_len > len - 4)
		return;
	inner(t, &b->peer, b->port_be, data + 4, inner_len, &forward);
	if (forward)
		to_agent(t, data, len, is_answer(data + 4, inner_len));
}

static void indication(struct turn_client *t, const struct stun_msg *m)
{
	struct st_addr peer;
	uint16_t port_be, len;
	const uint8_t *v = stun_find(m, STUN_ATTR_DATA, &len);
	bool forward;

	if (stun_method(m) != STUN_DATA || !v ||
		!stun_find_address(m, STUN_ATTR_XOR_PEER_ADDRESS, &peer, &port_be))
		return;
	inner(t, &peer, port_be, v, len, &forward);
	if (forward)
		to_agent(t, m->data, m->len, is_answer(v, len));
}

static void on_received(const uint8_t *data, size_t len, void *arg)
{
	struct turn_client *t = arg;
	const struct pending *p;
	struct stun_msg m;

	if (len >= 4 && (data[0] & 0xc0) == 0x40) {
		channel_data(t, data, len);
		return;
	}
	if (stun_parse(&m, data, len)) {
		t->p.ice->counters.stun_malformed++;
		return;
	}
	if (stun_class(&m) == STUN_INDICATION) {
		indication(t, &m);
		return;
	}
	if (own_answer(t, &m) || t->adopted)
		return;
	p = pending_find(t, stun_tid(&m));
	if (!p) {
		t->p.ice->counters.stun_unmatched++;
		return;
	}
	if (stun_class(&m) == STUN_SUCCESS)
		watch_success(t, &m, p);
	else
		take_challenge(t, &m);
	to_agent(t, data, len, false);
}

static void on_closed(const char *why, void *arg)
{
	g_info("ice: TURN stream ended error=\"%s\"", why);
	lost(arg, why);
}

static const struct turn_socket_ops socket_ops = {on_received, on_closed};

// ---- out -----------------------------------------------------------------------------------------------

static void watch_request(struct turn_client *t, const struct stun_msg *m)
{
	struct pending *p = &t->pending[t->next_pending];
	uint32_t number;

	if (pending_find(t, stun_tid(m)))
		return;
	t->next_pending = (t->next_pending + 1) % MAX_PENDING;
	*p = (struct pending){.method = stun_method(m)};
	memcpy(p->tid, stun_tid(m), STUN_TID_LEN);
	if (p->method != STUN_CHANNEL_BIND)
		return;
	if (stun_find_u32(m, STUN_ATTR_CHANNEL_NUMBER, &number) &&
		stun_find_address(m, STUN_ATTR_XOR_PEER_ADDRESS, &p->peer, &p->port_be)) {
		p->number = (uint16_t)(number >> 16);
		// Known before it is confirmed: who takes over must not choose another number.
		(void)channel_add(t, &p->peer, p->port_be, p->number);
	}
}

static bool allowed(const struct stun_msg *m)
{
	switch (m->type) {
	case STUN_ALLOCATE | STUN_REQUEST:
	case STUN_REFRESH | STUN_REQUEST:
	case STUN_CREATE_PERMISSION | STUN_REQUEST:
	case STUN_CHANNEL_BIND | STUN_REQUEST:
	case STUN_BINDING | STUN_REQUEST:
	case STUN_BINDING | STUN_INDICATION:
	case STUN_SEND | STUN_INDICATION:
		return true;
	}
	return false;
}

void turn_client_from_agent(struct turn_client *t, const uint8_t *data, size_t len)
{
	bool channel = len >= 4 && (data[0] & 0xf0) == 0x40;
	struct stun_msg m;

	if (!channel) {
		if (stun_parse(&m, data, len) || !allowed(&m)) {
			t->p.ice->counters.agent_refused++;
			return;
		}
		if (stun_class(&m) == STUN_REQUEST)
			watch_request(t, &m);
	}
	if (turn_socket_send(t->socket, data, len))
		t->p.ice->counters.send_failed++;
}

static int send_channel(struct turn_client *t, uint16_t number, const void *data, size_t len)
{
	uint8_t buf[4 + ST_PACKET_MAX];

	if (len > ST_PACKET_MAX)
		return -EMSGSIZE;
	buf[0] = (uint8_t)(number >> 8);
	buf[1] = (uint8_t)number;
	buf[2] = (uint8_t)(len >> 8);
	buf[3] = (uint8_t)len;
	memcpy(buf + 4, data, len);
	return turn_socket_send(t->socket, buf, 4 + len);
}

int turn_client_send(struct turn_client *t, const struct st_addr *peer, uint16_t peer_port_be,
	const void *data, size_t len)
{
	const struct binding *b = channel_to(t, peer, peer_port_be);
	uint8_t buf[ST_PACKET_MAX + 128];
	struct stun_out o;

	if (b && b->confirmed)
		return send_channel(t, b->number, data, len);
	stun_begin(&o, buf, sizeof(buf), STUN_SEND | STUN_INDICATION, NULL);
	stun_add_address(&o, STUN_ATTR_XOR_PEER_ADDRESS, peer, peer_port_be);
	stun_add(&o, STUN_ATTR_DATA, data, len);
	len = stun_end(&o, NULL, 0, false);
	return len ? turn_socket_send(t->socket, buf, len) : -EMSGSIZE;
}

// ---- life ----------------------------------------------------------------------------------------------

static struct turn_client *client_new(const struct turn_client_params *p)
{
	struct turn_client *t = g_new0(struct turn_client, 1);

	t->p = *p;
	t->host = g_strdup(p->host);
	t->username = g_strdup(p->username);
	t->password = g_strdup(p->password);
	// At random: an earlier straitd may have left some that nobody has asked for yet.
	t->socket_id = SOCKET_ID_FIRST + randombytes_uniform(SOCKET_IDS);
	t->p.host = t->host;
	t->p.username = t->username;
	t->p.password = t->password;
	return t;
}

static void client_destroy(struct turn_client *t)
{
	turn_socket_free(t->socket);
	if (t->password)
		sodium_memzero(t->password, strlen(t->password));
	g_free(t->host);
	g_free(t->username);
	g_free(t->password);
	sodium_memzero(t, sizeof(*t));
	g_free(t);
}

struct turn_client *turn_client_new(const struct turn_client_params *p)
{
	struct turn_client *t = client_new(p);
	struct turn_socket_params sp = {
		.server = p->server,
		.base = p->base,
		.server_port_be = p->port_be,
		.transport = p->transport,
		.host = t->host,
		.fwmark = p->ice->env.fwmark ? p->ice->env.fwmark(p->ice->env.arg) : 0,
	};

	t->socket = turn_socket_new(&sp, &socket_ops, t);
	if (!t->socket) {
		client_destroy(t);
		return NULL;
	}
	p->ice->counters.turn_sockets++;
	return t;
}

static bool portmap(const struct turn_client *t, struct st_portmap *ret)
{
	*ret = (struct st_portmap){.owner = ST_OWNER_TURN_CLIENT};
	if (turn_socket_fd(t->socket) < 0)
		return false; // a stream lives and dies with its process
	if (!turn_socket_local(t->socket, &ret->key.addr, &ret->key.port_lo_be))
		return false;
	ret->key.port_hi_be = ret->key.port_lo_be;
	return true;
}

void turn_client_park(struct turn_client *t)
{
	struct dp *dp = t->p.ice->env.dp;
	struct st_portmap body;
	char purpose[sizeof(((struct st_socket *)NULL)->purpose)];

	if (!dp || !portmap(t, &body))
		return;
	if (!t->mapped_port)
		dp_set(dp, ST_PORTMAP, &body, sizeof(body), NULL, 0, NULL, NULL);
	t->mapped_port = true;
	if (!dp_connected(dp))
		return;
	g_snprintf(purpose, sizeof(purpose), "turn-client %s peer %u", t->p.ice->env.name,
		t->p.peer_id);
	dp_socket_park(dp, t->socket_id, purpose, turn_socket_fd(t->socket));
	t->parked = true;
}

static void unpark(struct turn_client *t)
{
	struct dp *dp = t->p.ice->env.dp;
	struct st_portmap body;

	if (dp && t->parked)
		dp_socket_unpark(dp, t->socket_id);
	if (t->mapped_port && portmap(t, &body))
		dp_del(dp, ST_PORTMAP, &body.key, sizeof(body.key));
	t->parked = t->mapped_port = false;
}

void turn_client_free(struct turn_client *t)
{
	if (!t)
		return;
	unpark(t);
	client_destroy(t);
}

void turn_client_release(struct turn_client *t)
{
	if (!t)
		return;
	if (t->allocated && t->has_key && !t->ended) {
		randombytes_buf(t->refresh.tid, sizeof(t->refresh.tid));
		send_refresh(t, 0);
		t->p.ice->counters.turn_released++;
	}
	turn_client_free(t);
}

void turn_client_detach(struct turn_client *t)
{
	if (t)
		client_destroy(t);
}

bool turn_client_allocated(const struct turn_client *t)
{
	return t->allocated && !t->ended;
}

bool turn_client_is(const struct turn_client *t, const struct st_addr *relayed, uint16_t port_be)
{
	return t->allocated && ice_same(&t->relayed, t->relayed_port_be, relayed, port_be);
}

void turn_client_mapped(const struct turn_client *t, struct st_addr *ret, uint16_t *ret_port_be)
{
	*ret = t->mapped;
	*ret_port_be = t->mapped_port_be;
}

void turn_client_describe(const struct turn_client *t, const struct st_addr *peer,
	uint16_t peer_port_be, struct ice_relay *ret)
{
	const struct binding *b = channel_to(t, peer, peer_port_be);

	*ret = (struct ice_relay){
		.server = t->p.server,
		.server_port_be = t->p.port_be,
		.base = t->p.base,
		.address = t->relayed,
		.port_be = t->relayed_port_be,
		.transport = (uint8_t)t->p.transport,
		.socket_id = t->socket_id,
		.channel = b && b->confirmed ? b->number : 0,
		.channel_ready = b && b->confirmed,
	};
	(void)turn_socket_local(t->socket, &ret->base, &ret->base_port_be);
}

void turn_client_key(const struct turn_client *t, struct turn_key *ret)
{
	memcpy(ret->key, t->key, sizeof(ret->key));
	ret->known = t->has_key;
}

size_t turn_client_farewell(
	const struct turn_key *key, const uint8_t *request, size_t len, uint8_t *out, size_t size)
{
	struct stun_msg m;
	struct stun_out o;

	if (!key->known || stun_parse(&m, request, len) || m.type != (STUN_REFRESH | STUN_REQUEST))
		return 0;
	stun_begin(&o, out, size, STUN_REFRESH | STUN_SUCCESS, stun_tid(&m));
	stun_add_u32(&o, STUN_ATTR_LIFETIME, 0);
	return stun_end(&o, key->key, sizeof(key->key), true);
}

void turn_client_peer(struct turn_client *t, const struct st_addr *peer, uint16_t peer_port_be)
{
	t->peer = *peer;
	t->peer_port_be = peer_port_be;
	errand_begin(&t->bind, ice_now());
}

void turn_client_adopt(struct turn_client *t, const struct st_addr *peer, uint16_t peer_port_be,
	const struct turn_client_ops *ops, void *arg)
{
	t->adopted = true;
	t->ops = ops;
	t->arg = arg;
	refresh_later(t, ice_now());
	// Whether libnice's own binding was answered or not: its permission is from before the checks.
	turn_client_peer(t, peer, peer_port_be);
	turn_client_park(t);
}

// ---- over a restart ------------------------------------------------------------------------------------

static bool put(uint8_t **at, uint8_t *end, const void *data, size_t len)
{
	if (len > UINT8_MAX || (size_t)(end - *at) < len + 1)
		return false;
	*(*at)++ = (uint8_t)len;
	memcpy(*at, data, len);
	*at += len;
	return true;
}

static bool get(const uint8_t **at, const uint8_t *end, void *out, size_t size, size_t *ret_len)
{
	size_t len = *at < end ? *(*at)++ : SIZE_MAX;

	if (len > size || len > (size_t)(end - *at))
		return false;
	memcpy(out, *at, len);
	*at += len;
	*ret_len = len;
	return true;
}

// The nonce is not worth its bytes: the server gives a new one with 438. The password is not needed, as the
// key made of it is what counts until the realm changes.
int turn_client_save(const struct turn_client *t, uint8_t *out, size_t size)
{
	uint8_t *at = out, *end = out + size;
	uint32_t lifetime = t->lifetime_s;

	if (!t->has_key || size < 1 || turn_socket_fd(t->socket) < 0)
		return -ENOSPC;
	*at++ = SAVED_VERSION;
	if (!put(&at, end, t->key, sizeof(t->key)) || !put(&at, end, &lifetime, sizeof(lifetime)) ||
		!put(&at, end, t->username, strlen(t->username)) ||
		!put(&at, end, t->realm, t->realm_len))
		return -ENOSPC;
	return (int)(at - out);
}

struct turn_client *turn_client_restore(struct ice *ice, uint32_t peer_id,
	const struct ice_path *path, const uint8_t *saved, size_t len)
{
	const struct ice_relay *relay = &path->relay;
	struct binding *b;
	const uint8_t *at = saved + 1, *end = saved + len;
	char username[UINT8_MAX + 1] = "";
	struct turn_client_params p = {
		.ice = ice,
		.peer_id = peer_id,
		.base = relay->base,
		.token = relay->server,
		.server = relay->server,
		.port_be = relay->server_port_be,
		.username = username,
	};
	struct turn_client *t;
	size_t n[4];
	int fd;

	if (len < 1 || saved[0] != SAVED_VERSION) {
		errno = EINVAL;
		return NULL;
	}
	t = client_new(&p);
	if (!get(&at, end, t->key, sizeof(t->key), &n[0]) || n[0] != sizeof(t->key) ||
		!get(&at, end, &t->lifetime_s, sizeof(t->lifetime_s), &n[1]) ||
		!get(&at, end, username, UINT8_MAX, &n[2]) ||
		!get(&at, end, t->realm, UINT8_MAX, &n[3])) {
		client_destroy(t);
		errno = EINVAL;
		return NULL;
	}
	fd = ice->env.take_socket ? ice->env.take_socket(relay->socket_id, ice->env.arg) : -1;
	if (fd < 0) {
		client_destroy(t);
		errno = ENOENT;
		return NULL;
	}
	g_free(t->username);
	t->username = g_strdup(username);
	t->realm_len = (uint16_t)n[3];
	t->has_key = t->allocated = true;
	t->relayed = relay->address;
	t->relayed_port_be = relay->port_be;
	t->socket_id = relay->socket_id;
	t->parked = true;
	t->socket = turn_socket_from_fd(fd, &socket_ops, t);
	if (relay->channel_ready) {
		b = channel_add(t, &path->remote, path->remote_port_be, relay->channel);
		b->confirmed = true;
	}
	return t;
}
