// SPDX-License-Identifier: BSD-3-Clause
//
// Handshakes and sessions of a peer; see peer.h. Main loop thread: what workers computed arrives here and
// is checked against what the peer is by then. Session keys pass through this file once, on their way
// to the data plane.
//
// Our initiation (peer->hs) and the answer to one of theirs are separate, so that two peers which start
// at the same moment do not cancel each other's handshake.
#include "../addr.h"
#include "../conn/conn.h"
#include "../dp/dp.h"
#include "../dp/ids.h"
#include "peer.h"
#include "stamps.h"
#include "wg_internal.h"

#include <sodium.h>

#include <errno.h>
#include <net/if.h>
#include <string.h>

static struct wg *wg_of(const struct peer *p)
{
	return p->iface->wg;
}

static void keypair_drop(struct peer *p, int slot)
{
	if (p->slots[slot].index)
		wg_index_put(wg_of(p)->index, p->slots[slot].index);
	p->slots[slot] = (struct peer_keypair){0};
}

static void keypair_move(struct peer *p, int to, int from)
{
	keypair_drop(p, to);
	p->slots[to] = p->slots[from];
	p->slots[from] = (struct peer_keypair){0};
}

static bool keypair_alive(const struct peer *p, int slot, uint64_t now)
{
	const struct peer_keypair *k = &p->slots[slot];

	return k->index && now < k->birth + wg_of(p)->params.reject_after;
}

bool peer_has_session(const struct peer *p, uint64_t now)
{
	return keypair_alive(p, ST_SLOT_CURRENT, now);
}

static void handshake_forget(struct peer *p)
{
	if (p->hs.local_index)
		wg_index_put(wg_of(p)->index, p->hs.local_index);
	noise_handshake_zero(&p->hs);
	p->hs.local_index = 0;
}

void peer_clear_sessions(struct peer *p, bool delete_keys)
{
	for (int i = 0; i < PEER_SLOTS; i++) {
		if (delete_keys && p->slots[i].index)
			dp_key_del(wg_of(p)->dp, p->slots[i].index);
		keypair_drop(p, i);
	}
	handshake_forget(p);
	// What workers and the data plane still answer is for a session that nobody wants.
	p->initiate_generation++;
	p->respond_generation++;
	p->clear_generation++;
	p->initiating = false;
}

// ---- initiating ----------------------------------------------------------------------------------

// NULL: a handshake may start now.
static const char *why_not(const struct peer *p)
{
	if (!p->iface->identity)
		return "interface has no private key";
	if (!p->usable)
		return "public key of the peer is not usable";
	if (!p->endpoint.known)
		return "no endpoint";
	if (!p->iface->port)
		return "listen port is not open";
	if (p->conn && !peer_has_session(p, wg_now()) && !conn_may_initiate(p->conn))
		return "waits for ICE, or for the peer to begin";
	// Before it has told what it holds our stamps may be older than what an earlier process sent.
	if (!dp_connected(wg_of(p)->dp) || !wg_of(p)->recovery_done)
		return "data plane is away";
	return NULL;
}

void peer_initiate(struct peer *p, bool retry)
{
	struct wg *wg = wg_of(p);
	uint64_t now = wg_now();
	struct handshake_job *job;
	const char *error;

	if (!retry)
		p->timers.attempts = 0;
	error = why_not(p);
	if (error) {
		p->last_error = error;
		return;
	}
	if (p->initiating)
		return;
	if (!timers_may_initiate(&p->timers, &wg->params, now)) {
		peer_timers_changed(p);
		return;
	}
	job = handshake_job_new(HANDSHAKE_INITIATE, p->iface->identity);
	job->iface_serial = p->iface->identity_serial;
	job->peer_id = p->id;
	job->peer_serial = p->serial;
	job->generation = ++p->initiate_generation;
	job->peer = p->noise;
	job->local_index = wg_index_alloc(wg->index, GUINT_TO_POINTER(p->id + 1));
	stamps_next(wg->stamps, p->stamp, wg_wall_us());
	memcpy(job->timestamp, p->stamp, sizeof(job->timestamp));
	peer_install(p, NULL, NULL); // it must remember the stamp before the peer does
	p->initiating = true;
	timers_initiation_sent(&p->timers, &wg->params, now);
	peer_timers_changed(p);
	(void)handshake_pool_push(wg->pool, job); // these are never refused
}

void peer_initiation_made(struct peer *p, struct handshake_job *job)
{
	struct wg *wg = wg_of(p);

	if (job->generation != p->initiate_generation) {
		wg_index_put(wg->index, job->local_index);
		handshake_job_free(job);
		return;
	}
	p->initiating = false;
	if (!job->ok) {
		wg_index_put(wg->index, job->local_index);
		p->last_error = "public key of the peer is not usable";
		handshake_job_free(job);
		return;
	}
	handshake_forget(p);
	p->hs = job->hs;
	cookie_add_macs(&p->cookie, &job->initiation, sizeof(job->initiation), wg_now());
	wg->counters.initiations_sent++;
	wg_iface_send(p->iface, p, HANDSHAKE_DSCP, &job->initiation, sizeof(job->initiation));
	handshake_job_free(job);
}

// ---- installing ----------------------------------------------------------------------------------

// A session on its way into the data plane.
struct install {
	struct wg *wg;
	uint32_t peer_id;
	uint64_t peer_serial;
	uint64_t generation; // of the peer when it was asked for; see wanted_generation
	struct peer_keypair keypair;
	struct message_response response; // leaves when the key is in
	unsigned int pending;             // answers still to come
	int status;
};

static struct peer *install_peer(const struct install *in)
{
	struct peer *p = in->wg->peers[in->peer_id];

	return p && p->serial == in->peer_serial ? p : NULL;
}

// Moves on when a session under way is wanted no more: all were cleared, or a newer initiation of the same peer
// was answered.
static uint64_t wanted_generation(const struct peer *p, bool initiator)
{
	return initiator ? p->clear_generation : p->respond_generation;
}

static void session_initiated(struct peer *p, const struct peer_keypair *k, uint64_t now)
{
	struct wg *wg = wg_of(p);

	if (p->slots[ST_SLOT_NEXT].index) {
		keypair_move(p, ST_SLOT_PREVIOUS, ST_SLOT_NEXT);
		keypair_drop(p, ST_SLOT_CURRENT);
	} else {
		keypair_move(p, ST_SLOT_PREVIOUS, ST_SLOT_CURRENT);
	}
	p->slots[ST_SLOT_CURRENT] = *k;
	wg->counters.sessions_initiated++;
	p->last_error = NULL;
	p->handshakes++;
	p->handshake_us = wg_wall_us();
	timers_session_derived(&p->timers, &wg->params, now);
	timers_handshake_complete(&p->timers);
	peer_timers_changed(p);
	peer_install(p, NULL, NULL);
}

static void session_answered(struct peer *p, struct install *in, uint64_t now)
{
	struct wg *wg = wg_of(p);

	keypair_drop(p, ST_SLOT_NEXT);
	keypair_drop(p, ST_SLOT_PREVIOUS);
	p->slots[ST_SLOT_NEXT] = in->keypair;
	wg->counters.sessions_answered++;
	p->last_error = NULL;
	timers_session_derived(&p->timers, &wg->params, now);
	timers_response_sent(&p->timers, &wg->params, now);
	peer_timers_changed(p);
	cookie_add_macs(&p->cookie, &in->response, sizeof(in->response), now);
	wg->counters.responses_sent++;
	wg_iface_send(p->iface, p, HANDSHAKE_DSCP, &in->response, sizeof(in->response));
}

static void install_failed(struct install *in, struct peer *p)
{
	in->wg->counters.install_failed++;
	wg_index_put(in->wg->index, in->keypair.index);
	if (!p)
		return;
	p->last_error =
		in->status == -ENOTCONN ? "data plane is away" : "data plane refused the session";
	if (in->status != -ENOTCONN)
		g_warning("%s: peer %s: session not installed: %s", p->iface->name, p->name,
			g_strerror(-in->status));
}

static void install_done(int status, void *arg)
{
	struct install *in = arg;
	struct peer *p = install_peer(in);

	if (status)
		in->status = status;
	if (--in->pending)
		return;
	if (in->status) {
		install_failed(in, p);
	} else if (!p) {
		// The peer went away meanwhile, and its keys with it.
		wg_index_put(in->wg->index, in->keypair.index);
	} else if (in->generation != wanted_generation(p, in->keypair.initiator)) {
		dp_key_del(in->wg->dp, in->keypair.index);
		wg_index_put(in->wg->index, in->keypair.index);
	} else if (in->keypair.initiator) {
		session_initiated(p, &in->keypair, wg_now());
	} else {
		session_answered(p, in, wg_now());
	}
	g_free(in);
}

static struct install *install_new(struct peer *p, const struct handshake_job *job, bool initiator)
{
	struct install *in = g_new0(struct install, 1);

	in->wg = wg_of(p);
	in->peer_id = p->id;
	in->peer_serial = p->serial;
	in->generation = wanted_generation(p, initiator);
	in->keypair = (struct peer_keypair){
		.index = job->local_index,
		.remote_index = job->remote_index,
		.birth = wg_now(),
		.initiator = initiator,
	};
	return in;
}

static void install_key(struct install *in, const struct noise_keys *keys)
{
	struct st_key key = {
		.key.index = in->keypair.index,
		.peer_id = in->peer_id,
		.remote_index = in->keypair.remote_index,
		.role = in->keypair.initiator ? ST_KEY_INITIATOR : ST_KEY_RESPONDER,
	};

	memcpy(key.send_key, keys->send, sizeof(key.send_key));
	memcpy(key.recv_key, keys->recv, sizeof(key.recv_key));
	in->pending++;
	dp_key_set(in->wg->dp, &key, in->wg->params.reject_after, install_done, in);
	sodium_memzero(&key, sizeof(key));
}

// ---- answering -----------------------------------------------------------------------------------

// Of a link-local address; other addresses are the same on every interface.
static const char *scope_of(char name[IF_NAMESIZE], const struct st_addr *remote, int ifindex)
{
	if (!addr_is_link_local(remote) || !if_indextoname((unsigned int)ifindex, name))
		return "";
	return name;
}

static void received(
	struct peer *p, const struct handshake_source *from, size_t message_len, uint64_t now)
{
	struct wg *wg = wg_of(p);
	char name[IF_NAMESIZE];
	struct endpoint_from seen = {from->remote, from->local, from->remote_port_be,
		scope_of(name, &from->remote, from->ifindex)};

	p->handshake_rx_bytes += message_len;
	p->last_received = now;
	timers_any_received(&p->timers, &wg->params, now);
	peer_timers_changed(p);
	if (p->endpoint.pin)
		conn_seen(p->conn, &from->remote, from->remote_port_be, &from->local);
	else if (endpoint_seen(&p->endpoint, &seen) || !p->endpoint.installed)
		peer_install_endpoint(p);
}

// The last checks of an initiation. True: it is new, and it has been noted.
static bool initiation_accept(struct peer *p, struct handshake_job *job, uint64_t now)
{
	struct wg *wg = wg_of(p);

	if (!p->usable || job->iface_serial != p->iface->identity_serial ||
		!noise_consume_initiation_timestamp(
			&job->hs, job->timestamp, &p->noise, &job->initiation)) {
		wg->counters.unauthenticated++;
		return false;
	}
	if (memcmp(job->timestamp, p->greatest, TAI64N_LEN) <= 0) {
		wg->counters.replayed++;
		return false;
	}
	if (p->last_initiation && now < p->last_initiation + wg->params.flood_interval) {
		wg->counters.flooding++;
		return false;
	}
	if (!dp_connected(wg->dp)) {
		// A response would promise a session that nobody carries.
		wg->counters.no_dataplane++;
		return false;
	}
	memcpy(p->greatest, job->timestamp, TAI64N_LEN);
	p->last_initiation = now;
	return true;
}

void peer_identified(struct peer *p, struct handshake_job *job)
{
	struct wg *wg = wg_of(p);
	uint64_t now = wg_now();

	if (!initiation_accept(p, job, now)) {
		handshake_job_free(job);
		return;
	}
	received(p, &job->source, sizeof(job->initiation), now);
	job->kind = HANDSHAKE_RESPOND;
	job->ok = false;
	job->peer = p->noise;
	job->peer_id = p->id;
	job->peer_serial = p->serial;
	job->generation = ++p->respond_generation;
	job->local_index = wg_index_alloc(wg->index, GUINT_TO_POINTER(p->id + 1));
	(void)handshake_pool_push(wg->pool, job);
}

void peer_response_made(struct peer *p, struct handshake_job *job)
{
	struct install *in;

	if (!job->ok || job->generation != p->respond_generation) {
		wg_of(p)->counters.unauthenticated += !job->ok;
		wg_index_put(wg_of(p)->index, job->local_index);
		handshake_job_free(job);
		return;
	}
	in = install_new(p, job, false);
	in->response = job->response;
	// The greatest timestamp is remembered outside of this process before the answer leaves.
	in->pending++;
	peer_install(p, install_done, in);
	install_key(in, &job->keys);
	handshake_job_free(job);
}

void peer_response_consumed(struct peer *p, struct handshake_job *job)
{
	struct wg *wg = wg_of(p);

	// Another copy of it was faster, or the handshake was given up.
	if (!job->ok || p->hs.state != NOISE_CREATED_INITIATION ||
		p->hs.local_index != job->local_index) {
		wg->counters.unauthenticated += !job->ok;
		handshake_job_free(job);
		return;
	}
	// The index goes on with the keypair.
	p->hs.local_index = 0;
	noise_handshake_zero(&p->hs);
	if (!dp_connected(wg->dp)) {
		wg->counters.no_dataplane++;
		wg_index_put(wg->index, job->local_index);
		handshake_job_free(job);
		return;
	}
	received(p, &job->source, sizeof(job->response), wg_now());
	install_key(install_new(p, job, true), &job->keys);
	handshake_job_free(job);
}

// ---- timers --------------------------------------------------------------------------------------

void peer_keepalive(struct peer *p)
{
	if (peer_has_session(p, wg_now()))
		dp_keepalive(wg_of(p)->dp, p->id);
	else
		peer_initiate(p, false);
}

static void give_up(struct peer *p)
{
	handshake_forget(p);
	dp_staged_drop(wg_of(p)->dp, p->id);
	p->last_error = "peer does not answer handshakes";
	// The name may lead elsewhere by now.
	endpoint_resolve(&p->endpoint);
}

void peer_timers_due(struct peer *p, uint64_t now)
{
	struct wg *wg = wg_of(p);
	uint32_t todo = timers_expire(&p->timers, &wg->params, now);

	peer_timers_changed(p);
	if (todo & TIMERS_ZERO_KEYS)
		peer_clear_sessions(p, true);
	if (todo & TIMERS_GAVE_UP)
		give_up(p);
	if (todo & TIMERS_CLEAR_SOURCE && !(todo & TIMERS_GAVE_UP)) {
		endpoint_clear_source(&p->endpoint);
		if (p->timers.attempts == 3)
			endpoint_resolve(&p->endpoint);
		peer_install_endpoint(p);
	}
	if (todo & TIMERS_RETRY)
		peer_initiate(p, true);
	else if (todo & TIMERS_INITIATE)
		peer_initiate(p, false);
	if (todo & TIMERS_SEND_KEEPALIVE)
		peer_keepalive(p);
}

// ---- events of the data plane ---------------------------------------------------------------------

void peer_key_needed(struct peer *p)
{
	if (p->conn)
		conn_traffic(p->conn);
	peer_initiate(p, false);
}

void peer_key_confirmed(struct peer *p, uint32_t index)
{
	if (!index || p->slots[ST_SLOT_NEXT].index != index)
		return;
	keypair_move(p, ST_SLOT_PREVIOUS, ST_SLOT_CURRENT);
	keypair_move(p, ST_SLOT_CURRENT, ST_SLOT_NEXT);
	p->handshakes++;
	p->handshake_us = wg_wall_us();
	timers_handshake_complete(&p->timers);
	peer_timers_changed(p);
	peer_install(p, NULL, NULL);
}

void peer_rekey_due(struct peer *p, uint32_t index)
{
	if (index && p->slots[ST_SLOT_CURRENT].index == index)
		peer_initiate(p, false);
}

void peer_key_gone(struct peer *p, uint32_t index)
{
	for (int i = 0; i < PEER_SLOTS; i++) {
		if (index && p->slots[i].index == index)
			keypair_drop(p, i);
	}
}

// The data plane says so once when a rekey is due; this finds it also when that was lost, and when
// the tests divide all times.
static void keep_key_fresh(struct peer *p, uint32_t flags, uint64_t now)
{
	const struct timers_params *params = &wg_of(p)->params;
	const struct peer_keypair *k = &p->slots[ST_SLOT_CURRENT];
	uint64_t age = now - k->birth;

	if (!k->index || !k->initiator || now < k->birth)
		return;
	if (flags & (ST_ACT_DATA_SENT | ST_ACT_KEEPALIVE_SENT) && age > params->rekey_after)
		peer_initiate(p, false);
	else if (flags & ST_ACT_ANY_RECEIVED && age > params->rekey_receiving)
		peer_initiate(p, false);
}

static void activity_sent(struct peer *p, const struct st_activity *a, uint64_t now)
{
	const struct timers_params *params = &wg_of(p)->params;

	if (a->flags & ST_ACT_DATA_SENT)
		timers_data_sent(&p->timers, params, now - MIN(a->data_sent_age_ms, now));
	if (a->flags & (ST_ACT_DATA_SENT | ST_ACT_KEEPALIVE_SENT))
		timers_any_sent(&p->timers, params, now - MIN(a->any_sent_age_ms, now));
}

static void activity_received(struct peer *p, const struct st_activity *a, uint64_t now)
{
	const struct timers_params *params = &wg_of(p)->params;

	if (a->flags & ST_ACT_DATA_RECEIVED)
		timers_data_received(&p->timers, params, now - MIN(a->data_received_age_ms, now));
	if (a->flags & (ST_ACT_DATA_RECEIVED | ST_ACT_ANY_RECEIVED)) {
		p->last_received = now - MIN(a->any_received_age_ms, now);
		timers_any_received(&p->timers, params, p->last_received);
	}
}

void peer_activity(struct peer *p, const struct st_activity *a, uint64_t now)
{
	bool sent = a->flags & (ST_ACT_DATA_SENT | ST_ACT_KEEPALIVE_SENT);
	bool got = a->flags & (ST_ACT_DATA_RECEIVED | ST_ACT_ANY_RECEIVED);

	// In the order in which the newest of both happened. In the same millisecond sending counts as
	// first: a keepalive too many is harmless, a handshake for nothing is not.
	if (sent && got && a->any_sent_age_ms < a->any_received_age_ms) {
		activity_received(p, a, now);
		activity_sent(p, a, now);
	} else {
		activity_sent(p, a, now);
		activity_received(p, a, now);
	}
	peer_timers_changed(p);
	keep_key_fresh(p, a->flags, now);
	if (p->conn)
		conn_activity(p->conn, a);
}

void peer_seen_at(struct peer *p, const struct st_ev_endpoint *ev)
{
	const char *port = ids_name(ev->if_id);
	struct endpoint_from seen = {ev->remote, ev->local, ev->remote_port_be,
		addr_is_link_local(&ev->remote) && port ? port : ""};

	if (p->endpoint.pin)
		conn_seen(p->conn, &ev->remote, ev->remote_port_be, &ev->local);
	else if (endpoint_seen(&p->endpoint, &seen))
		peer_install_endpoint(p);
}

// When it was; 0 = never.
static uint64_t when(uint32_t age_ms, uint64_t now)
{
	return age_ms == UINT32_MAX ? 0 : now - MIN(age_ms, now - 1);
}

void peer_reconcile(struct peer *p, const struct st_stat_peer *s, uint64_t now)
{
	struct timers_history history = {
		.any_received = when(s->any_received_age_ms, now),
		.any_sent = when(s->any_sent_age_ms, now),
		.data_received = when(s->data_received_age_ms, now),
		.data_sent = when(s->data_sent_age_ms, now),
	};

	if (peer_has_session(p, now)) {
		timers_restore(&p->timers, &wg_of(p)->params, &history, now);
		peer_timers_changed(p);
	} else if (s->staged) {
		peer_initiate(p, false);
	}
}

void peer_slot_learnt(struct peer *p, const struct st_stat_keypair *k, uint64_t now)
{
	struct wg *wg = wg_of(p);
	struct peer_keypair *slot;

	if (k->slot >= PEER_SLOTS || !k->index)
		return;
	slot = &p->slots[k->slot];
	if (slot->index == k->index)
		return;
	if (k->slot == ST_SLOT_CURRENT && p->slots[ST_SLOT_NEXT].index == k->index) {
		peer_key_confirmed(p, k->index);
		return;
	}
	for (int i = 0; i < PEER_SLOTS; i++) {
		if (p->slots[i].index == k->index)
			return;
	}
	if (!wg_index_take(wg->index, k->index, GUINT_TO_POINTER(p->id + 1)))
		return;
	keypair_drop(p, k->slot);
	*slot = (struct peer_keypair){
		.index = k->index,
		.remote_index = k->remote_index,
		.birth = now - MIN(k->age_ms, now),
		.initiator = k->role == ST_KEY_INITIATOR,
	};
	if (k->slot == ST_SLOT_CURRENT) {
		timers_session_derived(&p->timers, &wg->params, slot->birth);
		peer_timers_changed(p);
	}
}
