// SPDX-License-Identifier: BSD-3-Clause
//
// Peers as objects: creation, keys, allowed IPs, endpoint, control blob; see peer.h. Main loop thread.
// Sessions are in peer_session.c.
#include "peer.h"

#include "../conn/conn.h"
#include "../dp/dp.h"
#include "stamps.h"
#include "wg_internal.h"

#include <sodium.h>

#include <errno.h>
#include <string.h>

#define PEER_BLOB_VERSION 3

// Control blob of a PEER. Fixed width; a new field means a new version.
struct peer_blob {
	uint16_t version;
	uint16_t keepalive; // seconds, as last configured
	uint8_t greatest[TAI64N_LEN];
	int64_t handshake_us;
	uint64_t handshakes;
	uint8_t stamp[TAI64N_LEN];
	uint32_t pad;
	uint64_t handshake_rx_bytes;
	uint64_t handshake_tx_bytes;
};
_Static_assert(sizeof(struct peer_blob) == 64, "no implicit padding");

static struct wg *wg_of(const struct peer *p)
{
	return p->iface->wg;
}

static void endpoint_resolved_cb(struct endpoint *e, bool changed, void *arg)
{
	struct peer *p = arg;

	if (!changed)
		return;
	peer_install_endpoint(p);
	if (p->timers.persistent && !peer_has_session(p, wg_now()))
		peer_initiate(p, false);
}

struct peer *peer_new(
	struct wg_iface *iface, const uint8_t public_key[NOISE_KEY_LEN], const char *name)
{
	struct wg *wg = iface->wg;
	uint32_t id = ST_NO_PEER;
	struct peer *p;

	if (wg->recovered)
		id = wg_recovered_peer_id(wg->recovered, iface->if_id, public_key);
	if (id == ST_NO_PEER || wg->peers[id])
		id = peer_id_alloc(wg);
	if (id == ST_NO_PEER)
		return NULL;
	p = g_new0(struct peer, 1);
	p->iface = iface;
	p->serial = ++wg->next_serial;
	p->link.data = p;
	memcpy(p->noise.public_key, public_key, NOISE_KEY_LEN);
	g_strlcpy(p->name, name, sizeof(p->name));
	timers_init(&p->timers);
	endpoint_init(&p->endpoint, endpoint_resolved_cb, p);
	g_queue_init(&p->allowed);
	cookie_init(&p->cookie, public_key);
	peer_id_bind(p, id);
	wg->nb_peers++;
	g_hash_table_insert(iface->peers, p->noise.public_key, p);
	g_queue_push_tail_link(&iface->peer_list, &p->link);
	peer_rekey_identity(p);
	if (wg->recovered)
		wg_recover_peer(p);
	peer_install(p, NULL, NULL);
	return p;
}

static void allowed_free(struct allowed_ip *a)
{
	struct peer *p = a->peer;

	g_hash_table_remove(p->iface->allowed, &a->prefix);
	g_queue_unlink(&p->allowed, &a->link);
	wg_of(p)->nb_allowed--;
	g_free(a);
}

// The memory alone.
void peer_release(struct peer *p)
{
	struct wg *wg = wg_of(p);

	while (p->allowed.head)
		allowed_free(p->allowed.head->data);
	endpoint_fini(&p->endpoint);
	timers_heap_remove(&wg->heap, &p->timers);
	g_queue_unlink(&p->iface->peer_list, &p->link);
	g_hash_table_remove(p->iface->peers, p->noise.public_key);
	peer_id_release(p);
	wg->nb_peers--;
	sodium_memzero(p, sizeof(*p));
	g_free(p);
}

void peer_free(struct peer *p)
{
	struct st_peer_key key = {p->id};
	struct dp *dp = wg_of(p)->dp;
	struct endpoint_env env;

	wg_iface_env(p->iface, &env);
	conn_peer_gone(p);
	stamps_forget(wg_of(p)->stamps, p->stamp);
	peer_clear_sessions(p, true);
	peer_clear_allowed(p);
	endpoint_uninstall(&p->endpoint, &env, p->id);
	peer_release(p);
	dp_del(dp, ST_PEER, &key, sizeof(key));
}

void peer_rename(struct peer *p, const char *name)
{
	if (!strcmp(p->name, name))
		return;
	memset(p->name, 0, sizeof(p->name));
	g_strlcpy(p->name, name, sizeof(p->name));
	peer_install(p, NULL, NULL);
}

void peer_rekey_identity(struct peer *p)
{
	struct handshake_identity *identity = p->iface->identity;
	uint8_t key[NOISE_KEY_LEN], psk[NOISE_KEY_LEN];

	// Both are inside the struct that is filled.
	memcpy(psk, p->noise.preshared_key, sizeof(psk));
	memcpy(key, p->noise.public_key, sizeof(key));
	p->usable =
		identity && noise_peer_init(&p->noise, handshake_identity_get(identity), key, psk);
	if (!p->usable)
		sodium_memzero(p->noise.static_static, sizeof(p->noise.static_static));
	// A refused key is still what was configured and what `wg` shows.
	memcpy(p->noise.public_key, key, sizeof(key));
	memcpy(p->noise.preshared_key, psk, sizeof(psk));
	sodium_memzero(psk, sizeof(psk));
}

bool peer_set_psk(struct peer *p, const uint8_t psk[NOISE_KEY_LEN])
{
	if (!sodium_memcmp(p->noise.preshared_key, psk, NOISE_KEY_LEN))
		return false;
	memcpy(p->noise.preshared_key, psk, NOISE_KEY_LEN);
	return true;
}

void peer_set_keepalive(struct peer *p, uint16_t seconds)
{
	uint16_t before = p->timers.persistent;
	bool now = timers_set_persistent(&p->timers, &wg_of(p)->params, seconds, wg_now());

	peer_timers_changed(p);
	if (before != seconds)
		peer_install(p, NULL, NULL);
	if (now)
		peer_keepalive(p);
}

int peer_add_allowed(struct peer *p, const struct st_prefix *prefix)
{
	struct wg *wg = wg_of(p);
	struct st_allowed_ip body = {.key = {p->iface->if_id, *prefix}, .peer_id = p->id};
	struct allowed_ip *a = g_hash_table_lookup(p->iface->allowed, prefix);

	if (a && a->peer == p)
		return 0;
	if (a) {
		// The same prefix belongs to the peer that was given it last.
		g_queue_unlink(&a->peer->allowed, &a->link);
	} else {
		if (wg->nb_allowed >= WG_MAX_ALLOWED)
			return -ENOSPC;
		a = g_new0(struct allowed_ip, 1);
		a->prefix = *prefix;
		a->link.data = a;
		g_hash_table_insert(p->iface->allowed, &a->prefix, a);
		wg->nb_allowed++;
	}
	a->peer = p;
	g_queue_push_tail_link(&p->allowed, &a->link);
	dp_set(wg->dp, ST_ALLOWED_IP, &body, sizeof(body), NULL, 0, NULL, NULL);
	return 0;
}

static void allowed_remove(struct allowed_ip *a)
{
	struct st_allowed_ip_key key = {a->peer->iface->if_id, a->prefix};

	dp_del(wg_of(a->peer)->dp, ST_ALLOWED_IP, &key, sizeof(key));
	allowed_free(a);
}

void peer_remove_allowed(struct peer *p, const struct st_prefix *prefix)
{
	struct allowed_ip *a = g_hash_table_lookup(p->iface->allowed, prefix);

	if (a && a->peer == p)
		allowed_remove(a);
}

void peer_clear_allowed(struct peer *p)
{
	while (p->allowed.head)
		allowed_remove(p->allowed.head->data);
}

void peer_configure_endpoint(struct peer *p, const char *host, uint16_t port)
{
	if (p->conn) {
		if (host)
			g_warning("%s: peer %s is found by ICE, its endpoint %s:%u is ignored; "
				  "set \"ice\": false for it to use one",
				p->iface->name, p->name, host, port);
		return;
	}
	endpoint_configure(&p->endpoint, host, port);
	// An endpoint of old goes on as it is until the kernel's routes are mirrored; recovery_end asks.
	if (!wg_of(p)->recovered || !wg_recover_endpoint(p))
		peer_install_endpoint(p);
}

void peer_install_endpoint(struct peer *p)
{
	const struct wg *wg = wg_of(p);
	struct endpoint_env env;
	int before = p->endpoint.error, r;

	wg_iface_env(p->iface, &env);
	if (p->endpoint.known && !p->endpoint.pin && wg->inside)
		wg->inside(&p->endpoint.remote, p->endpoint.port_be, wg->own_relay_arg);
	r = endpoint_install(&p->endpoint, &env, p->id);
	if (r && r != before && r != -EDESTADDRREQ)
		g_message("%s: peer %s: %s", p->iface->name, p->name, endpoint_error_text(r));
	if (p->conn)
		conn_refresh(p->conn);
}

void peer_install(struct peer *p, void (*done)(int status, void *arg), void *arg)
{
	struct peer_blob blob = {
		.version = PEER_BLOB_VERSION,
		.keepalive = p->timers.persistent,
		.handshake_us = p->handshake_us,
		.handshakes = p->handshakes,
		.handshake_rx_bytes = p->handshake_rx_bytes,
		.handshake_tx_bytes = p->handshake_tx_bytes,
	};
	struct st_peer body = {.key.peer_id = p->id, .if_id = p->iface->if_id};

	memcpy(blob.greatest, p->greatest, sizeof(blob.greatest));
	memcpy(blob.stamp, p->stamp, sizeof(blob.stamp));
	memcpy(body.public_key, p->noise.public_key, sizeof(body.public_key));
	memcpy(body.name, p->name, sizeof(body.name));
	dp_set(wg_of(p)->dp, ST_PEER, &body, sizeof(body), &blob, sizeof(blob), done, arg);
}

bool peer_blob_load(struct peer *p, const void *data, uint16_t len)
{
	struct peer_blob blob;

	if (len != sizeof(blob))
		return false;
	memcpy(&blob, data, sizeof(blob));
	if (blob.version != PEER_BLOB_VERSION)
		return false;
	// Never back: what this process accepted meanwhile may be greater.
	if (memcmp(blob.greatest, p->greatest, sizeof(p->greatest)) > 0)
		memcpy(p->greatest, blob.greatest, sizeof(p->greatest));
	if (memcmp(blob.stamp, p->stamp, sizeof(p->stamp)) > 0)
		memcpy(p->stamp, blob.stamp, sizeof(p->stamp));
	p->handshake_us = MAX(p->handshake_us, blob.handshake_us);
	p->handshakes = MAX(p->handshakes, blob.handshakes);
	p->handshake_rx_bytes = MAX(p->handshake_rx_bytes, blob.handshake_rx_bytes);
	p->handshake_tx_bytes = MAX(p->handshake_tx_bytes, blob.handshake_tx_bytes);
	// It goes on; to be configured anew would send one at once.
	if (blob.keepalive && !p->timers.persistent)
		(void)timers_set_persistent(&p->timers, &wg_of(p)->params, blob.keepalive, wg_now());
	return true;
}

void peer_change_id(struct peer *p, uint32_t id)
{
	struct wg *wg = wg_of(p);
	struct st_peer_key key = {p->id};
	struct endpoint_env env;

	if (p->id == id)
		return;
	wg_iface_env(p->iface, &env);
	peer_clear_sessions(p, true);
	endpoint_uninstall(&p->endpoint, &env, p->id);
	peer_id_release(p);
	dp_del(wg->dp, ST_PEER, &key, sizeof(key));
	peer_id_bind(p, id);
	p->serial = ++wg->next_serial; // what is under way was made for the other id
	peer_install(p, NULL, NULL);
	for (GList *l = p->allowed.head; l; l = l->next) {
		const struct allowed_ip *a = l->data;
		struct st_allowed_ip body = {.key = {p->iface->if_id, a->prefix}, .peer_id = id};

		dp_set(wg->dp, ST_ALLOWED_IP, &body, sizeof(body), NULL, 0, NULL, NULL);
	}
}

void peer_timers_changed(struct peer *p)
{
	timers_heap_update(&wg_of(p)->heap, &p->timers);
	wg_timer_rearm(wg_of(p));
}
