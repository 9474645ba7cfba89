// SPDX-License-Identifier: BSD-3-Clause
//
// Server-reflexive addresses of a port, mostly the shared one: each STUN server is asked once for all attempts
// from there, from the port itself, and its answer is used for 25 s. Main loop thread.
//
// TURN servers answer Binding requests as well and are asked as NetBird does, TCP ones too over UDP. Not stuns: and
// turns: (TLS over TCP, RFC 7064 and RFC 7065): their ports take no plain datagrams, and what they would say of a
// TCP connection is no candidate.
#include "ice_internal.h"

#include <sodium.h>

#define FRESH_MS    25000
#define RTO_MS      200 // doubled each time (RFC 8489 6.2.1 has 500; servers are near)
#define TRIES       6
#define MAX_ANSWERS 64 // servers times addresses of their names

struct question {
	struct st_addr server;
	uint16_t port_be;
	uint8_t tid[STUN_TID_LEN];
	unsigned int tries; // 0 = nothing is asked
	uint64_t due_ms;
	uint64_t answered_ms; // 0 = never
	struct ice_reflexive got;
};

struct stun_client {
	struct ice *ice;
	uint16_t port_be;  // 0: the shared one
	GArray *questions; // of struct question
	guint timer;
};

struct stun_client *stun_client_new(struct ice *ice, uint16_t port_be)
{
	struct stun_client *s = g_new0(struct stun_client, 1);

	s->ice = ice;
	s->port_be = port_be;
	s->questions = g_array_new(FALSE, TRUE, sizeof(struct question));
	return s;
}

void stun_client_free(struct stun_client *s)
{
	if (s->timer)
		g_source_remove(s->timer);
	g_array_unref(s->questions);
	g_free(s);
}

void stun_client_forget(struct stun_client *s)
{
	for (guint n = s->questions->len; n-- > 0;) {
		struct question *q = &g_array_index(s->questions, struct question, n);

		if (q->tries) // an attempt waits for the answer, which is as good as that of another question
			q->answered_ms = 0;
		else
			g_array_remove_index_fast(s->questions, n);
	}
}

static struct question *find(struct stun_client *s, const struct st_addr *server, uint16_t port_be)
{
	struct question fresh = {.server = *server, .port_be = port_be};

	for (guint n = 0; n < s->questions->len; n++) {
		struct question *q = &g_array_index(s->questions, struct question, n);

		if (ice_same(&q->server, q->port_be, server, port_be))
			return q;
	}
	if (s->questions->len >= MAX_ANSWERS)
		return NULL;
	g_array_append_val(s->questions, fresh);
	return &g_array_index(s->questions, struct question, s->questions->len - 1);
}

static void ask(struct stun_client *s, struct question *q, uint64_t now)
{
	static const struct st_addr any;
	uint8_t buf[STUN_HEADER_LEN + 8];
	struct stun_out o;
	size_t len;

	stun_begin(&o, buf, sizeof(buf), STUN_BINDING | STUN_REQUEST, q->tid);
	len = stun_end(&o, NULL, 0, true);
	q->due_ms = now + ((uint64_t)RTO_MS << q->tries);
	q->tries++;
	(void)ice_send(s->ice, s->port_be, &any, &q->server, q->port_be, buf, len);
}

static gboolean on_timer(gpointer arg)
{
	struct stun_client *s = arg;
	uint64_t now = ice_now();
	bool busy = false;

	for (guint n = 0; n < s->questions->len; n++) {
		struct question *q = &g_array_index(s->questions, struct question, n);

		if (q->tries && now >= q->due_ms && q->tries >= TRIES)
			q->tries = 0; // asked again with the next attempt
		else if (q->tries && now >= q->due_ms)
			ask(s, q, now);
		busy |= q->tries != 0;
	}
	if (busy)
		return G_SOURCE_CONTINUE;
	s->timer = 0;
	return G_SOURCE_REMOVE;
}

static bool has_host(const struct ice *ice, bool v4)
{
	for (guint n = 0; n < ice->hosts->len; n++) {
		if (addr_is_v4(&g_array_index(ice->hosts, struct st_addr, n)) == v4)
			return true;
	}
	return false;
}

static void ask_server(struct stun_client *s, const struct ice_known_server *server, uint64_t now)
{
	if (server->url.transport == ICE_TLS)
		return;
	for (guint n = 0; n < server->addrs->len; n++) {
		const struct st_addr *a = &g_array_index(server->addrs, struct st_addr, n);
		struct question *q;

		if (!has_host(s->ice, addr_is_v4(a)))
			continue;
		q = find(s, a, htons(server->url.port));
		// One that is asked since long is asked quickly again: an attempt waits for the answer, and what was
		// in the way, mostly our own start, may be gone.
		if (!q || (q->tries && q->due_ms <= now + RTO_MS) ||
			(!q->tries && q->answered_ms && now < q->answered_ms + FRESH_MS))
			continue;
		if (!q->tries)
			randombytes_buf(q->tid, sizeof(q->tid));
		q->tries = 0;
		ask(s, q, now);
		if (!s->timer)
			s->timer = g_timeout_add(RTO_MS / 2, on_timer, s);
	}
}

void stun_client_ask(struct stun_client *s)
{
	uint64_t now = ice_now();

	if (!s->ice->env.port(s->ice->env.arg))
		return;
	for (guint n = 0; n < s->ice->servers->len; n++)
		ask_server(s, s->ice->servers->pdata[n], now);
}

unsigned int stun_client_get(const struct stun_client *s, struct ice_reflexive *out, unsigned int max)
{
	uint64_t now = ice_now();
	unsigned int n = 0;

	for (guint k = 0; k < s->questions->len && n < max; k++) {
		const struct question *q = &g_array_index(s->questions, struct question, k);
		bool repeated = false;

		for (unsigned int i = 0; i < n; i++)
			repeated |= ice_same(&out[i].mapped, out[i].mapped_port_be, &q->got.mapped,
				q->got.mapped_port_be);
		if (q->answered_ms && now < q->answered_ms + 2 * FRESH_MS && !repeated)
			out[n++] = q->got;
	}
	return n;
}

bool stun_client_answer(struct stun_client *s, const struct wg_datagram *d, const struct stun_msg *m)
{
	for (guint n = 0; n < s->questions->len; n++) {
		struct question *q = &g_array_index(s->questions, struct question, n);
		struct ice_reflexive got = {.base = d->local};

		if (!q->tries || memcmp(q->tid, stun_tid(m), STUN_TID_LEN))
			continue;
		if (!ice_same(&q->server, q->port_be, &d->remote, d->remote_port_be)) {
			s->ice->counters.stun_spoofed++;
			ice_mux_forged(s->ice, d, "an answer from another address than was asked");
			return true;
		}
		q->tries = 0;
		if (stun_class(m) != STUN_SUCCESS ||
			!stun_find_address(m, STUN_ATTR_XOR_MAPPED_ADDRESS, &got.mapped,
				&got.mapped_port_be) ||
			!ice_address_usable(&got.mapped))
			return true;
		q->got = got;
		q->answered_ms = ice_now();
		ice_agents_reflexive(s->ice);
		return true;
	}
	return false;
}
