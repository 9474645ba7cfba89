// SPDX-License-Identifier: BSD-3-Clause
//
// WireGuard's part of what the admin socket tells. Main loop thread. Counters are those of the last
// statistics of the data plane, at most a few seconds old; asking renews them for the next time.
#include "../../crypto/keys.h"
#include "../addr.h"
#include "../conn/conn.h"
#include "../dp/dp.h"
#include "wg_internal.h"

#include <cjson/cJSON.h>

#include <arpa/inet.h>

static void add_key(struct cJSON *into, const char *name, const uint8_t key[NOISE_KEY_LEN])
{
	char text[KEY_BASE64_LEN];

	key_to_base64(text, key);
	cJSON_AddStringToObject(into, name, text);
}

static const char *state_text(const struct peer *p, uint64_t now)
{
	if (peer_has_session(p, now))
		return "up";
	if (!p->usable)
		return "unusable key";
	if (!p->endpoint.known)
		return "no endpoint";
	if (p->initiating || p->hs.state == NOISE_CREATED_INITIATION || p->slots[ST_SLOT_NEXT].index)
		return "handshaking";
	return "idle";
}

static void add_endpoint(struct cJSON *into, const struct endpoint *e)
{
	char tuple[TUPLE_TEXT_MAX + ST_NAME_MAX], local[ADDR_TEXT_MAX];

	cJSON_AddStringToObject(into, "endpoint",
		e->known ? tuple_text_scoped(tuple, &e->remote, e->port_be, e->scope) : "");
	cJSON_AddStringToObject(into, "endpoint_host", e->host ? e->host : "");
	cJSON_AddBoolToObject(into, "roamed", e->roamed);
	cJSON_AddStringToObject(into, "endpoint_kind",
		!e->installed                         ? ""
		: e->body.kind == ST_ENDPOINT_DIRECT  ? "direct"
		: e->body.kind == ST_ENDPOINT_CHANNEL ? "channel"
						      : "control");
	cJSON_AddStringToObject(into, "local", e->installed ? addr_text(local, &e->body.local) : "");
	cJSON_AddNumberToObject(into, "path_mtu", e->installed ? e->body.path_mtu : 0);
}

static void add_peer(struct cJSON *array, const struct peer *p, uint64_t now)
{
	struct cJSON *o = cJSON_CreateObject(), *allowed;
	char text[PREFIX_TEXT_MAX];
	const char *error = p->last_error;

	if (!error && p->endpoint.known)
		error = endpoint_error_text(p->endpoint.error);
	cJSON_AddStringToObject(o, "name", p->name);
	add_key(o, "public_key", p->noise.public_key);
	cJSON_AddNumberToObject(o, "peer_id", p->id);
	cJSON_AddStringToObject(o, "interface", p->iface->name);
	add_endpoint(o, &p->endpoint);
	allowed = cJSON_AddArrayToObject(o, "allowed_ips");
	for (const GList *l = p->allowed.head; l; l = l->next)
		cJSON_AddItemToArray(allowed,
			cJSON_CreateString(
				prefix_text(text, &((const struct allowed_ip *)l->data)->prefix)));
	cJSON_AddNumberToObject(o, "latest_handshake", (double)(p->handshake_us / G_USEC_PER_SEC));
	cJSON_AddNumberToObject(o, "handshakes", (double)p->handshakes);
	cJSON_AddNumberToObject(o, "rx_bytes", (double)(p->rx_bytes + p->handshake_rx_bytes));
	cJSON_AddNumberToObject(o, "tx_bytes", (double)(p->tx_bytes + p->handshake_tx_bytes));
	cJSON_AddNumberToObject(o, "staged", p->staged);
	cJSON_AddNumberToObject(o, "keepalive", p->timers.persistent);
	cJSON_AddStringToObject(o, "source", wg_overlay_source(p));
	cJSON_AddStringToObject(o, "state", state_text(p, now));
	cJSON_AddStringToObject(o, "last_error", error ? error : "");
	if (p->conn)
		conn_peer_status(p->conn, o);
	cJSON_AddItemToArray(array, o);
}

static void add_iface(struct cJSON *array, const struct wg_iface *i)
{
	struct cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "name", i->name);
	cJSON_AddNumberToObject(o, "if_id", i->if_id);
	add_key(o, "public_key", i->public_key);
	cJSON_AddNumberToObject(o, "listen_port", i->port);
	cJSON_AddNumberToObject(o, "fwmark", i->fwmark);
	cJSON_AddNumberToObject(o, "mtu", i->mtu);
	cJSON_AddNumberToObject(o, "peers", i->peer_list.length);
	cJSON_AddItemToArray(array, o);
}

static struct cJSON *array_of(struct cJSON *into, const char *name)
{
	struct cJSON *a = cJSON_GetObjectItemCaseSensitive(into, name);

	return a ? a : cJSON_AddArrayToObject(into, name);
}

void wg_status(struct wg *wg, struct cJSON *into)
{
	struct cJSON *ifaces = array_of(into, "interfaces"), *peers = array_of(into, "peers");
	struct cJSON *counters = cJSON_AddObjectToObject(into, "handshakes");
	uint64_t now = wg_now();

	for (guint n = 0; n < wg->ifaces->len; n++) {
		const struct wg_iface *i = wg->ifaces->pdata[n];

		add_iface(ifaces, i);
		for (const GList *l = i->peer_list.head; l; l = l->next)
			add_peer(peers, l->data, now);
	}
#define X(name, text) cJSON_AddNumberToObject(counters, #name, (double)wg->counters.name);
	WG_COUNTERS(X)
#undef X
	cJSON_AddNumberToObject(counters, "queued", handshake_pool_queued(wg->pool));
	cJSON_AddBoolToObject(counters, "under_load", now < wg->under_load_until);
	wg_stats_refresh(wg, NULL, NULL);
}
