// SPDX-License-Identifier: BSD-3-Clause
//
// Nominated pairs of a peer as ENDPOINT objects, what keeps them alive, and how they outlive straitd: the
// object's control blob holds the pair, sealed. Main loop thread.
#include "../seal.h"
#include "../wg/wg_internal.h"
#include "conn_internal.h"

#include <sodium.h>

#include <errno.h>
#include <string.h>

#define BLOB_VERSION     1
#define BLOB_STRAIT      0x1
#define BLOB_PEER_DIRECT 0x2

// Before the sealed pair.
struct path_blob {
	uint16_t version;
	uint16_t flags;
	uint32_t peer_id; // of the keep's activity
};

_Static_assert(sizeof(struct path_blob) + ICE_PATH_BLOB_MAX + SEAL_OVERHEAD <= ENDPOINT_PIN_BLOB_MAX,
	"a pair fits into the blob of its ENDPOINT");

// ---- keeping -------------------------------------------------------------------------------------------------

static void on_lost(const char *why, void *arg)
{
	struct conn_keep *k = arg;
	struct conn *c = k->conn;

	conn_fsm_path_lost(&c->fsm, k->path_id, why, wg_now());
	conn_timer_update(c);
}

static void on_regained(void *arg)
{
	struct conn_keep *k = arg;
	struct conn *c = k->conn;

	conn_fsm_path_regained(&c->fsm, k->path_id, wg_now());
	conn_timer_update(c);
}

// Also when only our end of the pair moved, of which a lost one is no better.
static void on_renominated(const struct ice_path *path, void *arg)
{
	struct conn_keep *k = arg;
	struct conn *c = k->conn;
	const struct conn_path *p = paths_find(&c->fsm.paths, k->path_id);

	c->follows = false;
	conn_fsm_path_renominated(&c->fsm, k->path_id, path);
	if (!ice_keep_is_lost(k->keep)) {
		if (p && p->lost)
			conn_fsm_path_regained(&c->fsm, k->path_id, wg_now());
		conn_fsm_path_trusted(&c->fsm, k->path_id);
	}
	conn_timer_update(c);
}

static void on_rtt(uint32_t us, void *arg)
{
	struct conn_keep *k = arg;

	k->rtt_us = us;
	conn_fsm_path_trusted(&k->conn->fsm, k->path_id);
}

// What took the peer from us may have taken the signal service as well, and a quiet stream does not tell. Who is
// controlled has to offer anew for the peer to learn where we are.
static void on_doubt(bool remapped, void *arg)
{
	const struct conn_keep *k = arg;
	struct conn *c = k->conn;
	bool controlling = ice_keep_path(k->keep)->controlling;

	conn_iface_doubt(c->iface);
	if (!remapped) {
		conn_fsm_path_doubted(&c->fsm, k->path_id, wg_now());
		conn_timer_update(c);
		return;
	}
	conn_ops.event("remapped", "a NAT gave us another address", c);
	if (!controlling && c->fsm.paths.selected && c->fsm.paths.selected->id == k->path_id) {
		conn_fsm_reconnect(&c->fsm, wg_now());
		conn_timer_update(c);
	}
}

static const struct ice_keep_ops keep_ops = {on_lost, on_regained, on_renominated, on_rtt, on_doubt};

static struct conn_keep *keep_find(struct conn *c, uint32_t path_id)
{
	for (int n = 0; n < CONN_KEEPS; n++) {
		if (c->keeps[n].path_id == path_id)
			return &c->keeps[n];
	}
	return NULL;
}

struct conn_keep *conn_keep_of(const struct conn *c, const struct conn_path *p)
{
	return keep_find((struct conn *)c, p->id);
}

void conn_path_give_up(struct conn *c, const struct conn_path *p, const char *why)
{
	struct conn_keep *k = conn_keep_of(c, p);

	if (k && k->keep)
		ice_keep_give_up(k->keep);
	conn_fsm_path_lost(&c->fsm, p->id, why, wg_now());
	conn_timer_update(c);
}

int conn_path_keep(uint32_t path_id, const struct ice_path *path, void *arg)
{
	struct conn *c = arg;
	struct conn_keep *k = keep_find(c, 0);

	if (!k && c->fsm.paths.retired) {
		// All are taken: what is only listened to makes room.
		uint32_t retired = c->fsm.paths.retired->id;

		k = keep_find(c, retired);
		if (k) {
			ice_keep_free(k->keep);
			*k = (struct conn_keep){0};
		}
	}
	if (!k)
		return -ENOSPC;
	*k = (struct conn_keep){.conn = c, .path_id = path_id, .rtt_us = path->rtt_us};
	k->keep = ice_keep_new(c->iface->ice, c->peer->id, path, &keep_ops, k);
	if (k->keep)
		return 0;
	k->path_id = 0;
	return errno ? -errno : -EIO;
}

void conn_path_drop(uint32_t path_id, void *arg)
{
	struct conn *c = arg;
	struct conn_keep *k = keep_find(c, path_id);

	if (!k)
		return;
	ice_keep_free(k->keep);
	*k = (struct conn_keep){0};
}

// ---- installing ----------------------------------------------------------------------------------------------

static void fill_blob(struct conn *c, const struct conn_keep *k, struct endpoint_pin *pin)
{
	struct path_blob head = {.version = BLOB_VERSION, .peer_id = c->peer->id};
	uint8_t plain[ICE_PATH_BLOB_MAX];
	int len = k->keep ? ice_keep_blob(k->keep, plain, sizeof(plain)) : -ENOENT;

	if (len <= 0 || !c->iface->wg->wg->seal)
		return; // a restart will connect anew
	head.flags = (c->fsm.peer_strait ? BLOB_STRAIT : 0) |
		     (c->fsm.peer_direct ? BLOB_PEER_DIRECT : 0);
	memcpy(pin->blob, &head, sizeof(head));
	pin->blob_len =
		(uint16_t)(sizeof(head) + seal_close(c->iface->wg->wg->seal,
						  pin->blob + sizeof(head), plain, (size_t)len,
						  c->peer->noise.public_key, NOISE_KEY_LEN));
	sodium_memzero(plain, sizeof(plain));
}

static void fill_tuple(struct endpoint_pin *pin, const struct ice_path *path)
{
	const struct ice_relay *r = &path->relay;

	if (!path->relayed) {
		pin->kind = ST_ENDPOINT_DIRECT;
		pin->local = path->local;
		pin->local_port_be = path->local_port_be;
		pin->remote = path->remote;
		pin->remote_port_be = path->remote_port_be;
		return;
	}
	pin->kind = r->transport == ICE_UDP ? ST_ENDPOINT_CHANNEL : ST_ENDPOINT_CONTROL;
	pin->local = r->base;
	pin->local_port_be = r->base_port_be;
	pin->remote = r->server;
	pin->remote_port_be = r->server_port_be;
	pin->relay_peer = path->remote;
	pin->relay_peer_port_be = path->remote_port_be;
	pin->channel = r->channel_ready ? r->channel : 0;
}

static void install_slot(struct conn *c, struct endpoint *e, const struct conn_path *p)
{
	const struct conn_keep *k = p ? conn_keep_of(c, p) : NULL;
	struct endpoint_pin pin = {0};
	struct endpoint_env env;

	wg_iface_env(c->iface->wg, &env);
	if (!k) {
		endpoint_uninstall(e, &env, c->peer->id);
		endpoint_pin(e, NULL);
		return;
	}
	fill_tuple(&pin, &p->path);
	fill_blob(c, k, &pin);
	if (!e->slot && c->follows) {
		pin.remote = c->follow_addr;
		pin.remote_port_be = c->follow_port_be;
	}
	endpoint_pin(e, &pin);
	sodium_memzero(&pin, sizeof(pin));
	(void)endpoint_install(e, &env, c->peer->id);
}

// Where we send first. For what arrives the order means nothing: lcores take authentic data from everywhere, and what is
// listened to is only not told to us.
void conn_paths_install(void *arg)
{
	struct conn *c = arg;
	const struct conn_paths *ps = &c->fsm.paths;

	conn_bytes(c);
	if (!ps->selected || ps->selected->id != c->follow_path)
		c->follows = false;
	install_slot(c, &c->peer->endpoint, ps->selected);
	install_slot(c, &c->extra[0], ps->fallback);
	install_slot(c, &c->extra[1], ps->retired);
}

void conn_paths_uninstall(struct conn *c)
{
	install_slot(c, &c->peer->endpoint, NULL);
	for (int n = 0; n < CONN_EXTRA; n++) {
		install_slot(c, &c->extra[n], NULL);
		endpoint_fini(&c->extra[n]);
	}
}

void conn_refresh(struct conn *c)
{
	struct endpoint_env env;

	wg_iface_env(c->iface->wg, &env);
	for (int n = 0; n < CONN_EXTRA; n++) {
		if (c->extra[n].pin)
			(void)endpoint_install(&c->extra[n], &env, c->peer->id);
	}
}

// What the peer's counters grew by went the way that was selected until now.
void conn_bytes(struct conn *c)
{
	uint64_t rx = c->peer->rx_bytes - MIN(c->rx_last, c->peer->rx_bytes);
	uint64_t tx = c->peer->tx_bytes - MIN(c->tx_last, c->peer->tx_bytes);

	c->rx_last = c->peer->rx_bytes;
	c->tx_last = c->peer->tx_bytes;
	*(c->relayed ? &c->rx_relayed : &c->rx_direct) += rx;
	*(c->relayed ? &c->tx_relayed : &c->tx_direct) += tx;
	c->relayed = paths_relayed(&c->fsm.paths);
}

// ---- after a restart -----------------------------------------------------------------------------------------

static struct ice_keep *keep_from(struct conn *c, struct conn_keep *k, const uint8_t *data, size_t len)
{
	const struct seal *seal = c->iface->wg->wg->seal;
	uint8_t plain[ICE_PATH_BLOB_MAX];
	struct path_blob head;
	struct ice_keep *keep;
	int n;

	if (!seal || len <= sizeof(head) + SEAL_OVERHEAD ||
		len > sizeof(head) + SEAL_OVERHEAD + sizeof(plain))
		return NULL;
	memcpy(&head, data, sizeof(head));
	if (head.version != BLOB_VERSION || head.peer_id != c->peer->id)
		return NULL;
	n = seal_open(seal, plain, data + sizeof(head), len - sizeof(head),
		c->peer->noise.public_key, NOISE_KEY_LEN);
	if (n < 0)
		return NULL;
	keep = ice_keep_from_blob(c->iface->ice, c->peer->id, plain, (size_t)n, &keep_ops, k);
	sodium_memzero(plain, sizeof(plain));
	c->fsm.peer_strait = head.flags & BLOB_STRAIT;
	c->fsm.peer_direct = head.flags & BLOB_PEER_DIRECT;
	return keep;
}

struct old_slot {
	struct ice_keep *keep; // NULL: there is none
	struct st_endpoint body;
	const uint8_t *blob;
	uint16_t len;
};

static void recover_slot(struct conn *c, struct old_slot *old, uint32_t slot)
{
	struct conn_keep *k = &c->keeps[slot];

	if (!wg_recover_pinned(c->peer, slot, &old->body, &old->blob, &old->len))
		return;
	*k = (struct conn_keep){.conn = c};
	old->keep = keep_from(c, k, old->blob, old->len);
	k->keep = old->keep;
}

// In that slot, wherever it was.
static void reinstall_slot(struct conn *c, struct endpoint *e, struct old_slot *old)
{
	struct endpoint_pin pin = {0};
	struct endpoint_env env;

	fill_tuple(&pin, ice_keep_path(old->keep));
	memcpy(pin.blob, old->blob, old->len);
	pin.blob_len = old->len;
	old->body.key.slot = e->slot;
	wg_iface_env(c->iface->wg, &env);
	endpoint_recover_pinned(e, &env, &old->body, &pin);
	sodium_memzero(&pin, sizeof(pin));
}

// The one in use last: of pairs with the same credentials it answers first. Without it the one that stood by
// takes its place.
bool conn_path_recover(struct conn *c)
{
	struct conn_paths *ps = &c->fsm.paths;
	struct old_slot old[CONN_KEEPS] = {0};
	uint64_t now = wg_now();
	int first = CONN_KEEPS;

	ice_peer_recover(c->iface->ice, c->peer->id);
	for (int n = CONN_KEEPS - 1; n >= 0; n--) {
		recover_slot(c, &old[n], (uint32_t)n);
		if (old[n].keep)
			first = n;
	}
	for (int n = first; n < CONN_KEEPS; n++) {
		const struct ice_path *path;

		if (!old[n].keep)
			continue;
		path = ice_keep_path(old[n].keep);
		if (n == first)
			c->keeps[n].path_id = conn_fsm_restore(&c->fsm, path, now);
		else if (n == 1)
			c->keeps[n].path_id = paths_restore_fallback(ps, path, now);
		else
			c->keeps[n].path_id = paths_restore_retired(ps, path, now);
		reinstall_slot(c, n == first ? &c->peer->endpoint : &c->extra[n - 1], &old[n]);
	}
	c->relayed = paths_relayed(ps);
	return first < CONN_KEEPS;
}
