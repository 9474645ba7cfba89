// SPDX-License-Identifier: BSD-3-Clause
//
// What comes to the sockets of WireGuard interfaces and back from the workers. Main loop thread. Up to
// the push to a worker a message costs two hashes; nothing of a peer is touched before it has
// authenticated itself, and strangers get silence, or a cookie when there is too much to do.
#include "../../crypto/ratelimiter.h"
#include "../addr.h"
#include "../conn/conn.h"
#include "../dp/dp.h"
#include "../dp/ids.h"
#include "wg_internal.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>

#define BUCKET_RATE_US  100 // one packet per 100 us: 10000 per second
#define BUCKET_BURST_US 50000

static uint32_t get_le32(const uint8_t b[4])
{
	return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

bool wg_bucket_take(struct wg_bucket *b, uint64_t now_us)
{
	b->tokens_us = MIN(b->tokens_us + (now_us - b->last_us), BUCKET_BURST_US);
	b->last_us = now_us;
	if (b->tokens_us < BUCKET_RATE_US)
		return false;
	b->tokens_us -= BUCKET_RATE_US;
	return true;
}

static bool under_load(struct wg *wg, uint64_t now)
{
	if (handshake_pool_queued(wg->pool) >= UNDER_LOAD_QUEUED)
		wg->under_load_until = now + UNDER_LOAD_STICKY_MS;
	return now < wg->under_load_until;
}

// 4 or 16 bytes of address and 2 of port, as cookies are made of.
static size_t source_bytes(uint8_t out[18], const struct wg_datagram *d)
{
	size_t skip = addr_is_v4(&d->remote) ? 12 : 0, len = 16 - skip;

	memcpy(out, d->remote.b + skip, len);
	memcpy(out + len, &d->remote_port_be, 2);
	return len + 2;
}

static void send_cookie(struct wg_iface *i, const struct wg_datagram *d, const uint8_t *src,
	size_t src_len, uint64_t now)
{
	struct wg_to to = {&d->local, &d->remote, d->remote_port_be, HANDSHAKE_DSCP, d->ifindex};
	struct message_cookie reply;

	// Bytes 4 to 7 are the sender's index in both kinds of message.
	cookie_create_reply(&i->checker, &reply, d->data, d->len, d->data + 4, src, src_len, now);
	if (wg_iface_send_to(i, d->local_port_be, &to, &reply, sizeof(reply)))
		i->wg->counters.send_failed++;
	else
		i->wg->counters.cookies_sent++;
}

// mac1 always; under load the sender must also prove its address and is limited.
static bool admit(struct wg_iface *i, const struct wg_datagram *d, uint64_t now)
{
	struct wg *wg = i->wg;
	uint8_t src[18];
	size_t src_len = source_bytes(src, d);
	bool load = under_load(wg, now);

	switch (cookie_validate(&i->checker, d->data, d->len, src, src_len, load, now)) {
	case COOKIE_INVALID_MAC1:
		wg->counters.invalid_mac++;
		return false;
	case COOKIE_VALID_MAC1:
		if (!load)
			return true;
		send_cookie(i, d, src, src_len, now);
		return false;
	case COOKIE_VALID_MAC2:
		if (!load || ratelimiter_allow(wg->limiter, d->remote.b, now * 1000000))
			return true;
		wg->counters.rate_limited++;
		return false;
	}
	return false;
}

static void push(struct wg *wg, struct handshake_job *job, const struct wg_datagram *d)
{
	job->source = (struct handshake_source){d->remote, d->local, d->remote_port_be, d->ifindex};
	if (handshake_pool_push(wg->pool, job))
		return;
	wg->counters.queue_full++;
	handshake_job_free(job);
}

static void receive_initiation(struct wg_iface *i, const struct wg_datagram *d, uint64_t now)
{
	struct handshake_job *job;

	if (!admit(i, d, now))
		return;
	job = handshake_job_new(HANDSHAKE_IDENTIFY, i->identity);
	job->iface_serial = i->identity_serial;
	memcpy(&job->initiation, d->data, sizeof(job->initiation));
	push(i->wg, job, d);
}

// The peer whose handshake or session has this index, if it is one of this interface.
static struct peer *index_peer(struct wg_iface *i, uint32_t index)
{
	guint id = GPOINTER_TO_UINT(wg_index_find(i->wg->index, index));
	struct peer *p = id ? i->wg->peers[id - 1] : NULL;

	return p && p->iface == i ? p : NULL;
}

static void receive_response(struct wg_iface *i, const struct wg_datagram *d, uint64_t now)
{
	const struct message_response *msg = (const struct message_response *)d->data;
	uint32_t index = get_le32(msg->receiver);
	struct handshake_job *job;
	struct peer *p;

	if (!admit(i, d, now))
		return;
	p = index_peer(i, index);
	if (!p || p->hs.state != NOISE_CREATED_INITIATION || p->hs.local_index != index) {
		i->wg->counters.unknown_index++;
		return;
	}
	job = handshake_job_new(HANDSHAKE_COMPLETE, i->identity);
	job->peer_id = p->id;
	job->peer_serial = p->serial;
	job->generation = p->initiate_generation;
	job->peer = p->noise;
	job->hs = p->hs;
	job->local_index = index;
	memcpy(&job->response, msg, sizeof(*msg));
	push(i->wg, job, d);
}

static void receive_cookie(struct wg_iface *i, const struct wg_datagram *d, uint64_t now)
{
	const struct message_cookie *msg = (const struct message_cookie *)d->data;
	struct peer *p = index_peer(i, get_le32(msg->receiver));

	// No new attempt at once: the retransmit will carry the cookie.
	if (p && cookie_consume_reply(&p->cookie, msg, now))
		i->wg->counters.cookies_received++;
	else
		i->wg->counters.cookies_refused++;
}

static bool device_is_ours(int ifindex)
{
	char name[IF_NAMESIZE];

	return if_indextoname((unsigned int)ifindex, name) && ids_find(name);
}

// Of a TCP or TLS client of our relay, whose relayed address is a socket of this box: the kernel says it came in by
// the device that has the address.
static bool is_own_relay(const struct wg *wg, const struct wg_datagram *d)
{
	return wg->is_own_relay && wg->is_own_relay(&d->remote, d->remote_port_be, wg->own_relay_arg);
}

// Data on the socket. From a port of ours an lcore has taken it, or had a reason not to, unless the port map
// is just being installed. From another device no lcore has seen it.
static void receive_data(struct wg_iface *i, const struct wg_datagram *d)
{
	struct wg *wg = i->wg;
	struct st_packet_io io = {
		.peer_id = ST_NO_PEER,
		.local = d->local,
		.remote = d->remote,
		.local_port_be = d->local_port_be ? d->local_port_be : htons(i->port),
		.remote_port_be = d->remote_port_be,
	};

	bool ours = device_is_ours(d->ifindex) && !is_own_relay(wg, d);

	if (ours && dp_connected(wg->dp) && wg_early_take(i->early, &io, d->data, d->len))
		return;
	if (!dp_connected(wg->dp) || (ours && !wg_early_just_ready(i->early)) ||
		!wg_bucket_take(&wg->down, (uint64_t)g_get_monotonic_time())) {
		wg->counters.data_dropped++;
		return;
	}
	wg->counters.data_passed_down++;
	dp_packet_out(wg->dp, &io, d->data, d->len);
}

void wg_receive(const struct wg_datagram *d, void *arg)
{
	struct wg_iface *i = arg;
	struct wg_counters *c = &i->wg->counters;
	uint64_t now = wg_now();
	uint32_t type = d->len >= 4 ? get_le32(d->data) : 0;

	if (i->conns && conn_receive(i->conns, d))
		return;
	if (type == MESSAGE_DATA && d->len >= MESSAGE_DATA_MIN) {
		receive_data(i, d);
		return;
	}
	c->received++;
	if (!i->identity)
		c->no_key++;
	else if (type == MESSAGE_INITIATION && d->len == sizeof(struct message_initiation))
		receive_initiation(i, d, now);
	else if (type == MESSAGE_RESPONSE && d->len == sizeof(struct message_response))
		receive_response(i, d, now);
	else if (type == MESSAGE_COOKIE && d->len == sizeof(struct message_cookie))
		receive_cookie(i, d, now);
	else
		c->malformed++;
}

// ---- back from the workers --------------------------------------------------------------------------

static void identified(struct wg *wg, struct handshake_job *job)
{
	struct wg_iface *i = NULL;
	struct peer *p = NULL;

	for (guint n = 0; n < wg->ifaces->len && !i; n++) {
		struct wg_iface *candidate = wg->ifaces->pdata[n];

		if (candidate->identity_serial == job->iface_serial)
			i = candidate;
	}
	if (!job->ok)
		wg->counters.unauthenticated++;
	else if (i)
		p = wg_iface_peer(i, job->public_key);
	if (p) {
		peer_identified(p, job);
		return;
	}
	if (job->ok)
		wg->counters.unknown_peer++;
	handshake_job_free(job);
}

void wg_job_done(struct handshake_job *job, void *arg)
{
	struct wg *wg = arg;
	struct peer *p;

	if (job->kind == HANDSHAKE_IDENTIFY) {
		identified(wg, job);
		return;
	}
	p = wg->peers[job->peer_id];
	if (!p || p->serial != job->peer_serial) {
		// The index of a COMPLETE belongs to the handshake, which went with the peer.
		if (job->kind != HANDSHAKE_COMPLETE)
			wg_index_put(wg->index, job->local_index);
		handshake_job_free(job);
		return;
	}
	if (job->kind == HANDSHAKE_INITIATE)
		peer_initiation_made(p, job);
	else if (job->kind == HANDSHAKE_RESPOND)
		peer_response_made(p, job);
	else
		peer_response_consumed(p, job);
}

// From a relayed address of this box to a port of ours: what the kernel would not take from itself. Data among
// it has been an lcore's already.
static void receive_own(struct wg *wg, const struct st_packet_io *io, const void *data, uint16_t len)
{
	struct wg_datagram d = {
		.remote = io->local,
		.remote_port_be = io->local_port_be,
		.local = io->remote,
		.len = len,
		.data = data,
	};

	for (guint n = 0; n < wg->ifaces->len; n++) {
		struct wg_iface *i = wg->ifaces->pdata[n];

		if (!i->port || htons(i->port) != io->remote_port_be)
			continue;
		if (len >= 4 && get_le32(data) == MESSAGE_DATA)
			wg->counters.data_dropped++;
		else
			wg_receive(&d, i);
		return;
	}
}

void wg_packet_in(struct wg *wg, const struct st_packet_io *io, const void *data, uint16_t len)
{
	struct peer *p = io->peer_id < ST_MAX_PEERS ? wg->peers[io->peer_id] : NULL;
	struct wg_to to = {
		.local = &io->local, .remote = &io->remote, .remote_port_be = io->remote_port_be};
	int fd;

	if (io->peer_id == ST_NO_PEER) {
		receive_own(wg, io, data, len);
		return;
	}
	if (!p || (p->conn && conn_send(p->conn, data, len)))
		return;
	fd = wg_iface_socket(p->iface, io->local_port_be, &io->remote);
	to.ifindex = (int)endpoint_ifindex(&p->endpoint);
	if (fd < 0 || wg_socket_send(fd, &to, data, len))
		wg->counters.send_failed++;
	else
		wg->counters.data_sent++;
}
