// SPDX-License-Identifier: BSD-3-Clause
//
// What people are told of connections. Main loop thread; nothing changes here.
#include "../../crypto/keys.h"
#include "../addr.h"
#include "../wg/wg_internal.h"
#include "conn_internal.h"

#include <cjson/cJSON.h>

#include <string.h>

static const char *state_name(const struct conn *c)
{
	switch (conn_fsm_state(&c->fsm)) {
	case CONN_CONNECTED:
		return "connected";
	case CONN_CONNECTING:
		return "connecting";
	default:
		return c->fsm.phase == CONN_IDLE ? "idle" : "disconnected";
	}
}

static cJSON *path_json(const struct conn *c, const struct conn_path *p, uint64_t now)
{
	static const char *const transports[] = {
		[ICE_UDP] = "udp", [ICE_TCP] = "tcp", [ICE_TLS] = "tls"};
	const struct conn_keep *k = conn_keep_of(c, p);
	cJSON *o = cJSON_CreateObject();
	char text[TUPLE_TEXT_MAX];
	uint32_t heard = k && k->keep ? ice_keep_heard_ms(k->keep) : UINT32_MAX;

	cJSON_AddBoolToObject(o, "relayed", !path_direct(&p->path));
	cJSON_AddBoolToObject(o, "alive", !p->lost);
	cJSON_AddStringToObject(o, "local_type", ice_type_name(p->path.local_type));
	cJSON_AddStringToObject(o, "local",
		tuple_text(text, &p->path.local_candidate, p->path.local_candidate_port_be));
	cJSON_AddStringToObject(o, "base", tuple_text(text, &p->path.local, p->path.local_port_be));
	cJSON_AddStringToObject(o, "remote_type", ice_type_name(p->path.remote_type));
	cJSON_AddStringToObject(
		o, "remote", tuple_text(text, &p->path.remote, p->path.remote_port_be));
	if (p->path.relayed) {
		cJSON_AddStringToObject(o, "relay_server",
			tuple_text(text, &p->path.relay.server, p->path.relay.server_port_be));
		cJSON_AddStringToObject(o, "relay_transport", transports[p->path.relay.transport]);
		cJSON_AddNumberToObject(o, "channel", p->path.relay.channel);
	}
	cJSON_AddNumberToObject(o, "rtt_us", k ? k->rtt_us : 0);
	if (heard == UINT32_MAX)
		cJSON_AddNullToObject(o, "stun_age_ms");
	else
		cJSON_AddNumberToObject(o, "stun_age_ms", heard);
	cJSON_AddNumberToObject(o, "age_s", (double)((now - MIN(now, p->since)) / 1000));
	return o;
}

static void add_times(const struct conn *c, cJSON *o, uint64_t now)
{
	cJSON *times = cJSON_AddObjectToObject(o, "seconds_in");

	for (int n = CONN_IDLE; n < CONN_PHASES; n++)
		cJSON_AddNumberToObject(times, conn_phase_name(n),
			(double)conn_fsm_phase_ms(&c->fsm, n, now) / 1000);
	cJSON_AddNumberToObject(o, "last_offer_ms", c->fsm.offer_ms);
	cJSON_AddNumberToObject(o, "last_check_ms", c->fsm.check_ms);
}

static void add_paths(const struct conn *c, cJSON *o, uint64_t now)
{
	const struct conn_paths *ps = &c->fsm.paths;

	if (ps->selected)
		cJSON_AddItemToObject(o, "path", path_json(c, ps->selected, now));
	if (ps->fallback)
		cJSON_AddItemToObject(o, "standby", path_json(c, ps->fallback, now));
	cJSON_AddBoolToObject(o, "follows", c->follows);
	cJSON_AddNumberToObject(o, "path_changes", ps->changes);
}

void conn_peer_status(const struct conn *c, struct cJSON *into)
{
	cJSON *o = cJSON_AddObjectToObject(into, "ice"), *bytes;
	uint64_t now = wg_now();

	conn_bytes((struct conn *)c);
	cJSON_AddStringToObject(o, "state", state_name(c));
	cJSON_AddStringToObject(o, "phase", conn_phase_name(c->fsm.phase));
	cJSON_AddStringToObject(o, "role", c->fsm.controlling ? "controlling" : "controlled");
	cJSON_AddStringToObject(o, "version", c->version);
	add_paths(c, o, now);
	bytes = cJSON_AddObjectToObject(o, "bytes");
	cJSON_AddNumberToObject(bytes, "rx_direct", (double)c->rx_direct);
	cJSON_AddNumberToObject(bytes, "tx_direct", (double)c->tx_direct);
	cJSON_AddNumberToObject(bytes, "rx_relayed", (double)c->rx_relayed);
	cJSON_AddNumberToObject(bytes, "tx_relayed", (double)c->tx_relayed);
	add_times(c, o, now);
	cJSON_AddNumberToObject(o, "attempts", (double)c->fsm.attempts);
	cJSON_AddStringToObject(o, "last_failure", c->fsm.last_failure);
	cJSON_AddNumberToObject(o, "messages_sent", (double)c->fsm.sent);
	cJSON_AddNumberToObject(o, "messages_received", (double)c->fsm.received);
	cJSON_AddNumberToObject(o, "messages_refused", (double)(c->fsm.refused + c->fsm.dropped));
}

static void add_texts(struct cJSON *into, const char *name, const GPtrArray *texts)
{
	cJSON *a = cJSON_AddArrayToObject(into, name);

	for (guint n = 0; n < texts->len; n++)
		cJSON_AddItemToArray(a, cJSON_CreateString(texts->pdata[n]));
}

void conn_candidates(const struct conn *c, struct cJSON *into)
{
	add_texts(into, "local", c->local_seen);
	add_texts(into, "remote", c->remote_seen);
}

struct conn *conns_find(const struct conns *cs, const char *name, bool *ret_known)
{
	uint8_t key[NOISE_KEY_LEN];
	bool is_key = key_from_base64(key, name);

	*ret_known = false;
	for (guint n = 0; n < cs->wg->ifaces->len; n++) {
		const struct wg_iface *i = cs->wg->ifaces->pdata[n];

		for (const GList *l = i->peer_list.head; l; l = l->next) {
			const struct peer *p = l->data;

			if (strcmp(p->name, name) &&
				!(is_key && !memcmp(key, p->noise.public_key, sizeof(key))))
				continue;
			*ret_known = true;
			if (p->conn)
				return p->conn;
		}
	}
	return NULL;
}

static cJSON *signal_json(const struct conn_iface *ci)
{
	cJSON *o = cJSON_CreateObject();
	struct signal_stats s;

	signal_client_stats(ci->signal, &s);
	cJSON_AddStringToObject(o, "url", ci->signal_url);
	cJSON_AddBoolToObject(o, "up", s.up);
	cJSON_AddNumberToObject(o, "up_s",
		s.up ? (double)(g_get_monotonic_time() - s.up_since) / G_USEC_PER_SEC : 0);
	cJSON_AddNumberToObject(o, "reconnects", (double)s.reconnects);
	cJSON_AddNumberToObject(o, "sent", (double)s.sent);
	cJSON_AddNumberToObject(o, "send_failed", (double)(s.send_failed + ci->send_refused));
	cJSON_AddNumberToObject(o, "received", (double)s.received);
	cJSON_AddNumberToObject(o, "undecryptable", (double)s.undecryptable);
	cJSON_AddNumberToObject(o, "malformed", (double)s.malformed);
	cJSON_AddNumberToObject(o, "unknown_peer", (double)s.unknown_peer);
	cJSON_AddNumberToObject(o, "unknown_type", (double)s.unknown_type);
	cJSON_AddStringToObject(o, "last_error", s.last_error);
	return o;
}

void conns_status(struct conns *cs, struct cJSON *into)
{
	cJSON *list = cJSON_AddArrayToObject(into, "connections");

	for (guint n = 0; n < cs->ifaces->len; n++) {
		const struct conn_iface *ci = cs->ifaces->pdata[n];
		cJSON *o = cJSON_CreateObject();

		cJSON_AddStringToObject(o, "interface", ci->wg->name);
		if (ci->signal)
			cJSON_AddItemToObject(o, "signal", signal_json(ci));
		ice_status(ci->ice, o);
		cJSON_AddItemToArray(list, o);
	}
}
